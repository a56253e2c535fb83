"""Which classes moved between two nestings of the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from hiergen.explore.read import Nest, Source, home


def moves_data(
    first: Source, nests: Sequence[Nest], orders: Sequence[Sequence[int]], counts: Sequence[int]
) -> list[dict[str, Any]]:
    """For pairs of nestings (those of different sources where there are two): their levels side by side, and of each
    pair of levels the classes that are not in their group's partner.

    `orders[s][c]` is the index in source s of the class c of the page, `counts[s]` the number of its nestings, which
    stand in `nests` one source after the other.
    """
    from hiergen.partitions.agreement import matched_levels
    from hiergen.partitions.grouping import make_grouping
    from hiergen.partitions.moved import moves

    owner = [s for s, count in enumerate(counts) for _ in range(count)]
    groupings = []
    for nest, s in zip(nests, owner, strict=True):
        order = orders[s]
        levels = [[of[i] for i in order] for of in home(nest, len(order))]
        names = [[g.name for g in level] for level in nest.levels]
        groupings.append(make_grouping(str(s), first.ids, levels, names=names))
    found = []
    for i, j in combinations(range(len(nests)), 2):
        a, b = groupings[i], groupings[j]
        if not a.levels or not b.levels or (len(counts) > 1 and owner[i] == owner[j]):
            continue
        pairs = []
        for x, y in matched_levels(a, b):
            done = moves(a.levels[x], b.levels[y])
            pairs.append({"first": x, "second": y, "moved": sorted(m.index for m in done.moved)})
        found.append({"first": i, "second": j, "levels": pairs})
    return found
