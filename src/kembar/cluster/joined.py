"""The pairs of all parts as one table, in files that are mapped: what is not looked at costs no memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from kembar.arrays import Rows
from kembar.cluster.shared import Shared
from kembar.cluster.verdicts import final_pairs
from kembar.evidence.pairs import Pairs

_ENDS = ("left", "right")


def joined(shared: Shared, name: str, chosen: Callable[[Pairs], Pairs], rows: Rows | None = None) -> Pairs:
    """Put pairs of all parts into one table.

    Args:
        shared: the run.
        name: of the files, without their suffix.
        chosen: which pairs of a part, and which evidence of them; asked twice for each part.
        rows: (n,) other rows for the posts; None: they keep theirs.

    Returns:
        The pairs, in order.
    """
    n = 0 if rows is None else int(rows.max(initial=-1)) + 1
    lengths, keys = [], []
    types: dict[str, np.dtype[Any]] = dict.fromkeys(_ENDS, np.dtype(np.int64))
    for pairs in _each(shared, chosen):
        lengths.append(len(pairs))
        types |= {column: values.dtype for column, values in pairs.evidence.items()}
        if rows is not None:
            keys.append(_keys(rows[pairs.left], rows[pairs.right], n))
    bounds = np.cumsum([0, *lengths])
    with ExitStack() as stack:
        files = [shared.work.array(f"{name}-{at}", kind, (int(bounds[-1]),)) for at, kind in enumerate(types.values())]
        table = dict(zip(types, map(stack.enter_context, files), strict=True))
        place = None if rows is None else _placed(keys, n, table)
        for at, pairs in enumerate(_each(shared, chosen)):
            own = slice(*bounds[at : at + 2])
            columns = dict(pairs.evidence) if place is not None else {**_ends(pairs), **pairs.evidence}
            for column, values in columns.items():
                table[column][own if place is None else place[own]] = values
    found = {column: shared.work.mapped(f"{name}-{at}.npy") for at, column in enumerate(types)}
    left, right = (found.pop(end) for end in _ENDS)
    return Pairs(left, right, found)


def _each(shared: Shared, chosen: Callable[[Pairs], Pairs]) -> Iterator[Pairs]:
    return (chosen(final_pairs(shared, part)) for part in range(len(shared.parts)))


def _ends(pairs: Pairs) -> dict[str, Rows]:
    return dict(zip(_ENDS, (pairs.left, pairs.right), strict=True))


def _keys(one: Rows, other: Rows, n: int) -> Rows:
    """Write each pair of n rows as one number, which sorts by the lower row, then the higher one."""
    return np.minimum(one, other) * n + np.maximum(one, other)


def _placed(keys: list[Rows], n: int, table: dict[str, npt.NDArray[Any]]) -> Rows:
    """Write the ends of pairs in order, and tell the place of each: (m,) int64."""
    key = np.concatenate(keys)
    keys.clear()
    order = np.argsort(key)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    key.sort()
    np.floor_divide(key, max(n, 1), out=table[_ENDS[0]])
    np.remainder(key, max(n, 1), out=table[_ENDS[1]])
    return place
