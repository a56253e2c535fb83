"""Where evidence disagrees, and how choices become a nesting: against plain loops and known answers."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hiergen.partitions.grouping import Grouping, make_grouping
from hiergen.suggest.evidence import Evidence
from hiergen.suggest.llm.settle import settle
from hiergen.suggest.llm.votes import START, Spot, spots
from hiergen.suggest.shape import Shape, shape_of
from tests.suggest.llm_stub import evidence, twelve


def nesting(rng: random.Random, n: int) -> Grouping:
    """Two levels, no group alone."""
    fine = [c % 6 for c in range(n)]
    rng.shuffle(fine)
    return make_grouping("random", [f"c{c}" for c in range(n)], [[g % 3 for g in fine], fine])


def slow_vote(grouping: Grouping, similarity: np.ndarray, level: int, index: int) -> int:
    """By pairs of classes, in a loop."""
    of = grouping.levels[level].of
    last = len(grouping.levels) - 1
    subject = [index] if level == last else grouping.levels[level + 1].members()[index]
    means = {}
    for group in range(len(grouping.levels[level].names)):
        values = [similarity[a, b] for a in subject for b in range(len(of)) if of[b] == group and b not in subject]
        means[group] = sum(values) / len(values)
    return max(means, key=means.__getitem__)


@pytest.mark.parametrize("seed", range(5))
def test_votes_are_average_linkage_by_hand(seed: int) -> None:
    rng = random.Random(seed)
    grouping = nesting(rng, 24)
    matrices = [np.random.default_rng([seed, i]).normal(size=(24, 24)) for i in range(2)]
    known = [Evidence(f"e{i}", m + m.T) for i, m in enumerate(matrices)]
    expected = []
    for level in (1, 0):
        parents = grouping.parents(level + 1)
        for index, own in enumerate(parents):
            votes = [(START, own)] + [(e.name, slow_vote(grouping, e.similarity, level, index)) for e in known]
            if len({group for _, group in votes}) > 1 and parents.count(own) > 1:
                expected.append(Spot(level, index, tuple(votes)))
    found = spots(grouping, known)
    assert found == expected
    assert {spot.level for spot in found} == {0, 1}  # noise disputes both


def test_agreeing_evidence_asks_nothing_and_ties_stay_where_they_are() -> None:
    assert spots(twelve(), [evidence("a", {}), evidence("b", {}, seed=1)]) == []
    assert spots(twelve(), [Evidence("flat", np.ones((12, 12)))]) == []
    assert spots(twelve(), [Evidence("nothing", np.zeros((12, 12)))]) == []


def test_the_diagonal_says_nothing() -> None:
    known = evidence("a", {0: 1})
    other = known.similarity.copy()
    np.fill_diagonal(other, 1e6)
    found = spots(twelve(), [known])
    assert found == spots(twelve(), [Evidence("a", other)]) == [Spot(1, 0, ((START, 0), ("a", 1)))]


def test_most_votes_decide_and_the_start_wins_ties() -> None:
    (spot,) = spots(twelve(), [evidence("a", {3: 0}), evidence("b", {}), evidence("c", {3: 0})])
    assert (spot.index, spot.own, spot.candidates, spot.evident) == (3, 1, (0, 1), 1)  # 2 : 2
    (spot,) = spots(twelve(), [evidence("a", {3: 0}), evidence("b", {3: 0})])
    assert (spot.evident, spot.voters(0), spot.voters(1)) == (0, ("a", "b"), (START,))


def test_a_class_alone_in_its_group_is_not_disputed() -> None:
    grouping = make_grouping("g", "abcd", [[0, 1, 1, 1]])
    assert spots(grouping, [Evidence("e", np.random.default_rng(0).uniform(1, 2, (4, 4)) @ np.zeros((4, 4)))]) == []
    pulled = np.zeros((4, 4))
    pulled[0, 1:] = pulled[1:, 0] = 1
    found = spots(grouping, [Evidence("e", pulled)])
    assert [spot.index for spot in found] == [1, 2, 3]  # they are pulled to it; it stays


def test_a_proposal_votes_with_its_groups_matched_by_overlap() -> None:
    start = twelve()
    # other numbers, and in another order of the classes: pug with the cats, one group split in two
    of = {
        c: {"cat": 7, "dog": 5, "car": 9, "cycle": 2}[start.levels[1].names[start.levels[1].of[c]]] for c in range(12)
    }
    of[3], of[11] = 7, 11
    order = [5, 3, 1, 11, 0, 2, 4, 6, 8, 10, 9, 7]
    proposal = make_grouping("some/where/theirs.yaml:N2HL", [start.classes[c] for c in order], [[of[c] for c in order]])
    found = spots(start, [], [proposal])
    assert found == [
        Spot(1, 3, ((START, 1), ("theirs.yaml:N2HL", 0)))
    ]  # the split-off class has no counterpart: no vote


def moves(start: Grouping, of: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    return {start.classes[c]: g for c, g in enumerate(of[-1]) if g != start.levels[-1].of[c]}


def test_choices_move_classes_and_groups() -> None:
    start = twelve()
    found = [Spot(1, 0, ((START, 0), ("e", 1))), Spot(0, 3, ((START, 1), ("e", 0)))]
    settled = settle(start, found, [1, 0], [True, True], Shape((2, 4), 2, 6))
    assert settled.reverted == (1,)  # 'vehicle' would be left with one group
    assert settled.grouping.levels[1].of == (0, 1, 1, 0, 0, 0, 2, 2, 2, 3, 3, 3)  # numbered by first class
    assert settled.grouping.levels[1].names == ("dog", "cat", "car", "cycle")
    assert moves(start, settled.of) == {"tabby": 1}


def test_the_weakest_move_is_taken_back() -> None:
    start = twelve()
    found = [
        Spot(1, 0, ((START, 0), ("a", 1), ("b", 1))),
        Spot(1, 1, ((START, 0), ("a", 1))),
        Spot(1, 2, ((START, 0), ("a", 1))),
    ]
    shape = Shape((2, 4), 2, 6)
    cats = lambda firm: settle(start, found, [1, 1, 1], firm, shape).reverted  # noqa: E731
    assert cats([True, True, True]) == (1, 2)  # of equals the last first: 2, then 1
    assert cats([False, True, True]) == (0, 2)  # what nobody answered goes before what somebody did
    assert cats([True, False, True]) == (1, 2)
    assert settle(start, found, [1, 1, 1], [True] * 3, Shape((2, 4), 1, 6)).reverted == (2,)
    assert settle(start, found[:1], [1], [True], Shape((2, 4), 2, 3)).reverted == (0,)  # 'dog' is full


@pytest.mark.parametrize("seed", range(20))
def test_any_choices_give_a_nesting_of_the_same_shape(seed: int) -> None:
    rng = random.Random(seed)
    start = nesting(rng, 30)
    found, choices = [], []
    for level, count in ((1, 30), (0, 6)):
        for index in range(count):
            own = start.parents(level + 1)[index]
            other = rng.choice([g for g in range(start.counts[level]) if g != own])
            found.append(Spot(level, index, ((START, own), ("e", other))))
            choices.append(rng.choice([own, other, other]))
    shape = Shape(start.counts, rng.choice([2, 4]), rng.choice([6, 9]))
    firm = [rng.random() < 0.5 for _ in found]
    settled = settle(start, found, choices, firm, shape)
    assert shape.misfit(settled.grouping) is None
    again = settle(start, found, choices, firm, shape)
    assert again == settled
    # what is neither reverted nor undone by the sizes is as chosen
    for i, (spot, choice) in enumerate(zip(found, choices, strict=True)):
        if spot.level == 1:
            assert settled.of[1][spot.index] == (spot.own if i in settled.reverted else choice)
    # nothing is taken back where all choices fit
    fine = list(start.parents(2))
    coarse = list(start.parents(1))
    for spot, choice in zip(found, choices, strict=True):
        (fine if spot.level else coarse)[spot.index] = choice
    fits = all(shape.min_size <= fine.count(g) <= (shape.max_size or 0) for g in range(6))
    fits = fits and all(coarse.count(g) >= 2 for g in range(3))
    assert fits == (not settled.reverted)


def test_a_start_outside_the_bounds_stays_possible() -> None:
    start = make_grouping("g", "abcdefg", [[0, 1, 1, 1, 1, 1, 1]])
    assert settle(start, [], [], [], shape_of(start, max_size=4)).grouping == start
    spot = Spot(0, 6, ((START, 1), ("e", 0)))
    assert settle(start, [spot], [0], [True], shape_of(start, max_size=4)).grouping.levels[0].sizes() == [2, 5]
    with pytest.raises(ValueError, match="a shape of"):
        settle(start, [], [], [], Shape((3,)))
