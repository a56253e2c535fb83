"""Shapes and agglomeration against slow plain versions and known answers."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from hiergen.errors import SpecError
from hiergen.nestings.suggest.evidence import Evidence, Floats, combine, cosine
from hiergen.nestings.suggest.propose import agglomerate, ambiguous, cut_dendrogram
from hiergen.nestings.suggest.shape import Shape, read_counts
from hiergen.taxonomy.nesting import Nesting


def names(n: int) -> list[str]:
    return [f"c{i}" for i in range(n)]


def random_similarity(n: int, seed: int) -> Floats:
    values = np.random.default_rng(seed).normal(size=(n, n))
    return (values + values.T) / 2


def clusters(sizes: list[int], seed: int, noise: float = 0.1) -> tuple[Floats, list[int]]:
    """Rows around one direction per cluster, in random order, and the cluster of each."""
    rng = np.random.default_rng(seed)
    of = [g for g, size in enumerate(sizes) for _ in range(size)]
    rng.shuffle(of)
    centres = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    return centres[of] + noise * rng.normal(size=(len(of), 40)), of


def test_sizes_are_kept_whatever_the_similarity() -> None:
    rng = random.Random(5)
    for seed in range(6):
        n = rng.randint(8, 60)
        fine = rng.randint(4, n // 2)
        shape = Shape((rng.randint(2, fine // 2), fine), 2, rng.choice([None, -(-n // fine), n // fine + 2]))
        evidence = Evidence("x", random_similarity(n, seed))
        result = agglomerate(evidence, shape, names(n), names(n))
        assert shape.misfit(result) is None, seed


@pytest.mark.parametrize("sizes", [[5, 5, 5, 5], [2, 3, 8, 13], [2, 2, 2, 2, 2, 2]])
def test_known_clusters_are_found(sizes: list[int]) -> None:
    rows, of = clusters(sizes, seed=1)
    n = len(of)
    result = agglomerate(Evidence("x", cosine(rows)), Shape((len(sizes),), 2, n), names(n), names(n))
    assert adjusted_rand_score(of, result.levels[0].of) == 1
    assert ambiguous(Evidence("x", cosine(rows)), result) == []


def runs(n: int, count: int, low: int, high: int) -> Iterator[tuple[int, ...]]:
    """Sizes of `count` runs that n things in a row can be cut into."""
    if count == 0:
        yield from [()] if n == 0 else []
        return
    for size in range(low, min(high, n) + 1):
        yield from ((size, *rest) for rest in runs(n - size, count - 1, low, high))


@pytest.mark.parametrize("seed", range(6))
def test_the_leaves_are_cut_at_the_best_places(seed: int) -> None:
    """Against all ways of cutting the leaves of scipy's dendrogram, of items of several classes each."""
    rng = np.random.default_rng(seed)
    points, weight = rng.normal(size=(9, 3)), rng.integers(1, 4, 9).astype(float)
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    order = leaves_list(linkage(squareform(np.sqrt(distance), checks=False), "ward", optimal_ordering=True))

    def scatter(groups: list[list[int]]) -> float:
        pairs = distance * np.outer(weight, weight)
        return sum(float(pairs[np.ix_(g, g)].sum() / weight[g].sum()) for g in groups)

    of = cut_dendrogram(distance, weight, 3, 2, 5)
    ours = scatter([np.flatnonzero(of == g).tolist() for g in range(3)])
    ways = [np.split(order, np.cumsum(sizes)[:-1]) for sizes in runs(9, 3, 2, 5)]
    assert ours == pytest.approx(min(scatter([part.tolist() for part in way]) for way in ways))
    assert set(np.bincount(of).tolist()) <= {2, 3, 4, 5}


def test_ambiguous_classes_and_where_else_they_might_be() -> None:
    similarity = np.full((5, 5), 0.1)
    similarity[:2, :2] = similarity[2:, 2:] = 0.9
    similarity[4, :2] = similarity[:2, 4] = 0.88  # nearly as much
    nesting = Nesting.from_levels(names(5), [[0, 0, 1, 1, 1]], name="x")
    (doubt,) = ambiguous(Evidence("x", similarity), nesting)
    assert (doubt.index, doubt.other) == (4, 0)
    assert (doubt.home_similarity, doubt.other_similarity) == pytest.approx((0.9, 0.88))
    similarity[4, :2] = similarity[:2, 4] = 0.8  # further below than a tenth of the spread
    assert ambiguous(Evidence("x", similarity), nesting) == []
    flat = Nesting.from_levels("a", [])
    assert ambiguous(Evidence("x", np.eye(1)), flat) == []


@pytest.mark.parametrize(
    ("shape", "classes", "text"),
    [
        (Shape((5, 8)), 100, "groups of level 2 need 10"),
        (Shape((60,)), 100, "60 groups of at least 2 classes need 120"),
        (Shape((4,), 2, 20), 100, "4 groups of at most 20 classes hold 80"),
        (Shape((4,), 5, 4), 100, "the largest group, 4, is below the smallest, 5"),
        (Shape((4,), 0), 100, "at least 1 class"),
        (Shape((1, 4)), 100, "one group of all classes"),
        (Shape((0,)), 100, "at least 1 group"),
    ],
)
def test_shapes_that_cannot_be(shape: Shape, classes: int, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        shape.checked(classes)


def test_shapes_at_the_edge_can_be() -> None:
    for shape, n in ((Shape((5, 10)), 20), (Shape((50,)), 100), (Shape((5,), 2, 20), 100), (Shape((100,), 1), 100)):
        result = agglomerate(Evidence("x", random_similarity(n, 0)), shape.checked(n), names(n), names(n))
        assert result.counts == shape.counts


def test_counts_as_they_are_typed() -> None:
    assert read_counts("5, 15") == (5, 15)
    for text in ("", "5,", "x", "-3", "5;15", "15,5", "5,5", "٣"):
        with pytest.raises(SpecError, match="groups"):
            read_counts(text)


def test_evidence_says_what_is_wrong_with_it() -> None:
    for bad in (np.zeros((2, 3)), np.array([[0, 1.0], [2, 0]]), np.array([[0, np.nan], [np.nan, 0]])):
        with pytest.raises(ValueError, match="similarity of x"):
            Evidence("x", bad)
    assert Evidence("x", np.eye(3)).spread == 0


def test_cosine_is_of_centred_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 4)) + 5
    centred = rows - rows.mean(0)
    plain = [[float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in centred] for a in centred]
    np.testing.assert_allclose(cosine(rows), plain, atol=1e-11)
    np.testing.assert_allclose(np.diag(cosine(np.vstack([rows, rows.mean(0)]))), [1, 1, 1, 1, 1, 1, 0], atol=1e-9)


def test_combined_evidence_weighs_each_alike() -> None:
    a, b = Evidence("a", random_similarity(12, 1)), Evidence("b", 1000 * random_similarity(12, 2) + 77)
    above = np.triu_indices(12, 1)
    values = [(e.similarity[above] - e.similarity[above].mean()) / e.similarity[above].std() for e in (a, b)]
    np.testing.assert_allclose(combine([a, b]).similarity[above], (values[0] + values[1]) / 2, atol=1e-9)
