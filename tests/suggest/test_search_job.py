"""The search as a whole: the same on every machine, in pieces as in one, stopped at any time, and refusing nonsense."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from suggest.search_cases import similarity

from hiergen.errors import HiergenError, SpecError
from hiergen.partitions.grouping import Grouping, grouping_of
from hiergen.suggest.evidence import Evidence
from hiergen.suggest.search.asked import objective_of
from hiergen.suggest.search.chance import exponentials, permutation, uniforms
from hiergen.suggest.search.engine import Engine, Tick
from hiergen.suggest.search.job import Chance, Found, search
from hiergen.suggest.search.objectives import Separability
from hiergen.suggest.search.space import Space, space_of
from hiergen.suggest.search.statefile import State, _checksum
from hiergen.suggest.shape import Shape
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

ROOT = Path(__file__).parent.parent.parent
NOTHING = {"seconds": 0.0, "sha256": ""}


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiergen.suggest.search.job.round_blocks", lambda _: 8)


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy(ROOT / "taxonomies/imagewoof.yaml")


@pytest.fixture(scope="module")
def start(taxonomy: Taxonomy) -> Grouping:
    return grouping_of(taxonomy, "N2HL")


def run(taxonomy: Taxonomy, start: Grouping, **options: object) -> Found:
    evidence = Evidence("test", np.round(similarity(len(taxonomy.classes), 1), 6))
    objective = objective_of("separability", taxonomy, evidence=evidence)
    return search(taxonomy, start, objective=objective, **options)  # type: ignore[arg-type]


class Stop:
    """Ctrl-C after so many ticks; keeps all of them."""

    def __init__(self, after: int = 10**9) -> None:
        self.ticks: list[Tick] = []
        self.after = after

    def __call__(self, tick: Tick) -> None:
        self.ticks.append(tick)
        if len(self.ticks) == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 3, 8, 9, 13])
def test_a_search_in_pieces_is_the_unbroken_one(
    taxonomy: Taxonomy, start: Grouping, tmp_path: Path, after: int
) -> None:
    whole_state, state = tmp_path / "whole.json", tmp_path / "state.json"
    whole = run(taxonomy, start, steps=14_000, state=whole_state)
    stopped = run(taxonomy, start, steps=14_000, state=state, progress=Stop(after))
    assert stopped.stopped
    assert stopped.steps == after * 1000
    assert stopped.bound is None
    again = Stop()
    found = run(taxonomy, start, steps=14_000, state=state, progress=again)
    assert not found.stopped
    assert again.ticks[0].steps == (after + 1) * 1000
    assert found.grouping == whole.grouping
    assert found.rounds == whole.rounds
    files = [json.loads(path.read_text()) | NOTHING for path in (whole_state, state)]
    assert files[0] == files[1]


def test_more_steps_go_on_where_fewer_ended(taxonomy: Taxonomy, start: Grouping, tmp_path: Path) -> None:
    state, other = tmp_path / "a.json", tmp_path / "b.json"
    run(taxonomy, start, steps=11_000, state=state)
    run(taxonomy, start, steps=17_000, state=state)
    run(taxonomy, start, steps=17_000, state=other)
    assert json.loads(state.read_text()) | NOTHING == json.loads(other.read_text()) | NOTHING


def test_the_nesting_depends_on_the_seed_only(taxonomy: Taxonomy, start: Grouping) -> None:
    trail = Stop()
    found = run(taxonomy, start, steps=10_000, seed=7, progress=trail)
    again = run(taxonomy, start, steps=10_000, seed=7)
    assert found.grouping == again.grouping
    assert [t.steps for t in trail.ticks] == [1000 * (i + 1) for i in range(10)]
    assert trail.ticks[-1].done == 1.0


def test_every_machine_goes_the_same_way() -> None:
    """To the bit: another machine, another numpy, another hash seed must come to this too."""
    draws = [uniforms((7, 2, 0, 0), 4, 1000), exponentials(uniforms((7, 2, 0, 1), 4, 1000))]
    digests = [hashlib.sha256(numbers.astype("<f8").tobytes()).hexdigest()[:16] for numbers in draws]
    assert digests == ["1ed47c9bc38b74d9", "9984225bc5fbe5dd"]
    i = np.arange(12)
    alike = ((i[:, None] + i[None]) * 7 + i[:, None] * i[None]) % 11 / 8
    engine = Engine(Space(12, (2, 4), 2, 5), Separability(alike, "test"), 7, State(round_blocks=50), None)
    assert engine.run(2, None, lambda _: None, lambda _: None)
    assert engine.state.now == [[1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1], [0, 0, 3, 0, 1, 1, 2, 0, 1, 3, 2, 0]]
    assert engine.state.leader_value == float.fromhex("0x1.d847fd847fd87p-2")


def test_logarithms_are_logarithms() -> None:
    u = uniforms((1, 2, 3), 1000)
    assert 0 < u.min() < u.max() < 1
    np.testing.assert_allclose(exponentials(u), -np.log(u), rtol=1e-12, atol=1e-15)
    assert sorted(permutation((5,), 9)) == list(range(9))


def test_what_is_found_is_above_the_file_s_own_and_below_the_bound(taxonomy: Taxonomy, start: Grouping) -> None:
    for same in (False, True):
        found = run(taxonomy, start, steps=16_000, same_sizes=same)
        assert found.wordnet is not None
        assert found.bound is not None
        assert found.bound >= found.score >= max(found.wordnet, found.random.best) > found.random.mean
        assert found.grouping.counts == start.counts
        assert found.grouping.classes == start.classes
        if same:
            assert sorted(found.grouping.levels[0].sizes()) == sorted(start.levels[0].sizes())
        assert found.z == pytest.approx((found.score - found.random.mean) / found.random.sd)
        assert found.gap == found.bound - found.score
        data = found.as_data()
        assert json.loads(json.dumps(data)) == data
        assert all(len(row) == 3 for row in found.rows())
        assert "No nesting of this shape can score above" in found.notes()[-1]


def test_equals_are_told_apart_by_coherence(taxonomy: Taxonomy, start: Grouping) -> None:
    """By cost only sizes matter, so the groups must be those that coherence would make of these sizes."""
    cost = objective_of("cost", taxonomy)
    found = search(taxonomy, start, objective=cost, steps=4000)
    assert found.score == pytest.approx(cost.bound(space_of(start)), abs=1e-9)
    assert found.tie is not None
    assert "Where that leaves a choice, by coherence" in found.notes()[1]
    alike = objective_of("coherence", taxonomy)
    best = search(taxonomy, found.grouping, objective=alike, steps=16_000, same_sizes=True)
    assert alike.score([level.of for level in found.grouping.levels]) == pytest.approx(best.score, abs=1e-9)


def test_levels_of_the_file_s_shape_and_others(taxonomy: Taxonomy, start: Grouping) -> None:
    found = run(taxonomy, start, shape=Shape((2, 4), max_size=4), steps=10_000)
    assert found.grouping.counts == (2, 4)
    assert max(found.grouping.levels[1].sizes()) <= 4
    assert found.wordnet is not None  # of one level, beside one of two
    flat = run(taxonomy, grouping_of(taxonomy, "PHLlateSP"), shape=Shape((3,)), steps=10_000)
    assert flat.wordnet is None
    assert math.isnan(flat.wordnet_z)
    assert flat.as_data()["own"] is None


def test_seconds_end_a_search(taxonomy: Taxonomy, start: Grouping) -> None:
    trail = Stop()
    found = run(taxonomy, start, seconds=0.05, progress=trail)
    assert found.steps == trail.ticks[-1].steps
    assert [tick.steps for tick in trail.ticks[:-1]] == [1000 * (i + 1) for i in range(len(trail.ticks) - 1)]
    assert not found.stopped
    assert found.seconds >= 0.05
    assert trail.ticks[-1].done == 1.0


def test_stopped_before_anything_was_done(taxonomy: Taxonomy, start: Grouping, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hiergen.suggest.search.engine.run_block", at_once)
    found = run(taxonomy, start, shape=Shape((2, 4)), steps=10_000)
    assert found.stopped
    assert found.steps == 0
    assert found.grouping.counts == (2, 4)


def test_states_of_other_searches_and_damaged_ones(taxonomy: Taxonomy, start: Grouping, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    run(taxonomy, start, steps=9_000, state=state)
    with pytest.raises(SpecError, match=r"state\.json: is the state of another search \(seed\); expected '1', got '0'"):
        run(taxonomy, start, steps=9_000, state=state, seed=1)
    with pytest.raises(SpecError, match=r"another search \(counts\); expected 2,4, got"):
        run(taxonomy, start, steps=9_000, state=state, shape=Shape((2, 4)))
    with pytest.raises(SpecError, match=r"another search \(objective\); expected 'coherence', got 'separability'"):
        search(taxonomy, start, objective=objective_of("coherence", taxonomy), steps=1, state=state)
    good = json.loads(state.read_text())
    one = [[0] * len(start.classes)]
    damages: list[tuple[object, str]] = [
        ("not JSON", "is not the state of a search: invalid JSON"),
        ({**good, "format": "hiergen search 0"}, "is of another version"),
        ({**good, "block": "3"}, "is not the state of a search: 'block': "),
        ({**good, "block": 10**6}, "it stands nowhere"),
        ({**good, "now": None}, "it lacks where it stands"),
        ({**good, "best": one}, "its nestings are not of this shape"),
        ({key: value for key, value in good.items() if key != "best"}, "is not the state of a search: 'best': field"),
    ]
    for damage, message in damages:
        if isinstance(damage, dict):  # whoever wrote it meant it so: its checksum fits
            damage["sha256"] = _checksum({key: value for key, value in damage.items() if key != "sha256"})
        state.write_text(damage if isinstance(damage, str) else json.dumps(damage))
        with pytest.raises(SpecError, match=message):
            run(taxonomy, start, steps=9_000, state=state)
    (tmp_path / "file").write_text("")
    with pytest.raises(HiergenError, match="cannot be written"):
        run(taxonomy, start, steps=1000, state=tmp_path / "file" / "state.json")


def test_shapes_and_numbers_that_cannot_be(taxonomy: Taxonomy, start: Grouping) -> None:
    with pytest.raises(HiergenError, match="one level is the classes themselves; expected a nesting of two levels"):
        space_of(grouping_of(taxonomy, "PHLlateSP"))
    with pytest.raises(HiergenError, match="takes all numbers and sizes of groups from the nesting"):
        space_of(start, Shape((2,)), same_sizes=True)
    with pytest.raises(HiergenError, match="6 groups of at least 2 classes need 12"):
        space_of(start, Shape((6,)))
    for wrong in ({"steps": 0}, {"seconds": 0.0}, {"seed": -1}, {"seconds": math.nan}):
        with pytest.raises(HiergenError, match="steps and seconds above 0, and a seed from 0"):
            run(taxonomy, start, **wrong)


@pytest.mark.parametrize(
    "space", [Space(20, (3, 6), 2, 5), Space(9, (3,), 3, 3), Space(15, (2, 4, 9), 1, 4), Space(5, (5,), 1, 1)]
)
def test_draws_are_of_the_space_and_vary(space: Space) -> None:
    drawn = [space.draw((0, i)).key() for i in range(30)]
    assert all(map(space.holds, drawn))
    assert len({str(labels) for labels in drawn}) > 20
    fixed = replace(space, pattern=tuple(map(tuple, drawn[0])))
    again = [fixed.draw((1, i)).key() for i in range(10)]
    assert all(map(fixed.holds, again))
    for level in range(len(space.counts)):
        low, high = space.limits(level)
        sizes = [labels[level].count(g) for labels in drawn for g in range(space.counts[level])]
        assert low <= min(sizes)
        assert max(sizes) <= high


def test_chance_that_does_not_vary_says_nothing() -> None:
    assert math.isnan(Chance(0.5, 0.0, 0.5).z(0.7, more=True))
    assert Chance(0.5, 0.1, 0.6).z(0.3, more=False) == pytest.approx(2.0)
