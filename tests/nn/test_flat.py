"""The flat network's second half against timm's own model: the same logits, names and weights."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, PlanError
from hiergen.nn import Trunk, stages
from hiergen.nn.flat import FlatTail, flat_state, load_flat

CUTS = [  # backbone, cuts, input px
    ("resnet18", ("act1", "layer2", "layer4"), 32),
    ("resnet50", ("layer3",), 32),
    ("tf_efficientnet_lite0", ("blocks.4", "blocks.6"), 32),
    ("efficientnet_b0", ("blocks.4",), 32),
    ("mobilenetv2_100", ("blocks.6",), 32),
    ("mobilenetv3_small_100", ("bn1",), 32),
    ("mobilenetv4_conv_small", ("blocks.2",), 32),
    ("convnext_atto", ("stages.3",), 32),
    ("convnextv2_atto", ("stages.2",), 32),
    ("regnety_004", ("s3",), 32),
    ("densenet121", ("features.denseblock3",), 32),
    ("repvgg_a0", ("stages.2",), 32),
    ("mobileone_s0", ("stages.1",), 32),
    ("fastvit_t8", ("stages.2",), 64),  # loops over its stages
]


@pytest.mark.parametrize(("backbone", "cuts", "px"), CUTS)
def test_trunk_and_tail_are_timms_flat_model(backbone: str, cuts: tuple[str, ...], px: int) -> None:
    """Bit for bit, for one image and for several; every name of the flat model is in one of the two."""
    torch.manual_seed(0)
    flat = timm.create_model(backbone, num_classes=7).eval()
    for module in flat.modules():  # statistics that are not what they start as
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
    images = torch.randn(3, 3, px, px)
    for until in cuts:
        trunk = Trunk(backbone, until, input_size=(3, px, px)).eval()
        tail = FlatTail(backbone, until, 7, input_size=(3, px, px)).eval()
        assert not set(tail.state_dict()) & set(trunk.model.state_dict())
        load_flat(trunk, tail, flat.state_dict(), "here")
        with torch.no_grad():
            for batch in (images[:1], images):
                assert torch.equal(tail(trunk(batch)), flat(batch))
        again = flat_state(trunk, tail)
        assert set(again) == set(flat.state_dict())
        assert all(torch.equal(tensor, again[name]) for name, tensor in flat.state_dict().items())


def _pair(in_chans: int = 3, classes: int = 7) -> tuple[Trunk, FlatTail]:
    torch.manual_seed(0)
    size = (in_chans, 32, 32)
    return Trunk("resnet18", "layer3", input_size=size), FlatTail("resnet18", "layer3", classes, input_size=size)


def test_the_tail_trains_copies_and_draws_as_timms_model() -> None:
    torch.manual_seed(3)
    flat = timm.create_model("resnet18", num_classes=7)
    after = torch.rand(1)
    torch.manual_seed(3)
    tail = FlatTail("resnet18", "layer3", 7)
    assert torch.rand(1) == after  # no more random numbers than timm's
    assert tail.training
    assert torch.equal(tail.fc.weight, flat.fc.weight)
    trunk = Trunk("resnet18", "layer3")
    timm.create_model("resnet18", num_classes=7).load_state_dict(flat_state(trunk, tail), strict=True)
    assert list(tail.state_dict()) == [name for name in flat.state_dict() if name.startswith(("layer4", "fc"))]
    maps = torch.randn(2, 256, 2, 2)
    tail(maps).sum().backward()
    assert all(p.grad is not None for p in tail.parameters())
    tail.eval()
    for other in (copy.deepcopy(tail), pickle.loads(pickle.dumps(tail))):  # noqa: S301
        assert torch.equal(other(maps), tail(maps))
        assert {id(p) for p in other.parameters()}.isdisjoint(id(p) for p in tail.parameters())
    with torch.device("meta"):
        assert all(p.is_meta for p in FlatTail("resnet18", "layer3", 7).parameters())


@pytest.mark.parametrize(
    ("backbone", "until", "px"),
    [("hrnet_w18_small", "stage3", 64), ("crossvit_9_240", "blocks.1", 240), ("vit_tiny_patch16_224", "blocks.5", 224)],
)
def test_what_does_not_follow_from_the_map_is_refused(backbone: str, until: str, px: int) -> None:
    with pytest.raises(PlanError, match=rf"^'{backbone}' after the stage '{until}' cannot be had as layers of its own"):
        FlatTail(backbone, until, 7, input_size=(3, px, px))


def test_layers_that_are_not_run_in_order_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose later layers read an earlier map: shapes fit, values would not."""

    def forward_features(self: nn.Module, x: Tensor) -> Tensor:
        x = early = self.layer1(self.maxpool(self.act1(self.bn1(self.conv1(x)))))  # type: ignore[operator]
        x = self.layer3(self.layer2(x))  # type: ignore[operator]
        return self.layer4(x) + early.mean()  # type: ignore[operator, no-any-return]

    monkeypatch.setattr(timm.models.resnet.ResNet, "forward_features", forward_features)
    with pytest.raises(PlanError, match="cannot be had as layers of its own"):
        FlatTail("resnet18", "layer3", 7)


def test_a_model_without_the_cuts_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's features_only flattens its names."""
    monkeypatch.delattr(timm.models.convnext.ConvNeXt, "forward_intermediates")
    with pytest.raises(PlanError, match="cannot be had as layers of its own"):
        FlatTail("convnext_atto", "stages.1", 7, input_size=(3, 32, 32))


def test_a_stage_that_is_none_names_the_others() -> None:
    with pytest.raises(PlanError, match=f"expected one of {', '.join(stage.name for stage in stages('resnet18'))}"):
        FlatTail("resnet18", "layer9", 7)


def test_a_files_state_is_fitted_or_refused_whole() -> None:
    rgb = timm.create_model("resnet18", num_classes=7).state_dict()
    grey, tail = _pair(in_chans=1)
    load_flat(grey, tail, {f"module.{name}": tensor for name, tensor in rgb.items()}, "here")
    want = timm.create_model("resnet18", num_classes=7, in_chans=1)
    want.load_state_dict({**rgb, "conv1.weight": rgb["conv1.weight"].sum(1, keepdim=True)})
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(tail.eval()(grey.eval()(images)), want.eval()(images), atol=1e-5, rtol=1e-4)

    trunk, tail = _pair(classes=9)
    before = {name: tensor.clone() for name, tensor in flat_state(trunk, tail).items()}
    lacking = {name: tensor for name, tensor in rgb.items() if name != "layer4.1.bn2.bias"}
    wrong = {**rgb, "layer4.1.bn2.bias": torch.zeros(3)}
    for state, message in (
        (rgb, r"^f\.pth: are weights for other classes: .*'fc\.weight' does not fit; expected 9 classes, got 7$"),
        (
            lacking,
            r"^f\.pth: are no weights of the backbone 'resnet18'; expected .*'layer4\.1\.bn2\.bias', got 1 of 102",
        ),
        (wrong, r"another backbone than 'resnet18'; expected 'layer4\.1\.bn2\.bias' of shape \(512,\), got \(3,\)"),
    ):
        with pytest.raises(HiergenError, match=message):
            load_flat(trunk, tail, state, "f.pth")
    assert all(torch.equal(before[name], tensor) for name, tensor in flat_state(trunk, tail).items())


def test_parts_of_different_cuts_are_no_flat_network() -> None:
    trunk, _ = _pair()
    with pytest.raises(HiergenError, match="expected 'resnet18' after 'layer3', got 'resnet18' after 'layer2'"):
        flat_state(trunk, FlatTail("resnet18", "layer2", 7))
