"""Branches that are copies of the backbone's own blocks: planned, counted, written as source, read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from hiergen.codegen.build import build
from hiergen.codegen.standalone import standalone
from hiergen.errors import PlanError
from hiergen.models.cutout import cutout
from hiergen.nn import Bottlenecks, PointwiseConvs, Replicas
from hiergen.nn.macs import count_params, network_macs
from hiergen.planning.backbones import copies_after, facts
from hiergen.planning.compile import compile_plan
from hiergen.planning.from_network import plan_of
from hiergen.planning.from_taxonomy import latencies, plan_models
from hiergen.planning.network import network_of
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.modelspec import ModelSpec
from hiergen.taxonomy.nesting import Nesting
from tests.helpers import check_lint, imported

TREES = {
    1: ["a", "b", "c", "d"],
    2: {"x": ["a", "b"], "y": ["c", "d"]},
    3: {"all": {"x": ["a", "b"]}, "more": {"y": ["c", "d"]}},
}
VIT, SWIN = "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"


def planned(backbone: str, until: str | None, levels: int = 2, **options: object) -> Plan:
    trunk = {"backbone": backbone, **({"until": until} if until else {})}
    spec = ModelSpec.model_validate({"trunk": trunk, "budget": {"macs": "100G"}, **options})
    known = facts(backbone)
    assert known is not None
    nesting = Nesting.from_tree(TREES[levels], tuple("abcd"))
    return compile_plan("t", "M", spec, nesting, known)


def modules(plan: Plan) -> list[tuple[str, ...]]:
    return [stage.copied.modules if stage.copied else ("conv",) for level in plan.levels for stage in level.stages]


@pytest.mark.parametrize(
    ("backbone", "until"),
    [
        ("resnet18", "layer2"),
        ("efficientnet_b0", "blocks.4"),
        ("mobilenetv3_small_100", "blocks.3"),
        ("mobilenetv4_conv_small", "blocks.2"),
        ("regnety_004", "s3"),
        (VIT, "blocks.9"),
        (SWIN, "layers.2"),
        ("densenet121", "features.denseblock3"),
    ],
)
def test_a_plan_costs_what_is_counted_and_is_read_back(backbone: str, until: str) -> None:
    plan = planned(backbone, until, generalist="whole")
    with torch.device("meta"):
        network = network_of(plan)
    assert count_params(network) == plan.params
    assert network_macs(network).total(network) == plan.macs
    assert network.trunk.map_size == (plan.trunk.height, plan.trunk.width)
    assert plan_of(network, taxonomy="t", model="M") == plan
    last = plan.levels[-1].stages[0]
    assert (last.block, last.act) == ("conv", "silu" if backbone == "efficientnet_b0" else "relu")


def test_which_blocks_there_are() -> None:
    least = {"params": "11M"}
    assert modules(planned("resnet18", "layer2", 3, budget=least, block="copy"))[:2] == [("layer3.0",), ("layer4.0",)]
    assert modules(planned("resnet18", "layer2", 3)) == [
        ("layer3.0", "layer3.1"),
        ("layer4.0", "layer4.1"),
        ("conv",),
    ]
    few = planned(VIT, "blocks.5", budget={"params": "4.1M"})
    assert modules(few) == [("blocks.11",), ("conv",)]
    assert modules(planned(VIT, "blocks.5", budget={"params": "5M"})) == [("blocks.10", "blocks.11"), ("conv",)]
    assert few.trunk.tokens
    assert [stage.copied.end for stage in few.levels[0].stages if stage.copied] == [True]
    entered = modules(planned(SWIN, "layers.2"))[0]
    assert entered == ("layers.3.downsample", "layers.3.blocks.0", "layers.3.blocks.1")


def test_the_last_level_fills_the_budget() -> None:
    tight = planned("resnet18", "layer3", budget={"params": "10.2M"}).levels[-1].stages[0].out
    loose = planned("resnet18", "layer3", budget={"params": "10.4M"})
    assert 8 <= tight < loose.levels[-1].stages[0].out < 256
    assert 10_200_000 < loose.params <= 10_400_000


def test_kinds_that_branches_have_are_taken_where_all_later_blocks_are_of_them() -> None:
    assert {stage.block for level in planned("resnet50", "layer3").levels for stage in level.stages} == {"bottleneck"}
    asked = planned("resnet50", "layer3", block="copy")
    assert [level.stages[0].block for level in asked.levels] == ["copy", "conv"]
    assert planned(VIT, None, block="attention") == planned(VIT, None, block="copy") == planned(VIT, None)


def test_a_budget_that_is_too_small() -> None:
    with pytest.raises(PlanError, match=r"too small; expected at least .* params and .*'block: bottleneck' has fewer"):
        planned("resnet18", "layer3", block="copy", budget={"params": "9M"})
    with pytest.raises(PlanError) as caught:
        planned("resnet18", "layer3", block="auto", budget={"params": "9M"})
    assert caught.value.code == "E503"
    unasked = planned("resnet18", "layer3", budget={"params": "9M"})
    assert [level.stages[0].block for level in unasked.levels] == ["bottleneck"] * 2


def test_one_level_has_whole_copies_or_bottlenecks(tmp_path: Path) -> None:
    whole = planned("resnet18", "layer3", 1, block="auto")
    assert modules(whole) == [("layer4.0", "layer4.1")]
    text = "name: t\nclasses: imagenette\nmodels: {PHL: {trunk: {backbone: resnet18, until: layer3}}}\n"
    (tmp_path / "t.yaml").write_text(text)
    taxonomy = load_taxonomy(tmp_path / "t.yaml")
    (plan,) = plan_models(taxonomy)
    assert plan.levels[0].stages[0].block == "bottleneck"
    (line,) = latencies(taxonomy)
    assert line.startswith("PHL: branches are bottlenecks that start at random, as copies of the blocks of resnet18 do")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"backbone": "resnet18", "block": "attention"}, "has no tokens, so 'block: attention' has nothing to copy"),
        ({"backbone": "hrnet_w18_small", "block": "copy"}, "the blocks of hrnet_w18_small after '.*' cannot be copied"),
        ({"backbone": VIT, "until": "blocks.10", "levels": 3, "block": "copy"}, "3 levels need as many blocks"),
        ({"backbone": VIT, "block": "bottleneck", "generalist": "whole"}, "are copies of its blocks have its tokens"),
    ],
)
def test_what_cannot_be_says_so(options: dict[str, object], says: str) -> None:
    backbone, until, levels = (options.pop(key, None) for key in ("backbone", "until", "levels"))
    with pytest.raises(PlanError, match=says):
        planned(backbone, until, levels or 2, **options)


def test_what_a_file_cannot_say() -> None:
    with pytest.raises(ValidationError, match="'depth' goes with a 'block' only"):
        ModelSpec.model_validate({"block": "copy", "depth": 2})


def test_blocks_after_a_stage() -> None:
    known = facts("resnet18")
    assert known is not None
    assert [block.modules for block in copies_after(known, "layer3")] == [("layer4.0",), ("layer4.1",)]
    assert copies_after(known, "act1")[0].modules == ("maxpool", "layer1.0")
    assert copies_after(known, "layer4") == ()


SPEC = """
name: copied
classes: [a, b, c, d]
sources: [{groups: {x: [a, b], y: [c, d]}}]
models:
  N2HL:
    trunk: {backbone: vit_tiny_patch16_224, until: blocks.10}
    block: attention
    budget: {params: 10M}
    generalist: whole
  Resnet:
    levels: 2
    trunk: {backbone: resnet18, until: layer3}
    block: copy
    budget: {params: 40M}
"""


def test_source_cutouts_and_files_that_stand_alone(tmp_path: Path) -> None:
    (tmp_path / "copied.yaml").write_text(SPEC)
    built = build(tmp_path / "copied.yaml", tmp_path / "copied_built.py")
    check_lint(built.path)
    module = imported(built.path)
    network = module.N2HL().eval()
    assert network.level2.recipes == (PointwiseConvs(192, 96, act="relu"),)
    assert network.level1.recipes == (
        Replicas("vit_tiny_patch16_224", ["blocks.11"], 192, 192, end=True, input_size=(3, 224, 224)),
    )
    assert 'until="blocks.10", pretrained=pretrained, tokens=True)' in built.source
    whole = 'Replicas("resnet18", ["layer4.0", "layer4.1"], 256, 512, input_size=self.input_size)'
    assert whole in built.source
    assert not any(isinstance(recipe, Bottlenecks) for recipe in module.Resnet().level1.recipes)
    path = tmp_path / "copied_alone.py"
    path.write_text(standalone(built.source).replace('"copied_', '"alone_copied_'), encoding="utf-8")
    alone = imported(path).N2HL().eval()
    alone.load_state_dict(network.state_dict())
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(alone(x), network(x), atol=0, rtol=0)
    cut = cutout(f"{built.path}:N2HL", tmp_path / "cut", classes=["a"], untrained=True)
    assert cut.difference < 1e-6
    assert cut.part.trunk.tokens
