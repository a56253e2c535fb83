"""A tree as a file has it: a networkx DiGraph (edges parent → child) over the file's own words.

Node attributes, all text: `id` (what the file calls it, "" for nothing), `name` (a name beside the id, or ""), `place`
("file:line"). Exported trees also have `kind` (root, group or class) and `synset`, their classes `index`, the logit.
`graph.graph["root"]` is the root's key; `graph.graph["notes"]` what a reader decided (one line each). Children are in
the order in which they were added. Keys mean nothing: names may stand twice in a tree, keys may not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import networkx as nx

Tree: TypeAlias = "nx.DiGraph[str]"


def new_tree(path: Path | str = "", format: str = "") -> Tree:
    """An empty tree (or graph on its way to one)."""
    tree: Tree = nx.DiGraph(path=str(path), format=format, root="", notes=[])
    return tree


def add(
    tree: Tree, key: str, under: str | None = None, *, id: str = "", name: str = "", place: str = "", **more: object
) -> str:
    """A node below `under`; without `under` it is the root. Gives the key."""
    tree.add_node(key, id=id, name=name, place=place, **more)
    if under is None:
        tree.graph["root"] = key
    else:
        tree.add_edge(under, key)
    return key


def root(tree: Tree) -> str:
    return str(tree.graph["root"])


def notes(tree: Tree) -> list[str]:
    found: list[str] = tree.graph["notes"]
    return found


def text(tree: Tree, key: str, attribute: str) -> str:
    """A node's `id`, `name`, `place` …; "" where it has none."""
    return str(tree.nodes[key].get(attribute, ""))


def title(tree: Tree, key: str) -> str:
    """What a message calls a node."""
    return text(tree, key, "id") or text(tree, key, "name") or "(no name)"


def label(tree: Tree, key: str) -> str:
    """The one text that stands for a node: a leaf's id, a group's name; else the other of the two, or ""."""
    first, second = ("name", "id") if tree.succ[key] else ("id", "name")
    return text(tree, key, first) or text(tree, key, second)


def leaves(tree: Tree) -> list[str]:
    """Nodes without children: by `index` where all have one, else in the file's order."""
    found = [key for key in tree if not tree.succ[key]]
    if all("index" in tree.nodes[key] for key in found):
        found.sort(key=lambda key: int(tree.nodes[key]["index"]))
    return found


def top_down(tree: Tree) -> list[str]:
    """All nodes at or below the root, parents first, siblings in their order (iterative: trees may be deep)."""
    order, stack = [], [root(tree)]
    while stack:
        key = stack.pop()
        order.append(key)
        stack.extend(reversed(list(tree.succ[key])))
    return order
