"""What a run found: matches, groups, the evidence behind them, and a report that answers the next question."""

import json
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Rows, offsets_of
from kembar.classifier.classify import RULES
from kembar.config import CONFIG_FILE, Config
from kembar.errors import FolderError
from kembar.evidence.gathering import SIMILARITY
from kembar.evidence.pairs import Pairs
from kembar.folders import new_folder
from kembar.grouping.groups import Groups
from kembar.grouping.matches import Matches, row_shares
from kembar.posts.buckets import draws_of
from kembar.posts.catalog import Catalog
from kembar.results import charts
from kembar.results.estimates import doubtful, estimated
from kembar.results.explanation import Explanation, differences, explain
from kembar.results.questions import near, one_each, spread
from kembar.results.report import summary
from kembar.results.scores import Curve, b_cubed, curve, oracle, pair_score, score_edges
from kembar.threads import unforked

_FORMAT: Final = "kembar run"
_VERSION: Final = 1
_ENDS: Final = (("posting_id", "source"), ("other", "target"))


@dataclass(frozen=True)
class Result:
    """The outcome of matching a catalogue, in the order of its rows.

    Attributes:
        catalog: the posts, with the hashes that were computed and the problems that were met.
        config: the configuration, its cuts moved to the size of this pool.
        pairs: the candidate pairs with their evidence and final `similarity`.
        matches: the matches of every post, itself first, then best first.
        groups: the partition.
        copy_of: (n,) int64 rows: the post that stands for each among the pairs, itself unless it is one of many copies.
        seconds: by stage.
        peak_memory: bytes, of the whole process; 0 where the system does not tell.
    """

    catalog: Catalog
    config: Config
    pairs: Pairs
    matches: Matches
    groups: Groups
    copy_of: Rows
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory: int = 0

    def __len__(self) -> int:
        return len(self.catalog)

    @cached_property
    @unforked
    def report(self) -> dict[str, Any]:
        """Counts, sizes, problems and, where groups are known, scores; as in report.json."""
        return _report(self)

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
        labels = self._labels() if labels is None else labels
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
        labels = self._labels() if labels is None else labels
        return curve(self.pairs.left, self.pairs.right, self.pairs.evidence[SIMILARITY], labels)

    @unforked
    def explain(self, a: str, b: str) -> Explanation:
        """Explain why two posts match or do not.

        Args:
            a: a posting id.
            b: another posting id.

        Returns:
            Every piece of evidence, what each rule said, in words and numbers.

        Raises:
            CatalogError: there is no such post, or the two are one.
        """
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
        inside = labels[self.pairs.left] == labels[self.pairs.right]
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
        evidence, draw = self.pairs.evidence, draws_of(self.catalog.ids)
        draws = (draw[self.pairs.left] + draw[self.pairs.right]) % 1  # the same whatever the order of rows
        if self.config.by_rules or RULES not in evidence:
            order = near(evidence[SIMILARITY], self._cut(), draws)
        else:
            order = spread(evidence[SIMILARITY], evidence[RULES], draws)
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
        """Show the groups as a table: posting_id, group_id, size, in the order of the rows."""
        labels = self.groups.labels
        columns = {"posting_id": self.catalog.ids, "group_id": self.groups.ids.gather(labels)}
        return pl.DataFrame({**columns, "size": self.groups.sizes()[labels]})

    @unforked
    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write the run folder: all of it or, on any failure, nothing.

        Args:
            folder: where to.
            overwrite: replace an earlier run folder.

        Raises:
            FolderError: the folder is in the way or cannot be written.
        """
        with new_folder(folder, overwrite=overwrite) as target:
            self.matches.frame(self.catalog.ids).write_csv(target / "matches.csv")
            self.groups_frame().write_csv(target / "groups.csv")
            self._answers().write_parquet(target / "matches.parquet")
            self.pairs.frame(self.catalog.ids).write_parquet(target / "pairs.parquet")
            self.catalog.save(target / "catalog")
            (target / CONFIG_FILE).write_text(self.config.text(), encoding="utf-8")
            _write_json(target / "report.json", self.report)
            (target / "report.md").write_text(summary(self.report), encoding="utf-8")
            sizes = np.bincount(self.groups.sizes())
            known = row_shares(self._labels()) if (self._labels() >= 0).any() else None
            charts.group_sizes(sizes * np.arange(len(sizes)), known, target / "group-sizes.svg")
            _write_json(target / "manifest.json", self._manifest())

    @classmethod
    @unforked
    def load(cls, folder: Path | str) -> "Result":
        """Read a run folder.

        Args:
            folder: what `save` wrote.

        Returns:
            The result.

        Raises:
            FolderError: there is no whole run in the folder, or it is of another version.
        """
        source = Path(folder)
        manifest = _read_manifest(source)
        try:
            catalog = Catalog.load(source / "catalog")
            config = Config.read(source / CONFIG_FILE)
            rows = pl.DataFrame({"id": catalog.ids}).with_row_index("row")
            pairs = pl.read_parquet(source / "pairs.parquet", glob=False)
            left, right = (_rows_of(pairs[end], rows) for end in ("left", "right"))
            columns = {name: pairs[name].to_numpy() for name in pairs.columns[2:]}
            answers = pl.read_parquet(source / "matches.parquet", glob=False)
            offsets = offsets_of(answers["matches"].list.len().to_numpy())
            matches = Matches(offsets, _rows_of(answers["matches"].explode(), rows))
            groups = Groups.named(answers["group_id"].rename("id"))
            copy_of = _rows_of(answers["copy_of"], rows)
        except (OSError, pl.exceptions.PolarsError, KeyError) as error:
            raise _incomplete(source, str(error).splitlines()[0]) from error
        found = catalog, config, Pairs(left, right, columns), matches, groups, copy_of
        return cls(*found, manifest["seconds"], manifest["peak_memory"])

    def _labels(self) -> Rows:
        return self.catalog.labels if self.catalog.labels is not None else np.full(len(self), -1, dtype=np.int64)

    def _cut(self) -> float:
        return self.config.advanced.decide.threshold if self.config.rule == "threshold" else self.config.group_cut

    def _answers(self) -> pl.DataFrame:
        """Show matches as lists and groups: unlike Kaggle's form, ids may hold blanks."""
        members = pl.DataFrame(
            {
                "row": np.repeat(np.arange(len(self)), np.diff(self.matches.offsets)),
                "id": self.catalog.ids.gather(self.matches.rows),
            }
        )
        lists = members.group_by("row", maintain_order=True).agg("id")["id"]
        group_ids = self.groups.ids.gather(self.groups.labels)
        copy_of = self.catalog.ids.gather(self.copy_of)
        columns = {"posting_id": self.catalog.ids, "matches": lists, "group_id": group_ids, "copy_of": copy_of}
        return pl.DataFrame(columns)

    def _manifest(self) -> dict[str, Any]:
        packages = ("kembar", "numpy", "scipy", "scikit-learn", "polars", "faiss-cpu", "sparse-dot-topn", "pillow")
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "catalog": self.catalog.fingerprint(),
            "posts": len(self),
            "config": self.config.model_dump(mode="json"),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory": self.peak_memory,
        }


def peak_memory() -> int:
    """Peak resident memory of this process so far, in bytes; 0 where the system does not tell."""
    # Linux hands ru_maxrss down from the process that started this one; VmHWM is its own.
    status = Path("/proc/self/status")
    own = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.is_file() else None
    if own:
        return int(own[1]) * 1024
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _report(result: Result) -> dict[str, Any]:
    catalog, sizes, cap = result.catalog, result.groups.sizes(), result.config.advanced.decide.cap
    kinds = catalog.problems.with_columns(pl.col("problem").str.replace_all("'[^']*'", "'…'"))
    kinds = kinds.group_by("part", "problem").len("posts").sort("part", "problem")
    return {
        "posts": len(catalog),
        "with": {
            **{text.name: int((text != "").sum()) for text in _described(catalog)},
            "title": int(catalog.has_titles.sum()),
            "image": int(catalog.has_images.sum()),
            "hash": int(catalog.hashed.sum()),
            "label": int((result._labels() >= 0).sum()),
            **({} if catalog.prices is None else {"price": int((~np.isnan(catalog.prices)).sum())}),
        },
        "problems": {
            "posts": catalog.problems["posting_id"].n_unique(),
            "kinds": kinds.to_dicts(),
            "list": catalog.problems.head(1000).to_dicts(),
        },
        "candidate_pairs": len(result.pairs),
        "matched_posts": int((np.diff(result.matches.offsets) > 1).sum()),
        "mean_matches": float(np.diff(result.matches.offsets).mean()),
        "cut_lists": int((sizes[result.groups.labels] > cap).sum()) if result.config.rule == "group" else 0,
        "longest_list": cap,
        "groups": len(result.groups),
        "groups_of_one": int((sizes == 1).sum()),
        "largest_group": int(sizes.max(initial=0)),
        "groups_by_size": {str(size): int(count) for size, count in enumerate(np.bincount(sizes)) if count},
        "model": result.config.model,
        "rule": result.config.rule,
        "differences": dict(result.differences()["why"].value_counts().sort("why").iter_rows()),
        "scores": result.scores() if (result._labels() >= 0).any() else None,
        "estimate": None if result.config.by_rules else _estimate(result),
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "peak_memory": result.peak_memory,
    }


def _described(catalog: Catalog) -> list[pl.Series]:
    """List the texts and codes that a catalogue has besides titles."""
    return [text for table in (catalog.further, catalog.identifiers) if table is not None for text in table]


def _estimate(result: Result) -> dict[str, Any]:
    """Tell how good the run is likely to be, by the posts that were compared: copies share the fate of one of them."""
    kept = np.unique(result.copy_of)
    place = np.searchsorted(kept, np.arange(len(result)))
    pairs = Pairs(place[result.pairs.left], place[result.pairs.right], result.pairs.evidence)
    groups = result.groups.labels[kept]
    found = estimated(pairs, groups)
    told = doubtful(pairs, groups, result.groups.ids)
    return {**asdict(found), "doubtful": told.to_dicts()}


def _rows_of(ids: pl.Series, rows: pl.DataFrame) -> Rows:
    """Find the row of each posting id."""
    found = pl.DataFrame({"id": ids}).join(rows, on="id", how="left", maintain_order="left")["row"]
    if found.null_count():
        raise KeyError("a posting id that is not in the catalogue")
    return found.to_numpy().astype(np.int64)


def _write_json(path: Path, tree: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_manifest(source: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _incomplete(source, "no readable manifest.json") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT or manifest.get("version") != _VERSION:
        raise FolderError(
            f"{str(source)!r}, another kind or version of folder",
            f"a run folder of version {_VERSION}",
            "Run `kembar match` again with this version.",
        )
    return manifest


def _incomplete(source: Path, found: str) -> FolderError:
    return FolderError(
        f"{str(source)!r}, with {found}", "a run folder of `kembar match`", "Check the path, or run it again."
    )
