"""How far two partitions of the same classes agree: scikit-learn's indices, variation of information, meet and join."""

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
