"""What a class id or a plain name means in WordNet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hiergen.taxonomy.senses import Label, Sense, read_names

if TYPE_CHECKING:
    from hiergen.taxonomy.nesting import Nesting
    from hiergen.taxonomy.wordnet.nouns import WordNet


def is_wnid(text: str) -> bool:
    return len(text) == 9 and text[0] == "n" and text[1:].isdecimal() and text.isascii()


def looks_like_synset(text: str) -> bool:
    parts = text.rsplit(".", 2)
    return len(parts) == 3 and parts[1] == "n" and parts[2].isdecimal()


def nesting_synsets(nesting: Nesting, wordnet: WordNet) -> list[tuple[str | None, bool]]:
    """Every class's synset, and whether it is that synset itself.

    The nesting's synsets decide, ">" before one says "a kind of". Where it has none, as in files of 0.1, names are read
    as those of a taxonomy file.
    """
    if any(nesting.synsets):
        return [
            (wordnet.resolve((synset or class_id).lstrip(">")), not (synset or "").startswith(">"))
            for class_id, synset in zip(nesting.classes, nesting.synsets, strict=True)
        ]
    senses = guess_senses(id_labels(nesting.classes, wordnet), nesting.labels, wordnet)
    return [(sense.synset, sense.exact) for sense in senses]


def id_labels(ids: Iterable[str], wordnet: WordNet) -> list[Label]:
    """What ids alone say: wnids and names of synsets are given, others are to be read."""
    return [Label(i, wordnet.resolve(i) if is_wnid(i) or looks_like_synset(i) else None) for i in ids]


def guess_senses(labels: Sequence[Label], names: Sequence[str], wordnet: WordNet) -> list[Sense]:
    """What classes are, of which ids (the labels' texts) and display names are known.

    The id decides. Where it says nothing, as "sku_17" does, the class is a kind of what its name says; others may be.
    """
    senses = read_names(labels, wordnet)
    silent = [i for i, sense in enumerate(senses) if sense.synset is None and names[i] != labels[i].text]
    if silent:
        shown = [replace(label, synset=sense.synset) for label, sense in zip(labels, senses, strict=True)]
        for i in silent:
            shown[i] = replace(labels[i], text=names[i], is_kind=True)
        by_name = read_names(shown, wordnet)
        for i in silent:
            senses[i] = by_name[i]
    return senses


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
