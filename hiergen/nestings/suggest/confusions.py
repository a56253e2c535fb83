"""Evidence from mistakes: which classes a trained network takes for each other, from a file of counts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hiergen.errors import HiergenError, listed, quoted, unquoted
from hiergen.files import read_text
from hiergen.nestings.suggest.evidence import Evidence, Floats, cosine
from hiergen.taxonomy.load import Taxonomy

_FORMS = (
    "a CSV table or JSON {'classes': [...], 'counts': [[...]]} with one row for each true class, "
    "or classes.csv or metrics.json of a hiergen report"
)


def confusions_evidence(taxonomy: Taxonomy, path: Path) -> Evidence:
    """How alike the mistakes of two classes are: cosine of the rows of (P + Pᵀ) / 2, P being the shares of each true
    class's images that go to each predicted one.

    Two classes are alike that are taken for each other, and also that are taken for the same third. Raises
    HiergenError for a file of another form, of other classes, or with numbers that are no counts.
    """
    counts, extent = read_confusions(path, [c.id for c in taxonomy.classes])
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    note = f"Confusions of {path.name}, {extent}. Similarity: cosine of the rows of the symmetrised shares."
    return Evidence("confusions", cosine((shares + shares.T) / 2, centred=False), (note,))


def read_confusions(path: Path, ids: Sequence[str]) -> tuple[Floats, str]:
    """Counts `(n, n)` by true class (row) and predicted class, both in the order of `ids`, and what was read."""
    text, place = read_text(path), unquoted(path)
    if path.suffix == ".json":
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HiergenError("is no JSON", place=place, expected=_FORMS, got=unquoted(error)) from None
    else:
        try:
            rows = [row for row in csv.reader(io.StringIO(text)) if row]
        except csv.Error as error:
            raise HiergenError(f"is no CSV table ({error})", place=place, expected=_FORMS) from None
        if rows and "confused_with" in rows[0]:
            data = {"classes": [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]}
        elif len(rows) > 1:
            data = {
                "classes": rows[0][1:],
                "rows": [row[0] for row in rows[1:]],
                "counts": [row[1:] for row in rows[1:]],
            }
        else:
            data = None
    if isinstance(data, Mapping) and isinstance(classes := data.get("classes"), list) and classes:
        if isinstance(data.get("counts"), list):
            return _table(data, classes, ids, place), "a whole table"
        if all(isinstance(entry, Mapping) and "confused_with" in entry for entry in classes):
            return _rivals(classes, ids, place), "each class's most frequent mistake only"
    raise HiergenError("holds no confusions", place=place, expected=_FORMS)


def _table(data: Mapping[str, Any], classes: list[Any], ids: Sequence[str], place: str) -> Floats:
    named = [str(name) for name in classes]
    rows = [str(name) for name in data.get("rows", named)]
    for ids_given in (named, rows):
        if missing := sorted(set(ids) - set(ids_given)):
            raise HiergenError(
                f"lacks {len(missing)} classes: {listed(missing)}", place=place, expected="all class ids"
            )
        if len(set(ids_given)) < len(ids_given):
            raise HiergenError("names a class twice", place=place)
    counts = data["counts"]
    if len(counts) != len(rows) or any(not isinstance(row, list) or len(row) != len(named) for row in counts):
        raise HiergenError("is no full table", place=place, expected=f"{len(rows)} rows of {len(named)} counts")
    values = np.array([[_count(value, place) for value in row] for row in counts])
    across = {name: i for i, name in enumerate(named)}
    down = {name: i for i, name in enumerate(rows)}
    ordered: Floats = values[np.ix_([down[c] for c in ids], [across[c] for c in ids])]
    return ordered


def _rivals(classes: Sequence[Mapping[str, Any]], ids: Sequence[str], place: str) -> Floats:
    """From a report's scores by class: images, accuracy and the most frequent mistake."""
    at = {name: i for i, name in enumerate(ids)}
    key = next((k for k in ("id", "class", "name") if all(k in entry for entry in classes)), None)
    if key is None:
        raise HiergenError("says not which class is which", place=place, expected=_FORMS)
    entries = {str(entry[key]): entry for entry in classes}
    if missing := [c for c in ids if c not in entries]:
        raise HiergenError(f"lacks {len(missing)} classes: {listed(missing)}", place=place, expected="all class ids")
    counts = np.zeros((len(ids), len(ids)))
    for i, name in enumerate(ids):
        entry = entries[name]
        images = _count(entry.get("images") or 0, place)
        counts[i, i] = images * _count(entry.get("accuracy") or 0, place)
        rival = entry.get("confused_with")
        if rival and str(rival) in at:
            counts[i, at[str(rival)]] = _count(entry.get("confused") or 0, place)
    return counts


def _count(value: Any, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):  # no float is as large as JSON's numbers may be
        number = -1.0
    if not 0 <= number < 1e15:
        raise HiergenError(f"{quoted(value)} is no count", place=place, expected="numbers from 0")
    return number
