"""One level's part of a score, kept up to date while classes move.

Of pairs of classes: sums of a matrix within the groups, kept for every class and group.

`A[g, c]`, the sum over group g of the matrix' row c, gives the within-sums after a move or swap in O(1); carrying it
out costs O(n). The matrix is taken as integers of 40 bits or so: sums are exact, in any order. Of what a cutout has to
carry along: the groups of each level that its classes touch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from hiergen.nestings.search.space import Labels

MAX_BITS = 40


class Tracker(Protocol):
    """One level's part of a score, kept up to date. Gains are changes of it, more = better for every objective.

    `a` and `b` are two groups of the level. Gains are worked out from exact integers, so that they depend on the
    nesting only, never on the way to it.
    """

    def value(self) -> float:
        """The level's part, as a gain."""

    def move(self, c: int, a: int, b: int) -> float:
        """The gain of class c going from a to b."""

    def swap(self, c: int, d: int, a: int, b: int) -> float:
        """The gain of c going from a to b and d from b to a."""

    def exchange(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> float:
        """The gain of all xs going from a to b and all ys from b to a."""

    def apply(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> None:
        """They went."""


def as_integers(matrix: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """The matrix (diagonal 0) as integers, and what one of them is worth: a power of 2, so that sums fit in 62 bits.

    >>> as_integers(np.array([[1.0, 0.5], [0.5, 1.0]]))[0].tolist()
    [[0, 549755813888], [549755813888, 0]]
    """
    n = len(matrix)
    plain = np.array(matrix, dtype=np.float64)
    np.fill_diagonal(plain, 0.0)
    plain = (plain + plain.T) / 2
    top = float(np.abs(plain).max(initial=0.0))
    exponent = math.frexp(top)[1] if top else 0
    bits = min(MAX_BITS, 61 - 2 * math.ceil(math.log2(max(n, 2)))) - exponent
    return np.rint(np.ldexp(plain, bits)).astype(np.int64), math.ldexp(1.0, -bits)


class PairLevel(ABC):
    """Within-sums of one level. `weight` scales its part of the score."""

    def __init__(self, matrix: NDArray[np.int64], worth: float, labels: Sequence[int], weight: float) -> None:
        self.matrix, self.worth, self.weight = matrix, worth, weight
        self.n, groups = len(matrix), max(labels) + 1
        member = np.zeros((groups, self.n), dtype=np.int64)
        member[list(labels), range(self.n)] = 1
        self.to: NDArray[np.int64] = member @ matrix  # (groups, n)
        self.size = [int(s) for s in member.sum(1)]
        self.within = [int(w) // 2 for w in (self.to * member).sum(1)]
        self.total = int(matrix.sum()) // 2
        # indexed many times: faster than the arrays, and plain integers
        self._to: Any = memoryview(cast(Any, self.to))
        self._pair: Any = memoryview(cast(Any, matrix))
        self.prepare()

    def prepare(self) -> None:  # noqa: B027 - nothing to keep is a choice
        """Keep what `gain` needs, after every change."""

    @abstractmethod
    def value(self) -> float: ...

    @abstractmethod
    def gain(self, a: int, b: int, within_a: int, within_b: int, size_a: int, size_b: int) -> float:
        """What the score gains when groups a and b come to have these within-sums and sizes."""

    def move(self, c: int, a: int, b: int) -> float:
        to, within, size = self._to, self.within, self.size
        return self.gain(a, b, within[a] - to[a, c], within[b] + to[b, c], size[a] - 1, size[b] + 1)

    def swap(self, c: int, d: int, a: int, b: int) -> float:
        to, within, size = self._to, self.within, self.size
        pair = self._pair[c, d]
        within_a = within[a] - to[a, c] + to[a, d] - pair
        return self.gain(a, b, within_a, within[b] - to[b, d] + to[b, c] - pair, size[a], size[b])

    def exchange(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> float:
        more = len(xs) - len(ys)
        return self.gain(a, b, *self._after(xs, ys, a, b), self.size[a] - more, self.size[b] + more)

    def _after(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> tuple[int, int]:
        x, y = np.asarray(xs, dtype=np.int64), np.asarray(ys, dtype=np.int64)
        inside_x, inside_y = (int(self.matrix[np.ix_(i, i)].sum()) // 2 for i in (x, y))
        across = int(self.matrix[np.ix_(x, y)].sum())
        to_a, to_b = self.to[a], self.to[b]
        within_a = self.within[a] - int(to_a[x].sum()) + inside_x + int(to_a[y].sum()) - across + inside_y
        within_b = self.within[b] - int(to_b[y].sum()) + inside_y + int(to_b[x].sum()) - across + inside_x
        return within_a, within_b

    def apply(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> None:
        self.within[a], self.within[b] = self._after(xs, ys, a, b)
        for classes, source, target in ((xs, a, b), (ys, b, a)):
            for c in classes:
                self.to[source] -= self.matrix[c]
                self.to[target] += self.matrix[c]
        more = len(xs) - len(ys)
        self.size[a] -= more
        self.size[b] += more
        self.prepare()


class CoherenceLevel(PairLevel):
    """Mean similarity within groups less that between groups, over the pairs of classes."""

    def prepare(self) -> None:
        self.sum = sum(self.within)
        self.pairs = sum(s * (s - 1) for s in self.size) // 2
        self.now = self._score(self.sum, self.pairs)

    def _score(self, within: int, pairs: int) -> float:
        rest = self.n * (self.n - 1) // 2 - pairs
        inside = within / pairs if pairs else 0.0
        return (inside - ((self.total - within) / rest if rest else 0.0)) * self.worth * self.weight

    def value(self) -> float:
        return self.now

    def gain(self, a: int, b: int, within_a: int, within_b: int, size_a: int, size_b: int) -> float:
        size = self.size
        pairs = self.pairs
        if size_a != size[a]:
            was = size[a] * (size[a] - 1) + size[b] * (size[b] - 1)
            pairs += (size_a * (size_a - 1) + size_b * (size_b - 1) - was) // 2
        within = self.sum + within_a + within_b - self.within[a] - self.within[b]
        return self._score(within, pairs) - self.now


class ScatterLevel(PairLevel):
    """The share of the scatter of all classes that the groups explain; the matrix is of squared distances."""

    def prepare(self) -> None:
        self.norm = self.n / self.total * self.weight

    def value(self) -> float:
        return self.weight - sum(w / s for w, s in zip(self.within, self.size, strict=True)) * self.norm

    def gain(self, a: int, b: int, within_a: int, within_b: int, size_a: int, size_b: int) -> float:
        was = self.within[a] / self.size[a] + self.within[b] / self.size[b]
        return (was - within_a / size_a - within_b / size_b) * self.norm


SCALE = 1 << 40


class TaskLevel:
    """Expected cost of one level: each task pays `price` for every group that one of its classes is in.

    `tasks` are class indices, `weights` whole numbers, `full` what a score of 1 costs.
    """

    def __init__(
        self, tasks: Sequence[Sequence[int]], weights: Sequence[int], labels: Sequence[int], price: int, full: int
    ) -> None:
        self.weights, self.price, self.full = weights, price, full
        self.of: list[list[int]] = [[] for _ in labels]  # class → tasks
        self.touched = [[0] * (max(labels) + 1) for _ in tasks]
        for t, classes in enumerate(tasks):
            for c in classes:
                self.of[c].append(t)
                self.touched[t][labels[c]] += 1

    def value(self) -> float:
        paid = sum(w * sum(map(bool, touched)) for w, touched in zip(self.weights, self.touched, strict=True))
        return -(paid * self.price / self.full)

    def move(self, c: int, a: int, b: int) -> float:
        more = 0
        for t in self.of[c]:
            touched = self.touched[t]
            more += self.weights[t] * ((touched[b] == 0) - (touched[a] == 1))
        return -(more * self.price / self.full)

    def swap(self, c: int, d: int, a: int, b: int) -> float:
        return self.exchange((c,), (d,), a, b)

    def exchange(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> float:
        more = 0
        for t, flow in self._flows(xs, ys).items():
            in_a, in_b = self.touched[t][a], self.touched[t][b]
            more += self.weights[t] * ((in_a > flow) + (in_b + flow > 0) - (in_a > 0) - (in_b > 0))
        return -(more * self.price / self.full)

    def apply(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> None:
        for t, flow in self._flows(xs, ys).items():
            self.touched[t][a] -= flow
            self.touched[t][b] += flow

    def _flows(self, xs: Sequence[int], ys: Sequence[int]) -> dict[int, int]:
        """Task → how many more of its classes go from a to b than back."""
        flows: dict[int, int] = {}
        for classes, sign in ((xs, 1), (ys, -1)):
            for c in classes:
                for t in self.of[c]:
                    flows[t] = flows.get(t, 0) + sign
        return flows


class SizeLevel:
    """Expected cost of one level for a task of classes drawn at random: `touch[s]` / SCALE is the chance that a group
    of s classes is touched."""

    def __init__(self, touch: Sequence[int], labels: Sequence[int], price: int, full: int) -> None:
        self.touch, self.price, self.full = touch, price, full
        self.size = [0] * (max(labels) + 1)
        for g in labels:
            self.size[g] += 1

    def value(self) -> float:
        return -self._cost(sum(self.touch[s] for s in self.size))

    def move(self, c: int, a: int, b: int) -> float:
        return self._shift(a, b, 1)

    def swap(self, c: int, d: int, a: int, b: int) -> float:
        return 0.0

    def exchange(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> float:
        return self._shift(a, b, len(xs) - len(ys))

    def apply(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> None:
        more = len(xs) - len(ys)
        self.size[a] -= more
        self.size[b] += more

    def _shift(self, a: int, b: int, more: int) -> float:
        touch, in_a, in_b = self.touch, self.size[a], self.size[b]
        return -self._cost(touch[in_a - more] + touch[in_b + more] - touch[in_a] - touch[in_b])

    def _cost(self, touched: int) -> float:
        return touched * self.price / (self.full * SCALE)


def touch_table(n: int, m: int) -> list[int]:
    """Chance, in parts of SCALE, that m of n classes drawn at random touch a group of s = 0 … n classes:
    1 - C(n - s, m) / C(n, m)."""
    every = math.comb(n, m)
    return [SCALE - SCALE * math.comb(n - s, m) // every for s in range(n + 1)]


def group_counts(labels: Labels) -> tuple[int, ...]:
    """Groups per level."""
    return tuple(len(set(level)) for level in labels)
