"""The class tree as a networkx DiGraph (edges parent → child) and the graph algorithms on it.

Node attribute `info` is a frozen `Node`; edge attribute `why` is a frozen `Provenance`. `graph.graph["root"]` is the
root's key, `graph.graph["order"]` maps each class key to its index. Children always come in the order of their
first class, so nothing depends on the order in which nodes were added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import networkx as nx

ROOT = "root"
Tree: TypeAlias = "nx.DiGraph[str]"


@dataclass(frozen=True)
class Provenance:
    """Who says so: a source's name, and where in it ("file:line", or a synset)."""

    source: str
    place: str

    def __str__(self) -> str:
        return f"{self.source} ({self.place})" if self.place else self.source


@dataclass(frozen=True)
class Node:
    """`id` is the class id (wnid or the user's name) of a class, the group's name or wnid of a group."""

    kind: Literal["root", "group", "class"]
    id: str
    name: str
    synset: str | None = None


@dataclass(frozen=True)
class Conflict:
    """Both sides of one disagreement.

    kind: `hypernym` (WordNet gives several parents), `member` (one block of groups claims a class twice) or
    `overlap` (a weaker source's group straddles a stronger one's).
    """

    kind: Literal["hypernym", "member", "overlap"]
    subject: str
    kept: str
    kept_by: str
    lost: str
    lost_by: str
    rule: str
    classes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """One line for people."""
        return f"{self.subject}: {self.kept} [{self.kept_by}] over {self.lost} [{self.lost_by}]; {self.rule}"


def class_key(class_id: str) -> str:
    return f"class:{class_id}"


def new_tree(order: dict[str, int]) -> Tree:
    """A tree with a root only. `order` maps class keys to class indices."""
    tree: Tree = nx.DiGraph(root=ROOT, order=order)
    tree.add_node(ROOT, info=Node("root", ROOT, ROOT))
    return tree


def info(tree: Tree, key: str) -> Node:
    node: Node = tree.nodes[key]["info"]
    return node


def parent(tree: Tree, key: str) -> str | None:
    return next(tree.predecessors(key), None)  # `tree.pred[key]` would make two views first


def provenance(tree: Tree, key: str) -> Provenance | None:
    """Who put `key` under its parent; None for the root."""
    above = parent(tree, key)
    if above is None:
        return None
    why: Provenance = tree.edges[above, key]["why"]
    return why


def bottom_up(tree: Tree, top: str = ROOT) -> list[str]:
    """All nodes at or below `top`, children before parents (iterative: trees may be deep)."""
    order, stack = [], [top]
    while stack:
        key = stack.pop()
        order.append(key)
        stack.extend(tree.successors(key))
    return order[::-1]


def first_class(tree: Tree) -> dict[str, int]:
    """Node → smallest index of a class at or below it. Nodes without classes get a number past all classes."""
    order: dict[str, int] = tree.graph["order"]
    first: dict[str, int] = {}
    for key in bottom_up(tree):
        first[key] = min((first[child] for child in tree.successors(key)), default=order.get(key, len(order)))
    return first


def sort_children(tree: Tree) -> Tree:
    """A copy whose adjacency lists are in class order, so that `tree.succ[key]` may be iterated as it is."""
    first = first_class(tree)
    done: Tree = nx.DiGraph(**tree.graph)
    stack = [ROOT]
    done.add_node(ROOT, **tree.nodes[ROOT])
    while stack:
        key = stack.pop()
        for child in sorted(tree.successors(key), key=lambda c: (first[c], c)):
            done.add_node(child, **tree.nodes[child])
            done.add_edge(key, child, **tree.edges[key, child])
            stack.append(child)
    return done


def class_sizes(tree: Tree) -> dict[str, int]:
    """Node → number of classes at or below it."""
    order = tree.graph["order"]
    sizes: dict[str, int] = {}
    for key in bottom_up(tree):
        sizes[key] = (key in order) + sum(sizes[child] for child in tree.successors(key))
    return sizes


def depths(tree: Tree) -> dict[str, int]:
    """Node → number of edges from the root."""
    depth = {ROOT: 0}
    for key in reversed(bottom_up(tree)):
        for child in tree.successors(key):
            depth[child] = depth[key] + 1
    return depth


def leaves(tree: Tree, top: str = ROOT) -> list[str]:
    """Class keys at or below `top`, in class order."""
    order = tree.graph["order"]
    return sorted((key for key in bottom_up(tree, top) if key in order), key=order.__getitem__)


def ancestors(tree: Tree, key: str) -> Iterator[str]:
    """`key` itself, then its parent, and so on up to the root."""
    current: str | None = key
    while current is not None:
        yield current
        current = parent(tree, current)


def contract(tree: Tree) -> Tree:
    """Remove groups without classes and groups with a single child (the child moves up, the chain's top edge stays).

    Of a chain the lowest node is kept: it is the most specific name for the same set of classes.
    """
    sizes = class_sizes(tree)
    done = tree.copy()
    for key in bottom_up(tree):
        if key == ROOT or info(tree, key).kind == "class":
            continue
        above = parent(done, key)
        assert above is not None
        children = list(done.succ[key])
        if sizes[key] == 0:
            done.remove_node(key)
        elif len(children) == 1:
            why = done.edges[above, key]["why"]
            if info(done, children[0]).kind == "class":
                why = done.edges[key, children[0]]["why"]
            done.remove_node(key)
            done.add_edge(above, children[0], why=why)
    return sort_children(done)
