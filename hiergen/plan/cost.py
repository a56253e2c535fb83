"""Parameters, MACs and output sizes of branch stages, in closed form.

One multiply-add = 1 MAC; convolutions and linear layers are counted, norms, activations and pooling are not. The
formulas mirror hiergen.nn.bottleneck, convnext and mbconv, and are tested against what torch counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hiergen.plan.ir import StagePlan

KERNEL = 3  # px of an inverted residual, where nothing else is said


@dataclass(frozen=True)
class StageCost:
    """Of ONE branch: parameters, MACs for one image, and the output's height and width in pixels."""

    params: int
    macs: int
    height: int
    width: int


def stage_cost(stage: StagePlan, height: int, width: int) -> StageCost:
    """Cost of one branch of `stage` on a (stage.in_channels, height, width) input."""
    return _FORMULAS[stage.block](stage, height, width)


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
    extra = 2 * hidden if stage.block == "convnextv2" else out  # GRN's two vectors, or layer scale's one
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


_FORMULAS: dict[str, Callable[[StagePlan, int, int], StageCost]] = {
    "bottleneck": _bottleneck,
    "convnext": _convnext,
    "convnextv2": _convnext,
    "mbconv": _mbconv,
}
