"""How stacked branches are executed: which kernels (a `Lowering`), and on which slice of the stack (a `Run`).

Inside a level maps are *rows*, `(n, B, H, W, C)`: branches first, channels last. There a 1×1 convolution of one branch
is a matrix product of `B·H·W` rows without any copy, and one branch's map is just what channels_last kernels want.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Kind: TypeAlias = Literal["matmul", "loop", "grouped"]
KINDS: tuple[Kind, ...] = ("matmul", "loop", "grouped")


@dataclass(frozen=True)
class Lowering:
    """`kind` of kernels, and how many branches run at once (`chunk`; None: all).

    `matmul`: batched matrix products, of patches where the kernel is larger than 1×1; all siblings that read one map
    share a single product. `loop`: one branch at a time through the channels_last convolutions of the backend, batch
    norm folded into the weights in eval mode. `grouped`: one convolution with a group per branch.
    """

    kind: Kind
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"lowering expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.chunk is not None and (type(self.chunk) is not int or self.chunk < 1):
            raise ValueError(f"chunk expected a positive int or None, got {self.chunk!r}")

    def __str__(self) -> str:
        return self.kind if self.kind == "loop" else f"{self.kind}/{self.chunk or 'all'}"


_FORCED: ContextVar[Lowering | None] = ContextVar("lowering", default=None)


@contextmanager
def forced(lowering: Lowering | None) -> Iterator[None]:
    """All levels run in one way, in this context alone; None leaves each its own."""
    token = _FORCED.set(lowering)
    try:
        yield
    finally:
        _FORCED.reset(token)


def forced_lowering() -> Lowering | None:
    """What `forced` says here."""
    return _FORCED.get()


@dataclass(frozen=True)
class Span:
    """Branches `lo` … `hi` - 1 of a level. `maps` are the rows of the input that they read, in order; `families[i]`
    branches read the i-th of them."""

    lo: int
    hi: int
    maps: tuple[int, ...]
    families: tuple[int, ...]


def span_of(lo: int, maps: Sequence[int]) -> Span:
    """Neighbouring branches from `lo` on, with the row that each reads."""
    families = [(row, len(list(same))) for row, same in groupby(maps)]
    return Span(lo, lo + len(maps), tuple(row for row, _ in families), tuple(count for _, count in families))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def spans(branches: tuple[int, ...], maps: tuple[int, ...], chunk: int) -> tuple[Span, ...]:
    """Cut the chosen branches (ascending; branch i reads row `maps[i]`) into runs of neighbours, `chunk` at most."""
    return _spans(branches, maps, chunk)


@lru_cache(maxsize=4096)
def _spans(branches: tuple[int, ...], maps: tuple[int, ...], chunk: int) -> tuple[Span, ...]:
    cut: list[Span] = []
    start = 0
    for end in range(1, len(branches) + 1):
        if end < len(branches) and branches[end] == branches[end - 1] + 1 and end - start < chunk:
            continue
        cut.append(span_of(branches[start], maps[start:end]))
        start = end
    return tuple(cut)


@dataclass
class Run:
    """One slice of a level on its way through the blocks; blocks ask it for their rows of a stacked tensor."""

    kind: Kind
    span: Span
    stack: Stack

    @property
    def branches(self) -> int:
        return self.span.hi - self.span.lo

    def pick(self, stacked: Tensor) -> Tensor:
        """This run's rows of a parameter or buffer; a view."""
        return self.stack.pick(stacked, self.span)

    def memo(self, owner: object, compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """This run's rows of tensors that are computed once per forward, for all branches."""
        memos = self.stack.memos
        if id(owner) not in memos:
            memos[id(owner)] = compute()
        return tuple(self.pick(tensor) for tensor in memos[id(owner)])

    def expand(self, x: Tensor) -> Tensor:
        """A copy of its map for every branch, if siblings still share them."""
        if x.shape[0] == self.branches:
            return x
        families = self.span.families
        if len(families) == 1:
            return x.expand(self.branches, *x.shape[1:])
        if is_traced():
            index = [row for row, n in enumerate(families) for _ in range(n)]
            return x.index_select(0, torch.tensor(index, device=x.device))
        return torch.cat([row.expand(n, *row.shape) for row, n in zip(x.unbind(), families, strict=True)])

    def product(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`(m, L, in)` rows times `(n, out, in)` weights, to `(n, L, out)`; m = n, or siblings share their rows."""
        if is_traced() and len(self.span.families) > 1:
            rows = self.expand(rows)
        if rows.shape[0] == self.branches:
            transposed = weight.transpose(1, 2)
            return torch.bmm(rows, transposed) if bias is None else torch.baddbmm(bias[:, None], rows, transposed)
        parts, lo = [], 0
        for shared, n in zip(rows, self.span.families, strict=True):
            kernel = weight[lo : lo + n].flatten(0, 1)  # one dense product for all siblings of a parent
            parts.append(shared @ kernel.t() if self.kind == "grouped" else kernel @ shared.t())
            lo += n
        if self.kind == "grouped":  # channels_last across the siblings, as the convolutions and norms that follow
            y = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
            y = y.view(y.shape[0], *weight.shape[:2]).transpose(0, 1)
        else:
            y = parts[0] if len(parts) == 1 else torch.cat(parts)
            y = y.view(*weight.shape[:2], y.shape[1]).transpose(1, 2)
        return y if bias is None else y + bias[:, None]

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, *, depthwise: bool = False
    ) -> Tensor:
        """`(m, B, H, W, in)` with `(n, out, k, k, in)` weights to `(n, B, H', W', out)`; `depthwise`: in = 1."""
        kernel = weight.shape[2]
        shared = 1 < x.shape[0] < self.branches and kernel == 1  # siblings' products spare copies of their maps
        # of maps one px wide torch's CPU kernels mistake the layout, and their gradients of the weights are wrong
        narrow = kernel > 1 and not is_exported() and 1 in x.shape[2:4]
        if (depthwise or (self.kind != "matmul" and not shared)) and not narrow:
            return self._backend(x, weight, bias, stride, padding, depthwise)
        if depthwise:
            windows = patches(self.expand(x), kernel, stride, padding)
            windows = windows.view(*windows.shape[:4], kernel**2, x.shape[4])
            y = (windows * weight.flatten(2, 4).transpose(1, 2)[:, None, None, None]).sum(4)
            return (y if bias is None else y + bias[:, None, None, None]).to(x.dtype)
        if kernel > 1:
            x = patches(x, kernel, stride, padding)
        elif stride > 1:
            x = x[:, :, ::stride, ::stride]
        y = self.product(x.flatten(1, 3), weight.flatten(2), bias)
        return y.reshape(y.shape[0], *x.shape[1:4], y.shape[2])

    def _backend(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, depthwise: bool
    ) -> Tensor:
        """torch's own convolution: on one branch, on siblings that share a map, or with a group per branch."""
        n, channels = weight.shape[0], x.shape[4]
        if x.shape[0] > 1 or depthwise:
            x = self.expand(x)
        groups = x.shape[0] * (channels if depthwise else 1)
        folded = x.permute(1, 0, 4, 2, 3).flatten(1, 2)
        if not is_exported() and folded.shape[0] == 1 and groups > 1:
            # one image's stride is whatever the fold left, and then torch 2.15's CPU gradients of the kernels are wrong
            folded = folded.as_strided(folded.shape, (folded.numel(), *folded.stride()[1:]))
        kernels = weight.flatten(0, 1).permute(0, 3, 1, 2)
        y = F.conv2d(folded, kernels, None if bias is None else bias.flatten(), stride, padding, groups=groups)
        return y.view(y.shape[0], n, weight.shape[1], *y.shape[2:]).permute(1, 0, 3, 4, 2)


@dataclass
class Stack:
    """What the runs of one forward through a level share."""

    spans: tuple[Span, ...]
    memos: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    maps: list[Tensor] = field(default_factory=list)
    _pieces: dict[int, dict[int, Tensor]] = field(default_factory=dict)

    def pick(self, stacked: Tensor, span: Span) -> Tensor:
        if span.hi - span.lo == stacked.shape[0]:
            return stacked
        if not (stacked.requires_grad and torch.is_grad_enabled()):
            return stacked[span.lo : span.hi]
        # slices would each add a whole zero gradient; one split adds the gradients up in one concatenation
        if id(stacked) not in self._pieces:
            cuts = sorted({0, stacked.shape[0], *(s.lo for s in self.spans), *(s.hi for s in self.spans)})
            sizes = [b - a for a, b in pairwise(cuts)]
            self._pieces[id(stacked)] = dict(zip(cuts, torch.split(stacked, sizes), strict=False))
        return self._pieces[id(stacked)][span.lo]


def patches(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """im2col: `(n, B, H, W, C)` to `(n, B, H', W', k·k·C)`, in the order of `(k, k, C)` weights."""
    if padding:
        x = F.pad(x, (0, 0, padding, padding, padding, padding))
    windows = x.unfold(2, kernel, stride).unfold(3, kernel, stride)
    return windows.permute(0, 1, 2, 3, 5, 6, 4).flatten(4)


def select_maps(x: Tensor, maps: tuple[int, ...], unbound: list[Tensor] | None = None) -> Tensor:
    """Rows of `(P, ...)`; a view where they are neighbours. `unbound` keeps what several calls on x share."""
    if maps == tuple(range(len(x))):
        return x
    if maps == tuple(range(maps[0], maps[0] + len(maps))) and not (x.requires_grad and torch.is_grad_enabled()):
        return x[maps[0] : maps[0] + len(maps)]
    if is_traced():
        return x.index_select(0, torch.tensor(maps, device=x.device))
    rows = unbound if unbound is not None else []
    if not rows:
        rows.extend(x.unbind())  # its gradient is one stack, that of a slice a zero tensor as large as x
    return rows[maps[0]][None] if len(maps) == 1 else torch.stack([rows[row] for row in maps])


def is_traced() -> bool:
    """Whether torch.compile, torch.export or torch.jit.trace is looking: then a level is one run, so that its graph
    stays small."""
    return bool(torch.compiler.is_compiling()) or is_jit_traced()


def is_exported() -> bool:
    """Whether torch.export or torch.jit.trace is looking."""
    exporting: Any = getattr(torch.compiler, "is_exporting", None)
    return is_jit_traced() or bool(exporting and exporting())


def is_jit_traced() -> bool:
    """Whether torch.jit.trace is looking, as TensorBoard's graphs and torch's older ONNX exporter do."""
    jit: Any = torch.jit
    return bool(jit.is_tracing())
