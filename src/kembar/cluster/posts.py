"""The stages from posts to views: photos hashed and encoded part by part, terms counted part by part."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kembar.arrays import Floats, Rows, offsets_of
from kembar.cluster.shared import Shared
from kembar.cluster.work import Task
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.errors import ConfigError
from kembar.evidence.copies import Copies
from kembar.evidence.fitted import Fitted, count_terms
from kembar.evidence.identifier_view import identifier_views
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.evidence.placeholders import as_compared
from kembar.evidence.scorers import Scorer, scorers_of
from kembar.evidence.views import View, views_of
from kembar.posts.buckets import Buckets
from kembar.posts.catalog import Catalog
from kembar.posts.problems import PROBLEMS
from kembar.posts.quantities import Quantities
from kembar.posts.titles import normalize

_ROWS = 1 << 14  # vectors copied at once


def hashed(shared: Shared, task: Task) -> dict[str, Any]:
    """Compute the hashes of the photos of a part."""
    part = shared.ordered.take(shared.all_parts.rows(task.part or 0))
    found = with_photo_hashes(part, shared.start.config, store=shared.matcher.store)
    photos = found.photos()
    return {"hashes": photos.hashes, "hashed": photos.hashed, "problems": _fresh(found, part)}


def speaking(shared: Shared, _task: Task) -> tuple[Catalog, Catalog]:
    """Leave out what says nothing: the posts as they are compared, and as they were given with all hashes."""
    given = shared.ordered
    if given.folder is not None:
        parts = [shared.work.read("hashed", part) for part in range(len(shared.all_parts))]
        photos = given.photos()
        hashes, hashed = (np.concatenate([part[name] for part in parts]) for name in ("hashes", "hashed"))
        problems = pl.concat([part["problems"] for part in parts])
        given = given.with_photos(replace(photos, hashes=hashes, hashed=hashed), problems)
    return as_compared(given, shared.start.config.variants), given


def encoded(shared: Shared, task: Task) -> dict[str, Any]:
    """Encode the posts of a part."""
    rows = shared.all_parts.rows(task.part or 0)
    part = shared.speaking.take(rows)
    brought = {name: given.take(shared.start.order[rows]) for name, given in shared.start.brought.items()}
    found, vectors = shared.matcher.encoded(part, brought)
    return {"vectors": vectors, "problems": _fresh(found, part)}


def vectors(shared: Shared, _task: Task) -> dict[str, Any]:
    """Put the vectors of all parts together."""
    lengths = np.diff(shared.all_parts.bounds)
    widths: dict[str, int] = {}
    problems = []
    for part in range(len(lengths)):
        made = shared.work.read("encoded", part)
        widths |= {name: given.vectors.shape[1] for name, given in made["vectors"].items()}
        problems.append(made["problems"])

    def of(name: str) -> Iterator[Embeddings]:
        for part, posts in enumerate(lengths):
            found = shared.work.read("encoded", part)["vectors"].get(name)
            yield found or Embeddings(np.zeros((posts, widths[name]), dtype=np.float32))

    files = {name: _stacked(shared, f"vectors-{at}", of(name), of(name)) for at, name in enumerate(widths)}
    return {"files": files, "problems": pl.concat(problems)}


def settings(shared: Shared, _task: Task) -> tuple[Config, dict[str, str]]:
    """Find out what decides, and with which options; refuse what cannot be done in parts."""
    found = shared.vectors("vectors")
    brought = {name: found[name] for name in shared.start.brought}
    config, _, spare = shared.matcher.settings(shared.speaking, found, brought)
    check_config(config)
    return config, spare  # the configuration names the classifier


def kept(shared: Shared, _task: Task) -> dict[str, Any]:
    """Leave out copies of which there are many."""
    given = shared.vectors("vectors")
    copies = Copies.find(shared.speaking, normalize(shared.speaking.titles), given.values())
    if len(copies.kept) == len(copies.place):
        return {"copies": copies, "files": shared.work.read("vectors")["files"]}

    def of(name: str) -> Iterator[Embeddings]:
        for begin in range(0, len(copies.kept), _ROWS):
            yield given[name].take(copies.kept[begin : begin + _ROWS])

    files = {name: _stacked(shared, f"kept-{at}", of(name), of(name)) for at, name in enumerate(given)}
    return {"copies": copies, "files": files}


def counted(shared: Shared, task: Task) -> Any:
    """Count the terms of the titles of a part."""
    return count_terms(shared.titles.gather(shared.parts.rows(task.part or 0)), shared.config)


def fitted(shared: Shared, _task: Task) -> Fitted:
    """Fit the catalogue."""
    return Fitted.fit(shared.titles, shared.copies, _counted(shared), shared.config, shared.kept.further)


def views(shared: Shared, _task: Task) -> tuple[View, ...]:
    """Weigh terms by what the whole catalogue says of them, and make all views."""
    parts, terms = _counted(shared), shared.work.read("fitted")
    ranges = Buckets(tuple(map(shared.parts.rows, range(len(shared.parts)))))
    weighed = terms.weigh(parts, ranges) if parts else {}
    made = views_of(weighed, shared.kept, shared.config, shared.vectors("kept"))
    return *made, *identifier_views(shared.kept)


def quantities(shared: Shared, _task: Task) -> Quantities:
    """Read the quantities in all titles."""
    return Quantities.parse(shared.titles)


def scorers(shared: Shared, _task: Task) -> tuple[Scorer, ...]:
    """Read what else compares pairs."""
    terms = shared.work.read("fitted")
    return scorers_of(shared.titles, shared.work.read("quantities"), shared.kept, (terms.titles, terms.tokens))


def _counted(shared: Shared) -> list[Any]:
    if not (shared.titles != "").any():
        return []
    return [shared.work.read("counted", part) for part in range(len(shared.parts))]


def _stacked(
    shared: Shared, name: str, parts: Iterator[Embeddings], again: Iterator[Embeddings]
) -> tuple[str, Rows | None]:
    """Write vectors one behind the other: the name of the file, and the bounds of each post's rows."""
    counts: list[Rows] = []
    several = False
    for part in parts:
        several |= part.offsets is not None
        counts.append(np.ones(len(part), np.int64) if part.offsets is None else np.diff(part.offsets))
    offsets = offsets_of(np.concatenate(counts))
    rows: Iterator[Floats] = (part.vectors for part in again)
    return shared.work.stack(name, rows, int(offsets[-1])), offsets if several else None


def _fresh(found: Catalog, before: Catalog) -> pl.DataFrame:
    """List the problems that were not known before."""
    return found.problems.join(before.problems, on=list(PROBLEMS), how="anti", maintain_order="left").select(*PROBLEMS)


def check_config(config: Config) -> None:
    """Refuse what needs all pairs at once: raises ConfigError."""
    if config.advanced.blend.expansion:
        raise ConfigError(
            "query expansion in a run in parts", "none", "Match all posts at once, or leave the expansion out."
        )
