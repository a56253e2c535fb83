"""Costs of a nesting against the compiler's own plan, which tests elsewhere check against torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hiergen.builder import plan_if_known
from hiergen.errors import PlanError, SpecError
from hiergen.partitions.costs import cutout_cost, expected_cutout_cost, nesting_of, plan_grouping
from hiergen.partitions.grouping import Grouping, grouping_of, make_grouping
from hiergen.plan.ir import Plan
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy(ROOT / "taxonomies/imagenet100.yaml")


def shuffled(grouping: Grouping, seed: int) -> Grouping:
    """The same shape with other classes in the groups."""
    order = np.random.default_rng(seed).permutation(len(grouping.classes))
    return make_grouping("random", grouping.classes, [level.array()[order] for level in grouping.levels])


def planned(taxonomy: Taxonomy, grouping: Grouping, model: str | None = None) -> Plan:
    plan = plan_grouping(taxonomy, grouping, model)
    assert plan is not None
    return plan


def test_the_files_own_nestings_have_the_files_own_plans(taxonomy: Taxonomy) -> None:
    for model in taxonomy.levels:
        assert planned(taxonomy, grouping_of(taxonomy, model), model) == plan_if_known(taxonomy, model)


def test_a_foreign_nesting_keeps_the_budget_and_counts_its_own_paths(taxonomy: Taxonomy) -> None:
    own = grouping_of(taxonomy, "N3HL")
    foreign = shuffled(own, 0)
    plan, other = planned(taxonomy, own, "N3HL"), planned(taxonomy, foreign, "N3HL")
    assert [level.stages for level in plan.levels] == [level.stages for level in other.levels]
    assert (plan.params, plan.macs) == (other.params, other.macs)
    for task in ([7], [0, 50, 99], list(range(30)), list(range(100))):
        kept = frozenset(task)
        assert cutout_cost(plan, own, task) == plan.cutout_cost(kept)
        assert cutout_cost(other, foreign, task) == other.cutout_cost(kept)
        assert cutout_cost(plan, foreign, task) == other.cutout_cost(kept)  # the widths are the shape's alone


def test_other_depths_take_the_models_of_the_file_or_its_deepest(taxonomy: Taxonomy) -> None:
    groups = [np.arange(100) // size for size in (50, 25, 10, 5)]
    deep = make_grouping("deep", [c.id for c in taxonomy.classes], [groups[0], groups[1], np.arange(100) // 5])
    assert planned(taxonomy, deep).model == "N4HL"
    deeper = make_grouping("deeper", deep.classes, [groups[0], groups[1], groups[3], np.arange(100) // 1])
    plan = planned(taxonomy, deeper)
    assert (plan.model, [level.branches for level in plan.levels]) == ("N4HL", [2, 4, 20, 100, 100])
    assert plan.params <= 25e6
    # a list of stages for one level does not fit two: it is solved within the flat backbone's size
    flat = planned(taxonomy, grouping_of(taxonomy, "N2HL"), "PHLlateSP")
    assert [level.branches for level in flat.levels] == [len(taxonomy.nesting("N2HL").groups[0]), 100]
    assert flat.params <= flat.trunk.flat_params
    assert planned(taxonomy, grouping_of(taxonomy, "N2HL"), "PHL1branch").single_branch is False


def test_expected_cost_is_the_weighted_mean(taxonomy: Taxonomy) -> None:
    own = grouping_of(taxonomy, "N2HL")
    plan, tasks = planned(taxonomy, own, "N2HL"), [[0, 1], [5], list(range(40))]
    costs = [plan.cutout_cost(frozenset(task)) for task in tasks]
    even = expected_cutout_cost(plan, own, tasks)
    assert even.params == pytest.approx(np.mean([params for params, _ in costs]))
    assert even.macs == pytest.approx(np.mean([macs for _, macs in costs]))
    weighted = expected_cutout_cost(plan, own, tasks, [1, 0, 3])
    assert weighted.macs == pytest.approx((costs[0][1] + 3 * costs[2][1]) / 4)
    everything = expected_cutout_cost(plan, own, [range(100)])
    assert (everything.params, everything.macs) == (plan.params, plan.macs)


def test_one_branch_for_all_is_never_cut(taxonomy: Taxonomy) -> None:
    flat = grouping_of(taxonomy, "PHL1branch")
    plan = planned(taxonomy, flat, "PHL1branch")
    assert plan.single_branch
    assert cutout_cost(plan, flat, [3, 4]) == plan.cutout_cost(frozenset([3, 4]))


def test_wordnet_groups_cost_less_than_random_ones_for_tasks_of_one_kind(taxonomy: Taxonomy) -> None:
    own = grouping_of(taxonomy, "N3HL")
    plan, tasks = planned(taxonomy, own, "N3HL"), own.levels[0].members()
    random = [expected_cutout_cost(plan, shuffled(own, seed), tasks).macs for seed in range(5)]
    assert expected_cutout_cost(plan, own, tasks).macs < min(random)


def test_what_does_not_fit_is_refused(taxonomy: Taxonomy) -> None:
    own = grouping_of(taxonomy, "N3HL")
    plan = planned(taxonomy, own, "N3HL")
    with pytest.raises(SpecError, match=r"no model 'N3HK'; expected one of PHLlateSP, .* nearest: N3HL"):
        plan_grouping(taxonomy, own, "N3HK")
    with pytest.raises(ValueError, match="classes in its order"):
        plan_grouping(taxonomy, own.reordered(own.classes[::-1]))
    with pytest.raises(ValueError, match=r"a plan with \(12, 32\) groups"):
        cutout_cost(plan, grouping_of(taxonomy, "N2HL"), [1])
    for task in ([], [100], [-1]):
        with pytest.raises(ValueError, match="a task needs classes"):
            cutout_cost(plan, own, task)
    for tasks, weights in (([], None), ([[1]], [1, 2]), ([[1]], [0]), ([[1], [2]], [2, -1])):
        with pytest.raises(ValueError, match="one weight"):
            expected_cutout_cost(plan, own, tasks, weights)


def test_a_budget_too_small_is_said_at_the_model(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("name: small\nclasses: imagenet100\nmodels: {N2HL: {budget: {params: 30M}}}\n")
    taxonomy = load_taxonomy(file)
    assert plan_grouping(taxonomy, grouping_of(taxonomy)) is not None
    file.write_text("name: small\nclasses: imagenet100\nmodels: {N2HL: {budget: {params: 1k}}}\n")
    taxonomy = load_taxonomy(file)
    with pytest.raises(PlanError, match=r"small.yaml:3: .*small.yaml:N2HL as N2HL: the budget"):
        plan_grouping(taxonomy, grouping_of(taxonomy))


def test_a_backbone_never_measured_has_no_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "odd.yaml"
    file.write_text("name: odd\nclasses: imagenet100\nmodels: {N2HL: {trunk: {backbone: resnet50}, input_size: 232}}\n")
    taxonomy = load_taxonomy(file)
    assert plan_grouping(taxonomy, grouping_of(taxonomy)) is None


def test_siblings_stand_side_by_side() -> None:
    grouping = make_grouping(
        "toy", "abcdef", [[0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 2, 1]], names=[["x", "y"], list("pqrs")]
    )
    nesting = nesting_of(grouping)
    assert [(g.name, g.parent, g.classes) for g in nesting.groups[1]] == [
        ("p", 0, (0,)),
        ("r", 0, (2, 4)),
        ("q", 1, (1, 5)),
        ("s", 1, (3,)),
    ]


def test_torch_stays_out() -> None:
    code = "import sys; from hiergen.partitions.costs import plan_grouping as p; "
    code += (
        "from hiergen.partitions.grouping import grouping_of as g; from hiergen.taxonomy.load import load_taxonomy; "
    )
    code += f"t = load_taxonomy({str(ROOT / 'taxonomies/imagenet100.yaml')!r}); assert p(t, g(t)); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
