"""A class tree → the text of a taxonomy file: commented, one class a line, for a person to edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hiergen.formats.tree import Tree, root, text, top_down
from hiergen.taxonomy import yamltext
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.yamltext import comment, member, printable, scalar, table

NESTED = 8  # levels of groups that are written inside each other; deeper trees are written flat
NOTES = 200


def taxonomy_yaml(
    name: str,
    tree: Tree,
    names: Mapping[str, str],
    classes: Sequence[ClassEntry],
    *,
    said: str | Mapping[str, str] | None,
    head: Sequence[str],
    synsets: Mapping[str, str] = {},
    titles: Mapping[str, str] = {},
    models: Mapping[str, Mapping[str, Any]],
) -> str:
    """The file's text. `tree` as `class_tree` gives it, `names` of its groups; `said` is what goes under `classes:`,
    None for a list of the classes' ids; `head` are comments at the top; `synsets` and `titles` (`names:`) go in as they
    are.
    """
    notes = [*head, *tree.graph["notes"]]
    if len(notes) > NOTES:
        notes = [*notes[:NOTES], f"… and {len(notes) - NOTES} more"]
    lines = [line for note in notes for line in comment(note)] + [f"name: {scalar(name)}"]
    if said is None:
        lines += ["# In the order of the logits, which must be the data set's.", "classes:"]
        lines += [member("  ", entry) for entry in classes]
    elif isinstance(said, str):
        lines.append(f"classes: {scalar(said)}")
    else:
        lines += ["classes:"] + [f"  {key}: {scalar(value)}" for key, value in said.items()]
    lines += [*table("synsets", synsets), *table("names", titles), *_sources(tree, names, classes)]
    lines += yamltext.models(models)
    return "\n".join(lines) + "\n"


def _sources(tree: Tree, names: Mapping[str, str], classes: Sequence[ClassEntry]) -> list[str]:
    top = root(tree)
    loose = [key for key in tree.succ[top] if not tree.succ[key]]
    lines = ["sources:"]
    if names:
        lines.append("  - groups:")
        lines += _nested(tree, names, classes) if levels(tree) <= NESTED else _flat(tree, names, classes)
    else:
        lines = ["sources: []"]
    if loose:
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
    own = text(tree, key, "id")
    if own and own != names[key]:
        parts.append(own if len(own) <= 60 else own[:59] + "…")
    chain = [name if len(name) <= 40 else name[:39] + "…" for name in tree.nodes[key].get("chain", ())]
    if chain:
        more = f" and {len(chain) - 4} more" if len(chain) > 4 else ""
        parts.append(f"alone below {', '.join(chain[:4])}{more}")
    return f"  # {printable('; '.join(parts))}" if parts else ""
