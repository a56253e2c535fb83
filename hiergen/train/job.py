"""`hiergen train` and `hiergen eval` as functions."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list

from hiergen.errors import HiergenError, quoted
from hiergen.images import ImageSet
from hiergen.nn.network import HierarchicalNetwork
from hiergen.train.assembly import Job
from hiergen.train.augment import eval_transform
from hiergen.train.bar import Bar
from hiergen.train.feeds import ImageFeed, MapFeed
from hiergen.train.learner import Learner
from hiergen.train.loop import CHECKPOINT
from hiergen.train.metrics import Metrics
from hiergen.train.parallel import Parallel, peers
from hiergen.train.predict import predict
from hiergen.train.recipe import Recipe
from hiergen.train.recipefile import load_recipe
from hiergen.train.runfolder import RECIPE, Request, begin, check_changes, check_folder, held, record, recorded
from hiergen.train.samples import Samples, default_workers

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
    the data has, else a share of the training images); `settings` are "key=value" over the recipe; `force` begins anew
    in a folder that holds a training. `options` are the other fields of `Request`, which are the command's options.
    Without `console` nothing is printed. Raises HiergenError for everything that is wrong with them, before anything is
    written; and during training as `Training.run` does. A KeyboardInterrupt says how to go on.

    >>> done = train("generated/digits.py:N2HL", "digits", recipe="digits")
    >>> done.metrics.top1, done.folder / "best.safetensors"
    """
    chosen = load_recipe(recipe, settings)
    name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    _known("train", options)
    reference = name if isinstance(recipe, Recipe) else recipe
    request = Request.model_validate({"model": model, "data": data, "val": val, "recipe": reference, **options})
    wanted = None if out is None else Path(out)
    parallel = Parallel(chosen.precision, request.device)
    if parallel.main:
        check_folder(wanted, force=force)
    job = Job(request, chosen, parallel, console, quiet)
    called = f"{job.found.name}-{name}"
    return _run(job, lambda hold: begin(wanted, called, request, chosen, force=force, hold=hold))


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
    here on, `changes` the request (`data`, `model`, … that lie elsewhere now); both are recorded. Raises HiergenError
    as `train` does, and for changes that the checkpoint does not go with; then the folder stays as it is.
    """
    folder = Path(folder)
    _known("resume", changes)
    changes = {key: value for key, value in changes.items() if value is not None}
    request, recipe = recorded(folder, tuple(settings) if not isinstance(settings, str) else (settings,), changes)
    going = (folder / CHECKPOINT).is_file()
    if going:
        check_changes(load_recipe(folder / RECIPE), recipe, folder)
        if given := [key for key in ("weights", "trunk_weights") if key in changes]:
            raise HiergenError(
                f"{given[0]} cannot change in a training that goes on",
                place=quoted(folder)[1:-1],
                got=changes[given[0]],
            )
    parallel = Parallel(recipe.precision, request.device)
    job = Job(request, recipe, parallel, console, quiet, folder / CHECKPOINT if going else None)

    def place(hold: Callable[[Path], object]) -> Path:
        hold(folder)
        record(folder, request, recipe)
        return folder

    return _run(job, place)


def _known(function: str, options: Mapping[str, Any]) -> None:
    unknown = sorted(set(options) - set(Request.model_fields))
    if unknown:
        raise TypeError(f"{function}() got unexpected arguments: {', '.join(unknown)}")


def _run(job: Job, place: Callable[[Callable[[Path], object]], Path]) -> Trained:
    """`place` makes the folder, on the main process, when all that can be wrong before has been looked at, and calls
    what it is given as soon as nobody else may be in it."""
    with ExitStack() as stack:
        return _trained(job, lambda: place(lambda folder: stack.enter_context(held(folder))))


def _trained(job: Job, place: Callable[[], Path]) -> Trained:
    parallel = job.parallel
    folder: Path | None = None
    try:
        training, feed, validation = job.training()
        made: list[Any] = [place() if parallel.main else None]
        if parallel.world > 1:
            with peers():
                broadcast_object_list(made)
        folder = training.folder = Path(made[0])
        training.watch = job.watch(folder)
        job.say(f"in {folder}: {job.recipe.epochs} epochs of {training.updates_per_epoch} updates")
        metrics = training.run(resume=job.checkpoint is not None)
        if parallel.main:
            from hiergen.train.report import write_report

            write_report(
                folder,
                training.network,
                metrics,
                history=training.progress.history,
                recipe=job.recipe,
                request=job.request,
                data=job.facts(feed, validation),
                console=job.console,
            )
        parallel.wait()
    except KeyboardInterrupt:
        before = "interrupted before the training began: nothing is written; the same command starts again"
        after = (
            f"interrupted; what was saved last is whole; go on with: hiergen train --resume {shlex.quote(str(folder))}"
        )
        raise KeyboardInterrupt(before if folder is None else after) from None
    for kept in (feed, validation):
        if isinstance(kept, MapFeed):
            kept.features.close()
    return Trained(folder, metrics, training.network.eval(), tuple(training.progress.history))


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
    with Bar(console if parallel.main else None, "images") as report:
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
