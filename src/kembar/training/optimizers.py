"""Steps of training: gradient clipping by unit, sharpness-aware minimisation, parameter groups and the schedule."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from timm.utils.agc import adaptive_clip_grad
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from kembar.errors import ConfigError
from kembar.training.recipe import Recipe

Closure = Callable[[], Any]


@torch.no_grad()
def clip_(model: nn.Module, loss: nn.Module, recipe: Recipe) -> Tensor:
    """Clip the gradients as the recipe says: by unit without the loss's classifier, then all by their norm.

    By unit as in Brock et al. 2021, who leave the classifier out (section 4.1).

    Args:
        model: the encoder.
        loss: the loss or objective.
        recipe: its agc and clip are used.

    Returns:
        The norm of all gradients before the second clipping, a scalar.
    """
    if recipe.agc:
        adaptive_clip_grad(model.parameters(), recipe.agc)
    norm = gradient_norm(given := [*model.parameters(), *loss.parameters()])
    if recipe.clip:
        nn.utils.clip_grads_with_norm_(given, recipe.clip, norm)
    return norm


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients together, a scalar; 0 where there are none."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation around another optimizer (Foret et al. 2021, eq. 2-3 and algorithm 1).

    The weights climb to w + rho g / ||g||, the gradient is taken there, the weights come back and the inner optimizer
    steps. `step(closure)` does all of it and so works in Lightning's automatic optimisation (the closure runs twice,
    with whatever hooks Lightning puts into it); `climb` and `descend` do it by hand.

    Args:
        inner: the optimizer that steps; its parameter groups and state are shared.
        rho: radius, > 0.
        model: batch-norms of it do not count the second pass into their running statistics.

    Raises:
        ConfigError: rho <= 0.
    """

    def __init__(self, inner: torch.optim.Optimizer, rho: float = 0.05, model: nn.Module | None = None) -> None:
        if not rho > 0:
            raise ConfigError(f"sam {rho}", "a radius above 0", "Choose about 0.05, or leave SAM out.")
        super().__init__(inner.param_groups, inner.defaults)
        self.inner, self.rho, self.model = inner, rho, model
        self._away: dict[Tensor, Tensor] = {}
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    @torch.no_grad()
    def climb(self) -> None:
        """Go to w + rho g / ||g||, g all gradients together; nothing changes where they are zero or not finite."""
        given = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = gradient_norm(given)
        scale = torch.where(torch.isfinite(norm) & (norm > 0), self.rho / norm, torch.zeros_like(norm))
        for p in given:
            self._away[p] = p.detach().clone()
            p.add_(torch.where(scale > 0, p.grad * scale.to(p), torch.zeros_like(p)))

    @torch.no_grad()
    def descend(self) -> None:
        """Come back and step by the gradients taken at the top."""
        for p, home in self._away.items():
            p.copy_(home)
        self._away.clear()
        self.inner.step()

    def step(self, closure: Closure | None = None) -> Any:
        """Do one whole step.

        Args:
            closure: clears the gradients, runs forward and backward, and returns the loss.

        Returns:
            The loss at the weights before the step.

        Raises:
            ConfigError: no closure.
        """
        if closure is None:
            raise ConfigError("a step of SAM without a closure", "a closure", "Or call climb and descend by hand.")
        with torch.enable_grad():
            loss = closure()
        self.climb()
        with torch.enable_grad(), still_norms(self.model):
            closure()
        self.descend()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the inner optimizer."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of the inner optimizer."""
        self.inner.load_state_dict(state_dict)
        self._share()


@contextmanager
def still_norms(model: nn.Module | None) -> Iterator[None]:
    """Keep the running statistics of batch-norms as they are for a while.

    Args:
        model: the model; nothing happens where None.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)] if model is not None else []
    momenta = [norm.momentum for norm in norms]
    counts = [None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone() for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)


def parameter_groups(model: nn.Module, loss: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Sort the trained parameters: body and head have their own learning rate, biases and norms no weight decay.

    Head are the parameters that `head_parameters()` of the model (where it has that) and of the loss list; no decay for
    whatever has one dimension or none (2nd place of Kaggle Shopee; head rate: 1st, 6th and 11th place).

    Args:
        model: the encoder.
        loss: the loss or objective.
        recipe: its lr, head_lr and weight_decay are used.

    Returns:
        Up to four groups with params, lr, weight_decay and name; none is empty.
    """
    heads = {id(p) for part in (model, loss) for p in getattr(part, "head_parameters", list)()}
    sorted_: dict[tuple[str, str], list[nn.Parameter]] = {}
    for p in dict.fromkeys(p for part in (model, loss) for p in part.parameters() if p.requires_grad):
        key = ("head" if id(p) in heads else "body", "decay" if p.dim() > 1 else "plain")
        sorted_.setdefault(key, []).append(p)
    rates = {"body": recipe.lr, "head": recipe.head_lr or recipe.lr}
    decays = {"decay": recipe.weight_decay, "plain": 0.0}
    return [
        {"params": params, "lr": rates[part], "weight_decay": decays[kind], "name": f"{part}-{kind}"}
        for (part, kind), params in sorted_.items()
    ]


def build_optimizer(model: nn.Module, loss: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe.

    Args:
        model: the encoder.
        loss: the loss or objective.
        recipe: its optimizer, sam and what `parameter_groups` uses.

    Returns:
        AdamW, SGD (Nesterov, momentum .9) or MADGRAD (1st place of Kaggle Shopee), within `SAM` where asked.
    """
    groups = parameter_groups(model, loss, recipe)
    inner: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        inner = torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True)
    elif recipe.optimizer == "madgrad":
        from timm.optim.madgrad import MADGRAD

        inner = cast("torch.optim.Optimizer", MADGRAD(groups, lr=recipe.lr, decoupled_decay=True))
    else:
        # Fused it is ten times faster on a CPU; but with float16 it would undo the scaling after the clipping.
        inner = torch.optim.AdamW(groups, lr=recipe.lr, fused=recipe.precision != "float16")
    return SAM(inner, recipe.sam, model) if recipe.sam else inner


def schedule(optimizer: torch.optim.Optimizer, steps: int, recipe: Recipe) -> LRScheduler:
    """Return the learning rates of a training: a straight rise over the warm-up, then half a cosine to zero.

    The first step is already above zero, and the last of the rise is the highest (cosine: Loshchilov and Hutter 2017,
    eq. 5, no restart).

    Args:
        optimizer: the optimizer; all its groups keep their proportion.
        steps: steps of the whole training, >= 1.
        recipe: its warmup is used.

    Returns:
        A scheduler to be stepped after every step.
    """
    rise = int(recipe.warmup * steps)
    fall = CosineAnnealingLR(optimizer, max(steps - rise, 1))
    if not rise:
        return fall
    warm = LinearLR(optimizer, 1 / rise, total_iters=rise - 1)
    return SequentialLR(optimizer, [warm, fall], [rise])
