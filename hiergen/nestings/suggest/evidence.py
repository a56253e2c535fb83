"""What speaks for putting classes together: one number for each pair of classes, from whatever source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """`similarity` is `(n, n)`, symmetric, larger = more alike, on any scale; its diagonal says nothing.

    `notes`: sentences on how it came about (which file, which order of rows), for the head of the file that is written.
    Raises ValueError for a matrix that is not square, not symmetric or not finite.
    """

    name: str
    similarity: Floats
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = self.similarity
        if values.ndim != 2 or values.shape[0] != values.shape[1]:
            raise ValueError(f"similarity of {self.name}: expected (n, n), got {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"similarity of {self.name} has values that are not finite")
        if not np.allclose(values, values.T, rtol=1e-9, atol=1e-12):
            raise ValueError(f"similarity of {self.name} is not symmetric")

    @cached_property
    def spread(self) -> float:
        """Standard deviation over the pairs of different classes: the unit in which differences are judged."""
        pairs = self.similarity[np.triu(np.ones(self.similarity.shape, dtype=bool), 1)]
        return float(pairs.std()) if len(pairs) else 0.0


def combine(evidence: Sequence[Evidence]) -> Evidence:
    """The mean of several, each in units of its own spread around its own mean."""
    total = np.zeros_like(evidence[0].similarity)
    for part in evidence:
        off = ~np.eye(len(part.similarity), dtype=bool)
        if part.spread > 0:
            total += (part.similarity - part.similarity[off].mean()) / part.spread
    return Evidence("all", symmetric(total / len(evidence)), tuple(note for part in evidence for note in part.notes))


def cosine(rows: Floats, *, centred: bool = True) -> Floats:
    """Cosine similarity of rows `(n, d)` -> `(n, n)`, by default after the mean row is taken away from each.

    A row of zeros is like no other (0). Sums are in double precision and do not depend on threads' order by more than
    rounding; the result is exactly symmetric.
    """
    directions = np.asarray(rows, dtype=np.float64)
    if centred:
        directions = directions - directions.mean(axis=0)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    long = lengths > 1e-12 * max(1.0, lengths.max())
    directions = np.divide(directions, lengths, out=np.zeros_like(directions), where=long)
    return symmetric(directions @ directions.T)


def symmetric(values: Floats) -> Floats:
    """The mean of a matrix and its transpose, rounded to 12 significant decimals of its largest value.

    Rounding makes the order of nearly equal pairs the same on every machine (BLAS libraries differ in the last bits).
    """
    mean = (values + values.T) / 2
    top = float(np.abs(mean).max(initial=0.0))
    if top == 0 or not np.isfinite(top):
        return mean
    digits = 12 - int(np.ceil(np.log10(top)))
    return np.round(mean, min(max(digits, -300), 300))
