import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kembar.errors import ConfigError
from kembar.training.heads import Embedder, Pooling, unit
from kembar.training.recipe import PoolingKind, Recipe
from properties import examples

torch.set_num_threads(1)
KINDS = PoolingKind.__args__


def tokens(seed: int, b: int = 3, t: int = 5, c: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(b, t, c)))


def twin(kind: str, x: np.ndarray, keep: np.ndarray, p: float) -> np.ndarray:
    """(t, c) tokens of one text, in plain loops."""
    rows = [row for row, k in zip(x, keep, strict=True) if k]
    if kind == "cls":
        return x[0]
    if not rows:
        return np.zeros(x.shape[1])
    if kind == "max":
        return np.array([max(column) for column in zip(*rows, strict=True)])
    if kind == "gem":
        sums = [sum(max(v, 1e-6) ** p for v in column) / len(rows) for column in zip(*rows, strict=True)]
        return np.array([s ** (1 / p) for s in sums])
    return np.array([sum(column) / len(rows) for column in zip(*rows, strict=True)])


@examples(60)
@given(st.integers(0, 100), st.sampled_from(KINDS), st.lists(st.booleans(), min_size=15, max_size=15), st.floats(1, 9))
def test_pooling_of_tokens(seed: int, kind: str, kept: list[bool], p: float) -> None:
    x, mask = tokens(seed), torch.tensor(kept).reshape(3, 5)
    pooled = Pooling(kind, p=p)(x, mask)
    for row in range(3):
        expected = twin(kind, x[row].numpy(), mask[row].numpy(), p)
        np.testing.assert_allclose(pooled[row].detach().numpy(), expected, atol=1e-5, rtol=1e-5)
    full = Pooling(kind, p=p)(x)
    torch.testing.assert_close(full, Pooling(kind, p=p)(x, torch.ones(3, 5, dtype=torch.int64)))


@examples(30)
@given(st.integers(0, 100), st.sampled_from(KINDS), st.integers(1, 6))
def test_padding_does_not_matter(seed: int, kind: str, extra: int) -> None:
    x, mask = tokens(seed), torch.ones(3, 5)
    padded = torch.cat([x, 100 * tokens(seed + 1, t=extra)], 1)
    pooling = Pooling(kind)
    torch.testing.assert_close(pooling(padded, torch.cat([mask, torch.zeros(3, extra)], 1)), pooling(x, mask))


@pytest.mark.parametrize("kind", ["avg", "mean", "max", "gem"])
def test_maps_pool_like_their_places_as_tokens(kind: str) -> None:
    maps = torch.randn(2, 7, 3, 4, dtype=torch.float64)
    pooling = Pooling(kind)
    torch.testing.assert_close(pooling(maps), pooling(maps.flatten(2).transpose(1, 2)))


def test_gem_lies_between_mean_and_maximum() -> None:
    x = tokens(0).abs() + 0.01
    mean, largest = Pooling("mean")(x), Pooling("max")(x)
    torch.testing.assert_close(Pooling("gem", p=1)(x), mean)
    before = mean
    for p in (2, 3, 6, 20):
        now = Pooling("gem", p=p)(x)
        assert (now > before).all()
        before = now
    torch.testing.assert_close(Pooling("gem", p=64)(x), largest, rtol=0.05, atol=0)


@pytest.mark.parametrize("p", [1.0, 3.0, 64.0])
@pytest.mark.parametrize("size", [0.0, 1e-3, 1e4])
def test_gem_is_finite_in_float32_with_any_power(p: float, size: float) -> None:
    x = (torch.randn(2, 3, 4, 4) * size).requires_grad_()
    pooling = Pooling("gem", p=p, learn=True)
    pooled = pooling(x)
    pooled.sum().backward()
    for value in (pooled, x.grad, pooling.p.grad):
        assert torch.isfinite(value).all()
    assert (pooled <= x.clamp(min=1e-6).amax((2, 3)) * 1.001).all()


def test_gem_with_another_power_when_encoding() -> None:
    x = tokens(0).abs()
    pooling = Pooling("gem", p=3, test_p=6)
    torch.testing.assert_close(pooling(x), Pooling("gem", p=3)(x))
    pooling.eval()
    torch.testing.assert_close(pooling(x), Pooling("gem", p=6)(x))
    pooling.test_p = None
    torch.testing.assert_close(pooling(x), Pooling("gem", p=3)(x))
    assert not pooling.p.requires_grad


def test_gem_learns_its_power_where_asked() -> None:
    x = tokens(0).abs()
    pooling = Pooling("gem", p=3.0, learn=True).double()
    wanted = Pooling("max")(x)
    optimizer = torch.optim.Adam(pooling.parameters(), lr=0.3)
    for _ in range(30):
        optimizer.zero_grad()
        ((pooling(x) - wanted) ** 2).mean().backward()
        optimizer.step()
    assert pooling.p > 5


def test_half_precision_pools_in_float32() -> None:
    x = (tokens(0).abs() * 100).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = Pooling("gem", p=6)(x)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, Pooling("gem", p=6)(x.float()))


def test_vectors_pass_and_other_shapes_are_refused() -> None:
    x = torch.randn(3, 4)
    assert Pooling("gem")(x) is x
    with pytest.raises(ConfigError, match="'cls' of features"):
        Pooling("cls")(torch.zeros(1, 2, 3, 3))
    with pytest.raises(ConfigError, match="of features"):
        Pooling("avg")(torch.zeros(3))
    with pytest.raises(ConfigError, match="power of pooling 'avg'"):
        Pooling("avg").power()


class Words(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.table(ids), ids > 0


@pytest.mark.parametrize("neck", [True, False])
@pytest.mark.parametrize("projection", [0, 6])
def test_embedder_of_tokens(neck: bool, projection: int) -> None:
    torch.manual_seed(0)
    recipe = Recipe.title(pooling="mean", neck=neck, projection=projection)
    model = Embedder(Words(), 4, recipe)
    ids = torch.tensor([[3, 4, 0, 0], [5, 0, 0, 0], [1, 2, 3, 4]])
    out = model(ids)
    assert out.shape == (3, model.dimension) == (3, projection or 4)
    if neck:
        torch.testing.assert_close(out.mean(0), torch.zeros(model.dimension), atol=1e-5, rtol=0)
    if not neck and not projection:
        torch.testing.assert_close(out[1], model.backbone.table.weight[5])
    model.eval()
    torch.testing.assert_close(model(ids)[:1], model(ids[:1]))
    names = {id(p): name for name, p in model.named_parameters()}
    head = {names[id(p)].split(".")[0] for p in model.head_parameters()}
    assert head == ({"neck"} if neck else set()) | ({"projection"} if projection else set())


def test_embedder_of_maps_with_gem() -> None:
    recipe = Recipe.photo(pooling="gem", gem_p=2, gem_test_p=4, gem_learn=True)
    model = Embedder(torch.nn.Conv2d(3, 5, 3), 5, recipe)
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 5)
    assert float(model.pooling.p.detach()) == 2
    assert model.pooling.test_p == 4
    assert any(p is model.pooling.p for p in model.head_parameters())


def test_unit_rows() -> None:
    x = torch.randn(5, 3)
    x[2] = 0
    x.requires_grad_()
    rows = unit(x)
    torch.testing.assert_close(rows.norm(dim=1), torch.tensor([1.0, 1, 0, 1, 1]))
    (rows * torch.randn(5, 3)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad[2] == 0).all()
    assert unit(x.detach().half()).dtype == torch.float32
