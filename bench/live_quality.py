"""Posts added one by one to a store, beside one batch run over all of them.

    python bench/live_quality.py [--posts 5000] [--seed 1] [-o docs/figures/live-quality.md] POSTS.csv

Posts are drawn whole groups at a time, put in a random order, and added one by one to an empty store. Then the groups
are scored; all posts are grouped again from the pairs that are known; the store is matched again; and the same posts
are matched as one batch.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from kembar import Catalog, Matcher
from kembar.arrays import Rows
from kembar.grouping.groups import number_by_first
from kembar.results.scores import score_edges
from kembar.store import Live
from speed import processor


def drawn(path: Path, posts: int, seed: int) -> Catalog:
    """Draw whole groups until there are so many posts, in a random order."""
    frame = pl.read_csv(path, infer_schema_length=0)
    groups = frame["label_group"].unique().sort().sample(fraction=1, shuffle=True, seed=seed)
    rank = pl.DataFrame({"label_group": groups}).with_row_index("rank")
    some = frame.join(rank, on="label_group").sort("rank", "posting_id").head(posts)
    return Catalog.read(some.drop("rank").sample(fraction=1, shuffle=True, seed=seed))


def f1(labels: Rows, truth: Rows) -> tuple[float, float, float]:
    """Score groups as lists of matches: F1, precision and recall, means over posts."""
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    source = np.concatenate([np.repeat(part, len(part)) for part in parts])
    target = np.concatenate([np.tile(part, len(part)) for part in parts])
    others = np.flatnonzero(source != target)
    by_source = others[np.argsort(source[others], kind="stable")]
    score = score_edges(source[by_source], target[by_source], truth)
    return score.f1, score.precision, score.recall


def groups_of(live: Live, catalog: Catalog) -> tuple[Rows, list[str]]:
    """Read the group of every post."""
    asked = "SELECT posts.id, groups.id FROM posts JOIN groups ON groups.row = group_row"
    names = dict(live.reading().execute(asked).fetchall())
    found = [names[post] for post in catalog.ids]
    return number_by_first(np.unique(found, return_inverse=True)[1]), found


def measured(catalog: Catalog, truth: Rows, folder: Path) -> list[str]:
    """Add all posts one by one, score, match again, and compare with a batch."""
    batch = Matcher().match(catalog)
    seconds, renamed, before = [], 0, {}
    with Live.create(folder) as live:
        for at in range(len(catalog)):
            start = time.perf_counter()
            placed = live.add(catalog.take([at]))[0]
            seconds.append(time.perf_counter() - start)
            before[placed.id] = placed.group
            if (at + 1) % 500 == 0:
                print(f"{at + 1:6,} posts, {np.median(seconds[-500:]) * 1e3:.0f} ms each", flush=True)
        one_by_one, names = groups_of(live, catalog)
        renamed = sum(before[post] != name for post, name in zip(catalog.ids, names, strict=True))
        start = time.perf_counter()
        live.regroup()
        quick, (regrouped, _) = time.perf_counter() - start, groups_of(live, catalog)
        moved = len(live.rematch().body["moved"])
        again, _ = groups_of(live, catalog)
        merges = live.reading().execute("SELECT count(*) FROM merges").fetchone()[0]
    rows = [
        ("added one by one", one_by_one),
        ("then grouped again from their pairs (`regroup`)", regrouped),
        ("then matched again (`rematch`)", again),
        ("one batch", batch.groups.labels),
    ]
    lines = ["| groups | F1 | precision | recall | groups |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, labels in rows:
        figures = " | ".join(f"{figure:.4f}" for figure in f1(labels, truth))
        lines.append(f"| {name} | {figures} | {len(np.unique(labels)):,} |")
    held = "those" if (again == batch.groups.labels).all() else "NOT those"
    return [
        *lines,
        "",
        f"{len(catalog):,} posts. After the re-match they are {held} of the batch; it moved {moved:,} posts; {renamed} "
        f"posts were in another group before it than when they were added; {merges:,} merges were proposed. Grouping "
        f"again took {quick:.1f} s. An add took {np.median(seconds) * 1e3:.0f} ms (median), "
        f"{np.quantile(seconds, 0.99) * 1e3:.0f} ms (99th percentile), encoding and the write to disk included.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--posts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    catalog = drawn(given.source, given.posts, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        lines = measured(catalog, catalog.labels, Path(folder) / "store")
    text = "\n".join([*lines, "", f"{processor()}. `python bench/live_quality.py --posts {given.posts}`", ""])
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
