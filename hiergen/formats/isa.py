"""Edge lists: `parent child` on each line, as ImageNet's wordnet.is_a.txt has them.

The two are parted by a comma, a tab or blanks; lines that begin with # are comments, a line that repeats another one
says nothing new.
"""

from __future__ import annotations

from pathlib import Path

from hiergen.errors import TaxonomyError, quoted
from hiergen.formats.tree import Tree, new_tree, root, text, top_down


def read_isa(source: str, path: Path) -> Tree:
    """A graph that may be no tree. Raises TaxonomyError with the line for one that has not two words."""
    graph = new_tree(path, "isa")
    for number, line in enumerate(source.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        place = f"{path}:{number}"
        words = _words(line)
        if len(words) != 2 or not all(words):
            got = quoted(line) if len(words) == 2 else f"{len(words)} words in {quoted(line)}"
            raise TaxonomyError("is no pair", place=place, expected="'parent child'", got=got)
        for word in words:
            if word not in graph:
                graph.add_node(word, id=word, name="", place=place)
        graph.add_edge(*words)
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
