"""NBDT's JSON, and hiergen's own of a tree: a flat list of nodes, so that no depth is too deep.

{"format": "hiergen-tree", "version": 1, "nodes": [{"key": "0", "parent": null, "id": "root", "kind": "root"}, …]}
Parents come before their children. `id`, `name`, `synset` and `kind` are texts, `index` is a class's logit.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hiergen.console.terminal import as_json
from hiergen.errors import SpecError, TaxonomyError, nearest, quoted
from hiergen.formats.tree import Tree, add, leaves, new_tree, root, text, top_down
from hiergen.taxonomy.synsets import is_wnid
from hiergen.taxonomy.tree import parent

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


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def parse_json(source: str, path: Path) -> dict[str, Any]:
    """The object that a text holds. Raises SpecError with line and column."""
    try:
        data = json.loads(source)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise SpecError(f"is not valid JSON: {error.msg}", place=place) from None
    except (RecursionError, ValueError):  # brackets without end, numbers of thousands of digits
        raise SpecError("is not JSON that can be read", place=str(path), expected="flat lists of nodes") from None
    if not isinstance(data, dict):
        raise SpecError("is no JSON object", place=str(path), expected="{…}", got=type(data).__name__)
    return data


class Lines:
    """Where a text first stands in a JSON file."""

    def __init__(self, source: str, path: Path) -> None:
        self._path = path
        self._line_of: dict[str, int] = {}
        if "\n" in source.strip():
            line, at = 1, 0
            for match in _STRING.finditer(source):
                line += source.count("\n", at, match.start())
                at = match.start()
                self._line_of.setdefault(match[0], line)

    def place(self, text: str) -> str:
        """ "file:line"; line 1 where the whole file is one line."""
        for ascii_only in (False, True):
            written = json.dumps(text, ensure_ascii=ascii_only)
            if written in self._line_of:
                return f"{self._path}:{self._line_of[written]}"
        return f"{self._path}:1"


def rows(data: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects. Raises SpecError for anything else."""
    entries = data.get(key)
    if not isinstance(entries, list) or not all(isinstance(row, dict) for row in entries):
        raise SpecError(f"has no list of objects {quoted(key)}", place=str(path))
    return entries


def word(row: dict[str, Any], key: str, place: str, *, needed: bool = False) -> str:
    """A text (or whole number) of an object; "" where it has none. Raises SpecError for anything else."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value):
        got = "nothing" if value is None or value == "" else quoted(json.dumps(value))
        raise SpecError(f"{quoted(key)} of a node or edge is no text", place=place, expected="a text", got=got)
    return value


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
