"""`python -m hiergen.assets.wordnet_pack FOLDER`: make `wordnet/nouns.zip` from a WordNet 3.0 folder."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from hiergen.errors import HiergenError, OutputError, TaxonomyError

OUTPUT = Path(__file__).with_name("wordnet") / "nouns.zip"

# name: bytes and SHA-256 of Princeton's file with plain line ends; another release would shift ImageNet's ids
_FILES = {
    "data.noun": (15_300_280, "489f145e0f68877c0be5bd0eb4117adaaac52f38f6204eb8d85dbe2158b614cc"),
    "index.noun": (4_786_655, "a490d99d93d017bf4822fe2f0ffa51fd73911ce271dc7535fade21f8814b5a04"),
    "lexnames": (803, "4767e2a1c6e68c1a93aa6b7c4ef7ebe9a815b50d7d5aac2788696f2cf3633bf1"),
    "noun.exc": (38_301, "2b5d675c380b39ecf595af9fa9d4e7feb1d58c643b0bff08c40ed5bfe41fab7a"),
}


def pack(folder: Path, output: Path = OUTPUT) -> int:
    """Write the zip and return its size in bytes; the same files give the same bytes.

    Raises TaxonomyError where a file is missing or not WordNet 3.0's, OutputError where it cannot write.
    """
    texts = {name: _read(folder / name, size, digest) for name, (size, digest) in _FILES.items()}
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(beside, "w") as archive:
            for name, text in sorted(texts.items()):
                member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                member.create_system = 3  # Unix, also when made elsewhere
                member.external_attr = 0o644 << 16
                archive.writestr(member, text, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
        beside.replace(output)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"cannot write ({error.strerror})", place=str(output)) from error
    return output.stat().st_size


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when written, 1 with one sentence when refused."""
    parser = argparse.ArgumentParser(prog="python -m hiergen.assets.wordnet_pack", description=__doc__)
    parser.add_argument("folder", type=Path, help="with data.noun, index.noun, noun.exc, lexnames of WordNet 3.0")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    try:
        size = pack(given.folder, given.output)
    except HiergenError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.output}: {size} bytes")
    return 0


def _read(file: Path, size: int, digest: str) -> bytes:
    try:
        text = file.read_bytes().replace(b"\r", b"")
    except OSError as error:
        raise TaxonomyError(f"cannot read ({error.strerror})", place=str(file)) from error
    if len(text) != size:
        raise TaxonomyError(
            "not WordNet 3.0's file",
            place=str(file),
            expected=f"{size} bytes without carriage returns",
            got=str(len(text)),
        )
    if hashlib.sha256(text).hexdigest() != digest:
        raise TaxonomyError("not WordNet 3.0's file: as long, but other bytes", place=str(file))
    return text


if __name__ == "__main__":
    sys.exit(main())
