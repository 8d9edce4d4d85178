import platform
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import ConfigError, FolderError
from kembar.cluster.parts import END_POST, PART_POST, POST, START, Parts, least_memory, memory_of, parts_within
from kembar.cluster.work import Work
from kembar.memory import free_memory, give_back, let_go
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
@given(posts=st.integers(0, 10**8), memory=st.integers(0, 1 << 42), at_once=st.integers(1, 4))
def test_parts_fit_the_memory_or_it_is_refused(posts: int, memory: int, at_once: int) -> None:
    try:
        parts = parts_within(memory, posts, at_once)
    except ConfigError:
        assert memory < least_memory(posts, at_once)
        return
    assert memory >= START + posts * END_POST
    fixed, each = START + posts * POST, at_once * PART_POST
    assert fixed + -(-posts // parts) * each <= memory + each
    assert parts == 1 or fixed + posts / (parts - 1) * each > memory


@examples(50)
@given(posts=st.integers(0, 1000), number=st.integers(1, 40))
def test_every_row_is_in_one_part(posts: int, number: int) -> None:
    parts = Parts.of(posts, number)
    rows = [parts.rows(part) for part in range(len(parts))]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(posts))
    for part, own in enumerate(rows):
        assert (parts.holding(own) == part).all()
        np.testing.assert_array_equal(parts.among(part, np.arange(posts)), own)


def test_the_memory_that_is_free_is_that_of_the_machine_or_of_the_container(tmp_path: Path) -> None:
    free, proc, group = free_memory(), tmp_path / "proc", tmp_path / "group"
    assert free is None or 10 << 20 < free < 1 << 50
    proc.mkdir()
    group.mkdir()
    assert free_memory(proc, group) is None
    (proc / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    4000 kB\n")
    assert free_memory(proc, group) == 4000 << 10
    for name, told in {"max": "max", "current": str(500 << 10), "stat": f"anon 7\ninactive_file {100 << 10}\n"}.items():
        (group / f"memory.{name}").write_text(told)
    assert free_memory(proc, group) == 4000 << 10  # the container may take all
    (group / "memory.max").write_text(str(1000 << 10))
    assert free_memory(proc, group) == (1000 - 500 + 100) << 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep nothing")
def test_memory_between_blocks_in_use_is_given_back() -> None:
    def held() -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))

    give_back()
    begin, blocks = held(), [np.ones(1 << 13) for _ in range(2000)]  # 125 MiB in blocks too small to be mapped
    kept = blocks[::100]
    del blocks
    give_back()
    assert held() - begin < 40 << 20
    assert len(kept) == 20


def test_an_array_on_a_full_disk_is_refused_and_leaves_nothing(mounted: Path) -> None:
    with (
        pytest.raises(FolderError, match="No space left"),
        Work(mounted).array("large", np.float32, (100_000,)) as append,
    ):
        append(np.zeros(100_000))
    assert list(mounted.iterdir()) == []
    with Work(mounted).array("small", np.float32, (3, 2)) as append:
        append(np.full((1, 2), 7))
        append(np.full((2, 2), 8))
    assert Work(mounted).mapped("small.npy").tolist() == [[7, 7], [8, 8], [8, 8]]


def _mapped_files() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssFile:"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems say it otherwise")
def test_pages_of_a_mapped_file_are_given_back_and_read_again(tmp_path: Path) -> None:
    np.save(tmp_path / "numbers.npy", np.arange(1 << 23))  # 64 MiB
    mapped = np.asarray(np.load(tmp_path / "numbers.npy", mmap_mode="r"))
    before = _mapped_files()
    assert mapped.sum() == (1 << 22) * ((1 << 23) - 1)
    assert _mapped_files() - before > 60 << 20
    let_go(mapped[10:20])
    assert _mapped_files() - before < 8 << 20
    assert mapped[-1] == (1 << 23) - 1


def test_what_is_no_mapped_file_stays_as_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "numbers.npy", np.arange(4))
    own, changed = np.arange(4), np.load(tmp_path / "numbers.npy", mmap_mode="c")
    changed[0] = 9
    for array in (own, changed):
        let_go(array)
    assert own.tolist() == [0, 1, 2, 3]
    assert changed.tolist() == [9, 1, 2, 3]
