"""From a taxonomy file with inverted residuals to source, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch

from hiergen.codegen.build import build
from hiergen.codegen.standalone import standalone
from hiergen.nn import InvertedResiduals
from hiergen.nn.macs import count_params
from hiergen.planning.from_network import plan_of
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.network import network_of
from hiergen.taxonomy.load import load_taxonomy
from tests.helpers import imported

SPEC = """
name: mobile
classes: [a, b, c, d]
sources: [{groups: {x: [a, b], y: [c, d]}}]
models:
  N2HL:
    trunk: {backbone: tf_efficientnet_lite0, until: blocks.4}
    input_size: 64
    branches:
      - [{block: mbconv, width: 24, out: 16, depth: 2, stride: 2, kernel: 5}]
      - [{block: mbconv, width: 12, out: 8, act: silu}, {width: 4, out: 8}]
  Auto:
    levels: 2
    trunk: {backbone: mobilenetv2_100, until: blocks.4}
    block: mbconv
    kernel: 5
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Every test builds the same models from files of its own."""
    yield
    for name in ("mobile_n2hl", "mobile_auto"):
        timm.models._registry._model_entrypoints.pop(name, None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mobile.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path


def test_the_backbones_own_kind_of_block_is_planned_and_written(file: Path, tmp_path: Path) -> None:
    built = build(file, tmp_path / "mobile_plain.py")
    module = imported(built.path)
    network = module.N2HL()
    assert network.level1.recipes == (InvertedResiduals(112, 24, 16, depth=2, stride=2, kernel=5, tf=True),)
    assert network.level2.recipes[0] == InvertedResiduals(16, 12, 8, act="silu", tf=True)
    assert 'InvertedResiduals(112, 24, 16, depth=2, stride=2, kernel=5, act="relu6", tf=True)' in built.source
    plan, auto = plan_models(load_taxonomy(file))
    again = plan_of(network, taxonomy="mobile", model="N2HL")
    assert again.levels == plan.levels
    for one in (plan, auto):
        made = network_of(one)
        assert count_params(made) == one.params
        assert [level.recipes for level in made.levels] == [
            level.recipes for level in getattr(module, one.model)().levels
        ]


def test_auto_fills_the_budget_with_widths_of_six_times_out(file: Path) -> None:
    plan = plan_models(load_taxonomy(file))[1]
    used = max(plan.params / plan.trunk.flat_params, plan.macs / plan.trunk.flat_macs)
    assert 0.98 <= used <= 1
    for level in plan.levels:
        (stage,) = level.stages
        assert (stage.block, stage.kernel, stage.act, stage.tf) == ("mbconv", 5, "relu6", False)
        assert 6 / 1.5 <= stage.width / stage.out <= 6 * 1.5


def test_source_that_stands_alone_computes_the_same(file: Path, tmp_path: Path) -> None:
    built = build(file, tmp_path / "mobile_with.py")
    path = tmp_path / "mobile_alone.py"
    path.write_text(standalone(built.source).replace('"mobile_', '"alone_mobile_'), encoding="utf-8")
    network = imported(built.path).N2HL().eval()
    alone = imported(path).N2HL().eval()
    alone.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        want = network(x)
        assert want.std() > 0
        torch.testing.assert_close(alone(x), want, atol=0, rtol=0)


def test_plans_without_the_block_have_no_word_of_its_options(file: Path) -> None:
    first, second = plan_models(load_taxonomy(file))[0].levels
    assert set(second.stages[1].model_dump()) == {"block", "in_channels", "width", "out", "depth", "stride"}
    assert first.stages[0].model_dump()["kernel"] == 5
