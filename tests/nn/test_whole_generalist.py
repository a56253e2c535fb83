"""A generalist that is the backbone's whole tail: the flat network inside a hierarchical one."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hiergen.errors import HiergenError
from hiergen.models.weights import flat_backbone, load_whole, whole_state
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.cutout import cut
from hiergen.nn.macs import count_params
from hiergen.planning.backbones import facts
from hiergen.planning.compile import compile_plan
from hiergen.planning.from_network import plan_of
from hiergen.planning.network import network_of
from hiergen.planning.plan import Plan
from hiergen.taxonomy.modelspec import ModelSpec
from hiergen.taxonomy.nesting import Nesting
from hiergen.training.initial import init_branches

NESTING = Nesting.from_tree({"x": {"a": "a", "b": "b"}, "y": {"c": "c", "d": "d"}}, ("a", "b", "c", "d"))
VIT = "vit_tiny_patch16_224"


def plan(backbone: str, until: str | None, *, nesting: Nesting = NESTING, **options: object) -> Plan:
    trunk = {"backbone": backbone, **({"until": until} if until else {})}
    options = {"generalist": "whole", "budget": {"macs": "100G"}, **options}
    spec = ModelSpec.model_validate({"trunk": trunk, **options})
    known = facts(backbone, spec.input_size, spec.in_chans)
    assert known is not None
    return compile_plan("t", "N2HL", spec, nesting, known)


@cache
def flat(backbone: str) -> nn.Module:
    """Its weights and statistics are no round numbers."""
    torch.manual_seed(0)
    model = timm.create_model(backbone, num_classes=4).eval().double()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand_like(tensor))
            elif tensor.ndim == 0:
                tensor.fill_(7)
    return model


CASES = [
    ("efficientnet_lite0", "blocks.4"),
    ("resnet18", "layer2"),
    (VIT, "blocks.9"),
    ("swin_tiny_patch4_window7_224", "layers.2"),
    ("mobilenetv3_small_100", "blocks.3"),
    ("densenet121", "features.denseblock3"),
    ("convnext_atto", "stages.2"),
]


@torch.no_grad()
@pytest.mark.parametrize(
    ("backbone", "until", "generalist"),
    [*((*case, "whole") for case in CASES), *((*case, "both") for case in CASES[1:5])],
)
def test_its_logits_are_the_flat_networks_and_its_weights_go_there_and_back(
    backbone: str, until: str, generalist: str
) -> None:
    planned = plan(backbone, until, block="copy", generalist=generalist)
    network, model = network_of(planned).double(), flat(backbone)
    assert planned.params == count_params(network)
    load_whole(network, model.state_dict())
    network.form = "flat" if generalist == "both" else "generalist"
    x = torch.randn(1, *network.trunk.input_size).double()
    want: Tensor = model(x)
    assert want.std() > 1e-3
    torch.testing.assert_close(network(x), want, atol=1e-6, rtol=1e-6)
    state = whole_state(network)
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert network(x, ["a", "d"]).equal(network(x)[:, [0, 3]])
    assert plan_of(network, taxonomy="t", model="N2HL") == planned
    if backbone != VIT:
        torch.testing.assert_close(network.plain()(x), want, atol=1e-6, rtol=1e-6)
    part = cut(network, [1, 3])
    assert plan_of(part, taxonomy="t", model="C").params == count_params(part)
    torch.testing.assert_close(part(x), want[:, [1, 3]], atol=1e-6, rtol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("backbone", "until"), [*CASES[1:3], CASES[4]])
def test_copies_start_as_the_backbones_blocks(backbone: str, until: str, tmp_path: Path) -> None:
    network, model = network_of(plan(backbone, until, block="copy")), copy.deepcopy(flat(backbone)).float()
    state = model.state_dict()
    save_file(state, tmp_path / "flat.safetensors")
    report = init_branches(network, "backbone", pretrained_model=flat_backbone(network, tmp_path / "flat.safetensors"))
    first, second, third = report.lines()[:3]
    assert first.startswith("level 1: 2 branches start as copies of ")
    assert second.startswith("level 2: 4 branches start at random: ")
    assert third.startswith("generalist: 1 branch starts as copies of ")
    stage = network.level1.stages[0]
    for number, name in enumerate(stage.recipe.modules):
        for key, tensor in stage[number].state_dict().items():
            assert all(torch.equal(one, state[f"{name}.{key}"]) for one in tensor)
    assert all(
        torch.equal(tensor, state[name]) for name, tensor in whole_state(network).items() if name in tail(network)
    )


def tail(network: HierarchicalNetwork) -> set[str]:
    """Names of what is not the trunk's."""
    return set(whole_state(network)) - set(network.trunk.model.state_dict())


@torch.no_grad()
@pytest.mark.parametrize(
    ("backbone", "until"), [("resnet18", "layer3"), (VIT, "blocks.10"), ("efficientnet_b0", "blocks.5")]
)
def test_one_level_of_whole_copies_is_the_flat_network(backbone: str, until: str) -> None:
    one, model = Nesting.from_tree(["a", "b", "c", "d"], ("a", "b", "c", "d")), flat(backbone)
    network = network_of(plan(backbone, until, nesting=one, block="copy", generalist="none")).double()
    report = init_branches(network, "backbone", pretrained_model=model)
    assert report.lines()[-1] == "classes start as rows of the classifier"
    load_trunk_of(network, model)
    x = torch.randn(1, *network.trunk.input_size).double()
    torch.testing.assert_close(network(x), model(x), atol=1e-6, rtol=1e-6)


def load_trunk_of(network: HierarchicalNetwork, model: nn.Module) -> None:
    network.trunk.model.load_state_dict({name: model.state_dict()[name] for name in network.trunk.model.state_dict()})


def test_what_is_no_flat_network() -> None:
    network = network_of(plan("resnet18", "layer3", block="copy", generalist="none"))
    with pytest.raises(HiergenError, match="has no branch for all classes; expected 'generalist: wh"):
        whole_state(network)
    network = network_of(plan("resnet18", "layer3", block="copy"))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    other = timm.create_model("resnet18", num_classes=5).state_dict()
    with pytest.raises(HiergenError, match=r"are weights for other classes: .*; expected 4 classes, got 5"):
        load_whole(network, other)
    with pytest.raises(HiergenError, match="are no weights of the backbone 'resnet18'"):
        load_whole(network, timm.create_model("vit_tiny_patch16_224").state_dict())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
