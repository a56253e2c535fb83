"""Random small networks: fused = loop, cutout = slice, chosen = slice, gain 1 = identity, counted = predicted."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn import HierarchicalNetwork, Siblings
from hiergen.nn.lowering import Lowering
from hiergen.planning.blocks import stage_cost
from hiergen.planning.plan import StagePlan
from tests.fuzz.files import stages
from tests.fuzz.networks import networks, recipe
from tests.fuzz.profiles import examples

torch.set_num_threads(1)
SMALL = networks(stages(small=True))
LOWERINGS = st.one_of(
    st.just(Lowering("loop")),
    st.builds(Lowering, st.sampled_from(["matmul", "grouped"]), st.sampled_from([None, 1, 2, 3])),
)


def images(network: HierarchicalNetwork, batch: int = 2) -> Tensor:
    return torch.randn((batch, *network.input_size), generator=torch.Generator().manual_seed(batch))


def by_branch(network: HierarchicalNetwork, x: Tensor) -> Tensor:
    """Eqs. 1 and 2 of the paper, one branch at a time: a network of one branch, with the weights of its row, for each
    group; then each class's own linear output."""
    maps = [network.trunk(x)]
    for level in network.levels:
        found = []
        for i in range(level.branches):
            alone = Siblings(1, level.recipes)
            alone.load_state_dict({name: t[i : i + 1] for name, t in level.state_dict().items()})
            alone.lowering = Lowering("loop")
            found.append(alone.eval()(maps[level.parents[i] if level.parents else 0])[:, 0])
        maps = found
    homes = network.head.parents or range(network.num_classes)
    columns = [maps[home].mean((2, 3)) @ network.head.weight[c] + network.head.bias[c] for c, home in enumerate(homes)]
    return torch.stack(columns, 1)


def close(found: Tensor, expected: Tensor) -> None:
    """Equal to rounding, measured against the largest logit."""
    assert found.shape == expected.shape
    assert torch.isfinite(expected).all()
    assert (found - expected).abs().max() <= 1e-4 * (1 + expected.abs().max())


@examples(15, 0.03)
@given(SMALL, st.data())
def test_fused_is_the_loop_over_branches(network: HierarchicalNetwork, data: st.DataObject) -> None:
    x = images(network)
    with torch.no_grad():
        expected = by_branch(network, x)
        for level in network.levels:
            level.lowering = data.draw(st.one_of(st.just("auto"), LOWERINGS))
        close(network(x), expected)


@examples(12, 0.025)
@given(SMALL, st.data())
def test_a_cutout_is_a_slice_of_the_logits(network: HierarchicalNetwork, data: st.DataObject) -> None:
    """Of any subset; cut again, chosen at run time, and each sample its own."""
    n = network.num_classes
    some = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n - 1, unique=True))
    x = images(network)
    with torch.no_grad():
        full = network(x)
        part = network.cutout(some)
        kept = sorted(some)
        assert part.classes == tuple(network.classes[c] for c in kept)
        close(part(x), full[:, kept])
        close(network(x, classes=some), full[:, kept])
        for level in part.levels:
            level.lowering = data.draw(LOWERINGS)
        close(part(x), full[:, kept])
        mask = torch.zeros(2, n, dtype=torch.bool)
        mask[0, kept] = True
        mask[1, data.draw(st.lists(st.integers(0, n - 1), unique=True))] = True
        routed = network(x, classes=mask)
        assert torch.equal(torch.isneginf(routed), ~mask)
        close(torch.where(mask, routed, full), full)
        if len(kept) > 1:
            inner = data.draw(st.integers(0, len(kept) - 1))
            close(part.cutout([inner])(x), full[:, [kept[inner]]])
    names = {name for name, _ in network.named_parameters()}
    assert {name for name, _ in part.named_parameters()} == names
    homes = {
        "/".join(network.nesting.path(part.nesting.depth, i))
        for i in range(len(network.nesting.names(part.nesting.depth)))
    }
    assert {"/".join(part.nesting.path(part.nesting.depth, i)) for i in range(len(kept))} <= homes


@examples(6, 0.015)
@given(SMALL, st.data())
def test_gain_1_changes_nothing_and_others_only_what_is_below(
    network: HierarchicalNetwork, data: st.DataObject
) -> None:
    x = images(network)
    nodes = network.nodes
    node = data.draw(st.integers(0, len(nodes) - 1))
    with torch.no_grad():
        full = network(x)
        with network.attend(torch.ones(len(nodes))):
            assert torch.equal(network(x), full)
        gains = torch.ones(len(nodes))
        gains[node] = 1.7
        with network.attend(gains):
            steered = network(x)
            first = network(x[:1])
        below = set(network.nesting.members(nodes[node].level, nodes[node].branch))
        others = [c for c in range(network.num_classes) if c not in below]
        assert torch.equal(steered[:, others], full[:, others])
        close(first, steered[:1])
        by_sample = torch.stack([torch.ones(len(nodes)), gains])
        with network.attend(by_sample):
            both = network(x)
        close(both, torch.stack([full[0], steered[1]]))


class Counted:
    """MACs of one sample through plain nn modules and Siblings' kernels, as torch's own counter sees them."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def macs(self, *shape: int) -> int:
        counts = []
        for batch in (1, 2):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                self.module(torch.empty(batch, *shape, device="meta"))
            counts.append(counter.get_total_flops() // 2)
        return counts[1] - counts[0]


@examples(40, 0.055)
@given(stages(small=False), st.integers(1, 40), st.integers(1, 33), st.integers(1, 33), st.integers(1, 4))
def test_a_stage_costs_what_is_counted(said: dict[str, Any], channels: int, height: int, width: int, n: int) -> None:
    act = said.get("act") or "silu"
    said = said | ({"act": act} if said["block"] == "mbconv" else {})
    plan = StagePlan(in_channels=channels, **said)
    cost = stage_cost(plan, height, width)
    assume(min(cost.height, cost.width) > 0)
    siblings = Siblings(n, [recipe(channels, said)]).to("meta").eval()
    assert sum(p.numel() for p in siblings.parameters()) == n * cost.params
    assert Counted(siblings).macs(channels, height, width) == n * cost.macs
    y = siblings(torch.empty(1, channels, height, width, device="meta"))
    assert y.shape == (1, n, plan.out, cost.height, cost.width)


@examples(6, 0.01)
@given(SMALL, st.data())
def test_training_is_the_same_in_every_lowering(network: HierarchicalNetwork, data: st.DataObject) -> None:
    """Gradients and running statistics of one step in double precision: fused against one branch after the other."""
    x = images(network, 3).double()
    network = network.double().train()
    before = {name: t.clone() for name, t in network.state_dict().items()}

    def step(lowerings: list[Any]) -> list[Tensor]:
        network.load_state_dict(before)
        network.zero_grad()
        for level, lowering in zip(network.levels, lowerings, strict=True):
            level.lowering = lowering
        torch.tanh(network(x)).sum().backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None] + [
            b.clone() for b in network.buffers()
        ]

    k = len(network.levels)
    plain = step([Lowering("loop")] * k)
    fused = step([data.draw(LOWERINGS) for _ in range(k)])
    for a, b in itertools.zip_longest(plain, fused):
        assert (a - b).abs().max() <= 1e-7 * (1 + a.abs().max())
