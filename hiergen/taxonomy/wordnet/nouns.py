"""WordNet's nouns as a taxonomy source: names to ids, hypernyms, ancestors; offline, always.

Canonical names are wnids, as ImageNet writes them: "n" and the 8-digit offset of WordNet 3.0 (`n02123045` is
tabby.n.01). The hypernyms form no tree: 1,422 synsets have several, and nothing here chooses among them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from nltk.corpus.reader.wordnet import Synset

from hiergen.errors import TaxonomyError, quoted
from hiergen.taxonomy.wordnet import files as wordnet_files
from hiergen.taxonomy.wordnet.reader import NounReader, nearest_lemmas

_WNID = re.compile(r"n[0-9]{8}")
_SYNSET_NAME = re.compile(r"(\S+(?: \S+)*)\.n\.([0-9]{1,4})")
# "0000" is a relation between synsets; anything else relates two lemmas
_UP = re.compile(rb" @i? ([0-9]{8}) n 0000")
_DOWN = re.compile(rb" ~i? ([0-9]{8}) n 0000")


class WordNet:
    """The nouns of one WordNet: hiergen's own 3.0, or the folder or zip at `path`.

    Safe among threads and processes; pickled by its path. Raises TaxonomyError where `path` is no whole
    WordNet.

    >>> wordnet = WordNet()
    >>> wordnet.hypernyms(wordnet.resolve("tabby.n.01"))
    ('n02121808',)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else os.path.abspath(path)
        self._files = wordnet_files.shipped() if path is None else wordnet_files.read(path)
        self.reader = NounReader(self._files)  # nltk's reader
        self._hypernyms: dict[str, tuple[str, ...]] = {}
        self._by_key: dict[tuple[bytes, bytes, bytes], str] | None = None

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (default, ()) if self.path is None else (WordNet, (self.path,))

    def __repr__(self) -> str:
        return f"WordNet({'' if self.path is None else repr(self.path)})"

    @property
    def version(self) -> str:
        """The release, "3.0" for ImageNet's ids; "" where the data does not say it."""
        return self.reader.get_version()

    # names

    def resolve(self, name: str) -> str | None:
        """The wnid of a wnid or a synset name (`tabby.n.01`, `tabby.n.1`, by any lemma); None if not there.

        >>> WordNet().resolve("tiger_cat.n.2")
        'n02123159'
        """
        if _WNID.fullmatch(name):
            return name if self._line(name) is not None else None
        match = _SYNSET_NAME.fullmatch(name)
        if not match:
            return None
        senses = self.senses_of_form(_lemma(match[1]))
        number = int(match[2])
        return senses[number - 1] if 1 <= number <= len(senses) else None

    def senses(self, lemma: str) -> tuple[str, ...]:
        """The noun senses of a word, most frequent first; () if there is none.

        Any case, blanks or underscores. A plural finds its singular (nltk's morphy and `noun.exc`), after the
        senses that the form has itself: "glasses" are spectacles first.
        """
        forms = self.reader._morphy(_lemma(lemma), "n")
        return tuple(dict.fromkeys(wnid for form in forms for wnid in self.senses_of_form(form)))

    def synset_name(self, wnid: str) -> str:
        """`tabby.n.01`: first lemma, number of the sense.

        Raises TaxonomyError for an unknown wnid, with the nearest; so do all that take a wnid.
        """
        return str(self.synset(wnid).name())

    def lemmas(self, wnid: str) -> tuple[str, ...]:
        """The synonyms as WordNet writes and orders them, with blanks: ("tiger cat",)."""
        return tuple(name.replace("_", " ") for name in self.synset(wnid).lemma_names())

    def gloss(self, wnid: str) -> str:
        """The definition, without the example sentences."""
        return str(self.synset(wnid).definition())

    def synset(self, wnid: str) -> Synset:
        """nltk's Synset, to go on with nltk's own functions (nouns only)."""
        self._require(wnid)
        return self.reader.synset_from_pos_and_offset("n", int(wnid[1:]))

    def nearest_names(self, text: str, n: int = 3) -> tuple[str, ...]:
        """Names for an error message, best first, maybe none: wnids, synset names or lemmas, as `text` is."""
        if re.fullmatch(r"n[0-9]{6,10}", text):
            return tuple(wnid for wnid in _digit_slips(text) if self._line(wnid) is not None)[:n]
        index = self.reader.lemma_index
        match = _SYNSET_NAME.fullmatch(text)
        if not match:
            return tuple(lemma.replace("_", " ") for lemma in nearest_lemmas(index, text, n))
        lemma, number = _lemma(match[1]), int(match[2])
        if senses := len(self.senses_of_form(lemma)):
            return tuple(f"{lemma}.n.{sense:02d}" for sense in range(max(1, senses - n + 1), senses + 1))
        counted = ((name, len(self.senses_of_form(name))) for name in nearest_lemmas(index, lemma, n))
        return tuple(f"{name}.n.{number if 1 <= number <= senses else 1:02d}" for name, senses in counted)

    def of_3_0(self, wnid: str) -> str | None:
        """The id here of a synset that WordNet 3.0 calls so, by the sense keys of its lemmas; None if there is none.

        Releases number their synsets anew: n02123045, 3.0's tabby, is another one or none in 3.1.
        """
        if self.version in ("3.0", "") or not _WNID.fullmatch(wnid):
            return wnid if self._line(wnid) is not None else None
        line = default()._line(wnid)
        keys = sense_keys(line) if line is not None else []
        if self._by_key is None:
            lines = (line for line in self._files.data.splitlines() if not line.startswith(b"  "))
            self._by_key = {key: f"n{line[:8].decode()}" for line in lines for key in sense_keys(line)}
        return next((self._by_key[key] for key in keys if key in self._by_key), None)

    # relations

    def hypernyms(self, wnid: str) -> tuple[str, ...]:
        """Direct hypernyms and instance hypernyms, in the order of the synset's line in `data.noun`.

        nltk keeps them in a set and loses that order, which is the only ranking that WordNet has.
        """
        cached = self._hypernyms.get(wnid)
        if cached is None:
            cached = self._hypernyms[wnid] = self._pointers(_UP, wnid)
        return cached

    def hyponyms(self, wnid: str) -> tuple[str, ...]:
        """Direct hyponyms and instances, sorted."""
        return tuple(sorted(self._pointers(_DOWN, wnid)))

    def closure(self, wnids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """These synsets and all their ancestors, sorted, each with its hypernyms."""
        parents: dict[str, tuple[str, ...]] = {}
        todo = list(wnids)
        while todo:
            wnid = todo.pop()
            if wnid not in parents:
                parents[wnid] = self.hypernyms(wnid)
                todo.extend(parents[wnid])
        return dict(sorted(parents.items()))

    def descendants(self, wnid: str) -> frozenset[str]:
        """All below, instances too; without the synset itself."""
        everything: set[str] = set()
        todo = [wnid]
        while todo:
            below = set(self._pointers(_DOWN, todo.pop())) - everything
            everything |= below
            todo.extend(below)
        return frozenset(everything - {wnid})

    def is_ancestor(self, ancestor: str, wnid: str) -> bool:
        """Whether `ancestor` lies above `wnid` on some path; never of itself."""
        self._require(ancestor)
        return ancestor != wnid and ancestor in self.closure([wnid])

    def depth(self, wnid: str) -> int:
        """Steps on the longest path to the root; entity.n.01 has 0.

        Raises TaxonomyError on a cycle above it, which a damaged copy may have.
        """
        above = self.closure([wnid])
        depths: dict[str, int] = {}
        try:
            for node in TopologicalSorter(above).static_order():
                depths[node] = max((depths[parent] + 1 for parent in above[node]), default=0)
        except CycleError as error:
            cycle = " > ".join(error.args[1])
            raise TaxonomyError(f"hypernyms in a cycle: {cycle}", place=self._files.place) from error
        return depths[wnid]

    # inner

    def _line(self, wnid: str) -> bytes | None:
        return self.reader.line(int(wnid[1:])) if _WNID.fullmatch(wnid) else None

    def _require(self, wnid: str) -> bytes:
        line = self._line(wnid)
        if line is None:
            other = f"this is WordNet {self.version}, ImageNet's ids are of 3.0"
            raise TaxonomyError(
                f"no noun synset {quoted(wnid)} in {self._files.place}",
                expected=None if _WNID.fullmatch(wnid) else "a wnid such as n02123045",
                nearest=self.nearest_names(wnid),
                hint=None if self.version in ("3.0", "") else other,
            )
        return line

    def _pointers(self, pattern: re.Pattern[bytes], wnid: str) -> tuple[str, ...]:
        relations = self._require(wnid).partition(b"|")[0]
        return tuple(dict.fromkeys(f"n{offset.decode()}" for offset in pattern.findall(relations)))

    def lexname(self, wnid: str) -> str:
        """The lexicographers' file, as "noun.animal"."""
        return str(self.synset(wnid).lexname())

    @property
    def plural_endings(self) -> list[tuple[str, str]]:
        """nltk's rules from plurals to singulars: ("ies", "y")."""
        return list(self.reader.MORPHOLOGICAL_SUBSTITUTIONS["n"])

    def irregular(self, plural: str) -> tuple[str, ...]:
        """The singulars of "geese" and others that no rule finds."""
        return tuple(self.reader._exception_map["n"].get(plural, ()))

    def senses_of_form(self, lemma: str) -> list[str]:
        """The senses of exactly this lemma, as index.noun writes it; most frequent first."""
        offsets = self.reader.lemma_index.get(lemma, {}).get("n", [])
        return [f"n{offset:08d}" for offset in offsets]


_shared: dict[str, WordNet] = {}


def default() -> WordNet:
    """hiergen's own WordNet 3.0, opened once per process."""
    # no lock, which a fork could inherit locked; threads that race here open twice, but all get the same one
    return _shared.get("") or _shared.setdefault("", WordNet())


def sense_keys(line: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """(lemma, lexicographers' file, number in it) of each lemma of a line of data.noun: what stays among releases."""
    fields = line.split(b" | ", 1)[0].split()
    count = int(fields[3], 16)
    return [(fields[4 + 2 * i].lower(), fields[1], fields[5 + 2 * i]) for i in range(count)]


def _lemma(text: str) -> str:
    return "_".join(text.lower().split())


def _digit_slips(wnid: str) -> list[str]:
    """Wnids that one wrong, swapped, lost or added digit turns into this one."""
    slips = []
    for i in range(1, len(wnid) + 1):
        head, tail = wnid[:i], wnid[i:]
        slips += [head + tail[1:2] + tail[:1] + tail[2:], head + tail[1:]]
        slips += [head + digit + tail[kept:] for digit in "0123456789" for kept in (1, 0)]
    return list(dict.fromkeys(slip for slip in slips if _WNID.fullmatch(slip)))
