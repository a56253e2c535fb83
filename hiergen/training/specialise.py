"""Specialists of single groups for a network with a generalist, kept where they are better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from hiergen.console.progress import ProgressBar
from hiergen.data.batches import MapFeed
from hiergen.data.samples import seed_of
from hiergen.errors import HiergenError, listed, nearest, quoted
from hiergen.models.folder import Written, free_folder, write_network
from hiergen.models.load import check_weights, find_model, load_network
from hiergen.nn.generalist import Form
from hiergen.nn.graft import ClassPart, assemble, graft
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes, generalist_of
from hiergen.nn.siblings import Siblings
from hiergen.training.assembly import image_hints
from hiergen.training.branches import Pool, Setting, branch_recipe, device_for, fit, logits_of, row_features
from hiergen.training.choosing import Choice, GroupChoice, compare_group
from hiergen.training.initial import estimate_norms
from hiergen.training.recipe import Recipe
from hiergen.training.ridge import ridge_rows
from hiergen.training.training_module import seed_all

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OTHERS = 2  # times as many images of other groups as of a specialist's own
LEVEL = "distillation.l1=1"  # over the recipe "tails": ten times what branches need that are trained together


@dataclass(frozen=True)
class Specialised:
    """What `specialise` made: of each group that was asked for, what its new branch and the generalist give on held-out
    images, and the files; None where no branch was kept."""

    groups: tuple[GroupChoice, ...]
    written: Written | None

    @property
    def kept(self) -> tuple[str, ...]:
        """The groups whose cutouts are their new branches."""
        return tuple(g.group for g in self.groups if g.form == "specialists")

    def table(self) -> Table:
        """A row for each group."""
        flat = 0.0 if self.groups[0].flat is not None else None
        return Choice(self.groups, {"specialists": 0.0}, "specialists", 0, flat).table()


def specialise(
    model: str | Path,
    data: str | Path,
    folder: str | Path,
    *,
    groups: Sequence[str] = (),
    weights: str | Path | None = None,
    val: str | Path | None = None,
    recipe: str | Path | Recipe = "tails",
    settings: Sequence[str] = (),
    name: str | None = None,
    force: bool = False,
    cache: Path | None = None,
    workers: int | None = None,
    skip_broken: bool = False,
    only_known: bool = False,
    device: str | None = None,
    console: Console | None = None,
) -> Specialised:
    """Train the own branches of some groups (default: all of two classes or more) of a network with a generalist, one
    at a time, as FOLDER/model.py and .safetensors; nothing else changes.

    A branch starts as the generalist's as far as their shapes are alike, and learns from the flat network's tail, or
    the generalist, on its group's images and on twice as many of others; with the recipe "tails" at `LEVEL`, so that
    unions of groups and other groups' images are told apart. It is kept only where it tells its classes
    apart better than the generalist on held-out images, by more than the standard error: then cutouts of the group are
    it. Raises HiergenError for a network without a generalist, an unknown group, and as `train` does for images.
    """
    target = free_folder(Path(folder), force)
    reference = find_model(model)
    check_weights(reference, weights, False, hint="specialists are added to a trained network")
    where = device_for(device)
    network = load_network(reference, weights).to(where)
    generalist_of(network, "generalist")
    names = network.nesting.names(max(network.nesting.depth - 1, 1))
    homes = torch.tensor(finest_homes(network))
    wanted = _named(groups, names) or tuple(n for i, n in enumerate(names) if int((homes == i).sum()) > 1)
    if not wanted:
        raise HiergenError("no group of the network has two classes or more, to be told apart")
    for group in wanted:
        if group not in names:
            raise HiergenError(f"no group {quoted(group)}", expected=listed(names), nearest=nearest(group, names))
        if int((homes == names.index(group)).sum()) < 2:
            raise HiergenError(f"group {quoted(group)} has a single class, which is told apart from nothing")
    chosen = branch_recipe(recipe, [LEVEL, *settings] if recipe == "tails" else settings)
    setting = Setting(network, chosen, console, cache, workers, skip_broken, where)
    setting.say_unfitted()
    seed_all(setting.recipe.seed)
    known = list(range(network.num_classes)) if only_known else None
    with image_hints():
        images, held_images = setting.images(data, network, classes=known, val=val)
    learning = _Specialists(setting, setting.feed(images, "training"), setting.feed(held_images, "held-out"))
    found = []
    for group in wanted:
        part = learning.trained(group)
        choice = learning.compared(group, part)
        found.append(choice)
        if choice.form == "specialists":
            network = setting.network = _with(network.cpu(), part.cpu(), choice).to(where)
    done = Specialised(tuple(found), None)
    if not done.kept:
        return done
    how = f"{reference.name} and specialists of {len(done.kept)} of its {len(names)} groups"
    return replace(done, written=write_network(network.cpu(), target, reference, name=name, how=how, force=force))


def _named(texts: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The groups of texts with commas between; a name may hold some."""
    found: list[str] = []
    for text in texts:
        pieces = text.split(",")
        while pieces:
            end = next((n for n in range(len(pieces), 1, -1) if ",".join(pieces[:n]).strip() in names), 1)
            found.append(",".join(pieces[:end]).strip())
            pieces = pieces[end:]
    return tuple(dict.fromkeys(found))


def _with(network: HierarchicalNetwork, part: HierarchicalNetwork, choice: GroupChoice) -> HierarchicalNetwork:
    """The network with a group's new branches, which its cutouts are from now on."""
    whole = graft([network, part], put_back=True)
    names = whole.nesting.names(max(whole.nesting.depth - 1, 1))
    whole.choice = {**dict.fromkeys(names, "generalist"), **network.choice, choice.group: "specialists"}
    with torch.no_grad():
        generalist_of(whole, "generalist").gains[names.index(choice.group)] = choice.gain
    return whole


class _Specialists:
    """Own branches of groups, taught by a branch for all classes."""

    def __init__(self, setting: Setting, feed: MapFeed, held: MapFeed) -> None:
        self.setting, network = setting, setting.network
        self.pool, self.held = (Pool([some], [some.targets], setting.device) for some in (feed, held))
        self.names = network.nesting.names(max(network.nesting.depth - 1, 1))
        self.homes = torch.tensor(finest_homes(network), device=setting.device)
        self.teacher: Form = "flat" if network._modules.get("flat") is not None else "generalist"
        with torch.inference_mode():
            self.taught = torch.cat([logits_of(network, x, self.teacher) for _, x in self.pool.in_order()])
            self.general, self.flat = (
                torch.cat([logits_of(network, x, form) for _, x in self.held.in_order()]).cpu()
                for form in ("generalist", self.teacher)
            )

    def _members(self, group: str) -> tuple[int, Tensor]:
        """The group's number and its classes."""
        number = self.names.index(group)
        return number, (self.homes == number).nonzero()[:, 0]

    def trained(self, group: str) -> HierarchicalNetwork:
        """The group's branches, trained, as a network of its own."""
        network, recipe = self.setting.network, self.setting.recipe
        _, members = self._members(group)
        part = assemble([ClassPart.of(network, c) for c in members.tolist()], like=network)
        part.form = "specialists"
        part._modules.update(generalist=None, flat=None)
        part.to(self.setting.device)
        _start_as(part, generalist_of(network, "generalist").tail)
        inside = torch.isin(self.pool.targets, members)
        own, others = (which.nonzero()[:, 0].cpu() for which in (inside, ~inside))
        place = torch.full_like(self.homes, -1)
        place[members] = torch.arange(len(members), device=place.device)
        targets = place[self.pool.targets]
        shuffled = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(recipe.seed))]
        estimate_norms(
            part, ((self.pool.maps(rows),) for rows in torch.split(shuffled, recipe.batch_size)[:20] if len(rows) > 1)
        )
        rows, biases = ridge_rows(
            lambda x: row_features(part, x, "specialists"),
            ((self.pool.maps(rows), targets[rows]) for rows in torch.split(shuffled, recipe.batch_size)),
            len(members),
        )
        with torch.no_grad():
            part.head.weight.copy_(rows)
            part.head.bias.copy_(biases)
        drawn = min(len(others), OTHERS * len(own))
        learned = recipe.distillation
        taught = self.taught[:, members].clone()

        def draw(epoch: int) -> Tensor:
            generator = torch.Generator().manual_seed(seed_of(recipe.seed, epoch, 7))
            return torch.cat([own, others[torch.randperm(len(others), generator=generator)[:drawn]]])

        def loss(rows: Tensor, logits: Tensor) -> Tensor:
            mine = inside[rows]
            total = logits.new_zeros(())
            if mine.any():
                total = F.cross_entropy(logits[mine], targets[rows][mine], label_smoothing=recipe.loss.smoothing)
            theirs = (taught[rows] / learned.temperature).log_softmax(1)
            ours = (logits / learned.temperature).log_softmax(1)
            # raw logits too: a softmax is blind to their level, by which groups are compared
            apart = learned.kl * learned.temperature**2 * (theirs.exp() * (theirs - ours)).sum(1)
            apart = apart + learned.l1 * (logits - taught[rows]).abs().mean(1)
            for which in (mine, ~mine):
                if which.any():
                    total = total + apart[which].mean()
            return total

        with ProgressBar(self.setting.console, f"specialist of {group}") as report:
            fit(part, recipe, [*part.levels, part.head], self.pool, draw, loss, report)
        return part

    @torch.no_grad()
    def compared(self, group: str, part: HierarchicalNetwork) -> GroupChoice:
        """The new branch with the generalist, on the held-out images."""
        number, members = self._members(group)
        members, targets = members.cpu(), self.held.targets.cpu()
        own = torch.zeros_like(self.general)
        own[:, members] = torch.cat([logits_of(part, x, "specialists") for _, x in self.held.in_order()]).cpu()
        flat = self.flat if self.teacher == "flat" else None
        likeliest = generalist_of(self.setting.network, "generalist").likeliest(self.general, self.homes.tolist())
        return compare_group(group, members, targets, self.general, own, flat, likeliest == number)


def _start_as(part: HierarchicalNetwork, tail: Siblings) -> None:
    """Let all branches be this one, from the first stage to the first of another shape."""
    stages = list(zip(tail.recipes, tail.stages, strict=True))
    for level in part.levels:
        for recipe, stage in zip(level.recipes, level.stages, strict=True):
            if not stages or stages[0][0] != recipe:
                return
            theirs = stages.pop(0)[1].state_dict()
            mine = stage.state_dict()
            stage.load_state_dict({name: tensor.expand_as(mine[name]) for name, tensor in theirs.items()})
