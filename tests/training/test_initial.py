"""Branches that start as channels of the backbone's own blocks."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError
from hiergen.nn import Bottlenecks, ClassHeads, ConvNeXts, HierarchicalNetwork, Siblings, Trunk
from hiergen.training.initial import InitReport, init_branches

PARENTS = (0, 0, 1, 1)


class Net(HierarchicalNetwork):
    """Two groups of two classes, on any trunk, with any stages."""

    taxonomy = {"a": {"c0": "c0", "c1": "c1"}, "b": {"c2": "c2", "c3": "c3"}}  # noqa: RUF012
    classes = ("c0", "c1", "c2", "c3")
    input_size = (3, 64, 64)

    def __init__(self, backbone: str, until: str, level1: list[object], level2: list[object]) -> None:
        super().__init__()
        self.trunk = Trunk(backbone, until=until, input_size=self.input_size)
        self.level1 = Siblings(2, level1)
        self.level2 = Siblings(4, level2, parents=PARENTS)
        self.head = ClassHeads(4, level2[-1].out)


def seasoned(backbone: str) -> nn.Module:
    """The flat model with statistics of its own maps, and no weight at its initial value."""
    torch.manual_seed(0)
    model = timm.create_model(backbone)
    for name, p in model.named_parameters():
        if p.ndim == 1:
            nn.init.normal_(p, 0.3 if name.endswith("bias") else 1.0, 0.2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(16, 3, 64, 64))
    return model.eval()


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return seasoned("resnet26")


@pytest.fixture(scope="module")
def convnext() -> nn.Module:
    return seasoned("convnext_atto_ols")


def small_resnet(width: int = 32, out: int = 96) -> Net:
    last = [Bottlenecks(out, width, out, depth=1, stride=2), Bottlenecks(out, 16, 64)]
    return Net("resnet26", "layer2", [Bottlenecks(512, width, out, depth=2, stride=2)], last).eval()


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def given(model: nn.Module, until: list[str], x: Tensor) -> Tensor:
    for name in until:
        x = model.get_submodule(name)(x)
    return x


def ids(part: Tensor, whole: Tensor) -> Tensor:
    """Which of a norm's biases these are; all differ."""
    indices = (part[:, None] == whole[None]).float().argmax(1)
    assert torch.equal(whole[indices], part)
    return indices


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * float(b.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True])
def test_full_width_is_the_backbones_own_stage_resnet(resnet: nn.Module, training: bool) -> None:
    level1 = [Bottlenecks(512, 256, 1024, depth=2, stride=2)]
    network = Net("resnet26", "layer2", level1, [Bottlenecks(1024, 512, 2048, depth=2, stride=2)])
    report = init_branches(network, "backbone", pretrained_model=resnet, seed=5)
    assert report.lines() == [
        "level 1: 2 branches start as channels of layer3.0, layer3.1",
        "level 2: 4 branches start as channels of layer4.0, layer4.1",
    ]
    network.train(training)
    x = torch.randn(3, 512, 8, 8).relu()
    flat = timm.create_model("resnet26").train(training)
    flat.load_state_dict(resnet.state_dict())
    first = network.level1(x)
    expected = given(flat, ["layer3"], x)
    for branch in range(2):
        close(first[:, branch], expected)
    second = network.level2(first)
    expected = given(flat, ["layer4"], expected)
    for branch in range(4):
        close(second[:, branch], expected)


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["convnext_atto_ols", "convnextv2_atto", "convnext_pico"])
def test_full_width_is_the_backbones_own_stage_convnext(backbone: str) -> None:
    model = seasoned(backbone)
    (_, c1, c2, c3), grn = [s["num_chs"] for s in model.feature_info], "v2" in backbone
    level1 = [ConvNeXts(c1, 4 * c2, c2, depth=6, stride=2, grn=grn)]
    network = Net(backbone, "stages.1", level1, [ConvNeXts(c2, 4 * c3, c3, depth=2, stride=2, grn=grn)]).eval()
    report = init_branches(network, "backbone", pretrained_model=model)
    assert [len(level.taken) for level in report.levels] == [6, 2]
    x = torch.randn(2, c1, 8, 8)
    first = network.level1(x)
    close(first[:, 1], given(model, ["stages.2"], x))
    close(network.level2(first)[:, 2], given(model, ["stages.2", "stages.3"], x))


@torch.no_grad()
def test_narrow_branch_is_the_backbone_with_channels_left_out(resnet: nn.Module) -> None:
    """A branch with all inner channels but few outer ones: those outputs of the backbone's block, exactly."""
    network = Net("resnet26", "layer2", [Bottlenecks(512, 256, 96, stride=2)], [Bottlenecks(96, 64, 96)]).eval()
    init_branches(network, "backbone", pretrained_model=resnet, seed=1)
    x = torch.randn(2, 512, 8, 8).relu()
    full, answer = resnet.layer3[0](x), network.level1(x)
    chosen = [ids(network.level1.stages[0][0].bn3.bias[branch], resnet.layer3[0].bn3.bias) for branch in range(2)]
    assert not torch.equal(*chosen)
    for branch in range(2):
        assert len(chosen[branch].unique()) == 96
        close(answer[:, branch], full[:, chosen[branch]])


@torch.no_grad()
def test_next_block_reads_what_the_one_before_gives(resnet: nn.Module) -> None:
    """Against a slow version: the backbone's block with all channels that were not chosen held at zero."""
    network = Net("resnet26", "layer2", [Bottlenecks(512, 256, 96, depth=2, stride=2)], [Bottlenecks(96, 9, 40)]).eval()
    init_branches(network, "backbone", pretrained_model=resnet, seed=1)
    x = torch.randn(2, 512, 8, 8).relu()
    for branch in range(2):
        between = network.level1.stages[0][0]
        first, second = resnet.layer3[0], resnet.layer3[1]
        chosen = ids(between.bn3.bias[branch], first.bn3.bias)
        held = torch.zeros_like(first(x))
        held[:, chosen] = first(x)[:, chosen]
        y = second.act1(second.bn1(second.conv1(held) * (1024 / 96) ** 0.5))
        y = second.bn3(second.conv3(second.act2(second.bn2(second.conv2(y)))))
        close(network.level1(x)[:, branch], (y + held).relu()[:, chosen])


@torch.no_grad()
def test_inner_channels_go_together(resnet: nn.Module) -> None:
    """Against a slow version: the backbone's block with all inner channels that were not chosen held at zero."""
    network = Net("resnet26", "layer2", [Bottlenecks(512, 64, 1024, stride=2)], [Bottlenecks(1024, 9, 40)]).eval()
    init_branches(network, "backbone", pretrained_model=resnet, seed=1)
    x, whole = torch.randn(2, 512, 8, 8).relu(), resnet.layer3[0]
    for branch in range(2):
        block = network.level1.stages[0][0]
        chosen = [ids(norm.bias[branch], full.bias) for norm, full in ((block.bn1, whole.bn1), (block.bn2, whole.bn2))]
        assert not torch.equal(*chosen)
        masks = [torch.zeros(1, 256, 1, 1).index_fill_(1, which, 1) for which in chosen]
        y = whole.act1(whole.bn1(whole.conv1(x))) * masks[0]
        y = whole.act2(whole.bn2(2 * whole.conv2(y))) * masks[1]  # 2 = √(256 / 64)
        close(network.level1(x)[:, branch], (whole.bn3(2 * whole.conv3(y)) + whole.downsample(x)).relu())


@torch.no_grad()
def test_projection_where_the_backbone_has_none_hands_channels_on(resnet: nn.Module) -> None:
    level2 = [Bottlenecks(96, 256, 40)]
    network = Net("resnet26", "layer2", [Bottlenecks(512, 64, 96, stride=2)], level2).eval()
    report = init_branches(network, "backbone", pretrained_model=resnet)
    assert report.levels[1].taken == ("layer3.1",)
    nn.init.zeros_(network.level2.stages[0][0].bn3.weight)
    nn.init.zeros_(network.level2.stages[0][0].bn3.bias)
    x = torch.randn(2, 512, 8, 8).relu()
    before, after = network.level1(x), network.level2(network.level1(x))
    for branch, parent in enumerate(PARENTS):
        distance = (after[:, branch, :, None] - before[:, parent][:, None]).abs().amax((0, 3, 4))
        assert float(distance.amin(1).max()) < 1e-5
        alive = after[:, branch].amax((0, 2, 3)) > 0  # dead channels are all alike
        assert int(alive.sum()) > 20
        assert len(distance.argmin(1)[alive].unique()) == int(alive.sum())


def test_same_seed_same_weights_and_branches_differ(resnet: nn.Module) -> None:
    torch.manual_seed(3)
    one = small_resnet()
    torch.manual_seed(4)
    two, three = small_resnet(), small_resnet()
    init_branches(one, "backbone", pretrained_model=resnet, seed=7)
    before = torch.get_rng_state()
    init_branches(two, "backbone", pretrained_model=resnet, seed=7)
    assert torch.equal(before, torch.get_rng_state())
    init_branches(three, "backbone", pretrained_model=resnet, seed=8)
    a, b, c = (state(nn.ModuleList([*n.levels, n.head])) for n in (one, two, three))
    assert all(torch.equal(a[name], b[name]) for name in a)
    kernels = [name for name in a if name.endswith("weight") and a[name].ndim == 5]
    assert all(not torch.equal(a[name], c[name]) for name in kernels)
    for name in kernels:
        assert len({tuple(row.tolist()) for row in a[name].flatten(1)}) == len(a[name]), name


def test_random_is_a_function_of_the_seed() -> None:
    torch.manual_seed(3)
    one, two = small_resnet(), small_resnet()
    trunk = state(one.trunk)
    report = init_branches(one, seed=7)
    init_branches(two, seed=7)
    assert all(torch.equal(trunk[name], value) for name, value in one.trunk.state_dict().items())
    first, other = state(one.level2), state(two.level2)
    assert all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(one.head.weight, two.head.weight)
    assert report.lines()[0] == "level 1: 2 branches start at random: as asked"


def levels(network: Net, model: nn.Module | None) -> InitReport:
    before = state(network)
    report = init_branches(network, "backbone", pretrained_model=model)
    assert set(before) == set(network.state_dict())
    return report


def test_what_does_not_fit_stays_random(resnet: nn.Module, convnext: nn.Module) -> None:
    network = Net("mobilenetv3_small_050", "blocks.1", [Bottlenecks(16, 8, 16)], [Bottlenecks(16, 8, 16)])
    why = str(levels(network, timm.create_model("mobilenetv3_small_050")).levels[0].why_not)
    assert why == "blocks.2 of the backbone has squeeze-and-excitation, of which branches have none"

    why = str(levels(small_resnet(512, 96), resnet).levels[0].why_not)
    assert why == "it has 512 inner channels, layer3.0 has 256"

    first = Bottlenecks(512, 64, 96, stride=2)
    network = Net("resnet26", "layer2", [first, Bottlenecks(96, 9, 96, depth=3)], [Bottlenecks(96, 9, 96)])
    report = levels(network, resnet)
    assert report.lines() == [
        "level 1: 2 branches start as channels of layer3.0, layer3.1; the last 2 of 4 blocks at random:"
        " layer4.0 leads to new channels, and the branch's block keeps those that it reads",
        "level 2: 4 branches start at random: level 1 is not the backbone's to its end",
    ]

    network = Net("resnet26", "layer2", [ConvNeXts(512, 64, 96, stride=2)], [Bottlenecks(96, 9, 96)])
    assert levels(network, resnet).levels[0].why_not == "its block is a ConvNeXtBlock, layer3.0 is a Bottleneck"

    class Own(Bottlenecks):  # as somebody adds a block of their own
        def build(self, branches: int) -> nn.Sequential:
            return nn.Sequential(nn.Identity())

    network = Net("resnet26", "layer2", [Own(512, 64, 96, stride=2)], [Bottlenecks(96, 9, 96)])
    assert levels(network, resnet).levels[0].why_not == "its block is a Identity, layer3.0 is a Bottleneck"

    c1 = convnext.feature_info[1]["num_chs"]
    network = Net("convnext_atto_ols", "stages.1", [ConvNeXts(c1, 64, 96, stride=4)], [ConvNeXts(96, 9, 96)])
    assert levels(network, convnext).levels[0].why_not == "it has stride 4, stages.2.0 has 2"
    network = Net("convnext_atto_ols", "stages.1", [ConvNeXts(c1, 64, 96, stride=2, grn=True)], [ConvNeXts(96, 9, 96)])
    assert levels(network, convnext).levels[0].why_not == "it and stages.2.0 are of two versions of ConvNeXt"


def test_last_stride_may_be_left_out(resnet: nn.Module) -> None:
    level2 = [Bottlenecks(96, 64, 128, depth=2)]
    network = Net("resnet26", "layer2", [Bottlenecks(512, 64, 96, depth=2, stride=2)], level2)
    assert init_branches(network, "backbone", pretrained_model=resnet).levels[1].taken == (
        "layer4.0 (stride 1)",
        "layer4.1",
    )


@torch.no_grad()
def test_narrow_convnext_branches_see_the_backbones_variance(convnext: nn.Module) -> None:
    c1 = convnext.feature_info[1]["num_chs"]
    level1, level2 = [ConvNeXts(c1, 160, 64, depth=2, stride=2)], [ConvNeXts(64, 128, 40, depth=1)]
    network = Net("convnext_atto_ols", "stages.1", level1, level2).eval()
    report = init_branches(network, "backbone", pretrained_model=convnext, seed=1)
    assert [level.taken for level in report.levels] == [("stages.2.0", "stages.2.1"), ("stages.2.2",)]
    x = convnext.stages[1](convnext.stages[0](convnext.stem(torch.randn(8, 3, 64, 64))))
    kept: dict[str, Tensor] = {}
    for number in range(2):
        for name, block in (("own", network.level1.stages[0]), ("all", convnext.stages[2])):
            for layer in ("fc1", "fc2"):
                getattr(block.blocks[number].mlp, layer).register_forward_hook(
                    lambda _m, _i, y, key=f"{name} {number} {layer}": kept.update({key: y.var()})
                )
    network.set_lowering("matmul")
    network.level1(x)
    convnext.stages[2](x)
    for number in range(2):
        for layer in ("fc1", "fc2"):
            assert 0.5 < float(kept[f"own {number} {layer}"] / kept[f"all {number} {layer}"]) < 2


def test_another_model_is_named(convnext: nn.Module) -> None:
    with pytest.raises(HiergenError, match="the model given is not the backbone 'resnet26'"):
        init_branches(small_resnet(), "backbone", pretrained_model=convnext)
