"""The commands `hiergen train` and `hiergen eval`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from hiergen.cli.app import (
    BATCH_SIZE,
    DATA_FORMS,
    MODEL_FORMS,
    BatchSize,
    Data,
    Device,
    Interrupted,
    Json,
    Model,
    Untrained,
    Weights,
    Workers,
    app,
    console,
    one_process,
)
from hiergen.console.terminal import as_json as json_text
from hiergen.console.terminal import say
from hiergen.errors import HiergenError, listed, unquoted

if TYPE_CHECKING:
    from hiergen.nn.generalist import Form
    from hiergen.taxonomy.roots import Split

_DIGITS = "digits:N2HL"
_GIGA = 10**9
_TIMMS = "\0"  # what nobody can type


class _Train(TyperCommand):
    """`--pretrained` takes a value or none, which typer has no option for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        for at, word in enumerate(args[:end]):
            if word == "--pretrained" and (at + 1 >= end or args[at + 1].startswith("-")):
                args[at] = f"--pretrained={_TIMMS}"
        return super().parse_args(ctx, args)


@app.command(cls=_Train)
def train(
    model: Annotated[
        str | None,
        typer.Argument(help=f"{MODEL_FORMS} (default: {_DIGITS})."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help=DATA_FORMS),
    ] = None,
    val: Annotated[str | None, typer.Option(help="Validation images, likewise (default: a share of --data).")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name, or a .yaml file; --recipes lists them.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A recipe's value, such as optimizer.lr=0.01; repeatable.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="--set epochs.", min=1)] = None,
    batch_size: BatchSize = None,
    lr: Annotated[float | None, typer.Option(help="--set optimizer.lr.")] = None,
    seed: Annotated[int | None, typer.Option(help="--set seed.", min=0)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new folder (default: runs/MODEL-RECIPE).")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the training in this folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin anew in a folder that holds a training.")] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Start from these weights of the network; from a FOLDER of another network: from what has the same "
            "names there."
        ),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE]",
            help="Start from the backbone's weights: timm's, fetched, or a FILE's (safetensors, .pth; timm's names).",
        ),
    ] = None,
    flat: Annotated[
        bool,
        typer.Option("--flat", help="Train the flat network behind the trunk: a baseline, and a teacher."),
    ] = False,
    teacher: Annotated[
        Path | None, typer.Option(help="Learn from this flat network's logits too: a file that --flat wrote.")
    ] = None,
    trunk_weights: Annotated[Path | None, typer.Option(hidden=True, help="--pretrained FILE.")] = None,
    only_known: Annotated[
        bool, typer.Option("--only-known", help="Leave out folders that are no class of the network.")
    ] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out broken images, and count them.")
    ] = False,
    root: Annotated[Path | None, typer.Option(help="Where torch/NAME data sets lie.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for the features of a frozen trunk.")] = None,
    cache_limit: Annotated[
        float | None, typer.Option(help="Largest size of that folder, GB (default: 20).", min=0)
    ] = None,
    workers: Workers = None,
    device: Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    recipes: Annotated[bool, typer.Option("--recipes", help="List the recipes and stop.")] = False,
) -> None:
    """Train a network on labelled images; without arguments, on 1,797 real handwritten digits."""
    if recipes:
        _list_recipes()
        return
    short = {"epochs": epochs, "batch_size": batch_size, "optimizer.lr": lr, "seed": seed}
    settings = [*(settings or ()), *(f"{key}={value}" for key, value in short.items() if value is not None)]
    given = {
        "weights": weights,
        "trunk_weights": trunk_weights,
        "teacher": teacher,
        "flat": flat or None,
        "pretrained": None if pretrained is None else _backbone_weights(pretrained),
        "root": root,
        "cache": cache,
        "cache_limit": None if cache_limit is None else round(cache_limit * _GIGA),
        "workers": workers,
        "device": device,
        "only_known": only_known or None,
        "skip_broken": skip_broken or None,
    }
    options = {key: value for key, value in given.items() if value is not None}
    if resume is not None:
        for option, value in (("--recipe", recipe), ("--out", out), ("--force", force)):
            if value:
                hint = "--set changes single values" if option == "--recipe" else None
                raise HiergenError(f"{option} has no meaning in a training that goes on", hint=hint)
        start = options.pop("pretrained", None)
        if start is True:
            raise HiergenError("--pretrained has no meaning in a training that goes on")
        again = {"model": model, "data": data, "val": val, "trunk_weights": start, **options}
        _run(lambda job: job.resume(resume, settings=settings, console=console(), quiet=quiet, **again))
        return
    if model is None and data is None:
        model, data, recipe = _DIGITS, "digits", recipe or "digits"
    if model is None or data is None:
        missing, example = ("model", _DIGITS) if model is None else ("images", "--data FOLDER")
        raise HiergenError(f"no {missing} to train {'' if model is None else 'on'}".rstrip(), expected=example)
    _run(
        lambda job: job.train(
            model,
            data,
            val=val,
            recipe=recipe,
            settings=settings,
            out=out,
            force=force,
            console=console(),
            quiet=quiet,
            **options,
        )
    )


def _backbone_weights(typed: str) -> bool | Path:
    """Of `--pretrained`: the file named, or True for timm's."""
    path = Path(typed)
    if typed != _TIMMS and not path.exists():
        raise HiergenError(
            "no such file",
            place=unquoted(path),
            hint="--pretrained takes timm's weights where no word follows it, or another option does",
        )
    return typed == _TIMMS or path


def _run(what: Callable[[Any], object]) -> None:
    """Call it with the module that trains; what interrupts it is one sentence and its own exit code."""
    from hiergen.training.stopping import Stopping

    try:
        with Stopping() as stopping:  # torch and numpy do not take it well in the midst of their import
            from hiergen.training import run as job
            from hiergen.training.loop import StoppedError
        if stopping.requested:
            raise KeyboardInterrupt
        try:
            what(job)
        except StoppedError as stop:
            sentence = str(stop)
        else:
            return
    except KeyboardInterrupt as stop:
        sentence = str(stop) or "interrupted before the training began: nothing is written"
    raise Interrupted(sentence)


def _list_recipes() -> None:
    from rich.table import Table

    from hiergen.training.recipe import load_recipe, recipe_names

    table = Table("recipe", "epochs", "batch", "optimizer", "trunk", "what for", box=None, pad_edge=False)
    for name in recipe_names():
        shown = load_recipe(name)
        optimizer = f"{shown.optimizer.name}, lr {shown.optimizer.lr:g}"
        table.add_row(name, str(shown.epochs), str(shown.batch_size), optimizer, shown.trunk.mode, shown.note)
    console().print(table)


@app.command("eval")
def evaluate(
    model: Model,
    data: Data,
    weights: Weights = None,
    form: Annotated[
        str | None,
        typer.Option(
            help="What it answers with: specialists, generalist, both or flat (default: what its weights say).",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these classes compete (ids, names, groups, …; repeatable); 'present': those with images."
        ),
    ] = None,
    others: Annotated[
        str | None, typer.Option(help="Images of other classes, likewise: how well they are told from own ones.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which part of the data: validation or train.")] = "validation",
    taxonomy: Annotated[
        Path | None, typer.Option(help="Measure distances on this taxonomy file's tree, not on the network's nesting.")
    ] = None,
    decision: Annotated[str, typer.Option(help="argmax, or crm: the least expected distance.")] = "argmax",
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = None,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    root: Annotated[Path | None, typer.Option(help="Where torch/NAME data sets lie.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out broken images, and count them.")
    ] = False,
    untrained: Untrained = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="A folder for metrics.json, a line for each image, and confusions of classes."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Metrics of a trained network on labelled images: top-1, by level, by group, mistakes' severity, calibration."""
    from accelerate import PartialState

    from hiergen.training.labelmetrics import LabelMetrics
    from hiergen.training.metrics_table import label_table, metrics_table, rejection_table
    from hiergen.training.run import evaluate as job

    if out is not None:
        one_process("eval -o")

    done = job(
        model,
        data,
        weights=weights,
        form=cast("Form | None", form),
        classes=classes,
        others=others,
        taxonomy=taxonomy,
        split=cast("Split", split),
        decision=decision,
        batch_size=batch_size or BATCH_SIZE,
        workers=workers,
        precision=precision,
        device=device,
        root=root,
        skip_broken=skip_broken,
        untrained=untrained,
        out=out,
        console=console(stderr=True),
    )
    if not PartialState().is_main_process:  # each of several processes has all metrics
        return
    if done.broken:
        print(f"left out: {len(done.broken)} broken images ({listed(done.broken)})", file=sys.stderr)
    if as_json:
        print(json_text(done.to_dict(), indent=2))
        return
    metrics = done.metrics
    console().print(label_table(metrics) if isinstance(metrics, LabelMetrics) else metrics_table(metrics))
    if done.rejection is not None:
        console().print("", rejection_table(done.rejection), sep="\n")
    if out is not None:
        say(console(), f"→ {out}: {', '.join(sorted(path.name for path in out.iterdir()))}", style="bold")


@app.command()
def embed(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .npz file: embeddings (N, D), and images (N,).")],
    weights: Weights = None,
    level: Annotated[
        int | None, typer.Option(help="0: of the trunk; 1 …: of a level (default: what the logits are read from).")
    ] = None,
    split: Annotated[str, typer.Option(help="Which part of the data: validation or train.")] = "validation",
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = None,
    root: Annotated[Path | None, typer.Option(help="Where torch/NAME data sets lie.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out broken images, and count them.")
    ] = False,
    untrained: Untrained = False,
) -> None:
    """Embeddings of images, whatever they show, to search or cluster by: one vector each, in a file for numpy."""
    from hiergen.training.embedding import embed as job
    from hiergen.training.run import check_split

    check_split(split)
    done = job(
        model,
        data,
        out,
        weights=weights,
        level=level,
        split=cast("Split", split),
        untrained=untrained,
        batch_size=batch_size or BATCH_SIZE,
        workers=workers,
        device=device,
        root=root,
        skip_broken=skip_broken,
        console=console(stderr=True),
    )
    if done.broken:
        print(f"left out: {len(done.broken)} broken images ({listed(done.broken)})", file=sys.stderr)
    say(console(), f"→ {done.path}: {done.images:,} images, {done.length:,} numbers each")


@app.command()
def reject(
    model: Model,
    data: Data,
    weights: Weights = None,
    others: Annotated[
        str | None,
        typer.Option(help="Images of other classes (default: those of --data that are none of the network's)."),
    ] = None,
    kept: Annotated[float, typer.Option(help="Share of the own images that the threshold accepts.")] = 0.95,
    split: Annotated[str, typer.Option(help="Which part of the data: validation or train.")] = "validation",
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = None,
    root: Annotated[Path | None, typer.Option(help="Where torch/NAME data sets lie.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out broken images, and count them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """None of these: fit the threshold below which an image shows no class of a network or cutout, on held-out images,
    and write it into its weights."""
    from hiergen.training.metrics_table import rejection_table
    from hiergen.training.rejecting import reject as job

    done = job(
        model,
        data,
        weights=weights,
        others=others,
        kept=kept,
        split=cast("Split", split),
        batch_size=batch_size or BATCH_SIZE,
        workers=workers,
        device=device,
        root=root,
        skip_broken=skip_broken,
        console=console(stderr=True),
    )
    if done.broken:
        print(f"left out: {len(done.broken)} broken images ({listed(done.broken)})", file=sys.stderr)
    if as_json:
        print(json_text(done.to_dict(), indent=2))
        return
    console().print(rejection_table(done.score))
    if not done.score.others:
        say(console(), "no images of other classes: --others DATA measures how many are let through")
    say(console(), f"→ {done.path}: threshold and temperature in its metadata, tensors as they were")
