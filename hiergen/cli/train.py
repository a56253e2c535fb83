"""Command: train."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hiergen.cli.app import Exit, app, console
from hiergen.errors import HiergenError
from hiergen.terminal import one_line

_EMBEDDED = ("generated/digits.py:N2HL", "digits", "digits")
_GIGA = 10**9


@app.command()
def train(
    model: Annotated[
        str | None, typer.Argument(help="FILE.py:NAME, a timm name, or a cutout's folder (default: the digits' N2HL).")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder of one folder per class, a .tar of one, digits, torch/NAME, hfds/NAME, wds/SHARDS."
        ),
    ] = None,
    val: Annotated[str | None, typer.Option(help="Validation images, likewise (default: a share of --data).")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name, or a .yaml file; --recipes lists them.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A recipe's value, such as optimizer.lr=0.01; repeatable.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="--set epochs.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="--set batch_size: images of one update.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="--set optimizer.lr.")] = None,
    seed: Annotated[int | None, typer.Option(help="--set seed.", min=0)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new folder (default: runs/MODEL-RECIPE).")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the training in this folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin anew in a folder that holds a training.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Start from these weights of the network.")] = None,
    trunk_weights: Annotated[
        Path | None, typer.Option(help="Weights for the trunk: safetensors of the flat backbone, timm's names.")
    ] = None,
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
    workers: Annotated[int | None, typer.Option(help="Processes that read images.", min=0)] = None,
    device: Annotated[str | None, typer.Option(help="cpu; default: the GPUs that are there.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    recipes: Annotated[bool, typer.Option("--recipes", help="List the recipes and stop.")] = False,
) -> None:
    """Train a network on labelled images; without arguments, on 1,797 real handwritten digits."""
    if recipes:
        _list_recipes()
        return
    short = {"epochs": epochs, "batch_size": batch_size, "optimizer.lr": lr, "seed": seed}
    settings = [*(settings or ()), *(f"{key}={value}" for key, value in short.items() if value is not None)]
    asked = {
        "weights": weights,
        "trunk_weights": trunk_weights,
        "root": root,
        "cache": cache,
        "cache_limit": None if cache_limit is None else round(cache_limit * _GIGA),
        "workers": workers,
        "device": device,
        "only_known": only_known or None,
        "skip_broken": skip_broken or None,
    }
    options = {key: value for key, value in asked.items() if value is not None}
    if resume is not None:
        for option, value in (("--recipe", recipe), ("--out", out), ("--force", force)):
            if value:
                hint = "--set changes single values" if option == "--recipe" else None
                raise HiergenError(f"{option} has no meaning in a training that goes on", hint=hint)
        again = {"model": model, "data": data, "val": val, **options}
        _run(lambda job: job.resume(resume, settings=settings, console=console(), quiet=quiet, **again))
        return
    if model is None and data is None:
        model, data, recipe = _EMBEDDED[0], _EMBEDDED[1], recipe or _EMBEDDED[2]
        if not Path(model.partition(":")[0]).is_file():
            raise HiergenError(
                f"the network for the digits is not here: no {model}",
                hint="'hiergen build' of hiergen's taxonomies/digits.yaml writes it; or name a model and --data",
            )
    if model is None or data is None:
        missing, example = ("model", "generated/digits.py:N2HL") if model is None else ("images", "--data FOLDER")
        raise HiergenError(f"no {missing} to train {'' if model is None else 'on'}".rstrip(), expected=example)
    chosen = recipe or "quick"
    _run(
        lambda job: job.train(
            model,
            data,
            val=val,
            recipe=chosen,
            settings=settings,
            out=out,
            force=force,
            console=console(),
            quiet=quiet,
            **options,
        )
    )


def _run(what: Callable[[Any], object]) -> None:
    """Call it with the module that trains; what interrupts it is one sentence and its own exit code."""
    from hiergen.train.stopping import Stopping

    try:
        with Stopping() as stopping:  # torch and numpy do not take it well in the midst of their import
            from hiergen.train import job
            from hiergen.train.loop import StoppedError
        if stopping.asked:
            raise KeyboardInterrupt
        try:
            what(job)
        except StoppedError as stop:
            sentence = str(stop)
        else:
            return
    except KeyboardInterrupt as stop:
        sentence = str(stop) or "interrupted before the training began: nothing is written"
    print(one_line(sentence), file=sys.stderr)
    raise typer.Exit(Exit.INTERRUPTED)


def _list_recipes() -> None:
    from rich.table import Table

    from hiergen.train.recipefile import load_recipe, recipe_names

    table = Table("recipe", "epochs", "batch", "optimizer", "trunk", "what for", box=None, pad_edge=False)
    for name in recipe_names():
        found = load_recipe(name)
        optimizer = f"{found.optimizer.name}, lr {found.optimizer.lr:g}"
        table.add_row(name, str(found.epochs), str(found.batch_size), optimizer, found.trunk.mode, found.note)
    console().print(table)
