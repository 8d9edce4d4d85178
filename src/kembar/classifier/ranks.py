"""Where a pair stands among the candidates of its two ends: what a similarity alone does not tell.

A cosine of .6 means one product where everything else is below .2, and nothing where twenty posts are above .7. Each
post's candidates are laid out best first, once for every kind of similarity; a pair is then described by its rank, its
share of the nearest, and how crowded its two ends are (Kaggle "Shopee - Price Match Guarantee", 2nd, 3rd and 5th
places). A pair has no first end, so what its ends tell comes as the smaller and the larger of the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp

from kembar.arrays import Floats, Rows, Sparse, falling, run_starts
from kembar.evidence.pairs import Pairs

TOPS: Final = (5, 15, 30)  # means of so many best candidates
CUTS: Final = (0.4, 0.6, 0.8, 0.95)  # candidates at or above these are counted


@dataclass(frozen=True, slots=True)
class Standing:
    """Where pairs stand by one similarity.

    Attributes:
        name: the similarity's name.
        similarity: (m,) float32, NaN where missing.
        rank: (2, m) float32; how many candidates of the left and of the right end are better, NaN where missing.
        post: (p, n) float32, a row for each of the figures, about all candidates of a post; first "nearest".
        figures: (p,) their names.
    """

    name: str
    similarity: Floats
    rank: Floats
    post: Floats
    figures: tuple[str, ...]

    @classmethod
    def of(cls, name: str, left: Rows, right: Rows, similarity: Floats, n: int, *, crowds: bool = True) -> "Standing":
        """Lay out the candidates of every post.

        Args:
            name: the similarity's name.
            left: (m,) rows.
            right: (m,) rows, each unordered pair once.
            similarity: (m,) float32, NaN where a pair lacks it.
            n: number of posts.
            crowds: whether to count how many candidates a post has that are near; else only the nearest is looked at.

        Returns:
            The standing; equal similarities share a rank, so that no order of rows decides.
        """
        ends = np.concatenate([left, right])
        rank, post = ranked(ends, np.tile(similarity, 2), n, crowds=crowds)
        return cls(name, similarity, rank.reshape(2, -1), post, figures_of(crowds=crowds))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        ends = [f"{self.name} {figure} {end}" for figure in ("rank", "ratio", *self.figures) for end in ("low", "high")]
        return (self.name, *ends)

    def columns(self, left: Rows, right: Rows, rows: Rows) -> list[Floats]:
        """Describe some pairs: one (r,) float32 for each of `names`, NaN where missing."""
        similarity = self.similarity[rows]
        nearest = self.post[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.stack([similarity / nearest[left[rows]], similarity / nearest[right[rows]]])
        share[~np.isfinite(share)] = np.nan
        found = [similarity, *_ends(*self.rank[:, rows]), *_ends(*share)]
        for figure in self.post:
            found.extend(_ends(figure[left[rows]], figure[right[rows]]))
        return found


_POST: Final = ("nearest", *(f"top {k}" for k in TOPS), *(f"above {cut}" for cut in CUTS))


def figures_of(*, crowds: bool) -> tuple[str, ...]:
    """Name what is told of all candidates of a post."""
    return _POST if crowds else _POST[:1]


def ranked(source: Rows, score: Floats, n: int, *, crowds: bool = True) -> tuple[Floats, Floats]:
    """Lay out the candidates of each of n posts, best first.

    Args:
        source: (e,) rows, the post that each candidate is one of.
        score: (e,) float32, NaN where missing.
        n: number of posts.
        crowds: as in `Standing.of`.

    Returns:
        (e,) float32, how many candidates of the same post are better, NaN where missing; and (p, n) float32, a row for
        each of `figures_of`.
    """
    known = np.flatnonzero(~np.isnan(score))
    source, score, rank = source[known], score[known], np.full(len(score), np.nan, dtype=np.float32)
    order = _best_first(source, score)
    source, score = source[order], score[order]
    begin = np.searchsorted(source, np.arange(n + 1))
    tied = np.maximum.accumulate(np.where(run_starts(source, score), np.arange(len(source)), 0))
    rank[known[order]] = tied - begin[source]
    return rank, _post_figures(source, score, begin, n) if crowds else _nearest(score, begin)[None]


def _ends(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    return np.minimum(a, b), np.maximum(a, b)


def _best_first(source: Rows, score: Floats) -> Rows:
    """Order edges by source, then by falling score: one sort of packed integers is much quicker than a lexsort."""
    return np.argsort(source.astype(np.uint64) << np.uint64(32) | falling(score), kind="stable")


def _nearest(score: Floats, begin: Rows) -> Floats:
    """The best score of each post, NaN where it has no candidate."""
    if not len(score):
        return np.full(len(begin) - 1, np.nan, dtype=np.float32)
    best = score[np.minimum(begin[:-1], len(score) - 1)]
    return np.where(np.diff(begin) > 0, best, np.float32(np.nan))


def _post_figures(source: Rows, score: Floats, begin: Rows, n: int) -> Floats:
    place = np.arange(len(source)) - begin[source]
    top = np.zeros((n, max(TOPS)), dtype=np.float32)
    best = place < max(TOPS)
    top[source[best], place[best]] = score[best]
    some = np.diff(begin) > 0
    # Fewer than k candidates: the missing ones count as 0.
    means = [top[:, :k].sum(axis=1) / np.float32(k) for k in TOPS]
    counts = [np.bincount(source[score >= np.float32(cut)], minlength=n).astype(np.float32) for cut in CUTS]
    return np.stack([_nearest(score, begin), *(np.where(some, mean, np.float32(np.nan)) for mean in means), *counts])


@dataclass(frozen=True, slots=True)
class Company:
    """The candidates that both ends of a pair share: friends of one product have the same friends.

    Attributes:
        name: the similarity's name.
        weights: (n, n) CSR float32 unit rows: each post's best candidates by their similarity, the post itself by 1.
    """

    name: str
    weights: Sparse

    @classmethod
    def of(cls, standing: Standing, left: Rows, right: Rows, n: int, *, k: int = 15) -> "Company":
        """Take each post's k best candidates; those that tie with the k-th are all taken.

        Args:
            standing: where the pairs stand.
            left: (m,) rows.
            right: (m,) rows.
            n: number of posts.
            k: so many.

        Returns:
            The company.
        """
        ends = np.concatenate([left, right]), np.concatenate([right, left])
        return cls(
            standing.name, companions(ends, standing.rank.ravel(), np.tile(standing.similarity, 2), (0, n), n, k)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return company_names(self.name)

    def columns(self, left: Rows, right: Rows, rows: Rows) -> list[Floats]:
        """Describe some pairs: how many candidates both ends share, and the cosine of their weights."""
        product = self.weights[left[rows]].multiply(self.weights[right[rows]]).tocsr()
        return [
            np.diff(product.indptr).astype(np.float32),
            np.asarray(product.sum(axis=1), dtype=np.float32).ravel(),
        ]


def companions(
    ends: tuple[Rows, Rows], rank: Floats, similarity: Floats, part: tuple[int, int], n: int, k: int = 15
) -> Sparse:
    """Take each post's best candidates, those that tie with the k-th too, and the post itself.

    Args:
        ends: (e,) rows each, the post that each candidate is one of, and the candidate.
        rank: (e,) how many candidates of the post are better.
        similarity: (e,) float32, NaN where missing.
        part: begin and end of the posts; all sources are among them.
        n: number of all posts.
        k: so many.

    Returns:
        (end - begin, n) CSR float32 unit rows.
    """
    near, own = rank < k, np.arange(*part)
    source, target = ends
    rows = np.concatenate([source[near], own]) - part[0]
    values = np.concatenate([np.maximum(similarity[near], 0), np.ones(len(own), dtype=np.float32)])
    columns = np.concatenate([target[near], own])
    matrix = sp.csr_matrix((values, (rows, columns)), shape=(len(own), n), dtype=np.float32)
    matrix.sort_indices()
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix.data /= np.repeat(length, np.diff(matrix.indptr)).astype(np.float32)
    return matrix


def company_names(similarity: str) -> tuple[str, str]:
    """Name the columns of `Company` by a similarity."""
    return (f"{similarity} shared", f"{similarity} company")


def accompanied(names: Iterable[str], similarity: str) -> bool:
    """Tell whether any of these columns asks for the candidates that two posts share."""
    return not set(company_names(similarity)).isdisjoint(names)


def standings(pairs: Pairs, names: list[str], n: int, *, crowds: bool = True) -> list[Standing]:
    """Lay out the candidates of every post by several evidence columns."""
    return [Standing.of(name, pairs.left, pairs.right, pairs.evidence[name], n, crowds=crowds) for name in names]


def crowded(names: Iterable[str]) -> bool:
    """Tell whether any of these columns counts near candidates."""
    return any(f" {figure} " in name for name in names for figure in _POST[1:])
