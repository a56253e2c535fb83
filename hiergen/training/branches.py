"""What training single branches beside a network that stays works with: maps of images, logits, the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hiergen.console.progress import ProgressBar
from hiergen.console.terminal import say
from hiergen.data.augment import eval_transform
from hiergen.data.batches import MapFeed, mirror, mirrors, window
from hiergen.data.features import cached_features
from hiergen.data.imageclasses import Wanted
from hiergen.data.images import ImageSet, check_apart
from hiergen.data.samples import default_workers, seed_of
from hiergen.data.sources import has_validation, open_data
from hiergen.errors import HiergenError, listed, unquoted
from hiergen.models.graft import UNFITTED
from hiergen.nn.generalist import Form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import descend, form_logits, generalist_of
from hiergen.training.loop import normed
from hiergen.training.optim import make_optimizer, make_schedule
from hiergen.training.parallel import Parallel
from hiergen.training.recipe import Recipe, load_recipe
from hiergen.training.training_module import Learner, seed_all

if TYPE_CHECKING:
    from rich.console import Console


_USED = (
    *("epochs", "batch_size", "seed", "hold_out", "distillation", "optimizer", "schedule", "loss.smoothing"),
    *("trunk.flip_maps", "trunk.crop_maps", "trunk.cache_dtype"),
)


def branch_recipe(recipe: str | Path | Recipe, settings: Sequence[str]) -> Recipe:
    """A recipe for single branches on a frozen trunk. Raises HiergenError as `load_recipe` does, and for a setting that
    means nothing there."""
    chosen = load_recipe(recipe, settings)
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if not any(key == used or key.startswith(f"{used}.") for used in _USED):
            raise HiergenError(
                "means nothing where single branches are trained",
                place=f"--set {unquoted(setting)}",
                expected=listed(_USED, len(_USED)),
            )
    return chosen


@dataclass
class Setting:
    """What both jobs work with."""

    network: HierarchicalNetwork
    recipe: Recipe
    console: Console | None
    cache: Path | None
    workers: int | None
    skip_broken: bool
    device: torch.device
    noted: set[str] = field(default_factory=set)  # of images; old and new ones may be alike

    def say(self, text: str, *, style: str | None = None) -> None:
        say(self.console, text, style=style)

    def say_unfitted(self) -> None:
        """That a threshold of the network's is not the new one's."""
        if self.network.rejection is not None:
            self.say(UNFITTED, style="yellow")

    def images(
        self,
        data: str | Path,
        network: HierarchicalNetwork,
        *,
        classes: Wanted,
        val: str | Path | None = None,
        single: bool = False,
    ) -> tuple[ImageSet, ImageSet]:
        """Images to learn from, and held out: of `val`, or of the data's validation part, as in a training, else a
        share of each class's, with `single` none of a class with one image. Raises HiergenError as `open_data` does,
        and for an image that is in both."""
        images = open_data(data, network, classes=classes)
        if val is None and not has_validation(data):
            images, held = images.split(self.recipe.hold_out, single=single)
        else:
            held = open_data(data if val is None else val, network, split="validation", classes=classes)
        check_apart(images, held)
        for text in (images.note, held.note):
            if text and text not in self.noted:
                self.say(text, style="yellow")
            self.noted.add(text)
        return images, held

    def feed(self, images: ImageSet, what: str) -> MapFeed:
        """The trunk's maps of images, as they are."""
        workers = default_workers(images) if self.workers is None else self.workers
        with ProgressBar(self.console, f"features of {what} images") as report, _cache_hints():
            features = cached_features(
                self.network,
                images,
                eval_transform(self.network),
                folder=self.cache,
                dtype=self.recipe.trunk.cache_dtype,
                workers=workers,
                skip_broken=self.skip_broken,
                progress=report,
                note=lambda text: self.say(text, style="yellow"),
            )
        return MapFeed(features)


@contextmanager
def _cache_hints() -> Iterator[None]:
    """Errors of the cache that speak of options which training single branches has not."""
    try:
        yield
    except HiergenError as error:
        if "--cache-limit" in (error.hint or ""):
            error.hint = "another --cache folder"
        raise


def device_for(name: str | None) -> torch.device:
    """The device to train on: this one, or a GPU where there is one. Raises HiergenError as `Parallel` does, and in one
    of several processes, which would all do the same."""
    parallel = Parallel("float32", name)
    if parallel.world > 1:
        raise HiergenError("single branches are trained by one process", got=f"{parallel.world}")
    return parallel.device


def logits_of(network: HierarchicalNetwork, maps: Tensor, form: Form) -> Tensor:
    """Of all classes, in a form, on the trunk's maps."""
    if form == "specialists":
        return Learner(network, form=form)(maps, maps=True)  # type: ignore[no-any-return]
    return form_logits(network, maps, form=form)


def row_features(network: HierarchicalNetwork, maps: Tensor, form: Form) -> Tensor:
    """What the rows of a form read: `(B, classes, C)`, or `(B, C)` where all read the same."""
    if form != "specialists":
        pooled: Tensor = generalist_of(network, form).tail(maps, pool=True)
        return pooled[:, 0]
    pooled = descend(network, maps)
    return pooled if network.head.gather is None else network.head.gather(pooled)


class Pool:
    """Images of several feeds as one, on a device; `targets` count the old classes first."""

    def __init__(self, feeds: Sequence[MapFeed], targets: Sequence[Tensor], device: torch.device) -> None:
        self.feeds, self.targets, self.device = feeds, torch.cat(list(targets)).to(device), device
        self._starts = torch.tensor([0, *(len(feed) for feed in feeds)]).cumsum(0)

    def __len__(self) -> int:
        return len(self.targets)

    def maps(self, rows: Tensor) -> Tensor:
        """Of these images, `(B, C, H, W)`."""
        rows = rows.cpu()
        found: list[Tensor] = []
        order: list[Tensor] = []
        for start, feed in zip(self._starts[:-1].tolist(), self.feeds, strict=True):
            mine = ((rows >= start) & (rows < start + len(feed))).nonzero()[:, 0]
            if len(mine):
                found.append(feed.maps_of(rows[mine] - start))
                order.append(mine)
        return torch.cat(found)[torch.cat(order).argsort()].to(self.device)

    def epoch(self, rows: Tensor, size: int, recipe: Recipe, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """These images in random order, mirrored and cropped by the recipe: rows and maps of each whole batch."""
        trunk, seed = recipe.trunk, recipe.seed
        mirrored = mirrors(len(self), trunk.flip_maps, seed, epoch)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed_of(seed, epoch)))
        for number in range(len(rows) // size):
            some = rows[order[number * size : (number + 1) * size]]
            x = self.maps(some)
            x = x if mirrored is None else mirror(x, mirrored[some].to(self.device))
            yield some.to(self.device), window(x, trunk.crop_maps, seed, epoch, number)

    def in_order(
        self, size: int = 128, report: Callable[[int, int], None] = lambda *_: None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """All images: rows and maps."""
        for rows in torch.split(torch.arange(len(self), device=self.device), size):
            yield rows, self.maps(rows)
            report(int(rows[-1]) + 1, len(self))


def fit(
    part: HierarchicalNetwork,
    recipe: Recipe,
    trained: Sequence[nn.Module],
    pool: Pool,
    draw: Callable[[int], Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    progress: Callable[[int, int], None],
) -> None:
    """Train some modules of a network's own branches by a recipe's epochs, optimiser and schedule.

    `draw(epoch)` gives the pool's images of an epoch, always as many; `loss(rows, logits)` is made small. Everything
    else stays as it is, statistics too.
    """
    part.requires_grad_(False).eval()
    for module in trained:
        module.requires_grad_(True).train()
    images = len(draw(0))
    size = min(recipe.batch_size, images)
    count = images // size
    optimizer = make_optimizer(part, recipe)
    schedule = make_schedule(optimizer, recipe, count)
    step = 0
    for epoch in range(recipe.epochs):
        for rows, maps in pool.epoch(draw(epoch), size, recipe, epoch):
            schedule.step_update(step)
            seed_all(seed_of(recipe.seed, step, 5))
            with normed(size):
                logits = part.head(descend(part, maps))
            loss(rows, logits).backward()  # type: ignore[no-untyped-call]
            if recipe.optimizer.clip_grad is not None:
                nn.utils.clip_grad_norm_(part.parameters(), recipe.optimizer.clip_grad)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            progress(step, recipe.epochs * count)
    part.eval()
