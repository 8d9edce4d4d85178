import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kembar.errors import ConfigError
from kembar.training.heads import Embedder
from kembar.training.losses import build_loss
from kembar.training.optimizers import (
    SAM,
    build_optimizer,
    clip_,
    gradient_norm,
    parameter_groups,
    schedule,
    still_norms,
)
from kembar.training.recipe import Recipe
from properties import examples

torch.set_num_threads(1)


def parts(**changes) -> tuple[Embedder, nn.Module, Recipe]:
    torch.manual_seed(0)
    recipe = Recipe.photo(**{"projection": 4, **changes})
    backbone = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
    model = Embedder(backbone, 6, recipe)
    return model, build_loss(recipe, np.array([3, 3, 3]), model.dimension), recipe


def fit_classifier(model: nn.Module, loss: nn.Module, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(9, 3, 5, 5, generator=generator)
    value = loss(model(x), torch.arange(9) % 3)
    value.backward()
    return value


# --- clipping


@examples(60)
@given(
    st.sampled_from([(), (1,), (5,), (1, 5), (3, 4), (3, 4, 2), (3, 2, 2, 3), (4, 1, 3, 3), (1, 1, 5)]),
    st.integers(0, 100),
    st.sampled_from([0.01, 0.16, 1.0, 100.0]),
    st.sampled_from([0.0, 1.0]),
)
def test_adaptive_clipping_by_unit(shape, seed, clip, weight_size):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=shape) * weight_size
    g = rng.normal(size=shape)
    expected = np.array(g)
    for unit in [...] if len(shape) <= 1 else range(shape[0]):  # a vector or scalar is one unit; else one per output
        weight, gradient = np.linalg.norm(w[unit]), np.linalg.norm(g[unit])
        if gradient / max(weight, 1e-3) > clip:
            expected[unit] = clip * max(weight, 1e-3) / gradient * g[unit]
    parameter = nn.Parameter(torch.from_numpy(np.array(w)))
    parameter.grad = torch.from_numpy(np.array(g))
    clip_(nn.ParameterList([parameter, nn.Parameter(torch.zeros(2))]), nn.Module(), Recipe.photo(agc=clip, clip=0))
    np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-6, atol=1e-12)


def test_a_gradient_of_zero_stays_zero():
    parameter = nn.Parameter(torch.zeros(3, 3))
    parameter.grad = torch.zeros(3, 3)
    clip_(nn.ParameterList([parameter]), nn.Module(), Recipe.photo(agc=0.01, clip=0))
    assert (parameter.grad == 0).all()


def test_the_classifier_is_left_out_of_adaptive_clipping():
    model, loss, recipe = parts(agc=0.01, clip=0)
    fit_classifier(model, loss)
    before = {p: p.grad.clone() for part in (model, loss) for p in part.parameters()}
    clip_(model, loss, recipe)
    assert all(torch.equal(p.grad, before[p]) for p in loss.parameters())
    assert any(not torch.equal(p.grad, before[p]) for p in model.parameters())


@pytest.mark.parametrize("clip", [0.0, 0.5, 1e6])
def test_clipping_by_norm_is_that_of_torch(clip):
    model, loss, recipe = parts(clip=clip)
    fit_classifier(model, loss)
    both = [*model.parameters(), *loss.parameters()]
    twins = [nn.Parameter(p.detach().clone()) for p in both]
    for twin, p in zip(twins, both, strict=True):
        twin.grad = p.grad.clone()
    norm = nn.utils.clip_grad_norm_(twins, clip or 1e30)
    torch.testing.assert_close(clip_(model, loss, recipe), norm)
    for twin, p in zip(twins, both, strict=True):
        torch.testing.assert_close(p.grad, twin.grad)
    if clip == 0.5:
        assert gradient_norm(both).item() == pytest.approx(0.5, rel=1e-4)


# --- SAM


def test_sam_takes_its_gradient_at_the_top():
    w = nn.Parameter(torch.tensor([3.0, -1.0], dtype=torch.float64))
    curve = torch.tensor([1.0, 10.0], dtype=torch.float64)
    optimizer = SAM(torch.optim.SGD([w], lr=0.1), rho=0.2)
    start = w.detach().clone()

    def closure():
        optimizer.zero_grad()
        value = 0.5 * (curve * w * w).sum()
        value.backward()
        return value

    value = optimizer.step(closure)
    g = curve * start
    top = start + 0.2 * g / g.norm()
    torch.testing.assert_close(w.detach(), start - 0.1 * curve * top)
    assert value.item() == pytest.approx((0.5 * curve * start * start).sum().item())
    with pytest.raises(ConfigError, match="without a closure"):
        optimizer.step()
    with pytest.raises(ConfigError, match="sam 0"):
        SAM(torch.optim.SGD([w], lr=0.1), rho=0)


def test_sam_by_hand_is_sam_by_closure():
    (model, loss, recipe), (twin, other, _) = parts(sam=0.1), parts(sam=0.1)
    ours, theirs = build_optimizer(model, loss, recipe), build_optimizer(twin, other, recipe)
    for step in range(3):

        def closure(step=step):
            ours.zero_grad()
            return fit_classifier(model, loss, step)

        ours.step(closure)
        theirs.zero_grad()
        fit_classifier(twin, other, step)
        theirs.climb()
        theirs.zero_grad()
        with still_norms(twin):
            fit_classifier(twin, other, step)
        theirs.descend()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[name])
    assert model.neck.num_batches_tracked == 3


def test_sam_lives_on_the_flat_side_of_a_valley():
    means = {}
    for rho in (0.0, 0.5):
        w = nn.Parameter(torch.tensor(-0.3))
        inner = torch.optim.SGD([w], lr=0.01)
        optimizer = SAM(inner, rho) if rho else inner

        def closure(w=w, optimizer=optimizer):
            optimizer.zero_grad()
            value = torch.where(w < 0, 10 * w * w, w * w)
            value.backward()
            return value

        path = []
        for _ in range(300):
            optimizer.step(closure)
            path.append(w.item())
        means[rho] = np.mean(path[100:])
    assert means[0.0] == pytest.approx(0, abs=1e-3)
    assert means[0.5] > 0.03


def test_sam_stays_where_the_gradient_is_nothing_or_broken():
    for gradient in (0.0, math.nan, math.inf):
        w = nn.Parameter(torch.ones(2))
        optimizer = SAM(torch.optim.SGD([w], lr=0.1), rho=0.5)
        w.grad = torch.full((2,), gradient)
        optimizer.climb()
        assert w.tolist() == [1, 1]
    optimizer = SAM(torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1), rho=0.5)
    optimizer.climb()
    optimizer.descend()


@pytest.mark.parametrize("kind", ["adamw", "sgd", "madgrad"])
@pytest.mark.parametrize("sam", [0.0, 0.1])
def test_a_saved_optimizer_goes_on_where_it_was(kind, sam):
    model, loss, recipe = parts(optimizer=kind, sam=sam, weight_decay=0.1)
    optimizer = build_optimizer(model, loss, recipe)
    plan = schedule(optimizer, 8, recipe)

    def go_on(model, loss, optimizer, plan, steps):
        for step in steps:

            def closure(step=step):
                optimizer.zero_grad()
                return fit_classifier(model, loss, step)

            optimizer.step(closure)
            plan.step()

    go_on(model, loss, optimizer, plan, range(4))
    twin, other = copy.deepcopy(model), copy.deepcopy(loss)
    again = build_optimizer(twin, other, recipe)
    resumed = schedule(again, 8, recipe)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed.load_state_dict(plan.state_dict())
    go_on(model, loss, optimizer, plan, range(4, 8))
    go_on(twin, other, again, resumed, range(4, 8))
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert [g["lr"] for g in again.param_groups] == [g["lr"] for g in optimizer.param_groups]


def test_still_norms_keep_their_statistics():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, momentum=None), nn.BatchNorm1d(3, affine=False))
    model(torch.randn(5, 3))
    before = copy.deepcopy(model.state_dict())
    with still_norms(model):
        model(torch.randn(5, 3) + 4)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])
    model(torch.randn(5, 3) + 4)
    assert (model[0].running_mean > before["0.running_mean"]).all()
    with still_norms(None):
        pass


# --- groups and schedule


def test_parameter_groups():
    model, loss, recipe = parts(lr=0.1, head_lr=0.7, weight_decay=0.01, pooling="gem", gem_learn=True)
    groups = {group["name"]: group for group in parameter_groups(model, loss, recipe)}
    names = {p: n for part in (model, loss) for n, p in part.named_parameters()}
    found = {name: {names[p] for p in group["params"]} for name, group in groups.items()}
    assert found == {
        "body-decay": {"backbone.0.weight"},
        "body-plain": {"backbone.0.bias", "backbone.1.weight", "backbone.1.bias"},
        "head-decay": {"projection.weight", "inner.W"},
        "head-plain": {"pooling.p", "neck.weight", "neck.bias"},
    }
    assert [groups[n]["lr"] for n in ("body-plain", "head-decay")] == [0.1, 0.7]
    assert [groups[n]["weight_decay"] for n in ("body-decay", "body-plain", "head-plain")] == [0.01, 0, 0]
    assert {g["lr"] for g in parameter_groups(model, loss, recipe.changed(head_lr=0))} == {0.1}


def test_frozen_parameters_are_left_out():
    model, loss, recipe = parts()
    for p in model.backbone.parameters():
        p.requires_grad_(False)
    assert {group["name"] for group in parameter_groups(model, loss, recipe)} == {"head-decay", "head-plain"}


@examples(80)
@given(st.integers(1, 300), st.floats(0, 1))
def test_the_rate_rises_then_falls(steps, warmup):
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.3)
    plan = schedule(optimizer, steps, Recipe.photo(warmup=warmup))
    top = int(warmup * steps)
    for step in range(steps):
        fall = (1 + math.cos(math.pi * (step - top) / max(steps - top, 1))) / 2
        expected = (step + 1) / top if step < top else fall
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * expected)
        optimizer.step()
        plan.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0 if top < steps else 0.3)


def test_all_groups_keep_their_proportion():
    model, loss, recipe = parts(lr=0.1, head_lr=0.4, warmup=0.2)
    optimizer = build_optimizer(model, loss, recipe)
    plan = schedule(optimizer, 10, recipe)
    seen = []
    for _ in range(10):
        seen.append({g["name"]: g["lr"] for g in optimizer.param_groups})
        optimizer.step()
        plan.step()
    assert seen[0]["body-plain"] == pytest.approx(0.05)
    assert seen[1]["body-plain"] == pytest.approx(0.1)
    assert seen[6]["body-plain"] == pytest.approx(0.05)
    assert all(rates["head-decay"] == pytest.approx(4 * rates["body-decay"]) for rates in seen)


@pytest.mark.parametrize("sam", [0.0, 0.05])
@pytest.mark.parametrize("kind", ["adamw", "sgd", "madgrad"])
def test_every_optimizer_learns(kind, sam):
    model, loss, recipe = parts(optimizer=kind, sam=sam, lr=0.01, head_lr=0.05, margin=0.2, agc=0.3)
    optimizer = build_optimizer(model, loss, recipe)

    def closure():
        optimizer.zero_grad()
        value = fit_classifier(model, loss)
        clip_(model, loss, recipe)
        return value

    values = [optimizer.step(closure).item() for _ in range(25)]
    assert values[-1] < 0.6 * values[0]


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec.*:FutureWarning")
def test_sam_in_lightning():
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.loss, self.recipe = parts(sam=0.05)
            self.passes = 0

        def training_step(self, batch, _):
            self.passes += 1
            return self.loss(self.model(batch[0]), batch[1])

        def configure_gradient_clipping(self, *_, **__):
            clip_(self.model, self.loss, self.recipe)

        def configure_optimizers(self):
            optimizer = build_optimizer(self.model, self.loss, self.recipe)
            plan = schedule(optimizer, 4, self.recipe)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plan, "interval": "step"}}

    module = Module()
    before = copy.deepcopy(module.model.state_dict())
    data = torch.utils.data.TensorDataset(torch.randn(36, 3, 5, 5), torch.arange(36) % 3)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=9))
    assert module.passes == 8
    assert trainer.global_step == 4
    assert module.model.neck.num_batches_tracked == 4
    assert any(not torch.equal(v, before[k]) for k, v in module.model.state_dict().items())
