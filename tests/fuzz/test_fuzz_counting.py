"""Small random constraints and trees: the count is how many there are, and a draw is one of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from hiergen.errors import HiergenError
from hiergen.nestings.count.constraints import ClassTree, Constraints, UnsatisfiableError
from hiergen.nestings.count.count import count_nestings
from hiergen.nestings.count.sample import sample_nesting
from tests.fuzz.profiles import examples
from tests.fuzz.trees import Shape, shapes
from tests.nestings.all_nestings import Partition, nestings, random_constraints, satisfies


def class_tree(shape: Shape) -> ClassTree:
    children: list[list[int]] = [[]]
    leaf = [-1]
    queue: list[tuple[int, Shape]] = [(0, shape)]
    for home, parts in queue:
        for part in parts:
            children.append([])
            leaf.append(part if isinstance(part, int) else -1)
            children[home].append(len(leaf) - 1)
            if not isinstance(part, int):
                queue.append((len(leaf) - 1, part))
    return ClassTree("t.yaml", tuple(map(tuple, children)), tuple(leaf))


def as_partitions(levels: list[list[int]]) -> tuple[Partition, ...]:
    return tuple(
        tuple(sorted(tuple(i for i, g in enumerate(level) if g == group) for group in set(level))) for level in levels
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[int, int, Constraints]:
    shape = draw(shapes(least=2, most=5))
    n = 1 + max(part for part in _flat(shape))
    k = draw(st.integers(1, 3))
    other = random_constraints(draw(st.randoms(use_true_random=False)), n, k) if k > 1 else Constraints()
    tree = class_tree(shape) if draw(st.booleans()) else other.tree
    return n, k, Constraints(other.groups, other.min_size, other.max_size, other.must_link, other.cannot_link, tree)


def _flat(shape: Shape) -> list[int]:
    return [c for part in shape for c in ([part] if isinstance(part, int) else _flat(part))]


@examples(60, 0.04)
@given(questions(), st.integers(0, 99))
def test_the_count_is_how_many_there_are_and_draws_are_among_them(
    question: tuple[int, int, Constraints], seed: int
) -> None:
    n, k, constraints = question
    every = {tuple(tuple(sorted(p)) for p in nesting) for nesting in nestings(n, k) if satisfies(nesting, constraints)}
    assert count_nestings(n, k, constraints) == len(every)
    if every:
        assert as_partitions(sample_nesting(n, k, constraints, seed)) in every
        return
    try:
        sample_nesting(n, k, constraints, seed)
    except UnsatisfiableError:
        return
    raise AssertionError("a draw from nothing")


@examples(20, 0.01)
@given(shapes(most=9), st.integers(1, 3), st.integers(0, 9))
def test_what_is_drawn_from_a_tree_is_counted(shape: Shape, k: int, seed: int) -> None:
    """On larger trees: a draw is consistent with the tree, refines level by level, and there is one to count."""
    tree = class_tree(shape)
    constraints = Constraints(tree=tree)
    assume(tree.classes > 1)
    try:
        drawn = as_partitions(sample_nesting(tree.classes, k, constraints, seed))
    except HiergenError as error:  # pragma: no cover
        raise AssertionError(str(error)) from error
    assert satisfies(drawn, constraints)
    assert all(any(set(g) <= set(h) for h in up) for up, down in pairwise(drawn) for g in down)
    assert count_nestings(tree.classes, k, constraints) >= 1
