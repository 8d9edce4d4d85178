"""What a run found, in numbers: the report that summaries, pages and other programs are made from."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from kembar.evidence.pairs import Pairs
from kembar.posts.catalog import Catalog
from kembar.results.estimates import counting, doubtful, estimated

if TYPE_CHECKING:
    from kembar.results.result import Result


def counts(result: "Result") -> dict[str, Any]:
    """Count what a run found.

    Args:
        result: the run.

    Returns:
        Plain values, as in report.json: counts, sizes, problems, how sure the run is and, where groups are known,
        scores.
    """
    lengths, sizes = np.diff(result.matches.offsets), result.groups.sizes()
    cap = result.config.advanced.decide.cap
    return {
        "posts": len(result),
        "with": _given(result),
        "notes": [asdict(note) for note in result.catalog.notes],
        "problems": _problems(result.catalog.problems),
        "candidate_pairs": result.candidates,
        "matched_posts": int((lengths > 1).sum()),
        "mean_matches": float(lengths.mean()),
        "cut_lists": int((sizes[result.groups.labels] > cap).sum()) if result.config.rule == "group" else 0,
        "longest_list": cap,
        "groups": len(result.groups),
        "groups_of_one": int((sizes == 1).sum()),
        "largest_group": int(sizes.max(initial=0)),
        "groups_by_size": {str(size): int(count) for size, count in enumerate(np.bincount(sizes)) if count},
        "model": result.config.model,
        "rule": result.config.rule,
        "differences": dict(result.differences()["why"].value_counts().sort("why").iter_rows()),
        "scores": result.scores() if (result.labels() >= 0).any() else None,
        "estimate": None if result.config.by_rules else _estimate(result),
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "peak_memory": result.peak_memory,
    }


def _given(result: "Result") -> dict[str, int]:
    """Count the posts that have each kind of evidence."""
    catalog = result.catalog
    return {
        **{text.name: int((text != "").sum()) for text in _described(catalog)},
        "title": int(catalog.has_titles.sum()),
        "image": int(catalog.has_images.sum()),
        "hash": int(catalog.photos().known().sum()),
        "label": int((result.labels() >= 0).sum()),
        **({} if catalog.prices is None else {"price": int((~np.isnan(catalog.prices)).sum())}),
        **({} if catalog.further_images is None else {"several photos": _several(catalog.further_images)}),
    }


def _described(catalog: Catalog) -> list[pl.Series]:
    """List the texts and codes that a catalogue has besides titles."""
    return [text for table in (catalog.further, catalog.identifiers) if table is not None for text in table]


def _several(further: pl.DataFrame) -> int:
    """Count the posts with more than one photo."""
    return int(further.select(pl.any_horizontal(pl.all() != "")).to_series().sum())


def _problems(problems: pl.DataFrame) -> dict[str, Any]:
    kinds = problems.with_columns(pl.col("problem").str.replace_all("'[^']*'", "'…'"))
    return {
        "posts": problems["posting_id"].n_unique(),
        "kinds": kinds.group_by("part", "problem").len("posts").sort("part", "problem").to_dicts(),
        "list": problems.head(1000).to_dicts(),
    }


def _estimate(result: "Result") -> dict[str, Any]:
    """Tell how good the run is likely to be, by the posts that were compared: copies share the fate of one of them."""
    kept = np.unique(result.copy_of)
    place = np.searchsorted(kept, np.arange(len(result)))
    some = result.pairs.take(counting(result.pairs, result.groups.labels, result.similarity))
    pairs, groups = Pairs(place[some.left], place[some.right], some.evidence), result.groups.labels[kept]
    told = doubtful(pairs, groups, result.groups.ids)
    return {**asdict(estimated(pairs, groups)), "doubtful": told.to_dicts()}
