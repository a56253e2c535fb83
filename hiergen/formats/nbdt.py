"""The graphs of neural-backed decision trees (Wan et al., ICLR 2021), alvinwan's graph-*.json.

networkx node-link data: nodes with `id` (a wnid; f00000010 and so on where the clustering made one up) and often a
`label`; edges in `links` (or `edges`, as newer networkx has it) from parent to child. Leaves stand in the order of the
data set. What a node was contracted from is left out. A graph made from WordNet may have several parents for a node.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from hiergen.errors import SpecError, TaxonomyError, nearest, quoted
from hiergen.formats.jsontext import Lines, parse_json, rows, word
from hiergen.formats.tree import Tree, leaves, new_tree, root, text, top_down
from hiergen.taxonomy.synsets import is_wnid


def read_nbdt(source: str, path: Path) -> Tree:
    """A graph that may be no tree. Raises SpecError for other JSON, TaxonomyError for an edge to a node that is not
    there, or a node that stands twice."""
    data = parse_json(source, path)
    lines = Lines(source, path)
    graph = new_tree(path, "nbdt")
    for row in rows(data, "nodes", path):
        key = word(row, "id", lines.place("nodes"), needed=True)
        if key in graph:
            raise TaxonomyError(f"node {quoted(key)} stands twice", place=lines.place(key))
        name = word(row, "label", lines.place(key)).replace("_", " ").strip()
        graph.add_node(key, id=key, name=name, place=lines.place(key), made_up=made_up(key))
    if not graph:
        raise TaxonomyError("has no nodes", place=str(path))
    order = list(graph)
    for row in rows(data, "links" if "links" in data else "edges", path):
        ends = [word(row, key, lines.place("links"), needed=True) for key in ("source", "target")]
        for i, (key, end) in enumerate(zip(("source", "target"), list(ends), strict=True)):
            if end not in graph and isinstance(row[key], int) and 0 <= row[key] < len(order):
                ends[i] = order[row[key]]  # networkx 1 counted
            elif end not in graph:
                raise TaxonomyError(
                    f"{key} {quoted(end)} of an edge is no node", place=lines.place(end), nearest=nearest(end, order)
                )
        graph.add_edge(ends[0], ends[1])
    if data.get("directed") is False:
        raise SpecError("is an undirected graph", place=str(path), expected="edges from parent to child")
    return graph


def made_up(key: str) -> bool:
    """An id that stands for no synset: f00000010."""
    return re.fullmatch(r"f\d{4,}", key) is not None


def nbdt_text(tree: Tree) -> str:
    """The tree as such a graph: classes first, in their order, then groups; made-up ids where there is no wnid."""
    below = leaves(tree)
    order = below + [key for key in reversed(top_down(tree)) if tree.succ[key]]  # children before parents
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for i, key in enumerate(order):
        wnid = text(tree, key, "synset") or text(tree, key, "id")
        ids[key] = wnid if is_wnid(wnid) and wnid not in taken else f"f{i:08d}"
        taken.add(ids[key])
    nodes = []
    for key in order:
        label = text(tree, key, "name") or text(tree, key, "id")
        nodes.append({"label": label, "id": ids[key]} if label and key != root(tree) else {"id": ids[key]})
    links = [{"source": ids[key], "target": ids[child]} for key in order for child in tree.succ[key]]
    data = {"directed": True, "multigraph": False, "graph": {}, "nodes": nodes, "links": links}
    return json.dumps(data, ensure_ascii=False) + "\n"
