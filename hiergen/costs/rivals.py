"""Flat rivals: timm's backbone, lower resolutions, shorter tails, smaller ones of its family; and their plain forms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import timm
import torch
from torch import nn

from hiergen.errors import PlanError
from hiergen.nn import Trunk, stages
from hiergen.nn.macs import count_macs
from hiergen.planning.measure import flat_network

SCALES = (3 / 4, 1 / 2)  # of the image's sides
SMALLER = 3  # backbones of the family
_TAIL = 0.99  # of the flat network's MACs: a cut that saves less is none

# Words for sizes in timm's names, small to large; those of one line are compared.
_WORDS = tuple(
    line.split()
    for line in (
        "zepto atto femto pico nano tiny little small medium base large xlarge xxlarge huge giant gigantic",
        "xxs xs s m l xl xxl",
    )
)
_NO_SIZE = ("patch", "window", "v", "r")  # before a number that is no size: v2 is another architecture


@dataclass(frozen=True)
class Flat:
    """A timm backbone with a classifier for images `(C, H, W)`; with `until` it ends with that stage, pooled."""

    backbone: str
    classes: int
    input_size: tuple[int, ...]
    until: str | None = None

    def build(self) -> nn.Module:
        """The module in eval mode, with random weights. Raises PlanError for a size that cannot be."""
        if self.until is None:
            return flat_network(self.backbone, self.classes, self.input_size)
        trunk = Trunk(self.backbone, until=self.until, input_size=self.input_size)  # type: ignore[arg-type]
        classifier = nn.Linear(trunk.out_channels, self.classes)
        return nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier).eval()

    def macs(self) -> int:
        """MACs for one image; 0 where the backbone does not take the size."""
        return _macs(self)


@cache
def _macs(flat: Flat) -> int:
    try:
        with torch.device("meta"):
            return count_macs(flat.build(), torch.empty(1, *flat.input_size))
    except (AssertionError, PlanError, RuntimeError, ValueError):
        return 0


def lower_resolutions(flat: Flat, macs: Sequence[int]) -> Iterator[Flat]:
    """The backbone at 3/4 and 1/2 of the sides, and where its MACs come near those given; larger images first.

    Sides are multiples of its last stage's reduction. A backbone of one fixed size has none.
    """
    cfg = timm.get_pretrained_cfg(flat.backbone)
    if cfg is None or cfg.fixed_input_size:
        return
    channels, *sides = flat.input_size
    step, whole = stages(flat.backbone)[-1].reduction, flat.macs()
    scales = {*SCALES, *((near / whole) ** 0.5 for near in macs if near < whole)}
    sizes = {tuple(step * max(1, round(side * scale / step)) for side in sides) for scale in scales}
    for size in sorted(sizes, reverse=True):
        lower = replace(flat, input_size=(channels, *size))
        if all(new < side for new, side in zip(size, sides, strict=True)) and lower.macs():
            yield lower


def shorter_tails(flat: Flat) -> Iterator[Flat]:
    """The backbone without what follows its last stage, and without the stages of that one's resolution, where either
    saves MACs."""
    *others, last = stages(flat.backbone)
    for stage in (last, *[stage for stage in others if stage.reduction < last.reduction][-1:]):
        shorter = replace(flat, until=stage.name)
        if 0 < shorter.macs() < _TAIL * flat.macs():
            yield shorter


def smaller_backbones(flat: Flat) -> list[Flat]:
    """The next smaller backbones of the family, by timm's names: resnet34, resnet26, … for resnet50."""
    name, side = flat.backbone.split(".")[0], str((timm.get_pretrained_cfg(flat.backbone) or flat).input_size[-1])
    names = [other for other in timm.list_models() if is_smaller(other, name, fixed=side)]
    macs = {other: replace(flat, backbone=other).macs() for other in names}
    whole = flat.macs()
    ranked = sorted((other for other in names if 0 < macs[other] < whole), key=lambda other: (-macs[other], other))
    return [replace(flat, backbone=other) for other in ranked[:SMALLER]]


def is_smaller(name: str, than: str, fixed: str = "224") -> bool:
    """Whether names differ in sizes only, none larger: in words (nano, tiny, …) or numbers other than `fixed`, px."""
    pairs = list(zip(name.split("_"), than.split("_"), strict=False))
    if name == than or name.count("_") != than.count("_"):
        return False
    for ours, theirs in pairs:
        if ours != theirs:
            (kind, rank), (other, limit) = _size(ours), _size(theirs)
            if kind != other or not kind or rank > limit or theirs == fixed:
                return False
    return True


def _size(token: str) -> tuple[str, int]:
    """What kind of size a part of a name is, and its rank; "" where it is none."""
    for words in _WORDS:
        if token in words:
            return words[0], words.index(token)
    match = re.fullmatch(r"(\D*)(\d+)(\D*)", token)
    if match is None or match[1].endswith(_NO_SIZE):
        return "", 0
    return f"{match[1]}#{match[3]}", int(match[2])
