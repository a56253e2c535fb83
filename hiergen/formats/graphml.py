"""GraphML, for Gephi, yEd, Cytoscape and networkx: nodes n0, n1, … in tree order, with id, name, kind, synset, depth.

Classes also have the index of their logit; edges go from parent to child and have who says so, `why`.
"""

from __future__ import annotations

import re

import networkx as nx

from hiergen.formats.tree import Tree, text, top_down
from hiergen.taxonomy.tree import parent

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def graphml_text(tree: Tree) -> str:
    """The tree as GraphML; characters that XML has no way to write become U+FFFD."""
    graph: Tree = nx.DiGraph()
    keys: dict[str, str] = {}
    depth: dict[str, int] = {}
    for i, key in enumerate(top_down(tree)):
        above = parent(tree, key)
        keys[key], depth[key] = f"n{i}", 0 if above is None else depth[above] + 1
        texts = {name: _NOT_XML.sub("\ufffd", text(tree, key, name)) for name in ("id", "name", "kind", "synset")}
        graph.add_node(keys[key], **{name: value for name, value in texts.items() if value}, depth=depth[key])
        if "index" in tree.nodes[key]:
            graph.nodes[keys[key]]["index"] = int(tree.nodes[key]["index"])
        if above is not None:
            graph.add_edge(keys[above], keys[key])
            if why := _NOT_XML.sub("\ufffd", text(tree, key, "why")):
                graph.edges[keys[above], keys[key]]["why"] = why
    return "\n".join(nx.generate_graphml(graph)) + "\n"
