"""Semidefinite relaxations of grouping, and bounds that hold however well they are solved.

Whether two classes share a group makes a 0-1 matrix Y. Both objectives are linear in Y or in Z, Y with each group's
block divided by its size. The bound is the maximum over two convex sets S and B whose intersection holds every true
matrix: S says what is true of its eigenvalues, B of its entries. For any matrix L

    max over both of <C, Y>  <=  max over S of <C - L, Y>  +  max over B of <L, Y>,

and both maxima are closed forms. Alternating directions (ADMM) looks for a good L; a poor one only makes a loose bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
STEPS, CHECK = 1000, 50
FULL_EFFORT = 160  # classes up to which all steps are taken; work per step grows with the cube
LARGEST = 1500
_RELAX = 1.6
_ENOUGH = 1e-4  # relative improvement of the bound between two checks, below which it is left as it is


def within_curve(c: Matrix, groups: int, largest: int, pairs: int, *, steps: int = STEPS) -> Matrix:
    """Upper bounds on the sum of `c` (zero diagonal) over pairs that share a group, for 0, 1, … all pairs sharing one.

    `pairs` is the number for which the relaxation is solved; the bound holds for each. `groups` is the number of
    groups, `largest` the most classes of one. S: M = gY - J is positive semidefinite for g groups (Frieze & Jerrum,
    Algorithmica 1997), its trace n(g - 1), its largest eigenvalue at most g·largest. B: entries in [0, 1], the
    diagonal 1, `pairs` of the pairs 1.
    """
    n, cap = len(c), float(groups * largest)
    trace, ones = float(n * (groups - 1)), np.ones((n, n))
    above = np.triu_indices(n, 1)

    def spectral(v: Matrix) -> Matrix:
        values, vectors = np.linalg.eigh(groups * v - ones)
        return np.asarray(((vectors * capped(values, trace, cap)) @ vectors.T + ones) / groups)

    def entries(v: Matrix) -> Matrix:
        found = np.eye(n)
        found[above] = capped(v[above], float(pairs), 1.0)
        found.T[above] = found[above]
        return found

    def curve(dual: Matrix) -> Matrix:
        rest = c - dual
        spectrum = (float(rest.sum()) + _filled(np.linalg.eigvalsh(rest), trace, cap)) / groups
        best = np.concatenate([[0.0], np.cumsum(-np.sort(-dual[above]))])
        return np.asarray((spectrum + float(np.trace(dual))) / 2 + best)

    return _solved(c, spectral, entries, curve, pairs, steps)


def scatter_floor(d: Matrix, groups: int, smallest: int, largest: int, *, steps: int = STEPS) -> float:
    """A lower bound on the sum over the groups of (sum of `d` over their pairs) / size; `d` has a zero diagonal.

    S: Z = J/n + M with M a projection orthogonal to 1, of trace g - 1 (Ding & He, ICML 2004). B: entries 0 … 1 / the
    smallest size, on the diagonal from 1 / the largest (with Z >= 0 that of Peng & Wei, SIAM J. Optim. 2007).
    """
    n = len(d)
    c, ones = -d, np.full((n, n), 1 / n)
    low, high = np.zeros((n, n)), np.full((n, n), 1 / smallest)
    np.fill_diagonal(low, 1 / largest)

    def across(v: Matrix) -> Matrix:
        rows = v - v.mean(0)
        return np.asarray(rows - rows.mean(1)[:, None])

    def spectral(v: Matrix) -> Matrix:
        values, vectors = np.linalg.eigh(across(v) - 1e3 * ones)  # 1 comes last
        values[1:] = capped(values[1:], groups - 1.0, 1.0)
        values[0] = 0.0
        return np.asarray((vectors * values) @ vectors.T + ones)

    def entries(v: Matrix) -> Matrix:
        return np.clip(v, low, high)

    def curve(dual: Matrix) -> Matrix:
        rest = c - dual
        top = np.linalg.eigvalsh(across(rest))[::-1][: groups - 1].sum() if groups > 1 else 0.0
        return np.array([(rest.mean() * n + top + np.where(dual > 0, dual * high, dual * low).sum()) / 2])

    return -float(_solved(c, spectral, entries, curve, 0, steps)[0])


def _solved(
    c: Matrix,
    spectral: Callable[[Matrix], Matrix],
    entries: Callable[[Matrix], Matrix],
    curve: Callable[[Matrix], Matrix],
    at: int,
    steps: int,
) -> Matrix:
    """The best bound found, element for element over all the duals looked at."""
    n = len(c)
    top = float(np.abs(c).max(initial=0.0))
    best = curve(np.zeros_like(c))
    if n > LARGEST or top == 0:
        return best
    steps = max(CHECK, min(steps, int(steps * (FULL_EFFORT / n) ** 3)))
    y = entries(np.full((n, n), 1 / n))
    rho = float(np.linalg.norm(c)) / max(float(np.linalg.norm(y)), 1e-300)
    u = np.zeros_like(c)
    for step in range(1, steps + 1):
        x = spectral(y - u + c / rho)
        mixed = _RELAX * x + (1 - _RELAX) * y
        was, y = y, entries(mixed + u)
        u += mixed - y
        if step % 10 == 0 and step < steps // 2:
            primal, change = float(np.linalg.norm(x - y)), float(np.linalg.norm(y - was))
            factor = 1.5 if primal > 4 * change else 1 / 1.5 if change > 4 * primal else 1.0
            rho, u = rho * factor, u / factor
        if step % CHECK == 0:
            before, best = best[at], np.minimum(best, curve(rho * (u + u.T) / 2))
            if before - best[at] < _ENOUGH * abs(best[at]) and step > steps // 2:
                break
    return best


def capped(values: Matrix, total: float, cap: float) -> Matrix:
    """The nearest numbers in 0 … `cap` that sum to `total`: clip(values - t), t by bisection."""
    low, high = float(values.min()) - cap - 1.0, float(values.max())
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.clip(values - middle, 0.0, cap).sum()) > total:
            low = middle
        else:
            high = middle
    return np.clip(values - (low + high) / 2, 0.0, cap)


def _filled(values: NDArray[Any], total: float, cap: float) -> float:
    """The largest sum of values[i]·x[i] with 0 <= x <= cap and x summing to total."""
    whole = math.floor(total / cap)
    ordered = -np.sort(-values)
    rest = total - whole * cap
    return float(ordered[:whole].sum() * cap + (ordered[whole] * rest if whole < len(ordered) else 0.0))
