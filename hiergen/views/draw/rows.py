"""A tree from left to right, one row for each class: for up to some hundred classes."""

from __future__ import annotations

from collections.abc import Mapping

from hiergen.views.draw.canvas import Canvas, bend, width
from hiergen.views.draw.colours import Theme, tinted
from hiergen.views.draw.labels import heading, legend, sentences, tip
from hiergen.views.draw.outline import Chosen, Item, Outline

SIDE, TOP, GAP, PAD = 16, 66, 44, 7  # px
LABEL, ROOT_LABEL = 230, 180  # px of a name at most


def rows_picture(
    outline: Outline,
    costs: Mapping[int, tuple[int, int]],
    chosen: Chosen,
    *,
    summary: str = "",
    theme: Theme = "auto",
    family: str | None = None,
) -> str:
    """The SVG of a tree. `costs`: (params, MACs) at and below items, by position; `summary`: the cutout's cost."""
    return Rows(outline, costs, chosen, summary).text(theme, family)


class TreePicture:
    """What pictures of trees share: the heading, a node for each item, lines below on what is chosen."""

    side = float(SIDE)

    def __init__(self, outline: Outline, costs: Mapping[int, tuple[int, int]], chosen: Chosen, summary: str) -> None:
        self.outline, self.costs, self.chosen = outline, costs, chosen
        self.canvas, self.legend = Canvas(), legend(chosen, summary)
        self.title, self.subtitle = heading(outline)
        self.tints, self.colours = outline.tints()
        self.states = [chosen.state(outline.order[i.first : i.end]) for i in outline.items]

    def draw_group(self, position: int, item: Item) -> None:
        raise NotImplementedError

    def draw_class(self, position: int, item: Item) -> None:
        raise NotImplementedError

    def draw_heading(self, width: float) -> None:
        self.canvas.text(self.side, 26, self.title, 15, room=width - 2 * self.side, bold=True)
        self.canvas.text(self.side, 43, self.subtitle, 11, "dim", room=width - 2 * self.side)

    def draw_items(self) -> None:
        for position, item in enumerate(self.outline.items):
            with self.canvas.node(item.name, tip(self.outline, position, self.costs), **facts(item)):
                self.draw_group(position, item) if item.label is None else self.draw_class(position, item)

    def document(self, width: float, bottom: float, theme: Theme, family: str | None) -> str:
        """The SVG, with the lines from `bottom` on."""
        for text in self.legend:
            self.canvas.text(self.side, bottom + 10, text, 10.5, "dim", room=width - 2 * self.side)
            bottom += 16
        return self.canvas.document(
            width,
            bottom + 8,
            title=self.title,
            labels=[*sentences(self.outline), *self.legend],
            theme=theme,
            fills=tinted(self.colours),
            family=family,
        )


class Rows(TreePicture):
    """The tree; `start` and `top`: where its root and its first row begin, px."""

    start, top = float(SIDE), float(TOP)

    def __init__(self, outline: Outline, costs: Mapping[int, tuple[int, int]], chosen: Chosen, summary: str) -> None:
        super().__init__(outline, costs, chosen, summary)
        count = len(outline.order)
        self.row, self.font = (20, 12) if count <= 30 else (17, 11) if count <= 80 else (14, 10)
        self.columns = self._columns()

    def _columns(self) -> list[tuple[float, float]]:
        """Left edge and width of the root (0) and of each depth; classes stand in the last, whatever their depth."""
        deep = self.outline.deep
        widths = [0.0] * (deep + 1)
        widths[0] = min(width(self.outline.title, self.font, bold=True), ROOT_LABEL) + 2 * PAD
        for position, item in enumerate(self.outline.items):
            at = deep if item.label is not None else item.depth
            extra = 2 * PAD + self._note_width(position)
            widths[at] = max(widths[at], min(width(item.name, self.font), LABEL) + extra)
        for j in range(1, deep):
            widths[j] = max(widths[j], width(f"level {j}", 11, bold=True), 60)
        widths[deep] = max(widths[deep], 60)
        columns, x = [], self.start
        for each in widths:
            columns.append((x, each))
            x += each + GAP
        return columns

    def note(self, position: int) -> str:
        """What stands behind a name: of a group how many classes it has."""
        item = self.outline.items[position]
        return str(item.rows) if item.label is None and item.rows > 1 else ""

    def stroke(self, position: int) -> float:
        """How thick the line to it is, px."""
        return 2.2 if self.states[position] == "hot" else 1.2

    def _note_width(self, position: int) -> float:
        return width(f"  {note}", self.font - 1) + 4 if (note := self.note(position)) else 0

    def _y(self, item: Item) -> float:
        """The middle of its rows."""
        return self.top + (item.first + item.end) / 2 * self.row

    def text(self, theme: Theme, family: str | None) -> str:
        right, high = max(sum(self.columns[-1]) + SIDE, 360), len(self.outline.order) * self.row
        self.draw_heading(right)
        self.draw_links(self.top + high / 2)
        self._root(TOP + high / 2)
        self.draw_items()
        return self.document(right, TOP + high + 14, theme, family)

    def _root(self, middle: float) -> None:
        x, w = self.columns[0]
        h = self.row + 4
        self.canvas.box(x, middle - h / 2, w, h, "flat", round_=5)
        self.canvas.text(x + PAD, middle + self.font * 0.36, self.outline.title, self.font, room=w - 2 * PAD, bold=True)

    def draw_links(self, middle: float) -> None:
        """Behind everything; those of chosen paths last, so that no other lies over them."""
        x, w = self.columns[0]
        ends = {-1: (x + w, middle)}
        drawn: list[tuple[str, int, int]] = []
        for position, item in enumerate(self.outline.items):
            if item.label is None:
                left, wide = self.columns[item.depth]
                ends[position] = (left + wide, self._y(item))
        for position, item in enumerate(self.outline.items):
            drawn.append((self.states[position], position, item.parent))
        for state, position, parent in sorted(drawn, key=lambda d: (d[0] == "hot", d[0] != "cut")):
            item = self.outline.items[position]
            at = self.outline.deep if item.label is not None else item.depth
            (x0, y0), (x1, y1) = ends[parent], (self.columns[at][0], self._y(item))
            knee = x0 + GAP
            kind = {"hot": "hotline", "cut": "cutline"}.get(state, f"l{self.tints[position]}")
            d = bend((x0, y0), (knee, y1)) + (f"H{x1:.1f}" if x1 > knee + 0.5 else "")
            self.canvas.path(d, kind, stroke=self.stroke(position))

    def draw_group(self, position: int, item: Item) -> None:
        x, w = self.columns[item.depth]
        y, state, size = self._y(item), self.states[position], self.font
        h = min(self.row - 2, size + 8)
        shown = min(width(item.name, size), w - 2 * PAD - self._note_width(position))
        wide = shown + 2 * PAD + self._note_width(position)
        kind = {"hot": f"g{self.tints[position]} hotbox", "cut": "cutbox"}.get(state, f"g{self.tints[position]}")
        if wide < w - 0.5:  # on to where the column ends
            link = {"hot": "hotline", "cut": "cutline"}.get(state, f"l{self.tints[position]}")
            self.canvas.path(f"M{x + wide:.1f} {y:.1f}H{x + w:.1f}", link, stroke=self.stroke(position))
        self.canvas.box(x, y - h / 2, wide, h, kind, round_=4, stroke=2 if state == "hot" else 1)
        ink = "cuttext" if state == "cut" else ""
        self.canvas.text(x + PAD, y + size * 0.36, item.name, size, ink, room=shown + 0.01)
        if note := self.note(position):
            self.canvas.text(x + wide - PAD, y + size * 0.36, note, size - 1, ink or "dim", anchor="end")

    def draw_class(self, position: int, item: Item) -> None:
        x, w = self.columns[-1]
        y, state = self._y(item), self.states[position]
        dot = {"hot": "hotdot", "cut": "cutdot"}.get(state, f"s{self.tints[position]}")
        ink = {"hot": "hottext", "cut": "cuttext"}.get(state, "")
        self.canvas.dot(x, y, 3, dot)
        room = w - 2 * PAD - self._note_width(position) + 0.01
        self.canvas.text(x + PAD, y + self.font * 0.36, item.name, self.font, ink, room=room, bold=False)
        if note := self.note(position):
            at = x + 2 * PAD + min(width(item.name, self.font), room) + 2
            self.canvas.text(at, y + self.font * 0.36, note, self.font - 1, ink or "dim")


def facts(item: Item) -> dict[str, object]:
    """Of a node, for those who read the SVG by program."""
    if item.label is None:
        return {"level": item.depth, "classes": item.rows}
    return {"level": item.depth, "class": item.class_id, "logit": item.label}
