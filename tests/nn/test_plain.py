"""The plain form computes what the network does: every block, ragged trees, gains, other people's trunks."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from toy_networks import scrambled

from hiergen.errors import HiergenError
from hiergen.nn import (
    Bottlenecks,
    ClassHeads,
    ConvNeXts,
    HierarchicalNetwork,
    InvertedResiduals,
    Nesting,
    Siblings,
    Trunk,
)
from hiergen.nn.plain_layers import PerParent
from hiergen.nn.plain_trunk import fold_norms, plain_trunk

KINDS = ("bottleneck", "convnext", "convnextv2", "mbconv", "mbconv tf", "mixed")
TRUNKS = {
    "test_resnet": "layer2",
    "test_efficientnet": "blocks.1",
    "test_convnext": "stages.1",
    "test_byobnet": "stages.1",
    "test_vit": "blocks.0",
}


def stage(rng: random.Random, kind: str, channels: int) -> Bottlenecks | ConvNeXts | InvertedResiduals:
    if kind == "mixed":
        kind = rng.choice(KINDS[:-1])
    width, out = rng.choice((3, 8, 12, 24)), rng.choice((channels, 4, 12, 20))
    options = {"depth": rng.randint(1, 3), "stride": rng.choice((1, 2))}
    if kind == "bottleneck":
        return Bottlenecks(channels, width, out, **options)
    if kind.startswith("convnext"):
        return ConvNeXts(channels, width, out, grn=kind == "convnextv2", **options)
    act, kernel = rng.choice(("relu", "relu6", "silu")), rng.choice((3, 5, 7))
    return InvertedResiduals(channels, width, out, kernel=kernel, act=act, tf=kind.endswith("tf"), **options)


def tree(seed: int, kind: str, backbone: str = "test_resnet") -> HierarchicalNetwork:
    """A network whose branches have any parents: some none, siblings apart, several classes to a branch."""
    rng = random.Random(seed)
    network = HierarchicalNetwork()
    network.trunk = Trunk(backbone, until=TRUNKS[backbone], input_size=(3, 160, 160))
    channels, above = network.trunk.out_channels, 1
    for j in range(1, rng.randint(1, 3) + 1):
        branches = rng.randint(1, 7)
        parents = None if j == 1 else [rng.randrange(above) for _ in range(branches)]
        stages = [stage(rng, kind, channels)]
        stages += [stage(rng, kind, stages[0].out)] if rng.random() < 0.4 else []
        network.add_module(f"level{j}", Siblings(branches, stages, parents=parents))
        channels, above = stages[-1].out, branches
    classes = rng.randint(2, 12)
    network.head = ClassHeads(classes, channels, parents=[rng.randrange(above) for _ in range(classes)])
    network.classes = tuple(f"c{i}" for i in range(classes))
    network.nesting = Nesting.from_tree({name: name for name in network.classes}, network.classes)
    return scrambled(network.eval(), seed)


def apart(got: Tensor, want: Tensor) -> float:
    assert want.std() > 1e-6
    return float((got - want).abs().max() / want.abs().max())


def images(network: HierarchicalNetwork, batch: int) -> Tensor:
    return torch.randn(batch, *network.trunk.input_size, generator=torch.Generator().manual_seed(batch))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", [1, 16])
@pytest.mark.parametrize("seed", range(4))
def test_any_tree_of_any_blocks(kind: str, grid: int, seed: int) -> None:
    network = tree(seed, kind)
    plain = network.plain(grid=grid)
    assert not any(isinstance(m, _BatchNorm) for m in plain.modules())
    assert all(p.ndim != 5 and p.is_contiguous() for p in plain.parameters())
    for batch in (1, 2, 5):
        x = images(network, batch)
        with torch.no_grad():
            assert apart(plain(x), network(x)) < 1e-5


@pytest.mark.parametrize("backbone", TRUNKS)
def test_trunks_and_open_sizes(backbone: str) -> None:
    network = tree(1, "mbconv tf", backbone)
    plain, any_size = network.plain(), network.plain(open_size=True)
    x = images(network, 1)
    with torch.no_grad():
        want = network(x)
        assert apart(plain(x), want) < 1e-5
        assert apart(any_size(x), want) < 1e-5
        if backbone != "test_vit":  # whose position embeddings have one size
            odd = torch.randn(2, 3, 131, 171)
            assert apart(any_size(odd), network(odd)) < 1e-5


@pytest.mark.parametrize(
    ("backbone", "until"),
    [
        ("resnet18", "layer2"),
        ("resnet50d", "layer1"),
        ("seresnet50", "layer1"),
        ("resnext50_32x4d", "layer1"),
        ("efficientnet_b0", "blocks.2"),
        ("tf_efficientnet_lite0", "blocks.4"),
        ("tf_efficientnetv2_s", "blocks.1"),
        ("mobilenetv2_100", "blocks.2"),
        ("mobilenetv3_small_100", "blocks.3"),
        ("mobilenetv4_conv_small", "blocks.2"),
        ("mnasnet_100", "blocks.1"),
        ("convnext_atto", "stages.1"),
        ("convnextv2_atto", "stages.1"),
        ("test_convnext2", "stages.1"),
    ],
)
def test_known_backbones_become_torchs_layers(backbone: str, until: str) -> None:
    trunk = scrambled_trunk(Trunk(backbone, until=until, input_size=(3, 96, 96)))
    plain = plain_trunk(trunk, (3, 96, 96))
    assert type(plain) is nn.Sequential
    assert not any(isinstance(m, _BatchNorm) or "timm" in type(m).__module__ for m in plain.modules())
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert apart(plain(x), trunk(x)) < 1e-5


@pytest.mark.parametrize("backbone", ["test_byobnet", "regnety_002", "densenet121", "test_vit", "ghostnet_100"])
def test_other_backbones_stay_timms_with_norms_folded(backbone: str) -> None:
    whole = scrambled_trunk(timm.create_model(backbone, num_classes=7))
    size = (3, 160, 160) if backbone == "test_vit" else (3, 64, 64)
    folded = fold_norms(whole, size)
    x = torch.randn(2, *size)
    with torch.no_grad():
        assert apart(folded(x), whole(x)) < 1e-5
    norms = [sum(isinstance(m, _BatchNorm) for m in net.modules()) for net in (whole, folded)]
    assert norms[1] < norms[0] or norms == [0, 0]


def scrambled_trunk(module: nn.Module) -> nn.Module:
    """Statistics and scales near those of a trained network: no zero, no explosion."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.ndim == 1:
                noise = torch.rand(p.shape, generator=generator)
                p.copy_(0.6 + 0.6 * noise if name.endswith(("weight", "gamma")) else 0.2 * noise - 0.1)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.2 * torch.rand(buffer.shape, generator=generator) - 0.1)
            if name.endswith("running_var"):
                buffer.copy_(0.7 + 0.6 * torch.rand(buffer.shape, generator=generator))
    return module.eval()


def pets() -> HierarchicalNetwork:
    network = HierarchicalNetwork()
    names = {"cat": {"a": "tabby", "b": "tiger cat"}, "dog": {"c": "pug", "d": "beagle", "e": "boxer"}}
    network.nesting = Nesting.from_tree(names, ("c", "a", "d", "b", "e"))
    network.classes = network.nesting.classes
    network.trunk = Trunk("test_resnet", until="layer1", input_size=(3, 64, 64))
    network.level1 = Siblings(2, [Bottlenecks(network.trunk.out_channels, 8, 12, depth=2)])
    network.level2 = Siblings(5, [ConvNeXts(12, 24, 16, depth=3, grn=True)], parents=network.nesting.parents(2))
    network.head = ClassHeads(5, 16, parents=network.nesting.heads)
    return scrambled(network.eval())


def test_gains_are_constants_or_an_input() -> None:
    network, gains = pets(), {"cat": 1.7, "pug": 0.0}
    x = images(network, 3)
    with network.attend(gains), torch.no_grad():
        want, baked, under = network(x), network.plain(), network.plain(steerable=True)
    by_sample = 0.5 + torch.rand(3, len(network.nodes))
    steerable = network.plain(steerable=True)
    with torch.no_grad():
        assert apart(want, network(x)) > 1e-3
        assert apart(baked(x), want) < 1e-5
        assert apart(steerable(x), network(x)) < 1e-5
        with network.attend(by_sample):
            assert apart(steerable(x, by_sample), network(x)) < 1e-5
        with network.attend(by_sample[:1]):
            assert apart(steerable(x, by_sample[:1]), network(x)) < 1e-5
        with network.attend(gains), network.attend(by_sample):
            assert apart(under(x, by_sample), network(x)) < 1e-5
    with (
        network.attend(by_sample),
        pytest.raises(HiergenError, match=r"gains by sample are no constants; plain\(steer"),
    ):
        network.plain()


def test_active_classes_and_cutouts() -> None:
    network = pets()
    x = images(network, 2)
    network.active = ["pug", "tabby"]
    plain = network.plain()
    assert plain.classes == ("c", "a")
    with torch.no_grad():
        assert apart(plain(x), network(x)) < 1e-5
    network.active = None
    dogs = network.cutout("dog")
    with torch.no_grad():
        assert apart(dogs.plain()(x), network(x)[:, [0, 2, 4]]) < 1e-5


def test_it_is_a_copy_that_draws_no_random_numbers() -> None:
    network = pets()
    x = images(network, 1)
    state = torch.random.get_rng_state()
    plain = network.train().plain()
    assert torch.equal(state, torch.random.get_rng_state())
    assert network.training
    assert not plain.training
    before = plain(x)
    with torch.no_grad():
        for p in network.parameters():
            p.zero_()
    assert torch.equal(plain(x), before)


def test_siblings_of_one_parent_are_one_dense_convolution() -> None:
    """Neighbours with equally many children are one layer; others are split by how many they have."""
    plain = pets().plain()
    dense = plain.level1[0].body[0]
    assert isinstance(dense, nn.Conv2d)
    assert (dense.groups, dense.out_channels) == (1, 2 * 8)
    network = tree(3, "bottleneck")
    families = [m for m in network.plain().modules() if isinstance(m, PerParent)]
    assert all(len({conv.out_channels // conv.groups for conv in layer}) > 1 for layer in families)


def test_padding_of_one_size_takes_no_other() -> None:
    trees = (tree(seed, "mbconv tf") for seed in range(20))
    network = next(network for network in trees if network.plain().has_one_size)
    with pytest.raises(HiergenError, match=r"for images of one size.*expected \(160, 160\), got \(96, 160\)"):
        network.plain()(torch.rand(1, 3, 96, 160))


def test_half_precision_and_frozen_norms() -> None:
    network = pets()
    timm.utils.freeze(network)
    x = images(network, 1)
    with network.attend({"cat": 1.5}), torch.no_grad():
        want = network(x)
        assert apart(network.plain()(x), want) < 1e-5
        assert not any("BatchNorm" in type(m).__name__ for m in network.plain().modules())
        assert apart(network.bfloat16().plain()(x.bfloat16()).float(), want) < 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda n: n.plain(grid=0), "a grid of channels is a positive int; got 0"),
        (lambda n: n.to("meta").plain(), "is on the meta device and has no weights"),
        (lambda n: n.plain(steerable=True)(torch.rand(1, 3, 64, 64), torch.ones(1, 9)), r"expected \(1 or B, 7\)"),
        (lambda n: n.plain()(torch.rand(1, 3, 64, 64), torch.ones(1, 7)), "got gains for a form without"),
    ],
)
def test_what_cannot_be(make: Callable[[HierarchicalNetwork], object], message: str) -> None:
    with pytest.raises(HiergenError, match=message):
        make(pets())


def test_norms_of_the_batch_have_no_plain_form() -> None:
    network = pets()
    norm = network.level1.blocks[0].bn1
    norm.running_mean = norm.running_var = None
    with pytest.raises(HiergenError, match="a norm without running statistics has no plain form"):
        network.plain()
