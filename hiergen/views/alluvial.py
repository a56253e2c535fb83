"""Nestings side by side as one SVG (an alluvial diagram): groups as blocks, classes as ribbons between them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hiergen.errors import HiergenError, OutputError
from hiergen.files import write_text
from hiergen.nestings.compare.agreement import moves
from hiergen.taxonomy.nesting import Group, Level, Nesting
from hiergen.views.draw.canvas import Canvas, number
from hiergen.views.draw.colours import hues, solid

STRIP, RIBBONS, CLASS_LABELS = 118, 190, 112  # px wide
TOP, FOOT, SIDE = 46, 26, 10
LABELLED = 160  # up to so many classes each has its name
TIPS = 600  # of more ribbons than that between two nestings, single classes have no tooltip (the file's size)
COLOURS = 14  # a level with more groups than that is not coloured by group, where a coarser one is there
_FILLS = {
    ".block": ("fill:#d8dee4;fill-opacity:.75", "fill:#57606a;fill-opacity:.55"),
    ".ribbon": ("fill-opacity:.28", "fill-opacity:.28"),
    ".moved": ("fill-opacity:.72", "fill-opacity:.72"),
}


def alluvial(nestings: Sequence[Nesting], titles: Sequence[str] | None = None) -> str:
    """The SVG of two or more nestings of the same classes in the same order (`read.align`), left to right.

    Blocks are the groups, coarse levels outside (of nestings in the middle: left). Ribbons are classes, coloured by the
    groups of the first nesting (its finest level with at most 14 groups); they are strong where a class leaves its
    group's best match in the next nesting (`agreement.moves` on the finest levels). Up to 160 classes are named one by
    one, of more the groups; tooltips name the rest. Raises ValueError for fewer than two nestings or other classes.
    """
    if len(nestings) < 2 or any(nesting.classes != nestings[0].classes for nesting in nestings):
        raise ValueError("a picture needs two nestings or more of the same classes in one order")
    return _Picture(nestings, titles or [nesting.name for nesting in nestings]).text()


def write_alluvial(path: Path, nestings: Sequence[Nesting], titles: Sequence[str] | None = None) -> None:
    """Write `alluvial` to an .svg file. Raises as `check_alluvial`, and OutputError for a path that cannot be
    written."""
    check_alluvial(path, len(nestings))
    write_text(path, alluvial(nestings, titles))


def check_alluvial(path: Path, count: int) -> None:
    """Raises OutputError for another suffix, HiergenError for fewer than two nestings."""
    if path.suffix != ".svg":
        raise OutputError("the picture is an SVG", place=str(path), expected="a path that ends in .svg")
    if count < 2:
        raise HiergenError("a picture needs two nestings or more", got=str(count))


class _Picture:
    def __init__(self, nestings: Sequence[Nesting], titles: Sequence[str]) -> None:
        self.nestings, self.titles = list(nestings), list(titles)
        n = len(nestings[0].classes)
        self.named = n <= LABELLED
        self.row = 12.0 if self.named else max(1400 / n, 0.2)
        self.columns = columns(nestings, self.row)
        few = [j for j, count in enumerate(nestings[0].counts) if count <= COLOURS]
        self.coloured = few[-1] if few else 0
        level = nestings[0].levels[self.coloured] if nestings[0].levels else None
        self.colour = np.array(level.of) if level else np.zeros(n, dtype=np.int64)
        self.hues = len(level.names) if level else 1
        self.height = max(column.height for column in self.columns)
        self.canvas = Canvas()

    def text(self) -> str:
        x = float(SIDE)
        last = len(self.nestings) - 1
        edges: list[tuple[float, float]] = []  # of the ribbons' sides of each nesting
        for i, nesting in enumerate(self.nestings):
            names = CLASS_LABELS if self.named and i in (0, last) else 0
            width = max(STRIP * len(nesting.levels), 24 if names else STRIP)
            self._heading(i, x, width + names)
            self._strips(i, x + (names if i == last else 0))
            edges.append((x, x + width + names))
            x += width + names + RIBBONS
        for i in range(last):
            self._between(i, edges[i][1], edges[i + 1][0])
        return self._document(x - RIBBONS + SIDE)

    def _offset(self, column: Column) -> float:
        """Shorter columns stand in the middle."""
        return TOP + (self.height - column.height) / 2

    def _heading(self, i: int, x: float, width: float) -> None:
        counts = " → ".join(map(str, self.nestings[i].counts)) or "no groups"
        room, last = width + RIBBONS * 0.7, i == len(self.nestings) - 1
        at, anchor = (x + width, "end") if last else (x, "start")
        self.canvas.text(at, 20, self.titles[i], 13, room=room, anchor=anchor, bold=True)
        self.canvas.text(at, 35, f"{counts} groups", 10, "dim", room=room, anchor=anchor)

    def _strips(self, i: int, x: float) -> None:
        nesting, column = self.nestings[i], self.columns[i]
        y, mirrored = self._offset(column), i == len(self.nestings) - 1
        for j, level in enumerate(nesting.levels):
            left = x + STRIP * (len(nesting.levels) - 1 - j if mirrored else j)
            for group, members in enumerate(level.members):
                name = level.names[group]
                top, height = y + column.top[j][group], column.bottom[j][group] - column.top[j][group]
                tint = f" c{self.colour[members[0]]}" if i == 0 and j >= self.coloured else ""
                with self.canvas.node(name, f"{name}: {len(members)} class{'es' if len(members) > 1 else ''}"):
                    self.canvas.box(left, top, STRIP - 3, height, f"block{tint}")
                if height >= 8:
                    font = 10 if height >= 11 else 8
                    self.canvas.text(left + 4, top + height / 2 + font * 0.35, name, font, room=STRIP - 11)

    def _between(self, i: int, left: float, right: float) -> None:
        a, b = self.nestings[i], self.nestings[i + 1]
        before, after = self.columns[i], self.columns[i + 1]
        starts = class_rows(a, before, b, after, self.colour, self.row) + self._offset(before)
        ends = class_rows(b, after, a, before, self.colour, self.row) + self._offset(after)
        if self.named and i == 0:
            self._names(starts, left - CLASS_LABELS + 4, "start")
        if self.named and i + 1 == len(self.nestings) - 1:
            self._names(ends, right + CLASS_LABELS - 4, "end")
        partners = moves(_finest(a), _finest(b)).partners
        bundles = ribbons(a, b, starts, ends, self.colour, self.row)
        for ribbon in bundles:
            moved = partners[ribbon.before] != ribbon.after
            way = f"{_finest(a).names[ribbon.before]} → {_finest(b).names[ribbon.after]}"
            tip = len(bundles) <= TIPS or len(ribbon.classes) > 1
            with self.canvas.node(way, f"{way}: {self._listed(ribbon)}") if tip else nullcontext():
                kind = f"ribbon{' moved' if moved else ''} c{ribbon.colour}"
                self.canvas.path(self._band(ribbon, left, right), kind)

    def _listed(self, ribbon: Ribbon) -> str:
        limit, labels = 12 if self.named else 3, self.nestings[0].labels
        rest = len(ribbon.classes) - limit
        return ", ".join(labels[c] for c in ribbon.classes[:limit]) + (f" and {rest} more" if rest > 0 else "")

    def _band(self, ribbon: Ribbon, x0: float, x1: float) -> str:
        gap = min(self.row * 0.12, 1.0)
        (t0, e0), (t1, e1) = ((top, bottom - gap) for top, bottom in (ribbon.left, ribbon.right))
        bend, left, right = number((x0 + x1) / 2), number(x0), number(x1)
        a, b, c, d = map(number, (t0, t1, e1, e0))
        return f"M{left} {a}C{bend} {a} {bend} {b} {right} {b}V{c}C{bend} {c} {bend} {d} {left} {d}Z"

    def _names(self, tops: NDArray[np.float64], x: float, anchor: str) -> None:
        for label, top in zip(self.nestings[0].labels, tops.tolist(), strict=True):
            self.canvas.text(x, top + 9, label, 9, "name", room=CLASS_LABELS - 8, anchor=anchor)

    def _document(self, width: float) -> str:
        n, height = len(self.nestings[0].classes), TOP + self.height + FOOT
        sentences = [f"{self.titles[i]} has {_counted(nesting)}." for i, nesting in enumerate(self.nestings)]
        for i, (a, b) in enumerate(pairwise(self.nestings)):
            gone = len(moves(_finest(a), _finest(b)).moved)
            sentences.append(f"From {self.titles[i]} to {self.titles[i + 1]}, {gone} of {n} classes leave their group.")
        where = f"level {self.coloured + 1} of {self.titles[0]}" if self.nestings[0].levels else "no groups"
        foot = f"Colour: {where}. Strong ribbons: classes that leave the best match of their group."
        self.canvas.text(SIDE, height - 9, foot, 10, "dim", room=width - 2 * SIDE)
        return self.canvas.document(
            width,
            height,
            title=f"{n} classes in {len(self.nestings)} nestings: {', '.join(self.titles)}",
            labels=sentences,
            theme="auto",
            fills={**_FILLS, **{f".c{i}": solid(hue) for i, hue in enumerate(hues(self.hues))}},
        )


def _finest(nesting: Nesting) -> Level:
    """The finest level; of a PHL one group of all."""
    return nesting.levels[-1] if nesting.levels else Level((Group("all", 0, nesting.leaves),))


def _counted(nesting: Nesting) -> str:
    return f"{' and '.join(map(str, nesting.counts))} groups, coarse to fine" if nesting.levels else "no groups"


SWEEPS = 8
GAP, OUTER_GAP = 1.5, 6.0  # px between groups of the finest, and of the coarsest level


@dataclass(frozen=True)
class Column:
    """One nesting drawn: `order` are its finest groups from top to bottom, `top` and `bottom` the edges of each group
    of each level in px (by level, then group); `height` is the whole."""

    order: tuple[int, ...]
    top: tuple[NDArray[np.float64], ...]
    bottom: tuple[NDArray[np.float64], ...]
    height: float


@dataclass(frozen=True)
class Ribbon:
    """Classes that go from one finest group to another, all of one colour; edges in px on both sides."""

    before: int
    after: int
    colour: int
    classes: tuple[int, ...]
    left: tuple[float, float]
    right: tuple[float, float]


def finest(nesting: Nesting) -> NDArray[np.int64]:
    """The finest group of each class; all in one for a PHL."""
    return np.array(nesting.levels[-1].of) if nesting.levels else np.zeros(len(nesting.classes), dtype=np.int64)


def columns(nestings: Sequence[Nesting], row: float) -> list[Column]:
    """Groups ordered so that ribbons between neighbours are short, every class `row` px high.

    Each nesting is sorted by where its classes stand in its neighbour (barycentre heuristic of Sugiyama, Tagawa & Toda
    1981, kept within the tree), to and fro; the order with the least sum of shifts is taken.
    """
    keys = [np.arange(len(nestings[0].classes), dtype=np.float64)] * len(nestings)
    orders = [_ordered(g, key) for g, key in zip(nestings, keys, strict=True)]
    best, least = list(orders), _shifts(nestings, orders)
    for sweep in range(SWEEPS):
        forth = range(1, len(nestings)) if sweep % 2 == 0 else range(len(nestings) - 2, -1, -1)
        for i in forth:
            neighbour = i - 1 if sweep % 2 == 0 else i + 1
            orders[i] = _ordered(nestings[i], _places(nestings[neighbour], orders[neighbour]))
        if (shift := _shifts(nestings, orders)) < least - 1e-9:
            best, least = list(orders), shift
    return [_column(g, order, row) for g, order in zip(nestings, best, strict=True)]


def class_rows(
    nesting: Nesting, column: Column, other: Nesting, across: Column, colour: NDArray[np.int64], row: float
) -> NDArray[np.float64]:
    """Top of each class `(n,)` on the edge towards another nesting: within a group by where they go, then by colour."""
    of, there = finest(nesting), finest(other)
    rank = np.empty(len(across.order), dtype=np.int64)
    rank[list(across.order)] = np.arange(len(across.order))
    tops = column.top[-1] if nesting.levels else np.zeros(1)
    order = np.lexsort((np.arange(len(of)), colour, rank[there], of))
    rows = np.empty(len(of))
    start = np.searchsorted(of[order], np.arange(len(tops)))
    rows[order] = tops[of[order]] + (np.arange(len(of)) - start[of[order]]) * row
    return rows


def ribbons(
    a: Nesting,
    b: Nesting,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    colour: NDArray[np.int64],
    row: float,
) -> list[Ribbon]:
    """Bundles between two neighbours, given the tops of the classes on both edges; wide ones first."""
    bundles: dict[tuple[int, int, int], list[int]] = {}
    for c, key in enumerate(zip(finest(a).tolist(), finest(b).tolist(), colour.tolist(), strict=True)):
        bundles.setdefault(key, []).append(c)
    bands = [
        Ribbon(*key, tuple(cs), *((float(edge[cs[0]]), float(edge[cs[0]]) + len(cs) * row) for edge in (left, right)))
        for key, cs in bundles.items()
    ]
    return sorted(bands, key=lambda r: (-len(r.classes), r.before, r.after, r.colour))


def _ordered(nesting: Nesting, key: NDArray[np.float64]) -> tuple[int, ...]:
    """The finest groups, siblings together, each level sorted by its classes' mean key."""
    if not nesting.levels:
        return (0,)
    means = []
    for level in nesting.levels:
        of = np.array(level.of)
        means.append(np.bincount(of, key) / np.bincount(of))
    paths = {}
    for c in range(len(nesting.classes)):
        path = [level.of[c] for level in nesting.levels]
        paths[path[-1]] = tuple((float(means[j][group]), group) for j, group in enumerate(path))
    return tuple(sorted(paths, key=paths.__getitem__))


def _places(nesting: Nesting, order: Sequence[int]) -> NDArray[np.float64]:
    """The middle of each class's finest group, in classes from the top."""
    of = finest(nesting)
    sizes = np.bincount(of)[list(order)]
    middle = np.empty(len(sizes))
    middle[list(order)] = np.cumsum(sizes) - sizes / 2
    places: NDArray[np.float64] = middle[of]
    return places


def _shifts(nestings: Sequence[Nesting], orders: Sequence[Sequence[int]]) -> float:
    places = [_places(g, order) for g, order in zip(nestings, orders, strict=True)]
    return float(sum(np.abs(a - b).sum() for a, b in pairwise(places)))


def _column(nesting: Nesting, order: tuple[int, ...], row: float) -> Column:
    if not nesting.levels:
        return Column(order, (), (), row * len(nesting.classes))
    members = [level.members for level in nesting.levels]
    top = [np.full(len(groups), np.inf) for groups in members]
    bottom = [np.zeros(len(groups)) for groups in members]
    y, last = 0.0, None
    for group in order:
        some = members[-1][group][0]
        path = [level.of[some] for level in nesting.levels]
        if last is not None:
            y += OUTER_GAP if path[0] != last else GAP
        last = path[0]
        end = y + len(members[-1][group]) * row
        for j, above in enumerate(path):
            top[j][above], bottom[j][above] = min(top[j][above], y), end
        y = end
    return Column(order, tuple(top), tuple(bottom), y)
