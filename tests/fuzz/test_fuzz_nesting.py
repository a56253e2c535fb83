"""Random trees through the nesting: the promises of docs/nesting.md, checked on plain nested lists."""

from __future__ import annotations

from collections import Counter

from hypothesis import assume, given
from hypothesis import strategies as st

from hiergen.taxonomy.levels import nest_tree
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.spec import NestingOptions as Options
from hiergen.taxonomy.wordnet.nouns import default
from tests.fuzz.profiles import examples
from tests.fuzz.trees import (
    Shape,
    classes_of,
    completed,
    depth_of,
    nodes_of,
    options,
    shapes,
    tree_of,
)


def levels_below(shape: Shape) -> st.SearchStrategy[int]:
    return st.integers(1, min(depth_of(shape), 5))


def check_levels(nesting: Nesting, n: int, k: int) -> None:
    """Exactly k levels; each is a partition of the classes, and refines the one above by `parent`."""
    assert nesting.depth == k
    assert len(nesting.levels) == k - 1
    above = [frozenset(range(n))]
    for groups in [v.groups for v in nesting.levels]:
        assert Counter(c for group in groups for c in group.classes) == Counter(range(n))
        for group in groups:
            assert list(group.classes) == sorted(group.classes)
            assert frozenset(group.classes) <= above[group.parent]
        assert {group.parent for group in groups} == set(range(len(above)))  # no group without children
        order = [(group.parent, group.classes) for group in groups]
        assert order == sorted(order)  # tree order: siblings side by side, by their first class
        names = [group.name for group in groups]
        assert len(set(names)) == len(names)
        above = [frozenset(group.classes) for group in groups]
    assert Counter(nesting.leaves) == Counter(range(n))
    homes = nesting.above(k)
    assert all(c in above[home] for c, home in enumerate(homes)) if k > 1 else set(homes) == {0}


def check_groups(nesting: Nesting, shape: Shape) -> None:
    """A group is a node of the completed tree, or some children of one, or a class alone."""
    whole = completed(shape)
    inner = {classes_of(node) for node in nodes_of(whole)}
    families = [[classes_of(part) for part in node] for node in nodes_of(whole)]
    for groups in [v.groups for v in nesting.levels]:
        for group in groups:
            inside = frozenset(group.classes)
            if group.kind == "pass":
                assert len(inside) == 1
            elif group.kind == "node":
                assert inside in inner
            else:
                parts = [[part for part in family if part <= inside] for family in families]
                assert any(frozenset().union(*gathered) == inside for gathered in parts)


@examples(100, 0.16)
@given(st.data())
def test_every_class_once_on_exactly_k_levels_in_nodes_and_rests(data: st.DataObject) -> None:
    shape = data.draw(shapes(most=24))
    k = data.draw(levels_below(shape))
    nesting = nest_tree(tree_of(shape), k, data.draw(options()), default())
    check_levels(nesting, len(classes_of(shape)), k)
    check_groups(nesting, shape)


@examples(50, 0.09)
@given(st.data())
def test_nesting_a_nesting_again_is_the_identity(data: st.DataObject) -> None:
    """With `balance: 0`, as docs/taxonomy-file.md says, and without groups of one member, which contract."""
    shape = data.draw(shapes(most=24))
    k = data.draw(levels_below(shape))
    nesting = nest_tree(tree_of(shape), k, data.draw(options()), default())
    assume(all(count > 1 for level in range(1, k) for count in Counter(nesting.parents(level + 1)).values()))
    assume(k == 1 or len(nesting.levels[0].groups) > 1)
    again = nest_tree(tree_of(nested(nesting)), k, Options(balance=0), default())
    assert [[g.classes for g in groups] for groups in [v.groups for v in again.levels]] == [
        [g.classes for g in groups] for groups in [v.groups for v in nesting.levels]
    ]


def nested(nesting: Nesting) -> Shape:
    """A nesting as a tree of its own."""
    below: list[Shape] = [[] for _ in nesting.levels[-1].groups] if nesting.levels else [[]]
    for c, home in enumerate(nesting.above(nesting.depth)):
        below[home].append(c)
    for level in range(len(nesting.levels) - 1, -1, -1):
        gathered: list[Shape] = [[] for _ in (nesting.levels[level - 1].groups if level else [0])]
        for group, inner in zip(nesting.levels[level].groups, below, strict=True):
            gathered[group.parent].append(inner)
        below = gathered
    return below[0]
