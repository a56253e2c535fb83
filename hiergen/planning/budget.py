"""`branches: auto`: widths solved so that the whole network fills its budget.

Every level gets the same load, where load is its share of the params plus its share of the MACs that the trunk leaves.
Within a level, `out` keeps to a fixed multiple of `width`. That gives one number to find (the load per level), by
bisection, on a grid of multiples of 16, which the convolutions of CPUs are made for (8 where a small `out` would be far
off the ratio); single widths then grow step by step into what is left. Where that does not come close enough, the grid
is refined to 8, 4, 2 and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hiergen.errors import PlanError

SMALLEST = 8
GRID = 16  # channels
TOLERANCE = 0.02
WIDEST = 16_384  # channels

Widths = tuple[tuple[int, int], ...]  # (width, out) per level


@dataclass(frozen=True)
class BudgetCost:
    """Params and MACs of the whole network, and (params, MACs) of each level."""

    params: int
    macs: int
    levels: tuple[tuple[int, int], ...]


def solve_widths(
    cost: Callable[[Widths], BudgetCost],
    levels: int,
    ratio: float,
    max_params: int | None,
    max_macs: int | None,
    grid: int = GRID,
) -> Widths:
    """The (width, out) of each level, `ratio` = out / width, that fills the tighter bound to 98 % or more.

    Both are multiples of `grid`, or of half of it, and so on, where that is needed.

    Raises `PlanError` with the smallest reachable figures if the budget is below them.
    """
    least = cost(((SMALLEST, SMALLEST),) * levels)
    solver = _Solver(cost, levels, ratio, max_params, max_macs, least)
    if not solver.fits(least):
        raise too_small(max_params, max_macs, least)
    widths = ((SMALLEST, SMALLEST),) * levels
    for step in (step for step in (64, 32, 16, 8, 4, 2, 1) if step <= grid):
        widths = solver.grow(solver.balanced(step), step)
        if solver.filled(cost(widths)) >= 1 - TOLERANCE:
            break
    return widths


def too_small(max_params: int | None, max_macs: int | None, least: BudgetCost) -> PlanError:
    """What says that even the narrowest network, of these costs, is beyond the budget."""
    limits = [f"{_short(v)} {unit}" for v, unit in ((max_params, "params"), (max_macs, "MACs")) if v]
    return PlanError(
        f"the budget of {' and '.join(limits)} is too small",
        expected=f"at least {_short(least.params)} params and {_short(least.macs)} MACs with this trunk",
        code="E503",
    )


class _Solver:
    def __init__(
        self,
        cost: Callable[[Widths], BudgetCost],
        levels: int,
        ratio: float,
        max_params: int | None,
        max_macs: int | None,
        least: BudgetCost,
    ) -> None:
        self._cost = cost
        self._levels = levels
        self._ratio = ratio
        self._max_params = max_params
        self._max_macs = max_macs
        self._free_params = max((max_params or 0) - least.params, 1)
        self._free_macs = max((max_macs or 0) - least.macs, 1)

    def fits(self, cost: BudgetCost) -> bool:
        return (self._max_params is None or cost.params <= self._max_params) and (
            self._max_macs is None or cost.macs <= self._max_macs
        )

    def filled(self, cost: BudgetCost) -> float:
        """How full the tighter bound is, 0 … 1."""
        params = cost.params / self._max_params if self._max_params else 0.0
        return max(params, cost.macs / self._max_macs if self._max_macs else 0.0)

    def _load(self, cost: BudgetCost, level: int) -> float:
        params, macs = cost.levels[level]
        load = params / self._free_params if self._max_params else 0.0
        return load + (macs / self._free_macs if self._max_macs else 0.0)

    def _pair(self, width: int, step: int) -> tuple[int, int]:
        step = self._out_step(width, step)
        return width, max(round(width * self._ratio / step) * step, SMALLEST)

    def _out_step(self, width: int, step: int) -> int:
        """`step`, halved to 8 while it is more than a quarter of `out`: blocks keep near the shape of their papers."""
        while step > SMALLEST and 4 * step > width * self._ratio:
            step //= 2
        return step

    def balanced(self, step: int) -> Widths:
        """The largest equal load per level that fits, on multiples of `step`."""
        low, high = 0.0, 4.0
        best: Widths = ((SMALLEST, SMALLEST),) * self._levels
        for _ in range(24):
            middle = (low + high) / 2
            widths = self._at_load(middle, step)
            if self.fits(self._cost(widths)):
                low, best = middle, widths
            else:
                high = middle
        return best

    def _at_load(self, load: float, step: int) -> Widths:
        """Each level as wide as `load` allows, first to last (a level's cost depends on the channels it reads)."""
        widths: list[tuple[int, int]] = [(SMALLEST, SMALLEST)] * self._levels
        for level in range(self._levels):
            low, high = SMALLEST // step, int(WIDEST / max(self._ratio, 1)) // step + 1
            while high - low > 1:
                middle = (low + high) // 2
                widths[level] = self._pair(middle * step, step)
                if self._load(self._cost(tuple(widths)), level) <= load:
                    low = middle
                else:
                    high = middle
            narrow = low * step <= SMALLEST
            widths[level] = (SMALLEST, SMALLEST) if narrow else self._pair(low * step, step)
        return tuple(widths)

    def grow(self, widths: Widths, step: int) -> Widths:
        """Widen single levels, the least loaded first, until nothing fits any more."""
        cost = self._cost(widths)
        growing = True
        while growing:
            growing = False
            for level in sorted(range(self._levels), key=lambda j: (self._load(cost, j), j)):
                for wider in self._wider(widths, level, step):
                    tried = self._cost(wider)
                    if self.fits(tried) and tried != cost:
                        widths, cost, growing = wider, tried, True
                        break
                if growing:
                    break
        return widths

    def _wider(self, widths: Widths, level: int, step: int) -> list[Widths]:
        """Both numbers, then the one that lags behind the ratio; never far off the ratio."""
        width, out = widths[level]
        tries = [self._pair(width + step, step)]
        if out < self._ratio * width * 1.25:
            tries.append((width, out + self._out_step(width, step)))
        if width * self._ratio < out * 1.25 and (step <= SMALLEST or (width + step) * self._ratio <= out * 1.5):
            tries.append((width + step, out))
        return [
            (*widths[:level], pair, *widths[level + 1 :])
            for pair in tries
            if pair[0] >= width and pair[1] >= out and max(pair) <= WIDEST
        ]


def _short(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{-(-count * 100 // size) / 100:.2f}{unit}"  # rounded up: this much is enough
    return str(count)
