import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kembar.errors import ConfigError, EvidenceError, TrainingError
from kembar.training.objectives import (
    CONCATENATIONS,
    CosineRegression,
    PairClassification,
    TripletObjective,
    build_objective,
    concatenate,
    mine_pairs,
    mine_triplets,
)
from kembar.training.recipe import Concatenation, Recipe
from properties import examples

torch.set_num_threads(1)
D = 5
labelled = st.lists(st.integers(0, 5), min_size=3, max_size=25).filter(
    lambda labels: len(set(labels)) > 1 and len(set(labels)) < len(labels)
)


def pairs(seed: int = 0, n: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return (*torch.from_numpy(rng.normal(size=(2, n, D))), torch.from_numpy(rng.integers(0, 2, n)))


# --- formulas


def test_the_concatenations_are_those_of_the_table() -> None:
    assert Concatenation.__args__ == CONCATENATIONS
    u, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    parts = {"u": [1, 2], "v": [3, -1], "|u-v|": [2, 3], "u*v": [3, -2]}
    for name in CONCATENATIONS:
        assert concatenate(u, v, name)[0].tolist() == [x for part in name.split(",") for x in parts[part]]
    with pytest.raises(ConfigError, match=r"'u,v,u-v'.*Nearest: 'u,v,\|u-v\|'"):
        concatenate(u, v, "u,v,u-v")


@pytest.mark.parametrize("concatenation", CONCATENATIONS)
def test_pair_classification(concatenation: str) -> None:
    torch.manual_seed(0)
    objective = PairClassification(D, concatenation).double()
    u, v, same = pairs()
    w = objective.classifier.weight.detach().numpy()
    total = 0.0
    for a, b, label in zip(u.numpy(), v.numpy(), same.tolist(), strict=True):
        parts = {"u": a, "v": b, "|u-v|": abs(a - b), "u*v": a * b}
        seen = np.concatenate([parts[part] for part in concatenation.split(",")])
        logits = [float(row @ seen) for row in w]
        total += math.log(sum(math.exp(z) for z in logits)) - logits[label]
    assert objective(u, v, same).item() == pytest.approx(total / len(same))
    assert [tuple(p.shape) for p in objective.head_parameters()] == [(2, D * (concatenation.count(",") + 1))]


def test_cosine_regression() -> None:
    u, v, same = pairs()
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(u.numpy(), v.numpy(), strict=True)]
    twin = np.mean([(c - s) ** 2 for c, s in zip(cosines, same.tolist(), strict=True)])
    assert float(CosineRegression()(u, v, same)) == pytest.approx(twin)
    assert float(CosineRegression()(u, v, torch.tensor(cosines))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("margin", [0.2, 1.0, 5.0])
def test_triplet_objective(margin: float) -> None:
    a, p, _ = pairs(0)
    n = pairs(1)[0]
    terms = [
        max(np.linalg.norm(x - y) - np.linalg.norm(x - z) + margin, 0)
        for x, y, z in zip(a.numpy(), p.numpy(), n.numpy(), strict=True)
    ]
    assert float(TripletObjective(margin)(a, p, n)) == pytest.approx(np.mean(terms))
    assert float(TripletObjective(margin)(a, a, a)) == pytest.approx(margin)


@pytest.mark.parametrize("objective", ["pair", "cosine", "triplet"])
def test_numbers_are_safe(objective: str) -> None:
    made = build_objective(Recipe.title(objective=objective, margin=1.0, concatenation="u,v,|u-v|,u*v"), D)
    x = torch.zeros(4, D, requires_grad=True)
    third = torch.tensor([0, 1, 0, 1]) if objective != "triplet" else x
    made(x, x, third).backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().max() < 1e5
    u, v, same = pairs()
    u, v = u.half(), v.half()
    third = same if objective != "triplet" else u.flip(0)
    full = made(u.float(), v.float(), third.float() if objective == "triplet" else third)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(u, v, third)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full)


def test_building_by_recipe() -> None:
    pair = build_objective(Recipe.title(objective="pair", concatenation="|u-v|"), D)
    assert isinstance(pair, PairClassification)
    assert pair.concatenation == "|u-v|"
    assert isinstance(build_objective(Recipe.title(objective="cosine"), D), CosineRegression)
    triplet = build_objective(Recipe.title(objective="triplet", margin=0.7), D)
    assert isinstance(triplet, TripletObjective)
    assert triplet.margin == 0.7
    assert triplet.head_parameters() == []
    with pytest.raises(ConfigError, match="'metric'"):
        build_objective(Recipe.title(), D)


@pytest.mark.parametrize("objective", ["pair", "cosine", "triplet"])
def test_it_learns_a_toy_problem(objective: str) -> None:
    torch.manual_seed(0)
    labels = np.repeat(np.arange(15), 4)
    x = torch.cat([torch.randn(15, 6).repeat_interleave(4, 0), 4 * torch.randn(60, 12)], 1)
    model = torch.nn.Linear(18, D)
    made = build_objective(Recipe.title(objective=objective, margin=1.0), D)
    optimizer = torch.optim.Adam([*model.parameters(), *made.parameters()], lr=0.02)
    values = []
    for step in range(60):
        z = model(x)
        if objective == "triplet":
            t = mine_triplets(labels, 2, step)
            value = made(z[t.anchor], z[t.positive], z[t.negative])
        else:
            m = mine_pairs(labels, 2, step)
            value = made(z[m.left], z[m.right], torch.from_numpy(m.same))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert np.mean(values[-5:]) < 0.7 * values[0]


# --- mining


def true_pairs(labels: np.ndarray) -> set[tuple[int, int]]:
    n = len(labels)
    return {(i, j) for i in range(n) for j in range(i + 1, n) if labels[i] == labels[j]}


@examples(80)
@given(labelled, st.integers(0, 4), st.integers(0, 50))
def test_every_true_pair_once_and_negatives_of_its_ends(labels: list[int], negatives: int, seed: int) -> None:
    y = np.array(labels)
    mined = mine_pairs(y, negatives, seed)
    same, left, right = mined.same, mined.left, mined.right
    assert sorted(
        tuple(sorted(pair)) for pair in zip(left[same].tolist(), right[same].tolist(), strict=True)
    ) == sorted(true_pairs(y))
    assert (y[left] == y[right]).tolist() == same.tolist()
    assert (~same).sum() == negatives * same.sum()
    assert set(left[~same]) <= set(left[same]) | set(right[same])
    again = mine_pairs(y, negatives, seed)
    assert all((getattr(mined, k) == getattr(again, k)).all() for k in ("left", "right", "same"))


@examples(80)
@given(labelled, st.integers(1, 4), st.integers(0, 50), st.integers(0, 6))
def test_triplets_take_hard_negatives_first(labels: list[int], negatives: int, seed: int, k: int) -> None:
    y = np.array(labels)
    hard = np.random.default_rng(seed).integers(-1, len(y), (len(y), k))
    mined = mine_triplets(y, negatives, seed, hard)
    assert len(mined) == negatives * len(true_pairs(y))
    assert (y[mined.anchor] == y[mined.positive]).all()
    assert (mined.anchor != mined.positive).all()
    assert (y[mined.anchor] != y[mined.negative]).all()
    for anchor in set(mined.anchor.tolist()):
        drawn = mined.negative[mined.anchor == anchor].tolist()
        near = [j for j in hard[anchor].tolist() if j >= 0 and y[j] != y[anchor]]
        assert drawn[: len(near)] == near[: len(drawn)]


def test_negatives_are_drawn_evenly_from_all_others() -> None:
    y = np.array([0] * 3 + [1] * 2 + [2] * 5)
    counts = Counter()
    for seed in range(300):
        mined = mine_triplets(y, 4, seed)
        counts.update(mined.negative[np.isin(mined.anchor, [3, 4])].tolist())
    assert set(counts) == {0, 1, 2, 5, 6, 7, 8, 9}
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_seeds_draw_otherwise_and_anchors_are_both_ends() -> None:
    y = np.repeat(np.arange(40), 2)
    one, two = mine_triplets(y, 1, 0), mine_triplets(y, 1, 1)
    assert (one.negative != two.negative).any()
    assert 10 < (one.anchor < one.positive).sum() < 30


def test_large_groups_may_be_cut() -> None:
    y = np.array([0] * 51 + [1] * 3)
    mined = mine_pairs(y, 0, 0, most=100)
    assert len(mined) == 103
    assert mined.same.all()
    assert len(set(zip(mined.left, mined.right, strict=True))) == 103


@pytest.mark.parametrize(
    ("labels", "part"), [([1, 1, 1], "one group"), ([1, 2, 3], "none of two or more"), ([], "one group")]
)
def test_nothing_to_mine(labels: list[int], part: str) -> None:
    with pytest.raises(TrainingError, match=part):
        mine_pairs(np.array(labels, dtype=np.int64))


def test_neighbours_of_other_posts() -> None:
    with pytest.raises(EvidenceError, match=r"\(2, 1\)"):
        mine_pairs(np.array([1, 1, 2]), hard=np.zeros((2, 1), dtype=np.int64))
    with pytest.raises(EvidenceError, match="up to row 3"):
        mine_pairs(np.array([1, 1, 2]), hard=np.full((3, 1), 3))
