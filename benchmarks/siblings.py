"""PHLlateSP's branches run together: every lowering beside a Python loop, vmap, and one matrix product of as many MACs.

python benchmarks/siblings.py [--branches 10 100] [--batch 1 16] [--train] [--nested] [--device cpu] [--repeats 7]

`--nested` takes the ragged levels of generated/imagenet100.py's N2HL and N3HL instead. All in float32 and in turns (one
run of each, again and again), so that a slow minute of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import timm
import torch
from timm.models.resnet import Bottleneck
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn import Bottlenecks, HierarchicalNetwork, Lowering, Siblings

# Kelm et al., recovered: 0.0653 GMACs a branch on (1024, 14, 14)
STAGES = [Bottlenecks(1024, 64, 96, depth=3, stride=2), Bottlenecks(96, 128, 512, depth=3)]
MACS = 65_336_320
LOWERINGS = [
    Lowering("loop"),
    *(Lowering("matmul", c) for c in (2, 10, 25, None)),
    *(Lowering("grouped", c) for c in (2, 5, 10, None)),
]
TRAINED = [Lowering("loop"), Lowering("matmul", 2), Lowering("grouped", 10)]


def timm_branch(recipes: Sequence[Bottlenecks] = STAGES) -> nn.Sequential:
    """One branch as timm would build it."""

    def block(channels: int, width: int, out: int, stride: int = 1) -> Bottleneck:
        down = None
        if channels != out or stride != 1:
            down = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        made = Bottleneck(channels, width, stride=stride, downsample=down)
        made.conv3, made.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        return made

    blocks = []
    for r in recipes:
        blocks.append(block(r.in_channels, r.width, r.out, r.stride))
        blocks += [block(r.out, r.width, r.out) for _ in range(1, r.depth)]
    return nn.Sequential(*blocks)


def folded(branch: nn.Sequential) -> nn.Sequential:
    """The same with every batch norm in its convolution."""
    branch = copy.deepcopy(branch).eval()
    for block in branch:
        for i in "123":
            setattr(block, f"conv{i}", fuse_conv_bn_eval(getattr(block, f"conv{i}"), getattr(block, f"bn{i}")))
            setattr(block, f"bn{i}", nn.Identity())
        if block.downsample is not None:
            block.downsample = fuse_conv_bn_eval(*block.downsample)
    return branch


def bound(macs: int, device: torch.device, *, train: bool) -> Callable[[], object]:
    """Square matrix products with these MACs (three times as many in a training step)."""
    side = round(macs ** (1 / 3))
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    return (lambda: (a @ b, a.t() @ b, a @ b.t())) if train else (lambda: a @ b)


def step(forward: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], x: Tensor) -> Callable[[], object]:
    """Forward and backward, gradients of weights and input."""
    x = x.clone().requires_grad_()

    def run() -> None:
        for tensor in (*parameters, x):
            tensor.grad = None
        forward(x).sum().backward()

    return run


def contenders(n: int, batch: int, device: torch.device, *, train: bool) -> dict[str, Callable[[], object]]:
    """Name → one run; all compute n branches' pooled features of one batch."""
    x = torch.randn(batch, 1024, 14, 14, device=device)
    last = x.contiguous(memory_format=torch.channels_last)
    with torch.device(device):
        loop = nn.ModuleList(timm_branch() for _ in range(n)).train(train)
        siblings = Siblings(n, STAGES).train(train)
    found: dict[str, Callable[[], object]] = {"bound": bound(MACS * n * batch, device, train=train)}

    def looped(branches: nn.ModuleList) -> Callable[[Tensor], Tensor]:
        return lambda images: torch.stack([branch(images).mean((2, 3)) for branch in branches], 1)

    def stacked(lowering: Lowering | str) -> Callable[[Tensor], Tensor]:
        def run(images: Tensor) -> Tensor:
            siblings.lowering = lowering
            return siblings(images, pool=True)

        return run

    if train:
        found["Python loop"] = step(looped(loop), list(loop.parameters()), x)
        for lowering in (*TRAINED, "auto"):
            found[str(lowering)] = step(stacked(lowering), list(siblings.parameters()), x)
        return found
    found["Python loop"] = lambda: looped(loop)(x)
    if n <= 100:  # more would not fit into 24 GiB
        merged = nn.ModuleList(folded(branch) for branch in loop)
        merged_last = copy.deepcopy(merged).to(memory_format=torch.channels_last)
        found["Python loop, BN folded"] = lambda: looped(merged)(x)
        found["the same, channels_last"] = lambda: looped(merged_last)(last)
        weights, buffers = stack_module_state(list(loop))
        base = copy.deepcopy(loop[0]).to("meta")
        one = vmap(lambda w, b, images: functional_call(base, (w, b), (images,)).mean((2, 3)), in_dims=(0, 0, None))
        found["torch.func vmap"] = lambda: one(weights, buffers, x)
    for lowering in (*LOWERINGS, "auto"):
        found[str(lowering)] = lambda lowering=lowering: stacked(lowering)(x)
    return found


def nested(name: str, batch: int) -> dict[str, Callable[[], object]]:
    """All levels of a generated network, without its trunk: auto and loop lowerings, a Python loop, the bound."""
    model = getattr(importlib.import_module("generated.imagenet100"), name)().eval()
    x = torch.randn(batch, model.trunk.out_channels, *model.trunk.map_size)
    loops = [nn.ModuleList(timm_branch(level.recipes) for _ in range(level.branches)).eval() for level in model.levels]
    merged = [nn.ModuleList(folded(branch) for branch in level) for level in loops]
    with FlopCounterMode(display=False) as counter:
        fused(model, "loop", x)
    macs = counter.get_total_flops() // 2

    def looped(branches: list[nn.ModuleList]) -> None:
        maps = [x]
        for level, siblings in zip(model.levels, branches, strict=True):
            homes = level.parents or (0,) * level.branches
            maps = [branch(maps[home]) for branch, home in zip(siblings, homes, strict=True)]
        torch.stack([m.mean((2, 3)) for m in maps], 1)

    return {
        "bound": bound(macs, x.device, train=False),
        "Python loop": lambda: looped(loops),
        "Python loop, BN folded": lambda: looped(merged),
        "loop": lambda: fused(model, "loop", x),
        "auto": lambda: fused(model, "auto", x),
    }


def fused(model: HierarchicalNetwork, lowering: str, x: Tensor) -> Tensor:
    """Pooled features of the last level."""
    model.set_lowering(lowering)
    for level in model.levels:
        x = level(x, pool=level is model.levels[-1])
    return x


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def measure(runs: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Every contender `repeats` times, in turns, after one run to warm up; a hopeless one is timed once."""
    first = {name: timed(run, device) for name, run in runs.items()}
    slow = {name for name, ms in first.items() if ms > 8 * min(first.values()) * (3 if "vmap" in name else 1)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name, run in runs.items():
            if turn == 0 or name not in slow:
                times[name].append(timed(run, device))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--branches", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--train", action="store_true", help="forward and backward")
    parser.add_argument("--nested", action="store_true", help="the ragged levels of N2HL and N3HL of ImageNet100")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    print(f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, timm {timm.__version__}")
    torch.manual_seed(0)
    if arguments.nested:
        sys.path.insert(0, str(Path(__file__).parent.parent))
        for model in ("N2HL", "N3HL"):
            for batch in arguments.batch:
                with torch.inference_mode():
                    report(f"{model}'s levels", batch, measure(nested(model, batch), arguments.repeats, device))
        return
    for n in arguments.branches:
        for batch in arguments.batch:
            with torch.set_grad_enabled(arguments.train):
                runs = contenders(n, batch, device, train=arguments.train)
                times = measure(runs, arguments.repeats, device)
            what = "forward and backward" if arguments.train else "eval"
            report(f"{n} branches, {what}", batch, times)


def report(what: str, batch: int, times: dict[str, list[float]]) -> None:
    middle = {name: statistics.median(values) for name, values in times.items()}
    print(f"\n{what}, batch {batch}")
    print(f"{'':32} {'median ms':>10} {'spread':>15} {'loop / it':>10} {'it / bound':>10}")
    for name, ms in middle.items():
        spread = f"{min(times[name]):.1f}–{max(times[name]):.1f}"
        print(f"{name:32} {ms:10.1f} {spread:>15} {middle['Python loop'] / ms:10.2f} {ms / middle['bound']:10.2f}")
    best = min(middle[str(lowering)] for lowering in LOWERINGS if str(lowering) in middle)
    print(f"auto / best lowering: {middle['auto'] / best:.2f}")


if __name__ == "__main__":
    main()
