"""The metrics that `hiergen eval --json` prints and `hiergen train` writes, laid over a page's classes and groups."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hiergen.errors import HiergenError, SpecError, listed, quoted
from hiergen.files import read_text
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.specfile import misfit

_LIMIT = 64_000_000  # bytes; 21,841 classes need 5 MB
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Height = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ClassResult(_Read):
    """One class; `severity` is the mean height of its mistakes, None without mistakes or in a file that lacks it."""

    id: str
    images: _Count
    accuracy: _Share | None = None
    precision: _Share | None = None
    severity: _Height | None = None
    confused_with: str | None = None
    confused: _Count = 0


class GroupResult(_Read):
    """One group of a level: whether image and predicted class are in it."""

    level: int
    path: tuple[str, ...]
    images: _Count
    recall: _Share | None = None
    precision: _Share | None = None


class Results(_Read):
    """What is used of docs/metrics.md's JSON."""

    images: _Count
    top1: _Share
    level_accuracy: tuple[_Share, ...] = ()
    mistake_severity: _Height | None = None
    classes: tuple[ClassResult, ...]
    groups: tuple[GroupResult, ...] = ()


def read_results(path: Path, ids: Sequence[str]) -> Results:
    """Read a metrics file for these classes; a part of them will do.

    Raises SpecError for a file that is none, and for one of other classes.
    """
    place, text = quoted(path)[1:-1], read_text(path, limit=_LIMIT)
    try:
        results = Results.model_validate(json.loads(text))
    except (ValueError, RecursionError) as error:
        problem = f"does not fit: {misfit(error)}" if isinstance(error, ValidationError) else "is no JSON file"
        raise SpecError(problem, place=place, expected="the metrics.json of 'hiergen train' or 'eval --json'") from None
    other = [c.id for c in results.classes if c.id not in set(ids)]
    if other:
        raise HiergenError(f"is of other classes: {listed(other)}", place=place, expected="results of these classes")
    if not results.classes:
        raise SpecError("has no classes", place=place)
    return results


def trained_model(weights: str) -> str | None:
    """The class name of the network that a safetensors file was trained for, from its header; None where there is no
    such file here, or it does not say."""
    try:
        if not Path(weights).is_file():  # a pipe may never end
            return None
        with open(weights, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= _LIMIT else {}
        name = header["__metadata__"]["model"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def results_data(results: Results, ids: Sequence[str], nests: Sequence[Nesting], name: str) -> dict[str, Any]:
    """Columns over the page's classes, None where a class has no result, and over the groups of the nestings that
    the results are told by."""
    number = {c: i for i, c in enumerate(ids)}
    rows: list[ClassResult | None] = [None] * len(ids)
    for c in results.classes:
        rows[number[c.id]] = c
    scored = [row for row in results.classes if row.severity is not None]
    by_path = {g.path: g for g in results.groups}
    return {
        "file": name,
        "images": results.images,
        "top1": results.top1,
        "levels": list(results.level_accuracy),
        "severity": results.mistake_severity,
        "by_class": bool(scored),
        "classes": {
            "images": [row.images if row else None for row in rows],
            "accuracy": [row.accuracy if row else None for row in rows],
            "precision": [row.precision if row else None for row in rows],
            "severity": [row.severity if row else None for row in rows],
            "confused": [[number.get(row.confused_with or "", -1), row.confused] if row else None for row in rows],
        },
        "groups": [_groups(by_path, nest) for nest in nests],
    }


def _shares(group: GroupResult | None) -> list[float | None]:
    return [group.recall, group.precision] if group else [None, None]


def _groups(by_path: dict[tuple[str, ...], GroupResult], nest: Nesting) -> list[list[list[float | None]]] | None:
    """(recall, precision) of each group by level; None where the results are told by another nesting."""
    paths = [[nest.path(j, i) for i in range(count)] for j, count in enumerate(nest.counts, 1)]
    every = [path for level in paths for path in level]
    if not every or not any(path in by_path for path in every) or not set(by_path) <= set(every):
        return None
    shares = []
    for level_paths in paths:
        row = [by_path.get(path) for path in level_paths]
        shares.append([_shares(g) for g in row])
    return shares
