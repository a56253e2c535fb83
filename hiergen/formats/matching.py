"""Which node of a file is which class: by id, by name, by what WordNet says of both."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hiergen.assets import CLASS_LISTS
from hiergen.errors import SpecError, TaxonomyError, listed, nearest, quoted
from hiergen.files import user_path
from hiergen.formats.tree import Tree, leaves, text, title
from hiergen.taxonomy.classes import ClassEntry, read_classes
from hiergen.taxonomy.load import fail
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.spec import Spec
from hiergen.taxonomy.synsets import is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet.nouns import WordNet, default
from hiergen.taxonomy.yamlfile import Document, Key

Index = dict[str, list[str]]


def own_classes(graph: Tree, wordnet: WordNet) -> dict[str, str]:
    """Each leaf → the id of the class that it becomes: its own, or its name where the id was made up or is a wnid that
    WordNet 3.0 has not.

    Raises TaxonomyError for a leaf that has neither, for one whose text cannot be an id, and for two of one id below
    the same groups.
    """
    homes: dict[str, str] = {}
    for key in leaves(graph):
        given_id, name, place = (text(graph, key, attribute) for attribute in ("id", "name", "place"))
        if graph.nodes[key].get("made_up"):
            given_id = name if name and name != "(generated)" else given_id
        elif is_wnid(given_id) and wordnet.resolve(given_id) is None:
            if not name:
                raise TaxonomyError(
                    f"no wnid {quoted(given_id)} in WordNet 3.0", place=place, hint="give the node a label"
                )
            given_id = name
        if problem := bad_label(given_id):
            raise TaxonomyError(f"leaf {quoted(given_id)} is {problem}", place=place, expected="printable text")
        homes[key] = given_id
    return _qualified(graph, homes)


def _qualified(graph: Tree, homes: dict[str, str]) -> dict[str, str]:
    """Leaves of one name get those of their groups in brackets, as many as tell them apart."""
    done, above = dict(homes), dict.fromkeys(homes, "")
    higher = {key: next(iter(graph.pred[key]), None) for key in homes}
    while clash := [keys for keys in _alike(done).values() if len(keys) > 1]:
        for keys in clash:
            if len({homes[key] for key in keys}) > 1 and not any(higher[key] for key in keys):
                return done  # which is an error of their identifiers
            for key in keys:
                group = higher[key]
                if group is None:
                    other = text(graph, keys[0], "place")
                    raise TaxonomyError(
                        f"leaf {quoted(homes[key])} stands twice",
                        place=text(graph, keys[-1], "place"),
                        hint=f"the first stands at {other}; rename one",
                    )
                above[key] = ", ".join(
                    filter(None, (above[key], text(graph, group, "id") or text(graph, group, "name")))
                )
                higher[key] = next(iter(graph.pred[group]), None)
                done[key] = f"{homes[key]} ({above[key]})" if above[key] else homes[key]
    if several := [key for key in homes if done[key] != homes[key]]:
        graph.graph["notes"].append(f"leaves of one name get their groups': {listed(done[key] for key in several)}")
    return done


def _alike(homes: dict[str, str]) -> dict[str, list[str]]:
    alike: dict[str, list[str]] = {}
    for key, class_id in homes.items():
        alike.setdefault(slug(class_id), []).append(key)
    return alike


def match(
    graph: Tree, classes: Sequence[ClassEntry], *, drop_missing: bool = False
) -> tuple[dict[str, int], tuple[ClassEntry, ...]]:
    """Node → index of the class that it is, and the classes, with `drop_missing` without those that are no node. A
    class's id, synset and name are looked for, in this order, among the
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
    if missing and drop_missing and homes:
        graph.graph["notes"].append(f"left out, as the tree lacks them: {listed(entry.id for entry in missing)}")
        kept = tuple(entry for entry in classes if entry not in missing)
        return {key: kept.index(classes[i]) for key, i in homes.items()}, kept
    if missing:
        all_names = [*ids, *names]
        many = f"classes {listed(entry.id for entry in missing)} are" if len(missing) > 1 else "class "
        raise TaxonomyError(
            f"{many if len(missing) > 1 else many + quoted(missing[0].id) + ' is'} not in {graph.graph['path']}",
            place=missing[0].place,
            nearest=nearest(missing[0].id, all_names) or nearest(missing[0].name, all_names),
            hint="--drop-missing leaves them out",
        )
    return homes, tuple(classes)


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


@dataclass(frozen=True)
class Leaves:
    """The classes that a file's leaves are: `which` leaf has which index, `classes` as a taxonomy file with these ids
    has them, and what stands in its `synsets:` and `kind-of:`, so that what an exported tree says is not guessed."""

    which: dict[str, int]
    classes: tuple[ClassEntry, ...]
    synsets: dict[str, str]
    kind_of: dict[str, str]


def own_leaves(graph: Tree) -> Leaves:
    """Raises TaxonomyError for fewer than two leaves, and as `own_classes` does."""
    ids = own_classes(graph, default())
    if len(ids) < 2:
        raise TaxonomyError(
            "a taxonomy needs at least two classes", place=graph.graph["path"], got="1 leaf" if ids else "none"
        )
    document = _Leaves(Path(graph.graph["path"]), [text(graph, key, "place") for key in ids])
    synsets: dict[str, str] = {}
    kind_of: dict[str, str] = {}
    for key, given_id in ids.items():
        stated = text(graph, key, "synset")
        wnid = default().resolve(stated.lstrip(">"))
        if wnid and wnid != default().resolve(given_id):
            (kind_of if stated.startswith(">") else synsets)[given_id] = wnid
    data = {"name": "imported", "classes": list(ids.values()), "synsets": synsets, "kind-of": kind_of}
    spec = Spec.model_validate(data)
    entries = read_classes(spec, document, default(), fail, guess=False)
    return Leaves({key: i for i, key in enumerate(ids)}, entries, synsets, kind_of)
