from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import ConfigError, FolderError
from kembar.cluster.parts import FEWEST, PART_POST, POST, START, Parts, memory_of, parts_within
from kembar.cluster.work import Work
from properties import examples


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("4GiB", 4 << 30), ("4 gb", 4 << 30), ("1.5g" + "ib", 3 << 29), ("800MiB", 800 << 20), ("1TiB", 1 << 40)],
)
def test_amounts(text: str, bytes_: int) -> None:
    assert memory_of(text) == bytes_


@pytest.mark.parametrize("text", ["", "4", "GiB", "-1GiB", "4 litres", "4GiB of memory"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ConfigError, match="4GiB or 800MiB"):
        memory_of(text)


@examples(50)
@given(posts=st.integers(0, 10**8), memory=st.integers(0, 1 << 42))
def test_parts_fit_the_memory_or_it_is_refused(posts: int, memory: int) -> None:
    try:
        parts = parts_within(memory, posts)
    except ConfigError:
        assert memory < START + posts * POST + FEWEST * PART_POST
        return
    fixed = START + posts * POST
    assert fixed + -(-posts // parts) * PART_POST <= memory + PART_POST
    assert parts == 1 or fixed + posts / (parts - 1) * PART_POST > memory


@examples(50)
@given(posts=st.integers(0, 1000), number=st.integers(1, 40))
def test_every_row_is_in_one_part(posts: int, number: int) -> None:
    parts = Parts.of(posts, number)
    rows = [parts.rows(part) for part in range(len(parts))]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(posts))
    for part, own in enumerate(rows):
        assert (parts.holding(own) == part).all()
        np.testing.assert_array_equal(parts.among(part, np.arange(posts)), own)


def test_an_array_takes_its_room_on_the_disk_at_once(mounted: Path) -> None:
    """Found out while it is filled, a full disk would kill the process."""
    with pytest.raises(FolderError, match="No space left"), Work(mounted).array("large", np.float32, (100_000,)):
        pytest.fail("there is no room for it")
    assert list(mounted.iterdir()) == []
    with Work(mounted).array("small", np.float32, (3, 2)) as small:
        small[:] = 7
    assert Work(mounted).mapped("small.npy").tolist() == [[7, 7]] * 3
