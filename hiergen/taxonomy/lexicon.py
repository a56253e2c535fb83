"""WordNet asked about a list of classes: which of them is a word, a synset name or a wnid about?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from hiergen.taxonomy.synsets import Coverage, class_synset
from hiergen.taxonomy.wordnet import WordNet, default

_MOST_WORDS = 6  # in a phrase whose hyphens are guessed


class Lexicon:
    """WordNet over classes of which only ids and display names are known.

    >>> lexicon = Lexicon(["n02123045", "n02110341"], ["tabby", "dalmatian"])
    >>> [lexicon.below(wnid) for wnid in lexicon.senses("Domestic-Cat")]
    [(0,)]
    """

    def __init__(self, ids: Sequence[str], names: Sequence[str], wordnet: WordNet | None = None) -> None:
        self.wordnet = wordnet or default()
        pairs = zip(ids, names, strict=True)
        self._own = [class_synset(class_id, name, self.wordnet) for class_id, name in pairs]
        self.below = Coverage([wnid for wnid, _ in self._own], self.wordnet).below

    def senses(self, text: str) -> tuple[str, ...]:
        """The synset that a wnid or synset name is, or the senses of a word, most frequent first; () if unknown."""
        found = self.wordnet.resolve(text.strip().lower())
        if found is not None:
            return (found,)
        words = text.replace("_", " ").replace("-", " ").split()
        if not 0 < len(words) <= _MOST_WORDS:
            return self.wordnet.senses(text)
        # WordNet writes "red-backed sandpiper", but "horse cart"
        marks = product(" -", repeat=len(words) - 1)
        spellings = ("".join(map("".join, zip(words, (*mark, ""), strict=True))) for mark in marks)
        return tuple(dict.fromkeys(wnid for spelling in spellings for wnid in self.wordnet.senses(spelling)))

    def is_class(self, index: int, wnid: str) -> bool:
        """Whether the class is this synset, not one below it."""
        return self._own[index] == (wnid, True)

    def described(self, wnid: str) -> str:
        """`domestic cat (house cat, Felis domesticus, Felis catus)`."""
        first, *others = self.wordnet.lemmas(wnid)
        return f"{first} ({', '.join(others)})" if others else first

    def nearest(self, text: str) -> list[str]:
        """WordNet's names like a misspelt one, those with a class only."""
        names = self.wordnet.nearest_names(text.strip().lower()[:100], 10)
        return [name for name in names if any(self.below(wnid) for wnid in self.senses(name))]
