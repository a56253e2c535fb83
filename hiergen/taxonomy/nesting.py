"""A nesting: the levels of one model, named, ordered and with parents, from the optimal cut of the merged tree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from hiergen.errors import TaxonomyError
from hiergen.taxonomy import nest
from hiergen.taxonomy.nest import Cut
from hiergen.taxonomy.spec import Nesting as Options
from hiergen.taxonomy.tree import ROOT, Tree, bottom_up, contract, depths, info, provenance
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


def nest_tree(tree: Tree, levels: int, options: Options, wordnet: WordNet, *, base: Nesting | None = None) -> Nesting:
    """The optimal nesting of a merged tree with `levels` levels.

    With `base`, a nesting with fewer levels, its groups are kept and the last of them split further, level by level.
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
    named = nest.complete(tree)
    if base is None:
        return _finish(_layers(nest.solve(tree, levels, options), tree), tree, named, wordnet, ())
    nesting = base
    while nesting.levels < levels:
        layer = _split(nesting, tree, options) if nesting.groups else _layers(nest.solve(tree, 2, options), tree)[0]
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


def _split(nesting: Nesting, tree: Tree, options: Options) -> list[_Block]:
    """Each of the last groups cut in two levels, optimally, on the part of the tree that it holds."""
    order = tree.graph["order"]
    keys = {index: key for key, index in order.items()}
    blocks = []
    for group in nesting.groups[-1]:
        if len(group.classes) == 1:
            blocks.append(_Block(group.classes, keys[group.classes[0]], "pass"))
            continue
        inside = {keys[c] for c in group.classes}
        part = tree.copy()
        part.remove_nodes_from([key for key in order if key not in inside])
        part = _below_top(contract(part))
        for cut in nest.solve(part, 2, options, scale=len(order)).children:
            block = _block(cut, part)
            top = cut.node == ROOT or cut.node == ROOT + nest.OTHER
            blocks.append(_Block(block.classes, _cover(tree, block.classes, keys) if top else cut.node, block.kind))
    return blocks


def _below_top(tree: Tree) -> Tree:
    """While the root has one child only, that child's children hang below the root."""
    while len(only := list(tree.succ[ROOT])) == 1 and tree.succ[only[0]]:
        for child in list(tree.succ[only[0]]):
            tree.add_edge(ROOT, child, **tree.edges[only[0], child])
        tree.remove_node(only[0])
    return tree


def _cover(tree: Tree, classes: tuple[int, ...], keys: dict[int, str]) -> str:
    """The lowest node of the merged tree over all these classes."""
    inside = {keys[c] for c in classes}
    best = ROOT
    while True:
        deeper = [c for c in tree.succ[best] if inside <= set(bottom_up(tree, c))]
        if not deeper:
            return best
        best = deeper[0]


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
    for name in {p for p, count in Counter(plain).items() if count > 1}:
        twins = [i for i, p in enumerate(plain) if p == name]
        full = [_name(layer[i], named, wordnet) for i in twins]
        if len(set(full)) == len(full):
            for i, synset_name in zip(twins, full, strict=True):
                exact[i] = synset_name
    taken = set(exact)
    done: list[str] = []
    for name in exact:
        unique, number = name, 1
        while unique in done or (number > 1 and unique in taken):
            number += 1
            unique = f"{name} ({number})"
        done.append(unique)
    return done


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
