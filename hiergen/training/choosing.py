"""The end of a training: which form answers, and which cutouts are their groups' own branches, by held-out images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hiergen.nn.generalist import Form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes, generalist_of

if TYPE_CHECKING:
    from rich.table import Table

GAINS = (0.0, 0.25, 0.5, 1.0, 2.0)  # of a group's specialist in the form "both"
INTERVAL = 1.96  # standard errors


@dataclass(frozen=True)
class GroupChoice:
    """Shares of a group's images that are told apart among its classes, by the generalist, sliced, and by the group's
    own branch; what the branch has more, and its standard error, of the paired difference. `flat` is the share of the
    teacher, sliced; `gain`: see `Generalist`."""

    group: str
    classes: int
    images: int
    generalist: float
    specialist: float
    error: float
    gain: float
    flat: float | None = None

    @property
    def kept(self) -> float:
        """The share of what the cutout is."""
        return self.specialist if self.form == "specialists" else self.generalist

    @property
    def more(self) -> float:
        return self.specialist - self.generalist

    @property
    def form(self) -> Form:
        """What a cutout of the group is: its own branch only where that is better by more than the standard error."""
        return "specialists" if self.more > self.error else "generalist"


@dataclass(frozen=True)
class Choice:
    """By group, and shares of all images that each form, and the teacher, recognises among all classes."""

    groups: tuple[GroupChoice, ...]
    top1: Mapping[Form, float]
    flat: float | None = None

    @property
    def form(self) -> Form:
        """What the whole network answers with: the cheapest of those that recognise most."""
        order: tuple[Form, ...] = ("generalist", "both", "specialists")
        return max(order, key=lambda form: self.top1[form])

    def by_group(self) -> dict[str, Form]:
        """Group → what its cutout is."""
        return {choice.group: choice.form for choice in self.groups}

    def lines(self) -> Iterator[str]:
        """What was found, in sentences."""
        shares = ", ".join(f"{form} {share:.1%}" for form, share in self.top1.items())
        teacher = f"teacher {self.flat:.1%}, " if self.flat is not None else ""
        yield f"of all classes, held-out images: {teacher}{shares}; the network answers as {self.form}"
        own = [choice.group for choice in self.groups if choice.form == "specialists"]
        yield f"cutouts of {len(own)} of {len(self.groups)} groups are their own branches, the others the generalist's"

    def table(self) -> Table:
        """A row for each group."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        taught = ("teacher",) if self.flat is not None else ()
        for name in ("group", "classes", "images", *taught, "generalist", "own branch", "points more", "cutout"):
            table.add_column(name, justify="left" if name in ("group", "cutout") else "right")
        for g in self.groups:
            more = f"{100 * g.more:+.1f} ± {100 * INTERVAL * g.error:.1f}"
            given = (g.generalist, g.specialist) if g.flat is None else (g.flat, g.generalist, g.specialist)
            shares = (f"{100 * share:.1f}" for share in given)
            kept = "own branch" if g.form == "specialists" else "generalist"
            table.add_row(g.group, str(g.classes), str(g.images), *shares, more, kept)
        return table

    def to_dict(self) -> dict[str, Any]:
        return {
            "top1": dict(self.top1),
            "teacher": self.flat,
            "form": self.form,
            "groups": [{**vars(g), "form": g.form} for g in self.groups],
        }


def choose_forms(
    network: HierarchicalNetwork,
    specialists: Tensor,
    generalist: Tensor,
    targets: Tensor,
    taught: Tensor | None = None,
) -> Choice:
    """Choose from both forms' logits `(N, classes)` of held-out images; the network takes the gains and the form.
    `taught` are a teacher's logits of them, for comparison."""
    homes = torch.tensor(finest_homes(network))
    likeliest = generalist_of(network).likeliest(generalist, homes.tolist())
    names = network.nesting.names(max(network.nesting.depth - 1, 1))
    groups, gains = [], torch.zeros(len(names))
    both = generalist.clone()
    for group, name in enumerate(names):
        members = (homes == group).nonzero()[:, 0]
        gains[group] = _gain(specialists, generalist, targets, likeliest == group, members)
        rows = (likeliest == group).nonzero()
        both[rows, members] += gains[group] * specialists[rows, members]
        inside = homes[targets] == group
        compared = (generalist, specialists, *(() if taught is None else (taught,)))
        right = [_right(logits[inside][:, members], targets[inside], members) for logits in compared]
        count = int(inside.sum())
        ours, own, *flat = (float(r.mean()) if count else 0.0 for r in right)
        error = float((right[1] - right[0]).std()) / math.sqrt(count) if count > 1 else math.inf
        sizes = (name, len(members), count)
        groups.append(GroupChoice(*sizes, ours, own, error, float(gains[group]), flat[0] if flat else None))
    top1 = {
        form: float((logits.argmax(1) == targets).double().mean())
        for form, logits in (("generalist", generalist), ("both", both), ("specialists", specialists))
    }
    flat_top1 = None if taught is None else float((taught.argmax(1) == targets).double().mean())
    choice = Choice(tuple(groups), top1, flat_top1)  # type: ignore[arg-type]
    with torch.no_grad():
        generalist_of(network).gains.copy_(gains)
    network.form = choice.form
    network.choice = choice.by_group()
    return choice


def _gain(specialists: Tensor, generalist: Tensor, targets: Tensor, rows: Tensor, members: Tensor) -> float:
    """The gain with which most of these images are recognised; the smallest of equals."""

    def right(gain: float) -> int:
        logits = generalist[rows].clone()
        logits[:, members] += gain * specialists[rows][:, members]
        return int((logits.argmax(1) == targets[rows]).sum())

    return max(GAINS, key=right)


def _right(logits: Tensor, targets: Tensor, members: Tensor) -> Tensor:
    return (members[logits.argmax(1)] == targets).double()
