"""The columns of an architecture's picture, and the table above it: blocks, shapes, params and MACs of each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hiergen.planning.plan import Plan
from hiergen.views.draw.canvas import Canvas, number, width
from hiergen.views.draw.labels import amount, costs_text, many
from hiergen.views.draw.network import Bar, Branch, bars, block_text, level_noun, shape_text
from hiergen.views.draw.outline import Chosen

SIDE, GAP, LINE, TOP = 16.0, 64.0, 15.0, 52.0  # px
NAME, _LEAST, _NARROW = 190.0, 118.0, 34.0  # px of a name at most, of a column at least, beside image and logits
_HEAD, _CELL, _LABEL = 11.5, 10.5, 10.0  # px of letters


@dataclass(frozen=True)
class Columns:
    """Image, trunk, each level, logits: `places` are left edges and widths, `cells` their texts from the top, `labels`
    what the rows are; `right` is the picture's width and `bottom` where the table ends, px."""

    places: tuple[tuple[float, float], ...]
    cells: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    right: float
    bottom: float


def columns(plan: Plan, levels: Sequence[Sequence[Branch]], row: float, font: float) -> Columns:
    """For rows of so many px with names in `font` px."""
    cells = _cells(plan)
    count = len(cells[0])
    labels = ("", "blocks", *[""] * (count - 5), "output", "each", "together")
    x = SIDE + max(width(label, _LABEL) for label in labels) + 16
    places: list[tuple[float, float]] = []
    for i, texts in enumerate(cells):
        wide = max(width(text, _CELL) for text in texts[1:])
        wide = max(wide, width(texts[0], _HEAD, bold=True) + 16, 60 if i == 0 else _LEAST)
        if 2 <= i < len(cells) - 1 and (row >= 9 or i < len(cells) - 2):
            wide = max(wide, _named(plan, levels, i - 1, font))
        places.append((x, wide))
        x += wide + (GAP if 0 < i < len(cells) - 2 else _NARROW)
    right = x - _NARROW + SIDE
    if row >= 9 and plan.single_branch:  # names stand beside the logits
        longest = max(width(name, font) for name in plan.nesting.labels)
        right = max(right, places[-1][0] + 14 + min(longest, NAME) + SIDE)
    return Columns(tuple(places), cells, labels, right, TOP + count * LINE + 8)


def draw_table(canvas: Canvas, table: Columns, kinds: Sequence[str]) -> None:
    """The cells, with a square of each column's kind of fill."""
    for (x, w), texts, kind in zip(table.places, table.cells, kinds, strict=True):
        for i, text in enumerate(texts):
            y = TOP + (i + 1) * LINE
            if i == 0:
                canvas.box(x, y - 9, 10, 10, kind, round_=2)
                canvas.text(x + 15, y, text, _HEAD, room=w - 15 + 0.01, bold=True)
            elif text:
                canvas.text(x, y, text, _CELL, "dim" if i >= len(texts) - 2 else "", room=w + 0.01)
    for i, label in enumerate(table.labels):
        if label:
            canvas.text(SIDE, TOP + (i + 1) * LINE, label, _LABEL, "dim")
    canvas.path(f"M{number(SIDE)} {number(table.bottom)}H{number(table.right - SIDE)}", "rule")


def _named(plan: Plan, levels: Sequence[Sequence[Branch]], level: int, font: float) -> float:
    """px that a level's names and the strokes of its blocks take."""
    longest = max(width(branch.name, font, bold=True) for branch in levels[level - 1])
    return min(longest, NAME) + 24 + 5 * sum(stage.depth for stage in plan.levels[level - 1].stages)


def _cells(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """Of each column: its heading, lines on what it is, output shape, cost of one, cost of all."""
    trunk, head, classes = plan.trunk, plan.levels[-1].channels, len(plan.classes)
    shape = shape_text(trunk.channels, trunk.height, trunk.width)
    cells: list[tuple[str, list[str], str, str, str]] = [
        ("image", [], shape_text(*trunk.input_size), "", ""),
        ("trunk", [trunk.backbone, f"up to {trunk.until}"], shape, costs_text(trunk.params, trunk.macs), ""),
    ]
    for j, level in enumerate(plan.levels, 1):
        count, noun = level_noun(plan, j)
        each, together = (costs_text(n * level.branch_params, n * level.branch_macs) for n in (1, count))
        blocks = [block_text(stage) for stage in level.stages]
        shape = shape_text(level.channels, level.height, level.width)
        cells.append((f"level {j}: {count:,} {noun}", blocks, shape, each, together if count > 1 else ""))
    lines = ["average pool,", f"linear {head} → 1"]
    total = costs_text(plan.head_params, plan.head_macs)
    cells.append((many(classes, "logit"), lines, f"{classes:,}", costs_text(head + 1, head), total))
    most = max(len(each[1]) for each in cells)
    return tuple((a, *b, *[""] * (most - len(b)), *c) for a, b, *c in cells)


_ROW, _THICK, _BAR_LABEL, _SIZE = 19.0, 13.0, 160.0, 10.5  # px


def costs_height(plan: Plan, chosen: Chosen, flat_of: dict[int, tuple[int, int]]) -> float:
    """px that `draw_costs` takes."""
    return 2 * (len(bars(plan, chosen, flat_of)) * _ROW + 26)


def draw_costs(
    canvas: Canvas,
    plan: Plan,
    chosen: Chosen,
    flat_of: dict[int, tuple[int, int]],
    left: float,
    top: float,
    right: float,
) -> None:
    """Params, then MACs."""
    drawn_bars = bars(plan, chosen, flat_of)
    for what in ("params", "MACs"):
        figures = [bar.params if what == "params" else bar.macs for bar in drawn_bars]
        canvas.text(left, top + 12, "params" if what == "params" else "MACs per image", 11.5, bold=True)
        top += 18
        _draw(canvas, drawn_bars, figures, left, top, right)
        top += len(drawn_bars) * _ROW + 8


def _draw(
    canvas: Canvas, drawn_bars: list[Bar], figures: list[tuple[int, ...]], left: float, top: float, right: float
) -> None:
    totals = [sum(parts) for parts in figures]
    labels = [amount(total).strip() + (_change(total, totals[0]) if i else "") for i, total in enumerate(totals)]
    start = left + _BAR_LABEL
    room = right - start - 6 - max(width(text, _SIZE) for text in labels)
    longest = max(*totals, 1)
    for i, (bar, parts) in enumerate(zip(drawn_bars, figures, strict=True)):
        y = top + i * _ROW
        canvas.text(left, y + 10, bar.label, _SIZE, room=_BAR_LABEL - 10)
        x = start
        for j, count in enumerate(parts):
            wide = room * count / longest
            kind = "flat" if len(parts) == 1 else f"p{j}"
            canvas.box(x, y, wide, _THICK, kind, stroke=0.8)
            share = f"{100 * count / sum(parts):.0f} %"
            if len(parts) > 1 and wide > width(share, 9) + 6:
                canvas.text(x + wide / 2, y + 9.8, share, 9, anchor="middle")
            x += wide
        canvas.text(x + 6, y + 10, labels[i], _SIZE, "dim")


def _change(count: int, whole: int) -> str:
    if not whole:
        return ""
    change = 100 * (count / whole - 1)
    return f" ({change:+.{0 if abs(change) >= 1 else 2}f} %)".replace("-", "−")
