"""The pair classifier: from the evidence of a pair to the probability that both posts sell one product.

Boosted trees over the table of `kembar.classifier.features`, calibrated on pairs that the trees had not seen. A
classifier is a folder of a text and a JSON file; it knows the columns it needs, what they looked like, and how it was
trained.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Doubles, Floats, Progress, Rows
from kembar.classifier.calibration import Calibration, calibration_error
from kembar.classifier.drift import FEWEST, LARGE, Profile, sampled
from kembar.classifier.training_pairs import TrainingPairs, check_folds, held_out_margins
from kembar.classifier.trees import Growth, Trees, grow, replant
from kembar.config import BY_RULES, PHOTOS_ALONE, SHIPPED
from kembar.errors import EvidenceError, FolderError, nearest
from kembar.folders import new_folder
from kembar.threads import unforked

USUAL_CUT: Final = 0.5
"""Where no cut was chosen on groups: that of the classifier that ships."""

_FORMAT: Final = "kembar pair classifier"
_VERSION: Final = 3
SEARCH: Final = "advanced.blend.search"
"""An option that changes candidates, not what is said of them; a classifier that says nothing of it learned with it."""

_OLDER: Final = ("fuser.json", "kembar fuser", 2)  # the same, without its cut and its options
_SHIPPED: Final = {SHIPPED: "shipped", PHOTOS_ALONE: "shipped_photos"}
_MARK: Final = "classifier.json"
_MODEL: Final = "trees.txt"
_MATTERS: Final = 0.1  # share of the gain from which on changed columns matter; another size of pool moves .07
_GONE: Final = 0.5  # a column that so many more pairs lack matters always

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PairClassifier:
    """Boosted trees that tell whether two posts sell one product.

    Attributes:
        names: (c,) the columns it needs, in this order.
        trees: what scores a pair.
        calibration: what turns its log-odds into probabilities.
        profiles: what the columns looked like in training, in pools of each size it learned from.
        card: how it was trained, for people: counts, options, held-out scores, and what else the maker noted.
        weights: first guesses at what the cosine of an encoder adds to the log-odds that these trees know nothing of:
            for each encoder, one number for each hundredth from 0 to 1 (see kembar.classifier.match_weights).
        without: sets of views that some pools of its training lacked altogether: it can do without all views of any one
            of them.
        cut: the mean probability from which on its groups are joined best.
        veto: whether quantities that contradict each other forbid a match: where its groups are to be what titles say,
            whatever the labels that it learned from had.
        gate: pairs whose similarity by the rules is below it, and whose quantities do not contradict each other,
            are not looked at: none of them is a match; 0: all are looked at.
        evidence: the options that its columns depend on (see kembar.classifier.ownership), by their names.
        held_out: (m,) float32 probabilities of the training pairs by trees that had not seen their posts; not saved.
    """

    names: tuple[str, ...]
    trees: Trees
    calibration: Calibration
    profiles: tuple[Profile, ...]
    card: Mapping[str, Any]
    weights: Mapping[str, Doubles] = field(default_factory=dict, compare=False)
    without: tuple[tuple[str, ...], ...] = field(default=(), compare=False)
    cut: float = field(default=USUAL_CUT, compare=False)
    veto: bool = field(default=False, compare=False)
    gate: float = field(default=0.0, compare=False)
    evidence: Mapping[str, Any] = field(default_factory=dict, compare=False)
    held_out: Floats | None = field(default=None, compare=False, repr=False)

    @classmethod
    @unforked
    def fit(
        cls, pairs: TrainingPairs, *, growth: Growth | None = None, progress: Progress | None = None
    ) -> "PairClassifier":
        """Learn from labelled pairs: once for each fold without it, to calibrate, and once from all.

        Args:
            pairs: what is known.
            growth: how the trees grow.
            progress: called with (stage, done, total).

        Returns:
            The classifier, with its held-out probabilities.

        Raises:
            TrainingError: too few true pairs, no others, or fewer than two folds.
        """
        table, truth, folds, weight, names = pairs.table, pairs.truth, pairs.folds, pairs.weight, pairs.names
        growth = growth or Growth()
        check_folds(truth, folds)
        held_out = held_out_margins(pairs, growth, progress=progress)
        trees = grow(table, truth, weight, growth)
        calibration = Calibration.fit(held_out, truth)
        probability = calibration(held_out)
        card = _card(growth, truth, len(np.unique(folds)), _crossed(held_out, truth, folds))
        density = np.zeros(len(truth), dtype=np.int64) if pairs.density is None else pairs.density
        profiles = tuple(Profile.of(table[density == size], tuple(names)) for size in np.unique(density))
        return cls(tuple(names), trees, calibration, profiles, card, held_out=probability)

    @property
    def similarities(self) -> frozenset[str]:
        """The kinds of similarity that it learned from: those that pairs are ranked by."""
        return frozenset(name.removesuffix(" rank low") for name in self.names if name.endswith(" rank low"))

    @unforked
    def probability(self, table: Floats) -> Floats:
        """Classify pairs.

        Args:
            table: (m, c) float32 with the columns `names`, NaN where missing.

        Returns:
            (m,) float32 in [0, 1].

        Raises:
            EvidenceError: a table of another width.
        """
        self._check_width(table)
        if not len(table):
            return np.zeros(0, dtype=np.float32)
        return self.calibration(self.trees.margin(table))

    @unforked
    def contributions(self, table: Floats) -> Floats:
        """Share out the log-odds of pairs among the columns.

        Args:
            table: as in `probability`.

        Returns:
            (m, c + 1) float32; the last is what is there without any evidence. A row sums to the log-odds before
            calibration, which does not change the order of pairs.

        Raises:
            EvidenceError: a table of another width.
        """
        self._check_width(table)
        return self.trees.contributions(table) if len(table) else np.zeros((0, len(self.names) + 1), np.float32)

    @unforked
    def drift(self, table: Floats) -> pl.DataFrame:
        """Compare pairs with those of training, and warn (in the log) of columns that matter and have changed.

        Args:
            table: as in `probability`; of fewer than 4,000 pairs nothing is said.

        Returns:
            Columns column, psi, missing, missing_before, gain (what the column was worth in training): the changed
            columns, unlike those of every size of pool in training, the most telling first; where together they were
            worth less than a tenth, as when a pool is of another size, only those that most pairs now lack.
        """
        self._check_width(table)
        gains = pl.DataFrame({"column": self.names, "gain": self.trees.gains()})
        looked_at = sampled(table)
        compared = pl.concat([each.compare(looked_at) for each in self.profiles])
        nearest = compared.sort("psi").unique("column", keep="first", maintain_order=True)  # pools may lie between two
        found = nearest.join(gains, on="column", maintain_order="left")
        if len(table) < FEWEST:
            return found.clear()
        found = found.filter((pl.col("psi") >= LARGE) & (pl.col("gain") > 0))
        found = found.sort("gain", "column", descending=[True, False])
        if found["gain"].sum() < _MATTERS:
            found = found.filter(pl.col("missing") - pl.col("missing_before") >= _GONE)
        if found.is_empty():
            return found
        shown = ", ".join(f"{name!r}" for name in found["column"].head(5))
        log.warning(
            "these posts are unlike those the classifier learned from: %d of its columns have changed, first %s. "
            "Its probabilities may be off; learn from labels of your own with `kembar tune`.",
            len(found),
            shown,
        )
        return found

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Make a folder of the classifier: all of it or, on any failure, nothing.

        Args:
            folder: where to.
            overwrite: replace an earlier classifier.

        Raises:
            FolderError: the folder is in the way or cannot be written.
        """
        with new_folder(folder, overwrite=overwrite, mark=_MARK) as target:
            self.write(target)

    def write(self, folder: Path) -> None:
        """Write the classifier's own files into a folder that is there: trees.txt and classifier.json."""
        tree = {
            "format": _FORMAT,
            "version": _VERSION,
            "kind": self.trees.kind,
            "card": dict(self.card),
            "calibration": {
                "score": self.calibration.score.tolist(),
                "probability": self.calibration.probability.tolist(),
            },
            "profiles": [profile.tree() for profile in self.profiles],
            "without": self.without,
            "cut": self.cut,
            "veto": self.veto,
            "gate": self.gate,
            "evidence": dict(self.evidence),
            "weights": {name: guess.round(3).tolist() for name, guess in self.weights.items()},
        }
        (folder / _MODEL).write_text(self.trees.text(), encoding="utf-8")
        (folder / _MARK).write_text(json.dumps(tree, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> "PairClassifier":
        """Read a classifier.

        Args:
            folder: what `save` wrote, or the name of one that ships: "kembar-classifier", or
                "kembar-classifier-photos" for posts without titles.

        Returns:
            The same classifier.

        Raises:
            FolderError: there is no whole classifier in the folder, or it is of another version.
            MissingExtraError: the package of its trees is not installed.
        """
        source = model_folder(folder)
        tree = _read(source)
        try:
            profiles = tuple(Profile.from_tree(each) for each in tree["profiles"])
            names = profiles[0].names
            knots = (np.array(tree["calibration"][key], dtype=np.float64) for key in ("score", "probability"))
            text = (source / _MODEL).read_text(encoding="utf-8")
            trees = replant(tree["kind"], text, len(names))
            weights = {name: np.array(guess) for name, guess in tree.get("weights", {}).items()}
            without = tuple(tuple(views) for views in tree.get("without", ()))
            owned = {"cut": tree.get("cut", USUAL_CUT), "veto": tree.get("veto", False), "gate": tree.get("gate", 0.0)}
            evidence = tree.get("evidence", {})
            owned["evidence"] = {**({SEARCH: True} if evidence else {}), **evidence}
            return cls(names, trees, Calibration(*knots), profiles, tree["card"], weights, without, **owned)
        except (OSError, KeyError, TypeError, IndexError, UnicodeDecodeError) as error:
            raise _incomplete(source, f"no {error}") from error

    def _check_width(self, table: Floats) -> None:
        if table.ndim != 2 or table.shape[1] != len(self.names):
            raise EvidenceError(
                f"a table of shape {table.shape}",
                f"the {len(self.names)} evidence columns the classifier was trained on",
                "Make it with Features.table(classifier.names); a column that the posts lack is NaN.",
            )


def has_classifier(folder: Path | str) -> bool:
    """Tell whether a model folder holds a classifier, not the cuts of hand-set rules alone."""
    source = model_folder(folder)
    return (source / _MARK).exists() or (source / _OLDER[0]).exists()


def model_folder(spec: Path | str) -> Path:
    """Find the folder of a classifier: one that ships, by its name, or the one that is named."""
    return Path(__file__).parent / _SHIPPED[str(spec)] if str(spec) in _SHIPPED else Path(spec)


def _crossed(score: Floats, truth: Bools, folds: Rows) -> float:
    """Calibrate each fold on the others, and measure the error that is left."""
    probability = np.empty(len(score), dtype=np.float32)
    for part in np.unique(folds[:, 0]):
        own = folds[:, 0] == part
        if own.all():
            return float("nan")
        probability[own] = Calibration.fit(score[~own], truth[~own])(score[own])
    return calibration_error(probability, truth)


def _card(growth: Growth, truth: Bools, folds: int, error: float) -> dict[str, Any]:
    counts = {"pairs": len(truth), "true_pairs": int(truth.sum()), "folds": folds}
    return {**counts, "growth": asdict(growth), "calibration_error": round(error, 5)}


def _read(source: Path) -> dict[str, Any]:
    older = not (source / _MARK).exists() and (source / _OLDER[0]).exists()
    mark, kind, version = _OLDER if older else (_MARK, _FORMAT, _VERSION)
    try:
        tree = json.loads((source / mark).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _incomplete(source, f"no readable {mark}") from error
    if not isinstance(tree, dict) or tree.get("format") != kind or tree.get("version") != version:
        found = tree.get("version") if isinstance(tree, dict) else None
        raise FolderError(
            f"{str(source)!r}, another kind of folder or version {found}",
            f"a classifier of version {_VERSION}",
            "Train it again with this version of kembar.",
        )
    return tree


def _incomplete(source: Path, found: str) -> FolderError:
    near = nearest(source.name, [*_SHIPPED, BY_RULES])
    return FolderError(
        f"{str(source)!r}, with {found}", f"a folder of `kembar tune`, or {SHIPPED!r}", f"Check the path.{near}"
    )
