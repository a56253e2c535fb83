"""What a network that was built anew takes over from a trained one: all that is called the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from hiergen.errors import HiergenError, quoted, unquoted
from hiergen.nn.cutout import added_to, tensors_of
from hiergen.nn.generalist import Generalist
from hiergen.nn.graft import ClassPart
from hiergen.nn.heads import ClassHeads
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings


@dataclass(frozen=True)
class TakenOver:
    """What was taken over: `classes` whose logits are those that they were, `groups` with their branches, level by
    level from the top, and branches for all classes; `others` are levels and such branches that were not, with the
    reason in words."""

    classes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    tails: tuple[str, ...]
    others: Mapping[str, str]


OTHER_SHAPES = "other shapes there"


@torch.no_grad()
def take_over(network: HierarchicalNetwork, other: HierarchicalNetwork) -> TakenOver:
    """Copy into `network` what `other`, built from an earlier state of its taxonomy, has by the same name: the trunk;
    of levels of the same shapes each branch that is called the same and stands below one that was taken over; rows of
    classes, which then have the logits that they had; branches for all classes of the same shapes, with the rows of
    classes that both have. The form too, where the network has it.

    Raises HiergenError for another trunk, for networks that have hooks or parametrizations, and where no class has the
    same id; then nothing is copied.
    """
    _check(network, other)
    known = {name: index for index, name in enumerate(other.classes)}
    pairs = [
        (ClassPart.of(network, i), ClassPart.of(other, known[name]))
        for i, name in enumerate(network.classes)
        if name in known
    ]
    if not pairs:
        raise HiergenError(
            "the networks have no class in common",
            expected=f"ids such as {quoted(network.classes[0])}",
            got=quoted(other.classes[0]),
        )
    network.trunk.load_state_dict(other.trunk.state_dict())
    depths = [len(n.levels) for n in (network, other)]
    shared = [n.levels[-1].branches < n.num_classes for n in (network, other)]
    groups: list[tuple[str, ...]] = []
    left, others = pairs, dict[str, str]()
    for j in range(depths[0]):
        why, last = None, j == depths[0] - 1
        if j >= depths[1] or last != (j == depths[1] - 1):
            why = "another number of levels there"
        elif last and shared[0] != shared[1]:
            why = f"one branch for all classes {'here' if shared[0] else 'there'}"
        elif not _alike(network.levels[j], other.levels[j]) or (last and not _alike(network.head, other.head)):
            why = OTHER_SHAPES
        if why is not None:
            others |= {f"level {k + 1}": why for k in range(j, depths[0])}
            left = []
            break
        left = left if last else [(p, q) for p, q in left if p.groups[j] == q.groups[j]]
        rows = {p.branches[j]: q.branches[j] for p, q in left}
        _copy_rows(network.levels[j], other.levels[j], rows)
        if not last:
            groups.append(tuple(network.nesting.names(j + 1)[row] for row in sorted(rows)))
    for p, q in left:
        _copy_row(network.head, p.index, other.head, q.index)
    tails = []
    for name in ("generalist", "flat"):
        branch, before = network._modules.get(name), other._modules.get(name)
        if not isinstance(before, Generalist):
            continue
        if not isinstance(branch, Generalist):
            others[name] = "none here"
        elif _alike(branch.tail, before.tail) and _alike(branch.head, before.head):
            _take_tail(branch, before, network, other, pairs)
            tails.append(name)
        else:
            others[name] = OTHER_SHAPES
    has = {"both": "generalist"}.get(other.form, other.form)
    if has == "specialists" or has in tails:
        network.form = other.form
    if "generalist" in tails:
        names = set(network.nesting.names(max(network.nesting.depth - 1, 1)))
        network.choice = {name: form for name, form in other.choice.items() if name in names}
    return TakenOver(tuple(p.id for p, _ in left), tuple(groups), tuple(tails), others)


def _check(network: HierarchicalNetwork, other: object) -> None:
    """Raise HiergenError unless branches of the one can stand on the other's trunk, and are what they seem."""
    if not isinstance(other, HierarchicalNetwork):
        hint = "hiergen.load_network(…) reads one from a folder"
        raise HiergenError("what is taken over is a network's", got=type(other).__name__, hint=hint)
    if network.head.weight.is_meta or other.head.weight.is_meta:
        raise HiergenError("a network on the meta device has no weights", hint="build it on a real device")
    ours, theirs = network.trunk, other.trunk
    shapes = [{name: tuple(tensor.shape) for name, tensor in t.state_dict().items()} for t in (ours, theirs)]
    differs = next((n for n in {**shapes[0], **shapes[1]} if shapes[0].get(n) != shapes[1].get(n)), None)
    sides = [f"{t.backbone} until {quoted(t.until)}" for t in (ours, theirs)]
    if differs is not None and sides[0] == sides[1]:
        sides = [f"{quoted(differs)} of shape {shape.get(differs, 'none')}" for shape in shapes]
    elif differs is None and sides[0] == sides[1]:
        sides = [_first_other(repr(a.model), repr(b.model)) for a, b in ((ours, theirs), (theirs, ours))]
    norms = [[t.pretrained_cfg.get(key) for key in ("mean", "std")] for t in (ours, theirs)]
    if norms[0] != norms[1]:
        sides = [f"{side}, pixels less {norm[0]} by {norm[1]}" for side, norm in zip(sides, norms, strict=True)]
    if (
        differs is not None
        or repr(ours.model) != repr(theirs.model)
        or norms[0] != norms[1]
        or ours.tokens != theirs.tokens
    ):
        raise HiergenError(
            "the networks have other trunks, and branches fit only their own", expected=sides[0], got=sides[1]
        )
    if added := [*added_to(network), *added_to(other)]:
        raise HiergenError(
            f"networks with {', '.join(map(unquoted, added))} are not what their tensors say",
            hint="take over without, and add it then",
        )


def _first_other(ours: str, theirs: str) -> str:
    """The first line that differs."""
    lines = zip(ours.splitlines(), theirs.splitlines(), strict=False)
    return next((a.strip() for a, b in lines if a != b), "fewer modules")


def _alike(ours: nn.Module, theirs: nn.Module) -> bool:
    """Whether each of our rows has the shape of theirs, in the same modules."""
    if [_written(recipe) for recipe in getattr(ours, "recipes", ())] != [
        _written(recipe) for recipe in getattr(theirs, "recipes", ())
    ]:
        return False
    before = dict(tensors_of(theirs))
    return all(
        name.endswith("index") or (name in before and before[name].shape[1:] == tensor.shape[1:])
        for name, tensor in tensors_of(ours)
    )


def _written(recipe: object) -> tuple[str, str]:
    """A stage's recipe in words, with the given modules that it copies."""
    given = getattr(recipe, "given", None)
    return repr(recipe), repr(given.modules) if given is not None else ""


def _take_tail(
    branch: Generalist,
    before: Generalist,
    network: HierarchicalNetwork,
    other: HierarchicalNetwork,
    pairs: list[tuple[ClassPart, ClassPart]],
) -> None:
    branch.tail.load_state_dict(before.tail.state_dict())
    ours, theirs = branch.columns or range(branch.head.classes), before.columns or range(before.head.classes)
    for p, q in pairs:
        _copy_row(branch.head, ours[p.index], before.head, theirs[q.index])
    names, others = (n.nesting.names(max(n.nesting.depth - 1, 1)) for n in (network, other))
    gains = dict(zip(others, before.gains.tolist(), strict=False))
    branch.gains.copy_(torch.tensor([gains.get(name, 0.0) for name in names]))


def _copy_rows(ours: Siblings, theirs: Siblings, rows: dict[int, int]) -> None:
    """Row by row, new index → old one; of what branches share nothing."""
    before = dict(tensors_of(theirs))
    for name, tensor in tensors_of(ours):
        value = before.get(name)
        if value is None or not tensor.ndim or (tensor.shape[0], value.shape[0]) != (ours.branches, theirs.branches):
            continue
        for new, old in rows.items():
            tensor[new] = value[old].to(tensor)


def _copy_row(ours: ClassHeads, new: int, theirs: ClassHeads, old: int) -> None:
    ours.weight[new] = theirs.weight[old].to(ours.weight)
    ours.bias[new] = theirs.bias[old].to(ours.bias)
