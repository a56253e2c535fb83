"""nest.py against brute force: every nesting of the stated space, the objective evaluated from the docstring."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from functools import cache

import pytest
import toy

from hiergen.taxonomy import relevel as nest
from hiergen.taxonomy.relevel import OTHER, Cut, complete
from hiergen.taxonomy.spec import NestingOptions
from hiergen.taxonomy.tree import ROOT, Tree, class_sizes, contract, depths, leaves

OPTIONS = [
    NestingOptions(),
    NestingOptions(min_children=2, max_children=2),
    NestingOptions(min_children=3, max_children=4, closeness=0.3),
    NestingOptions(min_children=2, max_children=3, closeness=5.0, balance=0.2),
    NestingOptions(min_children=2, max_children=2, closeness=0.0, balance=2.0),
    NestingOptions(min_children=2, max_children=5, closeness=1.0, balance=0.0),
    NestingOptions(min_children=2, max_children=3, single_child=0.4),
]
NAMES = "abcdefgh"


def all_nestings(tree: Tree, levels: int) -> Iterator[Cut]:
    """Naively, every nesting of a completed tree. `below` counts the levels under a group."""

    def classes(node: str) -> tuple[str, ...]:
        return tuple(leaves(tree, node))

    @cache
    def cuts(node: str, below: int) -> tuple[tuple[Cut, ...], ...]:
        if not tree.succ[node]:
            inner: tuple[Cut, ...] = cuts(node, below - 1)[0] if below > 1 else ()
            return ((Cut(node, False, inner, () if inner else (node,)),),)
        return (*((group,) for group in wholes(node, below)), *splits(node, below))

    def wholes(node: str, below: int) -> Iterator[Cut]:
        if below == 1:
            yield Cut(node, False, (), classes(node))
        else:
            yield from (Cut(node, False, inner, ()) for inner in cuts(node, below - 1))

    def splits(node: str, below: int) -> Iterator[tuple[Cut, ...]]:
        children = list(tree.succ[node])
        for resting in itertools.product((False, True), repeat=len(children)):
            own = [c for c, rests in zip(children, resting, strict=True) if not rests]
            gathered = [c for c, rests in zip(children, resting, strict=True) if rests]
            if not own:
                continue  # that is the node itself
            for groups in itertools.product(*(cuts(c, below) for c in own)):
                flat = tuple(itertools.chain.from_iterable(groups))
                if not gathered:
                    yield flat
                    continue
                for rest in rests(node, gathered, below):
                    if len(rest.children or rest.classes) > 1:
                        yield (*flat, rest)

    def rests(node: str, gathered: list[str], below: int) -> Iterator[Cut]:
        if below == 1:
            yield Cut(node, True, (), tuple(itertools.chain.from_iterable(map(classes, gathered))))
            return
        for inner in itertools.product(*(cuts(c, below - 1) for c in gathered)):
            yield Cut(node, True, tuple(itertools.chain.from_iterable(inner)), ())

    if levels == 1:
        yield Cut(ROOT, False, (), classes(ROOT))
        return
    yield from (Cut(ROOT, False, groups, ()) for groups in splits(ROOT, levels - 1))


def held(cut: Cut) -> list[str]:
    return [*cut.classes, *itertools.chain.from_iterable(map(held, cut.children))]


def objective(cut: Cut, tree: Tree, levels: int, options: NestingOptions, scale: int | None = None) -> float:
    """The sum of the docstring, read off a finished nesting."""
    sizes = class_sizes(tree)
    n = scale or sizes[ROOT]
    single = nest.SINGLE * max(1, options.closeness, options.balance)
    if options.single_child is not None:
        single = options.single_child / n
    total = 0.0
    stack = [(cut, 0)]
    while stack:
        group, level = stack.pop()
        s, c = len(held(group)), len(group.children or group.classes)
        miss = c / options.max_children if c > options.max_children else max(options.min_children / c, 1)
        b = math.log2(miss) ** 2 if c > 1 else 0
        total += options.balance * c / n ** ((level + 1) / levels) * b
        total += single * s * (c == 1)
        if level > 0:
            node = group.node
            while node.endswith(OTHER):
                node = node.removesuffix(OTHER)
            total += options.closeness * s / n * math.log(sizes[node]) / math.log(n)
        stack += [(child, level + 1) for child in group.children]
    return total


def check_shape(cut: Cut, tree: Tree, levels: int) -> None:
    """Exactly `levels` levels, every class exactly once, one rest per node and level."""
    assert sorted(held(cut)) == sorted(tree.graph["order"])
    layer, seen = [cut], []
    for _ in range(levels - 1):
        assert all(group.children and not group.classes for group in layer)
        layer = [child for group in layer for child in group.children]
        rests = [group.node for group in layer if group.rest]
        assert len(rests) == len(set(rests))
        seen.append(layer)
    assert all(group.classes and not group.children for group in layer)


def check_exact(tree: Tree, levels: int, options: NestingOptions, scale: int | None = None) -> None:
    completed = complete(tree)
    solver = nest._Solver(completed, levels, options, ROOT, scale)
    check_shape(solver.cut, completed, levels)
    costs = [objective(cut, completed, levels, options, scale) for cut in all_nestings(completed, levels)]
    assert solver.cost == pytest.approx(min(costs), rel=1e-9, abs=1e-9)
    assert objective(solver.cut, completed, levels, options, scale) == pytest.approx(solver.cost, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(24))
def test_random_trees_are_cut_at_the_least_cost(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        text = toy.random_text(rng, list(NAMES[: rng.randint(2, 7)]))
        tree = contract(toy.tree_of(text))
        for levels in range(1, min(max(depths(tree).values()), 4) + 1):
            check_exact(tree, levels, rng.choice(OPTIONS))


AWKWARD = {
    "two classes": "a b",
    "star": "a b c d e f g h",
    "one group only": "A(a b c d)",
    "one group only, deep": "A(B(a b) C(c D(d e)))",
    "caterpillar": "a A(b B(c C(d D(e f))))",
    "single-child chain": "a A(B(C(b D(c d)))) E(F(e))",
    "leaf right under the root": "a A(b c d) B(e f g)",
    "leaf beside one group": "a A(b c B(d e f))",
    "leaves beside groups": "a b A(c d) B(e C(f g h))",
    "deep and flat": "A(B(C(D(a b) c) d) e) f g h",
    "all pairs": "A(B(a b) C(c d)) D(E(e f) F(g h))",
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_awkward_trees_are_cut_at_the_least_cost(text: str, options: NestingOptions) -> None:
    tree = contract(toy.tree_of(text))
    for levels in range(1, min(max(depths(tree).values()), 4) + 1):
        check_exact(tree, levels, options)


# a contracted tree, and how `complete` gathers classes that stand beside groups
COMPLETED = [
    ("a b", "a b"),
    ("A(a b) B(c d)", "(a b) (c d)"),
    ("a b A(c d)", "(a b) (c d)"),
    ("a A(b c) B(d e f)", "(a (b c)) (d e f)"),
    ("a A(b c d) B(e f)", "(a (e f)) (b c d)"),
    ("a A(b c)", "a (b c)"),
    ("a A(b c d)", "a (b c d)"),
    ("a A(b c B(d e f))", "(a b) (c (d e f))"),
    ("a A(B(b c) C(d e))", "a ((b c) (d e))"),
    ("a A(B(b c) C(d e) D(f g))", "(a (b c)) ((d e) (f g))"),
    ("A(a b B(c d)) e f", "((a b) (c d)) (e f)"),
]


@pytest.mark.parametrize(("text", "expected"), COMPLETED)
def test_complete(text: str, expected: str) -> None:
    done = complete(toy.tree_of(text))
    assert toy.drawn(done) == expected
    assert all(done.in_degree(key) == (key != ROOT) for key in done)


def test_no_weight_is_worth_a_single_child() -> None:
    tree = toy.tree_of("A(a b) B(c d) C(e f) D(g h)")
    for options in (NestingOptions(balance=1e6, max_children=2), NestingOptions(closeness=1e6, balance=0)):
        for cut in nest.solve(tree, 2, options).children:
            assert len(cut.classes) > 1


def test_a_star_above_the_cap_is_still_cut() -> None:
    names = " ".join(f"c{i}" for i in range(60))
    options = NestingOptions(max_children=2)
    assert nest.cap(64, 3, options) < 60
    tree = toy.tree_of(f"A({names}) B(C(a b) D(e f))")
    cut = nest.solve(tree, 3, options)
    check_shape(cut, tree, 3)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_part_is_cut_at_the_least_cost_on_the_scale_of_the_whole(options: NestingOptions) -> None:
    check_exact(toy.tree_of("A(a b) B(c d e) f"), 2, options, scale=50)


def test_one_class_has_a_path_of_its_own() -> None:
    tree = toy.tree_of("a")
    check_shape(nest.solve(tree, 3, NestingOptions()), tree, 3)


def test_gathered_classes_are_as_far_apart_as_those_of_the_node_they_were_gathered_in() -> None:
    tree = complete(toy.tree_of("a A(b c C(d e)) B(f g h i j k)"))
    assert toy.drawn(tree) == "((a b) (c (d e))) (f g h i j k)"
    twice = ROOT + OTHER + OTHER
    assert {toy.info(tree, key).name for key in tree.succ[twice]} == {"a", "b"}
    solver = nest._Solver(tree, 3, NestingOptions(closeness=2.0), ROOT, None)
    for node in (ROOT, ROOT + OTHER, twice):
        assert solver.looseness(node) == pytest.approx(2.0 / 11)


def test_the_rest_of_a_node_is_never_all_of_it() -> None:
    check_exact(toy.tree_of("a b c"), 2, NestingOptions(max_children=2, closeness=0.0, single_child=0.0))
    free = NestingOptions(closeness=0.0, balance=0.0, single_child=0.0)
    assert [held(g) for g in nest.solve(toy.tree_of("a b G(c d) e f"), 2, free).children] == [
        ["class:a", "class:b", "class:e", "class:f"],
        ["class:c", "class:d"],
    ]


def test_of_equal_costs_nodes_are_taken_before_a_rest() -> None:
    for text in ("a b c d G(e f)", "F(a b) G(c d e f) g", "a F(b c) G(d e)"):
        cut = nest.solve(toy.tree_of(text), 2, NestingOptions(max_children=4, closeness=0.5))
        assert not any(group.rest for group in cut.children), text


def test_more_groups_side_by_side_than_the_cap_are_still_cut() -> None:
    tree = toy.tree_of(" ".join(f"G{i}(a{i} b{i})" for i in range(60)))
    options = NestingOptions(max_children=2)
    assert nest.cap(120, 2, options) < 40
    check_shape(nest.solve(tree, 2, options), tree, 2)
