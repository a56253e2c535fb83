"""A trunk that is not timm's: the first children of any module whose children run one after the other."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, PlanError, nearest, quoted
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain_trunk import is_close
from hiergen.nn.template import MISFITS
from hiergen.nn.trunk import Size, Trunk

_IDLE = (nn.Dropout, nn.Dropout2d, nn.Identity, nn.Flatten)  # they compute nothing in eval mode


class ModuleTrunk(Trunk):
    """Children of a module up to and with `until`: images `(B, channels, H, W)` to maps `(B, C, H', W')`.

    Its weights are copies. Names are the module's: `model.layer1.0.conv1.weight`. It knows no means of images, and
    keeps its maps under gradient checkpointing.
    """

    is_timm = False

    def __init__(self, parts: Parts, input_size: Size) -> None:
        nn.Module.__init__(self)
        self.backbone, self.until, self.input_size = type(parts.module).__name__, parts.until, tuple(input_size)
        self.index, self.tokens = None, False
        self.names = tuple(name for name, _ in parts.trunk)
        self.model = _without(parts.module, [name for name, _ in parts.module.named_modules()], self.names)
        _, self.out_channels, height, width = parts.map_shape
        self.map_size = (height, width)
        self.reduction = max(1, round(input_size[1] / height))

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = self.model.get_submodule(name)(x)
        return x

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """What the module says of its images, if it does."""
        return dict(getattr(self.model, "pretrained_cfg", None) or {})

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """The trunk keeps its maps; those of branches are computed once more."""


class ModuleNetwork(HierarchicalNetwork):
    """A network on a `ModuleTrunk`. `nesting` is the instance's own; it has no source."""

    def __init__(self, nesting: Any) -> None:
        super().__init__()
        self.nesting = nesting
        self.classes = nesting.classes  # type: ignore[misc]

    @property
    def input_size(self) -> Size:  # type: ignore[override]
        """Channels, height and width of images, px."""
        channels, height, width = self.trunk.input_size
        return channels, height, width


@dataclass(frozen=True)
class Parts:
    """A module cut in parts, which run one after the other. `trunk` ends with the child `until`, whose map has
    `map_shape`; `blocks` are the children between that and the pooling; `closing` is what makes features of their map,
    None if that is its mean; `classifier` is the last linear layer."""

    module: nn.Module
    until: str
    trunk: tuple[tuple[str, nn.Module], ...]
    map_shape: tuple[int, int, int, int]
    blocks: tuple[tuple[str, nn.Module], ...]
    closing: nn.Module | None
    classifier: nn.Linear | None


def cut_module(module: nn.Module, until: str, input_size: Size) -> Parts:
    """Cut a module after a child, `layer3` or `features.13`; the child may lie in an `nn.Sequential`.

    Raises PlanError for a child that is not there, HiergenError for a module whose children in their order, a mean
    and a flattening before the first linear layer if need be, do not compute what it does.
    """
    name = type(module).__name__
    children = list(_opened(module, until, name))
    at = [child for child, _ in children].index(until) + 1
    with torch.no_grad(), _eval(module), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        weight = next(module.parameters(), torch.empty(0))
        image = torch.rand(2, *input_size, dtype=weight.dtype, device=weight.device)
        try:
            want = module(image)
        except MISFITS as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PlanError(
                f"{name} does not take images {tuple(input_size)}", got=reason, hint="give input_size"
            ) from error
        if not isinstance(want, Tensor):
            raise HiergenError(f"{name} gives no tensor, so it cannot be cut", got=type(want).__name__)
        run = _Run(name)
        maps = image
        for child, part in children[:at]:
            maps = run.step(child, part, maps)
        if maps.ndim != 4:
            got = str(tuple(maps.shape))
            raise PlanError(f"{quoted(until)} of {name} gives no map", expected="(B, C, H, W)", got=got)
        blocks, tail, is_mean, answer = run.rest(children[at:], maps)
    _check(name, answer, want)
    while tail and isinstance(tail[-1], nn.Dropout | nn.Identity):
        tail.pop()
    classifier = tail.pop() if tail and isinstance(tail[-1], nn.Linear) else None
    pool, others = tail[:1], [part for part in tail[1:] if not isinstance(part, _IDLE)]
    closing = None if is_mean and not others else nn.Sequential(*pool, *tail[1:])
    return Parts(
        module,
        until,
        tuple(children[:at]),
        tuple(maps.shape),  # type: ignore[arg-type]
        tuple(blocks),
        closing,
        classifier,  # type: ignore[arg-type]
    )


class _Run:
    """Runs children one after the other. An error names the child that it is of."""

    def __init__(self, name: str) -> None:
        self.name = name

    def step(self, child: str, part: nn.Module, x: Tensor) -> Tensor:
        try:
            y = part(x)
        except MISFITS as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _unlike(self.name, f"{quoted(child)} fails on what comes before it", reason) from error
        if not isinstance(y, Tensor):
            raise _unlike(self.name, f"{quoted(child)} gives a {type(y).__name__}")
        return y

    def rest(
        self, children: list[tuple[str, nn.Module]], x: Tensor
    ) -> tuple[list[tuple[str, nn.Module]], list[nn.Module], bool, Tensor]:
        """Children between the cut and the pooling; the layers from there on; whether the first of these is the mean of
        a map, and what the last gives."""
        blocks: list[tuple[str, nn.Module]] = []
        tail: list[nn.Module] = []
        is_mean = True
        for child, part in children:
            linear = _first_linear(part)
            if not tail and linear is None:
                y = self.step(child, part, x)
                means = x.mean((2, 3)) if x.ndim == 4 else None
                pools = means is not None and y.numel() == means.numel() and is_close(y.flatten(1), means)
                if y.ndim == 2 or (pools and (x.shape[2:].numel() > 1 or "Pool" in type(part).__name__)):
                    tail, is_mean = [part], bool(pools)
                else:
                    blocks.append((child, part))
                x = y
                continue
            if not tail and x.ndim == 4:
                is_mean = linear is not None and linear.in_features == x.shape[1]
                tail = [nn.AdaptiveAvgPool2d(1)] if is_mean else [nn.Flatten()]
                x = tail[0](x)
            for layer in _leaves(part):
                if isinstance(layer, nn.Linear) and x.ndim == 4:
                    tail.append(nn.Flatten())
                    x = x.flatten(1)
                x = self.step(child, layer, x)
                tail.append(layer)
        return blocks, tail, is_mean, x


def first_blocks(name: str, child: nn.Module, every: bool) -> list[tuple[str, nn.Module]]:
    """The blocks of a child that is a sequence of blocks of one class: the first or every one; else the child
    itself."""
    if not _is_sequence(child) or len({type(block) for block in child.children()}) != 1:
        return [(name, child)]
    found = [(f"{name}.{inner}", block) for inner, block in child.named_children()]
    return found if every else found[:1]


def _opened(module: nn.Module, until: str, name: str, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Children by name, those that `until` lies in opened."""
    names = [f"{prefix}{child}" for child, _ in module.named_children()]
    inside = [child for child in names if until.startswith(f"{child}.")]
    within = module.get_submodule(inside[0].removeprefix(prefix)) if inside else None
    if until not in names and not (within is not None and _is_sequence(within)):
        what = f" inside the {type(module).__name__} {quoted(prefix[:-1])}" if prefix else ""
        shown = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:3])}, … {names[-1]}"
        close = nearest(until, names)
        raise PlanError(f"{name} has no child {quoted(until)}{what}", expected=f"one of {shown}", nearest=close)
    for child, part in module.named_children():
        full = f"{prefix}{child}"
        if full in inside:
            yield from _opened(part, until, name, f"{full}.")
        else:
            yield full, part


def _is_sequence(part: nn.Module) -> bool:
    """Whether it runs its children one after the other."""
    return isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward


def _leaves(part: nn.Module) -> Iterator[nn.Module]:
    if _is_sequence(part):
        for child in part.children():
            yield from _leaves(child)
    else:
        yield part


def _first_linear(part: nn.Module) -> nn.Linear | None:
    """The linear layer that a child begins with."""
    for layer in _leaves(part):
        if isinstance(layer, nn.Linear):
            return layer
        if not isinstance(layer, nn.Dropout | nn.Identity):
            return None
    return None


def _without(module: nn.Module, names: list[str], kept: tuple[str, ...]) -> nn.Module:
    """A copy of the module that has the kept children only."""
    dropped = [name for name in names if name and not any(f"{name}.".startswith(f"{k}.") for k in kept)]
    dropped = [name for name in dropped if not any(k.startswith(f"{name}.") for k in kept)]
    memo: dict[int, Any] = {id(module.get_submodule(name)): None for name in dropped}
    memo = {key: nn.Identity() for key in memo}
    part = copy.deepcopy(module, memo)
    for name in dropped:
        parent, _, child = name.rpartition(".")
        if parent not in dropped:
            part.get_submodule(parent)._modules.pop(child, None)
    return part


def _check(name: str, got: Tensor, want: Tensor) -> None:
    if got.shape != want.shape:
        raise _unlike(name, "they answer another shape", f"{tuple(got.shape)} in place of {tuple(want.shape)}")
    if not is_close(got, want):
        apart = float((got - want).abs().max() / want.abs().max())
        raise _unlike(name, "they answer other numbers", f"{apart:.2g} of the largest value apart")


def _unlike(name: str, what: str, got: str | None = None) -> HiergenError:
    return HiergenError(
        f"{name} cannot be cut, as its children, one after the other, do not compute what it does: {what}", got=got
    )


@contextmanager
def _eval(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
