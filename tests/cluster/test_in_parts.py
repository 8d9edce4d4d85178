import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import Catalog, Columns, Config, ConfigError, Embeddings, FolderError, Matcher, Result
from kembar.arrays import Progress
from kembar.cluster.executors import Local
from kembar.cluster.match import Running, match_in_parts
from kembar.cluster.work import Task, work_folder
from kembar.config import BY_RULES, PHOTOS_ALONE
from kembar.evidence import search
from kembar.evidence.probing import Cells, Probing
from kembar.evidence.search import DenseIndex
from kembar.grouping.links import LINKS
from kembar.linking import both
from kembar.regrouping import regroup
from kembar.synthesis import synthesize
from properties import examples


@pytest.fixture(scope="module")
def shop() -> Catalog:
    """250 posts with hashes and known groups, not in the order of their ids."""
    posts = synthesize(250, seed=5, hashes=True).posts
    return Catalog.read(posts.sample(fraction=1.0, shuffle=True, seed=1))


@pytest.fixture(scope="module")
def at_once(shop: Catalog) -> Result:
    return whole(shop)


def in_parts(catalog: Catalog, work: Path, parts: int, *settings: str, **embeddings: np.ndarray) -> Result:
    config = Config.read(None, list(settings))
    vectors = {name: Embeddings.of(given) for name, given in embeddings.items()}
    return match_in_parts(catalog, work, config, running=Running(parts), embeddings=vectors)


def whole(catalog: Catalog, *settings: str, **embeddings: np.ndarray) -> Result:
    vectors = {name: Embeddings.of(given) for name, given in embeddings.items()}
    return Matcher(Config.read(None, list(settings))).match(catalog, embeddings=vectors)


def check_same(one: Result, other: Result) -> None:
    """The same matches, groups and evidence; what one left out is impossible and in no group."""
    np.testing.assert_array_equal(one.matches.offsets, other.matches.offsets)
    np.testing.assert_array_equal(one.matches.rows, other.matches.rows)
    np.testing.assert_array_equal(one.groups.labels, other.groups.labels)
    assert one.groups.ids.equals(other.groups.ids)
    assert one.groups_frame().equals(other.groups_frame())
    assert one.catalog.problems.equals(other.catalog.problems)
    assert one.candidates == other.candidates == len(one.pairs)
    np.testing.assert_array_equal(one.copy_of, other.copy_of)
    np.testing.assert_array_equal(one.cut_off, other.cut_off)
    n = len(one)
    key, kept = one.pairs.left * n + one.pairs.right, other.pairs.left * n + other.pairs.right
    at = np.searchsorted(key, kept)
    np.testing.assert_array_equal(key[at], kept)
    assert list(one.pairs.evidence) == list(other.pairs.evidence)
    for name, column in one.pairs.evidence.items():
        np.testing.assert_array_equal(column[at], other.pairs.evidence[name], err_msg=name)
    gone = np.setdiff1d(np.arange(len(key)), at)
    assert (one.similarity[gone] == 0).all()
    assert (one.groups.labels[one.pairs.left[gone]] != one.groups.labels[one.pairs.right[gone]]).all()


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_parts_find_what_all_posts_at_once_find(shop: Catalog, at_once: Result, parts: int, tmp_path: Path) -> None:
    check_same(at_once, in_parts(shop, tmp_path / "work", parts))


@pytest.mark.parametrize("tasks", [2, 5])
def test_tasks_side_by_side(shop: Catalog, at_once: Result, tasks: int, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    running = Running(7, Local(tasks))
    result = match_in_parts(shop, tmp_path, running=running, progress=lambda *each: told.append(each))
    check_same(at_once, result)
    assert [done for stage, done, _ in told if stage == "judgements"][-7:] == list(range(7))
    damaged = tmp_path / "ranks-00006.joblib"
    damaged.write_bytes(damaged.read_bytes()[:100])
    for path in tmp_path.glob("judgements-*"):
        path.unlink()
    with pytest.raises(FolderError, match=damaged.name):
        match_in_parts(shop, tmp_path, running=running)
    damaged.unlink()
    check_same(at_once, match_in_parts(shop, tmp_path, running=running))


@pytest.mark.parametrize(
    "settings",
    [
        ("model=rules", "advanced.blend.search=true"),
        ("model=rules", "advanced.blend.steps=2", "advanced.blend.single.word=.9", "advanced.blend.direct.hash=.95"),
        ("advanced.blend.steps=0", "model=rules", "rule=threshold", "advanced.decide.min2=.3"),
        ("rule=expected",),
        ("rule=chisel", "advanced.decide.mutual=true"),
        ("target_size=2.5", "single=.2"),
        ("variants=together",),
    ],
)
def test_any_rule_and_option(shop: Catalog, settings: Sequence[str], tmp_path: Path) -> None:
    check_same(whole(shop, *settings), in_parts(shop, tmp_path / "work", 3, *settings))


def test_vectors_that_are_brought_and_weighed(shop: Catalog, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    products = rng.normal(size=(int(shop.labels.max()) + 1, 16))  # type: ignore[union-attr]
    clip = products[shop.labels] + 0.3 * rng.normal(size=(len(shop), 16))
    clip[::7] = 0
    check_same(whole(shop, clip=clip), in_parts(shop, tmp_path / "work", 3, clip=clip))


def test_the_report_says_which_share_of_the_neighbours_is_found(
    shop: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    products = rng.normal(size=(int(shop.labels.max()) + 1, 16))  # type: ignore[union-attr]
    clip = products[shop.labels] + 0.3 * rng.normal(size=(len(shop), 16))
    monkeypatch.setattr(Cells, "probing", lambda cells, *_: Probing(5, 60, 0.99534, 1000))
    monkeypatch.setattr(DenseIndex, "of", classmethod(lambda cls, vectors: cls(vectors, 100)))
    monkeypatch.setattr(search, "MOST", 100)
    for result in (whole(shop, clip=clip), in_parts(shop, tmp_path / "work", 3, clip=clip)):
        told = [note for note in result.catalog.notes if note.kind == "search"]
        assert [note.detail.split(",")[0] for note in told] == ["by 'title'", "by 'clip'"]
        assert all(note.detail.endswith("where there are enough of these) 99.53% are found") for note in told)
        result.save(tmp_path / "run", overwrite=True)
        assert Result.load(tmp_path / "run").catalog.notes == result.catalog.notes
        assert "search: by 'title', posts were compared" in (tmp_path / "run" / "report.md").read_text()


def test_identifiers_that_are_weighed_by_all_pairs(shop: Catalog, tmp_path: Path) -> None:
    codes = pl.Series([f"K-{label}" if row % 3 else "" for row, label in enumerate(shop.labels)])  # type: ignore[arg-type]
    posts = shop.frame().with_columns(code=codes)
    coded = Catalog.read(posts, columns=Columns(identifiers=("code",)))
    check_same(whole(coded), in_parts(coded, tmp_path / "work", 3))


def test_photos_and_problems_with_them(photo_shop: Catalog, tmp_path: Path) -> None:
    check_same(whole(photo_shop), in_parts(photo_shop, tmp_path / "work", 3))


@pytest.fixture(scope="module")
def photo_shop(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """120 posts with photos, of which one is damaged and one missing."""
    from kembar.synthesis import Drawing, write_shop

    folder = tmp_path_factory.mktemp("photos") / "shop"
    write_shop(folder, 120, photos=Drawing(48))
    names = sorted((folder / "photos").iterdir())
    names[3].write_bytes(b"no photo")
    names[7].unlink()
    posts = pl.read_csv(folder / "posts.csv").drop("image_phash", strict=False)
    return Catalog.read(posts, images=folder / "photos")


def test_many_copies(shop: Catalog, tmp_path: Path) -> None:
    copies = shop.frame().head(1).select(pl.exclude("posting_id"))
    many = pl.concat([copies] * 60).with_columns(posting_id=pl.format("copy {}", pl.int_range(60)))
    posts = Catalog.read(pl.concat([shop.frame().head(200), many.select(shop.frame().columns)]))
    check_same(whole(posts), in_parts(posts, tmp_path / "work", 4))


POST = st.tuples(st.sampled_from(["", "susu bear 200 ml", "susu bear 400 ml", "sabun", "kopi abc"]), st.integers(0, 3))


@examples(12)
@given(posts=st.lists(POST, min_size=1, max_size=14), parts=st.integers(1, 3))
def test_any_posts_in_any_number_of_parts(
    posts: list[tuple[str, int]], parts: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    titles, hashes = [title for title, _ in posts], [None if h == 0 else f"{h:016x}" for _, h in posts]
    if not any(titles) and not any(hashes):
        titles[0] = "sabun"
    frame = {"posting_id": [f"{i * 7 % 15}x{i}" for i in range(len(posts))], "title": titles, "image_phash": hashes}
    catalog = Catalog.read(pl.DataFrame(frame, schema=dict.fromkeys(frame, pl.String)))
    check_same(whole(catalog), in_parts(catalog, tmp_path_factory.mktemp("any") / "work", parts))


@pytest.mark.parametrize("settings", [(), ("model=rules",)])
@pytest.mark.parametrize("parts", [1, 3])
def test_photos_alone(photo_shop: Catalog, settings: Sequence[str], parts: int, tmp_path: Path) -> None:
    untitled = photo_shop.frame().with_columns(title=pl.lit(""))
    posts = Catalog.read(untitled, images=photo_shop.folder)
    at_once = whole(posts, *settings)
    assert at_once.config.model == (BY_RULES if settings else PHOTOS_ALONE)
    check_same(at_once, in_parts(posts, tmp_path / "work", parts, *settings))


class StoppedError(Exception):
    """What ends a run early."""


class StopsAfter(Local):
    """Does some tasks, then ends."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.left = tasks

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        for task in tasks:
            if not self.left:
                raise StoppedError
            self.left -= 1
            super().run(folder, [task], progress)


@pytest.mark.parametrize("tasks", [0, 5, 21, 41])
def test_a_run_that_was_stopped_goes_on(shop: Catalog, at_once: Result, tasks: int, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(StoppedError):
        match_in_parts(shop, work, running=Running(3, StopsAfter(tasks)))
    before = {path: path.stat().st_mtime_ns for path in work.iterdir()}
    result = match_in_parts(shop, work, running=Running(3))
    assert {path: path.stat().st_mtime_ns for path in before} == before  # nothing is done twice
    check_same(at_once, result)


def test_the_work_of_another_run_is_refused(shop: Catalog, tmp_path: Path) -> None:
    in_parts(shop, tmp_path, 2)
    with pytest.raises(FolderError, match="the work of another run"):
        in_parts(shop, tmp_path, 3)
    with pytest.raises(FolderError, match="the work of another run"):
        in_parts(shop, tmp_path, 2, "cut=.7")
    with pytest.raises(FolderError, match="the work of another run"):
        in_parts(shop.take(np.arange(249)), tmp_path, 2)
    (tmp_path / "work.json").write_text("{")
    with pytest.raises(FolderError, match="the work of another run"):
        in_parts(shop, tmp_path, 2)


def test_a_folder_with_other_files_is_left_alone(shop: Catalog, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FolderError, match="holds other files"):
        in_parts(shop, tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_two_runs_at_once_are_refused(shop: Catalog, tmp_path: Path) -> None:
    with work_folder(tmp_path, "another"), pytest.raises(FolderError, match="another process works"):
        in_parts(shop, tmp_path, 2)


@pytest.mark.parametrize("name", ["judgements-00001", "pairs-1-00000", "decisions", "vectors"])
def test_a_damaged_file_is_named_and_made_anew(shop: Catalog, at_once: Result, name: str, tmp_path: Path) -> None:
    in_parts(shop, tmp_path, 2)
    damaged = tmp_path / f"{name}.joblib"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(FolderError, match=damaged.name):
        in_parts(shop, tmp_path, 2)
    damaged.unlink()
    check_same(at_once, in_parts(shop, tmp_path, 2))


def test_a_run_in_parts_is_saved_and_regrouped_as_any(shop: Catalog, tmp_path: Path) -> None:
    result = in_parts(shop, tmp_path / "work", 3)
    shutil.rmtree(tmp_path / "work")  # its files are mapped: what they hold is still there
    result.save(tmp_path / "run")
    again = Result.load(tmp_path / "run")
    assert again.candidates == result.candidates
    for cut in (0.3, 0.7):
        ours, all_pairs = regroup(again, [f"cut={cut}"]), whole(shop, f"cut={cut}")
        np.testing.assert_array_equal(ours.groups.labels, all_pairs.groups.labels)


@pytest.mark.parametrize(("column", "values"), [("source", 2), ("source", 12), ("within", 3)])
def test_sources_and_categories(shop: Catalog, column: str, values: int, tmp_path: Path) -> None:
    labels, rows = shop.labels, np.arange(len(shop))
    of = labels if column == "within" else rows  # categories do not part products here
    names = pl.Series([f"{code % values}" if row % 9 else "" for row, code in enumerate(of)])  # type: ignore[arg-type]
    listed = Catalog.read(shop.frame().with_columns(x=names), columns=Columns(**{column: "x"}))
    check_same(whole(listed), in_parts(listed, tmp_path / "work", 3))


@pytest.mark.parametrize("kind", LINKS)
def test_links(shop: Catalog, kind: str, tmp_path: Path) -> None:
    posts = shop.frame().drop("label_group")
    catalog, rule = both(Catalog.read(posts.head(60)), Catalog.read(posts.tail(-60))), f"rule={kind}"
    one, other = whole(catalog, rule), in_parts(catalog, tmp_path / "work", 3, rule)
    check_same(one, other)
    assert len(one.links_frame()) > 20
    assert one.links_frame().equals(other.links_frame())


def test_what_cannot_be_done_in_parts_is_refused(shop: Catalog, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="query expansion"):
        in_parts(shop, tmp_path / "a", 2, "model=rules", "advanced.blend.expansion=2")
    assert not (tmp_path / "a").exists()
    with pytest.raises(ConfigError, match="0 parts"):
        in_parts(shop, tmp_path / "b", 0)
