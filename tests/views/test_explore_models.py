"""Pages of built networks, measured times, terms, and what a page says against `hiergen cost`. Uses torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiergen.codegen.build import build
from hiergen.costs.measured import Timing
from hiergen.lookup.select import Selector, key_of
from hiergen.planning.from_taxonomy import plan_if_known
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.views.explore.measure import _one, branch_macs, chosen_sets, line, measure
from hiergen.views.explore.nodes import group_terms
from hiergen.views.explore.payload import payload
from hiergen.views.explore.read import read_source
from tests.views.page_cases import AWKWARD

TOY = Path(__file__).parent.parent / "golden" / "toy.yaml"


def test_a_built_model_is_told_as_its_taxonomy_file_is(write: Callable[..., Path], tmp_path: Path) -> None:
    file = write(TOY.read_text("utf-8").replace("name: toy", "name: toyexplored"), "t.yaml")
    build(file, tmp_path)
    source = read_source(f"{tmp_path / 'toyexplored.py'}:N3HL")
    assert source.models[0].plan is not None
    loaded = load_taxonomy(file)
    plan = plan_if_known(loaded, "N3HL")
    assert plan is not None
    found = payload([source])
    told = payload([read_source(f"{file}:N3HL")])
    assert found["models"][0]["plan"] == told["models"][0]["plan"]
    assert found["models"][0]["flat"] == told["models"][0]["flat"]
    assert found["classes"]["id"] == told["classes"]["id"]
    for level, other in zip(found["nests"][0]["levels"], told["nests"][0]["levels"], strict=True):
        assert (level["name"], level["parent"]) == (other["name"], other["parent"])


def test_figures_are_those_of_the_cost_command(
    hiergen: Callable[..., Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    file = write(TOY.read_text("utf-8").replace("name: toy", "name: toycost"), "t.yaml")
    build(file, tmp_path)
    reference = f"{tmp_path / 'toycost.py'}:N2HL"
    plan = read_source(reference).models[0].plan
    assert plan is not None
    ran = hiergen("cost", reference, "--classes", "cat & dog", "--no-time", "--no-memory", "--json")
    rows = {row["kind"]: (row["params"], row["macs"]) for row in json.loads(ran.out)["rows"]}
    kept = frozenset(plan.classes.index(c) for c in ("tabby", "pug", "beagle"))
    assert rows["cutout"] == plan.cutout_cost(kept)
    flat = payload([read_source(reference)])["models"][0]["flat"]
    for kind, n in (("flat", 9), ("sliced", 3)):
        assert rows[kind] == tuple(flat[f"{w}_fixed"] + n * flat[f"{w}_per_class"] for w in ("params", "macs"))


def test_the_line_is_the_least_squares_one() -> None:
    macs, ms = [0, 10**9, 2 * 10**9, 4 * 10**9], [5.0, 7.5, 9.0, 13.5]
    slope, base = np.polyfit([m / 1e9 for m in macs], ms, 1)
    assert line(macs, ms) == pytest.approx((base, slope))
    assert line(macs, [5, 4, 3, 2]) == pytest.approx((3.5, 0.0))  # never faster with more
    base, slope = line(macs, [0, 1, 4, 9])
    assert (base, slope) == pytest.approx((0, (1 + 8 + 36) / (1 + 4 + 16)))
    assert line([5], [2.0]) == (2.0, 0.0)


def test_measured_times_are_of_the_networks_named() -> None:
    loaded = load_taxonomy(TOY)
    plan = plan_if_known(loaded, "N2HL")
    if plan is None:
        from hiergen.planning.from_taxonomy import plan_models

        plan = next(p for p in plan_models(loaded) if p.model == "N2HL")
    leaves = list(loaded.nesting("N2HL").leaves)
    assert chosen_sets(leaves) == [sorted(leaves[:n]) for n in (1, 2, 4)]
    found = measure(plan, leaves, threads=1, repeats=2)
    assert [p.classes for p in found.points] == [1, 2, 4, 9]
    for point, kept in zip(found.points, [*chosen_sets(leaves), range(9)], strict=True):
        assert point.macs == branch_macs(plan, kept) == plan.cutout_cost(frozenset(kept))[1] - plan.trunk.macs
        assert point.predicted == pytest.approx(found.predicted(point.macs))
        assert 0 < point.low <= point.ms <= point.high
    assert found.full == found.points[-1].ms
    assert found.error == max(abs(p.predicted - p.ms) / p.ms for p in found.points)
    assert found.runs == 2


def test_a_difference_within_the_quartiles_is_none() -> None:
    flat = Timing(1, ms=10, low=9, high=12, runs=9)
    assert _one(flat, Timing(1, ms=7, low=6, high=9.5, runs=9)) == 10
    assert _one(flat, Timing(1, ms=7, low=6, high=8, runs=9)) == 7


def _ids(tree: dict[str, Any]) -> list[str]:
    return [one for name, inner in tree.items() for one in (_ids(inner) if isinstance(inner, dict) else [name])]


AWKWARD_TREES = [
    {"cat": {"cat": {"n1": "tabby"}}, "dog": {"small": {"n2": "pug"}, "cat & dog": {"n3": "pug 2"}}},
    {"a": {"x": {"n1": "1"}, "y": {"n2": "2"}}, "b": {"x": {"n3": "3"}, "z": {"n4": "n1"}}},
    {"n1": {"x": {"n3": "3"}}, "N2": {"y": {"n2": "2", "n1": "1"}}},
    {"a/b": {"c": {"n1": "1"}}, "a": {"b/c": {"n2": "2"}, "c": {"n3": "3"}}},
    {"Big_Fish": {"big fish": {"n1": "1"}, "other": {"n2": "2"}}, "other": {"more": {"n3": "3"}}},
]


@pytest.mark.parametrize("tree", AWKWARD_TREES)
def test_a_groups_term_means_that_group(tree: dict[str, Any]) -> None:
    ids = _ids(tree)
    nest = Nesting.from_tree(tree, ids)
    selector = Selector(nest)
    said = 0
    for j, (level, terms) in enumerate(zip(nest.levels, group_terms(nest, ids), strict=True), 1):
        for group, (term, acts) in zip(level.groups, terms, strict=True):
            if term is None:
                continue
            said += 1
            assert selector.classes(term) == group.classes, (group, term)
            (node,) = selector.nodes(term)
            assert node.level == acts <= j
    assert said


def test_names_are_compared_without_case_and_marks() -> None:
    texts = ("Big_Fish", "big-fish ", "a / b", "ＦＵＬＬ  width", "Straße")
    assert [key_of(text) for text in texts] == ["big fish", "big fish", "a/b", "full width", "strasse"]


def test_an_awkward_file_has_a_term_for_every_group(write: Callable[..., Path]) -> None:
    data = payload([read_source(str(write(AWKWARD)))])
    assert all(term for nest in data["nests"] for level in nest["levels"] for term in level["term"])
    assert data["alone"] == ["a, b", "tench, Tinca tinca"]
