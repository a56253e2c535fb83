"""What pictures of trees and architectures say in words: its lines of text, and the tooltips of branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hiergen.errors import listed
from hiergen.planning.plan import Plan
from hiergen.views.draw.canvas import fit
from hiergen.views.draw.network import Branch
from hiergen.views.draw.outline import Chosen, Outline

_SHOWN = 3  # paths that are written out
_NAME = 190.0  # px of a name in a line


def lines(plan: Plan, levels: Sequence[Sequence[Branch]], chosen: Chosen) -> list[str]:
    """A sentence on the whole, then one on the cutout and on each of the first chosen paths."""
    counts = " → ".join(f"{level.branches:,}" for level in plan.levels)
    noun = "branch" if counts == "1" else "branches"
    total = costs_text(plan.params, plan.macs)
    more = f" and {'one' if len(plan.for_all) == 1 else 'two'} for all classes" if plan.for_all else ""
    texts = [f"{many(len(plan.classes), 'class', 'classes')}, {counts} {noun}{more}: {total} per image."]
    if chosen.kept is not None:
        left = f"Grey: left out of the cutout of {many(len(chosen.kept), 'class', 'classes')}."
        texts.append(f"{left} {cut_text(plan, chosen.kept)}")
    shown = sorted(chosen.shown)
    texts += [_path(plan, levels, c) for c in shown[:_SHOWN]]
    if len(shown) > _SHOWN:
        texts.append(f"Orange: also the paths of {many(len(shown) - _SHOWN, 'more class', 'more classes')}.")
    return texts


def _path(plan: Plan, levels: Sequence[Sequence[Branch]], c: int) -> str:
    leaf = levels[-1][(plan.head_parents or range(len(plan.classes)))[c]]
    names = [*above(levels, leaf), *([plan.nesting.labels[c]] if plan.single_branch else [])]
    params, macs = plan.cutout_cost(frozenset({c}))
    share = f"{100 * params / plan.params:.1f} % of the params and {100 * macs / plan.macs:.1f} % of the MACs"
    path = " → ".join(["trunk", *(fit(name, _NAME, 10.5) for name in names), "logit"])
    return f"Orange: {path}, {costs_text(params, macs)}: {share}."


def above(levels: Sequence[Sequence[Branch]], branch: Branch) -> list[str]:
    """Names from level 1 down to a branch."""
    names, parent = [branch.name], branch.parent
    for level in reversed(levels[: branch.level - 1]):
        names.insert(0, level[parent].name)
        parent = level[parent].parent
    return names


def branch_tip(plan: Plan, levels: Sequence[Sequence[Branch]], branch: Branch, below: tuple[int, int]) -> str:
    """The tooltip of a branch; `below`: (params, MACs) of it and all below it."""
    level = plan.levels[branch.level - 1]
    branch_text = costs_text(level.branch_params, level.branch_macs)
    what = f" ({branch.class_id})" if branch.class_id else f": {many(len(branch.classes), 'class', 'classes')}"
    more = "" if branch.class_id else f"; {costs_text(*below)} with all below it"
    return f"{' / '.join(above(levels, branch))}{what}; {branch_text} of its own{more}"


def cut_text(plan: Plan, kept: frozenset[int]) -> str:
    """What a cutout costs, in a sentence."""
    params, macs = plan.cutout_cost(kept)
    changes = [f"{100 * (cut / whole - 1):+.1f} %" for cut, whole in ((params, plan.params), (macs, plan.macs))]
    less = [change.replace("-", "−") for change in changes]
    return f"It has {amount(params).strip()} params ({less[0]}) and {amount(macs)}MACs ({less[1]})."


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
    texts = []
    if chosen.kept is not None:
        texts.append(f"Grey: left out of the cutout. {summary}".strip())
    if chosen.shown:
        texts.append(f"Orange: the path of {many(len(chosen.shown), 'class', 'classes')}.")
    return texts


def sentences(outline: Outline) -> list[str]:
    """The tree's upper level, in words."""
    title, subtitle = heading(outline)
    top = [item for item in outline.items if item.depth == 1 and item.label is None]
    texts = [f"{title}: {subtitle}."]
    if top:
        names = [f"{item.name} ({many(item.rows, 'class', 'classes')})" for item in top]
        texts.append(f"The first level has {listed(names, _SAID)}.")
    return texts
