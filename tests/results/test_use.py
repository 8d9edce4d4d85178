"""What people do with a run: tables, pages, workbooks, databases, other decisions."""

import csv
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import openpyxl
import polars as pl
import pytest
from hypothesis import given

from conftest import Cli
from kembar import (
    Catalog,
    CatalogError,
    Columns,
    Config,
    ConfigError,
    FolderError,
    Groups,
    Matcher,
    Pairs,
    Result,
    regroup,
)
from kembar.results import workbook
from kembar.results.cards import marked, side_by_side
from kembar.results.cohesion import cohesion
from kembar.results.databases import to_database
from kembar.results.export import check_target
from kembar.results.html import Html, element
from kembar.results.page import page
from kembar.results.tables import free_name
from kembar.results.workbook import to_workbook
from properties import examples

EVIL = (
    '=HYPERLINK("http://x","y") <script>alert(1)</script>',
    "</li><img src=http://x> & \u202egnp.exe",
    "kopi\x1b[31m merah",
    "+kopi @susu -1",
)


@pytest.fixture(scope="module")
def result(shop: Path) -> Result:
    columns = Columns(shown=("title", "label_group", "image"))
    return Matcher().match(Catalog.read(shop / "posts.csv", images=shop / "photos", columns=columns))


@pytest.fixture(scope="module")
def evil() -> Result:
    """Posts whose ids and titles are out to do harm."""
    ids = ["=1+1", "-2", "@x", "+3", "007", "a b"]
    frame = pl.DataFrame(
        {"posting_id": ids, "title": [*EVIL, EVIL[2], EVIL[3]], "Size": ["-1", "L", "", "=A1", "x", "y"]}
    )
    return Matcher(Config.read(None, ["model=rules"])).match(
        Catalog.read(frame, columns=Columns(shown=("title", "Size")))
    )


# --- how sure a group is


@examples(60)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=7), st.data())
def test_cohesion_is_that_of_the_slow_twin(given_groups: list[int], data: st.DataObject) -> None:
    n = len(given_groups)
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    chosen = [pair for pair in every if data.draw(st.booleans())]
    p = [data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])) for _ in chosen]
    left, right = (np.array([pair[end] for pair in chosen], dtype=np.int64) for end in (0, 1))
    pairs = Pairs(left, right, {"similarity": np.array(p, dtype=np.float32)})
    ids = pl.Series([f"p{(7 * row) % 11}" for row in range(n)])
    groups = Groups.of(np.array(given_groups), ids)
    copies = np.array([min(r for r in range(row + 1) if r == row or data.draw(st.booleans())) for row in range(n)])
    copies = np.where(groups.labels[copies] == groups.labels, copies, np.arange(n))
    copies = np.where(copies[copies] == copies, copies, np.arange(n))
    found = cohesion(pairs, groups.labels, copies, ids)
    for group, row in enumerate(found.iter_rows(named=True)):
        own = [post for post in range(n) if groups.labels[post] == group and copies[post] == post]
        known = {
            pair: value for pair, value in zip(chosen, p, strict=True) if {groups.labels[e] for e in pair} == {group}
        }
        count = len(own) * (len(own) - 1) / 2
        mean = None if len(own) < 2 else round(sum(known.values()) / count, 4)
        assert row["mean_similarity"] == (mean if mean is None else pytest.approx(mean, abs=1e-4))
        ends = sorted((value, *sorted((ids[i], ids[j]))) for (i, j), value in known.items())
        weakest = ends[0] if ends else (None, None, None)
        assert (row["weakest_similarity"], row["weakest_left"], row["weakest_right"]) == weakest


def test_no_order_of_rows_changes_what_is_said_of_groups(result: Result) -> None:
    turned = Matcher().match(result.catalog.take(np.arange(len(result))[::-1]))
    assert turned.groups_frame().sort("posting_id").equals(result.groups_frame().sort("posting_id"))


# --- groups.csv


def test_groups_have_the_columns_that_were_asked_for(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "run")
    groups = pl.read_csv(tmp_path / "run" / "groups.csv", infer_schema=False)
    assert groups.columns[3:] == [
        *("mean_similarity", "weakest_similarity", "weakest_left", "weakest_right", "title", "label_group", "image")
    ]
    assert groups["title"].fill_null("").to_list() == result.catalog.titles.to_list()
    alone = groups.filter(pl.col("size") == "1")
    assert alone["mean_similarity"].null_count() == len(alone)
    lists = pl.read_parquet(tmp_path / "run" / "matches.parquet")
    assert lists["image"].to_list() == result.catalog.images.to_list()
    again = Result.load(tmp_path / "run")
    assert again.groups_frame().equals(result.groups_frame())
    again.save(tmp_path / "again")
    for path in (tmp_path / "run").iterdir():
        if path.is_file():
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_formulas_are_defused_in_files_for_spreadsheets_alone(evil: Result, tmp_path: Path) -> None:
    evil.save(tmp_path / "run")
    with (tmp_path / "run" / "groups.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert not [cell for row in rows for cell in row.values() if re.match(r"[=+@\t\r]|-\D|-.*\D", cell)]
    assert [row["posting_id"] for row in rows] == ["'=1+1", "'-2", "'@x", "'+3", "007", "a b"]
    assert [row["input_Size"] for row in rows] == ["'-1", "L", "", "'=A1", "x", "y"]
    lists = pl.read_parquet(tmp_path / "run" / "matches.parquet")
    assert lists["posting_id"].to_list() == evil.catalog.ids.to_list()
    assert lists["title"].to_list() == evil.catalog.titles.to_list()
    plain = replace(evil, catalog=replace(evil.catalog, shown=None))
    plain.save(tmp_path / "plain")
    assert pl.read_csv(tmp_path / "plain" / "groups.csv", infer_schema=False)["posting_id"].to_list()[0] == "=1+1"


def test_with_names_columns(cli: Cli, tmp_path: Path) -> None:
    frame = pl.DataFrame({"posting_id": ["a", "b"], "name": ["kopi", "teh"], "x,y": [1.5, None], "day": ["1", "2"]})
    frame.write_csv(tmp_path / "posts.csv")
    words = ("match", tmp_path / "posts.csv", "-o", tmp_path / "run", "--title", "name", "-q")
    done = cli(*words, "--with", 'title,"x,y"', "--with", "day,title")
    assert done.exit_code == 0, done.output
    groups = pl.read_csv(tmp_path / "run" / "groups.csv", infer_schema=False)
    assert groups.columns[-3:] == ["title", "x,y", "day"]
    assert groups["title"].to_list() == ["kopi", "teh"]
    assert groups["x,y"].to_list() == ["1.5", ""]
    refused = cli(*words, "--overwrite", "--with", "dya")
    assert refused.exit_code == 2
    assert "'dya'" in refused.stderr
    assert "'day'" in refused.stderr
    listed = frame.with_columns(more=pl.Series([["a"], ["b"]]))
    with pytest.raises(ValueError, match=r"'more' of type List\(String\) to show"):
        Catalog.read(listed, columns=Columns(title="name", shown=("more",)))


def test_a_name_that_is_taken_gets_another() -> None:
    assert free_name("Size", ["size"]) == "input_Size"
    assert free_name("size", ["size", "INPUT_SIZE"]) == "input_input_size"
    assert free_name("price", ["size"]) == "price"


# --- report.html


class _Page(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_and_small(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "run")
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    seen = _Page(text)
    assert seen.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in seen.addresses)
    assert not {"script", "link", "iframe", "object"} & set(seen.tags)
    assert {"svg", "mark", "article", "h2"} <= set(seen.tags)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert len(text) < 5_000_000
    assert "The most doubtful groups" in seen.words
    assert len([tag for tag in seen.tags if tag == "article"]) <= 24


def test_the_page_is_bounded(result: Result) -> None:
    many = pl.DataFrame(
        {
            "posting_id": [f"{at:0300}" for at in range(800)],
            "title": [f"kopi {at // 20} {'x ' * 3000}" for at in range(800)],
        }
    )
    found = Matcher(Config.read(None, ["model=rules"])).match(Catalog.read(many))
    assert len(page(found, "<svg></svg>")) < 500_000
    assert len(found._repr_html_()) < 100_000


def test_nothing_in_a_title_is_markup(evil: Result) -> None:
    for text in (page(evil, "<svg></svg>"), evil._repr_html_()):
        seen = _Page(text)
        assert "script" not in seen.tags
        assert not seen.addresses
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert "<script>alert(1)</script>" in "".join(_Page(page(evil, "<svg></svg>")).words)


@examples(100)
@given(st.text(), st.text())
def test_text_in_elements_is_text(inside: str, value: str) -> None:
    made = element("p", inside, title=value)
    seen = _Page(made)
    assert seen.tags == ["p"]
    assert element("p", Html("<b>x</b>")) == "<p><b>x</b></p>"


def test_what_differs_is_marked() -> None:
    first, second = marked(["Kopi Susu 250 ml", "kopi SUSU  500 ml"])
    assert first == "Kopi Susu <mark>250</mark> ml"
    assert second == "kopi SUSU  <mark>500</mark> ml"
    assert marked(["a b", "a b", "a c"])[2] == "a <mark>c</mark>"
    assert marked([""]) == [""]
    assert marked(["韩版帽子 女", "韩版鞋子 女"])[0] == "韩版<mark>帽</mark>子 女"  # each sign is a word


def test_photos_that_were_set_aside_are_shown(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(shop / "photos", tmp_path / "photos")
    posts = pl.read_csv(shop / "posts.csv").drop("image_phash", strict=False)
    first = posts["image"][0]
    shared = posts.with_columns(image=pl.when(pl.arange(len(posts)) % 3 == 0).then(pl.lit(first)).otherwise("image"))
    broken = shared.with_columns(image=pl.when(pl.arange(len(posts)) == 1).then(pl.lit("gone.jpg")).otherwise("image"))
    found = Matcher(Config.read(None, ["model=rules"])).match(Catalog.read(broken, images=tmp_path / "photos"))
    text = page(found, "<svg></svg>")
    assert "Photos and titles that were set aside" in text
    assert "20 posts: a photo (hash" in text
    assert "gone.jpg" in text
    assert "damaged posts" in text


def test_a_result_says_what_to_do_next(result: Result, evil: Result) -> None:
    for each in (result, evil):
        lines = repr(each).splitlines()
        assert len(lines) == 3
        assert f"{len(each)} posts" in lines[0]
    assert result._repr_html_().count("data:image/jpeg") > 5
    assert len(result._repr_html_()) < 300_000


def test_posts_side_by_side_in_a_notebook(result: Result, evil: Result) -> None:
    ids = list(result.catalog.ids)
    shown = side_by_side(result, ids[:2])
    assert shown._repr_html_() == shown
    assert shown.count("data:image/jpeg") == 2
    assert all(each in shown for each in ids[:2])
    assert side_by_side(result, ids).count("<img") == 8
    with pytest.raises(CatalogError, match="'nobody', which is not in the run"):
        side_by_side(result, ["nobody"])
    assert "script" not in _Page(side_by_side(evil, list(evil.catalog.ids))).tags


# --- a workbook


def test_the_workbook(result: Result, tmp_path: Path) -> None:
    to_workbook(result, tmp_path / "run.xlsx")
    book = openpyxl.load_workbook(tmp_path / "run.xlsx")
    assert book.sheetnames == ["Groups", "Doubtful pairs", "Figures"]
    rows = list(book["Groups"].iter_rows(values_only=True))
    names = [rows[0].index(name) for name in ("group_id", "size", "posting_id", "title", "label_group")]
    assert sorted(row[names[2]] for row in rows[1:]) == sorted(result.catalog.ids)
    sizes = [row[names[1]] for row in rows[1:]]
    assert sizes == sorted(sizes, reverse=True)
    colors = [row[names[0]].fill.fgColor.rgb for row in book["Groups"].iter_rows(min_row=2)]
    groups = [row[names[0]] for row in rows[1:]]
    assert all((a == b) == (one == two) for a, b, one, two in zip(groups, groups[1:], colors, colors[1:], strict=False))
    pictures = [name for name in zipfile.ZipFile(tmp_path / "run.xlsx").namelist() if name.startswith("xl/media/")]
    assert len(pictures) > 40
    assert book["Doubtful pairs"].max_row > 5
    assert all(book[name].print_title_rows == "$1:$1" for name in book.sheetnames[:2])  # on each page of paper
    assert "60 posts" in book["Figures"]["A1"].value


def test_text_in_a_workbook_is_text(evil: Result, tmp_path: Path) -> None:
    to_workbook(evil, tmp_path / "run.xlsx")
    book = openpyxl.load_workbook(tmp_path / "run.xlsx")
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert not [cell for cell in cells if cell.data_type == "f" or cell.hyperlink]
    assert {"007", "=1+1", "-2"} <= {cell.value for cell in cells if cell.data_type == "s"}


def test_more_rows_than_a_sheet_has(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "ROWS", 25)  # of the format itself it would be a million posts
    to_workbook(result, tmp_path / "run.xlsx")
    book = openpyxl.load_workbook(tmp_path / "run.xlsx")
    assert book.sheetnames[:3] == ["Groups", "Groups 2", "Groups 3"]
    assert sum(book[name].max_row - 1 for name in book.sheetnames[:3]) == 60


# --- a database


def _read(target: str, sql: str) -> list[tuple[object, ...]]:
    kind = target.partition(":")[0]
    module = {"duckdb": "adbc_driver_duckdb", "sqlite": "adbc_driver_sqlite"}.get(kind, "adbc_driver_postgresql")
    driver = pytest.importorskip(f"{module}.dbapi")
    address = target.partition(":")[2] if kind in ("duckdb", "sqlite") else target
    with driver.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return pl.DataFrame(cursor.fetch_arrow()).rows()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of Debian's PostgreSQL, on a socket of its own."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not homes:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # the path of a socket must be short
    user = ["su", "postgres", "-c"] if os.geteuid() == 0 else ["sh", "-c"]
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    programs = homes[-1].parent
    make = f"{programs}/initdb -D {folder}/data -U postgres -A trust"
    start = f"{programs}/pg_ctl -D {folder}/data -l {folder}/log -w -o '-k {folder} -h \"\"' start"
    subprocess.run([*user, make], check=True, capture_output=True)
    subprocess.run([*user, start], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"postgresql:///postgres?host={folder}&user=postgres"
    subprocess.run([*user, f"{programs}/pg_ctl -D {folder}/data -m fast stop"], check=True, capture_output=True)
    shutil.rmtree(folder)


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return f"{request.param}:{tmp_path / 'run.db'}"


def test_tables_in_a_database(result: Result, target: str) -> None:
    to_database(result, target, overwrite=True)
    counted = {
        name: _read(target, f"SELECT COUNT(*) FROM {name}")[0][0] for name in ("posts", "groups", "matches", "pairs")
    }
    assert counted == {
        "posts": 60,
        "groups": len(result.groups),
        "matches": len(result.matches.rows) - 60,
        "pairs": len(result.pairs),
    }
    found = _read(target, "SELECT posting_id, group_id, title FROM posts ORDER BY posting_id")
    frame = result.groups_frame().sort("posting_id")
    assert [row[:2] for row in found] == frame.select("posting_id", "group_id").rows()
    joined = "SELECT COUNT(*) FROM pairs JOIN posts a ON a.posting_id = left_id JOIN posts b ON b.posting_id = right_id"
    assert _read(target, f"{joined} WHERE a.group_id = b.group_id AND similarity >= 0")[0][0] == int(
        (result.groups.labels[result.pairs.left] == result.groups.labels[result.pairs.right]).sum()
    )
    first = _read(target, "SELECT match_id FROM matches WHERE posting_id = 'post_0000000' ORDER BY rank")
    row = result.catalog.ids.index_of("post_0000000")
    assert [post for (post,) in first] == result.catalog.ids.gather(result.matches[row]).to_list()[1:]
    with pytest.raises(FolderError, match=r"a table 'kembar_run'.*overwrite=True"):
        to_database(result, target)


def test_a_database_that_refuses_half_way_keeps_nothing(result: Result, target: str) -> None:
    to_database(result, target, overwrite=True)
    doubled = replace(result, pairs=Doubled(result.pairs))
    with pytest.raises(FolderError, match="refused the tables"):
        to_database(doubled, target, overwrite=True)
    assert _read(target, "SELECT COUNT(*) FROM pairs")[0][0] == len(result.pairs)
    if not target.startswith("postgres"):
        new = target.replace("run.db", "new.db")
        with pytest.raises(FolderError, match="nothing was written"):
            to_database(doubled, new)
        assert [path.name for path in Path(new.partition(":")[2]).parent.iterdir()] == ["run.db"]


class Doubled(Pairs):
    """Pairs one of which is there twice, which no key allows: a database meets them last."""

    def __init__(self, pairs: Pairs) -> None:
        for name in ("left", "right", "evidence"):
            object.__setattr__(self, name, getattr(pairs, name))

    def frame(self, ids: pl.Series) -> pl.DataFrame:
        frame = super().frame(ids)
        return pl.concat([frame, frame.head(1)])


def test_tables_of_others_are_left_alone(evil: Result, target: str) -> None:
    if target.startswith("postgres"):
        pytest.skip("its schema is shared by these tests")
    kind, _, path = target.partition(":")
    driver = pytest.importorskip(f"adbc_driver_{kind}.dbapi")
    with driver.connect(path) as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE posts (mine TEXT)")
            cursor.execute("CREATE TABLE other (mine TEXT)")
        connection.commit()
    with pytest.raises(FolderError, match="a table 'posts'") as caught:
        to_database(evil, target, overwrite=True)
    assert "--overwrite" not in str(caught.value)
    with driver.connect(path) as connection:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE posts")
        connection.commit()
    to_database(evil, target)
    assert _read(target, "SELECT COUNT(*) FROM other") == [(0,)]
    assert {row[0] for row in _read(target, "SELECT posting_id FROM posts")} == set(evil.catalog.ids)
    assert {row[0] for row in _read(target, 'SELECT "Size" FROM posts')} == {"-1", "L", "", "=A1", "x", "y"}


def test_what_is_no_database_is_kept(evil: Result, tmp_path: Path) -> None:
    for kind in ("sqlite", "duckdb"):
        (tmp_path / "thesis.txt").write_text("years of work " * 100)
        with pytest.raises(FolderError, match="refused"):
            to_database(evil, f"{kind}:{tmp_path / 'thesis.txt'}", overwrite=True)
        assert (tmp_path / "thesis.txt").read_text() == "years of work " * 100
    with pytest.raises(FolderError, match="refused") as caught:
        to_database(evil, f"postgresql://me:secret@127.0.0.1:1/{'x'}?connect_timeout=1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("target", ["run.csv", "mysql://x", "sqlite:", "duckdb:", "", "xlsx"])
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(ConfigError, match=r"FILE\.xlsx, duckdb:FILE, sqlite:FILE or postgresql"):
        check_target(target)


def test_export_from_the_command_line(cli: Cli, result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "run")
    for to in (str(tmp_path / "run.xlsx"), f"sqlite:{tmp_path / 'run.db'}"):
        done = cli("export", tmp_path / "run", "--to", to)
        assert (done.exit_code, done.stdout) == (0, f"Wrote {to}\n"), done.output
        assert cli("export", tmp_path / "run", "--to", to).exit_code == 2
        assert cli("export", tmp_path / "run", "--to", to, "--overwrite", "-q").stdout == ""
    assert cli("export", tmp_path / "run", "--to", "run.ods").exit_code == 2


# --- other decisions


SETTINGS = [
    ["cut=0.9"],
    ["rule=threshold", "advanced.decide.threshold=0.5"],
    ["rule=chisel"],
    ["rule=expected", "advanced.decide.mutual=true"],
    ["target_size=3"],
    ["cut=0.95", "single=0.3", "advanced.decide.cap=3"],
    ["advanced.group.link=any"],
]


@pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)
@pytest.mark.parametrize("model", ["kembar-classifier", "rules"])
def test_regrouped_as_if_run_again(catalog: Catalog, settings: list[str], model: str, tmp_path: Path) -> None:
    some = catalog.take(np.random.default_rng(1).permutation(len(catalog))[:120])
    frame = some.frame()
    copies = pl.concat([frame, *(frame.head(1).with_columns(posting_id=pl.lit(f"copy{at}")) for at in range(30))])
    posts = Catalog.read(copies)
    run = Matcher(Config.read(None, [f"model={model}"])).match(posts)
    run.save(tmp_path / "run")
    found = regroup(Result.load(tmp_path / "run"), settings)
    # The cuts of rules hold for the pool: a run with the run's own configuration, and these options.
    expected = Matcher(Config.read(tmp_path / "run" / "config.toml", settings)).match(posts)
    assert found.groups.ids.equals(expected.groups.ids)
    assert (found.groups.labels == expected.groups.labels).all()
    assert (found.matches.rows == expected.matches.rows).all()
    assert (found.matches.offsets == expected.matches.offsets).all()
    assert found.config == expected.config
    found.save(tmp_path / "other")
    assert Result.load(tmp_path / "other").report["groups"] == expected.report["groups"]


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("veto=false", "veto"),
        ("word=false", "word"),
        ("variants=together", "variants"),
        ("advanced.blend.steps=2", "advanced.blend.steps"),
        ("advanced.group.cut=0.3", "advanced.group.cut"),
        ("model=rules", "model"),
    ],
)
def test_options_of_the_evidence_are_refused_by_name(result: Result, setting: str, named: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{re.escape(named)} = .*options that only decide"):
        regroup(result, [setting])


def test_regroup_from_the_command_line(cli: Cli, result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "run")
    done = cli("regroup", tmp_path / "run", "--set", "cut=0.99", "-o", tmp_path / "other")
    assert done.exit_code == 0, done.output
    assert f"Wrote {tmp_path / 'other'}" in done.stdout
    assert len(Result.load(tmp_path / "other").groups) >= len(result.groups)
    assert cli("regroup", tmp_path / "run", "--set", "photo=false", "-o", tmp_path / "x").exit_code == 2
    assert not (tmp_path / "x").exists()
    assert cli("regroup", tmp_path / "run", "--set", "cut=auto", "-o", tmp_path / "same", "-q").exit_code == 0
    for name in (
        "groups.csv",
        "matches.csv",
        "matches.parquet",
        "pairs.parquet",
        "catalog/catalog.parquet",
        "report.html",
    ):
        assert (tmp_path / "same" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    assert Result.load(tmp_path / "same").catalog.fingerprint() == result.catalog.fingerprint()
    old = pl.read_parquet(tmp_path / "run" / "matches.parquet").drop("cut_off")
    old.write_parquet(tmp_path / "run" / "matches.parquet")
    refused = cli("regroup", tmp_path / "run", "--set", "cut=0.9", "-o", tmp_path / "y")
    assert refused.exit_code == 2
    assert "older version" in refused.stderr
