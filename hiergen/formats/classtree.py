"""A file's tree → the tree that a taxonomy file can say: classes as leaves, groups of two or more, distinct names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hiergen.formats.tree import Tree, add, new_tree, notes, root, text, title, top_down
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.synsets import is_wnid
from hiergen.taxonomy.wordnet import WordNet

_SAYS_SOMETHING = 4  # steps below 'entity': not 'object', not 'whole'


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
    the lowest hypernym that all its classes share, if it says something and is not taken; else 'like CLASS (size)'.
    """
    taken = {slug(entry.id) for entry in classes} | {""}
    names: dict[str, str] = {}
    groups = [key for key in top_down(tree) if tree.succ[key] and key != root(tree)]
    for key in groups:
        name, own = text(tree, key, "name"), text(tree, key, "id")
        if not name and is_wnid(own) and (wnid := wordnet.resolve(own)):
            name = wordnet.lemmas(wnid)[0].replace("_", " ")
            if slug(name) in taken:
                name = wordnet.synset_name(wnid)
        name = name or own
        if name and not bad_label(name):
            names[key] = _different(name, taken)
            taken.add(slug(names[key]))
    unnamed = [key for key in groups if key not in names]
    if unnamed:
        shared, members = _shared(tree, classes, wordnet)
        for key in unnamed:
            name = _hypernym(shared[key], wordnet)
            if slug(name) in taken:
                first = classes[min(members[key])].name
                name = _different(f"like {first[:100]} ({len(members[key])})", taken)
            names[key] = name
            taken.add(slug(name))
    return names


def _different(name: str, taken: set[str]) -> str:
    unique, number = name, 1
    while slug(unique) in taken or bad_label(unique):
        number += 1
        unique = f"{name[:180]} ({number})"
    return unique


def _hypernym(shared: set[str] | None, wordnet: WordNet) -> str:
    found = sorted(shared or (), key=lambda wnid: (-wordnet.depth(wnid), wnid))
    if found and wordnet.depth(found[0]) >= _SAYS_SOMETHING:
        return wordnet.lemmas(found[0])[0].replace("_", " ")
    return ""


def _shared(
    tree: Tree, classes: Sequence[ClassEntry], wordnet: WordNet
) -> tuple[dict[str, set[str] | None], dict[str, list[int]]]:
    """Of each node: synsets at or above all its classes (None: a class has no synset), and the classes."""
    shared: dict[str, set[str] | None] = {}
    members: dict[str, list[int]] = {}
    for key in reversed(top_down(tree)):
        children = list(tree.succ[key])
        if not children:
            members[key] = [int(tree.nodes[key]["index"])]
            synset = classes[members[key][0]].synset
            shared[key] = set(wordnet.closure([synset])) if synset else None
            continue
        members[key] = [c for child in children for c in members[child]]
        known = [found for child in children if (found := shared[child]) is not None]
        shared[key] = set.intersection(*known) if len(known) == len(children) else None
    return shared, members
