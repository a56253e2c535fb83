"""Each source as a tree over the classes it knows, strongest first, ready to be merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hiergen.errors import HiergenError, named_at
from hiergen.files import user_path
from hiergen.taxonomy import superclass
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.conflicts import Conflict
from hiergen.taxonomy.groups import groups_tree
from hiergen.taxonomy.hypernyms import choose_parents
from hiergen.taxonomy.spec import Groups, Spec, SuperclassFiles, WordNetCopy
from hiergen.taxonomy.tree import ROOT, Node, Provenance, Tree, class_key, contract, new_tree
from hiergen.taxonomy.wordnet import WordNet, default
from hiergen.taxonomy.yamlfile import Document


@dataclass(frozen=True)
class SourceTree:
    """`tree`: root → groups → classes, contracted. Classes the source does not know are absent."""

    name: str
    tree: Tree


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
    found: list[SourceTree] = []
    conflicts: list[Conflict] = []
    closure = wordnet.closure(sorted({c.synset for c in classes if c.synset}))
    parents: dict[str, str] | None = None
    for i, source in enumerate(spec.sources):
        key = ("sources", i)
        if isinstance(source, Groups):
            tree, inner = groups_tree(source.groups, (*key, "groups"), document, classes, wordnet, report)
            found.append(SourceTree("groups", tree))
            conflicts += inner
            continue
        if parents is None:
            parents, ambiguous = choose_parents(closure, classes, spec.hypernyms, document, wordnet)
            conflicts += ambiguous
        if isinstance(source, SuperclassFiles):
            with named_at(document.place(key)):
                folder = document.path.parent / user_path(source.superclass_files)
                table = superclass.read_superclass_files(folder, wordnet)
            found.append(SourceTree("superclass-files", _superclass_tree(table, classes, parents, wordnet)))
        elif source == "imagenet-superclass":
            found.append(SourceTree(source, _superclass_tree(_rederived(classes, wordnet), classes, parents, wordnet)))
        else:
            found.append(SourceTree("wordnet", _wordnet_tree(classes, parents, wordnet)))
    return found, conflicts


def _rederived(classes: tuple[ClassEntry, ...], wordnet: WordNet) -> dict[str, tuple[str, str]]:
    """class synset → (superclass, place), as imagenet-superclass has it or its rule would have it."""
    table = {}
    for entry in classes:
        if entry.synset is not None:
            above = superclass.superclass_of(wordnet, entry.synset) if entry.exact else entry.synset
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
