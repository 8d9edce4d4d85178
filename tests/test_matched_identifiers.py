"""Identifiers on the whole way: from a column of codes to groups and their explanation."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, Columns, Config, Matcher, Result
from kembar.config import BY_RULES

NAMED = Columns(identifiers=("gtin",))
CODES = [f"880{number:09}" for number in range(400)]


def gtin(number: int) -> str:
    body = CODES[number]
    return body + str(-sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(body)) % 10)


@pytest.fixture(scope="module")
def shop(posts: pl.DataFrame) -> pl.DataFrame:
    """Half of the posts have the GTIN of their product."""
    group = posts["label_group"].rank("dense").to_numpy().astype(np.int64)
    known = np.random.default_rng(0).random(len(posts)) < 0.5
    codes = [gtin(number) if given else None for number, given in zip(group, known, strict=True)]
    return posts.with_columns(gtin=pl.Series(codes))


@pytest.fixture(scope="module")
def result(shop: pl.DataFrame) -> Result:
    return Matcher().match(Catalog.read(shop, columns=NAMED))


def test_they_help(shop: pl.DataFrame, result: Result) -> None:
    plain = Matcher().match(Catalog.read(shop))
    assert result.scores()["f1"] > plain.scores()["f1"]
    assert result.report["with"]["gtin"] == shop["gtin"].count()
    by_rules = Matcher(Config(model=BY_RULES))
    with_codes, without = (by_rules.match(Catalog.read(shop, columns=columns)) for columns in (NAMED, None))
    assert with_codes.scores()["f1"] > without.scores()["f1"]


def test_neither_the_order_of_rows_nor_slices_change_anything(shop: pl.DataFrame, result: Result) -> None:
    mixed = shop.sample(fraction=1, shuffle=True, seed=1)
    other = Matcher(buckets=3).match(Catalog.read(mixed, columns=NAMED))
    groups = [found.groups_frame().sort("posting_id") for found in (result, other)]
    assert groups[0].equals(groups[1])
    pairs = [found.pairs.frame(found.catalog.ids) for found in (result, other)]
    ends = [pl.concat_list("left", "right").list.sort().alias("ends"), pl.exclude("left", "right")]
    assert pairs[0].select(ends).sort("ends").equals(pairs[1].select(ends).sort("ends"))


def test_a_run_remembers_them(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "run")
    again = Result.load(tmp_path / "run")
    assert again.catalog.identifiers is not None
    equal = np.flatnonzero(again.pairs.evidence["equal gtin"] == 1)[0]
    left, right = (again.catalog.ids[int(ends[equal])] for ends in (again.pairs.left, again.pairs.right))
    told = again.explain(left, right)
    code = result.catalog.identifiers["gtin"][int(result.pairs.left[equal])]  # type: ignore[index]
    assert f"same GTIN {code}" in told.facts
    assert ("identifiers", pytest.approx(told.evidence["equal gtin_weight"], abs=1e-3)) in told.kinds()
    assert "1 where both posts have the same gtin, 0 where theirs differ" in told.text()


def matched(titles: list[str], codes: list[str | None]) -> Result:
    """Match some posts, among others that have nothing to do with them."""
    more = [f"umbra shelf model {number} oak" for number in range(20)]
    frame = pl.DataFrame({"title": [*titles, *more], "gtin": [*codes, *[None] * 18, gtin(1), gtin(2)]})
    return Matcher().match(Catalog.read(frame.with_row_index("posting_id"), columns=NAMED))


def test_a_pack_of_two_with_the_code_of_one_stays_apart() -> None:
    titles = ["acme soap rose 100 g", "acme soap rose 100 g, 1 pcs", "acme soap rose 100 g, 2 pcs"]
    found = matched(titles, [gtin(9)] * 3)
    assert found.explain("0", "1").evidence["equal gtin_weight"] > 2  # type: ignore[operator]
    assert found.explain("1", "2").evidence["similarity"] == 0  # the quantities contradict each other
    assert found.explain("0", "2").evidence["equal gtin_weight"] == 0
    labels = found.groups.labels
    assert labels[0] == labels[1] != labels[2]


def test_posts_without_a_common_word_are_candidates() -> None:
    found = matched(["acme water heater", "pemanas air merek lain"], [gtin(9)] * 2)
    assert found.explain("0", "1").evidence["equal gtin"] == 1
    assert found.explain("0", "1").evidence["word"] == 0


def test_another_code_speaks_against() -> None:
    titles = ["acme drill hammer pro 500", "acme drill hammer pro 500 new"]
    same, other = (matched(titles, [gtin(9), gtin(number)]).explain("0", "1") for number in (9, 10))
    assert same.evidence["similarity"] > 0.5 > other.evidence["similarity"]  # type: ignore[operator]
    assert f"another GTIN: 0{gtin(9)} | 0{gtin(10)}" in other.facts


def test_one_code_on_many_products_changes_nothing(posts: pl.DataFrame) -> None:
    wrong = posts.with_columns(gtin=pl.Series([gtin(9)] * 200 + [gtin(number) for number in range(100, 200)]))
    found = Matcher().match(Catalog.read(wrong, columns=NAMED))
    assert found.report["problems"]["posts"] == 200
    assert "posts of unlike titles share" in found.report["problems"]["kinds"][0]["problem"]
    assert not (found.pairs.evidence["equal gtin"] == 1).any()
    assert found.catalog.identifiers is not None
    assert found.catalog.identifiers["gtin"][0] == f"0{gtin(9)}"  # the run keeps what was given
