"""Every way to execute a level against a plain loop over single branches."""

from __future__ import annotations

import copy
import random
import shutil
import weakref
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from network_cases import LOWERINGS, STAGES, TREES, branch, randomized
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hiergen.nn import Bottlenecks, ConvNeXts, InvertedResiduals, Siblings
from hiergen.nn.lowering import Lowering, Run, Span, Stack, select_maps, spans
from hiergen.nn.primitives import BranchBatchNorm2d

BOTH = [Bottlenecks(6, 4, 8, stride=2), ConvNeXts(8, 6, 4, stride=2, grn=True)]  # both kinds of block, small
EVAL_AND_TRAIN = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
# sums of a training step's gradients cancel, so that only double precision tells a wrong term from rounding
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=["double", "float"])


def build(stages: list, tree: str, *, training: bool = False, dtype: torch.dtype = torch.float32) -> Siblings:
    parents = TREES[tree]
    count = 5 if parents is None else len(parents)
    return randomized(Siblings(count, stages, parents=parents)).train(training).to(dtype)


def maps_for(siblings: Siblings, batch: int = 2, height: int = 5, width: int = 6) -> Tensor:
    shape = (batch, siblings.in_channels, height, width)
    if siblings.parents is not None:
        shape = (batch, max(siblings.parents) + 1, *shape[1:])
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return values.to(next(siblings.parameters()).dtype)


def loop(ones: list[Siblings], siblings: Siblings, x: Tensor) -> Tensor:
    homes = siblings.parents or (0,) * siblings.branches
    return torch.cat([one(x if siblings.parents is None else x[:, homes[i]]) for i, one in enumerate(ones)], dim=1)


def step(modules: list[Siblings], call: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, Any]:
    """What one forward and backward leaves: output, input gradient, rows of all gradients and buffers."""
    x = x.detach().requires_grad_()
    y = call(x)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype)
    (y * upstream).sum().backward()
    found = {"output": y.detach(), "input": x.grad}
    for name, p in modules[0].named_parameters():
        if p.requires_grad:
            found[f"d {name}"] = torch.cat([m.get_parameter(name).grad for m in modules])
    found |= {name: torch.cat([m.get_buffer(name) for m in modules]) for name, _ in modules[0].named_buffers()}
    return found


def compared(siblings: Siblings, x: Tensor, lowerings: Any = LOWERINGS) -> None:
    """Each lowering leaves what the loop does."""
    tolerance = TOLERANCE[x.dtype]
    ones = [branch(siblings, i) for i in range(siblings.branches)]
    want = step(ones, lambda x: loop(ones, siblings, x), x)
    for name, lowering in lowerings.items():
        fused = copy.deepcopy(siblings)
        fused.lowering = lowering
        found = step([fused], fused, x)
        torch.testing.assert_close(found, want, atol=tolerance, rtol=tolerance, msg=lambda m, name=name: f"{name}: {m}")


def in_neighbourly_runs(branches: list[int], maps: list[int], chunk: int) -> list[Span]:
    """`spans` the slow way: first the runs, then their chunks, then the rows of each."""
    runs: list[list[tuple[int, int]]] = []
    for pair in zip(branches, maps, strict=True):
        if runs and runs[-1][-1][0] + 1 == pair[0]:
            runs[-1].append(pair)
        else:
            runs.append([pair])
    found = []
    for run in runs:
        for start in range(0, len(run), chunk):
            part = run[start : start + chunk]
            changes = [i for i in range(len(part)) if i == 0 or part[i][1] != part[i - 1][1]]
            families = [b - a for a, b in zip(changes, [*changes[1:], len(part)], strict=True)]
            found.append(Span(part[0][0], part[-1][0] + 1, tuple(part[i][1] for i in changes), tuple(families)))
    return found


def test_spans_against_brute_force() -> None:
    rng = random.Random(0)
    for _ in range(500):
        branches = sorted(rng.sample(range(30), rng.randint(1, 30)))
        maps = [rng.randrange(rng.choice([1, 2, 6])) for _ in branches]
        maps = sorted(maps) if rng.random() < 0.5 else maps
        chunk = rng.choice([1, 2, 3, 7, 30, 1000])
        found = spans(tuple(branches), tuple(maps), chunk)
        assert list(found) == in_neighbourly_runs(branches, maps, chunk)
        assert [b for span in found for b in range(span.lo, span.hi)] == branches
        assert [
            row for span in found for row, n in zip(span.maps, span.families, strict=True) for _ in range(n)
        ] == maps


@pytest.mark.parametrize("needs_grad", [False, True])
@pytest.mark.parametrize("maps", [(0,), (3,), (0, 1, 2, 3), (1, 2), (3, 1), (2, 2), (0, 3)])
def test_select_maps(maps: tuple[int, ...], needs_grad: bool) -> None:
    x = torch.randn(4, 3, requires_grad=needs_grad)
    picked = select_maps(x, maps)
    assert torch.equal(picked, x[list(maps)])
    if needs_grad:
        (picked * torch.arange(1.0, len(maps) + 1)[:, None]).sum().backward()
        want = torch.zeros(4, 3).index_add(
            0, torch.tensor(maps), torch.arange(1.0, len(maps) + 1)[:, None].expand(-1, 3)
        )
        assert torch.equal(x.grad, want)
    elif maps == tuple(range(maps[0], maps[0] + len(maps))):
        assert picked.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=["double", "float", "bfloat16"])
@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize("folded", [False, True], ids=["rows", "folded"])
def test_batch_norm_is_torchs(folded: bool, branches: int, dtype: torch.dtype) -> None:
    """With a dead channel, where eps is all; statistics keep their precision."""
    norm = randomized(BranchBatchNorm2d(branches, 4))
    norm.running_var[:, 1] = 0
    norm = norm.double() if dtype == torch.float64 else norm
    x = (torch.randn(branches, 5, 3, 4, 4, generator=torch.Generator().manual_seed(1)) + 2).to(dtype)
    x = x.permute(1, 0, 4, 2, 3).contiguous().permute(1, 0, 3, 4, 2) if folded else x
    run = Run("matmul", Span(0, branches, tuple(range(branches)), (1,) * branches), Stack(()))
    ones = [nn.BatchNorm2d(4).to(norm.weight.dtype) for _ in range(branches)]
    for i, one in enumerate(ones):
        one.load_state_dict({key: value[i] for key, value in norm.state_dict().items()})
    exact = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.15}[dtype]
    for training in (False, True):
        found = norm.train(training)(x, run)
        assert found.dtype == dtype
        for i, one in enumerate(ones):
            want = one.train(training)(x[i].permute(0, 3, 1, 2).to(norm.weight.dtype)).permute(0, 2, 3, 1)
            torch.testing.assert_close(found[i].to(want.dtype), want, atol=exact, rtol=exact)
    for key, value in norm.state_dict().items():
        torch.testing.assert_close(value, torch.stack([one.state_dict()[key] for one in ones]), atol=1e-6, rtol=1e-6)


@EVAL_AND_TRAIN
@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
def test_every_lowering_equals_the_loop(stages: list, tree: str, training: bool) -> None:
    siblings = build(stages, tree, training=training, dtype=torch.float64)
    compared(siblings, maps_for(siblings))


@DTYPES
@EVAL_AND_TRAIN
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 7, 3), (3, 4, 4), (1, 3, 8), (20, 5, 5)])
def test_batches_and_odd_maps(batch: int, height: int, width: int, training: bool, dtype: torch.dtype) -> None:
    for tree in ("shared", "sorted"):
        siblings = build(BOTH, tree, training=training, dtype=dtype)
        compared(siblings, maps_for(siblings, batch, height, width))


LAYOUTS = {
    "channels_last": lambda x: x.movedim(-3, -1).contiguous().movedim(-1, -3),
    "rows": lambda x: x.transpose(0, 1).movedim(-3, -1).contiguous().movedim(-1, -3).transpose(0, 1),
    "strided": lambda x: x.repeat_interleave(2, dim=-1)[..., ::2],
    "expanded": lambda x: x[:1].expand_as(x),
    "transposed": lambda x: x.mT.contiguous().mT,
}


@EVAL_AND_TRAIN
@pytest.mark.parametrize("tree", ["shared", "unsorted"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_the_input(layout: str, tree: str, training: bool) -> None:
    siblings = build(BOTH, tree, training=training, dtype=torch.float64)
    compared(siblings, LAYOUTS[layout](maps_for(siblings, 3)))


@pytest.mark.parametrize("name", LOWERINGS)
def test_the_callers_maps_are_left_alone(name: str) -> None:
    for stages in STAGES.values():
        for tree in ("shared", "sorted"):
            siblings = build(stages, tree)
            siblings.lowering = LOWERINGS[name]
            x = maps_for(siblings)
            before = x.clone()
            with torch.no_grad():
                siblings(x)
            assert torch.equal(x, before)


@EVAL_AND_TRAIN
@pytest.mark.parametrize("tree", ["shared", "sorted"])
@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
def test_autocast(stages: list, tree: str, training: bool) -> None:
    siblings = build(stages, tree, training=training)
    x = maps_for(siblings)
    ones = [branch(siblings, i) for i in range(siblings.branches)]
    exact = loop([copy.deepcopy(one) for one in ones], siblings, x)
    with torch.autocast("cpu", torch.bfloat16):
        want = loop(ones, siblings, x)
        scale = (want.float() - exact).abs().max()
        for name, lowering in LOWERINGS.items():
            fused = copy.deepcopy(siblings)
            fused.lowering = lowering
            found = fused(x)
            assert found.dtype == want.dtype, name
            assert (found.float() - exact).abs().max() < 3 * scale, name
            found.float().sum().backward()
            assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in fused.parameters()), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@EVAL_AND_TRAIN
@pytest.mark.parametrize(
    "stages", [STAGES["mixed"], STAGES["convnextv2"], STAGES["mbconv-tf"]], ids=["mixed", "convnextv2", "mbconv"]
)
def test_modules_of_low_precision(stages: list, training: bool, dtype: torch.dtype) -> None:
    siblings = build(stages, "sorted", training=training).to(dtype)
    x = maps_for(siblings)
    ones = [branch(siblings, i) for i in range(siblings.branches)]
    exact = loop([copy.deepcopy(one).float() for one in ones], siblings, x.float())
    want = loop(ones, siblings, x)
    error = (want.float() - exact).abs().max()
    for name, lowering in LOWERINGS.items():
        fused = copy.deepcopy(siblings)
        fused.lowering = lowering
        found = fused(x)
        assert found.dtype == want.dtype == dtype, name
        assert (found.float() - exact).abs().max() < 3 * error, name
        for key, buffer in fused.named_buffers():
            rows = torch.cat([one.get_buffer(key) for one in ones])
            torch.testing.assert_close(buffer, rows, atol=0.02, rtol=0.02)


@EVAL_AND_TRAIN
@pytest.mark.parametrize("name", LOWERINGS)
def test_frozen_weights(name: str, training: bool) -> None:
    siblings = build(BOTH, "sorted", training=training, dtype=torch.float64)
    siblings.lowering = LOWERINGS[name]
    free = copy.deepcopy(siblings)
    want = step([free], free, maps_for(siblings))
    for part in ("stages.0.0.conv2", "stages.0.0.bn", "stages.1.blocks.0.norm", "stages.1.blocks.0.mlp.fc1.weight"):
        frozen = copy.deepcopy(siblings)
        kept = [p.requires_grad_(not key.startswith(part)).requires_grad for key, p in frozen.named_parameters()]
        assert 0 < sum(kept) < len(kept)
        found = step([frozen], frozen, maps_for(siblings))
        left = {key: value for key, value in want.items() if not key.startswith(f"d {part}")}
        torch.testing.assert_close(found, left, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", LOWERINGS)
def test_without_gradients(name: str) -> None:
    siblings = build(BOTH, "sorted")
    siblings.lowering = LOWERINGS[name]
    x = maps_for(siblings)
    want = siblings(x)
    with torch.no_grad():
        torch.testing.assert_close(siblings(x), want, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(siblings(x), want, atol=1e-5, rtol=1e-5)
    assert want.requires_grad
    (siblings(x) - want).sum().backward()  # nothing is left over from inference


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # torch's, of unfold_backward
@pytest.mark.parametrize("name", LOWERINGS)
def test_function_transforms(name: str) -> None:
    """Gradients by sample: `vmap` of `grad` against one sample at a time."""
    siblings = build(BOTH, "sorted", dtype=torch.float64)
    siblings.lowering = LOWERINGS[name]
    x, weights = maps_for(siblings, 3), {key: p.detach() for key, p in siblings.named_parameters()}

    def loss(weights: dict[str, Tensor], sample: Tensor) -> Tensor:
        return torch.func.functional_call(siblings, weights, (sample[None],)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)
    for i, sample in enumerate(x):
        siblings.zero_grad()
        siblings(sample[None]).square().sum().backward()
        want = {key: p.grad for key, p in siblings.named_parameters()}
        torch.testing.assert_close({key: value[i] for key, value in found.items()}, want, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", LOWERINGS)
def test_two_forwards_before_one_backward(name: str) -> None:
    """As contrastive losses do; running statistics change between."""
    siblings = build(BOTH, "sorted", training=True, dtype=torch.float64)
    siblings.lowering = LOWERINGS[name]
    a, b = maps_for(siblings), maps_for(siblings).flip(0) + 1
    (siblings(a) * siblings(b)).sum().backward()
    ones = [branch(siblings, i) for i in range(siblings.branches)]
    (loop(ones, siblings, a) * loop(ones, siblings, b)).sum().backward()
    for key, p in siblings.named_parameters():
        torch.testing.assert_close(
            p.grad, torch.cat([one.get_parameter(key).grad for one in ones]), atol=1e-8, rtol=1e-8
        )
    assert siblings.stages[0][0].bn1.num_batches_tracked.tolist() == [2] * 6


@pytest.mark.parametrize("name", LOWERINGS)
def test_a_part_of_the_branches_in_training(name: str) -> None:
    """Runs of different lengths: a single branch before a pair, gaps between; the others keep their statistics."""
    siblings = build(BOTH, "shared", training=True, dtype=torch.float64)
    siblings.lowering = LOWERINGS[name]
    x, chosen = maps_for(siblings), (0, 2, 3)
    ones = [branch(siblings, i) for i in chosen]
    found = siblings(x, branches=chosen)
    want = torch.cat([one(x) for one in ones], dim=1)
    torch.testing.assert_close(found, want, atol=1e-9, rtol=1e-9)
    found.square().sum().backward()
    want.square().sum().backward()
    for key, p in siblings.named_parameters():
        rows = torch.cat([one.get_parameter(key).grad for one in ones])
        torch.testing.assert_close(
            p.grad[list(chosen)], rows, atol=1e-9, rtol=1e-9, msg=lambda m, key=key: f"{key}: {m}"
        )
        assert not p.grad[[1, 4]].any()
    assert siblings.stages[0][0].bn2.num_batches_tracked.tolist() == [1, 0, 1, 1, 0]


class Memory(TorchDispatchMode):
    """Most bytes of new tensors alive at once, and the largest of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.largest = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, Tensor) and (key := tensor.untyped_storage()._cdata) not in self.seen:
                size = tensor.untyped_storage().nbytes()
                self.seen.add(key)
                self.now += size
                self.peak, self.largest = max(self.peak, self.now), max(self.largest, size)
                weakref.finalize(tensor.untyped_storage(), self.free, key, size)
        return answer

    def free(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def memory(siblings: Siblings, x: Tensor, lowering: Any) -> Memory:
    siblings.lowering = lowering
    with torch.no_grad(), Memory() as counted:
        siblings(x, pool=True)
    return counted


@pytest.mark.parametrize("kind", ["matmul", "grouped"])
def test_a_chunk_is_all_that_lies_in_memory(kind: Any) -> None:
    siblings = Siblings(24, [Bottlenecks(16, 8, 32, depth=2)]).eval()
    x = torch.randn(4, 16, 8, 8)
    whole = memory(siblings, x, Lowering(kind))
    for chunk, lowering in [(1, Lowering("loop")), *((n, Lowering(kind, n)) for n in (1, 2, 5))]:
        part = memory(siblings, x, lowering)
        assert part.peak - part.now < (chunk + 1) / 24 * (whole.peak - whole.now)
        assert part.largest < max((chunk + 1) / 24 * whole.largest, 2 * siblings.stages[0][0].conv2.weight.nbytes)


def captured(model: nn.Module, *inputs: Tensor) -> tuple[Tensor, int]:
    """The answer of the compiled module and the operations in its graph."""
    sizes = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        sizes.append(sum(node.op == "call_function" or node.op == "call_method" for node in graph.graph.nodes))
        return graph.forward

    torch._dynamo.reset()
    answer = torch.compile(model, fullgraph=True, backend=backend)(*inputs)
    assert len(sizes) == 1
    return answer, sizes[0]


@EVAL_AND_TRAIN
@pytest.mark.parametrize("tree", ["shared", "unsorted"])
def test_compiled(tree: str, training: bool) -> None:
    siblings = build(BOTH, tree, training=training)
    x = maps_for(siblings)
    want = copy.deepcopy(siblings)
    torch._dynamo.reset()
    compiled = torch.compile(siblings, fullgraph=True, backend="aot_eager")
    found, expected = step([siblings], compiled, x), step([want], want, x)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_by_inductor() -> None:
    siblings = randomized(Siblings(3, [Bottlenecks(4, 2, 4)])).eval()
    x = maps_for(siblings)
    torch._dynamo.reset()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(siblings, fullgraph=True)(x), siblings(x), atol=1e-5, rtol=1e-5)


def test_a_graph_does_not_grow_with_the_branches() -> None:
    with torch.no_grad():
        for parents in (lambda n: None, lambda n: [i // (n // 2) for i in range(n)]):
            few, many = (Siblings(n, BOTH, parents=parents(n)).eval() for n in (10, 200))
            counts = [captured(siblings, maps_for(siblings))[1] for siblings in (few, many)]
            assert counts[0] == counts[1]
            graphs = [torch.export.export(siblings, (maps_for(siblings),)).graph for siblings in (few, many)]
            assert len(graphs[0].nodes) == len(graphs[1].nodes)


@pytest.mark.parametrize("tree", TREES)
def test_exported(tree: str) -> None:
    siblings = build(BOTH, tree)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(siblings, (maps_for(siblings, 2),), dynamic_shapes=({0: batch},)).module()
    for size in (2, 5):
        x = maps_for(siblings, size)
        torch.testing.assert_close(exported(x), siblings(x), atol=1e-5, rtol=1e-5)


SIZES = [(height, width) for height in range(1, 5) for width in range(1, 5)]
SMALL = {
    "bottleneck": [Bottlenecks(6, 4, 8)],
    "strided": [Bottlenecks(6, 4, 8, stride=2)],
    "depthwise": [InvertedResiduals(6, 8, 8)],
    "depthwise strided": [InvertedResiduals(6, 8, 8, stride=2, kernel=5)],
    "convnext": [ConvNeXts(6, 8, 8)],
}


@pytest.mark.parametrize("stages", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("backend", ["double", "torch's own"])
@pytest.mark.filterwarnings("ignore:TF32 acceleration:UserWarning")
def test_gradients_on_the_smallest_maps(stages: list, backend: str) -> None:
    """Torch's own kernels mistake the layout of maps one px wide; oneDNN hides them, and takes no doubles."""
    own = {"double": None, "torch's own": torch.float32}[backend]
    for tree, batch, (height, width) in product(["sorted", "shared"], [1, 3], SIZES):
        siblings = build(stages, tree, dtype=torch.float64)
        x = maps_for(siblings, batch, height, width)
        ones = [branch(siblings, i) for i in range(siblings.branches)]
        for one in ones:
            one.lowering = Lowering("matmul")
        want = step(ones, lambda x, ones=ones, siblings=siblings: loop(ones, siblings, x), x)
        for kind in ("loop", "grouped"):
            fused = copy.deepcopy(siblings).to(own)
            fused.lowering = Lowering(kind)
            with torch.backends.mkldnn.flags(enabled=False):
                found = step([fused], fused, x.to(own))
            tolerance = TOLERANCE[own or torch.float64]
            torch.testing.assert_close(
                {name: value.double() for name, value in found.items() if value.is_floating_point()},
                {name: value for name, value in want.items() if value.is_floating_point()},
                atol=tolerance,
                rtol=tolerance,
                msg=lambda m, at=(kind, tree, batch, height, width): f"{at}: {m}",
            )


@pytest.mark.parametrize("stages", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("shape", [(4, 1), (1, 4)])
def test_maps_one_px_wide_stay_out_of_torchs_convolutions(stages: list, shape: tuple[int, int]) -> None:
    """Its bfloat16 gradients there read memory that nobody wrote, on processors that have such kernels."""
    siblings = build(stages, "sorted", training=True)
    wide: list[tuple[int, ...]] = []

    class Convolutions(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.convolution.default and args[1].shape[-1] > 1:
                wide.append(tuple(args[0].shape))
            return func(*args, **(kwargs or {}))

    for kind in ("loop", "grouped"):
        siblings.lowering = Lowering(kind)
        with Convolutions(), torch.autocast("cpu", torch.bfloat16):
            y = siblings(maps_for(siblings, 3, *shape))
        assert y.isfinite().all()
    assert not wide
