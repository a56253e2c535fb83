"""What the picture of an architecture says in words: its lines of text, and the tooltips of branches."""

from __future__ import annotations

from collections.abc import Sequence

from hiergen.draw.lettering import fit
from hiergen.draw.network import Branch
from hiergen.draw.outline import Chosen
from hiergen.draw.saying import amount, costs_text, many
from hiergen.plan.ir import Plan

_SHOWN = 3  # paths that are written out
_NAME = 190.0  # px of a name in a line


def lines(plan: Plan, levels: Sequence[Sequence[Branch]], chosen: Chosen) -> list[str]:
    """A sentence on the whole, then one on the cutout and on each of the first chosen paths."""
    counts = " → ".join(f"{level.branches:,}" for level in plan.levels)
    noun = "branch" if counts == "1" else "branches"
    total = costs_text(plan.params, plan.macs)
    said = [f"{many(len(plan.classes), 'class', 'classes')}, {counts} {noun}: {total} per image."]
    if chosen.kept is not None:
        left = f"Grey: left out of the cutout of {many(len(chosen.kept), 'class', 'classes')}."
        said.append(f"{left} {cut_text(plan, chosen.kept)}")
    shown = sorted(chosen.shown)
    said += [_path(plan, levels, c) for c in shown[:_SHOWN]]
    if len(shown) > _SHOWN:
        said.append(f"Orange: also the paths of {many(len(shown) - _SHOWN, 'more class', 'more classes')}.")
    return said


def _path(plan: Plan, levels: Sequence[Sequence[Branch]], c: int) -> str:
    leaf = levels[-1][(plan.head_parents or range(len(plan.classes)))[c]]
    names = [*above(levels, leaf), *([plan.class_names[c]] if plan.single_branch else [])]
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
    own = costs_text(level.branch_params, level.branch_macs)
    what = f" ({branch.class_id})" if branch.class_id else f": {many(len(branch.classes), 'class', 'classes')}"
    more = "" if branch.class_id else f"; {costs_text(*below)} with all below it"
    return f"{' / '.join(above(levels, branch))}{what}; {own} of its own{more}"


def cut_text(plan: Plan, kept: frozenset[int]) -> str:
    """What a cutout costs, in a sentence."""
    params, macs = plan.cutout_cost(kept)
    changes = [f"{100 * (cut / whole - 1):+.1f} %" for cut, whole in ((params, plan.params), (macs, plan.macs))]
    less = [change.replace("-", "−") for change in changes]
    return f"It has {amount(params).strip()} params ({less[0]}) and {amount(macs)}MACs ({less[1]})."
