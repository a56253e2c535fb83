"""What a cost card compares: the network at rest, its flat backbone, and a network anew from its plan."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from hiergen.errors import HiergenError, quoted
from hiergen.lookup.select import Node
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.cutout import single
from hiergen.nn.generalist import ONE_BRANCH
from hiergen.nn.macs import branch_macs, count_macs, count_params
from hiergen.nn.routing import generalist_of


def at_rest(network: HierarchicalNetwork, device: torch.device) -> HierarchicalNetwork:
    """A copy in eval mode on `device`, for all classes and without gains; on the same device it shares the weights."""
    tensors = (*network.parameters(), *network.buffers())
    shared: dict[int, object] = {id(t): t for t in tensors} if all(t.device == device for t in tensors) else {}
    copied = copy.deepcopy(network, shared)
    copied.active = None
    return copied.to(device).eval()


def asked_device(name: str | torch.device) -> torch.device:
    """The device, with its number. Raises HiergenError if it is not there."""
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise HiergenError(f"no device {quoted(name)}", expected="cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        got = ", ".join(devices)
        raise HiergenError(f"device {quoted(name)} is not there", expected=f"one of {got}")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else torch.device("cpu")


def whole_number(what: str, number: object, least: int = 1) -> int:
    """The number. Raises HiergenError unless it is an int, `least` or more."""
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise HiergenError(f"{what} cannot be {quoted(number)}", expected=f"a whole number from {least}")
    return number


@contextmanager
def enough_memory() -> Iterator[None]:
    """torch's refusal to allocate, in our words."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" not in text and "out of memory" not in text:
            raise
        raise HiergenError("there is not enough memory to measure this", hint="choose a smaller batch") from error


@dataclass(frozen=True)
class Cost:
    """Params, and MACs for one image."""

    params: int
    macs: int


@dataclass(frozen=True)
class Part:
    """The trunk, one level, or the head: `branches` side by side (trunk: 1, head: one per class), and their sum."""

    name: str
    branches: int
    params: int
    macs: int


def network_parts(network: HierarchicalNetwork) -> tuple[Part, ...]:
    """The parts of a network's form, on any device and however its branches are executed: trunk, level1 … levelk and
    head; of a branch for all classes trunk, level1 and head; of both the generalist too, in one."""
    if network.form in ONE_BRANCH:
        network = single(network, range(network.num_classes))
    trunk, head = module_cost(network.trunk, network.trunk.input_size), network.head
    parts = [Part("trunk", 1, trunk.params, trunk.macs)]
    for j, (level, one) in enumerate(zip(network.levels, _level_costs(network), strict=True), 1):
        parts.append(Part(f"level{j}", level.branches, level.branches * one.params, level.branches * one.macs))
    parts.append(Part("head", head.classes, count_params(head), head.classes * head.in_channels))
    if network.form == "both":
        *_, tail, _ = network_parts(single(network, range(network.num_classes)))
        rows = generalist_of(network).head  # a cutout answers with some, and runs all
        macs = tail.macs + rows.classes * rows.in_channels
        parts.append(Part("generalist", 1, count_params(generalist_of(network)), macs))
    return tuple(parts)


def branch_costs(network: HierarchicalNetwork) -> dict[Node, Cost]:
    """The cost of every branch by itself, without what is above or below it, level by level."""
    costs: dict[Node, Cost] = {}
    for j, (level, one) in enumerate(zip(network.levels, _level_costs(network), strict=True), 1):
        names = network.nesting.names(j)
        if len(names) != level.branches:  # one branch for all classes
            names = ("all classes",) * level.branches
        costs.update({Node(j, i, name): one for i, name in enumerate(names)})
    return costs


def module_cost(module: nn.Module, input_size: tuple[int, ...]) -> Cost:
    """Cost of a trunk or flat network on one image of `input_size` (C, H, W); weights are neither read nor copied."""
    counted = _on_meta(module).eval()
    return Cost(count_params(module), count_macs(counted, torch.empty(1, *input_size, device="meta")))


def _level_costs(network: HierarchicalNetwork) -> list[Cost]:
    """Of each level the cost of one branch: all of a level are alike."""
    pairs = zip(network.levels, branch_macs(network), strict=True)
    return [Cost(count_params(level) // level.branches, macs) for level, macs in pairs]


def _on_meta(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers have shapes only."""
    memo: dict[int, object] = {id(b): torch.empty_like(b, device="meta") for b in module.buffers()}
    for p in module.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False)
    return copy.deepcopy(module, memo)
