from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kembar
from kembar import extending
from kembar.errors import CatalogError, ConfigError
from kembar.extending import extend
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.results.result import Result

RULES = kembar.Config.read(None, ["model=rules"])


@pytest.fixture(scope="module")
def halves(posts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    shuffled = posts.sample(fraction=1, shuffle=True, seed=1)
    return shuffled[:220], shuffled[220:]


@pytest.fixture(scope="module")
def run(halves) -> Result:
    return kembar.match(halves[0], config=RULES)


@pytest.fixture(scope="module")
def extended(run: Result, halves) -> Result:
    return extend(run, Catalog.read(halves[1]))


def groups(result: Result) -> dict[str, str]:
    return dict(result.groups_frame().select("posting_id", "group_id").iter_rows())


def test_groups_keep_their_posts_and_their_names(run, extended):
    before, after = groups(run), groups(extended)
    assert {post: after[post] for post in before} == before
    assert set(after) > set(before)


def test_new_posts_join_groups_as_if_all_had_been_matched_together(halves, posts):
    first = kembar.match(halves[0])
    extended = extend(first, Catalog.read(halves[1]))
    after, before = groups(extended), set(groups(first).values())
    assert sum(after[post] in before for post in halves[1]["posting_id"]) > 30
    codes = dict(zip(posts["posting_id"], posts["label_group"].rank("dense").cast(pl.Int64), strict=True))
    labels = np.array([codes[post] for post in extended.catalog.ids])
    assert extended.scores(labels)["f1"] > kembar.match(posts).scores()["f1"] - 0.03


def test_pairs_of_old_posts_are_those_of_the_run(run, extended):
    n = len(run)
    old = extended.pairs.right < n
    assert (extended.pairs.left[old] == run.pairs.left).all()
    for name, column in run.pairs.evidence.items():
        np.testing.assert_array_equal(extended.pairs.evidence[name][old], column)
    assert (~old).any()


def test_the_order_of_new_posts_changes_nothing(run, halves, extended):
    again = extend(run, Catalog.read(halves[1].sample(fraction=1, shuffle=True, seed=9)))
    assert groups(again) == groups(extended)


@pytest.mark.parametrize("block", [1, 17])
def test_of_many_posts_new_ones_are_compared_in_blocks(run, halves, extended, monkeypatch, block: int):
    monkeypatch.setattr(extending, "_AT_ONCE", len(run))
    monkeypatch.setattr(extending, "_BLOCK", block)
    told: list[tuple[str, int, int]] = []
    found = extend(run, Catalog.read(halves[1]), progress=lambda *each: told.append(each))
    again = extend(run, Catalog.read(halves[1].sample(fraction=1, shuffle=True, seed=9)))
    assert groups(again) == groups(found)
    before, after, at_once = groups(run), groups(found), groups(extended)
    assert {post: after[post] for post in before} == before
    assert sum(after[post] == at_once[post] for post in after) >= 0.98 * len(after)
    assert list(found.pairs.evidence) == list(extended.pairs.evidence)
    assert found.catalog.ids.equals(extended.catalog.ids)
    assert ("neighbours", block, len(halves[1])) in told


def test_a_run_can_be_extended_again_and_saved(run, halves, extended, tmp_path: Path):
    first = extend(run, Catalog.read(halves[1][:40]))
    first.save(tmp_path / "first")
    second = extend(Result.load(tmp_path / "first"), Catalog.read(halves[1][40:]))
    assert set(groups(second)) == set(groups(extended))
    old = groups(first)
    assert {post: groups(second)[post] for post in old} == old


def test_copies_join_the_crowd_of_their_like(posts):
    crowd = pl.concat([posts[:1]] * 60).with_columns(
        posting_id=pl.Series([f"c{i:02}" for i in range(60)]), image_phash=pl.lit(posts["image_phash"][0])
    )
    rest = posts[50:]
    run = kembar.match(pl.concat([rest, crowd[:40]]), config=RULES)
    found = groups(extend(run, Catalog.read(crowd[40:])))
    assert len({found[post] for post in crowd["posting_id"]}) == 1


def test_what_cannot_be_extended(run, halves, posts):
    new = Catalog.read(halves[1])
    with pytest.raises(CatalogError, match="posts that are in the run already, such as"):
        extend(run, Catalog.read(posts))
    with pytest.raises(CatalogError, match="posts with sources"):
        extend(run, Catalog.read(halves[1].with_columns(shop=pl.lit("x")), columns=Columns(source="shop")))
    other = Matcher(kembar.Config.read(None, ["model=rules", "rule=threshold"])).match(Catalog.read(halves[0]))
    with pytest.raises(ConfigError, match="rule 'threshold'"):
        extend(other, new)


def test_the_command_line(cli, halves, run, tmp_path: Path):
    run.save(tmp_path / "run")
    halves[1].write_csv(tmp_path / "new.csv")
    done = cli("match", tmp_path / "new.csv", "--against", tmp_path / "run", "-o", tmp_path / "next", "-q")
    assert done.exit_code == 0, done.stderr
    assert groups(Result.load(tmp_path / "next")) == groups(extend(run, Catalog.read(halves[1])))
    refused = cli("match", tmp_path / "new.csv", "--against", tmp_path / "run", "-o", tmp_path / "x", "--set", "cut=.5")
    assert refused.exit_code == 2
    assert "--against" in refused.stderr
    assert not (tmp_path / "x").exists()
