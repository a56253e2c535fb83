"""webdataset shards on a local disk, read as what they are: tars whose members of one key are one sample."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from timm.utils.misc import natural_key

from hiergen.errors import HiergenError, listed, quoted
from hiergen.files import read_text, reason
from hiergen.imagefiles import ImagePlace, members
from hiergen.images import LabelledImages, label_images
from hiergen.taxonomy.synsets import is_wnid
from hiergen.train.data import PARTS, Asked, pick

_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "ppm", "bmp", "gif", "tif", "tiff"})
_INFOS = ("_info.json", "info.json", "dataset_info.json")
_NAME_FILES = ("classes.txt", "classnames.txt", "class_names.txt", "labels.txt", "synsets.txt")
_NAME_KEYS = ("classes", "class_names", "classnames", "label_names", "labels", "names")
_LABEL_KEYS = ("label", "cls", "class", "target", "class_name")
_MOST_LABEL = 1_000_000  # bytes
_MOST_SHARDS = 100_000


def open_shards(pattern: str, asked: Asked) -> LabelledImages:
    """The images of "shard-{000..003}.tar", "*.tar" or a folder of shards; see `open_data`.

    A sample has an image (key.jpg, .png, .webp, …) and a label: key.cls or key.txt, or a field of key.json. A number is
    an index of the names in classes.txt or _info.json beside the shards; where there are none, of the network's
    classes, if that fits their number (`note` says so). Raises HiergenError for a remote address, and for samples
    without a label.
    """
    files, note = _shards(pattern, asked.root, asked.split)
    place = quoted(_joined(pattern, asked.root))[1:-1]
    samples = [sample for file in files for sample in _samples(file)]
    if not samples:
        raise HiergenError("holds no images", place=place, expected="members such as 0001.jpg with 0001.cls")
    numbers = {label for _, label in samples if isinstance(label, int)}
    names: dict[int, str] = {}
    if numbers:
        listed_names, source = _names(files[0].parent)
        if source is None:
            count = asked.network.num_classes
            if len(numbers) != count or max(numbers) != count - 1 or min(numbers) != 0:
                raise HiergenError(
                    "labels are numbers without names, and do not fit the network's classes",
                    place=place,
                    expected=f"0..{count - 1}",
                    got=f"{len(numbers)} different ones, {min(numbers)}..{max(numbers)}",
                    hint="write the class names, one a line in the order of the numbers, to classes.txt beside them",
                )
            listed_names = list(asked.network.classes)
            said = "its labels are numbers without names: taken as indices of the network's classes, in their order"
            note = f"{place}: {said}" if not note else f"{note}; {said}"
        elif wrong := sorted(n for n in numbers if not 0 <= n < len(listed_names)):
            raise HiergenError(
                f"label {wrong[0]} has no name", place=place, expected=f"0..{len(listed_names) - 1}, as in {source}"
            )
        names = dict(enumerate(listed_names))
    found = [(where, names[label] if isinstance(label, int) else label) for where, label in samples]
    return label_images(
        found, asked.network, place=place, classes=asked.classes, transform=asked.transform, noun="class", note=note
    )


def shards_have_validation(pattern: str, root: Path | None) -> bool:
    """Whether shards of a folder are named by their parts; a pattern names one part."""
    folder = _joined(pattern, root)
    return os.path.isdir(folder) and len(_folder_parts(folder)) == len(PARTS)


def _joined(pattern: str, root: Path | None) -> Path:
    return Path(pattern) if root is None else root / pattern


def _shards(pattern: str, root: Path | None, split: Any) -> tuple[list[Path], str]:
    place = quoted(pattern)[1:-1]
    if re.match(r"[a-z0-9+]{2,}:", pattern, re.IGNORECASE):
        raise HiergenError(
            "is not on this disk, and shards are not read over a network", place=place, hint="copy them to a folder"
        )
    path = _joined(pattern, root)
    if os.path.isdir(path):
        parts = _folder_parts(path)
        if not parts:
            files, note = sorted(path.glob("*.tar"), key=lambda file: natural_key(file.name)), ""
        else:
            chosen = pick(parts, split)
            if chosen is None:
                raise HiergenError(
                    f"has no shards of the {split} part", place=quoted(path)[1:-1], got=listed(sorted(parts))
                )
            files = parts[chosen]
            note = "its test part is taken for validation" if chosen == "test" and split == "validation" else ""
        if not files:
            raise HiergenError("holds no .tar", place=quoted(path)[1:-1])
        return files, f"{quoted(path)[1:-1]}: {note}" if note else ""
    files = [Path(text) for text in _expanded(str(path))]
    if any(c in str(path) for c in "*?["):
        files = sorted(
            (found for file in files for found in Path(file.anchor or ".").glob(str(file.relative_to(file.anchor)))),
            key=lambda file: natural_key(str(file)),
        )
    if missing := [file for file in files if not os.path.isfile(file)]:
        raise HiergenError(
            f"no shard {quoted(missing[0])}" + (f", and {len(missing) - 1} more" * (len(missing) > 1)), place=place
        )
    if not files:
        raise HiergenError("no shard fits", place=place, expected="shard-{000..003}.tar, *.tar or a folder of them")
    return files, ""


def _expanded(text: str) -> list[str]:
    """ "a-{08..10}-{x,y}.tar" → six names, as a shell would."""
    done, waiting = [""], text
    while found := re.search(r"\{([^{}]*)\}", waiting):
        body = found[1]
        if numbers := re.fullmatch(r"([0-9]{1,9})\.\.([0-9]{1,9})", body):
            low, high, width = int(numbers[1]), int(numbers[2]), len(numbers[1])
            count = max(high - low + 1, 0)
            middle: Iterable[str] = (f"{i:0{width}d}" for i in range(low, high + 1))
        else:
            middle = body.split(",")
            count = len(middle)
        if count * len(done) > _MOST_SHARDS:
            raise HiergenError("names too many shards", place=quoted(text)[1:-1], expected=f"at most {_MOST_SHARDS:,}")
        before, waiting = waiting[: found.start()], waiting[found.end() :]
        ends = list(middle)
        done = [f"{start}{before}{end}" for start in done for end in ends]
    return [start + waiting for start in done]


def _folder_parts(folder: Path) -> dict[str, list[Path]]:
    """Shards by the part in their file names ("imagenet-train-0001.tar"); {} unless both parts are there."""
    parts: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.tar"), key=lambda file: natural_key(file.name)):
        words = re.split(r"[^a-z]+", file.name.lower())
        name = next((name for names in PARTS.values() for name in names if name in words), None)
        parts.setdefault(name or "", []).append(file)
    parts.pop("", None)
    return parts if all(pick(parts, split) for split in PARTS) else {}


def _samples(file: Path) -> Iterator[tuple[ImagePlace, int | str]]:
    """Each image of a shard with its label: a number, or a name."""
    place = quoted(file)[1:-1]
    try:
        key, image = "", None
        labels: dict[str, bytes] = {}
        for member in (*members(file), None):
            stem, _, extension = ("", "", "") if member is None else _key(member.name)
            if stem != key or member is None:
                if image is not None:
                    yield image, _label(labels, f"{place}:{quoted(key)[1:-1]}")
                key, image, labels = stem, None, {}
            if member is None:
                continue
            ending = extension.rpartition(".")[2]
            where = ImagePlace(file, member.name, member.offset_data, member.size)
            if ending in _IMAGES:
                image = where
            elif ending in {"cls", "json", "txt"} and member.size <= _MOST_LABEL:
                labels[ending] = where.read()
    except (OSError, tarfile.TarError) as error:
        raise HiergenError(f"cannot be read ({reason(error)})", place=place) from None


def _key(name: str) -> tuple[str, str, str]:
    """Up to the first dot of the file's name: webdataset's key."""
    folder, slash, base = name.rpartition("/")
    stem, dot, extension = base.partition(".")
    return folder + slash + stem, dot, extension.lower()


def _label(raw: dict[str, bytes], place: str) -> int | str:
    found: Any = None
    if "cls" in raw:
        found = raw["cls"].decode("utf-8", "replace").strip()
    elif "json" in raw:
        try:
            fields = json.loads(raw["json"])
        except (ValueError, RecursionError):
            raise HiergenError("its .json is no JSON", place=place) from None
        if isinstance(fields, dict):
            found = next((fields[key] for key in _LABEL_KEYS if fields.get(key) is not None), None)
    elif "txt" in raw:
        found = raw["txt"].decode("utf-8", "replace").strip()
    if isinstance(found, bool) or not isinstance(found, int | str) or found == "":
        raise HiergenError(
            "an image without a label", place=place, expected=f".cls, .txt, or .json with {', '.join(_LABEL_KEYS)}"
        )
    return int(found) if isinstance(found, int) or re.fullmatch(r"[0-9]{1,9}", found) else found


def _names(folder: Path) -> tuple[list[str], str | None]:
    """Class names in the order of the numbers, and the file that says so."""
    for name in _NAME_FILES:
        file = folder / name
        if file.is_file():
            lines = [line.strip() for line in read_text(file).splitlines()]
            lines = [line for line in lines if line and not line.startswith("#")]
            return [first if is_wnid(first := line.split()[0]) else line for line in lines], str(file)
    for name in _INFOS:
        file = folder / name
        if not file.is_file():
            continue
        try:
            info = json.loads(read_text(file))
        except (ValueError, RecursionError):
            raise HiergenError("is no JSON", place=quoted(file)[1:-1]) from None
        found = next((info[key] for key in _NAME_KEYS if key in info), None) if isinstance(info, dict) else None
        if isinstance(found, dict):
            found = [found.get(str(i)) for i in range(len(found))]
        if isinstance(found, list) and found and all(isinstance(item, str) for item in found):
            return found, str(file)
    return [], None
