"""The whole way, one object: posts in, matches and groups out."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Progress, Rows
from kembar.classifier.agreement import identifier_weights, weighed_by_identifiers
from kembar.classifier.choice import chosen
from kembar.classifier.classify import classify
from kembar.classifier.ownership import with_own_encoders
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.encoding import encode_posts
from kembar.encoders.protocol import Encoder
from kembar.encoders.resources import Resources
from kembar.encoders.store import VectorStore
from kembar.errors import EvidenceError
from kembar.evidence.copies import Copies
from kembar.evidence.fitted import Fitted, count_terms
from kembar.evidence.gathering import Evidence, blended, gather
from kembar.evidence.identifier_view import EQUAL, identifier_views
from kembar.evidence.pairs import Pairs
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.evidence.placeholders import as_compared
from kembar.evidence.scope import Scope
from kembar.evidence.scorers import scorers_of
from kembar.evidence.views import View, build_views, vectors_section, views_of
from kembar.grouping.groups import Groups
from kembar.grouping.limits import Limits
from kembar.grouping.matches import Matches
from kembar.memory import peak_memory
from kembar.outcome import decided, noted, of_rows, restored
from kembar.plan import Clock, Plan, Stage
from kembar.posts.buckets import Buckets
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.identifiers import holds_gtins
from kembar.posts.quantities import Quantities
from kembar.posts.sources import Source
from kembar.posts.titles import normalize
from kembar.results.result import Result

BUCKETS: Final = 1
"""Parts of a catalogue that the stages work in; all posts are in memory, so that one is best."""

log = logging.getLogger(__name__)


def match(
    source: Source,
    *,
    images: Path | str | None = None,
    columns: Columns | None = None,
    config: Config | None = None,
    progress: Progress | None = None,
) -> Result:
    """Match and group all posts of a file or table: the whole way in one line.

    Args:
        source: CSV, TSV, Parquet or Arrow, or a polars, pandas or pyarrow table; see `Catalog.read`.
        images: the folder of the photos.
        columns: which column holds what.
        config: what can be set; the defaults where None.
        progress: called with (stage, done, total).

    Returns:
        Matches, groups, evidence and report.

    Raises:
        InputError: posts or options that cannot be used.
    """
    return Matcher(config).match(Catalog.read(source, images=images, columns=columns), progress=progress)


class Matcher:
    """Finds the posts that sell the same product.

    Args:
        config: everything that can be set; the defaults where None.
        device: for the encoders, see `kembar.encoders.registry.open_encoder`.
        store: vectors of earlier runs; None: everything is encoded anew.
        buckets: parts of the catalogue that the stages work in; their number changes no result.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        device: str = "auto",
        store: VectorStore | None = None,
        buckets: int = BUCKETS,
    ) -> None:
        self.config = config or Config()
        self.device = device
        self.store = store
        self.buckets = buckets
        self.encoders: dict[str, Encoder] = {}
        self.classifier = None if self.config.by_rules else PairClassifier.load(self.config.model)
        if self.classifier is not None:
            self.config = with_own_encoders(self.config, self.classifier)

    def match(
        self,
        catalog: Catalog,
        *,
        embeddings: Mapping[str, Embeddings] | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """Match and group all posts of a catalogue.

        The work is done in the order of posting ids, so that the order of rows changes nothing. Where there are more
        than 25 posts with the same title, hash and vectors, the first stands for all in the candidate pairs.

        Args:
            catalog: the posts.
            embeddings: vectors by name, in the order of the catalogue's rows; those named title or photo stand in
                for the encoder's. A name without a section in `config.vectors` is taken as a photo view.
            progress: called with (stage, done, total); total is 0 where it is not known.

        Returns:
            The matches, groups, candidate pairs and report, in the order of the catalogue's rows.

        Raises:
            EvidenceError: embeddings of another number of posts, or no view in use.
            EncoderError: an encoder that cannot be opened.
            ConfigError: an option that the classifier owns was set to another value than it learned with.
        """
        clock = Clock(progress)
        given = {"catalog": catalog, "brought": dict(embeddings or {})}
        wanted = ("catalog", "config", "pairs", "matches", "groups", "copy_of", "cut_off", "recall")
        found = dict(zip(wanted, self.plan(progress).run(given, wanted, clock), strict=True))
        found["catalog"] = noted(found["catalog"], found.pop("recall"))
        return Result(**found, seconds=clock.seconds, peak_memory=peak_memory())

    def plan(self, progress: Progress | None = None) -> Plan:
        """Lay out the way from posts to groups.

        Args:
            progress: for stages that know how far they are.
        """
        return Plan(
            ("catalog", "brought"),
            (
                Stage("photo hashes", ("catalog",), ("catalog",), partial(self._hashed, progress=progress)),
                Stage("placeholders", ("catalog",), ("catalog", "given"), self._speaking),
                Stage(
                    "encoders", ("catalog", "brought"), ("catalog", "vectors"), partial(self.encoded, progress=progress)
                ),
                Stage("settings", ("catalog", "vectors", "brought"), ("config", "classifier", "spare"), self.settings),
                Stage("copies", ("catalog", "vectors"), ("order", "copies", "kept", "kept_vectors"), _kept),
                Stage("vectors", ("kept", "kept_vectors", "copies", "config"), ("fitted", "views"), self._views),
                Stage(
                    "neighbours",
                    ("kept", "views", "config", "spare"),
                    ("evidence", "cut_off", "recall"),
                    self._evidence,
                ),
                Stage("blending", ("evidence", "config"), ("pairs",), blended),
                Stage(
                    "classifier",
                    ("pairs", "evidence", "kept", "fitted", "classifier", "spare"),
                    ("pairs",),
                    _classified,
                ),
                Stage("identifiers", ("pairs", "evidence", "kept", "classifier"), ("pairs",), _identified),
                Stage(
                    "decisions",
                    ("pairs", "order", "copies", "config", "catalog", "cut_off"),
                    ("matches", "groups"),
                    _decided,
                ),
                Stage(
                    "results",
                    ("catalog", "given", "order", "copies", "pairs", "cut_off"),
                    ("catalog", "pairs", "copy_of", "cut_off"),
                    _restored,
                ),
            ),
        )

    def encoded(
        self, catalog: Catalog, embeddings: Mapping[str, Embeddings] | None = None, progress: Progress | None = None
    ) -> tuple[Catalog, dict[str, Embeddings]]:
        """Encode the posts as the configuration asks, but for vectors that were brought.

        Args:
            catalog: the posts.
            embeddings: vectors by name, in the order of the catalogue's rows.
            progress: called with (stage, done, total).

        Returns:
            The catalogue, with a problem row for each photo that could not be encoded, and all vectors.
        """
        made = encode_posts(
            catalog,
            self.config,
            embeddings,
            buckets=Buckets.of(catalog.ids, self.buckets),
            resources=Resources(self.device, self.store, progress, self.encoders),
        )
        if not len(made.problems):
            return catalog, made.embeddings
        told = catalog.problems.filter(pl.col("part") == "image").select("posting_id")  # while hashing, mostly
        fresh = made.problems.join(told, on="posting_id", how="anti")
        return catalog.with_hashes(catalog.hashes, catalog.hashed, fresh), made.embeddings

    @staticmethod
    def evidence(
        catalog: Catalog,
        config: Config,
        embeddings: Mapping[str, Embeddings],
        clock: Clock | None = None,
        *,
        spare: frozenset[str] = frozenset(),
    ) -> Evidence:
        """Do all of the work that no threshold changes: views, neighbours, candidates, similarities.

        Args:
            catalog: the posts, in the order in which ties are to be broken.
            config: the views and the fusion rule.
            embeddings: vectors by name, in the same order.
            clock: takes the time of the stages.
            spare: names of vectors that are compared, but have no part in the fused similarity.

        Returns:
            The evidence.
        """
        clock = clock or Clock()
        with clock.stage("vectors"):
            titles = normalize(catalog.titles)
            views = build_views(catalog, titles, config, embeddings)
        with clock.stage("neighbours"):
            return gather(views, titles, config, spare=spare)

    def _hashed(self, catalog: Catalog, progress: Progress | None) -> Catalog:
        buckets = Buckets.of(catalog.ids, self.buckets)
        return with_photo_hashes(catalog, self.config, progress, buckets=buckets, store=self.store)

    def _speaking(self, catalog: Catalog) -> tuple[Catalog, Catalog]:
        """Leave out what says nothing, and what is not to tell products apart; keep the posts as they were given."""
        return as_compared(catalog, self.config.variants), catalog

    def settings(
        self, catalog: Catalog, vectors: Mapping[str, Embeddings], brought: Mapping[str, Embeddings]
    ) -> tuple[Config, PairClassifier | None, dict[str, str]]:
        """Find out what decides and with which options, now that the posts are known.

        Args:
            catalog: n posts as they are compared.
            vectors: all vectors by name, n rows each.
            brought: those of them that no encoder of the configuration has made.

        Returns:
            The configuration with its cuts, the classifier (None for rules), and the vectors that it has not learned
            from, with their encoders.

        Raises:
            ConfigError: an option that the classifier owns was set to another value than it learned with.
        """
        config, classifier = chosen(self.config, self.classifier, catalog, vectors, brought)
        if classifier is None:
            return config.settled().at_pool(len(catalog)), None, {}
        config = config.settled(classifier.cut, veto=classifier.veto).at_pool(len(catalog))
        own = replace(classifier, veto=bool(config.veto))  # the user may want another than it has
        return config, own, _spare(vectors, config, own, brought)

    def _views(
        self, kept: Catalog, vectors: Mapping[str, Embeddings], copies: Copies, config: Config
    ) -> tuple[Fitted, tuple[View, ...]]:
        """Count terms bucket by bucket, weigh them by what the whole catalogue says of them."""
        titles, buckets = normalize(kept.titles), Buckets.of(kept.ids, self.buckets)
        counted = [count_terms(titles.gather(rows), config) for rows in buckets] if (titles != "").any() else []
        fitted = Fitted.fit(titles, copies, counted, config, kept.further)
        weighed = fitted.weigh(counted, buckets) if counted else {}
        return fitted, (*views_of(weighed, kept, config, vectors), *identifier_views(kept))

    def _evidence(
        self, kept: Catalog, views: tuple[View, ...], config: Config, spare: Mapping[str, str]
    ) -> tuple[Evidence, Bools, dict[str, float]]:
        buckets = Buckets.of(kept.ids, self.buckets)
        apart, scope = frozenset(spare) | {view.name for view in identifier_views(kept)}, Scope.of(kept)
        found = gather(views, normalize(kept.titles), config, spare=apart, buckets=buckets, scope=scope)
        return found, found.cut_off(), found.recall()


def _kept(catalog: Catalog, vectors: Mapping[str, Embeddings]) -> tuple[Rows, Copies, Catalog, dict[str, Embeddings]]:
    """Sort the posts by their ids and leave out copies of which there are many."""
    order = catalog.ids.arg_sort().to_numpy().astype(np.int64)
    brought = _sorted(vectors, order)
    ordered = catalog.take(order)
    copies = Copies.find(ordered, normalize(ordered.titles), brought.values())
    kept = {name: given.take(copies.kept) for name, given in brought.items()}
    return order, copies, ordered.take(copies.kept), kept


def _classified(
    pairs: Pairs,
    evidence: Evidence,
    kept: Catalog,
    fitted: Fitted,
    classifier: PairClassifier | None,
    spare: Mapping[str, str],
) -> Pairs:
    if classifier is None:
        return pairs
    scorers = scorers_of(evidence.titles, evidence.quantities, kept, (fitted.titles, fitted.tokens))
    return classify(pairs, evidence.posts, scorers, classifier, spare)


def _identified(pairs: Pairs, evidence: Evidence, kept: Catalog, classifier: PairClassifier | None) -> Pairs:
    return identified(pairs, evidence.quantities, kept, classifier)


def _decided(
    pairs: Pairs, order: Rows, copies: Copies, config: Config, catalog: Catalog, cut_off: Bools
) -> tuple[Matches, Groups]:
    limits = Limits(cut_off, Scope.of(catalog.take(order[copies.kept])))
    return decided(pairs, order, copies, config, catalog, limits)


def _restored(
    catalog: Catalog, given: Catalog, order: Rows, copies: Copies, pairs: Pairs, cut_off: Bools
) -> tuple[Catalog, Pairs, Rows, Bools]:
    told, copy_of, limited = restored(catalog, given, order, copies, cut_off)
    return told, of_rows(pairs, order[copies.kept]), copy_of, limited


def identified(pairs: Pairs, quantities: Quantities, kept: Catalog, classifier: PairClassifier | None) -> Pairs:
    """Add what identifiers say; a pair with probability 0, as where quantities contradict each other, keeps it."""
    return with_codes(pairs, quantities, code_weights([pairs], kept, learned=classifier is not None))


def code_weights(parts: Iterable[Pairs], kept: Catalog, *, learned: bool) -> dict[str, tuple[float, float]]:
    """Estimate what the identifiers of posts say, by all pairs; see `identifier_weights`."""
    codes = () if kept.identifiers is None else tuple(kept.identifiers)
    gtins = {EQUAL + column.name for column in codes if holds_gtins(column)}
    return identifier_weights(parts, gtins, learned=learned)


def with_codes(pairs: Pairs, quantities: Quantities, weights: Mapping[str, tuple[float, float]]) -> Pairs:
    """Add what identifiers say to some pairs, by these weights."""
    pieces = np.nan_to_num(quantities.pieces(), nan=1.0)  # a title that names none sells one
    return weighed_by_identifiers(pairs, weights, pieces[pairs.left] != pieces[pairs.right])


def _sorted(embeddings: Mapping[str, Embeddings], order: Rows) -> dict[str, Embeddings]:
    for name, given in embeddings.items():
        if len(given) != len(order):
            raise EvidenceError(
                f"{len(given)} vectors {name!r} for {len(order)} posts",
                "one per post, in the order of the posts",
                "Read them with Embeddings.read.",
            )
    return {name: given.take(order) for name, given in embeddings.items()}


def _spare(
    vectors: Mapping[str, Embeddings], config: Config, classifier: PairClassifier, brought: Mapping[str, Embeddings]
) -> dict[str, str]:
    """Name photo vectors that the classifier has not learned from, and their encoders ("" where they were brought)."""
    return {
        name: "" if name in brought else str(config.encoder_of(name))
        for name in vectors
        if name not in classifier.names and vectors_section(config, name)[-1] == "photo"
    }
