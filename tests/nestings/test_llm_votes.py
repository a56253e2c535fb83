"""Where evidence disagrees, and how choices become a nesting: against plain loops and known answers."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hiergen.nestings.ask.votes import START, Spot, find_spots, move_spots
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.shape import Shape
from hiergen.taxonomy.nesting import Nesting
from tests.nestings.llm_stub import evidence, twelve


def random_start(rng: random.Random, n: int) -> Nesting:
    """Two levels, no group alone."""
    fine = [c % 6 for c in range(n)]
    rng.shuffle(fine)
    return Nesting.from_levels([f"c{c}" for c in range(n)], [[g % 3 for g in fine], fine], name="random")


def slow_vote(nesting: Nesting, similarity: np.ndarray, level: int, index: int) -> int:
    """By pairs of classes, in a loop."""
    of = nesting.levels[level].of
    last = len(nesting.levels) - 1
    subject = [index] if level == last else nesting.levels[level + 1].members[index]
    means = {}
    for group in range(len(nesting.levels[level].names)):
        values = [similarity[a, b] for a in subject for b in range(len(of)) if of[b] == group and b not in subject]
        means[group] = sum(values) / len(values)
    return max(means, key=means.__getitem__)


@pytest.mark.parametrize("seed", range(5))
def test_votes_are_average_linkage_by_hand(seed: int) -> None:
    rng = random.Random(seed)
    nesting = random_start(rng, 24)
    matrices = [np.random.default_rng([seed, i]).normal(size=(24, 24)) for i in range(2)]
    given = [Evidence(f"e{i}", m + m.T) for i, m in enumerate(matrices)]
    expected = []
    for level in (1, 0):
        parents = nesting.above(level + 2)
        for index, current in enumerate(parents):
            votes = [(START, current)] + [(e.name, slow_vote(nesting, e.similarity, level, index)) for e in given]
            if len({group for _, group in votes}) > 1 and parents.count(current) > 1:
                expected.append(Spot(level, index, tuple(votes)))
    result = find_spots(nesting, given)
    assert result == expected
    assert {spot.level for spot in result} == {0, 1}  # noise disputes both


def test_agreeing_evidence_asks_nothing_and_ties_stay_where_they_are() -> None:
    assert find_spots(twelve(), [evidence("a", {}), evidence("b", {}, seed=1)]) == []
    assert find_spots(twelve(), [Evidence("flat", np.ones((12, 12)))]) == []
    assert find_spots(twelve(), [Evidence("nothing", np.zeros((12, 12)))]) == []


def test_the_diagonal_says_nothing() -> None:
    given = evidence("a", {0: 1})
    other = given.similarity.copy()
    np.fill_diagonal(other, 1e6)
    result = find_spots(twelve(), [given])
    assert result == find_spots(twelve(), [Evidence("a", other)]) == [Spot(1, 0, ((START, 0), ("a", 1)))]


def test_most_votes_decide_and_the_start_wins_ties() -> None:
    (spot,) = find_spots(twelve(), [evidence("a", {3: 0}), evidence("b", {}), evidence("c", {3: 0})])
    assert (spot.index, spot.home, spot.candidates, spot.evident) == (3, 1, (0, 1), 1)  # 2 : 2
    (spot,) = find_spots(twelve(), [evidence("a", {3: 0}), evidence("b", {3: 0})])
    assert (spot.evident, spot.voters(0), spot.voters(1)) == (0, ("a", "b"), (START,))


def test_a_class_alone_in_its_group_is_not_disputed() -> None:
    nesting = Nesting.from_levels("abcd", [[0, 1, 1, 1]], name="g")
    assert find_spots(nesting, [Evidence("e", np.random.default_rng(0).uniform(1, 2, (4, 4)) @ np.zeros((4, 4)))]) == []
    pulled = np.zeros((4, 4))
    pulled[0, 1:] = pulled[1:, 0] = 1
    result = find_spots(nesting, [Evidence("e", pulled)])
    assert [spot.index for spot in result] == [1, 2, 3]  # they are pulled to it; it stays


def test_a_proposal_votes_with_its_groups_matched_by_overlap() -> None:
    start = twelve()
    # other numbers, and in another order of the classes: pug with the cats, one group split in two
    of = {
        c: {"cat": 7, "dog": 5, "car": 9, "cycle": 2}[start.levels[1].names[start.levels[1].of[c]]] for c in range(12)
    }
    of[3], of[11] = 7, 11
    order = [5, 3, 1, 11, 0, 2, 4, 6, 8, 10, 9, 7]
    proposal = Nesting.from_levels(
        [start.classes[c] for c in order], [[of[c] for c in order]], name="some/where/theirs.yaml:N2HL"
    )
    result = find_spots(start, [], [proposal])
    assert result == [
        Spot(1, 3, ((START, 1), ("theirs.yaml:N2HL", 0)))
    ]  # the split-off class has no counterpart: no vote


def moves(start: Nesting, of: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    return {start.classes[c]: g for c, g in enumerate(of[-1]) if g != start.levels[-1].of[c]}


def test_choices_move_classes_and_groups() -> None:
    start = twelve()
    result = [Spot(1, 0, ((START, 0), ("e", 1))), Spot(0, 3, ((START, 1), ("e", 0)))]
    moved = move_spots(start, result, [1, 0], [True, True], Shape((2, 4), 2, 6))
    assert moved.reverted == (1,)  # 'vehicle' would be left with one group
    assert moved.nesting.levels[1].of == (0, 1, 1, 0, 0, 0, 2, 2, 2, 3, 3, 3)  # numbered by first class
    assert moved.nesting.levels[1].names == ("dog", "cat", "car", "cycle")
    assert moves(start, moved.of) == {"tabby": 1}


def test_the_weakest_move_is_taken_back() -> None:
    start = twelve()
    result = [
        Spot(1, 0, ((START, 0), ("a", 1), ("b", 1))),
        Spot(1, 1, ((START, 0), ("a", 1))),
        Spot(1, 2, ((START, 0), ("a", 1))),
    ]
    shape = Shape((2, 4), 2, 6)
    cats = lambda firm: move_spots(start, result, [1, 1, 1], firm, shape).reverted  # noqa: E731
    assert cats([True, True, True]) == (1, 2)  # of equals the last first: 2, then 1
    assert cats([False, True, True]) == (0, 2)  # what nobody answered goes before what somebody did
    assert cats([True, False, True]) == (1, 2)
    assert move_spots(start, result, [1, 1, 1], [True] * 3, Shape((2, 4), 1, 6)).reverted == (2,)
    assert move_spots(start, result[:1], [1], [True], Shape((2, 4), 2, 3)).reverted == (0,)  # 'dog' is full


@pytest.mark.parametrize("seed", range(20))
def test_any_choices_give_a_nesting_of_the_same_shape(seed: int) -> None:
    rng = random.Random(seed)
    start = random_start(rng, 30)
    result, choices = [], []
    for level, count in ((1, 30), (0, 6)):
        for index in range(count):
            current = start.above(level + 2)[index]
            other = rng.choice([g for g in range(start.counts[level]) if g != current])
            result.append(Spot(level, index, ((START, current), ("e", other))))
            choices.append(rng.choice([current, other, other]))
    shape = Shape(start.counts, rng.choice([2, 4]), rng.choice([6, 9]))
    firm = [rng.random() < 0.5 for _ in result]
    moved = move_spots(start, result, choices, firm, shape)
    assert shape.misfit(moved.nesting) is None
    again = move_spots(start, result, choices, firm, shape)
    assert again == moved
    # what is neither reverted nor undone by the sizes is as chosen
    for i, (spot, choice) in enumerate(zip(result, choices, strict=True)):
        if spot.level == 1:
            assert moved.of[1][spot.index] == (spot.home if i in moved.reverted else choice)
    # nothing is taken back where all choices fit
    fine = list(start.above(3))
    coarse = list(start.above(2))
    for spot, choice in zip(result, choices, strict=True):
        (fine if spot.level else coarse)[spot.index] = choice
    fits = all(shape.min_size <= fine.count(g) <= (shape.max_size or 0) for g in range(6))
    fits = fits and all(coarse.count(g) >= 2 for g in range(3))
    assert fits == (not moved.reverted)


def test_a_start_outside_the_bounds_stays_possible() -> None:
    start = Nesting.from_levels("abcdefg", [[0, 1, 1, 1, 1, 1, 1]], name="g")
    assert move_spots(start, [], [], [], Shape(start.counts, max_size=4)).nesting == start
    spot = Spot(0, 6, ((START, 1), ("e", 0)))
    assert move_spots(start, [spot], [0], [True], Shape(start.counts, max_size=4)).nesting.levels[0].sizes == (2, 5)
    with pytest.raises(ValueError, match="a shape of"):
        move_spots(start, [], [], [], Shape((3,)))
