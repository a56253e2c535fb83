"""Milliseconds for the page: the full network, its flat backbone and a few cutouts, in turns, and a line through them.

The prediction for any other cutout is  ms = base + slope · GMACs of its branches,  the least squares line (slope and
base not below 0) through the full network and cutouts of 1 class, an eighth, a quarter and a half of the classes, each
of classes that stand side by side in the tree. The trunk is in the base. `error` says how far the line is from its own
points at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls

from hiergen.planning.plan import Plan

if TYPE_CHECKING:
    from hiergen.costs.measured import Timing

SHARES = (0.0, 1 / 8, 1 / 4, 1 / 2)  # of the classes; at least one


@dataclass(frozen=True)
class MeasuredPoint:
    """One measured network: classes, MACs of its branches and head, median and quartiles in ms, and the line's ms."""

    classes: int
    macs: int
    ms: float
    low: float
    high: float
    predicted: float


@dataclass(frozen=True)
class Measured:
    """`full` and `flat` are measured, `flat_one` with a classifier of one row (that of `flat` where the two's quartiles
    overlap: then the classifier's size makes no difference that could be seen). `points` end with the full network.
    """

    batch: int
    threads: int
    runs: int
    machine: str
    torch: str
    full: float
    flat: float
    flat_one: float
    base: float
    slope: float
    error: float
    points: tuple[MeasuredPoint, ...]

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def predicted(self, macs: int) -> float:
        """ms of a cutout whose branches and head have so many MACs."""
        return self.base + self.slope * macs / 1e9


def line(macs: Sequence[int], ms: Sequence[float]) -> tuple[float, float]:
    """(base in ms, slope in ms per GMAC), neither below 0, of the least squares line."""
    giga = np.array(macs) / 1e9
    if not np.ptp(giga):
        return float(np.mean(ms)), 0.0
    (base, slope), _ = nnls(np.column_stack([np.ones(len(ms)), giga]), np.array(ms))
    return float(base), float(slope)


def branch_macs(plan: Plan, kept: Sequence[int]) -> int:
    """MACs of a cutout without its trunk."""
    return plan.cutout_cost(frozenset(kept))[1] - plan.trunk.macs


def chosen_sets(leaves: Sequence[int]) -> list[list[int]]:
    """The classes of the cutouts that are measured, from the classes in tree order."""
    sizes = sorted({max(1, round(share * len(leaves))) for share in SHARES} - {len(leaves)})
    return [sorted(leaves[:size]) for size in sizes]


def _one(flat: Timing, one: Timing) -> float:
    return flat.ms if one.low <= flat.high and flat.low <= one.high else one.ms


def measure(
    plan: Plan,
    leaves: Sequence[int],
    *,
    batch: int = 1,
    threads: int | None = None,
    repeats: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Time a plan's network with random weights on this CPU, which cost the same as trained ones. Imports torch.

    `leaves`: the classes in tree order. `repeats` as in `hiergen.cost`. Raises HiergenError for numbers that cannot be,
    or too little memory.
    """
    import torch

    from hiergen.costs.measured import Timing, in_turns, machine
    from hiergen.costs.subjects import enough_memory, whole_number
    from hiergen.nn.cutout import cut
    from hiergen.nn.runtimes import threads_set
    from hiergen.planning.measure import flat_network
    from hiergen.planning.network import network_of

    whole_number("batch", batch)
    whole_number("threads", threads if threads is not None else 1)
    repeats = None if repeats is None else whole_number("repeats", repeats, least=2)
    place, count = torch.device("cpu"), len(plan.classes)
    with threads_set(threads), enough_memory():
        progress("building")
        full = network_of(plan)
        sets = chosen_sets(leaves)
        networks: dict[str, torch.nn.Module] = {str(i): cut(full, kept) for i, kept in enumerate(sets)}
        networks["full"] = full
        size = plan.trunk.input_size
        networks["flat"] = flat_network(plan.trunk.backbone, count, size)
        networks["one"] = flat_network(plan.trunk.backbone, 1, size)
        images = torch.rand(batch, *size)
        progress(f"timing {len(networks)} networks in turns, batch {batch}")
        runs = {name: (lambda module=module: module(images)) for name, module in networks.items()}
        timed = {name: Timing.of(batch, ms) for name, ms in in_turns(runs, place, repeats=repeats).items()}
        used = torch.get_num_threads()
    timings = [*(timed[str(i)] for i in range(len(sets))), timed["full"]]
    macs = [*(branch_macs(plan, kept) for kept in sets), plan.macs - plan.trunk.macs]
    base, slope = line(macs, [t.ms for t in timings])
    points = tuple(
        MeasuredPoint(len(kept), m, t.ms, t.low, t.high, base + slope * m / 1e9)
        for kept, m, t in zip([*sets, range(count)], macs, timings, strict=True)
    )
    return Measured(
        batch=batch,
        threads=used,
        runs=timed["full"].runs,
        machine=machine(place),
        torch=torch.__version__,
        full=timed["full"].ms,
        flat=timed["flat"].ms,
        flat_one=_one(timed["flat"], timed["one"]),
        base=base,
        slope=slope,
        error=max(abs(p.predicted - p.ms) / p.ms for p in points),
        points=points,
    )
