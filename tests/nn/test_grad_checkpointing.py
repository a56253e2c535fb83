"""Gradient checkpointing of branches against the same step without it."""

from __future__ import annotations

import copy

import pytest
import torch
from network_cases import PHL, Tiny, lively
from torch import Tensor, nn

from hiergen.nn import Bottlenecks, ConvNeXts, Siblings


def step(network: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = network(x)
    y.square().sum().backward()
    return y.detach()


def saved_bytes(network: nn.Module, x: Tensor) -> int:
    """What a forward pass keeps for the backward pass besides parameters and its input."""
    known = {p.untyped_storage().data_ptr() for p in (*network.parameters(), x)}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = network(x)
    assert y.requires_grad  # so that all that was kept is still there
    return sum(kept.values())


@pytest.mark.parametrize("kind", ["auto", "loop", "matmul", "grouped"])
@pytest.mark.parametrize("model", [Tiny, PHL])
def test_a_training_step_is_the_same(model: type[Tiny], kind: str) -> None:
    torch.manual_seed(0)
    plain = lively(model()).train().set_lowering(kind)
    saving = copy.deepcopy(plain)
    saving.set_grad_checkpointing()
    saving.trunk.set_grad_checkpointing(False)  # timm's own would count the trunk's batch statistics twice
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(step(saving, x), step(plain, x))
    for (name, want), got in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(got.grad, want.grad, atol=1e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    before = dict(model().named_buffers())
    for name, want in plain.named_buffers():
        torch.testing.assert_close(saving.get_buffer(name), want, msg=lambda m, n=name: f"{n}: {m}")
        if name.endswith("num_batches_tracked") and name.startswith("level"):
            assert torch.equal(want, torch.ones_like(before[name]))  # one batch, counted once


def test_frozen_norms_are_recomputed_too() -> None:
    """Norms in eval mode fold their statistics once for all branches: the second pass must not find that done."""
    torch.manual_seed(0)
    plain = Siblings(6, [Bottlenecks(8, 4, 16, depth=2)]).eval()
    plain.lowering = "auto"
    saving = copy.deepcopy(plain)
    saving.grad_checkpointing = True
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(step(saving, x), step(plain, x))
    for want, got in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(got.grad, want.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("recipe", [Bottlenecks(16, 8, 32, depth=3), ConvNeXts(16, 64, 16, depth=3, grn=True)])
def test_only_the_answer_of_a_level_is_kept(recipe: Bottlenecks | ConvNeXts) -> None:
    level, x = Siblings(16, [recipe]).train(), torch.randn(4, 16, 8, 8)
    plain = saved_bytes(level, x)
    level.grad_checkpointing = True
    rows = x.numel() * x.element_size()  # the input in the order that branches read
    assert saved_bytes(level, x) <= rows
    assert plain > 100 * rows
