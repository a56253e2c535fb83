"""Chains of partitions counted from the classes upwards: each level partitions the groups of the one below.

S(n, g), the Stirling numbers of the second kind, count the partitions of n labelled things into g groups; a level that
only limits its number of groups turns u into (S u)(g) = Σ_h S(g, h) u(h). With no limits that is, for exponential
generating functions, U(x) → U(exp(x) - 1), so k - 1 levels of n classes are n! [x^n] of exp of exp(x) - 1 iterated
k - 1 times (OEIS A144150; k = 2: Bell numbers, A000110).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from flint import ctx, fmpq_series, fmpz, fmpz_mat

Span: TypeAlias = tuple[int, int]


def iterated_bell(n: int, levels: int) -> int:
    """Number of chains of `levels` partitions of n classes."""
    if levels == 0 or n == 0:
        return 1
    if levels == 1:
        return int(fmpz.bell_number(n))
    return int(iterated_bells(n, levels)[n])


def iterated_bells(n: int, levels: int) -> list[fmpz]:
    """`iterated_bell(g, levels)` for g = 0 … n."""
    cap = ctx.cap
    ctx.cap = n + 1
    try:
        series = fmpq_series([0, 1], prec=n + 1)
        for _ in range(levels):
            series = series.exp() - 1
        coefficients = series.exp().coeffs()
    finally:
        ctx.cap = cap
    ways, factorial = [], fmpz(1)
    for g in range(n + 1):
        factorial *= g or 1
        value = coefficients[g] * factorial
        assert value.q == 1
        ways.append(value.p)
    return ways


def stirling_row(n: int, most: int) -> list[fmpz]:
    """S(n, g) for g = 0 … most."""
    if most <= 64 or n > 20 * most:
        return [fmpz.stirling_s2(n, g) for g in range(most + 1)]
    row = [fmpz(1)]
    for m in range(1, n + 1):
        row = _next_row(row, min(m, most))
    return row


def _next_row(row: list[fmpz], most: int) -> list[fmpz]:
    """S(m, ·) from S(m - 1, ·), up to `most`."""
    longer = [*row, fmpz(0)][: most + 1]
    return [g * longer[g] + (longer[g - 1] if g else 0) for g in range(len(longer))]


def upward(rows: int, spans: Sequence[Span]) -> Iterator[list[fmpz]]:
    """For each level, coarse to fine, and g = 0 … rows groups on it: the ways to build the levels above them; 0 where g
    is outside the level's span. `spans`: allowed groups per level."""
    ways: list[fmpz] = []
    for i, (low, high) in enumerate(spans):
        most = min(high, rows)
        top = [fmpz(max(low, 1) <= g) for g in range(most + 1)]
        ways = top if i == 0 else _lifted(ways, most, (low, high))
        yield ways + [fmpz(0)] * (rows + 1 - len(ways))


def _lifted(ways: list[fmpz], rows: int, span: Span) -> list[fmpz]:
    """Σ_h S(g, h) ways[h] for g = 0 … rows; 0 outside the span."""
    row, sums = [fmpz(1)], [fmpz(0)]
    most = len(ways) - 1
    for g in range(1, rows + 1):
        row = _next_row(row, min(g, most))
        inside = span[0] <= g <= span[1]
        sums.append(sum((s * w for s, w in zip(row, ways, strict=False)), fmpz(0)) if inside else fmpz(0))
    return sums


def upward_same(rows: int, levels: int, span: Span) -> list[fmpz]:
    """The last of `upward` for that many levels with the same span, by a power of the matrix of Stirling numbers (as
    quick for a billion levels as for a few)."""
    most = min(rows, span[1])
    matrix: list[list[fmpz]] = []
    row = [fmpz(1)]
    for g in range(1, most + 1):
        row = _next_row(row, g)
        inside = span[0] <= g
        matrix.append([row[h] if inside and h <= g else fmpz(0) for h in range(1, most + 1)])
    start = fmpz_mat(most, 1, [int(span[0] <= g) for g in range(1, most + 1)])
    ways = fmpz_mat(matrix) ** (levels - 1) * start
    return [fmpz(0), *(ways[g, 0] for g in range(most)), *[fmpz(0)] * (rows - most)]
