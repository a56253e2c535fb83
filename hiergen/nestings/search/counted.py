"""Objectives of what a cutout has to carry along: the groups of each level that its classes touch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hiergen.nestings.search.groups import Labels

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
