"""Drawn nestings: each that satisfies the constraints equally often, by both routes, and the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest
from all_nestings import Partition, nestings, random_constraints, random_tree, satisfies
from scipy.stats import chi2

from hiergen.nestings.count import sample as module
from hiergen.nestings.count.constraints import ClassTree, Constraints, UnsatisfiableError
from hiergen.nestings.count.route import CountRoute, TooLargeError, plan_count
from hiergen.nestings.count.sample import sample_nesting, samples
from tests.helpers import printed_twice

Drawn = tuple[tuple[int, ...], ...]
TREE = random_tree(random.Random(4), 6)
TWINS = ClassTree(
    "t",
    ((1, 2), (3, 4, 5), (6, 7, 8), (), (), (9, 10), (11, 12), (), (), (), (), (), ()),
    (-1, -1, -1, 0, 1, -1, -1, 6, 7, 2, 3, 4, 5),
)


def labels(nesting: tuple[Partition, ...], n: int) -> Drawn:
    """As `sample` has them: groups numbered in the order of their first class."""
    result = []
    for partition in nesting:
        order = {c: i for i, group in enumerate(sorted(partition, key=min)) for c in group}
        result.append(tuple(order[c] for c in range(n)))
    return tuple(result)


def p_value(n: int, k: int, constraints: Constraints, seed: int, each: int = 20) -> float:
    """Of a chi-square test over all nestings that satisfy the constraints; nothing else may be drawn."""
    good = {labels(nest, n) for nest in nestings(n, k) if satisfies(nest, constraints)}
    assert len(good) > 1
    drawn = islice(samples(n, k, constraints, seed), each * len(good))
    result = Counter(tuple(map(tuple, levels)) for levels in drawn)
    assert set(result) <= good
    return float(chi2.sf(sum((result[nest] - each) ** 2 / each for nest in good), len(good) - 1))


CASES = [
    (5, 2, Constraints()),
    (4, 3, Constraints()),
    (4, 4, Constraints()),
    (6, 2, Constraints(groups=((2, 4),))),
    (5, 3, Constraints(groups=((2, 2), (3, 4)))),
    (6, 2, Constraints(min_size=(2,))),
    (6, 3, Constraints(groups=((1, 2), (3, 3)), max_size=(None, 3))),
    (5, 3, Constraints(max_size=(4, 2))),
    (6, 2, Constraints(must_link=((0, 1), (4, 5)))),
    (5, 3, Constraints(must_link=((1, 3),), min_size=(2,))),
    (5, 2, Constraints(cannot_link=((0, 1), (1, 2), (0, 3)))),
    (5, 3, Constraints(cannot_link=((0, 1),), groups=((2, 3), (1, None)))),
    (6, 2, Constraints(tree=TREE)),
    (6, 3, Constraints(tree=TREE)),
    (6, 3, Constraints(tree=TREE, groups=((2, 3), (3, 5)))),
    # two nodes alike, whose unlike children come in different orders
    (8, 2, Constraints(tree=TWINS)),
    (8, 3, Constraints(tree=TWINS, groups=((2, 2), (4, 4)))),
]


def _routed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hiergen.nestings.count import route

    if name == "tables":
        monkeypatch.setattr(route, "chain_cost", lambda *_, **__: 1e9)
    else:  # a chain with sizes needs tables of one level
        monkeypatch.setattr(route, "tables_cost", lambda _, levels, __: 10.0 * len(levels))


@pytest.mark.parametrize("route", ["chain", "tables"])
@pytest.mark.parametrize(("n", "k", "constraints"), CASES)
def test_all_are_equally_likely(
    n: int, k: int, constraints: Constraints, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _routed(route, monkeypatch)
    assert p_value(n, k, constraints, seed=2) > 0.001


def test_both_routes_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("chain", "tables"):
        with monkeypatch.context() as patch:
            _routed(name, patch)
            taken: list[CountRoute] = [plan_count(n, k, c, drawing=True).route for n, k, c in CASES]
        if name == "tables":
            assert all(route.name == "tables" for route in taken)
        else:
            assert any(route.name == "chain" and route.sized for route in taken)
            assert any(route.name == "chain" and not route.sized for route in taken)


@pytest.mark.parametrize("seed", range(4))
def test_combinations_are_uniform(seed: int) -> None:
    rng = random.Random(100 + seed)
    values = []
    while len(values) < 12:
        k = rng.choice([2, 3])
        n = rng.randint(3, 6 if k == 2 else 4)
        constraints = random_constraints(rng, n, k)
        if 1 < sum(satisfies(nest, constraints) for nest in nestings(n, k)) < 100:
            values.append(p_value(n, k, constraints, seed=rng.randrange(1000)))
    assert min(values) > 1e-4  # 12 of them
    assert max(values) > 0.3  # nor may draws be more even than chance


def test_a_biased_draw_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: with weights rounded down to 1, small blocks come too often."""
    monkeypatch.setattr(module, "_weighted", lambda weights, rng: rng.choice(list(weights)))
    assert p_value(6, 2, Constraints(groups=((2, 5),)), seed=2) < 1e-6


def test_large_ones_satisfy_their_constraints() -> None:
    constraints = Constraints(
        groups=((5, 5), (15, 15)),
        min_size=(2,),
        max_size=(40, 20),
        must_link=((0, 1), (1, 2)),
        cannot_link=((0, 3), (3, 4)),
    )
    coarse, fine = sample_nesting(100, 3, constraints, seed=5)
    assert (len(set(coarse)), len(set(fine))) == (5, 15)
    assert all(2 <= size <= 40 for size in Counter(coarse).values())
    assert all(2 <= size <= 20 for size in Counter(fine).values())
    assert all(level[0] == level[1] == level[2] and level[0] != level[3] != level[4] for level in (coarse, fine))
    above = {}
    assert all(above.setdefault(g, c) == c for g, c in zip(fine, coarse, strict=True))


@pytest.mark.parametrize("constraints", [Constraints(), Constraints(groups=((2, 3), (5, 9))), Constraints(tree=TREE)])
def test_the_same_seed_gives_the_same_nesting(constraints: Constraints) -> None:
    n = 6 if constraints.tree else 12
    first = [sample_nesting(n, 3, constraints, seed) for seed in range(5)]
    assert first == [sample_nesting(n, 3, constraints, seed) for seed in range(5)]
    assert any(a != first[0] for a in first[1:])
    assert next(samples(n, 3, constraints, 3)) == first[3]


def test_hash_seeds_do_not_matter() -> None:
    code = (
        "from hiergen import sample_nesting, Constraints as C;"
        "print(sample_nesting(30, 3, C(groups=((3, 4), (8, 8)), cannot_link=((0, 1), (2, 3)), min_size=(2,)), 7))"
    )
    assert printed_twice(code)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UnsatisfiableError, match="satisfies --groups 2 and --min-size 6;"):
        sample_nesting(10, 2, Constraints(groups=((2, 2),), min_size=(6,)))
    with pytest.raises(UnsatisfiableError, match="and --cannot-link 4,5 and --cannot-link 0,1;"):
        sample_nesting(10, 2, Constraints(must_link=((0, 1), (2, 3)), cannot_link=((4, 5), (0, 1))))
    with pytest.raises(TooLargeError, match="too large to draw from: 100,000 classes"):
        sample_nesting(100_000, 2)
    with pytest.raises(TooLargeError, match="too large to be drawn"):
        sample_nesting(10, 10**9)
    assert sample_nesting(5, 1) == []
    assert sample_nesting(1, 3) == [[0], [0]]
