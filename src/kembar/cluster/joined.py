"""The pairs of all parts as one table, in files that are mapped: what is not looked at costs no memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kembar.arrays import Rows, slices
from kembar.cluster.shared import Shared
from kembar.cluster.verdicts import final_pairs
from kembar.cluster.work import Work
from kembar.evidence.pairs import Pairs

_PAIRS: Final = 1 << 20  # pairs that are moved at once: bounds the memory


def joined(shared: Shared, name: str, chosen: Callable[[Pairs], Pairs]) -> Pairs:
    """Put pairs of all parts one behind the other.

    Args:
        shared: the run.
        name: of the files, without their suffix.
        chosen: which pairs of a part, and which evidence of them; asked twice for each part.

    Returns:
        The pairs, in order.
    """

    def each() -> Iterator[Pairs]:
        return (chosen(final_pairs(shared, part)) for part in range(len(shared.parts)))

    total = sum(len(pairs) for pairs in each())
    names: list[str] = []
    with ExitStack() as stack:
        files: list[Callable[[npt.NDArray[Any]], object]] = []
        for pairs in each():
            columns: list[npt.NDArray[Any]] = [pairs.left, pairs.right, *pairs.evidence.values()]
            names = list(pairs.evidence)
            for column in columns[len(files) :]:
                array = shared.work.array(f"{name}-{len(files)}", column.dtype, (total,))
                files.append(stack.enter_context(array))
            for append, column in zip(files, columns, strict=True):
                append(column)
    return _mapped(shared.work, name, names)


def of_other_rows(work: Work, source: str, name: str, evidence: Sequence[str], rows: Rows) -> Pairs:
    """Give pairs other rows, as `kembar.outcome.of_rows` does; one column at a time is mapped.

    Args:
        work: where the files are.
        source: of the m pairs, as `joined` was told.
        name: of the files to make.
        evidence: the columns of the pairs.
        rows: (n,) int64, one for each of the n posts that they are between.

    Returns:
        The pairs, in order.
    """
    n, key = int(rows.max(initial=0)) + 1, _keys(work, source, rows)
    order, parts = np.argsort(key), slices(len(key), _PAIRS)
    key.sort()
    work.stack(f"{name}-0", (key[part] // n for part in parts), len(key))
    work.stack(f"{name}-1", (key[part] % n for part in parts), len(key))
    del key
    for at in range(2, 2 + len(evidence)):
        column = work.mapped(f"{source}-{at}.npy")
        work.stack(f"{name}-{at}", (column[order[part]] for part in parts), len(order))
    return _mapped(work, name, evidence)


def _keys(work: Work, source: str, rows: Rows) -> Rows:
    """Number pairs by their rows, the smaller one first: (m,) int64."""
    left, right = (work.mapped(f"{source}-{at}.npy") for at in (0, 1))
    n, key = int(rows.max(initial=0)) + 1, np.empty(len(left), dtype=np.int64)
    for part in slices(len(key), _PAIRS):
        one, other = rows[left[part]], rows[right[part]]
        key[part] = np.minimum(one, other) * n + np.maximum(one, other)
    return key


def _mapped(work: Work, name: str, evidence: Sequence[str]) -> Pairs:
    left, right, *columns = (work.mapped(f"{name}-{at}.npy") for at in range(2 + len(evidence)))
    return Pairs(left, right, dict(zip(evidence, columns, strict=True)))
