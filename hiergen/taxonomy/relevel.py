"""The merged tree squeezed to exactly k levels, optimally: dynamic programming on the tree.

A nesting is built of cuts and leftovers. The tree is first completed: where a node has both classes and groups as
children, its classes are gathered in one extra *other* node (a single class: together with the smallest group), so
that no class need stand alone. Each group of the nesting is then one node of the completed tree with all its
classes, or the *rest* of a node: some of its children, gathered (at most one rest per node and level, and none inside
a rest of the same node). A class whose path is too short gets a pass-through group of its own. The objective, smaller
is better, is

    Σ over groups  [ closeness · s/n · h(group)  +  balance · c/N · b(c)  +  single_child · s/n · (c = 1) ]

with n all classes, s the classes and c the children of the group, h(group) = ln(classes below the group's node) /
ln(n) (0 for a class, 1 for the root; an *other* node has that of the node it was made in), b(c) = log2² of the factor
by which c misses [min_children, max_children], b(1) = 0, N = n^(j/k) the usual number of nodes on the children's level
j. Unless it is given, single_child is so large that a group with one child appears only where nothing else is
possible. The root pays no closeness, and is no group of its own.

`best[node][r][m]` is the least cost of cutting a node's classes into exactly m groups with r levels below each; a
node's table is a knapsack over its children's tables, in which each child either brings its own groups or joins the
rest. Up to `cap` groups per node and `cap` children per rest are considered, several times what balance wishes for;
within that the result is optimal, not heuristic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hiergen.taxonomy.knapsack import Alike, Knapsack, Part, Table, Tables
from hiergen.taxonomy.spec import NestingOptions
from hiergen.taxonomy.tree import ROOT, Node, Tree, bottom_up, class_sizes, info, sort_children

SINGLE = 1e4
OTHER = "\0other"  # no name of a user contains a NUL


@dataclass(frozen=True)
class Cut:
    """One group of a nesting: `node` of the merged tree, `rest` if only some of its children are gathered.

    `children` are groups of the next level, or empty where `classes` (keys) hang directly below.
    """

    node: str
    rest: bool
    children: tuple[Cut, ...]
    classes: tuple[str, ...]


def solve(
    tree: Tree,
    levels: int,
    options: NestingOptions,
    top: str = ROOT,
    scale: int | None = None,
    *,
    completed: Tree | None = None,
) -> Cut:
    """The optimal nesting of `tree` (sorted, contracted) with `levels` levels, as one `Cut` for the root.

    `top` restricts the problem to the classes below one node; `scale` is then the n of the whole. The nodes of the
    result that end in OTHER are those that `complete` adds; `completed` is its answer, where that is at hand.
    """
    return _Solver(complete(tree) if completed is None else completed, levels, options, top, scale).cut


def complete(tree: Tree) -> Tree:
    """A copy of a contracted tree in which no node mixes classes and groups, as far as that is possible.

    Top-down: several classes beside groups are gathered; a single one is gathered with the smallest group beside it
    or, beside one group only, with that group's smallest child.
    """
    done = tree.copy()
    sizes, classes, written = class_sizes(tree), tree.graph["order"], tree.graph.get("written", ())
    queue = [ROOT]
    for node in queue:
        children = list(done.succ[node])
        loose = [c for c in children if c in classes]
        groups = sorted((c for c in children if c not in classes), key=lambda g: sizes[g])
        if loose and groups:
            home = node
            if len(loose) == 1 and len(groups) == 1:
                home = groups[0]
                inner = sorted(done.succ[home], key=lambda c: sizes[c])
                loose += inner[:1] if len(inner) > 2 and inner[-1] not in classes else []
            elif len(loose) == 1 and groups[0] not in written:
                loose.append(groups[0])
            if len(loose) > 1:
                _gather(done, node, home, loose)
        queue.extend(done.succ[node])
    return sort_children(done)


def _gather(tree: Tree, node: str, home: str, loose: list[str]) -> None:
    """Move `loose`, children of `node` or of its child `home`, under a new child of `node`."""
    other = f"{node}{OTHER}"
    name = info(tree, node).name.removeprefix("other ")
    tree.add_node(other, info=Node("group", other, f"other {name}"))
    for child in loose:
        for above in (node, home):
            if tree.has_edge(above, child):
                tree.remove_edge(above, child)
        tree.add_edge(other, child)
    tree.add_edge(node, other)


class _Solver:
    def __init__(self, tree: Tree, levels: int, options: NestingOptions, top: str, scale: int | None) -> None:
        self._tree = tree
        self._options = options
        self._levels = levels
        self._size = class_sizes(tree)
        self._n = scale or self._size[top]
        self._single = single_price(options, self._n)
        widest = max(len(tree.succ[node]) for node in bottom_up(tree, top))
        self._cap = max(cap(self._size[top], levels, options), widest)
        self.cost = math.inf
        self._rest_costs: dict[int, Table] = {}
        self._alike: dict[tuple[int, float, float], Alike] = {}
        self._best: dict[str, list[Table]] = {}
        self._whole: dict[str, list[float]] = {}
        for node in bottom_up(tree, top):
            if node != top:
                self._fill(node, levels)
        self.cut = self._group_root(top, levels)

    # costs -----------------------------------------------------------------------------------------------------

    def _balance(self, children: NDArray[np.int64], below: int) -> Table:
        """Cost of groups with these numbers of children and `below` levels under them; 0 for a single child."""
        low, high = self._options.min_children, self._options.max_children
        count = np.maximum(children, 1).astype(np.float64)
        miss = np.log2(np.maximum(count / high, 1)) ** 2 + np.log2(np.maximum(low / count, 1)) ** 2
        usual = self._n ** ((self._levels - below + 1) / self._levels)
        return np.where(children > 1, self._options.balance * children / usual * miss, 0.0)

    def looseness(self, node: str) -> float:
        """closeness · h(node) / n, paid by each class of a group."""
        group = node
        while group.endswith(OTHER):  # gathered classes are as far apart as the node's
            group = group.removesuffix(OTHER)
        return self._options.closeness * math.log(self._size[group]) / math.log(max(self._n, 2)) / self._n

    # tables ----------------------------------------------------------------------------------------------------

    def _fill(self, node: str, levels: int) -> None:
        """best[node][r] for r = 1 … levels - 1 (index 0 is unused)."""
        self._best[node] = [np.empty(0)]
        self._whole[node] = [0.0]
        for below in range(1, levels):
            if not self._tree.succ[node]:
                cost = below * self._single
                self._whole[node].append(cost)
                self._best[node].append(np.array([np.inf, cost]))
                continue
            whole = self._whole_cost(node, below)[0]
            table = self._knapsack(node, below).closed(self._rest_cost(below))[0]
            table[1] = min(table[1], whole) if len(table) > 1 else whole
            self._whole[node].append(whole)
            self._best[node].append(table)

    def _whole_cost(self, node: str, below: int) -> tuple[float, int]:
        """(cost, number of children) of making `node` one group with `below` levels under it."""
        size = self._size[node]
        loose = size * self.looseness(node)
        if below == 1:
            return loose + float(self._balance(np.array([size]), 1)[0]), size
        inner = self._best[node][below - 1]
        counts = np.arange(len(inner))
        costs = inner + self._balance(counts, below) + np.where(counts == 1, self._single * size, 0.0)
        chosen = int(np.argmin(costs))
        return loose + float(costs[chosen]), chosen

    def _rest_cost(self, below: int) -> Table:
        """Cost of a rest by its number of children, without looseness (its classes pay that one by one)."""
        if below not in self._rest_costs:
            self._rest_costs[below] = self._balance(np.arange(self._cap + 1), below)
        return self._rest_costs[below]

    def _joined(self, child: str, below: int, node: str) -> Table:
        """Cost by number of children that `child` brings into the rest of `node`."""
        size = self._size[child]
        price = size * self.looseness(node)
        if below == 1:
            table = np.full(size + 1, np.inf)
            table[size] = price
            return table
        return self._best[child][below - 1] + price

    def _knapsack(self, node: str, below: int, *, trace: bool = False) -> Knapsack:
        """What the node's children can bring; with `trace` it can be undone."""
        children = list(self._tree.succ[node])

        def part(i: int) -> Part:
            return self._best[children[i]][below], self._joined(children[i], below, node)

        if any(self._tree.succ[child] for child in children):
            return Tables(len(children), part, self._cap, trace=trace)
        alone, joined = part(0)  # classes only, and one is as good as another
        key = len(children), float(alone[1]), float(joined[1])  # thousands of groups have as many classes
        if key not in self._alike:
            self._alike[key] = Alike(*key)
        return self._alike[key]

    # the way back ----------------------------------------------------------------------------------------------

    def _group_root(self, top: str, levels: int) -> Cut:
        if levels == 1:
            self.cost = float(self._balance(np.array([self._size[top]]), 1)[0])
            return self._leaf_group(top, False, [top])
        steps = self._knapsack(top, levels - 1, trace=True)
        rest_cost = self._rest_cost(levels - 1)
        if top == ROOT and not self._tree.graph.get("written", frozenset()).isdisjoint(self._tree.succ[top]):
            rest_cost = np.full_like(rest_cost, np.inf)  # groups by hand have no more in common than the root
        table, rests = steps.closed(rest_cost)
        counts = np.arange(len(table))
        costs = table + self._balance(counts, levels) + np.where(counts == 1, self._single * self._size[top], 0.0)
        count = int(np.argmin(costs))
        self.cost = float(costs[count])
        self._best[top] = [np.empty(0)]
        assert math.isfinite(costs[count])  # cap leaves room for every node's own children
        return Cut(top, False, self._trace(top, levels - 1, count, steps, int(rests[count])), ())

    def _groups(self, node: str, below: int, count: int) -> tuple[Cut, ...]:
        """The cut of `node` into `count` groups that best[node][below][count] stands for."""
        if not self._tree.succ[node]:
            return (self._pass_through(node, below),)
        if count == 1 and self._best[node][below][1] == self._whole[node][below]:
            return (self._whole_group(node, below),)
        steps = self._knapsack(node, below, trace=True)
        rest = int(steps.closed(self._rest_cost(below))[1][count])
        return self._trace(node, below, count, steps, rest)

    def _whole_group(self, node: str, below: int) -> Cut:
        if below == 1:
            return self._leaf_group(node, False, [node])
        count = self._whole_cost(node, below)[1]
        return Cut(node, False, self._groups(node, below - 1, count), ())

    def _trace(self, node: str, below: int, count: int, steps: Knapsack, rest: int) -> tuple[Cut, ...]:
        """Undo the knapsack: which child brought how many groups, or joined the rest with how many."""
        groups: list[Cut] = []
        rest_parts: list[tuple[str, int]] = []
        for child, (group_count, joined) in zip(
            self._tree.succ[node], steps.undo(count - (rest > 0), rest), strict=True
        ):
            if group_count:
                groups.extend(self._groups(child, below, group_count))
            else:
                rest_parts.append((child, joined))
        if rest:
            groups.append(self._rest_group(node, below, rest_parts))
        return tuple(groups)

    def _rest_group(self, node: str, below: int, parts: list[tuple[str, int]]) -> Cut:
        if below == 1:
            return self._leaf_group(node, True, [child for child, _ in parts])
        children = tuple(cut for child, count in parts for cut in self._groups(child, below - 1, count))
        return Cut(node, True, children, ())

    def _leaf_group(self, node: str, rest: bool, tops: list[str]) -> Cut:
        order = self._tree.graph["order"]
        keys = [key for top in tops for key in bottom_up(self._tree, top) if key in order]
        return Cut(node, rest, (), tuple(sorted(keys, key=order.__getitem__)))

    def _pass_through(self, leaf: str, below: int) -> Cut:
        cut = Cut(leaf, False, (), (leaf,))
        for _ in range(below - 1):
            cut = Cut(leaf, False, (cut,), ())
        return cut


def single_price(options: NestingOptions, classes: int) -> float:
    """What each class pays for a group with one child on its path."""
    if options.single_child is not None:
        return options.single_child / classes
    return SINGLE * max(1.0, options.closeness, options.balance)


def cap(classes: int, levels: int, options: NestingOptions) -> int:
    """Largest number of children per group that is considered: far above what balance allows."""
    usual: float = classes ** (1 / levels)
    return min(classes, max(4 * options.max_children, 3 * math.ceil(usual)))
