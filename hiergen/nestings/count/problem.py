"""Constraints turned into what is counted: a tree of atoms, and what each level allows.

Must-linked classes become one atom. Without a tree to be consistent with, all atoms hang below the root, and a group
is any set of children of the root; with one, a group is a set of children of one node. So one recursion counts both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from hiergen.nestings.count.constraints import Constraints, UnsatisfiableError, check


@dataclass(frozen=True)
class Kind:
    """Children of a node that can take each other's place. `weight`: classes of each. `whole`: may stand in a group
    with others; `apart`: no two of them in one group; `foes`: kinds of which none may be in a group with one."""

    members: tuple[int, ...]
    weight: int
    whole: bool
    apart: bool
    foes: tuple[int, ...]


@dataclass(frozen=True)
class TreeItem:
    """A node: an atom with its `classes`, or `kinds` of children. Items of the same `shape` have the same counts."""

    classes: tuple[int, ...]
    kinds: tuple[Kind, ...]
    atoms: int
    shape: int


@dataclass(frozen=True)
class Problem:
    """`items[0]` is the root; children have larger numbers than their parent. `free`: every child of
    the root is an atom, and none may not be with another."""

    items: dict[int, TreeItem]
    free: bool

    @property
    def atoms(self) -> int:
        return self.items[0].atoms

    @property
    def apart(self) -> int:
        """Children of some node that are all apart from each other: there are at least as many groups."""
        return max(_all_apart(item.kinds) for item in self.items.values())

    @property
    def heaviest(self) -> int:
        """Most classes of an atom."""
        return max(len(item.classes) for item in self.items.values())


def _all_apart(kinds: tuple[Kind, ...]) -> int:
    """Not always the most: kind after kind, if it is a foe of all before."""
    taken: list[int] = []
    for i, kind in enumerate(kinds):
        if (kind.apart or kind.foes) and all(j in kind.foes for j in taken):
            taken.append(i)
    return sum(len(kinds[i].members) if kinds[i].apart else 1 for i in taken) or 1


def reduced(n: int, k: int, constraints: Constraints) -> Problem:
    """The atoms of n classes under must-links, cannot-links and a tree. Raises UnsatisfiableError where links
    contradict."""
    check(n, k, constraints)
    builder = _ProblemBuilder(n, constraints)
    for a, b in constraints.must_link:
        builder.join(a, b)
    for a, b in constraints.cannot_link:
        builder.part(a, b)
    return builder.problem()


class _ProblemBuilder:
    def __init__(self, n: int, constraints: Constraints) -> None:
        tree = constraints.tree
        if tree is None:
            self.kids = [list(range(1, n + 1)), *([] for _ in range(n))]
            self.classes = [[], *([c] for c in range(n))]
        else:
            self.kids = [list(children) for children in tree.children]
            self.classes = [[c] if c >= 0 else [] for c in tree.leaf]
        for v in range(len(self.kids) - 1, 0, -1):  # a node with one child is that child
            while len(self.kids[v]) == 1:
                only = self.kids[v][0]
                self.kids[v], self.classes[v] = self.kids[only], self.classes[only]
        self.above = [-1] * len(self.kids)
        self.place = [-1] * n
        for v in self.alive():
            for child in self.kids[v]:
                self.above[child] = v
            for c in self.classes[v]:
                self.place[c] = v
        self.foes: dict[int, set[int]] = defaultdict(set)
        self.torn: set[int] = set()

    def alive(self) -> list[int]:
        nodes = [0]
        for v in nodes:  # grows while it is read
            nodes.extend(self.kids[v])
        return nodes

    def join(self, a: int, b: int) -> None:
        if self.place[a] == self.place[b]:
            return
        top, left, right = self._meet(self.place[a], self.place[b])
        inside = sorted(self._below(left) + self._below(right))
        self.kids[top].remove(right)
        atom = left
        if len(self.kids[top]) == 1 and top != 0:
            atom = top
        self.kids[atom], self.classes[atom] = [], inside
        for c in inside:
            self.place[c] = atom

    def part(self, a: int, b: int) -> None:
        if self.place[a] == self.place[b]:
            raise UnsatisfiableError(f"classes {a} and {b} are apart and together")
        top, left, right = self._meet(self.place[a], self.place[b])
        self.foes[left].add(right)
        self.foes[right].add(left)
        while top != -1 and top not in self.torn:
            self.torn.add(top)
            top = self.above[top]

    def _below(self, v: int) -> list[int]:
        stack, classes = [v], []
        while stack:
            u = stack.pop()
            classes += self.classes[u]
            stack += self.kids[u]
        return classes

    def _meet(self, u: int, v: int) -> tuple[int, int, int]:
        """The lowest node over both (neither is over the other), and its children towards them."""
        towards: dict[int, int] = {}
        while u != -1:
            towards[self.above[u]] = u
            u = self.above[u]
        while self.above[v] not in towards:
            v = self.above[v]
        return self.above[v], towards[self.above[v]], v

    def problem(self) -> Problem:
        items: dict[int, TreeItem] = {}
        shapes: dict[object, int] = {}
        weights: dict[int, int] = {}
        alive = self.alive()
        for v in reversed(alive):
            if not self.kids[v]:
                weights[v] = len(self.classes[v])
                shape = shapes.setdefault(weights[v], len(shapes))
                items[v] = TreeItem(tuple(self.classes[v]), (), 1, shape)
                continue
            weights[v] = sum(weights[c] for c in self.kids[v])
            atoms = sum(items[c].atoms for c in self.kids[v])
            kinds = self._kinds(v, items, weights)
            key: object = tuple(sorted(Counter(items[c].shape for c in self.kids[v]).items()))
            if v in self.torn:
                key = (v, "torn")
            items[v] = TreeItem((), kinds, atoms, shapes.setdefault(key, len(shapes)))
        ordered = {v: items[v] for v in alive}
        star = not any(self.kids[v] for v in self.kids[0])
        return Problem(ordered, star and not self.foes)

    def _kinds(self, v: int, items: dict[int, TreeItem], weights: dict[int, int]) -> tuple[Kind, ...]:
        kids = self.kids[v]
        closed = Counter((items[c].shape, frozenset(self.foes[c] | {c})) for c in kids if c in self.foes)
        groups: dict[object, list[int]] = defaultdict(list)
        for c in kids:
            around = frozenset(self.foes[c]) if c in self.foes else frozenset()
            with_self = (items[c].shape, around | {c})
            clique = bool(around) and closed[with_self] > 1  # twins that are each other's foes
            groups[(*with_self, "clique") if clique else (items[c].shape, around)].append(c)
        # by shape first: items of one shape must have their kinds in the same order, as they share tables
        alike = sorted(groups.values(), key=lambda members: (items[members[0]].shape, members[0]))
        home = {c: i for i, members in enumerate(alike) for c in members}
        kinds = []
        for i, members in enumerate(alike):
            foes = {home[f] for f in self.foes.get(members[0], ())}
            kinds.append(
                Kind(
                    tuple(members),
                    weights[members[0]],
                    members[0] not in self.torn,
                    i in foes,
                    tuple(sorted(foes - {i})),
                )
            )
        return tuple(kinds)
