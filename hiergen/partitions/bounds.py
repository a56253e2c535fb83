"""Bounds of counts that are too large to be made: proven ones, as log10.

Without limits (or with sizes of the finest groups only) n! [x^n] F is Cauchy's integral over a circle through the
saddle point (Flajolet & Sedgewick, VIII.3), which Arb (Johansson 2017) encloses with error bounds; else what is
counted under fewer constraints is more, and under more constraints less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from flint import acb, arb, ctx

from hiergen.partitions.constraints import HUGE, Constraints, Limits, UnsatisfiableError, joined, limits
from hiergen.partitions.route import Question, question

MOST_LEVELS = 60  # that are integrated over, or of one shape that is counted
EVALUATIONS = 300_000  # steps of the generating function that one integral may take
MOST_SHAPED = 20_000  # classes of one shape that is counted
MOST_TERMS = 3000  # of the series of one finest group
CHEAP = 2.0  # seconds, by estimate, for one bound
ALL = 3.0  # and for all of them


def bracket(asked: Question) -> tuple[float | None, float | None]:
    """(low, high) of log10 of the count; None where nothing is known (or the count may be 0)."""
    from hiergen.partitions.count import counted

    exact = enclosed(asked)
    if exact is not None:
        return exact
    highs, lows, spent = [], [], 0.0
    for fewer in _fewer(asked.constraints):
        try:
            relaxed = question(asked.n, asked.k, fewer)
        except UnsatisfiableError:
            continue
        if relaxed.route.seconds <= min(CHEAP, ALL - spent):
            spent += relaxed.route.seconds
            if number := counted(relaxed):
                highs.append(math.log10(number) + 1e-9)
        elif (known := enclosed(relaxed)) is not None:
            highs.append(known[1])
    for more in _more(asked):
        try:
            stricter = question(asked.n, asked.k, more)
        except UnsatisfiableError:
            continue
        if stricter.route.seconds > min(CHEAP, ALL - spent):
            continue
        spent += stricter.route.seconds
        if number := counted(stricter):
            lows.append(math.log10(number) - 1e-9)
    lows += _even(asked)
    if not highs and (single := log10_integral(asked.n, 1)) is not None:
        highs.append(single[1] * (asked.k - 1) * (1 + 1e-12))  # each level is some partition
    return max(lows, default=None), min(highs, default=None)


def _even(asked: Question) -> list[float]:
    """Without links and a tree, and few enough classes: nestings of one shape, groups as even as can be."""
    from hiergen.partitions.count import count_shape

    c, n = asked.constraints, asked.n
    found: list[float] = []
    if c.must_link or c.cannot_link or c.tree is not None or n > MOST_SHAPED or asked.k > MOST_LEVELS:
        return found
    for share in (0.0, 0.02, 0.1, 0.3, 1.0):
        counts = [1, *(low + int((high - low) * share) for low, high in _spans(asked)), n]
        parents = [[g * above // count for g in range(count)] for above, count in pairwise(counts)]
        sizes, fits = [1] * n, len(counts) == asked.k + 1
        for j in reversed(range(1, len(parents))):
            below = [0] * counts[j]
            for parent, size in zip(parents[j], sizes, strict=True):
                below[parent] += size
            sizes = below
            low, high = asked.route.levels[j - 1].sizes
            fits = fits and low <= min(sizes) and max(sizes) <= high
        if fits:
            found.append(math.log10(count_shape(parents, n)) - 1e-9)
    return found


def _fewer(constraints: Constraints) -> list[Constraints]:
    """Constraints that more nestings satisfy."""
    c = constraints
    plain = replace(c, tree=None, cannot_link=())
    found = [replace(plain, min_size=(), max_size=()), replace(plain, groups=()), Constraints()]
    found += [replace(c, cannot_link=()), replace(c, min_size=(), max_size=()), replace(c, groups=()), plain]
    if c.tree is not None:
        found.insert(0, Constraints(tree=c.tree))
    return [other for i, other in enumerate(found) if other != c and other not in found[:i]]


def _more(asked: Question) -> list[Constraints]:
    """Constraints that fewer nestings satisfy: one number of groups per level, cannot-linked classes all apart."""
    c = asked.constraints
    ends = sorted({end for pair in c.cannot_link for end in pair})
    apart = replace(c, cannot_link=tuple((a, b) for i, a in enumerate(ends) for b in ends[i + 1 :])) if ends else c
    found = [apart] if ends else []
    if len(asked.route.levels) == asked.k - 1 and asked.k > 1:
        for number in (0, 1, 3, 8):
            spans = [(min(low + number, high), min(low + number, high)) for low, high in _spans(asked)]
            found += [replace(c, groups=tuple(spans)), replace(apart, groups=tuple(spans))]
    return [other for i, other in enumerate(found) if other != c and other not in found[:i]]


def _spans(asked: Question) -> list[tuple[int, int]]:
    return [level.groups for level in asked.route.levels]


def enclosed(asked: Question) -> tuple[float, float] | None:
    """log10 of the count between two floats that differ by rounding only; None for constraints that Cauchy's integral
    is not known for here, and where it does not converge."""
    c, n = asked.constraints, asked.n
    if c.cannot_link or c.tree is not None or not 2 <= asked.k <= MOST_LEVELS:
        return None
    if c.must_link:
        if c.min_size or c.max_size:
            return None
        n -= sum(len(linked) - 1 for linked in joined(c.must_link))  # without sizes they count as one class
    given = limits(asked.k, c)
    levels = [given] * (asked.k - 1) if isinstance(given, Limits) else given
    if any(level.groups[0] > 1 or level.groups[1] < n for level in levels):
        return None
    if any(level.sizes[1] < n for level in levels) and len(levels) > 1:
        return None
    least = max(level.sizes[0] for level in levels)
    if levels[-1].sizes[0] != least or least > n:
        return None
    most = levels[-1].sizes[1]
    if least > MOST_TERMS or (most < n and most > MOST_TERMS):
        return None
    return log10_integral(n, asked.k - 1, least, most if most < n else HUGE)


def log10_integral(n: int, levels: int, least: int = 1, most: int = HUGE) -> tuple[float, float] | None:
    """log10 of the number of chains of `levels` partitions of n classes, the finest groups of `least` to `most`."""
    if (radius := _saddle(n, levels, least, most)) is None:
        return None
    before = ctx.prec
    ctx.prec = 128 + 4 * n.bit_length()
    try:
        r, i = arb(radius), acb(0, 1)
        top = _exponent(acb(r), levels, least, most)

        def integrand(angle: acb, _: bool) -> acb:
            z = acb(r) * (i * angle).exp()
            return (_exponent(z, levels, least, most) - top - i * angle * n).exp()

        # the peak at 0 is about 1 / √(n r) wide: pieces that grow with the distance from it
        ends = [arb(4) ** j / (arb(n) * (1 + r)).sqrt() for j in range(30)]
        ends = [arb(0), *(end for end in ends if end < 3), arb.pi()]
        terms = levels + (least if most >= HUGE else most)
        accuracy: dict[str, Any] = {
            "rel_tol": arb(2) ** -40,
            "abs_tol": arb(2) ** -40 * ends[1],
            "eval_limit": EVALUATIONS // terms,
        }
        pieces = [acb.integral(integrand, a, b, **accuracy) for a, b in pairwise(ends)]
        area = sum((piece.real for piece in pieces), arb(0)) / arb.pi()
        if not (area > 0):
            return None
        log = (area.log() + top.real - n * r.log() + (arb(n) + 1).lgamma()) / arb(10).log()
        return float(log.lower()) - _ulp(log), float(log.upper()) + _ulp(log)
    finally:
        ctx.prec = before


def _ulp(value: arb) -> float:
    return 4 * math.ulp(float(value.mid()))


def _exponent(z: acb, levels: int, least: int, most: int) -> acb:
    """log of the generating function: exp(x) - 1 iterated, the innermost with the finest groups' sizes only."""
    value = _finest(z, least, most)
    for _ in range(levels - 1):
        value = value.exp() - 1
    return value


def _finest(z: acb, least: int, most: int) -> acb:
    term, total = acb(1), acb(0)
    if most >= HUGE:
        total = z.exp() - 1
        for s in range(1, least):
            term = term * z / s
            total = total - term
        return total
    for s in range(1, most + 1):
        term = term * z / s
        if s >= least:
            total = total + term
    return total


def _saddle(n: int, levels: int, least: int, most: int) -> float | None:
    """The r at which r F'(r) / F(r) = n: the circle's radius (any radius is right, this one is quick)."""

    def mean(r: float) -> float:
        value, slope = _finest_float(r, least, most)
        for _ in range(levels - 1):
            grown = math.exp(value)
            slope *= grown
            value = math.expm1(value)
        return r * slope

    return _solve(mean, n)


def _finest_float(r: float, least: int, most: int) -> tuple[float, float]:
    if most >= HUGE:
        value, slope, term = math.expm1(r), math.exp(r), 1.0
        for s in range(1, least):
            slope -= term
            term *= r / s
            value -= term
        return max(value, 0.0), max(slope, 0.0)
    value, slope, term = 0.0, 0.0, 1.0
    for s in range(1, most + 1):
        if s >= least:
            slope += term
        term *= r / s
        if s >= least:
            value += term
    return value, slope


def _solve(mean: Callable[[float], float], n: int) -> float | None:
    def over(r: float) -> bool:
        try:
            return mean(r) >= n
        except OverflowError:
            return True

    low, high = 0.0, 1.0
    while not over(high):
        high *= 1.5
        if high > 1e300:
            return None
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if over(middle) else (middle, high)
    return high if high > 0 else None
