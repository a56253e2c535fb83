"""Branches of any blocks: every branch has its own copy of the same modules, of timm, torchvision or the user's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hiergen.errors import HiergenError, PlanError
from hiergen.nn.lowering import Run, is_jit_traced
from hiergen.nn.norm import is_recomputing
from hiergen.nn.plain_kernels import Fan
from hiergen.nn.plain_layers import Copies
from hiergen.nn.plain_trunk import fold_norms
from hiergen.nn.stage import Block, BranchStage, positive
from hiergen.nn.template import TRIED, Layout, Template, given_template, tensors, timm_template
from hiergen.nn.trunk import Size


def drawn_by_stage() -> None:
    """A module's own init knows nothing of branches; its stage draws for all of them."""


class ReplicaStage(nn.Sequential, BranchStage):
    """The template's modules, with the tensors of all branches stacked in place of their own, run branch by branch.

    Names are the template's: `0.conv1.weight` of shape `(N, …)`. A branch sees maps as the template's layout has them.
    What lowering a run has does not matter.
    """

    draws = True

    def __init__(self, recipe: Replicas, branches: int) -> None:
        template = recipe.template
        super().__init__(*(_stacked(module, branches) for module in template.modules))
        self.recipe, self.layout, self.writes = recipe, template.layout, template.writes
        self.reset_parameters()

    def steps(self) -> Sequence[Block]:
        return [partial(self._step, number) for number in range(len(self))]

    def _step(self, number: int, x: Tensor, run: Run) -> Tensor:
        """One module on rows `(m, B, H, W, C)`."""
        module = self[number]
        maps = list(x.unbind())
        if len(maps) != run.branches:
            maps = [row for row, n in zip(maps, run.span.families, strict=True) for _ in range(n)]
        if self.writes[number]:
            maps = [row.clone() for row in maps]
        done = []
        for row, own in zip(maps, self._tensors(module, run), strict=True):
            y = called(module, own, to_layout(row, self.layout))
            done.append(from_layout(y, self.layout, row.shape[1:3]))
        return done[0][None] if len(done) == 1 else torch.stack(done)

    def _tensors(self, module: nn.Module, run: Run) -> Iterator[dict[str, Tensor]]:
        """Of each branch of the run its rows: views, so that statistics are updated where they lie."""
        own = {name: run.pick(p).unbind() for name, p in module.named_parameters()}
        for name, buffer in module.named_buffers():
            if buffer.ndim == 0:  # timm's unfreeze makes norms that count batches once for all
                buffer.data = buffer.repeat(next(self.parameters()).shape[0])
            rows = run.pick(buffer)
            own[name] = (rows.clone() if is_recomputing() else rows).unbind()  # counted already
        return ({name: rows[i] for name, rows in own.items()} for i in range(run.branches))

    def plain(self, fan: Fan) -> tuple[list[nn.Module], Fan]:
        blocks: list[nn.Module] = []
        template = self.recipe.template
        size, channels = fan.size or template.before, template.in_channels
        for number, module in enumerate(self):
            copies = [one_of(module, branch) for branch in fan.order]
            shape = (1, size[0], size[1], channels)
            if self.layout == "nchw" and any(True for _ in module.parameters()):
                copies = [fold_norms(one, (channels, *size)) for one in copies]
            with torch.no_grad():
                x = torch.zeros(shape, dtype=_dtype(module), device=_device(module))
                y = from_layout(copies[0](to_layout(x, self.layout)), self.layout, shape[1:3])
            reads, size, channels = channels, (y.shape[1], y.shape[2]), y.shape[3]
            families, writes = fan.families, self.writes[number]
            blocks.append(Copies(copies, fan.channels, families, reads, channels, self.layout, writes))
            fan = fan.after(channels, size if fan.size else None)
        return blocks, fan

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The template's init for every branch, from torch's random numbers; given modules' weights for all."""
        if any(tensor.is_meta for tensor in tensors(self).values()):
            return
        for number, module in enumerate(self):
            starts = self.recipe.template.starts(number)
            for name, stacked in tensors(module).items():
                starts[name].fill_(stacked)

    @torch.no_grad()
    def start_as(self, modules: Sequence[nn.Module]) -> None:
        """Let every branch start as these modules, the template's with other weights."""
        if len(modules) != len(self):
            raise HiergenError(
                "branches start as one module for each block", expected=str(len(self)), got=str(len(modules))
            )
        for module, other in zip(self, modules, strict=True):
            theirs = tensors(other)
            for name, stacked in tensors(module).items():
                stacked.copy_(theirs[name])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        was_meta = {name for name, buffer in self.named_buffers() if buffer.is_meta}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name in was_meta - set(self.state_dict(keep_vars=True)):  # to_empty() leaves constants without values
            number, _, rest = name.partition(".")
            buffer = self.get_buffer(name)
            if not buffer.is_meta:
                with torch.no_grad():
                    self.recipe.template.starts(int(number))[rest].fill_(buffer)
        return self


@dataclass(frozen=True)
class Replicas:
    """Recipe of a stage in which every branch has its own copy of modules of a timm backbone, run in this order.

    `modules` are timm's names, each a block of the branch; with `end` comes what the backbone does before its
    classifier, its last norm and pooling, to maps of 1×1. `in_channels` and `out` are the modules' own. `input_size`
    is that of the images (default: the backbone's), which attention in windows is made for. Maps are handed over
    as the modules have them: `(B, C, H, W)`, `(B, H, W, C)`, or tokens, such as `Trunk(…, tokens=True)` gives.
    A branch starts as timm initialises the modules. `Replicas.of` copies given ones.
    Raises PlanError for modules that are not there, take more than a map, or have other channels.

    >>> last = Replicas("vit_tiny_patch16_224", ["blocks.10", "blocks.11"], 192, 192, end=True)
    >>> level = Siblings(5, [last])  # (B, 192, 1, 197) -> (B, 5, 192, 1, 1)
    """

    backbone: str
    modules: Sequence[str]
    in_channels: int
    out: int
    _: KW_ONLY
    end: bool = False
    input_size: Size | None = None
    given: Template | None = None

    def __post_init__(self) -> None:
        positive("Replicas", in_channels=self.in_channels, out=self.out)
        object.__setattr__(self, "modules", tuple(self.modules))
        if self.input_size is not None:
            object.__setattr__(self, "input_size", tuple(self.input_size))

    @classmethod
    def of(
        cls,
        modules: Sequence[nn.Module],
        in_channels: int,
        out: int,
        *,
        layout: Layout | None = None,
        size: tuple[int, int] = TRIED,
    ) -> Replicas:
        """Copies of given modules, one after the other; every branch starts with their weights.

        `layout` "nchw", "nhwc" or "nlc" is that of their maps (default: the first that they take), `size` the height
        and width of a map that they can be tried on, px. Raises PlanError for modules that do not lead from
        `in_channels` to `out`.
        """
        template = given_template(modules, in_channels, out, layout, size)
        return cls("", [type(module).__name__ for module in modules], in_channels, out, given=template)

    def __repr__(self) -> str:
        names = ", ".join(self.modules if self.given else map(repr, self.modules))
        more = ", end=True" if self.end else ""
        more += f", input_size={self.input_size}" if self.input_size else ""
        start = "Replicas.of(" if self.given else f"Replicas({self.backbone!r}, "
        return f"{start}[{names}], {self.in_channels}, {self.out}{more})"

    @property
    def template(self) -> Template:
        """The modules that branches are copies of."""
        if self.given is not None:
            return self.given
        found = timm_template(self.backbone, tuple(self.modules), self.end, self.input_size)
        if (found.in_channels, found.out) != (self.in_channels, self.out):
            raise PlanError(
                f"{self} has other channels than its modules",
                expected=f"{found.in_channels}, {found.out}",
                got=f"{self.in_channels}, {self.out}",
            )
        return found

    @property
    def width(self) -> int:
        """Channels inside: whatever the modules have; here those that they give."""
        return self.out

    @property
    def stride(self) -> int:
        """How many px of the map before are one px after, by height; 1 for tokens."""
        template = self.template
        return 1 if template.layout == "nlc" else max(1, round(template.before[0] / template.after[0]))

    @property
    def widest(self) -> int:
        """Channels of the widest map, per output pixel."""
        return self.template.widest

    @property
    def patch(self) -> int:
        """Values of the largest patch that a convolution reads, per output pixel: no patches are made."""
        return self.template.widest

    def build(self, branches: int) -> ReplicaStage:
        """The stage for so many branches."""
        return ReplicaStage(self, branches)

    def shrink(self, size: int) -> int:
        """Height or width of the map after the stage, px."""
        return self.template.shrink(size)


def called(module: nn.Module, own: dict[str, Tensor], x: Tensor) -> Tensor:
    """What a module with these tensors computes."""
    if not is_jit_traced():
        return functional_call(module, own, (x,), strict=False)  # type: ignore[no-any-return]
    # torch.jit.trace refuses functional_call
    by_id = {id(tensor): own[name] for name, tensor in tensors(module).items()}
    kept = [held for part in module.modules() for held in (part._parameters, part._buffers)]
    before = [dict(held) for held in kept]
    try:
        for held in kept:
            held.update({name: by_id[id(t)] for name, t in held.items() if t is not None})  # type: ignore[misc]
        return module(x)  # type: ignore[no-any-return]
    finally:
        for held, old in zip(kept, before, strict=True):
            held.update(old)  # type: ignore[arg-type]


def to_layout(x: Tensor, layout: Layout) -> Tensor:
    """`(B, H, W, C)` as a template has it."""
    if layout == "nlc":
        return x.flatten(1, 2)
    return x.permute(0, 3, 1, 2) if layout == "nchw" else x


def from_layout(y: Tensor, layout: Layout, size: Sequence[int]) -> Tensor:
    """And back; tokens as many as px of the map `size` are such a map again, others a row, features one px."""
    if y.ndim == 2:
        return y[:, None, None]
    if layout == "nlc":
        height, width = size
        return y.reshape(y.shape[0], height, width, y.shape[2]) if y.shape[1] == height * width else y[:, None]
    return y.permute(0, 2, 3, 1) if layout == "nchw" else y


def one_of(module: nn.Module, branch: int) -> nn.Module:
    """One branch's copy, in eval mode."""
    memo: dict[int, Any] = {id(b): (b[branch] if b.ndim else b).detach().clone() for b in module.buffers()}
    memo |= {id(p): nn.Parameter(p[branch].detach().clone()) for p in module.parameters()}
    one = copy.deepcopy(module, memo).eval()
    for part in one.modules():
        vars(part).pop("reset_parameters", None)
    return one


def _stacked(module: nn.Module, branches: int) -> nn.Module:
    """A twin with the tensors of all branches, without values."""
    kept = torch.empty(0).device  # what torch.device(…) says, around the building of a network

    def rows(tensor: Tensor) -> Tensor:
        return torch.empty((branches, *tensor.shape), dtype=tensor.dtype, device=kept)

    memo: dict[int, Any] = {id(b): rows(b) for b in module.buffers()}
    memo |= {id(p): nn.Parameter(rows(p), requires_grad=p.requires_grad) for p in module.parameters()}
    stacked = copy.deepcopy(module, memo).train()
    for part in stacked.modules():
        if hasattr(part, "reset_parameters"):
            vars(part)["reset_parameters"] = drawn_by_stage
    return stacked


def _dtype(module: nn.Module) -> torch.dtype | None:
    return next((p.dtype for p in module.parameters()), None)


def _device(module: nn.Module) -> torch.device | None:
    return next((t.device for t in tensors(module).values()), None)
