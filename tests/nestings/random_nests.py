"""Random taxonomy files, shapes and nestings for tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting


def file_text(
    ids: Sequence[str], extra: str = "", models: str = "models: {PHL: {}, N2HL: {}, N3HL: {}, N4HL: {}}"
) -> str:
    """A taxonomy file over these classes, whatever they are called."""
    quoted = ", ".join('"' + c.replace("\\", "\\\\").replace('"', '\\"') + '"' for c in ids)
    return f"name: toy\nclasses: [{quoted}]\nsources: [wordnet]\nunplaced: root\n{extra}\n{models}\n"


def random_nesting(rng: random.Random, ids: Sequence[str], k: int, *, low: int = 2) -> Nesting | None:
    """A nesting with k - 1 levels, each group of `low` members or more and each level of two groups or more; None where
    there is none."""
    order = list(range(len(ids)))
    rng.shuffle(order)
    items: list[list[int]] = [[i] for i in order]
    levels: list[list[int]] = []
    for _ in range(k - 1):
        most = len(items) // low
        if most < 2:
            return None
        count = rng.randint(2, most)
        sizes = [low] * count
        for _ in range(len(items) - low * count):
            sizes[rng.randrange(count)] += 1
        joined, start = [], 0
        for size in sizes:
            joined.append([i for item in items[start : start + size] for i in item])
            start += size
        rng.shuffle(joined)
        items = joined
        of = [0] * len(ids)
        for number, members in enumerate(items):
            for i in members:
                of[i] = number
        levels.append(of)
    return Nesting.from_levels(ids, levels[::-1], name="random")


def same(a: Nesting, b: Nesting) -> bool:
    """Whether two nestings group the same classes alike, names aside."""
    return a.classes == b.classes and [level.of for level in a.levels] == [level.of for level in b.levels]


Load = Callable[[str], Taxonomy]
