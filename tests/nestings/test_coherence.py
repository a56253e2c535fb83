"""Exact moments against all n! relabellings, means against plain loops."""

from __future__ import annotations

import math
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from nests import nest, random_nest

from hiergen.nestings.compare.coherence import coherence, mantel_r, permutation_moments

ROOT = Path(__file__).parents[2]


def similarity(n: int, seed: int = 0) -> np.ndarray:
    raw = np.random.default_rng(seed).random((n, n))
    return raw + raw.T


def difference(of: list[int], s: np.ndarray) -> float:
    within = [s[i, j] for i, j in combinations(range(len(of)), 2) if of[i] == of[j]]
    between = [s[i, j] for i, j in combinations(range(len(of)), 2) if of[i] != of[j]]
    return sum(within) / len(within) - sum(between) / len(between)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_moments_are_those_of_all_permutations(n: int) -> None:
    a, b = similarity(n, 1), similarity(n, 2)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    sums = [sum(a[i, j] * b[p[i], p[j]] for i, j in pairs) for p in permutations(range(n))]
    mean, variance = permutation_moments(a, b)
    assert mean == pytest.approx(np.mean(sums))
    assert variance == pytest.approx(np.var(sums), abs=1e-10)


@pytest.mark.parametrize("level", ["aabbbcc", "aaaaaab", "abcdeff"])
def test_a_level_against_all_relabellings(level: str) -> None:
    s, g = similarity(7), nest(level)
    of = g.levels[0].of
    all_of_them = [difference([of[i] for i in p], s) for p in permutations(range(7))]
    result = coherence(g, s).levels[0]
    assert result.coherence == pytest.approx(difference(list(of), s))
    assert result.within - result.between == pytest.approx(result.coherence)
    assert np.mean(all_of_them) == pytest.approx(0, abs=1e-12)
    assert result.sd == pytest.approx(np.std(all_of_them))
    assert result.z == pytest.approx(result.coherence / np.std(all_of_them))
    assert result.groups == len(set(level))


def test_the_whole_nest_correlates_with_shared_levels() -> None:
    g, s = nest("aaaabbbb", "xxyyzzzw"), similarity(8)
    shared = [sum(level.of[i] == level.of[j] for level in g.levels) for i, j in combinations(range(8), 2)]
    values = [s[i, j] for i, j in combinations(range(8), 2)]
    result = coherence(g, s)
    assert result.correlation == pytest.approx(np.corrcoef(shared, values)[0, 1])
    rng, drawn = np.random.default_rng(0), []
    full = sum((np.array(level.of)[:, None] == np.array(level.of)[None, :]).astype(float) for level in g.levels)
    for _ in range(20_000):
        p = rng.permutation(8)
        drawn.append(mantel_r(full[np.ix_(p, p)], s))
    assert result.z == pytest.approx((result.correlation - np.mean(drawn)) / np.std(drawn), abs=0.05)


def test_levels_without_pairs_and_equal_similarities_have_no_score() -> None:
    one, all_apart = coherence(nest("aaaa"), similarity(4)), coherence(nest("abcd"), similarity(4))
    assert math.isnan(one.levels[0].between)
    assert math.isnan(all_apart.levels[0].within)
    for result in (one, all_apart, coherence(nest("aabb"), np.full((4, 4), 0.1)), coherence(nest("ab"), similarity(2))):
        assert math.isnan(result.levels[0].z)
        assert result.as_data()["levels"][0]["z"] is None
    assert coherence(random_nest(5, (), 0), similarity(5)).levels == ()
    with pytest.raises(ValueError, match=r"similarity is \(3, 3\), expected \(4, 4\)"):
        coherence(nest("aabb"), similarity(3))
