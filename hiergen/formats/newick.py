"""Newick: `((cat,dog)pet,'it''s a "hen"':0.5)root;`, read and written without recursion.

A label is plain or in single quotes ('' stands for one quote); [comments] may be nested; branch lengths are checked and
left out. Underscores stay as they are; names that have any are written in quotes, so that readers that take a plain
underscore for a blank also read them right. https://phylipweb.github.io/phylip/newicktree.html
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import networkx as nx

from hiergen.errors import TaxonomyError, quoted
from hiergen.formats.tree import Tree, add, label, new_tree, root, text, top_down
from hiergen.taxonomy.tree import parent

_TOKEN = re.compile(r"'(?:[^']|'')*'|[()\[\],:;]|[^\s()\[\]':;,]+|'")
_BRACKET = re.compile(r"[\[\]]")  # all that counts in a comment
_PLAIN = re.compile(r"[^\s()\[\]':;,_]+")


def read_newick(source: str, path: Path) -> Tree:
    """The one tree of a text. Raises TaxonomyError with the line for anything that is not one Newick tree."""
    tree = new_tree(path, "newick")
    tokens = _tokens(source, path)
    if not tokens:
        raise TaxonomyError("is empty", place=str(path), expected="a tree such as (cat,dog)pet;")
    count = 0
    key = add(tree, "0", place=f"{path}:{tokens[0][1]}")
    open_at: list[int] = []
    state = "start"  # start: nothing of this node yet; closed, named, colon, length
    for i, (token, line) in enumerate(tokens):
        place = f"{path}:{line}"
        if token == ";":
            if open_at:
                raise TaxonomyError("a '(' is never closed", place=f"{path}:{open_at[-1]}")
            _ended(tree, key, state, place)
            if i + 1 < len(tokens):
                again = f"{path}:{tokens[i + 1][1]}"
                raise TaxonomyError("goes on after ';'", place=again, expected="one tree in a file")
            return tree
        if token == "(":
            if state != "start":
                raise _unexpected(token, place, "',' before it")
            open_at.append(line)
            count += 1
            key = add(tree, str(count), key, place=place)
        elif token == "," or token == ")":
            if not open_at:
                raise _unexpected(token, place, "';'")
            _ended(tree, key, state, place)
            above = next(iter(tree.pred[key]))
            if token == ",":
                count += 1
                key, state = add(tree, str(count), above, place=place), "start"
            else:
                open_at.pop()
                key, state = above, "closed"
        elif token == ":":
            if state == "length" or state == "colon":
                raise _unexpected(token, place, "one length per node")
            state = "colon"
        elif state == "colon":
            _length(token, place)
            state = "length"
        elif state in ("start", "closed"):
            name = token[1:-1].replace("''", "'") if token[0] == "'" else token
            tree.nodes[key].update(id=name, place=place)
            state = "named"
        else:
            raise _unexpected(token, place, "',', ')' or ';'; a name with blanks needs single quotes")
    raise TaxonomyError("ends before its ';'", place=f"{path}:{tokens[-1][1]}", hint="is it all of the file?")


def _tokens(source: str, path: Path) -> list[tuple[str, int]]:
    """(token, line), without the comments."""
    tokens: list[tuple[str, int]] = []
    line, at, depth, opened = 1, 0, 0, 0
    position = 0
    while match := (_BRACKET if depth else _TOKEN).search(source, position):
        line += source.count("\n", at, match.start())
        at, position = match.start(), match.end()
        token = match[0]
        if token == "[":
            opened = line if not depth else opened
            depth += 1
        elif depth:
            depth -= 1
        elif token == "'":
            raise TaxonomyError("a quote is never closed", place=f"{path}:{line}")
        elif token == "]":
            raise _unexpected(token, f"{path}:{line}", "'[' before it")
        else:
            tokens.append((token, line))
    if depth:
        raise TaxonomyError("a '[' is never closed", place=f"{path}:{opened}")
    return tokens


def _ended(tree: Tree, key: str, state: str, place: str) -> None:
    if state == "colon":
        raise TaxonomyError("a ':' without a length", place=place)
    if not tree.succ[key] and not text(tree, key, "id"):
        raise TaxonomyError("a leaf without a name", place=place, expected="a class before ',', ')' or ';'")


def _length(token: str, place: str) -> None:
    try:
        if math.isfinite(float(token)):
            return
    except ValueError:
        pass
    raise TaxonomyError(f"branch length {quoted(token)} is no number", place=place)


def _unexpected(token: str, place: str, expected: str) -> TaxonomyError:
    return TaxonomyError(f"unexpected {quoted(token)}", place=place, expected=expected)


def newick_text(tree: Tree) -> str:
    """The tree as one line; a class is called by its id, a group by its name."""
    parts: list[str] = []
    stack: list[tuple[str, str]] = [("node", root(tree))]
    while stack:
        what, key = stack.pop()
        if what == "text":
            parts.append(key)
            continue
        shown = ("text", _quoted(label(tree, key)))
        children = list(tree.succ[key])
        if not children:
            parts.append(shown[1])
            continue
        parts.append("(")
        stack += [shown, ("text", ")")]
        for child in reversed(children):
            stack += [("node", child), ("text", ",")]
        stack.pop()  # no comma before the first
    return "".join(parts) + ";\n"


def _quoted(name: str) -> str:
    return name if not name or _PLAIN.fullmatch(name) else "'" + name.replace("'", "''") + "'"


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
