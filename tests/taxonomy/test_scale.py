"""Thousands of classes: right at 5,000 nouns, and the work, counted in calls and table cells, grows as they do."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import toy

from hiergen.codegen.build import render
from hiergen.planning.from_taxonomy import plan_models
from hiergen.taxonomy import knapsack
from hiergen.taxonomy.levels import nest_tree
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.spec import NestingOptions as Options
from hiergen.taxonomy.tree import contract
from hiergen.taxonomy.wordnet.nouns import default
from tests.taxonomy.test_nesting import check_nesting


def nouns(count: int) -> list[str]:
    """Wnids, many of them ancestors of others."""
    index = default().reader.lemma_index
    found = sorted({f"n{offset:08d}" for senses in index.values() for offset in senses.get("n", [])})
    random.Random(0).shuffle(found)
    return found[:count]


def spec(folder: Path, ids: list[str], more: str = "") -> Path:
    (folder / "ids.txt").write_text("\n".join(ids), "utf-8")
    file = folder / f"nouns{len(ids)}.yaml"
    file.write_text(f"name: nouns\nclasses: ids.txt\n{more}models: {{N3HL: {{budget: {{params: 60M, macs: 8G}}}}}}\n")
    return file


def test_five_thousand_nouns_are_nested_planned_and_written(tmp_path: Path) -> None:
    ids = nouns(5000)
    taxonomy = load_taxonomy(spec(tmp_path, ids))
    assert [c.id for c in taxonomy.classes] == ids
    for levels in (2, 3):
        check_nesting(taxonomy.nesting_of(levels), levels, 5000)
    plans = plan_models(taxonomy)
    source = render(plans, "nouns.yaml")
    assert len(source) < 1e6
    assert max(map(len, source.splitlines())) <= 120
    names: dict[str, object] = {}
    exec(source.partition("@register")[0], names)  # the literals; the network would be large
    assert list(names["CLASSES"]) == ids  # type: ignore[call-overload]
    assert names["NESTING_3"].tree() == plans[0].nesting.tree()  # type: ignore[attr-defined]


def calls(job: Callable[[], object]) -> int:
    """How many functions of hiergen.taxonomy were entered; the same on every machine."""
    count = 0

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and "taxonomy" in frame.f_code.co_filename

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        job()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("refine", [False, True])
def test_work_grows_as_the_classes_do(tmp_path: Path, refine: bool) -> None:
    """Four times the classes: at most 1.5 × 4 times the calls, with some for the growing depth. One loop over all
    classes per group would be 16 times."""
    nouns(2)  # WordNet is read
    work = []
    for count in (300, 1200):
        folder = tmp_path / str(count)
        folder.mkdir()
        file = spec(folder, nouns(count), f"nesting: {{refine: {str(refine).lower()}}}\n")
        file.write_text(file.read_text().replace("models:", "models:\n  N2HL: {}\n  N4HL: {}\n  N3HL: {}\n#"))

        def job(file: Path = file) -> None:
            loaded = load_taxonomy(file)
            for levels in (2, 3, 4):
                loaded.nesting_of(levels)

        work.append(calls(job))
    assert work[1] < 6 * work[0], work


def test_one_wide_group_needs_no_table_of_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 classes in one group: tables [own, rest] of all steps would have 2.7 thousand million cells."""
    cells = 0
    step = knapsack._step

    def counted(*args: object) -> np.ndarray:
        nonlocal cells
        table = step(*args)  # type: ignore[arg-type]
        cells += table.size
        return table

    monkeypatch.setattr(knapsack, "_step", counted)
    tree = contract(toy.tree_of(f"A({' '.join(f'c{i}' for i in range(2000))}) B(a b)"))
    nesting = nest_tree(tree, 2, Options(), default())
    assert [len(group.classes) for group in nesting.levels[0].groups] == [2000, 2]
    assert cells < 10 * 2000**2


def test_a_refined_nesting_may_gather_leftovers_twice() -> None:
    """What is left of what is left of a part of the tree is no node of the whole tree: once a KeyError."""
    text = (
        "G1(c0 c1 c2) G2(c3 c4) G4(c5 G3(c6 c7)) G5(c8 c9) G16(G7(c10 c11 G6(c12 c13)) G13(c14 G9(G8(c15 c16) c17 c18"
        " c19) G12(c20 c21 G11(c22 G10(c23 c24)))) G15(c25 c26 G14(c27 c28)) c29)"
    )
    tree, options = contract(toy.tree_of(text)), Options(max_children=2)
    base = nest_tree(tree, 2, options, default())
    check_nesting(nest_tree(tree, 4, options, default(), base=base), 4, 30)
