"""The fewest moves, against all matchings tried."""

from __future__ import annotations

from itertools import permutations

import pytest
from nests import nest, random_nest

from hiergen.nestings.compare.agreement import moves
from hiergen.taxonomy.nesting import Level


def fewest(a: Level, b: Level) -> int:
    size = max(len(a.names), len(b.names))
    kept = max(sum(p[i] == j for i, j in zip(a.of, b.of, strict=True)) for p in permutations(range(size)))
    return len(a.of) - kept


@pytest.mark.parametrize("seed", range(6))
def test_moves_are_the_fewest(seed: int) -> None:
    a, b = random_nest(25, (5,), seed).levels[0], random_nest(25, (3 + seed % 3,), seed + 9).levels[0]
    result = moves(a, b)
    assert len(result.moved) == fewest(a, b) == 25 - result.kept
    assert all(result.partners[m.before] != m.after for m in result.moved)
    assert all((a.of[m.index], b.of[m.index]) == (m.before, m.after) for m in result.moved)
    partners = [p for p in result.partners if p is not None]
    assert len(set(partners)) == len(partners)


def test_moves_side_by_side() -> None:
    a, b = nest("aaabbbcc").levels[0], nest("xxyyyyzz").levels[0]
    result = moves(a, b)
    assert result.partners == (0, 1, 2)
    assert [(m.index, m.before, m.after) for m in result.moved] == [(2, 0, 1)]
    assert result.kept == 7


def test_a_group_that_shares_nothing_with_what_is_left_has_no_partner() -> None:
    result = moves(nest("aabb").levels[0], nest("xxxx").levels[0])
    assert sorted(map(str, result.partners)) == ["0", "None"]
    assert result.kept == 2
    same = moves(nest("aabb").levels[0], nest("aabb").levels[0])
    assert (same.partners, same.moved) == ((0, 1), ())
