"""The closing lines of a comparison, against cutouts that are counted one by one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hiergen.nestings.compare.compare import Comparison, compare_in_memory, compare_nestings
from hiergen.planning.from_taxonomy import plan_nesting
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.nesting import Nesting

ROOT = Path(__file__).parents[2]
TINY, HAND, FAR = (str(ROOT / f"taxonomies/tiny-imagenet-100{suffix}.yaml") for suffix in ("", "-hand", "-dissimilar"))


def last_lines(comparison: Comparison) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    comparison.table(console)
    return console.file.getvalue().splitlines()[-2:]  # type: ignore[attr-defined]


def test_the_cheaper_and_the_more_coherent_are_named() -> None:
    comparison = compare_nestings([f"{TINY}:N3HL", FAR])
    cost, coherence = comparison.verdicts
    assert last_lines(comparison) == [cost, coherence]
    assert comparison.as_data()["verdicts"] == [cost, coherence]
    assert cost.startswith("A group's cutout costs less in tiny-imagenet-100:N3HL (means: ")
    assert cost.endswith("The trunk and the budget are those of tiny-imagenet-100:N3HL: 1.8 M params.")
    assert "; tiny-imagenet-100-dissimilar:N3HL 0." in cost  # the file's deepest model, whose name both have
    score = comparison.nestings[0].coherence["wu-palmer"]
    assert coherence.startswith("tiny-imagenet-100:N3HL groups similar classes together better (")
    assert f"tiny-imagenet-100:N3HL r {score.correlation:.3f}, z {score.z:.1f};" in coherence


def test_means_are_those_of_cutouts_one_by_one() -> None:
    taxonomy = load_taxonomy(Path(TINY))
    for figures in compare_nestings([f"{TINY}:N3HL", HAND]).nestings:
        plan = plan_nesting(taxonomy, figures.nesting, "N3HL")
        assert plan is not None
        assert figures.cost is not None
        of = np.array(figures.nesting.levels[-1].of)  # in class order; the plan's is the tree's
        kept = [{figures.nesting.classes[c] for c in np.flatnonzero(of == g)} for g in range(of.max() + 1)]
        costs = [plan.cutout_cost(frozenset(i for i, c in enumerate(plan.classes) if c in names)) for names in kept]
        assert (figures.cost.group.params, figures.cost.group.macs) == pytest.approx(tuple(np.mean(costs, axis=0)))
        assert figures.cost.group.classes == pytest.approx(100 / len(kept))


def test_where_measures_disagree_neither_is_better() -> None:
    assert (
        compare_nestings([f"{TINY}:N3HL", HAND])
        .verdicts[1]
        .startswith("Neither groups similar classes together better by every measure (whole nesting, Wu–Palmer: ")
    )


def test_only_what_is_computed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare_nestings([TINY]).verdicts == []
    numbers = [0, 0, 0, 1, 1, 1]
    toy = [Nesting.from_levels([f"q{i}" for i in range(6)], [of], name=n) for n, of in (("a", numbers), ("b", numbers))]
    assert compare_in_memory(toy).verdicts == []  # no taxonomy file, no WordNet
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = "name: {}\nclasses: imagenet100\nmodels: {{N2HL: {{trunk: {{backbone: resnet50}}, input_size: 232}}}}\n"
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(text.format(name))
    comparison = compare_nestings([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")])
    assert [line.split()[0] for line in comparison.verdicts] == ["Neither"]  # never measured: no costs
    assert f"'hiergen build {tmp_path / 'a.yaml'}' does it" in (comparison.nestings[1].no_cost or "")


def test_each_models_own_budget_and_the_same_twice() -> None:
    file = str(ROOT / "taxonomies/imagenet100.yaml")
    cost, coherence = compare_nestings([f"{file}:N4HL", f"{file}:N2HL", f"{file}:PHLlateSP"]).verdicts
    assert "A group's cutout costs less in imagenet100:N4HL" in cost
    assert "imagenet100:PHLlateSP 3.343 GMACs, 9.69 M params, 1 class)" in cost  # no groups: a class is one
    assert cost.endswith("The trunk and the budget are each model's own ('as model' above).")
    assert "PHLlateSP" not in coherence
    assert (
        compare_nestings([f"{file}:N2HL", str(ROOT / "generated/imagenet100.py:N2HL")])
        .verdicts[0]
        .startswith("A group's cutout costs as much in each")
    )
