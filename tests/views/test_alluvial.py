"""The picture is well-formed, and every ribbon starts and ends at its own groups."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hiergen.errors import OutputError
from hiergen.nestings.compare.agreement import moves
from hiergen.taxonomy.nesting import Nesting
from hiergen.views.alluvial import alluvial, class_rows, columns, finest, ribbons, write_alluvial
from tests.nestings.nests import nest, random_nest

SVG = "{http://www.w3.org/2000/svg}"


def parts(text: str, tag: str, kind: str = "") -> list[ElementTree.Element]:
    root = ElementTree.fromstring(text)
    return [e for e in root.iter(SVG + tag) if kind in e.get("class", "").split() or not kind]


def tips(text: str, kind: str) -> dict[ElementTree.Element, str]:
    """What is drawn with a tooltip of its own, and that."""
    nodes = ((node.find("*[@class]"), node.findtext(f"{SVG}title")) for node in parts(text, "g"))
    return {shape: tip for shape, tip in nodes if shape is not None and tip and kind in shape.get("class", "").split()}


@pytest.mark.parametrize(("n", "counts"), [(30, (3, 2)), (100, (12,)), (250, (4, 3, 2))])
def test_blocks_and_ribbons_account_for_every_class(n: int, counts: tuple[int, ...]) -> None:
    nests = [random_nest(n, counts, seed) for seed in (0, 1)]
    text = alluvial(nests, ["left", "right"])
    blocks = tips(text, "block")
    assert len(blocks) == sum(sum(g.counts) for g in nests)
    row = 12.0 if n <= 160 else 1400 / n
    for block, tip in blocks.items():
        size = int(re.findall(r": (\d+) class", tip)[0])
        assert float(block.get("height", "0")) >= size * row - 0.06
    bundles = {(x, y) for x, y in zip(nests[0].levels[-1].of, nests[1].levels[-1].of, strict=True)}
    paths = parts(text, "path", "ribbon")
    assert len(paths) == len(bundles)  # finer than the colours of the first nesting
    gone = {(m.before, m.after) for m in moves(nests[0].levels[-1], nests[1].levels[-1]).moved}
    assert len(parts(text, "path", "moved")) == len(gone)
    named = {e.text for e in parts(text, "text", "name")}
    assert named == (set(nests[0].labels) if n <= 160 else set())


@pytest.mark.parametrize("seed", range(3))
def test_ribbons_touch_their_groups_and_no_other_ribbon(seed: int) -> None:
    a, b = random_nest(60, (4, 3), seed), random_nest(60, (7,), seed + 9)
    colour, (left, right) = np.array(random_nest(60, (3,), 5).levels[0].of), columns([a, b], 10.0)  # of a third nesting
    starts, ends = class_rows(a, left, b, right, colour, 10.0), class_rows(b, right, a, left, colour, 10.0)
    found = ribbons(a, b, starts, ends, colour, 10.0)
    assert sorted(c for r in found for c in r.classes) == list(range(60))
    for nesting, column, side in ((a, left, "left"), (b, right, "right")):
        spans = []
        for r in found:
            group = r.before if side == "left" else r.after
            assert {nesting.levels[-1].of[c] for c in r.classes} == {group}
            top, bottom = getattr(r, side)
            assert bottom - top == pytest.approx(10 * len(r.classes))
            assert column.top[-1][group] - 1e-9 <= top
            assert bottom <= column.bottom[-1][group] + 1e-9
            spans.append((top, bottom))
        assert all(x[1] <= y[0] + 1e-9 for x, y in pairwise(sorted(spans)))
        for j in range(1, len(nesting.levels)):  # groups lie within their parents
            for group, parent in enumerate(nesting.above(j + 1)):
                assert column.top[j - 1][parent] <= column.top[j][group]
                assert column.bottom[j][group] <= column.bottom[j - 1][parent]


def test_ordering_undoes_a_mere_renaming_and_never_makes_it_worse() -> None:
    a = random_nest(80, (5, 4), 0)
    renamed = Nesting.from_levels(a.classes, [-np.array(level.of) for level in a.levels], name="same")
    left, right = columns([a, renamed], 1.0)
    assert np.allclose(left.top[-1][finest(a)], right.top[-1][finest(renamed)])
    crossing = nest("aabbccdd"), nest("abcdabcd"[::-1])
    left, right = columns(crossing, 1.0)
    assert {*left.order} == {*right.order} == {0, 1, 2, 3}


def test_labels_are_data() -> None:
    evil = Nesting.from_levels(
        ["a", "b", "c"], [[0, 0, 1]], labels=["<script>", "b & \x07c", '"quoted"'], names=[["</svg>", "]]>&"]], name="x"
    )
    text = alluvial([evil, evil], ["<one> & 'two'", "\x00"])
    ElementTree.fromstring(text)
    assert "<script" not in text
    assert "\x07" not in text
    assert {e.text for e in parts(text, "text", "name")} == {"<script>", r"b & \x07c", '"quoted"'}


def test_readers_of_the_screen_and_of_the_dark_are_served() -> None:
    text = alluvial([nest("aab"), nest("abb"), nest("aaa")], ["one", "two", "three"])
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "t d"
    assert root.findtext(f"{SVG}title") == "3 classes in 3 nestings: one, two, three"
    assert "From one to two, 1 of 3 classes leave their group." in (root.findtext(f"{SVG}desc") or "")
    style = root.findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    assert set(re.findall(r"\.c\d+", light)) == set(re.findall(r"\.c\d+", dark))
    assert len(set(re.findall(r"\.c\d+\{fill:(#\w+)", light))) == 2


def phl(n: int) -> Nesting:
    return Nesting.from_levels([f"c{i}" for i in range(n)], [], name="PHL")


def test_awkward_nestings_can_be_drawn() -> None:
    for groups in (
        [phl(3), nest("aab")],
        [nest("aab"), phl(3)],
        [phl(2), phl(2)],
        [random_nest(2500, (90,), s) for s in (0, 1)],
    ):
        ElementTree.fromstring(alluvial(groups))
    with pytest.raises(ValueError, match="two nestings or more"):
        alluvial([phl(3)])
    with pytest.raises(ValueError, match="of the same classes"):
        alluvial([phl(3), phl(4)])


def test_a_thousand_classes_stay_small(tmp_path: Path) -> None:
    write_alluvial(tmp_path / "k.svg", [random_nest(1000, (8, 6), 0), random_nest(1000, (8, 6), 1)])
    assert (tmp_path / "k.svg").stat().st_size < 200_000
    same = alluvial([random_nest(1000, (8, 6), 0), random_nest(1000, (8, 6), 1)])
    assert (tmp_path / "k.svg").read_text() == same
    with pytest.raises(OutputError, match=r"k.png: the picture is an SVG; expected a path that ends in .svg"):
        write_alluvial(tmp_path / "k.png", [phl(3), phl(3)])
