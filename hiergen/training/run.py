"""`hiergen train` and `hiergen eval` as functions."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list
from torch import Tensor

from hiergen.console.progress import ProgressBar
from hiergen.console.terminal import as_json, notebook_console, say
from hiergen.data.augment import eval_transform
from hiergen.data.batches import ImageFeed, MapFeed
from hiergen.data.images import ImageSet
from hiergen.data.samples import Samples, default_workers
from hiergen.errors import HiergenError, unquoted
from hiergen.files import write_text
from hiergen.lookup.reference import CUTOUT_SOURCE
from hiergen.models.load import find_model, load_trained
from hiergen.models.weights import load_trunk
from hiergen.nn.network import HierarchicalNetwork
from hiergen.taxonomy.roots import Split
from hiergen.training.assembly import Job
from hiergen.training.decision import RULES
from hiergen.training.flatnetwork import FLAT, FlatNetwork
from hiergen.training.labelmetrics import LabelMetrics, evaluate_labels
from hiergen.training.loop import BEST, CHECKPOINT
from hiergen.training.metrics import Metrics
from hiergen.training.metrics_table import label_table
from hiergen.training.parallel import Parallel, peers
from hiergen.training.recipe import Recipe, load_recipe
from hiergen.training.rejecting import RejectionScore, score_rejection
from hiergen.training.runfolder import (
    CHOICE,
    METRICS,
    RECIPE,
    Request,
    begin,
    check_changes,
    check_folder,
    held,
    record,
    recorded,
)
from hiergen.training.training_module import Learner, predict

if TYPE_CHECKING:
    from rich.console import Console

    from hiergen.nn.generalist import Form


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, and the metrics of its best weights on the validation images."""

    folder: Path
    metrics: Metrics | LabelMetrics
    network: HierarchicalNetwork
    history: tuple[dict[str, float], ...]


def train(
    model: str | Path,
    data: str | Path,
    *,
    val: str | Path | None = None,
    recipe: str | Path | Recipe | None = None,
    settings: Iterable[str] = (),
    out: str | Path | None = None,
    force: bool = False,
    pretrained: bool | str | Path = False,
    console: Console | None = None,
    quiet: bool = False,
    **options: Any,
) -> Trained:
    """Train a network, in a new folder `out` (default: runs/MODEL-RECIPE).

    `model` is what `find_model` takes; `data` and `val` what `open_data` takes (without `val`: the validation part that
    the data has, else a share of the training images); `recipe` is "tails" with a `teacher` or what is `pretrained`
    (of a `flat` network "fine-tune"), else "quick"; `settings` are "key=value" over the recipe; `force` begins anew
    in a folder that holds a training. `pretrained` starts the trunk from timm's weights, fetched, or from a flat
    backbone's file (safetensors or a checkpoint, timm's names); branches then start from the backbone's next stages
    where their shapes allow, unless recipe or settings say how. `options` are the other fields of `Request`, which are
    the command's options; a `teacher`'s file is what `pretrained` is by default.
    Without `console` nothing is printed, but in a notebook. Raises HiergenError for everything that is wrong with them,
    before anything is written; and during training as `Training.run` does. A KeyboardInterrupt says how to go on.

    >>> done = train("generated/digits.py:N2HL", "digits", recipe="digits", settings=["epochs=1"])
    >>> done.metrics.images, done.folder.as_posix()
    (359, 'runs/N2HL-digits')
    """
    settings = (settings,) if isinstance(settings, str) else tuple(settings)
    if "trunk_weights" in options and options["trunk_weights"] is not None:  # the option's older name
        if pretrained:
            raise HiergenError("pretrained and trunk_weights are one option", hint="trunk_weights is its older name")
        pretrained = options["trunk_weights"]
    start = options.get("weights")
    if pretrained and start is not None and Path(start).is_dir():
        raise HiergenError("--weights FOLDER and --pretrained both say what the trunk is", expected="one of them")
    if not pretrained and options.get("teacher") is not None and options.get("weights") is None:
        pretrained = options["teacher"]
    if not isinstance(pretrained, bool):
        options["trunk_weights"] = pretrained
    said = recipe or "quick"
    if recipe is None:
        recipe = ("fine-tune" if options.get("flat") else "tails") if pretrained else "quick"
    chosen = load_recipe(recipe, settings)
    unsaid = bool(pretrained) and "branches" not in _said(said, settings)
    if pretrained:
        start = "scored" if chosen.trunk.cached else "backbone"
        given = ["trunk.pretrained=true"] * (pretrained is True) + [f"branches={start}"] * unsaid
        chosen = load_recipe(recipe, [*given, *settings])
    name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    _check_options("train", options)
    reference = name if isinstance(recipe, Recipe) else recipe
    request = Request.model_validate({"model": model, "data": data, "val": val, "recipe": reference, **options})
    wanted = None if out is None else Path(out)
    parallel = Parallel(chosen.precision, request.device)
    if parallel.main:
        check_folder(wanted, force=force)
    if chosen.flat_epochs and pretrained and not (request.teacher or request.weights or request.flat):
        teacher = _teacher(request, chosen, wanted, pretrained, force, console, quiet or not parallel.main)
        if teacher is not None:
            request = request.model_copy(update={"teacher": str(teacher), "trunk_weights": str(teacher)})
    job = Job(request, chosen, parallel, console or notebook_console(), quiet, lenient=unsaid)
    called = f"{job.model.name}-{'flat' if request.flat else name}"

    def place(hold: Callable[[Path], object]) -> Path:
        folder = begin(wanted, called, request, job.recipe, force=force, hold=hold)
        job.keep_source(folder)
        return folder

    return _run(job, place)


def _teacher(
    request: Request,
    recipe: Recipe,
    wanted: Path | None,
    pretrained: bool | str | Path,
    force: bool,
    console: Console | None,
    quiet: bool,
) -> Path | None:
    """The flat network, fine-tuned on the same maps, beside the folder that is wanted; None, with a word, where the
    backbone's tail cannot be had by itself, or the weights lack it."""
    network = find_model(request.model).cls()
    if not isinstance(pretrained, bool):
        load_trunk(network, pretrained)  # what has not even the trunk is said once
    try:
        flat = FlatNetwork(network)
        if not isinstance(pretrained, bool):
            flat.load_tail(pretrained)
    except HiergenError as error:
        say(None if quiet else console, f"no flat network is trained first: {error}", style="yellow")
        return None
    first = f"{recipe.flat_epochs} epoch{'s' * (recipe.flat_epochs > 1)} of the flat network"
    say(None if quiet else console, f"first {first}, then {recipe.epochs} of the network; time left is that of each")
    folder = None if wanted is None else wanted.with_name(f"{wanted.name}-flat")
    shared = ("seed", "hold_out", "batch_size", "precision", "trunk", "augment")
    update = {"epochs": recipe.flat_epochs, **{key: getattr(recipe, key) for key in shared}}
    given = request.model_dump(exclude={"model", "data", "val", "recipe", "flat", "teacher", "trunk_weights"})
    tuning = load_recipe("fine-tune").model_copy(update=update)
    options = {"out": folder, "force": force, "console": console, "quiet": quiet, **given}
    try:
        done = train(
            request.model, request.data, val=request.val, recipe=tuning, pretrained=pretrained, flat=True, **options
        )
    except (HiergenError, KeyboardInterrupt) as error:
        then = f"; then the same command with --teacher {shlex.quote(str(folder / FLAT))}" if folder else ""
        if isinstance(error, HiergenError):
            error.hint = f"{error.hint}{then}" if "--resume" in (error.hint or "") else error.hint
            raise
        raise KeyboardInterrupt(f"{error}{then}" if "--resume" in str(error) else str(error)) from None
    return done.folder / FLAT


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
    _check_options("resume", changes)
    changes = {key: value for key, value in changes.items() if value is not None}
    request, recipe = recorded(folder, tuple(settings) if not isinstance(settings, str) else (settings,), changes)
    going = (folder / CHECKPOINT).is_file()
    if going:
        check_changes(load_recipe(folder / RECIPE), recipe, folder)
        if given := [key for key in ("weights", "trunk_weights") if key in changes]:
            raise HiergenError(
                f"{given[0]} cannot change in a training that goes on",
                place=unquoted(folder),
                got=changes[given[0]],
            )
    parallel = Parallel(recipe.precision, request.device)
    model = None if request.copied is None else f"{folder / CUTOUT_SOURCE}:{request.copied}"
    checkpoint = folder / CHECKPOINT if going else None
    job = Job(request, recipe, parallel, console or notebook_console(), quiet, checkpoint, model=model)

    def place(hold: Callable[[Path], object]) -> Path:
        hold(folder)
        record(folder, request, recipe)
        if request.copied is None:
            job.keep_source(folder)
        return folder

    return _run(job, place)


def _said(recipe: str | Path | Recipe, settings: Iterable[str]) -> set[str]:
    """The keys that a recipe or settings name."""
    said = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, settings)
    return {*said.model_fields_set, *(setting.partition("=")[0].strip() for setting in settings)}


def _check_options(function: str, options: Mapping[str, Any]) -> None:
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
        training.log = job.log(folder)
        job.say(f"in {folder}: {job.recipe.epochs} epochs of {training.updates_per_epoch} updates")
        metrics = training.run(resume=job.checkpoint is not None)
        broken = parallel.united(feed.broken | validation.broken)
        chosen = training.choose()
        if chosen is not None:
            choice, metrics = chosen
        if chosen is not None and parallel.main:
            write_text(folder / CHOICE, as_json(choice.to_dict(), indent=2) + "\n")
            for line in choice.lines():
                job.say(line)
            if job.console is not None:
                job.console.print(choice.table())
        if job.recipe.reject is not None:
            job.say(training.reject(job.recipe.reject.kept))
        if parallel.main and isinstance(training.network, FlatNetwork) and isinstance(metrics, Metrics):
            training.network.write_flat(folder / FLAT)
            write_text(folder / METRICS, as_json(metrics.to_dict(), indent=2) + "\n")
            job.say(f"top-1 {metrics.top1:.1%} of {metrics.images:,} validation images; timm's names: {folder / FLAT}")
        elif parallel.main and isinstance(metrics, LabelMetrics):
            write_text(folder / METRICS, as_json(metrics.to_dict(), indent=2) + "\n")
            if job.console is not None:
                job.console.print(label_table(metrics))
            job.say(f"in {folder}: {BEST}, {METRICS}; cards and pictures are of images with one label")
        elif parallel.main and isinstance(metrics, Metrics):
            from hiergen.training.report import write_report

            write_report(
                folder,
                training.network,
                metrics,
                history=training.progress.history,
                recipe=job.recipe,
                request=job.request,
                data=job.facts(feed, validation, broken),
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
    """Metrics of a network on images, and what was left out.

    `places` are the images that `metrics.targets` and `metrics.predictions` are of, `probabilities` `(N,)` those of the
    predicted classes, `accepted` `(N,)` what the network's threshold says of them (None: it has none). Of several
    processes `places` is (): they have their parts of the images.
    """

    metrics: Metrics | LabelMetrics
    images: int
    broken: tuple[str, ...]
    rejection: RejectionScore | None = None
    places: tuple[str, ...] = ()
    probabilities: Tensor | None = None
    accepted: Tensor | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the metrics, and `rejection` where it was measured."""
        more = {} if self.rejection is None else {"rejection": self.rejection.to_dict()}
        return {**self.metrics.to_dict(), **more}


def evaluate(
    model: str | Path | HierarchicalNetwork,
    data: str,
    *,
    weights: str | Path | None = None,
    form: Form | None = None,
    classes: str | Sequence[str] | None = None,
    others: str | None = None,
    taxonomy: str | Path | None = None,
    split: Split = "validation",
    decision: str = "argmax",
    batch_size: int = 64,
    workers: int | None = None,
    precision: str = "float32",
    device: str | None = None,
    root: str | Path | None = None,
    skip_broken: bool = False,
    untrained: bool = False,
    out: str | Path | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Metrics of a trained network on labelled images, as `hiergen eval` prints them.

    `form` is what it answers with (default: what its weights say). `classes` are terms as `--classes` takes them, or
    "present": only these compete. `others` are images of other classes, as `data` is given: how well they are told
    apart. Distances are measured on the tree of `taxonomy` (default: the network's nesting). `out` is a folder, new or
    of an earlier evaluation, for what `write_evaluation` writes. Raises HiergenError as `load_trained`,
    `labelled_images` and `evaluate_network` do, and for a form, part, rule or precision that is not there.
    """
    from hiergen.data.sources import labelled_images, other_images
    from hiergen.training.evaluation_files import check_evaluation_folder, write_evaluation
    from hiergen.training.hierarchy import Hierarchy

    check_split(split)
    if out is not None:
        check_evaluation_folder(Path(out))
    for name, value, choices in (
        ("--decision", decision, tuple(RULES)),
        ("--precision", precision, ("float32", "bfloat16", "float16")),
    ):
        if value not in choices:
            raise HiergenError(f"{name} {value!r} is not known", expected=f"one of {', '.join(choices)}")
    network = load_trained(model, weights, untrained=untrained)
    if form is not None:
        network = copy.deepcopy(network) if network is model else network
        network.form = form
    images = labelled_images(network, data, classes, split=split, root=root, groups=classes is None)
    if out is not None and images.labels is not None and images.labels.several:
        raise HiergenError("-o (out) is of images with one label each", hint="--json prints the metrics of several")
    chosen = sorted(set(images.targets)) if classes else None
    done = evaluate_network(
        network,
        images,
        classes=chosen,
        others=None if others is None else other_images(network, others, chosen, split=split, root=root),
        hierarchy=Hierarchy.of_taxonomy(taxonomy, network.classes) if taxonomy is not None else None,
        decision=decision,
        batch_size=batch_size,
        workers=workers,
        precision=precision,
        device=device,
        skip_broken=skip_broken,
        console=console,
    )
    if out is not None and (missing := write_evaluation(Path(out), done)):
        say(console, missing, style="yellow")
    return done


def evaluate_network(
    network: HierarchicalNetwork,
    images: ImageSet,
    *,
    classes: Sequence[int] | None = None,
    others: ImageSet | None = None,
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

    With `others`, images of none of these classes, or where the network has a rejection: `rejection` too. `hierarchy`
    is what distances are measured on (default: the network's own nesting). Raises HiergenError for a broken image,
    unless `skip_broken`.
    """
    from hiergen.training import metrics as scores
    from hiergen.training.hierarchy import Hierarchy

    run: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "precision": precision, "device": device}
    run |= {"skip_broken": skip_broken, "console": console}
    logits, targets, broken = predicted(network, images, **run)
    strange: Tensor | None = None
    if others is not None:
        strange, _, more = predicted(network, others, **run)
        broken |= more
    if images.labels is not None and images.labels.several:
        if classes is not None or others is not None:
            raise HiergenError("--classes and --others are of images with one label each")
        labelled = evaluate_labels(logits, images.labels.table()[targets], network.classes, network.nesting.labels)
        return Evaluation(labelled, len(targets), tuple(sorted(broken)))
    tree = hierarchy if hierarchy is not None else Hierarchy.of(network)
    labels = list(network.nesting.labels)
    rejection = network.rejection
    every = map(images.place, range(len(images))) if Parallel(precision, device).world == 1 else ()
    places = [place for place in every if place not in broken]
    if classes is not None:
        rejection = None  # it is of all logits
        places = [place for place, target in zip(places, targets.tolist(), strict=False) if target in classes]
        logits, targets, tree = scores.restrict(logits, targets, tree, classes)
        labels = [labels[i] for i in classes]
        strange = None if strange is None else strange[:, list(classes)]
    metrics = scores.evaluate(logits, targets, tree, labels=labels, sets=images.labels, decision=decision)
    own = targets < len(tree)
    wanted = rejection is not None or strange is not None
    score = score_rejection(logits[own], targets[own], strange, rejection, bins=metrics.bins) if wanted else None
    return Evaluation(
        metrics,
        len(targets),
        tuple(sorted(broken)),
        score,
        tuple(place for place, known in zip(places, own.tolist(), strict=False) if known),
        logits[own].double().softmax(1).gather(1, metrics.predictions[:, None])[:, 0],
        None if rejection is None else rejection.accepts(logits[own]),
    )


def predicted(
    network: HierarchicalNetwork,
    images: ImageSet,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    precision: str = "float32",
    device: str | None = None,
    skip_broken: bool = False,
    console: Console | None = None,
) -> tuple[Tensor, Tensor, set[str]]:
    """Logits `(N, classes)` of images in their order, targets `(N,)`, and the images left out, as they are broken."""
    parallel = Parallel(precision, device)
    network.to(parallel.device)
    count = default_workers(images) if workers is None else workers
    feed = ImageFeed(Samples(images, eval_transform(network), seed=0), count, skip_broken)
    with ProgressBar(console if parallel.main else None, "images") as report:
        done = 0

        def shown(more: int) -> None:
            nonlocal done
            done += more
            report(done, len(images))

        logits, targets = predict(Learner(network, form=network.form).eval(), feed, batch_size, parallel, shown)
    return logits, targets, parallel.united(feed.broken)


def check_split(split: str) -> None:
    """Raises HiergenError for a part of data that is none."""
    if split not in ("validation", "train"):
        raise HiergenError(f"--split {split!r} is not known", expected="one of validation, train")
