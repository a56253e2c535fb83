"""Branches made of the backbone's own blocks: which blocks each level has, how wide they are, what is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import timm
from helpers import message

from hiergen.planning.backbones import BlockFacts, blocks_after, facts
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.plan import Plan, StagePlan
from hiergen.planning.tails import NARROWEST, Shape, Tail, widest
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.modelspec import Aim, ModelSpec


def plans(tmp_path: Path, model: str) -> list[Plan]:
    file = tmp_path / "t.yaml"
    file.write_text(f"name: t\nclasses: imagenet100\nmodels:\n  {model}\n")
    return plan_models(load_taxonomy(file))


def tail_of(backbone: str, until: str, levels: int, shared: float = 1.0) -> Tail:
    found = facts(backbone)
    assert found is not None
    return Tail(blocks_after(found, until), levels, shared)


def seen(stages: list[StagePlan]) -> list[StagePlan]:
    """A block at a time."""
    return [
        stage.model_copy(update={"depth": 1} | ({"in_channels": stage.out, "stride": 1} if i else {}))
        for stage in stages
        for i in range(stage.depth)
    ]


def timms(model: Any, name: str) -> tuple[object, ...]:
    """Block, channels in, inside and out, stride and kernel of an inverted residual or of conv_head."""
    block = model.get_submodule(name)
    if name == "conv_head":
        return "conv", block.in_channels, block.out_channels, block.out_channels, 1, None
    deep = block.conv_dw
    outer = block.conv_pw.in_channels, deep.out_channels, block.conv_pwl.out_channels
    return "mbconv", *outer, deep.stride[0], deep.kernel_size[0]


def test_a_shallow_tail_has_the_first_block_of_each_stage(tmp_path: Path) -> None:
    trunk = "{backbone: tf_efficientnet_lite0, until: blocks.3}"
    model = timm.create_model("tf_efficientnet_lite0")
    names = [["blocks.4.0", "blocks.5.0", "blocks.6.0"], ["conv_head"]]
    levels = tail_of("tf_efficientnet_lite0", "blocks.3", 2).stages(Shape(1.0))
    got = [[(s.block, s.in_channels, s.width, s.out, s.stride, s.kernel) for s in seen(stages)] for stages in levels]
    assert got == [[timms(model, name) for name in some] for some in names]
    (plan,) = plans(tmp_path, f"N2HL: {{trunk: {trunk}, budget: {{params: 9M}}}}")
    for stages, some in zip(plan.levels, names, strict=True):
        for stage, name in zip(stages.stages, some, strict=True):
            block, channels, width, out, *rest = timms(model, name)
            assert (stage.block, stage.stride, stage.kernel, stage.act, stage.tf) == (block, *rest, "relu6", True)
            assert (stage.in_channels, stage.width, stage.out) <= (channels, width, out)


@pytest.mark.parametrize(
    ("backbone", "until", "names"),
    [
        ("resnet50", "layer2", [f"layer{n}.{i}" for n, count in ((3, 6), (4, 3)) for i in range(count)]),
        ("convnext_tiny", "stages.2", [f"stages.3.blocks.{i}" for i in range(3)]),
    ],
)
def test_a_deep_tail_has_all_blocks(backbone: str, until: str, names: list[str]) -> None:
    tail, model = tail_of(backbone, until, 2), timm.create_model(backbone)
    blocks = [block for stages in tail.stages(Shape(1.0, 16, tail.further)) for block in seen(stages)]
    for block, name in zip(blocks, names, strict=True):
        theirs: Any = model.get_submodule(name)
        inner = theirs.conv2.out_channels if backbone == "resnet50" else theirs.mlp.fc1.out_features
        out = theirs.conv3.out_channels if backbone == "resnet50" else theirs.conv_dw.out_channels
        assert (block.width, block.out) == (inner, out)


def test_levels_share_out_the_blocks() -> None:
    rng = random.Random(0)
    for _ in range(200):
        counts = [rng.randint(1, 5) for _ in range(rng.randint(1, 5))]
        blocks = [
            BlockFacts(
                name=f"{stage}.{i}",
                block="bottleneck",
                in_channels=64 if i else 48 + 16 * stage,
                width=1000 + 10 * stage + i,
                out=64,
                stride=1,
            )
            for stage, count in enumerate(counts)
            for i in range(count)
        ]
        levels = rng.randint(1, len(blocks))
        tail = Tail(blocks, levels)
        assert tail.further == len(blocks) - max(levels, len(counts))
        for further in range(tail.further + 1):
            dealt = [[s.width for s in seen(stages)] for stages in tail.stages(Shape(1.0, 1, further))]
            taken = [width for widths in dealt for width in widths]
            depths = [sum(width // 10 == 100 + stage for width in taken) for stage in range(len(counts))]
            # the first blocks of each stage, in order, and stages grow in turn
            assert taken == [1000 + 10 * stage + i for stage, depth in enumerate(depths) for i in range(depth)]
            assert len(taken) == max(levels, len(counts)) + further
            for depth, count in zip(depths, counts, strict=True):
                assert depth == count or depth >= max(depths) - 1
            *above, last = map(len, dealt)
            assert last == (1 if above else len(taken))
            assert above == sorted(above, reverse=True)
            assert not above or max(above) - min(above) <= 1


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(
    ("budget", "trunk"),
    [
        ({"params": 25_000_000}, "{backbone: resnet50, until: layer2}"),
        ({"macs": 4_200_000_000}, "{backbone: convnext_nano, until: stages.1}"),
        ({"params": 8_000_000, "macs": 500_000_000}, "{backbone: tf_efficientnet_lite0, until: blocks.3}"),
    ],
)
def test_budgets_are_filled(tmp_path: Path, levels: int, budget: dict[str, int], trunk: str) -> None:
    (plan,) = plans(tmp_path, f"M: {{levels: {levels}, trunk: {trunk}, budget: {budget}}}".replace("'", ""))
    used = [getattr(plan, name) / bound for name, bound in budget.items()]
    assert 0.98 <= max(used) <= 1


def test_where_all_channels_fit_there_are_more_blocks(tmp_path: Path) -> None:
    model = "N2HL: {{trunk: {{backbone: resnet50, until: layer3}}, budget: {{params: {}}}}}"
    depths = []
    for params in ("1.2G", "1.8G", "9G"):
        (plan,) = plans(tmp_path, model.format(params))
        assert plan.params <= {"1.2G": 1.2e9, "1.8G": 1.8e9, "9G": 9e9}[params]
        depths.append(sum(stage.depth for level in plan.levels for stage in level.stages))
    assert depths[-1] == 3  # all of layer4
    assert depths == sorted(depths)


@pytest.mark.parametrize("limit", [0.02, 0.05, 0.1])
def test_no_wider_share_fits(limit: float) -> None:
    tail = tail_of("resnet50", "layer2", 2, shared=7)

    def filled(shape: Shape) -> float:
        blocks = [block for stages in tail.stages(shape) for block in stages]
        return sum(b.depth * (b.in_channels * b.width + b.width * b.out) for b in blocks) / (limit * 3e6)

    found = widest(tail, filled)
    assert found != NARROWEST
    assert filled(found) <= 1
    wider = [filled(Shape(share / 1000, found.grid)) for share in range(1001) if share / 1000 > found.share]
    assert all(more > 1 or more == filled(found) for more in wider)
    assert filled(found) >= 0.98


def test_the_last_level_shares_its_channels() -> None:
    """Seven classes a group: each branch has a seventh of the channels, of which none is less than the grid."""
    (_, alone), (_, shared) = (tail_of("tf_efficientnet_lite0", "blocks.4", 2, n).stages(Shape(1.0)) for n in (1, 7))
    assert [stage.out for stage in alone] == [1280]
    assert [stage.out for stage in shared] == [1280 // 7 // 16 * 16]


def test_outer_channels_are_all_there_from_a_quarter_on() -> None:
    for share, out in ((1.0, 2048), (0.5, 2048), (0.25, 2048), (0.125, 1024), (0.0625, 512)):
        ((stage,),) = tail_of("resnet50", "layer3", 1).stages(Shape(share))
        assert (stage.width, stage.out) == (512 * share, out)


def test_too_few_blocks_for_the_levels_is_one_sentence(tmp_path: Path) -> None:
    trunk = "{backbone: resnet50, until: layer3}"
    assert message(lambda: plans(tmp_path, f"N4HL: {{levels: 4, trunk: {trunk}}}")).endswith(
        "t.yaml:4: 4 levels need as many blocks of the backbone after the cut; "
        "expected an earlier 'trunk.until', or fewer levels, got 3"
    )
    plans(tmp_path, f"N4HL: {{levels: 4, trunk: {trunk}, block: bottleneck}}")


@pytest.mark.parametrize(
    ("trunk", "block"),
    [
        ("{backbone: resnet18, until: layer3}", "bottleneck"),
        ("{backbone: convnextv2_atto, until: stages.3}", "convnextv2"),
    ],
)
def test_without_blocks_of_its_own_a_tail_is_one_of_another_kind(tmp_path: Path, trunk: str, block: str) -> None:
    (plan,) = plans(tmp_path, f"N2HL: {{trunk: {trunk}, budget: {{params: 20M}}}}")
    assert {stage.block for level in plan.levels for stage in level.stages} == {block}


def test_a_generalist_counts_in_the_budget(tmp_path: Path) -> None:
    trunk = "{backbone: tf_efficientnet_lite0, until: blocks.3}"
    for block in ("auto", "mbconv"):
        model = f"N2HL: {{trunk: {trunk}, block: {block}, generalist: shallow, budget: {{params: 9M}}}}"
        (plan,) = plans(tmp_path, model)
        assert plan.generalist is not None
        assert 0.98 * 9e6 <= plan.params <= 9e6
    for stages in (plan.generalist.stages, plan.levels[0].stages):
        assert stages[0].in_channels == plan.trunk.channels


def test_a_generalist_needs_blocks_of_its_own(tmp_path: Path) -> None:
    model = "N2HL: {trunk: {backbone: hrnet_w18_small, until: stage3}, generalist: shallow, budget: {params: 50M}}"
    assert message(lambda: plans(tmp_path, model)).endswith(
        "a generalist is made of the blocks after 'stage3', and branches have none of hrnet_w18_small's kinds; "
        "expected 'generalist: none', or another backbone"
    )


def test_a_generalist_alone_is_an_aim() -> None:
    assert ModelSpec().find_aim() is None
    assert ModelSpec(generalist="shallow").find_aim() == Aim(cutout=0.6)
    assert ModelSpec(generalist="shallow", block="mbconv").find_aim() is None  # a budget, that of the flat network
    assert ModelSpec(generalist="shallow", aim={"cutout": 0.3}).find_aim() == Aim(cutout=0.3)
    assert ModelSpec(generalist="shallow", budget={"params": "9M"}).find_aim() is None
    assert ModelSpec(trunk={"until": "auto"}, generalist="shallow").find_aim() == Aim(cutout=0.6)
