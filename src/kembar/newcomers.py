"""New posts against those that are known: their candidates are found, and each is seen among its neighbourhood.

What tells a pair apart is how it stands among the candidates of its two ends. So new posts are compared in the company
of all posts that any view finds near them, as if these few were a whole catalogue, but with its rarities of words: what
a run over all posts says of a new pair is said here too, as far as its neighbourhood shows. How near the two come is
measured by bench/live_quality.py (docs/tasks/live.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from kembar.arrays import Bools, Floats, Rows, offsets_of
from kembar.classifier.classify import classify
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.evidence.copies import Copies
from kembar.evidence.fitted import Fitted, count_terms
from kembar.evidence.gathering import Evidence, blended, gather
from kembar.evidence.identifier_view import identifier_views
from kembar.evidence.identity import Identity
from kembar.evidence.neighbors import best, joined
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.evidence.placeholders import as_compared
from kembar.evidence.scope import Scope
from kembar.evidence.scorers import PriceRatio
from kembar.evidence.several import Search
from kembar.evidence.title_pairs import TitlePairs
from kembar.evidence.views import SparseView, View
from kembar.matcher import Matcher, identified
from kembar.posts.catalog import Catalog
from kembar.posts.problems import PROBLEMS
from kembar.posts.titles import normalize
from kembar.posts.united import stacked

BLOCK: Final = 4096
"""New posts whose neighbourhoods are laid out together: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Model:
    """What decides about pairs, the same until it is fitted anew.

    Attributes:
        fitted: what a catalogue says of words and titles.
        config: what a run over it settled on.
        classifier: None where hand-set rules decide.
        spare: vectors that the classifier has not learned from, and their encoders.
    """

    fitted: Fitted
    config: Config
    classifier: PairClassifier | None
    spare: Mapping[str, str] = field(default_factory=dict)

    def passing(self) -> "Model":
        """Give the same for posts that are only asked about."""
        titles, tokens = self.fitted.titles.passing(), self.fitted.tokens.passing()
        return replace(self, fitted=replace(self.fitted, titles=titles, tokens=tokens))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Posts on their way in.

    Attributes:
        posts: with the hashes of their photos, as they were given.
        compared: without what says nothing.
        vectors: by name.
    """

    posts: Catalog
    compared: Catalog
    vectors: Mapping[str, Embeddings]

    def take(self, rows: Rows) -> "Prepared":
        """Keep some posts."""
        vectors = {name: given.take(rows) for name, given in self.vectors.items()}
        return Prepared(self.posts.take(rows), self.compared.take(rows), vectors)


@dataclass(frozen=True, slots=True)
class Part:
    """Some posts, ready to be compared and to be searched.

    Attributes:
        posts: as they are compared, without what says nothing.
        titles: what their titles say.
        tokens: and what tells products apart in them.
        views: n posts each, by what the model knows of words.
        finds: the search of each view.
    """

    posts: Catalog
    titles: TitlePairs
    tokens: Identity
    views: tuple[View, ...]
    finds: tuple[Search, ...] = ()

    @classmethod
    def of(cls, posts: Catalog, vectors: Mapping[str, Embeddings], model: Model) -> "Part":
        """Make the views of posts; they cannot be searched yet."""
        titles, fitted = normalize(posts.titles), model.fitted
        views = (*fitted.views(posts, titles, model.config, vectors), *identifier_views(posts))
        return cls(posts, fitted.titles.apply(titles), fitted.tokens.apply(titles, posts.further), views)

    def __len__(self) -> int:
        return len(self.posts)

    def indexed(self) -> "Part":
        """Make these posts the base of a search."""
        return replace(self, finds=tuple(view.index() for view in self.views))

    def take(self, rows: Rows) -> "Part":
        """Keep some posts."""
        views = tuple(view.take(rows) for view in self.views)
        return Part(self.posts.take(rows), self.titles.take(rows), self.tokens.take(rows), views)

    @classmethod
    def joined(cls, parts: "Sequence[Part]") -> "Part":
        """Put parts one behind the other; a view that some of them lack is missing to their posts."""
        if len(parts) == 1:
            return parts[0]
        like = {view.name: view for part in parts for view in part.views}
        order = np.arange(sum(map(len, parts)))
        views = [view.joined([_of_name(part, view) for part in parts], order) for view in like.values()]
        views.sort(key=lambda view: view.modality == "photo")  # as views_of has them
        titles = TitlePairs.joined([part.titles for part in parts])
        tokens = Identity.joined([part.tokens for part in parts])
        return cls(stacked([part.posts for part in parts]), titles, tokens, tuple(views))

    def narrowed(self) -> "Part":
        """Keep the words and terms in use alone: quicker to compare, and not to be joined with others any more."""
        views = tuple(view.narrowed() if isinstance(view, SparseView) else view for view in self.views)
        return replace(self, titles=self.titles.narrowed(), tokens=self.tokens.narrowed(), views=views)


def _of_name(part: Part, like: View) -> View:
    """Take a view of a part by its name; where it has none, one in which every post lacks this evidence."""
    found = next((view for view in part.views if view.name == like.name), None)
    if found is not None:
        return found
    return like.take(np.zeros(len(part), dtype=np.int64)).hidden(np.ones(len(part), dtype=bool))


def prepared(posts: Catalog, matcher: Matcher, known: Mapping[str, Embeddings] | None = None) -> Prepared:
    """Hash the photos of posts and encode the posts.

    Args:
        posts: as they were given.
        matcher: with the configuration, and the encoders that are open.
        known: vectors of these posts that were made before.
    """
    hashed = with_photo_hashes(posts, matcher.config, store=matcher.store)
    compared = as_compared(hashed, matcher.config.variants)
    encoded, vectors = matcher.encoded(compared, known)
    if not len(encoded.problems):
        return Prepared(hashed, encoded, vectors)
    told = encoded.problems.join(hashed.problems, on=list(PROBLEMS), how="anti")
    return Prepared(hashed.with_hashes(hashed.hashes, hashed.hashed, told), encoded, vectors)


def fitted_on(posts: Prepared, matcher: Matcher) -> Model:
    """Read a catalogue as a whole: choose what decides, and count its words."""
    config, classifier, spare = matcher.settings(posts.compared, posts.vectors, {})
    titles = normalize(posts.compared.titles)
    counted = [count_terms(titles, config)] if (titles != "").any() else []
    everyone = np.arange(len(titles))
    fitted = Fitted.fit(titles, Copies(everyone, everyone), counted, config, posts.compared.further)
    return Model(fitted, config, classifier, spare)


@dataclass(frozen=True, slots=True)
class Base:
    """All known posts, in parts: places run through the parts, one behind the other.

    Attributes:
        parts: each indexed.
        gone: (n,) bool, places that are found no more.
    """

    parts: tuple[Part, ...]
    gone: Bools

    @classmethod
    def of(cls, part: Part) -> "Base":
        """Make posts known."""
        return cls((part.indexed(),), np.zeros(len(part), dtype=bool))

    def with_part(self, part: Part) -> "Base":
        """Make further posts known, behind the others."""
        return Base((*self.parts, part.indexed()), np.append(self.gone, np.zeros(len(part), dtype=bool)))

    def __len__(self) -> int:
        return len(self.gone)

    @property
    def offsets(self) -> Rows:
        """Where each part begins."""
        return offsets_of(np.array([len(part) for part in self.parts], dtype=np.int64))

    def near(self, new: Part) -> Rows:
        """Find the places of all posts that any view finds near any new post: rising."""
        found = [self._found(view) for view in new.views]
        places = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]))
        there: Rows = places[~self.gone[places]]
        return there

    def _found(self, asking: View) -> Rows:
        """Find the places that a view brings: of what all parts have, as many as one part would bring."""
        none, edges = np.full(len(asking), -1, dtype=np.int64), []
        for begin, part in zip(self.offsets, self.parts, strict=False):
            for view, find in zip(part.views, part.finds, strict=True):
                if view.name == asking.name:
                    source, target, score = find(asking, none).edges()
                    edges.append((source, begin + target, score))
        source, target, score = joined(edges)
        by_source = np.argsort(source, kind="stable")
        longest = asking.places()
        most = max(1, int(longest.max(initial=1)) - 1)
        source, target, _ = best((source[by_source], target[by_source], score[by_source]), len(asking), most)
        rank = np.arange(len(source)) - np.searchsorted(source, source)
        kept: Rows = target[rank < longest[source] - 1]
        return kept

    def take(self, places: Rows) -> list[Part]:
        """Take some posts, rising places, from the parts that hold them."""
        bounds = self.offsets
        cut = np.searchsorted(places, bounds)
        own = [places[cut[at] : cut[at + 1]] - bounds[at] for at in range(len(self.parts))]
        return [part.take(rows) for part, rows in zip(self.parts, own, strict=True) if len(rows)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found about new posts.

    Attributes:
        near: (m,) rising places of the known posts that were looked at.
        pairs: of rows, those of the m known posts before those of the new ones; one end of each pair is new.
        cut_off: (q,) bool, new posts that may have more neighbours than some list has places.
        posts: the known and the new posts, in the order of the rows.
    """

    near: Rows
    pairs: Pairs
    cut_off: Bools
    posts: Catalog

    @property
    def probability(self) -> Floats:
        """(p,) float32 of each pair."""
        return self.pairs.evidence[SIMILARITY]


def compare(new: Part, base: Base, model: Model) -> Comparison:
    """Compare new posts with each other and with the known ones.

    Args:
        new: q posts, at most `BLOCK` for the memory's sake.
        base: the known posts.
        model: what decides.

    Returns:
        The pairs that are candidates, with their evidence and final `similarity`.
    """
    near = base.near(new)
    return _compared(Part.joined([*base.take(near), new]), near, model)


def among(base: Base, places: Rows, model: Model) -> Comparison:
    """Compare known posts among themselves and with all that is near them, as if they were new.

    Args:
        base: the known posts.
        places: rising.
        model: what decides.

    Returns:
        As of `compare`; the posts in question are the last ones.
    """
    asked = Part.joined(base.take(places))
    near = np.setdiff1d(base.near(asked), places)
    return _compared(Part.joined([*base.take(near), asked]), near, model)


def _compared(given: Part, near: Rows, model: Model) -> Comparison:
    """Compare the last posts of a part with all others, in the order of ids, in which a run breaks ties."""
    order = _by_id(given.posts)
    local = given.narrowed().take(order)
    apart = frozenset(model.spare) | {view.name for view in identifier_views(local.posts)}
    evidence = gather(local.views, local.titles, model.config, spare=apart, scope=Scope.of(local.posts))
    pairs, new = blended(evidence, model.config), order >= len(near)
    found = decided_about(pairs, evidence, local, model, new[pairs.left] | new[pairs.right])
    cut_off = np.empty(len(order), dtype=bool)
    cut_off[order] = evidence.cut_off()
    return Comparison(near, by_rows(found, order), cut_off[len(near) :], given.posts)


def _by_id(posts: Catalog) -> Rows:
    """Give the rows of posts in the order of their ids: (n,) int64."""
    ids = posts.ids.to_list()
    return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)


def by_rows(pairs: Pairs, rows: Rows) -> Pairs:
    """Give the ends of pairs other rows: (n,) of those they have."""
    low, high = np.minimum(rows[pairs.left], rows[pairs.right]), np.maximum(rows[pairs.left], rows[pairs.right])
    order = np.lexsort((high, low))
    return Pairs(low[order], high[order], {name: column[order] for name, column in pairs.evidence.items()})


def decided_about(pairs: Pairs, evidence: Evidence, local: Part, model: Model, wanted: Bools) -> Pairs:
    """Decide about some of the pairs, seen among all of them.

    Args:
        pairs: of rows of `local`, blended.
        evidence: of the same rows.
        local: the posts.
        model: what decides.
        wanted: (m,) bool.

    Returns:
        These pairs with their final `similarity`.
    """
    if model.classifier is None:
        return identified(pairs.take(wanted), evidence.quantities, local.posts, None)
    prices = np.full(len(local), np.nan) if local.posts.prices is None else local.posts.prices
    scorers = (local.titles, local.tokens, PriceRatio(prices))
    found = classify(pairs, evidence.posts, scorers, model.classifier, model.spare, among=wanted)
    return identified(found, evidence.quantities, local.posts, model.classifier)
