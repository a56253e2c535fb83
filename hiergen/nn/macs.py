"""Params and MACs of built modules, counted by torch on the meta device; one multiply-add = 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from hiergen.nn.lowering import Lowering
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings
from hiergen.nn.trunk import on_meta


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
    """MACs of convolutions and linear layers in one forward pass, counted on a twin on the meta device.

    Layers are convolutions and products with weights, whatever operations torch makes of them: it runs one and the same
    linear layer as mm, addmm or bmm, by device, batch, layout and whether there are gradients. Attention's products of
    two maps are none.
    """
    with torch.no_grad(), _LayerCounter(twin := on_meta(module)) as counter:
        twin(x.to("meta"))
    macs: int = counter.macs
    return macs


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
    # the counter follows gradients into a module that is called on a parameter (CaiT, PiT), which fails without them
    still = on_meta(module).requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        still(x.to("meta"))
    return int(counter.get_total_flops()) // 2


class _LayerCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the MACs of convolutions and of matrix products with a module's weights, or with what was made of these
    alone."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self._weights = {id(p): p for p in (*module.parameters(), *module.buffers())}  # kept: ids are not used again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        product = _PRODUCTS.get(func.overloadpacket)
        if (
            product is None
            and func not in flop_registry
            and (parts := self._decomposed(func, args, kwargs)) is not None
        ):
            return parts
        out = func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        factors = sum(id(args[i]) in self._weights for i in product or ())
        # a batched product of two weights is a table that is looked up, not a layer
        if product is not None and (factors == 1 or (factors and args[product[0]].ndim == 2)):
            self.macs += args[product[0]].numel() * args[product[1]].shape[-1]
        elif func.overloadpacket in _CONVOLUTIONS:
            self.macs += int(flop_registry[func.overloadpacket](*args, **kwargs, out_val=out)) // 2
        if tensors and all(id(tensor) in self._weights for tensor in tensors):
            self._weights |= {id(leaf): leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)}
        return out

    def _decomposed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What an operation that consists of others gives, each of them counted; None of other operations."""
        with self:
            parts = func.decompose(*args, **kwargs)
        return None if parts is NotImplemented else parts


_aten = torch.ops.aten
_CONVOLUTIONS = (_aten.convolution, _aten._convolution)
_PRODUCTS = {_aten.mm: (0, 1), _aten.addmm: (1, 2), _aten.bmm: (0, 1), _aten.baddbmm: (1, 2)}  # the factors' places
