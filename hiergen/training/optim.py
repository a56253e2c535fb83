"""Parameter groups, optimiser and schedule of a recipe; the latter two are timm's."""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.optim import create_optimizer_v2, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.recipe import Optimizer, Recipe


def make_optimizer(network: HierarchicalNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    """timm's optimiser over the trained parameters. Raises HiergenError for a name that timm does not know."""
    wanted = recipe.optimizer
    names = list_optimizers()
    if wanted.name.lower() not in names:
        raise HiergenError(
            f"no optimizer {quoted(wanted.name)}", nearest=nearest(wanted.name, names), hint="timm has them"
        )
    _try(wanted)
    return _made(parameter_groups(network, wanted, recipe.trunk.lr_scale), wanted)


def _made(groups: list[dict[str, Any]], wanted: Optimizer) -> torch.optim.Optimizer:
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            groups,
            opt=wanted.name,
            lr=wanted.lr,
            weight_decay=wanted.weight_decay,
            momentum=wanted.momentum,
        )
    except (ImportError, AssertionError, NameError) as error:  # timm's words for bnb…, and fused… of apex
        raise HiergenError(
            f"optimizer {quoted(wanted.name)} needs another package, or a GPU", got=quoted(error)
        ) from None
    except (ValueError, TypeError) as error:
        raise HiergenError(f"optimizer {quoted(wanted.name)} cannot have these values", got=quoted(error)) from None
    return optimizer


def _try(wanted: Optimizer) -> None:
    """A step on few numbers. Raises HiergenError for an optimiser that wants more than gradients, as AdaHessian."""
    if wanted.name.lower().startswith(("bnb", "fused")):  # they take steps on a GPU alone
        return
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = _made([{"params": [weight], "weight_decay": 0.0, "lr_scale": 1.0}], wanted)
    weight.square().sum().backward()  # type: ignore[no-untyped-call]
    try:
        optimizer.step()
    except (RuntimeError, TypeError, ValueError) as error:
        raise HiergenError(
            f"optimizer {quoted(wanted.name)} wants more than gradients", got=quoted(error), hint="adamw does not"
        ) from None


def parameter_groups(network: HierarchicalNetwork, optimizer: Optimizer, trunk_scale: float) -> list[dict[str, Any]]:
    """The parameters that are trained, by weight decay and `lr_scale`, by which timm's schedules multiply the rate.

    Biases, norms and what the network names in `no_weight_decay` do not decay.
    """
    spared = network.no_weight_decay()
    depth: dict[str, int] = {}
    if optimizer.layer_decay is not None:
        depth = timm.models.group_parameters(network, network.group_matcher(), reverse=True)
    deepest = max(depth.values(), default=0)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = 0.0 if parameter.ndim <= 1 or name in spared else optimizer.weight_decay
        scale = trunk_scale if name.startswith("trunk.") else 1.0
        if optimizer.layer_decay is not None:
            scale *= float(optimizer.layer_decay ** (deepest - depth[name]))
        group = {"params": [], "weight_decay": decay, "lr_scale": scale}
        groups.setdefault((decay, scale), group)["params"].append(parameter)
    if not groups:
        raise HiergenError("nothing is to be trained: every parameter is frozen")
    return list(groups.values())


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, updates_per_epoch: int) -> Scheduler:
    """timm's schedule; `step_update(n)` sets the rates for the update after n updates, whatever came before."""
    wanted = recipe.schedule
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched=wanted.name,
        num_epochs=recipe.epochs,
        warmup_epochs=min(wanted.warmup_epochs, recipe.epochs / 2),
        warmup_lr=min(wanted.warmup_lr, recipe.optimizer.lr),
        min_lr=wanted.min_lr,
        decay_epochs=wanted.decay_epochs,
        decay_milestones=list(wanted.decay_milestones),
        decay_rate=wanted.decay_rate,
        step_on_epochs=False,
        updates_per_epoch=updates_per_epoch,
    )
    assert schedule is not None
    return schedule
