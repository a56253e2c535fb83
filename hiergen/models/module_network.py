"""A network on any module: its first children are the trunk, copies of its later ones the branches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import nn

from hiergen.errors import PlanError, quoted
from hiergen.nn.heads import ClassHeads
from hiergen.nn.module_trunk import ModuleNetwork, ModuleTrunk, Parts, cut_module, first_blocks
from hiergen.nn.replicas import Replicas
from hiergen.nn.siblings import Siblings
from hiergen.nn.template import MISFITS
from hiergen.nn.trunk import Size
from hiergen.taxonomy.nesting import Nesting

Depth: TypeAlias = Literal["first", "all"]
Tail: TypeAlias = Sequence[str | Sequence[str]]
Blocks: TypeAlias = list[tuple[str, nn.Module]]


def module_network(
    module: nn.Module,
    until: str,
    nesting: Nesting,
    *,
    input_size: Size = (3, 224, 224),
    depth: Depth | None = None,
    tail: Tail | None = None,
) -> ModuleNetwork:
    """The network of a module cut after its child `until`; see `hiergen.network`."""
    if depth not in (None, "first", "all"):
        raise PlanError(f"no depth {quoted(depth)}", expected="'first' or 'all'")
    parts = cut_module(module, until, input_size)
    levels = _given(parts, tail, nesting.depth) if tail is not None else _shared_out(parts, depth, nesting.depth)
    network = ModuleNetwork(nesting)
    network.trunk = ModuleTrunk(parts, input_size)
    weight = next(module.parameters())
    maps = torch.zeros(parts.map_shape, dtype=weight.dtype, device=weight.device)
    channels = maps.shape[1]
    for j, blocks in enumerate(levels, 1):
        some = [block for _, block in blocks]
        if parts.closing is not None and j == nesting.depth:
            some.append(parts.closing)
        size, reads = (maps.shape[2], maps.shape[3]), channels
        maps = _after(blocks, some, maps, parts)
        channels = maps.shape[1]
        recipe = Replicas.of(some, reads, channels, layout="nchw", size=size)
        parents = nesting.parents(j) if j > 1 else None
        network.add_module(f"level{j}", Siblings(len(nesting.names(j)), [recipe], parents=parents))
    network.head = ClassHeads(len(nesting.classes), channels, parents=nesting.heads)
    _copy_rows(network.head, parts.classifier)
    return network.to(weight.device, weight.dtype).train()


def _shared_out(parts: Parts, depth: Depth | None, levels: int) -> list[Blocks]:
    """The blocks between cut and pooling, in order, as evenly as can be; earlier levels, which have fewer branches,
    take more."""
    first, every = (
        [block for name, child in parts.blocks for block in first_blocks(name, child, all_of_them)]
        for all_of_them in (False, True)
    )
    blocks = every if depth == "all" or (depth is None and len(first) < levels) else first
    if len(blocks) < levels:
        raise PlanError(
            f"there are too few blocks between {quoted(parts.until)} and the pooling for {levels} levels of branches",
            expected=f"{levels} or more",
            got=", ".join(name for name, _ in blocks) or "none",
            hint="cut earlier" if blocks == every else "depth='all' takes every block",
        )
    share, more = divmod(len(blocks), levels)
    ends = [share * j + min(j, more) for j in range(levels + 1)]
    return [blocks[a:b] for a, b in pairwise(ends)]


def _given(parts: Parts, tail: Tail, levels: int) -> list[Blocks]:
    """The modules that a user names for each level."""
    names = [[some] if isinstance(some, str) else list(some) for some in tail]
    if len(names) != levels or not all(names):
        raise PlanError("tail has the modules of each level", expected=f"{levels} lists of names", got=repr(names))
    known = dict(parts.module.named_modules())
    for name in (name for some in names for name in some):
        if name not in known or not name:
            raise PlanError(f"{type(parts.module).__name__} has no module {quoted(name)}")
    return [[(name, known[name]) for name in some] for some in names]


def _after(blocks: Blocks, some: list[nn.Module], maps: torch.Tensor, parts: Parts) -> torch.Tensor:
    """The maps after a level's modules. PlanError where one does not take what comes before it."""
    for number, block in enumerate(some):
        name = blocks[number][0] if number < len(blocks) else "the layers before the classifier"
        training, shape = {part: part.training for part in block.modules()}, tuple(maps.shape[1:])
        try:
            with torch.no_grad():
                maps = block.eval()(maps)
        except MISFITS as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PlanError(
                f"{quoted(name)} of {type(parts.module).__name__} does not take what comes before it",
                got=f"a map {shape}: {reason}",
                hint="depth='all' leaves no block out",
            ) from error
        finally:
            for part, flag in training.items():
                part.training = flag
    return maps


@torch.no_grad()
def _copy_rows(head: ClassHeads, classifier: nn.Linear | None) -> None:
    """The classifier's rows, where it has one for each class."""
    if classifier is None or (classifier.out_features, classifier.in_features) != (head.classes, head.in_channels):
        return
    head.weight.copy_(classifier.weight)
    head.bias.zero_() if classifier.bias is None else head.bias.copy_(classifier.bias)
