"""A plan as the picture of an architecture needs it: branches with the rows they span, and costs by part."""

from __future__ import annotations

from dataclasses import dataclass

from hiergen.planning.blocks import BLOCKS
from hiergen.planning.plan import GeneralistPlan, LevelPlan, Plan, StagePlan
from hiergen.views.draw.outline import Chosen


@dataclass(frozen=True)
class Branch:
    """One branch of `level` (1 …); rows `first` … `end` - 1 and `classes` (indices of logits) are those below it."""

    level: int
    index: int
    name: str
    class_id: str
    parent: int
    first: int
    end: int
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Bar:
    """Params and MACs of a network, by part: the trunk, each level, the heads, branches for all classes; or of a flat
    one as a whole."""

    label: str
    params: tuple[int, ...]
    macs: tuple[int, ...]


def class_rows(plan: Plan) -> tuple[int, ...]:
    """The class of each row: branch by branch, so that no links cross."""
    homes = plan.head_parents or tuple(range(len(plan.classes)))
    return tuple(sorted(range(len(plan.classes)), key=lambda c: (homes[c], c)))


def branches(plan: Plan) -> list[list[Branch]]:
    """All branches, level by level."""
    rows = class_rows(plan)
    homes = plan.head_parents or tuple(range(len(plan.classes)))
    below: list[list[int]] = [[] for _ in range(plan.levels[-1].branches)]
    for row, c in enumerate(rows):
        below[homes[c]].append(row)
    levels: list[list[Branch]] = []
    for number in range(len(plan.levels), 0, -1):
        level = plan.levels[number - 1]
        levels.insert(0, [_branch(plan, number, i, below[i], rows) for i in range(level.branches)])
        above: list[list[int]] = [[] for _ in range(plan.levels[number - 2].branches if number > 1 else 1)]
        for i, members in enumerate(below):
            above[level.parents[i] if level.parents else 0] += members
        below = above
    return levels


def _branch(plan: Plan, number: int, index: int, members: list[int], rows: tuple[int, ...]) -> Branch:
    level = plan.levels[number - 1]
    classes = tuple(sorted(rows[row] for row in members))
    is_class = number == len(plan.levels) and not plan.single_branch
    name = plan.nesting.labels[classes[0]] if is_class else level.names[index]
    parent = level.parents[index] if level.parents else 0
    class_id = plan.classes[classes[0]] if is_class else ""
    return Branch(number, index, name, class_id, parent, min(members), max(members) + 1, classes)


def block_text(stage: StagePlan) -> str:
    """ "3 × bottleneck 64 → 96, stride 2": depth, kind, inner width, output channels."""
    stride = f", stride {stage.stride}" if stage.stride > 1 else ""
    kernel = f" {stage.kernel}×{stage.kernel}" if stage.kernel else ""
    return f"{stage.depth} × {BLOCKS[stage.block].title}{kernel} {stage.width} → {stage.out}{stride}"


def shape_text(channels: int, height: int, width: int) -> str:
    return f"{channels:,} × {height} × {width}"


def level_noun(plan: Plan, number: int) -> tuple[int, str]:
    """How many of what a level has."""
    level = plan.levels[number - 1]
    if number < len(plan.levels):
        return level.branches, "group" if level.branches == 1 else "groups"
    if plan.single_branch:
        return level.branches, "branch of all classes"
    return level.branches, "class" if level.branches == 1 else "classes"


def kept_branches(plan: Plan, kept: frozenset[int] | None) -> list[int]:
    """Branches of each level that a cutout keeps; all for None."""
    if kept is None:
        return [level.branches for level in plan.levels]
    return [sum(bool(kept.intersection(b.classes)) for b in level) for level in branches(plan)]


def for_all(plan: Plan) -> list[tuple[str, GeneralistPlan]]:
    """The branches for all classes, by name."""
    named = (("generalist", plan.generalist), ("flat network's tail", plan.flat))
    return [(name, part) for name, part in named if part is not None]


def bars(plan: Plan, chosen: Chosen, flat_of: dict[int, tuple[int, int]]) -> list[Bar]:
    """The network, its cutout where one is asked for, and the flat backbone, also with its classifier sliced.

    `flat_of`: number of classes → (params, MACs) of the flat backbone, where they are known.
    """
    count = len(plan.classes)
    whole, shared = _bar(plan, "network", kept_branches(plan, None), count), for_all(plan)
    if shared:  # what they run is beside the specialists, in a form of its own
        whole = Bar(whole.label, (*whole.params, sum(part.params for _, part in shared)), (*whole.macs, 0))
    drawn = [whole]
    for name, part in shared:
        empty = (0,) * len(plan.levels)
        drawn.append(
            Bar(
                f"trunk, {name}",
                (plan.trunk.params, *empty, 0, part.params),
                (plan.trunk.macs, *empty, 0, part.macs),
            )
        )
    if chosen.kept is not None:
        label = f"cutout, {len(chosen.kept)} of {count}"
        drawn.append(_bar(plan, label, kept_branches(plan, chosen.kept), len(chosen.kept)))
    flat = flat_of.get(count, (plan.trunk.flat_params, plan.trunk.flat_macs))
    drawn.append(Bar(f"flat {plan.trunk.backbone}", (flat[0],), (flat[1],)))
    if chosen.kept is not None and len(chosen.kept) in flat_of:
        sliced = flat_of[len(chosen.kept)]
        drawn.append(Bar("flat, classifier sliced", (sliced[0],), (sliced[1],)))
    return drawn


def _bar(plan: Plan, label: str, counts: list[int], classes: int) -> Bar:
    levels: tuple[LevelPlan, ...] = plan.levels
    head = levels[-1].channels
    return Bar(
        label,
        (
            plan.trunk.params,
            *(n * level.branch_params for n, level in zip(counts, levels, strict=True)),
            classes * (head + 1),
        ),
        (plan.trunk.macs, *(n * level.branch_macs for n, level in zip(counts, levels, strict=True)), classes * head),
    )


def subtree_costs(plan: Plan) -> dict[tuple[int, int], tuple[int, int]]:
    """(level, branch) → (params, MACs) of a branch and all below it, heads included."""
    head = plan.levels[-1].channels
    heads = [0] * plan.levels[-1].branches
    for home in plan.head_parents or range(len(plan.classes)):
        heads[home] += 1
    below = [(n * (head + 1), n * head) for n in heads]
    costs: dict[tuple[int, int], tuple[int, int]] = {}
    for number in range(len(plan.levels), 0, -1):
        level = plan.levels[number - 1]
        level_costs = [(params + level.branch_params, macs + level.branch_macs) for params, macs in below]
        costs |= {(number, i): cost for i, cost in enumerate(level_costs)}
        above = [(0, 0)] * (plan.levels[number - 2].branches if number > 1 else 1)
        for i, (params, macs) in enumerate(level_costs):
            home = level.parents[i] if level.parents else 0
            above[home] = (above[home][0] + params, above[home][1] + macs)
        below = above
    return costs
