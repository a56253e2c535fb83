"""What a cost card compares: the network at rest, its flat backbone, and a network anew from its plan."""

from __future__ import annotations

import copy

import timm
import torch
from torch import nn

from hiergen.nn import Bottlenecks, ClassHeads, ConvNeXts, HierarchicalNetwork, InvertedResiduals, Siblings, Trunk
from hiergen.nn.stage import StageRecipe
from hiergen.plan.ir import Plan, StagePlan


def flat_network(backbone: str, classes: int, input_size: tuple[int, ...] = (3, 224, 224)) -> nn.Module:
    """timm's backbone with a classifier for `classes` classes, in eval mode, with random weights.

    For fewer classes it costs what the trained one costs after its classifier is sliced to their rows.
    """
    cfg = timm.get_pretrained_cfg(backbone)
    options: dict[str, object] = {}
    if cfg is not None and cfg.fixed_input_size and tuple(cfg.input_size[1:]) != tuple(input_size[1:]):
        options["img_size"] = tuple(input_size[1:])
    if input_size[0] != 3:
        options["in_chans"] = input_size[0]
    flat: nn.Module = timm.create_model(backbone, num_classes=classes, **options)
    return flat.eval()


def network_of(plan: Plan) -> HierarchicalNetwork:
    """The network of a plan, in eval mode, with random weights and without its class names."""
    network = HierarchicalNetwork()
    network.trunk = Trunk(plan.trunk.backbone, until=plan.trunk.until, input_size=plan.trunk.input_size)
    for j, level in enumerate(plan.levels, 1):
        recipes = [_recipe(stage) for stage in level.stages]
        network.add_module(f"level{j}", Siblings(level.branches, recipes, parents=level.parents or None))
    network.head = ClassHeads(len(plan.classes), plan.levels[-1].channels, parents=plan.head_parents or None)
    return network.eval()


def at_rest(network: HierarchicalNetwork, device: torch.device) -> HierarchicalNetwork:
    """A copy in eval mode on `device`, for all classes and without gains; on the same device it shares the weights."""
    tensors = (*network.parameters(), *network.buffers())
    shared: dict[int, object] = {id(t): t for t in tensors} if all(t.device == device for t in tensors) else {}
    active, gains = network._active, network._gains
    try:
        network._active = network._gains = None  # gains may hold graphs, which cannot be copied
        own = copy.deepcopy(network, shared)
    finally:
        network._active, network._gains = active, gains
    return own.to(device).eval()


def _recipe(stage: StagePlan) -> StageRecipe:
    sizes = (stage.in_channels, stage.width, stage.out)
    if stage.block == "bottleneck":
        return Bottlenecks(*sizes, depth=stage.depth, stride=stage.stride)
    if stage.block == "mbconv":
        assert stage.kernel is not None
        assert stage.act is not None
        own = {"depth": stage.depth, "stride": stage.stride, "kernel": stage.kernel}
        return InvertedResiduals(*sizes, **own, act=stage.act, tf=stage.tf)
    return ConvNeXts(*sizes, depth=stage.depth, stride=stage.stride, grn=stage.block == "convnextv2")
