"""Slow, obvious twins of the fast functions: Python sets, loops over posts, dense matrices."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

Array = npt.NDArray[np.generic]
Lists = list[list[int]]


# neighbours


def hamming(a: int, b: int) -> int:
    return (int(a) ^ int(b)).bit_count()


def hash_table(hashes: Array, hashed: Array, radius: int) -> Array:
    """1 - differing bits / 64; NaN where a hash is missing or the two are too far apart."""
    table = np.full((len(hashes), len(hashes)), np.nan)
    values = hashes.tolist()
    for i in np.flatnonzero(hashed).tolist():
        for j in np.flatnonzero(hashed).tolist():
            if hamming(values[i], values[j]) <= radius:
                table[i, j] = 1 - hamming(values[i], values[j]) / 64
    return table


def neighbors(table: Array, k: int, floor: float = -math.inf) -> tuple[Array, Array]:
    """The k best of every row, itself first, equal ones by row; NaN in the table where there is nothing to compare."""
    n = len(table)
    k = max(1, min(k, n))
    index, score = np.full((n, k), -1), np.zeros((n, k))
    for i in range(n):
        others = [j for j in range(n) if j != i and table[i, j] > floor]
        best = [i, *sorted(others, key=lambda j: (-table[i, j], j))][:k]
        index[i, : len(best)] = best
        score[i, : len(best)] = [1 if j == i else table[i, j] for j in best]
    return index, score


def best_of_rows(score: Callable[..., Array], offsets: Array, base: Any, others: Array) -> Array:
    """Each post with several rows: the greatest score of a pair of rows, one after the other; NaN where all are."""
    table = np.full((len(offsets) - 1, len(others) - 1), np.nan, dtype=np.float32)
    for i, j in np.ndindex(*table.shape):
        for one in range(offsets[i], offsets[i + 1]):
            for other in range(others[j], others[j + 1]):
                found = score(np.array([one]), np.array([other]), base)[0]
                if not math.isnan(found) and not table[i, j] >= found:
                    table[i, j] = found
    return table


# fusion


def fuse(rule: str, values: Sequence[float], weights: Sequence[float], thresholds: Sequence[float]) -> float:
    """One pair; a view it lacks is NaN."""
    known = [(v, w, t) for v, w, t in zip(values, weights, thresholds, strict=True) if not math.isnan(v)]
    if not known:
        return 0.0
    total = sum(w for _, w, _ in known)
    if rule == "mean":
        return sum(w * v for v, w, _ in known) / total
    if rule == "max":
        return max(v for v, _, _ in known)
    if rule == "product":
        return math.prod(v**w for v, w, _ in known) ** (1 / total)
    if rule == "soft_or":
        return 1 - math.prod((1 - v) ** w for v, w, _ in known)
    if rule == "squares":
        return math.sqrt(sum(w * v * v for v, w, _ in known) / total)
    if rule == "convex":
        return min(1.0, sum(v**6 for v, _, _ in known) ** (1 / 6))
    assert rule == "union"
    return min(1.0, max(v / t for v, _, t in known) / 2)


# decisions: every post's list, the post itself first, then best first


def sorted_lists(left: Array, right: Array, similarity: Array, n: int) -> list[list[tuple[float, int]]]:
    """Every post's candidates as (score, row), best first, equal ones by row, without the post itself."""
    lists: list[list[tuple[float, int]]] = [[] for _ in range(n)]
    for i, j, s in zip(left, right, similarity, strict=True):
        lists[i].append((float(s), int(j)))
        lists[j].append((float(s), int(i)))
    return [sorted(each, key=lambda pair: (-pair[0], pair[1])) for each in lists]


def select(
    left: Array, right: Array, similarity: Array, n: int, threshold: float, min2: float | None = None
) -> list[list[tuple[float, int]]]:
    chosen = []
    for candidates in sorted_lists(left, right, similarity, n):
        near = [pair for pair in candidates if pair[0] >= threshold]
        if not near and min2 is not None and candidates and candidates[0][0] >= min2:
            near = candidates[:1]
        chosen.append(near)
    return chosen


def chisel(left: Array, right: Array, similarity: Array, n: int, targets: Sequence[int]) -> Lists:
    """The published steps: targets[s] lists of length s are wanted, s from 1; nothing is longer than the largest s."""
    longest = len(targets) - 1
    lists = [each[: longest - 1] for each in sorted_lists(left, right, similarity, n)]
    for size in range(1, longest):
        have = sum(1 + len(each) == size for each in lists)
        longer = [i for i in range(n) if 1 + len(lists[i]) > size]
        longer.sort(key=lambda i: (lists[i][size - 1][0], i))
        for i in longer[: max(0, targets[size] - have)]:
            lists[i] = lists[i][: size - 1]
    return [[i, *(j for _, j in lists[i])] for i in range(n)]


def expected_f1(probabilities: Sequence[float], k: int, alone: float = 1.0) -> float:
    """The F1 to be expected of the first k candidates: all 2^m outcomes, one after the other."""
    total = 0.0
    for outcome in product((0, 1), repeat=len(probabilities)):
        weight = math.prod(p if x else 1 - p for p, x in zip(probabilities, outcome, strict=True))
        worth = 2 * (1 + sum(outcome[:k])) / (2 + k + sum(outcome))
        total += weight * worth * (1.0 if any(outcome) else alone)
    return total


# groups


def dense(left: Array, right: Array, similarity: Array, n: int) -> Array:
    table = np.zeros((n, n))
    table[left, right] = similarity
    table[right, left] = similarity
    return table


def components(left: Array, right: Array, n: int) -> Lists:
    label = list(range(n))
    for i, j in zip(left, right, strict=True):
        old, new = label[j], label[i]
        label = [new if each == old else each for each in label]
    return parts(label)


def average_link_heights(left: Array, right: Array, similarity: Array, n: int) -> Array:
    """Mean similarities of scipy's merges, highest first; an absent pair is 0."""
    apart = 1 - dense(left, right, similarity, n)
    np.fill_diagonal(apart, 0)
    return 1 - linkage(squareform(apart, checks=False), "average")[:, 2]


def average_link_of_crowds(
    left: Array, right: Array, similarity: Array, n: int, crowded: Array, excused: float, cut: float
) -> tuple[Lists, float]:
    """One merge at a time, sums from the single posts; returns the groups and the mean that came nearest to the cut.

    A pair counts 1, but `excused` where it was not compared and both posts are crowded.
    """
    table = dense(left, right, np.maximum(similarity, 0), n)
    weight = np.where(np.outer(crowded, crowded), excused, 1.0)
    weight[left, right] = weight[right, left] = 1
    members, nearest = [[row] for row in range(n)], math.inf
    while True:
        means = {
            (i, j): table[np.ix_(a, b)].sum() / weight[np.ix_(a, b)].sum()
            for i, a in enumerate(members)
            for j, b in enumerate(members[:i])
        }
        nearest = min([nearest, *means.values()], key=lambda mean: abs(mean - cut))
        best = max(means, key=lambda pair: means[pair], default=None)
        if best is None or means[best] < cut:
            return sorted(sorted(each) for each in members), nearest
        members[best[1]] += members.pop(best[0])


def average_link(left: Array, right: Array, similarity: Array, n: int, cut: float) -> Lists:
    apart = 1 - dense(left, right, similarity, n)
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform(apart, checks=False), "average")
    return parts(fcluster(tree, 1 - cut, "distance").tolist())


def fill_singles(table: Array, labels: Sequence[int], cut: float) -> Lists:
    """Let each lone post choose, then join all that were chosen."""
    groups: dict[int, list[int]] = {}
    for post, label in enumerate(labels):
        groups.setdefault(label, []).append(post)
    graph = nx.Graph()
    graph.add_nodes_from(groups)
    for label, members in groups.items():
        if len(members) > 1:
            continue
        means = {other: float(np.mean(table[members[0], who])) for other, who in groups.items() if other != label}
        best = max(means, key=lambda other: (means[other], -other), default=None)
        if best is not None and means[best] >= cut:
            graph.add_edge(label, best)
    return sorted(sorted(p for g in part for p in groups[g]) for part in nx.connected_components(graph))


def parts(labels: Sequence[int]) -> Lists:
    """A partition as sorted lists of rows, so that two labellings can be compared."""
    members: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        members.setdefault(int(label), []).append(row)
    return sorted(members.values())


# evaluation


def truth(labels: Sequence[int]) -> list[set[int]]:
    """Every post's true set; a post whose group is unknown (-1) stands alone."""
    return [{i} | {j for j, other in enumerate(labels) if other == own >= 0} for i, own in enumerate(labels)]


def mean_scores(matches: Sequence[set[int]], labels: Sequence[int], rows: Sequence[int]) -> tuple[float, float, float]:
    """Mean F1, precision and recall over some posts; every list holds its own post, and posts of unknown group do not
    count in the lists of others."""
    true = truth(labels)
    matches = [{j for j in found if j == i or labels[j] >= 0} for i, found in enumerate(matches)]
    f1 = [2 * len(matches[i] & true[i]) / (len(matches[i]) + len(true[i])) for i in rows]
    precision = [len(matches[i] & true[i]) / len(matches[i]) for i in rows]
    recall = [len(matches[i] & true[i]) / len(true[i]) for i in rows]
    return float(np.mean(f1)), float(np.mean(precision)), float(np.mean(recall))


def harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def b_cubed(groups: Sequence[int], labels: Sequence[int]) -> tuple[float, float, float]:
    known = [i for i, label in enumerate(labels) if label >= 0]
    if not known:
        return 1.0, 1.0, 1.0
    precision, recall = [], []
    for i in known:
        found = {j for j in known if groups[j] == groups[i]}
        true = {j for j in known if labels[j] == labels[i]}
        precision.append(len(found & true) / len(found))
        recall.append(len(found & true) / len(true))
    p, r = float(np.mean(precision)), float(np.mean(recall))
    return p, r, harmonic(p, r)


def pair_f1(pairs: set[frozenset[int]], labels: Sequence[int]) -> tuple[float, float, float]:
    known = [i for i, label in enumerate(labels) if label >= 0]
    true = {frozenset((i, j)) for i in known for j in known if i < j and labels[i] == labels[j]}
    found = {pair for pair in pairs if pair <= set(known)}
    p = len(found & true) / len(found) if found else 1.0
    r = len(found & true) / len(true) if true else 1.0
    return p, r, harmonic(p, r)


# blending, on dense arrays


def unit(row: Array) -> Array:
    length = math.sqrt(sum(float(x) ** 2 for x in row))
    return row / length if length else row * 0.0


def blend(vectors: Array, chosen: Sequence[Sequence[tuple[float, int]]]) -> Array:
    """x'_i = unit(x_i + sum of s_ij x_j over the chosen j)."""
    rows = [
        unit(vectors[i] + sum((s * vectors[j] for s, j in near), np.zeros(vectors.shape[1])))
        for i, near in enumerate(chosen)
    ]
    return np.array(rows)


def expand(vectors: Array, index: Array, score: Array, k: int, alpha: float) -> Array:
    """e_i = unit(sum over the top k of s^alpha x_j)."""
    expanded = []
    for i in range(len(index)):
        total = np.zeros(vectors.shape[1])
        for j, s in zip(index[i, :k], score[i, :k], strict=True):
            if j >= 0:
                total = total + max(float(s), 0.0) ** alpha * vectors[j]
        expanded.append(unit(total))
    return np.array(expanded)


def units(n: int, d: int, seed: int = 0, density: float = 1.0) -> np.ndarray:
    """(n, d) float32 unit rows of numbers >= 0, a share `density` of them above 0."""
    rng = np.random.default_rng(seed)
    vectors = np.abs(rng.normal(size=(n, d))) * (rng.random((n, d)) < density)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def scored_pairs(seed: int, n: int, density: float, digits: int | None = None) -> tuple[Array, Array, Array, int]:
    """Scored pairs in any order of pairs and of ends; rounded scores have many ties."""
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(n, 1)
    chosen = rng.permutation(len(left))[: int(density * len(left))]
    flip = rng.random(len(chosen)) < 0.5
    low, high = np.where(flip, right[chosen], left[chosen]), np.where(flip, left[chosen], right[chosen])
    similarity = rng.random(len(chosen))
    return low, high, (similarity if digits is None else np.round(similarity, digits)), n
