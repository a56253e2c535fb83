"""The blocks of a timm backbone that branches can have copies of, found by how it runs. Imports torch and timm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from hiergen.errors import PlanError
from hiergen.nn.macs import copied_macs, count_params
from hiergen.nn.replicas import Replicas
from hiergen.nn.template import MISFITS, Layout, Template, own_size, timm_template
from hiergen.nn.trunk import Size
from hiergen.planning.backbones import CopyFacts, StageFacts
from hiergen.planning.plan import CopyPlan, StagePlan

ENTRIES = ("downsample", "transition")  # what leads into a stage's first block
_LEAVES = (nn.Conv2d, nn.Linear, nn.LayerNorm, _NormBase)
_IDLE = (nn.Identity, nn.Dropout)
_NORM = "norm"  # after a transformer's last block: the end has it

Found = tuple[tuple[CopyFacts, ...], CopyFacts | None, Layout | None]


@dataclass
class _Call:
    """A module that ran: its name, what it read and gave, and what it ran itself."""

    name: str
    module: Any
    reads: Any = None
    gives: Any = None
    inside: list[_Call] = field(default_factory=list)

    @property
    def leads(self) -> bool:
        """Whether it leads into the block after it."""
        return self.name.rpartition(".")[2].rstrip("0123456789") in ENTRIES

    @property
    def follows(self) -> bool:
        """Whether it belongs to the block before it: a norm, an activation, a pooling."""
        return not any(isinstance(part, nn.Conv2d | nn.Linear) for part in self.module.modules())


def copied_blocks(backbone: str, flat: nn.Module, stages: Sequence[StageFacts], input_size: Size) -> Found:
    """The blocks after the first stage, the end, and the layout of their maps; nothing where they cannot be copied.

    `flat` is timm's network in eval mode on the meta device.
    """
    nothing: Found = ((), None, None)
    try:
        calls = _calls(flat, torch.empty(2, *input_size, device="meta"), [stage.name for stage in stages])
    except MISFITS:
        return nothing
    known = {stage.name: stage for stage in stages}
    blocks = _blocks(calls, list(known))
    starts = [at for at, name in _ends_of(blocks, list(known)).items() if name == stages[0].name]
    if not starts or starts[0] + 1 == len(blocks):
        return nothing
    first, blocks = blocks[starts[0]], blocks[starts[0] + 1 :]
    names = tuple(call.name for block in blocks for call in block)
    try:
        template = timm_template(backbone, names, True, input_size)
    except PlanError:
        return nothing
    if not _agrees(stages[0], _map_of(first[-1].gives, template.layout), template.layout):
        return nothing
    all_ends, copies = _ends_of(blocks, list(known)), []
    for at, block in enumerate(blocks):
        ends = all_ends.get(at)
        maps = _map_of(block[-1].gives, template.layout)
        if ends is not None and not _agrees(known[ends], maps, template.layout):
            return nothing
        copies.append(
            CopyFacts(
                modules=tuple(call.name for call in block),
                ends=ends,
                in_channels=_map_of(block[0].reads, template.layout)[0],
                out=maps[0],
                height=maps[1],
                width=maps[2],
                params=sum(count_params(call.module) for call in block),
                macs=sum(copied_macs(call.module, call.reads) for call in block),
            )
        )
    return tuple(copies), _end(template, blocks[-1][-1].gives), template.layout


def _end(template: Template, last: Tensor) -> CopyFacts:
    closing = template.modules[-1]
    return CopyFacts(
        modules=(),
        ends=None,
        in_channels=_map_of(last, template.layout)[0],
        out=template.out,
        height=1,
        width=1,
        params=count_params(closing),
        macs=copied_macs(closing, last),
    )


def _map_of(x: Tensor, layout: Layout) -> tuple[int, int, int]:
    """Channels, height and width."""
    if layout == "nlc":
        return x.shape[2], 1, x.shape[1]
    return (x.shape[1], x.shape[2], x.shape[3]) if layout == "nchw" else (x.shape[3], x.shape[1], x.shape[2])


def _agrees(stage: StageFacts, maps: tuple[int, int, int], layout: Layout) -> bool:
    """Whether a trunk that ends with this stage hands that map over."""
    if layout == "nlc":
        return stage.channels == maps[0] and stage.height * stage.width <= maps[2]
    return (stage.channels, stage.height, stage.width) == maps


def _calls(flat: Any, images: Tensor, stages: Sequence[str]) -> list[_Call]:
    """The modules that run one after the other at the end of the features, opened down to blocks."""
    root = _Call("", flat)
    stack = [root]
    names = {module: name for name, module in flat.named_modules()}

    def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
        call = _Call(names[module], module, args[0] if args else None)
        stack[-1].inside.append(call)
        stack.append(call)

    def leave(module: nn.Module, args: tuple[Any, ...], answer: Any) -> None:
        stack.pop().gives = answer

    hooks = [m.register_forward_pre_hook(enter) for m in flat.modules() if m is not flat]
    hooks += [m.register_forward_hook(leave) for m in flat.modules() if m is not flat]
    try:
        with torch.no_grad():
            answer = flat.forward_features(images)
    finally:
        for hook in hooks:
            hook.remove()
    return list(_opened(_chain(root.inside, answer), stages))


def _chain(calls: list[_Call], answer: Any) -> list[_Call]:
    """The last calls, each of which reads what the one before gives; the final norm of transformers left out."""
    chain: list[_Call] = []
    for call in reversed(calls):
        if call.gives is not answer:
            break
        answer = call.reads
        if not isinstance(call.module, _IDLE) and not (not chain and call.name == _NORM):
            chain.append(call)
    return chain[::-1]


def _opened(calls: list[_Call], stages: Sequence[str]) -> Iterator[_Call]:
    for call in calls:
        inside = _chain(call.inside, call.gives)
        parted = any(stage.startswith(f"{call.name}.") for stage in stages)
        stage = isinstance(call.module, nn.Sequential) or type(call.module).__name__.endswith("Stage")
        blocks = stage and not any(isinstance(part.module, _LEAVES) for part in inside)
        if inside and inside[0].reads is call.reads and (parted or blocks):
            yield from _opened(inside, stages)
        else:
            yield call


def _blocks(calls: list[_Call], stages: Sequence[str]) -> list[list[_Call]]:
    """Calls with what leads into them and what belongs to them. What comes after a stage is none of its own."""
    blocks: list[list[_Call]] = []
    leading: list[_Call] = []
    for call in calls:
        parted = blocks and any(_is_in(blocks[-1][-1], stage) and not _is_in(call, stage) for stage in stages)
        if call.leads or (call.follows and parted):
            leading.append(call)
        elif call.follows and blocks and not leading:
            blocks[-1].append(call)
        else:
            blocks.append([*leading, call])
            leading = []
    return [*blocks, leading] if leading else blocks


def _is_in(call: _Call, stage: str) -> bool:
    return f"{call.name}.".startswith(f"{stage}.")


def _ends_of(blocks: list[list[_Call]], stages: Sequence[str]) -> dict[int, str]:
    """Which blocks are the last ones of these stages."""
    ends = {}
    for stage in stages:
        inside = [at for at, block in enumerate(blocks) if any(_is_in(call, stage) for call in block)]
        if inside:
            ends[inside[-1]] = stage
    return ends


@lru_cache(maxsize=64)
def copied_stage(recipe: Replicas) -> StagePlan:
    """The plan of a stage of copies, counted anew."""
    template = recipe.template
    height, width = template.before
    shapes = {
        "nchw": (2, template.in_channels, height, width),
        "nhwc": (2, height, width, template.in_channels),
        "nlc": (2, height * width, template.in_channels),
    }
    x = torch.empty(shapes[template.layout], dtype=template.dtype, device="meta")
    size = recipe.input_size or own_size(recipe.backbone)
    return StagePlan(
        block="copy",
        in_channels=recipe.in_channels,
        width=recipe.out,
        out=recipe.out,
        depth=len(template.modules),
        stride=1,
        copied=CopyPlan(
            backbone=recipe.backbone,
            modules=tuple(recipe.modules),
            end=recipe.end,
            input_size=size,
            params=sum(map(count_params, template.modules)),
            macs=copied_macs(nn.Sequential(*template.modules), x),
            height=template.after[0],
            width=template.after[1],
        ),
    )
