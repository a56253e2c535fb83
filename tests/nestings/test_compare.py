"""The whole comparison: from file names to the table, JSON and the picture."""

from __future__ import annotations

import io
import json
from itertools import combinations
from math import factorial, log10
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hiergen.errors import HiergenError, SpecError, TaxonomyError
from hiergen.nestings.compare.compare import Comparison, compare_in_memory, compare_nestings, titles_of
from hiergen.nestings.count.count import level_shares, share_of
from hiergen.taxonomy.nesting import Nesting

ROOT = Path(__file__).parents[2]
FILES = [str(ROOT / f"taxonomies/tiny-imagenet-100{suffix}.yaml") for suffix in ("", "-hand", "-dissimilar")]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("compare")
    (folder / "tasks.yaml").write_text(
        "pets: [tabby, Chihuahua]\nroad: {classes: [limousine, trolleybus], weight: 3}\n"
    )
    return compare_nestings([f"{FILES[0]}:N3HL", *FILES[1:]], tasks=[folder / "tasks.yaml"])


def printed(comparison: Comparison, **options: int) -> str:
    console = Console(width=200, file=io.StringIO())
    comparison.table(console, **options)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_json_says_what_the_parts_say(three: Comparison) -> None:
    comparison = three
    data = json.loads(json.dumps(comparison.as_data(), allow_nan=False))
    assert [n["title"] for n in data["nestings"]] == [
        "tiny-imagenet-100:N3HL",
        "tiny-imagenet-100-hand",
        "tiny-imagenet-100-dissimilar",
    ]
    assert [n["groups"] for n in data["nestings"]] == [list(n.nesting.counts) for n in comparison.nestings]
    titles = [n["title"] for n in data["nestings"]]
    assert [(p["first"], p["second"]) for p in data["pairs"]] == list(combinations(titles, 2))
    hand = data["pairs"][0]
    assert len(hand["levels"][0]["moved"]) == len(comparison.pairs[0].levels[0].moves.moved)
    entry = hand["levels"][0]["moved"][0]
    assert set(entry) == {"class", "name", "from", "to"}
    assert hand["levels"][0]["matched"].get(entry["from"]) != entry["to"]
    assert data["tasks"][1]["weight"] == 3
    expected = data["nestings"][0]["cost"]
    tasks = expected["tasks"]
    assert expected["expected"]["macs"] == pytest.approx((tasks["pets"][1] + 3 * tasks["road"][1]) / 4)
    assert {n["cost"]["model"] for n in data["nestings"]} == {"N3HL"}


def test_the_table_has_every_section(three: Comparison) -> None:
    text = printed(three, moved=5)
    for line in (
        "Coherence, Wu–Palmer",
        "Coherence, path",
        "Cost on the first file's trunk and budget",
        "road (2 classes, weight 3)",
        "Level 2 against tiny-imagenet-100:N3HL",
        "Whole tree against tiny-imagenet-100:N3HL",
        "All pairs: adjusted Rand",
        "more; --json has all",
    ):
        assert line in text, line
    pair = three.pairs[0]
    row = next(line for line in text.splitlines() if line.startswith("adjusted Rand"))
    assert row.split()[2:4] == ["–", f"{pair.levels[0].agreement.ari:.3f}"]
    matrix = text.split("All pairs")[1].splitlines()[2].split()
    assert matrix[1:3] == ["–", f"{pair.mean('ari'):.3f}"]


def test_other_depths_say_which_levels_are_compared() -> None:
    file = str(ROOT / "taxonomies/imagenet100.yaml")
    comparison = compare_nestings([f"{file}:N4HL", f"{file}:N2HL", f"{file}:PHLlateSP"])
    text = printed(comparison)
    assert "Nestings of other depths" in text
    pairs = {(p.first, p.second): p for p in comparison.pairs}
    ((first, second),) = [(level.first, level.second) for level in pairs[0, 1].levels]
    assert second == 0
    scores = [level.agreement.ami for level in pairs[0, 1].levels]
    assert scores[0] == pytest.approx(1, abs=0.2)
    assert first == 1  # 13 groups against 2, 13 and 32
    assert pairs[0, 2].levels == ()
    assert comparison.as_data()["pairs"][1]["tree"]["cophenetic"] is None
    assert [nest.cost.model for nest in comparison.nestings if nest.cost] == ["N4HL", "N2HL", "PHLlateSP"]


def test_generated_files_are_compared_without_running_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch stays out: tests/cli/test_light_commands.py."""
    monkeypatch.chdir(ROOT)
    first = compare_nestings(["generated/imagenet100.py:N3HL", "generated/imagenet100.py:N4HL"]).nestings[0]
    assert first.cost is None
    assert first.no_cost
    both = compare_nestings(["generated/imagenet100.py:N3HL", "taxonomies/imagenet100.yaml:N3HL"])
    assert both.nestings[0].cost
    assert both.pairs[0].levels[0].agreement.ari == 1


def test_shares_count_relabellings() -> None:
    g = Nesting.from_levels("abcdefg", [[0, 0, 0, 1, 1, 1, 2], [0, 0, 1, 2, 2, 3, 4]], name="toy")
    # 7! over 3!·3!·1! and the two groups of three that may change places
    assert level_shares(g)[0].same == pytest.approx(log10(factorial(7) / (6 * 6 * 2)))
    assert level_shares(g)[0].all == pytest.approx(log10(877))  # the Bell number
    assert share_of(g).same == pytest.approx(log10(factorial(7) / (2 * 2 * 2)))
    assert share_of(Nesting.from_levels("abc", [], name="PHL")).share == 0


def test_a_budget_too_small_is_a_line_not_an_end(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: a\nclasses: imagenet100\nmodels: {N2HL: {budget: {params: 1k}}}\n")
    comparison = compare_nestings([str(file)])
    assert comparison.nestings[0].cost is None
    assert "too small" in printed(comparison)


def test_nestings_in_memory() -> None:
    order = np.random.default_rng(0).integers(0, 5, 40)
    toy = [
        Nesting.from_levels([f"q{i}" for i in range(40)], [numbers], name=name)
        for name, numbers in (("a", order), ("b", -order))
    ]
    comparison = compare_in_memory(toy)
    assert comparison.pairs[0].levels[0].agreement.ari == 1
    assert comparison.nestings[0].cost is None


def test_titles_are_short_where_that_is_enough() -> None:
    assert titles_of(["x/a.yaml:N3HL", "b.yaml"]) == ["a:N3HL", "b"]
    assert titles_of(["x/a.yaml", "y/a.yaml"]) == ["x/a.yaml", "y/a.yaml"]
    assert titles_of(["a.yaml", "a.yaml"]) == ["a", "a"]


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(HiergenError, match="nothing to compare"):
        compare_nestings([])
    with pytest.raises(
        TaxonomyError, match=r"100.yaml and \S+imagenet100.yaml are over different classes: \d+ only in the first \('n0"
    ):
        compare_nestings([FILES[0], str(ROOT / "taxonomies/imagenet100.yaml")])
    with pytest.raises(SpecError, match="no model 'N9HL'"):
        compare_nestings([f"{FILES[0]}:N9HL"])
    with pytest.raises(SpecError, match="no such file"):
        compare_nestings([FILES[0], str(tmp_path / "none.yaml")])


def test_without_wordnet_there_is_no_coherence(tmp_path: Path) -> None:
    """Similarity would come from the first nesting's own groups, which cannot say how good they are."""
    classes = [f"{letter}1" for letter in "abcdef"]
    groups = "{x: [a1, b1, c1], y: [d1, e1, f1]}"
    for name, given in (("none", classes), ("some", ["n02123045", *classes[1:]])):
        text = f"name: {name}\nclasses: [{', '.join(given)}]\nsources:\n  - groups: {groups}\nmodels: {{N2HL: {{}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text.replace("a1", given[0]))
    none = compare_nestings([str(tmp_path / "none.yaml")] * 2)
    data = json.loads(json.dumps(none.as_data(), allow_nan=False))
    assert data["outside_wordnet"] == 6
    assert [nesting["coherence"] for nesting in data["nestings"]] == [None, None]
    text = printed(none)
    assert "No coherence: WordNet has none of the classes." in text
    assert [line.split()[-2:] for line in text.splitlines() if line.startswith("whole nesting, r")] == [["–", "–"]] * 2
    some = compare_nestings([str(tmp_path / "some.yaml")] * 2)
    assert "5 of 6 classes are not in WordNet: placed by the first file's groups." in printed(some)
    assert some.nestings[0].coherence["path"].levels
    in_memory = compare_in_memory([Nesting.from_levels(classes, [[0, 0, 0, 1, 1, 1]], name="g")] * 2, titles=["g", "h"])
    assert in_memory.outside == 6
    assert in_memory.nestings[0].coherence == {}
    full = compare_nestings(FILES[:2])
    assert full.outside == 0
    assert "WordNet:" not in printed(full)
