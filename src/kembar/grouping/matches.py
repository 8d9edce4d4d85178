"""Decisions: from scored pairs to the matches of every post."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from kembar.arrays import Doubles, Floats, Rows, offsets_of, places_where, ragged
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence.edges import Edges, capped, directed
from kembar.posts.cells import listed

_ALL_PAIRS = 1000  # largest group of which all pairs are listed
_HOPELESS = 0.005  # probabilities below it change no decision worth the time
_POSTS = 1024  # posts whose lists are decided at once: bounds the memory


@dataclass(frozen=True, slots=True)
class Matches:
    """The matches of every post, the post itself first, then best first (compressed sparse rows).

    Attributes:
        offsets: (n + 1,) int64; the matches of post i are rows[offsets[i] : offsets[i + 1]].
        rows: (e,) int64.
    """

    offsets: Rows
    rows: Rows

    def __post_init__(self) -> None:
        n = len(self.offsets) - 1
        if n < 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.rows) or (np.diff(self.offsets) < 1).any():
            raise EvidenceError("matches with an empty or missing list", "at least the post itself", "Use Matches.of.")
        if (self.rows[self.offsets[:-1]] != np.arange(n)).any():
            raise EvidenceError("a list that does not start with its own post", "self first", "Use Matches.of.")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Rows:
        return self.rows[self.offsets[row] : self.offsets[row + 1]]

    @classmethod
    def of(cls, source: Rows, target: Rows, n: int) -> "Matches":
        """Build matches from directed edges ordered by source, best first, without the posts themselves."""
        offsets = offsets_of(1 + np.bincount(source, minlength=n))
        rows = np.empty(offsets[-1], dtype=np.int64)
        own = np.zeros(len(rows), dtype=bool)
        own[offsets[:-1]] = True
        rows[own] = np.arange(n)
        rows[~own] = target
        return cls(offsets, rows)

    def edges(self) -> tuple[Rows, Rows]:
        """List the matches as directed edges, without the posts themselves: source (e,), target (e,)."""
        source = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        other = source != self.rows
        return source[other], self.rows[other]

    def frame(self, ids: pl.Series) -> pl.DataFrame:
        """Show the matches in Kaggle's form: columns posting_id, matches (ids joined by blanks, self first).

        In `matches`, ids with white space or double quotes are quoted, see `kembar.posts.cells.listed`.
        """
        sizes = np.diff(self.offsets)
        names = pl.DataFrame({"row": np.repeat(np.arange(len(self)), sizes), "id": listed(ids).gather(self.rows)})
        joined = names.group_by("row", maintain_order=True).agg(pl.col("id").str.join(" "))
        return pl.DataFrame({"posting_id": ids, "matches": joined["id"]})


def chisel(left: Rows, right: Rows, similarity: Floats, n: int, *, shares: Doubles) -> Edges:
    """Cut the lists so that their lengths are shared out like group sizes in labelled data; no threshold.

    Kaggle Shopee, 18th place (slawekbiel): for s = 1, 2, 3, ... the target is floor(p_s n) lists of length s; as many
    of the lists still longer as are missing are cut to s, those first whose (s+1)-th similarity is smallest.

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores.
        n: number of posts.
        shares: shares[s] is the share of posts whose group has s members, s = 0, 1, 2, ...; see `row_shares`.

    Returns:
        source, target, score of the kept directed edges, ordered by source, best first.
    """
    longest = len(shares) - 1
    source, target, score = capped(directed(left, right, similarity), longest)
    begin = np.searchsorted(source, np.arange(n + 1))
    length = 1 + np.diff(begin)
    targets = np.floor(shares * n + 1e-9).astype(np.int64)  # 0.29 * 100 falls short of 29 by rounding
    for size in range(1, longest):
        missing = int(targets[size]) - int((length == size).sum())
        longer = np.flatnonzero(length > size)
        if missing > 0 and len(longer):
            following = score[begin[longer] + size - 1]
            length[longer[np.argsort(following, kind="stable")[:missing]]] = size
    keep = np.arange(len(source)) - begin[source] < length[source] - 1
    return source[keep], target[keep], score[keep]


def expected_f1(
    left: Rows, right: Rows, probability: Floats, n: int, *, alone: float = 1.0, longest: int = 51
) -> Edges:
    """Choose for each post the matches whose F1 can be expected to be highest.

    With a post's candidates best first, X_j = 1 with probability p_j and independent, and both sets holding the post
    itself, the best k candidates are worth E_k = E[2 (1 + X_1 + ... + X_k) / (2 + k + X_1 + ... + X_m)]; the k with
    the highest E_k is taken, the smallest such k. Exact, by the recursion of Ye, Chai, Lee and Chieu 2012 ("Optimizing
    F-measures: a tale of two approaches").

    Where hardly any post is without a match, that itself is evidence: the event that no X_j is 1 keeps only the share
    `alone` of its weight, so that a post takes an unlikely best candidate rather than none (min2, in probabilities).

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        probability: (m,) calibrated probabilities in [0, 1]; those below .005 count as 0.
        n: number of posts.
        alone: in [0, 1]; 1 trusts the probabilities alone, 0 says that every post has a match among its candidates.
        longest: most members of a list, the post itself counted, and most candidates looked at.

    Returns:
        source, target, probability of the chosen directed edges, ordered by source, best first.

    Raises:
        ConfigError: alone outside [0, 1].
        EvidenceError: a probability that is missing or outside [0, 1].
    """
    if not 0 <= alone <= 1:
        raise ConfigError(f"alone {alone}", "a share from 0 to 1", "Labelled Shopee posts, where none is alone: 0.")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise EvidenceError(
            f"{int((~((probability >= 0) & (probability <= 1))).sum())} probabilities that are missing or out of range",
            "numbers from 0 to 1",
            "Calibrate the scores first.",
        )
    near = probability >= _HOPELESS
    source, target, score = capped(directed(left[near], right[near], probability[near]), longest)
    begin = np.searchsorted(source, np.arange(n + 1))
    count = np.diff(begin)
    length = np.zeros(n, dtype=np.int64)
    by_count = np.argsort(count, kind="stable")[int((count == 0).sum()) :]
    for at in range(0, len(by_count), _POSTS):
        posts = by_count[at : at + _POSTS]
        place = np.arange(count[posts].max())
        inside = place < count[posts, None]
        table = np.where(inside, score[np.where(inside, begin[posts, None] + place, 0)], 0)
        length[posts] = _best_length(table.astype(np.float64), alone)
    keep = np.arange(len(source)) - begin[source] < length[source]
    return source[keep], target[keep], score[keep]


def _best_length(table: Doubles, alone: float) -> Rows:
    """Find the best k of each row of probabilities (b, m), falling, filled up with 0: (b,) int64."""
    posts, most = table.shape
    # inverse[k][:, a] = E[1 / (a + X_{k+1} + ... + X_m)], for a from 0; a < 2 is never asked for
    width = 2 * most + 3
    inverse = np.empty((most + 1, posts, width))
    inverse[most] = 1 / np.maximum(np.arange(width), 1)
    for k in range(most, 0, -1):
        p = table[:, k - 1 : k]
        inverse[k - 1, :, :-1] = p * inverse[k, :, 1:] + (1 - p) * inverse[k, :, :-1]
        inverse[k - 1, :, -1] = inverse[k, :, -1]  # so far out that nobody looks
    nothing = (1 - alone) * np.prod(1 - table, axis=1)
    found = np.zeros((posts, most + 1))  # P(X_1 + ... + X_k = found)
    found[:, 0] = 1
    best, length = np.full(posts, -np.inf), np.zeros(posts, dtype=np.int64)
    for k in range(most + 1):
        if k:
            p = table[:, k - 1 : k]
            found[:, 1:] = found[:, 1:] * (1 - p) + found[:, :-1] * p
            found[:, :1] *= 1 - p
        right = 2 * np.arange(1, k + 2)
        worth = (found[:, : k + 1] * right * inverse[k, :, 2 + k : 3 + 2 * k]).sum(axis=1) - nothing * 2 / (2 + k)
        better = worth > best + 1e-12
        best, length = np.where(better, worth, best), np.where(better, k, length)
    return length


def row_shares(labels: Rows) -> Doubles:
    """Measure the share of posts by size of their group, the shape that `chisel` carves.

    Args:
        labels: (n,) group codes >= 0; posts of unknown group (-1) are left out.

    Returns:
        (largest size + 1,) float64 that sums to 1 (or holds only zeros where nothing is labelled).
    """
    sizes = np.bincount(labels[labels >= 0])
    posts = np.bincount(sizes, minlength=2) * np.arange(max(2, int(sizes.max(initial=0)) + 1))
    shares: Doubles = posts / max(1, posts.sum())
    return shares


# Row shares on the 34,250 labelled posts of Kaggle Shopee, sizes 2 to 10 as measured; the rest is a tail from 11 to
# 51 that falls with the inverse square of the size.
def shopee_shares() -> Doubles:
    """Give the row shares of Kaggle Shopee's labelled posts, for a catalogue without labels: (52,) float64."""
    shares = np.zeros(52)
    shares[2:11] = [0.4075, 0.1558, 0.1007, 0.0683, 0.0494, 0.0315, 0.0276, 0.0239, 0.0140]
    tail = 1 / np.arange(11, 52) ** 2.0
    shares[11:] = (1 - shares.sum()) * tail / tail.sum()
    return shares


def mutual(edges: Edges, n: int) -> Edges:
    """Keep the edges that both ends chose.

    Args:
        edges: source, target, score.
        n: number of posts.

    Returns:
        The kept edges, in their order.
    """
    source, target, score = edges
    keep = np.isin(source * n + target, target * n + source)
    return source[keep], target[keep], score[keep]


def within_groups(labels: Rows, left: Rows, right: Rows, similarity: Floats) -> Edges:
    """Match every post with all members of its group, best first, those it was never compared with last.

    In a group of more than 1,000 with those alone that it was compared with:
    all pairs would fill the memory, and lists are cut long before.

    Args:
        labels: (n,) group numbers.
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores in [0, 1].

    Returns:
        source, target, score (0 where the pair was not compared), ordered by source, best first.
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=1)
    begin = offsets_of(sizes)[:-1]
    source, place = ragged(np.where(sizes <= _ALL_PAIRS, sizes, 0)[labels])
    target = order[begin[labels][source] + place]
    source, target = source[source < target], target[source < target]
    n = len(labels)
    together = places_where(len(left), lambda rows: labels[left[rows]] == labels[right[rows]])
    left, right, similarity = left[together], right[together], similarity[together]
    key, score = np.minimum(left, right) * n + np.maximum(left, right), similarity
    sorter = np.argsort(key)
    place = np.searchsorted(key[sorter], source * n + target)
    place[place == len(key)] = 0
    known = key[sorter][place] == source * n + target if len(key) else np.zeros(len(source), dtype=bool)
    found = np.zeros(len(source), dtype=np.float32)
    found[known] = score[sorter][place[known]]
    large = sizes[labels[key // max(n, 1)]] > _ALL_PAIRS
    far = np.divmod(key[large], max(n, 1))
    return directed(
        np.concatenate([source, far[0]]), np.concatenate([target, far[1]]), np.concatenate([found, score[large]])
    )
