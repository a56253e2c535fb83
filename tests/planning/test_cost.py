"""Predicted params, MACs and shapes against what torch counts on the built module."""

from __future__ import annotations

import importlib

import pytest
import torch

from hiergen.nn import Bottlenecks, ConvNeXts, InvertedResiduals, Siblings
from hiergen.nn.macs import count_macs, count_params
from hiergen.planning.backbones import facts, shipped
from hiergen.planning.blocks import stage_cost
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.measure import measure_backbone
from hiergen.planning.plan import Plan, StagePlan
from hiergen.taxonomy.load import load_taxonomy
from tests.helpers import counted_macs

TAXONOMIES = ("imagenette", "imagewoof", "imagenet100", "imagenet1k", "tiny-imagenet-100")


@pytest.mark.parametrize(
    "stage",
    [
        StagePlan(block="bottleneck", in_channels=24, width=8, out=16, depth=2, stride=2),
        StagePlan(block="bottleneck", in_channels=16, width=8, out=16, depth=1, stride=1),
        StagePlan(block="convnext", in_channels=24, width=40, out=12, depth=2, stride=2),
        StagePlan(block="convnext", in_channels=12, width=8, out=12, depth=1, stride=1),
        StagePlan(block="convnextv2", in_channels=12, width=20, out=16, depth=3, stride=1),
        StagePlan(block="mbconv", in_channels=12, width=40, out=16, depth=3, stride=2, kernel=5, act="silu", tf=True),
        StagePlan(block="mbconv", in_channels=12, width=24, out=12, depth=1, stride=1, kernel=3, act="relu6"),
    ],
    ids=lambda s: f"{s.block}-{s.in_channels}-{s.out}-s{s.stride}",
)
@pytest.mark.parametrize("side", [(14, 14), (9, 7)], ids=str)
def test_stage_cost_is_what_torch_counts(stage: StagePlan, side: tuple[int, int]) -> None:
    cost = stage_cost(stage, *side)
    if stage.block == "bottleneck":
        recipe = Bottlenecks(stage.in_channels, stage.width, stage.out, depth=stage.depth, stride=stage.stride)
    elif stage.block == "mbconv":
        own = {"kernel": stage.kernel, "act": stage.act, "tf": stage.tf}
        sizes = stage.in_channels, stage.width, stage.out
        recipe = InvertedResiduals(*sizes, depth=stage.depth, stride=stage.stride, **own)
    else:
        grn = stage.block == "convnextv2"
        recipe = ConvNeXts(stage.in_channels, stage.width, stage.out, depth=stage.depth, stride=stage.stride, grn=grn)
    module = Siblings(3, [recipe]).to("meta")
    assert count_params(module) == 3 * cost.params
    assert counted_macs(module, stage.in_channels, *side) == 3 * cost.macs
    out = module(torch.empty(1, stage.in_channels, *side, device="meta"))
    assert out.shape == (1, 3, stage.out, cost.height, cost.width)


def test_the_papers_branch_to_the_parameter() -> None:
    first = StagePlan(block="bottleneck", in_channels=1024, width=64, out=96, depth=3, stride=2)
    second = StagePlan(block="bottleneck", in_channels=96, width=128, out=512, depth=3, stride=1)
    a, b = stage_cost(first, 14, 14), stage_cost(second, 7, 7)
    assert a.params + b.params + 513 == 1_144_321
    assert round((a.macs + b.macs + 512) / 1e9, 4) == 0.0653


def shipped_plans() -> list[Plan]:
    return [plan for name in TAXONOMIES for plan in plan_models(load_taxonomy(f"taxonomies/{name}.yaml"))]


@pytest.mark.parametrize("plan", shipped_plans(), ids=lambda p: f"{p.taxonomy}-{p.model}")
def test_shipped_models_cost_what_their_plans_say(plan: Plan) -> None:
    module = importlib.import_module(f"generated.{plan.taxonomy.replace('-', '_')}")
    with torch.device("meta"):
        model = getattr(module, plan.model)().eval()
    assert count_params(model) == plan.params
    assert counted_macs(model, *plan.trunk.input_size) == plan.macs
    x = torch.empty(1, *plan.trunk.input_size, device="meta")
    assert model.trunk(x).shape[1:] == (plan.trunk.channels, plan.trunk.height, plan.trunk.width)
    for level, built in zip(plan.levels, model.levels, strict=True):
        assert count_params(built) == level.params
        assert built.branches == level.branches
        assert (built.parents or ()) == level.parents
    assert count_params(model.head) == plan.head_params


def test_papers_phllatesp_and_its_cutout_of_five() -> None:
    plan = next(p for p in plan_models(load_taxonomy("taxonomies/imagenette.yaml")) if p.model == "PHLlateSP")
    assert plan.params == 19_986_506
    params, macs = plan.cutout_cost(frozenset({0, 2, 4, 6, 8}))
    assert params == 14_264_901
    assert plan.cutout_cost(frozenset(range(10))) == (plan.params, plan.macs)
    assert plan.macs - macs == 5 * (plan.levels[0].branch_macs + 512)


FAMILIES = [
    *("resnet18", "resnext50_32x4d", "seresnet50", "convnext_atto", "convnextv2_atto", "efficientnet_b0"),
    *("tf_efficientnet_lite0", "mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv4_conv_small", "regnetx_004"),
    *("regnety_004", "densenet121", "ghostnet_100", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"),
]


@pytest.mark.parametrize("backbone", FAMILIES)
def test_recorded_trunk_facts_are_timms(backbone: str) -> None:
    recorded = facts(backbone, measure=False)
    assert recorded is not None
    assert recorded == measure_backbone(backbone)


@pytest.mark.parametrize("backbone", ["resnet50", "convnextv2_tiny", "tf_efficientnet_lite0"])
def test_flat_costs_are_timms(backbone: str) -> None:
    import timm

    recorded = facts(backbone, measure=False)
    assert recorded is not None
    with torch.device("meta"):
        model = timm.create_model(backbone, num_classes=37).eval()
    image = torch.empty(1, *recorded.input_size, device="meta")
    assert recorded.flat(37) == (count_params(model), count_macs(model, image))


def test_table_covers_what_ships() -> None:
    assert len(shipped()["default"]) >= 50
    assert facts("resnet50").flat(100)[0] == 23_712_932  # the paper's Table 2
    assert facts("resnet50").flat(20)[0] == 23_549_012
