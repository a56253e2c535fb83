"""Trees as rows: label paths (csv, tsv, npy), and edge lists, `parent child` as in ImageNet's wordnet.is_a.txt.

The two are parted by a comma, a tab or blanks; lines that begin with # are comments, a line that repeats another one
says nothing new.
"""

from __future__ import annotations

import csv
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx

from hiergen.errors import SpecError, TaxonomyError, quoted
from hiergen.files import MAX_BYTES
from hiergen.formats.tables import read_table
from hiergen.formats.tree import Tree, label, leaves, new_tree, root, text, top_down
from hiergen.taxonomy.tree import parent

if TYPE_CHECKING:
    import numpy as np


def read_pairs(source: str, path: Path) -> Tree:
    """A graph that may be no tree, of pairs 'parent child', or rows 'parent child child …' with tabs or commas.

    Pairs the other way round are seen by that: only then has each node one parent. Raises TaxonomyError with the line
    for one that has not two words.
    """
    edges = list(_edges(source, path))
    graph = _graph(edges, path)
    several = sum(len(graph.pred[key]) > 1 for key in graph)
    if several and max(len(graph.succ[key]) for key in graph) == 1 and nx.is_directed_acyclic_graph(graph):
        graph = _graph([(b, a, place) for a, b, place in edges], path)
        graph.graph.update(forest=True)
        graph.graph["notes"].append("pairs are read as 'child parent': the other way round nodes had several parents")
    return graph


def read_child_parent(source: str, path: Path) -> Tree:
    """As `read_pairs`, of pairs 'child parent'."""
    graph = _graph([(parent, child, place) for child, parent, place in _edges(source, path)], path)
    graph.graph.update(forest=True)
    return graph


def _edges(source: str, path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(source.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        place = f"{path}:{number}"
        above, *below = _words(line)
        if not below or not above or not all(below):
            got = quoted(line) if len(below) == 1 else f"{1 + len(below)} words in {quoted(line)}"
            raise TaxonomyError("is no pair", place=place, expected="'parent child'", got=got)
        if len(below) > 1 and not set(line) & {"\t", ","}:
            raise TaxonomyError(
                "is no pair",
                place=place,
                expected="'parent child'",
                got=f"{1 + len(below)} words in {quoted(line)}",
                hint="put a tab between them where they have blanks",
            )
        yield from ((above, child, place) for child in below)


def _graph(edges: Iterable[tuple[str, str, str]], path: Path) -> Tree:
    graph = new_tree(path, "isa")
    for above, below, place in edges:
        for word in (above, below):
            if word not in graph:
                graph.add_node(word, id=word, name="", place=place)
        graph.add_edge(above, below)
    if not graph:
        raise TaxonomyError("is empty", place=str(path), expected="'parent child' on each line")
    return graph


def _words(line: str) -> list[str]:
    for mark in ("\t", ","):
        if mark in line:
            return [word.strip() for word in line.split(mark)]
    return line.split()


def isa_text(tree: Tree) -> str:
    """The edges, parents first, parted by a tab.

    Raises TaxonomyError for a tree whose nodes are not told apart by their ids, or whose ids have a tab, a line break
    or a # in front.
    """
    seen: dict[str, str] = {}
    taken: set[str] = set()
    for key in top_down(tree):
        word = text(tree, key, "id")
        if not word and key == root(tree):
            word = "root"
        if not word or word in taken or word.startswith("#") or word != word.strip() or set(word) & set("\t\n"):
            wanted = "ids that differ" if word in taken else "no tab, line break, blank or # around an id"
            raise TaxonomyError(
                f"{quoted(word)} cannot be written to an edge list",
                place=str(tree.graph["path"]) or None,
                expected=wanted if word else "an id for each node",
            )
        seen[key] = word
        taken.add(word)
    return "".join(f"{seen[a]}\t{seen[b]}\n" for a in seen for b in tree.succ[a])


# What NumPy raises for a header that is none: it is a Python literal
_DAMAGED = (OSError, ValueError, EOFError, SyntaxError, TypeError, tokenize.TokenError, OverflowError, MemoryError)
_QUOTED = re.compile(r'"[^"]*"')


def read_paths(source: str, path: Path, *, header: bool | None = None, columns: Sequence[str] = ()) -> Tree:
    """The tree of a table in a text; its root has no name. See `tables.read_table`.

    Raises SpecError for what is no table.
    """
    return read_table(_rows(source, path), path, header=header, columns=columns)


def read_path_array(path: Path) -> Tree:
    """As `read_paths`, of a .npy file of shape (samples, levels) or (samples,). Arrays of Python objects are refused:
    reading them would run code from the file."""
    import numpy as np

    if path.stat().st_size > MAX_BYTES:
        raise SpecError(
            "is too large", place=str(path), expected=f"at most {MAX_BYTES:,} bytes", hint="keep each row once"
        )
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _DAMAGED as error:
        hint = "save it as text: numpy.save(file, numpy.array(y, dtype=str))" if "bject" in str(error) else None
        raise SpecError("is no NumPy array of text or numbers", place=str(path), hint=hint) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "USiu" or array.ndim not in (1, 2):
        got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise SpecError(
            "is no table of labels", place=str(path), expected="text or whole numbers, (samples, levels)", got=got
        )
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise SpecError("has labels that are not UTF-8", place=str(path)) from None
    if array.dtype.kind == "U" and _beyond_unicode(array):
        raise SpecError("has labels that are no text", place=str(path), expected="characters of Unicode")
    table = array.reshape(len(array), -1)
    rows = ((f"{path}:{i}", [str(cell) for cell in row]) for i, row in enumerate(table, 1))
    return read_table(rows, path, header=False)


def _beyond_unicode(array: np.ndarray[Any, Any]) -> bool:
    """Whether there is a number that stands for no character, with which Python's own functions on text fail."""
    import numpy as np

    codes = np.frombuffer(array.tobytes(), array.dtype.byteorder.replace("|", "=") + "u4")
    return bool((codes > sys.maxunicode).any())


def _rows(source: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    first = next((line for line in source.split("\n") if line.strip()), "")
    mark = "\t" if path.suffix == ".tsv" or ("\t" in first and "," not in first) else ","
    if mark == "," and "," not in first and _by_semicolons(source):
        mark = ";"
    reader = csv.reader(io.StringIO(source, newline=""), delimiter=mark, strict=True, skipinitialspace=mark != "\t")
    line = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise SpecError(f"is no table ({error})", place=f"{path}:{reader.line_num or 1}") from None
        if row is None:
            return
        yield f"{path}:{line}", row
        line = reader.line_num + 1


def _by_semicolons(source: str) -> bool:
    """Whether semicolons part the labels, and do not just stand in some: as many in each row, or rows that begin alike.
    What is in quotes does not count."""
    rows = {line.strip() for line in source.split("\n") if line.strip()}
    counts = {_QUOTED.sub("", row).count(";") for row in rows}
    starts = [row.partition(";")[0] for row in rows if ";" in _QUOTED.sub("", row)]
    return bool(starts) and (len(counts) == 1 or len(set(starts)) < len(starts))


def paths_text(tree: Tree, mark: str = ",") -> str:
    """One row per leaf, without the root, filled with empty cells; a group is called by its name."""
    rows = []
    for key in leaves(tree):
        row = []
        above: str | None = key
        while above is not None and (higher := parent(tree, above)) is not None:
            row.append(label(tree, above))
            above = higher
        rows.append(row[::-1])
    place = str(tree.graph["path"]) or None
    if wrong := [cell for row in rows for cell in row if not cell or cell != cell.strip()]:
        what = quoted(wrong[0]) if wrong[0] else "a group without a name"
        expected = "a name for each node, without blanks around it"
        raise TaxonomyError(f"{what} cannot be written to label paths", place=place, expected=expected)
    width = max(map(len, rows))
    out = io.StringIO(newline="")
    alone = width == 1 and any(";" in row[0] for row in rows)  # what would pass for a mark stands in quotes
    writer = csv.writer(out, delimiter=mark, lineterminator="\n", quoting=csv.QUOTE_ALL if alone else csv.QUOTE_MINIMAL)
    writer.writerows(row + [""] * (width - len(row)) for row in rows)
    return out.getvalue()
