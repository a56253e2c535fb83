"""Another implementation's weights under timm's names: every value arrives where it belongs, or nothing does."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hiergen.errors import HiergenError, PlanError
from hiergen.models.convert import convert

State = dict[str, Tensor]
OTHER = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def state_of(backbone: str, **options: Any) -> State:
    """timm's, no two tensors alike."""
    torch.manual_seed(0)
    state: State = timm.create_model(backbone, **options).state_dict()
    return {name: torch.rand_like(t) if t.is_floating_point() else t + 3 for name, t in state.items()}


def renamed(state: State, *, kinds: bool = False, counters: bool = True, seed: int = 0) -> State:
    """Every layer's name another one, in no alphabetical order; with `kinds` also what its tensors are called."""
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    numbers = random.Random(seed).sample(range(10_000), len(layers))
    called = {layer: f"net.n{number}" for layer, number in zip(layers, numbers, strict=True)}
    made = {}
    for name, tensor in state.items():
        layer, _, last = name.rpartition(".")
        if counters or last != "num_batches_tracked":
            made[f"{called[layer]}.{OTHER.get(last, last) if kinds and tensor.ndim == 1 else last}"] = tensor
    return made


def arrives(found: State, want: State) -> bool:
    return found.keys() == want.keys() and all(torch.equal(found[name], want[name]) for name in want)


def layers_moved(state: State, moves: Iterable[tuple[str, str]]) -> State:
    """Layers of the first prefix stand just before those of the second."""
    for what, before in moves:
        moved = {name: tensor for name, tensor in state.items() if name.startswith(what)}
        made: State = {}
        for name, tensor in state.items():
            if name.startswith(before):
                made |= moved
            if name not in moved:
                made[name] = tensor
        state = made
    return state


@pytest.fixture
def like(tmp_path: Path) -> Callable[..., tuple[State, Any]]:
    """What `convert --like` writes of a checkpoint, and what it says."""

    def run(state: State, backbone: str, name: str = "c.pth") -> tuple[State, Any]:
        save_file(state, tmp_path / name) if name.endswith("safetensors") else torch.save(state, tmp_path / name)
        done = convert(tmp_path / name, tmp_path / "o.safetensors", like=backbone)
        return load_file(tmp_path / "o.safetensors"), done.likeness

    return run


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0", "convnext_atto", "mobilenetv3_small_100"])
def test_every_value_arrives_whatever_it_was_called(backbone: str, like: Callable[..., Any]) -> None:
    state = state_of(backbone)
    found, said = like(renamed(state), backbone)
    assert arrives(found, state)
    assert said.by == "order"
    assert said.classes is None
    # a module. before all names, and tensors of a layer in another order
    mixed = dict(sorted(renamed(state).items(), key=lambda item: random.Random(item[0]).random()))
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in renamed(state)))
    mixed = {f"module.{n}": t for layer in layers for n, t in mixed.items() if n.rpartition(".")[0] == layer}
    assert list(mixed) != [f"module.{name}" for name in renamed(state)]
    assert arrives(like(mixed, backbone)[0], state)


def test_tensors_of_a_layer_go_by_their_kind(like: Callable[..., Any]) -> None:
    """gamma, beta, moving_mean, moving_variance, without batch counters."""
    state = state_of("resnet18")
    found, said = like(renamed(state, kinds=True, counters=False), "resnet18")
    counted = {name: torch.tensor(0) if name.endswith("num_batches_tracked") else t for name, t in state.items()}
    assert arrives(found, counted)
    assert len(said.pairs) == 102
    assert re.fullmatch(
        r"102 tensors are those of resnet18 by order and shape: net\.n\d+\.weight → conv1\.weight, "
        r"net\.n\d+\.gamma → bn1\.weight, net\.n\d+\.beta → bn1\.bias, net\.n\d+\.moving_mean → bn1\.running_mean, …",
        str(said),
    )


def test_timms_names_decide(like: Callable[..., Any]) -> None:
    """Whatever the order: safetensors keep none."""
    state = state_of("resnet18")
    found, said = like({f"backbone.{name}": tensor for name, tensor in state.items()}, "resnet18", "c.safetensors")
    assert said.by == "name"
    assert arrives(found, state)


def test_layers_in_another_order_go_by_shape(like: Callable[..., Any]) -> None:
    state = state_of("resnet18")
    moved = layers_moved(state, [(f"layer{i}.0.downsample", f"layer{i}.0.conv2") for i in (2, 3, 4)])
    assert arrives(like(renamed(moved), "resnet18")[0], state)
    first = layers_moved(state, [(f"layer{i}.0.downsample", f"layer{i}.0.conv1") for i in (2, 3, 4)])
    assert arrives(like(renamed(first), "resnet18")[0], state)
    deep = state_of("resnet50")
    first = layers_moved(deep, [(f"layer{i}.0.downsample", f"layer{i}.0.conv1") for i in (2, 3, 4)])
    assert arrives(like(renamed(first), "resnet50")[0], deep)


def test_what_cannot_be_told_is_refused(like: Callable[..., Any], tmp_path: Path) -> None:
    deep, state = state_of("resnet50"), state_of("resnet18")
    swapped = layers_moved(deep, [("layer1.0.downsample", "layer1.0.conv1")])  # its shape is conv3's
    nameless = {f"net.p{i}": tensor for i, tensor in enumerate(state.values()) if tensor.ndim}
    far = layers_moved(state, [("fc", "layer1")])
    named = renamed(state)
    for backbone, wrong, name, message in (
        ("resnet50", renamed(swapped), "c.pth", r"in another order, and 'net\.n\d+\.weight' and .* cannot be told"),
        ("resnet18", nameless, "c.pth", r"holds 'net\.p1', whose name does not say which of a layer's tensors it is"),
        ("resnet18", renamed(far), "c.pth", "in too different an order to tell which is which"),
        ("resnet18", named, "c.safetensors", r"in no order, and .* a PyTorch checkpoint has an order"),
        (
            "resnet34",
            named,
            "c.pth",
            r"like 'resnet34'; expected \d+ as 'bn1\.weight' of shape \(64,\).*, got \d+; 41 layers for 73",
        ),
        (
            "resnet18",
            dict(list(named.items())[6:]),
            "c.pth",
            r"expected 1 as 'conv1\.weight' of shape \(64, 3, 7, 7\), .*, got 0; 39 layers",
        ),
    ):
        with pytest.raises(HiergenError, match=rf"{re.escape(name)}: .*{message}"):
            like(wrong, backbone, name)
        assert not (tmp_path / "o.safetensors").exists()
    with pytest.raises(PlanError, match="timm has no model 'resnet81'"):
        like(state, "resnet81")


@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224"])
def test_a_classifier_may_be_for_other_classes_or_none(backbone: str, like: Callable[..., Any]) -> None:
    few = state_of(backbone, num_classes=7)
    for state in (renamed(few), few):
        found, said = like(state, backbone)
        assert arrives(found, few)
        assert said.classes == (7, 1000)
        assert str(said).endswith("…; the classifier has 7 classes, timm's has 1,000")
    none = {name: tensor for name, tensor in few.items() if not name.startswith(("fc", "head"))}
    found, said = like(renamed(none), backbone)
    assert arrives(found, none)
    assert str(said).endswith("; no classifier is there, timm's has 1,000")


def test_the_command_says_what_went_where(tmp_path: Path, hiergen: Callable[..., Any]) -> None:
    torch.save({"state_dict": renamed(state_of("resnet18"))}, tmp_path / "c.pth")
    done = hiergen("convert", tmp_path / "c.pth", "--like", "resnet18", "-o", tmp_path / "o.safetensors")
    assert done.code == 0, done.err
    assert "102 tensors are those of resnet18 by order and shape: net." in " ".join(done.out.split())
    done = hiergen("convert", tmp_path / "c.pth", "--like", "resnet34", "-o", tmp_path / "p.safetensors")
    assert done.code == 2
    assert done.err.count("\n") == 1
