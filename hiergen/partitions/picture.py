"""Nestings side by side as one SVG (an alluvial diagram): groups as blocks, classes as ribbons between them.

Written as text, without a plotting library; labels are escaped, colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from hiergen.errors import OutputError
from hiergen.files import write_text
from hiergen.partitions.grouping import Grouping, Level
from hiergen.partitions.layout import Column, Ribbon, class_rows, columns, finest, ribbons
from hiergen.partitions.moved import moves

STRIP, RIBBONS, CLASS_LABELS = 118, 190, 112  # px wide
TOP, FOOT, SIDE = 46, 26, 10
LABELLED = 160  # up to so many classes each has its name
TIPS = 600  # of more ribbons than that between two nestings, single classes have no tooltip (the file's size)
COLOURS = 14  # a level with more groups than that is not coloured by group, where a coarser one is there
_EM = 0.54  # mean width of a character


def picture(groupings: Sequence[Grouping], titles: Sequence[str] | None = None) -> str:
    """The SVG of two or more nestings of the same classes in the same order (`grouping.aligned`), left to right.

    Blocks are the groups, coarse levels outside (of nestings in the middle: left). Ribbons are classes, coloured by the
    groups of the first nesting (its finest level with at most 14 groups); they are strong where a class leaves its
    group's best match in the next nesting (`moved.moves` on the finest levels). Up to 160 classes are named one by one,
    of more the groups; tooltips name the rest. Raises ValueError for fewer than two nestings or other classes.
    """
    if len(groupings) < 2 or any(g.classes != groupings[0].classes for g in groupings):
        raise ValueError("a picture needs two nestings or more of the same classes in one order")
    return _Drawing(groupings, titles or [g.name for g in groupings]).text()


def write_picture(path: Path, groupings: Sequence[Grouping], titles: Sequence[str] | None = None) -> None:
    """Write `picture` to an .svg file. Raises OutputError for another suffix or a path that cannot be written."""
    if path.suffix != ".svg":
        raise OutputError("the picture is an SVG", place=str(path), expected="a path that ends in .svg")
    write_text(path, picture(groupings, titles))


class _Drawing:
    def __init__(self, groupings: Sequence[Grouping], titles: Sequence[str]) -> None:
        self.groupings, self.titles = list(groupings), list(titles)
        n = len(groupings[0].classes)
        self.named = n <= LABELLED
        self.row = 12.0 if self.named else max(1400 / n, 0.2)
        self.columns = columns(groupings, self.row)
        self.coloured = _colour_level(groupings[0])
        level = groupings[0].levels[self.coloured] if groupings[0].levels else None
        self.colour = level.array() if level else np.zeros(n, dtype=np.int64)
        self.hues = len(level.names) if level else 1
        self.height = max(column.height for column in self.columns)
        self.out: list[str] = []

    def text(self) -> str:
        x = float(SIDE)
        last = len(self.groupings) - 1
        edges: list[tuple[float, float]] = []  # of the ribbons' sides of each nesting
        for i, (grouping, column) in enumerate(zip(self.groupings, self.columns, strict=True)):
            names = CLASS_LABELS if self.named and i in (0, last) else 0
            width = max(STRIP * len(grouping.levels), 24 if names else STRIP)
            start = x + (names if i == last else 0)
            self._heading(i, x, width + names)
            self._strips(i, grouping, column, start, mirrored=i == last)
            edges.append((x, x + width + names))
            x += width + names + RIBBONS
        for i in range(last):
            self._between(i, edges[i][1], edges[i + 1][0])
        return self._document(x - RIBBONS + SIDE)

    def _offset(self, column: Column) -> float:
        """Shorter columns stand in the middle."""
        return TOP + (self.height - column.height) / 2

    def _heading(self, i: int, x: float, width: float) -> None:
        grouping = self.groupings[i]
        counts = " → ".join(map(str, grouping.counts)) or "no groups"
        room = width + RIBBONS * 0.7
        last = i == len(self.groupings) - 1
        at, anchor = (x + width, ' text-anchor="end"') if last else (x, "")
        title = _cut(self.titles[i], room, 13)
        self.out.append(f'<text class="h" x="{_n(at)}" y="20"{anchor}>{title}</text>')
        self.out.append(f'<text class="l" x="{_n(at)}" y="35"{anchor}>{_cut(f"{counts} groups", room, 10)}</text>')

    def _strips(self, i: int, grouping: Grouping, column: Column, x: float, *, mirrored: bool) -> None:
        y = self._offset(column)
        for j, level in enumerate(grouping.levels):
            place = len(grouping.levels) - 1 - j if mirrored else j
            left = x + place * STRIP
            for group, members in enumerate(level.members()):
                top, height = y + column.top[j][group], column.bottom[j][group] - column.top[j][group]
                tint = f" c{self.colour[members[0]]}" if i == 0 and j >= self.coloured else ""
                size = f"{len(members)} class{'es' if len(members) > 1 else ''}"
                self.out.append(
                    f'<rect class="b{tint}" x="{_n(left)}" y="{_n(top)}" width="{STRIP - 3}" height="{_n(height)}">'
                    f"<title>{_text(level.names[group])}: {size}</title></rect>"
                )
                if height >= 8:
                    font = 10 if height >= 11 else 8
                    label = _cut(level.names[group], STRIP - 11, font)
                    middle = top + height / 2 + font * 0.35
                    kind = "g" if font == 10 else "g s"
                    self.out.append(f'<text class="{kind}" x="{_n(left + 4)}" y="{_n(middle)}">{label}</text>')

    def _between(self, i: int, left: float, right: float) -> None:
        a, b = self.groupings[i], self.groupings[i + 1]
        before, after = self.columns[i], self.columns[i + 1]
        starts = class_rows(a, before, b, after, self.colour, self.row) + self._offset(before)
        ends = class_rows(b, after, a, before, self.colour, self.row) + self._offset(after)
        if self.named and i == 0:
            self._names(starts, left - CLASS_LABELS, "start")
        if self.named and i + 1 == len(self.groupings) - 1:
            self._names(ends, right + CLASS_LABELS, "end")
        partners = moves(_level(a), _level(b)).partners
        bundles = ribbons(a, b, starts, ends, self.colour, self.row)
        for ribbon in bundles:
            tip = len(bundles) <= TIPS or len(ribbon.classes) > 1
            self._ribbon(ribbon, left, right, (a, b), moved=partners[ribbon.before] != ribbon.after, tip=tip)

    def _ribbon(
        self, ribbon: Ribbon, x0: float, x1: float, sides: tuple[Grouping, Grouping], *, moved: bool, tip: bool
    ) -> None:
        gap = min(self.row * 0.12, 1.0)
        (t0, e0), (t1, e1) = ((top, bottom - gap) for top, bottom in (ribbon.left, ribbon.right))
        bend = _n((x0 + x1) / 2)
        path = (
            f"M{_n(x0)} {_n(t0)}C{bend} {_n(t0)} {bend} {_n(t1)} {_n(x1)} {_n(t1)}"
            f"V{_n(e1)}C{bend} {_n(e1)} {bend} {_n(e0)} {_n(x0)} {_n(e0)}Z"
        )
        kind = f"{'r m' if moved else 'r'} c{ribbon.colour}"
        if not tip:
            self.out.append(f'<path class="{kind}" d="{path}"/>')
            return
        way = f"{_level(sides[0]).names[ribbon.before]} → {_level(sides[1]).names[ribbon.after]}"
        limit = 12 if self.named else 3
        labels = ", ".join(sides[0].labels[c] for c in ribbon.classes[:limit])
        more = f" and {len(ribbon.classes) - limit} more" if len(ribbon.classes) > limit else ""
        self.out.append(f'<path class="{kind}" d="{path}"><title>{_text(f"{way}: {labels}{more}")}</title></path>')

    def _names(self, tops: NDArray[np.float64], x: float, anchor: str) -> None:
        inset = 4 if anchor == "start" else -4
        attribute = "" if anchor == "start" else ' text-anchor="end"'
        for c, top in enumerate(tops.tolist()):
            label = _cut(self.groupings[0].labels[c], CLASS_LABELS - 8, 9)
            self.out.append(f'<text class="n" x="{_n(x + inset)}" y="{_n(top + 9)}"{attribute}>{label}</text>')

    def _document(self, width: float) -> str:
        n = len(self.groupings[0].classes)
        title = f"{n} classes in {len(self.groupings)} nestings: {', '.join(self.titles)}"
        said = [f"{self.titles[i]} has {_counts(g)}." for i, g in enumerate(self.groupings)]
        for i, (a, b) in enumerate(pairwise(self.groupings)):
            gone = len(moves(_level(a), _level(b)).moved)
            said.append(f"From {self.titles[i]} to {self.titles[i + 1]}, {gone} of {n} classes leave their group.")
        height = TOP + self.height + FOOT
        where = f"level {self.coloured + 1} of {self.titles[0]}" if self.groupings[0].levels else "no groups"
        foot = f"Colour: {where}. Strong ribbons: classes that leave the best match of their group."
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
                f'height="{_n(height)}" role="img" aria-labelledby="t d">',
                f'<title id="t">{_text(title)}</title>',
                f'<desc id="d">{_text(" ".join(said))}</desc>',
                f"<style>{_style(self.hues)}</style>",
                f'<rect class="bg" width="{_n(width)}" height="{_n(height)}"/>',
                *self.out,
                f'<text class="l" x="{SIDE}" y="{_n(height - 9)}">{_cut(foot, width, 10)}</text>',
                "</svg>",
                "",
            ]
        )


def _level(grouping: Grouping) -> Level:
    """The finest; of a PHL one group of all."""
    if grouping.levels:
        return grouping.levels[-1]
    return Level(("all",), tuple(finest(grouping).tolist()))


def _colour_level(grouping: Grouping) -> int:
    few = [j for j, count in enumerate(grouping.counts) if count <= COLOURS]
    return few[-1] if few else 0


def _counts(grouping: Grouping) -> str:
    return f"{' and '.join(map(str, grouping.counts))} groups, coarse to fine" if grouping.levels else "no groups"


def _style(hues: int) -> str:
    """Neighbours differ in hue and lightness; the dark scheme turns the lightness round."""
    light = [f".c{i}{{fill:{_fill(i, hues, dark=False)}}}" for i in range(hues)]
    dark = [f".c{i}{{fill:{_fill(i, hues, dark=True)}}}" for i in range(hues)]
    return "".join(
        [
            "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}",
            ".h{font-size:13px;font-weight:600}.l{font-size:10px;fill:#59636e}.g{font-size:10px}.s{font-size:8px}",
            ".n{font-size:9px}.bg{fill:#fff}.b{fill:#d8dee4;fill-opacity:.75}.r{fill-opacity:.28}.m{fill-opacity:.72}",
            *light,
            "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.l{fill:#9198a1}.bg{fill:#0d1117}",
            ".b{fill:#57606a;fill-opacity:.55}",
            *dark,
            "}",
        ]
    )


def _fill(i: int, hues: int, *, dark: bool) -> str:
    # a stride that is coprime to the number puts far hues side by side
    stride = next(s for s in range(max(hues * 3 // 8, 1), hues + 2) if math.gcd(s, hues) == 1)
    lightness = (0.60, 0.48, 0.70) if dark else (0.62, 0.52, 0.72)
    channels = colorsys.hls_to_rgb((i * stride % hues / hues + 0.58) % 1, lightness[i % 3], 0.6)
    return "#" + "".join(f"{round(255 * c):02x}" for c in channels)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str) -> str:
    """Escaped; what XML cannot hold is left out."""
    return escape("".join(c for c in text if c.isprintable() or c == " "))


def _cut(text: str, room: float, font: float) -> str:
    """As much as fits into `room` px."""
    most = max(int(room / (font * _EM)), 3)
    return _text(text if len(text) <= most else f"{text[: most - 1].rstrip()}…")
