"""What a subclass or user adds to a network is in its cutouts, or refused by name."""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, weight_norm

from hiergen.errors import HiergenError
from hiergen.nn import Bottlenecks, Generalist, HierarchicalNetwork
from tests.nn.network_cases import Tiny

X = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
KEPT = [0, 3]


class WithGeneralist(Tiny):
    def __init__(self) -> None:
        super().__init__()
        channels = self.trunk.out_channels
        self.generalist = Generalist([Bottlenecks(channels, 4, 8)], 5, groups=3)
        self.flat = Generalist([Bottlenecks(channels, 4, 8)], 5, groups=3)
        nn.init.ones_(self.generalist.gains)


class Scaled(WithGeneralist):
    """Everything that a subclass may add."""

    temperature = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.register_buffer("shift", torch.ones(1))
        self.after = nn.Sequential(nn.Identity(), nn.Linear(1, 1))
        self.first = [self.trunk, self.level1]  # references to parts

    def forward(self, x: Tensor, classes: Any = None) -> Tensor:
        y = super().forward(x, classes) * self.scale + self.shift
        return self.after(y[..., None])[..., 0] / self.temperature


class ByClass(Tiny):
    def __init__(self) -> None:
        super().__init__()
        self.bias_of_class = nn.Parameter(torch.arange(5.0))

    def forward(self, x: Tensor, classes: Any = None) -> Tensor:
        return super().forward(x, classes) + self.bias_of_class


def doubled(module: nn.Module, x: Any, y: Tensor) -> Tensor:
    return y * 2


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 2


def conv(net: HierarchicalNetwork) -> nn.Module:
    return net.get_submodule("level1.stages.0.0.conv2")


def spoil(net: HierarchicalNetwork) -> None:
    def added(module: nn.Module, x: Any, y: Tensor) -> Tensor:
        return y + module.factor

    net.head.factor = 5.0
    net.head.register_forward_hook(added)


ADDED: dict[str, Callable[[HierarchicalNetwork], object]] = {
    "hook of the head": lambda net: net.head.register_forward_hook(doubled),
    "hook of the network": lambda net: net.register_forward_hook(doubled),
    "hook before the network": lambda net: net.register_forward_pre_hook(lambda m, args: (args[0] * 2,)),
    "hook of a level": lambda net: net.level1.register_forward_hook(doubled),
    "hook of a block": lambda net: conv(net).register_forward_hook(doubled),
    "hook of the trunk": lambda net: net.trunk.register_forward_hook(doubled),
    "hook with an attribute": spoil,
    "partial hook": lambda net: net.register_forward_hook(functools.partial(doubled)),
    "pruned branches": lambda net: prune.l1_unstructured(conv(net), "weight", 0.5),
    "pruned heads": lambda net: prune.l1_unstructured(net.head, "weight", 0.5),
    "pruned trunk": lambda net: prune.l1_unstructured(net.trunk.model.conv1, "weight", 0.5),
    "parametrized branches": lambda net: parametrize.register_parametrization(conv(net), "weight", Doubled()),
    "parametrized heads": lambda net: parametrize.register_parametrization(net.head, "weight", Doubled()),
    "parametrized trunk": lambda net: parametrize.register_parametrization(net.trunk.model.conv1, "weight", Doubled()),
    "normed weights": lambda net: nn.utils.parametrizations.weight_norm(conv(net), "weight", dim=0),
    "normed weights of old": lambda net: weight_norm(conv(net), "weight", dim=0),
    "another forward": lambda net: setattr(net, "forward", functools.partial(type(net).forward, net)),
}


def added_to(cls: type[HierarchicalNetwork], add: Callable[[HierarchicalNetwork], object]) -> HierarchicalNetwork:
    torch.manual_seed(1)
    net = cls().eval()
    nn.init.normal_(net.head.weight)
    add(net)
    return net


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ADDED)
def test_hooks_and_what_tools_make_of_weights(name: str) -> None:
    net = added_to(Tiny, ADDED[name])
    with torch.no_grad():
        part = net.cutout(KEPT)
        torch.testing.assert_close(part(X), net(X)[:, KEPT], atol=1e-4, rtol=1e-3)
        again = part.cutout([1])
        torch.testing.assert_close(again(X), net(X)[:, KEPT[1:]], atol=1e-4, rtol=1e-3)
    part(X).sum().backward()
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("form", ["specialists", "generalist", "both", "flat"])
def test_everything_a_subclass_adds(form: str) -> None:
    net = added_to(Scaled, lambda net: setattr(net, "temperature", 2.0))
    net.form = form  # type: ignore[assignment]
    net.note = {"by": ["hand"]}
    with torch.no_grad():
        part = net.cutout(KEPT)
        torch.testing.assert_close(part(X), net(X)[:, KEPT], atol=1e-4, rtol=1e-3)
        net.scale.zero_()
        assert type(part) is Scaled
        assert part.scale == 3  # a copy
    assert part.note == net.note
    assert part.note is not net.note
    assert part.first[0] is part.trunk
    assert part.first[1] is part.level1 or form in ("generalist", "flat")
    assert {name for name, _ in part.named_parameters()} >= {"scale", "after.1.weight"}


def test_settings_and_attributes_of_parameters() -> None:
    net = added_to(Tiny, lambda net: net.set_grad_checkpointing())
    net.head.weight.lr_scale = 0.1
    net.trunk.model.conv1.weight.register_hook(lambda g: g * 0)
    net.level1.note = "mine"
    part = net.cutout(KEPT)
    assert all(level.grad_checkpointing for level in part.levels)
    assert (part.head.weight.lr_scale, part.level1.note) == (0.1, "mine")
    part.train()(X).sum().backward()
    assert not part.trunk.model.conv1.weight.grad.any()
    copy.deepcopy(part)


def refuse_lock(net: HierarchicalNetwork) -> None:
    net.lock = threading.Lock()


def refuse_hook_of_rows(net: HierarchicalNetwork) -> None:
    net.head.weight.register_hook(lambda g: g * 0)


def refuse_closure(net: HierarchicalNetwork) -> None:
    bias = torch.arange(5.0)
    net.head.register_forward_hook(lambda m, x, y: y + bias)


def refuse_bound_call(net: HierarchicalNetwork) -> None:
    forward = net.forward
    net.forward = lambda x: forward(x)  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("cls", "add", "names"),
    [
        (Tiny, refuse_lock, ["Tiny's 'lock'"]),
        (Tiny, refuse_hook_of_rows, ["'weight', which has a hook"]),
        (Tiny, refuse_closure, ["a hook of head"]),
        (Tiny, refuse_bound_call, ["forward"]),
        (ByClass, id, ["bias_of_class", "ByClass", "forward"]),
    ],
)
@pytest.mark.parametrize("kept", [KEPT, [1]], ids=["two", "one"])  # one class's logits broadcast
def test_the_rest_is_refused_by_name(cls: Any, add: Any, names: list[str], kept: list[int]) -> None:
    net = added_to(cls, add)
    with pytest.raises(HiergenError) as refused:
        net.cutout(kept)
    assert all(name in str(refused.value) for name in names)


def test_one_that_takes_more_than_images_is_cut_unproved() -> None:
    class Two(Tiny):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x) + y

    part = added_to(Two, id).cutout(KEPT)
    assert part(X, torch.zeros(1)).shape == (len(X), 2)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("form", ["specialists", "generalist", "both", "flat"])
def test_every_form_traces(form: str) -> None:
    """With all classes or some, steered or not; at another batch size too."""
    net = added_to(WithGeneralist, id)
    net.form = form  # type: ignore[assignment]
    for active, gain in ((None, 1.0), ([0, 3], 1.0), (None, 1.5)):
        net.active = active
        with torch.no_grad(), contextlib.ExitStack() as blocks:
            if gain != 1 and form in ("specialists", "both"):
                blocks.enter_context(net.attend({"cat": gain}))
            traced = torch.jit.trace(net, X[:2], check_trace=False)
            torch.testing.assert_close(traced(X), net(X), atol=1e-4, rtol=1e-4)
