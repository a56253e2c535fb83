"""The nouns of a WordNet gloss and what each does in it: "the sound made by a cat" is by a cat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from hiergen.taxonomy.wordnet.nouns import WordNet

Role = Literal["source", "likeness", "genus", "detail"]
"""source: who or what makes the sound; likeness: what it is compared with; genus: what stands before any
preposition; detail: the rest."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOKEN = re.compile(r"[^\W\d_]+(?:[-.'][^\W\d_]+)*|[(),;:]")
_LONGEST = 4  # words in a lemma looked for
_SOURCE = _words("by from")
_LIKENESS = _words("as like resembling imitating suggesting")
_DETAIL = _words(
    "about across after against along among around at before behind below beneath between beyond during for if in into"
    " near on onto out over per since than that through to toward towards under until up upon used via when where which"
    " while who whose with within without"
)
# before "of" these leave open what follows: "characteristic of a horse", "as of an owl", "noise of the kind made by"
_OPEN = _words("as characteristic typical kind that those")
# words of other kinds that are nouns too
_OTHER = _words(
    "a all also an and another any are be been being both but can do does done each either especially etc every few"
    " first give given gives have having he her his how i is it its itself less like made make makes many may more most"
    " much must no nor not off often one only or other others own same set several she so some such their them there"
    " these they this those too two usually very was well were what will you"
)


@dataclass(frozen=True)
class Mention:
    """A noun of the gloss as it stands there, its senses (most frequent first) and its role."""

    text: str
    senses: tuple[str, ...]
    role: Role


def mentions(gloss: str, wordnet: WordNet, is_sound: Callable[[str], bool]) -> list[Mention]:
    """All nouns in order, the longest lemma at each place.

    "of" names a source only after a sound ("the cry of an owl"), else a detail ("a bolt of lightning").

    >>> from hiergen.taxonomy.wordnet.nouns import default
    >>> [(m.text, m.role) for m in mentions("the sound made by a turkey cock", default(), lambda wnid: False)]
    [('sound', 'genus'), ('turkey cock', 'source')]
    """
    tokens = _TOKEN.findall(gloss.lower())
    nouns: list[Mention] = []
    role: Role = "genus"
    heard = False  # whether the last noun is a sound
    at = 0
    while at < len(tokens):
        token, before = tokens[at], tokens[at - 1] if at else ""
        if token in "(),;:" and token != ",":
            role = "genus" if token == "(" and not nouns else "detail"
        elif token in _SOURCE:
            role = "detail" if tokens[at + 1 : at + 3] == ["means", "of"] else "source"
        elif token == "of":
            role = "source" if heard or before in _OPEN else "detail"
        elif token in _LIKENESS:
            role = "likeness"
        elif token in _DETAIL:
            role = "detail"
        elif token not in _OTHER and len(token) > 1 and (noun := _longest(tokens, at, wordnet)):
            length, text, senses = noun
            nouns.append(Mention(text, senses, role))
            heard = is_sound(senses[0])
            at += length
            continue
        at += 1
    return nouns


def _longest(tokens: list[str], at: int, wordnet: WordNet) -> tuple[int, str, tuple[str, ...]] | None:
    """(tokens, text, senses) of the longest lemma that starts here."""
    for length in range(_LONGEST, 0, -1):
        words = tokens[at : at + length]
        if len(words) < length or any(word in "(),;:" for word in words):
            continue
        words[-1] = words[-1].removesuffix("'s")
        if senses := wordnet.senses(" ".join(words)):
            return length, " ".join(words), senses
    return None


def forms(word: str) -> frozenset[str]:
    """The word and the regular forms of the verb or plural that it may also be: bark, barks, barking, barked."""
    stem = word[:-1] if word.endswith("e") else word
    doubled = stem + stem[-1:] if re.search(r"[^aeiou][aeiou][^aeiouwxy]$", stem) else stem
    return frozenset({word, f"{word}s", f"{word}es", *(s + end for s in (stem, doubled) for end in ("ing", "ed"))})


def stems(word: str) -> Iterator[str]:
    """What a gerund may come from: barking → bark, purring → pur, purr; whistling → whistle."""
    if word.endswith("ing") and len(word) > 5:
        stem = word.removesuffix("ing")
        yield stem
        yield f"{stem}e"
        if stem[-1] == stem[-2]:
            yield stem[:-1]


def says(gloss: str, word: str) -> bool:
    """Whether the gloss has the word, in one of its forms."""
    wanted = forms(word)
    return any(token in wanted for token in _TOKEN.findall(gloss.lower())) if " " not in word else word in gloss.lower()
