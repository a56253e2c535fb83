"""Each source as a tree over the classes it knows, strongest first, ready to be merged."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from hiergen.assets import class_list
from hiergen.errors import HiergenError, TaxonomyError, named_at, quoted
from hiergen.files import MAX_BYTES, user_path
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.groups import groups_tree
from hiergen.taxonomy.spec import Groups, Spec, SuperclassFiles, WordNetCopy
from hiergen.taxonomy.tree import ROOT, Conflict, Node, Provenance, Tree, class_key, contract, new_tree
from hiergen.taxonomy.wordnet.hypernyms import choose_parents
from hiergen.taxonomy.wordnet.nouns import WordNet, default
from hiergen.taxonomy.yamlfile import Document

NUMBERS = "superclass.txt"
NAMES = "superclass_names.txt"
_HINT = f"give the folder of a copy of s-kumano/imagenet-superclass, with {NUMBERS} and {NAMES}"


@dataclass(frozen=True)
class SourceTree:
    """`tree`: root → groups → classes, contracted. Classes the source does not know are absent. `written`: groups by
    hand as they stand in the file."""

    name: str
    tree: Tree
    written: Tree | None = None


def open_wordnet(spec: Spec, document: Document) -> WordNet:
    """The WordNet that the file names, else the one that ships with hiergen."""
    for i, source in enumerate(spec.sources):
        if isinstance(source, WordNetCopy):
            with named_at(document.place(("sources", i))):
                return WordNet(document.path.parent / user_path(source.wordnet))
    return default()


def read_sources(
    spec: Spec,
    document: Document,
    classes: tuple[ClassEntry, ...],
    wordnet: WordNet,
    report: Callable[[HiergenError], None],
) -> tuple[list[SourceTree], list[Conflict]]:
    """All sources of the file, strongest first, and the conflicts inside them."""
    trees: list[SourceTree] = []
    conflicts: list[Conflict] = []
    closure = wordnet.closure(sorted({c.synset for c in classes if c.synset}))
    parents: dict[str, str] | None = None
    if spec.sources and any(c.path for c in classes) and not any(isinstance(source, Groups) for source in spec.sources):
        tree = _path_tree(classes)
        trees.append(SourceTree("groups", contract(tree), tree))
        if all(c.path for c in classes):
            return trees, conflicts
    for i, source in enumerate(spec.sources):
        key = ("sources", i)
        if isinstance(source, Groups):
            tree, inner = groups_tree(source.groups, (*key, "groups"), document, classes, wordnet, report)
            trees.append(SourceTree("groups", contract(tree), tree))
            conflicts += inner
            continue
        if parents is None:
            parents, ambiguous = choose_parents(closure, classes, spec.hypernyms, document, wordnet)
            conflicts += ambiguous
        if isinstance(source, SuperclassFiles):
            with named_at(document.place(key)):
                folder = document.path.parent / user_path(source.superclass_files)
                table = read_superclass_files(folder, wordnet)
            trees.append(SourceTree("superclass-files", _superclass_tree(table, classes, parents, wordnet)))
        elif source == "imagenet-superclass":
            trees.append(
                SourceTree(source, _superclass_tree(_rederived(classes, parents, wordnet), classes, parents, wordnet))
            )
        else:
            trees.append(SourceTree("wordnet", _wordnet_tree(classes, parents, wordnet)))
    return trees, conflicts


def _path_tree(classes: tuple[ClassEntry, ...]) -> Tree:
    """The groups that the classes' names say."""
    tree = new_tree({class_key(c.id): i for i, c in enumerate(classes)})
    for entry in classes:
        above = ROOT
        for depth, name in enumerate(entry.path, 1):
            key = f"group:{' / '.join(entry.path[:depth])}"
            if key not in tree:
                tree.add_node(key, info=Node("group", name, name))
                tree.add_edge(above, key, why=Provenance("names", entry.place))
            above = key
        if entry.path:
            tree.add_node(class_key(entry.id), info=Node("class", entry.id, entry.name, entry.synset))
            tree.add_edge(above, class_key(entry.id), why=Provenance("names", entry.place))
    return tree


def _rederived(
    classes: tuple[ClassEntry, ...], parents: dict[str, str], wordnet: WordNet
) -> dict[str, tuple[str, str]]:
    """class synset → (superclass, place): imagenet-superclass' own for ImageNet-1k's classes, else the hypernym that
    counts in the whole file."""
    recorded = set(class_list("imagenet1k"))
    table = {}
    for entry in classes:
        if entry.synset is not None:
            higher = superclass_of(wordnet, entry.synset) if entry.synset in recorded else parents.get(entry.synset)
            above = higher if entry.exact else entry.synset
            if above is not None:
                table[entry.synset] = (above, wordnet.synset_name(above))
    return table


def _superclass_tree(
    table: Mapping[str, tuple[str, str]], classes: tuple[ClassEntry, ...], parents: dict[str, str], wordnet: WordNet
) -> Tree:
    """Classes under their superclasses; a superclass below another one (finch, bird) is its child, not its twin."""
    name = "imagenet-superclass"
    tree = new_tree({class_key(c.id): i for i, c in enumerate(classes)})
    above_class = {c.synset: table[c.synset] for c in classes if c.synset is not None and c.synset in table}
    groups = {group for group, _ in above_class.values()}
    for group in sorted(groups):
        tree.add_node(group, info=_group_node(group, wordnet))
    for group in sorted(groups):
        higher = _climb(parents.get(group), groups, parents)
        place = f"{wordnet.synset_name(group)} in WordNet"
        tree.add_edge(higher or ROOT, group, why=Provenance(name, place))
    for entry in classes:
        if entry.synset in above_class:
            group, place = above_class[entry.synset]
            tree.add_node(class_key(entry.id), info=Node("class", entry.id, entry.name, entry.synset))
            tree.add_edge(group, class_key(entry.id), why=Provenance(name, place))
    return contract(tree)


def _wordnet_tree(classes: tuple[ClassEntry, ...], parents: dict[str, str], wordnet: WordNet) -> Tree:
    """The chosen hypernyms, from the classes up to the root; a class below another class becomes its sibling."""
    tree = new_tree({class_key(c.id): i for i, c in enumerate(classes)})
    for entry in classes:
        synset = entry.synset
        if synset is None:
            continue
        tree.add_node(class_key(entry.id), info=Node("class", entry.id, entry.name, synset))
        child, current = class_key(entry.id), synset
        while current not in tree:
            tree.add_node(current, info=_group_node(current, wordnet))
            tree.add_edge(current, child, why=Provenance("wordnet", wordnet.synset_name(current)))
            if current not in parents:
                tree.add_edge(ROOT, current, why=Provenance("wordnet", wordnet.synset_name(current)))
                break
            child, current = current, parents[current]
        else:
            tree.add_edge(current, child, why=Provenance("wordnet", wordnet.synset_name(current)))
    return contract(tree)


def _climb(start: str | None, targets: set[str], parents: dict[str, str]) -> str | None:
    while start is not None and start not in targets:
        start = parents.get(start)
    return start


def _group_node(synset: str, wordnet: WordNet) -> Node:
    return Node("group", synset, wordnet.lemmas(synset)[0], synset)


def superclasses(wordnet: WordNet) -> dict[str, str]:
    """Class → superclass for the 1000 classes of ImageNet-1k, equal to the real files.

    Raises TaxonomyError where this WordNet lacks a class, as any other than 3.0 does.
    """
    return {wnid: parent for wnid in class_list("imagenet1k") if (parent := superclass_of(wordnet, wnid))}


def superclass_of(wordnet: WordNet, wnid: str) -> str | None:
    """The direct hypernym that counts as the superclass of any noun synset; None for the root.

    Of several hypernyms it is the recorded one for ImageNet-1k's 38 such classes
    (`hiergen/assets/superclass_ties.txt`), else the last on the synset's line, as the original keeps the last
    parent it meets. Raises TaxonomyError for an unknown wnid.
    """
    parents = wordnet.hypernyms(wnid)
    if not parents:
        return None
    recorded = ties().get(wnid)
    return recorded if recorded in parents else parents[-1]


@functools.cache
def ties() -> dict[str, str]:
    """The recorded decisions, class → superclass; not to be changed."""
    text = resources.files("hiergen.assets").joinpath("superclass_ties.txt").read_text(encoding="ascii")
    rows = (line.partition("#")[0].split() for line in text.splitlines())
    return {row[0]: row[1] for row in rows if row}


def read_superclass_files(folder: str | os.PathLike[str], wordnet: WordNet) -> dict[str, tuple[str, str]]:
    """A copy of the two files: class → (superclass, "superclass_names.txt:LINE").

    Line i of both belongs to class i of ImageNet-1k in wnid order. The name, the lemmas joined by ", ", must
    be that of a direct hypernym; two classes have one number exactly if they have one superclass. Raises
    TaxonomyError for the first line where this is not so, and for files that are missing, not UTF-8 or not of
    1000 lines.
    """
    classes = class_list("imagenet1k")
    numbers = _lines(Path(folder) / NUMBERS, len(classes))
    names = _lines(Path(folder) / NAMES, len(classes))
    superclasses = {}
    synset_of: dict[int, tuple[str, int]] = {}
    number_of: dict[str, tuple[int, int]] = {}
    for line, (wnid, number, name) in enumerate(zip(classes, numbers, names, strict=True), 1):
        place = f"{Path(folder) / NUMBERS}:{line}"
        parent = _parent_named(name, wnid, wordnet, f"{Path(folder) / NAMES}:{line}")
        value = _number(number, place)
        synset, first = synset_of.setdefault(value, (parent, line))
        if synset != parent:
            pair = f"{quoted(names[first - 1])} in line {first} and {quoted(name)} here"
            raise _disagreement("one number for two superclasses", place, f"{value} for {pair}")
        value_of_first, first = number_of.setdefault(parent, (value, line))
        if value_of_first != value:
            pair = f"{value_of_first} in line {first} and {value} here"
            raise _disagreement("two numbers for one superclass", place, f"for {quoted(name)} {pair}")
        superclasses[wnid] = (parent, f"{NAMES}:{line}")
    return superclasses


def _disagreement(problem: str, place: str, got: str) -> TaxonomyError:
    return TaxonomyError(problem, place=place, got=got, hint=f"{NUMBERS} and {NAMES} must be of one version")


def _lines(file: Path, count: int) -> list[str]:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end
            raise ValueError("not a regular file")
        if status.st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        lines = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TaxonomyError("not UTF-8", place=f"{file}:{line}", hint="save it as UTF-8") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TaxonomyError(f"cannot read ({reason})", place=quoted(file)[1:-1], hint=_HINT) from error
    if len(lines) != count:
        raise TaxonomyError(
            "wrong number of lines",
            place=str(file),
            expected=f"{count}, one per class of ImageNet-1k in wnid order",
            got=str(len(lines)),
        )
    return lines


def _parent_named(name: str, wnid: str, wordnet: WordNet, place: str) -> str:
    # no class of ImageNet-1k has two hypernyms of the same lemmas
    parents = {", ".join(wordnet.lemmas(parent)): parent for parent in wordnet.hypernyms(wnid)}
    if name.strip() not in parents:
        raise TaxonomyError(
            f"no direct hypernym of {wnid} ({wordnet.synset_name(wnid)}) has this name",
            place=place,
            expected=" or ".join(quoted(parent) for parent in parents),
            got=quoted(name),
        )
    return parents[name.strip()]


def _number(text: str, place: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 10):
        raise TaxonomyError("not a superclass number", place=place, expected="digits", got=quoted(text))
    return int(text)
