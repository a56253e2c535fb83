"""What a plain name may mean in WordNet, and how likely each is by itself.

A name's candidates are the senses of all its spellings. How likely one is comes from what photographs are labelled
with, and from WordNet's order. What is not in WordNet goes below its head word, "aquarium fish" below fish.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from math import log
from pathlib import Path

from hiergen.taxonomy.wordnet.nouns import WordNet, default

Words = tuple[str, ...]
_Entry = tuple[str, int, bool, str]  # synset, its place among the senses, whether it was counted, the lemma's letters

# log-odds; chosen on lists of names of animals, food, flowers and things (docs/results.md)
_RANK = 1.2  # times the log of a sense's place in WordNet's order
_UNCOUNTED = 1.0  # never met in the texts that WordNet counted
_ANOTHERS_NAME = 2.0  # the synset is better known by another word
_FEW_IMAGES = 2.5  # not in ImageNet-12k, whose classes all have many images
FAR_FETCHED = _FEW_IMAGES  # odds between two senses, from which the second is no choice
_NO_IMAGES = 1.0  # nor in ImageNet-22k
_IN_1K = 1.5  # added
_ABSTRACT = 3.0
_PERSON = 3.0
_PLACE = 3.0
_BODY = 1.0
_MEAT = 1.0  # the flesh, fur or hide of an animal
_INSTANCE = 4.0  # Mumbai
_COMPLETED = 4.0  # Persian, for the Persian cat
_BESIDE_HEAD = 3.0  # a word of a compound that need not be its head
_QUALIFIED = 4.0  # below what the name's group or its bracket says
_NOTHING = -11.0  # the odds of a name that WordNet does not know, though it has the word
_NOTHING_COMPOUND = -4.5
_SLIP = 0.9  # of the letters of a misspelt name are right
_NEAR = 0.8  # of those of another word that may be meant
_MOST_SLIPS = 100  # names that are compared with all of WordNet's

_STATES = re.compile(r"no|non|not|without|healthy|normal|others?|background|unknown|none|misc|miscellaneous|negative")
_OF = re.compile(r"of|in|with|on|for|from|at|de|la|al|du|von")
_ROMAN = re.compile(r"x{0,3}(ix|iv|v?i{0,3})")
_FLESH = re.compile(r"\b(flesh|meat)\b")
_MARKS = str.maketrans("", "", "_-'’`./ ")
_NUMBERED = re.compile(r"^[0-9]+[\s._-]+(?=[^\W\d_])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Label:
    """What is known of a class: what it is called, its synset where that is given, and the groups that it stands in.
    `is_kind`: it is only a kind of what it is called, as others may be. `is_whole`: its head word says nothing."""

    text: str
    synset: str | None = None
    groups: tuple[str, ...] = ()
    is_kind: bool = False
    is_whole: bool = False


@dataclass(frozen=True)
class Candidate:
    """A sense, its log-odds before the company is looked at, and the odds below which the name means nothing."""

    synset: str
    prior: float
    exact: bool
    least: float = _NOTHING
    is_slip: bool = False
    realm: str = ""  # of persons, places and other instances, which are rare among classes
    rarity: float = 0.0  # how much of `prior` is so, which others of that realm give back


class Dictionary:
    """A name's candidates, and how likely each is before the others are looked at."""

    def __init__(self, wordnet: WordNet, imagenet1k: bool) -> None:
        self.wordnet = wordnet
        self.pictures = photographs() if wordnet.version == "3.0" else None
        self._imagenet1k = imagenet1k
        self._entries: dict[Words, list[_Entry]] = {}
        self._searches = 0
        self._above: dict[str, frozenset[str]] = {}
        self._physical = wordnet.resolve("physical_entity.n.01")
        self._genus = wordnet.resolve("taxonomic_group.n.01")
        skins = map(wordnet.resolve, ("animal_skin.n.01", "fur.n.01", "leather.n.01", "hide.n.01"))
        self._skins = frozenset(skin for skin in skins if skin)

    def above(self, synset: str) -> frozenset[str]:
        """The synset and all its ancestors."""
        if synset not in self._above:
            self._above[synset] = frozenset(self.wordnet.closure([synset]))
        return self._above[synset]

    def candidates(self, label: Label) -> list[Candidate]:
        """In no order; each synset once."""
        name, bracket = _without_bracket(label.text)
        parts = [words for part in re.split("[,/]", name) if (words := words_of(part))]
        rows: dict[str, Candidate] = {}
        for words in parts:  # "crane, wading bird": what both mean
            for candidate in self._exact(words):
                if first := rows.get(candidate.synset):
                    candidate = replace(first, prior=first.prior + _QUALIFIED)
                rows[candidate.synset] = candidate
        choices = list(rows.values())
        if not choices and not label.is_whole:
            choices = [c for words in parts[:1] for c in self._compound(words)]
        for group in (*label.groups, *([bracket] * 3 if bracket else [])):  # a bracket is there to tell
            choices = self._favour(choices, group)
        return [replace(c, exact=c.exact and not label.is_kind) for c in choices]

    def _favour(self, choices: list[Candidate], group: str) -> list[Candidate]:
        """What lies below any sense of a group's name is likelier."""
        words = words_of(group)
        senses = {synset for synset, *_ in self._senses(words)} if words else set()
        return [
            c if senses.isdisjoint(self.above(c.synset)) else replace(c, prior=c.prior + _QUALIFIED) for c in choices
        ]

    def _exact(self, words: Words) -> list[Candidate]:
        if len(words) == 1 and len(words[0]) == 1 and words[0].isalpha():
            return []  # folders a, b, c are no vitamins
        rows = [self._no_genus(self._candidate(sense)) for sense in self._senses(words)]
        if all(self._is_proper(c.synset, words) for c in rows):
            longer = [sense for sense in self._completions(words) if all(sense[0] != c.synset for c in rows)]
            # of a word that WordNet has not, as "industrial", only the one thing that it can be
            for sense in longer if rows or len(longer) == 1 else ():
                rows.append(self._candidate(sense, -_COMPLETED, least=_NOTHING_COMPOUND))
        return rows

    def _no_genus(self, candidate: Candidate) -> Candidate:
        """What all species of a genus are: Quercus is said of oaks, not of their genus."""
        genus = self._genus
        if genus is None or genus not in self.above(candidate.synset):
            return candidate
        members = self.wordnet.synset(candidate.synset).member_meronyms()
        kinds = [self.above(f"n{member.offset():08d}") for member in members]
        kinds = [above for above in kinds if genus not in above]
        name = self.wordnet.lemmas(candidate.synset)[0]
        shared = frozenset.intersection(*kinds) if kinds else frozenset()
        shared = frozenset(kind for kind in shared if not self.wordnet.lemmas(kind)[0].startswith(name))  # a species
        if not shared:
            return candidate
        kind = max(shared, key=lambda synset: (self.wordnet.depth(synset), synset))
        return Candidate(kind, max(candidate.prior, -_ANOTHERS_NAME), False, _NOTHING)

    def _compound(self, words: Words) -> list[Candidate]:
        """Below the head word of what WordNet lacks; a "maple tree" may be exactly a "maple", as a maple is a tree."""
        if any(map(_STATES.fullmatch, words)):
            return []
        of = next((i for i, word in enumerate(words) if i and _OF.fullmatch(word)), 0)
        stem = words[:of] or words
        head, senses = self._first(stem[start:] for start in range(0 if of else 1, len(stem)))
        rows = {s[0]: self._candidate(s, exact=False, least=_NOTHING_COMPOUND) for s in senses}
        if head and not of:
            kinds = {sense[0] for sense in senses}
            for sense in self._senses(words[: -len(head)]):
                if kinds & (self.above(sense[0]) - {sense[0]}):
                    rows[sense[0]] = self._candidate(sense, _QUALIFIED, least=_NOTHING_COMPOUND)
        # the other end, as in "spaghetti bolognese", "prince of wales feathers"
        ends = range(1, len(words)) if of else range(len(words) - 1, 0, -1)
        if not all(map(str.isalpha, words)) or self._is_slip(words):  # "toy_1" is a code, "water lilly" a lily
            return list(rows.values())
        _, beside = self._first(words[end:] if of else words[:end] for end in ends)
        for sense in beside:
            rows.setdefault(sense[0], self._candidate(sense, -_BESIDE_HEAD, exact=False, least=_NOTHING_COMPOUND))
        return list(rows.values())

    def _is_slip(self, words: Words) -> bool:
        """Whether the last word is none, but the whole is nearly one of WordNet's."""
        return not self._senses(words[-1:]) and self._nearly(words) is not None

    def _nearly(self, words: Words) -> str | None:
        self._searches += 1
        if self._searches > _MOST_SLIPS:
            return None
        text = " ".join(words)
        near = self.wordnet.nearest_names(text, 1) if len(text) > 5 and text.replace(" ", "").isalpha() else ()
        return near[0] if near and SequenceMatcher(None, text, near[0].lower()).ratio() > _SLIP else None

    def slips(self, label: Label) -> list[Candidate]:
        """The senses of the word that a name is a misspelling of."""
        near = self._nearly(words_of(label.text))
        senses = self._senses(words_of(near)) if near else []
        rows = (self._candidate(s, exact=not label.is_kind, least=_NOTHING_COMPOUND) for s in senses)
        return [replace(candidate, is_slip=True) for candidate in rows]

    def beside(self, label: Label) -> list[str]:
        """The first senses of other words that it may be a misspelling of: "beagel" is a bagel or a beagle."""
        text = " ".join(words_of(label.text))
        near = [n for n in self.wordnet.nearest_names(text) if SequenceMatcher(None, text, n.lower()).ratio() > _NEAR]
        return [senses[0][0] for name in near[1:] if (senses := self._senses(words_of(name)))]

    def _first(self, phrases: Iterable[Words]) -> tuple[Words, list[_Entry]]:
        """The first of these phrases that WordNet has as a common noun."""
        for phrase in phrases:
            if len(phrase[-1]) > 1 and phrase[-1].isalpha() and not _ROMAN.fullmatch(phrase[-1]):
                senses = [s for s in self._senses(phrase) if not self._is_proper(s[0], phrase)]
                if senses:
                    return phrase, senses
        return (), []

    def _is_proper(self, synset: str, words: Words) -> bool:
        """Whether these words are a proper name in it, as "Persian" is."""
        letters = "".join(words)
        lemmas = [lemma for lemma in self.wordnet.lemmas(synset) if letters_of(lemma.lower()) == letters]
        return all(lemma[:1].isupper() for lemma in lemmas) and bool(lemmas)

    def _senses(self, words: Words) -> list[_Entry]:
        if words not in self._entries:
            rows: dict[str, _Entry] = {}
            for lemma in self._lemmas(words):
                for place, synset in enumerate(self.wordnet.senses_of_form(lemma)):
                    counted = place < self.wordnet.reader.lemma_index.counted(lemma)
                    rows.setdefault(synset, (synset, len(rows), counted, letters_of(lemma)))
            self._entries[words] = list(rows.values())
        return self._entries[words]

    def _lemmas(self, words: Words) -> Iterator[str]:
        """WordNet's spellings of these words: as they are, then of their singulars."""
        index = self.wordnet.reader.lemma_index.by_letters
        start, last = "".join(words[:-1]), words[-1]
        forms = [last, *(letters_of(base) for base in self.wordnet.irregular(last))]
        if len(last) > 2 and not last.endswith("ss"):
            forms += [last.removesuffix(end) + base for end, base in self.wordnet.plural_endings if last.endswith(end)]
        for form in dict.fromkeys(forms):
            yield from index.get(start + form, ())

    def _completions(self, words: Words) -> Iterator[_Entry]:
        """Compounds that begin with these words and are of the kind that their last word says: Persian cat."""
        start = "".join(words)
        for lemma in self.wordnet.reader.lemma_index.beginning_with(start):
            last = re.split("[_-]", lemma)[-1]
            if letters_of(lemma) == start + letters_of(last):
                kinds = set(self.wordnet.senses_of_form(last))
                for entry in self._senses((*words, last)):
                    if kinds & (self.above(entry[0]) - {entry[0]}):
                        yield entry

    def _candidate(self, entry: _Entry, shift: float = 0.0, exact: bool = True, least: float = _NOTHING) -> Candidate:
        synset, place, counted, letters = entry
        above, kind = self.above(synset), self.wordnet.lexname(synset)
        odds = shift - _RANK * log(1 + place)
        odds -= 0 if counted else _UNCOUNTED
        odds -= 0 if letters_of(self.wordnet.lemmas(synset)[0].lower()) == letters else _ANOTHERS_NAME
        odds -= _BODY if kind == "noun.body" else 0
        odds -= 0 if self._skins.isdisjoint(above) and not _FLESH.search(self.wordnet.gloss(synset)) else _MEAT
        rare = 0 if self._physical is None or self._physical in above else _ABSTRACT
        rare += {"noun.person": _PERSON, "noun.location": _PLACE}.get(kind, 0)
        is_instance = bool(self.wordnet.synset(synset).instance_hypernyms())
        rare += _INSTANCE if is_instance else 0
        if self.pictures and kind != "noun.person":  # few of them are in the lists
            rare += 0 if synset in self.pictures.many else _FEW_IMAGES
            rare += 0 if synset in self.pictures.some else _NO_IMAGES
            odds += _IN_1K if self._imagenet1k and synset in self.pictures.imagenet1k else 0
        realm = kind if is_instance or kind in ("noun.person", "noun.location") else ""
        return Candidate(synset, odds - rare, exact, least, realm=realm, rarity=rare if realm else 0.0)


@dataclass(frozen=True)
class Photographs:
    """Synsets that photographs are labelled with: in ImageNet-12k (all with many images), ImageNet-22k, ImageNet-1k."""

    many: frozenset[str]
    some: frozenset[str]
    imagenet1k: frozenset[str]


@functools.cache
def photographs() -> Photographs | None:
    """The lists that come with timm, which is not imported for it; None where a timm has them no more."""
    spec = importlib.util.find_spec("timm")
    places = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(places or ["."])), "data", "_info")
    names = ("imagenet12k_synsets.txt", "imagenet22k_synsets.txt", "imagenet_synsets.txt")
    try:
        return Photographs(*(frozenset((folder / name).read_text("ascii").split()) for name in names))
    except OSError:
        return None


@functools.cache
def pictures_below() -> dict[str, int]:
    """Synset of WordNet 3.0 → how many of ImageNet-22k lie at or below it."""
    pictures, wordnet = photographs(), default()
    counts: dict[str, int] = defaultdict(int)
    for synset in pictures.some if pictures else ():
        if wordnet.resolve(synset):
            for above in wordnet.closure([synset]):
                counts[above] += 1
    return dict(counts)


def _without_bracket(text: str) -> tuple[str, str]:
    """ "crane_(bird)" is crane, bird."""
    text = text.strip()
    for left, right in ("()", "[]"):
        name, mark, inside = text.rpartition(left)
        if mark and inside.endswith(right) and name.strip("_ "):
            return name.strip("_ "), inside[:-1]
    return text, ""


def words_of(text: str) -> Words:
    """The words of a name in small letters, without a number in front: "017.BlueJay" is blue, jay."""
    plain = text.strip()
    while _NUMBERED.match(plain):
        plain = _NUMBERED.sub("", plain)
    spaced = _CAMEL.sub(" ", plain)
    return tuple(word for part in re.split(r"[\s_\-]+", spaced.lower()) if (word := letters_of(part)))


def letters_of(text: str) -> str:
    """What all spellings of a word have in common."""
    return text.translate(_MARKS)
