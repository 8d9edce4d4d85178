import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, Config, Embeddings, EvidenceError, FolderError, Groups, Matcher, Result
from kembar.memory import peak_memory
from kembar.regrouping import regroup
from kembar.results import run_folder
from kembar.results.report import scores_table, summary
from kembar.results.scores import b_cubed, curve, oracle, pair_score, score_edges

FILES = {
    "matches.csv",
    "matches.parquet",
    "groups.csv",
    "pairs.parquet",
    "catalog",
    "config.toml",
    "report.json",
    "report.md",
    "report.html",
    "group-sizes.svg",
    "manifest.json",
}


BY_RULES = Config.read(None, ["model=rules"])


@pytest.fixture(scope="module")
def result(catalog: Catalog) -> Result:
    return Matcher().match(catalog)


@pytest.fixture(scope="module")
def saved(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    result.save(folder)
    return folder


def same(left: Result, right: Result) -> None:
    assert left.config == right.config
    assert left.catalog.frame().equals(right.catalog.frame())
    assert np.array_equal(left.matches.offsets, right.matches.offsets)
    assert np.array_equal(left.matches.rows, right.matches.rows)
    assert np.array_equal(left.groups.labels, right.groups.labels)
    assert left.groups.ids.equals(right.groups.ids)
    assert np.array_equal(left.pairs.left, right.pairs.left)
    assert np.array_equal(left.pairs.right, right.pairs.right)
    assert list(left.pairs.evidence) == list(right.pairs.evidence)
    for name, column in left.pairs.evidence.items():
        assert np.array_equal(column, right.pairs.evidence[name], equal_nan=True), name


# --- there and back


def test_a_run_folder_reads_back(result: Result, saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == FILES
    loaded = Result.load(saved)
    same(result, loaded)
    assert loaded.peak_memory == result.peak_memory
    assert loaded.seconds == pytest.approx(dict(result.seconds), abs=1e-3)
    assert loaded.report["scores"] == result.report["scores"]


@pytest.mark.parametrize("rule", ["threshold", "chisel"])
def test_every_rule_reads_back(catalog: Catalog, rule: str, tmp_path: Path) -> None:
    blend = ["advanced.blend.min2=none", "advanced.blend.direct.hash=0.99"]
    config = Config.read(None, ["model=rules", f"rule={rule}", "advanced.decide.cap=4", *blend])
    result = Matcher(config).match(catalog)
    result.save(tmp_path / "run")
    same(result, Result.load(tmp_path / "run"))


def test_any_ids_read_back(tmp_path: Path) -> None:
    ids = [
        "a b",
        "a",
        "b",
        "a,b",
        'quo"te',
        "line\nbreak",
        "line\r",
        "émoji 🔥",
        "007",
        "null",
        " space ",
        "tab\tbed",
        "שלום",
    ]
    titles = ["kopi hitam"] * 6 + ["tas merah, 'besar'"] * 7
    result = Matcher(BY_RULES).match(Catalog.read(pl.DataFrame({"posting_id": ids, "title": titles})))
    result.save(tmp_path / "run")
    loaded = Result.load(tmp_path / "run")
    same(result, loaded)
    assert loaded.explain("a b", "line\nbreak").matched


def test_one_post_reads_back(tmp_path: Path) -> None:
    result = Matcher().match(Catalog.read(pl.DataFrame({"posting_id": ["a"], "title": ["kopi"]})))
    result.save(tmp_path / "run")
    loaded = Result.load(tmp_path / "run")
    same(result, loaded)
    told = dict.fromkeys(("mean_similarity", "weakest_similarity", "weakest_left", "weakest_right"))
    assert loaded.groups_frame().to_dicts() == [{"posting_id": "a", "group_id": "a", "size": 1, **told}]
    assert loaded.weakest_links().is_empty()


def test_groups_may_be_named_by_what_is_no_posting_id(result: Result, tmp_path: Path) -> None:
    names = pl.Series([str(UUID(int=number)) for number in range(len(result.groups))])
    renamed = replace(result, groups=Groups(result.groups.labels, names))
    renamed.save(tmp_path / "run")
    again = Result.load(tmp_path / "run")
    assert (again.groups.labels == result.groups.labels).all()
    assert again.groups.ids.to_list() == names.to_list()
    assert again.groups_frame().equals(renamed.groups_frame())


def test_the_same_result_is_saved_as_the_same_bytes(result: Result, saved: Path, tmp_path: Path) -> None:
    result.save(tmp_path / "again")
    for path in saved.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(saved)).read_bytes() == path.read_bytes(), path.name


def test_the_files_say_what_the_result_holds(result: Result, saved: Path) -> None:
    ids = result.catalog.ids
    lists = pl.read_csv(saved / "matches.csv")
    assert lists.columns == ["posting_id", "matches"]
    assert [text.split()[0] for text in lists["matches"]] == lists["posting_id"].to_list() == ids.to_list()
    groups = pl.read_csv(saved / "groups.csv")
    assert groups.equals(result.groups_frame())
    assert (
        (groups.group_by("group_id").len().join(groups, on="group_id").select(pl.col("len") == pl.col("size")))
        .to_series()
        .all()
    )
    smallest = groups.group_by("group_id").agg(pl.col("posting_id").min())
    assert (smallest["group_id"] == smallest["posting_id"]).all()
    pairs = pl.read_parquet(saved / "pairs.parquet")
    assert pairs.columns[:2] == ["left", "right"]
    assert len(pairs) == len(result.pairs)
    assert Config.read(saved / "config.toml") == result.config
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["posts"] == len(ids)
    assert manifest["catalog"] == result.catalog.fingerprint()
    assert Config.of(manifest["config"]) == result.config
    assert set(manifest["versions"]) >= {"python", "kembar", "numpy", "polars"}
    assert manifest["peak_memory"] == result.peak_memory > 0
    assert ElementTree.parse(saved / "group-sizes.svg").getroot().tag.endswith("svg")
    assert json.loads((saved / "report.json").read_text()) == result.report


# --- folders in the way, folders that are not whole


def test_overwriting(result: Result, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result.save(folder)
    (folder / "old.txt").write_text("old")
    with pytest.raises(FolderError, match=r"which exists.*overwrite=True"):
        result.save(folder)
    assert (folder / "old.txt").exists()
    result.save(folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(FolderError, match=r"holds no pairs\.parquet"):
        result.save(other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("file", ["manifest.json", "pairs.parquet", "matches.parquet", "config.toml", "catalog"])
def test_a_folder_that_lacks_a_file_is_refused(saved: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(saved, folder)
    (shutil.rmtree if (folder / file).is_dir() else Path.unlink)(folder / file)
    with pytest.raises((FolderError, ValueError)) as caught:
        Result.load(folder)
    assert type(caught.value).__module__ == "kembar.errors"
    assert str(folder)[-40:] in str(caught.value)  # long paths are shown by their ends


@pytest.mark.parametrize("file", ["pairs.parquet", "matches.parquet", "manifest.json"])
def test_a_file_cut_short_is_refused(saved: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(saved, folder)
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(FolderError, match="a run folder of `kembar match`"):
        Result.load(folder)


def test_folders_of_other_kinds_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="nothing', which does not exist"):
        Result.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match=r"empty', with no readable manifest\.json"):
        Result.load(tmp_path / "empty")
    folder = tmp_path / "run"
    shutil.copytree(saved, folder)
    for change in ({"version": 99}, {"format": "other"}):
        manifest = json.loads((saved / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(FolderError, match="another kind or version"):
            Result.load(folder)
    (folder / "manifest.json").write_text("[1, 2]")
    with pytest.raises(FolderError, match="another kind or version"):
        Result.load(folder)


def test_pairs_of_unknown_posts_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(saved, folder)
    pairs = pl.read_parquet(folder / "pairs.parquet")
    pairs.with_columns(left=pl.lit("unknown")).write_parquet(folder / "pairs.parquet")
    with pytest.raises(FolderError, match="not in the catalogue"):
        Result.load(folder)


# --- questions to a result


def test_scores(result: Result, catalog: Catalog) -> None:
    labels = catalog.labels
    assert labels is not None
    source, target = result.matches.edges()
    scores = result.scores()
    score = score_edges(source, target, labels)
    assert (scores["f1"], scores["precision"], scores["recall"]) == (score.f1, score.precision, score.recall)
    assert (scores["posts"], scores["pool"], scores["spread"]) == (300, 300, score.spread)
    assert scores["pair_f1"] == pair_score(source, target, labels)["pair_f1"]
    assert scores["b3_f1"] == b_cubed(result.groups.labels, labels)["b3_f1"]
    assert scores["oracle_f1"] == oracle(result.pairs.left, result.pairs.right, labels).f1
    some = np.where(np.arange(300) < 100, labels, -1)
    assert result.scores(some)["posts"] == 100


def test_scores_slowly(result: Result, catalog: Catalog) -> None:
    assert catalog.labels is not None
    f1 = []
    for row in range(len(result)):
        found, true = (
            set(result.matches[row].tolist()),
            set(np.flatnonzero(catalog.labels == catalog.labels[row]).tolist()),
        )
        f1.append(2 * len(found & true) / (len(found) + len(true)))
    assert result.scores()["f1"] == pytest.approx(np.mean(f1))


def test_the_curve_is_that_of_the_similarity(result: Result, catalog: Catalog) -> None:
    assert catalog.labels is not None
    pairs = result.pairs
    expected = curve(pairs.left, pairs.right, pairs.evidence["similarity"], catalog.labels)
    assert np.array_equal(result.curve().f1, expected.f1)


def test_without_labels_there_are_no_scores(posts: pl.DataFrame) -> None:
    result = Matcher().match(Catalog.read(posts.drop("label_group")))
    assert result.report["scores"] is None
    assert "known groups" not in summary(result.report)
    for question in (result.scores, result.curve):
        with pytest.raises(EvidenceError, match="group label"):
            question()


def test_weakest_links(result: Result) -> None:
    n, pairs, labels = len(result), result.pairs, result.groups.labels
    similarity = np.zeros((n, n))
    similarity[pairs.left, pairs.right] = similarity[pairs.right, pairs.left] = pairs.evidence["similarity"]
    rows = []
    for row in range(n):
        others = [other for other in np.flatnonzero(labels == labels[row]).tolist() if other != row]
        if others:
            rows.append((similarity[row, others].mean(), result.catalog.ids[row], len(others) + 1))
    found = result.weakest_links(20)
    assert found.columns == ["group_id", "posting_id", "title", "size", "mean_similarity"]
    expected = {post: (mean, size) for mean, post, size in rows}
    assert len(found) == 20
    for row in found.iter_rows(named=True):
        mean, size = expected[row["posting_id"]]
        assert row["mean_similarity"] == pytest.approx(mean, abs=1e-6)
        assert row["size"] == size
    lowest = sorted(mean for mean, _, _ in rows)[:20]
    assert found["mean_similarity"].to_list() == pytest.approx(lowest, abs=1e-6)


def test_the_report_counts(result: Result) -> None:
    report = result.report
    assert report["posts"] == len(result) == 300
    assert report["with"] == {"title": 299, "image": 0, "hash": 300, "label": 300}
    assert sum(int(size) * count for size, count in report["groups_by_size"].items()) == 300
    assert sum(report["groups_by_size"].values()) == report["groups"] == len(result.groups)
    assert report["groups_of_one"] == report["groups_by_size"].get("1", 0)
    assert report["largest_group"] == max(map(int, report["groups_by_size"]))
    assert report["matched_posts"] == sum(len(result.matches[row]) > 1 for row in range(300))
    assert report["candidate_pairs"] == len(result.pairs)
    assert report["problems"] == {"posts": 0, "kinds": [], "list": []}
    json.dumps(report, allow_nan=False)


def test_the_summary_reads(result: Result) -> None:
    text = summary(result.report)
    scores = result.scores()
    for part in (
        "300 posts: 299 with a title",
        f"{len(result.groups):,} groups",
        f"| {scores['f1']:.4f} ± {scores['spread']:.4f} |",
        "| 300 | 300 |",
        "No post was damaged.",
        "## How sure this run is",
        f"recall about {result.report['estimate']['recall']:.2f}",
        "Share of posts by size",
        " seconds, peak memory ",
        "classifier ",
        "MiB",
    ):
        assert part in " ".join(text.split()) or part in text, part
    assert scores_table(scores) in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_report_tells_of_lists_that_were_cut() -> None:
    frame = pl.DataFrame(
        {"posting_id": [f"p{at}" for at in range(9)], "title": ["kopi susu"] * 6 + ["teh", "jahe", "x"]}
    )
    config = Config.read(None, ["model=rules", "advanced.decide.cap=4"])
    result = Matcher(config).match(Catalog.read(frame))
    assert result.report["cut_lists"] == 6
    assert "- 6 posts have more than 3 matches; matches.csv lists the best 3, groups.csv has all" in summary(
        result.report
    )
    assert max(len(result.matches[row]) for row in range(9)) == 4
    whole = Matcher(Config.read(None, ["model=rules"])).match(Catalog.read(frame)).report
    assert whole["cut_lists"] == 0
    assert "matches.csv" not in summary(whole)


def test_problems_are_counted_by_kind_and_by_post() -> None:
    frame = pl.DataFrame(
        {
            "posting_id": ["a", "b", "c", "d"],
            "title": ["kopi\x00 hitam", "kopi", "teh", "teh"],
            "image": ["../up.jpg", "../../up.jpg", None, None],
            "image_phash": ["94974f937d4c243", "94974f937d4c2433", "xyz", None],
        }
    )
    report = Matcher().match(Catalog.read(frame)).report
    assert report["problems"]["posts"] == 3
    assert report["problems"]["kinds"] == [
        {"part": "hash", "problem": "'…' is not 16 hex digits", "posts": 2},
        {"part": "image", "problem": "'…' leads out of the photo folder", "posts": 2},
        {"part": "title", "problem": "null bytes, removed", "posts": 1},
    ]
    assert len(report["problems"]["list"]) == 5
    text = summary(report)
    assert "3 damaged posts" in text
    assert "- 2 x hash: '…' is not 16 hex digits" in text


def test_vectors_are_saved_as_evidence(catalog: Catalog, oracle_vectors: np.ndarray, tmp_path: Path) -> None:
    result = Matcher(BY_RULES).match(catalog, embeddings={"my clip": Embeddings.of(oracle_vectors)})
    result.save(tmp_path / "run")
    same(result, Result.load(tmp_path / "run"))
    assert {"my clip", "my clip_blended"} <= set(pl.read_parquet(tmp_path / "run" / "pairs.parquet").columns)


def test_peak_memory_is_in_bytes() -> None:
    assert 20 * 2**20 < peak_memory() < 2**40


def test_peak_memory_that_the_system_does_not_tell_is_left_out(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() == 0
    assert " seconds.\n" in summary({**result.report, "peak_memory": 0})


def test_the_label_queue_asks_about_every_part_of_the_range_and_new_posts_first(result: Result) -> None:
    found = result.label_queue(len(result.pairs))
    assert found.columns == ["left", "right", "left_title", "right_title", "similarity", "same"]
    assert set(found.select("left", "right").iter_rows()) == {
        tuple(result.catalog.ids.gather([i, j])) for i, j in zip(result.pairs.left, result.pairs.right, strict=True)
    }
    assert result.label_queue(3).equals(result.label_queue(3))
    few = result.label_queue(20)
    posts = [*few["left"], *few["right"]]
    assert len(set(posts)) == len(posts)
    if not result.config.by_rules:
        assert few["similarity"].min() < 0.3 < 0.7 < few["similarity"].max()


@pytest.mark.parametrize("rule", ["group", "threshold", "chisel", "expected"])
@pytest.mark.parametrize("cap", [51, 3])
def test_differences_between_lists_and_groups_are_listed(catalog: Catalog, rule: str, cap: int) -> None:
    catalog = catalog.take(np.arange(100))
    result = Matcher(Config.read(None, [f"rule={rule}", f"advanced.decide.cap={cap}"])).match(catalog)
    found = {(a, b): row for a, b, *row in result.differences().iter_rows()}
    labels, ids = result.groups.labels, result.catalog.ids
    expected = set()
    for post in range(len(catalog)):
        listed, members = set(result.matches[post].tolist()), set(np.flatnonzero(labels == labels[post]).tolist())
        expected |= {(ids[post], ids[other]) for other in listed ^ members}
    assert set(found) == expected
    if rule == "group":
        assert {why for *_, why in found.values()} <= {"the list is full"}
        assert bool(found) == (cap == 3)
    for similarity, matched, grouped, why in found.values():
        assert matched != grouped
        assert ("never compared" in why) <= (similarity is None)
    for a, b in list(found)[:: max(1, len(found) // 3)]:
        similarity = found[a, b][0]
        assert result.explain(a, b).evidence.get("similarity") == (similarity and pytest.approx(similarity, abs=1e-3))
    assert sum(result.report["differences"].values()) == len(found)


def test_differences_among_copies_that_were_never_compared() -> None:
    frame = pl.DataFrame({"posting_id": [f"p{at}" for at in range(30)], "title": ["kopi susu"] * 30})
    found = Matcher(Config.read(None, ["model=rules", "advanced.decide.cap=3"])).match(Catalog.read(frame))
    assert not len(found.pairs)
    told = found.differences()
    assert len(told) == 30 * 27
    assert told["similarity"].null_count() == len(told)


@pytest.mark.parametrize("size", [1, 40])
def test_pairs_are_written_some_at_a_time(
    result: Result, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Matcher().match(result.catalog.take(np.arange(size)))
    monkeypatch.setattr(run_folder, "_PAIRS", 7)
    few.save(tmp_path / "run")
    found = pl.read_parquet(tmp_path / "run" / "pairs.parquet")
    assert found.equals(few.pairs.frame(few.catalog.ids))
    assert size == 1 or len(found) > 14
    same(Result.load(tmp_path / "run"), few)


def test_pairs_are_read_some_at_a_time_and_with_the_evidence_asked_for(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Matcher().match(result.catalog.take(np.arange(40)))
    few.save(tmp_path / "run")
    monkeypatch.setattr(run_folder, "_READ", 7)
    same(Result.load(tmp_path / "run"), few)
    found = Result.load(tmp_path / "run", evidence=("similarity", "no such column"))
    assert list(found.pairs.evidence) == ["similarity"]
    assert len(found.pairs) > 14
    assert found.scores() == few.scores()
    regroup(found, ["cut=.7"]).save(tmp_path / "regrouped", like=tmp_path / "run")
    same(Result.load(tmp_path / "regrouped"), regroup(few, ["cut=.7"]))
