"""Top-down attention: gains against a hand-written loop over blocks, and what they may not touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError
from hiergen.nn import ClassHeads, HierarchicalNetwork, Siblings
from hiergen.nn.lowering import Run, Span, Stack
from tests.helpers import message
from tests.nn.network_cases import Tiny, TinyViT
from tests.nn.steering_cases import lively

X = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(3))
# class → its branch on levels 1, 2, 3, by hand
PATHS = ((0, 0, 0), (0, 1, 2), (0, 0, 1), (1, 2, 3), (1, 2, 4))
LOWERINGS = ("loop", "matmul", "grouped")


@pytest.fixture
def network() -> HierarchicalNetwork:
    return lively()


def by_hand(
    network: HierarchicalNetwork, x: Tensor, gains: Mapping[tuple[int, int], float], places: tuple[int, ...]
) -> Tensor:
    """Logits `(B, 5)`: each path alone, block by block; gains by (level, branch), after block `places[level - 1]`."""
    columns = []
    trunk = network.trunk(x)
    for label, path in enumerate(PATHS):
        maps = trunk.permute(0, 2, 3, 1)[None]
        for number, (level, branch) in enumerate(zip(network.levels, path, strict=True), 1):
            one = Siblings(1, level.recipes).eval()
            one.load_state_dict({k: v[branch : branch + 1] for k, v in level.state_dict().items()})
            span = Span(0, 1, (0,), (1,))
            run = Run("loop", span, Stack((span,)))
            for step, block in enumerate(one.blocks, 1):
                maps = block(maps, run)
                if step == places[number - 1]:
                    maps = maps * gains.get((number, branch), 1.0)
        columns.append(maps.mean((2, 3))[0] @ network.head.weight[label] + network.head.bias[label])
    return torch.stack(columns, 1)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    ("terms", "nodes"),
    [
        ({"animal": 2.0}, {(1, 0): 2.0}),
        ({"car": 0.3, "cat": 1.8}, {(2, 2): 0.3, (2, 0): 1.8}),
        ({"siamese": 3.0, "c4": 0.0, 1: 2.0}, {(3, 1): 3.0, (3, 4): 0.0, (3, 2): 2.0}),
        ({"thing": 1.5, "cab": 2.0, "car": 1.2}, {(1, 1): 1.5, (3, 3): 2.0, (2, 2): 1.2}),
    ],
)
@torch.no_grad()
def test_gains_are_a_loop_over_blocks_with_the_middle_one_multiplied(
    network: HierarchicalNetwork,
    lowering: str,
    terms: dict[int | str, float],
    nodes: dict[tuple[int, int], float],
) -> None:
    network.set_lowering(lowering)
    places = (2, 2, 1)  # the middle of 3, 3 and 2 blocks: 5b of 5a, 5b, 5c
    assert tuple(level.default_block for level in network.levels) == places
    with network.attend(terms):
        found = network(X)
    torch.testing.assert_close(found, by_hand(network, X, nodes, places), atol=1e-4, rtol=1e-4)
    assert (found - network(X)).abs().max() > 0.01
    for after in (1, 2):
        with network.attend(terms, after=after):
            torch.testing.assert_close(network(X), by_hand(network, X, nodes, (after,) * 3), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lowering", LOWERINGS)
@torch.no_grad()
def test_gain_1_is_the_identity(network: HierarchicalNetwork, lowering: str) -> None:
    network.set_lowering(lowering)
    plain = network(X)
    ones = torch.ones(len(network.nodes))
    for gains in ({"cat": 1.0, "van": 1}, {}, ones, ones.expand(4, -1)):
        with network.attend(gains):
            assert torch.equal(network(X), plain)
    assert torch.equal(network(X), plain)


@pytest.mark.parametrize("lowering", LOWERINGS)
@torch.no_grad()
def test_nothing_but_the_paths_under_a_node_changes(network: HierarchicalNetwork, lowering: str) -> None:
    network.set_lowering(lowering)
    plain = network(X)
    for position, node in enumerate(network.nodes):
        gains = torch.ones(len(network.nodes))
        gains[position] = 2.5
        with network.attend(gains):
            found = network(X)
        for label, path in enumerate(PATHS):
            same = torch.equal(found[:, label], plain[:, label])
            assert same == (path[node.level - 1] != node.branch), (node, label)


@pytest.mark.parametrize("lowering", LOWERINGS)
@torch.no_grad()
def test_gains_by_sample_are_one_sample_at_a_time(network: HierarchicalNetwork, lowering: str) -> None:
    network.set_lowering(lowering)
    gains = torch.rand(4, len(network.nodes), generator=torch.Generator().manual_seed(0)) * 2
    with network.attend(gains):
        together = network(X)
    for i in range(4):
        with network.attend(gains[i]):
            torch.testing.assert_close(network(X[i : i + 1]), together[i : i + 1], atol=1e-4, rtol=1e-4)
    with network.attend({"cat": gains[:, 2], "van": 0.5}):
        mixed = network(X)
    for i in range(4):
        with network.attend({"cat": float(gains[i, 2]), "van": 0.5}):
            torch.testing.assert_close(network(X[i : i + 1]), mixed[i : i + 1], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_nested_blocks_multiply_and_end(network: HierarchicalNetwork) -> None:
    plain = network(X)
    with network.attend({"cat": 2.0, "thing": 0.5}):
        outer = network(X)
        with network.attend({"cat": 1.5, "c1": 3.0}):
            inner = network(X)
        assert torch.equal(network(X), outer)
    assert torch.equal(network(X), plain)
    with network.attend({"cat": 3.0, "thing": 0.5, "c1": 3.0}):
        torch.testing.assert_close(inner, network(X))
    with pytest.raises(ValueError, match="stop"), network.attend({"cat": 2.0}):
        raise ValueError("stop")
    assert torch.equal(network(X), plain)


def test_training_step_and_gradients_of_the_gains(network: HierarchicalNetwork) -> None:
    """In training mode gains act too, and can be learnt; a gain of 0 leaves nothing before it to learn."""
    network.train()
    gains = torch.ones(4, len(network.nodes), requires_grad=True)
    with network.attend(gains):
        network(X).logsumexp(1).sum().backward()
    assert gains.grad is not None
    assert (gains.grad.abs().sum(0) > 0).all()
    network.zero_grad()
    with network.attend({"thing": 0.0}):
        network(X)[:, [3, 4]].sum().backward()
    first = next(network.level1.blocks[0].parameters())  # type: ignore[attr-defined]
    assert first.grad is not None
    assert torch.equal(first.grad[1], torch.zeros_like(first.grad[1]))


@pytest.mark.parametrize("lowering", LOWERINGS)
@torch.no_grad()
def test_autocast(network: HierarchicalNetwork, lowering: str) -> None:
    network.set_lowering(lowering)
    with network.attend({"cat": 1.7, "van": 0.4}):
        exact = network(X)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(X)
    assert rough.dtype in (torch.bfloat16, torch.float32)
    assert (rough.float() - exact).abs().mean() < 0.05 * exact.abs().mean() + 0.05


@torch.no_grad()
def test_a_wordnet_term_is_its_group_or_its_classes() -> None:
    class Cats(Tiny):
        taxonomy = {  # noqa: RUF012
            "animal": {"feline": {"n02123045": "tabby", "n02123394": "Persian cat"}, "dog": {"n02110958": "pug"}},
            "thing": {"car": {"n02930766": "cab", "n03770679": "minivan"}},
        }
        classes = ("n02123045", "n02123394", "n02110958", "n02930766", "n03770679")

    network = Cats().eval()
    for term, nodes in (
        ("domestic cat", [(2, 0)]),
        ("feline", [(2, 0)]),
        ("tabby", [(3, 0)]),
        ("motor vehicle", [(1, 1)]),
    ):
        assert [(node.level, node.branch) for node in network.selector.nodes(term)] == nodes, term


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.5, -float("inf")])
def test_gains_that_cannot_be(network: HierarchicalNetwork, bad: float) -> None:
    ones = torch.ones(2, len(network.nodes))
    ones[1, 3] = bad
    for gains in ({"cat": bad}, {"cat": torch.tensor([1.0, bad])}, ones, ones[1]):
        with pytest.raises(HiergenError) as caught, network.attend(gains):
            pass
        assert f"expected a finite number from 0 up, got {bad:g}" in str(caught.value)


def test_bad_input(network: HierarchicalNetwork) -> None:
    def entered(gains: object, **options: object) -> Callable[[], object]:
        return lambda: network.attend(gains, **options).__enter__()  # type: ignore[arg-type]

    assert "no class or group 'catt'; nearest: cat" in message(entered({"catt": 2.0}))
    assert "the gain of 'cat' is no number; expected a number from 0 up, got" in message(entered({"cat": "2"}))
    assert "is no number" in message(entered({"cat": True}))
    assert "expected (10,) or (B, 10), got (11,)" in message(entered(torch.ones(11)))
    assert "got (4, 9)" in message(entered(torch.ones(4, 9)))
    assert "got (1, 1, 10)" in message(entered(torch.ones(1, 1, 10)))
    assert "one number, or one for each sample; expected () or (B,)" in message(entered({"cat": torch.ones(2, 2)}))
    for bad in (0, 3, -1, 1.0, True):
        assert "expected after = 1..2" in message(entered({"cat": 2.0}, after=bad))
    with network.attend({"cat": 2.0}, after=1):
        assert "nested blocks of attend act after the same block" in message(entered({"cat": 2.0}, after=2))
    assert network._gains is None


def test_classes_that_share_a_branch_cannot_be_attended_to() -> None:
    network = TinyViT().eval()
    network.level1, network.head = Siblings(1, network.level1.recipes), ClassHeads(2, 16, parents=[0, 0])
    assert "share one branch" in message(lambda: network.attend({"c0": 2.0}).__enter__())


@pytest.mark.parametrize("part", ["level2", "level3", "head"])
def test_branches_in_another_order_than_the_names(part: str) -> None:
    """A name would stand for the wrong branch; gains by branch go on."""
    network = Tiny().eval()
    if part == "head":
        network.head = ClassHeads(5, 10)  # class i on branch i, where the tree has siamese before pug
    else:
        level: Siblings = getattr(network, part)
        other = {"level2": [1, 0, 0], "level3": [0, 1, 0, 2, 2]}[part]
        setattr(network, part, Siblings(level.branches, level.recipes, parents=other))
    said = message(lambda: network.attend({"cat": 2.0}).__enter__())
    assert "Tiny's branches are not in the order of its taxonomy, so names do not find them" in said
    assert (
        "build it with parents=self.nesting.parents(j) and self.nesting.heads, or give gains as a tensor by branch"
        in said
    )
    with torch.no_grad(), network.attend(torch.full((10,), 2.0)):
        assert network(X).shape == (len(X), 5)


def test_a_batch_of_another_size_than_the_gains(network: HierarchicalNetwork) -> None:
    with network.attend(torch.ones(3, len(network.nodes))), pytest.raises((HiergenError, RuntimeError, ValueError)):
        network(X)


def test_gains_follow_a_copy_of_the_weights(network: HierarchicalNetwork) -> None:
    """A cutout takes its weights, not the gains of a block that happens to run."""
    with network.attend({"cat": 2.0}), torch.no_grad():
        part = network.cutout(["cat"])
        assert part._gains is None
    assert isinstance(part, nn.Module)
