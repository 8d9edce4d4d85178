import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.encoders.embeddings import Embeddings
from kembar.evidence.copies import MOST, Copies
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from properties import examples


def catalog(titles: list[str], hashes: list[str | None]) -> Catalog:
    ids = [f"post_{row:05}" for row in range(len(titles))]
    return Catalog.read(pl.DataFrame({"posting_id": ids, "title": titles, "image_phash": hashes}))


def expanded(copies: Copies, edges: list[tuple[int, int, float]], cap: int) -> dict[int, list[int]]:
    """The slow twin of Copies.edges: lists of rows, best first."""
    found = {}
    for row, place in enumerate(copies.place):
        scored = [(-1.0, other) for other in np.flatnonzero(copies.place == place) if other != row]
        for source, target, score in edges:
            if source == place:
                scored += [(-score, other) for other in np.flatnonzero(copies.place == target)]
        found[row] = [int(other) for _, other in sorted(scored)][: cap - 1]
    return found


@examples(100)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(2, 8), st.integers(0, 1000))
def test_edges_reach_every_copy(classes, cap, seed):
    first = {value: classes.index(value) for value in classes}
    kept = np.array(sorted(first.values()))
    copies = Copies(kept, np.searchsorted(kept, [first[value] for value in classes]))
    rng = np.random.default_rng(seed)
    ends = [(s, t) for s in range(len(kept)) for t in range(len(kept)) if s != t and rng.random() < 0.5]
    edges = sorted((s, t, float(rng.integers(1, 4) / 4)) for s, t in ends)
    edges.sort(key=lambda edge: (edge[0], -edge[2], edge[1]))
    columns = list(zip(*edges, strict=True)) or [(), (), ()]
    given_edges = np.array(columns[0], int), np.array(columns[1], int), np.array(columns[2], np.float32)
    source, target, score = copies.edges(given_edges, cap)
    wanted = expanded(copies, edges, cap)
    if len(kept) < len(classes):
        assert {row: target[source == row].tolist() for row in range(len(classes))} == wanted
    assert (np.diff(source) >= 0).all()
    assert len(score) == len(source)


def test_few_copies_are_matched_one_by_one():
    titles = ["kopi hitam"] * MOST + ["teh"] * (MOST + 1)
    found = Copies.find(catalog(titles, [None] * len(titles)), pl.Series(titles), ())
    assert found.kept.tolist() == [*range(MOST), MOST]
    assert found.place.tolist() == [*range(MOST)] + [MOST] * (MOST + 1)


def test_another_hash_or_vector_is_no_copy():
    titles, hashes = ["kopi"] * 4, ["0f" * 8, "0f" * 8, None, "f0" * 8]
    vectors = Embeddings.of([[1, 0], [0, 1], [0, 0], [1, 0]])
    posts = catalog(titles, hashes)
    assert Copies.find(posts, pl.Series(titles), (), most=1).place.tolist() == [0, 0, 1, 2]
    assert Copies.find(posts, pl.Series(titles), [vectors], most=1).place.tolist() == [0, 1, 2, 3]


def test_posts_without_evidence_are_not_copies():
    titles = ["", "", "teh", "teh"]
    assert Copies.find(catalog(titles, [None] * 4), pl.Series(titles), (), most=1).place.tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_crowd_is_one_group_and_finds_its_look_alike(seed):
    titles = (
        ["kopi kapal api 165 g"] * 200 + ["kopi kapal api 165 gr murah"] + [f"barang {i} lain {i}" for i in range(99)]
    )
    order = np.random.default_rng(seed).permutation(300)
    posts = catalog(titles, [None] * 300).take(order)
    result = Matcher().match(posts)
    groups = {
        tuple(sorted(posts.ids.gather(np.flatnonzero(result.groups.labels == g)))) for g in range(len(result.groups))
    }
    assert tuple(f"post_{row:05}" for row in range(201)) in groups
    assert (np.diff(result.matches.offsets)[np.isin(order, range(201))] == 51).all()
