"""A nesting: the levels of one model, named, ordered and with parents, from the optimal cut of the merged tree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import networkx as nx

from hiergen.errors import TaxonomyError
from hiergen.taxonomy import nest
from hiergen.taxonomy.nest import Cut
from hiergen.taxonomy.spec import Nesting as Options
from hiergen.taxonomy.tree import ROOT, Tree, ancestors, contract, depths, info, parent, provenance
from hiergen.taxonomy.wordnet import WordNet

Kind = Literal["node", "rest", "pass"]


@dataclass(frozen=True)
class Group:
    """One group of a level.

    `parent`: index in the level above (0 on level 1). `classes`: class indices, ascending. `kind`: `node` of the
    merged tree, `rest` (what is left of one) or `pass` (a class whose path is too short). `origin`: who grouped them.
    """

    name: str
    parent: int
    classes: tuple[int, ...]
    kind: Kind
    origin: str


@dataclass(frozen=True)
class Nesting:
    """`groups[j]`: the groups of level j + 1 in tree order (depth first; siblings by their first class).

    The last level, k, is the classes, in the order of the logits here; `leaves` has them in tree order.
    """

    groups: tuple[tuple[Group, ...], ...]
    classes: int

    @property
    def levels(self) -> int:
        return len(self.groups) + 1

    def parents(self, level: int) -> tuple[int, ...]:
        """Parent index of each branch of a level (1 … k; all 0 on level 1)."""
        if level < self.levels:
            return tuple(group.parent for group in self.groups[level - 1])
        above = [0] * self.classes
        for i, group in enumerate(self.groups[-1] if self.groups else ()):
            for c in group.classes:
                above[c] = i
        return tuple(above)

    @property
    def leaves(self) -> tuple[int, ...]:
        """The classes in tree order: siblings side by side."""
        return (
            tuple(c for group in self.groups[-1] for c in group.classes) if self.groups else tuple(range(self.classes))
        )

    def children(self, level: int) -> list[int]:
        """Number of children of each group of a level (1 … k - 1)."""
        counts = Counter(self.parents(level + 1))
        return [counts[i] for i in range(len(self.groups[level - 1]))]


@dataclass(frozen=True)
class _Block:
    """A group before it has a name: `node` is a key of the completed tree."""

    classes: tuple[int, ...]
    node: str
    kind: Kind


def nest_tree(
    tree: Tree,
    levels: int,
    options: Options,
    wordnet: WordNet,
    *,
    base: Nesting | None = None,
    completed: Tree | None = None,
) -> Nesting:
    """The optimal nesting of a merged tree with `levels` levels.

    With `base`, a nesting with fewer levels, its groups are kept and the last of them split further, level by level.
    `completed` is `nest.complete(tree)`, for callers that ask for several nestings of one tree.
    Raises `TaxonomyError` if the tree has fewer levels than asked for.
    """
    deepest = max(depths(tree).values())
    if levels > deepest:
        raise TaxonomyError(
            f"{levels} levels cannot be: the merged taxonomy is {deepest} deep",
            expected=f"at most {deepest} levels",
            hint="add groups, or use fewer levels",
            code="E401",
        )
    named = nest.complete(tree) if completed is None else completed
    if base is None:
        return _finish(_layers(nest.solve(tree, levels, options, completed=named), tree), tree, named, wordnet, ())
    nesting = base
    while nesting.levels < levels:
        if nesting.groups:
            layer = _split(nesting, tree, named, options)
        else:
            layer = _layers(nest.solve(tree, 2, options, completed=named), tree)[0]
        nesting = _finish([layer], tree, named, wordnet, nesting.groups)
    return nesting


def _layers(cut: Cut, tree: Tree) -> list[list[_Block]]:
    """The groups of each level below the root."""
    layers = []
    current = list(cut.children)
    while current:
        layers.append([_block(group, tree) for group in current])
        current = [child for group in current for child in group.children]
    return layers


def _block(cut: Cut, tree: Tree) -> _Block:
    order = tree.graph["order"]
    keys: list[str] = []
    stack = [cut]
    while stack:
        group = stack.pop()
        keys.extend(group.classes)
        stack.extend(group.children)
    kind: Kind = "pass" if cut.node in order else "rest" if cut.rest or cut.node.endswith(nest.OTHER) else "node"
    return _Block(tuple(sorted(order[key] for key in keys)), cut.node, kind)


def _split(nesting: Nesting, tree: Tree, named: Tree, options: Options) -> list[_Block]:
    """Each of the last groups cut in two levels, optimally, on the part of the tree that it holds."""
    order = tree.graph["order"]
    keys = {index: key for key, index in order.items()}
    blocks = []
    for group in nesting.groups[-1]:
        if len(group.classes) == 1:
            blocks.append(_Block(group.classes, keys[group.classes[0]], "pass"))
            continue
        part = _below_top(contract(_above(tree, [keys[c] for c in group.classes])))
        for cut in nest.solve(part, 2, options, scale=len(order)).children:
            block = _block(cut, part)
            top = _inner(cut.node, named) == ROOT
            node = _cover(tree, block.classes, keys) if top else _inner(cut.node, named)
            blocks.append(_Block(block.classes, node, block.kind))
    return blocks


def _above(tree: Tree, classes: list[str]) -> Tree:
    """These classes and what is above them, without a look at the rest of the tree."""
    part: Tree = nx.DiGraph(**tree.graph)
    for key in classes:
        for node in ancestors(tree, key):
            if node in part:
                break
            part.add_node(node, **tree.nodes[node])
    part.add_edges_from([(above, node, tree.edges[above, node]) for node in part if (above := parent(tree, node))])
    return part


def _inner(node: str, named: Tree) -> str:
    """A node of a completed part of the tree as one of the whole completed tree; ROOT if it stands for the part."""
    plain = node
    while plain.endswith(nest.OTHER):
        plain = plain.removesuffix(nest.OTHER)
    if plain == ROOT:
        return ROOT
    while node not in named:  # nothing had to be gathered here in the whole tree
        node = node.removesuffix(nest.OTHER)
    return node


def _below_top(tree: Tree) -> Tree:
    """While the root has one child only, that child's children hang below the root."""
    while len(only := list(tree.succ[ROOT])) == 1 and tree.succ[only[0]]:
        for child in list(tree.succ[only[0]]):
            tree.add_edge(ROOT, child, **tree.edges[only[0], child])
        tree.remove_node(only[0])
    return tree


def _cover(tree: Tree, classes: tuple[int, ...], keys: dict[int, str]) -> str:
    """The lowest node of the merged tree over all these classes."""
    common = list(ancestors(tree, keys[classes[0]]))[::-1]  # from the root down
    for c in classes[1:]:
        path = list(ancestors(tree, keys[c]))[::-1]
        common = [a for a, b in zip(common, path, strict=False) if a == b]
    return common[-1]


def _finish(
    layers: list[list[_Block]], tree: Tree, named: Tree, wordnet: WordNet, above: tuple[tuple[Group, ...], ...]
) -> Nesting:
    """Sort each layer into tree order, give names that are unique on their level, and find the parents."""
    groups = list(above)
    for layer in layers:
        home = {c: i for i, group in enumerate(groups[-1]) for c in group.classes} if groups else {}
        # siblings side by side, so that one parent's branches are one slice of their level
        layer = sorted(layer, key=lambda b: (home.get(b.classes[0], 0), b.classes))
        names = _names(layer, named, wordnet)
        groups.append(
            tuple(
                Group(name, home.get(b.classes[0], 0), b.classes, b.kind, _origin(b, tree))
                for name, b in zip(names, layer, strict=True)
            )
        )
    return Nesting(tuple(groups), len(tree.graph["order"]))


def _names(layer: list[_Block], named: Tree, wordnet: WordNet) -> list[str]:
    plain = [_name(block, named, None) for block in layer]
    if len(set(plain)) == len(plain):
        return plain
    exact = list(plain)
    alike: dict[str, list[int]] = {}
    for i, name in enumerate(plain):
        alike.setdefault(name, []).append(i)
    for twins in alike.values():
        if len(twins) == 1:
            continue
        full = [_name(layer[i], named, wordnet) for i in twins]
        if len(set(full)) == len(full):
            for i, synset_name in zip(twins, full, strict=True):
                exact[i] = synset_name
    taken = set(exact)
    done: dict[str, None] = {}
    for name in exact:
        unique, number = name, 1
        while unique in done or (number > 1 and unique in taken):
            number += 1
            unique = f"{name} ({number})"
        done[unique] = None
    return list(done)


def _name(block: _Block, named: Tree, wordnet: WordNet | None) -> str:
    """The node's name; its synset name where a WordNet is given; 'other …' for what is left of a node."""
    node = info(named, block.node)
    name = node.name
    if wordnet is not None and node.synset is not None:
        name = wordnet.synset_name(node.synset)
    if block.node == ROOT:
        return "other" if block.kind == "rest" else "all"
    if block.kind == "rest" and not name.startswith("other "):
        return f"other {name}"
    return "other" if name == f"other {ROOT}" else name


def _origin(block: _Block, tree: Tree) -> str:
    if block.kind == "pass":
        return "path too short"
    key = block.node
    while key.endswith(nest.OTHER):
        key = key.removesuffix(nest.OTHER)
    why = provenance(tree, key) if key in tree else None
    base = str(why) if why else "root"
    return f"what is left of {base}" if block.kind == "rest" else base
