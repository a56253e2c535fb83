"""Params and MACs of built modules, counted by torch on the meta device; one multiply-add = 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn.lowering import Lowering
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings
from hiergen.nn.trunk import on_meta

# Attention's products (bmm, scaled_dot_product_attention) are not layers with weights.
_LAYER_OPS = ("convolution", "_convolution", "addmm", "mm")


@dataclass(frozen=True)
class Macs:
    """For one image: of the trunk, of ONE branch of each level, and of one class's linear layer."""

    trunk: int
    branches: tuple[int, ...]
    head: int

    def total(self, network: HierarchicalNetwork) -> int:
        """Of the whole network."""
        levels = sum(level.branches * macs for level, macs in zip(network.levels, self.branches, strict=True))
        return self.trunk + levels + network.num_classes * self.head


def network_macs(network: HierarchicalNetwork) -> Macs:
    """Convolutions and linear layers, at the network's input size; nothing is run for real."""
    image = torch.empty(1, *network.trunk.input_size, device="meta")
    return Macs(count_macs(on_meta(network.trunk).eval(), image), tuple(branch_macs(network)), network.head.in_channels)


def branch_macs(network: HierarchicalNetwork) -> list[int]:
    """Of each level the MACs of one branch: all of a level are alike, and however they are executed cost the same."""
    size = network.trunk.map_size
    counts = []
    for level in network.levels:
        with torch.device("meta"):
            one = Siblings(1, level.recipes).eval()
        one.lowering = Lowering("loop")
        # what a second image adds: work on weights alone, as folding norms into them, is not done per image
        first, both = (_all_macs(one, torch.empty(b, level.in_channels, *size, device="meta")) for b in (1, 2))
        counts.append(both - first)
        size = level.map_size(*size)
    return counts


def count_macs(module: nn.Module, x: Tensor) -> int:
    """MACs of convolutions and linear layers in one forward pass, as torch's FLOP counter sees them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), _frozen(module):
        module(x)
    total: int = sum(
        flops
        for op, flops in counter.get_flop_counts()["Global"].items()
        if str(op).removeprefix("aten.").split(".")[0] in _LAYER_OPS
    )
    return total // 2


def copied_macs(module: nn.Module, x: Tensor) -> int:
    """MACs of all products of a module for one more image like the first of `x`: what `branch_macs` counts of a branch
    that has a copy of it."""
    first, both = (_all_macs(module, x[:1].expand(b, *x.shape[1:]).clone()) for b in (1, 2))
    return both - first


def count_params(module: nn.Module) -> int:
    """All weights and biases."""
    return sum(p.numel() for p in module.parameters())


def _all_macs(module: nn.Module, x: Tensor) -> int:
    """MACs of all products: in branches, batched ones are layers too."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), _frozen(module):
        module(x)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Without gradients: the counter wants to follow them into a module that is called on a parameter (the class token
    of CaiT and PiT), which fails without autograd."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)
