"""How far two nestings of the same classes agree.

Level by level, as partitions: scikit-learn's indices, variation of information, meet and join, and which classes moved.
As rooted trees: cophenetic correlation, Robinson–Foulds and triplets, all from one matrix per nesting: how many levels
two classes share. Nestings may differ in their depth.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiergen.taxonomy.nesting import Level, Nesting


@dataclass(frozen=True)
class Agreement:
    """Of two partitions a and b.

    `ari`: adjusted Rand index (Hubert & Arabie 1985), `ami`: adjusted mutual information (Vinh et al. 2010, arithmetic
    mean): 1 the same, 0 on average by chance. `homogeneity`: groups of b lie within groups of a, `completeness`: groups
    of a within those of b, `v_measure` their harmonic mean (Rosenberg & Hirschberg 2007). `vi`: variation of
    information in nats (Meilă 2007), a metric; `nvi`: its share of the joint entropy, 0 … 1. `meet`: groups of the
    coarsest common refinement, `join`: of the finest common coarsening.
    """

    ari: float
    ami: float
    homogeneity: float
    completeness: float
    v_measure: float
    vi: float
    nvi: float
    meet: int
    join: int

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def agreement(a: Level, b: Level) -> Agreement:
    """All indices of two partitions. Raises ValueError where they have not as many classes."""
    if len(a.of) != len(b.of):
        raise ValueError(f"{len(a.of)} classes against {len(b.of)}")
    from sklearn import metrics

    x, y = np.array(a.of), np.array(b.of)
    table = contingency(a, b)
    joint = _entropy(table.ravel())
    vi = max(2 * joint - _entropy(table.sum(1)) - _entropy(table.sum(0)), 0.0)
    vi = 0.0 if vi < 1e-12 else vi
    with _many_groups():
        homogeneity, completeness, v_measure = metrics.homogeneity_completeness_v_measure(x, y)
        ari, ami = metrics.adjusted_rand_score(x, y), metrics.adjusted_mutual_info_score(x, y)
    return Agreement(
        ari=float(ari),
        ami=float(ami),
        homogeneity=float(homogeneity),
        completeness=float(completeness),
        v_measure=float(v_measure),
        vi=vi,
        nvi=vi / joint if joint > 0 else 0.0,
        meet=int((table > 0).sum()),
        join=_components(table),
    )


def contingency(a: Level, b: Level) -> NDArray[np.int64]:
    """Classes in both group i of `a` and group j of `b`, `(groups of a, groups of b)`."""
    table = np.zeros((len(a.names), len(b.names)), dtype=np.int64)
    np.add.at(table, (np.array(a.of), np.array(b.of)), 1)
    return table


def matched_levels(a: Nesting, b: Nesting) -> list[tuple[int, int]]:
    """Which level of `a` is compared with which of `b`, coarse to fine.

    With as many levels: each with its own. Else each level of the shallower nesting has one partner, the order of
    the levels is kept, and the sum of the adjusted mutual informations is the largest that can be (the coarsest
    partners among equals).
    """
    if a.depth == b.depth:
        return [(j, j) for j in range(len(a.levels))]
    if a.depth > b.depth:
        return [(i, j) for j, i in matched_levels(b, a)]
    from sklearn.metrics import adjusted_mutual_info_score

    with _many_groups():
        scores = [[float(adjusted_mutual_info_score(x.of, y.of)) for y in b.levels] for x in a.levels]
    return _best_chain(scores)


def _best_chain(scores: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Rising columns, one per row, of the largest sum."""
    rows, columns = len(scores), len(scores[0]) if scores else 0
    # best[i][j]: rows from i on, columns from j on
    best = [[-math.inf] * (columns + 1) for _ in range(rows)] + [[0.0] * (columns + 1)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            best[i][j] = max(best[i][j + 1], scores[i][j] + best[i + 1][j + 1])
    pairs, j = [], 0
    for i in range(rows):
        while scores[i][j] + best[i + 1][j + 1] < best[i][j] - 1e-12:
            j += 1
        pairs.append((i, j))
        j += 1
    return pairs


def _entropy(counts: NDArray[np.int64]) -> float:
    """Nats."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def _components(table: NDArray[np.int64]) -> int:
    from scipy.sparse import bmat
    from scipy.sparse.csgraph import connected_components

    count, _ = connected_components(bmat([[None, table > 0], [(table > 0).T, None]]), directed=False)
    return int(count)


@contextmanager
def _many_groups() -> Iterator[None]:
    """scikit-learn takes many small groups for a regression target and warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than", category=UserWarning)
        yield


@dataclass(frozen=True)
class Moved:
    """A class index, and the indices of its groups in the first and the second partition."""

    index: int
    before: int
    after: int


@dataclass(frozen=True)
class Moves:
    """`partners[i]`: the group of the second partition that is taken for group i of the first, None for none.

    `moved`: the classes that are not in their group's partner, by group before, then after. `kept`: the others.
    """

    partners: tuple[int | None, ...]
    moved: tuple[Moved, ...]
    kept: int


def moves(a: Level, b: Level) -> Moves:
    """The fewest classes that must move to turn `a` into `b`: groups are matched one to one so that as many classes as
    can be stay (an assignment problem, by scipy). Groups without a common class are no partners.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(a, b)
    rows, columns = linear_sum_assignment(table, maximize=True)
    matches = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if table[i, j]}
    pairs = enumerate(zip(a.of, b.of, strict=True))
    moved = [Moved(c, before, after) for c, (before, after) in pairs if matches.get(before) != after]
    moved.sort(key=lambda m: (m.before, m.after, m.index))
    partners = tuple(matches.get(i) for i in range(len(a.names)))
    return Moves(partners, tuple(moved), len(a.of) - len(moved))


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
