"""Every rule on four folds of labelled Shopee posts, each fold a pool of its own, thresholds from the other folds.

    python bench/shopee.py [--whole] [-o docs/figures/shopee.md]
    python bench/shopee.py --title FOLDER [--whole] [-o docs/figures/title.md]

Reads $KEMBAR_DATA/shopee/posts.csv (columns of Kaggle "Shopee - Price Match Guarantee"), or ../shared/data beside the
checkout. With --whole, two last rows match all posts in one pool, the thresholds still from the other folds' posts.

The rules see words, characters and hashes. With --title they also see the title encoder, and only rows with it are
made: FOLDER holds the vectors of `bench/train_title.py --left-out`, and each fold is scored with those of the encoder
that did not learn from it.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.evidence.edges import select
from kembar.evidence.pairs import SIMILARITY
from kembar.fitting.tuning import Fitting, Setting, Tuned, fold_numbers, trials, tune
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.results.scores import score_edges
from titles import FOLDS, data

PUBLISHED = ["advanced.blend.search=true"]  # neighbours are searched again, which the default does not
BARE = ["title=false"]
WORD = ["char=false", "hash=false"]
CHAR = ["word=false", "hash=false"]
PHOTO = ["word=false", "char=false"]
PLAIN = ["advanced.blend.steps=0", "advanced.fusion.veto=false", "rule=threshold", "advanced.decide.min2=none"]
MIN2 = ["advanced.blend.steps=0", "advanced.fusion.veto=false", "rule=threshold"]
VETO = ["advanced.blend.steps=0", "rule=threshold"]
SURE = tuple(
    {"advanced.blend.threshold": t, "advanced.blend.min2": m, "advanced.blend.keep": 0.25}
    for t in (0.6, 0.65, 0.7)
    for m in (0.22, 0.28)
)
SURE_WORDS = tuple(
    {"advanced.blend.threshold": t, "advanced.blend.min2": 0.2, "advanced.blend.keep": 0.0}
    for t in (0.4, 0.45, 0.5, 0.55)
)
LATER = tuple({**sure, "advanced.blend.later": later} for sure in SURE[2:4] for later in (0.7, 0.8, 0.9))

# name, settings, blending options to try, reference F1 on such a fold and where it stands
ROWS: list[tuple[str, list[str], tuple[Setting, ...], str]] = [
    ("word TF-IDF", WORD + PLAIN, (), ".778"),
    ("word TF-IDF + min2", WORD + MIN2, (), ".7865"),
    ("word TF-IDF + min2 + unit veto", WORD + VETO, (), ".7887"),
    ("word TF-IDF + min2 + veto, blended once", [*WORD, "rule=threshold"], SURE_WORDS, ".811"),
    ("word TF-IDF + min2 + veto, query expansion", WORD + VETO + ["advanced.blend.expansion=2"], (), ".8042"),
    ("char TF-IDF", CHAR + PLAIN, (), ".768-.778"),
    ("char TF-IDF + min2", CHAR + MIN2, (), ".792"),
    ("word and char TF-IDF + min2", ["hash=false", *MIN2], (), ""),
    (
        "hash and titles, union",
        ["advanced.fusion.rule=union", "advanced.fusion.thresholds.photo=0.7", *PLAIN],
        (),
        ".800",
    ),
    (
        "hash and titles, union + min2",
        ["advanced.fusion.rule=union", "advanced.fusion.thresholds.photo=0.7", *MIN2],
        (),
        ".809",
    ),
]
for rule, plain, min2 in (
    ("max", ".811", ".816"),
    ("mean", ".814", ".818"),
    ("squares", ".814", ".819"),
    ("product", ".640", ".642"),
    ("convex", "", ""),
    ("soft_or", ".810-.816", ".822"),
):
    ROWS.append((f"hash and titles, {rule}", [f"advanced.fusion.rule={rule}", *PLAIN], (), plain))
    ROWS.append((f"hash and titles, {rule} + min2", [f"advanced.fusion.rule={rule}", *MIN2], (), min2))
ROWS += [
    ("soft_or + min2 + unit veto", VETO, (), ""),
    ("soft_or + veto, chisel", ["advanced.blend.steps=0", "rule=chisel"], (), ""),
    ("soft_or + min2 + veto, query expansion", [*VETO, "advanced.blend.expansion=2"], (), ""),
    ("soft_or + min2 + veto, blended once", ["rule=threshold"], SURE, ""),
    ("soft_or + min2 + veto, blended twice", ["rule=threshold", "advanced.blend.steps=2"], LATER, ""),
    ("soft_or + veto, blended once, chisel", ["rule=chisel"], SURE, ""),
    ("soft_or + veto, average link", ["advanced.blend.steps=0"], (), ""),
    ("soft_or + veto, blended once, components", ["advanced.group.link=any"], SURE, ""),
    ("**soft_or + veto, blended once, average link (the default without an encoder)**", [], SURE, ""),
    ("soft_or + veto, blended twice, average link", ["advanced.blend.steps=2"], LATER, ""),
]


WIDE = tuple(
    {"advanced.blend.threshold": t, "advanced.blend.min2": 0.3, "advanced.blend.keep": 0.25} for t in (0.7, 0.75, 0.8)
)
ALONE = ["word=false", "char=false", "hash=false"]
MORE = tuple(
    {"advanced.blend.threshold": t, "advanced.blend.min2": 0.3, "advanced.blend.keep": k}
    for t in (0.5, 0.55, 0.6, 0.65, 0.7)
    for k in (0.0, 0.25)
)
TITLE: list[tuple[str, list[str], tuple[Setting, ...], str]] = [
    ("title encoder", ALONE + PLAIN, (), ""),
    ("title encoder + min2", ALONE + MIN2, (), ""),
    ("title encoder + min2 + veto, blended once", [*ALONE, "rule=threshold"], MORE, ".8345"),
    ("titles: words, characters, encoder + min2", ["hash=false", *MIN2], (), ""),
    ("titles + min2 + veto, blended once", ["hash=false", "rule=threshold"], MORE, ".8345"),
    ("titles, blended once, average link", ["hash=false"], MORE, ""),
    ("titles and hash + min2 + veto", VETO, (), ""),
    ("titles and hash + min2 + veto, blended once", ["rule=threshold"], SURE, ""),
    ("**titles and hash + veto, blended once, average link (default)**", [], SURE, ""),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--title", type=Path, help="folder of title0.npy to title3.npy")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    catalog = Catalog.read(data() / "shopee" / "posts.csv")
    lines = [
        f"{len(catalog):,} posts, {FOLDS} folds of whole groups; mean over folds, standard deviation of F1 over folds.",
        "",
        "| rule | F1 | sd | precision | recall | pool | reference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines))
    if arguments.title:
        encoder = Vectors(catalog, arguments.title)
        rows = [(name, partial(encoder.tuned, *rest), ref) for name, *rest, ref in TITLE]
        if arguments.whole:
            rows.append(("whole pool: titles and hash + min2 + veto", partial(encoder.whole, VETO, ({},)), ""))
            rows.append(("whole pool: the default", partial(encoder.whole, [], WIDE), ""))
    else:
        rows = [("same hash", partial(same_hash, catalog), ".553-.56")]
        rows += [(name, partial(tuned, catalog, [*BARE, *s], b, "fold"), ref) for name, s, b, ref in ROWS]
        if arguments.whole:
            rows.append(("whole pool: soft_or + min2 + veto", partial(tuned, catalog, BARE + VETO, (), "whole"), ""))
            rows.append(
                ("whole pool: the default without an encoder", partial(tuned, catalog, BARE, WIDE, "whole"), "")
            )
    for name, run, reference in rows:
        if arguments.only in name:
            lines.append(row(name, run, reference))
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def row(name: str, run: Callable[[], tuple[np.ndarray, int]], reference: str) -> str:
    scores, pool = run()
    f1, precision, recall = scores.mean(axis=0)
    figures = " | ".join(f"{value:.4f}" for value in (f1, scores[:, 0].std(ddof=1), precision, recall))
    return f"| {name} | {figures} | {pool:,} | {reference} |"


def tuned(catalog: Catalog, settings: list[str], blends: tuple[Setting, ...], pool: str) -> tuple[np.ndarray, int]:
    found: Tuned = tune(
        catalog, Config.read(None, [*PUBLISHED, *settings]), blends=blends or ({},), how=Fitting(folds=FOLDS, pool=pool)
    )
    return found.folds.select("f1", "precision", "recall").to_numpy(), int(found.folds["pool"][0])


class Vectors:
    """Title vectors of four encoders, each of which learned from all folds but one."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.fold = fold_numbers(catalog.labels, FOLDS)
        self.vectors = [np.load(folder / f"title{f}.npy", mmap_mode="r") for f in range(FOLDS)]

    def tuned(self, settings: list[str], blends: tuple[Setting, ...]) -> tuple[np.ndarray, int]:
        """Each fold in a pool of its own, with the vectors of its own encoder."""
        own = np.stack([self.vectors[f][row] for row, f in enumerate(self.fold)])
        title = {"title": Embeddings.of(own)}
        config = Config.read(None, [*PUBLISHED, *settings])
        found = tune(
            self.catalog, config, blends=blends or ({},), embeddings=title, how=Fitting(folds=FOLDS, pool="fold")
        )
        return found.folds.select("f1", "precision", "recall").to_numpy(), int(found.folds["pool"][0])

    def whole(self, settings: list[str], blends: tuple[Setting, ...]) -> tuple[np.ndarray, int]:
        """All posts in one pool, encoded four times; each fold's posts count in the pool of their own encoder.

        The posts of the other folds are strangers that the encoder knows, which makes them neither more nor less alike
        to the posts that count.
        """
        scores: dict[tuple[tuple[str, float], ...], np.ndarray] = {}
        shares = np.zeros(1)
        for f, vectors in enumerate(self.vectors):
            title = {"title": Embeddings.of(np.asarray(vectors))}
            counts = self.fold == f
            config = Config.read(None, [*PUBLISHED, *settings])
            evidence = Matcher.evidence(self.catalog, config, title)
            for setting, found in trials(evidence, config, self.catalog.labels, blends, [(counts, shares)]):
                kept = scores.setdefault(tuple(setting.items()), np.zeros((FOLDS, 3)))
                kept[f] = found[counts].mean(axis=0)
        table = np.stack(list(scores.values()))  # settings x folds x scores
        best = [int(np.delete(table[:, :, 0], f, axis=1).mean(axis=1).argmax()) for f in range(FOLDS)]
        for setting in {best[f] for f in range(FOLDS)}:
            print(f"  chosen: {dict(list(scores)[setting])}", flush=True)
        return np.stack([table[best[f], f] for f in range(FOLDS)]), len(self.catalog)


def same_hash(catalog: Catalog) -> tuple[np.ndarray, int]:
    """Posts whose perceptual hashes are equal: nothing to tune."""
    config = Config.read(None, PHOTO + PLAIN + ["advanced.hash.radius=0"])
    fold = fold_numbers(catalog.labels, FOLDS)
    scores = []
    for f in range(FOLDS):
        part = catalog.take(np.flatnonzero(fold == f))
        pairs = Matcher.evidence(part, config, {}).pairs
        source, target, _ = select(pairs.left, pairs.right, pairs.evidence[SIMILARITY], len(part), threshold=1.0)
        score = score_edges(source, target, part.labels)
        scores.append((score.f1, score.precision, score.recall))
    return np.array(scores), len(part)


if __name__ == "__main__":
    main()
