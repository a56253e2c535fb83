"""`branches: auto`: widths solved so that the whole network fills its budget.

Every level gets about the same share of the parameters left by the trunk. Widths start at the smallest and grow step
by step, always where a level lags furthest behind its share, as long as the budget holds; steps are multiples of 8
where that comes close enough, else of 4, 2 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hiergen.errors import PlanError

SMALLEST = 8
TOLERANCE = 0.02
MAX_WIDTH = 65_536

Widths = tuple[tuple[int, int], ...]  # (width, out) per level


@dataclass(frozen=True)
class Cost:
    """Of the whole network (params, macs), and the params of each level."""

    params: int
    macs: int
    levels: tuple[int, ...]


def solve_widths(
    cost: Callable[[Widths], Cost],
    levels: int,
    ratio: float,
    max_params: int | None,
    max_macs: int | None,
) -> Widths:
    """The (width, out) of each level. `ratio` is the wished-for out / width.

    The result meets the tighter bound within 2 % from below. Raises `PlanError` with the smallest reachable figures
    if the budget is below them.
    """

    def fits(c: Cost) -> bool:
        return (max_params is None or c.params <= max_params) and (max_macs is None or c.macs <= max_macs)

    def filled(c: Cost) -> float:
        shares = [c.params / max_params if max_params else 0.0, c.macs / max_macs if max_macs else 0.0]
        return max(shares)

    smallest: Widths = ((SMALLEST, SMALLEST),) * levels
    least = cost(smallest)
    if not fits(least):
        asked = [f"{_short(v)} {unit}" for v, unit in ((max_params, "params"), (max_macs, "MACs")) if v]
        raise PlanError(
            f"the budget of {' and '.join(asked)} is too small",
            expected=f"at least {_short(least.params)} params and {_short(least.macs)} MACs with this trunk",
            code="E503",
        )
    widths, current = smallest, least
    for step in (8, 4, 2, 1):
        widths, current = _grow(widths, current, cost, fits, ratio, step)
        if filled(current) >= 1 - TOLERANCE:
            break
    return widths


def _grow(
    widths: Widths, current: Cost, cost: Callable[[Widths], Cost], fits: Callable[[Cost], bool], ratio: float, step: int
) -> tuple[Widths, Cost]:
    """Grow until no single step fits. First by doubling strides of steps, so that wide networks are quick."""
    stride = 64
    while stride:
        order = sorted(range(len(widths)), key=lambda j: (current.levels[j], j))
        for j in order:
            grown = _step(widths, j, ratio, step * stride)
            if grown is None:
                continue
            tried = cost(grown)
            if fits(tried) and _fair(tried, j, current, stride):
                widths, current = grown, tried
                break
        else:
            stride //= 2
    return widths, current


def _fair(tried: Cost, level: int, before: Cost, stride: int) -> bool:
    """While steps are large, no level may run ahead of the others; single steps only have to fit."""
    if stride == 1:
        return True
    others = [p for j, p in enumerate(tried.levels) if j != level]
    return not others or tried.levels[level] <= max(*others, before.levels[level], 1) * 1.5 or min(others) == 0


def _step(widths: Widths, level: int, ratio: float, amount: int) -> Widths | None:
    """Widen one level: whichever of width and out lags behind the wished-for ratio."""
    width, out = widths[level]
    width, out = (width, out + amount) if out < ratio * width else (width + amount, out)
    if max(width, out) > MAX_WIDTH:
        return None
    return (*widths[:level], (width, out), *widths[level + 1 :])


def _short(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.2f}{unit}"
    return str(count)
