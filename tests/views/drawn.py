"""SVGs read back: nodes, and the boxes of texts as DejaVu Sans really sets them, apart from the drawing code."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import matplotlib
from PIL import ImageFont

from hiergen.planning.blocks import level_plan
from hiergen.planning.plan import Plan, StagePlan, TrunkPlan
from hiergen.taxonomy.nesting import Nesting

SVG = "{http://www.w3.org/2000/svg}"
Point = tuple[float, float]
HOSTILE = [
    '</title><script>alert("1")</script>',
    "<img src=x onerror=alert(1)> & \"quotes\" 'too'",
    "x" * 200,
    "дом-музей Пушкина",
    "東京スカイツリー展望台",
    "طائر النورس",
    "line\nbreak\ttab \x00 NUL \u202e turned",
    "]]>",
    "👩‍🚀 astronaut",
]


@dataclass(frozen=True)
class Text:
    """A text with the four corners of its box."""

    text: str
    corners: tuple[Point, Point, Point, Point]


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return root


def nodes(root: ET.Element) -> Iterator[dict[str, str]]:
    """Name, facts and tooltip of every group and class."""
    for found in root.iter(f"{SVG}g"):
        if "data-name" in found.attrib:
            tip = found.find(f"{SVG}title")
            assert tip is not None
            yield {key.removeprefix("data-"): value for key, value in found.attrib.items()} | {"tip": tip.text or ""}


def texts(root: ET.Element) -> list[Text]:
    """As `element_texts`, without the elements."""
    return [text for _, text in element_texts(root)]


def element_texts(root: ET.Element) -> list[tuple[ET.Element, Text]]:
    """All visible texts. Height: from 0.76 em above the baseline (capitals and ascenders) to 0.2 em below."""
    found = []
    for element in root.iter(f"{SVG}text"):
        size, kinds = float(element.attrib["font-size"]), element.attrib.get("class", "").split()
        x, y, said = float(element.attrib["x"]), float(element.attrib["y"]), element.text or ""
        wide = _length(said, "b" in kinds) * size
        left = x - (wide if "e" in kinds else wide / 2 if "m" in kinds else 0)
        turn = re.match(r"rotate\((\S+) (\S+) (\S+)\)", element.attrib.get("transform", ""))
        angle = math.radians(float(turn[1])) if turn else 0.0
        corners = [(left, y - 0.76 * size), (left + wide, y - 0.76 * size), (left + wide, y + 0.2 * size)]
        corners.append((left, y + 0.2 * size))
        a, b, c, d = (_turned(corner, (x, y), angle) for corner in corners)
        found.append((element, Text(said, (a, b, c, d))))
    return found


def assert_readable(root: ET.Element) -> None:
    """No text lies over another, and none leaves the picture."""
    _, _, width, height = (float(n) for n in root.attrib["viewBox"].split())
    found = texts(root)
    for text in found:
        assert all(-0.5 <= x <= width + 0.5 and -0.5 <= y <= height + 0.5 for x, y in text.corners), text
    cells: dict[tuple[int, int], list[Text]] = {}
    for text in found:
        xs, ys = [x for x, _ in text.corners], [y for _, y in text.corners]
        for i in range(int(min(xs) // 100), int(max(xs) // 100) + 1):
            for j in range(int(min(ys) // 100), int(max(ys) // 100) + 1):
                cells.setdefault((i, j), []).append(text)
    for near in cells.values():
        for one, other in combinations(near, 2):
            assert _apart(one.corners, other.corners), (one, other)


def small_plan(names: list[str], per_group: int) -> Plan:
    """A network of two levels with groups of so many classes each, by hand."""
    groups = [f"group {i}" for i in range(-(-len(names) // per_group))]
    parents = tuple(i // per_group for i in range(len(names)))
    ids = tuple(f"c{i}" for i in range(len(names)))
    tree = {g: {ids[c]: names[c] for c in range(len(names)) if parents[c] == i} for i, g in enumerate(groups)}
    trunk = TrunkPlan(
        backbone="resnet50",
        until="layer2",
        input_size=(3, 224, 224),
        channels=512,
        reduction=8,
        height=28,
        width=28,
        params=1_444_928,
        macs=1_810_000_000,
        flat_params=23_712_932,
        flat_macs=4_090_000_000,
    )
    first = [StagePlan(block="bottleneck", in_channels=512, width=32, out=128, depth=2, stride=2)]
    second = [
        StagePlan(block="bottleneck", in_channels=128, width=16, out=64, depth=1, stride=2),
        StagePlan(block="convnextv2", in_channels=64, width=96, out=24, depth=3, stride=1),
    ]
    levels = (
        level_plan(1, tuple(groups), (), first, 28, 28),
        level_plan(2, ids, parents, second, 14, 14),
    )
    return Plan(
        taxonomy="by <hand>",
        model="N2HL",
        nesting=Nesting.from_tree(tree, ids),
        trunk=trunk,
        levels=levels,
        head_parents=(),
    )


@cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    return ImageFont.truetype(folder / f"DejaVuSans{'-Bold' * bold}.ttf", 100)


def _length(text: str, bold: bool) -> float:
    """em."""
    return _font(bold).getlength(text) / 100


def _turned(point: Point, about: Point, angle: float) -> Point:
    x, y = point[0] - about[0], point[1] - about[1]
    return (about[0] + x * math.cos(angle) - y * math.sin(angle), about[1] + x * math.sin(angle) + y * math.cos(angle))


def _apart(a: tuple[Point, ...], b: tuple[Point, ...]) -> bool:
    """Separating axes of two rectangles; a touch of 0.3 px is none."""
    for corners in (a, b):
        for (x0, y0), (x1, y1) in ((corners[0], corners[1]), (corners[1], corners[2])):
            length = math.hypot(x1 - x0, y1 - y0) or 1
            axis = ((x1 - x0) / length, (y1 - y0) / length)
            one = [x * axis[0] + y * axis[1] for x, y in a]
            other = [x * axis[0] + y * axis[1] for x, y in b]
            if min(max(one), max(other)) - max(min(one), min(other)) <= 0.3:
                return True
    return False
