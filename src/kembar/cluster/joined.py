"""The pairs of all parts as one table, in files that are mapped: what is not looked at costs no memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kembar.arrays import Rows, offsets_of, slices
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

    bounds = offsets_of(np.array([len(pairs) for pairs in each()]))
    names: list[str] = []
    with ExitStack() as stack:
        files: list[npt.NDArray[Any]] = []
        for at, pairs in enumerate(each()):
            columns: list[npt.NDArray[Any]] = [pairs.left, pairs.right, *pairs.evidence.values()]
            names = list(pairs.evidence)
            for column in columns[len(files) :]:
                array = shared.work.array(f"{name}-{len(files)}", column.dtype, (int(bounds[-1]),))
                files.append(stack.enter_context(array))
            for file, column in zip(files, columns, strict=True):
                file[bounds[at] : bounds[at + 1]] = column
    return _mapped(shared.work, name, names)


def of_other_rows(work: Work, name: str, pairs: Pairs, rows: Rows) -> Pairs:
    """Give pairs other rows, as `kembar.outcome.of_rows` does.

    Args:
        work: where the files go.
        name: of the files, without their suffix.
        pairs: m of them.
        rows: (n,) int64, one for each of the n posts that they are between.

    Returns:
        The pairs, in order.
    """
    n, parts = int(rows.max(initial=0)) + 1, slices(len(pairs), _PAIRS)
    key = np.empty(len(pairs), dtype=np.int64)
    for part in parts:
        one, other = rows[pairs.left[part]], rows[pairs.right[part]]
        key[part] = np.minimum(one, other) * n + np.maximum(one, other)
    order = np.argsort(key)
    key.sort()
    work.stack(f"{name}-0", (key[part] // n for part in parts), len(pairs))
    work.stack(f"{name}-1", (key[part] % n for part in parts), len(pairs))
    for at, column in enumerate(pairs.evidence.values(), start=2):
        work.stack(f"{name}-{at}", (column[order[part]] for part in parts), len(pairs))
    return _mapped(work, name, list(pairs.evidence))


def _mapped(work: Work, name: str, evidence: list[str]) -> Pairs:
    left, right, *columns = (work.mapped(f"{name}-{at}.npy") for at in range(2 + len(evidence)))
    return Pairs(left, right, dict(zip(evidence, columns, strict=True)))
