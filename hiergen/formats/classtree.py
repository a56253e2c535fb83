"""A file's tree → the tree that a taxonomy file can say: classes as leaves, groups of two or more, distinct names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from hiergen.formats.tree import Tree, add, new_tree, notes, root, text, title, top_down
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.groupnames import FreeNames, GroupNamer
from hiergen.taxonomy.naming import MAX_NAME, slug
from hiergen.taxonomy.synsets import is_wnid
from hiergen.taxonomy.wordnet import WordNet


def class_tree(tree: Tree, which: Mapping[str, int], classes: Sequence[ClassEntry]) -> Tree:
    """Classes become leaves (`kind` class, `id`, `index`); groups without classes vanish, and of a chain of groups with
    one child the lowest stays, with the others in `chain`. A class that has classes below it stands beside them in a
    group of its own, which is noted. The root is one with several children.
    """
    order = top_down(tree)
    below: dict[str, list[str]] = {}  # node → what is left of its children
    stands: dict[str, str] = {}  # node → the node that is left of it ("" for nothing)
    chain: dict[str, list[str]] = {}
    said = list(notes(tree))
    for key in reversed(order):
        below[key] = [stands[child] for child in tree.succ[key] if stands[child]]
        if key in which:
            if below[key]:
                own = classes[which[key]].id
                below[key].insert(0, f"{key}\0class")
                said.append(f"{own} is a class with classes below it: it stands beside them in one group")
            stands[key] = key
        elif len(below[key]) == 1 and key != root(tree):
            stands[key] = below[key][0]
            chain.setdefault(stands[key], []).append(key)
        else:
            stands[key] = key if below[key] else ""
    top = root(tree)
    while len(below[top]) == 1 and below.get(below[top][0]):
        top = below[top][0]
    done = new_tree(tree.graph["path"], tree.graph["format"])
    done.graph["notes"] = said
    _copy(tree, done, top, below, which, classes)
    for key, dropped in chain.items():
        if key in done and key != root(done):
            done.nodes[key]["chain"] = [_called(tree, k) for k in dropped if _called(tree, k)]
    return done


def _copy(
    tree: Tree,
    done: Tree,
    top: str,
    below: dict[str, list[str]],
    which: Mapping[str, int],
    classes: Sequence[ClassEntry],
) -> None:
    stack: list[tuple[str, str | None]] = [(top, None)]
    while stack:
        key, higher = stack.pop()
        node = key.removesuffix("\0class")
        place = text(tree, node, "place")
        if key not in below or not below[key]:
            entry = classes[which[node]]
            add(done, key, higher, id=entry.id, name=entry.name, place=place, kind="class", index=which[node])
            continue
        unnamed = bool(tree.nodes[key].get("made_up"))
        own = "" if unnamed else text(tree, key, "id")
        add(done, key, higher, id=own, name=text(tree, key, "name"), place=place, kind="group" if higher else "root")
        stack += [(child, key) for child in reversed(below[key])]


def _called(tree: Tree, key: str) -> str:
    return (
        ""
        if tree.nodes[key].get("made_up")
        else text(tree, key, "name") or text(tree, key, "shown") or title(tree, key)
    )


def name_groups(tree: Tree, classes: Sequence[ClassEntry], wordnet: WordNet) -> dict[str, str]:
    """A name for each group, all different as identifiers and from the classes: the file's; of a wnid WordNet's; else
    what `GroupNamer` makes of its classes.
    """
    free = FreeNames(entry.id for entry in classes)
    groups = [key for key in top_down(tree) if tree.succ[key] and key != root(tree)]
    names = {key: free.take(said, MAX_NAME) for key in groups if (said := _said(tree, key, wordnet))}
    if len(names) < len(groups):
        namer, members = GroupNamer(classes, wordnet), _members(tree)
        for key in groups:
            if key not in names:
                plain = namer.plain(members[key])
                names[key] = free.take(itertools.chain([plain] if plain else [], namer.alike(members[key], plain)))
    return names


def _said(tree: Tree, key: str, wordnet: WordNet) -> list[str]:
    """What the file calls a group; [] where that says nothing to a reader."""
    name, own = text(tree, key, "name"), text(tree, key, "id")
    if not name and is_wnid(own) and (wnid := wordnet.resolve(own)):
        return [wordnet.lemmas(wnid)[0], wordnet.synset_name(wnid)]
    return [name or own] if slug(name or own) else []


def _members(tree: Tree) -> dict[str, list[int]]:
    """Node → its classes."""
    members: dict[str, list[int]] = {}
    for key in reversed(top_down(tree)):
        below = tree.succ[key]
        members[key] = [c for child in below for c in members[child]] if below else [int(tree.nodes[key]["index"])]
    return members
