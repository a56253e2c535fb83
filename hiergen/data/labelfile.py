"""Images named in a table with their labels: `labels.csv` or `.tsv`, one label an image or several."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hiergen.data.imageclasses import NO_CLASS, ImageRequest, Others, homes_of
from hiergen.data.images import LabelledImages, LabelSets, depth_note, eval_transform
from hiergen.errors import HiergenError, listed, quoted, unquoted
from hiergen.files import read_text
from hiergen.nn.pictures import image_mode
from hiergen.taxonomy.imagefolder import ImagePlace
from hiergen.taxonomy.naming import nfc

ENDINGS = {".csv": ",", ".tsv": "\t"}
_FILE = {"file", "filename", "file name", "image", "image name", "image id", "image index", "path", "img", "name", "id"}
_NUMBERS = {"0": False, "1": True, "0.0": False, "1.0": True}


def open_labels(path: Path, request: ImageRequest) -> LabelledImages:
    """The images of a table: a column of files, as seen from the table's folder, and one of labels, parted by "|", ";"
    or "," (or blanks, where a cell is no class but all its words are); or, with a header, a column of 0 and 1 for each
    label. An image of several rows has the labels of all; a cell may be empty.

    Where each image has one label the targets are classes, else sets of classes. Raises HiergenError, with the line,
    for what is no such table, a file that is not there, and labels as `open_data` does for folders.
    """
    found: dict[Path, set[str]] = {}
    for place, name, labels in _rows(path, request):
        file = path.parent / name
        if not os.path.isfile(file):  # False for a name too long, where Path raises
            raise HiergenError("no such image", place=place, got=quoted(name), hint=f"files lie beside {path.name}")
        found.setdefault(file, set()).update(labels)
    if not found:
        raise HiergenError("names no images", place=unquoted(path), expected="a file and its labels on each line")
    names = (label for labels in found.values() for label in labels)
    homes, left_out, missing, _ = homes_of(
        names,
        request.network,
        classes=request.classes,
        place=unquoted(path),
        noun="label",
        some=request.split == "validation",
    )
    kept = {file: tuple(sorted({homes[label] for label in labels if label in homes})) for file, labels in found.items()}
    if isinstance(request.classes, Others):  # what shows a class besides is none of them; what shows none is
        kept = {file: (NO_CLASS,) for file, labels in found.items() if labels <= homes.keys()}
    elif request.classes is not None:  # an image of other classes only is one of theirs; one of none stays
        kept = {file: classes for file, classes in kept.items() if classes or not found[file]}
    if all(len(classes) == 1 for classes in kept.values()) and kept:
        targets, sets = tuple(classes[0] for classes in kept.values()), None
    else:
        distinct = sorted(set(kept.values()))
        number = {classes: request.network.num_classes + i for i, classes in enumerate(distinct)}
        targets = tuple(number[classes] for classes in kept.values())
        sets = LabelSets(request.network.num_classes, tuple(distinct), several=True)
    places = tuple(map(ImagePlace, kept))
    deep = depth_note(place.read for place in places[:: max(len(places) // 16, 1)])
    return LabelledImages(
        places=places,
        targets=targets,
        transform=request.transform or eval_transform(request.network),
        left_out=left_out,
        note="; ".join(filter(None, (missing, deep))),
        mode=image_mode(request.network),
        labels=sets,
    )


def _rows(path: Path, request: ImageRequest) -> Iterator[tuple[str, str, Sequence[str]]]:
    """ "file:line", the image's file and its labels."""
    text = read_text(path)
    mark = ENDINGS[path.suffix.lower()]
    first = text.split("\n", 1)[0]
    if mark not in first and ";" in first:
        mark = ";"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise HiergenError(f"is no table ({error})", place=f"{unquoted(path)}:{reader.line_num}") from None
    head = [_word(cell) for cell in rows[0][1]] if rows else []
    has_head = bool(head) and head[0] in _FILE
    body = rows[1:] if has_head else rows
    columns = rows[0][1][1:] if has_head and len(head) > 2 else []
    known = {_word(name) for names in (request.network.classes, request.network.nesting.labels) for name in names}
    for number, row in body:
        place = f"{unquoted(path)}:{number}"
        cells = [cell.strip() for cell in row]
        if columns:
            if len(cells) != len(head) or any(cell not in _NUMBERS for cell in cells[1:]):
                raise HiergenError(
                    "is no row of a file and a 0 or 1 for each label", place=place, got=listed(map(quoted, cells))
                )
            labels = [name for name, cell in zip(columns, cells[1:], strict=True) if _NUMBERS[cell]]
        elif len(cells) == 2:
            labels = _parted(cells[1], known)
        else:
            raise HiergenError(
                f"has {len(cells)} column{'s' * (len(cells) != 1)}",
                place=place,
                expected="a file and its labels",
                hint="labels are parted by | or ;, or a header names a column of 0 and 1 for each",
            )
        yield place, cells[0], labels


def _parted(cell: str, known: set[str]) -> list[str]:
    if _word(cell) in known:
        return [cell]
    words = [word.strip() for word in re.split(r"[|;,]", cell)]
    if len(words) == 1 and all(_word(word) in known for word in cell.split()):
        words = cell.split()
    return [word for word in words if word]


def _word(cell: str) -> str:
    return " ".join(nfc(cell).casefold().replace("_", " ").replace("-", " ").split())
