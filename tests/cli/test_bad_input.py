"""Whatever is given, kembar says in one line what is wrong and writes nothing, or goes on with what is good."""

import csv
import json
import os
import resource
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from conftest import Cli
from interrupts import interrupted
from kembar import Catalog, CatalogError, Config, ConfigError, EvidenceError, Matcher, Result, synthesize
from kembar.posts.labels import read_pairs
from pictures import png_header
from places import ROOT

HASH = "94974f937d4c2433"


@pytest.fixture
def refused(cli: Cli, tmp_path: Path):
    """Call what must be refused: exit code 2, one line that holds the parts, nothing written."""

    def call(*words: object, parts: tuple[str, ...]) -> str:
        before = sorted(tmp_path.rglob("*"))
        outcome = cli(*words)
        assert outcome.exit_code == 2, outcome.output
        assert outcome.stdout == ""
        lines = outcome.stderr.splitlines()
        assert len(lines) == 1, outcome.stderr
        assert lines[0].startswith("kembar: ")
        for part in parts:
            assert part in lines[0]
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return call


def write(folder: Path, name: str = "posts.csv", **columns: object) -> Path:
    pl.DataFrame(columns).write_csv(folder / name)
    return folder / name


def black_png(edge: int) -> bytes:
    """A whole black PNG of one bit per pixel, made without holding its pixels."""
    deflate = zlib.compressobj(1)
    rows = b"".join(deflate.compress(bytes(1 + -(-edge // 8))) for _ in range(edge)) + deflate.flush()
    header = struct.pack(">IIBBBBB", edge, edge, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        png += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png


def ids(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


# --- files of posts


def test_files_that_hold_no_posts(refused, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "header.csv").write_text("posting_id,title\n")
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    (tmp_path / "posts.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + bytes(50))
    (tmp_path / "ragged.csv").write_text("posting_id,title\na,kopi\nb,teh,susu\n")
    for name, parts in {
        "missing.csv": ("missing.csv", "does not exist"),
        "empty.csv": ("empty.csv", "an empty file"),
        "header.csv": ("a header and no rows",),
        "photo.csv": ("photo.csv",),
        "posts.xlsx": ("posts.xlsx",),
        "cut.parquet": ("cut.parquet",),
        "ragged.csv": ("ragged.csv", "line 3"),
        ".": ("a folder",),
    }.items():
        refused("match", tmp_path / name, "-o", tmp_path / "run", parts=parts)
        with pytest.raises(CatalogError):
            Catalog.read(tmp_path / name)


def test_columns_that_are_not_there(refused, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "run")
    path = write(tmp_path, skunr=["a"], title=["kopi"])
    refused("match", path, *out, parts=("without a column 'posting_id'", "'skunr'"))
    path = write(tmp_path, sku=["a"], title=["kopi"])
    refused("match", path, *out, "--id", "sk", parts=("without a column 'sk'", "Nearest: 'sku'"))
    refused(
        "match",
        path,
        *out,
        "--id",
        "sku",
        "--column",
        "skul",
        parts=("without a column 'skul'", "--column. Nearest: 'sku'"),
    )
    refused("match", path, *out, "--id", "sku", "--title", "name", parts=("without a column 'name'",))
    path = write(tmp_path, posting_id=["a"], price=["3"])
    refused("match", path, *out, parts=("nothing to match posts by",))


def test_ids_that_are_empty_or_repeated(refused, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=["a", "b", "a"], title=["kopi"] * 3)
    refused("match", path, "-o", tmp_path / "run", parts=("'a' in rows 1, 3", "a different id for every post"))
    path = write(tmp_path, posting_id=["a", None], title=["kopi"] * 2)
    refused("match", path, "-o", tmp_path / "run", parts=("empty ids, in rows 2",))


def test_nothing_to_compare(refused, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=ids(3), title=["", None, "  "], image=["a.jpg", "b.jpg", None])
    refused(
        "match", path, "-o", tmp_path / "run", parts=("without titles", "at least one kind of evidence", "--images")
    )
    (tmp_path / "photos").mkdir()
    words = ("match", path, "--images", tmp_path / "photos", "-o", tmp_path / "run")
    refused(*words, parts=("holds none of the 2 photos that the posts name, such as 'a.jpg'", "--images"))
    with pytest.raises(EvidenceError):
        Matcher().match(Catalog.read(path))
    off = [word for view in ("word", "char", "title") for word in ("--set", f"{view}=false")]
    path = write(tmp_path, posting_id=ids(3), title=["kopi"] * 3)
    refused("match", path, "-o", tmp_path / "run", *off, parts=("at least one kind of evidence",))


def test_one_post_works(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=["a"], title=["kopi hitam"])
    rules = ("-m", "rules", "--set", "advanced.blend.steps=2")
    for rule, more in (("group", ()), ("threshold", rules), ("chisel", rules)):
        outcome = cli("match", path, "-o", tmp_path / rule, "--set", f"rule={rule}", *more)
        assert outcome.exit_code == 0, outcome.output
        assert (tmp_path / rule / "matches.csv").read_text(encoding="utf-8") == "posting_id,matches\na,a\n"


def test_no_titles_but_hashes_work(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=ids(3), title=["", None, " "], image_phash=[HASH, HASH, None])
    assert cli("match", path, "-o", tmp_path / "run").exit_code == 0
    assert Result.load(tmp_path / "run").groups.labels.tolist() == [0, 0, 1]


# --- photos


def test_photos_that_are_no_photos(cli: Cli, refused, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "text.jpg").write_text("<html>404 Not Found</html>")
    (photos / "empty.jpg").touch()
    (photos / "huge.png").write_bytes(png_header(30_000, 30_000))
    (photos / "folder.jpg").mkdir()
    Image.linear_gradient("L").resize((40, 40)).save(photos / "good.jpg")
    names = ["text.jpg", "empty.jpg", "huge.png", "folder.jpg", "gone.jpg", "../good.jpg", "/etc/passwd", "good.jpg"]
    path = write(tmp_path, posting_id=ids(8), title=["kopi hitam"] * 8, image=names)
    outcome = cli("match", path, "--images", photos, "-o", tmp_path / "run")
    assert outcome.exit_code == 0, outcome.output
    assert "7 damaged posts" in outcome.stdout
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["with"] == {"title": 8, "image": 6, "hash": 1, "label": 0}
    told = {row["posting_id"]: row["problem"] for row in report["problems"]["list"]}
    assert set(told) == {"p0", "p1", "p2", "p3", "p4", "p5", "p6"}
    assert "too large" in told["p2"]
    assert report["groups"] == 1  # by their titles
    missing = refused("match", path, "--images", tmp_path / "pohtos", "-o", tmp_path / "r", parts=("not a folder",))
    assert "Nearest: 'photos'" in missing


def test_a_real_photo_of_900_million_pixels_costs_no_memory(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "huge.png").write_bytes(black_png(30_000))
    path = write(tmp_path, posting_id=ids(2), title=["kopi hitam"] * 2, image=["huge.png", None])
    assert cli("match", path, "--images", tmp_path / "photos", "-o", tmp_path / "run", "-q").exit_code == 0
    assert Result.load(tmp_path / "run").report["problems"]["posts"] == 1


def test_hashes_that_are_no_hashes(cli: Cli, refused, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=ids(3), title=["kopi"] * 3, image_phash=[HASH[:15], HASH, None])
    outcome = cli("match", path, "-o", tmp_path / "run")
    assert outcome.exit_code == 0
    assert "'…' is not 16 hex digits" in outcome.stdout
    path = write(tmp_path, posting_id=ids(2), title=["kopi"] * 2, image_phash=[HASH[:15], HASH[1:]])
    refused("match", path, "-o", tmp_path / "run2", parts=("none well formed", "leading zero"))


# --- titles


def test_titles_of_every_kind(cli: Cli, tmp_path: Path) -> None:
    titles = [
        "kopi\x00 hitam",
        "kopi hitam " * 9_100,  # 100 kB
        "🔥🔥 kopi hitam 🔥",
        "קפה שחור",
        "قهوة سوداء",
        "咖啡 黑",
        "kopi hitam",
        None,
        "\u202ekopi\u202c hitam\u200b",
        "'; DROP TABLE posts; --",
        "ｋｏｐｉ　ｈｉｔａｍ",
        "NaN",
        "x" * 100_000,
        "1" * 50_000 + " kg",
    ]
    path = write(tmp_path, posting_id=ids(len(titles)), title=titles)
    outcome = cli("match", path, "-o", tmp_path / "run")
    assert outcome.exit_code == 0, outcome.output
    assert "null bytes, removed" in outcome.stdout
    result = Result.load(tmp_path / "run")
    labels = result.groups.labels
    assert labels[0] == labels[2] == labels[6] == labels[8] == labels[10]
    assert labels[3] != labels[4]
    assert "p1" in str(result.explain("p1", "p6"))


def test_missing_titles_of_pandas(tmp_path: Path) -> None:
    frame = pd.DataFrame({"posting_id": ids(4), "title": ["kopi hitam", np.nan, None, "kopi hitam"]})
    result = Matcher().match(Catalog.read(frame))
    assert result.report["with"]["title"] == 2
    assert result.groups.labels.tolist() == [0, 1, 2, 0]


def test_ten_thousand_posts_that_are_one(cli: Cli, tmp_path: Path) -> None:
    """Their 50 million pairs are never made: neither memory nor time is that of a square."""
    path = write(tmp_path, posting_id=ids(10_000), title=["kopi kapal api 165 g"] * 10_000, image_phash=[HASH] * 10_000)
    catalog = Catalog.read(path)
    tracemalloc.start()
    by_threshold = Matcher(Config.read(None, ["rule=threshold"])).match(catalog)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20  # 110 when written; a square of floats would be 381
    assert cli("match", path, "-o", tmp_path / "run", "-q").exit_code == 0
    found = Result.load(tmp_path / "run")
    for result in (found, by_threshold):
        assert len(result.pairs) < 10_000
        assert (np.diff(result.matches.offsets) == 51).all()
        assert result.groups.sizes().tolist() == [10_000]
        assert not len(result.weakest_links())
    assert "copies of one post" in str(found.explain(*found.catalog.ids[:2]))


# --- options


def test_options_that_are_refused(refused, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=ids(3), title=["kopi"] * 3)
    out = ("match", path, "-o", tmp_path / "run")
    refused(
        *out,
        "--set",
        "advanced.decide.threshold=1.5",
        parts=("advanced.decide.threshold = 1.5", "less than or equal to 1"),
    )
    refused(*out, "--set", "advanced.decide.treshold=0.5", parts=("unknown option", "Nearest: 'threshold'"))
    refused(*out, "-c", tmp_path / "none.toml", parts=("none.toml", "not there"))
    (tmp_path / "bad.toml").write_text("[advanced.blend]\nsteps = 1\n\n[advanced.blnd]\nsteps = 2\n")
    refused(*out, "-c", tmp_path / "bad.toml", parts=("unknown option 'advanced.blnd'", "Nearest: 'blend'"))
    (tmp_path / "broken.toml").write_text("[advanced.blend\n")
    refused(*out, "-c", tmp_path / "broken.toml", parts=("broken.toml", "valid TOML"))
    refused(*out, "-m", "rules", "--set", "advanced.word.n_gram=[3,1]", parts=("n_gram", "shortest <= longest"))
    refused(*out, "-m", "rules", "--set", "advanced.blend.direct.hsh=0.9", parts=("cut for view 'hsh'",))
    refused(*out, "--set", "advanced.word.k=9", parts=("advanced.word.k = 9 with the classifier", "model=rules"))
    for word, part in {
        "clip": "NAME=FILE",
        "clip=no.npy": "no.npy",
        "word=v.npy": "v.npy",
        "clip=posts.csv": ".npy or .parquet",
    }.items():
        refused(*out, "--vectors", word, parts=(part,))
    np.save(tmp_path / "v.npy", np.eye(2))
    refused(*out, "--vectors", f"clip={tmp_path / 'v.npy'}", parts=("(2, 2)", "3, one per post"))
    np.save(tmp_path / "v.npy", np.eye(3))
    refused(*out, "--vectors", f"word={tmp_path / 'v.npy'}", parts=("vectors named 'word'",))
    twice = ("--vectors", f"clip={tmp_path / 'v.npy'}")
    refused(*out, *twice, *twice, parts=("two files of vectors 'clip'",))
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY garbage")
    refused(*out, "--vectors", f"clip={tmp_path / 'v.npy'}", parts=("do not read",))
    (tmp_path / "v.parquet").write_bytes(b"PAR1 garbage")
    refused(*out, "--vectors", f"clip={tmp_path / 'v.parquet'}", parts=("do not read",))
    with pytest.raises(ConfigError):
        Config.read(None, ["advanced.decide.threshold=1.5"])


def test_more_neighbours_than_posts_work(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=ids(3), title=["kopi hitam"] * 3, image_phash=[HASH] * 3)
    many = [word for view in ("word", "char", "hash") for word in ("--set", f"advanced.{view}.k=5000")]
    assert cli("match", path, "-o", tmp_path / "run", "-m", "rules", *many).exit_code == 0
    assert Result.load(tmp_path / "run").groups.labels.tolist() == [0, 0, 0]


def test_other_commands_refuse_too(refused, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=ids(3), title=["kopi"] * 3)
    refused("evaluate", tmp_path / "none", parts=("none", "a run folder of `kembar match`"))
    refused("explain", tmp_path / "none", "a", "b", parts=("a run folder of `kembar match`",))
    words = ("tune", path, "-o", tmp_path / "model")
    refused(*words, parts=("posts without known groups", "--label"))
    refused(*words, "--pool", "fold", parts=("'fold' with method 'lightgbm'", "or method 'rules'"))
    refused(*words, "--method", "lightgmb", parts=("'lightgmb'", "Nearest: 'lightgbm'"))
    refused(*words, "--labels", tmp_path / "none.csv", parts=("none.csv",))
    refused(*words, "--method", "rules", parts=("0 known groups for 4 folds", "--label"))
    refused(*words, "--method", "rules", "--pool", "half", parts=("'half'", "'whole' or 'fold'"))
    refused(*words, "--method", "rules", "--labels", path, parts=("labelled pairs with method 'rules'",))
    refused("tune", path, "-o", tmp_path, parts=("which exists",))
    refused("label-queue", tmp_path / "none", "-o", tmp_path / "q.csv", parts=("a run folder of `kembar match`",))
    refused("match", path, "-o", tmp_path / "run", "-m", "kembar-fusr", parts=("Nearest: 'kembar-classifier'",))
    refused("synth", "-n", 0, "-o", tmp_path / "shop", parts=("n=0",))
    refused("synth", "-n", 5, "-o", tmp_path / "shop", "--size", 4, parts=("size=4",))
    refused("synth", "-n", 5, "-o", tmp_path, parts=("exists",))
    refused("config", "--set", "blnd.steps=1", parts=("Nearest: 'blend'",))


def test_questions_that_a_run_cannot_answer(cli: Cli, refused, tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=["p0", "p1", "post_17"], title=["kopi"] * 3)
    assert cli("match", path, "-o", tmp_path / "run", "-q").exit_code == 0
    refused("explain", tmp_path / "run", "p0", "post_71", parts=("'post_71', which is not in the run", "Nearest: "))
    refused("explain", tmp_path / "run", "p0", "p0", parts=("two different posts",))
    refused("evaluate", tmp_path / "run", parts=("without any group label", "--label"))
    refused("evaluate", tmp_path / "run", "-o", tmp_path / "curve", parts=("without any group label",))
    other = write(tmp_path, "truth.csv", posting_id=["x"], label_group=[1])
    refused("evaluate", tmp_path / "run", "--truth", other, parts=("none of the 3 posts",))
    refused("evaluate", tmp_path / "run", "--truth", tmp_path / "no.csv", parts=("does not exist",))


# --- where nothing can be written


def test_a_full_disk(cli: Cli, posts: pl.DataFrame, tmp_path: Path, mounted: Path) -> None:
    posts.write_csv(tmp_path / "posts.csv")
    for words in (
        ("match", tmp_path / "posts.csv", "-o", mounted / "run"),
        ("synth", "-n", 5000, "--no-photos", "-o", mounted / "shop"),
    ):
        outcome = cli(*words)
        assert outcome.exit_code == 2, outcome.output
        assert outcome.stderr.startswith("kembar: ")
        assert len(outcome.stderr.splitlines()) == 1
        assert "No space left" in outcome.stderr
        assert list(mounted.iterdir()) == []


def test_a_file_system_that_is_read_only(cli: Cli, refused, posts: pl.DataFrame, tmp_path: Path, mounted: Path) -> None:
    posts.write_csv(tmp_path / "posts.csv")
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    for command in ("match", "tune"):
        refused(command, tmp_path / "posts.csv", "-o", mounted / "run", parts=("cannot be written",))


def test_a_place_where_no_folder_can_be_made(refused, posts: pl.DataFrame, tmp_path: Path) -> None:
    posts.head(20).write_csv(tmp_path / "posts.csv")
    refused("match", tmp_path / "posts.csv", "-o", "/proc/run", parts=("cannot be written",))
    refused("match", tmp_path / "posts.csv", "-o", tmp_path / "posts.csv" / "run", parts=("cannot be written",))
    refused("match", tmp_path / "posts.csv", "-o", tmp_path / "posts.csv", parts=("which exists",))


def test_a_limit_on_the_size_of_files(cli: Cli, shop: Path, tmp_path: Path) -> None:
    """What a quota does, without the right to mount."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        outcome = cli("match", shop / "posts.csv", "-o", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert outcome.exit_code == 2, outcome.output
    assert outcome.stderr.startswith("kembar: ")
    assert len(outcome.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# --- Ctrl-C


@pytest.fixture(scope="module")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 posts: each stage of their match takes far longer than the moment after which it is interrupted."""
    path = tmp_path_factory.mktemp("thousands") / "posts.csv"
    synthesize(2000, hashes=True).posts.write_csv(path)
    return path


INTERRUPTED = """
import sys
from interrupts import interrupted
from kembar.cli.app import main

with interrupted(sys.argv.pop(1)):
    main()
"""


def was_interrupted(code: int, out: str, errors: str) -> None:
    assert code == 1, errors
    assert errors.splitlines()[-1] == "kembar: interrupted; nothing was written"
    assert "Traceback" not in errors
    assert out == ""


def test_ctrl_c_ends_the_process(thousands: Path, tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(ROOT / "tests"), os.environ.get("PYTHONPATH")]))
    words = ["blending", "-v", "match", str(thousands), "-o", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    was_interrupted(done.returncode, done.stdout, done.stderr)
    assert done.stderr.splitlines()[-2] == "INFO blending"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", ["vectors", "neighbours", "classifier"])
def test_ctrl_c(cli: Cli, thousands: Path, tmp_path: Path, stage: str, caplog: pytest.LogCaptureFixture) -> None:
    """Interrupt a match in the middle of a stage."""
    with interrupted(stage):
        outcome = cli("-v", "match", thousands, "-o", tmp_path / "run")
    was_interrupted(outcome.exit_code, outcome.stdout, outcome.stderr)
    assert caplog.messages[-1] == stage
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_of_a_run_in_parts_says_that_it_goes_on(cli: Cli, thousands: Path, tmp_path: Path) -> None:
    command = ["-v", "match", thousands, "-o", tmp_path / "run", "--memory", "500MiB"]
    with interrupted("judgements"):
        outcome = cli(*command)
    told = f"kembar: interrupted; {tmp_path / 'run.work'} keeps what is done, and the same command goes on from there"
    assert (outcome.exit_code, outcome.stderr.splitlines()[-1]) == (1, told)
    assert [path.name for path in tmp_path.iterdir()] == ["run.work"]
    assert cli(*command).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# --- text that would command a terminal or a spreadsheet


def test_titles_never_command_the_terminal_nor_a_spreadsheet(cli: Cli, refused, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J"
    titles = [f"=HYPERLINK(1) kopi hitam {evil}", f"kopi hitam\nforged\x9b31m {evil}", "kopi hitam"]
    names = ["=1+1", f"b c{evil}", "plain"]
    frame = pl.DataFrame({"posting_id": names, "title": titles, "image_phash": [HASH, f"{evil}\x9b", HASH]})
    frame.write_csv(tmp_path / "posts.csv")
    run, queue = tmp_path / "run", tmp_path / "queue.csv"
    outcomes = [
        cli("match", tmp_path / "posts.csv", "-o", run, "-m", "rules"),
        cli("explain", run, *names[:2]),
        cli("explain", run, *names[:2], "--json"),
        cli("label-queue", run, "-o", queue),
    ]
    assert [outcome.exit_code for outcome in outcomes] == [0] * 4
    for text in [*(outcome.output for outcome in outcomes), (run / "report.md").read_text(encoding="utf-8")]:
        assert not set(text) & set("\x1b\x07\x9b\r")
    assert "\nforged" not in outcomes[1].output
    assert json.loads(outcomes[2].stdout)["titles"] == titles[:2]
    refused("explain", run, f"no{evil}", "plain", parts=("which is not in the run",))
    cells = pl.read_csv(queue, infer_schema=False).select("left", "right", "left_title", "right_title").rows()
    assert cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in cells for cell in row)
    answered = pl.read_csv(queue, infer_schema=False).with_columns(same=pl.lit("1"))
    answered.write_csv(tmp_path / "answers.csv")
    assert len(read_pairs(tmp_path / "answers.csv", pl.Series(names)).left) == len(cells)
    matches = pl.read_csv(run / "matches.csv", infer_schema=False)
    assert matches["posting_id"].to_list() == names
    for cell in matches["matches"]:
        assert set(next(csv.reader([cell], delimiter=" "))) <= set(names)
