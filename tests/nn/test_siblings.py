"""Stacked branches against a plain loop over single branches, and against timm's own blocks."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from network_cases import LOWERINGS, RAGGED, STAGES, randomized
from timm.models.convnext import ConvNeXtStage
from timm.models.convnext import LayerNorm as TimmLayerNorm
from timm.models.convnext import LayerNorm2d as TimmLayerNorm2d
from timm.models.resnet import Bottleneck as TimmBottleneck
from torch import Tensor, nn

from hiergen.nn import Bottlenecks, ClassHeads, ConvNeXts, Siblings

WAYS = ["loop", "matmul/2", "grouped/all", "auto"]


def row(tensor: Tensor, index: int) -> Tensor:
    """One branch's tensor as timm has it: kernels are stored channels-last."""
    return tensor[index].permute(0, 3, 1, 2) if tensor.ndim == 5 else tensor[index]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("channels", "stride"), [(12, 1), (12, 2), (16, 2), (16, 1)])
@pytest.mark.parametrize("name", WAYS)
def test_a_branch_is_a_stack_of_timm_bottlenecks(name: str, channels: int, stride: int, training: bool) -> None:
    siblings = randomized(Siblings(3, [Bottlenecks(channels, 4, 16, depth=2, stride=stride)])).train(training)
    siblings.lowering = LOWERINGS[name]
    x = torch.randn(4, channels, 7, 7)
    fused = siblings(x)
    for i in range(3):
        projection = nn.Sequential(nn.Conv2d(channels, 16, 1, stride, bias=False), nn.BatchNorm2d(16))
        if (channels, stride) == (16, 1):
            projection = None
        timm = nn.Sequential(TimmBottleneck(channels, 4, stride, projection), TimmBottleneck(16, 4)).train(training)
        untouched = randomized(Siblings(3, siblings.recipes))
        timm.load_state_dict({k.removeprefix("stages.0."): row(v, i) for k, v in untouched.state_dict().items()})
        torch.testing.assert_close(fused[:, i], timm(x), atol=1e-5, rtol=1e-5)
        for name, tensor in timm.state_dict().items():
            torch.testing.assert_close(row(siblings.state_dict()[f"stages.0.{name}"], i), tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize(("channels", "stride"), [(8, 1), (6, 1), (6, 2)])
@pytest.mark.parametrize("name", WAYS)
def test_a_branch_is_a_timm_convnext_stage(name: str, channels: int, stride: int, grn: bool) -> None:
    siblings = randomized(Siblings(3, [ConvNeXts(channels, 32, 8, depth=2, stride=stride, grn=grn)]))
    siblings.lowering = LOWERINGS[name]
    x = torch.randn(2, channels, 9, 8)
    for i in range(3):
        timm = ConvNeXtStage(
            channels,
            8,
            stride=stride,
            depth=2,
            ls_init_value=None if grn else 1e-6,
            use_grn=grn,
            norm_layer=TimmLayerNorm2d,
            norm_layer_cl=TimmLayerNorm,
        )
        timm.load_state_dict({k.removeprefix("stages.0."): row(v, i) for k, v in siblings.state_dict().items()})
        torch.testing.assert_close(siblings(x)[:, i], timm(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parents", [None, RAGGED], ids=["shared", "ragged"])
@pytest.mark.parametrize("name", WAYS)
def test_chosen_branches_read_their_own_parents(name: str, parents: list[int] | None) -> None:
    siblings = randomized(Siblings(5, STAGES["mixed"], parents=parents)).eval()
    siblings.lowering = LOWERINGS[name]
    x = torch.randn(2, 6, 7, 6) if parents is None else torch.randn(2, 4, 6, 7, 6)
    for chosen in ((0,), (1, 3), (2, 3, 4), (0, 1, 2, 3, 4)):
        torch.testing.assert_close(siblings(x, branches=chosen), siblings(x)[:, list(chosen)], atol=1e-5, rtol=1e-5)


def test_branches_of_one_map_read_others_where_they_are_told() -> None:
    siblings = randomized(Siblings(3, STAGES["mixed"])).eval()
    x = torch.randn(2, 4, 6, 7, 6)
    told = siblings(x, branches=(0, 2), maps=(3, 1))
    torch.testing.assert_close(told[:, 0], siblings(x[:, 3])[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(told[:, 1], siblings(x[:, 1])[:, 2], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"expected \(B, C, H, W\) with C = 6, got \(2, 4, 6, 7, 6\)"):
        siblings(x)


def test_a_gain_acts_after_the_middle_block_unless_another_is_named() -> None:
    siblings = randomized(Siblings(3, [Bottlenecks(6, 4, 8, depth=3)])).eval()
    x, gains = torch.randn(2, 6, 5, 5), torch.tensor([[1.0, 2.5, 0.5]])
    assert torch.equal(siblings(x, gains=gains), siblings(x, gains=gains, after=2))
    assert not torch.allclose(siblings(x, gains=gains), siblings(x, gains=gains, after=1), atol=1e-3)


def test_init_is_timms_and_differs_between_branches() -> None:
    torch.manual_seed(0)
    (stage,) = Siblings(8, [Bottlenecks(64, 32, 128, depth=1, stride=2)]).stages
    block = stage[0]
    assert block.conv2.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.05)
    assert block.downsample[0].weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert block.bn3.weight.count_nonzero() == 0
    assert block.bn1.weight.eq(1).all()
    assert block.downsample[1].weight.eq(1).all()
    (stage,) = Siblings(8, [ConvNeXts(64, 128, 32)]).stages
    assert stage.blocks[0].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert stage.blocks[0].gamma.eq(1e-6).all()
    for weight in (block.conv1.weight, stage.blocks[0].conv_dw.weight, stage.downsample[1].weight):
        assert (weight[0] - weight[1]).abs().min() > 0


def test_every_tensor_has_one_row_per_branch() -> None:
    for stages in STAGES.values():
        assert {t.shape[0] for t in Siblings(7, stages).state_dict().values()} == {7}
    assert {t.shape[0] for t in ClassHeads(7, 3).state_dict().values()} == {7}


def test_parents_survive_copies_and_devices_but_stay_out_of_the_state_dict() -> None:
    siblings = randomized(Siblings(5, STAGES["bottlenecks"], parents=RAGGED)).eval()
    x = torch.randn(2, 4, 6, 8, 8)
    want = siblings(x)
    assert not [name for name in siblings.state_dict() if "gather" in name]
    with torch.device("meta"):
        emptied = Siblings(5, STAGES["bottlenecks"], parents=RAGGED).eval()
    emptied.to_empty(device="cpu").load_state_dict(siblings.state_dict())
    saved = io.BytesIO()
    torch.save(siblings.state_dict(), saved)
    saved.seek(0)
    loaded = Siblings(5, STAGES["bottlenecks"], parents=RAGGED).eval()
    loaded.load_state_dict(torch.load(saved, weights_only=True))
    unpickled = pickle.loads(pickle.dumps(siblings))  # noqa: S301
    for other in (emptied, loaded, unpickled, copy.deepcopy(siblings), siblings.to("cpu")):
        assert other.parents == tuple(RAGGED)
        torch.testing.assert_close(other(x), want, atol=0, rtol=0)


def heads_loop(heads: ClassHeads, x: Tensor, parents: list[int]) -> Tensor:
    return torch.stack([x[:, p] @ heads.weight[i] + heads.bias[i] for i, p in enumerate(parents)], dim=1)


@pytest.mark.parametrize("parents", [None, [0, 1, 2, 3], [3, 0, 0, 1], [0, 0, 0, 0]])
def test_heads_equal_a_loop_over_classes(parents: list[int] | None) -> None:
    heads, x = ClassHeads(4, 6, parents=parents), torch.randn(3, 4, 6)
    torch.testing.assert_close(heads(x), heads_loop(heads, x, parents or [0, 1, 2, 3]), atol=1e-6, rtol=1e-5)
    assert 0.3 < heads.weight.abs().max() * 6**0.5 <= 1


def test_phl1branch_is_an_ordinary_classifier() -> None:
    body, heads = randomized(Siblings(1, [Bottlenecks(6, 4, 10)])).eval(), ClassHeads(7, 10, parents=[0] * 7)
    linear = nn.Linear(10, 7)
    linear.load_state_dict(heads.state_dict())
    pooled = body(torch.randn(2, 6, 5, 5)).mean((-2, -1))
    torch.testing.assert_close(heads(pooled), linear(pooled[:, 0]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bad", [0, -1, True, 2.0, "3", None])
def test_numbers_are_checked(bad: object) -> None:
    for recipe in (Bottlenecks, ConvNeXts):
        for position in range(3):
            numbers: list = [4, 4, 4]
            numbers[position] = bad
            with pytest.raises(ValueError, match="positive int"):
                recipe(*numbers)
        with pytest.raises(ValueError, match="depth expected a positive int"):
            recipe(4, 4, 4, depth=bad)
        with pytest.raises(ValueError, match="stride expected a positive int"):
            recipe(4, 4, 4, stride=bad)
    with pytest.raises(ValueError, match="branches expected"):
        Siblings(bad, STAGES["mixed"])
    with pytest.raises(ValueError, match="classes expected"):
        ClassHeads(bad, 4)


@pytest.mark.parametrize(
    ("parents", "message"),
    [([0, 1], "got 2 parents"), ([0, 1, -1], "from 0 up"), ([0, 1, True], "from 0 up"), ([0, 1, "2"], "from 0 up")],
)
def test_parents_are_checked(parents: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Siblings(3, STAGES["mixed"], parents=parents)
    with pytest.raises(ValueError, match=message):
        ClassHeads(3, 4, parents=parents)


def test_stages_and_inputs_must_meet() -> None:
    with pytest.raises(ValueError, match="expected 10 input channels"):
        Siblings(2, [Bottlenecks(6, 4, 10), Bottlenecks(8, 4, 10)])
    with pytest.raises(ValueError, match="one stage or more"):
        Siblings(2, [])
    with pytest.raises(TypeError, match="dept"):
        Bottlenecks(6, 4, 10, dept=3)
    shared, nested = Siblings(2, STAGES["mixed"]), Siblings(2, STAGES["mixed"], parents=[0, 3])
    with pytest.raises(ValueError, match="got \\(1, 5, 8, 8\\)"):
        shared(torch.zeros(1, 5, 8, 8))
    with pytest.raises(ValueError, match="\\(B, P, C, H, W\\)"):
        nested(torch.zeros(1, 6, 8, 8))
    with pytest.raises(ValueError, match="4 parents or more, got 3"):
        nested(torch.zeros(1, 3, 6, 8, 8))
    with pytest.raises(ValueError, match="got \\(1, 3, 4\\)"):
        ClassHeads(2, 4)(torch.zeros(1, 3, 4))
