"""How well the groups of a nesting hold together, and how far that is above chance.

Coherence of a level: mean similarity of pairs within a group minus that of pairs in different groups. Chance: all
relabellings of the classes, which keep the shape. Mean and variance over all n! of them are exact, after Mantel
("The detection of disease clustering and a generalized regression approach", Cancer Research 1967): no draws needed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiergen.nestings.compare.agreement import shared_levels
from hiergen.taxonomy.nesting import Nesting

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class LevelCoherence:
    """Of one level. `coherence` = `within` - `between`, 0 on average by chance, with `sd`; `z` = `coherence` / `sd`.
    nan wherever a mean has no pairs or nothing varies.
    """

    groups: int
    within: float
    between: float
    coherence: float
    sd: float
    z: float


@dataclass(frozen=True)
class Coherence:
    """`levels`, coarse to fine, and the whole nesting: `correlation` (Mantel's r) of similarity and the number of
    levels that two classes share, and its `z`. nan where either does not vary."""

    levels: tuple[LevelCoherence, ...]
    correlation: float
    z: float

    def as_data(self) -> dict[str, Any]:
        """For JSON: None for nan."""
        levels = [{key: _plain(value) for key, value in asdict(level).items()} for level in self.levels]
        return {"levels": levels, "correlation": _plain(self.correlation), "z": _plain(self.z)}


def coherence(nesting: Nesting, similarity: Matrix) -> Coherence:
    """Coherence of each level and of the nesting under a symmetric similarity `(n, n)`; its diagonal is not looked at.

    z-scores are exact: against all relabellings.
    Raises ValueError for a similarity of another shape.
    """
    n = len(nesting.classes)
    if similarity.shape != (n, n):
        raise ValueError(f"similarity is {similarity.shape}, expected {(n, n)}")
    levels = [np.array(level.of) for level in nesting.levels]
    values = [_level(of, similarity) for of in levels]
    shared = shared_levels(nesting).astype(np.float64)
    return Coherence(tuple(values), mantel_r(shared, similarity), mantel_z(shared, similarity))


def permutation_moments(a: Matrix, b: Matrix) -> tuple[float, float]:
    """Exact (mean, variance) of sum_{i != j} a_ij · b_π(i)π(j) over all permutations π; a and b symmetric `(n, n)`.

    Pairs of pairs share two, one or no index, and each kind has one expectation (Mantel 1967, eq. 7-9).
    """
    n = len(a)
    sums = []
    for m in (a, b):
        rows = m.sum(1) - np.diag(m)
        total = float(rows.sum())
        squares = float((m * m).sum() - (np.diag(m) ** 2).sum())
        one = float((rows**2).sum()) - squares  # ordered triples that share one index
        sums.append((total, squares, one, total**2 - 4 * one - 2 * squares))
    (ta, sa, oa, ra), (tb, sb, ob, rb) = sums
    pairs = n * (n - 1)
    if not pairs:
        return 0.0, 0.0
    mean = ta * tb / pairs
    second = 2 * sa * sb / pairs
    if n > 2:
        second += 4 * oa * ob / (pairs * (n - 2))
    if n > 3:
        second += ra * rb / (pairs * (n - 2) * (n - 3))
    return mean, max(second - mean**2, 0.0)


def mantel_r(a: Matrix, b: Matrix) -> float:
    """Pearson correlation of the entries above the diagonal; nan where one of them does not vary."""
    x, y = (m[np.triu_indices(len(m), 1)] for m in (a, b))
    if not len(x) or not _varies(x) or not _varies(y):
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def mantel_z(a: Matrix, b: Matrix) -> float:
    """How many standard deviations sum a_ij·b_ij lies above its mean over all relabellings; nan as `mantel_r`."""
    above = np.triu_indices(len(a), 1)
    if not len(above[0]) or not _varies(a[above]) or not _varies(b[above]):
        return math.nan
    # centred: the moments are differences of large numbers
    a, b = a - a[above].mean(), b - b[above].mean()
    mean, variance = permutation_moments(a, b)
    observed = 2 * float((a[above] * b[above]).sum())
    scale = 2 * float(np.linalg.norm(a[above]) * np.linalg.norm(b[above]))
    return (observed - mean) / math.sqrt(variance) if variance > (1e-12 * scale) ** 2 else math.nan


def _level(of: NDArray[np.int64], similarity: Matrix) -> LevelCoherence:
    same = of[:, None] == of[None, :]
    above = np.triu_indices(len(of), 1)
    inside, values = same[above], similarity[above]
    pairs = (int(inside.sum()), int((~inside).sum()))
    within, between = (float(values[m].mean()) if m.any() else math.nan for m in (inside, ~inside))
    value = within - between
    z = mantel_z(same.astype(np.float64), similarity) if all(pairs) else math.nan
    sd = math.nan
    if all(pairs):
        # the sum over pairs within moves the two means against each other
        centred = similarity - values.mean()
        variance = permutation_moments(same.astype(np.float64) - inside.mean(), centred)[1]
        sd = math.sqrt(variance) / 2 * (1 / pairs[0] + 1 / pairs[1])
    return LevelCoherence(int(of.max(initial=-1)) + 1, within, between, value, sd, z)


def _varies(values: Matrix) -> bool:
    return bool(np.ptp(values) > 1e-12 * max(1.0, float(np.abs(values).max())))


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
