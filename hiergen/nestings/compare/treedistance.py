"""Distances between whole nestings as rooted trees: cophenetic correlation, Robinson–Foulds, triplets.

All rest on one matrix per nesting: how many levels two classes share. Nestings may differ in their depth.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiergen.taxonomy.nesting import Nesting


@dataclass(frozen=True)
class TreeDistance:
    """`cophenetic`: correlation of cophenetic distances (Sokal & Rohlf 1962), 1 the same, nan for a PHL, where all are
    alike. `robinson_foulds`: share of the groups that only one nesting has, 0 … 1. `triplets`: share of all triples of
    classes that the two resolve differently, 0 … 1."""

    cophenetic: float
    robinson_foulds: float
    triplets: float

    def as_data(self) -> dict[str, Any]:
        """For JSON: None for nan."""
        return {key: None if math.isnan(value) else value for key, value in asdict(self).items()}


def tree_distance(a: Nesting, b: Nesting) -> TreeDistance:
    """All three. Raises ValueError where the classes differ or stand in another order (`read.align`)."""
    if a.classes != b.classes:
        raise ValueError("nestings over different classes")
    return TreeDistance(cophenetic_correlation(a, b), robinson_foulds(a, b), triplet_distance(a, b))


def shared_levels(nesting: Nesting) -> NDArray[np.int64]:
    """For each pair of classes the number of levels on which they are together: the depth of their lowest common
    ancestor, `(n, n)`; k on the diagonal."""
    n = len(nesting.classes)
    depth = np.zeros((n, n), dtype=np.int64)
    for level in nesting.levels:
        of = np.array(level.of)
        depth += of[:, None] == of[None, :]
    np.fill_diagonal(depth, nesting.depth)
    return depth


def cophenetic_distance(nesting: Nesting) -> NDArray[np.float64]:
    """Height of the lowest common ancestor over the classes, the root's height 1: condensed, as scipy's `pdist`."""
    depth = shared_levels(nesting)[np.triu_indices(len(nesting.classes), 1)]
    distance: NDArray[np.float64] = 1.0 - depth / float(nesting.depth)
    return distance


def cophenetic_correlation(a: Nesting, b: Nesting) -> float:
    """Pearson correlation of the cophenetic distances; nan where one nesting has them all alike."""
    from scipy.stats import pearsonr

    x, y = cophenetic_distance(a), cophenetic_distance(b)
    if len(x) < 2 or not np.ptp(x) or not np.ptp(y):
        return math.nan
    return min(float(pearsonr(x, y).statistic), 1.0)


def robinson_foulds(a: Nesting, b: Nesting) -> float:
    """Clusters that only one of the trees has, by the number of both (Robinson & Foulds 1981, rooted).

    A cluster is the set of classes of a group; the root, single classes, and groups repeated on the next level do not
    count. 0 where neither has any.
    """
    x, y = clusters(a), clusters(b)
    return len(x ^ y) / (len(x) + len(y)) if x or y else 0.0


def clusters(nesting: Nesting) -> set[frozenset[int]]:
    """The groups that say something: neither all classes nor only one."""
    groups = {frozenset(group) for level in nesting.levels for group in level.members}
    return {group for group in groups if 1 < len(group) < len(nesting.classes)}


def triplet_distance(a: Nesting, b: Nesting) -> float:
    """Share of the triples of classes with different topology: which pair is the closest, or none (Critchlow, Pearl &
    Qian 1996). Exact, in O(n² + n·k²): counted per class from joint histograms of shared levels.
    """
    n = len(a.classes)
    if n < 3:
        return 0.0
    x, y = shared_levels(a), shared_levels(b)
    rows, columns = a.depth + 1, b.depth + 1
    code = (np.arange(n)[:, None] * rows + x) * columns + y
    # joint[c, i, j]: other classes that share i levels with c in a, and j in b
    joint = np.bincount(code.ravel(), minlength=n * rows * columns).reshape(n, rows, columns)
    joint[:, a.depth, b.depth] -= 1  # the class itself
    below_both = _before(_before(joint, 1), 2)
    below_a = _before(joint.sum(2), 1)
    below_b = _before(joint.sum(1), 1)
    past_b = _before(joint[:, :, ::-1], 2)[:, :, ::-1]  # more levels shared in b
    # ab|c is seen from a and from b
    resolved_a = int((joint.sum(2) * below_a).sum()) // 2
    resolved_b = int((joint.sum(1) * below_b).sum()) // 2
    alike = int((joint * below_both).sum()) // 2
    # ab|c here and ac|b there is seen from a only
    crossed = int((joint * _before(past_b, 1)).sum())
    return (resolved_a + resolved_b - 2 * alike - crossed) / math.comb(n, 3)


def _before(counts: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Sums of what stands before each place of an axis."""
    sums: NDArray[np.int64] = np.cumsum(counts, axis=axis) - counts
    return sums
