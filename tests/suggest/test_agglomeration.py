"""Shapes, agglomeration and exchanges against slow plain versions and known answers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from hiergen.errors import SpecError
from hiergen.partitions.grouping import Grouping, make_grouping
from hiergen.suggest.evidence import Evidence, Floats, combined, cosine
from hiergen.suggest.exchange import improve, objective
from hiergen.suggest.regroup import regroup
from hiergen.suggest.shape import Shape, read_counts
from hiergen.suggest.tree import agglomerate, ambiguous, join


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


def plain_join(similarity: Floats, count: int, low: int, n: int) -> list[list[int]]:
    """Average linkage with groups of `low` = 1 or 2 items or more, by trying all pairs."""
    groups = [[i] for i in range(n)]
    while len(groups) > count:
        found = []
        for a, b in itertools.combinations(range(len(groups)), 2):
            after = [g for i, g in enumerate(groups) if i not in (a, b)] + [groups[a] + groups[b]]
            single = sum(len(g) == 1 for g in after)
            if low == 2 and len(after) - single + single // 2 < count:
                continue  # too few groups of two could still be made
            mean = float(np.mean([similarity[i, j] for i in groups[a] for j in groups[b]]))
            found.append((mean, -a, -b))
        _, a, b = max(found)
        groups[-a] += groups.pop(-b)
    return sorted(sorted(g) for g in groups)


@pytest.mark.parametrize("seed", range(12))
def test_join_is_average_linkage_under_the_rule(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.randint(4, 18)
    similarity = random_similarity(n, seed)
    for low in (1, 2):
        count = rng.randint(1, n // low)
        assert join(similarity, [[i] for i in range(n)], count, low, n) == plain_join(similarity, count, low, n)


@pytest.mark.parametrize("seed", range(4))
def test_without_bounds_it_is_scipys(seed: int) -> None:
    similarity = random_similarity(20, seed)
    distance = similarity.max() - similarity
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance), "average")
    for count in (2, 3, 7, 19):
        found = join(similarity, [[i] for i in range(20)], count, 1, 20)
        of = fcluster(tree, count, "maxclust")
        assert found == sorted(sorted(np.flatnonzero(of == g).tolist()) for g in set(of))


def test_sizes_are_kept_whatever_the_similarity() -> None:
    rng = random.Random(5)
    for seed in range(40):
        n = rng.randint(8, 60)
        fine = rng.randint(4, n // 2)
        shape = Shape((rng.randint(2, fine // 2), fine), 2, rng.choice([None, -(-n // fine), n // fine + 2]))
        evidence = Evidence("x", random_similarity(n, seed))
        for exchange in (False, True):
            found = agglomerate(evidence, shape, names(n), names(n), exchange=exchange)
            assert shape.misfit(found) is None, (seed, exchange)


def test_min_size_of_three_and_more() -> None:
    for seed in range(6):
        shape = Shape((3, 9), 3, 5)
        found = agglomerate(Evidence("x", random_similarity(31, seed)), shape, names(31), names(31))
        assert shape.misfit(found) is None
        assert {len(set(found.parents(1)))} == {3}


@pytest.mark.parametrize("sizes", [[5, 5, 5, 5], [2, 3, 8, 13], [2, 2, 2, 2, 2, 2]])
def test_known_clusters_are_found(sizes: list[int]) -> None:
    rows, of = clusters(sizes, seed=1)
    n = len(of)
    found = agglomerate(Evidence("x", cosine(rows)), Shape((len(sizes),), 2, n), names(n), names(n))
    assert adjusted_rand_score(of, found.levels[0].of) == 1
    assert ambiguous(Evidence("x", cosine(rows)), found) == []


def test_the_order_of_the_classes_does_not_matter() -> None:
    similarity = random_similarity(30, 3)
    order = np.random.default_rng(0).permutation(30)
    ids = names(30)
    a = agglomerate(Evidence("x", similarity), Shape((3, 8)), ids, ids)
    shuffled = [ids[i] for i in order]
    b = agglomerate(Evidence("x", similarity[np.ix_(order, order)]), Shape((3, 8)), shuffled, shuffled)
    for mine, theirs in zip(a.levels, b.reordered(ids).levels, strict=True):
        assert adjusted_rand_score(mine.of, theirs.of) == 1


def partitions(n: int, count: int, low: int, high: int) -> Iterator[tuple[int, ...]]:
    for of in itertools.product(range(count), repeat=n):
        if list(dict.fromkeys(of)) == list(range(count)) and all(low <= of.count(g) <= high for g in range(count)):
            yield of


def plain_objective(similarity: Floats, of: tuple[int, ...]) -> float:
    total = 0.0
    for group in set(of):
        inside = [i for i, g in enumerate(of) if g == group]
        total += sum(similarity[i, j] for i in inside for j in inside if i != j) / len(inside)
    return total


def test_exchanges_only_improve_and_mostly_find_the_best() -> None:
    best = 0
    for seed in range(12):
        similarity = random_similarity(8, seed)
        np.fill_diagonal(similarity, 0)
        start = np.arange(8) % 3
        found = improve(similarity, np.ones(8), start, 2, 4)
        sizes = np.bincount(found, minlength=3)
        assert sizes.min() >= 2
        assert sizes.max() <= 4
        value = objective(similarity, np.ones(8), found)
        assert value == pytest.approx(plain_objective(similarity, tuple(found.tolist())))
        assert value >= objective(similarity, np.ones(8), start) - 1e-12
        top = max(plain_objective(similarity, of) for of in partitions(8, 3, 2, 4))
        assert value <= top + 1e-9
        best += value > top - 1e-9
    assert best >= 8


def test_a_bad_group_is_dissolved_and_a_loose_one_cut() -> None:
    """Items 0 and 1 have nothing in common, but groups of their own may not be; 6 to 9 are two pairs in one group."""
    best = [[0, 2, 3], [1, 4, 5], [6, 7], [8, 9]]
    similarity = np.zeros((10, 10))
    for group in best:
        similarity[np.ix_(group, group)] = 1
    np.fill_diagonal(similarity, 0)
    weight, start = np.ones(10), np.array([0, 0, 1, 1, 2, 2, 3, 3, 3, 3])
    found = regroup(similarity, weight, start, 2, 10, 1e-9)
    assert found is not None
    assert sorted(np.flatnonzero(found == g).tolist() for g in range(4)) == best
    assert regroup(similarity, weight, found, 2, 10, 1e-9) is None
    for seed in range(20):
        values = random_similarity(14, seed)
        np.fill_diagonal(values, 0)
        before = np.arange(14) % 4
        after = regroup(values, np.ones(14), before, 2, 6, 1e-9)
        if after is not None:
            assert plain_objective(values, tuple(after.tolist())) > plain_objective(values, tuple(before.tolist()))
            assert set(np.bincount(after, minlength=4).tolist()) <= {2, 3, 4, 5, 6}
        assert regroup(values, np.ones(14), improve(values, np.ones(14), before, 2, 6), 2, 6, 1e-9) is None


def test_no_move_and_no_swap_is_left() -> None:
    """Of weighted items, each step's gain by the plain objective."""
    rng = np.random.default_rng(7)
    weight = rng.integers(1, 4, size=10).astype(float)
    owner = np.repeat(np.arange(10), weight.astype(int))
    similarity = random_similarity(len(owner), 9)
    np.fill_diagonal(similarity, 0)
    choose = (owner == np.arange(10)[:, None]).astype(float)
    found = improve(choose @ similarity @ choose.T, weight, np.arange(10) % 4, 2, 5)
    value = plain_objective(similarity, tuple(found[owner].tolist()))
    for item, group in itertools.product(range(10), range(4)):
        moved = found.copy()
        moved[item] = group
        counts = np.bincount(moved, minlength=4)
        if counts.min() >= 2 and counts.max() <= 5:
            assert plain_objective(similarity, tuple(moved[owner].tolist())) <= value + 1e-6
    for a, b in itertools.combinations(range(10), 2):
        swapped = found.copy()
        swapped[[a, b]] = swapped[[b, a]]
        assert plain_objective(similarity, tuple(swapped[owner].tolist())) <= value + 1e-6


def test_ambiguous_classes_and_where_else_they_might_be() -> None:
    similarity = np.full((5, 5), 0.1)
    similarity[:2, :2] = similarity[2:, 2:] = 0.9
    similarity[4, :2] = similarity[:2, 4] = 0.88  # nearly as much
    grouping = make_grouping("x", names(5), [[0, 0, 1, 1, 1]])
    (doubt,) = ambiguous(Evidence("x", similarity), grouping)
    assert (doubt.index, doubt.other) == (4, 0)
    assert (doubt.own_similarity, doubt.other_similarity) == pytest.approx((0.9, 0.88))
    assert ambiguous(Evidence("x", similarity), grouping, margin=0.01) == []
    flat = Grouping("x", ("a",), ("a",), ())
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
        found = agglomerate(Evidence("x", random_similarity(n, 0)), shape.checked(n), names(n), names(n))
        assert found.counts == shape.counts


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
    np.testing.assert_allclose(combined([a, b]).similarity[above], (values[0] + values[1]) / 2, atol=1e-9)
