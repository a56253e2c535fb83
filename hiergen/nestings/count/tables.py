"""Counts of all parts of a nesting, from which whole nestings are counted and drawn: the top-down recursion.

With u_t marking children of kind t of a node (exponentially) and y_j the groups of level j, A_j is the generating
function of the ways to nest a set of the node's children on levels j … L (the finest above the classes), and T_j of
such ways with a single group on level j, or a single child:

    A_{L+1} = exp(Σ_t u_t),   T_j = y_j · [allowed on level j] A_{j+1} + Σ_t u_t f_{t,j},   A_j = exp(T_j)

where the first part of T_j has two or more children, and f_{t,j} is the coefficient of all children in A_j of a child
of kind t (an atom: y_j … y_L where its size is allowed). This is the exponential formula (Flajolet & Sedgewick,
Analytic Combinatorics, II.2) on each node of a tree; for a tree with the root only and L = 1 it gives Bell numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import factorial, prod

from flint import ctx, fmpq, fmpq_poly, fmpq_series

from hiergen.nestings.count.constraints import Limits
from hiergen.nestings.count.problem import Problem, TreeItem

Key = tuple[int, ...]
Series = dict[Key, fmpq_poly]  # exponents of all variables but the main one (there 0) → polynomial in the main one
Groups = dict[Key, int]  # groups of each tracked level → number of ways


@dataclass(frozen=True)
class SeriesLayout:
    """The variables of a node: first one per kind, then one per tracked level. `caps`: their largest exponents."""

    caps: Key
    kinds: int
    main: int

    @property
    def length(self) -> int:
        return self.caps[self.main] + 1


def layout(item: TreeItem, caps: Sequence[int]) -> SeriesLayout:
    """`caps`: the largest number of groups of each tracked level; the variable of largest degree is the main one."""
    every = (*(len(kind.members) for kind in item.kinds), *(min(cap, item.atoms) for cap in caps))
    return SeriesLayout(every, len(item.kinds), max(range(len(every)), key=every.__getitem__))


class CountTables:
    """All A_j and T_j of every shape of node. `tracked`: levels (from 0, coarse first) whose groups are counted, with
    the largest number of them; `levels`: what each level allows. Index L of `A` and `full` is the classes' level."""

    def __init__(self, problem: Problem, levels: Sequence[Limits], tracked: dict[int, int]) -> None:
        self.problem, self.levels = problem, levels
        self.tracked = tuple(tracked)
        self.caps = tuple(tracked.values())
        self.layouts: dict[int, SeriesLayout] = {}
        self.A: dict[tuple[int, int], Series] = {}
        self.T: dict[tuple[int, int], Series] = {}
        self.full: dict[tuple[int, int], Groups] = {}
        for v in reversed(problem.items):
            item = problem.items[v]
            if (item.shape, 0) not in self.full:
                if item.kinds:
                    self._node(item)
                else:
                    self._atom(item)

    def total(self) -> Groups:
        """Number of nestings by the groups of the tracked levels."""
        return self.full[self.problem.items[0].shape, 0]

    def _atom(self, item: TreeItem) -> None:
        size, ways, below = len(item.classes), 1, [0] * len(self.tracked)
        self.full[item.shape, len(self.levels)] = {tuple(below): 1}
        for j in reversed(range(len(self.levels))):
            low, high = self.levels[j].sizes
            ways *= low <= size <= high
            if j in self.tracked:
                below[self.tracked.index(j)] = 1
            self.full[item.shape, j] = {tuple(below): 1} if ways else {}

    def _node(self, item: TreeItem) -> None:
        form = layout(item, self.caps)
        self.layouts[item.shape] = form
        last = len(self.levels)
        above = self._all(form)
        self.A[item.shape, last] = above
        self.full[item.shape, last] = {(0,) * len(self.tracked): 1}
        for j in reversed(range(last)):
            blocks = self._blocks(item, form, j, above)
            for t, kind in enumerate(item.kinds):
                shape = self.problem.items[kind.members[0]].shape
                for groups, ways in self.full[shape, j].items():
                    _add(blocks, (*(int(s == t) for s in range(form.kinds)), *groups), fmpq(ways), form)
            lead = form.kinds + self.tracked.index(j) if j in self.tracked else -1
            above = exp(blocks, form, lead)
            self.T[item.shape, j], self.A[item.shape, j] = blocks, above
            self.full[item.shape, j] = _of_all(above, form)

    def _all(self, form: SeriesLayout) -> Series:
        """exp(Σ u_t)."""
        series: Series = {}
        ranges = [range(cap + 1) if i < form.kinds and i != form.main else (0,) for i, cap in enumerate(form.caps)]
        main = [fmpq(1, factorial(i)) for i in range(form.length)] if form.main < form.kinds else [fmpq(1)]
        for key in product(*ranges):
            series[key] = fmpq_poly(main) * fmpq(1, prod(map(factorial, key)))
        return series

    def _blocks(self, item: TreeItem, form: SeriesLayout, j: int, above: Series) -> Series:
        """y_j · [allowed on level j, two or more children] A_{j+1}."""
        series: Series = {}
        least, most = self.levels[j].sizes
        y = form.kinds + self.tracked.index(j) if j in self.tracked else -1
        for key, poly in above.items():
            used = [t for t in range(form.kinds) if key[t]]
            if any(not _fits(item, t, key[t], used) for t in used):
                continue
            count, size = sum(key[: form.kinds]), sum(key[t] * item.kinds[t].weight for t in used)
            first, last = 0, poly.degree()
            if form.main < form.kinds:
                kind = item.kinds[form.main]
                first = max(0, 2 - count, -((size - least) // kind.weight))
                last = min(last, (most - size) // kind.weight)
                if not kind.whole or any(f in used for f in kind.foes):
                    last = min(last, 0)
                if kind.apart:
                    last = min(last, 1)
            elif count < 2 or not least <= size <= most:
                continue
            if last < first:
                continue
            coefficients = [*[fmpq(0)] * first, *poly.coeffs()[first : last + 1]]
            if y >= 0 and y == form.main:
                coefficients = [fmpq(0), *coefficients][: form.length]
            elif y >= 0:
                key = (*key[:y], key[y] + 1, *key[y + 1 :])
                if key[y] > form.caps[y]:
                    continue
            if any(coefficients):
                series[key] = fmpq_poly(coefficients)
        return series


def _fits(item: TreeItem, t: int, count: int, used: Sequence[int]) -> bool:
    kind = item.kinds[t]
    return kind.whole and (count == 1 or not kind.apart) and not any(f in used for f in kind.foes)


def _add(series: Series, exponents: Key, value: fmpq, form: SeriesLayout) -> None:
    if any(e > cap for e, cap in zip(exponents, form.caps, strict=True)):
        return
    power = exponents[form.main]
    key = (*exponents[: form.main], 0, *exponents[form.main + 1 :])
    term = fmpq_poly([0] * power + [value])
    series[key] = series[key] + term if key in series else term


def _of_all(series: Series, form: SeriesLayout) -> Groups:
    """The coefficient of all children, by groups of the tracked levels."""
    every, ways_of = form.caps[: form.kinds], {}
    scale = prod(map(factorial, every))
    for key, poly in series.items():
        if any(key[t] != every[t] for t in range(form.kinds) if t != form.main):
            continue
        if form.main < form.kinds:
            ways = {key[form.kinds :]: poly[every[form.main]]}
        else:
            ways = {(*key[form.kinds : form.main], i, *key[form.main + 1 :]): c for i, c in enumerate(poly.coeffs())}
        ways_of.update({groups: whole(value * scale) for groups, value in ways.items() if value})
    return ways_of


def whole(value: fmpq) -> int:
    """The integer that a coefficient must be."""
    assert value.q == 1
    return int(value.p)


def exp(series: Series, form: SeriesLayout, lead: int = -1) -> Series:
    """exp of a series without constant term, up to the caps.

    By x ∂A/∂x = x ∂T/∂x · A in a variable x that the term has: `lead` if it has it, else the first. What has none of
    them is exp of a series in the main variable alone.
    """
    zero = (0,) * len(form.caps)
    result = {zero: _exp_main(series.get(zero), form.length)}
    terms = [(key, poly) for key, poly in series.items() if key != zero]
    order = [lead] * (lead >= 0 and lead != form.main) + [i for i in range(len(form.caps)) if i != form.main]
    ranges = [range(cap + 1) if i != form.main else (0,) for i, cap in enumerate(form.caps)]
    for key in product(*ranges):
        if key == zero:
            continue
        x = next(i for i in order if key[i])
        sum_ = fmpq_poly()
        for part, poly in _parts(key, terms, series):
            if part[x] and (rest := result.get(tuple(a - b for a, b in zip(key, part, strict=True)))) is not None:
                sum_ += _times(poly, rest, form.length) * part[x]
        if sum_:
            result[key] = sum_ / key[x]
    return result


def _parts(key: Key, terms: list[tuple[Key, fmpq_poly]], series: Series) -> list[tuple[Key, fmpq_poly]]:
    """The terms whose exponents are at most those of `key`."""
    if prod(e + 1 for e in key) < len(terms):
        zero = (0,) * len(key)
        below = product(*(range(e + 1) for e in key))
        parts = [(part, poly) for part in below if (poly := series.get(part)) is not None and part != zero]
    else:
        parts = [(part, poly) for part, poly in terms if all(a <= b for a, b in zip(part, key, strict=True))]
    return parts


def _times(a: fmpq_poly, b: fmpq_poly, length: int) -> fmpq_poly:
    if a.degree() + b.degree() < length:
        return a * b
    return a.mul_low(b, length)


def _exp_main(poly: fmpq_poly | None, length: int) -> fmpq_poly:
    if poly is None:
        return fmpq_poly([1])
    cap = ctx.cap
    ctx.cap = length
    try:
        return fmpq_poly(fmpq_series(poly.coeffs(), prec=length).exp().coeffs())
    finally:
        ctx.cap = cap
