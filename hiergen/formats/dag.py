"""A directed graph → a tree: circles are refused, of several parents one is chosen, several roots may be joined."""

from __future__ import annotations

from hiergen.errors import TaxonomyError, listed, quoted
from hiergen.formats.tree import Tree, add, new_tree, text, title

JOINED = "\0root"  # no name of a file contains a NUL


def to_tree(graph: Tree, *, join_roots: bool = False) -> Tree:
    """The tree of a graph without circles. A node with several parents goes below the deepest of them, the one with the
    longest path to a root (as `hypernyms: {rule: deepest}`); ties fall to the one that the file has first. Each such
    choice is a note.

    Raises TaxonomyError for a circle, and for several roots unless they are joined under one without a name.
    """
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
    own = title(graph, key)
    return f"{quoted(own)} ({name})" if name and name != own else quoted(own)


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
