"""WordNet's noun files as bytes: found in a folder or a zip, checked, and mended where that is certain.

Layout: Princeton's wndb(5WN). A synset's id is the byte position of its line in `data.noun`, so one stray
byte (a carriage return) moves all ids behind it.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from hiergen.errors import TaxonomyError, listed, quoted

FILES = ("data.noun", "index.noun", "lexnames", "noun.exc")
SHIPPED = "WordNet 3.0 of hiergen"

_NEEDED = FILES[:2]
_LARGEST = 200_000_000  # bytes of one file; Princeton's largest has 16 million
_SYNSET_LINE = re.compile(rb"([0-9]{8}) [0-9]{2} n [0-9a-f]{2} [^ ]+ [0-9a-f] [^|]*\|[^|]*\n")
_COUNT, _OFFSET = re.compile(rb"[0-9]{1,6}"), re.compile(rb"[0-9]{8}")
_LEXNAME_LINE = re.compile(rb"[0-9]{2}\t[^\s]+\t[0-9] *\n")
_PathT = TypeVar("_PathT", Path, PurePosixPath)
_HINT = "give a folder or zip with Princeton's data.noun and index.noun"


@dataclass(frozen=True)
class NounFiles:
    """The four files with plain line ends, and where they come from; `exceptions` may be empty."""

    place: str
    data: bytes
    index: bytes
    lexnames: bytes
    exceptions: bytes


def shipped() -> NounFiles:
    """The nouns inside the package; not checked on each start, the tests do that."""
    with resources.files("hiergen.assets").joinpath("wordnet", "nouns.zip").open("rb") as file:
        return _from_zip(SHIPPED, file)


def read(path: str | os.PathLike[str]) -> NounFiles:
    """A user's own copy: a folder or a zip, with the files on top or in exactly one sub-folder.

    Carriage returns are dropped, an unsorted `index.noun` is sorted, missing `lexnames` come from hiergen's
    own. Raises TaxonomyError where files are missing, unreadable, or do not fit together.
    """
    place = quoted(Path(path))[1:-1]
    try:
        if os.path.isdir(path):
            files = _from_folder(Path(path), place)
        elif os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device may never end
            raise TaxonomyError("is not a regular file", place=place, hint=_HINT)
        else:
            with open(path, "rb") as file:
                files = _from_zip(place, file)
    # zipfile's own list: RuntimeError is a password, NotImplementedError an unknown compression
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise TaxonomyError(f"not a readable zip ({error})", place=place, hint=_HINT) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TaxonomyError(f"cannot read this WordNet ({reason})", place=place, hint=_HINT) from error
    if not files.lexnames:
        files = replace(files, lexnames=shipped().lexnames)
    return check(files)


def check(files: NounFiles) -> NounFiles:
    """The same files, the index sorted.

    Raises TaxonomyError with the first line that cannot be right: a `data.noun` line that is no synset or
    stands at another byte than it says, an `index.noun` line that is none or leads nowhere.
    """
    starts = _checked_starts(files)
    _check_lexnames(files)
    lines: list[bytes] = []
    for number, line in enumerate(io.BytesIO(files.index), 1):
        if line.startswith(b"  "):
            continue
        offsets = _index_offsets(line)
        if not offsets:
            raise _wrong(files, "index.noun", number, "not an index line", line, "a lemma with its offsets")
        if lost := [offset for offset in offsets if int(offset) not in starts]:
            raise TaxonomyError(
                f"{quoted(line.split()[0].decode(errors='replace'))} leads to no synset of data.noun",
                place=f"{files.place}/index.noun:{number}",
                got=f"offset {lost[0].decode()}",
                hint="data.noun and index.noun must be whole and of one release",
            )
        lines.append(line)
    if not lines:
        raise TaxonomyError("no lemma at all", place=f"{files.place}/index.noun", hint=_HINT)
    for name, raw in zip(FILES[:3], (files.data, files.index, files.lexnames), strict=True):
        _check_text(files, name, raw)
    lines.sort(key=lambda line: line.split(b" ", 1)[0])
    return replace(files, index=b"".join(lines))


def _index_offsets(line: bytes) -> list[bytes]:
    """The synsets of "LEMMA n COUNT … OFFSET …", as many as it says; [] for any other line."""
    words = line[:-1].rstrip(b" ").split(b" ")
    if line[-1:] != b"\n" or len(words) < 5 or not words[0] or words[1] != b"n" or not _COUNT.fullmatch(words[2]):
        return []
    count = int(words[2])
    first = len(words) - count
    if (
        not 3 < first < len(words)
        or _OFFSET.fullmatch(words[first - 1])
        or not all(map(_OFFSET.fullmatch, words[first:]))
    ):
        return []
    return words[first:]


def _check_text(files: NounFiles, name: str, raw: bytes) -> None:
    if raw.isascii():  # Princeton's are
        return
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TaxonomyError("not UTF-8", place=f"{files.place}/{name}:{line}", hint=_HINT) from None


def _checked_starts(files: NounFiles) -> set[int]:
    starts: set[int] = set()
    position = 0
    for number, line in enumerate(io.BytesIO(files.data), 1):
        if not line.startswith(b"  "):
            match = _SYNSET_LINE.fullmatch(line)
            if not match:
                raise _wrong(files, "data.noun", number, "not a noun synset", line, "'ID FILE n … | GLOSS'")
            if int(match[1]) != position:
                raise TaxonomyError(
                    "the ids do not fit the file: a line's id is the byte where it starts",
                    place=f"{files.place}/data.noun:{number}",
                    expected=f"{position:08d}",
                    got=match[1].decode(),
                    hint="bytes were added or lost before it; take an unchanged copy",
                )
            starts.add(position)
        position += len(line)
    if not starts:
        raise TaxonomyError("no synset at all", place=f"{files.place}/data.noun", hint=_HINT)
    return starts


def _check_lexnames(files: NounFiles) -> None:
    for number, line in enumerate(io.BytesIO(files.lexnames), 1):
        if not _LEXNAME_LINE.fullmatch(line) or int(line[:2]) != number - 1:
            raise _wrong(files, "lexnames", number, "not a lexname", line, f"'{number - 1:02d} NAME POS', tabs")


def _wrong(files: NounFiles, name: str, number: int, problem: str, line: bytes, expected: str) -> TaxonomyError:
    return TaxonomyError(
        problem,
        place=f"{files.place}/{name}:{number}",
        expected=expected,
        got=quoted(line[:80].decode(errors="replace").rstrip("\n")),
    )


def _from_folder(top: Path, place: str) -> NounFiles:
    files = [*top.glob("data.noun"), *sorted(top.glob("*/data.noun"))]
    home = _home(place, [file.parent for file in files])
    paths = {name: home / name for name in FILES if (home / name).is_file()}
    _check_sizes(place, {name: file.stat().st_size for name, file in paths.items()})
    return _build(place, {name: file.read_bytes() for name, file in paths.items()})


def _from_zip(place: str, file: IO[bytes]) -> NounFiles:
    with zipfile.ZipFile(file) as archive:
        members = {PurePosixPath(info.filename): info for info in archive.infolist()}
        home = _home(place, [m.parent for m in members if m.name == "data.noun" and len(m.parts) <= 2])
        entries = {name: members[home / name] for name in FILES if home / name in members}
        _check_sizes(place, {name: info.file_size for name, info in entries.items()})
        return _build(place, {name: _unpacked(archive, info) for name, info in entries.items()})


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # archive.read() holds the text twice at its peak; a BytesIO hands over its own buffer
    text = io.BytesIO()
    with archive.open(info) as file:
        shutil.copyfileobj(file, text, 1 << 20)
    return text.getvalue()


def _home(place: str, homes: list[_PathT]) -> _PathT:
    if not homes:
        raise TaxonomyError("not a WordNet: no data.noun there, nor one folder down", place=place, hint=_HINT)
    if len(homes) > 1:
        raise TaxonomyError("several WordNets", place=place, got=listed(homes), hint="name the folder of one")
    return homes[0]


def _check_sizes(place: str, sizes: Mapping[str, int]) -> None:
    for name in _NEEDED:
        if name not in sizes:
            raise TaxonomyError(f"{name} is missing beside data.noun", place=place, hint=_HINT)
    for name, size in sizes.items():
        if size > _LARGEST:
            raise TaxonomyError(f"{name} is too large", place=place, expected=f"<= {_LARGEST} bytes", got=str(size))


def _build(place: str, texts: Mapping[str, bytes]) -> NounFiles:
    # Git and Windows tools turn line ends to CRLF; in WordNet no carriage return means anything
    plain = {name: text.replace(b"\r", b"") if b"\r" in text else text for name, text in texts.items()}
    return NounFiles(
        place, plain["data.noun"], plain["index.noun"], plain.get("lexnames", b""), plain.get("noun.exc", b"")
    )
