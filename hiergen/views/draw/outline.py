"""A taxonomy as a picture needs it: nodes from the top down, the rows of classes that each spans, what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from hiergen.taxonomy.nesting import Nesting
    from hiergen.taxonomy.tree import Tree

_COLOURED = 5
_Key = TypeVar("_Key")
_Facts: TypeAlias = tuple[str, "int | None", str, str]  # name, index of the logit, class id, note


@dataclass(frozen=True)
class Item:
    """A group or a class. `depth` from 1, `parent` and `children` are positions in the outline (parent −1: the root),
    rows `first` … `end` - 1 are its classes, `label` is the index of a class's logit."""

    name: str
    depth: int
    parent: int
    first: int
    end: int
    label: int | None = None
    class_id: str = ""
    note: str = ""

    @property
    def rows(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Outline:
    """`items` from the top down, siblings in order; `order[row]` is the class of a row; `deep`: the greatest depth."""

    title: str
    items: tuple[Item, ...]
    order: tuple[int, ...]
    deep: int
    nested: bool = True

    def counts(self) -> list[int]:
        """Groups by depth."""
        counts = [0] * self.deep
        for item in self.items:
            if item.label is None:
                counts[item.depth - 1] += 1
        return counts[: self.deep - 1]

    def path(self, position: int) -> list[str]:
        names = []
        while position >= 0:
            names.append(self.items[position].name)
            position = self.items[position].parent
        return names[::-1]

    def tints(self) -> tuple[list[int], int]:
        """The number of each item's colour (0: none), and how many there are.

        Colours are those of level 1; of a merged tree, whose uppermost nodes say little, of the first depth with 5.
        """
        sizes = [sum(item.depth == depth for item in self.items) for depth in range(1, self.deep + 1)]
        at = next((d for d, size in enumerate(sizes, 1) if size >= _COLOURED), 1) if not self.nested else 1
        tints: list[int] = []
        count = 0
        for item in self.items:
            count += item.depth == at or (item.depth < at and item.label is not None)
            above = item.depth < at and item.label is None
            tints.append(0 if above else count)
        return tints, count


@dataclass(frozen=True)
class Chosen:
    """Classes (indices of logits) whose paths are shown, and those that a cutout keeps (None: there is no cutout)."""

    shown: frozenset[int] = frozenset()
    kept: frozenset[int] | None = None

    def state(self, classes: Sequence[int]) -> str:
        """ "hot", "cut" or "" for a node with these classes."""
        if self.kept is not None and not self.kept.intersection(classes):
            return "cut"
        return "hot" if self.shown.intersection(classes) else ""


NOTHING = Chosen()


def of_nesting(title: str, nesting: Nesting) -> Outline:
    """Of a nesting; notes of groups are who grouped their classes."""
    children: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (level, branch) → the same of its children
    for level in range(1, nesting.depth + 1):
        for branch, above in enumerate(nesting.parents(level)):
            children.setdefault((level - 1, above), []).append((level, branch))

    def facts(key: tuple[int, int]) -> _Facts:
        level, branch = key
        if level < nesting.depth:
            group = nesting.levels[level - 1].groups[branch]
            return group.name, None, "", group.origin
        c = nesting.leaves[branch]
        return nesting.labels[c], c, nesting.classes[c], ""

    return _outlined(title, children[0, 0], lambda key: children.get(key, ()), facts)


def of_merged(title: str, tree: Tree) -> Outline:
    """Of the merged tree, whose classes lie at different depths; notes are the provenance of each edge."""
    from hiergen.taxonomy.tree import ROOT, info, provenance

    order = tree.graph["order"]

    def facts(key: str) -> _Facts:
        node = info(tree, key)
        return node.name, order.get(key), node.id if key in order else "", str(provenance(tree, key) or "")

    return replace(_outlined(title, tree.succ[ROOT], lambda key: tree.succ[key], facts), nested=False)


def _outlined(
    title: str, top: Iterable[_Key], below: Callable[[_Key], Iterable[_Key]], facts: Callable[[_Key], _Facts]
) -> Outline:
    """From the top down, without recursion: trees may be deep."""
    unfinished: list[Item] = []
    order: list[int] = []
    stack = [(key, 1, -1) for key in reversed(list(top))]
    while stack:
        key, depth, parent = stack.pop()
        name, label, class_id, note = facts(key)
        unfinished.append(Item(name, depth, parent, len(order), len(order) + 1, label, class_id, note))
        if label is not None:
            order.append(label)
        stack.extend((child, depth + 1, len(unfinished) - 1) for child in reversed(list(below(key))))
    ends = [item.end for item in unfinished]
    for position in range(len(unfinished) - 1, -1, -1):
        if (parent := unfinished[position].parent) >= 0:
            ends[parent] = max(ends[parent], ends[position])
    items = tuple(replace(item, end=end) for item, end in zip(unfinished, ends, strict=True))
    return Outline(title, items, tuple(order), max((item.depth for item in items), default=0))
