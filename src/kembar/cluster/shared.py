"""What a task knows of the run as a whole: read when it is asked for, and kept while the stage lasts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp

from kembar.arrays import Bools, Floats, Rows, Sparse, offsets_of
from kembar.classifier.pair_classifier import PairClassifier
from kembar.cluster.parts import Parts
from kembar.cluster.work import Work
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.store import VectorStore
from kembar.evidence.copies import Copies
from kembar.evidence.gathering import Comparison
from kembar.evidence.identifier_view import identifier_views
from kembar.evidence.pairs import Pairs
from kembar.evidence.scope import Scope
from kembar.evidence.scorers import Scorer
from kembar.evidence.several import Search
from kembar.evidence.views import View
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.titles import normalize


@dataclass(frozen=True, slots=True)
class Start:
    """What a run begins with.

    Attributes:
        catalog: n posts as they were given.
        order: (n,) their rows in the order of posting ids.
        brought: vectors that no encoder makes, in the order of the rows.
        config: what was asked for.
        device: for the encoders.
        cache: folder of vectors of earlier runs; None: everything is encoded anew.
        parts: into so many the posts are cut.
    """

    catalog: Catalog
    order: Rows
    brought: Mapping[str, Embeddings]
    config: Config
    device: str
    cache: Path | None
    parts: int


class Shared:
    """What the tasks of one stage share, in one process.

    Args:
        work: the files.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._index: tuple[tuple[str, int], View, Search] | None = None

    @cached_property
    def start(self) -> Start:
        """What the run began with."""
        found: Start = self.work.read("start")
        return found

    @cached_property
    def ordered(self) -> Catalog:
        """All posts, in the order of their ids."""
        return self.start.catalog.take(self.start.order)

    @cached_property
    def all_parts(self) -> Parts:
        """The parts of all posts."""
        return Parts.of(len(self.start.order), self.start.parts)

    @cached_property
    def matcher(self) -> Matcher:
        """What encodes posts."""
        start = self.start
        store = None if start.cache is None else VectorStore(start.cache)
        return Matcher(start.config, device=start.device, store=store)

    @cached_property
    def speaking(self) -> Catalog:
        """All posts, without what says nothing, in the order of their ids."""
        found: Catalog = self.work.read("speaking")[0]
        return found

    @cached_property
    def config(self) -> Config:
        """The configuration, now that the posts are known."""
        found: Config = self.work.read("settings")[0]
        return found

    @cached_property
    def spare(self) -> dict[str, str]:
        """The vectors that the classifier has not learned from, with their encoders."""
        return dict(self.work.read("settings")[1])

    @cached_property
    def classifier(self) -> PairClassifier | None:
        """What decides; None for rules."""
        return None if self.config.by_rules else replace(_loaded(self.config.model), veto=bool(self.config.veto))

    def vectors(self, stage: str) -> dict[str, Embeddings]:
        """The vectors that a stage has put together, by name."""
        files = self.work.read(stage)["files"]
        return {name: Embeddings(self.work.mapped(file), offsets) for name, (file, offsets) in files.items()}

    @cached_property
    def copies(self) -> Copies:
        """Which posts are compared, in the order of ids, and which stand behind them."""
        found: Copies = self.work.read("kept")["copies"]
        return found

    @cached_property
    def kept(self) -> Catalog:
        """The posts that are compared."""
        return self.speaking.take(self.copies.kept)

    @cached_property
    def titles(self) -> pl.Series:
        """Their titles in normal form."""
        return normalize(self.kept.titles)

    @cached_property
    def parts(self) -> Parts:
        """The parts of the posts that are compared."""
        return Parts.of(len(self.copies.kept), self.start.parts)

    @cached_property
    def scope(self) -> Scope | None:
        """Which of them may be one product; None: all."""
        return Scope.of(self.kept)

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The views before any blending."""
        found: tuple[View, ...] = self.work.read("views")
        return found

    @cached_property
    def apart(self) -> frozenset[str]:
        """Names of the views that are neither fused nor blended."""
        return frozenset(self.spare) | {view.name for view in identifier_views(self.kept)}

    def blending(self) -> list[str]:
        """Name the views that blending changes."""
        return [view.name for view in self.views if view.blends and view.name not in self.apart]

    def view(self, name: str, step: int) -> View:
        """Give a view as it is after some steps of blending."""
        if step and name in self.blending():
            found: View = self.work.read("blended view", None, name, step)
            return found
        return next(view for view in self.views if view.name == name)

    def search(self, name: str, step: int) -> tuple[View, Search]:
        """Give a view and what searches it; one at a time is kept."""
        if self._index is None or self._index[0] != (name, step):
            self._index = None  # before the next is made
            view = self.view(name, step)
            self._index = (name, step), view, view.index() if self.scope is None else self.scope.index(view)
        return self._index[1:]

    @cached_property
    def comparison(self) -> Comparison:
        """How pairs are compared."""
        return Comparison(self.views, self.work.read("quantities"), self.config, self.apart)

    @cached_property
    def scorers(self) -> tuple[Scorer, ...]:
        """What else compares pairs."""
        found: tuple[Scorer, ...] = self.work.read("scorers")
        return found

    @cached_property
    def cut_off(self) -> Bools:
        """(m,) bool of the posts that are compared, see `Evidence.cut_off`."""
        found = np.zeros(len(self.copies.kept), dtype=bool)
        for view in self.views:
            parts = [self.work.read("near", part, view.name)["cut_off"] for part in range(len(self.parts))]
            found |= np.concatenate(parts)
        return found

    @property
    def recall(self) -> dict[str, float]:
        """See `Evidence.recall`."""
        every = range(len(self.parts))
        found = {
            view.name: min(self.work.read("near", part, view.name)["recall"] for part in every) for view in self.views
        }
        return {name: share for name, share in found.items() if share < 1}

    def pairs(self, part: int) -> Pairs:
        """The candidate pairs whose left post is of a part, before a classifier."""
        found: Pairs = self.work.read("pairs", part, step=self.config.advanced.blend.steps)[0]
        return found

    @cached_property
    def before(self) -> Rows:
        """How many candidate pairs there are before each part, and in all: (parts + 1,) int64."""
        return offsets_of(np.array([len(self.pairs(part)) for part in range(len(self.parts))]))

    @cached_property
    def standing_posts(self) -> Floats:
        """What ranking said of the posts, see `kembar.cluster.verdicts.ranks`: (c, p, n) float32 for n posts."""
        return np.concatenate([self.work.read("ranks", part)["posts"] for part in range(len(self.parts))], axis=2)

    @cached_property
    def companions(self) -> Sparse | None:
        """Which candidates are whose: (n, n) CSR; None where the classifier does not ask for it."""
        made = [self.work.read("ranks", part)["company"] for part in range(len(self.parts))]
        return None if made[0] is None else sp.vstack(made, format="csr")


@lru_cache(maxsize=1)
def _loaded(model: str) -> PairClassifier:
    """Load a classifier once per process."""
    return PairClassifier.load(model)
