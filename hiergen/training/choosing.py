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
    own branch (None: it was not trained); what the branch has more, and its standard error, of the paired difference
    (infinite, in JSON null: not known). `flat` is the share of the flat network, sliced; `gain`: see `Generalist`."""

    group: str
    classes: int
    images: int
    generalist: float
    specialist: float | None = None
    error: float = math.inf
    gain: float = 0.0
    flat: float | None = None

    @property
    def kept(self) -> float:
        """The share of what the cutout is."""
        return self.specialist if self.specialist is not None and self.form == "specialists" else self.generalist

    @property
    def more(self) -> float:
        return 0.0 if self.specialist is None else self.specialist - self.generalist

    @property
    def form(self) -> Form:
        """What a cutout of the group is: its own branch only where that is better by more than the standard error."""
        return "specialists" if self.more > self.error else "generalist"


_FEW = 200  # held-out images, with fewer of which a choice is a coin's


@dataclass(frozen=True)
class Choice:
    """By group, and shares of all `images` that each form, and the teacher, recognises among all classes. `form` is
    what the whole network answers with."""

    groups: tuple[GroupChoice, ...]
    top1: Mapping[Form, float]
    form: Form
    images: int
    flat: float | None = None

    def by_group(self) -> dict[str, Form]:
        """Group → what its cutout is."""
        return {choice.group: choice.form for choice in self.groups}

    def lines(self) -> Iterator[str]:
        """What was found, in sentences."""
        shares = ", ".join(f"{form} {share:.1%}" for form, share in self.top1.items())
        teacher = f"teacher {self.flat:.1%}, " if self.flat is not None and "flat" not in self.top1 else ""
        yield f"of all classes, {self.images:,} held-out images: {teacher}{shares}; the network answers as {self.form}"
        if self.images < _FEW:
            yield f"one image is {100 / max(self.images, 1):.1f} points there: more images (--val DATA) choose better"
        if "specialists" not in self.top1:
            return
        own = [choice.group for choice in self.groups if choice.form == "specialists"]
        yield f"cutouts of {len(own)} of {len(self.groups)} groups are their own branches, the others the generalist's"

    def table(self) -> Table:
        """A row for each group: of its images, which are right when its classes alone compete."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, title="right within the group", title_justify="left")
        flat = ("flat",) if self.flat is not None else ()
        own = ("own branch", "points more", "cutout") if "specialists" in self.top1 else ()
        for name in ("group", "classes", "images", *flat, "generalist", *own):
            table.add_column(name, justify="left" if name in ("group", "cutout") else "right", no_wrap=name != "group")
        for g in self.groups:
            shares = [f"{100 * share:.1f} %" for share in (g.flat, g.generalist, g.specialist) if share is not None]
            if own:
                error = f"{100 * INTERVAL * g.error:.1f}" if math.isfinite(g.error) else "–"
                shares.append(f"{100 * g.more:+.1f} ± {error}")
                shares.append("own branch" if g.form == "specialists" else "generalist")
            table.add_row(g.group, str(g.classes), str(g.images), *shares)
        return table

    def to_dict(self) -> dict[str, Any]:
        return {
            "top1": dict(self.top1),
            "teacher": self.flat,
            "form": self.form,
            "groups": [
                {**vars(g), "error": g.error if math.isfinite(g.error) else None, "form": g.form} for g in self.groups
            ],
        }


def choose_forms(
    network: HierarchicalNetwork, logits: Mapping[Form, Tensor], targets: Tensor, taught: Tensor | None = None
) -> Choice:
    """Choose from the logits `(N, classes)` that the generalist, and what else was trained of "specialists" and "flat",
    gives of held-out images; the network takes the gains and the form. `taught` are a teacher's logits of them, for
    comparison."""
    homes = torch.tensor(finest_homes(network))
    ours, own = logits["generalist"], logits.get("specialists")
    flat = logits.get("flat", taught)
    likeliest = generalist_of(network, "generalist").likeliest(ours, homes.tolist())
    names = network.nesting.names(max(network.nesting.depth - 1, 1))
    groups, gains = [], torch.zeros(len(names))
    both = ours.clone()
    for group, name in enumerate(names):
        members, rows = (homes == group).nonzero()[:, 0], likeliest == group
        found = compare_group(name, members, targets, ours, own, flat, rows)
        groups.append(found)
        if own is not None:
            chosen = rows.nonzero()
            both[chosen, members] += found.gain * own[chosen, members]
            gains[group] = found.gain
    shown: dict[Form, Tensor] = {"generalist": ours}
    shown |= {"both": both, "specialists": own} if own is not None else {}
    shown |= {"flat": logits["flat"]} if "flat" in logits else {}
    right = {form: some.argmax(1) == targets for form, some in shown.items()}
    top1 = {form: float(share.double().mean()) for form, share in right.items()}
    taught_top1 = None if flat is None else float((flat.argmax(1) == targets).double().mean())
    choice = Choice(tuple(groups), top1, _answering(right), len(targets), taught_top1)
    with torch.no_grad():
        generalist_of(network, "generalist").gains.copy_(gains)
    network.form = choice.form
    network.choice = choice.by_group()
    return choice


def compare_group(
    name: str,
    members: Tensor,
    targets: Tensor,
    generalist: Tensor,
    own: Tensor | None,
    flat: Tensor | None,
    likeliest: Tensor,
) -> GroupChoice:
    """What the forms' logits `(N, classes)` of held-out images give of one group's `members`; `likeliest` `(N,)` are
    the images whose group it is by the generalist, on which the gain is fitted."""
    inside = torch.isin(targets, members)
    count, wanted = int(inside.sum()), targets[inside]
    named = {"generalist": generalist, "specialist": own, "flat": flat}
    rights = {
        form: _right(some[inside][:, members], wanted, members) for form, some in named.items() if some is not None
    }
    found: dict[str, Any] = {form: float(right.mean()) if count else 0.0 for form, right in rights.items()}
    if own is not None:
        found["gain"] = _gain(own, generalist, targets, likeliest, members)
        if count > 1:
            found["error"] = float((rights["specialist"] - rights["generalist"]).std()) / math.sqrt(count)
    return GroupChoice(name, len(members), count, **found)


def _answering(right: Mapping[Form, Tensor]) -> Form:
    """The cheapest of the forms that recognise most; in place of the flat branch, which the network had before, only
    one that is better by more than the standard error, or right where it is."""
    order: tuple[Form, ...] = ("generalist", "both", "specialists", "flat")
    best = max((form for form in order if form in right), key=lambda form: int(right[form].sum()))
    if best != "flat" and "flat" in right:
        more = right[best].double() - right["flat"].double()
        # one image is no sample
        if more.any() and (len(more) < 2 or float(more.mean()) <= float(more.std()) / math.sqrt(len(more))):
            return "flat"
    return best


def _gain(specialists: Tensor, generalist: Tensor, targets: Tensor, rows: Tensor, members: Tensor) -> float:
    """The gain with which most of these images are recognised; the smallest of equals."""

    def right(gain: float) -> int:
        logits = generalist[rows].clone()
        logits[:, members] += gain * specialists[rows][:, members]
        return int((logits.argmax(1) == targets[rows]).sum())

    return max(GAINS, key=right)


def _right(logits: Tensor, targets: Tensor, members: Tensor) -> Tensor:
    return (members[logits.argmax(1)] == targets).double()
