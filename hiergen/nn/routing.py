"""Which branches a choice of classes needs, and running each sample through its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.nn.lowering import Run, Span, Stack, is_traced, span_of
from hiergen.nn.siblings import Siblings

if TYPE_CHECKING:
    from hiergen.nn.generalist import Form, Generalist
    from hiergen.nn.network import HierarchicalNetwork


Samples: TypeAlias = tuple[int, ...]
# branch → the samples that went through it, and their maps (b, H, W, C)
Routed: TypeAlias = dict[int, tuple[Samples, Tensor]]


@dataclass(frozen=True)
class Route:
    """Of each level the branches that run, ascending, and the rows of the level above that they read; then the classes,
    ascending, and the rows of the last level that their heads read."""

    levels: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    classes: tuple[int, ...]
    rows: tuple[int, ...]


def route(network: HierarchicalNetwork, classes: tuple[int, ...]) -> Route:
    """The paths that lead to these classes (Kelm et al., arXiv 2308.05128, Eq. 3)."""
    paths: Route = _route(tuple(level.parents for level in network.levels), network.head.parents, classes)
    return paths


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _route(
    parents: tuple[tuple[int, ...] | None, ...], heads: tuple[int, ...] | None, classes: tuple[int, ...]
) -> Route:
    return _cached_route(parents, heads, classes)


@lru_cache(maxsize=512)
def _cached_route(
    parents: tuple[tuple[int, ...] | None, ...], heads: tuple[int, ...] | None, classes: tuple[int, ...]
) -> Route:
    leaves = [heads[c] if heads else c for c in classes]
    kept = tuple(sorted(set(leaves)))
    rows = tuple(kept.index(leaf) for leaf in leaves)
    levels: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for above in reversed(parents):
        homes = [above[i] if above else 0 for i in kept]
        needed = tuple(sorted(set(homes)))
        place = {home: row for row, home in enumerate(needed)}
        levels.append((kept, tuple(place[home] for home in homes)))
        kept = needed
    return Route(tuple(reversed(levels)), classes, rows)


def needed_samples(network: HierarchicalNetwork, masks: Tensor) -> list[list[Samples]]:
    """Of each level and branch the samples that need it for their classes; `masks` is `(B, classes)`."""
    heads = network.head.parents or tuple(range(masks.shape[1]))
    need: list[set[int]] = [set() for _ in range(network.levels[-1].branches)]
    for sample, label in masks.nonzero().tolist():
        need[heads[label]].add(sample)
    needed = [need]
    for level, above in zip(reversed(network.levels), reversed(network.levels[:-1]), strict=False):
        homes: list[set[int]] = [set() for _ in range(above.branches)]
        for parent, samples in zip(level.parents or (), needed[-1], strict=True):
            homes[parent] |= samples
        needed.append(homes)
    return [[tuple(sorted(samples)) for samples in level] for level in reversed(needed)]


def routed_logits(network: HierarchicalNetwork, maps: Tensor, masks: Tensor) -> Tensor:
    """The specialists' logits `(B, classes)` on the trunk's maps, -inf where the mask `(B, classes)` is False; each
    sample runs its own paths only."""
    routed: Routed = {0: (tuple(range(len(maps))), maps.permute(0, 2, 3, 1))}
    return routed_heads(network, descend_some(network, routed, needed_samples(network, masks), 0), masks)


def generalist_of(network: HierarchicalNetwork, form: Form | None = None) -> Generalist:
    """The branch for all classes that the network has for a form (default: its own). Raises HiergenError where it has
    none."""
    name, value = ("flat", "both") if (form or network.form) == "flat" else ("generalist", "shallow")
    generalist: Generalist | None = network._modules.get(name)  # type: ignore[assignment]
    if generalist is None:
        raise HiergenError(
            f"{type(network).__name__} has no {'generalist' if name == 'generalist' else 'tail of the flat network'}",
            hint=f"'generalist: {value}' in the taxonomy file gives its models one",
        )
    return generalist


def form_logits(
    network: HierarchicalNetwork,
    maps: Tensor,
    masks: Tensor | None = None,
    chosen: Sequence[int] | None = None,
    form: Form | None = None,
) -> Tensor:
    """Logits `(B, classes)` of a form (default: the network's) on the trunk's maps, of the `chosen` classes only; -inf
    where `masks` `(B, classes)` are False."""
    form = form or network.form
    generalist = generalist_of(network, form)
    everything = generalist(maps)
    logits = generalist.answered(everything)
    if form == "both":
        logits = logits + _specialists(network, maps, everything, masks, chosen)
    if masks is not None:
        return logits.masked_fill(~masks.to(logits.device), float("-inf"))
    return logits if chosen is None else logits[:, list(chosen)]


def _specialists(
    network: HierarchicalNetwork,
    maps: Tensor,
    everything: Tensor,
    masks: Tensor | None,
    chosen: Sequence[int] | None,
) -> Tensor:
    """What the form "both" adds `(B, classes)`: of each sample's likeliest group the specialist's logits times the
    group's gain, and 0 elsewhere."""
    generalist = generalist_of(network, "both")
    group = torch.tensor(finest_homes(network), device=maps.device)
    likeliest = generalist.likeliest(everything, generalist.homes or group.tolist())
    gains = torch.where(likeliest >= 0, generalist.gains[likeliest.clamp(min=0)], 0.0)
    theirs = group == likeliest[:, None]
    if network.training or is_traced():
        logits = network.head(descend(network, maps))
        return torch.where(theirs, gains[:, None] * logits, 0.0)
    needed = theirs & (gains != 0)[:, None]
    if masks is not None:
        needed &= masks.to(needed.device)
    if chosen is not None:
        asked = torch.zeros_like(needed)
        asked[:, list(chosen)] = True
        needed &= asked
    if not needed.any():
        return torch.zeros_like(theirs, dtype=everything.dtype)
    return torch.where(needed, gains[:, None] * routed_logits(network, maps, needed), 0.0)


def finest_homes(network: HierarchicalNetwork) -> tuple[int, ...]:
    """Of each class its finest group, a branch of the last level but one; of one level the class's own branch."""
    return homes_of(network, max(len(network.levels) - 1, 1))


def routed_heads(network: HierarchicalNetwork, pooled: Routed, masks: Tensor) -> Tensor:
    """Logits of pooled features `(b, C)` by branch; -inf where the mask is False."""
    some = next(iter(pooled.values()))[1] if pooled else network.head.weight
    features = some.new_zeros(len(masks), network.levels[-1].branches, network.head.in_channels)
    for branch, (samples, values) in pooled.items():
        features[list(samples), branch] = values
    logits: Tensor = network.head(features)
    return logits.masked_fill(~masks.to(logits.device), float("-inf"))


def advance(
    level: Siblings,
    maps: Mapping[int, tuple[Samples, Tensor]],
    needed: Sequence[Samples],
    *,
    gains: Tensor | None = None,
    after: int | None = None,
    pool: bool = False,
) -> Routed:
    """One level on: each branch on the samples that need it, which its parent must have seen.

    Neighbours that the same samples need run together.
    """
    maps_by_branch: Routed = {}
    runs = _runs(level, needed)
    stack = Stack(tuple(runs))
    for span in runs:
        samples = needed[span.lo]
        rows = torch.stack([_of(maps[home], samples) for home in span.maps])
        kind = level.lowering_for(rows, span.hi - span.lo).kind
        chosen = gains if gains is None or len(gains) == 1 else gains[list(samples)]
        parts = [span] if kind != "loop" else [Span(i, i + 1, (span.maps[p],), (1,)) for i, p in _singles(span)]
        for part in parts:
            some = rows if part is span else rows[span.maps.index(part.maps[0])][None]
            run = Run(kind, Span(part.lo, part.hi, tuple(range(len(some))), part.families), Stack((part,), stack.memos))
            y = level._run(some, run, level.blocks, chosen, after, pool)
            maps_by_branch.update({part.lo + i: (samples, values) for i, values in enumerate(y)})
    return maps_by_branch


def _runs(level: Siblings, needed: Sequence[Samples]) -> list[Span]:
    """Neighbouring branches that the same samples need."""
    runs: list[Span] = []
    start = 0
    for end in range(1, level.branches + 1):
        if end < level.branches and needed[end] == needed[start]:
            continue
        if needed[start]:
            runs.append(span_of(start, [level.parents[i] if level.parents else 0 for i in range(start, end)]))
        start = end
    return runs


def _singles(span: Span) -> list[tuple[int, int]]:
    """(branch, position of its map) of each branch of a span."""
    homes = [position for position, n in enumerate(span.families) for _ in range(n)]
    return list(enumerate(homes, span.lo))


def _of(routed: tuple[Samples, Tensor], samples: Samples) -> Tensor:
    """The maps of some of the samples."""
    have, maps = routed
    if have == samples:
        return maps
    place = {sample: row for row, sample in enumerate(have)}
    return maps[[place[sample] for sample in samples]]


def homes_of(network: HierarchicalNetwork, level: int) -> tuple[int, ...]:
    """Of each class the branch of `level` (1 … k) that its path runs through."""
    homes: Sequence[int] = network.head.parents or range(network.num_classes)
    for below in reversed(network.levels[level:]):
        homes = [below.parents[branch] if below.parents else 0 for branch in homes]
    return tuple(homes)


def descend(network: HierarchicalNetwork, maps: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
    """Run levels `start` + 1 … `stop` (default: the last) on the maps above them, as the network itself does.

    The trunk's maps are those above level 1. The answer is `(B, N, C, H, W)`, or after the last level pooled,
    `(B, N, C)`.
    """
    levels, steering = network.levels, network._gains
    for j in range(start, len(levels) if stop is None else stop):
        gains, after = steering.of_level(j) if steering else (None, None)
        maps = levels[j](maps, gains=gains, after=after, pool=j == len(levels) - 1)
    return maps


def descend_some(network: HierarchicalNetwork, maps: Routed, needed: Sequence[Sequence[Samples]], start: int) -> Routed:
    """Run levels `start` + 1 … k; `needed[j][b]` are the samples that branch b of level j + 1 runs.

    `maps`: branch of the level above → its samples and their maps `(b, H, W, C)`. The answer is pooled, `(b, C)`.
    """
    levels, steering = network.levels, network._gains
    for j in range(start, len(levels)):
        gains, after = steering.of_level(j) if steering else (None, None)
        maps = advance(levels[j], maps, needed[j], gains=gains, after=after, pool=j == len(levels) - 1)
    return maps
