"""A tree as rings (a sunburst), with the names of its classes around: for many classes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hiergen.views.draw.canvas import number, width
from hiergen.views.draw.colours import Theme
from hiergen.views.draw.outline import Chosen, Item, Outline
from hiergen.views.draw.rows import TreePicture

NAMED = 2500  # up to so many classes each has its name
ROW, FONT, NAME = 9.0, 8.0, 180.0  # px along the circle, of letters, and of a name
RING, HUB, SIDE, EDGE = 120.0, 80.0, 14.0, 6.0
_LEAST, _MOST = 6.5, 18.0  # px of letters in rings; in large ones more


def radial_picture(
    outline: Outline,
    costs: Mapping[int, tuple[int, int]],
    chosen: Chosen,
    *,
    summary: str = "",
    theme: Theme = "auto",
    family: str | None = None,
) -> str:
    """The SVG of a tree; arguments as `rows_picture`."""
    return _Rings(outline, costs, chosen, summary).text(theme, family)


class _Rings(TreePicture):
    side = SIDE

    def __init__(self, outline: Outline, costs: Mapping[int, tuple[int, int]], chosen: Chosen, summary: str) -> None:
        super().__init__(outline, costs, chosen, summary)
        count, rings = len(outline.order), max(outline.deep - 1, 0)
        self.named = count <= NAMED
        self.radius = max(count * (ROW if self.named else 0.6) / math.tau, HUB + rings * RING)
        self.hub = max(HUB, 0.2 * self.radius) if rings else self.radius
        self.ring = (self.radius - self.hub) / rings if rings else 0.0
        names = [min(width(i.name, FONT), NAME) for i in outline.items if i.label is not None] if self.named else []
        self.outer = self.radius + EDGE + max((n + 6 for n in names), default=20)

    def text(self, theme: Theme, family: str | None) -> str:
        self.x, self.y = self.outer + SIDE, self.outer + SIDE + 50
        self.draw_heading(2 * self.x)
        self.draw_items()
        self._middle()
        return self.document(2 * self.x, self.y + self.outer + 8, theme, family)

    def _middle(self) -> None:
        """The root, in the hub."""
        size = min(28.0, self.hub / 4)
        room = 1.6 * self.hub
        fitting = max(min(size, size * room / max(width(self.outline.title, size, bold=True), 1)), 9)
        self.canvas.text(self.x, self.y, self.outline.title, fitting, anchor="middle", room=room, bold=True)
        count = f"{len(self.outline.order):,} classes"
        self.canvas.text(self.x, self.y + 0.9 * size, count, max(size * 0.55, 9), "dim", anchor="middle", room=room)

    def _angle(self, row: float) -> float:
        """Radians clockwise from above."""
        return math.tau * row / len(self.outline.order)

    def _at(self, radius: float, angle: float) -> tuple[float, float]:
        return self.x + radius * math.sin(angle), self.y - radius * math.cos(angle)

    def _arc(self, inner: float, outer: float, start: float, end: float) -> str:
        if end - start > math.tau - 1e-6:  # a whole ring
            turns = []
            for radius, sweep in ((outer, 1), (inner, 0)):
                (x0, y0), (x1, y1), r = self._at(radius, 0), self._at(radius, math.pi), number(radius)
                turns.append(
                    f"M{number(x0)} {number(y0)}A{r} {r} 0 0 {sweep} {number(x1)} {number(y1)}"
                    f"A{r} {r} 0 0 {sweep} {number(x0)} {number(y0)}Z"
                )
            return "".join(turns)
        big = int(end - start > math.pi)
        corners = [self._at(outer, start), self._at(outer, end), self._at(inner, end), self._at(inner, start)]
        (a, b), (c, d), (e, f), (g, h) = [(f"{x:.2f}", f"{y:.2f}") for x, y in corners]
        o, i = number(outer), number(inner)
        return f"M{a} {b}A{o} {o} 0 {big} 1 {c} {d}L{e} {f}A{i} {i} 0 {big} 0 {g} {h}Z"

    def draw_group(self, position: int, item: Item) -> None:
        inner = self.hub + (item.depth - 1) * self.ring
        start, end = self._angle(item.first), self._angle(item.end)
        state = self.states[position]
        fill = f"g{self.tints[position]}"
        kind = {"hot": f"{fill} hotbox", "cut": "cutbox"}.get(state, fill)
        arc = self._arc(inner + 1, inner + self.ring - 1, start, end)
        self.canvas.path(arc, kind, stroke=2.5 if state == "hot" else 0.7)
        label = self._lettering(item, inner, end - start)
        if label is not None:
            size, at = label
            ink = {"cut": "cuttext", "hot": "hottext"}.get(state, "")
            self._along(item.name, at, inner + self.ring - 8, (start + end) / 2, size, ink)

    def _lettering(self, item: Item, inner: float, angle: float) -> tuple[float, float] | None:
        """Size of a name and the radius where it begins, so that the ring's part is wide enough for it there."""
        spread = 2 * math.tan(min(angle, 2.4) / 2) * 0.86
        at, outer = inner + 9, inner + self.ring - 8
        size = min(max(_MOST, self.radius / 45), spread * at)
        if size < _LEAST:
            at, size = _LEAST / spread, _LEAST
        else:  # a name that is cut at this size may be whole at a smaller one
            wide = width(item.name, size)
            size = max(min(size, size * (outer - at) / wide), min(size, 9.0)) if wide else size
        size = math.floor(10 * size) / 10  # as it is written
        if outer - at < 3.5 * size:
            return None
        return size, at + max((outer - at - width(item.name, size)) / 2, 0)

    def draw_class(self, position: int, item: Item) -> None:
        start, end = self._angle(item.first), self._angle(item.end)
        state = self.states[position]
        dot = {"hot": "hotdot", "cut": "cutdot"}.get(state, f"s{self.tints[position]}")
        edge = EDGE - 1 if self.named else 18.0
        self.canvas.path(self._arc(self.radius + 1, self.radius + edge, start, end), dot)
        if self.named:
            ink = {"hot": "hottext", "cut": "cuttext"}.get(state, "")
            at = self.radius + EDGE + 3
            self._along(item.name, at, self.outer, (start + end) / 2, FONT, ink, bold=state == "hot")

    def _along(
        self, name: str, inner: float, outer: float, angle: float, size: float, kind: str, *, bold: bool = False
    ) -> None:
        """A name along the radius, never head down."""
        left = angle > math.pi
        shift = (-1 if left else 1) * size * 0.36  # the baseline lies beside the radius
        x, y = self._at(inner, angle)
        x, y = x + shift * math.cos(angle), y + shift * math.sin(angle)
        turn = math.degrees(angle) + (90 if left else -90)
        anchor = "end" if left else "start"
        self.canvas.text(x, y, name, size, kind, room=outer - inner, anchor=anchor, turn=turn, bold=bold)
