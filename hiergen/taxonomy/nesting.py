"""Classes in groups in levels: the one value that taxonomies, networks, counts and pictures share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Group:
    """One group of a level.

    `parent` is its index in the level above (0 on level 1), `classes` are ascending class indices. `kind` is `node` (of
    the merged tree), `rest` (what is left of one), `pass` (a class whose path is too short), or "" where nobody says;
    `origin` says who grouped them.
    """

    name: str
    parent: int
    classes: tuple[int, ...]
    kind: str = field(default="", compare=False)
    origin: str = field(default="", compare=False)


@dataclass(frozen=True)
class Level:
    """One partition of the classes, its groups in the order of the branches."""

    groups: tuple[Group, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(group.name for group in self.groups)

    @cached_property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Ascending class indices of each group."""
        return tuple(group.classes for group in self.groups)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes of each group."""
        return tuple(map(len, self.members))

    @cached_property
    def of(self) -> tuple[int, ...]:
        """The group of each class."""
        return _owners(self.members)


@dataclass(frozen=True, repr=False)
class Nesting:
    """A tree of k levels in which every class lies at depth k; k is the number of split-points.

    `classes` are ids in the order of the logits, `labels` what to show of them, `synsets` their WordNet synsets (None
    where there is none, or where nobody says). `levels` are the k - 1 levels of groups, coarse first; level k, the
    classes themselves, is not among them. `leaves` has the classes in the order of the branches of level k. Methods
    count levels from 1 to k. `name` is what the user typed for it; `groups` are named sets of classes that are none
    here, as groups by hand of other levels.

    >>> cats = Nesting.from_tree({"cat": ["n1", "n3"], "dog": ["n2"]}, {"n1": "tabby", "n2": "pug", "n3": "siamese"})
    >>> cats.names(1), cats.parents(2), cats.heads, cats.counts
    (('cat', 'dog'), (0, 0, 1), (0, 2, 1), (2,))
    >>> cats.members(1, 0), cats.labels[2], cats.path(2, 1)
    ((0, 2), 'siamese', ('cat', 'n3'))
    """

    classes: tuple[str, ...]
    labels: tuple[str, ...]
    synsets: tuple[str | None, ...]
    levels: tuple[Level, ...]
    leaves: tuple[int, ...]
    name: str = field(default="", compare=False)
    groups: tuple[tuple[str, tuple[int, ...]], ...] = field(default=(), compare=False)

    @classmethod
    def from_tree(
        cls,
        tree: Mapping[str, Any] | Sequence[str],
        classes: Mapping[str, str] | Sequence[str],
        synsets: Mapping[str, str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        *,
        name: str = "",
    ) -> Nesting:
        """The nesting of a nested literal: group → … → list of class ids.

        `classes` maps ids to labels in the order of the logits. Files of 0.1 have a list of ids there, and mappings of
        id → label in place of the lists. Raises ValueError if the classes of both differ, or do not lie equally deep.
        """
        paths, labels = _paths(tree)
        order = {class_id: i for i, class_id in enumerate(classes)}
        if not paths or len(order) < len(classes) or sorted(path[-1] for path in paths) != sorted(order):
            raise ValueError("the taxonomy and the class list name different classes")
        depth = len(paths[0])
        if any(len(path) != depth for path in paths):
            raise ValueError("the classes of the taxonomy do not all lie equally deep")
        levels: list[Level] = []
        above: dict[tuple[str, ...], int] = {(): 0}
        for j in range(1, depth):
            below: dict[tuple[str, ...], list[int]] = {}
            for path in paths:
                below.setdefault(path[:j], []).append(order[path[-1]])
            levels.append(
                Level(tuple(Group(path[-1], above[path[:-1]], tuple(sorted(inside))) for path, inside in below.items()))
            )
            above = {path: i for i, path in enumerate(below)}
        if isinstance(classes, Mapping):
            labels = {class_id: str(label) for class_id, label in classes.items()}
        return cls(
            tuple(order),
            tuple(labels.get(class_id, class_id) for class_id in order),
            tuple((synsets or {}).get(class_id) for class_id in order),
            tuple(levels),
            tuple(order[path[-1]] for path in paths),
            name,
            tuple(
                (group, tuple(sorted(order[c] for c in inside)))
                for group, inside in (groups or {}).items()
                if not any(group in level.names for level in levels)
            ),
        )

    @classmethod
    def from_levels(
        cls,
        classes: Sequence[str],
        levels: Iterable[Iterable[int]],
        *,
        labels: Sequence[str] | None = None,
        names: Sequence[Sequence[str]] | None = None,
        synsets: Sequence[str | None] | None = None,
        name: str = "",
    ) -> Nesting:
        """The nesting of one group number per class and level, coarse first; the numbers themselves do not matter.

        Groups are in the order of their first class. `names[j][number]` names a group, else it is "1", "2", …;
        `labels` default to the ids. Raises ValueError where a level has not one number per class, or does not refine
        the one above.
        """
        done: list[Level] = []
        for j, level in enumerate(levels):
            members: dict[int, list[int]] = {}
            for c, number in enumerate(level):
                members.setdefault(int(number), []).append(c)
            if sum(map(len, members.values())) != len(classes):
                count = sum(map(len, members.values()))
                raise ValueError(f"level {j + 1} has {count} group numbers for {len(classes)} classes")
            above = done[-1].of if done else (0,) * len(classes)
            groups: list[Group] = []
            for number, inside in members.items():
                title = str(names[j][number]) if names else str(len(groups) + 1)
                if len({above[c] for c in inside}) > 1:
                    raise ValueError(f"group {title!r} of level {j + 1} lies in two groups of level {j}")
                groups.append(Group(title, above[inside[0]], tuple(inside)))
            done.append(Level(tuple(groups)))
        ids = tuple(map(str, classes))
        shown = ids if labels is None else tuple(map(str, labels))
        wordnet_names = (None,) * len(ids) if synsets is None else tuple(synsets)
        return cls(ids, shown, wordnet_names, tuple(done), leaves_of(done, len(ids)), name)

    def __repr__(self) -> str:
        """A heading and the groups of level 1, in at most 12 lines."""
        shape = " → ".join(map(str, (*self.counts, len(self.classes))))
        lines = [f"Nesting of {len(self.classes)} classes: {shape}"]
        for group in self.levels[0].groups if self.levels else ():
            names = ", ".join(self.labels[c] for c in group.classes[:6])
            more = f", … ({len(group.classes)})" if len(group.classes) > 6 else ""
            lines.append(f"  {group.name}: {names}{more}"[:118])
        return "\n".join(lines if len(lines) <= 12 else [*lines[:11], f"  … and {len(lines) - 11} groups more"])

    def _repr_html_(self) -> str:
        from hiergen.console.notebook import tree_html

        return tree_html(repr(self).partition("\n")[0], self._outline())

    def _outline(self) -> Iterator[tuple[int, str, list[str]]]:
        """Depth, name and, on the last level of groups, labels of the classes; each group before those below it."""
        stack = [(1, i) for i in reversed(range(self.counts[0]))] if self.levels else []
        while stack:
            level, i = stack.pop()
            group = self.levels[level - 1].groups[i]
            last = level == len(self.levels)
            yield level - 1, group.name, [self.labels[c] for c in group.classes] if last else []
            stack += [] if last else [(level + 1, inner) for inner in reversed(self.children(level, i))]

    @property
    def depth(self) -> int:
        """k, the number of levels with that of the classes."""
        return len(self.levels) + 1

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of groups of each level above the classes."""
        return tuple(len(level.groups) for level in self.levels)

    @cached_property
    def heads(self) -> tuple[int, ...]:
        """The branch of level k that belongs to each class."""
        return _owners([(c,) for c in self.leaves])

    def names(self, level: int) -> tuple[str, ...]:
        """Groups (or class ids, on level k) in the order of the branches."""
        return self.levels[level - 1].names if level < self.depth else tuple(self.classes[c] for c in self.leaves)

    def parents(self, level: int) -> tuple[int, ...]:
        """Branch of the level above that each branch of `level` reads (all 0 on level 1)."""
        if level < self.depth:
            return tuple(group.parent for group in self.levels[level - 1].groups)
        return tuple(self.levels[-1].of[c] for c in self.leaves) if self.levels else (0,) * len(self.leaves)

    def above(self, level: int) -> tuple[int, ...]:
        """As `parents`, but on level k of each class in the order of the logits."""
        return self.levels[-1].of if 1 < level == self.depth else self.parents(level)

    def members(self, level: int, branch: int) -> tuple[int, ...]:
        """Ascending indices of the classes at or below this branch."""
        return self.levels[level - 1].members[branch] if level < self.depth else (self.leaves[branch],)

    def children(self, level: int, branch: int) -> tuple[int, ...]:
        """Branches of `level` + 1 that read this one; () on level k."""
        if level == self.depth:
            return ()
        return self._children[level - 1][branch]

    @cached_property
    def _children(self) -> list[list[tuple[int, ...]]]:
        every: list[list[tuple[int, ...]]] = []
        for level, count in enumerate(self.counts, 1):
            below: list[list[int]] = [[] for _ in range(count)]
            for i, parent in enumerate(self.parents(level + 1)):
                below[parent].append(i)
            every.append([tuple(inside) for inside in below])
        return every

    def path(self, level: int, branch: int) -> tuple[str, ...]:
        """Names from level 1 down to this branch."""
        names: list[str] = []
        for j in range(level, 0, -1):
            names.append(self.names(j)[branch])
            branch = self.parents(j)[branch]
        return tuple(reversed(names))

    def keep(self, classes: Iterable[int]) -> Nesting:
        """The nesting of these classes alone: groups that have none of them go, the order stays."""
        kept = sorted(set(classes))
        position = {c: i for i, c in enumerate(kept)}
        levels: list[Level] = []
        above = {0: 0}
        for level in self.levels:
            groups: list[Group] = []
            here: dict[int, int] = {}
            for i, group in enumerate(level.groups):
                if inside := tuple(position[c] for c in group.classes if c in position):
                    here[i] = len(groups)
                    groups.append(replace(group, parent=above[group.parent], classes=inside))
            levels.append(Level(tuple(groups)))
            above = here
        return replace(
            self,
            classes=tuple(self.classes[c] for c in kept),
            labels=tuple(self.labels[c] for c in kept),
            synsets=tuple(self.synsets[c] for c in kept),
            levels=tuple(levels),
            leaves=tuple(position[c] for c in self.leaves if c in position),
            groups=tuple(
                (name, kept_here)
                for name, inside in self.groups
                if (kept_here := tuple(position[c] for c in inside if c in position))
            ),
        )

    def flat(self) -> Nesting:
        """The same classes in one level; their groups stay as names for choosing classes."""
        names = {name for name, _ in self.groups}
        lost = (group for level in self.levels for group in level.groups)
        more = {group.name: group.classes for group in lost if group.name not in names}
        leaves = tuple(range(len(self.classes)))
        return replace(self, levels=(), leaves=leaves, groups=(*self.groups, *more.items()))

    def renamed(self, names: Sequence[Sequence[str]]) -> Nesting:
        """The same groups with these names, by level."""
        pairs = zip(self.levels, names, strict=True)
        levels = (
            Level(tuple(replace(group, name=name) for group, name in zip(level.groups, titles, strict=True)))
            for level, titles in pairs
        )
        return replace(self, levels=tuple(levels))

    def in_class_order(self, classes: Sequence[str] | None = None) -> Nesting:
        """The same nesting, each level's groups in the order of their first class; the classes too, where given."""
        place = {c: i for i, c in enumerate(self.classes)}
        rows = [place[c] for c in (self.classes if classes is None else classes)]
        return Nesting.from_levels(
            [self.classes[i] for i in rows],
            [[level.of[i] for i in rows] for level in self.levels],
            labels=[self.labels[i] for i in rows],
            names=[level.names for level in self.levels],
            synsets=[self.synsets[i] for i in rows],
            name=self.name,
        )

    def in_tree_order(self) -> Nesting:
        """The same nesting with siblings side by side, so that one parent's branches are one slice of their level."""
        levels: list[Level] = []
        place = {0: 0}
        for level in self.levels:
            rows = sorted(range(len(level.groups)), key=lambda i: (place[level.groups[i].parent], level.members[i]))
            groups = (replace(level.groups[i], parent=place[level.groups[i].parent]) for i in rows)
            levels.append(Level(tuple(groups)))
            place = {i: new for new, i in enumerate(rows)}
        return replace(self, levels=tuple(levels), leaves=leaves_of(levels, len(self.classes)))

    def tree(self) -> dict[str, Any]:
        """group → … → class id → label."""
        nodes: list[dict[str, Any]] = [{}]
        top = nodes[0]
        for level in self.levels:
            below: list[dict[str, Any]] = []
            for group in level.groups:
                below.append({})
                nodes[group.parent][group.name] = below[-1]
            nodes = below
        for c, parent in zip(self.leaves, self.parents(self.depth), strict=True):
            nodes[parent][self.classes[c]] = self.labels[c]
        return top


def _owners(members: Iterable[Iterable[int]]) -> tuple[int, ...]:
    """Index of the part that holds each number."""
    owner = {c: i for i, part in enumerate(members) for c in part}
    return tuple(owner[c] for c in range(len(owner)))


def leaves_of(levels: Sequence[Level], count: int) -> tuple[int, ...]:
    """The classes, siblings side by side."""
    return tuple(c for inside in levels[-1].members for c in inside) if levels else tuple(range(count))


def _paths(tree: Mapping[str, Any] | Sequence[str]) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """Every class with the names above it, and its label where the literal has one (literals may be deep)."""
    paths: list[tuple[str, ...]] = []
    labels: dict[str, str] = {}
    stack: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while stack:
        path, below = stack.pop()
        if isinstance(below, Mapping):
            stack.extend(((*path, str(name)), deeper) for name, deeper in list(below.items())[::-1])
        elif isinstance(below, list | tuple):
            paths.extend((*path, class_id) for class_id in below)
        else:
            paths.append(path)
            labels[path[-1]] = below
    return paths, labels
