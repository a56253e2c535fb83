"""Random sources, of every strength and in every order: what a stronger one decided stays."""

from __future__ import annotations

from collections import Counter

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.merge import Merged, merge
from hiergen.taxonomy.sources import SourceTree
from hiergen.taxonomy.tree import ROOT, Tree, contract
from tests.fuzz.profiles import examples
from tests.fuzz.trees import Sets, Shape, classes_of, groups_of, shape_of, tree_of


@st.composite
def sources(draw: st.DrawFn, most: int = 12) -> tuple[int, list[Shape]]:
    """Number of classes, and up to four trees, each over two or more of them."""
    n = draw(st.integers(2, most))
    found = []
    for _ in range(draw(st.integers(0, 4))):
        some = draw(st.lists(st.integers(0, n - 1), min_size=2, max_size=n, unique=True))
        found.append(shape_of(some, draw(st.lists(st.integers(0, 4), min_size=len(some) - 1, max_size=len(some) - 1))))
    return n, found


def merged(n: int, shapes: list[Shape]) -> Merged:
    entries = tuple(ClassEntry(f"c{c}", f"c{c}", None, f"t.yaml:{c}") for c in range(n))
    order = {f"class:c{c}": c for c in range(n)}
    trees = []
    for i, shape in enumerate(shapes):
        tree = tree_of(shape, source=f"s{i}")
        tree.graph["order"] = order
        trees.append(SourceTree(f"s{i}", contract(tree)))
    return merge(entries, trees)


def family(tree: Tree) -> Sets:
    """The class sets of the groups below the root, read off networkx by plain reachability."""
    found = set()
    for key in tree:
        below = {int(k.removeprefix("class:c")) for k in nx.descendants(tree, key) if k.startswith("class:")}
        if key != ROOT and not key.startswith("class:"):
            found.add(frozenset(below))
    return frozenset(found)


def refined(strong: Sets, weak: Shape, n: int) -> Sets:
    """By sets alone: between a strong node and its children stands each union of two or more of them that are, as far
    as the weak source knows them, inside one weak group."""
    known, everything = classes_of(weak), frozenset(range(n))
    result = set(strong)
    for node in strong | {everything}:
        inside = [group for group in strong if group < node]
        children = [g for g in inside if not any(g < other for other in inside)]
        children += [frozenset([c]) for c in node if not any(c in g for g in children)]
        for group in groups_of(weak):
            gathered = [c for c in children if c & known and c & known <= group]
            union = frozenset().union(*gathered)
            if len(gathered) > 1 and union != node:
                result.add(union)
    return frozenset(result)


@examples(100, 0.12)
@given(sources())
def test_a_weaker_source_only_refines(case: tuple[int, list[Shape]]) -> None:
    n, shapes = case
    expected: Sets = frozenset()
    for count in range(len(shapes) + 1):
        result = merged(n, shapes[:count])
        tree = result.tree
        assert nx.is_arborescence(tree)
        assert Counter(k for k in tree if not tree.succ[k]) == Counter(f"class:c{c}" for c in range(n))
        assert all(tree.out_degree(k) != 1 for k in tree if k != ROOT)
        if count:
            before, expected = expected, refined(expected, shapes[count - 1], n)
            assert before <= expected
        assert family(tree) == expected
        assert len(set(family(tree))) == sum(1 for k in tree if k != ROOT and tree.succ[k])  # no group twice
        known = {c for shape in shapes[:count] for c in classes_of(shape)}
        assert result.unplaced == tuple(f"c{c}" for c in range(n) if c not in known)


@examples(40, 0.04)
@given(st.data())
def test_what_was_said_before_says_nothing_new(data: st.DataObject) -> None:
    """A copy of a stronger source, anywhere below it, changes neither the tree nor who says so."""
    n, shapes = data.draw(sources())
    if not shapes:
        shapes = [[0, 1]]
    which = data.draw(st.integers(0, len(shapes) - 1))
    at = data.draw(st.integers(which + 1, len(shapes)))
    again = [*shapes[:at], shapes[which], *shapes[at:]]
    first, second = merged(n, shapes), merged(n, again)
    assert family(first.tree) == family(second.tree)
