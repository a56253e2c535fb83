"""Reads a backbone's facts off timm, on the meta device: shapes, params and MACs per stage. Imports torch and timm.

`python -m hiergen.planning.measure` rewrites the shipped table for the backbones and sizes listed in BACKBONES.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import timm
import torch
from torch import nn

from hiergen.errors import HiergenError, PlanError, quoted
from hiergen.files import replacing
from hiergen.nn import Trunk, stages
from hiergen.nn.macs import count_macs, count_params
from hiergen.nn.tail import ACTS, BackboneBlock, blocks_of, stages_after
from hiergen.planning.backbones import BackboneFacts, BlockFacts, StageFacts
from hiergen.planning.blocks import BLOCKS
from hiergen.planning.copies import copied_blocks

_KINDS = {
    timm.models.resnet.Bottleneck: "bottleneck",
    timm.models.convnext.ConvNeXtBlock: "convnext",
    timm.models._efficientnet_blocks.InvertedResidual: "mbconv",
    nn.Sequential: "conv",
}
TABLE = Path(__file__).parent.parent / "assets" / "trunks.json.gz"
BACKBONES = """
resnet18 resnet34 resnet50 resnet101 resnet152 resnet200 resnext50_32x4d wide_resnet50_2 seresnet50 resnetv2_50
convnext_atto convnext_pico convnext_nano convnext_tiny convnext_small convnext_base
convnextv2_atto convnextv2_pico convnextv2_nano convnextv2_tiny convnextv2_base
efficientnet_b0 efficientnet_b2 efficientnet_lite0 tf_efficientnet_lite0 tf_efficientnetv2_s efficientnetv2_rw_t
mobilenetv2_100 mobilenetv3_small_100 mobilenetv3_large_100 mobilenetv4_conv_small mobilenetv4_conv_medium
regnetx_004 regnety_004 regnety_016 regnety_032 regnetz_c16 densenet121 ghostnet_100 repvgg_a2 edgenext_small
fastvit_t8 mobilevit_s efficientformer_l1 hrnet_w18_small vit_tiny_patch16_224 vit_small_patch16_224
vit_base_patch16_224 deit3_small_patch16_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 maxvit_tiny_tf_224
""".split()  # noqa: SIM905
SIZES = {
    "resnet18": (32, 64, 128),
    "resnet34": (64, 128),
    "resnet50": (64, 128),
    "tf_efficientnet_lite0": (64, 128),
    "mobilenetv3_small_100": (64, 128),
    "mobilenetv3_large_100": (64, 128),
}


def measure_backbone(backbone: str, size: tuple[int, int] | None = None, in_chans: int = 3) -> BackboneFacts:
    """Facts of one timm backbone for images of this height and width, px (None: timm's own), and so many channels.

    Raises `PlanError` for an unknown backbone, one without feature stages, or a size it cannot take.
    """
    try:
        all_stages = stages(backbone)
    except PlanError as error:
        error.code = "E501"
        raise
    cfg = timm.get_pretrained_cfg(backbone)
    height, width = size or (cfg.input_size[-2:] if cfg else (224, 224))
    shape = (in_chans, height, width)
    image = torch.empty(1, *shape, device="meta")
    measured = []
    with torch.device("meta"):
        for stage in all_stages:
            trunk = Trunk(backbone, until=stage.name, input_size=shape).eval()
            height, width = trunk.map_size
            measured.append(
                StageFacts(
                    name=stage.name,
                    channels=trunk.out_channels,
                    reduction=stage.reduction,
                    height=height,
                    width=width,
                    params=count_params(trunk),
                    macs=count_macs(trunk, image),
                )
            )
        flats = [flat_network(backbone, classes, shape) for classes in (10, 20)]
        params, macs = [count_params(flat) for flat in flats], [count_macs(flat, image) for flat in flats]
    per_class = [(b - a) // 10 for a, b in (params, macs)]
    blocks, known_after, unlike = _blocks(backbone, flats[0], all_stages[0].name)
    copies, end, layout = copied_blocks(backbone, flats[0], measured, shape)
    return BackboneFacts(
        backbone=backbone.split(".")[0],
        input_size=shape,
        stages=tuple(measured),
        blocks=blocks,
        known_after=known_after,
        unlike=unlike,
        copies=copies,
        end=end,
        layout=layout,
        params_fixed=params[0] - 10 * per_class[0],
        params_per_class=per_class[0],
        macs_fixed=macs[0] - 10 * per_class[1],
        macs_per_class=per_class[1],
    )


def _blocks(backbone: str, flat: nn.Module, first: str) -> tuple[tuple[BlockFacts, ...], str | None, str | None]:
    """The blocks after the stage `first`, or after the last one that has others than branches can have; that stage;
    and which those are."""
    names = stages_after(backbone, first)
    known, unlike = first, None
    for name in names:
        try:
            blocks_of(flat, [name], backbone)
        except HiergenError:  # what runs is not named as timm's feature_info says
            return (), None, f"its stage {quoted(name)} is no module of timm's flat network"
        if why := blocks_of(flat, [name], backbone)[1]:
            known, unlike = name, why
    blocks, _ = blocks_of(flat, names[names.index(known) + 1 if known in names else 0 :], backbone)
    if not blocks:
        return (), None, unlike
    return tuple(_block(backbone, block) for block in blocks), known, unlike


def _block(backbone: str, block: BackboneBlock) -> BlockFacts:
    kind = _KINDS[type(block.block)] + ("v2" if block.grn else "")
    options = BLOCKS[kind].defaults(backbone)
    if kind == "mbconv":
        options |= {"kernel": block.block.conv_dw.kernel_size[0], "act": ACTS[type(block.block.bn1.act)]}
    if kind == "conv":
        options |= {"act": ACTS[type(block.block[1].act)]}
    return BlockFacts(
        name=block.name,
        block=kind,
        in_channels=block.reads,
        width=block.width,
        out=block.gives,
        stride=block.stride,
        **options,
    )


def flat_network(backbone: str, classes: int, input_size: tuple[int, ...] = (3, 224, 224)) -> nn.Module:
    """timm's backbone with a classifier for `classes` classes, in eval mode, with random weights.

    For fewer classes it costs what the trained one costs after its classifier is sliced to their rows.
    """
    cfg = timm.get_pretrained_cfg(backbone)
    options: dict[str, object] = {}
    if cfg is not None and cfg.fixed_input_size and tuple(cfg.input_size[1:]) != tuple(input_size[1:]):
        options["img_size"] = tuple(input_size[1:])
    if input_size[0] != 3:
        options["in_chans"] = input_size[0]
    flat: nn.Module = timm.create_model(backbone, num_classes=classes, **options)
    return flat.eval()


def _tagged(backbone: str) -> list[str]:
    """The backbone with each of timm's tags."""
    return [name for name in timm.list_models(backbone, include_tags=True) if name.partition(".")[2]]


def _own_side(backbone: str) -> int:
    """Of timm's images for a backbone, px."""
    cfg = timm.get_pretrained_cfg(backbone)
    return int(cfg.input_size[-1]) if cfg else 224


def write_table(path: Path = TABLE) -> None:
    """Measure BACKBONES and write the table; the same bytes for the same timm."""
    table: dict[str, object] = {"timm": timm.__version__}
    default: dict[str, str] = {}
    facts: dict[str, object] = {}
    for backbone in BACKBONES:
        for side in (None, *SIZES.get(backbone, ())):
            try:
                measured = measure_backbone(backbone, (side, side) if side else None)
            except PlanError as error:
                print(f"left out {quoted(backbone)}: {error}", file=sys.stderr)
                break
            key = f"{backbone}@{measured.input_size[-1]}"
            if side is None:
                default |= {name: f"{backbone}@{_own_side(name)}" for name in (backbone, *_tagged(backbone))}
            facts[key] = measured.model_dump()
    table |= {"default": default, "facts": facts}
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(json.dumps(table, sort_keys=True).encode(), mtime=0))


if __name__ == "__main__":
    write_table()
