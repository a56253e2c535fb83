"""Architectures: shapes, params and MACs are the plan's, every branch is there once, the bars are to scale."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from drawn import HOSTILE, SVG, assert_readable, nodes, parsed, small_plan, texts

from hiergen.planning.blocks import generalist_plan
from hiergen.planning.from_taxonomy import plan_if_known
from hiergen.planning.plan import Plan, StagePlan
from hiergen.taxonomy.load import load_taxonomy
from hiergen.views.draw.architecture import architecture_picture
from hiergen.views.draw.network import bars, subtree_costs
from hiergen.views.draw.outline import Chosen

ROOT = Path(__file__).parents[2]
NAMES = [f"class number {c}" for c in range(9)]


def shipped(name: str, model: str) -> Plan:
    plan = plan_if_known(load_taxonomy(ROOT / f"taxonomies/{name}.yaml"), model)
    assert plan is not None
    return plan


def said(root: object) -> list[str]:
    return [text.text for text in texts(root)]  # type: ignore[arg-type]


def short(count: int) -> str:
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if count >= size:
            return f"{count / size:.2f}{unit}"
    return str(count)


PLANS = {
    "by hand": lambda: small_plan(NAMES, 4),
    "hostile": lambda: small_plan(HOSTILE, 4),
    "1000": lambda: small_plan([f"class {c}" for c in range(1000)], 17),
    "one class": lambda: small_plan(["alone"], 1),
    "digits PHL": lambda: shipped("digits", "PHL"),
    "digits N3HL": lambda: shipped("digits", "N3HL"),
    "digits PHL1branch": lambda: shipped("digits", "PHL1branch"),
    "imagenet100 N3HL": lambda: shipped("imagenet100", "N3HL"),
}


@pytest.mark.parametrize("name", PLANS)
def test_every_branch_once_with_the_plans_figures(name: str) -> None:
    plan = PLANS[name]()
    root = parsed(architecture_picture(plan, Chosen(frozenset([0]), frozenset(range(-(-len(plan.classes) // 2))))))
    assert_readable(root)
    found = list(nodes(root))
    branches = Counter((int(n["level"]), int(n["branch"])) for n in found if "branch" in n)
    assert branches == Counter((j, i) for j, level in enumerate(plan.levels, 1) for i in range(level.branches))
    assert sorted(n["class"] for n in found if "class" in n) == sorted(plan.classes)
    for n in found:
        if "class" in n:  # a slip here would show another class's name
            assert n["name"] == re.sub(r"[\x00\n\t\u202e]", _escaped, plan.nesting.labels[int(n["logit"])])
            assert plan.classes[int(n["logit"])] == n["class"]
    table = said(root)
    trunk = plan.trunk
    assert f"{trunk.channels:,} × {trunk.height} × {trunk.width}" in table
    assert f"{short(trunk.params)} params, {short(trunk.macs)}MACs" in table
    for level in plan.levels:
        assert f"{level.channels:,} × {level.height} × {level.width}" in table
        each = f"{short(level.branch_params)} params, {short(level.branch_macs)}MACs"
        assert each in table
        for stage in level.stages:
            assert any(
                text.startswith(f"{stage.depth} × ") and f" {stage.width} → {stage.out}" in text for text in table
            )
        if level.branches > 1:
            assert f"{short(level.branches * level.branch_params)} params" in " ".join(table)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def test_costs_below_a_branch_are_those_of_its_cutout_without_what_is_above() -> None:
    plan = shipped("imagenet100", "N3HL")
    costs = subtree_costs(plan)
    for j, level in enumerate(plan.levels, 1):
        for i in range(level.branches):
            kept = frozenset(c for c in range(len(plan.classes)) if _path(plan, c)[j - 1] == i)
            params, macs = plan.cutout_cost(kept)
            above = plan.levels[: j - 1]
            assert costs[j, i] == (
                params - plan.trunk.params - sum(a.branch_params for a in above),
                macs - plan.trunk.macs - sum(a.branch_macs for a in above),
            )


def _path(plan: Plan, c: int) -> list[int]:
    """Branch of each level on the way to a class."""
    found = [plan.head_parents[c] if plan.head_parents else c]
    for level in reversed(plan.levels[1:]):
        found.insert(0, level.parents[found[0]])
    return found


def test_bars_are_to_scale() -> None:
    plan, kept = small_plan(NAMES, 4), frozenset([0, 1, 8])
    root = parsed(architecture_picture(plan, Chosen(kept=kept), flat_of={9: (900, 90), 3: (300_000, 3_000_000)}))
    bars: dict[str, list[tuple[float, str]]] = {}
    for box in root.findall(f"{SVG}rect"):
        if box.attrib["height"] == "13":
            bars.setdefault(box.attrib["y"], []).append((float(box.attrib["width"]), box.attrib["class"]))
    rows = [bars[y] for y in sorted(bars, key=float)]
    assert len(rows) == 8  # network, cutout, flat, flat sliced: params, then MACs
    one, two = plan.levels
    head = two.channels
    for first, what in ((0, "params"), (4, "macs")):
        heads = (head + 1, head)[what == "macs"]
        costs = [getattr(level, f"branch_{what}") for level in (one, two)]
        whole = [getattr(plan.trunk, what), 3 * costs[0], 9 * costs[1], 9 * heads]
        cut = [getattr(plan.trunk, what), 2 * costs[0], 3 * costs[1], 3 * heads]
        flat = [[(900, 90)[what == "macs"]], [(300_000, 3_000_000)[what == "macs"]]]
        scale = sum(w for w, _ in rows[first]) / sum(whole)
        for row, wanted in zip(rows[first : first + 4], [whole, cut, *flat], strict=True):
            assert [w for w, _ in row] == pytest.approx([scale * n for n in wanted], abs=0.15)
        assert [kind for _, kind in rows[first]] == ["p0", "p1", "p2", "p3"]
    params, macs = plan.cutout_cost(kept)
    line = next(text for text in said(root) if text.startswith("Grey"))
    assert line == (
        f"Grey: left out of the cutout of 3 classes. It has {short(params)} params "
        f"(−{100 - 100 * params / plan.params:.1f} %) and {short(macs)}MACs (−{100 - 100 * macs / plan.macs:.1f} %)."
    )


def test_branches_for_all_classes_stand_below() -> None:
    plain, kept = small_plan(NAMES, 4), Chosen(kept=frozenset([0, 1]))
    stages = [StagePlan(block="bottleneck", in_channels=512, width=8, out=out, depth=1, stride=2) for out in (24, 96)]
    tails = [generalist_plan([stage], 9, 3, plain.trunk) for stage in stages]
    plan = plain.model_copy(update={"generalist": tails[0], "flat": tails[1]})
    for chosen in (Chosen(), kept):
        root = parsed(architecture_picture(plan, chosen))
        assert_readable(root)
        found = {n["name"]: n for n in nodes(root) if "shared" in n}
        assert [n["shared"] for n in found.values()] == ["9", "9"]
        for name, tail in zip(("generalist", "flat network's tail"), tails, strict=True):
            assert f"{short(tail.params)} params, {short(tail.macs)}MACs" in found[name]["tip"]
            (box,) = [g.find(f"{SVG}rect") for g in root.iter(f"{SVG}g") if g.attrib.get("data-name") == name]
            assert box is not None
            assert box.attrib["class"] == ("p4" if chosen.kept is None else "cutbox")
    network, *forms, _ = bars(plan, Chosen(), {})
    assert (sum(network.params), sum(network.macs)) == (plan.params, plan.macs)
    trunk = plan.trunk
    assert [(sum(b.params), sum(b.macs)) for b in forms] == [
        (trunk.params + tail.params, trunk.macs + tail.macs) for tail in tails
    ]
    assert "data-shared" not in architecture_picture(plain)


def test_path_of_one_class() -> None:
    plan = small_plan(NAMES, 4)
    root = parsed(architecture_picture(plan, Chosen(frozenset([5]))))
    params, macs = plan.cutout_cost(frozenset([5]))
    (line,) = [text for text in said(root) if text.startswith("Orange")]
    assert line.startswith("Orange: trunk → group 1 → class number 5 → logit, ")
    assert f"{short(params)} params, {short(macs)}MACs: {100 * params / plan.params:.1f} % of the params" in line
    hot = [
        found.attrib["data-name"]
        for found in root.iter(f"{SVG}g")
        if any("hotbox" in child.attrib.get("class", "") for child in found)
    ]
    assert hot == ["group 1", "class number 5"]


def test_same_plan_same_bytes_and_markup_is_escaped() -> None:
    plan = small_plan(HOSTILE, 4)
    svg = architecture_picture(plan)
    assert svg == architecture_picture(Plan.model_validate_json(plan.model_dump_json()))
    assert "<script" not in svg
    assert "<img" not in svg
    assert "by &lt;hand&gt; N2HL" in svg
