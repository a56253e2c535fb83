"""What an evaluation says of every image, for the page: which classes are taken for which, and thumbnails of right and
wrong answers."""

from __future__ import annotations

import csv
import io
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from hiergen.errors import HiergenError, listed, quoted, unquoted
from hiergen.files import read_text
from hiergen.views.explore.payload import LIMIT, Results, read_results
from hiergen.views.explore.pictures import EACH, SEED, thumbnail
from hiergen.views.explore.read import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from hiergen.taxonomy.imagefolder import ImagePlace

MOST = 300  # thumbnails of a page
_SIDE, _QUALITY = 96, 75  # px and JPEG quality of a thumbnail: 3 kB
_HINT = "run hiergen eval -o FOLDER"


class _Answer(NamedTuple):
    """A line of images.csv, with classes as indices; `accepted` is False for an image that is none of the classes."""

    file: str
    true: int
    predicted: int
    probability: float
    accepted: bool | None


def read_evaluation(folder: Path, ids: Sequence[str]) -> tuple[Results, dict[str, Any]]:
    """The metrics in a folder of `hiergen eval -o FOLDER`, and its answers, JSON-ready: `confusions` (true class,
    predicted class, images), `items` with thumbnails of at most `EACH` right and `EACH` wrong ones of each class and
    `MOST` in all, and `drawn`: a sentence of how many these are.

    Images that can no longer be read are counted in it. Raises HiergenError for files that are not there, are no
    evaluation's or of several, and for one of other classes.
    """
    from hiergen.training.evaluation_files import CONFUSIONS, IMAGES
    from hiergen.training.runfolder import METRICS

    for name in (IMAGES, CONFUSIONS, METRICS):
        if not (folder / name).exists():
            raise HiergenError(f"holds no {name}", place=unquoted(folder), expected="an evaluation", hint=_HINT)
    results = read_results(folder / METRICS, ids)
    number = {one: c for c, one in enumerate(ids)}
    answers = _answers(folder / IMAGES, number)
    counts = Counter((a.true, a.predicted) for a in answers)
    if _confusions(folder / CONFUSIONS, number) != counts:
        raise HiergenError(f"does not count the images of {IMAGES}", place=unquoted(folder / CONFUSIONS), hint=_HINT)
    if results.images != len(answers):
        got = f"{results.images:,}, and {len(answers):,} in {IMAGES}"
        raise HiergenError("counts other images", place=unquoted(folder / METRICS), got=got, hint=_HINT)
    chosen, items = _draw(answers), []
    tars: dict[Path, dict[str, ImagePlace]] = {}
    for answer in chosen:
        try:
            image = thumbnail(_picture(answer.file, tars), _SIDE, _QUALITY)
        except HiergenError:
            continue
        items.append(plain({**answer._asdict(), "file": PurePath(answer.file).name, "image": image}))
    lost = len(chosen) - len(items)
    drawn = f"thumbnails of {len(items)} of {len(answers):,} images, "
    drawn += f"at most {EACH} right and {EACH} wrong ones of a class and {MOST} in all, drawn with seed {SEED}"
    drawn += f"; {lost} more can no longer be read where {IMAGES} says" if lost else ""
    confusions = [[true, predicted, count] for (true, predicted), count in sorted(counts.items())]
    return results, {"from": unquoted(folder), "drawn": drawn, "confusions": confusions, "items": items}


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(place, cells) of each line of a table."""
    reader = csv.reader(io.StringIO(read_text(path, limit=LIMIT), newline=""))
    try:
        for row in reader:
            if row:
                yield f"{unquoted(path)}:{reader.line_num}", row
    except csv.Error as error:
        raise HiergenError(f"is no CSV table ({error})", place=unquoted(path), hint=_HINT) from None


def _answers(path: Path, number: Mapping[str, int]) -> list[_Answer]:
    rows = _rows(path)
    _, head = next(rows, ("", []))
    missing = {"file", "true_id", "predicted_id", "probability"}.difference(head)
    if missing:
        raise HiergenError(f"has no column {quoted(min(missing))}", place=unquoted(path), hint=_HINT)
    answers = []
    for place, row in rows:
        cells = dict(zip(head, row, strict=False))
        if len(row) != len(head):
            raise HiergenError("has other cells than the head", place=place, expected=str(len(head)), got=str(len(row)))
        _check_ids([cells["true_id"], cells["predicted_id"]], number, place)
        accepted = None if "accepted" not in cells else cells["accepted"] != "0"
        share = _number(cells["probability"], place, "a probability", 1)
        answers.append(_Answer(cells["file"], number[cells["true_id"]], number[cells["predicted_id"]], share, accepted))
    return answers


def _confusions(path: Path, number: Mapping[str, int]) -> Counter[tuple[int, int]]:
    rows = _rows(path)
    place, head = next(rows, (unquoted(path), []))
    columns = head[1:]
    _check_ids(columns, number, place)
    counts: Counter[tuple[int, int]] = Counter()
    for place, row in rows:
        _check_ids(row[:1], number, place)
        if len(row) != len(head):
            raise HiergenError("has other cells than the head", place=place, expected=str(len(head)), got=str(len(row)))
        for one, cell in zip(columns, row[1:], strict=True):
            if cell != "0":
                counts[number[row[0]], number[one]] += int(_number(cell, place, "a count of images", LIMIT))
    return counts


def _check_ids(ids: Sequence[str], number: Mapping[str, int], place: str) -> None:
    """Raises HiergenError for one that is no class."""
    if other := [one for one in ids if one not in number]:
        raise HiergenError(f"is of other classes: {listed(other)}", place=place, expected="results of these classes")


def _number(cell: str, place: str, what: str, most: float) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise HiergenError(f"{quoted(cell)} is not {what}", place=place, hint=_HINT)
    return value


def _draw(answers: Sequence[_Answer]) -> list[_Answer]:
    """In turns a wrong and a right one of each class, so that every part of the tree has some."""
    kinds: dict[int, tuple[list[_Answer], list[_Answer]]] = {}
    for answer in answers:
        kinds.setdefault(answer.true, ([], []))[answer.true == answer.predicted].append(answer)
    draw, order = random.Random(SEED), sorted(kinds)
    draw.shuffle(order)
    for c in order:
        for kind in kinds[c]:
            draw.shuffle(kind)
    turns = (kind[i] for i in range(EACH) for c in order for kind in kinds[c] if i < len(kind))
    return list(islice(turns, MOST))


def _picture(place: str, tars: dict[Path, dict[str, ImagePlace]]) -> Image:
    """The image that images.csv calls so: a file, one in a tar, or one of scikit-learn's digits. `tars` are those that
    were looked through. Raises HiergenError for others, and where it cannot be read."""
    from hiergen.data.folders import DIGITS
    from hiergen.data.sources import Digits
    from hiergen.nn.pictures import read_picture
    from hiergen.taxonomy.imagefolder import ImagePlace, find_images

    if row := re.fullmatch(rf"{DIGITS}:(\d{{1,4}})", place):
        try:
            return read_picture(Digits().picture(int(row[1])), "RGB")
        except IndexError:
            raise HiergenError("no such image", place=unquoted(place)) from None
    found: ImagePlace | None = ImagePlace(Path(place))
    if inside := re.match(r"(.+?\.tar):.", place, re.IGNORECASE | re.DOTALL):
        tar = Path(inside[1])
        if tar not in tars:
            tars[tar] = {}
            tars[tar] = {str(one): one for one, _ in find_images(tar)}
        found = tars[tar].get(place)
    if found is None:
        raise HiergenError("no such image", place=unquoted(place))
    return read_picture(found, "RGB")  # type: ignore[arg-type]
