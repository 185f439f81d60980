"""An optimizer of torch's, or of somebody else's, is tried before a run trains with it."""

import inspect
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.row_optimizer import RowOptimizer, generators_of
from nettrain.optimizers.torch_optimizer import TorchOptimizer, Traits, outline
from nettrain.parts.schedules import Constant
from nettrain.preparation.prepared import PreparedRun
from nettrain.targets import building
from nettrain.vector import Layout


def try_torch_optimizer(run: PreparedRun, device: torch.device) -> None:
    """Try the optimizer on random weights of the model's shapes.

    Raises `ConfigError` for one that cannot train or be saved, and for what it cannot do.
    """
    config, optimizer = run.config, run.optimizer
    assert isinstance(optimizer, TorchOptimizer)
    named = f"optimizer._target_={optimizer._target_}"
    if config.on_divergence == "skip_step":
        raise ConfigError(
            f"on_divergence=skip_step: {named} cannot take an update back; use stop or restore_and_halve_lr."
        )
    _try(optimizer, Layout.of(run.model), run.factors, config.dtype, device)
    if math.isnan(run.lr) and config.schedule != Constant():
        raise ConfigError(f"schedule={config.schedule.name}: {named} has no lr that it could change.")


def _try(
    part: TorchOptimizer, layout: Layout, factors: Sequence[Factors], dtype: torch.dtype, device: torch.device
) -> None:
    """Make a few updates of random weights, and go on with them from a saved state.

    Raises `ConfigError` where that fails, where the state cannot be saved, and where it is not all that counts.
    """
    generator = torch.Generator().manual_seed(0)
    w, *gradients = (torch.randn(layout.size, generator=generator).to(device, dtype) for _ in range(4))
    first = part.build([{"params": [nn.Parameter(w[: min(4, len(w))].clone().view(-1, 1))]}])
    step = inspect.signature(first.step).parameters
    by_closure = "closure" in step and step["closure"].default is inspect.Parameter.empty
    traits = Traits(dict(first.param_groups[0]), by_closure)
    part.learn(traits)
    for key in Factors._fields:
        if key not in traits.defaults and any(getattr(kind, key) != 1 for kind in factors):
            raise ConfigError(f"groups: optimizer._target_={part._target_} has no {key} that they could change.")
    one = RowOptimizer(part, layout, factors, w, 0)
    with torch.random.fork_rng(generators_of(device)):
        before = _generators(device)
        for t, g in enumerate(gradients[:2]):
            _try_step(one, w, g, t)
        traits.draws = not torch.equal(_generators(device), before)
    one.switch(w, training=False)
    state, other_w = one.state(), w.clone()
    traits.state = outline(state)
    other = RowOptimizer(part, layout, factors, other_w, 0)
    with building("optimizer", part.arguments, "its state cannot be taken back"):
        other.restore(state)
    for optimizer, weights in ((one, w), (other, other_w)):
        _try_step(optimizer, weights, gradients[2].clone(), 2)
    if not torch.equal(w.nan_to_num(), other_w.nan_to_num()):
        raise ConfigError(
            f"optimizer._target_={part._target_}: its state_dict does not hold all that it remembers, so that an "
            "interrupted run could not go on as it was."
        )


def _try_step(optimizer: RowOptimizer, w: Tensor, g: Tensor, t: int) -> None:
    """An update by the gradient g, or of the function (w - g)^2 / 2 where the optimizer wants to evaluate one."""
    traits = optimizer.part.traits

    def evaluate() -> tuple[Tensor, Tensor]:
        return (w - g).square().sum() / 2, w - g

    lr = traits.defaults.get("lr", math.nan)
    with building("optimizer", optimizer.part.arguments, "its step fails"):
        optimizer.switch(w, training=True)
        if not traits.by_closure:
            try:
                optimizer.step(w, g, lr, t)
                return
            except Exception:
                if "closure" not in inspect.signature(optimizer.optimizer.step).parameters or t > 0:
                    raise
                traits.by_closure = True  # it says that none is needed, and needs one
        optimizer.step(w, g, lr, t, evaluate)


def _generators(device: torch.device) -> Tensor:
    """The states of torch's random numbers."""
    return torch.cat([torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in generators_of(device))])
