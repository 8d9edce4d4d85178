"""The sets of bench/peers.py: posts without their labels in one folder, the truth beside them, and the measures.

`prepare` writes a set to the work folder; `Posts` is all that a program gets to see of it, `Truth` what scores it. In
amazon_google and walmart_amazon only pairs across the two shops count (`bench/lessons.py`: ACROSS). Of the wdc sets
only the published test pairs count, since their pools do not hold all offers.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from kembar.results.scores import Curve

Rows = np.ndarray
SETS = (
    *("shopee0", "abt_buy", "amazon_google", "walmart_amazon"),
    *("wdc_cameras", "wdc_computers", "wdc_shoes", "photo_edits"),
)
KEPT = ("posting_id", "title", "price", "image", "image_phash")  # what programs may see


@dataclass(frozen=True)
class Posts:
    """What a program sees of a set."""

    name: str
    folder: Path

    @property
    def file(self) -> Path:
        """The posts as CSV."""
        return self.folder / "posts.csv"

    @property
    def photos(self) -> Path | None:
        """The folder of the photos, where there are any."""
        return self.folder / "photos" if (self.folder / "photos").is_dir() else None

    @property
    def group(self) -> str:
        """What is left out of a classifier that is to be fair."""
        return "wdc" if self.name.startswith("wdc") else self.name

    def column(self, name: str) -> list[str] | None:
        """A column as text, None where the set has none."""
        frame = pl.read_csv(self.file, infer_schema_length=0)
        return frame[name].fill_null("").to_list() if name in frame.columns else None

    def prices(self) -> list[float | None]:
        """The price of each post where it can be read."""
        text = pl.Series(self.column("price") or [], dtype=pl.String)
        return text.str.extract(r"(\d[\d,]*\.?\d*)").str.replace_all(",", "").cast(pl.Float64, strict=False).to_list()


@dataclass(frozen=True)
class Truth:
    """What a set is scored by: labels, shops (one where they do not matter), and published test pairs."""

    labels: Rows
    source: Rows
    asked: Rows  # (pairs, 2)
    same: Rows
    pairs_alone: bool

    @classmethod
    def of(cls, folder: Path) -> "Truth":
        """Read the truth of a set."""
        with np.load(folder / "truth.npz") as found:
            return cls(*(found[name] for name in ("labels", "source", "asked", "same")), bool(found["pairs_alone"]))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def across(self) -> bool:
        """Whether only pairs of two shops count."""
        return bool(self.source.max() > 0)

    def sizes(self) -> Rows:
        """How many posts the true list of each post holds, itself included."""
        size = np.bincount(self.labels)[self.labels]
        if not self.across:
            return size
        inside = np.unique(np.stack([self.labels, self.source]), axis=1, return_inverse=True)[1].ravel()
        return size - np.bincount(inside)[inside] + 1

    def counts(self, left: Rows, right: Rows) -> Rows:
        """Which pairs count."""
        return left != right if not self.across else self.source[left] != self.source[right]

    def keys(self, left: Rows, right: Rows) -> Rows:
        """One number for each unordered pair."""
        return np.minimum(left, right) * len(self) + np.maximum(left, right)

    def judged(self, source: Rows, target: Rows) -> dict[str, float]:
        """Score lists, given as directed edges, each once."""
        counts = self.counts(source, target)
        source, target = source[counts], target[counts]
        right, size = self.labels[source] == self.labels[target], self.sizes()
        found = 1 + np.bincount(source, minlength=len(self))
        both = 1 + np.bincount(source[right], minlength=len(self))
        matched = np.unique(self.keys(source, target))
        true = int((self.labels[matched // len(self)] == self.labels[matched % len(self)]).sum())
        figures = {
            "f1": float((2 * both / (found + size)).mean()),
            "precision": float((both / found).mean()),
            "recall": float((both / size).mean()),
            "pair_f1": float(2 * true / max(1, len(matched) + int((size - 1).sum()) // 2)),
        }
        if len(self.same):
            said = np.isin(self.keys(*self.asked.T), matched)
            figures["test_f1"] = float(2 * (said & self.same).sum() / max(1, said.sum() + self.same.sum()))
            figures["test_precision"] = float(self.same[said].mean()) if said.any() else 1.0
            figures["test_recall"] = float(said[self.same].mean())
        return figures

    def curve(self, left: Rows, right: Rows, score: Rows) -> Curve:
        """F1 by threshold on the score of pairs: a post's list holds all pairs at or above it, as on Kaggle."""
        source, target, value, place = ordered(left, right, score)
        right_ones = np.cumsum(self.labels[source] == self.labels[target])
        start = np.searchsorted(source, source)
        both = 1 + right_ones - np.concatenate([[0], right_ones])[start]
        size = self.sizes()[source]
        after = 2 * both / (place + 2 + size)
        gain = after - np.where(place == 0, 2 / (1 + size), np.roll(after, 1))
        first = np.where(place == 0, gain, 0.0)
        by_value = np.argsort(-value, kind="stable")
        value = value[by_value]
        last = np.flatnonzero(np.append(value[1:] != value[:-1], True)) if len(value) else np.zeros(0, np.int64)
        sums = [np.cumsum(each[by_value])[last] / len(self) for each in (gain, first)]
        alone = float((2 / (1 + self.sizes())).mean())
        blank = np.full(len(last), np.nan)
        return Curve(value[last], alone + sums[0], blank, blank, sums[1], alone)

    def best_of_asked(self, left: Rows, right: Rows, score: Rows) -> float:
        """The threshold of the highest F1 of the published test pairs; a pair that was never scored never matches."""
        from sklearn.metrics import precision_recall_curve  # not while a program is being measured

        if not len(score):
            return float("inf")
        known, wanted = self.keys(left, right), self.keys(*self.asked.T)
        order = np.argsort(known)
        at = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
        lowest = float(score.min()) - 1
        value = np.where(known[at] == wanted, score[at], lowest)
        precision, recall, cut = precision_recall_curve(self.same, value)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        f1 = np.where(cut > lowest, f1[:-1], -1)
        return float(cut[f1.argmax()])


def ordered(left: Rows, right: Rows, score: Rows) -> tuple[Rows, Rows, Rows, Rows]:
    """Pairs as lists: source, target, score and the place in the list, by source and falling score."""
    source, target = np.concatenate([left, right]), np.concatenate([right, left])
    value = np.concatenate([score, score]).astype(np.float64)
    order = np.lexsort((target, -value, source))
    source, target, value = source[order], target[order], value[order]
    return source, target, value, np.arange(len(source)) - np.searchsorted(source, source)


def lists(left: Rows, right: Rows, score: Rows, cut: float, min2: float = np.inf) -> tuple[Rows, Rows]:
    """The directed edges at or above a threshold, and each post's nearest at or above min2."""
    source, target, value, place = ordered(left, right, score)
    kept = (value >= cut) | ((place == 0) & (value >= min2))
    return source[kept], target[kept]


# ---- how the sets are written ----------------------------------------------------------------------------------------


def prepare(name: str, work: Path, data: Path) -> Path:
    """Write a set, unless it is there."""
    folder = work / "sets" / name
    if not (folder / "truth.npz").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        {"shopee0": shopee, "photo_edits": photo_edits}.get(name, market)(folder, data)
    return folder


def write(folder: Path, posts: pl.DataFrame, labels: Rows, pairs_alone: bool = False, **truth: Rows) -> None:
    n, none = len(posts), np.zeros((0, 2), np.int64)
    posts.select(column for column in KEPT if column in posts.columns).write_csv(folder / "posts.csv")
    codes = np.unique(labels, return_inverse=True)[1]
    truth = {"source": np.zeros(n, np.int64), "asked": none, "same": np.zeros(0, bool), **truth}
    np.savez(folder / "truth.npz", labels=codes, pairs_alone=pairs_alone, **truth)


def shopee(folder: Path, data: Path) -> None:
    """One fold of four; its photos are not at hand, their hashes are."""
    from kembar.fitting.tuning import fold_numbers

    posts = pl.read_csv(data / "shopee" / "posts.csv", infer_schema_length=0).drop("image")
    labels = posts["label_group"].cast(pl.Int64).to_numpy()
    rows = np.flatnonzero(fold_numbers(labels, 4) == 0)
    write(folder, posts[rows.tolist()], labels[rows])


def market(folder: Path, data: Path) -> None:
    """A market, with its shops where twins inside one are not labelled, and its published test pairs."""
    from lessons import ACROSS

    home = data / "markets" / folder.name
    posts = pl.read_csv(home / "posts.csv", infer_schema_length=0)
    truth: dict[str, Rows] = {}
    if folder.name in ACROSS:
        truth["source"] = posts["source"].rank("dense").to_numpy().astype(np.int64) - 1
    if (home / "test_pairs.csv").exists():
        pairs = pl.read_csv(home / "test_pairs.csv", infer_schema_length=0)
        row = {name: at for at, name in enumerate(posts["posting_id"])}
        truth["asked"] = np.array([[row[a], row[b]] for a, b in pairs.select("left", "right").iter_rows()])
        truth["same"] = pairs["same"].to_numpy() == "1"
    labels = posts["label_group"].cast(pl.Int64).to_numpy()
    write(folder, posts, labels, folder.name.startswith("wdc"), **truth)


def photo_edits(folder: Path, data: Path) -> None:
    """The held-out photos of bench/edits.py, without titles."""
    from edits import edit_set

    (folder / "photos").mkdir()
    images, labels = edit_set(data / "clothing" / "images")
    names = [f"{at:05}.png" for at in range(len(images))]
    for name, image in zip(names, images, strict=True):
        image.save(folder / "photos" / name)
    write(folder, pl.DataFrame({"posting_id": names, "title": "", "image": names}), labels)
