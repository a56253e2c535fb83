"""Random trees, and the plain slow way to measure on them: paths as lists of names, loops over pairs."""

from __future__ import annotations

import random
from typing import Any

import torch

from hiergen.training.hierarchy import Hierarchy

Mapping = dict[str, Any]
Path = tuple[str, ...]

HAND: Mapping = {
    "animal": {"cat": {"tabby": "tabby cat", "siamese": "siamese cat"}, "pug": "pug"},
    "car": {"van": "van", "jeep": "jeep"},
    "cup": "cup",
}
HAND_CLASSES = ["pug", "van", "tabby", "cup", "siamese", "jeep"]


def random_tree(seed: int, classes: int, *, equal: bool = False) -> tuple[Mapping, list[str]]:
    """A nested mapping, with single children too, and its class ids in an order of their own.

    With `equal` all classes are at depth 3.
    """
    chance = random.Random(seed)
    ids = [f"c{i}" for i in range(classes)]
    tree: Mapping = {}
    for class_id in ids:
        depth = 2 if equal else chance.randrange(5)
        node = tree
        for level in range(depth):
            node = node.setdefault(f"g{level}.{chance.randrange(3)}", {})
        node[class_id] = f"name of {class_id}"
    chance.shuffle(ids)
    return tree, ids


class SlowTree:
    """What `Hierarchy` gives, from the definitions."""

    def __init__(self, tree: Mapping, classes: list[str]) -> None:
        self.classes = classes
        self.height: dict[Path, int] = {}
        paths: dict[str, Path] = {}
        self._walk(tree, (), paths)
        self.paths = [paths[c] for c in classes]  # names from level 1 to the class
        self.nodes = sorted({path[:i] for path in self.paths for i in range(1, len(path) + 1)})
        self.tree_height = max(self.lca_height(i, j) for i in range(len(classes)) for j in range(len(classes)))

    def _walk(self, tree: Any, path: Path, paths: dict[str, Path]) -> int:
        if not isinstance(tree, dict):
            paths[path[-1]] = path
            self.height[path] = 0
        else:
            self.height[path] = 1 + max(self._walk(below, (*path, name), paths) for name, below in tree.items())
        return self.height[path]

    def lca(self, i: int, j: int) -> Path:
        common: list[str] = []
        for a, b in zip(self.paths[i], self.paths[j], strict=False):
            if a != b:
                break
            common.append(a)
        return tuple(common)

    def lca_height(self, i: int, j: int) -> int:
        return self.height[self.lca(i, j)]

    def distance(self, i: int, j: int) -> int:
        return len(self.paths[i]) + len(self.paths[j]) - 2 * len(self.lca(i, j))

    def sets(self, i: int) -> set[Path]:
        """The class's nodes, itself included, without the root."""
        return {self.paths[i][:n] for n in range(1, len(self.paths[i]) + 1)}

    def below(self, node: Path) -> list[int]:
        return [i for i, path in enumerate(self.paths) if path[: len(node)] == node]


def tree_of(taxonomy: Mapping, classes: list[str]) -> Hierarchy:
    """Of a nested mapping (group → … → class id → name), whose leaves may lie at unequal depths.

    `classes`: the order of the logits; it may leave classes out, the heights stay those of the whole tree.
    """
    parents, names = [-1], ["root"]
    leaves: dict[str, tuple[int, str]] = {}

    def walk(above: int, below: Mapping) -> None:
        for name, inner in below.items():
            node = len(parents)
            parents.append(above)
            names.append(name)
            if isinstance(inner, dict):
                walk(node, inner)
            else:
                leaves[name] = (node, str(inner))

    walk(0, taxonomy)
    ids = list(leaves)
    tree = Hierarchy(parents, names, [leaves[i][0] for i in ids], ids, [leaves[i][1] for i in ids])
    return tree.restricted([ids.index(c) for c in classes])


def lca_heights(tree: Hierarchy) -> torch.Tensor:
    """`(C, C)`: LCA height of every two classes."""
    every = torch.arange(len(tree))
    return tree.lca_height(every[:, None], every[None])


def distances(tree: Hierarchy) -> torch.Tensor:
    """`(C, C)`: edges between every two classes."""
    every = torch.arange(len(tree))
    depths = tree.depths[: len(tree)]
    return depths[:, None] + depths[None] - 2 * tree.shared(every[:, None], every[None])


def pair(seed: int, classes: int = 17, *, equal: bool = False) -> tuple[Hierarchy, SlowTree]:
    tree, ids = random_tree(seed, classes, equal=equal)
    return tree_of(tree, ids), SlowTree(tree, ids)


def hand() -> tuple[Hierarchy, SlowTree]:
    return tree_of(HAND, HAND_CLASSES), SlowTree(HAND, HAND_CLASSES)


def softmax(row: torch.Tensor) -> list[float]:
    """Of one row, in plain Python."""
    import math

    top = max(row.tolist())
    powers = [math.exp(x - top) for x in row.tolist()]
    return [x / sum(powers) for x in powers]
