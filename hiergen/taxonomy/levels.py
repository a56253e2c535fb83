"""The merged tree → the nesting of one model: the optimal cut, named, ordered and with parents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import networkx as nx

from hiergen.errors import TaxonomyError
from hiergen.taxonomy import relevel
from hiergen.taxonomy.nesting import Group, Level, Nesting, leaves_of
from hiergen.taxonomy.ranks import ranked_levels
from hiergen.taxonomy.relevel import Cut
from hiergen.taxonomy.spec import NestingOptions
from hiergen.taxonomy.tree import ROOT, Tree, ancestors, contract, depths, info, parent, provenance
from hiergen.taxonomy.wordnet.nouns import WordNet

Kind = Literal["node", "rest", "pass"]


@dataclass(frozen=True)
class _Block:
    """A group before it has a name: `node` is a key of the completed tree."""

    classes: tuple[int, ...]
    node: str
    kind: Kind


def nest_tree(
    tree: Tree,
    levels: int,
    options: NestingOptions,
    wordnet: WordNet,
    *,
    base: Nesting | None = None,
    completed: Tree | None = None,
    written: Tree | None = None,
) -> Nesting:
    """The nesting with `levels` levels: that of groups by hand which are ranks (`written`, not contracted), else the
    optimal one of the merged tree.

    With `base`, a nesting with fewer levels, its groups are kept and the last of them split further, level by level.
    `completed` is `relevel.complete(tree)`, for callers that ask for several nestings of one tree.
    Raises `TaxonomyError` if the tree has fewer levels than asked for.
    """
    ranked = None if written is None else ranked_levels(written, levels, options.max_children)
    if ranked is not None:
        return _nesting(tree, ranked)
    deepest = max(depths(tree).values())
    if levels > deepest:
        raise TaxonomyError(
            f"{levels} levels cannot be: the merged taxonomy is {deepest} deep",
            expected=f"at most {deepest} levels",
            hint="add groups, or use fewer levels",
            code="E401",
        )
    named = relevel.complete(tree) if completed is None else completed
    if base is None:
        layers = _layers(relevel.solve(tree, levels, options, completed=named), tree)
        return _nesting(tree, _finish(layers, tree, named, wordnet, ()))
    done = base.levels
    while len(done) + 1 < levels:
        if done:
            layer = _split(done[-1], tree, named, options)
        else:
            layer = _layers(relevel.solve(tree, 2, options, completed=named), tree)[0]
        done = _finish([layer], tree, named, wordnet, done)
    return _nesting(tree, done)


def _nesting(tree: Tree, levels: tuple[Level, ...]) -> Nesting:
    classes = [info(tree, key) for key in sorted(tree.graph["order"], key=tree.graph["order"].__getitem__)]
    ids, labels = tuple(node.id for node in classes), tuple(node.name for node in classes)
    return Nesting(ids, labels, (None,) * len(ids), levels, leaves_of(levels, len(ids)))


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
    kind: Kind = "pass" if cut.node in order else "rest" if cut.rest or cut.node.endswith(relevel.OTHER) else "node"
    return _Block(tuple(sorted(order[key] for key in keys)), cut.node, kind)


def _split(level: Level, tree: Tree, named: Tree, options: NestingOptions) -> list[_Block]:
    """Each of the last groups cut in two levels, optimally, on the part of the tree that it holds."""
    order = tree.graph["order"]
    keys = {index: key for key, index in order.items()}
    blocks = []
    for group in level.groups:
        if len(group.classes) == 1:
            blocks.append(_Block(group.classes, keys[group.classes[0]], "pass"))
            continue
        part = _below_top(contract(_above(tree, [keys[c] for c in group.classes])))
        for cut in relevel.solve(part, 2, options, scale=len(order)).children:
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
    while plain.endswith(relevel.OTHER):
        plain = plain.removesuffix(relevel.OTHER)
    if plain == ROOT:
        return ROOT
    while node not in named:  # nothing had to be gathered here in the whole tree
        node = node.removesuffix(relevel.OTHER)
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
    layers: list[list[_Block]], tree: Tree, named: Tree, wordnet: WordNet, above: tuple[Level, ...]
) -> tuple[Level, ...]:
    """Sort each layer into tree order, give names that are unique on their level, and find the parents."""
    levels = list(above)
    for layer in layers:
        home = levels[-1].of if levels else (0,) * len(tree.graph["order"])
        # siblings side by side, so that one parent's branches are one slice of their level
        layer = sorted(layer, key=lambda b: (home[b.classes[0]], b.classes))
        names = _names(layer, named, wordnet)
        groups = (
            Group(name, home[b.classes[0]], b.classes, b.kind, _origin(b, tree))
            for name, b in zip(names, layer, strict=True)
        )
        levels.append(Level(tuple(groups)))
    return tuple(levels)


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
    while key.endswith(relevel.OTHER):
        key = key.removesuffix(relevel.OTHER)
    why = provenance(tree, key) if key in tree else None
    base = str(why) if why else "root"
    return f"what is left of {base}" if block.kind == "rest" else base
