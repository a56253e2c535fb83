"""Indices against scikit-learn and plain counting; levels of nestings of different depth."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from nests import nest, random_nest
from sklearn import metrics

from hiergen.nestings.compare.agreement import agreement, contingency, matched_levels
from hiergen.taxonomy.nesting import Nesting


@pytest.mark.parametrize("seed", range(5))
def test_indices_are_scikit_learns(seed: int) -> None:
    a, b = random_nest(60, (5,), seed).levels[0], random_nest(60, (8,), seed + 100).levels[0]
    result = agreement(a, b)
    assert result.ari == metrics.adjusted_rand_score(a.of, b.of)
    assert result.ami == metrics.adjusted_mutual_info_score(a.of, b.of)
    assert result.homogeneity == metrics.homogeneity_score(a.of, b.of)
    assert result.completeness == metrics.completeness_score(a.of, b.of)
    assert result.v_measure == metrics.v_measure_score(a.of, b.of)
    assert np.array_equal(contingency(a, b), metrics.cluster.contingency_matrix(a.of, b.of))


@pytest.mark.parametrize("seed", range(4))
def test_variation_of_information_is_two_conditional_entropies(seed: int) -> None:
    a, b = random_nest(40, (4,), seed).levels[0], random_nest(40, (6,), seed + 50).levels[0]
    cells: dict[tuple[int, int], int] = {}
    for pair in zip(a.of, b.of, strict=True):
        cells[pair] = cells.get(pair, 0) + 1
    vi = joint = 0.0
    for (i, j), count in cells.items():
        p = count / 40
        vi -= p * (math.log(count / a.of.count(i)) + math.log(count / b.of.count(j)))
        joint -= p * math.log(p)
    result = agreement(a, b)
    assert result.vi == pytest.approx(vi)
    assert result.nvi == pytest.approx(vi / joint)


def test_meet_and_join() -> None:
    # {0,1}{2,3}{4,5,6} and {0}{1,2}{3}{4,5}{6}: together they chain 0-1-2-3, and 4-5-6
    result = agreement(nest("aabbccc").levels[0], nest("abbcdde").levels[0])
    assert (result.meet, result.join) == (6, 2)
    finer = agreement(nest("aabb").levels[0], nest("abcc").levels[0])
    assert (finer.meet, finer.join) == (3, 2)


@pytest.mark.parametrize("level", ["aabbbc", "aaaaaa", "abcdef"])
def test_a_partition_against_itself(level: str) -> None:
    result = agreement(nest(level).levels[0], nest(level.upper()).levels[0])
    assert (result.ari, result.ami, result.v_measure, result.vi, result.nvi) == (1, 1, 1, 0, 0)
    assert result.meet == result.join == len(set(level))


def test_levels_of_one_depth_are_compared_in_order() -> None:
    assert matched_levels(random_nest(9, (2, 3), 0), random_nest(9, (3, 2), 1)) == [(0, 0), (1, 1)]
    assert matched_levels(nest("ab"), Nesting.from_levels(["c0", "c1"], [], name="PHL")) == []


def test_levels_of_other_depths_are_matched_in_order_by_what_they_share() -> None:
    deep = nest("aaaabbbb", "aabbccdd", "abcdefgh")
    assert matched_levels(nest("aabbccdd"), deep) == [(0, 1)]
    assert matched_levels(deep, nest("aabbccdd")) == [(1, 0)]
    assert matched_levels(nest("aaaabbbb", "aabbccde"), deep) == [(0, 0), (1, 1)]


def test_the_chain_is_the_best_of_all() -> None:
    from hiergen.nestings.compare.agreement import _best_chain

    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.random((3, 6)).tolist()
        best = max(combinations(range(6), 3), key=lambda js: sum(scores[i][j] for i, j in enumerate(js)))
        assert _best_chain(scores) == list(enumerate(best))


def test_other_numbers_of_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 classes against 4"):
        agreement(nest("aab").levels[0], nest("aabb").levels[0])
