"""Which node of a file is which class: by id, by name, by what WordNet says of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hiergen.errors import TaxonomyError, listed, nearest, quoted
from hiergen.formats.tree import Tree, leaves, text, title
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.synsets import is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet import WordNet

Index = dict[str, list[str]]


def own_classes(graph: Tree, wordnet: WordNet) -> dict[str, str]:
    """Each leaf → the id of the class that it becomes: its own, or its name where the id was made up or is a wnid that
    WordNet 3.0 has not.

    Raises TaxonomyError for a leaf that has neither, for one whose text cannot be an id, and for two of one id.
    """
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for key in leaves(graph):
        own, name, place = (text(graph, key, attribute) for attribute in ("id", "name", "place"))
        if graph.nodes[key].get("made_up"):
            own = name or own
        elif is_wnid(own) and wordnet.resolve(own) is None:
            if not name:
                raise TaxonomyError(f"no wnid {quoted(own)} in WordNet 3.0", place=place, hint="give the node a label")
            own = name
        if problem := bad_label(own):
            raise TaxonomyError(f"leaf {quoted(own)} is {problem}", place=place, expected="printable text")
        if own in first:
            other = text(graph, first[own], "place")
            raise TaxonomyError(
                f"leaf {quoted(own)} stands twice", place=place, hint=f"the first stands at {other}; rename one"
            )
        first[own] = key
        found[key] = own
    return found


def match(graph: Tree, classes: Sequence[ClassEntry]) -> dict[str, int]:
    """Node → index of the class that it is. A class's id, synset and name are looked for, in this order, among the
    nodes' ids and names; then both without case, blanks and punctuation; last the synset guessed from a plain name.

    Raises TaxonomyError for classes that are no node, or several, and for two classes of one node.
    """
    ids, names, slugs = _indices(graph)
    found: dict[str, int] = {}
    missing: list[ClassEntry] = []
    for i, entry in enumerate(classes):
        said = is_wnid(entry.id) or looks_like_synset(entry.id)
        wnid = [entry.synset] if entry.synset and entry.exact else []
        steps: list[tuple[Index, list[str]]] = [(ids, [entry.id]), (ids, wnid if said else [])]
        steps += [(names, [entry.id]), (ids, [entry.name]), (names, [entry.name])]
        steps += [(slugs, [slug(entry.id)]), (slugs, [slug(entry.name)]), (ids, wnid)]
        nodes = next((hit for index, words in steps for word in words if (hit := index.get(word))), [])
        if not nodes:
            missing.append(entry)
            continue
        key = _one(graph, entry, nodes)
        if key in found:
            both = listed([classes[found[key]].id, entry.id])
            raise TaxonomyError(f"classes {both} are the same node {quoted(title(graph, key))}", place=entry.place)
        found[key] = i
    if missing:
        known = [*ids, *names]
        many = f"classes {listed(entry.id for entry in missing)} are" if len(missing) > 1 else "class "
        raise TaxonomyError(
            f"{many if len(missing) > 1 else many + quoted(missing[0].id) + ' is'} not in {graph.graph['path']}",
            place=missing[0].place,
            nearest=nearest(missing[0].id, known) or nearest(missing[0].name, known),
        )
    return found


def _one(graph: Tree, entry: ClassEntry, nodes: list[str]) -> str:
    choices: list[Callable[[str], bool]] = [lambda k: text(graph, k, "id") == entry.synset, lambda k: not graph.succ[k]]
    for wanted in choices:
        fitting = [key for key in nodes if wanted(key)]
        nodes = fitting or nodes
    if len(nodes) > 1:
        places = listed(text(graph, key, "place") for key in nodes)
        raise TaxonomyError(
            f"class {quoted(entry.id)} is {len(nodes)} nodes of the tree, at {places}",
            place=entry.place,
            expected="one",
            hint="name it by its id",
        )
    return nodes[0]


def _indices(graph: Tree) -> tuple[Index, Index, Index]:
    ids: Index = {}
    names: Index = {}
    slugs: Index = {}
    for key in graph:
        own, name = text(graph, key, "id"), text(graph, key, "name")
        for index, word in ((ids, own), (names, name)):
            if word:
                index.setdefault(word, []).append(key)
        for word in dict.fromkeys(filter(None, (slug(own), slug(name)))):
            slugs.setdefault(word, []).append(key)
    return ids, names, slugs


def leaves_besides(graph: Tree, classes: dict[str, int]) -> list[str]:
    """Leaves that are no class."""
    return [key for key in leaves(graph) if key not in classes]


def above(graph: Tree, classes: dict[str, int]) -> Tree:
    """The part of a graph at or above the classes."""
    queue = list(classes)
    kept = set(queue)
    for key in queue:
        for higher in graph.pred[key]:
            if higher not in kept:
                kept.add(higher)
                queue.append(higher)
    part: Tree = graph.copy()
    part.remove_nodes_from([key for key in graph if key not in kept])
    return part
