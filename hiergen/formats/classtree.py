"""A file's tree → the tree that a taxonomy file can say: classes as leaves, groups of two or more, distinct names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hiergen.formats.tree import Tree, add, new_tree, notes, root, text, title, top_down
from hiergen.taxonomy import yamlfile as yamltext
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.groupnames import FreeNames, GroupNamer
from hiergen.taxonomy.naming import MAX_NAME, slug
from hiergen.taxonomy.synsets import is_wnid
from hiergen.taxonomy.wordnet.nouns import WordNet
from hiergen.taxonomy.yamlfile import comment, member, printable, scalar, table


def class_tree(tree: Tree, which: Mapping[str, int], classes: Sequence[ClassEntry]) -> Tree:
    """Classes become leaves (`kind` class, `id`, `index`); groups without classes vanish, and of a chain of groups with
    one child the lowest stays, with the others in `chain`, but of a table and where all classes are equally deep: there
    groups are ranks, and each says something. A class that has classes below it stands beside them in a group of its
    own, which is noted. The root is one with several children.
    """
    ranked = tree.graph["format"] == "paths" or _is_ranked(tree, which)
    order = top_down(tree)
    below: dict[str, list[str]] = {}  # node → what is left of its children
    stands: dict[str, str] = {}  # node → the node that is left of it ("" for nothing)
    chain: dict[str, list[str]] = {}
    decisions = list(notes(tree))
    for key in reversed(order):
        below[key] = [stands[child] for child in tree.succ[key] if stands[child]]
        if key in which:
            if below[key]:
                class_id = classes[which[key]].id
                below[key].insert(0, f"{key}\0class")
                decisions.append(f"{class_id} is a class with classes below it: it stands beside them in one group")
            stands[key] = key
        elif len(below[key]) == 1 and key != root(tree) and not (ranked and _says_more(tree, key, below[key][0])):
            stands[key] = below[key][0]
            chain.setdefault(stands[key], []).append(key)
        else:
            stands[key] = key if below[key] else ""
    top = root(tree)
    while len(below[top]) == 1 and below.get(below[top][0]):
        top = below[top][0]
    done = new_tree(tree.graph["path"], tree.graph["format"])
    done.graph["notes"] = decisions
    _copy(tree, done, top, below, which, classes)
    for key, dropped in chain.items():
        if key in done and key != root(done):
            done.nodes[key]["chain"] = [_called(tree, k) for k in dropped if _called(tree, k)]
    return done


def _is_ranked(tree: Tree, which: Mapping[str, int]) -> bool:
    """Whether all classes have as many groups above them, two or more of them on the first level."""
    depth = {root(tree): 0}
    for key in top_down(tree):
        depth.update(dict.fromkeys(tree.succ[key], depth[key] + 1))
    depths = {depth[key] for key in which if key in depth}
    first = [key for key in tree.succ[root(tree)] if key not in which]
    return len(depths) == 1 and depths != {1} and len(first) > 1 and all(key in depth for key in which)


def _says_more(tree: Tree, key: str, child: str) -> bool:
    """Whether a group with one child has a name of its own."""
    return bool(_called(tree, key)) and slug(_called(tree, key)) != slug(_called(tree, child))


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
        given_id = "" if unnamed else text(tree, key, "id")
        add(
            done,
            key,
            higher,
            id=given_id,
            name=text(tree, key, "name"),
            place=place,
            kind="group" if higher else "root",
        )
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
    names: dict[str, str] = {}
    for key in groups:
        if given := _given_names(tree, key, wordnet):
            above = names.get(next(iter(tree.pred[key]), ""), "")
            # Airbus' family A320, in which there is an A320
            qualified = [f"{above} {given[0]}"] if above and not given[0].startswith(above) else [f"{given[0]} group"]
            names[key] = free.take([*given, *qualified], MAX_NAME)
    if len(names) < len(groups):
        namer, members = GroupNamer(classes, wordnet), _members(tree)
        for key in groups:
            if key not in names:
                plain = namer.plain(members[key])
                names[key] = free.take(itertools.chain([plain] if plain else [], namer.alike(members[key], plain)))
    return names


def _given_names(tree: Tree, key: str, wordnet: WordNet) -> list[str]:
    """What the file calls a group; [] where that says nothing to a reader."""
    name, given_id = text(tree, key, "name"), text(tree, key, "id")
    if not name and is_wnid(given_id) and (wnid := wordnet.resolve(given_id)):
        return [wordnet.lemmas(wnid)[0], wordnet.synset_name(wnid)]
    return [name or given_id] if slug(name or given_id) else []


def _members(tree: Tree) -> dict[str, list[int]]:
    """Node → its classes."""
    members: dict[str, list[int]] = {}
    for key in reversed(top_down(tree)):
        below = tree.succ[key]
        members[key] = [c for child in below for c in members[child]] if below else [int(tree.nodes[key]["index"])]
    return members


NESTED = 8  # levels of groups that are written inside each other; deeper trees are written flat
NOTES = 200


def taxonomy_yaml(
    name: str,
    tree: Tree,
    names: Mapping[str, str],
    classes: Sequence[ClassEntry],
    *,
    listing: str | Mapping[str, str] | None,
    head: Sequence[str],
    synsets: Mapping[str, str] = {},
    kind_of: Mapping[str, str] = {},
    titles: Mapping[str, str] = {},
    about: Mapping[str, str] = {},
    remarks: Mapping[str, Sequence[str]] = {},
    sources: Sequence[str] = (),
    models: Mapping[str, Mapping[str, Any]],
) -> str:
    """The file's text. `tree` as `class_tree` gives it, `names` of its groups; `listing` is what goes under `classes:`,
    None for a list of the classes' ids; `head` are comments at the top; `synsets`, `kind_of` and `titles` (`names:`) go
    in as they are, `about` says what each class is, `remarks` are comments below its line under `synsets:`, `sources`
    what stands below the groups.
    """
    notes = [*head, *tree.graph["notes"]]
    if len(notes) > NOTES:
        notes = [*notes[:NOTES], f"… and {len(notes) - NOTES} more"]
    lines = [line for note in notes for line in comment(note)] + [f"name: {scalar(name)}"]
    if listing is None:
        lines += ["# In the order of the logits, which must be the data set's.", "classes:"]
        for entry in classes:
            line = member("  ", entry)
            text_here = printable(about.get(entry.id, ""))
            if text_here:
                line += f", {text_here}" if entry.name != entry.id else f"  # {text_here}"
            lines.append(line)
    elif isinstance(listing, str):
        lines.append(f"classes: {scalar(listing)}")
    else:
        lines += ["classes:"] + [f"  {key}: {scalar(value)}" for key, value in listing.items()]
    stated = table("synsets", synsets)
    if stated:
        stated = [stated[0]]
        for class_id, synset in synsets.items():
            stated.append(f"  {scalar(class_id)}: {scalar(synset)}")
            stated += [f"  # {printable(remark)}" for remark in remarks.get(class_id, ())]
    lines += [*stated, *table("kind-of", kind_of), *table("names", titles), *_sources(tree, names, classes, sources)]
    lines += yamltext.models(models)
    return "\n".join(lines) + "\n"


def _sources(tree: Tree, names: Mapping[str, str], classes: Sequence[ClassEntry], further: Sequence[str]) -> list[str]:
    top = root(tree)
    loose = [key for key in tree.succ[top] if not tree.succ[key]]
    lines = ["sources:"]
    if names:
        lines.append("  - groups:")
        lines += _nested(tree, names, classes) if levels(tree) <= NESTED else _flat(tree, names, classes)
    lines += [f"  - {source}" for source in further]
    if not names and not further:
        lines = ["sources: []"]
    if further and any(c.synset is None for c in classes):
        lines.append("unplaced: root  # what WordNet does not have")
    if loose and not further:
        several = f"{len(loose)} classes hang" if len(loose) > 1 else f"{printable(text(tree, loose[0], 'id'))} hangs"
        lines += [f"# {several} right below the root.", "unplaced: root"]
    return lines


def levels(tree: Tree) -> int:
    """Groups on the longest path from the root to a class, without the root."""
    depth = {root(tree): 0}
    for key in top_down(tree):
        depth.update(dict.fromkeys(tree.succ[key], depth[key] + 1))
    return max(depth.values()) - 1


def _nested(tree: Tree, names: Mapping[str, str], classes: Sequence[ClassEntry]) -> list[str]:
    lines = []
    stack = [(key, 0) for key in reversed(list(tree.succ[root(tree)])) if tree.succ[key]]
    while stack:
        key, depth = stack.pop()
        indent = "      " + "    " * depth
        if not tree.succ[key]:
            lines.append(member(indent[:-2], classes[tree.nodes[key]["index"]]))
            continue
        lines.append(f"{indent[:-2] + '- ' if depth else indent}{scalar(names[key])}:{_about(tree, names, key)}")
        stack += [(child, depth + 1) for child in reversed(list(tree.succ[key]))]
    return lines


def _flat(tree: Tree, names: Mapping[str, str], classes: Sequence[ClassEntry]) -> list[str]:
    lines = [f"      # {levels(tree)} levels of groups: a member that is itself a group here stands by its name."]
    for key in top_down(tree):
        if key not in names:
            continue
        lines.append(f"      {scalar(names[key])}:{_about(tree, names, key)}")
        for child in tree.succ[key]:
            if child in names:
                lines.append(f"        - {scalar(names[child])}")
            else:
                lines.append(member("        ", classes[tree.nodes[child]["index"]]))
    return lines


def _about(tree: Tree, names: Mapping[str, str], key: str) -> str:
    """What the file called a group, where that is not its name here; and the groups with one child above it."""
    parts = []
    given_id = text(tree, key, "id")
    if given_id and given_id != names[key]:
        parts.append(given_id if len(given_id) <= 60 else given_id[:59] + "…")
    chain = [name if len(name) <= 40 else name[:39] + "…" for name in tree.nodes[key].get("chain", ())]
    if chain:
        more = f" and {len(chain) - 4} more" if len(chain) > 4 else ""
        parts.append(f"alone below {', '.join(chain[:4])}{more}")
    return f"  # {printable('; '.join(parts))}" if parts else ""
