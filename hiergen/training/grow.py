"""Classes added to a trained network: nothing that was there changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hiergen.console.progress import ProgressBar
from hiergen.console.terminal import plain_table
from hiergen.data.batches import MapFeed
from hiergen.data.imageclasses import PRESENT
from hiergen.data.images import ImageSet
from hiergen.errors import HiergenError, quoted
from hiergen.models.folder import Written, free_folder, write_network
from hiergen.models.load import check_weights, find_model, load_network
from hiergen.nn.generalist import Form
from hiergen.nn.graft import ClassPart, assemble
from hiergen.nn.heads import ClassHeads
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import generalist_of
from hiergen.training.branches import Pool, Setting, branch_recipe, device_for, fit, logits_of, row_features
from hiergen.training.joining import Place, described, new_classes
from hiergen.training.recipe import Recipe
from hiergen.training.ridge import ridge_rows
from hiergen.training.training_module import seed_all

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FEW = 0.95  # of the new classes' held-out images that are to beat the old logits, where no old images are there


@dataclass(frozen=True)
class Shares:
    """Of held-out images: how many of old classes are recognised among the old and among all, of new classes among
    all, and of both together; also before the new logits were calibrated (None in the form "both": its parts have
    theirs)."""

    form: Form
    alone: float | None
    old: float | None
    new: float
    all: float
    uncalibrated: float | None


@dataclass(frozen=True)
class Grown:
    """What `grow` made: the files, the new classes, how many old and new images it learned from, and what it gives on
    those that were held out."""

    written: Written
    classes: tuple[str, ...]
    images: tuple[int, int]
    shares: tuple[Shares, ...]

    def table(self) -> Table:
        """A row for each form of the network."""
        table = plain_table(("form", "old alone", "old among all", "new among all", "all", "all, uncalibrated"))
        for row in self.shares:
            cells = (row.alone, row.old, row.new, row.all, row.uncalibrated)
            table.add_row(row.form, *("" if cell is None else f"{100 * cell:.1f} %" for cell in cells))
        return table


def grow(
    model: str | Path,
    data: str | Path,
    folder: str | Path,
    *,
    group: str | None = None,
    new_group: str | None = None,
    classes: Sequence[str] = (),
    old: str | Path | None = None,
    weights: str | Path | None = None,
    solver: str = "train",
    recipe: str | Path | Recipe = "tails",
    settings: Sequence[str] = (),
    name: str | None = None,
    force: bool = False,
    cache: Path | None = None,
    workers: int | None = None,
    skip_broken: bool = False,
    device: str | None = None,
    console: Console | None = None,
) -> Grown:
    """Add classes to a trained network, as FOLDER/model.py and .safetensors: branches and rows of the new ones are
    trained, all that was there stays to the bit.

    The classes join a `group` of the finest level, or a `new_group` (below `group`, where there are more levels).
    `classes` are folders of `data` (default: all that are no class of the network). Images of classes that the network
    has are what the new ones are told apart from: those of `old`, else those that `data` has, of a class at most as
    many as of a new one.
    A new branch starts as a copy of the one whose class's logits are largest on the images, its row by ridge
    regression. `solver` "ridge" leaves it at that (seconds), "train" trains branches and rows by the recipe, beside the
    old logits, which stay. At the end one scale and one offset, fitted on held-out images, make the new logits
    comparable with the old ones.
    Raises HiergenError for a group or class that cannot be, images that are not there, and as `write_network` does.
    """
    if solver not in ("train", "ridge"):
        raise HiergenError(f"no solver {quoted(solver)}", expected="train or ridge")
    target = free_folder(Path(folder), force)
    reference = find_model(model)
    check_weights(reference, weights, False, hint="classes are added to a trained network")
    where = device_for(device)
    network = load_network(reference, weights)
    setting = Setting(network, branch_recipe(recipe, settings), console, cache, workers, skip_broken, where)
    setting.say_unfitted()
    seed_all(setting.recipe.seed)
    place = Place.of(network, group, new_group)
    names = new_classes(network, data, classes)
    if new_group in names:
        raise HiergenError(f"{quoted(str(new_group))} is to be a class and a group", hint="call the group otherwise")
    drafts = [
        ClassPart(c, label, synset, place.names, network, place.members[0])
        for c, (label, synset) in zip(names, described(network, names), strict=True)
    ]
    draft = assemble(drafts, like=network)
    new_images = _new_images(setting, draft, data)
    old_images = _old_images(setting, data if old is None else old, new_images, required=old is not None)
    if old_images is None and solver == "ridge":
        raise HiergenError("ridge regression needs images of old classes", hint="--old DATA (old=…), or --solver train")
    network.to(where)
    splits = [(new_images, "new"), *([(old_images, "old")] if old_images else [])]
    feeds = [[setting.feed(images, what) for images in pair] for pair, what in splits]
    for feed in feeds[0]:
        if unread := sorted(set(range(len(names))) - set(feed.targets.tolist())):
            raise HiergenError(f"no image of class {quoted(names[unread[0]])} can be read", place=str(data))
    in_use = _trained_forms(network)
    likely = _likeliest(network, feeds[0][0], len(names), place.members, in_use[0])
    if new_group is not None:  # whose branch is one
        likely = [max(set(likely), key=likely.count)] * len(names)
    part = assemble([replace(d, index=i) for d, i in zip(drafts, likely, strict=True)], like=network).to(where)
    joint = _Joint(setting, part, in_use, [pair[0] for pair in feeds], [pair[1] for pair in feeds])
    if old_images is not None:
        joint.solve()
    if solver == "train":
        joint.train(place.known)
    before = joint.shares()
    joint.calibrate()
    pairs = zip(joint.shares(), before, strict=True)
    network.cpu(), part.cpu()
    ours = [ClassPart.of(network, i) for i in range(network.num_classes)]
    whole = assemble([*ours, *(ClassPart.of(part, i) for i in range(len(names)))], like=network)
    rows = [replace(after, uncalibrated=raw.all) for after, raw in pairs]
    if network.form == "both":
        rows.append(joint.together(whole))
    how = f"{reference.name} with {network.num_classes} classes and {len(names)} new"
    written = write_network(whole, target, reference, name=name, how=how, force=force)
    counts = len(feeds[0][0]), len(feeds[1][0]) if old_images is not None else 0
    return Grown(written, names, counts, tuple(rows))


def _new_images(setting: Setting, draft: HierarchicalNetwork, data: str | Path) -> tuple[ImageSet, ImageSet]:
    """Images of the new classes to learn from, and held out."""
    try:
        return setting.images(data, draft, classes=list(range(draft.num_classes)))
    except HiergenError as error:
        if error.problem.startswith("holds no images"):
            error.hint = "--class names a folder of it that has images"
        raise


def _old_images(
    setting: Setting, data: str | Path, new: tuple[ImageSet, ImageSet], *, required: bool
) -> tuple[ImageSet, ImageSet] | None:
    """Images of the network's classes to learn from, and held out, as a training of the same share holds them out; of
    each class at most as many as of a new one in the mean."""
    try:
        pair = setting.images(data, setting.network, classes=PRESENT, single=True)
    except HiergenError as error:
        if required or not error.problem.endswith("is a class of the network"):
            raise
        return None
    first, second = (
        _some(old, math.ceil(len(some) / len(set(some.targets)))) for old, some in zip(pair, new, strict=True)
    )
    if not len(second):
        raise HiergenError("no old class has an image to hold out", place=str(data), expected="2 or more of one")
    return first, second


def _some(images: ImageSet, most: int) -> ImageSet:
    """Of each class so many images at most, drawn at random."""
    left, chosen = dict.fromkeys(images.targets, most), []
    for i in torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).tolist():
        if left[images.targets[i]]:
            left[images.targets[i]] -= 1
            chosen.append(i)
    return images.subset(sorted(chosen))


def _trained_forms(network: HierarchicalNetwork) -> tuple[Form, ...]:
    """The forms that were trained: branches of groups often are not, beside a generalist."""
    both: tuple[Form, ...] = ("generalist", "flat")
    branches = [form for form in both if network._modules.get(form) is not None]
    own = network.form in ("specialists", "both") or "specialists" in network.choice.values() or not branches
    return (*(("specialists",) if own else ()), *branches)


@torch.inference_mode()
def _likeliest(
    network: HierarchicalNetwork, feed: MapFeed, count: int, members: Sequence[int], form: Form
) -> list[int]:
    """For each new class the old one, of these, whose logit is the largest on its images in the mean."""
    sums = torch.zeros(count, network.num_classes, dtype=torch.double)
    for x, y in feed.once(128, 0, 1):
        likely = logits_of(network, x.to(network.head.weight.device), form).softmax(1)
        sums.index_add_(0, y, likely.cpu().double())
    allowed = torch.full((network.num_classes,), -1.0, dtype=torch.double)
    allowed[list(members)] = 0
    return (sums + allowed * sums.sum().clamp(min=1)).argmax(1).tolist()


class _Joint:
    """New classes beside the logits of the old ones, which do not change."""

    def __init__(
        self,
        setting: Setting,
        part: HierarchicalNetwork,
        forms: Sequence[Form],
        feeds: Sequence[MapFeed],
        held: Sequence[MapFeed],
    ) -> None:
        self.setting, self.part, self.forms = setting, part, forms
        old = setting.network.num_classes
        self.count = old
        self.pool, self.held = (
            Pool(some, [feed.targets + (0 if number else old) for number, feed in enumerate(some)], setting.device)
            for some in (feeds, held)
        )
        self.features: dict[Form, list[Tensor]] = {}  # of tails that stay: what all their rows read
        self.old: dict[Form, list[Tensor]] = {}
        for form in forms:
            self.old[form] = [self._of_old(pool, form) for pool in (self.pool, self.held)]

    @torch.no_grad()
    def _of_old(self, pool: Pool, form: Form) -> Tensor:
        """The old classes' logits."""
        network = self.setting.network
        with ProgressBar(self.setting.console, f"old logits, {form}") as report:
            if form == "specialists":
                return torch.cat([logits_of(network, x, form) for _, x in pool.in_order(report=report)])
            branch = generalist_of(network, form)
            features = torch.cat([row_features(network, x, form) for _, x in pool.in_order(report=report)])
        self.features.setdefault(form, []).append(features)
        return branch.answered(branch.head(features[:, None]))

    @torch.no_grad()
    def _new(self, form: Form, which: int) -> Tensor:
        """The new classes' logits of the images to learn from (0), or held out (1)."""
        if form != "specialists":
            logits: Tensor = self._head(form)(self.features[form][which][:, None])
            return logits
        pool = (self.pool, self.held)[which]
        return torch.cat([logits_of(self.part, x, form) for _, x in pool.in_order()])

    def _head(self, form: Form) -> ClassHeads:
        head: ClassHeads = self.part.head if form == "specialists" else generalist_of(self.part, form).head
        return head

    def solve(self) -> None:
        """Rows by ridge regression: is it this class, or another one of the new, or any old one?"""
        new = self.part.num_classes
        targets = torch.where(self.pool.targets < self.count, new, self.pool.targets - self.count)
        order = torch.randperm(len(self.pool), generator=torch.Generator().manual_seed(self.setting.recipe.seed))

        for form in self.forms:

            def read(rows: Tensor, form: Form = form) -> Tensor:
                if form in self.features:
                    return self.features[form][0][rows]
                features = row_features(self.part, self.pool.maps(rows), form)
                return torch.cat([features, features.mean(1, keepdim=True)], 1)

            rows, biases = ridge_rows(read, ((rows, targets[rows]) for rows in torch.split(order, 128)), new + 1)
            with torch.no_grad():
                self._head(form).weight.copy_(rows[:new])
                self._head(form).bias.copy_(biases[:new])

    def train(self, known: int) -> None:
        """The new branches and rows of the network's own branches by the recipe, those of branches for all classes,
        whose features stay, to the least cross-entropy."""
        for form in self.forms:
            if form != "specialists":
                self._fit_rows(form)
        if "specialists" not in self.forms:
            return
        part, recipe, old = self.part, self.setting.recipe, self.old["specialists"][0]

        def loss(rows: Tensor, logits: Tensor) -> Tensor:
            both = torch.cat([old[rows], logits], 1)
            return F.cross_entropy(both, self.pool.targets[rows], label_smoothing=recipe.loss.smoothing)

        with ProgressBar(self.setting.console, "new branches") as report:
            every = torch.arange(len(self.pool))
            fit(part, recipe, [*part.levels[known:], part.head], self.pool, lambda _: every, loss, report)

    def _fit_rows(self, form: Form) -> None:
        """Logistic regression beside the old logits; of a few penalties the one that is best on held-out images."""
        head, pools = self._head(form), (self.pool, self.held)
        features = self.features[form]
        start = head.weight.detach().clone(), head.bias.detach().clone()

        def loss(weight: Tensor, bias: Tensor, which: int) -> Tensor:
            logits = torch.cat([self.old[form][which], features[which] @ weight.T + bias], 1)
            return F.cross_entropy(logits, pools[which].targets)

        best, least = start, float(loss(*start, 1))
        for penalty in _PENALTIES:
            rows = [values.clone().requires_grad_() for values in start]
            optimizer = torch.optim.LBFGS(rows, max_iter=60, line_search_fn="strong_wolfe")

            def closure(rows: list[Tensor] = rows, penalty: float = penalty, optimizer: Any = optimizer) -> Tensor:
                optimizer.zero_grad()
                value = loss(rows[0], rows[1], 0) + penalty * (rows[0] - start[0]).square().sum()
                value.backward()  # type: ignore[no-untyped-call]
                return value

            optimizer.step(closure)  # type: ignore[no-untyped-call]
            with torch.no_grad():
                if (found := float(loss(rows[0], rows[1], 1))) < least:
                    best, least = (rows[0].detach(), rows[1].detach()), found
        with torch.no_grad():
            head.weight.copy_(best[0])
            head.bias.copy_(best[1])

    def calibrate(self) -> None:
        """One scale and one offset of the new logits, by the least cross-entropy of held-out images, old and new, where
        that recognises no fewer of them. Of new ones alone an offset with which most of them have a larger logit than
        of any old class."""
        for form in self.forms:
            old, new = self.old[form][1], self._new(form, 1)
            if len(self.held.feeds) > 1:
                scale, offset = _affine(old, new, self.held.targets)
                before, after = (torch.cat([old, some], 1).argmax(1) for some in (new, scale * new + offset))
                if (after == self.held.targets).sum() < (before == self.held.targets).sum():
                    scale, offset = 1.0, 0.0  # what was trained beside the old logits may need none
            else:
                lead = new.max(1).values - old.max(1).values
                least = float(lead.quantile(1 - FEW))
                scale, offset = 1.0, _MARGIN * max(abs(least), 1.0) - least
            head = self._head(form)
            with torch.no_grad():
                head.weight.mul_(scale)
                head.bias.mul_(scale).add_(offset)

    def shares(self) -> tuple[Shares, ...]:
        """Of the held-out images, for each form."""
        return tuple(self._shares(form) for form in self.forms)

    def _shares(self, form: Form) -> Shares:
        old = self.old[form][1]
        return self._counted(form, old, torch.cat([old, self._new(form, 1)], 1))

    @torch.no_grad()
    def together(self, whole: HierarchicalNetwork) -> Shares:
        """Of the form "both", which is more than its parts: `whole` is the network with the new classes."""
        answers = []
        for network in (self.setting.network, whole):
            network.to(self.setting.device)
            answers.append(torch.cat([logits_of(network, x, "both") for _, x in self.held.in_order()]))
            network.cpu()
        return replace(self._counted("both", *answers), uncalibrated=None)

    def _counted(self, form: Form, old: Tensor, every: Tensor) -> Shares:
        targets = self.held.targets
        right = every.argmax(1) == targets
        known = targets < self.count
        alone, among = (
            (float((old.argmax(1) == targets)[known].double().mean()), float(right[known].double().mean()))
            if known.any()
            else (None, None)
        )
        share = float(right.double().mean())
        return Shares(form, alone, among, float(right[~known].double().mean()), share, share)


_MARGIN = 1e-3  # or the image that sets the offset would be a tie
_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)  # of the squared change of rows


def _affine(old: Tensor, new: Tensor, targets: Tensor) -> tuple[float, float]:
    """Scale and offset of the new logits with the least cross-entropy beside the old ones."""
    values = torch.zeros(2, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([values], max_iter=100, line_search_fn="strong_wolfe")
    old, new, targets = old.cpu().double(), new.cpu().double(), targets.cpu()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(torch.cat([old, values[0].exp() * new + values[1]], 1), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    scale, offset = (float(value) for value in (values[0].detach().exp(), values[1].detach()))
    return (scale, offset) if math.isfinite(scale) and math.isfinite(offset) else (1.0, 0.0)
