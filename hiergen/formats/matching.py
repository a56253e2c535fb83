"""Which node of a file is which class: by id, by name, by what WordNet says of both."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hiergen.assets import CLASS_LISTS
from hiergen.errors import SpecError, TaxonomyError, listed, nearest, quoted
from hiergen.files import user_path
from hiergen.formats.tree import Tree, leaves, text, title
from hiergen.taxonomy.classes import ClassEntry, read_classes
from hiergen.taxonomy.load import fail
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.spec import Spec
from hiergen.taxonomy.synsets import class_synset, is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet.nouns import WordNet, default
from hiergen.taxonomy.yamlfile import Document, Key

Index = dict[str, list[str]]


def own_classes(graph: Tree, wordnet: WordNet) -> dict[str, str]:
    """Each leaf → the id of the class that it becomes: its own, or its name where the id was made up or is a wnid that
    WordNet 3.0 has not.

    Raises TaxonomyError for a leaf that has neither, for one whose text cannot be an id, and for two of one id.
    """
    homes: dict[str, str] = {}
    first: dict[str, str] = {}
    for key in leaves(graph):
        given_id, name, place = (text(graph, key, attribute) for attribute in ("id", "name", "place"))
        if graph.nodes[key].get("made_up"):
            given_id = name or given_id
        elif is_wnid(given_id) and wordnet.resolve(given_id) is None:
            if not name:
                raise TaxonomyError(
                    f"no wnid {quoted(given_id)} in WordNet 3.0", place=place, hint="give the node a label"
                )
            given_id = name
        if problem := bad_label(given_id):
            raise TaxonomyError(f"leaf {quoted(given_id)} is {problem}", place=place, expected="printable text")
        if given_id in first:
            other = text(graph, first[given_id], "place")
            raise TaxonomyError(
                f"leaf {quoted(given_id)} stands twice", place=place, hint=f"the first stands at {other}; rename one"
            )
        first[given_id] = key
        homes[key] = given_id
    return homes


def match(graph: Tree, classes: Sequence[ClassEntry]) -> dict[str, int]:
    """Node → index of the class that it is. A class's id, synset and name are looked for, in this order, among the
    nodes' ids and names; then both without case, blanks and punctuation; last the synset guessed from a plain name.

    Raises TaxonomyError for classes that are no node, or several, and for two classes of one node.
    """
    ids, names, slugs = _indices(graph)
    homes: dict[str, int] = {}
    missing: list[ClassEntry] = []
    for i, entry in enumerate(classes):
        has_synset = is_wnid(entry.id) or looks_like_synset(entry.id)
        wnid = [entry.synset] if entry.synset and entry.exact else []
        steps: list[tuple[Index, list[str]]] = [(ids, [entry.id]), (ids, wnid if has_synset else [])]
        steps += [(names, [entry.id]), (ids, [entry.name]), (names, [entry.name])]
        steps += [(slugs, [slug(entry.id)]), (slugs, [slug(entry.name)]), (ids, wnid)]
        nodes = next((hit for index, words in steps for word in words if (hit := index.get(word))), [])
        if not nodes:
            missing.append(entry)
            continue
        key = _one(graph, entry, nodes)
        if key in homes:
            both = listed([classes[homes[key]].id, entry.id])
            raise TaxonomyError(f"classes {both} are the same node {quoted(title(graph, key))}", place=entry.place)
        homes[key] = i
    if missing:
        all_names = [*ids, *names]
        many = f"classes {listed(entry.id for entry in missing)} are" if len(missing) > 1 else "class "
        raise TaxonomyError(
            f"{many if len(missing) > 1 else many + quoted(missing[0].id) + ' is'} not in {graph.graph['path']}",
            place=missing[0].place,
            nearest=nearest(missing[0].id, all_names) or nearest(missing[0].name, all_names),
        )
    return homes


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
        given_id, name = text(graph, key, "id"), text(graph, key, "name")
        for index, word in ((ids, given_id), (names, name)):
            if word:
                index.setdefault(word, []).append(key)
        for word in dict.fromkeys(filter(None, (slug(given_id), slug(name)))):
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


Value = str | list[str] | dict[str, str]


def read_given(value: Value) -> tuple[ClassEntry, ...]:
    """The classes that `--classes` means. Raises HiergenError as `read_classes` does, placed there."""
    spec = Spec.model_validate({"name": "imported", "classes": value})
    return read_classes(spec, _Option(Path("-"), None, {}), default(), fail)


def classes_value(option: str) -> Value:
    """What the text of `--classes` means as a taxonomy file's `classes:`."""
    if option in CLASS_LISTS:
        return option
    if not option.strip():
        raise SpecError("no classes named", place="--classes", expected="a list, a file, an image folder or names")
    path = user_path(option)
    try:
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a list of names may be too long for a path
        there = folder = False
        if "," not in option:
            raise SpecError(f"no class list {quoted(option)}", place="--classes") from None
    if folder:
        return {"imagefolder": str(path)}
    if "," in option and not there:
        return [name for part in option.split(",") if (name := part.strip())]
    return option


class _Option(Document):
    """Stands for a file's document where the classes come from the command line: they are relative to this folder."""

    def place(self, key: Key) -> str:
        return "--classes"


def moved(value: Value, target: Path) -> str | dict[str, str] | None:
    """The same from where the new file lies; None for a list, which is written out."""
    if isinstance(value, list):
        return None
    if isinstance(value, dict):
        return {key: _relative(folder, target) for key, folder in value.items()}
    return value if value in CLASS_LISTS else _relative(value, target)


def _relative(path: str, target: Path) -> str:
    full = user_path(path)
    if full.is_absolute():
        return str(full)
    seen = Path(os.path.relpath(full.resolve(), target.parent.resolve())).as_posix()
    return seen if "/" in seen or "." in seen else f"./{seen}"


class _Leaves(Document):
    """As above where the classes are a file's leaves."""

    def __init__(self, path: Path, places: Sequence[str]) -> None:
        super().__init__(path, None, {})
        self._places = places

    def place(self, key: Key) -> str:
        return self._places[key[1]] if len(key) > 1 and isinstance(key[1], int) else str(self.path)


def own_leaves(graph: Tree) -> tuple[dict[str, int], tuple[ClassEntry, ...], dict[str, str]]:
    """Leaf → class index, the classes as a taxonomy file with these ids has them, and what stands in its `synsets:`:
    what an exported tree says of a class, where the id alone would mean something else."""
    ids = own_classes(graph, default())
    if len(ids) < 2:
        raise TaxonomyError(
            "a taxonomy needs at least two classes", place=graph.graph["path"], got="1 leaf" if ids else "none"
        )
    document = _Leaves(Path(graph.graph["path"]), [text(graph, key, "place") for key in ids])
    stated = {given_id: text(graph, key, "synset") for key, given_id in ids.items()}
    synsets = {
        given_id: wnid
        for given_id, wnid in stated.items()
        if wnid and wnid != _meant(given_id) and default().resolve(wnid)
    }
    spec = Spec(name="imported", classes=list(ids.values()), synsets=synsets)
    return {key: i for i, key in enumerate(ids)}, read_classes(spec, document, default(), fail), synsets


def _meant(class_id: str) -> str | None:
    """The synset of a class of which nothing but the id is known."""
    return class_synset(class_id, class_id, default())[0]
