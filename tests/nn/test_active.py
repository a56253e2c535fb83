"""Some of the classes at run time: the same logits as the full network's columns, and nothing else computed."""

from __future__ import annotations

import copy
import itertools
import pickle
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from network_cases import LOWERINGS, PHL, OneBranch, Tiny, Unsorted, lively
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hiergen.errors import HiergenError
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.lowering import Stack
from hiergen.nn.routing import route

NETWORKS = [Tiny, Unsorted, OneBranch, PHL]
ALL = [c for n in (1, 2, 3, 4) for c in itertools.combinations(range(5), n)]
SUBSETS = [(2,), (4,), (0, 2), (0, 3), (1, 2), (3, 4), (0, 2, 4), (2, 3, 4), (0, 1, 2, 4)]
WAYS = ["loop", "matmul/2", "grouped/all", "auto"]


@pytest.fixture(scope="module")
def built() -> dict[type, HierarchicalNetwork]:
    torch.manual_seed(0)
    return {model: lively(model()) for model in NETWORKS}


@pytest.fixture(params=NETWORKS, ids=lambda m: m.__name__)
def net(request: pytest.FixtureRequest, built: dict[type, HierarchicalNetwork]) -> HierarchicalNetwork:
    return copy.deepcopy(built[request.param])


@pytest.fixture
def tiny(built: dict[type, HierarchicalNetwork]) -> HierarchicalNetwork:
    return copy.deepcopy(built[Tiny])


def images(batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def close(found: Tensor, want: Tensor, context: object = "") -> None:
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4, msg=lambda m: f"{context}: {m}")


@torch.no_grad()
@pytest.mark.parametrize("name", WAYS)
def test_chosen_logits_are_the_full_networks_columns(net: HierarchicalNetwork, name: str) -> None:
    for level in net.levels:
        level.lowering = LOWERINGS[name]
    x = images()
    full = net(x)
    assert full.std(0).min() > 1e-3
    for chosen in SUBSETS:
        close(net(x, classes=list(chosen)), full[:, list(chosen)], chosen)
        net.active = list(chosen)
        close(net(x), full[:, list(chosen)], chosen)
        close(net.forward_head(net.forward_features(x)), full[:, list(chosen)], chosen)
        close(net(x, classes=[4]), full[:, [4]], chosen)  # a call's own choice goes before the network's
        net.active = None
    assert torch.equal(net(x), full)
    assert torch.equal(net(x, classes=range(5)), full)


@torch.no_grad()
def test_order_and_duplicates_change_nothing(tiny: HierarchicalNetwork) -> None:
    x = images()
    full = tiny(x)
    for wanted in ([3, 0], [0, 3, 0], ["c3", "tabby", 3], torch.tensor([3, 0]), (i for i in (3, 0))):
        close(tiny(x, classes=wanted), full[:, [0, 3]], wanted)
    close(tiny(x, classes="cat"), full[:, [0, 2]])
    close(tiny(x, classes=torch.tensor([True, False, True, False, False])), full[:, [0, 2]])
    tiny.active = ["van", "animal"]
    assert tiny.active == ("c0", "c1", "c2", "c4")
    close(tiny(x), full[:, [0, 1, 2, 4]])
    tiny.active = range(5)
    assert tiny.active == tiny.classes
    close(tiny(x), full)


@torch.no_grad()
@pytest.mark.parametrize("name", WAYS)
def test_class_sets_by_sample(net: HierarchicalNetwork, name: str) -> None:
    for level in net.levels:
        level.lowering = LOWERINGS[name]
    x = images(4)
    full = net(x)
    rng = random.Random(0)
    for _ in range(6):
        sets = [rng.sample(range(5), rng.randint(1, 5)) for _ in range(4)]
        mask = torch.zeros(4, 5, dtype=torch.bool)
        for row, own in zip(mask, sets, strict=True):
            row[own] = True
        want = full.masked_fill(~mask, float("-inf"))
        for given in (sets, mask, [set(own) for own in sets]):
            close(net(x, classes=given), want, sets)
        singles = [net(one[None], classes=mask[i : i + 1]) for i, one in enumerate(x)]
        close(torch.cat(singles), want, sets)
        close(net(x[[2, 0, 3, 1]], classes=mask[[2, 0, 3, 1]]), want[[2, 0, 3, 1]], sets)


@torch.no_grad()
def test_a_sample_without_classes_gets_minus_infinity(net: HierarchicalNetwork) -> None:
    x = images()
    mask = torch.zeros(3, 5, dtype=torch.bool)
    assert torch.equal(net(x, classes=mask), torch.full((3, 5), float("-inf")))
    mask[1, 2] = True
    found = net(x, classes=mask)
    close(found[1, 2], net(x)[1, 2])
    assert found.isfinite().sum() == 1


@torch.no_grad()
@pytest.mark.parametrize("by_sample", [False, True])
def test_gains_act_on_what_is_chosen(net: HierarchicalNetwork, by_sample: bool) -> None:
    if isinstance(net, OneBranch) and not isinstance(net, PHL):
        pytest.skip("no features of single classes")
    x = images()
    nodes = len(net.nodes)
    gains = torch.linspace(0.2, 3, nodes)
    gains = torch.stack([gains, gains.flip(0), torch.ones(nodes)]) if by_sample else gains
    mask = torch.tensor([[1, 0, 0, 1, 0], [0, 1, 1, 1, 0], [1, 0, 1, 1, 1]], dtype=torch.bool)
    for lowering in ("loop", "matmul", "grouped"):
        net.set_lowering(lowering)
        plain = net(x)
        with net.attend(gains):
            full = net(x)
            assert (full - plain).abs().max() > 1e-3
            for chosen in SUBSETS:
                close(net(x, classes=list(chosen)), full[:, list(chosen)], chosen)
            close(net(x, classes=mask), full.masked_fill(~mask, float("-inf")))


class Work(TorchDispatchMode):
    """Multiply-adds of products and convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self.macs[name] += answer.numel() * args[1][0].numel()
        elif name in ("mm", "bmm") and answer.shape[-1] > 1:  # 1: weights times a norm's shift, without a map
            self.macs[name] += answer.numel() * args[0].shape[-1]
        elif name in ("addmm", "baddbmm"):
            self.macs[name] += answer.numel() * args[1].shape[-1]
        return answer


def macs(net: HierarchicalNetwork, x: Tensor, classes: Any = None) -> int:
    with torch.no_grad(), Work() as work:
        net(x, classes=classes)
    return sum(work.macs.values())


def path_macs(net: HierarchicalNetwork, x: Tensor, chosen: tuple[int, ...]) -> int:
    """Those of the trunk and of every branch on a path, each built alone; and of the chosen heads."""
    with torch.no_grad(), Work() as work:
        maps = net.trunk(x)
        for j, level in enumerate(net.levels):
            alone = type(level)(1, level.recipes).eval()
            alone.lowering = level.lowering
            for _ in range(len({net.paths[c][: j + 1] for c in chosen})):
                answer = alone(maps)
            maps = answer[:, 0]
    return sum(work.macs.values()) + len(x) * len(chosen) * net.head.in_channels


@pytest.mark.parametrize("lowering", ["loop", "matmul", "grouped"])
def test_only_the_paths_are_computed(net: HierarchicalNetwork, lowering: str) -> None:
    net.set_lowering(lowering)
    x = images(2)
    for chosen in [*ALL[::3], tuple(range(5))]:
        assert macs(net, x, list(chosen)) == path_macs(net, x, chosen), chosen
    one_each = torch.eye(5, dtype=torch.bool)[[0, 3]]
    alone = [path_macs(net, x[:1], (c,)) for c in (0, 3)]
    heads = 2 * (5 - 1) * net.head.in_channels  # all heads run, they are next to nothing
    assert macs(net, x, one_each) == sum(alone) + heads


def test_a_route_is_the_branches_on_the_paths_ascending(net: HierarchicalNetwork) -> None:
    for chosen in ALL:
        found = route(net, chosen)
        paths = [net.paths[c] for c in chosen]
        branches = [tuple(sorted({path[j] for path in paths})) for j in range(len(net.levels))]
        assert [kept for kept, _ in found.levels] == branches
        assert found.classes == chosen
        assert [branches[-1][row] for row in found.rows] == [path[-1] for path in paths]
        for level, above, (kept, rows) in zip(net.levels[1:], branches, found.levels[1:], strict=False):
            assert [above[row] for row in rows] == [level.parents[i] for i in kept]


def test_no_weight_is_copied(net: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    storages = {p.untyped_storage().data_ptr() for p in net.parameters()}
    storages |= {b.untyped_storage().data_ptr() for b in net.buffers()}
    picked = []
    pick = Stack.pick

    def watched(self: Stack, stacked: Tensor, span: Any) -> Tensor:
        found = pick(self, stacked, span)
        if stacked.untyped_storage().data_ptr() in storages:
            picked.append(found)
        return found

    monkeypatch.setattr(Stack, "pick", watched)
    with torch.no_grad():
        net(images(1), classes=[1, 4])
    assert len(picked) > 5
    assert {t.untyped_storage().data_ptr() for t in picked} <= storages


@pytest.mark.parametrize("name", ["loop", "matmul/all", "grouped/2", "auto"])
def test_training_with_active_classes_is_training_the_cutout(net: HierarchicalNetwork, name: str) -> None:
    for level in net.levels:
        level.lowering = LOWERINGS[name]
    net.double().train()
    before = copy.deepcopy(net.state_dict())
    part = net.cutout([0, 3]) if not isinstance(net, OneBranch) or isinstance(net, PHL) else copy.deepcopy(net)
    x = images(4).double()
    net.active = [0, 3]
    found, want = net(x), part(x)[:, -5:] if part.num_classes == 2 else part(x)[:, [0, 3]]
    torch.testing.assert_close(found, want, atol=1e-9, rtol=1e-9)
    found.square().sum().backward()
    want.square().sum().backward()
    for j, level in enumerate(net.levels):
        rows = sorted({net.paths[c][j] for c in (0, 3)})
        others = [i for i in range(level.branches) if i not in rows]
        for key, p in level.named_parameters():
            torch.testing.assert_close(p.grad[rows], part.levels[j].get_parameter(key).grad, atol=1e-8, rtol=1e-8)
            assert not p.grad[others].any()
        for key, b in level.named_buffers():
            torch.testing.assert_close(b[rows], part.levels[j].get_buffer(key), atol=1e-9, rtol=1e-9)
            assert torch.equal(b[others], before[f"level{j + 1}.{key}"][others])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("dgo", "no class or group 'dgo'; nearest: .*dog"),
        ([0, 5], "no class has the index 5; expected 0..4"),
        ([], "no class is chosen; expected at least one"),
        ([True, False], "a mask of booleans needs one per class; expected 5, got 2"),
        (torch.zeros(5, dtype=torch.bool), "no class is chosen"),
        (3.5, r"named by an int or a str.*got '3.5' \(float\)"),
        (torch.zeros(3, 4, dtype=torch.bool), r"need a bool mask; expected \(3, 5\), got torch.bool \(3, 4\)"),
        (torch.zeros(2, 5, dtype=torch.bool), r"need a bool mask; expected \(3, 5\), got torch.bool \(2, 5\)"),
        (torch.zeros(3, 5), r"need a bool mask; expected \(3, 5\), got torch.float32 \(3, 5\)"),
        ([["cat"], ["dog"]], "class sets by sample need one for each; expected 3, got 2"),
        ([["cat"], ["dog"], ["dgo"]], "no class or group 'dgo'"),
    ],
)
def test_mistakes(tiny: HierarchicalNetwork, classes: Any, message: str) -> None:
    x = images()
    want = tiny(x)
    with pytest.raises(HiergenError, match=message):
        tiny(x, classes=classes)
    if not isinstance(classes, Tensor) or classes.ndim == 1:
        tiny.active = "cat"
        with pytest.raises(HiergenError, match=r"no class|mask of booleans|named by"):
            tiny.active = classes
        assert tiny.active == ("c0", "c2")
        tiny.active = None
    assert torch.equal(tiny(x), want)


def test_class_sets_by_sample_are_refused_in_training(tiny: HierarchicalNetwork) -> None:
    tiny.train()
    before = copy.deepcopy(tiny.state_dict())
    with pytest.raises(HiergenError, match=r"batch statistics of its own; model.eval\(\)"):
        tiny(images(), classes=[[0], [1], [2]])
    torch.testing.assert_close(dict(tiny.state_dict()), dict(before), atol=0, rtol=0)


def test_an_exception_inside_leaves_the_network_as_it_was(tiny: HierarchicalNetwork) -> None:
    x = images()
    want = tiny(x)
    with pytest.raises(ValueError, match="expected"):
        tiny.level2(torch.zeros(1, 2, 3, 4, 4), branches=(0,), maps=(0,))
    with pytest.raises(RuntimeError):
        tiny(torch.zeros(1, 4, 32, 32), classes=[0, 3])
    with pytest.raises(RuntimeError), tiny.attend({"cat": 3.0}):
        tiny(torch.zeros(1, 4, 32, 32), classes=[0, 3])
    assert tiny.active is None
    assert torch.equal(tiny(x), want)


@torch.no_grad()
def test_copies_keep_what_is_active(net: HierarchicalNetwork) -> None:
    x = images()
    full = net(x)
    net.active = [1, 4]
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301
        assert other.active == ("c1", "c4")
        close(other(x), full[:, [1, 4]])
        other.active = None
        close(other(x), full)
    assert net.active == ("c1", "c4")
    assert net.state_dict().keys() == type(net)().state_dict().keys()


@torch.no_grad()
def test_features_while_classes_are_active(tiny: HierarchicalNetwork) -> None:
    x = images()
    maps = tiny.forward_features(x)
    tiny.active = ["c1", "c4"]
    found = tiny.forward_features(x)
    close(found, maps[:, [2, 4]])  # rows of the leaves, in tree order
    close(tiny.forward_head(found, pre_logits=True), maps[:, [2, 4]].mean((3, 4)))


@torch.no_grad()
def test_features_of_another_choice_are_refused(tiny: HierarchicalNetwork) -> None:
    maps = tiny.forward_features(images())
    tiny.active = ["c1", "c4"]
    with pytest.raises((HiergenError, ValueError)):
        tiny.forward_head(maps)
    few = tiny.forward_features(images())
    tiny.active = None
    with pytest.raises((HiergenError, ValueError)):
        tiny.forward_head(few)


@torch.no_grad()
def test_autocast_and_channels_last(tiny: HierarchicalNetwork) -> None:
    x = images()
    mask = torch.tensor([[1, 0, 0, 1, 0], [0, 1, 1, 1, 0], [1, 0, 1, 1, 1]], dtype=torch.bool)
    full = tiny(x)
    close(tiny(x.to(memory_format=torch.channels_last), classes=mask), full.masked_fill(~mask, float("-inf")))
    with torch.autocast("cpu", torch.bfloat16):
        half = tiny(x)
        found = tiny(x, classes=mask)
        assert found.dtype == half.dtype == tiny(x, classes=[0, 3]).dtype
        torch.testing.assert_close(found[mask].float(), full[mask], atol=0.1, rtol=0.1)


@torch.no_grad()
def test_compiled_and_exported(tiny: HierarchicalNetwork) -> None:
    x = images()
    full = tiny(x)
    tiny.active = [0, 3]
    torch._dynamo.reset()
    close(torch.compile(tiny, fullgraph=True, backend="aot_eager")(x), full[:, [0, 3]])
    close(torch.export.export(tiny, (x,)).module()(x), full[:, [0, 3]])


@torch.no_grad()
@pytest.mark.parametrize("name", LOWERINGS)
def test_no_samples(net: HierarchicalNetwork, name: str) -> None:
    for level in net.levels:
        level.lowering = LOWERINGS[name]
    assert net(images(0)).shape == (0, 5)
    assert net(images(0), classes=[1, 2]).shape == (0, 2)
    assert net(images(0), classes=torch.zeros(0, 5, dtype=torch.bool)).shape == (0, 5)


@torch.no_grad()
def test_class_sets_by_sample_may_be_arrays(tiny: HierarchicalNetwork) -> None:
    x = images()[:2]
    want = tiny(x, classes=[[0, 2], [1]])
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.array([0, 2]), np.array([1])]
    for sets in (
        [np.array([0, 2]), np.array([1])],
        (np.array(["c0", "c2"]), {1}),
        [range(0, 3, 2), torch.tensor([1])],
        [np.array([True, False, True, False, False]), ["c1"]],
        ragged,
        np.array([[True, False, True, False, False], [False, True, False, False, False]]),
    ):
        assert torch.equal(tiny(x, classes=sets), want)
    # other kernels may round otherwise
    torch.testing.assert_close(tiny(x, classes=[np.int64(0), np.array(2)]), tiny(x)[:, [0, 2]])
    none = tiny(x, classes=[np.array([], dtype=int), [1]])
    assert bool(none[0].isinf().all())


def test_maps_smaller_than_a_stride_are_one_sentence(tiny: HierarchicalNetwork) -> None:
    for side in (1, 2, 4, 8):
        with pytest.raises(HiergenError, match="a map is smaller than a stride of the branches; got"):
            tiny(torch.zeros(1, 3, side, side))
    assert tiny(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
