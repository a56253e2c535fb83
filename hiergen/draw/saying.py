"""What pictures say in words: headings, tooltips, legends, and the sentences for those who do not see them."""

from __future__ import annotations

from collections.abc import Mapping

from hiergen.draw.outline import Chosen, Outline
from hiergen.errors import listed

_SAID = 12  # groups that are named to a screen reader


def amount(count: int) -> str:
    """1_144_321 → "1.14 M"."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} "


def costs_text(params: int, macs: int) -> str:
    return f"{amount(params).strip()} params, {amount(macs)}MACs"


def many(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def heading(outline: Outline) -> tuple[str, str]:
    """Title and subtitle."""
    counts = outline.counts()
    classes = many(len(outline.order), "class", "classes")
    if not outline.nested:
        below = f", {many(sum(counts), 'group')}, {outline.deep} deep"
        return outline.title, f"the merged tree: {classes}{below}"
    if not counts:
        return outline.title, f"{classes} on one level, without groups"
    groups = " → ".join(f"{count:,}" for count in counts)
    return outline.title, f"{classes} in {groups} groups: {many(outline.deep, 'split-point')}"


def tip(outline: Outline, position: int, costs: Mapping[int, tuple[int, int]]) -> str:
    """The tooltip of a node."""
    item = outline.items[position]
    path = " / ".join(outline.path(position))
    if item.label is None:
        parts = [f"{path}: {many(item.rows, 'class', 'classes')}"]
    else:
        parts = [f"{path} ({item.class_id}), logit {item.label}"]
    if position in costs:
        parts.append(f"{costs_text(*costs[position])} {'at and below it' if item.label is None else 'of its own'}")
    if item.note:
        parts.append(f"from {item.note}")
    return "; ".join(parts)


def legend(chosen: Chosen, summary: str) -> list[str]:
    """Lines under the picture; `summary` is what the cutout costs."""
    lines = []
    if chosen.kept is not None:
        lines.append(f"Grey: left out of the cutout. {summary}".strip())
    if chosen.shown:
        lines.append(f"Orange: the path of {many(len(chosen.shown), 'class', 'classes')}.")
    return lines


def sentences(outline: Outline) -> list[str]:
    """The tree's upper level, in words."""
    title, subtitle = heading(outline)
    top = [item for item in outline.items if item.depth == 1 and item.label is None]
    said = [f"{title}: {subtitle}."]
    if top:
        names = [f"{item.name} ({many(item.rows, 'class', 'classes')})" for item in top]
        said.append(f"The first level has {listed(names, _SAID)}.")
    return said
