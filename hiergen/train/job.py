"""`hiergen train` and `hiergen eval` as functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list

from hiergen.errors import listed
from hiergen.images import ImageSet
from hiergen.models import ModelRef, find_model
from hiergen.nn.network import HierarchicalNetwork
from hiergen.train.augment import describe, eval_transform, train_transform
from hiergen.train.data import has_validation, open_data
from hiergen.train.features import FeatureSet, cached_features
from hiergen.train.feeds import Feed, ImageFeed, MapFeed
from hiergen.train.initial import InitReport, init_branches
from hiergen.train.learner import Learner, seed_all
from hiergen.train.loop import CHECKPOINT, Training, predict
from hiergen.train.metrics import Metrics
from hiergen.train.parallel import Parallel
from hiergen.train.recipe import Recipe
from hiergen.train.recipefile import dump_recipe, load_recipe
from hiergen.train.runfolder import RECIPE, Request, begin, new_folder, recorded
from hiergen.train.samples import Samples, default_workers, seed_of
from hiergen.train.trunkweights import flat_backbone, load_trunk
from hiergen.train.watch import Watch

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, and the metrics of its best weights on the validation images."""

    folder: Path
    metrics: Metrics
    network: HierarchicalNetwork
    history: tuple[dict[str, float], ...]


def train(
    model: str | Path,
    data: str | Path,
    *,
    val: str | Path | None = None,
    recipe: str | Path | Recipe = "quick",
    settings: Iterable[str] = (),
    out: str | Path | None = None,
    force: bool = False,
    console: Console | None = None,
    quiet: bool = False,
    **options: Any,
) -> Trained:
    """Train a network, in a new folder `out` (default: runs/MODEL-RECIPE).

    `model` is what `find_model` takes; `data` and `val` what `open_data` takes (without `val`: the validation part that
    the data has, else a share of the training images); `settings` are "key=value" over the recipe. `options` are the
    other fields of `Request`. Raises HiergenError for everything that is wrong with them, before anything is written;
    and during training as `Training.run` does.

    >>> done = train("generated/digits.py:N2HL", "digits", recipe="digits")
    >>> done.metrics.top1, done.folder / "best.safetensors"
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, settings)
    name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    unknown = sorted(set(options) - set(Request.model_fields))
    if unknown:
        raise TypeError(f"train() got unexpected arguments: {', '.join(unknown)}")
    request = Request(model=str(model), data=str(data), val=None if val is None else str(val), recipe=name, **options)
    parallel = Parallel(chosen.precision, request.device)
    job = _Job(request, chosen, parallel, console, quiet)
    job.prepare()
    folder: list[Any] = [None]
    if parallel.main:
        folder = [new_folder(None if out is None else Path(out), f"{job.found.name}-{name}", force=force)]
        begin(folder[0], request, chosen)
    if parallel.world > 1:
        broadcast_object_list(folder)
    return job.run(folder[0], resume=False)


def resume(
    folder: str | Path,
    *,
    settings: Iterable[str] = (),
    console: Console | None = None,
    quiet: bool = False,
    **changes: Any,
) -> Trained:
    """Go on with the training in `folder`, from its last checkpoint, or from the start where there is none.

    The same machine and seed give the same weights as a training without a break. `settings` change the recipe from
    here on, `changes` the request (`data`, `model`, … that lie elsewhere now).
    """
    folder = Path(folder)
    settings = tuple(settings)
    request, recipe = recorded(folder, settings, {k: v for k, v in changes.items() if v is not None})
    parallel = Parallel(recipe.precision, request.device)
    job = _Job(request, recipe, parallel, console, quiet)
    job.prepare()
    if settings and parallel.main:
        from hiergen.files import write_text

        write_text(folder / RECIPE, dump_recipe(recipe))
    return job.run(folder, resume=(folder / CHECKPOINT).is_file())


class _Job:
    """From a request to a `Training`."""

    def __init__(
        self, request: Request, recipe: Recipe, parallel: Parallel, console: Console | None, quiet: bool
    ) -> None:
        self.request, self.recipe, self.parallel, self.quiet = request, recipe, parallel, quiet
        self.console = console
        self.found: ModelRef = find_model(request.model)

    def prepare(self) -> None:
        """The network and the images; nothing is written."""
        seed_all(seed_of(self.recipe.seed, 0))
        self.network = self._network()
        self.images, self.validation_images, self.where = self._images()
        self.initial = self._initial()

    def run(self, folder: Path, *, resume: bool) -> Trained:
        recipe, parallel = self.recipe, self.parallel
        self.network.to(parallel.device)
        feed, validation = self._feeds()
        watch = self._watch(folder)
        training = Training(
            self.network,
            recipe,
            feed,
            validation,
            folder,
            parallel=parallel,
            watch=watch,
            facts={"name": self.found.name, "recipe": self.request.recipe},
        )
        self._say_what(feed, validation, training, folder)
        metrics = training.run(resume=resume)
        if parallel.main:
            from hiergen.train.report import write_report

            write_report(
                folder,
                training.network,
                metrics,
                history=training.progress.history,
                recipe=recipe,
                request=self.request,
                data=self.facts(feed, validation),
                console=None if self.quiet else self.console,
            )
        parallel.wait()
        return Trained(folder, metrics, training.network.eval(), tuple(training.progress.history))

    def facts(self, feed: Feed, validation: Feed) -> dict[str, Any]:
        """What a model card says about the data."""
        return {
            "training": self.request.data,
            "validation": self.where,
            "training_images": len(feed),
            "validation_images": len(validation),
            "broken": sorted(feed.broken | validation.broken),
            "left_out": sorted({*self.images.left_out, *self.validation_images.left_out}),
            "fingerprint": self.images.fingerprint(),
        }

    def _network(self) -> HierarchicalNetwork:
        from hiergen.weights import load_weights

        request = self.request
        network = self.found.cls(pretrained=self.recipe.trunk.pretrained and request.trunk_weights is None)
        start = request.weights or self.found.weights
        if start is not None:
            load_weights(network, start)
        if request.trunk_weights is not None:
            load_trunk(network, request.trunk_weights)
        if self.recipe.trunk.mode == "frozen" and not (start or request.trunk_weights or self.recipe.trunk.pretrained):
            self._say(
                "the trunk is frozen at random weights: --trunk-weights FILE or --set trunk.pretrained=true gives it "
                "trained ones",
                style="yellow",
            )
        return network

    def _images(self) -> tuple[ImageSet, ImageSet, str]:
        request, network = self.request, self.network
        options: dict[str, Any] = {"root": request.root}
        if request.only_known:
            options["classes"] = list(range(network.num_classes))
        images = open_data(request.data, network, split="train", **options)
        if request.val is not None:
            return images, open_data(request.val, network, split="validation", **options), request.val
        if has_validation(request.data, root=request.root):
            held = open_data(request.data, network, split="validation", **options)
            return images, held, f"{request.data}, its validation part"
        share = self.recipe.hold_out
        images, held = images.split(share, seed=self.recipe.seed)
        return images, held, f"{share:.0%} of {request.data}, held out of training"

    def _initial(self) -> InitReport | None:
        """Branches from the backbone, in a network that has no weights of its own yet."""
        request = self.request
        if self.recipe.branches == "random" or request.weights or self.found.weights:
            return None
        model = flat_backbone(self.network, request.trunk_weights) if request.trunk_weights else None
        return init_branches(self.network, "backbone", pretrained_model=model, seed=self.recipe.seed)

    def _feeds(self) -> tuple[Feed, Feed]:
        recipe, request, network = self.recipe, self.request, self.network
        workers = default_workers(self.images) if request.workers is None else request.workers
        plain = eval_transform(network)
        if not recipe.trunk.cached:
            augmented = train_transform(network, recipe.augment)
            training = Samples(self.images, augmented, seed=recipe.seed)
            held = Samples(self.validation_images, plain, seed=recipe.seed)
            return (
                ImageFeed(training, workers, request.skip_broken),
                ImageFeed(held, workers, request.skip_broken),
            )
        views = train_transform(network, recipe.augment)
        features = self._features(self.images, views, workers, views=recipe.trunk.views, what="training")
        held_features = self._features(self.validation_images, plain, workers, views=1, what="validation")
        return MapFeed(features, recipe.seed, recipe.trunk.flip_maps), MapFeed(held_features)

    def _features(
        self, images: ImageSet, transform: Callable[..., Any], workers: int, *, views: int, what: str
    ) -> FeatureSet:
        request, recipe, parallel = self.request, self.recipe, self.parallel
        # the whole image as in evaluation needs no seed: one cache serves all
        seed = 0 if describe(transform) == describe(eval_transform(self.network)) else recipe.seed
        with _bar(self.console if parallel.main and not self.quiet else None, f"features of {what} images") as report:
            return cached_features(
                self.network,
                images,
                transform,
                views=views,
                seed=seed,
                folder=None if request.cache is None else Path(request.cache),
                limit=request.cache_limit,
                dtype=recipe.trunk.cache_dtype,
                workers=workers,
                skip_broken=request.skip_broken,
                progress=report,
                share=(parallel.rank, parallel.world),
            )

    def _watch(self, folder: Path) -> Watch | None:
        if not self.parallel.main or self.console is None:
            return None
        return Watch(folder, self.console, epochs=self.recipe.epochs, quiet=self.quiet)

    def _say_what(self, feed: Feed, validation: Feed, training: Training, folder: Path) -> None:
        network, recipe, parallel = self.network, self.recipe, self.parallel
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        places = f"{parallel.world} processes" if parallel.world > 1 else str(parallel.device)
        trunk = f"{network.trunk.backbone} to {network.trunk.until}, {recipe.trunk.mode}"
        self._say(f"{self.found.name}: {trained:,} trained params; trunk {trunk}; {places}, {parallel.precision}")
        self._say(
            f"data: {len(feed):,} training images of {self.request.data}, {len(validation):,} validation images "
            f"({self.where}); {network.num_classes} classes"
        )
        if training.batch != recipe.batch_size:
            self._say(f"fewer images than batch_size {recipe.batch_size}: all of them are one batch", style="yellow")
        for line in self.initial.lines() if self.initial is not None else ():
            self._say(line)
        for name, images in (("training", self.images), ("validation", self.validation_images)):
            if images.left_out:
                self._say(f"left out of the {name} images: folders {listed(images.left_out)}", style="yellow")
            if images.note:
                self._say(f"{name} images: {images.note}", style="yellow")
        self._say(f"in {folder}: {recipe.epochs} epochs of {training.updates_per_epoch} updates")

    def _say(self, text: str, *, style: str | None = None) -> None:
        if self.console is not None and self.parallel.main and not self.quiet:
            self.console.print(text, markup=False, soft_wrap=True, style=style)


def _bar(console: Console | None, what: str) -> Any:
    """A progress bar as a callable (done, total), in a with block."""
    from hiergen.train.bar import Bar

    return Bar(console, what)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a network on images, and what was left out."""

    metrics: Metrics
    images: int
    broken: tuple[str, ...]


def evaluate_network(
    network: HierarchicalNetwork,
    images: ImageSet,
    *,
    classes: Sequence[int] | None = None,
    hierarchy: Any = None,
    decision: str = "argmax",
    batch_size: int = 64,
    workers: int | None = None,
    precision: str = "float32",
    device: str | None = None,
    skip_broken: bool = False,
    console: Console | None = None,
) -> Evaluation:
    """Metrics of a network on labelled images; with `classes` (indices of logits), only these compete.

    `hierarchy` is what distances are measured on (default: the network's own nesting). Raises HiergenError for a broken
    image, unless `skip_broken`.
    """
    from hiergen.train.hierarchy import Hierarchy
    from hiergen.train.metrics import evaluate, restrict

    parallel = Parallel(precision, device)
    network.to(parallel.device)
    count = default_workers(images) if workers is None else workers
    feed = ImageFeed(Samples(images, eval_transform(network), seed=0), count, skip_broken)
    with _bar(console if parallel.main else None, "images") as report:
        done = 0

        def shown(more: int) -> None:
            nonlocal done
            done += more
            report(done, len(images))

        logits, targets = predict(Learner(network).eval(), feed, batch_size, parallel, shown)
    tree = hierarchy if hierarchy is not None else Hierarchy.of(network)
    labels = list(network.nest.labels)
    if classes is not None:
        logits, targets, tree = restrict(logits, targets, tree, classes)
        labels = [labels[i] for i in classes]
    found = evaluate(logits, targets, tree, labels=labels, decision=decision)
    return Evaluation(found, len(targets), tuple(sorted(feed.broken)))
