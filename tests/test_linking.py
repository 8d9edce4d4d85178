from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kembar
from kembar.errors import CatalogError, EvidenceError
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.results.links import links_frame

RULES = kembar.Config.read(None, ["model=rules"])


@pytest.fixture
def sides(posts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every other post; ids of the two overlap."""
    ids = pl.Series("posting_id", [f"{row // 2:04}" for row in range(len(posts))])
    named = posts.with_columns(ids)
    return named[::2], named[1::2]


def test_links_are_across_alone_and_mostly_right(sides):
    left, right = sides
    result = kembar.link(left, right, kind="many-to-many")
    sources = result.catalog.sources
    assert sources is not None
    a, b = result.matches.edges()
    assert not (sources.gather(a) == sources.gather(b)).any()
    links = result.links_frame()
    assert len(links) > 50
    mine, theirs = (dict(frame.select("posting_id", "label_group").iter_rows()) for frame in sides)
    assert np.mean([mine[i] == theirs[j] for i, j in links.select("left_id", "right_id").iter_rows()]) > 0.6
    titles = dict(left.select("posting_id", "title").iter_rows())
    assert links["left_title"].to_list() == [titles[name] for name in links["left_id"]]


@pytest.mark.parametrize(("kind", "once"), [("one-to-one", ("left_id", "right_id")), ("one-to-many", ("right_id",))])
def test_a_limited_post_links_once(sides, kind, once):
    links = kembar.link(*sides, kind=kind, config=RULES).links_frame()
    for end in once:
        assert links[end].is_unique().all()
    assert links["probability"].min() > 0


def test_links_of_a_left_post_come_best_first_in_the_order_of_the_left_file(sides):
    left, right = sides
    links = kembar.link(left, right, kind="many-to-many", config=RULES).links_frame()
    place = {name: row for row, name in enumerate(left["posting_id"])}
    keys = [(place[name], -p) for name, p in links.select("left_id", "probability").iter_rows()]
    assert keys == sorted(keys)


def test_the_order_of_rows_changes_no_link(sides):
    left, right = sides
    shuffled = left.sample(fraction=1, shuffle=True, seed=1), right.sample(fraction=1, shuffle=True, seed=2)
    found = [kembar.link(*both, config=RULES).links_frame().sort("left_id", "right_id") for both in (sides, shuffled)]
    assert found[0].equals(found[1])


def test_posts_of_one_catalogue_are_never_compared(sides):
    result = kembar.link(*sides, config=RULES)
    codes = result.catalog.sources.rank("dense").to_numpy()
    assert (codes[result.pairs.left] != codes[result.pairs.right]).all()


def test_a_catalogue_to_link_is_one_source(sides):
    left, right = sides
    given = Catalog.read(left.with_columns(shop=pl.lit("x")), columns=Columns(source="shop"))
    with pytest.raises(CatalogError, match="a column of sources in a catalogue to link"):
        kembar.link(given, right)


def test_other_runs_have_no_links(posts):
    result = kembar.match(posts, config=RULES)
    with pytest.raises(EvidenceError, match="posts of 0 sources"):
        links_frame(result.catalog, result.pairs, result.matches)


def test_match_keeps_posts_of_one_source_apart(posts):
    """A third of the labelled pairs are in one shop here: they are what is lost, and all that is lost."""
    shops = pl.Series("shop", [f"shop {row % 3}" for row in range(len(posts))])
    kinds = posts.with_columns(shops, kind=pl.lit("all"))
    columns = Columns(source="shop", within="kind")
    groups = Matcher(RULES).match(Catalog.read(kinds, columns=columns)).groups_frame()
    held = groups.with_columns(shops).group_by("group_id").agg(pl.col("shop").is_duplicated().any())
    assert not held["shop"].any()
    assert groups["size"].max() == 3


def test_categories_part_posts_however_alike(posts):
    double = pl.concat([posts, posts.with_columns(posting_id=pl.col("posting_id") + "-again")])
    kinds = pl.Series("kind", ["a"] * len(posts) + ["b"] * len(posts))
    catalog = Catalog.read(double.with_columns(kinds), columns=Columns(within="kind"))
    groups = Matcher(RULES).match(catalog).groups_frame().with_columns(kinds)
    assert (groups.group_by("group_id").agg(pl.col("kind").n_unique())["kind"] == 1).all()
    mixed = Matcher(RULES).match(Catalog.read(double)).groups_frame().with_columns(kinds)
    assert (mixed.group_by("group_id").agg(pl.col("kind").n_unique())["kind"] == 2).all()


def test_the_command_line_writes_links(cli, sides, tmp_path: Path):
    left, right = sides
    left.write_csv(tmp_path / "mine.csv")
    right.rename({"title": "name"}).write_csv(tmp_path / "theirs.csv")
    run = tmp_path / "links"
    done = cli(
        "link", tmp_path / "mine.csv", tmp_path / "theirs.csv", "-o", run, "--right-title", "name", "-m", "rules"
    )
    assert done.exit_code == 0, done.stderr
    links = pl.read_csv(run / "links.csv", infer_schema=False)
    assert links.columns == ["left_id", "right_id", "probability", "left_title", "right_title"]
    assert f"with {len(links):,} links" in done.stdout
    for name, frame, end in (("left", left, "left_id"), ("right", right, "right_id")):
        rest = pl.read_csv(run / f"unmatched-{name}.csv", infer_schema=False)
        assert set(rest["id"]) | set(links[end]) == set(frame["posting_id"])
        assert not set(rest["id"]) & set(links[end])
    told = cli("explain", run, f"left/{links['left_id'][0]}", f"right/{links['right_id'][0]}")
    assert told.exit_code == 0
    assert "a post of the second catalogue takes its most probable link alone" in " ".join(told.stdout.split())
    own = cli("explain", run, f"left/{links['left_id'][0]}", f"left/{left['posting_id'][5]}")
    assert "posts of one source" in " ".join(own.stdout.split())


def test_an_unknown_kind_is_one_line(cli, sides, tmp_path: Path):
    for name, frame in zip(("mine", "theirs"), sides, strict=True):
        frame.write_csv(tmp_path / f"{name}.csv")
    done = cli("link", tmp_path / "mine.csv", tmp_path / "theirs.csv", "-o", tmp_path / "run", "--kind", "many")
    assert done.exit_code == 2
    assert "kind = 'many'" in done.stderr
    assert "one-to-many" in done.stderr
    assert "'group'" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_titles_in_links_are_no_formulas(sides, tmp_path: Path):
    left, right = (frame.with_columns(title=pl.lit("=1+1 ") + pl.col("title")) for frame in sides)
    result = kembar.link(left, right, config=RULES)
    result.save(tmp_path / "links")
    for name, column in (("links.csv", "left_title"), ("unmatched-right.csv", "title")):
        titles = pl.read_csv(tmp_path / "links" / name, infer_schema=False)[column]
        assert len(titles)
        assert titles.str.starts_with("'=").all()
    assert result.links_frame()["left_title"].str.starts_with("=").all()
