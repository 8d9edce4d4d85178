import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from kembar.store.rematching import renamed
from properties import examples


def test_the_greatest_overlap_keeps_the_name():
    before = pl.Series(["A", "A", "A", "B", "B"])
    assert renamed(before, np.array([0, 1, 1, 1, 0])) == {1: "A", 0: "B"}
    assert renamed(before, np.array([0, 0, 0, 0, 0])) == {0: "A"}


@examples(200)
@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(0, 4)), min_size=1, max_size=30))
def test_names_go_to_one_group_each_and_only_where_they_were(pairs):
    names, labels = pl.Series([name for name, _ in pairs]), np.array([label for _, label in pairs])
    found = renamed(names, labels)
    assert len(set(found.values())) == len(found)
    assert all((name, label) in set(pairs) for label, name in found.items())
    unchanged = np.unique(names.to_numpy(), return_inverse=True)[1]
    assert sorted(renamed(names, unchanged).values()) == sorted(set(names))
