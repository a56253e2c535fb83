"""Names for groups that come without one: readable, distinct, and fit to stand in a taxonomy file."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hiergen.errors import each_letter
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.naming import MAX_NAME, bad_label, slug
from hiergen.taxonomy.wordnet.nouns import WordNet

LONGEST = 80  # characters of a name that was made here
ALIKE = 8  # classes that a group may be called after, before it gets a number
SAYS, MOST = 0.5, 0.6  # the F1 score from which a hypernym says something of a group, and the share "mostly" needs


class FreeNames:
    """Hands out names whose slugs are all different, from each other and from those of `taken`."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {slug(text) for text in taken} | {""}
        self._next: dict[str, int] = {}  # name → the first number that may be free

    def take(self, tries: Iterable[str], longest: int = LONGEST) -> str:
        """The first that is free, else the first with a number; as `bad_label` wants it, and not longer than this."""
        first = ""
        for name in tries:
            cleaned = _cleaned(name, longest)
            if slug(cleaned) not in self._taken:
                return self._took(cleaned)
            first = first or cleaned
        short = first[: MAX_NAME - 20]
        number = self._next.get(short, 2)
        while slug(f"{short} {number}") in self._taken:
            number += 1
        self._next[short] = number + 1
        return self._took(f"{short} {number}")

    def _took(self, name: str) -> str:
        self._taken.add(slug(name))
        return name


class GroupNamer:
    """What a set of classes may be called.

    As a group in `known` that holds exactly these; else as the WordNet synset that fits it best, as the lowest common
    hypernym does in NBDT (Wan et al. 2020): that with the best F1 score of its classes against the group's, if it is at
    least 0.5, "mostly dog" where it covers not all of them; else as the class that is most like the others by
    `similarity` `(n, n)` (without one, the first): "like tabby".
    """

    def __init__(
        self,
        classes: Sequence[ClassEntry],
        wordnet: WordNet,
        *,
        given: Mapping[frozenset[int], str] | None = None,
        similarity: NDArray[np.float64] | None = None,
    ) -> None:
        self._classes, self._wordnet = classes, wordnet
        self._given, self._similarity = given or {}, similarity
        self._above = [tuple(wordnet.closure([c.synset])) if c.synset is not None else () for c in classes]
        self._classes_below = Counter(wnid for above in self._above for wnid in above)

    def plain(self, group: Sequence[int]) -> str | None:
        """A name that says what all or most of the group are, or None."""
        if self._given and (name := self._given.get(frozenset(group))) is not None:
            return name
        candidates: list[tuple[float, float, str]] = []
        for wnid, both in Counter(wnid for i in group for wnid in self._above[i]).items():
            score = 2 * both / (len(group) + self._classes_below[wnid])
            if both > 1 and score >= SAYS and both >= MOST * len(group):
                candidates.append((score, both / len(group), wnid))
        if not candidates:
            return None
        best = max((score, share) for score, share, _ in candidates)
        deepest = min(
            (-self._wordnet.depth(wnid), wnid) for score, share, wnid in candidates if (score, share) == best
        )[1]
        lemma = self._wordnet.lemmas(deepest)[0]
        return lemma if best[1] == 1 else f"mostly {lemma}"

    def alike(self, group: Sequence[int], plain: str | None) -> Iterator[str]:
        """ "dog like pug" (without a plain name "like pug") for the first classes, the most central first."""
        order = list(range(min(len(group), ALIKE)))
        if self._similarity is not None and len(group) > 2:
            inside = self._similarity[np.ix_(group, group)].copy()
            np.fill_diagonal(inside, 0)
            order = [int(i) for i in np.argsort(-inside.sum(axis=1), kind="stable")[:ALIKE]]
        prefix = "" if plain is None else f"{plain} "
        return (f"{prefix}like {self._classes[group[i]].name}" for i in order)


def _cleaned(name: str, longest: int) -> str:
    """A label that `bad_label` finds nothing against."""
    kept = each_letter(name, lambda c: c if not unicodedata.category(c).startswith("C") else " ")
    kept = " ".join(kept.split())
    if len(kept) > longest:
        kept = kept[: longest - 1].rstrip() + "…"
    return kept if bad_label(kept) is None else "group"
