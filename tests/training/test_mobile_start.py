"""Inverted residuals that start as the backbone's, and channels chosen by how well they tell classes apart."""

from __future__ import annotations

import weakref

import pytest
import timm
import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError
from hiergen.nn import Bottlenecks, ConvNeXts, InvertedResiduals
from hiergen.nn.flat import FlatTail
from hiergen.nn.lowering import Run, Span, Stack
from hiergen.nn.tail import sources, stages_after
from hiergen.training.blockcopy import ChannelScore
from hiergen.training.channelscores import ClassStatistics, score_batches
from hiergen.training.initial import init_branches
from tests.training.test_initial import Net, close, ids, seasoned

LITE = {"kernel": 5, "act": "relu6", "tf": True}


@pytest.fixture(scope="module")
def lite() -> nn.Module:
    return seasoned("tf_efficientnet_lite0")


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    ("backbone", "sizes", "depth", "options"),
    [
        ("tf_efficientnet_lite0", (112, 192, 320), 3, LITE),
        ("efficientnet_lite0", (112, 192, 320), 3, {"kernel": 5, "act": "relu6"}),
        ("mobilenetv2_100", (96, 160, 320), 2, {"kernel": 3, "act": "relu6"}),
        ("mnasnet_100", (96, 192, 320), 3, {"kernel": 5, "act": "relu"}),
    ],
)
def test_full_width_is_the_backbones_own_stage(
    backbone: str, sizes: tuple[int, int, int], depth: int, options: dict[str, object], training: bool
) -> None:
    model, (c, out, last) = seasoned(backbone), sizes
    level1 = [
        InvertedResiduals(c, 6 * c, out, stride=2, **options),
        InvertedResiduals(out, 6 * out, out, depth=depth, **options),
    ]
    network = Net(backbone, "blocks.4", level1, [InvertedResiduals(out, 6 * out, last, **{**options, "kernel": 3})])
    report = init_branches(network, "backbone", pretrained_model=model, seed=5)
    assert report.lines() == [
        f"level 1: 2 branches start as channels of {', '.join(f'blocks.5.{i}' for i in range(depth + 1))}",
        "level 2: 4 branches start as channels of blocks.6.0",
    ]
    network.train(training)
    flat = timm.create_model(backbone).train(training)
    flat.load_state_dict(model.state_dict())
    for size in ((7, 6), (8, 8)):  # SAME pads odd and even sizes differently
        x = torch.randn(3, c, *size)
        first = network.level1(x)
        expected = flat.blocks[5](x)
        for branch in range(2):
            close(first[:, branch], expected)
        second, expected = network.level2(first), flat.blocks[6](expected)
        for branch in range(4):
            close(second[:, branch], expected)


def narrow(model: nn.Module, **options: object) -> Net:
    level1 = [InvertedResiduals(112, 300, 96, stride=2, **LITE), InvertedResiduals(96, 200, 96, depth=2, **LITE)]
    network = Net("tf_efficientnet_lite0", "blocks.4", level1, [InvertedResiduals(96, 50, 96, **LITE)]).eval()
    report = init_branches(network, "backbone", pretrained_model=model, **options)
    assert [len(level.taken) for level in report.levels] == [3, 1]
    return network


@torch.no_grad()
def test_narrow_branch_is_the_backbone_with_channels_left_out(lite: nn.Module) -> None:
    """Against a slow version: the backbone's blocks with all channels that were not chosen held at zero."""
    network = narrow(lite, seed=1)
    x = torch.randn(2, 112, 8, 8)
    first, second = lite.blocks[5][0], lite.blocks[5][1]
    blocks = network.level1.blocks[:2]
    mine = x.permute(0, 2, 3, 1)[None].contiguous()
    for block in blocks:
        mine = block(mine, Run("matmul", Span(0, 2, (0,), (2,)), Stack(())))
    for branch in range(2):
        inner = [ids(b.bn1.bias[branch], t.bn1.bias) for b, t in zip(blocks, (first, second), strict=True)]
        gives = ids(blocks[0].bn3.bias[branch], first.bn3.bias)
        masks = [torch.zeros(1, n, 1, 1).index_fill_(1, i, 1) for n, i in ((672, inner[0]), (1152, inner[1]))]
        y = first.bn2(first.conv_dw(first.bn1(first.conv_pw(x)))) * masks[0]
        y = first.bn3(first.conv_pwl(y) * (672 / 300) ** 0.5)
        y = y * torch.zeros(1, 192, 1, 1).index_fill_(1, gives, 1)
        z = second.bn1(second.conv_pw(y) * (192 / 96) ** 0.5)
        z = second.bn2(second.conv_dw(z)) * masks[1]
        z = second.bn3(second.conv_pwl(z) * (1152 / 200) ** 0.5) + y
        close(mine[branch].permute(0, 3, 1, 2), z[:, gives])


@torch.no_grad()
def test_another_eps_is_made_up_for(lite: nn.Module) -> None:
    level1 = [InvertedResiduals(112, 672, 192, kernel=5)]  # not tf: its norms have 1e-5
    network = Net("tf_efficientnet_lite0", "blocks.4", level1, [Bottlenecks(192, 8, 8)]).eval()
    for norm in (lite.blocks[5][0].bn1, lite.blocks[5][0].bn2):
        norm.running_var[:100] = 1e-4
    init_branches(network, "backbone", pretrained_model=lite)
    lite.blocks[5][0].conv_dw.stride, x = (1, 1), torch.randn(2, 112, 6, 6)
    close(network.level1(x)[:, 1], lite.blocks[5][0](x))
    lite.blocks[5][0].conv_dw.stride = (2, 2)


def test_modules_between_stages_are_found() -> None:
    assert stages_after("tf_efficientnet_lite0", "blocks.1") == [f"blocks.{i}" for i in range(2, 7)]
    assert stages_after("resnet26", "layer2") == ["layer3", "layer4"]
    assert stages_after("convnext_atto", "stages.3") == []


def test_what_does_not_fit_stays_random(lite: nn.Module) -> None:
    def why(stage: object, backbone: str = "tf_efficientnet_lite0", model: nn.Module = lite) -> str:
        network = Net(backbone, "blocks.4", [stage], [ConvNeXts(stage.out, 9, stage.out)])
        return str(init_branches(network, "backbone", pretrained_model=model).levels[0].why_not)

    assert why(InvertedResiduals(112, 60, 64, stride=2, tf=True)) == "its kernel is 3 px, blocks.5.0's is 5"
    silu = InvertedResiduals(112, 60, 64, stride=2, kernel=5, act="silu", tf=True)
    assert why(silu) == "its activation is silu, blocks.5.0's is relu6"
    assert why(InvertedResiduals(112, 60, 64, stride=2, kernel=5)) == "blocks.5.0 pads as TensorFlow does (tf=True)"
    keeps = InvertedResiduals(112, 60, 112, **LITE)
    assert why(keeps) == "blocks.5.0 leads to new channels, and the branch's block keeps those that it reads"
    assert why(Bottlenecks(112, 60, 64)) == "its block is a Bottleneck, blocks.5.0 is a InvertedResidual"
    b0 = timm.create_model("efficientnet_b0")
    same = InvertedResiduals(112, 60, 64, stride=2, kernel=5, act="silu")
    assert why(same, "efficientnet_b0", b0) == (
        "blocks.5 of the backbone has squeeze-and-excitation, of which branches have none"
    )
    level1 = [InvertedResiduals(112, 60, 64, stride=2, **LITE), InvertedResiduals(64, 60, 48, **LITE)]
    network = Net("tf_efficientnet_lite0", "blocks.4", level1, [Bottlenecks(48, 8, 8)])
    assert init_branches(network, "backbone", pretrained_model=lite).levels[0].why_not == (
        "blocks.5.1 adds what it reads to its answer, and the branch's block has new channels"
    )


@pytest.mark.parametrize(
    ("backbone", "stage", "words"),
    [
        ("mixnet_s", "blocks.1", "of other kernels"),
        ("mobilenetv3_small_050", "blocks.2", "other norms or activations|squeeze"),
        ("tf_efficientnet_lite0", "blocks.0", "DepthwiseSeparableConv"),
        ("resnext50_32x4d", "layer4", "grouped"),
        ("seresnet50", "layer4", "with attention"),
        ("resnet26d", "layer4", "projections"),
    ],
)
def test_blocks_that_look_alike_are_not_taken(backbone: str, stage: str, words: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(backbone)
    with pytest.raises(TypeError, match=words):
        list(sources(stage, model.get_submodule(stage)))


def slow_separation(values: Tensor, targets: Tensor, members: list[int]) -> Tensor:
    """By the sentence in the module, a class at a time."""
    ratios = []
    for channel in values.double().t():
        means, variances = zip(
            *((channel[targets == k].mean(), channel[targets == k].var(correction=0)) for k in range(5)), strict=True
        )
        rest = [k for k in range(5) if k not in members]
        m_own = sum(means[k] for k in members) / len(members)
        between = sum((means[k] - m_own) ** 2 for k in members) / len(members)
        within = sum(variances[k] for k in members) / len(members)
        if rest:
            between += (m_own - sum(means[k] for k in rest) / len(rest)) ** 2 / 4
            within = (within + sum(variances[k] for k in rest) / len(rest)) / 2
        ratios.append(between / within)
    return torch.stack(ratios).float()


@pytest.mark.parametrize("members", [[0], [1, 3], [0, 1, 2, 3, 4]])
def test_separation_against_a_slow_version(members: list[int]) -> None:
    torch.manual_seed(0)
    targets = torch.randint(5, (60,))
    values = torch.randn(60, 7) + 3 * torch.randn(5, 7)[targets]
    statistics = ClassStatistics(5)
    for part, labels in zip(values.split(16), targets.split(16), strict=True):
        statistics.add(part, labels)
    torch.testing.assert_close(statistics.score(torch.tensor(members)), slow_separation(values, targets, members))


def test_a_channel_that_never_moves_scores_zero() -> None:
    statistics = ClassStatistics(2)
    statistics.add(torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0, 1]))
    score = statistics.score(torch.tensor([0]))
    assert score[0] == 0
    assert score[1] > 1e6


def labelled(channels: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    targets = torch.arange(4).repeat(6)
    return torch.randn(24, channels, 6, 6) + torch.randn(4, channels, 1, 1)[targets], targets


@torch.no_grad()
def test_branches_take_the_channels_that_tell_their_classes_apart(lite: nn.Module) -> None:
    maps, targets = labelled(112)
    scores = score_batches(narrow(lite), lite.train(), zip(maps.split(7), targets.split(7), strict=True))
    assert lite.blocks[5][0].bn1.training  # as it was
    lite.eval()
    network = narrow(lite, importance=scores)
    first, second = lite.blocks[5][0], lite.blocks[5][1]
    y = first(maps)
    pooled = {"inner": first.bn2(first.conv_dw(first.bn1(first.conv_pw(maps)))).mean((2, 3)), "gives": y.mean((2, 3))}
    pooled["next"] = second.bn2(second.conv_dw(second.bn1(second.conv_pw(y)))).mean((2, 3))
    for branch, members in enumerate(([0, 1], [2, 3])):
        stages = network.level1.stages
        norms = {"inner": (stages[0][0].bn2, first.bn2), "gives": (stages[0][0].bn3, first.bn3)}
        norms["next"] = (stages[1][0].bn1, second.bn1)
        for name, (mine, theirs) in norms.items():
            chosen = ids(mine.bias[branch], theirs.bias)
            best = four(pooled[name], targets, members).topk(len(chosen)).indices.sort().values
            assert torch.equal(chosen, best), name
    assert not torch.equal(*(stages[0][0].bn3.bias[i] for i in range(2)))
    leaf = network.level2.stages[0][0]
    inner = four_level2(lite, maps, targets, network)
    for branch in range(4):
        assert torch.equal(ids(leaf.bn1.bias[branch], lite.blocks[5][3].bn1.bias), inner[branch])


def four(values: Tensor, targets: Tensor, members: list[int]) -> Tensor:
    statistics = ClassStatistics(4)
    statistics.add(values, targets)
    return statistics.score(torch.tensor(members))


def four_level2(model: nn.Module, maps: Tensor, targets: Tensor, network: Net) -> list[Tensor]:
    """The inner channels that each class should take of the last block."""
    x = model.blocks[5][:3](maps)
    block = model.blocks[5][3]
    pooled = block.bn2(block.conv_dw(block.bn1(block.conv_pw(x)))).mean((2, 3))
    return [four(pooled, targets, [c]).topk(50).indices.sort().values for c in range(4)]


@torch.no_grad()
@pytest.mark.parametrize(
    ("backbone", "until", "stage"),
    [
        ("resnet26", "layer3", Bottlenecks(1024, 32, 96, stride=2)),
        ("convnextv2_atto", "stages.2", ConvNeXts(160, 64, 96, stride=2, grn=True)),
        ("convnext_atto_ols", "stages.2", ConvNeXts(160, 64, 96, stride=2)),
    ],
)
def test_other_blocks_are_scored_as_well(backbone: str, until: str, stage: object) -> None:
    model = seasoned(backbone)
    network = Net(backbone, until, [stage], [Bottlenecks(96, 8, 8)])
    maps, targets = labelled(stage.in_channels)
    scores = score_batches(network, model, [(maps, targets)])
    name = stages_after(backbone, until)[0]
    score = scores(1, 1, f"{name}.0")
    module = model.get_submodule(name)
    block = module.blocks[0] if hasattr(module, "blocks") else module[0]
    entered = module.downsample(maps) if hasattr(module, "downsample") else maps
    torch.testing.assert_close(score.gives, four(block(entered).mean((2, 3)), targets, [2, 3]))
    kept: dict[str, Tensor] = {}
    last = block.conv3 if hasattr(block, "conv3") else block.mlp.fc2
    handle = last.register_forward_hook(lambda _m, given, _y: kept.update(x=given[0]))
    block(entered)
    handle.remove()
    pooled = kept["x"].mean((1, 2)) if isinstance(last, nn.Linear) else kept["x"].mean((2, 3))
    inner = score.second if hasattr(block, "conv3") else score.first
    torch.testing.assert_close(inner, four(pooled, targets, [2, 3]))
    assert scores(1, 0, "stem.0") is None
    report = init_branches(network, "backbone", pretrained_model=model, importance=scores)
    assert report.levels[0].taken == (f"{name}.0",)


def test_an_importance_without_an_opinion_is_the_random_choice(lite: nn.Module) -> None:
    one, two = narrow(lite, seed=3), narrow(lite, seed=3, importance=lambda *_: ChannelScore())
    for a, b in zip(one.levels, two.levels, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_maps_that_cannot_be_scored(lite: nn.Module) -> None:
    network, (maps, targets) = narrow(lite), labelled(112)
    with pytest.raises(HiergenError, match="no map is of class 'c3'"):
        score_batches(network, lite, [(maps[targets < 3], targets[targets < 3])])
    with pytest.raises(HiergenError, match="not those of the network's trunk"):
        score_batches(network, lite, [(maps[:, :50], targets)])
    with pytest.raises(HiergenError, match="a target is no class"):
        score_batches(network, lite, [(maps, targets + 1)])


def test_maps_that_were_scored_are_let_go() -> None:
    """Hooks on activations must not hold them: of all batches together they are gigabytes."""
    network = narrow(timm.create_model("tf_efficientnet_lite0").eval())
    tail = FlatTail("tf_efficientnet_lite0", "blocks.4", network.num_classes)
    seen: list[weakref.ref[Tensor]] = []
    tail.get_submodule("blocks.6.0").register_forward_hook(lambda _module, _given, y: seen.append(weakref.ref(y)))
    maps, targets = labelled(112)
    scores = score_batches(network, tail, zip(maps.split(8), targets.split(8), strict=True))
    assert scores(1, 0, "blocks.6.0") is not None
    assert [ref() for ref in seen] == [None] * 3
