import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from kembar import TrainingError
from kembar.training.batches import Inputs
from kembar.training.validation import _halves, embed, features, held_out_score


def slow_f1(similar: np.ndarray, labels: np.ndarray, rows: np.ndarray, threshold: float) -> float:
    found = (similar >= threshold - 3e-7) | np.eye(len(labels), dtype=bool)
    true = labels[:, None] == labels
    return float((2 * (found & true).sum(1) / (found.sum(1) + true.sum(1)))[rows].mean())


@example(47, 33)  # two similarities 1.3e-6 apart, the best threshold between them
@given(st.integers(0, 100), st.integers(6, 40))
def test_the_score_against_a_slow_twin(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n // 2, n)
    labels[:2] = [0, 1]
    vectors = rng.normal(size=(n // 2, 8))[labels] + 0.7 * rng.normal(size=(n, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    score = held_out_score(vectors, labels, seed)
    chosen, scored = _halves(np.unique(labels, return_inverse=True)[1], seed)
    assert set(labels[chosen]).isdisjoint(labels[scored])
    assert len(chosen) + len(scored) == score.pool == n
    similar = vectors @ vectors.T
    cuts = [2.0, *similar[np.triu_indices(n, 1)][similar[np.triu_indices(n, 1)] > 1e-6]]
    best = max(slow_f1(similar, labels, chosen, cut) for cut in cuts)
    assert slow_f1(similar, labels, chosen, score.threshold) == pytest.approx(best)
    assert score.f1 == pytest.approx(slow_f1(similar, labels, scored, score.threshold))
    assert score.posts == len(scored)
    assert score.groups == len(set(labels.tolist()))


def test_vectors_that_know_the_group_score_one_and_the_pool_is_reported() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5])
    score = held_out_score(np.eye(6, dtype=np.float32)[labels], labels, 0)
    assert (score.f1, score.min2, score.pool) == (1.0, 1.0, 10)
    assert "in a pool of 10, 6 groups" in str(score)


def test_one_group_cannot_be_scored() -> None:
    with pytest.raises(TrainingError, match="1 held-out group"):
        held_out_score(np.ones((3, 1), dtype=np.float32), np.zeros(3, dtype=np.int64), 0)


class Numbers:
    def __len__(self) -> int:
        return 11

    def training(self, rows: np.ndarray, rng: np.random.Generator) -> Inputs:
        return self.plain(rows)

    def plain(self, rows: np.ndarray) -> Inputs:
        return (torch.from_numpy(np.stack([np.sin(rows), np.cos(rows), rows], axis=1).astype(np.float32)),)


def test_vectors_do_not_depend_on_the_batch_and_the_model_stays_in_its_mode() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))
    model.train()
    model[1].eval()
    expected = embed(model, Numbers(), batch=11)
    np.testing.assert_allclose(embed(model, Numbers(), batch=2), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, rtol=1e-6)
    assert np.linalg.norm(features(model, Numbers()), axis=1).max() > 1.5
    assert [part.training for part in model] == [True, False, True]
