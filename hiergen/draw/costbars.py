"""Where the params and MACs of a network are, as bars on one scale beside its cutout and the flat backbone."""

from __future__ import annotations

from hiergen.draw.canvas import Canvas
from hiergen.draw.lettering import width
from hiergen.draw.network import Bar, bars
from hiergen.draw.outline import Chosen
from hiergen.draw.saying import amount
from hiergen.plan.ir import Plan

_ROW, _THICK, _LABEL, _SIZE = 19.0, 13.0, 160.0, 10.5  # px


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
    found = bars(plan, chosen, flat_of)
    for what in ("params", "MACs"):
        figures = [bar.params if what == "params" else bar.macs for bar in found]
        canvas.text(left, top + 12, "params" if what == "params" else "MACs per image", 11.5, bold=True)
        top += 18
        _draw(canvas, found, figures, left, top, right)
        top += len(found) * _ROW + 8


def _draw(
    canvas: Canvas, found: list[Bar], figures: list[tuple[int, ...]], left: float, top: float, right: float
) -> None:
    totals = [sum(parts) for parts in figures]
    said = [amount(total).strip() + (_change(total, totals[0]) if i else "") for i, total in enumerate(totals)]
    start = left + _LABEL
    room = right - start - 6 - max(width(text, _SIZE) for text in said)
    longest = max(*totals, 1)
    for i, (bar, parts) in enumerate(zip(found, figures, strict=True)):
        y = top + i * _ROW
        canvas.text(left, y + 10, bar.label, _SIZE, room=_LABEL - 10)
        x = start
        for j, count in enumerate(parts):
            wide = room * count / longest
            kind = "flat" if len(parts) == 1 else f"p{j}"
            canvas.box(x, y, wide, _THICK, kind, stroke=0.8)
            share = f"{100 * count / sum(parts):.0f} %"
            if len(parts) > 1 and wide > width(share, 9) + 6:
                canvas.text(x + wide / 2, y + 9.8, share, 9, anchor="middle")
            x += wide
        canvas.text(x + 6, y + 10, said[i], _SIZE, "dim")


def _change(count: int, whole: int) -> str:
    if not whole:
        return ""
    change = 100 * (count / whole - 1)
    return f" ({change:+.{0 if abs(change) >= 1 else 2}f} %)".replace("-", "−")
