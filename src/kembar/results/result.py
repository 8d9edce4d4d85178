"""What a run found: matches, groups, the evidence behind them, and a report that answers the next question."""

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Doubles, Floats, Rows
from kembar.config import Config
from kembar.evidence.pairs import OF_RULES, SIMILARITY, Pairs
from kembar.folders import new_folder
from kembar.grouping.groups import Groups
from kembar.grouping.matches import Matches
from kembar.posts.buckets import draws_of
from kembar.posts.catalog import Catalog
from kembar.remote import fetched, place
from kembar.results.cohesion import cohesion
from kembar.results.counts import counts
from kembar.results.differences import differences
from kembar.results.links import links_frame
from kembar.results.page import excerpt
from kembar.results.questions import near, one_each, spread
from kembar.results.report import model_name
from kembar.results.run_folder import read_run, write_run
from kembar.results.scores import Curve, b_cubed, curve, oracle, pair_score, score_edges
from kembar.results.tables import groups_table
from kembar.threads import unforked

if TYPE_CHECKING:
    from kembar.results.explanation import Explanation

_ENDS: Final = (("posting_id", "source"), ("other", "target"))


@dataclass(frozen=True, repr=False)
class Result:
    """The outcome of matching a catalogue, in the order of its rows.

    Attributes:
        catalog: the posts, with the hashes that were computed and the problems that were met.
        config: the configuration, its cuts moved to the size of this pool.
        pairs: the candidate pairs with their evidence and final `similarity`.
        matches: the matches of every post, itself first, then best first.
        groups: the partition.
        copy_of: (n,) int64 rows: the post that stands for each among the pairs, itself unless it is one of many copies.
        cut_off: (n,) bool, True for posts that may have more neighbours than some list had places; None where that is
            not known.
        seconds: by stage.
        peak_memory: bytes, of the whole process; 0 where the system does not tell.
        compared: (n,) candidates of each post, where those that cannot be one product, and are in no group, are not
            among `pairs`, as in runs in parts; None: all are.
    """

    catalog: Catalog
    config: Config
    pairs: Pairs
    matches: Matches
    groups: Groups
    copy_of: Rows
    cut_off: Bools | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    compared: Rows | None = None

    def __len__(self) -> int:
        return len(self.catalog)

    def __repr__(self) -> str:
        sizes = self.groups.sizes()
        alone, cut = int((sizes == 1).sum()), f"rule {self.config.rule} at cut {self.cut():.2f}"
        sure = self.report["estimate"]
        told = "" if sure is None else f"; precision about {sure['precision']:.2f}, recall about {sure['recall']:.2f}"
        return "\n".join(
            [
                f"Result of {len(self):,} posts: {len(sizes) - alone:,} groups of two or more, {alone:,} posts alone",
                f"  by {model_name(self.config.model)}, {cut}{told}",
                "  see groups_frame(), weakest_links(), explain(a, b), regroup; save(folder) writes report.html",
            ]
        )

    def _repr_html_(self) -> str:
        """Show the most doubtful and the largest groups in a notebook, with small photos; of a bounded size."""
        return excerpt(self)

    @cached_property
    @unforked
    def report(self) -> dict[str, Any]:
        """Counts, sizes, problems and, where groups are known, scores; as in report.json."""
        return counts(self)

    @cached_property
    @unforked
    def cohesion(self) -> pl.DataFrame:
        """How sure each group is, a row for each; see `kembar.results.cohesion.cohesion`."""
        return cohesion(self.pairs, self.groups.labels, self.copy_of, self.catalog.ids)

    @unforked
    def scores(self, labels: Rows | None = None) -> dict[str, float]:
        """Score matches, pairs and groups against known groups.

        Args:
            labels: (n,) group codes >= 0, -1 where unknown; the catalogue's own by default.

        Returns:
            `f1`, `precision`, `recall` (means over `posts` labelled posts in a `pool`), `spread` (standard error of
            the mean F1), `pair_*`, `b3_*` (of the groups) and `oracle_f1` (of the candidate pairs).

        Raises:
            EvidenceError: no post has a label.
        """
        labels = self.labels() if labels is None else labels
        source, target = self.matches.edges()
        return {
            **asdict(score_edges(source, target, labels)),
            **pair_score(source, target, labels),
            **b_cubed(self.groups.labels, labels),
            "oracle_f1": oracle(self.pairs.left, self.pairs.right, labels).f1,
        }

    @unforked
    def curve(self, labels: Rows | None = None) -> Curve:
        """Compute mean F1, precision and recall for every threshold on the similarity, whatever rule decided.

        Args:
            labels: as in `scores`.

        Returns:
            The curve.

        Raises:
            EvidenceError: no post has a label.
        """
        labels = self.labels() if labels is None else labels
        return curve(self.pairs.left, self.pairs.right, self.pairs.evidence[SIMILARITY], labels)

    @unforked
    def explain(self, a: str, b: str) -> "Explanation":
        """Explain why two posts match or do not.

        Args:
            a: a posting id.
            b: another posting id.

        Returns:
            Every piece of evidence, what each rule said, in words and numbers.

        Raises:
            CatalogError: there is no such post, or the two are one.
        """
        from kembar.results.explanation import explain  # with it come the libraries that compare posts

        return explain(self, a, b)

    @unforked
    def weakest_links(self, n: int = 10) -> pl.DataFrame:
        """List the posts that hang most loosely in their group: the first to look at.

        Args:
            n: rows wanted.

        Returns:
            Columns group_id, posting_id, title, size, mean_similarity (to the other members, never compared = 0),
            the loosest first. Of many copies only the first is listed and counted.
        """
        labels = self.groups.labels
        own = self.copy_of == np.arange(len(self))
        inside = self.pairs.within(labels)
        similarity = self.pairs.evidence[SIMILARITY][inside].astype(np.float64)
        total = np.bincount(self.pairs.left[inside], similarity, len(self))
        total += np.bincount(self.pairs.right[inside], similarity, len(self))
        sizes = np.bincount(labels[own], minlength=len(self.groups))[labels]
        mean = np.divide(total, sizes - 1, out=np.full(len(self), np.nan), where=sizes > 1)
        frame = pl.DataFrame(
            {
                "group_id": self.groups.ids.gather(labels),
                "posting_id": self.catalog.ids,
                "title": self.catalog.titles,
                "size": sizes,
                "mean_similarity": mean,
            }
        )
        loose = frame.filter(pl.Series(own) & (pl.col("size") > 1))
        return loose.sort("mean_similarity", "posting_id").head(n)

    @unforked
    def label_queue(self, n: int = 100) -> pl.DataFrame:
        """List the pairs whose answer would teach most.

        Where a classifier decided, they are spread over the whole range of its probabilities, and half of them are
        pairs about which it and the hand-set rules disagree; where rules decided, they are those near the cut. One
        pair for each neighbourhood comes first (see kembar.results.questions).

        Args:
            n: rows wanted.

        Returns:
            Columns left, right (posting ids), left_title, right_title, similarity, and `same`, empty, for the answers
            that `kembar tune --labels` reads; in the order in which they are best asked.
        """
        evidence, draws = self.pairs.evidence, self.draws()
        if self.config.by_rules or OF_RULES not in evidence:
            order = near(evidence[SIMILARITY], self.cut(), draws)
        else:
            order = spread(evidence[SIMILARITY], evidence[OF_RULES], draws)
        chosen = one_each(self.pairs, order, self.groups.labels, n)
        frame: dict[str, pl.Series] = {}
        for name, rows in (("left", self.pairs.left[chosen]), ("right", self.pairs.right[chosen])):
            frame |= {name: self.catalog.ids.gather(rows), f"{name}_title": self.catalog.titles.gather(rows)}
        similarity = pl.Series(self.pairs.evidence[SIMILARITY][chosen])
        empty = pl.Series([None] * len(chosen), dtype=pl.Int8)
        return pl.DataFrame({**frame, "similarity": similarity, "same": empty}).select(
            "left", "right", "left_title", "right_title", "similarity", "same"
        )

    @unforked
    def differences(self) -> pl.DataFrame:
        """List where the matches of a post and its group do not say the same, and why.

        Returns:
            Columns posting_id, other, similarity (null where never compared), matched, grouped, why, in the order of
            the rows.
        """
        found = differences(self.pairs, self.matches, self.groups, self.config)
        ends = {name: self.catalog.ids.gather(found[end]) for name, end in _ENDS}
        return found.select("similarity", "matched", "grouped", "why").select(
            *(pl.Series(name, ids) for name, ids in ends.items()), pl.all()
        )

    @unforked
    def groups_frame(self) -> pl.DataFrame:
        """Show the groups as a table, in the order of the rows; see `kembar.results.tables.groups_table`."""
        return groups_table(self)

    @unforked
    def links_frame(self) -> pl.DataFrame:
        """Show the links between two catalogues, see `kembar.results.links.links_frame`."""
        return links_frame(self.catalog, self.pairs, self.matches)

    @unforked
    def save(self, folder: Path | str, *, overwrite: bool = False, like: Path | str | None = None) -> None:
        """Write the run folder: all of it or, on any failure, nothing.

        Args:
            folder: where to: a path, or an address such as s3://bucket/run (see `kembar.remote`).
            overwrite: replace an earlier run folder.
            like: the folder of a run with the same posts and pairs, such as was regrouped: copied from, which is quick.

        Raises:
            FolderError: the folder is in the way or cannot be written.
        """
        with (
            new_folder(folder, overwrite=overwrite) as target,
            nullcontext(None) if like is None else fetched(place(like)) as copied,
        ):
            write_run(self, target, copied)

    @classmethod
    @unforked
    def load(cls, folder: Path | str, *, evidence: Collection[str] | None = None) -> "Result":
        """Read a run folder.

        Args:
            folder: what `save` wrote, here or elsewhere.
            evidence: which columns of the pairs to read, such as `("similarity",)`, which is what `regroup` and
                `scores` need; of a large run they take most of the memory. None: all.

        Returns:
            The result.

        Raises:
            FolderError: there is no whole run in the folder, or it is of another version.
        """
        with fetched(place(folder)) as here:
            return cls(**read_run(here, evidence))

    @property
    def similarity(self) -> Floats:
        """(m,) float32, what decides about each pair: the classifier's probability, or the similarity of the rules."""
        return self.pairs.evidence[SIMILARITY]

    @property
    def candidates(self) -> int:
        """How many pairs were compared."""
        return len(self.pairs) if self.compared is None else int(self.compared.sum()) // 2

    def labels(self) -> Rows:
        """Known groups: (n,) codes, -1 where unknown."""
        return self.catalog.labels if self.catalog.labels is not None else np.full(len(self), -1, dtype=np.int64)

    def draws(self) -> Doubles:
        """(m,) a draw from [0, 1) for each pair, the same whatever the order of rows: for ties."""
        draw = draws_of(self.catalog.ids)
        return (draw[self.pairs.left] + draw[self.pairs.right]) % 1

    def cut(self) -> float:
        """The similarity that decides: of the groups, or of rule threshold."""
        return self.config.advanced.decide.threshold if self.config.rule == "threshold" else self.config.group_cut
