"""Costs of a nesting against the compiler's own plan, which tests elsewhere check against torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hiergen.errors import PlanError, SpecError
from hiergen.nestings.compare.compare import CutoutCost, compare_in_memory
from hiergen.nestings.read import Task, nesting_of
from hiergen.planning.from_taxonomy import plan_if_known, plan_nesting
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy(ROOT / "taxonomies/imagenet100.yaml")


def shuffled(nesting: Nesting, seed: int) -> Nesting:
    """The same shape with other classes in the groups."""
    order = np.random.default_rng(seed).permutation(len(nesting.classes))
    return Nesting.from_levels(nesting.classes, [np.array(level.of)[order] for level in nesting.levels], name="random")


def planned(taxonomy: Taxonomy, nesting: Nesting, model: str | None = None) -> Plan:
    plan = plan_nesting(taxonomy, nesting, model)
    assert plan is not None
    return plan


def test_the_files_own_nestings_have_the_files_own_plans(taxonomy: Taxonomy) -> None:
    for model in taxonomy.levels:
        plan, current = planned(taxonomy, nesting_of(taxonomy, model), model), plan_if_known(taxonomy, model)
        assert current is not None
        assert plan.nesting.tree() == current.nesting.tree()
        assert plan.model_copy(update={"nesting": current.nesting}) == current  # who grouped them is not said


def test_a_foreign_nesting_keeps_the_budget_and_counts_its_own_paths(taxonomy: Taxonomy) -> None:
    current = nesting_of(taxonomy, "N3HL")
    foreign = shuffled(current, 0)
    plan, other = planned(taxonomy, current, "N3HL"), planned(taxonomy, foreign, "N3HL")
    assert [level.stages for level in plan.levels] == [level.stages for level in other.levels]
    assert (plan.params, plan.macs) == (other.params, other.macs)
    for task in ([7], [0, 50, 99], list(range(30)), list(range(100))):
        groups = [{level.of[c] for c in task} for level in foreign.levels]
        branches = [*map(len, groups), len(task)]  # the paths of the task, level by level
        macs = sum(count * level.branch_macs for count, level in zip(branches, plan.levels, strict=True))
        head = len(task) * plan.levels[-1].channels
        assert other.cutout_cost(frozenset(task))[1] == plan.trunk.macs + macs + head


def test_other_depths_take_the_models_of_the_file_or_its_deepest(taxonomy: Taxonomy) -> None:
    groups = [np.arange(100) // size for size in (50, 25, 10, 5)]
    deep = Nesting.from_levels(
        [c.id for c in taxonomy.classes], [groups[0], groups[1], np.arange(100) // 5], name="deep"
    )
    assert planned(taxonomy, deep).model == "N4HL"
    deeper = Nesting.from_levels(deep.classes, [groups[0], groups[1], groups[3], np.arange(100) // 1], name="deeper")
    plan = planned(taxonomy, deeper)
    assert (plan.model, [level.branches for level in plan.levels]) == ("N4HL", [2, 4, 20, 100, 100])
    assert plan.params <= 25e6
    # a list of stages for one level does not fit two: it is solved within the flat backbone's size
    flat = planned(taxonomy, nesting_of(taxonomy, "N2HL"), "PHLlateSP")
    assert [level.branches for level in flat.levels] == [len(taxonomy.nesting("N2HL").names(1)), 100]
    assert flat.params <= flat.trunk.flat_params
    assert planned(taxonomy, nesting_of(taxonomy, "N2HL"), "PHL1branch").single_branch is False


def expected(taxonomy: Taxonomy, nesting: Nesting, tasks: Sequence[Sequence[int]], *weights: float) -> CutoutCost:
    """The expected cutout that a comparison says."""
    given = [Task(str(i), tuple(task), weight) for i, (task, weight) in enumerate(zip(tasks, weights, strict=True))]
    cost = compare_in_memory([nesting], taxonomy=taxonomy, tasks=given).nestings[0].cost
    assert cost is not None
    assert cost.expected is not None
    return cost.expected


def test_expected_cost_is_the_weighted_mean(taxonomy: Taxonomy) -> None:
    current = nesting_of(taxonomy, "N2HL")
    plan, tasks = planned(taxonomy, current, "N2HL"), [[0, 1], [5], list(range(40))]
    costs = [plan.cutout_cost(frozenset(task)) for task in tasks]
    even = expected(taxonomy, current, tasks, 1, 1, 1)
    assert even.params == pytest.approx(np.mean([params for params, _ in costs]))
    assert even.macs == pytest.approx(np.mean([macs for _, macs in costs]))
    weighted = expected(taxonomy, current, tasks, 1, 0, 3)
    assert weighted.macs == pytest.approx((costs[0][1] + 3 * costs[2][1]) / 4)
    everything = expected(taxonomy, current, [range(100)], 1)
    assert (everything.params, everything.macs) == (plan.params, plan.macs)


def test_one_branch_for_all_is_never_cut(taxonomy: Taxonomy) -> None:
    flat = nesting_of(taxonomy, "PHL1branch")
    plan = planned(taxonomy, flat, "PHL1branch")
    assert plan.single_branch
    trunk, level = plan.trunk, plan.levels[-1]
    assert plan.cutout_cost(frozenset([3, 4]))[1] == trunk.macs + level.branch_macs + 2 * level.channels


def test_what_does_not_fit_is_refused(taxonomy: Taxonomy) -> None:
    current = nesting_of(taxonomy, "N3HL")
    with pytest.raises(SpecError, match=r"no model 'N3HK'; expected one of PHLlateSP, .* nearest: N3HL"):
        plan_nesting(taxonomy, current, "N3HK")
    with pytest.raises(ValueError, match="classes in its order"):
        plan_nesting(taxonomy, current.in_class_order(current.classes[::-1]))


def test_a_budget_too_small_is_said_at_the_model(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("name: small\nclasses: imagenet100\nmodels: {N2HL: {budget: {params: 30M}}}\n")
    taxonomy = load_taxonomy(file)
    assert plan_nesting(taxonomy, nesting_of(taxonomy)) is not None
    file.write_text("name: small\nclasses: imagenet100\nmodels: {N2HL: {budget: {params: 1k}}}\n")
    taxonomy = load_taxonomy(file)
    with pytest.raises(PlanError, match=r"small.yaml:3: .*small.yaml:N2HL as N2HL: the budget"):
        plan_nesting(taxonomy, nesting_of(taxonomy))


def test_a_backbone_never_measured_has_no_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "odd.yaml"
    file.write_text("name: odd\nclasses: imagenet100\nmodels: {N2HL: {trunk: {backbone: resnet50}, input_size: 232}}\n")
    taxonomy = load_taxonomy(file)
    assert plan_nesting(taxonomy, nesting_of(taxonomy)) is None


def test_siblings_stand_side_by_side() -> None:
    levels, names = [[0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 2, 1]], [["x", "y"], list("pqrs")]
    nesting = Nesting.from_levels("abcdef", levels, names=names).in_tree_order()
    groups = [(g.name, g.parent, g.classes) for g in nesting.levels[1].groups]
    assert groups == [("p", 0, (0,)), ("r", 0, (2, 4)), ("q", 1, (1, 5)), ("s", 1, (3,))]
