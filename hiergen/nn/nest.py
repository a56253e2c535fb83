"""The nested TAXONOMY literal of generated code → parents of each level's branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Nest:
    """Levels of a nested mapping (group → … → class id → name), each in the mapping's order, siblings side by side.

    `classes` gives the order of the logits. `parents(j)` is what `Siblings(..., parents=)` of level j asks for, and
    `heads` (the leaf of every class) what `ClassHeads(..., parents=)` does;
    `names(j)` are its groups, or the class ids on the last level; `labels` the display names of the classes. Raises
    ValueError if the classes of the mapping and the list differ, or do not all lie equally deep.

    >>> nest = Nest({"cat": {"n1": "tabby", "n3": "siamese"}, "dog": {"n2": "pug"}}, ["n1", "n2", "n3"])
    >>> nest.names(1), nest.parents(2), nest.heads
    (('cat', 'dog'), (0, 0, 1), (0, 2, 1))
    >>> nest.classes(1, 0), nest.labels[2], nest.path(2, 1)
    ((0, 2), 'siamese', ('cat', 'n3'))
    """

    def __init__(self, taxonomy: Mapping[str, Any], classes: Sequence[str]) -> None:
        order = {class_id: i for i, class_id in enumerate(classes)}
        paths, shown = _paths(taxonomy)
        if not paths or len(order) < len(classes) or sorted(path[-1] for path in paths) != sorted(classes):
            raise ValueError("the taxonomy and the class list name different classes")
        self.depth = len(paths[0])
        if any(len(path) != self.depth for path in paths):
            raise ValueError("the classes of the taxonomy do not all lie equally deep")
        self.labels = tuple(shown[class_id] for class_id in classes)
        self._levels: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        self._classes: list[tuple[tuple[int, ...], ...]] = []
        above: dict[tuple[str, ...], int] = {(): 0}
        for j in range(1, self.depth + 1):
            below: dict[tuple[str, ...], list[int]] = {}
            for path in paths:
                below.setdefault(path[:j], []).append(order[path[-1]])
            parents = tuple(above[prefix[:-1]] for prefix in below)
            self._levels.append((tuple(prefix[-1] for prefix in below), parents))
            self._classes.append(tuple(tuple(sorted(members)) for members in below.values()))
            above = {prefix: i for i, prefix in enumerate(below)}
        leaf = {class_id: i for i, class_id in enumerate(self.names(self.depth))}
        self.heads = tuple(leaf[class_id] for class_id in classes)

    def names(self, level: int) -> tuple[str, ...]:
        """Groups (or class ids) of a level, 1 … k, in branch order."""
        return self._levels[level - 1][0]

    def parents(self, level: int) -> tuple[int, ...]:
        """Branch of the level above that each branch of `level` reads (all 0 on level 1)."""
        return self._levels[level - 1][1]

    def children(self, level: int, branch: int) -> tuple[int, ...]:
        """Branches of `level` + 1 that read this one; () on the last level."""
        if level == self.depth:
            return ()
        return tuple(i for i, parent in enumerate(self.parents(level + 1)) if parent == branch)

    def classes(self, level: int, branch: int) -> tuple[int, ...]:
        """Ascending indices of the logits at or below this branch."""
        return self._classes[level - 1][branch]

    def path(self, level: int, branch: int) -> tuple[str, ...]:
        """Names from level 1 down to this branch."""
        names: list[str] = []
        for j in range(level, 0, -1):
            names.append(self.names(j)[branch])
            branch = self.parents(j)[branch]
        return tuple(reversed(names))


def _paths(tree: Mapping[str, Any]) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """Every class with the names above it, and its display name (iterative: literals may be deep)."""
    found: list[tuple[str, ...]] = []
    shown: dict[str, str] = {}
    stack: list[tuple[tuple[str, ...], Any]] = [((name,), below) for name, below in list(tree.items())[::-1]]
    while stack:
        path, below = stack.pop()
        if isinstance(below, Mapping):
            stack.extend(((*path, name), deeper) for name, deeper in list(below.items())[::-1])
        else:
            found.append(path)
            shown[path[-1]] = below
    return found, shown
