"""From views to one similarity per candidate pair, before and after blending."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Floats, Rows, Sparse
from kembar.config import Config
from kembar.errors import EvidenceError
from kembar.evidence.blending import neighborhood
from kembar.evidence.fusion import fuse, rescale
from kembar.evidence.neighbors import Neighbors
from kembar.evidence.pairs import BLENDED, SIMILARITY, Pairs, candidates
from kembar.evidence.scope import Scope
from kembar.evidence.scorers import CONFLICT, QuantityConflict
from kembar.evidence.title_pairs import TitlePairs
from kembar.evidence.view_kinds import KINDS
from kembar.evidence.views import View
from kembar.posts.buckets import Buckets
from kembar.posts.quantities import Quantities

_MODALITIES: Final = ("title", "photo")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of the candidate pairs before any blending; no threshold has been looked at yet.

    Attributes:
        posts: number of posts.
        views: the views in use.
        titles: (n,) String in normal form.
        neighbors: each view's neighbours.
        quantities: the quantities of each title.
        pairs: the candidates with one column per view, `conflict` and `similarity`.
        spare: names of views that are compared, but neither fused nor blended.
        buckets: in which the work is done; None: all posts at once.
        scope: which posts may be one product; None: all.
    """

    posts: int
    views: tuple[View, ...]
    titles: pl.Series
    neighbors: tuple[Neighbors, ...]
    quantities: Quantities
    pairs: Pairs
    spare: frozenset[str] = frozenset()
    buckets: Buckets | None = None
    scope: Scope | None = None

    def cut_off(self) -> Bools:
        """Find the posts that may have more neighbours than some list has places: (n,) bool."""
        found = np.zeros(self.posts, dtype=bool)
        for view, near in zip(self.views, self.neighbors, strict=True):
            found |= 1 + np.count_nonzero(near.index[:, 1:] >= 0, axis=1) >= view.places()
        return found

    def recall(self) -> dict[str, float]:
        """Tell of the views whose neighbours are not all found which share is, measured on a sample."""
        found = zip(self.views, self.neighbors, strict=True)
        return {view.name: near.recall for view, near in found if near.recall < 1}

    @property
    def parts(self) -> Buckets:
        """The buckets in which the work is done."""
        return self.buckets or Buckets.whole(self.posts)


def gather(
    views: Sequence[View],
    titles: pl.Series | TitlePairs,
    config: Config,
    *,
    spare: frozenset[str] = frozenset(),
    buckets: Buckets | None = None,
    scope: Scope | None = None,
) -> Evidence:
    """Find the candidates of all views and compare them in every view.

    Args:
        views: at least one.
        titles: (n,) String in normal form, or what was read of them before.
        config: the fusion rule, the unit veto and query expansion.
        spare: names of views that find candidates and are compared, but have no part in `similarity`.
        buckets: of the posts; the work is done in these, and their number changes nothing. None: all at once.
        scope: which posts may be one product; None: all.

    Returns:
        The evidence.

    Raises:
        EvidenceError: there is no view: nothing can be compared; or two kinds of evidence have one name.
    """
    texts = titles.titles if isinstance(titles, TitlePairs) else titles
    n = len(texts)
    if not views:
        raise EvidenceError(
            "posts without titles, photos that can be read, hashes or vectors",
            "at least one kind of evidence",
            "Check the names of the columns, images=..., and which views the configuration uses.",
        )
    _check_names([view.name for view in views])
    parts = buckets or Buckets.whole(n)
    neighbors = tuple(_neighbors(view, parts, scope) for view in views)
    if config.advanced.blend.expansion:
        k, alpha = config.advanced.blend.expansion, config.advanced.blend.alpha
        views = [view.expanded(near, k, alpha) for view, near in zip(views, neighbors, strict=True)]
        neighbors = tuple(_neighbors(view, parts, scope) for view in views)
    quantities = titles.quantities if isinstance(titles, TitlePairs) else Quantities.parse(titles)
    pairs = Comparison(tuple(views), quantities, config, spare, parts).first(*candidates(neighbors, n))
    return Evidence(n, tuple(views), texts, neighbors, quantities, pairs, spare, parts, scope)


def blended(evidence: Evidence, config: Config) -> Pairs:
    """Blend the views by the fused similarities and compare once more (see kembar.evidence.blending).

    The first step takes its neighbours from the unblended similarity and, where `blend.single` says so, from single
    views; later steps from the similarity after the step before. The final similarity is a mean of the first and the
    last one, weighted by `blend.keep`; a view's own `blend.direct` cut makes it 1. With `blend.search` the neighbours
    of blended posts are candidates too.

    Args:
        evidence: what `gather` found.
        config: the blending options.

    Returns:
        Pairs with the columns of the views, `<view>_blended`, `conflict` and the final `similarity`.
    """
    comparison = Comparison(evidence.views, evidence.quantities, config, evidence.spare, evidence.parts)
    pairs, views, sure = evidence.pairs, evidence.views, comparison.sure(evidence.pairs)
    ends = pairs.left, pairs.right
    for step in range(config.advanced.blend.steps):
        weights = neighborhood(pairs.left, pairs.right, sure, evidence.posts, **sure_enough(config, step))
        views = tuple(
            view if view.name in evidence.spare else _blended(view, weights, evidence.parts) for view in views
        )
        changed = [new for old, new in zip(evidence.views, views, strict=True) if old is not new]
        if config.advanced.blend.search:
            near = chain(evidence.neighbors, (_neighbors(new, evidence.parts, evidence.scope) for new in changed))
            ends = candidates(near, evidence.posts)
        pairs, sure = comparison.again(ends, evidence.pairs, changed)
    return comparison.direct(pairs)


def sure_enough(config: Config, step: int) -> dict[str, Any]:
    """Tell from which similarity on a step of blending takes neighbours, as `neighborhood` wants it."""
    first = step == 0
    own = config.advanced.blend
    return {"threshold": own.threshold if first else own.later, "min2": own.min2 if first else None}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How pairs of n posts are compared: any of them, all at once or part by part.

    Attributes:
        views: n posts each.
        quantities: of the n titles.
        config: the fusion rule, the unit veto and blending.
        spare: names of views that are compared, but neither fused nor blended.
        buckets: in which the work is done; None: all posts at once.
    """

    views: tuple[View, ...]
    quantities: Quantities
    config: Config
    spare: frozenset[str] = frozenset()
    buckets: Buckets | None = None

    def first(self, left: Rows, right: Rows) -> Pairs:
        """Compare pairs in all views: a column per view, `conflict` and `similarity`.

        Args:
            left: (m,) rows.
            right: (m,) rows, left < right, each pair once, ordered by left, then right.
        """
        pairs = self._compared(left, right)
        return pairs.with_evidence(**{SIMILARITY: self._fused(pairs)})

    def sure(self, pairs: Pairs) -> Floats:
        """Tell by which similarity the first step of blending takes neighbours: (m,) float32."""
        own = self.config.advanced.blend
        return _vetoed(_lifted(pairs, self.views, own.single, self.config, own.threshold), pairs, self.config)

    def again(self, ends: tuple[Rows, Rows], known: Pairs, blended: Sequence[View]) -> tuple[Pairs, Floats]:
        """Compare pairs after a step of blending.

        Args:
            ends: as in `first`.
            known: what `first` found; all of its pairs are among them.
            blended: the views that the step has changed.

        Returns:
            Pairs with a further column for each of these views and the final `similarity`; and (m,) float32, the
            similarity after blending alone, by which the next step takes neighbours.
        """
        pairs = known if len(ends[0]) == len(known) else self._compared(*ends, known)
        pairs = pairs.with_evidence(**{view.name + BLENDED: self._scored(view, *ends) for view in blended})
        last, before = self._fused(pairs, BLENDED), self._fused(pairs)
        keep = np.float32(self.config.advanced.blend.keep)
        return pairs.with_evidence(**{SIMILARITY: keep * before + (1 - keep) * last}), last

    def direct(self, pairs: Pairs) -> Pairs:
        """Let a view's own `blend.direct` cut make the similarity of a pair 1."""
        cuts = self.config.advanced.blend.direct
        if not cuts:
            return pairs
        lifted = _lifted(pairs, self.views, cuts, self.config, 1.0)
        return pairs.with_evidence(**{SIMILARITY: _vetoed(lifted, pairs, self.config)})

    def _compared(self, left: Rows, right: Rows, known: Pairs | None = None) -> Pairs:
        """Compare pairs in all views; what is known is not compared again."""
        fresh = np.ones(len(left), dtype=bool)
        if known is not None:
            n = len(self.quantities)
            fresh[np.searchsorted(left * n + right, known.left * n + known.right)] = False
        ends, conflict = (left[fresh], right[fresh]), QuantityConflict(self.quantities, self.config.categories)
        columns = {view.name: self._scored(view, *ends) for view in self.views}
        columns |= dict(zip(conflict.names, conflict.score(*ends), strict=True))
        if known is not None:
            columns = {name: _merged(fresh, column, known.evidence[name]) for name, column in columns.items()}
        return Pairs(left, right, columns)

    def _fused(self, pairs: Pairs, suffix: str = "") -> Floats:
        views = [view for view in self.views if view.name not in self.spare]
        return _vetoed(fused(pairs, views, self.config, suffix), pairs, self.config)

    def _scored(self, view: View, left: Rows, right: Rows) -> Floats:
        """Compare pairs in a view, part by part."""
        if self.buckets is None:
            return view.score(left, right)
        return self.buckets.by_left(left).arrays(lambda at: view.score(left[at], right[at]))


def fused(pairs: Pairs, views: Sequence[View], config: Config, suffix: str = "") -> Floats:
    """Fuse the views' columns: a weighted mean within title and photo, the rule across the two.

    Args:
        pairs: with a column for each view.
        views: the views.
        config: the rule.
        suffix: added to a view's name to find its column, where there is one.

    Returns:
        (m,) float32 in [0, 1]; 0 where nothing can be compared.
    """
    parts: list[Floats] = []
    cuts: list[float] = []
    for modality in _MODALITIES:
        members = [view for view in views if view.modality == modality]
        if not members:
            continue
        columns = [rescale(_column(pairs, view.name, suffix), view.floor) for view in members]
        known = ~np.all([np.isnan(column) for column in columns], axis=0)
        mean = fuse(columns, "mean", weights=[view.weight for view in members])
        parts.append(np.where(known, mean, np.float32(np.nan)))
        cuts.append(config.advanced.fusion.thresholds.get(modality, 0.5))
    return fuse(parts, config.advanced.fusion.rule, thresholds=cuts if config.advanced.fusion.rule == "union" else None)


def _check_names(names: list[str]) -> None:
    for at, name in enumerate(names):
        if name in ("", "left", "right", CONFLICT, SIMILARITY, *names[:at]) or name.endswith(BLENDED):
            raise EvidenceError(
                f"vectors named {name!r}", "a name that no other evidence has", "Give them another name, such as clip."
            )


def _neighbors(view: View, buckets: Buckets, scope: Scope | None) -> Neighbors:
    """Find the neighbours of all posts of a view, bucket by bucket, or within a scope."""
    if scope is not None:
        return scope.index(view)(view, np.arange(len(view)))
    find = view.index()
    if len(buckets) == 1:
        return find(view, np.arange(len(view)))
    found = [find(view.take(rows), rows) for rows in buckets]
    return Neighbors.concatenated(found).take(buckets.places())


def _blended(view: View, weights: Sparse, buckets: Buckets) -> View:
    """Blend all posts of a view, bucket by bucket."""
    if len(buckets) == 1 or not view.blends:
        return view.blended(weights)
    parts = [view.take(rows).blended(weights[rows], view) for rows in buckets]
    return view.joined(parts, buckets.places())


def _merged(fresh: Bools, new: Floats, known: Floats) -> Floats:
    merged = np.empty(len(fresh), dtype=np.float32)
    merged[fresh], merged[~fresh] = new, known
    return merged


def _column(pairs: Pairs, name: str, suffix: str) -> Floats:
    return pairs.evidence.get(name + suffix, pairs.evidence[name])


def _vetoed(similarity: Floats, pairs: Pairs, config: Config) -> Floats:
    if not config.fusion_veto:
        return similarity
    return np.where(pairs.evidence[CONFLICT] > 0, np.float32(0), similarity)


def _lifted(pairs: Pairs, views: Sequence[View], cuts: dict[str, float], config: Config, least: float) -> Floats:
    """Lift the pairs in which a single view reaches its own cut to that view's similarity, and to `least`."""
    similarity = pairs.evidence[SIMILARITY]
    floors = {view.name: view.floor for view in views}
    for name, cut in cuts.items():
        if name in floors:
            scaled = rescale(pairs.evidence[name], floors[name])
            lifted = np.maximum(np.maximum(similarity, scaled), np.float32(least))
            similarity = np.where(scaled >= cut, lifted, similarity)  # never where the view is missing
        elif name not in KINDS and name not in config.vectors:  # else these posts merely lack it
            known = (*KINDS, *floors, *config.vectors)
            raise EvidenceError(
                f"a cut for view {name!r}", f"one of {', '.join(dict.fromkeys(known))}", "Name a view in use."
            )
    return similarity
