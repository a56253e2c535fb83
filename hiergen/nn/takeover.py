"""What a network that was built anew takes over from a trained one: all that is called the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hiergen.errors import HiergenError, quoted
from hiergen.nn.cutout import tensors_of
from hiergen.nn.generalist import Generalist
from hiergen.nn.graft import ClassPart
from hiergen.nn.heads import ClassHeads
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings


@dataclass(frozen=True)
class TakenOver:
    """What was taken over: `classes` whose logits are those that they were, `groups` with their branches, level by
    level from the top, and branches for all classes; `others` are levels and such branches of other shapes."""

    classes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    tails: tuple[str, ...]
    others: tuple[str, ...]


@torch.no_grad()
def take_over(network: HierarchicalNetwork, other: HierarchicalNetwork) -> TakenOver:
    """Copy into `network` what `other`, built from an earlier state of its taxonomy, has by the same name: the trunk;
    of levels of the same shapes each branch that is called the same and stands below one that was taken over; rows of
    classes, which then have the logits that they had; branches for all classes of the same shapes, with the rows of
    classes that both have. The form too, where the network has it.

    Raises HiergenError for another trunk, and where no class has the same id; then nothing is copied.
    """
    ours, theirs = network.trunk.state_dict(), other.trunk.state_dict()
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in (ours, theirs)]
    if shapes[0] != shapes[1] or network.trunk.tokens != other.trunk.tokens:
        raise HiergenError(
            "the networks have other trunks, and branches fit only their own",
            expected=f"{network.trunk.backbone} until {quoted(network.trunk.until)}",
            got=f"{other.trunk.backbone} until {quoted(other.trunk.until)}",
        )
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
    network.trunk.load_state_dict(theirs)
    depths = [len(n.levels) for n in (network, other)]
    shared = [n.levels[-1].branches < n.num_classes for n in (network, other)]
    groups: list[tuple[str, ...]] = []
    left, different = pairs, list[str]()
    for j in range(min(depths)):
        last = j == depths[0] - 1
        a, b = network.levels[j], other.levels[j]
        if a.recipes != b.recipes or last != (j == depths[1] - 1) or (last and shared[0] != shared[1]):
            different += [f"level {k + 1}" for k in range(j, depths[0])]
            left = []
            break
        left = left if last else [(p, q) for p, q in left if p.groups[j] == q.groups[j]]
        rows = {p.branches[j]: q.branches[j] for p, q in left}
        _copy_rows(a, b, rows)
        if not last:
            groups.append(tuple(network.nesting.names(j + 1)[row] for row in sorted(rows)))
    for p, q in left:
        _copy_row(network.head, p.index, other.head, q.index)
    tails = []
    for name in ("generalist", "flat"):
        branch, before = network._modules.get(name), other._modules.get(name)
        if isinstance(branch, Generalist) and isinstance(before, Generalist):
            if branch.tail.recipes == before.tail.recipes:
                _take_tail(branch, before, network, other, pairs)
                tails.append(name)
            else:
                different.append(name)
    has = {"both": "generalist"}.get(other.form, other.form)
    if has == "specialists" or has in tails:
        network.form = other.form
    if "generalist" in tails:
        names = set(network.nesting.names(max(network.nesting.depth - 1, 1)))
        network.choice = {name: form for name, form in other.choice.items() if name in names}
    return TakenOver(tuple(p.id for p, _ in left), tuple(groups), tuple(tails), tuple(different))


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
