"""An evaluation as files: metrics, what was said of every image, and which classes are taken for which."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hiergen.errors import HiergenError, OutputError, unquoted
from hiergen.files import check_writable, writable, write_text, writing
from hiergen.training.metrics import Metrics, confusion
from hiergen.training.report import CLASSES, classes_csv, draw_pictures, metrics_json
from hiergen.training.runfolder import METRICS

if TYPE_CHECKING:
    from hiergen.training.run import Evaluation

IMAGES, CONFUSIONS = "images.csv", "confusion.csv"
_PICTURE = re.compile(r"confusion(-classes|-level\d+)?\.(png|svg)")


def check_evaluation_folder(folder: Path) -> None:
    """Raises OutputError for a file, and for a folder that holds anything but an earlier evaluation: a training's
    metrics are of other images."""
    place = unquoted(folder)
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError("is a file", place=place, expected="a folder for the evaluation")
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    ours = {METRICS, IMAGES, CLASSES, CONFUSIONS}
    others = [name for name in names if name not in ours and not _PICTURE.fullmatch(name)]
    if others:
        raise OutputError("is a folder with other files", place=place, expected="a new or empty folder", got=others[0])
    check_writable(folder / METRICS if folder.is_dir() else folder)


def write_evaluation(folder: Path, done: Evaluation) -> str:
    """Write metrics.json, images.csv, classes.csv, confusion.csv, and with matplotlib pictures of confusions, into
    `folder`; what could not be drawn, and why ("" where all could).

    images.csv has a line for each image: file, true and predicted class, the latter's probability, whether it is right,
    and the groups of both. confusion.csv: images by true class (row) and predicted class (column), by their ids. Raises
    OutputError where a file cannot be written, HiergenError for an evaluation by several processes.
    """
    if not done.places:
        raise HiergenError("lines by image are of one process", hint="run 'hiergen eval -o FOLDER' without torchrun")
    for old in folder.glob("confusion*"):  # an earlier one's may be of other levels
        if _PICTURE.fullmatch(old.name):
            with writing(old):
                old.unlink()
    metrics = done.metrics
    assert isinstance(metrics, Metrics)  # none are written of several labels
    write_text(folder / METRICS, metrics_json(metrics))
    write_text(folder / CLASSES, classes_csv(metrics))
    write_text(folder / IMAGES, images_csv(done))
    write_text(folder / CONFUSIONS, confusion_csv(metrics))
    try:
        list(draw_pictures(folder, metrics, ()))
    except HiergenError as error:
        if error.hint is None or "hiergen[viz]" not in error.hint:
            raise
        return f"no pictures of confusions: {error}"
    return ""


def images_csv(done: Evaluation) -> str:
    """See `write_evaluation`."""
    metrics = done.metrics
    assert isinstance(metrics, Metrics)
    levels = metrics.hierarchy.levels[:-1]
    assert done.probabilities is not None
    head = ["file", "true", "predicted", "probability", "right", "true_id", "predicted_id"]
    head += [f"level{j}_{which}" for j in range(1, len(levels) + 1) for which in ("true", "predicted")]
    rows = []
    pairs = zip(metrics.targets.tolist(), metrics.predictions.tolist(), strict=True)
    for place, (true, said), share in zip(done.places, pairs, done.probabilities.tolist(), strict=True):
        ids = [metrics.classes[c].id for c in (true, said)]
        names = [metrics.classes[c].name for c in (true, said)]
        groups = [level.names[int(level.of_class[c])] for level in levels for c in (true, said)]
        rows.append([place, *names, f"{share:.6f}", int(true == said), *ids, *groups])
    if done.accepted is not None:
        head.append("accepted")
        rows = [[*row, int(yes)] for row, yes in zip(rows, done.accepted.tolist(), strict=True)]
    return _table([head, *rows])


def confusion_csv(metrics: Metrics) -> str:
    """See `write_evaluation`."""
    ids = [score.id for score in metrics.classes]
    counts = confusion(metrics.targets, metrics.predictions, len(ids)).tolist()
    return _table([["true", *ids], *([class_id, *row] for class_id, row in zip(ids, counts, strict=True))])


def _table(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return writable(text.getvalue())
