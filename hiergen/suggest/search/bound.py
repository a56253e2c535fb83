"""What no nesting of a space can exceed, level by level; each bound is proved in its docstring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hiergen.suggest.search.relaxed import scatter_floor, within_curve
from hiergen.suggest.search.space import Space

Matrix = NDArray[np.float64]
SLACK = 1e-9  # relative, for rounding
_TARGETS = 3
_MULTIPLIERS = 64


def coherence(similarity: Matrix, space: Space, level: int) -> float:
    """An upper bound on the coherence of one level.

    Given the number of pairs that share a group, coherence grows with the sum of their similarities; so any bound on
    that sum for each number of pairs will do, and the largest coherence over the numbers that sizes allow is taken.
    """
    n, groups = space.n, space.counts[level]
    plain = (similarity + similarity.T) / 2
    np.fill_diagonal(plain, 0.0)
    total, every = float(plain.sum()) / 2, n * (n - 1) // 2
    low, high = pair_range(space, level)
    pairs = np.arange(low, high + 1)

    def best(curve: Matrix) -> Matrix:
        """Coherence by number of pairs."""
        inside = curve[low : high + 1]
        return np.asarray(inside / np.maximum(pairs, 1) - (total - inside) / np.maximum(every - pairs, 1))

    curve = neighbours(plain, space, level)
    for _ in range(_TARGETS if high > low else 1):
        target = int(pairs[np.argmax(best(curve))])
        solved = within_curve(plain, groups, space.limits(level)[1], target)
        better, before = np.minimum(curve, solved), float(best(curve).max())
        curve = better
        if before - float(best(curve).max()) < 1e-4 * abs(before):
            break
    return float(best(curve).max()) + SLACK * float(np.abs(plain).max())


def separability(distances: Matrix, space: Space, level: int) -> float:
    """An upper bound on the explained share of the scatter: 1 less a lower bound on what is left within groups."""
    smallest, largest = space.limits(level)
    whole = float(distances.sum()) / 2 / space.n
    floor = scatter_floor(distances, space.counts[level], smallest, largest)
    return min(1.0, 1 - floor / whole + SLACK)


def neighbours(plain: Matrix, space: Space, level: int) -> Matrix:
    """Bounds on the sum over sharing pairs, for 0, 1, … all pairs sharing: each class has its best neighbours.

    A class in a group of s has s - 1 others with it, at best its s - 1 most similar ones; half the sum over the classes
    counts each pair once. Fixed sizes: the best assignment of classes to places. Open sizes: for any multiplier t the
    sum is at most t·pairs plus half the sum over classes of the best of (s - 1 neighbours less t·(s - 1)).
    """
    n = len(plain)
    others = plain - np.diag(np.full(n, np.inf))
    gathered = np.concatenate([np.zeros((n, 1)), np.cumsum(-np.sort(-others, axis=1)[:, : n - 1], axis=1)], axis=1)
    every = n * (n - 1) // 2
    if (sizes := space.sizes(level)) is not None:
        from scipy.optimize import linear_sum_assignment

        places = [s - 1 for s in sizes for _ in range(s)]
        value = gathered[:, places]
        rows, columns = linear_sum_assignment(value, maximize=True)
        curve = np.full(every + 1, np.inf)
        curve[pair_range(space, level)[0]] = float(value[rows, columns].sum()) / 2
        return curve
    smallest, largest = space.limits(level)
    sizes_less_one = np.arange(smallest - 1, largest)
    pairs = np.arange(every + 1)
    curve = np.full(every + 1, np.inf)
    values = plain[np.triu_indices(n, 1)]
    for t in np.quantile(values, np.linspace(0.0, 1.0, _MULTIPLIERS)) if len(values) else ():
        best = (gathered[:, sizes_less_one] - t * sizes_less_one).max(1)
        curve = np.minimum(curve, float(best.sum()) / 2 + t * pairs)
    return curve


def pair_range(space: Space, level: int) -> tuple[int, int]:
    """Fewest and most pairs that can share a group: of even sizes, and of sizes as uneven as the limits allow."""
    if (sizes := space.sizes(level)) is not None:
        return (sum(s * (s - 1) for s in sizes) // 2,) * 2
    groups = space.counts[level]
    small, more = divmod(space.n, groups)
    fewest = more * (small + 1) * small // 2 + (groups - more) * small * (small - 1) // 2
    return fewest, sum(s * (s - 1) for s in uneven(space, level)) // 2


def uneven(space: Space, level: int) -> list[int]:
    """The most uneven sizes: as many groups as can be at the largest, the others at the smallest, one between.

    Any other sizes within the limits have a smaller sum of every convex function, a larger one of every concave.
    """
    (low, high), groups = space.limits(level), space.counts[level]
    rest = space.n - groups * low
    whole, left = divmod(rest, high - low) if high > low else (0, 0)
    return [high] * whole + [low + left] * (whole < groups) + [low] * (groups - whole - 1)


def fewest_touched(space: Space, level: int, classes: int) -> int:
    """The fewest groups that can hold so many classes: the largest ones first."""
    sizes = space.sizes(level) or uneven(space, level)
    held = 0
    for touched, size in enumerate(sizes):
        if held >= classes:
            return touched
        held += size
    return len(sizes)


def least_over_sizes(space: Space, level: int, price: Sequence[int]) -> int:
    """The least sum over the groups of price[size], for a concave price: at the most uneven sizes. Rounded prices may
    each be one too high."""
    sizes = space.sizes(level) or uneven(space, level)
    return sum(price[s] for s in sizes) - len(sizes)
