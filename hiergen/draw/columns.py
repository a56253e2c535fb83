"""The columns of an architecture's picture, and the table above it: blocks, shapes, params and MACs of each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hiergen.draw.canvas import Canvas, number
from hiergen.draw.lettering import width
from hiergen.draw.network import Branch, block_text, level_noun, shape_text
from hiergen.draw.saying import costs_text, many
from hiergen.plan.ir import Plan

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
        longest = max(width(name, font) for name in plan.class_names)
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
    found: list[tuple[str, list[str], str, str, str]] = [
        ("image", [], shape_text(*trunk.input_size), "", ""),
        ("trunk", [trunk.backbone, f"up to {trunk.until}"], shape, costs_text(trunk.params, trunk.macs), ""),
    ]
    for j, level in enumerate(plan.levels, 1):
        count, noun = level_noun(plan, j)
        each, together = (costs_text(n * level.branch_params, n * level.branch_macs) for n in (1, count))
        blocks = [block_text(stage) for stage in level.stages]
        shape = shape_text(level.channels, level.height, level.width)
        found.append((f"level {j}: {count:,} {noun}", blocks, shape, each, together if count > 1 else ""))
    lines = ["average pool,", f"linear {head} → 1"]
    total = costs_text(plan.head_params, plan.head_macs)
    found.append((many(classes, "logit"), lines, f"{classes:,}", costs_text(head + 1, head), total))
    most = max(len(each[1]) for each in found)
    return tuple((a, *b, *[""] * (most - len(b)), *c) for a, b, *c in found)
