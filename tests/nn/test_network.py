"""The network against a path-by-path computation, and under timm's contract."""

from __future__ import annotations

import pytest
import timm
import torch
from network_cases import PHL, OneBranch, Tiny, TinyViT, Unsorted, lively
from timm.data import resolve_model_data_config
from timm.optim import create_optimizer_v2
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.nn import Siblings


@pytest.fixture
def net() -> Tiny:
    torch.manual_seed(0)
    return lively(Tiny())


def logit(net: Tiny, x: Tensor, label: int) -> Tensor:
    """Eq. 2 of Kelm et al. for one class: its own branch of every level, built alone."""
    x = net.trunk(x)
    for level, index in zip(net.levels, net.paths[label], strict=True):
        alone = Siblings(1, level.recipes).eval()
        alone.load_state_dict({name: t[index : index + 1] for name, t in level.state_dict().items()})
        x = alone(x)[:, 0]
    return x.mean((2, 3)) @ net.head.weight[label] + net.head.bias[label]


@pytest.mark.parametrize("model", [Tiny, Unsorted, OneBranch, PHL])
def test_every_logit_is_its_path_through_the_tree(model: type[Tiny]) -> None:
    torch.manual_seed(0)
    net, x = lively(model()), torch.randn(2, 3, 64, 64)
    want = torch.stack([logit(net, x, label) for label in range(5)], dim=1)
    torch.testing.assert_close(net(x), want, atol=1e-5, rtol=1e-4)
    assert want.std() > 0.01


def test_features_and_head_are_the_two_halves(net: Tiny) -> None:
    x = torch.randn(3, 3, 64, 64)
    maps = net.forward_features(x)
    assert maps.shape == (3, 5, 10, *net.pretrained_cfg["pool_size"])
    pooled = net.forward_head(maps, pre_logits=True)
    torch.testing.assert_close(pooled, maps.mean((3, 4)))
    torch.testing.assert_close(net.get_classifier()(pooled), net(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net(x), torch.cat([net(one[None]) for one in x]), atol=1e-5, rtol=1e-4)


def test_contract_attributes(net: Tiny) -> None:
    assert (net.num_classes, net.num_features, net.head_hidden_size) == (5, 10, 10)
    cfg = net.default_cfg
    assert cfg["classifier"] == "head"
    assert cfg["num_classes"] == 5
    assert cfg["pool_size"] == (2, 2)
    assert net.get_submodule(cfg["first_conv"]) is net.trunk.model.conv1
    data = resolve_model_data_config(net)
    backbone = resolve_model_data_config(timm.create_model("resnet18"))
    assert data == {**backbone, "input_size": (3, 64, 64)}


def test_resetting_the_classifier_is_refused_unless_nothing_changes(net: Tiny) -> None:
    before = net.head.weight.clone()
    net.reset_classifier(5)
    net.reset_classifier(5, "avg")
    assert torch.equal(net.head.weight, before)
    with pytest.raises(HiergenError, match=r"Tiny: .*own branch.*expected 5, got 10; change the taxonomy"):
        net.reset_classifier(10)
    with pytest.raises(HiergenError, match="expected 'avg', got 'max'"):
        net.reset_classifier(5, "max")


def test_a_transformers_position_embedding_does_not_decay() -> None:
    net = TinyViT()
    assert "trunk.model.pos_embed" in net.no_weight_decay()
    optimizer = create_optimizer_v2(net, "adamw", weight_decay=0.05, layer_decay=0.75)
    (group,) = [g for g in optimizer.param_groups if any(p is net.trunk.model.pos_embed for p in g["params"])]
    assert group["weight_decay"] == 0
    x = torch.randn(2, 3, 64, 64)
    net.eval()
    torch.testing.assert_close(net(x), torch.cat([net(one[None]) for one in x]), atol=1e-5, rtol=1e-4)


def test_one_step_trains_every_path_at_once(net: Tiny) -> None:
    net.train()
    loss = torch.nn.functional.cross_entropy(net(torch.randn(4, 3, 64, 64)), torch.tensor([0, 0, 0, 0]))
    loss.backward()
    for name, p in net.named_parameters():
        rows = p.grad if name.startswith("level") else p.grad[None]
        assert (rows.flatten(1).abs().sum(1) > 0).all(), name
    assert net.level3.stages[0].blocks[0].norm.weight.grad is not None
