"""A folder of images as a tree: the innermost folders are classes, the folders around them groups."""

from __future__ import annotations

from pathlib import Path

from hiergen.errors import TaxonomyError
from hiergen.formats.tree import Tree, add, drop_alphabet, new_tree
from hiergen.taxonomy.naming import nfc
from hiergen.taxonomy.roots import subfolders, training_part

_TOP = "0"


def read_folder(path: Path) -> Tree:
    """The tree of a folder, of its training part where it has parts.

    Raises TaxonomyError for a folder without folders, HiergenError for one that cannot be read.
    """
    top, note = training_part(path)
    tree = new_tree(path, "folder")
    if note:
        tree.graph["notes"].append(note)
    add(tree, _TOP, place=str(top))
    seen = {top.resolve()}
    stack = [(top, _TOP)]
    while stack:
        folder, key = stack.pop()
        for inner in subfolders(folder):
            if inner.resolve() in seen:  # links may make a loop
                continue
            seen.add(inner.resolve())
            stack.append((inner, add(tree, str(len(tree)), key, id=nfc(inner.name), place=str(inner))))
    if len(tree) == 1:
        raise TaxonomyError("has no sub-folders", place=str(path), expected="a folder of images for each class")
    drop_alphabet(tree, _TOP)
    return _sorted(tree)


def _sorted(tree: Tree) -> Tree:
    """Classes in the order of their names, as image readers number them."""
    ends = sorted((key for key in tree if not tree.succ[key]), key=lambda key: str(tree.nodes[key]["id"]))
    for index, key in enumerate(ends):
        tree.nodes[key]["index"] = index
    return tree
