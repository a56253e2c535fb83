"""Trees: every group and class once, in readable places, and nobody's name is markup."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from drawn import HOSTILE, SVG, assert_readable, nodes, parsed, small_plan, texts

from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.views.draw.canvas import fit, width
from hiergen.views.draw.outline import Chosen, Outline, of_merged, of_nesting
from hiergen.views.draw.radial import radial_picture
from hiergen.views.draw.rows import rows_picture
from tests.helpers import printed_twice

ROOT = Path(__file__).parents[2]
DRAW = {"rows": rows_picture, "radial": radial_picture}


def synthetic(count: int, sizes: tuple[int, ...] = (9, 37)) -> Outline:
    """So many classes in uneven groups of two levels."""
    tree: dict[str, Any] = {}
    for c in range(count):
        first, second = c * c % sizes[0], c * 7 % sizes[1]
        groups = tree.setdefault(f"kingdom of {first}", {})
        groups.setdefault(f"family {second} of {first}", {})[f"c{c}"] = f"class with the number {c}"
    return of_nesting("synthetic", Nesting.from_tree(tree, [f"c{c}" for c in range(count)]))


def hostile() -> Outline:
    names = [*HOSTILE, *(f"{name} 2" for name in HOSTILE)]
    tree = {names[i]: {f"id <{i}>&": names[i], f"id {i}b": f"{names[i]}!"} for i in range(len(names))}
    ids = [class_id for below in tree.values() for class_id in below]
    return of_nesting(HOSTILE[0], Nesting.from_tree(tree, ids))


@pytest.mark.parametrize(
    ("layout", "count"),
    [*((layout, count) for layout in DRAW for count in (1, 2, 10, 100)), ("radial", 1000)],
)
def test_every_node_is_there_once_and_readable(layout: str, count: int) -> None:
    outline = synthetic(count)
    root = parsed(DRAW[layout](outline, {}, Chosen()))
    found = Counter((node["level"], node["name"], node.get("class")) for node in nodes(root))
    wanted = Counter({("3", f"class with the number {c}", f"c{c}"): 1 for c in range(count)})
    for c in range(count):
        wanted["1", f"kingdom of {c * c % 9}", None] = 1
        wanted["2", f"family {c * 7 % 37} of {c * c % 9}", None] = 1
    assert found == wanted
    assert_readable(root)
    shown = {text.text for text in texts(root)}
    assert all(f"class with the number {c}" in shown for c in range(count))


@pytest.mark.parametrize("count", [10, 100, 400])
def test_names_in_rings_stay_in_their_part(count: int) -> None:
    outline = synthetic(count)
    root = parsed(radial_picture(outline, {}, Chosen()))
    (middle,) = [e for e in root.iter(f"{SVG}text") if e.text == "synthetic" and e.attrib.get("class") == "b m"]
    x0, y0 = float(middle.attrib["x"]), float(middle.attrib["y"])
    spans = {item.name: (item.first, item.end) for item in outline.items}
    seen = 0
    for parent in root.iter(f"{SVG}g"):
        first, end = (math.tau * row / count for row in spans[parent.attrib["data-name"]])
        for text in texts(parent):
            seen += 1
            centre = (first + end) / 2
            for x, y in text.corners:
                away = (math.atan2(x - x0, y0 - y) - centre + math.pi) % math.tau - math.pi
                assert abs(away) <= (end - first) / 2 + 1e-3, text
    assert seen > count


@pytest.mark.parametrize("layout", DRAW)
def test_hostile_names_are_text(layout: str) -> None:
    outline = hostile()
    svg = DRAW[layout](outline, {}, Chosen(frozenset([0]), frozenset([0, 1])))
    root = parsed(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "g", "path", "circle", "text"),
    }
    names = [node["name"] for node in nodes(root)]
    assert len(names) == len(outline.items)
    assert names[0] == HOSTILE[0]  # whole, and unescaped by the parser
    assert "line\\nbreak\\ttab \\x00 NUL \\u202e turned" in names
    assert all(set(element.attrib) <= KNOWN for element in root.iter())
    assert "\u202e" not in svg
    # other scripts' letters are in fonts that are not here: their boxes are as wide as DejaVu's replacement
    assert_readable(root)


KNOWN = {
    *("viewBox", "width", "height", "role", "aria-labelledby", "id", "class", "x", "y", "rx", "d", "r", "cx", "cy"),
    *("font-size", "transform", "stroke-width", "stroke-dasharray"),
    *("data-name", "data-level", "data-classes", "data-class", "data-logit"),
}


@pytest.mark.parametrize("name", ["digits", "imagenette", "imagenet100"])
def test_shipped_taxonomies(name: str) -> None:
    taxonomy = load_taxonomy(ROOT / f"taxonomies/{name}.yaml")
    nesting = taxonomy.nesting(max(taxonomy.levels, key=lambda model: taxonomy.levels[model]))
    outline = of_nesting(name, nesting)
    for picture in DRAW.values():
        root = parsed(picture(outline, {}, Chosen()))
        found = list(nodes(root))
        assert sorted(n["class"] for n in found if "class" in n) == sorted(entry.id for entry in taxonomy.classes)
        groups = Counter((n["name"], int(n["level"]), int(n["classes"])) for n in found if "class" not in n)
        assert groups == Counter(
            (g.name, j, len(g.classes)) for j, level in enumerate(nesting.levels, 1) for g in level.groups
        )
        origins = sorted(g.origin for level in nesting.levels for g in level.groups)
        assert sorted(n["tip"].split("; from ")[1] for n in found if "class" not in n) == origins
        assert_readable(root)
    merged = of_merged(name, taxonomy.tree)
    assert len(merged.items) == len(taxonomy.tree) - 1
    assert sorted(merged.order) == list(range(len(taxonomy.classes)))
    assert_readable(parsed(rows_picture(merged, {}, Chosen())))
    assert_readable(parsed(radial_picture(merged, {}, Chosen())))


@pytest.mark.parametrize("layout", DRAW)
def test_chosen_and_cut_nodes_are_marked(layout: str) -> None:
    plan = small_plan(["a", "b", "c", "d", "e"], 2)  # groups: a b, c d, e
    outline = of_nesting("t", plan.nesting)
    root = parsed(DRAW[layout](outline, {}, Chosen(frozenset([0]), frozenset([0, 1, 4])), summary="It costs little."))
    kinds = {
        found.attrib["data-name"]: " ".join(child.attrib.get("class", "") for child in found)
        for found in root.iter(f"{SVG}g")
    }
    assert all("cut" in kinds[name] for name in ("c", "d", "group 1"))
    assert all("hot" in kinds[name] for name in ("a", "group 0"))
    assert not any("cut" in kinds[name] or "hot" in kinds[name] for name in ("b", "e", "group 2"))
    assert "Grey: left out of the cutout. It costs little." in {text.text for text in texts(root)}


def test_same_input_same_bytes_whatever_the_hash_seed() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/views'); from test_draw_tree import *\n"
        "sys.stdout.write(rows_picture(synthetic(60), {}, Chosen()) + radial_picture(synthetic(200), {}, Chosen()))"
    )
    assert "<svg" in printed_twice(code)


def test_both_schemes_or_one() -> None:
    outline = synthetic(10)
    auto, dark = (rows_picture(outline, {}, Chosen(), theme=theme) for theme in ("auto", "dark"))
    assert "@media (prefers-color-scheme:dark)" in auto
    assert "@media" not in dark
    assert "fill:#0d1117" in auto
    assert ".bg{fill:#0d1117}" in dark
    root = parsed(auto)
    assert root.attrib["role"] == "img"
    said = root.find(f"{SVG}desc")
    assert said is not None
    assert said.text is not None
    assert "10 classes in" in said.text


@pytest.mark.parametrize("room", [5, 20, 60, 200, 2000])
def test_names_are_shortened_to_their_room(room: int) -> None:
    for name in [*HOSTILE, "e\u0301" * 50, "plain"]:
        shown = fit(name, room, 10)
        assert width(shown, 10) <= room or shown == "…"
    assert fit("great white shark", 500, 10) == "great white shark"
    assert fit("a" * 30 + "z" * 30, 100, 10).startswith("aaa")
    assert fit("a" * 30 + "z" * 30, 100, 10).endswith("zz")
