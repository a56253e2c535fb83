"""From a lemma to its synsets: a binary search in the bytes of `index.noun`, nothing parsed ahead."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

_LETTERS = "abcdefghijklmnopqrstuvwxyz_-"
_LONGEST = 80  # characters; Princeton's longest lemma has 71


class LemmaIndex(Mapping[str, dict[str, list[int]]]):
    """Lemma (lower case, underscores) → `{"n": offsets}`, most frequent sense first; nltk's parser asks it.

    Lines are sorted by the bytes of the lemma (C locale), as wndb(5WN) says. Only reads: safe among threads.

    >>> LemmaIndex(b"cat n 1 0 1 0 02121620  \\ndog n 1 0 1 0 02084071  \\n")["dog"]
    {'n': [2084071]}
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._start = 0  # behind the licence, whose lines begin with two blanks
        while text.startswith(b"  ", self._start):
            self._start = text.index(b"\n", self._start) + 1

    def __getitem__(self, lemma: str) -> dict[str, list[int]]:
        key = lemma.encode(errors="surrogatepass")
        at = self._first_not_below(key)
        if self._lemma_at(at) != key or not key:
            raise KeyError(lemma)
        fields = self._text[at : self._end(at)].split()
        return {"n": [int(offset) for offset in fields[-int(fields[2]) :]]}

    def __iter__(self) -> Iterator[str]:
        return self.starting_with("")

    def __len__(self) -> int:
        return self._text.count(b"\n", self._start)

    def starting_with(self, prefix: str) -> Iterator[str]:
        """The lemmas with this prefix, sorted."""
        key = prefix.encode(errors="surrogatepass")
        at = self._first_not_below(key)
        while at < len(self._text):
            lemma = self._lemma_at(at)
            if not lemma.startswith(key):
                return
            yield lemma.decode()
            at = self._end(at)

    def _first_not_below(self, key: bytes) -> int:
        """Where the first line starts whose lemma is not smaller than the key."""
        low, high = self._start, len(self._text)
        while low < high:
            line = self._text.rfind(b"\n", low, (low + high) // 2) + 1 or low
            if self._lemma_at(line) < key:
                low = self._end(line)
            else:
                high = line
        return low

    def _lemma_at(self, line: int) -> bytes:
        return self._text[line : self._text.find(b" ", line)] if line < len(self._text) else b""

    def _end(self, line: int) -> int:
        return self._text.find(b"\n", line) + 1 or len(self._text)


def nearest_lemmas(index: LemmaIndex, text: str, count: int) -> list[str]:
    """Up to `count` lemmas like a misspelt one: those one slip away, then those alike after two letters.

    Among slips the word with more senses is first, for it is the commoner one ("dgo" is dog, not dg). Never
    looks through the whole index: 117,798 lemmas, and difflib is slow.
    """
    word = "_".join(text.lower().split()).encode("ascii", "ignore").decode()[:_LONGEST]
    if not word:
        return []
    slips = {slip: len(index[slip]["n"]) for slip in _slips(word) if slip in index}
    found = sorted(slips, key=lambda slip: (slip != word, -slips[slip], slip))
    if len(found) < count:
        alike = (lemma for lemma in index.starting_with(word[:2]) if abs(len(lemma) - len(word)) <= 3)
        found += difflib.get_close_matches(word, alike, n=count + len(found), cutoff=0.6)
    return list(dict.fromkeys(found))[:count]


def _slips(word: str) -> Iterator[str]:
    """The word itself and all that one deletion, swap, replacement or insertion makes of it."""
    yield word
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        yield head + tail[1:]
        yield head + tail[1:2] + tail[:1] + tail[2:]
        for letter in _LETTERS:
            yield head + letter + tail[1:]
            yield head + letter + tail
