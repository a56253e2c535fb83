"""hiergen's own JSON of a tree: a flat list of nodes, so that no depth is too deep.

{"format": "hiergen-tree", "version": 1, "nodes": [{"key": "0", "parent": null, "id": "root", "kind": "root"}, …]}
Parents come before their children. `id`, `name`, `synset` and `kind` are texts, `index` is a class's logit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError, TaxonomyError, quoted
from hiergen.formats.jsontext import Lines, parse_json, rows, word
from hiergen.formats.tree import Tree, add, new_tree, top_down
from hiergen.taxonomy.tree import parent
from hiergen.terminal import as_json

FORMAT = "hiergen-tree"
VERSION = 1
TEXTS = ("id", "name", "kind", "synset")


def read_tree_json(source: str, path: Path) -> Tree:
    """The tree. Raises SpecError for other JSON or another version, TaxonomyError for a list that is no tree."""
    data = parse_json(source, path)
    if data.get("format") != FORMAT or data.get("version") != VERSION:
        got = quoted(f"{data.get('format')} {data.get('version')}")
        raise SpecError("is no tree of hiergen", place=str(path), expected=f"{FORMAT} {VERSION}", got=got)
    lines = Lines(source, path)
    tree = new_tree(path, "json")
    for row in rows(data, "nodes", path):
        key = word(row, "key", lines.place("nodes"), needed=True)
        place = lines.place(key)
        above = word(row, "parent", place) or None
        if key in tree:
            raise TaxonomyError(f"node {quoted(key)} stands twice", place=place)
        if above is not None and above not in tree:
            raise TaxonomyError(
                f"node {quoted(key)} stands before its parent {quoted(above)}, or has none", place=place
            )
        if above is None and len(tree):
            raise TaxonomyError(f"node {quoted(key)} is a second root", place=place, expected="a parent")
        texts = {name: word(row, name, place) for name in TEXTS}
        add(tree, key, above, id=texts.pop("id"), name=texts.pop("name"), place=place)
        tree.nodes[key].update({name: value for name, value in texts.items() if value})
        if isinstance(index := row.get("index"), int):
            tree.nodes[key]["index"] = index
    if not len(tree):
        raise TaxonomyError("has no nodes", place=str(path))
    return tree


def tree_json(tree: Tree) -> str:
    """The tree as JSON, one node a line."""
    keys = {key: str(i) for i, key in enumerate(top_down(tree))}
    head = {
        "format": FORMAT,
        "version": VERSION,
        "taxonomy": tree.graph.get("taxonomy"),
        "model": tree.graph.get("model"),
    }
    lines = []
    for key, number in keys.items():
        above = parent(tree, key)
        node: dict[str, Any] = {"key": number, "parent": None if above is None else keys[above]}
        node |= {
            name: tree.nodes[key][name] for name in (*TEXTS, "index", "why") if tree.nodes[key].get(name, "") != ""
        }
        lines.append(as_json(node))
    shown = "".join(f"{json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items() if value is not None)
    return "{" + shown + '"nodes": [\n' + ",\n".join(lines) + "\n]}\n"
