"""The nested TAXONOMY literal of generated code → parents of each level's branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Nest:
    """Levels of a nested mapping (group → … → class id → name), each in the order of its first class.

    `classes` gives the order of the logits. `parents(j)` is what `Siblings(..., parents=)` of level j asks for;
    `names(j)` are its groups, or the class ids on the last level. Raises ValueError if the classes of the mapping and
    the list differ, or do not all lie equally deep.

    >>> nest = Nest({"cat": {"n1": "tabby", "n3": "siamese"}, "dog": {"n2": "pug"}}, ["n1", "n2", "n3"])
    >>> nest.names(1), nest.parents(2)
    (('cat', 'dog'), (0, 1, 0))
    """

    def __init__(self, taxonomy: Mapping[str, Any], classes: Sequence[str]) -> None:
        order = {class_id: i for i, class_id in enumerate(classes)}
        paths = list(_paths(taxonomy))
        if sorted(path[-1] for path in paths) != sorted(classes):
            raise ValueError("the taxonomy and the class list name different classes")
        self.depth = len(paths[0])
        if any(len(path) != self.depth for path in paths):
            raise ValueError("the classes of the taxonomy do not all lie equally deep")
        paths.sort(key=lambda path: order[path[-1]])
        self._levels: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        above: dict[tuple[str, ...], int] = {(): 0}
        for j in range(1, self.depth + 1):
            prefixes = dict.fromkeys(path[:j] for path in paths)
            parents = tuple(above[prefix[:-1]] for prefix in prefixes)
            self._levels.append((tuple(prefix[-1] for prefix in prefixes), parents))
            above = {prefix: i for i, prefix in enumerate(prefixes)}

    def names(self, level: int) -> tuple[str, ...]:
        """Groups (or class ids) of a level, 1 … k, in branch order."""
        return self._levels[level - 1][0]

    def parents(self, level: int) -> tuple[int, ...]:
        """Branch of the level above that each branch of `level` reads (all 0 on level 1)."""
        return self._levels[level - 1][1]


def _paths(tree: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Every class with the names above it (iterative: literals may be deep)."""
    found: list[tuple[str, ...]] = []
    stack: list[tuple[tuple[str, ...], Any]] = [((name,), below) for name, below in tree.items()]
    while stack:
        path, below = stack.pop()
        if isinstance(below, Mapping):
            stack.extend(((*path, name), deeper) for name, deeper in below.items())
        else:
            found.append(path)
    return found
