"""Random small networks: fused = loop, cutout = slice, chosen = slice, gain 1 = identity, counted = predicted."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hiergen.nn import HierarchicalNetwork, Siblings
from hiergen.nn.lowering import Lowering
from tests.fuzz.files import stages
from tests.fuzz.networks import networks
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
