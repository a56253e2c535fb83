"""Nestings for the tests of comparing: random chains of partitions, and small drawn ones."""

from __future__ import annotations

import numpy as np

from hiergen.taxonomy.nesting import Nesting


def nest(*levels: str, name: str = "toy") -> Nesting:
    """One string per level, one character per class: nest("aabb", "xxyz")."""
    classes = [f"c{i}" for i in range(len(levels[0]))]
    numbers = [[ord(c) for c in level] for level in levels]
    return Nesting.from_levels(classes, numbers, name=name)


def random_nest(n: int, counts: tuple[int, ...], seed: int, name: str = "random") -> Nesting:
    """Any nesting of n classes with up to `counts` groups per level, coarse first (a level refines the one above)."""
    rng = np.random.default_rng(seed)
    levels: list[list[int]] = []
    for count in counts:
        raw = rng.integers(0, count, n)
        above = levels[-1] if levels else [0] * n
        levels.append([int(r) + count * a for r, a in zip(raw, above, strict=True)])
    return Nesting.from_levels([f"c{i}" for i in range(n)], levels, name=name)
