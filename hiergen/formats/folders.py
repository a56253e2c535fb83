"""A folder of images as a tree: the innermost folders are classes, the folders around them groups."""

from __future__ import annotations

from pathlib import Path

from hiergen.errors import HiergenError, TaxonomyError, quoted
from hiergen.files import reason
from hiergen.formats.tree import Tree, add, drop_alphabet, new_tree

TRAIN = ("train", "training", "train_set")
PARTS = frozenset([*TRAIN, "val", "valid", "validation", "test", "testing", "dev", "val_set", "test_set"])
_JUNK = frozenset(["__MACOSX", "__pycache__"])
_TOP = "0"


def read_folder(path: Path) -> Tree:
    """The tree of a folder, of its training part where it has parts.

    Raises TaxonomyError for a folder without folders, HiergenError for one that cannot be read.
    """
    top = training_part(path)
    tree = new_tree(path, "folder")
    if top != path:
        tree.graph["notes"].append(f"classes are the folders of {top}")
    add(tree, _TOP, place=str(top))
    seen = {top.resolve()}
    stack = [(top, _TOP)]
    while stack:
        folder, key = stack.pop()
        for inner in subfolders(folder):
            if inner.resolve() in seen:  # links may make a loop
                continue
            seen.add(inner.resolve())
            stack.append((inner, add(tree, str(len(tree)), key, id=inner.name, place=str(inner))))
    if len(tree) == 1:
        raise TaxonomyError("has no sub-folders", place=str(path), expected="a folder of images for each class")
    drop_alphabet(tree, _TOP)
    return _sorted(tree)


def training_part(path: Path) -> Path:
    """`train` of a folder that holds nothing but such parts, else the folder."""
    names = {folder.name.lower(): folder for folder in subfolders(path)}
    while len(names) == 1:  # an archive's one folder around all
        inside = {folder.name.lower(): folder for folder in subfolders(next(iter(names.values())))}
        if not PARTS & set(inside):
            break
        path, names = next(iter(names.values())), inside
    train = next((names[name] for name in TRAIN if name in names), None)
    return train if train is not None and set(names) <= PARTS else path


def subfolders(path: Path) -> list[Path]:
    """Sorted, without hidden ones. Raises HiergenError for a folder that cannot be read."""
    try:
        inside = sorted(path.iterdir())
        return [p for p in inside if p.name not in _JUNK and not p.name.startswith(".") and p.is_dir()]
    except OSError as error:
        raise HiergenError(f"folder {quoted(path)} cannot be read ({reason(error)})") from None


def _sorted(tree: Tree) -> Tree:
    """Classes in the order of their names, as image readers number them."""
    ends = sorted((key for key in tree if not tree.succ[key]), key=lambda key: str(tree.nodes[key]["id"]))
    for index, key in enumerate(ends):
        tree.nodes[key]["index"] = index
    return tree
