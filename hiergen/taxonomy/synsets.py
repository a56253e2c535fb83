"""What a class id or a plain name means in WordNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hiergen.errors import quoted

if TYPE_CHECKING:
    from hiergen.taxonomy.nesting import Nesting
    from hiergen.taxonomy.wordnet.nouns import WordNet

_PHYSICAL = "physical_entity.n.01"


def is_wnid(text: str) -> bool:
    return len(text) == 9 and text[0] == "n" and text[1:].isdecimal() and text.isascii()


def looks_like_synset(text: str) -> bool:
    parts = text.rsplit(".", 2)
    return len(parts) == 3 and parts[1] == "n" and parts[2].isdecimal()


def guess(name: str, wordnet: WordNet) -> tuple[str | None, bool, str | None]:
    """A plain name's synset: its most frequent sense that is a kind of thing one can photograph, else its first.

    A compound WordNet lacks goes below its head word: 'aquarium_fish' is a kind of 'fish'. With it: whether the name
    is that synset itself, and a note on what was guessed.
    """
    physical = wordnet.resolve(_PHYSICAL)  # a WordNet of one's own may have another wnid for it, or none
    words = name.replace("_", " ").replace("-", " ").split()
    for start in range(len(words)):
        phrase = " ".join(words[start:])
        if start and not any(c.isalpha() for c in phrase):
            break  # 'Boeing 747' is no kind of number
        senses = wordnet.senses(phrase)
        if not senses:
            continue
        kinds = [s for s in senses if not wordnet.synset(s).instance_hypernyms()]
        things = [s for s in kinds if physical is None or wordnet.is_ancestor(physical, s)]
        chosen = (things or list(senses))[0]
        synset = wordnet.synset_name(chosen)
        if start:
            return chosen, False, f"is not in WordNet: placed below its head word {synset}"
        if len(senses) > 1:
            return chosen, True, f"has {len(senses)} senses: taken as {synset} ({wordnet.gloss(chosen)[:60]})"
        return chosen, True, None
    return None, True, None


def class_synset(class_id: str, name: str, wordnet: WordNet) -> tuple[str | None, bool, str | None]:
    """As `guess`, of a class of which id and display name are known.

    The id decides. Where it says nothing, as "sku_17" does, the class is a kind of what its name says; others may be.
    """
    by_id = _read(class_id, wordnet)
    if by_id[0] is not None or name == class_id:
        return by_id
    synset, _, note = _read(name, wordnet)
    return synset, synset is None, note and f"is called {quoted(name)}, which {note}"


def _read(text: str, wordnet: WordNet) -> tuple[str | None, bool, str | None]:
    if is_wnid(text) or looks_like_synset(text):
        return wordnet.resolve(text), True, None
    return guess(text, wordnet)


def nesting_synsets(nesting: Nesting, wordnet: WordNet) -> list[tuple[str | None, bool]]:
    """`class_synset` of every class of a nesting; the synset that it gives a class decides."""
    return [
        class_synset(synset or class_id, label, wordnet)[:2]
        for class_id, label, synset in zip(nesting.classes, nesting.labels, nesting.synsets, strict=True)
    ]


class Coverage:
    """Which classes lie at or below a synset, by all paths of WordNet.

    `synsets` are those of the classes in their order; a class without one lies below nothing.

    >>> from hiergen.taxonomy.wordnet.nouns import default
    >>> Coverage(["n02123045", None, "n02123159"], default()).below("n02121808")  # domestic cat
    (0, 2)
    """

    def __init__(self, synsets: Sequence[str | None], wordnet: WordNet) -> None:
        below: dict[str, list[int]] = {}
        above: dict[str, list[str]] = {}
        for index, synset in enumerate(synsets):
            if synset is not None:
                if synset not in above:
                    above[synset] = list(wordnet.closure([synset]))
                for wnid in above[synset]:
                    below.setdefault(wnid, []).append(index)
        self._below = {wnid: tuple(indices) for wnid, indices in below.items()}

    def below(self, wnid: str) -> tuple[int, ...]:
        """Ascending indices of the classes at or below this synset; () if there is none."""
        return self._below.get(wnid, ())

    def synsets(self) -> tuple[str, ...]:
        """All synsets that have a class at or below them, sorted."""
        return tuple(sorted(self._below))
