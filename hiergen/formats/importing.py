"""The job of `hiergen import`: a file's tree → a taxonomy file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hiergen.errors import HiergenError, OutputError, PlanError, SpecError, TaxonomyError, listed
from hiergen.files import check_yaml_name, replacing
from hiergen.formats.classtree import class_tree, levels, name_groups, taxonomy_yaml
from hiergen.formats.files import read_graph
from hiergen.formats.matching import above, classes_value, leaves_besides, match, moved, own_leaves, read_given
from hiergen.formats.tree import Tree, depths, text, title, to_tree
from hiergen.planning.from_taxonomy import plan_if_known
from hiergen.taxonomy import tree as merged
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.naming import check_identifier
from hiergen.taxonomy.synsets import is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet.nouns import default

MODELS = {"PHL": 1, "N2HL": 2, "N3HL": 3}


@dataclass(frozen=True)
class Imported:
    """The file that was written, its format before, and what there is in it; `notes` are what had to be decided."""

    path: Path
    format: str
    classes: int
    groups: int
    levels: int
    models: tuple[str, ...]
    notes: tuple[str, ...]


def import_tree(
    source: str | Path,
    path: str | Path,
    *,
    format: str | None = None,
    classes: str | None = None,
    subset: bool | None = None,
    join_roots: bool = False,
    header: bool = False,
    force: bool = False,
) -> Imported:
    """Write a taxonomy file whose groups are the tree of `source`.

    `classes` are a built-in list, a text file, an image folder or names with commas; without it the leaves are the
    classes, in the file's order. `subset` keeps of the tree only what is above the classes (None: with edge lists,
    which are mostly of a whole WordNet). The file is read back and compared before it is put in place.

    Raises HiergenError for a source that cannot be read or is no tree, for classes and leaves that do not fit, and for
    a path that cannot be written.
    """
    target = Path(path)
    _target(target, force=force)
    graph = read_graph(source, format, header=header)
    depths(graph)  # raises for a circle, whose nodes are no leaves
    kind = str(graph.graph["format"])
    if subset and classes is None:
        raise SpecError("--subset without classes", expected="--classes LIST or FILE")
    listing: str | dict[str, str] | None = None
    leaf_synsets: dict[str, str] = {}
    if classes is None:
        which, entries, leaf_synsets = own_leaves(graph)
    else:
        value = classes_value(classes)
        entries = read_given(value)
        which = match(graph, entries)
        _besides(graph, which, subset=kind == "isa" if subset is None else subset)
        graph = above(graph, which)
        listing = moved(value, target)
    _show(graph)
    tree = class_tree(to_tree(graph, join_roots=join_roots), which, entries)
    names = name_groups(tree, entries, default())
    deep = levels(tree)
    synsets, titles = _stated(graph, which, entries, own_names=classes is None)
    synsets = leaf_synsets | synsets
    groups = f"{len(names)} group{'s' * (len(names) != 1)}"
    head = f"Imported by `hiergen import {Path(source).name}` ({kind}): {len(entries)} classes, {groups}."

    def written(models: Sequence[str]) -> str:
        return taxonomy_yaml(
            _name(target),
            tree,
            names,
            entries,
            listing=listing,
            head=[head],
            synsets=synsets,
            titles=titles,
            models={name: {} for name in models},
        )

    models = _write(target, written, [name for name, count in MODELS.items() if count <= deep + 1], tree, names)
    return Imported(target, kind, len(entries), len(names), deep, tuple(models), tuple(tree.graph["notes"]))


def _show(graph: Tree) -> None:
    """What notes call a node that the file gives as a bare wnid."""
    for key in graph:
        given_id = text(graph, key, "id")
        if not text(graph, key, "name") and is_wnid(given_id) and (wnid := default().resolve(given_id)):
            graph.nodes[key]["shown"] = default().lemmas(wnid)[0].replace("_", " ")


def _besides(graph: Tree, which: dict[str, int], *, subset: bool) -> None:
    others = leaves_besides(graph, which)
    if others and not subset:
        many = f"{len(others)} leaves of the tree are" if len(others) > 1 else "a leaf of the tree is"
        raise TaxonomyError(
            f"{many} not among --classes: {listed(title(graph, key) for key in others)}",
            place=text(graph, others[0], "place"),
            hint="--subset leaves out what is above no class",
        )
    if others:
        many = f"they are no class: {len(others)} leaves" if len(others) > 1 else "it is no class: 1 leaf"
        graph.graph["notes"].append(f"left out, as {many} of the tree")


def _stated(
    graph: Tree, which: dict[str, int], entries: Sequence[ClassEntry], *, own_names: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Synsets of classes with plain names, and (with `own_names`) names of classes, that the file says."""
    synsets: dict[str, str] = {}
    titles: dict[str, str] = {}
    taken: set[str] = set()
    stand = {key: text(graph, key, "synset") or text(graph, key, "id") for key in which}
    at = Counter(stand.values())  # a class that is only a kind of a synset stands there beside the synset's own class
    for key, i in sorted(which.items(), key=lambda item: item[1]):
        entry, name = entries[i], text(graph, key, "name")
        if own_names and name and name != entry.name and (graph.graph["format"] == "json" or not is_wnid(entry.id)):
            titles[entry.id] = name
        synset = stand[key]
        plain = not is_wnid(entry.id) and not looks_like_synset(entry.id)
        certain = entry.synset == synset and (entry.note is None if entry.exact else at[synset] > 1)
        if plain and is_wnid(synset) and not certain and synset not in taken and default().resolve(synset):
            synsets[entry.id] = synset
            taken.add(synset)
    return synsets, titles


def _target(path: Path, *, force: bool) -> None:
    check_yaml_name(path)
    if path.exists() and not path.is_dir() and not force:
        raise OutputError("is there already", place=str(path), hint="give another -o, or --force to write over it")


def _name(path: Path) -> str:
    """The file's name as the taxonomy's."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", path.stem).strip("-")[:60].strip("-")
    try:
        return check_identifier(name)
    except ValueError:
        return f"tree-{name}"[:60].strip("-")


def _write(
    target: Path, written: Callable[[Sequence[str]], str], models: list[str], tree: Tree, names: dict[str, str]
) -> list[str]:
    """Put the file in place once it has been read back, and its merged tree has been compared with the import.

    Models whose default budget is too small for so many branches are left out, which is noted; gives the others.
    """
    with replacing(target) as part:
        part.write_text(written(models), encoding="utf-8", newline="\n")
        try:
            loaded = load_taxonomy(part)
        except HiergenError as error:
            problem = str(error).replace(str(part), str(target))
            raise OutputError(f"cannot be written: {problem}", place=str(target)) from None
        calls = {key: names.get(key, text(tree, key, "id")) for key in tree}
        wanted = {(calls[a] if a in names else merged.ROOT, calls[b]) for a, b in tree.edges}
        got = {(merged.info(loaded.tree, a).id, merged.info(loaded.tree, b).id) for a, b in loaded.tree.edges}
        assert got == wanted, sorted(got ^ wanted)[:10]
        small = {}
        for model in models:
            try:
                plan_if_known(loaded, model)
            except PlanError as error:
                small[model] = error.problem
        if small and len(small) < len(models):
            models = [model for model in models if model not in small]
            tree.graph["notes"] += [f"{model} is left out: {problem}" for model, problem in small.items()]
            part.write_text(written(models), encoding="utf-8", newline="\n")
    return models
