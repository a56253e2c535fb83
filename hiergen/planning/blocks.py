"""The kinds of blocks that branches are made of, one row a kind, and what a stage of them costs in closed form.

One multiply-add = 1 MAC; convolutions and linear layers are counted, norms, activations and pooling are not. The
formulas mirror the modules of hiergen.nn, and are tested against what torch counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hiergen.errors import PlanError
from hiergen.planning.backbones import BackboneFacts, CopyFacts, StageFacts
from hiergen.planning.plan import CopyPlan, GeneralistPlan, LevelPlan, StagePlan, TrunkPlan

KERNEL = 3  # px of an inverted residual, where nothing else is said


@dataclass(frozen=True)
class StageCost:
    """Of ONE branch: parameters, MACs for one image, and the output's height and width in pixels."""

    params: int
    macs: int
    height: int
    width: int


@dataclass(frozen=True)
class BlockKind:
    """One kind of block.

    `recipe` is the class in hiergen.nn that makes a stage of it, `title` its name in pictures, `ratio` out / width of
    `branches: auto`, as its paper has it, and `cost` the formula of a stage. `settings` are arguments of the recipe
    that make it this kind; `options` those that a plan holds, of which `defaults` gives what a backbone's own blocks
    have. `sizes` are the arguments that come first.
    """

    recipe: str
    title: str
    ratio: float
    cost: Callable[[StagePlan, int, int], StageCost]
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    defaults: Callable[[str], dict[str, Any]] = lambda backbone: {}
    sizes: tuple[str, ...] = ("in_channels", "width", "out")

    def arguments(self, stage: StagePlan) -> dict[str, Any]:
        """The recipe's arguments beside sizes, depth and stride, without those that are the recipe's default."""
        chosen = {name: value for name in self.options if (value := getattr(stage, name))}
        return {**self.settings, **chosen}

    def recipe_of(self, stage: StagePlan) -> dict[str, Any]:
        """All arguments of the recipe, those that are its default left out."""
        if stage.copied is not None:
            return _copies_of(stage, stage.copied)
        shape = {"depth": stage.depth, "stride": stage.stride}
        shape = {name: value for name, value in shape.items() if value != 1}
        return {name: getattr(stage, name) for name in self.sizes} | shape | self.arguments(stage)


def stage_cost(stage: StagePlan, height: int, width: int) -> StageCost:
    """Cost of one branch of `stage` on a (stage.in_channels, height, width) input."""
    return BLOCKS[stage.block].cost(stage, height, width)


def _bottleneck(stage: StagePlan, height: int, width: int) -> StageCost:
    """ResNet bottlenecks: 1×1, 3×3 (stride in the first), 1×1, each with BatchNorm; projection where shapes change."""
    params = macs = 0
    channels, mid, out = stage.in_channels, stage.width, stage.out
    for block in range(stage.depth):
        stride = stage.stride if block == 0 else 1
        before = height * width
        height, width = -(-height // stride), -(-width // stride)
        after = height * width
        params += channels * mid + 2 * mid + 9 * mid * mid + 2 * mid + mid * out + 2 * out
        macs += channels * mid * before + 9 * mid * mid * after + mid * out * after
        if channels != out or stride != 1:
            params += channels * out + 2 * out
            macs += channels * out * after
        channels = out
    return StageCost(params, macs, height, width)


def _convnext(stage: StagePlan, height: int, width: int) -> StageCost:
    """ConvNeXt blocks after a patch-wise downsampling; `width` is the hidden width, V2 has GRN for layer scale."""
    params = macs = 0
    channels, hidden, out, stride = stage.in_channels, stage.width, stage.out, stage.stride
    if channels != out or stride != 1:
        height, width = height // stride, width // stride
        params += 2 * channels + channels * out * stride * stride + out
        macs += channels * out * stride * stride * height * width
    extra = 2 * hidden if BLOCKS[stage.block].settings.get("grn") else out  # GRN's two vectors, or layer scale's one
    params += stage.depth * (49 * out + out + 2 * out + out * hidden + hidden + hidden * out + out + extra)
    macs += stage.depth * (49 * out + 2 * out * hidden) * height * width
    return StageCost(params, macs, height, width)


def _mbconv(stage: StagePlan, height: int, width: int) -> StageCost:
    """Inverted residuals: 1×1, depthwise k×k (stride in the first), 1×1, each with BatchNorm; `width` is the inner."""
    params = macs = 0
    channels, mid, out, taps = stage.in_channels, stage.width, stage.out, (stage.kernel or KERNEL) ** 2
    for block in range(stage.depth):
        stride = stage.stride if block == 0 else 1
        before = height * width
        height, width = -(-height // stride), -(-width // stride)
        after = height * width
        params += channels * mid + 2 * mid + taps * mid + 2 * mid + mid * out + 2 * out
        macs += channels * mid * before + taps * mid * after + mid * out * after
        channels = out
    return StageCost(params, macs, height, width)


def _conv(stage: StagePlan, height: int, width: int) -> StageCost:
    """A 1×1 convolution with BatchNorm."""
    product = stage.in_channels * stage.out
    return StageCost(product + 2 * stage.out, product * height * width, height, width)


def _copied(stage: StagePlan, height: int, width: int) -> StageCost:
    """Copies of a backbone's modules: counted when it was measured, at the only size that their maps have."""
    assert stage.copied is not None
    return StageCost(stage.copied.params, stage.copied.macs, stage.copied.height, stage.copied.width)


def _copies_of(stage: StagePlan, copied: CopyPlan) -> dict[str, Any]:
    """All arguments of `Replicas`."""
    what = {"backbone": copied.backbone, "modules": list(copied.modules)}
    more: dict[str, Any] = {"end": True} if copied.end else {}
    return what | {"in_channels": stage.in_channels, "out": stage.out} | more | {"input_size": copied.input_size}


def copy_stage(backbone_facts: BackboneFacts, backbone: str, copies: Sequence[CopyFacts], *, end: bool) -> StagePlan:
    """Copies of these blocks of a backbone, one after the other, and with `end` of what it does after them."""
    closing = backbone_facts.end if end else None
    assert closing is not None or not end
    parts = [*copies, *([closing] if closing is not None else [])]
    modules = tuple(name for block in copies for name in block.modules)
    return StagePlan(
        block="copy",
        in_channels=parts[0].in_channels,
        width=parts[-1].out,
        out=parts[-1].out,
        depth=len(modules) + end,
        stride=1,
        copied=CopyPlan(
            backbone=backbone,
            modules=modules,
            end=end,
            input_size=backbone_facts.input_size,
            params=sum(part.params for part in parts),
            macs=sum(part.macs for part in parts),
            height=parts[-1].height,
            width=parts[-1].width,
        ),
    )


def _conv_of(backbone: str) -> dict[str, Any]:
    """What timm's blocks of this family have, so that branches can start as channels of them."""
    act = "relu6" if "lite" in backbone or backbone.startswith("mobilenetv2") else "silu"
    act = "relu" if "mnasnet" in backbone else act
    return {"act": act, "tf": backbone.startswith("tf_")}


def _mbconv_of(backbone: str) -> dict[str, Any]:
    return {"kernel": KERNEL, **_conv_of(backbone)}


BLOCKS = {
    "bottleneck": BlockKind("Bottlenecks", "bottleneck", 4.0, _bottleneck),
    "convnext": BlockKind("ConvNeXts", "ConvNeXt", 1 / 4, _convnext),
    "convnextv2": BlockKind("ConvNeXts", "ConvNeXt V2", 1 / 4, _convnext, settings={"grn": True}),
    "mbconv": BlockKind(
        "InvertedResiduals", "MBConv", 1 / 6, _mbconv, options=("kernel", "act", "tf"), defaults=_mbconv_of
    ),
    "conv": BlockKind(
        *("PointwiseConvs", "1×1 convolution", 1.0, _conv),
        options=("act", "tf"),
        defaults=_conv_of,
        sizes=("in_channels", "out"),
    ),
    "copy": BlockKind("Replicas", "copied module", 1.0, _copied, sizes=("backbone", "modules", "in_channels", "out")),
}
RECIPES = frozenset(kind.recipe for kind in BLOCKS.values())


def trunk_plan(
    backbone: str, backbone_facts: BackboneFacts, cut: StageFacts, classes: int, *, tokens: bool = False
) -> TrunkPlan:
    """The backbone up to and with the stage `cut`, and the flat network of so many classes beside it; with `tokens` it
    hands these over in place of a map."""
    flat_params, flat_macs = backbone_facts.flat(classes)
    return TrunkPlan(
        backbone=backbone,
        until=cut.name,
        input_size=backbone_facts.input_size,
        channels=cut.channels,
        reduction=cut.reduction,
        height=1 if tokens else cut.height,
        width=(backbone_facts.tokens or 0) if tokens else cut.width,
        params=cut.params,
        macs=cut.macs,
        flat_params=flat_params,
        flat_macs=flat_macs,
        tokens=tokens,
    )


def level_cost(number: int, stages: Sequence[StagePlan], height: int, width: int) -> StageCost:
    """One branch of level `number` on maps of this size, px. Raises `PlanError` where a map would vanish."""
    params = macs = 0
    for stage in stages:
        cost = stage_cost(stage, height, width)
        params, macs, height, width = params + cost.params, macs + cost.macs, cost.height, cost.width
        if height < 1 or width < 1:
            raise PlanError(
                f"level {number} strides its maps down to nothing",
                expected="a smaller stride or a larger input_size",
                code="E504",
            )
    return StageCost(params, macs, height, width)


def level_plan(
    number: int,
    names: tuple[str, ...],
    parents: tuple[int, ...],
    stages: Sequence[StagePlan],
    height: int,
    width: int,
) -> LevelPlan:
    """Level `number` on maps of this size, px, with its costs. Raises `PlanError` where a map would vanish."""
    cost = level_cost(number, stages, height, width)
    return LevelPlan(
        names=names,
        parents=parents,
        stages=tuple(stages),
        channels=stages[-1].out,
        height=cost.height,
        width=cost.width,
        branch_params=cost.params,
        branch_macs=cost.macs,
    )


def generalist_plan(
    stages: Sequence[StagePlan],
    classes: int,
    groups: int,
    trunk: TrunkPlan,
    columns: tuple[int, ...] | None = None,
    homes: tuple[int, ...] | None = None,
) -> GeneralistPlan:
    """The branch for all classes behind a trunk, with its costs."""
    cost, channels = level_cost(1, stages, trunk.height, trunk.width), stages[-1].out
    return GeneralistPlan(
        stages=tuple(stages),
        classes=classes,
        groups=groups,
        params=cost.params + classes * (channels + 1) + groups,
        macs=cost.macs + classes * channels,
        columns=columns,
        homes=homes,
    )
