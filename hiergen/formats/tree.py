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

from hiergen.errors import TaxonomyError, listed, quoted

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
    texts: list[str] = tree.graph["notes"]
    return texts


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
    ends = [key for key in tree if not tree.succ[key]]
    if all("index" in tree.nodes[key] for key in ends):
        ends.sort(key=lambda key: int(tree.nodes[key]["index"]))
    return ends


def top_down(tree: Tree) -> list[str]:
    """All nodes at or below the root, parents first, siblings in their order (iterative: trees may be deep)."""
    order, stack = [], [root(tree)]
    while stack:
        key = stack.pop()
        order.append(key)
        stack.extend(reversed(list(tree.succ[key])))
    return order


def drop_alphabet(tree: Tree, top: str) -> None:
    """Groups a, b, c … that only sort their members, as Places365's folders do, go; which is noted."""
    letters = list(tree.succ[top])
    if len(letters) < 2 or not all(_is_letter(tree, key) for key in letters):
        return
    for key in letters:
        for child in list(tree.succ[key]):
            tree.add_edge(top, child)
        tree.remove_node(key)
    tree.graph["notes"].append("folders of one letter, which sort the classes by the alphabet, are no groups")


def _is_letter(tree: Tree, key: str) -> bool:
    letter = text(tree, key, "id").lower()
    names = [text(tree, child, "id").lower() for child in tree.succ[key]]
    return len(letter) == 1 and bool(names) and all(name.startswith(letter) for name in names)


JOINED = "\0root"  # no name of a file contains a NUL


def to_tree(graph: Tree, *, join_roots: bool = False) -> Tree:
    """The tree of a graph without circles. A node with several parents goes below the deepest of them, the one with the
    longest path to a root (as `hypernyms: {rule: deepest}`); ties fall to the one that the file has first. Each such
    choice is a note.

    Raises TaxonomyError for a circle, and for several roots unless they are joined under one without a name, as those
    of a `forest` are.
    """
    join_roots = join_roots or bool(graph.graph.get("forest"))
    depth = depths(graph)
    roots = [key for key in graph if not graph.pred[key]]
    if len(roots) > 1 and not join_roots:
        names = listed(f"{title(graph, key)} ({text(graph, key, 'place')})" for key in roots)
        raise TaxonomyError(
            f"{len(roots)} nodes are below nothing: {names}",
            place=graph.graph["path"],
            expected="one root",
            hint="--join-roots puts them side by side",
        )
    tree = new_tree()
    tree.graph.update(graph.graph, notes=list(graph.graph["notes"]))
    if len(roots) > 1:
        add(tree, JOINED)
        tree.graph["notes"].append(f"roots put side by side: {listed((title(graph, key) for key in roots), 20)}")
    tree.add_nodes_from(graph.nodes(data=True))
    if len(roots) == 1:
        tree.graph["root"] = roots[0]
    if len(roots) > 1:
        tree.add_edges_from((JOINED, key) for key in roots)
    chosen: dict[str, str] = {}
    for key in graph:
        parents = list(graph.pred[key])
        if parents:
            chosen[key] = max(parents, key=depth.__getitem__)
        if len(parents) > 1:
            others = " or ".join(_called(graph, p) for p in parents if p != chosen[key])
            kept = f"below {_called(graph, chosen[key])}, the deepest of its parents, not {others}"
            tree.graph["notes"].append(f"{_called(graph, key)}: {kept}")
    tree.add_edges_from((above, key) for above, key in graph.edges if chosen[key] == above)  # in the file's order
    return tree


def _called(graph: Tree, key: str) -> str:
    name = text(graph, key, "name") or text(graph, key, "shown")
    shown_title = title(graph, key)
    return f"{quoted(shown_title)} ({name})" if name and name != shown_title else quoted(shown_title)


def depths(graph: Tree) -> dict[str, int]:
    """Node → edges of the longest path from a root. Raises TaxonomyError for a circle."""
    missing = {key: len(graph.pred[key]) for key in graph}
    queue = [key for key, count in missing.items() if not count]
    depth = dict.fromkeys(queue, 0)
    for key in queue:
        for child in graph.succ[key]:
            depth[child] = max(depth.get(child, 0), depth[key] + 1)
            missing[child] -= 1
            if not missing[child]:
                queue.append(child)
    if len(queue) < len(graph):
        done = set(queue)
        raise _circle(graph, next(key for key in graph if key not in done), done)
    return depth


def _circle(graph: Tree, start: str, done: set[str]) -> TaxonomyError:
    """Each node left has a parent that is left: going up comes back."""
    seen: dict[str, int] = {}
    path: list[str] = []
    while start not in seen:
        seen[start] = len(path)
        path.append(start)
        start = next(key for key in graph.pred[start] if key not in done)
    loop = path[seen[start] :][::-1]
    inside = set(loop)
    first = loop.index(next(key for key in graph if key in inside))  # in the file's order
    loop = loop[first:] + loop[:first]
    shown = [quoted(title(graph, key)) for key in [*loop, loop[0]]]
    if len(shown) > 8:
        shown = [*shown[:6], "…", shown[-1]]
    place = text(graph, loop[0], "place") or str(graph.graph["path"])
    return TaxonomyError(f"goes round in a circle: {' → '.join(shown)}", place=place, expected="a tree")
