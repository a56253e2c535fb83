"""Trunks against timm's own features, over many families."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import hiergen
from hiergen.errors import HiergenError, PlanError
from hiergen.nn import Stage, Trunk, stages, trunk_model

FAMILIES = [  # backbone, cut, input px
    ("resnet18", "layer2", 64),
    ("resnet18.a1_in1k", "layer4", 64),
    ("resnext50_32x4d", "layer1", 64),
    ("seresnet50", "layer1", 64),
    ("wide_resnet50_2", "act1", 64),
    ("convnext_atto", "stages.2", 64),
    ("convnextv2_atto", "stages.1", 64),
    ("efficientnet_b0", "blocks.2", 64),
    ("tf_efficientnet_lite0", "blocks.4", 64),
    ("mobilenetv2_100", "blocks.2", 64),
    ("mobilenetv3_small_050", "blocks.3", 64),
    ("mobilenetv4_conv_small", "blocks.2", 64),
    ("regnetx_002", "s3", 64),
    ("densenet121", "features.denseblock1", 64),
    ("vit_tiny_patch16_224", "blocks.2", 64),
    ("deit3_small_patch16_224", "blocks.1", 64),
    ("swin_tiny_patch4_window7_224", "layers.1", 224),
    ("swinv2_tiny_window8_256", "layers.1", 256),
    ("maxvit_tiny_rw_224", "stages.0", 224),
    ("efficientformer_l1", "stages.2", 224),
    ("hrnet_w18_small", "stage2", 64),
    ("mobilevit_xxs", "stages.3", 64),
    ("ghostnet_050", "blocks.5", 64),
    ("repvgg_a0", "stages.1", 64),
    ("edgenext_xx_small", "stages.1", 64),
    ("fastvit_t8", "stages.2", 64),
    ("hardcorenas_a", "blocks.2", 64),  # its features_only knows no feature getter
    ("crossvit_9_240", "blocks.0", 240),
]


@pytest.mark.parametrize(("backbone", "until", "px"), FAMILIES)
def test_every_family_is_cut_to_what_timm_computes(backbone: str, until: str, px: int) -> None:
    torch.manual_seed(0)
    trunk = Trunk(backbone, until, input_size=(3, px, px))
    images = torch.randn(2, 3, px, px)
    maps = trunk(images)
    stage = next(stage for stage in stages(backbone) if stage.name == until)
    assert maps.shape == (2, stage.channels, px // stage.reduction, px // stage.reduction)
    assert (trunk.out_channels, trunk.reduction) == (stage.channels, stage.reduction)
    assert trunk.map_size == tuple(maps.shape[-2:])

    (maps * torch.randn_like(maps)).sum().backward()
    assert not [name for name, p in trunk.named_parameters() if p.requires_grad and p.grad is None]
    frozen = [name for name, p in trunk.named_parameters() if not p.requires_grad]
    assert bool(frozen) == backbone.startswith(("hrnet", "crossvit"))

    # the uncut model, given the same weights, computes the same
    resize = timm.get_pretrained_cfg(backbone).fixed_input_size
    whole = timm.create_model(backbone, **({"img_size": (px, px)} if resize else {})).eval()
    missing = whole.load_state_dict(trunk.model.state_dict(), strict=False)
    assert not missing.unexpected_keys
    index = [info["module"] for info in whole.feature_info].index(until)
    with torch.no_grad():
        (want,) = whole.forward_intermediates(images, indices=[index], output_fmt="NCHW", intermediates_only=True)
        torch.testing.assert_close(trunk.eval()(images), want, atol=1e-5, rtol=1e-4)


def test_late_split_trunk_has_the_papers_parameters() -> None:
    """Kelm et al., Table 2: ResNet50 up to layer3 has 8,543,296; counted without memory."""
    with torch.device("meta"):
        trunk = Trunk("resnet50", until="layer3")
        model, index = trunk_model("resnet50", "layer3")
    for part in (trunk, model):
        assert sum(p.numel() for p in part.parameters()) == 8_543_296
        assert all(p.is_meta for p in part.parameters())
    assert index == 3
    assert (trunk.out_channels, trunk.map_size) == (1024, (14, 14))


def test_stages_are_timms() -> None:
    assert stages("resnet50") == [
        Stage("act1", 64, 2),
        Stage("layer1", 256, 4),
        Stage("layer2", 512, 8),
        Stage("layer3", 1024, 16),
        Stage("layer4", 2048, 32),
    ]
    assert stages("resnet50.a1_in1k") == stages("resnet50")
    for backbone in ("crossvit_9_240", "tresnet_m"):  # timm repeats a name, or leaves one empty
        names = [stage.name for stage in stages(backbone)]
        assert all(names)
        assert len(names) == len(set(names))


def test_sizes_that_differ_from_the_backbones() -> None:
    trunk = Trunk("resnet18", "layer3", input_size=(1, 100, 75))
    assert trunk.map_size == tuple(trunk(torch.zeros(2, 1, 100, 75)).shape[-2:]) == (7, 5)
    vit = Trunk("vit_tiny_patch16_224", "blocks.0", input_size=(3, 96, 64))
    assert vit.map_size == (6, 4)
    assert vit.model.pos_embed.shape[1] == 6 * 4 + 1


def test_trunk_keeps_the_random_state_and_copies() -> None:
    torch.manual_seed(3)
    trunk = Trunk("resnet18", "layer1").eval()
    torch.manual_seed(3)
    timm.create_model("resnet18")
    after = torch.rand(1)
    torch.manual_seed(3)
    Trunk("resnet18", "layer1")
    assert torch.rand(1) == after
    images = torch.randn(1, 3, 32, 32)
    for other in (copy.deepcopy(trunk), pickle.loads(pickle.dumps(trunk))):  # noqa: S301
        torch.testing.assert_close(other(images), trunk(images), atol=0, rtol=0)


def test_models_without_forward_intermediates_fall_back_to_features_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What timm's older models need; none of today's lacks the method, so one is made to."""
    torch.manual_seed(0)
    usual = Trunk("resnet18", "layer2", input_size=(3, 64, 64)).eval()
    monkeypatch.delattr(timm.models.resnet.ResNet, "forward_intermediates")
    trunk = Trunk("resnet18", "layer2", input_size=(3, 64, 64)).eval()
    assert trunk.index is None
    trunk.model.load_state_dict(usual.model.state_dict())
    monkeypatch.undo()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(trunk(images), usual(images), atol=1e-6, rtol=1e-5)
    assert trunk.layer_groups() == {}
    assert trunk.no_weight_decay() == set()


@pytest.mark.parametrize(
    ("backbone", "until", "message"),
    [
        ("resnet5O", "layer3", r"timm has no model 'resnet5O'; nearest: .*resnet50"),
        ("resnet50.a1_in2k", "layer3", r"timm has no weights 'resnet50.a1_in2k'; nearest: resnet50.a1_in1k, "),
        ("resnet50", "layer9", r"has no stage 'layer9'; expected one of act1, layer1, layer2, layer3, layer4;"),
        ("resnet50", "", r"has no stage ''"),
        ("vit_tiny_patch16_224", "layer3", r"expected one of blocks.0, blocks.1"),
        ("hf-hub:timm/resnet18", "layer3", r"timm has no model"),
    ],
)
def test_mistakes_name_the_alternatives(backbone: str, until: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Trunk(backbone, until)


def test_a_tag_from_timm_is_a_good_twin() -> None:
    assert Trunk("resnet18.tv_in1k", "act1").pretrained_cfg["tag"] == "tv_in1k"


def test_a_model_without_feature_info_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", lambda name: nn.Linear(1, 1))
    with pytest.raises(PlanError, match="'resnet10t' has no feature_info"):
        stages("resnet10t")


@pytest.mark.parametrize("backbone", ["nest_tiny", "efficientformer_l1"])
def test_a_size_that_the_backbone_cannot_take(backbone: str) -> None:
    with pytest.raises(PlanError, match=f"'{backbone}' does not take input_size \\(3, 192, 160\\)"):
        Trunk(backbone, stages(backbone)[-1].name, input_size=(3, 192, 160))


def test_pretrained_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the message recommends does what fetching would have done."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(HiergenError) as caught:
        Trunk("resnet18", "layer1", pretrained=True)
    message = str(caught.value)
    assert "weights of 'resnet18' could not be fetched" in message
    assert "offline: pretrained=False, then hiergen.load_trunk(network, FILE) with the backbone's weights" in message
    assert "\n" not in message
    network = hiergen.network(["cat", "dog", "hen"], backbone="resnet18", input_size=32)
    backbone = timm.create_model("resnet18")
    torch.save(backbone.state_dict(), tmp_path / "resnet18.pth")
    hiergen.load_trunk(network, tmp_path / "resnet18.pth")
    for name, tensor in network.trunk.model.state_dict().items():
        torch.testing.assert_close(tensor, backbone.state_dict()[name], atol=0, rtol=0)


def test_pretrained_where_timm_has_none() -> None:
    with pytest.raises(PlanError, match="no pretrained weights for 'dpn48b'"):
        trunk_model("dpn48b", stages("dpn48b")[0].name, pretrained=True)


def test_gradient_checkpointing_is_timms_or_refused() -> None:
    trunk = Trunk("resnet18", "layer2")
    trunk.set_grad_checkpointing()
    assert trunk.model.grad_checkpointing
    with pytest.raises(HiergenError, match="'inception_v4' has no gradient checkpointing"):
        Trunk("inception_v4", "features.2").set_grad_checkpointing()
