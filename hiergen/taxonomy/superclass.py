"""imagenet-superclass: each class under one direct hypernym; from WordNet, or from a copy of its files.

Source: s-kumano/imagenet-superclass (MIT), 1000 ImageNet-1k classes under 558 superclasses. As it stands that
is no usable level of a tree: 345 superclasses have one class only, and 143 are ancestors of another.
"""

from __future__ import annotations

import functools
import os
import stat
from importlib import resources
from pathlib import Path

from hiergen.data import class_list
from hiergen.errors import TaxonomyError, quoted
from hiergen.files import MAX_BYTES
from hiergen.taxonomy.wordnet import WordNet

NUMBERS = "superclass.txt"
NAMES = "superclass_names.txt"
_HINT = f"give the folder of a copy of s-kumano/imagenet-superclass, with {NUMBERS} and {NAMES}"


def superclasses(wordnet: WordNet) -> dict[str, str]:
    """Class → superclass for the 1000 classes of ImageNet-1k, equal to the real files.

    Raises TaxonomyError where this WordNet lacks a class, as any other than 3.0 does.
    """
    return {wnid: parent for wnid in class_list("imagenet1k") if (parent := superclass_of(wordnet, wnid))}


def superclass_of(wordnet: WordNet, wnid: str) -> str | None:
    """The direct hypernym that counts as the superclass of any noun synset; None for the root.

    Of several hypernyms it is the recorded one for ImageNet-1k's 38 such classes
    (`hiergen/data/superclass_ties.txt`), else the last on the synset's line, as the original keeps the last
    parent it meets. Raises TaxonomyError for an unknown wnid.
    """
    parents = wordnet.hypernyms(wnid)
    if not parents:
        return None
    recorded = ties().get(wnid)
    return recorded if recorded in parents else parents[-1]


@functools.cache
def ties() -> dict[str, str]:
    """The recorded decisions, class → superclass; not to be changed."""
    text = resources.files("hiergen.data").joinpath("superclass_ties.txt").read_text(encoding="ascii")
    rows = (line.partition("#")[0].split() for line in text.splitlines())
    return {row[0]: row[1] for row in rows if row}


def read_superclass_files(folder: str | os.PathLike[str], wordnet: WordNet) -> dict[str, tuple[str, str]]:
    """A copy of the two files: class → (superclass, "superclass_names.txt:LINE").

    Line i of both belongs to class i of ImageNet-1k in wnid order. The name, the lemmas joined by ", ", must
    be that of a direct hypernym; two classes have one number exactly if they have one superclass. Raises
    TaxonomyError for the first line where this is not so, and for files that are missing, not UTF-8 or not of
    1000 lines.
    """
    classes = class_list("imagenet1k")
    numbers = _lines(Path(folder) / NUMBERS, len(classes))
    names = _lines(Path(folder) / NAMES, len(classes))
    found = {}
    synset_of: dict[int, tuple[str, int]] = {}
    number_of: dict[str, tuple[int, int]] = {}
    for line, (wnid, number, name) in enumerate(zip(classes, numbers, names, strict=True), 1):
        place = f"{Path(folder) / NUMBERS}:{line}"
        parent = _parent_named(name, wnid, wordnet, f"{Path(folder) / NAMES}:{line}")
        value = _number(number, place)
        synset, first = synset_of.setdefault(value, (parent, line))
        if synset != parent:
            pair = f"{quoted(names[first - 1])} in line {first} and {quoted(name)} here"
            raise _disagreement("one number for two superclasses", place, f"{value} for {pair}")
        known, first = number_of.setdefault(parent, (value, line))
        if known != value:
            pair = f"{known} in line {first} and {value} here"
            raise _disagreement("two numbers for one superclass", place, f"for {quoted(name)} {pair}")
        found[wnid] = (parent, f"{NAMES}:{line}")
    return found


def _disagreement(problem: str, place: str, got: str) -> TaxonomyError:
    return TaxonomyError(problem, place=place, got=got, hint=f"{NUMBERS} and {NAMES} must be of one version")


def _lines(file: Path, count: int) -> list[str]:
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device may never end
            raise ValueError("not a regular file")
        if found.st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        lines = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TaxonomyError("not UTF-8", place=f"{file}:{line}", hint="save it as UTF-8") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TaxonomyError(f"cannot read ({reason})", place=quoted(file)[1:-1], hint=_HINT) from error
    if len(lines) != count:
        raise TaxonomyError(
            "wrong number of lines",
            place=str(file),
            expected=f"{count}, one per class of ImageNet-1k in wnid order",
            got=str(len(lines)),
        )
    return lines


def _parent_named(name: str, wnid: str, wordnet: WordNet, place: str) -> str:
    # no class of ImageNet-1k has two hypernyms of the same lemmas
    parents = {", ".join(wordnet.lemmas(parent)): parent for parent in wordnet.hypernyms(wnid)}
    if name.strip() not in parents:
        raise TaxonomyError(
            f"no direct hypernym of {wnid} ({wordnet.synset_name(wnid)}) has this name",
            place=place,
            expected=" or ".join(quoted(parent) for parent in parents),
            got=quoted(name),
        )
    return parents[name.strip()]


def _number(text: str, place: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 10):
        raise TaxonomyError("not a superclass number", place=place, expected="digits", got=quoted(text))
    return int(text)
