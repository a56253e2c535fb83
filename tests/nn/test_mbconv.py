"""Inverted residuals against timm's own, and in whole networks."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from network_cases import LOWERINGS, Tiny, lively, randomized
from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual
from torch import Tensor, nn

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, InvertedResiduals, Nesting, Siblings, Trunk
from hiergen.nn.cutout import cut, difference
from hiergen.nn.mbconv import pad_same
from hiergen.nn.norm import batch_norm

ACTS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU}


def row(tensor: Tensor, index: int) -> Tensor:
    return tensor[index].permute(0, 3, 1, 2) if tensor.ndim == 5 else tensor[index]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    ("channels", "stride", "kernel", "act", "tf"),
    [(12, 1, 3, "relu6", False), (8, 1, 5, "silu", False), (8, 2, 3, "relu", False), (8, 2, 5, "relu6", True)],
)
@pytest.mark.parametrize("name", ["loop", "matmul/2", "grouped/all", "auto"])
def test_a_branch_is_a_stack_of_timms(
    name: str, channels: int, stride: int, kernel: int, act: str, tf: bool, training: bool
) -> None:
    recipe = InvertedResiduals(channels, 24, 12, depth=2, stride=stride, kernel=kernel, act=act, tf=tf)
    siblings = randomized(Siblings(3, [recipe])).train(training)
    siblings.lowering = LOWERINGS[name]
    state = copy.deepcopy(siblings.state_dict())
    options = {"dw_kernel_size": kernel, "act_layer": ACTS[act], "pad_type": "same" if tf else ""}
    for height, width in ((8, 7), (5, 6)):
        x = 4 * torch.randn(4, channels, height, width)  # activations reach 6
        siblings.load_state_dict(state)
        fused = siblings(x)
        for i in range(3):
            timm = nn.Sequential(
                TimmInvertedResidual(channels, 12, stride=stride, exp_ratio=24 / channels, **options),
                TimmInvertedResidual(12, 12, exp_ratio=2, **options),
            ).train(training)
            for module in timm.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 1e-3 if tf else 1e-5
            timm.load_state_dict({k.removeprefix("stages.0."): row(v, i) for k, v in state.items()})
            torch.testing.assert_close(fused[:, i], timm(x), atol=1e-4, rtol=1e-4)
            for key, tensor in timm.state_dict().items():
                own = row(siblings.state_dict()[f"stages.0.{key}"], i)
                torch.testing.assert_close(own, tensor, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "before", "after"), [(8, 3, 0, 1), (7, 3, 1, 1), (8, 5, 1, 2), (7, 5, 2, 2)]
)
def test_same_padding_is_tensorflows(size: int, kernel: int, before: int, after: int) -> None:
    """By hand, for a stride of 2."""
    padded = pad_same(torch.ones(1, 1, size, size, 1), kernel, 2)[0, 0, :, before, 0]
    assert padded.tolist() == [0.0] * before + [1.0] * size + [0.0] * after


def test_init_is_timms() -> None:
    torch.manual_seed(0)
    block = Siblings(8, [InvertedResiduals(64, 200, 32, kernel=5)]).stages[0][0]
    assert block.conv_pw.weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.05)
    assert block.conv_dw.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.05)
    assert block.conv_pwl.weight.std().item() == pytest.approx((2 / 32) ** 0.5, rel=0.05)
    assert block.bn3.weight.eq(1).all()


@pytest.mark.parametrize("shape", [(2, 3, 4, 4, 5), (2, 3, 1, 4, 5)], ids=["torch's kernel", "closed form"])
def test_capped_norm_is_a_relu6_after_the_norm(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.randn(2, 5, dtype=torch.float64).mul(5).requires_grad_() for _ in range(2))
    options = {"momentum": 0.1, "eps": 1e-5, "dims": (1, 2, 3)}
    y = batch_norm(x, weight, bias, None, relu=True, cap=6.0, **options)
    mean, var = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), correction=0, keepdim=True)
    want = (x - mean) / (var + 1e-5).sqrt() * weight[:, None, None, None] + bias[:, None, None, None]
    assert (want > 6).any()
    assert (want < 0).any()
    want = F.relu6(want)
    torch.testing.assert_close(y, want)
    upstream = torch.randn_like(y)
    found = torch.autograd.grad((y * upstream).sum(), (x, weight, bias))
    for a, b in zip(found, torch.autograd.grad((want * upstream).sum(), (x, weight, bias)), strict=True):
        torch.testing.assert_close(a, b)


def test_options_are_checked() -> None:
    for position in range(3):
        numbers: list = [4, 4, 4]
        numbers[position] = 0
        with pytest.raises(ValueError, match="positive int"):
            InvertedResiduals(*numbers)
    with pytest.raises(ValueError, match="kernel expected an odd int, got 4"):
        InvertedResiduals(4, 4, 4, kernel=4)
    with pytest.raises(ValueError, match="act expected one of relu, relu6, silu, got 'gelu'"):
        InvertedResiduals(4, 4, 4, act="gelu")  # type: ignore[arg-type]


class Mobile(Tiny):
    """Inverted residuals on a mobile trunk; blocks of three activations, both paddings."""

    def __init__(self, pretrained: bool = False) -> None:
        HierarchicalNetwork.__init__(self)
        nest = Nesting.from_tree(self.taxonomy, self.classes)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.2", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(2, [InvertedResiduals(40, 24, 16, depth=3, stride=2, kernel=5, tf=True)])
        self.level2 = Siblings(
            3, [InvertedResiduals(16, 30, 12, stride=2, act="silu"), Bottlenecks(12, 4, 12)], parents=nest.parents(2)
        )
        self.level3 = Siblings(5, [InvertedResiduals(12, 20, 12, act="relu")], parents=nest.parents(3))
        self.head = ClassHeads(5, 12, parents=nest.heads)


@torch.no_grad()
def test_a_cutout_is_the_networks_own_logits() -> None:
    network, images = lively(Mobile()), torch.randn(3, 3, 64, 64)
    part = cut(network, [1, 3])
    assert difference(network, part, images) == 0
    assert part(images).std() > 0


@torch.no_grad()
def test_gains_act_after_the_middle_block() -> None:
    network, images = lively(Mobile()), torch.randn(2, 3, 64, 64)
    level, maps = network.level1, network.trunk(images)
    gains = torch.tensor([[2.0, 0.5]])
    for branch, gain in enumerate((2.0, 0.5)):
        alone = Siblings(1, level.recipes).eval()
        alone.load_state_dict({k: v[branch : branch + 1] for k, v in level.state_dict().items()})
        two = Siblings(1, [InvertedResiduals(40, 24, 16, depth=2, stride=2, kernel=5, tf=True)]).eval()
        two.load_state_dict({k: v for k, v in alone.state_dict().items() if not k.startswith("stages.0.2")})
        last = Siblings(1, [InvertedResiduals(16, 24, 16, kernel=5, tf=True)]).eval()
        rename = {k.replace("stages.0.2", "stages.0.0"): v for k, v in alone.state_dict().items() if ".0.2." in k}
        last.load_state_dict(rename)
        want = last(gain * two(maps)[:, 0])[:, 0]
        torch.testing.assert_close(level(maps, gains=gains)[:, branch], want, atol=1e-5, rtol=1e-4)
