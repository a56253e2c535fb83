"""The plain form of a network, for deployment: ordinary convolutions on maps `(B, n·C, H, W)`, norms in the kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError
from hiergen.nn.cutout import single
from hiergen.nn.generalist import ONE_BRANCH
from hiergen.nn.heads import ClassHeads
from hiergen.nn.plain_kernels import Fan, fill
from hiergen.nn.plain_layers import Gain, Scores
from hiergen.nn.plain_trunk import plain_trunk
from hiergen.nn.routing import route

if TYPE_CHECKING:
    from hiergen.nn.network import HierarchicalNetwork


GRID = 16  # channels: what ONNX Runtime's and oneDNN's kernels take at once


class PlainNetwork(nn.Module):
    """Images `(B, C, H, W)` to logits `(B, classes)`: `trunk`, `level1` … `levelk` and `head`, one after the other.

    A `steerable` one takes gains too, `(1 or B, nodes)` in the order of the network's `nodes`.
    """

    def __init__(self, trunk: nn.Module, levels: Sequence[nn.Sequential], head: nn.Module, *, steerable: bool) -> None:
        super().__init__()
        self.steerable, self.depth = steerable, len(levels)
        self.trunk = trunk
        for j, level in enumerate(levels, 1):
            self.add_module(f"level{j}", level)
        self.head = head
        self.classes: tuple[str, ...] = ()
        self.input_size: tuple[int, ...] = ()
        self.nodes = 0
        self.has_one_size = False  # padding depends on the image's size, and is that of `input_size`

    @property
    def levels(self) -> list[nn.Sequential]:
        """`level1` … `levelk`."""
        return [self.get_submodule(f"level{j}") for j in range(1, self.depth + 1)]  # type: ignore[misc]

    def forward(self, x: Tensor, gains: Tensor | None = None) -> Tensor:
        if self.has_one_size and tuple(x.shape[2:]) != self.input_size[1:]:
            raise HiergenError(
                "this plain form is for images of one size, as TensorFlow's padding depends on it",
                expected=f"{self.input_size[1:]}",
                got=f"{tuple(x.shape[2:])}",
                hint="plain(open_size=True) is for any",
            )
        if gains is not None and (not self.steerable or gains.shape[1] != self.nodes):
            got = f"{tuple(gains.shape)}" if self.steerable else "gains for a form without"
            raise HiergenError("gains have one column for each node", expected=f"(1 or B, {self.nodes})", got=got)
        x = self.trunk(x)
        for level in self.levels:
            for block in level:
                x = block(x, gains) if isinstance(block, Gain) else block(x)
        return self.head(x)  # type: ignore[no-any-return]


def plain_network(
    network: HierarchicalNetwork, *, steerable: bool = False, open_size: bool = False, grid: int = GRID
) -> PlainNetwork:
    """The plain form of the active classes, with the gains in force; see `HierarchicalNetwork.plain`."""
    if type(grid) is not int or grid < 1:
        raise HiergenError("a grid of channels is a positive int", got=repr(grid))
    if network.head.weight.is_meta:
        raise HiergenError(f"{type(network).__name__} is on the meta device and has no weights")
    classes = network._in_force or tuple(range(network.num_classes))
    if network.form == "both":
        raise HiergenError(
            "a plain form has one fixed form, and 'both' chooses a specialist for every image",
            hint="set the network's form to 'specialists', 'generalist' or 'flat' (hiergen export: --form)",
        )
    if network.form in ONE_BRANCH:
        if steerable:
            raise HiergenError(f"the form {network.form!r} has no features of groups and classes to steer")
        return plain_network(single(network, classes), open_size=open_size, grid=grid)
    routed = route(network, classes)
    kept = [branches for branches, _ in routed.levels]
    homes = [
        [level.parents[b] if level.parents else 0 for b in some]
        for level, some in zip(network.levels, kept, strict=True)
    ]
    leaves = [network.head.parents[c] if network.head.parents else c for c in classes]
    children = [Counter(below) for below in (*homes[1:], leaves)]
    input_size = tuple(getattr(network.trunk, "input_size", network.input_size))
    size = None if open_size else getattr(network.trunk, "map_size", None)
    if len({type(recipe) for level in network.levels for recipe in level.recipes}) > 1:
        grid = 1  # a layer norm would count the zeros of other blocks
    fan = Fan((0,), (1,), network.levels[0].in_channels, size, grid)
    order: tuple[int, ...] = (0,)
    levels, start = [], 0
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        trunk = plain_trunk(network.trunk, input_size, open_size=open_size)
        for j, level in enumerate(network.levels):
            place, home = {p: i for i, p in enumerate(order)}, dict(zip(kept[j], homes[j], strict=True))
            counts = Counter(homes[j])
            families = tuple(counts[p] for p in order)
            # siblings side by side; those with equally many children too, so that these are one convolution
            order = tuple(sorted(kept[j], key=lambda b: (place[home[b]], children[j][b], b)))
            fan = replace(fan, order=order, families=families)
            blocks, channels, fan = level.plain(fan)
            _put_gain(blocks, channels, network, j, [start + b for b in order], steerable)
            levels.append(nn.Sequential(*blocks))
            start += level.branches
        place = {leaf: i for i, leaf in enumerate(order)}
        head = _head(network.head, fan.channels, classes, [place[leaf] for leaf in leaves])
    plain = PlainNetwork(trunk, levels, head, steerable=steerable)
    plain.classes = tuple(network.classes[c] for c in classes)
    plain.input_size, plain.nodes = input_size, start
    plain.has_one_size = not open_size and _pads_by_size(network, trunk)
    return plain.to(network.head.weight.device, network.head.weight.dtype).eval()


def _pads_by_size(network: HierarchicalNetwork, trunk: nn.Module) -> bool:
    """Whether a layer of the plain form pads for one size of images: TensorFlow's SAME before a stride does."""
    convs = network.trunk.modules() if type(trunk) is nn.Sequential else ()
    strided = any(type(m).__name__ == "Conv2dSame" and m.stride != (1, 1) for m in convs)
    blocks: list[Any] = [m for level in network.levels for m in level.modules() if getattr(m, "tf", False)]
    return strided or any(block.conv_dw.stride > 1 for block in blocks)


def _put_gain(
    blocks: list[nn.Module],
    channels: list[int],
    network: HierarchicalNetwork,
    j: int,
    columns: list[int],
    steerable: bool,
) -> None:
    """Put the level's gains behind their block: as an input if they are steerable, else those in force."""
    level = network.levels[j]
    steering = network._gains
    gains, after = steering.of_level(j) if steering else (None, None)
    if gains is None and not steerable:
        return
    at = after or level.default_block
    gain = Gain(channels[at - 1], columns)
    if gains is not None:
        if len(gains) > 1:
            raise HiergenError(
                "gains by sample are no constants", hint="plain(steerable=True) takes them beside the images"
            )
        first = sum(before.branches for before in network.levels[:j])
        gain.gains.copy_(gains[:, [column - first for column in columns]])
    blocks.insert(at, gain)


def _head(head: ClassHeads, channels: int, classes: Sequence[int], places: list[int]) -> Scores:
    """One score per class: those of a branch side by side, then in the order of the classes."""
    ranked = sorted(range(len(classes)), key=lambda i: (places[i], i))
    order = sorted(range(len(classes)), key=ranked.__getitem__)
    counts = Counter(places)
    scores = Scores(channels, [counts[i] for i in range(len(counts))], order)
    rows = [classes[i] for i in ranked]
    kernel = head.weight.detach()[rows][:, None, :, None, None], head.bias.detach()[rows][:, None]
    fill(scores, [kernel], head.weight.dtype)
    return scores
