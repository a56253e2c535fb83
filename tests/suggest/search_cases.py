"""What the tests of the search share: every nesting of a few classes, slow scores, a plan with easy prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiergen.suggest.search.objective import Objective
from hiergen.suggest.search.objectives import Coherence, RandomTaskCost, Separability, TaskCost
from hiergen.suggest.search.space import Space

Labels = tuple[tuple[int, ...], ...]


def partitions(n: int, groups: int) -> Iterator[tuple[int, ...]]:
    """All partitions of n things in so many groups, as restricted growth strings."""
    open_: list[tuple[int, ...]] = [()]
    while open_:
        labels = open_.pop()
        used = max(labels, default=-1) + 1
        if len(labels) == n:
            if used == groups:
                yield labels
        elif used + n - len(labels) >= groups:
            open_ += [(*labels, g) for g in range(min(used + 1, groups))]


def nestings(space: Space) -> Iterator[Labels]:
    """All nestings of a space, by the rules as they are written in its docstring."""
    for fine in partitions(space.n, space.counts[-1]):
        sizes = Counter(fine)
        if space.pattern is not None:
            if sorted(sizes.values()) != sorted(Counter(space.pattern[-1]).values()):
                continue
        elif not all(space.smallest <= s <= space.largest for s in sizes.values()):
            continue
        if len(space.counts) == 1:
            yield (fine,)
            continue
        for over in partitions(space.counts[1], space.counts[0]):
            coarse = tuple(over[g] for g in fine)
            if space.pattern is not None:
                if sorted(Counter(coarse).values()) == sorted(Counter(space.pattern[0]).values()):
                    yield coarse, fine
            elif min(Counter(over).values()) >= 2:
                yield coarse, fine


def plan_with(counts: tuple[int, ...]) -> Any:
    """A plan as far as prices go: a group of level j costs 7, 70, … MACs, a class 3, the trunk 1000."""
    prices = [7 * 10**j for j in range(len(counts))]
    levels = [SimpleNamespace(branch_macs=p, branch_params=2 * p, channels=5) for p in (*prices, 3)]
    n = 6
    macs = 1000 + sum(p * c for p, c in zip(prices, counts, strict=True)) + n * 8
    return SimpleNamespace(
        levels=levels,
        trunk=SimpleNamespace(macs=1000, params=2000),
        single_branch=False,
        macs=macs,
        params=2 * macs,
    )


def similarity(n: int, seed: int) -> NDArray[np.float64]:
    """Two or three clusters, with noise; symmetric."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3)) + 2 * rng.normal(size=(3, 3))[rng.integers(0, 3, n)]
    found = -((points[:, None] - points[None]) ** 2).sum(-1)
    found[np.diag_indices(n)] = rng.normal(size=n)  # a diagonal says nothing
    return np.asarray((found + found.T) / 2)


def tasks(n: int, seed: int) -> tuple[tuple[int, ...], ...]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, n, 5)
    return tuple(tuple(sorted(rng.choice(n, size, replace=False).tolist())) for size in sizes)


def objectives(n: int, seed: int) -> list[Objective]:
    return [
        Coherence(similarity(n, seed)),
        Separability(similarity(n, seed), "test"),
        TaskCost(plan_with, "macs", tasks(n, seed), (1.0, 2.0, 0.5, 0.0, 3.0)),
        RandomTaskCost(plan_with, "params", n, min(3, n - 1)),
    ]
