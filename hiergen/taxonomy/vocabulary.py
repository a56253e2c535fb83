"""The classes and groups that a word may be about, from whatever holds them: a taxonomy, a network, a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from hiergen.data import CLASS_LISTS, class_list
from hiergen.errors import TaxonomyError, nearest, quoted
from hiergen.taxonomy.generated import is_model, read_model
from hiergen.taxonomy.naming import slug
from hiergen.taxonomy.synsets import class_synset
from hiergen.taxonomy.wordnet import WordNet, default

if TYPE_CHECKING:
    from hiergen.taxonomy.load import Taxonomy

Classes: TypeAlias = "Taxonomy | Vocabulary | str | os.PathLike[str] | Mapping[str, Any] | Iterable[str] | object"
_TEXT = f"a taxonomy file, a generated file or model, or one of {', '.join(CLASS_LISTS)}"
_EXPECTED = "a taxonomy, a network, a list of class ids, or text that says where they are"


@dataclass(frozen=True)
class Vocabulary:
    """Ids, display names and synsets of the classes in logit order; `groups` maps a name's slug to (name, indices)."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    synsets: tuple[str | None, ...]
    groups: Mapping[str, tuple[str, tuple[int, ...]]]
    wordnet: WordNet


def is_source(text: str) -> bool:
    """Whether a text says where classes are, rather than being a word."""
    return text in CLASS_LISTS or text.endswith((".yaml", ".yml")) or is_model(text)


def vocabulary(source: Classes, wordnet: WordNet | None = None) -> Vocabulary:
    """The vocabulary of a loaded Taxonomy, of what has `classes` and a nested `taxonomy` (a generated network), of such
    a nested mapping or a flat one (id → name), or of a list of ids.

    A text is a built-in list, a taxonomy file or a generated model, as `read_model` takes it. Raises TaxonomyError for
    anything else, and for no class at all.
    """
    if isinstance(source, Vocabulary):
        return source
    if isinstance(source, str | os.PathLike):
        source = _at(os.fspath(source))
    if hasattr(source, "merged") and hasattr(source, "wordnet"):
        return _of_taxonomy(source)  # type: ignore[arg-type]
    tree, ids = getattr(source, "taxonomy", None), getattr(source, "classes", None)
    if isinstance(tree, Mapping) and isinstance(ids, Sequence) and not isinstance(ids, str):
        return _of_tree(tree, [str(i) for i in ids], wordnet or default())
    if isinstance(source, Mapping):
        return _of_tree(source, None, wordnet or default())
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        _refuse(source)
    listed = list(source)
    if not all(isinstance(item, str) for item in listed):
        _refuse(next(item for item in listed if not isinstance(item, str)))
    return _of_tree(dict.fromkeys(listed), None, wordnet or default())


def _at(text: str) -> object:
    """What a text stands for."""
    if text in CLASS_LISTS:
        return class_list(text)
    if text.endswith((".yaml", ".yml")):
        from hiergen.taxonomy.load import load_taxonomy  # pydantic and all that

        return load_taxonomy(text)
    if not is_model(text):
        raise TaxonomyError(f"no classes at {quoted(text)}", expected=_TEXT, nearest=nearest(text, CLASS_LISTS))
    return read_model(text)


def _of_taxonomy(taxonomy: Taxonomy) -> Vocabulary:
    from hiergen.taxonomy.tree import bottom_up, info

    classes, tree = taxonomy.classes, taxonomy.tree
    order: dict[str, int] = tree.graph["order"]
    below: dict[str, set[int]] = {}
    groups: dict[str, tuple[str, set[int]]] = {}
    for key in bottom_up(tree):
        below[key] = {order[key]} if key in order else set().union(*(below[child] for child in tree.succ[key]))
        if info(tree, key).kind == "group":
            name = info(tree, key).name
            groups.setdefault(slug(name), (name, set()))[1].update(below[key])
    return Vocabulary(
        tuple(c.id for c in classes),
        tuple(c.name for c in classes),
        tuple(c.synset for c in classes),
        {key: (name, tuple(sorted(found))) for key, (name, found) in groups.items() if found},
        taxonomy.wordnet,
    )


def _of_tree(tree: Mapping[str, Any], ids: list[str] | None, wordnet: WordNet) -> Vocabulary:
    """A nested literal. Groups of one name are taken together, wherever they stand."""
    names: dict[str, str | None] = {}
    groups: dict[str, tuple[str, set[str]]] = {}
    stack: list[tuple[tuple[str, ...], str, Any]] = [((), name, below) for name, below in list(tree.items())[::-1]]
    while stack:
        above, name, below = stack.pop()
        if isinstance(below, Mapping):
            stack.extend(((*above, name), child, deeper) for child, deeper in list(below.items())[::-1])
            continue
        names[name] = None if below is None else str(below)
        for group in above:
            groups.setdefault(slug(group), (group, set()))[1].add(name)
    order = [class_id for class_id in ids if class_id in names] if ids is not None else list(names)
    if not order:
        raise TaxonomyError("there is no class to find", expected=_EXPECTED)
    index = {class_id: i for i, class_id in enumerate(order)}
    synsets = tuple(class_synset(c, names[c] or c, wordnet)[0] for c in order)
    shown = (names[c] or (_lemma(c, synset, wordnet)) for c, synset in zip(order, synsets, strict=True))
    found = {key: (name, tuple(sorted(index[c] for c in members))) for key, (name, members) in groups.items()}
    return Vocabulary(tuple(order), tuple(shown), synsets, found, wordnet)


def _lemma(class_id: str, synset: str | None, wordnet: WordNet) -> str:
    return wordnet.lemmas(synset)[0] if synset == class_id else class_id


def _refuse(source: object) -> NoReturn:
    raise TaxonomyError("there are no classes to read", expected=_EXPECTED, got=f"{quoted(type(source).__name__)}")
