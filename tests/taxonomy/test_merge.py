"""merge.py against a slow checker that works on sets of classes only, and by hand-drawn trees."""

from __future__ import annotations

import random

import pytest
import toy

from hiergen.taxonomy.merge import merge
from hiergen.taxonomy.sources import SourceTree
from hiergen.taxonomy.tree import ROOT, Provenance, Tree, class_key, contract, first_class, leaves, parent, provenance

Family = set[frozenset[str]]


def merged(names: str, *drawings: str) -> str:
    sources = [toy.source(f"s{i}", text, names) for i, text in enumerate(drawings)]
    return toy.drawn(merge(toy.entries(names), sources).tree)


# the classes, the sources (strongest first), the merged tree
DRAWN = [
    ("a b c", [], "a b c"),
    ("a b c d", ["X(a b) Y(c d)"], "(a b) (c d)"),
    # a weaker source refines a polytomy, at any depth
    ("a b c d", ["X(a b c) d", "P(a b) c d"], "((a b) c) d"),
    ("a b c d", ["a b c d", "P(a b) Q(c d)"], "(a b) (c d)"),
    ("a b c d e", ["X(a b) c d e", "P(a c) Q(d e) b"], "(a b) c (d e)"),
    # whole stronger groups are gathered by the lowest weaker node over them
    ("a b c d e f", ["X(a b) Y(c d) e f", "P(a b c d) Q(e f)"], "((a b) (c d)) (e f)"),
    ("a b c d e f", ["X(a b) Y(c d)", "P(a b c d e) f"], "((a b) (c d) e) f"),
    # a weaker group that straddles: what is left of it outside still counts
    ("a b c d e", ["X(a b)", "a P(b c d) e"], "(a b) (c d) e"),
    ("a b c d e", ["X(a b)", "P(b c d) e"], "((a b) c d) e"),  # P's source knows no a
    ("a b c d e", ["X(a b)", "P(a b c d) e"], "((a b) c d) e"),
    # classes that only one source knows
    ("a b c d", ["X(a b)", "P(c d)"], "(a b) (c d)"),
    ("a b c d e", ["X(a b)", "P(b c) d"], "((a b) c) d e"),
    ("a b c d e", ["X(a b c)", "P(a d)"], "((a b c) d) e"),
    # a weaker group over all of a node says nothing new; beside a class it does not know, it does
    ("a b c", ["", "P(a b c)"], "a b c"),
    ("a b c d", ["", "P(a b c)"], "(a b c) d"),
    # single-child chains contract
    ("a b c", ["X(Y(Z(a b))) c", "P(a) b c"], "(a b) c"),
    # order decides
    ("a b c", ["X(a b) c", "P(b c) a"], "(a b) c"),
    ("a b c", ["P(b c) a", "X(a b) c"], "a (b c)"),
    ("a b c d", ["P(b c) a d", "Q(c d) a b"], "a (b c) d"),
    ("a b c d", ["Q(c d) a b", "P(b c) a d"], "a b (c d)"),
]


@pytest.mark.parametrize(("names", "sources", "expected"), DRAWN)
def test_drawn_by_hand(names: str, sources: list[str], expected: str) -> None:
    assert merged(names, *sources) == expected


def family(tree: Tree) -> Family:
    return set(toy.class_sets(tree))


def known_classes(tree: Tree) -> frozenset[str]:
    return frozenset(key.removeprefix("class:") for key in leaves(tree))


def refined(strong: Family, weak: Tree, everything: frozenset[str]) -> Family:
    """By sets alone: between a strong node and its children stands each union of two or more children that are,
    as far as the weak source knows them, inside one weak group."""
    known = known_classes(weak)
    result = set(strong)
    for node in strong | {everything}:
        inside = [group for group in strong if group < node]
        children = [g for g in inside if not any(g < other for other in inside)]
        children += [frozenset([c]) for c in node if not any(c in g for g in children)]
        for group in family(weak):
            gathered = [c for c in children if c & known and c & known <= group]
            union = frozenset().union(*gathered)
            if len(gathered) > 1 and union != node:
                result.add(union)
    return result


def straddling(strong: Family, weak: Tree) -> set[tuple[frozenset[str], frozenset[str]]]:
    known = known_classes(weak)
    return {
        (node, group)
        for node in strong
        for group in family(weak)
        if node & group and not (node & known) <= group and not group <= node
    }


def random_sources(rng: random.Random, names: list[str], count: int) -> list[SourceTree]:
    found = []
    for i in range(count):
        some = rng.sample(names, rng.randint(2, len(names)))
        text = toy.random_text(rng, some, prefix=rng.choice("XP"), chains=True)
        found.append(SourceTree(f"s{i}", contract(toy.tree_of(text, " ".join(names), f"s{i}"))))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_random_sources_against_the_checker(seed: int) -> None:
    rng = random.Random(seed)
    names = [f"c{i}" for i in range(rng.randint(2, 14))]
    everything = frozenset(names)
    sources = random_sources(rng, names, rng.randint(1, 4))
    result = merge(toy.entries(" ".join(names)), sources)
    expected: Family = set()
    conflicts: set[tuple[frozenset[str], frozenset[str]]] = set()
    clashes = []
    for source in sources:
        clashes.append(straddling(expected, source.tree))
        before = set(expected)
        expected = refined(expected, source.tree, everything)
        assert before <= expected  # no stronger group is torn
        conflicts |= clashes[-1]
    assert family(result.tree) == expected
    assert len(result.conflicts) == sum(map(len, clashes))
    assert sorted(key for key in result.tree if key.startswith("class:")) == sorted(map(class_key, names))
    assert all(result.tree.in_degree(key) == (key != ROOT) for key in result.tree)
    assert all(result.tree.out_degree(key) != 1 for key in result.tree if key != ROOT)
    first = first_class(result.tree)
    for key in result.tree:
        assert list(result.tree.succ[key]) == sorted(result.tree.succ[key], key=first.__getitem__)
    known = frozenset().union(*(known_classes(s.tree) for s in sources))
    assert set(result.unplaced) == everything - known
    for above, below, edge in result.tree.edges(data=True):
        why = edge["why"]
        lost = below.removeprefix("class:") in result.unplaced
        assert (why.source == "classes") == lost, (above, below)
        assert lost or (why.source in {s.name for s in sources} and why.place.endswith(".yaml:1"))


@pytest.mark.parametrize("seed", range(20))
def test_a_source_merged_with_itself_is_itself(seed: int) -> None:
    rng = random.Random(seed)
    names = [f"c{i}" for i in range(12)]
    text = toy.random_text(rng, names)
    once = toy.source("s", text, " ".join(names))
    alone = merge(toy.entries(" ".join(names)), [once])
    twice = merge(toy.entries(" ".join(names)), [once, toy.source("t", text, " ".join(names)), once])
    assert toy.drawn(alone.tree) == toy.drawn(once.tree)
    assert list(twice.tree.edges(data=True)) == list(alone.tree.edges(data=True))
    assert twice.conflicts == alone.conflicts == ()


@pytest.mark.parametrize("seed", range(10))
def test_the_order_in_which_nodes_were_added_is_nothing(seed: int) -> None:
    rng = random.Random(seed)
    names = [f"c{i}" for i in range(10)]
    sources = random_sources(rng, names, 3)
    mixed = [SourceTree(s.name, toy.shuffled(rng, s.tree)) for s in sources]
    first, second = (merge(toy.entries(" ".join(names)), which) for which in (sources, mixed))
    assert list(first.tree.edges(data=True)) == list(second.tree.edges(data=True))
    assert first.conflicts == second.conflicts


def test_a_conflict_names_both_sides_with_places() -> None:
    result = merge(toy.entries("a b c d"), [toy.source("mine", "X(a b) c d"), toy.source("theirs", "P(b c) a d")])
    (conflict,) = result.conflicts
    assert (conflict.kind, conflict.subject, conflict.classes) == ("overlap", "X", ("b",))
    assert (conflict.kept, conflict.kept_by) == ("X", "mine (X.yaml:1)")
    assert (conflict.lost, conflict.lost_by) == ("P", "theirs (P.yaml:1)")
    assert conflict.sentence() == "X: X [mine (X.yaml:1)] over P [theirs (P.yaml:1)]; the stronger source wins"
    agreed = merge(toy.entries("a b c d"), [toy.source("mine", "X(a b) c d"), toy.source("theirs", "P(a b c) d")])
    assert agreed.conflicts == ()


def test_a_class_that_no_source_knows_stays_under_the_root() -> None:
    result = merge(toy.entries("a b c"), [toy.source("mine", "X(a b)", "a b c")])
    assert result.unplaced == ("c",)
    assert parent(result.tree, "class:c") == ROOT
    assert provenance(result.tree, "class:c") == Provenance("classes", "t.yaml:3")


def test_names_with_trailing_apostrophes_keep_their_own_provenance() -> None:
    names = "d d' e e' f g"
    strong = toy.source("s", "X(d e) Y(f g)", names)
    weak = toy.source("w", "P(X(d d') X'(e e')) Q(f g)", names)
    tree = merge(toy.entries(names), [strong, weak]).tree
    assert toy.drawn(tree) == "((d e) d' e') (f g)"
    assert provenance(tree, "class:d'") == Provenance("w", "d'.yaml:1")
    tree = merge(toy.entries("a b c d"), [toy.source("s", "X(a b) c d"), toy.source("w", "a b X(c d)", "a b c d")]).tree
    assert [str(provenance(tree, key)) for key in tree.succ[ROOT]] == ["s (X.yaml:1)", "w (X.yaml:1)"]


def test_conflicts_of_a_source_come_by_what_was_kept_then_by_what_was_lost() -> None:
    names = "a b c d e f g"
    sources = [toy.source("s", "A(a b) B(c d) e f g", names), toy.source("w", "Z(a e) Y(c f) X(d g) b", names)]
    found = merge(toy.entries(names), sources).conflicts
    assert [(c.kept, c.lost) for c in found] == [("A", "Z"), ("B", "X"), ("B", "Y")]
