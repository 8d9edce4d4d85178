import csv
import io
import json
import re

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from kembar.arrays import offsets_of
from kembar.errors import visible
from kembar.grouping.matches import Matches
from kembar.posts.cells import guarded, listed, unguarded
from properties import examples

TEXT = st.lists(st.text(st.sampled_from("ab '\"=+-@\t\r\n,"), max_size=6), min_size=1, max_size=8)


@examples(100)
@given(TEXT)
def test_no_cell_is_a_formula_and_all_read_back(cells: list[str]) -> None:
    given_cells = pl.Series(cells, dtype=pl.String)
    written = guarded(given_cells)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in written)
    assert unguarded(written).to_list() == cells
    plain = [cell for cell in cells if re.match(r"[ab ]", cell)]
    assert guarded(pl.Series(plain, dtype=pl.String)).to_list() == plain


@examples(100)
@given(TEXT)
def test_lists_of_ids_read_back_whatever_ids_hold(ids: list[str]) -> None:
    ids = [f"i{row}{each}" for row, each in enumerate(ids)]
    n = len(ids)
    order = (np.arange(n)[:, None] + np.arange(n)) % n  # each list begins with its own post
    whole = Matches(offsets_of(np.full(n, n)), order.ravel())
    text = whole.frame(pl.Series(ids)).write_csv()
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [next(csv.reader(io.StringIO(cell, newline=""), delimiter=" ")) for _, cell in rows] == [
        [ids[at] for at in line] for line in order
    ]


def test_usual_ids_stay_as_they_are() -> None:
    assert listed(pl.Series(["train_12", "=1+1", "a,b", "x'y"])).to_list() == ["train_12", "=1+1", "a,b", "x'y"]


@examples(100)
@given(st.text(st.characters(max_codepoint=0x2100), max_size=20))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = visible(text)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)
    told = json.dumps({"title": text}, ensure_ascii=False)
    assert json.loads(visible(told)) == {"title": text}
