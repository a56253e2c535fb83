"""A word, such as a sound's label, → the classes it speaks of, through WordNet's nouns: meow → cats.

Each sense of the word is a reading, and each reading has evidence:

- *name*: the sense, or the user's own class or group of that name, has classes at or below it;
- *gloss*: nouns of its gloss that have classes; "the sound made by a cat" says most, a comparison or a detail less;
- *kin*: the source in the gloss has no class, but the synset right above it has (cow → cattle → ox);
- *part*: the sense, or a kind of it, is part of something with classes;
- *said of*: the word stands in the glosses of classes, or of what is above them.

A reading's score is that of its best evidence: weight of the kind × how special the synset is (Seco's intrinsic
information content: 1 - log(1 + synsets below) / log(all synsets)) × `_STEP` for each more frequent sense passed over,
of the word as of the noun in the gloss. Its classes are those of all evidence of that kind. Senses that can be heard
come first by weight: a bark is a dog's before it is a tree's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hiergen.errors import TaxonomyError, nearest, quoted
from hiergen.lookup.gloss import Role, mentions, says, stems
from hiergen.lookup.vocabulary import Classes, Vocabulary, vocabulary
from hiergen.taxonomy.naming import slug
from hiergen.taxonomy.synsets import Coverage
from hiergen.taxonomy.wordnet.nouns import WordNet

# all that is heard lies below: what a thing sounds like, the sensation, the event (noises, animals' cries), the shout
_SOUNDS = frozenset({"n04981139", "n05718254", "n07371293", "n07120524"})  # sound.n.01, .02, .04, cry.n.01
_NOUNS = 82_115
_SPECIAL = 0.3  # least information content; "animal" has 0.27
_NEAR = 0.6  # least information content of what stands in for a source without classes: 92 synsets
_STEP = 0.9
_ROLES: dict[Role, float] = {"source": 1.0, "likeness": 0.6, "genus": 0.2, "detail": 0.2}
_OWN_NAME, _NAME, _PART, _SAID, _KIN, _UNHEARD = 0.75, 0.6, 0.3, 0.3, 0.5, 0.3
_LEAST = 0.15  # weaker readings are left out
_LINES = 8


@dataclass(frozen=True)
class Reading:
    """One way to understand the word: the ids of its classes in their order, a score in 0 … 1, and why.

    `sense` is the synset's name ("meow.n.01"), or None where no sense of the word is involved.
    """

    sense: str | None
    gloss: str
    classes: tuple[str, ...]
    score: float
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Cue:
    """What a word points at: classes, score and evidence of the chosen readings; `readings` are all, best first."""

    word: str
    classes: tuple[str, ...]
    score: float
    evidence: tuple[str, ...]
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class _Evidence:
    kind: str
    weight: float
    classes: tuple[int, ...]
    text: str


def cue(word: str, classes: Classes = "imagenet1k", *, sense: str | None = None, every: bool = False) -> Cue:
    """The classes that a word is about, of a taxonomy, a generated network, a list of ids or a built-in list.

    The best reading decides; `sense` ("bark.n.04") takes another, `every` all of them together. Raises TaxonomyError
    for a word that WordNet has not, and where no class is found.

    >>> cue("oink", ["n02395406", "n02123045"]).classes  # hog, tabby
    ('n02395406',)
    """
    terms = vocabulary(classes)
    text = " ".join(word.replace("_", " ").lower().split())
    if not text:
        raise TaxonomyError("a cue needs a word", got=quoted(word))
    reader = _Reader(terms, text)
    readings = tuple(sorted(reader.readings(), key=lambda r: -r.score))
    chosen = _chosen(reader, readings, sense) if sense else readings if every else readings[:1]
    if not chosen:
        reader.refuse()
    class_ids = {class_id for reading in chosen for class_id in reading.classes}
    evidence = tuple(line for reading in chosen for line in reading.evidence)
    ordered = tuple(class_id for class_id in terms.ids if class_id in class_ids)
    return Cue(word, ordered, max(r.score for r in chosen), evidence, readings)


def _chosen(reader: _Reader, readings: tuple[Reading, ...], sense: str) -> tuple[Reading, ...]:
    wnid = reader.wordnet.resolve(sense.lower())
    names = [reader.wordnet.synset_name(s) for s in reader.senses]
    if wnid not in reader.senses:
        raise TaxonomyError(
            f"{quoted(reader.word)} has no sense {quoted(sense)}",
            expected=f"one of {', '.join(names[:12])}" if names else None,
        )
    name = reader.wordnet.synset_name(wnid)
    chosen = tuple(reading for reading in readings if reading.sense == name)
    if not chosen:
        others = ", ".join(reading.sense for reading in readings if reading.sense)
        raise TaxonomyError(
            f"{name} leads to no class of this taxonomy ({reader.wordnet.gloss(wnid)})",
            hint=f"these do: {others}" if others else None,
        )
    return chosen


class _Reader:
    """One word, read against one vocabulary."""

    def __init__(self, terms: Vocabulary, word: str) -> None:
        self.terms, self.word, self.wordnet = terms, word, terms.wordnet
        self.coverage = _coverage(terms.synsets, terms.wordnet)
        self.senses = self.wordnet.senses(word)
        if not self.senses:
            # the head word first: "dog bark" is a bark
            words = [part for part in reversed(word.split()) if len(part) > 1]
            self.senses = tuple(dict.fromkeys(s for part in words for s in self._senses_of_word(part)))

    def readings(self) -> Iterator[Reading]:
        by_name = self._own_name()
        parts: list[tuple[str | None, list[_Evidence]]] = [
            (None, [by_name] if by_name else []),
            (None, list(self._said_of())),
        ]
        for rank, wnid in enumerate(self.senses):
            parts.append((wnid, [replace(e, weight=e.weight * _STEP**rank) for e in self._of_sense(wnid)]))
        for sense, evidence in parts:
            if evidence and max(e.weight for e in evidence) >= _LEAST:
                yield self._reading(sense, evidence)

    def refuse(self) -> None:
        """Raise for a word without classes."""
        if self.senses:
            first = min(self.senses, key=lambda wnid: not _is_sound(wnid, self.wordnet))
            meaning = f"{self._name(first)}: {self.wordnet.gloss(first)}"
            others = f"; nor do its {len(self.senses) - 1} other senses" if len(self.senses) > 2 else ""
            raise TaxonomyError(f"{quoted(self.word)} leads to no class of this taxonomy ({meaning}{others})")
        names = {slug(name).replace("_", " "): name for name in self.terms.names}
        close = [names[key] for key in nearest(self.word, names)]
        close += [name for name in self.wordnet.nearest_names(self.word[:100]) if name not in close]
        raise TaxonomyError(f"no noun {quoted(self.word)} in WordNet 3.0, nor among the classes", nearest=close[:3])

    # evidence

    def _senses_of_word(self, word: str) -> tuple[str, ...]:
        """Of the word as it is, else of what it is the gerund of: barking → bark."""
        return next((s for form in (word, *stems(word)) if (s := self.wordnet.senses(form))), ())

    def _of_sense(self, wnid: str) -> Iterator[_Evidence]:
        if below := self.coverage.below(wnid):
            yield self._evidence("name", _NAME, wnid, below, f"{self._name(wnid)} itself")
        yield from self._of_gloss(wnid)
        yield from self._parts(wnid)

    def _of_gloss(self, wnid: str) -> Iterator[_Evidence]:
        heard = _is_sound(wnid, self.wordnet)
        for mention in mentions(self.wordnet.gloss(wnid), self.wordnet, lambda s: _is_sound(s, self.wordnet)):
            weight = _ROLES[mention.role] * (1.0 if heard else _UNHEARD)
            ranked = list(enumerate(s for s in mention.senses if s != wnid))
            for rank, target in ranked:
                if below := self.coverage.below(target):
                    yield self._evidence(mention.role, weight * _STEP**rank, target, below, self._name(target))
                    break
            else:
                if heard and mention.role == "source":
                    yield from self._kin(mention.senses[0], weight)

    def _kin(self, target: str, weight: float) -> Iterator[_Evidence]:
        for above in self.wordnet.hypernyms(target):
            below = self.coverage.below(above)
            # cattle is near enough to a cow; that dogs and cats are domestic animals makes no bark of a cat
            if below and _special(above, self.wordnet) >= _NEAR:
                text = f"{self._name(target)} → {self._name(above)}"
                yield self._evidence("kin", weight * _KIN, above, below, text)

    def _parts(self, wnid: str) -> Iterator[_Evidence]:
        kinds = [wnid, *sorted(self.wordnet.descendants(wnid))[:200]]
        for kind in kinds:
            for whole in self.wordnet.synset(kind).part_holonyms():
                target = f"n{whole.offset():08d}"
                if below := self.coverage.below(target):
                    text = f"{self._name(kind)}, part of {self._name(target)}"
                    yield self._evidence("part", _PART, target, below, text)

    def _said_of(self) -> Iterator[_Evidence]:
        for wnid, gloss in _glosses(self.coverage, self.wordnet):
            if wnid not in self.senses and says(gloss, self.word):
                text = f"{self._name(wnid)}: {gloss}"
                yield self._evidence("said of", _SAID, wnid, self.coverage.below(wnid), text)

    def _own_name(self) -> _Evidence | None:
        key = slug(self.word)
        classes = tuple(i for i, name in enumerate(self.terms.names) if key in (slug(name), slug(self.terms.ids[i])))
        if classes:
            return _Evidence("own", _OWN_NAME, classes, f"class {quoted(self.terms.names[classes[0]])}")
        name, classes = self.terms.groups.get(key, ("", ()))
        return _Evidence("own", _OWN_NAME, classes, f"group {quoted(name)}") if classes else None

    # inner

    def _evidence(self, kind: str, weight: float, wnid: str, below: tuple[int, ...], text: str) -> _Evidence:
        return _Evidence(kind, weight * _special(wnid, self.wordnet), below, text)

    def _reading(self, wnid: str | None, evidence: list[_Evidence]) -> Reading:
        best = max(evidence, key=lambda e: e.weight)
        kept = [e for e in evidence if e.kind == best.kind and e.weight > 0]
        indices = sorted({i for e in kept for i in e.classes})
        gloss = self.wordnet.gloss(wnid) if wnid else ""
        start = f"{self._name(wnid)}: {gloss}" if wnid else quoted(self.word)
        lines = [f"{start} → {e.text} → {self._shown(e.classes)}" for e in kept[:_LINES]]
        lines += [f"{start} → {len(kept) - _LINES} more of this kind"] if len(kept) > _LINES else []
        ids = tuple(self.terms.ids[i] for i in indices)
        return Reading(self._name(wnid) if wnid else None, gloss, ids, round(best.weight, 3), tuple(lines))

    def _name(self, wnid: str) -> str:
        return self.wordnet.synset_name(wnid)

    def _shown(self, classes: tuple[int, ...]) -> str:
        names = ", ".join(self.terms.names[i] for i in classes[:5])
        more = f", … {len(classes) - 5} more" if len(classes) > 5 else ""
        return f"{len(classes)} class{'es' * (len(classes) != 1)}: {names}{more}"


@functools.lru_cache(maxsize=8)
def _coverage(synsets: tuple[str | None, ...], wordnet: WordNet) -> Coverage:
    return Coverage(synsets, wordnet)


@functools.lru_cache(maxsize=8)
def _glosses(coverage: Coverage, wordnet: WordNet) -> tuple[tuple[str, str], ...]:
    special = (wnid for wnid in coverage.synsets() if _special(wnid, wordnet) > 0)
    return tuple((wnid, wordnet.gloss(wnid)) for wnid in special)


@functools.lru_cache(maxsize=4096)
def _is_sound(wnid: str, wordnet: WordNet) -> bool:
    return not _SOUNDS.isdisjoint(wordnet.closure([wnid]))


@functools.lru_cache(maxsize=8192)
def _special(wnid: str, wordnet: WordNet) -> float:
    """Information content, or 0 for a synset so general that it says nothing."""
    most = _NOUNS ** (1 - _SPECIAL)
    special, todo = {wnid}, [wnid]
    while todo and len(special) <= most:
        fresh = set(wordnet.hyponyms(todo.pop())) - special
        special |= fresh
        todo.extend(fresh)
    return 1 - math.log(len(special)) / math.log(_NOUNS) if len(special) <= most else 0.0
