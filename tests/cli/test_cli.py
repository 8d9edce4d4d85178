import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.main import get_command

from conftest import Cli
from kembar import Catalog, Config, Matcher, Result
from kembar.cli.app import PANELS, app
from kembar.posts.columns import Columns

COMMANDS = [
    "match",
    "link",
    "store",
    "score",
    "regroup",
    "export",
    "evaluate",
    "tune",
    "label-queue",
    "explain",
    "encode",
    "train",
    "synth",
    "config",
    "serve",
    "review",
    "doctor",
]
STAGES = [
    *("hashes", "placeholders", "encoders", "settings", "copies", "vectors", "neighbours", "blending", "classifier"),
    *("identifiers", "decisions", "results"),
]


def kembar(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real program in a process of its own."""
    command = [sys.executable, "-m", "kembar", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def run(cli: Cli, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a small shop with photos."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    outcome = cli("match", shop / "posts.csv", "--images", shop / "photos", "-o", folder)
    assert outcome.exit_code == 0, outcome.output
    return folder


@pytest.fixture(scope="module")
def file(posts: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 posts with hashes, no photos."""
    path = tmp_path_factory.mktemp("cli") / "posts.csv"
    posts.head(80).write_csv(path)
    return path


# --- help


def test_every_command_is_known_here() -> None:
    assert sorted(get_command(app).commands) == sorted(COMMANDS)  # type: ignore[attr-defined]


def test_every_command_is_shown_in_one_panel(cli: Cli) -> None:
    assert sorted(name for names in PANELS.values() for name in names) == sorted(COMMANDS)
    shown = cli("--help").output
    places = [shown.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert shown.index(" doctor ") > shown.index(" serve ") > shown.index(" tune ") > shown.index(" link ")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words) or "kembar")
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_teaches(cli: Cli, command: list[str], flag: str) -> None:
    outcome = cli(*command, flag)
    assert outcome.exit_code == 0
    text = re.sub(r"\s+", " ", outcome.output)
    assert (
        "Example: `kembar" in text or "Try it: `kembar" in text or "Example: kembar" in text or "Try it: kembar" in text
    )
    if command:
        for option in get_command(app).commands[command[0]].params:  # type: ignore[attr-defined]
            assert getattr(option, "help", None), option.name


@pytest.mark.parametrize("command", ["", "match", "train title", "store create", "doctor"])
def test_help_is_plain_and_quick(command: str) -> None:
    """What takes the time is what is imported: each of these takes .05 s or more."""
    words = [*command.split(), "--help"]
    program = f"import sys; from kembar.cli.app import app; app({words}, standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "<bool>" not in done.stdout
    assert "<list" not in done.stdout
    assert not {"pydantic", "numpy", "polars"} & set(done.stdout.splitlines()[-1].split())


def test_no_command_shows_the_help_and_a_version(cli: Cli) -> None:
    assert "Usage" in cli().output
    outcome = cli("--version")
    assert outcome.exit_code == 0
    assert re.fullmatch(r"kembar \d+\.\d+\.\d+\S*\n", outcome.output)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["match"], "argument"),
        (["match", "posts.csv"], "--output"),
        (["match", "posts.csv", "-o", "run", "--imgaes", "photos"], "--imgaes"),
        (["mtach"], "mtach"),
        (["tune", "posts.csv", "-o", "t.toml", "--folds", "1"], "--folds"),
        (["tune", "posts.csv", "-o", "t.toml", "--folds", "x"], "--folds"),
        (["explain", "run", "a"], "argument"),
    ],
)
def test_a_call_that_is_not_understood(cli: Cli, words: list[str], part: str) -> None:
    outcome = cli(*words)
    assert outcome.exit_code == 2
    assert part in outcome.stderr
    assert "Traceback" not in outcome.output


# --- the whole way


def test_the_whole_way(cli: Cli, tmp_path: Path) -> None:
    shop, run, tuned, again = (tmp_path / name for name in ("shop", "run", "tuned", "again"))
    made = cli("synth", "-n", 60, "-o", shop, "--size", 64)
    assert (made.exit_code, made.stderr) == (0, "")
    assert "60 posts" in made.stdout
    matched = cli("match", shop / "posts.csv", "--images", shop / "photos", "-o", run)
    assert (matched.exit_code, matched.stderr) == (0, "")
    assert re.search(r"mean F1 +precision", matched.stdout)
    assert f"Wrote {run}" in matched.stdout
    scores = json.loads(cli("evaluate", run, "--json").stdout)
    assert scores["f1"] == Result.load(run).scores()["f1"] > 0.6
    tuning = cli(
        "tune", shop / "posts.csv", "--images", shop / "photos", "-o", tuned, "--folds", 3, "--method", "rules"
    )
    assert (tuning.exit_code, tuning.stderr) == (0, "")
    assert "Cross-validated F1" in tuning.stdout
    better = cli("match", shop / "posts.csv", "--images", shop / "photos", "-o", again, "-m", tuned)
    assert better.exit_code == 0
    assert Result.load(again).scores()["f1"] >= scores["f1"] - 0.02
    assert Result.load(again).config == Config.read(tuned / "config.toml").settled()
    matches = pl.read_csv(run / "matches.csv")["matches"].str.split(" ")
    a, b = matches.filter(matches.list.len() > 1)[0][:2]
    told = cli("explain", run, a, b)
    assert (told.exit_code, told.stderr) == (0, "")
    assert f"{a} and {b} match." in told.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "run", "shop", "tuned"]


def text_of(report: Path) -> str:
    """A report up to its seconds, which differ from run to run."""
    return re.split(r"[0-9.]+ seconds, ", report.read_text(encoding="utf-8"))[0]


def test_another_process_writes_the_same_bytes_whatever_its_threads_and_locale(
    cli: Cli, file: Path, tmp_path: Path
) -> None:
    assert cli("match", file, "-o", tmp_path / "one", "-q").exit_code == 0
    variables = {"OMP_NUM_THREADS": "4", "POLARS_MAX_THREADS": "3", "PYTHONHASHSEED": "4"}
    variables |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}  # ASCII, and the report has ±
    done = kembar("-v", "match", file, "-o", tmp_path / "two", "--cache", tmp_path / "cache", **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"Wrote {tmp_path / 'two'}\n")
    assert [line.split()[-1] for line in done.stderr.splitlines()][-len(STAGES) :] == STAGES
    assert all(line.startswith("INFO ") for line in done.stderr.splitlines())
    for path in sorted((tmp_path / "one").rglob("*")):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        if path.is_dir():
            continue
        if path.suffix == ".json" and path.name != "catalog.json":
            trees = [json.loads(file.read_text(encoding="utf-8")) for file in (path, other)]
            for tree in trees:
                assert tree.pop("seconds")
                assert tree.pop("peak_memory")
            assert trees[0] == trees[1]
        elif path.name == "report.md":
            assert text_of(path) == text_of(other)
        else:
            assert path.read_bytes() == other.read_bytes(), path.name


def test_it_starts_without_a_terminal_and_in_a_plain_locale(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "", "TERM": "dumb", "NO_COLOR": "1"}
    done = kembar("config", **plain)
    assert done.returncode == 0
    assert Config.of(tomllib.loads(done.stdout)) == Config()


# --- match


def test_the_files_open_with_the_usual_tools(run: Path) -> None:
    for name in ("matches.csv", "groups.csv"):
        by_polars, by_pandas = pl.read_csv(run / name), pd.read_csv(run / name)
        with (run / name).open(newline="", encoding="utf-8") as stream:
            by_csv = list(csv.DictReader(stream))
        pd.testing.assert_frame_equal(by_polars.to_pandas(), by_pandas)
        assert [
            {key: "" if value is None else str(value) for key, value in row.items()} for row in by_polars.to_dicts()
        ] == by_csv
        assert len(by_csv) == 60
    pairs = pd.read_parquet(run / "pairs.parquet")
    assert list(pairs.columns[:2]) == ["left", "right"]
    assert len(pairs) == len(pl.read_parquet(run / "pairs.parquet")) > 100
    lists = pd.read_parquet(run / "matches.parquet")
    assert list(lists.columns) == ["posting_id", "matches", "group_id", "copy_of", "cut_off"]
    assert (lists["matches"].map(" ".join) == pd.read_csv(run / "matches.csv")["matches"]).all()
    for name in ("report.json", "manifest.json", "catalog/catalog.json"):
        assert json.loads((run / name).read_text(encoding="utf-8"))["posts"] == 60
    assert tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))["advanced"]["pool"]["size"] == 60
    assert (run / "report.md").read_text(encoding="utf-8").startswith("# What kembar found")
    assert (run / "group-sizes.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_it_does_what_the_library_does(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli("match", file, "-o", tmp_path / "run", "--set", "rule=threshold", "--set", "advanced.decide.cap=3", "-q")
    config = Config.read(None, ["rule=threshold", "advanced.decide.cap=3"])
    expected = Matcher(config).match(Catalog.read(file))
    found = Result.load(tmp_path / "run")
    assert np.array_equal(found.matches.rows, expected.matches.rows)
    assert found.config == expected.config


def test_quiet_prints_nothing(cli: Cli, file: Path, shop: Path, tmp_path: Path) -> None:
    for words in (
        ("match", shop / "posts.csv", "--images", shop / "photos", "-o", tmp_path / "run"),
        ("tune", file, "-o", tmp_path / "tuned", "--folds", 2, "--method", "rules"),
        ("synth", "-n", 20, "-o", tmp_path / "shop", "--no-photos"),
    ):
        outcome = cli(*words, "--quiet")
        assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", ""), words


def test_overwrite(cli: Cli, file: Path, tmp_path: Path) -> None:
    words = ("match", file, "-o", tmp_path / "run", "-q")
    assert cli(*words).exit_code == 0
    before = (tmp_path / "run" / "manifest.json").stat().st_ino
    refused = cli(*words)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "run" / "manifest.json").stat().st_ino == before
    assert cli(*words, "--overwrite", "--set", "advanced.decide.cap=2").exit_code == 0
    assert Result.load(tmp_path / "run").config.advanced.decide.cap == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_columns_by_name_and_a_table_in_parquet(cli: Cli, file: Path, tmp_path: Path) -> None:
    posts = pl.read_csv(file)
    renamed = posts.rename(
        {"posting_id": "sku", "title": "name", "image_phash": "fingerprint", "label_group": "product"}
    ).drop("image")
    renamed.write_parquet(tmp_path / "posts.parquet")
    names = ("--id", "sku", "--title", "name", "--hash", "fingerprint", "--label", "product")
    outcome = cli("match", tmp_path / "posts.parquet", "-o", tmp_path / "run", *names)
    assert outcome.exit_code == 0, outcome.output
    result = Result.load(tmp_path / "run")
    assert result.report["with"] == {"title": posts["title"].count(), "image": 0, "hash": 80, "label": 80}


def test_prices_brands_and_further_columns(cli: Cli, tmp_path: Path) -> None:
    titles = ["Radeon HD 5450 1GB DDR3 PCI"] * 2 + ["Epson projector lamp", "Epson lamp for projectors"]
    shown = {"sku": ["a", "b", "c", "d"], "title": titles, "maker": ["XFX", "VisionTek", "Epson", "Epson"]}
    other = {"mpn": ["HD-545X-YLH2", "900356", "ELPLP12", "ELPLP12"], "cost": ["30", "40", "$99", "free"]}
    pl.DataFrame({**shown, **other}).write_csv(tmp_path / "posts.csv")
    names = ("--id", "sku", "--brand", "maker", "--column", "mpn", "--price", "cost")
    outcome = cli("match", tmp_path / "posts.csv", "-o", tmp_path / "run", *names)
    assert outcome.exit_code == 0, outcome.output
    result = Result.load(tmp_path / "run")
    assert result.report["with"] == {"title": 4, "image": 0, "hash": 0, "label": 0, "price": 3, "brand": 4, "mpn": 4}
    renamed = pl.read_csv(tmp_path / "posts.csv").rename({"mpn": "hash"})
    matched = Matcher().match(Catalog.read(renamed, columns=Columns(id="sku", further=("hash",))))
    assert matched.report["with"]["hash"] == 0  # that of photos, not the column of this name
    assert ", 4 with brand, 4 with mpn, 3 with price" in (tmp_path / "run" / "report.md").read_text()
    assert result.groups.labels[2] == result.groups.labels[3]


def test_vectors(cli: Cli, file: Path, oracle_vectors: np.ndarray, tmp_path: Path) -> None:
    vectors = oracle_vectors[:80]
    np.save(tmp_path / "clip.npy", vectors)
    table = pl.DataFrame({"posting_id": pl.read_csv(file)["posting_id"], "vector": vectors}).reverse()
    table.write_parquet(tmp_path / "clip.parquet")
    found = []
    for name in ("clip.npy", "clip.parquet"):
        outcome = cli("match", file, "-o", tmp_path / name[5:], "--vectors", f"clip={tmp_path / name}", "-q")
        assert outcome.exit_code == 0, outcome.output
        found.append(Result.load(tmp_path / name[5:]))
    assert "clip" in found[0].pairs.evidence
    assert np.array_equal(found[0].matches.rows, found[1].matches.rows)


# --- evaluate, explain, tune, synth, config


def test_evaluate(cli: Cli, run: Path, shop: Path, tmp_path: Path) -> None:
    scores = Result.load(run).scores()
    assert json.loads(cli("evaluate", run, "--json").stdout) == scores
    assert f" {scores['f1']:.4f} ±" in cli("evaluate", run).stdout
    truth = pl.read_csv(shop / "posts.csv").select("posting_id", "label_group").reverse().head(30)
    truth.rename({"posting_id": "sku", "label_group": "group"}).write_csv(tmp_path / "truth.csv")
    columns = ("--id", "sku", "--label", "group")
    some = json.loads(cli("evaluate", run, "--truth", tmp_path / "truth.csv", *columns, "--json").stdout)
    assert (some["posts"], some["pool"]) == (30, 60)
    outcome = cli("evaluate", run, "-o", tmp_path / "curve")
    assert outcome.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "curve").iterdir()) == ["curve.csv", "curve.svg"]
    curve = pl.read_csv(tmp_path / "curve" / "curve.csv")
    assert curve.columns == ["threshold", "f1", "precision", "recall"]
    assert curve["f1"].max() == pytest.approx(Result.load(run).curve().best()[1], abs=0.02)
    assert cli("evaluate", run, "-o", tmp_path / "curve").exit_code == 2
    assert cli("evaluate", run, "-o", tmp_path / "curve", "--overwrite").exit_code == 0


def test_explain(cli: Cli, run: Path) -> None:
    result = Result.load(run)
    a, b = result.catalog.ids[int(result.pairs.left[0])], result.catalog.ids[int(result.pairs.right[0])]
    assert cli("explain", run, a, b).stdout == f"{result.explain(a, b)}\n"
    told = json.loads(cli("explain", run, a, b, "--json").stdout)
    assert told["evidence"] == result.explain(a, b).evidence


@pytest.mark.parametrize("pool", ["whole", "fold"])
def test_tune(cli: Cli, file: Path, tmp_path: Path, pool: str) -> None:
    words = ("tune", file, "-o", tmp_path / "t", "--folds", 2, "--pool", pool, "--set", "rule=threshold")
    words = (*words, "--method", "rules", "--set", "advanced.blend.steps=0")
    outcome = cli(*words)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.startswith("Cross-validated F1")
    assert outcome.stdout.endswith(f"Wrote {tmp_path / 't'}\n")
    assert Config.read(tmp_path / "t" / "config.toml").rule == "threshold"
    assert cli(*words).exit_code == 2
    assert cli(*words, "--overwrite").exit_code == 0
    assert cli("match", file, "-o", tmp_path / "run", "-m", tmp_path / "t", "-q").exit_code == 0


def test_synth_repeats_itself(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert (
            cli("synth", "-n", 30, "-o", tmp_path / name, "--no-photos", "--seed", 4, "--singles", 0.5, "-q").exit_code
            == 0
        )
    assert (tmp_path / "a" / "posts.csv").read_bytes() == (tmp_path / "b" / "posts.csv").read_bytes()
    assert len(pl.read_csv(tmp_path / "a" / "posts.csv")) == 30


def test_config_goes_out_and_in(cli: Cli, tmp_path: Path) -> None:
    assert Config.of(tomllib.loads(cli("config").stdout)) == Config()
    first = cli(
        "config",
        "--set",
        "advanced.decide.min2=none",
        "--set",
        "vectors.clip.modality=title",
        "--set",
        "advanced.word.k=9",
    )
    (tmp_path / "c.toml").write_text(first.stdout)
    second = cli("config", "-c", tmp_path / "c.toml")
    assert second.stdout == first.stdout
    config = Config.read(tmp_path / "c.toml")
    assert (config.advanced.decide.min2, config.vectors["clip"].modality, config.advanced.word.k) == (None, "title", 9)


def test_a_model_never_replaces_a_run(cli: Cli, run: Path, file: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    words = ("tune", file, "-o", tmp_path / "run", "--method", "rules", "--folds", 2, "--overwrite")
    refused = cli(*words)
    assert refused.exit_code == 2
    assert "model.json" in refused.stderr
    assert Result.load(tmp_path / "run").catalog is not None


def test_what_was_noticed_while_reading_is_told_everywhere(cli: Cli, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("sep=,\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    outcome = cli("match", path, "-o", tmp_path / "run", "-m", "rules")
    assert outcome.exit_code == 0
    told = [
        outcome.stdout,
        *((tmp_path / "run" / name).read_text(encoding="utf-8") for name in ("report.md", "report.html")),
    ]
    assert all("How the posts were read" in text and "a first line that names the separator" in text for text in told)
