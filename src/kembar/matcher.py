"""The whole way, one object: posts in, matches and groups out."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import polars as pl

from kembar.arrays import Doubles, Progress, Rows
from kembar.classifier.classify import judged
from kembar.classifier.ownership import adopted
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import BY_RULES, Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.encoding import encode_posts
from kembar.encoders.store import VectorStore
from kembar.errors import EvidenceError
from kembar.evidence.copies import Copies
from kembar.evidence.edges import Edges, capped, select
from kembar.evidence.gathering import BLENDED, SIMILARITY, Evidence, blended, gather
from kembar.evidence.pairs import Pairs
from kembar.evidence.views import build_views, vectors_section
from kembar.grouping.groups import Groups, average_link, components, fill_singles
from kembar.grouping.matches import Matches, chisel, expected_f1, mutual, row_shares, shopee_shares, within_groups
from kembar.posts.catalog import Catalog
from kembar.posts.hashing import hash_photos
from kembar.posts.titles import normalize
from kembar.results.result import Result, peak_memory

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds by stage, in the order they were first entered; tells a listener what is going on."""

    progress: Progress | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        log.info("%s", name)
        if self.progress:
            self.progress(name, 0, 0)
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


class Matcher:
    """Finds the posts that sell the same product.

    Args:
        config: everything that can be set; the defaults where None.
        device: for the encoders, see `kembar.encoders.registry.open_encoder`.
        store: vectors of earlier runs; None: everything is encoded anew.
    """

    def __init__(self, config: Config | None = None, *, device: str = "auto", store: VectorStore | None = None) -> None:
        self.config = config or Config()
        self.device = device
        self.store = store
        self.classifier = None if self.config.by_rules else PairClassifier.load(self.config.model)

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
        """
        clock = Clock(progress)
        with clock.stage("photo hashes"):
            catalog = with_photo_hashes(catalog, self.config, progress)
        with clock.stage("encoders"):
            catalog, vectors = self.encoded(catalog, embeddings, progress)
        order = catalog.ids.arg_sort().to_numpy().astype(np.int64)
        classifier = self._judge(catalog, vectors)
        config = self._settled(classifier).at_pool(len(catalog))
        spare = {} if classifier is None else _spare(vectors, config, classifier, embeddings or {})
        brought = _sorted(vectors, order)
        ordered = catalog.take(order)
        copies = Copies.find(ordered, normalize(ordered.titles), brought.values())
        kept = {name: Embeddings(given.vectors[copies.kept]) for name, given in brought.items()}
        evidence = self.evidence(ordered.take(copies.kept), config, kept, clock, spare=frozenset(spare))
        with clock.stage("blending"):
            pairs = blended(evidence, config)
        if classifier is not None:
            with clock.stage("classifier"):
                pairs = judged(pairs, evidence.titles, evidence.quantities, classifier, spare, veto=bool(config.veto))
        with clock.stage("decisions"):
            edges, labels = decide(pairs, len(copies.kept), config, _shares(catalog))
            edges, labels = copies.edges(edges, config.advanced.decide.cap), labels[copies.place]
            pairs, edges, labels = _restored(order, copies.kept, pairs, edges, labels)
            matches = Matches.of(edges[0], edges[1], len(catalog))
            groups = Groups.of(labels, catalog.ids)
        copy_of = np.empty_like(order)
        copy_of[order] = order[copies.kept[copies.place]]
        return Result(catalog, config, pairs, matches, groups, copy_of, clock.seconds, peak_memory())

    def _settled(self, classifier: PairClassifier | None) -> Config:
        """Give the configuration of a run: the classifier's own options, or those of rules, and no "auto"."""
        if classifier is None:
            return self.config.with_model(BY_RULES).settled()
        return adopted(self.config, classifier).settled(classifier.cut)

    def _judge(self, catalog: Catalog, vectors: Mapping[str, Embeddings]) -> PairClassifier | None:
        """Give the classifier, but not where a view is lacking that it has not learned to do without: rules can."""
        if self.classifier is None:
            return None
        learned = {name.removesuffix(BLENDED) for name in self.classifier.similarities} - {SIMILARITY}
        lacking = learned - _compared(catalog, self.config, vectors)
        if any(lacking <= set(views) for views in ((), *self.classifier.without)):
            return self.classifier
        names = ", ".join(map(repr, sorted(lacking)))
        log.warning(
            "nothing is compared by %s, which the classifier learned from; hand-set rules judge in its place", names
        )
        return None

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
        made = encode_posts(catalog, self.config, embeddings, device=self.device, store=self.store, progress=progress)
        told = catalog.problems.filter(pl.col("part") == "image").select("posting_id")  # while hashing, mostly
        fresh = made.problems.join(told, on="posting_id", how="anti")
        return catalog.with_hashes(catalog.hashes, catalog.hashed, fresh) if len(fresh) else catalog, made.embeddings

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


def decide(pairs: Pairs, n: int, config: Config, shares: Doubles) -> tuple[Edges, Rows]:
    """Turn scored pairs into matches and groups.

    Args:
        pairs: with the column `similarity`.
        n: number of posts.
        config: the rule of the decision, and how to group.
        shares: for rule chisel, see kembar.grouping.matches.chisel.

    Returns:
        Directed edges ordered by source, best first, and (n,) int64 group labels.
    """
    similarity = pairs.evidence[SIMILARITY]
    ends = pairs.left, pairs.right, similarity
    labels = partition(pairs, n, config)
    if config.rule == "group":
        edges = within_groups(labels, *ends)
    elif config.rule == "threshold":
        edges = select(*ends, n, threshold=config.advanced.decide.threshold, min2=config.advanced.decide.min2)
    elif config.rule == "expected":
        edges = expected_f1(*ends, n, alone=config.advanced.decide.alone, longest=config.advanced.decide.cap)
    else:
        possible = similarity > 0  # a vetoed pair never fills a list
        edges = chisel(pairs.left[possible], pairs.right[possible], similarity[possible], n, shares=shares)
    if config.advanced.decide.mutual:
        edges = mutual(edges, n)
    return capped(edges, config.advanced.decide.cap), labels


def partition(pairs: Pairs, n: int, config: Config) -> Rows:
    """Group posts by the configured link: (n,) int64 labels."""
    similarity, link, cut = pairs.evidence[SIMILARITY], config.advanced.group.link, config.group_cut
    ends = pairs.left, pairs.right, similarity
    if link == "average":
        size = config.target_size
        labels = average_link(*ends, n, cut=cut if size is None else 0.0, target_size=size)
    else:
        near = similarity >= cut
        labels = components(pairs.left[near], pairs.right[near], n)
    return filled(labels, pairs, config)


def filled(labels: Rows, pairs: Pairs, config: Config) -> Rows:
    """Let lone posts join their nearest group, where the configuration says so: (n,) int64 labels."""
    cut = config.single
    return labels if cut is None else fill_singles(labels, pairs.left, pairs.right, pairs.evidence[SIMILARITY], cut=cut)


def with_photo_hashes(catalog: Catalog, config: Config, progress: Progress | None = None) -> Catalog:
    """Compute the perceptual hashes that a catalogue lacks and whose photos are at hand.

    Args:
        catalog: the posts.
        config: nothing is done where the hash view is not in use.
        progress: called with (stage, done, total).

    Returns:
        The catalogue with more hashes, and with a problem row for each photo that could not be used.
    """
    wanted = np.flatnonzero(catalog.has_images & ~catalog.hashed)
    if not config.hash or catalog.folder is None or not len(wanted):
        return catalog
    paths = catalog.take(wanted).photo_paths()
    found = hash_photos(paths, progress=progress)
    hashes, hashed = catalog.hashes.copy(), catalog.hashed.copy()
    hashes[wanted], hashed[wanted] = found.hashes, found.hashed
    problems = found.problems.select(
        catalog.ids.gather(wanted[found.problems["row"].to_numpy()]).alias("posting_id"),
        pl.lit("image").alias("part"),
        pl.col("problem"),
    )
    return catalog.with_hashes(hashes, hashed, problems)


def _sorted(embeddings: Mapping[str, Embeddings], order: Rows) -> dict[str, Embeddings]:
    for name, given in embeddings.items():
        if len(given) != len(order):
            raise EvidenceError(
                f"{len(given)} vectors {name!r} for {len(order)} posts",
                "one a post, in the order of the posts",
                "Read them with Embeddings.read.",
            )
    return {name: Embeddings(given.vectors[order]) for name, given in embeddings.items()}


def _compared(catalog: Catalog, config: Config, vectors: Mapping[str, Embeddings]) -> set[str]:
    """Name the views that the posts give and the configuration uses."""
    titles = {name for name in ("word", "char") if getattr(config, name) and catalog.has_titles.any()}
    dense = {name for name, given in vectors.items() if vectors_section(config, name)[0] and given.vectors.any()}
    return titles | dense | ({"hash"} if config.hash and catalog.hashed.any() else set())


def _spare(
    vectors: Mapping[str, Embeddings], config: Config, classifier: PairClassifier, brought: Mapping[str, Embeddings]
) -> dict[str, str]:
    """Name photo vectors that the classifier has not learned from, and their encoders ("" where they were brought)."""
    return {
        name: "" if name in brought else str(config.encoder_of(name))
        for name in vectors
        if name not in classifier.names and vectors_section(config, name)[-1] == "photo"
    }


def _shares(catalog: Catalog) -> Doubles:
    """Take the shape of the lists from the catalogue's own labels, else from Shopee's."""
    known = catalog.labels is not None and (catalog.labels >= 0).any()
    return row_shares(catalog.labels) if known and catalog.labels is not None else shopee_shares()


def _restored(order: Rows, kept: Rows, pairs: Pairs, edges: Edges, labels: Rows) -> tuple[Pairs, Edges, Rows]:
    """Go back from the order of ids to the order of the catalogue's rows."""
    left, right = order[kept[pairs.left]], order[kept[pairs.right]]
    low, high = np.minimum(left, right), np.maximum(left, right)
    rank = np.lexsort((high, low))
    evidence = {name: column[rank] for name, column in pairs.evidence.items()}
    source, target, score = order[edges[0]], order[edges[1]], edges[2]
    by_source = np.argsort(source, kind="stable")  # the order within a list stays
    restored = np.empty_like(labels)
    restored[order] = labels
    return Pairs(low[rank], high[rank], evidence), (source[by_source], target[by_source], score[by_source]), restored
