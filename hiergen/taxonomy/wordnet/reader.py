"""nltk's WordNet reader over bytes in memory: its parser and its `Synset`, without its slow and unsafe parts.

nltk (3.9, 3.10) parses the indices of all parts of speech at the start (5-6 s), shares one file position
among threads (nltk #2335), refuses folders outside `nltk.data.path`, and keeps pointers in sets, so that
their order changes with the hash seed.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NoReturn

from nltk.corpus.reader.wordnet import POS_LIST, Synset, WordNetCorpusReader, WordNetError

from hiergen.errors import TaxonomyError
from hiergen.taxonomy.wordnet.files import NounFiles

_SYNSET_START = re.compile(rb"^[0-9]{8} ", re.MULTILINE)
_VERSION = re.compile(rb"WordNet ([0-9.]+) Copyright")


class NounReader(WordNetCorpusReader):  # type: ignore[misc, unused-ignore]
    """nltk's reader for the nouns of one WordNet.

    Synsets are parsed when asked for and kept. There is no lock that a fork could inherit: parsing depends on
    nothing shared, and `dict.setdefault` hands every thread the same synset.
    """

    def __init__(self, files: NounFiles) -> None:
        # nltk's own __init__ would open files, so the attributes that its methods read are set here
        self._files = files
        self.lemma_index = self._lemma_pos_offset_map = LemmaIndex(files.index)
        self._synset_offset_cache: dict[str, dict[int, Synset]] = {"n": {}}
        self._lexnames = [line.split()[1].decode() for line in files.lexnames.splitlines() if line.strip()]
        self._exception_map: dict[str, dict[str, list[str]]] = {pos: {} for pos in (*POS_LIST, "s")}
        for line in files.exceptions.decode(errors="replace").splitlines():
            inflected, *base = line.split() or [""]
            self._exception_map["n"][inflected] = base
        self._max_depth: dict[tuple[str, bool], int] = {}
        self._omw_reader = self._exomw_reader = self.map30 = None
        self.provenances = {"eng": ""}
        self.omw_langs: set[str] = set()
        self._lang_data: dict[str, list[Any]] = defaultdict(list)

    def line(self, offset: int) -> bytes | None:
        """The synset's line in `data.noun`, or None where none starts."""
        data = self._files.data
        starts = data.startswith(b"%08d " % offset, offset) and (offset == 0 or data[offset - 1] == ord("\n"))
        return data[offset : data.find(b"\n", offset)] if starts else None

    def synset_from_pos_and_offset(self, pos: str, offset: int) -> Synset | None:
        """nltk's, but None (and no warning) where there is no synset.

        Raises TaxonomyError for other than nouns, and where the line or its entry in the index is damaged.
        """
        if pos != "n":
            self._refuse(f"part of speech {pos!r}")
        cached = self._synset_offset_cache["n"].get(offset)
        if cached is not None:
            return cached
        line = self.line(offset)
        if line is None:
            return None
        try:
            synset = self._synset_from_pos_and_line("n", line.decode())
        except (WordNetError, LookupError, ValueError, StopIteration) as error:
            raise TaxonomyError(
                f"the synset cannot be read ({type(error).__name__}: {error})",
                place=f"{self._files.place}/data.noun at byte {offset}",
                hint="data.noun, index.noun and lexnames must be whole and of one release",
            ) from error
        return self._synset_offset_cache["n"].setdefault(offset, synset)

    def _synset_from_pos_and_line(self, pos: str, data_file_line: str) -> Synset:
        synset = super()._synset_from_pos_and_line(pos, data_file_line)
        # nltk's sets of pointers become tuples in the order of the line
        fields = data_file_line.split("|")[0].split()
        triples = zip(fields, fields[1:], fields[2:], strict=False)
        place = {triple: i for i, triple in enumerate(triples)}
        ranked = (
            (place[symbol, f"{at:08d}", to], symbol, (to, at))
            for symbol, ends in synset._pointers.items()
            for to, at in ends
        )
        ordered: dict[str, list[tuple[str, int]]] = {}
        for _, symbol, end in sorted(ranked):
            ordered.setdefault(symbol, []).append(end)
        synset._pointers = ordered
        return synset

    def all_eng_synsets(self, pos: str | None = None) -> Iterator[Synset]:
        """All noun synsets in the order of `data.noun`."""
        if pos not in (None, "n"):
            self._refuse(f"part of speech {pos!r}")
        for match in _SYNSET_START.finditer(self._files.data):
            yield self.synset_from_pos_and_offset("n", match.start())

    def get_version(self) -> str:
        """As the licence inside the data says: "3.0"; "" where there is none."""
        match = _VERSION.search(self._files.data, 0, 10_000)
        return match[1].decode() if match else ""

    def lemma_count(self, lemma: Any) -> NoReturn:
        """Raises TaxonomyError: nltk would look for `cntlist.rev`."""
        self._refuse("the counts of lemmas")

    def open(self, file: str) -> NoReturn:
        """Raises TaxonomyError: nothing is read from disk after the start."""
        self._refuse(file)

    def _refuse(self, what: str) -> NoReturn:
        raise TaxonomyError(f"only the nouns are here, not {what}", place=self._files.place)


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

    @cached_property
    def by_letters(self) -> dict[str, list[str]]:
        """Letters alone → the lemmas that are so spelled: "redeye" → "red-eye", "redeye"."""
        spellings: dict[str, list[str]] = {}
        for line in self._text[self._start :].splitlines():
            lemma = line[: line.find(b" ")]
            spellings.setdefault(lemma.translate(None, b"_-'./").decode(), []).append(lemma.decode())
        return spellings

    @cached_property
    def every(self) -> frozenset[str]:
        """All lemmas."""
        return frozenset(lemma for lemmas in self.by_letters.values() for lemma in lemmas)

    @cached_property
    def _sorted_letters(self) -> list[str]:
        return sorted(self.by_letters)

    def beginning_with(self, letters: str) -> Iterator[str]:
        """The longer lemmas whose letters begin so."""
        for i in range(bisect_right(self._sorted_letters, letters), len(self._sorted_letters)):
            if not self._sorted_letters[i].startswith(letters):
                return
            yield from self.by_letters[self._sorted_letters[i]]

    def counted(self, lemma: str) -> int:
        """How many of a lemma's senses, the first ones, were met in the texts that WordNet counted."""
        at = self._first_not_below(lemma.encode(errors="surrogatepass"))
        fields = self._text[at : self._end(at)].split()
        return int(fields[-int(fields[2]) - 1])

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
    slips = {slip: len(index[slip]["n"]) for slip in _slips(word) if slip in index.every}
    ranked = sorted(slips, key=lambda slip: (slip != word, -slips[slip], slip))
    if len(ranked) < count:
        alike = (lemma for lemma in index.starting_with(word[:2]) if abs(len(lemma) - len(word)) <= 3)
        ranked += difflib.get_close_matches(word, alike, n=count + len(ranked), cutoff=0.6)
    return list(dict.fromkeys(ranked))[:count]


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
