"""The nested literal's levels against brute force on random trees."""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import pytest

from hiergen.nn import Nesting

Path = tuple[str, ...]


def random_paths(rng: random.Random, depth: int) -> list[Path]:
    """Paths to classes that are equally deep; groups of one name may lie under different parents."""
    paths = {tuple(rng.choice("abc") for _ in range(depth - 1)) for _ in range(rng.randint(1, 12))}
    counts = [(path, rng.randint(1, 4)) for path in sorted(paths)]
    rng.shuffle(counts)
    ids = [f"n{i}" for i in range(sum(n for _, n in counts))]
    rng.shuffle(ids)
    return [(*path, ids.pop()) for path, n in counts for _ in range(n)]


def literal(paths: list[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in paths:
        level = tree
        for name in path[:-1]:
            level = level.setdefault(name, {})
        level[path[-1]] = f"label of {path[-1]}"
    return tree


def walked(tree: dict[str, Any], path: Path = ()) -> list[Path]:
    """All nodes, depth first, each as its path."""
    found = []
    for name, below in tree.items():
        found.append((*path, name))
        if isinstance(below, dict):
            found += walked(below, (*path, name))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_random_trees_against_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    depth = rng.randint(1, 5)
    tree = literal(random_paths(rng, depth))
    nodes = walked(tree)
    leaves = [path for path in nodes if len(path) == depth]
    classes = [path[-1] for path in leaves]
    rng.shuffle(classes)
    nest = Nesting.from_tree(tree, classes)
    assert nest.depth == depth
    assert nest.labels == tuple(f"label of {c}" for c in classes)
    for j in range(1, depth + 1):
        level = [path for path in nodes if len(path) == j]  # depth first: siblings side by side
        above = [path for path in nodes if len(path) == j - 1] or [()]
        below = [path for path in nodes if len(path) == j + 1]
        assert nest.names(j) == tuple(path[-1] for path in level)
        assert nest.parents(j) == tuple(above.index(path[:-1]) for path in level)
        assert list(nest.parents(j)) == sorted(nest.parents(j))
        for i, path in enumerate(level):
            assert nest.path(j, i) == path
            assert nest.children(j, i) == tuple(k for k, child in enumerate(below) if child[:-1] == path)
            assert nest.members(j, i) == tuple(sorted(classes.index(leaf[-1]) for leaf in leaves if leaf[:j] == path))
    assert [nest.names(depth)[leaf] for leaf in nest.heads] == classes
    for copied in (copy.deepcopy(nest), pickle.loads(pickle.dumps(nest))):  # noqa: S301
        assert (copied.heads, copied.parents(depth)) == (nest.heads, nest.parents(depth))


def test_levels_follow_the_literal_not_the_class_order() -> None:
    nest = Nesting.from_tree({"b": {"z": "Z", "x": "X"}, "a": {"y": "Y"}}, ["x", "y", "z"])
    assert nest.names(1) == ("b", "a")
    assert nest.names(2) == ("z", "x", "y")
    assert nest.heads == (1, 2, 0)
    assert nest.members(1, 0) == (0, 2)
    assert nest.labels == ("X", "Y", "Z")


@pytest.mark.parametrize(
    ("tree", "classes", "message"),
    [
        ({"a": {"x": "x"}, "y": "y"}, ["x", "y"], "equally deep"),
        ({"y": "y", "a": {"x": "x"}}, ["x", "y"], "equally deep"),
        ({"a": {"x": "x"}}, ["x", "y"], "different classes"),
        ({"a": {"x": "x", "y": "y"}}, ["x"], "different classes"),
        ({"a": {"x": "x"}, "b": {"x": "x"}}, ["x"], "different classes"),
        ({"a": {"x": "x"}, "b": {"x": "x"}}, ["x", "x"], "different classes"),
        ({"x": "x"}, ["x", "x"], "different classes"),
        ({}, [], "different classes"),
        ({"a": {}}, [], "different classes"),
    ],
)
def test_trees_that_cannot_be(tree: dict[str, Any], classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Nesting.from_tree(tree, classes)


def test_a_literal_may_be_deep() -> None:
    tree: dict[str, Any] = {"leaf": "label"}
    for i in range(3000):
        tree = {f"g{i}": tree}
    nest = Nesting.from_tree(tree, ["leaf"])
    assert nest.depth == 3001
    assert nest.path(3001, 0)[-2:] == ("g0", "leaf")
