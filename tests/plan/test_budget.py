"""Solved widths meet the budget; unreachable ones say what is reachable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hiergen.builder import plan_models
from hiergen.errors import PlanError
from hiergen.plan.ir import Plan
from hiergen.taxonomy.load import load_taxonomy


def plans(tmp_path: Path, model: str, classes: str = "imagenet100") -> list[Plan]:
    file = tmp_path / "t.yaml"
    file.write_text(f"name: t\nclasses: {classes}\nmodels:\n{model}\n")
    return plan_models(load_taxonomy(file))


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("budget", "trunk"),
    [
        ("{params: 25M}", "{backbone: resnet50, until: layer2}"),
        ("{macs: 4.2G}", "{backbone: resnet50, until: layer2}"),
        ("{params: 25M, macs: 4.2G}", "{backbone: resnet50, until: layer3}"),
        ("{params: 12M}", "{backbone: resnet18, until: layer3}"),
        ("{params: 9M}", "{backbone: mobilenetv3_large_100, until: blocks.4}"),
        ("{params: 40M}", "{backbone: convnextv2_tiny, until: stages.2}"),
        ("{params: 4M}", "{backbone: tf_efficientnet_lite0, until: blocks.4}, block: mbconv, kernel: 5"),
        ("{macs: 300M}", "{backbone: efficientnet_b0, until: blocks.2}, block: mbconv"),
        ("{params: 30M}", "{backbone: vit_small_patch16_224, until: blocks.8}"),
        ("{params: 30M}", "{backbone: swin_tiny_patch4_window7_224, until: layers.2}"),
    ],
)
def test_budget_is_met_within_two_percent_from_below(tmp_path: Path, levels: int, budget: str, trunk: str) -> None:
    (plan,) = plans(tmp_path, f"  M: {{levels: {levels}, trunk: {trunk}, budget: {budget}}}")
    bounds = {
        name: float(number) * {"M": 1e6, "G": 1e9}[unit]
        for name, number, unit in re.findall(r"(params|macs): ([\d.]+)([MG])", budget)
    }
    used = [getattr(plan, name) / bound for name, bound in bounds.items()]
    assert all(share <= 1 for share in used)
    assert max(used) >= 0.98
    assert len(plan.levels) == levels


def test_without_a_budget_the_flat_backbone_is_the_bound(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, "  N2HL: {}")
    used = (plan.params / plan.trunk.flat_params, plan.macs / plan.trunk.flat_macs)
    assert max(used) <= 1
    assert max(used) >= 0.98


def test_too_small_a_budget_names_the_smallest_that_works(tmp_path: Path) -> None:
    model = "  N2HL:\n    trunk: {{backbone: resnet50, until: layer3}}\n    budget: {{params: {}, macs: {}}}"
    with pytest.raises(
        PlanError, match=r"t\.yaml:6: the budget of 1\.00M params and 9\.00G MACs is too small"
    ) as caught:
        plans(tmp_path, model.format("1M", "9G"))
    least = re.search(r"at least (\S+) params and (\S+) MACs", str(caught.value))
    assert least is not None
    (plan,) = plans(tmp_path, model.format(least[1], least[2]))
    assert plan.params <= float(least[1].removesuffix("M")) * 1e6
    assert plan.macs <= float(least[2].removesuffix("G")) * 1e9


def test_levels_share_the_load(tmp_path: Path) -> None:
    trunk = "{backbone: resnet50, until: layer2}"
    (plan,) = plans(tmp_path, f"  N3HL: {{trunk: {trunk}, budget: {{params: 25M}}}}")
    params = [level.params for level in plan.levels]
    assert max(params) < 1.6 * min(params)
    for level in plan.levels:
        for stage in level.stages:
            assert 2.5 < stage.out / stage.width < 6


@pytest.mark.parametrize("single", [False, True])
def test_auto_ends_at_the_backbones_last_resolution(tmp_path: Path, single: bool) -> None:
    trunk = "{backbone: resnet50, until: layer1}"
    extra = ", single_branch: true" if single else ""
    (plan,) = plans(tmp_path, f"  PHL: {{trunk: {trunk}, budget: {{params: 60M}}{extra}}}")
    assert (plan.levels[-1].height, plan.levels[-1].width) == (7, 7)
    assert [stage.stride for stage in plan.levels[0].stages] == [2, 2, 2]
