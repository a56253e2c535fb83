"""Distances of whole nests against brute force over triples, scipy's cophenet, and trees drawn by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from nests import nest, random_nest
from scipy.cluster.hierarchy import cophenet

from hiergen.nestings.compare.agreement import (
    clusters,
    cophenetic_correlation,
    cophenetic_distance,
    robinson_foulds,
    shared_levels,
    tree_distance,
    triplet_distance,
)
from hiergen.taxonomy.nesting import Nesting

SHAPES = [((3, 2), (2, 3), 12), ((4,), (2, 2, 2), 11), ((2, 2, 2), (5,), 9), ((), (3,), 8), ((9,), (2, 4), 10)]


def together(g: Nesting, i: int, j: int) -> int:
    depth = 0
    for level in g.levels:
        if level.of[i] != level.of[j]:
            return depth
        depth += 1
    return depth


def closest(g: Nesting, i: int, j: int, m: int) -> tuple[int, int] | None:
    pairs = sorted([(i, j), (i, m), (j, m)], key=lambda p: -together(g, *p))
    return pairs[0] if together(g, *pairs[0]) > together(g, *pairs[1]) else None


def linkage(g: Nesting) -> np.ndarray:
    """The nest as scipy's binary merges: within a group one after another, at the group's height."""
    n, rows = len(g.classes), []
    ids, sizes = list(range(n)), [1] * n
    for level, height in [
        *zip([level.of for level in g.levels][::-1], range(1, g.depth), strict=True),
        ((0,) * n, g.depth),
    ]:
        for group in sorted(set(level)):
            members = sorted({ids[c] for c in range(n) if level[c] == group})
            while len(members) > 1:
                a, b, new = members[0], members[1], n + len(rows)
                sizes.append(sizes[a] + sizes[b])
                rows.append([a, b, height, sizes[new]])
                ids = [new if i in (a, b) else i for i in ids]
                members = sorted([new, *members[2:]])
    return np.array(rows, dtype=float)


@pytest.mark.parametrize(("left", "right", "n"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_triplets_are_those_of_brute_force(left: tuple[int, ...], right: tuple[int, ...], n: int, seed: int) -> None:
    a, b = random_nest(n, left, seed), random_nest(n, right, seed + 10)
    triples = list(combinations(range(n), 3))
    different = sum(closest(a, *t) != closest(b, *t) for t in triples)
    assert triplet_distance(a, b) == pytest.approx(different / len(triples))
    assert triplet_distance(b, a) == triplet_distance(a, b)


@pytest.mark.parametrize(("left", "right", "n"), SHAPES)
def test_cophenetic_correlation_is_scipys(left: tuple[int, ...], right: tuple[int, ...], n: int) -> None:
    a, b = random_nest(n, left, 1), random_nest(n, right, 2)
    for g in (a, b):
        assert cophenetic_distance(g) == pytest.approx(cophenet(linkage(g)) / g.depth)
        assert shared_levels(g)[0, 1] == together(g, 0, 1)
    if a.levels:
        correlation, _ = cophenet(linkage(a), cophenet(linkage(b)))
        assert cophenetic_correlation(a, b) == pytest.approx(correlation)
    else:
        assert math.isnan(cophenetic_correlation(a, b))


def test_robinson_foulds_by_hand() -> None:
    a = nest("aaaabbb", "xxyyzzz")  # {0123} {456} {01} {23}; {456} stands twice and counts once
    b = nest("aaaabbb", "xyyyzzw")  # {0123} {456} {123} {45}
    assert clusters(a) == {frozenset(c) for c in ({0, 1, 2, 3}, {4, 5, 6}, {0, 1}, {2, 3})}
    assert robinson_foulds(a, b) == 4 / 8
    assert robinson_foulds(nest("abcd"), nest("aaaa")) == 0  # neither says anything


@pytest.mark.parametrize("counts", [(5,), (4, 3), (2, 2, 2)])
def test_a_nest_against_itself_and_against_random_ones(counts: tuple[int, ...]) -> None:
    a = random_nest(80, counts, 0)
    same = {"cophenetic": pytest.approx(1.0, abs=1e-12), "robinson_foulds": 0.0, "triplets": 0.0}  # sums round
    assert tree_distance(a, a).as_data() == same
    others = [tree_distance(a, random_nest(80, counts, seed)) for seed in range(1, 21)]
    assert abs(np.mean([o.cophenetic for o in others])) < 0.02
    assert min(o.robinson_foulds for o in others) > 0.9


def test_a_phl_has_no_correlation_and_resolves_nothing() -> None:
    phl, a = random_nest(6, (), 0), nest("aabbbb")
    result = tree_distance(phl, a).as_data()
    # a resolves: two of {0,1} with another, two of {2..5} with one of {0,1}
    assert result == {"cophenetic": None, "robinson_foulds": 1.0, "triplets": (4 + 6 * 2) / 20}
    assert tree_distance(phl, phl).triplets == 0
    assert triplet_distance(nest("ab"), nest("aa")) == 0


def test_classes_in_another_order_are_refused() -> None:
    a = nest("aabb")
    with pytest.raises(ValueError, match="different classes"):
        tree_distance(a, a.in_class_order(a.classes[::-1]))
