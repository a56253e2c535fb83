"""Solved widths meet the budget; unreachable ones say what is reachable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hiergen.errors import PlanError, SpecError
from hiergen.planning.blocks import BLOCKS
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import load_taxonomy


def plans(tmp_path: Path, model: str, classes: str = "imagenet100") -> list[Plan]:
    file = tmp_path / "t.yaml"
    file.write_text(f"name: t\nclasses: {classes}\nmodels:\n{model}\n")
    return plan_models(load_taxonomy(file))


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("budget", "trunk"),
    [
        ("{params: 25M}", "{backbone: resnet50, until: layer2}, block: bottleneck"),
        ("{macs: 4.2G}", "{backbone: resnet50, until: layer2}, block: bottleneck"),
        ("{params: 25M, macs: 4.2G}", "{backbone: resnet50, until: layer3}, block: bottleneck"),
        ("{params: 12M}", "{backbone: resnet18, until: layer3}"),
        ("{params: 9M}", "{backbone: mobilenetv3_large_100, until: blocks.4}"),
        ("{params: 40M}", "{backbone: convnextv2_tiny, until: stages.2}, block: convnextv2"),
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


@pytest.mark.parametrize("block", ["bottleneck", "mbconv"])
def test_channels_are_multiples_of_the_grid(tmp_path: Path, block: str) -> None:
    model = "  N2HL: {{trunk: {{backbone: resnet50, until: layer2}}, block: {}, budget: {{params: 25M{}}}}}"
    for given, grid in (("", 16), (", grid: null", 16), (", grid: '8'", 8)):
        (plan,) = plans(tmp_path, model.format(block, given))
        numbers = {n for level in plan.levels for stage in level.stages for n in (stage.width, stage.out)}
        assert max(step for step in (64, 32, 16, 8, 4) if all(n % step == 0 for n in numbers)) == grid
    with pytest.raises(SpecError, match=r"t\.yaml:4: .*grid' .*expected 1, 2, 4, 8, 16, 32 or 64, got '12'"):
        plans(tmp_path, model.format(block, ", grid: 12"))


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
    (plan,) = plans(tmp_path, f"  N3HL: {{trunk: {trunk}, block: bottleneck, budget: {{params: 25M}}}}")
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


@pytest.mark.parametrize("block", ["auto", "bottleneck"])
@pytest.mark.parametrize("levels", [1, 3])
def test_a_bound_of_what_a_network_has_is_met_and_one_less_is_not_passed(
    tmp_path: Path, levels: int, block: str
) -> None:
    """To the parameter and the MAC, the heads' biases too."""
    model = f"  M: {{levels: {levels}, trunk: {{backbone: resnet50, until: layer2}}, block: {block}, budget: "
    for what, first in (("params", 25_000_000), ("macs", 4_200_000_000)):
        (plan,) = plans(tmp_path, f"{model}{{{what}: {first}}}}}")
        bound = getattr(plan, what)
        for less in (1, 50, 99):
            (smaller,) = plans(tmp_path, f"{model}{{{what}: {bound - less}}}}}")
            assert 0.98 * bound < getattr(smaller, what) <= bound - less


@pytest.mark.parametrize(
    ("trunk", "tighter"),
    [("{backbone: resnet50, until: layer2}", "macs"), ("{backbone: repvgg_a2, until: stages.1}", "params")],
)
def test_without_a_budget_neither_bound_of_the_flat_backbone_is_passed(
    tmp_path: Path, trunk: str, tighter: str
) -> None:
    (plan,) = plans(tmp_path, f"  N2HL: {{trunk: {trunk}}}")
    used = {name: getattr(plan, name) / getattr(plan.trunk, f"flat_{name}") for name in ("params", "macs")}
    assert 0.98 <= used[tighter] == max(used.values()) <= 1


@pytest.mark.parametrize("backbone", ["edgenext_small", "efficientnet_b2", "resnet50"])
def test_auto_strides_no_further_than_the_backbone(tmp_path: Path, backbone: str) -> None:
    """Of 256 px its last map is 8 x 8, which could be halved once more."""
    (plan,) = plans(tmp_path, f"  N3HL: {{trunk: {{backbone: {backbone}}}}}")
    assert plan.levels[-1].height == plan.levels[-1].width == plan.trunk.input_size[-1] // 32


@pytest.mark.parametrize(
    ("block", "ratio"), [("bottleneck", 4), ("convnext", 1 / 4), ("convnextv2", 1 / 4), ("mbconv", 1 / 6)]
)
def test_blocks_have_the_shape_of_their_papers(tmp_path: Path, block: str, ratio: float) -> None:
    (plan,) = plans(tmp_path, f"  N2HL: {{trunk: {{backbone: resnet50, until: layer3}}, block: {block}, depth: 2}}")
    for stage in (stage for level in plan.levels for stage in level.stages):
        assert (stage.block, stage.depth) == (block, 2)
        assert 0.7 < stage.out / stage.width / ratio < 1.4


@pytest.mark.parametrize(
    ("backbone", "act", "tf"),
    [
        ("efficientnet_b0", "silu", False),
        ("tf_efficientnetv2_s", "silu", True),
        ("tf_efficientnet_lite0", "relu6", True),
        ("mobilenetv2_100", "relu6", False),
    ],
)
def test_inverted_residuals_are_those_of_their_family(tmp_path: Path, backbone: str, act: str, tf: bool) -> None:
    model = f"  N2HL: {{trunk: {{backbone: {backbone}}}, block: mbconv, budget: {{params: 90M}}"
    (plan,) = plans(tmp_path, model + "}")
    assert {(s.act, s.tf, s.kernel) for level in plan.levels for s in level.stages} == {(act, tf, 3)}
    (plan,) = plans(tmp_path, model + ", kernel: 5}")
    assert {s.kernel for level in plan.levels for s in level.stages} == {5}


def test_mnasnets_own_act_is_plain_relu() -> None:
    assert BLOCKS["mbconv"].defaults("mnasnet_100") == {"kernel": 3, "act": "relu", "tf": False}


def test_heads_of_a_single_branch_all_read_it(tmp_path: Path) -> None:
    (one,) = plans(tmp_path, "  PHL: {single_branch: true}")
    assert [level.branches for level in one.levels] == [1]
    assert one.head_parents == (0,) * 100
    (own,) = plans(tmp_path, "  PHL: {}")
    assert own.head_parents == ()


def test_heads_read_the_branch_of_their_own_class(tmp_path: Path) -> None:
    """Classes come as in the list, branches as in the tree."""
    (plan,) = plans(tmp_path, "  N2HL: {}", "[n02123045, n04285008, n02110958, n02930766, n02123394, n02085620]")
    assert plan.head_parents != ()
    assert [plan.levels[-1].names[branch] for branch in plan.head_parents] == list(plan.classes)
