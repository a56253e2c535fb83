"""Counts against enumeration of every nesting, against known numbers, and of one route against the other."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
from all_nestings import nestings, random_constraints, satisfies

from hiergen.errors import HiergenError
from hiergen.nestings.count.constraints import ClassTree, Constraints, Span, class_tree
from hiergen.nestings.count.count import count_nestings, count_shape, counted
from hiergen.nestings.count.route import Counting, TooLargeError, plan_count
from hiergen.nestings.read import read_nesting
from hiergen.taxonomy.nesting import Nesting

BELL_100 = (
    "475853912767648336587907688413872078263636696868256114666163"
    "34637559114497892442622672724044217756306953557882560751"
)
LARGEST = {2: 8, 3: 6, 4: 5}


@pytest.fixture(scope="module")
def every() -> dict[tuple[int, int], list]:  # type: ignore[type-arg]
    return {(n, k): list(nestings(n, k)) for k, most in LARGEST.items() for n in range(1, most + 1)}


def forced(n: int, k: int, constraints: Constraints, name: str) -> Counting:
    """The question with its route forced to be `name`."""
    from hiergen.nestings.count import route

    counting = plan_count(n, k, constraints)
    levels = route.limits(k, constraints)
    given = [levels] * (k - 1) if isinstance(levels, route.Limits) else levels
    tracked = route._tracked(given, counting.route.levels, n, counting.route.atoms) if name == "tables" else {}
    sized = any(level.sizes != (1, n) for level in counting.route.levels)
    return replace(counting, route=replace(counting.route, name=name, tracked=tracked, sized=sized))


def test_known_numbers() -> None:
    assert [count_nestings(n, 1) for n in range(1, 7)] == [1] * 6
    assert [count_nestings(n, 2) for n in range(1, 7)] == [1, 2, 5, 15, 52, 203]
    assert [count_nestings(n, 3) for n in range(1, 7)] == [1, 3, 12, 60, 358, 2471]
    assert [count_nestings(n, 4) for n in range(1, 7)] == [1, 4, 22, 154, 1304, 12915]
    assert count_nestings(10, 2) == 115975
    assert str(count_nestings(100, 2)) == BELL_100
    assert count_nestings(1000, 2) // 10**1927 in range(1, 10)  # 1928 digits
    assert count_nestings(10, 2, Constraints(groups=((3, 3),))) == 9330  # S(10, 3)
    assert count_nestings(8, 2, Constraints(min_size=(2,), max_size=(2,))) == 105  # perfect matchings: 7!!


SINGLE = [
    Constraints(),
    *(Constraints(groups=((g, g),)) for g in range(1, 9)),
    Constraints(groups=((2, 4),)),
    Constraints(groups=((3, None),)),
    *(Constraints(min_size=(s,)) for s in (2, 3, 4)),
    *(Constraints(max_size=(s,)) for s in (1, 2, 3, 5)),
    Constraints(min_size=(2,), max_size=(3,)),
    Constraints(must_link=((0, 1),)),
    Constraints(must_link=((0, 1), (2, 3), (1, 4))),
    Constraints(cannot_link=((0, 1),)),
    Constraints(cannot_link=((0, 1), (1, 2), (0, 2))),
    Constraints(cannot_link=((0, 1), (2, 3))),
    Constraints(cannot_link=((0, 1), (1, 2), (2, 3), (3, 0))),
    Constraints(must_link=((0, 1),), cannot_link=((1, 2),)),
]


@pytest.mark.parametrize("constraints", SINGLE, ids=str)
def test_every_constraint_against_enumeration(constraints: Constraints, every: dict) -> None:  # type: ignore[type-arg]
    largest = max([c for pair in constraints.must_link + constraints.cannot_link for c in pair], default=0)
    for (n, k), all_ in every.items():
        if n > largest:
            assert count_nestings(n, k, constraints) == sum(satisfies(nest, constraints) for nest in all_), (n, k)


@pytest.mark.parametrize("seed", range(8))
def test_combinations_against_enumeration(seed: int, every: dict) -> None:  # type: ignore[type-arg]
    rng = random.Random(seed)
    some = 0
    for _ in range(40):
        k = rng.choice([2, 2, 3, 3, 4])
        n = rng.randint(1, LARGEST[k])
        constraints = random_constraints(rng, n, k)
        expected = sum(satisfies(nest, constraints) for nest in every[n, k])
        assert count_nestings(n, k, constraints) == expected, (n, k, constraints)
        some += expected > 0
    assert some > 10


@pytest.mark.parametrize("link", [(), ((0, 1),), ((1, 2),), ((2, 3),), ((0, 1), (2, 3))])
def test_nodes_alike_but_for_a_link_do_not_share_their_counts(link: tuple[tuple[int, int], ...]) -> None:
    tree = ClassTree("t", ((1, 2, 7), (3, 4), (5, 6), (), (), (), (), ()), (-1, -1, -1, 0, 1, 2, 3, 4))
    for k in (2, 3):
        constraints = Constraints(tree=tree, cannot_link=link)
        assert count_nestings(5, k, constraints) == sum(satisfies(nest, constraints) for nest in nestings(5, k))


FREE: Span = (1, None)


@pytest.mark.parametrize(
    ("n", "k", "constraints"),
    [
        (20, 2, Constraints()),
        (30, 4, Constraints()),
        (20, 3, Constraints(groups=((3, 5), FREE))),
        (20, 3, Constraints(groups=(FREE, (7, 7)))),
        (24, 4, Constraints(groups=((2, 3), (5, 5), (7, 10)))),
        (20, 3, Constraints(min_size=(2,))),
        (20, 3, Constraints(groups=((4, 4), (8, 8)), min_size=(2,))),
        (20, 3, Constraints(groups=((2, 4), FREE), max_size=(None, 4), must_link=((0, 1), (1, 2), (3, 4)))),
    ],
)
def test_both_routes_agree(n: int, k: int, constraints: Constraints) -> None:
    """Upwards by Stirling numbers and downwards by generating functions share no formula."""
    chain, tables = (counted(forced(n, k, constraints, name)) for name in ("chain", "tables"))
    assert chain == tables == count_nestings(n, k, constraints) > 0


def test_a_billion_levels_and_a_few_are_the_same_polynomial() -> None:
    # for fixed n the count is a polynomial in k of degree n - 1: through its values at small k
    for constraints, n in ((Constraints(), 5), (Constraints(groups=((2, 4),)), 5), (Constraints(min_size=(2,)), 6)):
        few = [count_nestings(n, k, constraints) for k in range(2, n + 8)]
        k = 10**9
        differences, value, binomial = few, 0, 1
        for j in range(n + 1):
            value += binomial * differences[0]
            binomial = binomial * (k - 2 - j) // (j + 1)
            differences = [b - a for a, b in pairwise(differences)]
        assert count_nestings(n, k, constraints) == value


def test_levels_by_power_of_a_matrix_and_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from hiergen.nestings.count import route

    one_by_one = count_nestings(9, 40, Constraints(groups=((2, 7),)))
    monkeypatch.setattr(route, "MOST_LEVELS", 10)
    assert count_nestings(9, 40, Constraints(groups=((2, 7),))) == one_by_one


def test_what_would_take_too_long_is_refused() -> None:
    with pytest.raises(TooLargeError, match="too large to count exactly: 100,000 classes, 2 levels; fewer classes"):
        count_nestings(100_000, 2)
    assert count_nestings(100_000, 2, Constraints(groups=((2, 2),))) == 2**99_999 - 1


@pytest.mark.parametrize("k", [1, 2, 3])
def test_shapes_add_up_to_all(k: int) -> None:
    """Each nesting of 5 classes: its shape's count is how many of all have that shape."""
    names = list("abcde")
    result: dict[int, int] = {}
    for nest in nestings(5, k):
        of = [[next(g for g, group in enumerate(p) if c in group) for c in range(5)] for p in nest]
        nesting = Nesting.from_levels(names, of, name="x")
        same = count_shape([nesting.above(j) for j in range(1, k + 1)], 5) if k > 1 else 1
        result[same] = result.get(same, 0) + 1
    for same, number in result.items():
        assert number % same == 0
    assert sum(result.values()) == count_nestings(5, k)
    assert count_shape([(0, 0), (0, 0, 1, 1)], 4) == 3
    assert count_shape([(0, 0, 0), (0, 0, 1, 1, 2)], 5) == 15
    assert count_shape([(0, 0), (0, 1), (0, 0, 1, 1, 1)], 5) == 10


def test_real_trees() -> None:
    from hiergen.taxonomy.load import load_taxonomy

    taxonomy = load_taxonomy("taxonomies/imagenette.yaml")
    tree = class_tree(taxonomy)
    constraints = Constraints(tree=tree)
    assert count_nestings(10, 2, constraints) == 63
    by_hand = [nest for nest in nestings(10, 2) if satisfies(nest, constraints)]
    assert len(by_hand) == 63
    backwards = class_tree(taxonomy, [c.id for c in taxonomy.classes][::-1])
    assert count_nestings(10, 3, replace(constraints, tree=backwards)) == count_nestings(10, 3, constraints)
    with pytest.raises(HiergenError, match="is over other classes: 1 not in it"):
        class_tree(taxonomy, ["n0", *[c.id for c in taxonomy.classes][1:]])
    # the tree is kept as long as no group is torn: every model of the file that only merges and cuts is in the space
    assert count_nestings(100, 3, Constraints(tree=class_tree(load_taxonomy("taxonomies/imagenet100.yaml")))) > 10**38
    assert read_nesting("taxonomies/imagenet100.yaml:N3HL").counts == (12, 32)


def test_no_torch_and_no_numpy() -> None:
    code = (
        "import sys; from hiergen import count_nestings, sample_nesting; count_nestings(20, 3); sample_nesting(20, 3); "
        "print([m for m in ('torch', 'numpy', 'scipy', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
