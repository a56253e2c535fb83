"""Random class trees as plain nested lists, and what a slow reader says of them; nothing here is hiergen's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from hiergen.taxonomy.spec import NestingOptions as Options
from hiergen.taxonomy.tree import ROOT, Node, Provenance, Tree, class_key, new_tree, sort_children

Shape = list[Any]  # children of a node: class indices, or shapes
Sets = frozenset[frozenset[int]]


@st.composite
def shapes(draw: st.DrawFn, *, least: int = 2, most: int = 16, steps: int = 5) -> Shape:
    """A tree over 0 … n - 1 without single children. Between classes that stand side by side a number says how deep the
    lowest node over both is, so that every tree is reached, and a star is the simplest."""
    n = draw(st.integers(least, most))
    order = draw(st.permutations(range(n)))
    return shape_of(order, draw(st.lists(st.integers(0, steps), min_size=n - 1, max_size=n - 1)))


def shape_of(items: list[int], depths: list[int]) -> Shape:
    """The tree whose lowest node over items i and i + 1 is the deeper, the larger depths[i]."""
    if len(items) == 1:
        return [items[0]]
    top, parts, start = min(depths), [], 0
    for i, depth in enumerate([*depths, top], 1):
        if depth == top:
            part = items[start:i]
            parts.append(part[0] if len(part) == 1 else shape_of(part, depths[start : i - 1]))
            start = i
    return parts


def options() -> st.SearchStrategy[Options]:
    """What stands under `nesting:`, the defaults first."""
    weights = st.sampled_from([1.0, 0.0, 0.3, 5.0])
    return st.builds(
        lambda low, more, closeness, balance, single: Options(
            min_children=low, max_children=low + more, closeness=closeness, balance=balance, single_child=single
        ),
        st.integers(2, 4),
        st.integers(0, 10),
        weights,
        weights,
        st.sampled_from([None, None, 0.0, 0.4, 3.0]),
    )


def classes_of(shape: Shape | int) -> frozenset[int]:
    if isinstance(shape, int):
        return frozenset([shape])
    return frozenset(c for part in shape for c in classes_of(part))


def depth_of(shape: Shape | int) -> int:
    """Edges to the deepest class."""
    return 0 if isinstance(shape, int) else 1 + max(map(depth_of, shape))


def nodes_of(shape: Shape) -> Iterator[Shape]:
    """The node itself, and every group below it."""
    yield shape
    for part in shape:
        if not isinstance(part, int):
            yield from nodes_of(part)


def groups_of(shape: Shape) -> Sets:
    """The class sets of all groups below the root."""
    return frozenset(classes_of(node) for node in nodes_of(shape)) - {classes_of(shape)}


def completed(shape: Shape) -> Shape:
    """docs/nesting.md: the classes of a node that has groups, too, are gathered in one *other* group (a single class:
    with the smallest group beside it, or with the smallest child of the only group beside it)."""
    loose = [part for part in shape if isinstance(part, int)]
    groups = sorted(
        (part for part in shape if not isinstance(part, int)), key=lambda g: (len(classes_of(g)), min(classes_of(g)))
    )
    if loose and groups:
        if len(loose) > 1:
            shape = [*groups, loose]
        elif len(groups) > 1:
            shape = [*groups[1:], [loose[0], groups[0]]]
        elif len(groups[0]) > 2 and any(not isinstance(part, int) for part in groups[0]):
            inner = sorted(groups[0], key=lambda part: (len(classes_of(part)), min(classes_of(part))))
            shape = [inner[1:], [loose[0], inner[0]]]
    return [part if isinstance(part, int) else completed(part) for part in shape]


def tree_of(shape: Shape, *, source: str = "toy") -> Tree:
    """The same as hiergen has merged trees: class c is "c<c>", groups are called after their place."""
    tree = new_tree({class_key(f"c{c}"): c for c in sorted(classes_of(shape))})
    stack: list[tuple[str, str, Shape]] = [(ROOT, "g", shape)]
    while stack:
        above, name, children = stack.pop()
        for i, part in enumerate(children):
            inner = f"{name}{i}"
            key = class_key(f"c{part}") if isinstance(part, int) else f"group:{inner}"
            node = Node("class", f"c{part}", f"c{part}") if isinstance(part, int) else Node("group", inner, inner)
            tree.add_node(key, info=node)
            tree.add_edge(above, key, why=Provenance(source, f"{inner}.yaml:1"))
            if not isinstance(part, int):
                stack.append((key, inner, part))
    return sort_children(tree)
