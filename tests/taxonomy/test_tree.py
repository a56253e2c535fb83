"""tree.py: the graph algorithms on awkward trees, drawn by hand."""

from __future__ import annotations

import random

import pytest
import toy

from hiergen.taxonomy.tree import (
    ROOT,
    Provenance,
    ancestors,
    bottom_up,
    class_sizes,
    contract,
    depths,
    first_class,
    leaves,
    provenance,
    sort_children,
)

# a tree, and the same contracted
CONTRACTED = [
    ("a b", "a b"),
    ("A(a) b", "a b"),
    ("A(B(C(a b))) c", "(a b) c"),
    ("A(B(a) C(b c)) d", "(a (b c)) d"),
    ("A(B() C()) a b", "a b"),
    ("A(B() a) C(b c)", "a (b c)"),
    ("A(B(C(a)))", "a"),
    ("A(a b)", "(a b)"),
]


@pytest.mark.parametrize(("text", "expected"), CONTRACTED)
def test_contract(text: str, expected: str) -> None:
    tree = toy.tree_of(text)
    done = contract(tree)
    assert toy.drawn(done) == expected
    assert leaves(done) == leaves(tree)
    assert toy.drawn(contract(done)) == expected


def test_of_a_chain_the_lowest_name_and_the_top_edge_stay() -> None:
    done = contract(toy.tree_of("A(B(C(a b))) D(E(c)) d"))
    assert set(done.succ[ROOT]) == {"group:C", "class:c", "class:d"}
    assert str(provenance(done, "group:C")) == "toy (A.yaml:1)"
    assert str(provenance(done, "class:c")) == "toy (c.yaml:1)"
    assert provenance(done, ROOT) is None


def test_counts() -> None:
    tree = toy.tree_of("a A(b B(c d)) C(e f)", order="f e d c b a")
    assert class_sizes(tree)[ROOT] == 6
    assert [class_sizes(tree)[f"group:{g}"] for g in "ABC"] == [3, 2, 2]
    assert [depths(tree)[f"class:{c}"] for c in "abcde"] == [1, 2, 3, 3, 2]
    assert [first_class(tree)[f"group:{g}"] for g in "ABC"] == [2, 2, 0]
    assert leaves(tree, "group:A") == ["class:d", "class:c", "class:b"]
    assert list(ancestors(tree, "class:c")) == ["class:c", "group:B", "group:A", ROOT]
    order = bottom_up(tree)
    assert sorted(order) == sorted(tree)
    assert all(order.index(child) < order.index(parent) for parent, child in tree.edges)
    assert set(bottom_up(tree, "group:B")) == {"group:B", "class:c", "class:d"}


def test_children_come_in_class_order_whatever_order_they_were_added_in() -> None:
    tree = toy.tree_of("a A(b B(c d)) C(e f)", order="f e d c b a")
    expected = list(sort_children(tree).edges)
    assert list(sort_children(tree).succ[ROOT]) == ["group:C", "group:A", "class:a"]
    for seed in range(5):
        assert list(sort_children(toy.shuffled(random.Random(seed), tree)).edges) == expected


def test_deep_trees_need_no_recursion() -> None:
    depth = 5_000
    tree = toy.tree_of("".join(f"G{i}(c{i} " for i in range(depth)) + "z" + ")" * depth)
    assert max(depths(contract(tree)).values()) == depth + 1 - 0
    assert class_sizes(tree)[ROOT] == depth + 1


def test_contracting_leaves_the_tree_as_it_was() -> None:
    tree = toy.tree_of("A(B(a)) C() D(b c)")
    before = list(tree.edges(data=True)), list(tree.nodes(data=True))
    contract(tree)
    assert (list(tree.edges(data=True)), list(tree.nodes(data=True))) == before


def test_groups_without_classes_come_last_by_their_keys() -> None:
    for drawing in ("Y() X() b a", "X() b Y() a", "a X() Y() b"):
        tree = sort_children(toy.tree_of(drawing, order="a b"))
        assert list(tree.succ[ROOT]) == ["class:a", "class:b", "group:X", "group:Y"]
        assert first_class(tree)["group:X"] == 2


def test_a_provenance_without_a_place_is_its_source() -> None:
    assert str(Provenance("groups", "t.yaml:3")) == "groups (t.yaml:3)"
    assert str(Provenance("groups", "")) == "groups"
