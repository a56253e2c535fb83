"""Classes side by side are one diagonal per step: against the whole tables, and both against all ways to choose."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from hiergen.taxonomy import knapsack
from hiergen.taxonomy.knapsack import Alike, Part, Tables

COSTS = [(1.0, 0.25), (0.1, 0.3), (2.0, 2.0), (1e4, 1 / 3), (0.0, 0.0), (0.7, 0.1)]


def one(cost: float) -> np.ndarray:
    return np.array([np.inf, cost])


@pytest.mark.parametrize(("alone", "joined"), COSTS)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 30])
def test_alike_children_are_a_diagonal(count: int, alone: float, joined: float) -> None:
    rng = random.Random(count)
    rest_cost = np.array([rng.random() * 3 for _ in range(count + 1)])
    quick, slow = Alike(count, alone, joined), Tables(count, lambda i: (one(alone), one(joined)), count, trace=True)
    for got, want in zip(quick.closed(rest_cost), slow.closed(rest_cost), strict=True):
        np.testing.assert_array_equal(got, want)  # to the last bit, so that ties fall alike
    for own in range(count + 1):
        assert quick.undo(own, count - own) == slow.undo(own, count - own)


@pytest.mark.parametrize("large", [2**27, 0])
@pytest.mark.parametrize("seed", range(6))
def test_tables_are_the_least_of_all_choices(seed: int, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `LARGE` = 0 only every √n-th table is kept, and the way back computes the others anew."""
    monkeypatch.setattr(knapsack, "LARGE", large)
    rng = random.Random(seed)
    count = rng.randint(1, 6)

    def some() -> np.ndarray:
        return np.array([np.inf, *(rng.choice([np.inf, rng.random()]) for _ in range(rng.randint(0, 2))), rng.random()])

    parts: list[Part] = [(some(), some()) for _ in range(count)]
    tables = Tables(count, parts.__getitem__, 20, trace=True)
    best: dict[tuple[int, int], float] = {}
    ways = [[(c, n) for n in (0, 1) for c in range(1, len(part[n]))] for part in parts]
    for way in itertools.product(*ways):
        cost = sum(part[n][c] for part, (c, n) in zip(parts, way, strict=True))
        key = sum(c for c, n in way if n == 0), sum(c for c, n in way if n == 1)
        best[key] = min(best.get(key, np.inf), cost)
    for (own, rest), cost in best.items():
        if np.isinf(cost):
            continue
        assert tables._last[own, rest] == pytest.approx(cost)
        found = tables.undo(own, rest)
        assert sum(a for a, _ in found) == own
        assert sum(b for _, b in found) == rest
        costs = [part[0][a] if a else part[1][b] for part, (a, b) in zip(parts, found, strict=True)]
        assert sum(costs) == pytest.approx(cost)
