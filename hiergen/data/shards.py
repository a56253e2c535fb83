"""webdataset shards on a local disk, read in place: tars whose members of one key are one sample.

The package datasets would copy all images to its cache first, and timm's reader is a stream, without a fixed order.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from timm.utils.misc import natural_key

from hiergen.data.imageclasses import ImageRequest, label_images
from hiergen.data.images import LabelledImages
from hiergen.errors import HiergenError, quoted, unquoted
from hiergen.files import read_text, reason
from hiergen.taxonomy.imagefolder import ENDINGS, ImagePlace, Unread, members
from hiergen.taxonomy.roots import PARTS, TESTS, Split, is_junk, pick
from hiergen.taxonomy.synsets import is_wnid

_NAMES = "classes.txt"
_LABEL_KEYS = ("label", "cls", "class", "target", "class_name")
_MOST_LABEL = 1_000_000  # bytes
_MOST_SHARDS = 100_000


def open_shards(pattern: str, request: ImageRequest) -> LabelledImages:
    """The images of "shard-{000..003}.tar", "*.tar" or a folder of shards; see `open_data`.

    A sample has an image (key.jpg, .png, .webp, …) and a label: key.cls or key.txt, or a field of key.json. A number is
    an index of the names in classes.txt beside the shards; where there is none, of the network's classes, if that fits
    their number (`note` says so). Raises HiergenError for a remote address, and for samples without a label.
    """
    files, note = _shards(pattern, request.root, request.split)
    place = _shown(_joined(pattern, request.root))
    unread = Unread(files[0].parent)
    samples = [sample for file in files for sample in _samples(file, unread)]
    if not samples:
        raise HiergenError("holds no images", place=place, expected="members such as 0001.jpg with 0001.cls")
    numbers = sorted({label for _, label in samples if isinstance(label, int)})
    names: list[str] = []
    if numbers and (beside := files[0].parent / _NAMES).is_file():
        names = _names(beside)
        if wrong := [number for number in numbers if not 0 <= number < len(names)]:
            expected = f"0..{len(names) - 1}, as in {beside}"
            raise HiergenError(f"label {wrong[0]} has no name", place=place, expected=expected)
    elif numbers:
        names = list(request.network.classes)
        if numbers != list(range(len(names))):
            raise HiergenError(
                "labels are numbers without names, and do not fit the network's classes",
                place=place,
                expected=f"0..{len(names) - 1}",
                got=f"{len(numbers)} different ones, {numbers[0]}..{numbers[-1]}",
                hint=f"write the class names, one a line in the order of the numbers, to {_NAMES} beside them",
            )
        guess = "its labels are numbers without names: taken as indices of the network's classes, in their order"
        note = f"{note}; {guess}" if note else f"{place}: {guess}"
    note = "; ".join(filter(None, (note, unread.note())))
    named = [(where, names[label] if isinstance(label, int) else label) for where, label in samples]
    return label_images(named, request, place, note=note)


def shards_have_validation(pattern: str, root: Path | None) -> bool:
    """Whether shards of a folder are named by their parts; a pattern names one part."""
    folder = _joined(pattern, root)
    return os.path.isdir(folder) and len(_by_part(_tars(folder))) == len(PARTS)


def _shards(pattern: str, root: Path | None, split: Split) -> tuple[list[Path], str]:
    """The files, and what is to be noted of them."""
    if re.match(r"[a-z0-9+]{2,}:", pattern, re.IGNORECASE):
        text = "is not on this disk, and shards are not read over a network"
        raise HiergenError(text, place=unquoted(pattern), hint="copy them to a folder")
    path = _joined(pattern, root)
    if os.path.isdir(path):
        files, note = _tars(path), ""
        if not files:
            raise HiergenError("holds no .tar", place=_shown(path))
        if parts := _by_part(files):
            part = pick(parts, split)
            assert part is not None
            files = parts[part]
            note = f"{_shown(path)}: its test part is taken for validation" if part in TESTS else ""
        return files, note
    files = [Path(text) for text in _expanded(str(path))]
    if re.search(r"[*?\[]", str(path)):
        globs = [Path(file.anchor or ".").glob(str(file.relative_to(file.anchor))) for file in files]
        files = sorted((file for matches in globs for file in matches), key=lambda file: natural_key(str(file)))
    if missing := [file for file in files if not os.path.isfile(file)]:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise HiergenError(f"no shard {quoted(missing[0])}{more}", place=unquoted(pattern))
    if not files:
        expected = "shard-{000..003}.tar, *.tar or a folder of them"
        raise HiergenError("no shard fits", place=unquoted(pattern), expected=expected)
    return files, ""


def _joined(pattern: str, root: Path | None) -> Path:
    return Path(pattern) if root is None else root / pattern


def _tars(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tar"), key=lambda file: natural_key(file.name))


def _shown(path: Path) -> str:
    return unquoted(path)


def _expanded(text: str) -> list[str]:
    """ "a-{08..10}-{x,y}.tar" → six names, as a shell would."""
    starts, rest = [""], text
    while braces := re.search(r"\{([^{}]*)\}", rest):
        middles: Iterable[str] = braces[1].split(",")
        count = braces[1].count(",") + 1
        if numbers := re.fullmatch(r"([0-9]{1,9})\.\.([0-9]{1,9})", braces[1]):
            low, high, width = int(numbers[1]), int(numbers[2]), len(numbers[1])
            middles, count = (f"{i:0{width}d}" for i in range(low, high + 1)), max(high - low + 1, 0)
        if count * len(starts) > _MOST_SHARDS:
            raise HiergenError("names too many shards", place=unquoted(text), expected=f"at most {_MOST_SHARDS:,}")
        ends = [rest[: braces.start()] + middle for middle in middles]
        starts, rest = [start + end for start in starts for end in ends], rest[braces.end() :]
    return [start + rest for start in starts]


def _by_part(files: list[Path]) -> dict[str, list[Path]]:
    """Shards by the part in their file names ("imagenet-train-0001.tar"); {} unless both parts are there."""
    parts: dict[str, list[Path]] = {}
    for file in files:
        words = re.split(r"[^a-z]+", file.name.lower())
        if name := next((name for names in PARTS.values() for name in names if name in words), None):
            parts.setdefault(name, []).append(file)
    return parts if all(pick(parts, split) for split in PARTS) else {}


def _samples(file: Path, unread: Unread) -> Iterator[tuple[ImagePlace, int | str]]:
    """Each image of a shard with its label: a number, or a name. Of a sample's images the last one counts."""
    place = _shown(file)
    try:
        key, image = "", None
        labels: dict[str, bytes] = {}
        for member in (*members(file), None):
            stem, ending = ("", "") if member is None else _key(member.name)
            if stem != key or member is None:
                if image is not None:
                    yield image, _label(labels, f"{place}:{unquoted(key)}")
                elif labels:
                    unread.add(PurePosixPath(key), "label without an image")
                key, image, labels = stem, None, {}
            if member is None:
                continue
            where = ImagePlace(file, member.name, member.offset_data, member.size)
            if not member.isfile():
                unread.add(PurePosixPath(member.name), "link or device")
            elif f".{ending}" in ENDINGS:
                if image is not None:
                    unread.add(PurePosixPath(member.name), "of a sample's several images")
                image = where
            elif ending in {"cls", "json", "txt"} and member.size <= _MOST_LABEL:
                labels[ending] = where.read()
            elif not is_junk(PurePosixPath(member.name).name):
                unread.add(PurePosixPath(member.name), f".{ending}")
    except (OSError, tarfile.TarError) as error:
        raise HiergenError(f"cannot be read ({reason(error)})", place=place) from None


def _key(name: str) -> tuple[str, str]:
    """webdataset's key, up to the first dot of the file's name, and how the name ends."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return folder + slash + stem, extension.lower().rpartition(".")[2]


def _label(raw: dict[str, bytes], place: str) -> int | str:
    label: object = None
    if "json" in raw and "cls" not in raw:
        try:
            fields = json.loads(raw["json"])
        except (ValueError, RecursionError):
            raise HiergenError("its .json is no JSON", place=place) from None
        if isinstance(fields, dict):
            label = next((fields[key] for key in _LABEL_KEYS if fields.get(key) is not None), None)
    else:
        label = raw.get("cls", raw.get("txt", b"")).decode("utf-8", "replace").strip()
    if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
        expected = f".cls, .txt, or .json with {', '.join(_LABEL_KEYS)}"
        raise HiergenError("an image without a label", place=place, expected=expected)
    return int(label) if isinstance(label, int) or re.fullmatch(r"[0-9]{1,9}", label) else label


def _names(file: Path) -> list[str]:
    """Class names in the order of the numbers; of a line that begins with a wnid, that."""
    lines = [line.strip() for line in read_text(file).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return [first if is_wnid(first := line.split()[0]) else line for line in lines]
