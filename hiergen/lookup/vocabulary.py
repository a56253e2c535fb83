"""The classes and groups that a word may be about, from whatever holds them: a taxonomy, a network, a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from hiergen.assets import CLASS_LISTS, class_list
from hiergen.errors import TaxonomyError, nearest, quoted
from hiergen.lookup.reference import names_classes, parse_reference, read_nesting, read_taxonomy
from hiergen.taxonomy.naming import slug
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.synsets import Coverage, guess_senses, id_labels, nesting_synsets
from hiergen.taxonomy.wordnet.nouns import WordNet, default

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
    return text in CLASS_LISTS or names_classes(text)


def vocabulary(source: Classes, wordnet: WordNet | None = None) -> Vocabulary:
    """The vocabulary of a loaded Taxonomy, of a Nesting or what has one (a network), of a nested mapping or a flat one
    (id → name), or of a list of ids.

    A text is a built-in list, a taxonomy file or a generated model, as `read_nesting` takes it. Raises TaxonomyError
    for anything else, and for no class at all.
    """
    if isinstance(source, Vocabulary):
        return source
    if isinstance(source, str | os.PathLike):
        source = _at(os.fspath(source))
    if hasattr(source, "merged") and hasattr(source, "wordnet"):
        return _of_taxonomy(source)  # type: ignore[arg-type]
    if isinstance(nesting := getattr(source, "nesting", source), Nesting):
        return _of_nesting(nesting, wordnet or default())
    if isinstance(source, Mapping):
        return _of_tree(source, wordnet or default())
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        _refuse(source)
    listed = list(source)
    if not all(isinstance(item, str) for item in listed):
        _refuse(next(item for item in listed if not isinstance(item, str)))
    return _of_tree(dict.fromkeys(listed), wordnet or default())


def _at(text: str) -> object:
    """What a text stands for."""
    if text in CLASS_LISTS:
        return class_list(text)
    if (reference := parse_reference(text)).kind == "taxonomy":
        return read_taxonomy(reference.path)
    if not names_classes(text):
        raise TaxonomyError(f"no classes at {quoted(text)}", expected=_TEXT, nearest=nearest(text, CLASS_LISTS))
    return read_nesting(text)


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
        {key: (name, tuple(sorted(inside))) for key, (name, inside) in groups.items() if inside},
        taxonomy.wordnet,
    )


def _of_nesting(nesting: Nesting, wordnet: WordNet) -> Vocabulary:
    """Groups of one name are taken together, wherever they stand."""
    groups: dict[str, tuple[str, set[int]]] = {}
    for level in nesting.levels:
        for group in level.groups:
            groups.setdefault(slug(group.name), (group.name, set()))[1].update(group.classes)
    synsets = tuple(synset for synset, _ in nesting_synsets(nesting, wordnet))
    for name, classes in nesting.groups:
        groups.setdefault(slug(name), (name, set(classes)))
    members = {key: (name, tuple(sorted(inside))) for key, (name, inside) in groups.items()}
    return Vocabulary(nesting.classes, nesting.labels, synsets, members, wordnet)


def _of_tree(tree: Mapping[str, Any], wordnet: WordNet) -> Vocabulary:
    """A nested literal, of any depth. Groups of one name are taken together, wherever they stand."""
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
    order = list(names)
    if not order:
        raise TaxonomyError("there is no class to find", expected=_EXPECTED)
    index = {class_id: i for i, class_id in enumerate(order)}
    senses = guess_senses(id_labels(order, wordnet), [names[c] or c for c in order], wordnet)
    synsets = tuple(sense.synset for sense in senses)
    shown = (names[c] or (_lemma(c, synset, wordnet)) for c, synset in zip(order, synsets, strict=True))
    by_slug = {key: (name, tuple(sorted(index[c] for c in members))) for key, (name, members) in groups.items()}
    return Vocabulary(tuple(order), tuple(shown), synsets, by_slug, wordnet)


def _lemma(class_id: str, synset: str | None, wordnet: WordNet) -> str:
    return wordnet.lemmas(synset)[0] if synset == class_id else class_id


def _refuse(source: object) -> NoReturn:
    raise TaxonomyError("there are no classes to read", expected=_EXPECTED, got=f"{quoted(type(source).__name__)}")


_MOST_WORDS = 6  # in a phrase whose hyphens are guessed


class Lexicon:
    """WordNet over the classes of a nesting.

    >>> lexicon = Lexicon(Nesting.from_tree(["n02123045", "n02110341"], ["n02123045", "n02110341"]))
    >>> [lexicon.below(wnid) for wnid in lexicon.senses("Domestic-Cat")]
    [(0,)]
    """

    def __init__(self, nesting: Nesting, wordnet: WordNet | None = None) -> None:
        self.wordnet = wordnet or default()
        self._synsets = nesting_synsets(nesting, self.wordnet)
        self.below = Coverage([wnid for wnid, _ in self._synsets], self.wordnet).below

    def senses(self, text: str) -> tuple[str, ...]:
        """The synset that a wnid or synset name is, or the senses of a word, most frequent first; () if unknown."""
        exact = self.wordnet.resolve(text.strip().lower())
        if exact is not None:
            return (exact,)
        words = text.replace("_", " ").replace("-", " ").split()
        if not 0 < len(words) <= _MOST_WORDS:
            return self.wordnet.senses(text)
        # WordNet writes "red-backed sandpiper", but "horse cart"
        marks = product(" -", repeat=len(words) - 1)
        spellings = ("".join(map("".join, zip(words, (*mark, ""), strict=True))) for mark in marks)
        return tuple(dict.fromkeys(wnid for spelling in spellings for wnid in self.wordnet.senses(spelling)))

    def is_class(self, index: int, wnid: str) -> bool:
        """Whether the class is this synset, not one below it."""
        return self._synsets[index] == (wnid, True)

    def described(self, wnid: str) -> str:
        """`domestic cat (house cat, Felis domesticus, Felis catus)`."""
        first, *others = self.wordnet.lemmas(wnid)
        return f"{first} ({', '.join(others)})" if others else first

    def nearest(self, text: str) -> list[str]:
        """WordNet's names like a misspelt one, those with a class only."""
        names = self.wordnet.nearest_names(text.strip().lower()[:100], 10)
        return [name for name in names if any(self.below(wnid) for wnid in self.senses(name))]
