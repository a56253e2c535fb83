"""Top-down attention: gains of classes and groups, as tensors by level (Kelm et al., arXiv 2308.05128)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hiergen.errors import HiergenError, quoted
from hiergen.nn.lowering import is_traced

if TYPE_CHECKING:
    from hiergen.nn.network import HierarchicalNetwork


@dataclass(frozen=True)
class Gains:
    """`levels[j]`: `(1 or B, branches of level j + 1)`, or None where all are 1; applied after block `after`."""

    levels: tuple[Tensor | None, ...]
    after: tuple[int, ...]

    def of_level(self, index: int) -> tuple[Tensor | None, int | None]:
        return self.levels[index], self.after[index]

    def times(self, outer: Gains | None) -> Gains:
        """The product with the gains of an outer block. Raises HiergenError unless both act after the same block."""
        if outer is None:
            return self
        if outer.after != self.after:
            raise HiergenError(
                "nested blocks of attend act after the same block", expected=f"{outer.after}", got=f"{self.after}"
            )
        levels = tuple(_product(a, b) for a, b in zip(self.levels, outer.levels, strict=True))
        return Gains(levels, self.after)

    def check_batch(self, batch: int) -> None:
        """HiergenError unless the gains are the same for all samples, or there is a row for each."""
        rows = {len(level) for level in self.levels if level is not None} - {1}
        if any(row != batch for row in rows):
            raise HiergenError("gains by sample need one row for each", expected=str(batch), got=str(min(rows)))


@dataclass(eq=False)
class _Block:
    """A `with` block of `attend`; both are None once it has ended, in contexts that copied this one too."""

    network: object | None
    gains: Gains | None


_ATTENDED: ContextVar[tuple[_Block, ...]] = ContextVar("attend", default=())
_AT_REST: ContextVar[tuple[object, ...]] = ContextVar("at_rest", default=())


@contextmanager
def attended(network: object, gains: Gains) -> Iterator[None]:
    """The network sees these gains, times those of blocks around, in this context. Blocks may end in any order."""
    block = _Block(network, gains)
    _ATTENDED.set((*_open_blocks(), block))
    try:
        yield
    finally:
        block.network = block.gains = None
        _ATTENDED.set(_open_blocks())


def _open_blocks() -> tuple[_Block, ...]:
    return tuple(block for block in _ATTENDED.get() if block.network is not None)


def gains_in_force(network: object) -> Gains | None:
    """The product of the network's blocks of `attend` that are open in this context."""
    found: Gains | None = None
    for block in _ATTENDED.get():
        gains = block.gains  # it may end in another thread
        if gains is not None and block.network is network:
            found = gains if found is None else gains.times(found)
    return None if is_at_rest(network) else found


@contextmanager
def at_rest(network: object) -> Iterator[None]:
    """Neither `active` nor the gains of `attend` act on the network, in this context alone."""
    token = _AT_REST.set((*_AT_REST.get(), network))
    try:
        yield
    finally:
        _AT_REST.reset(token)


def is_at_rest(network: object) -> bool:
    """Whether `at_rest` says so here."""
    return any(resting is network for resting in _AT_REST.get())


def node_gains(
    network: HierarchicalNetwork,
    gains: Mapping[int | str, float | Tensor] | Tensor,
    after: int | None,
) -> Gains:
    """Checked gains of every level, without those of blocks around. Raises HiergenError as `attend` does."""
    sizes = [level.branches for level in network.levels]
    if sizes[-1] < network.num_classes:
        raise HiergenError(
            f"{type(network).__name__} has no features of single classes to attend to: they share one branch"
        )
    blocks = [len(level.blocks) for level in network.levels]
    if after is not None and not (type(after) is int and 1 <= after <= min(blocks)):
        raise HiergenError("no such block in every branch", expected=f"after = 1..{min(blocks)}", got=repr(after))
    places = tuple(after or level.default_block for level in network.levels)
    if isinstance(gains, Mapping):
        _check_order(network)
        levels = _by_mapping(network, gains, sizes)
    else:
        levels = _by_tensor(gains, sizes)
    return Gains(tuple(levels), places)


def _check_order(network: HierarchicalNetwork) -> None:
    """HiergenError unless the branches are those that the taxonomy's names stand for, in tree order."""
    nesting = network.nesting
    agree = all(
        (level.parents or (0,) * level.branches) == nesting.parents(j) for j, level in enumerate(network.levels, 1)
    )
    if not agree or (network.head.parents or tuple(range(network.num_classes))) != nesting.heads:
        raise HiergenError(
            f"{type(network).__name__}'s branches are not in the order of its taxonomy, so names do not find them",
            hint="build it with parents=self.nesting.parents(j) and self.nesting.heads, or give gains as a tensor by "
            "branch",
        )


def _by_mapping(
    network: HierarchicalNetwork, gains: Mapping[int | str, float | Tensor], sizes: list[int]
) -> list[Tensor | None]:
    weight = network.head.weight
    levels: list[Tensor | None] = [None] * len(sizes)
    for term, gain in gains.items():
        values = _checked(gain, f"gain of {quoted(term)}", device=weight.device)
        if values.ndim > 1:
            raise HiergenError(
                f"the gain of {quoted(term)} is one number, or one for each sample",
                expected="() or (B,)",
                got=str(tuple(values.shape)),
            )
        for node in network.selector.nodes(term):
            factors = torch.ones(max(values.numel(), 1), sizes[node.level - 1], device=weight.device)
            factors[:, node.branch] = values
            levels[node.level - 1] = _product(levels[node.level - 1], factors)
    return levels


def _by_tensor(gains: Tensor, sizes: list[int]) -> list[Tensor | None]:
    values = _checked(gains, "gains")
    if values.ndim not in (1, 2) or values.shape[-1] != sum(sizes):
        raise HiergenError(
            "gains have one column for each node of the network",
            expected=f"({sum(sizes)},) or (B, {sum(sizes)})",
            got=str(tuple(values.shape)),
        )
    return list(torch.split(values.reshape(-1, sum(sizes)), sizes, dim=1))


def _checked(gain: object, what: str, device: torch.device | None = None) -> Tensor:
    """The gain as a tensor; HiergenError unless it is real, finite and not negative."""
    if isinstance(gain, bool) or not isinstance(gain, int | float | Tensor):
        raise HiergenError(f"the {what} is no number", expected="a number from 0 up", got=quoted(repr(gain)))
    values = gain.to(device) if isinstance(gain, Tensor) else torch.tensor(float(gain), device=device)
    if not (is_traced() or values.is_meta) and not bool((torch.isfinite(values) & (values >= 0)).all()):
        bad = values[~(torch.isfinite(values) & (values >= 0))].flatten()[0].item()
        raise HiergenError(f"the {what} cannot be", expected="a finite number from 0 up", got=f"{bad:g}")
    return values


def _product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a * b
