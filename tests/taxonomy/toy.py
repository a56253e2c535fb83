"""Small trees and sources from one line of text: `a X(b c Y(d e))` is class a beside group X."""

from __future__ import annotations

import random
import re

from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.sources import SourceTree
from hiergen.taxonomy.tree import ROOT, Node, Provenance, Tree, class_key, info, leaves, new_tree, parent


def tree_of(text: str, order: str = "", source: str = "toy") -> Tree:
    """The tree that `text` draws. `order` lists the classes in logit order (default: as they appear).

    A group gets the key "group:NAME", and the place "NAME.yaml:1".
    """
    tokens = re.findall(r"[\w'/]+\(|[\w'/]+|\)", text)
    names = order.split() or [t for t in tokens if not t.endswith(("(", ")"))]
    tree = new_tree({class_key(name): i for i, name in enumerate(names)})
    path = [ROOT]
    for token in tokens:
        if token == ")":
            path.pop()
            continue
        name = token.removesuffix("(")
        key = f"group:{name}" if token.endswith("(") else class_key(name)
        assert key not in tree, f"{name} stands twice"
        tree.add_node(key, info=Node("group" if token.endswith("(") else "class", name, name))
        tree.add_edge(path[-1], key, why=Provenance(source, f"{name}.yaml:1"))
        if token.endswith("("):
            path.append(key)
    assert path == [ROOT]
    return tree


def source(name: str, text: str, order: str = "") -> SourceTree:
    return SourceTree(name, tree_of(text, order, name))


def entries(names: str) -> tuple[ClassEntry, ...]:
    return tuple(ClassEntry(n, n, None, f"t.yaml:{i}") for i, n in enumerate(names.split(), 1))


def drawn(tree: Tree, top: str = ROOT) -> str:
    """A tree back as text, groups without names, children by first class: `a (b c (d e))`."""
    parts = [(min_class(tree, c), drawn(tree, c)) for c in tree.succ[top]]
    if not parts:
        return info(tree, top).name
    inner = " ".join(text for _, text in sorted(parts))
    return inner if top == ROOT else f"({inner})"


def min_class(tree: Tree, key: str) -> int:
    order: dict[str, int] = tree.graph["order"]
    return min(order[c] for c in leaves(tree, key))


def class_sets(tree: Tree) -> dict[frozenset[str], str]:
    """Set of class names → key of the group that holds exactly them."""
    return {
        frozenset(info(tree, c).name for c in leaves(tree, key)): key
        for key in tree
        if key != ROOT and info(tree, key).kind == "group"
    }


def random_text(rng: random.Random, names: list[str], prefix: str = "G", *, chains: bool = False) -> str:
    """A random tree over `names`; groups have two or more children, or with `chains` sometimes one."""
    count = [0]

    def part(some: list[str], top: bool) -> str:
        if len(some) == 1 and (top or not chains or rng.random() < 0.8):
            return some[0]
        if len(some) == 1 or (chains and not top and rng.random() < 0.2):
            body = part(some, True) if len(some) > 1 else some[0]
        else:
            pieces = _cut(rng, some)
            body = " ".join(part(piece, False) for piece in pieces)
        count[0] += 1
        return body if top else f"{prefix}{count[0]}({body})"

    return part(names, True)


def _cut(rng: random.Random, some: list[str]) -> list[list[str]]:
    where = sorted(rng.sample(range(1, len(some)), rng.randint(1, min(len(some) - 1, 4))))
    return [some[a:b] for a, b in zip([0, *where], [*where, len(some)], strict=True)]


def shuffled(rng: random.Random, tree: Tree) -> Tree:
    """The same tree, its nodes and edges added in another order."""
    done = new_tree(dict(tree.graph["order"]))
    nodes = [key for key in tree if key != ROOT]
    rng.shuffle(nodes)
    for key in nodes:
        done.add_node(key, info=info(tree, key))
    rng.shuffle(nodes)
    for key in nodes:
        above = parent(tree, key)
        assert above is not None
        done.add_edge(above, key, why=tree.edges[above, key]["why"])
    return done
