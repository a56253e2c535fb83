"""Command: train."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hiergen.cli.app import app, console
from hiergen.errors import HiergenError

INTERRUPTED = 130  # as the shell has it after Ctrl-C
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
    cache_limit: Annotated[float, typer.Option(help="Largest size of that folder, GB.", min=0)] = 20.0,
    workers: Annotated[int | None, typer.Option(help="Processes that read images.", min=0)] = None,
    device: Annotated[str | None, typer.Option(help="cpu; default: the GPUs that are there.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    recipes: Annotated[bool, typer.Option("--recipes", help="List the recipes and stop.")] = False,
) -> None:
    """Train a network on labelled images; without arguments, on 1,797 real handwritten digits."""
    if recipes:
        _list_recipes()
        return
    from hiergen.train.loop import StoppedError

    short = {"epochs": epochs, "batch_size": batch_size, "optimizer.lr": lr, "seed": seed}
    given = [*(settings or ()), *(f"{key}={value}" for key, value in short.items() if value is not None)]
    options = {
        "weights": _text(weights),
        "trunk_weights": _text(trunk_weights),
        "root": _text(root),
        "cache": _text(cache),
        "workers": workers,
        "device": device,
    }
    flags = {"only_known": only_known, "skip_broken": skip_broken}
    try:
        if resume is not None:
            _resume(
                resume,
                given,
                {"model": model, "data": data, "val": val, **options},
                recipe=recipe,
                out=out,
                quiet=quiet,
            )
            return
        if model is None and data is None:
            model, data, recipe = _EMBEDDED[0], _EMBEDDED[1], recipe or _EMBEDDED[2]
        if model is None or data is None:
            missing, example = ("model", "generated/digits.py:N2HL") if model is None else ("images", "--data FOLDER")
            raise HiergenError(f"no {missing} to train", expected=example)
        from hiergen.train.job import train as job

        job(
            model,
            data,
            val=val,
            recipe=recipe or "quick",
            settings=given,
            out=out,
            force=force,
            console=console(),
            quiet=quiet,
            cache_limit=round(cache_limit * _GIGA),
            **options,
            **flags,
        )
    except StoppedError as stop:
        print(f"{stop}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _resume(
    folder: Path,
    settings: list[str],
    changes: dict[str, object],
    *,
    recipe: str | None,
    out: Path | None,
    quiet: bool,
) -> None:
    from hiergen.train.job import resume

    if recipe is not None or out is not None:
        what = "--recipe" if recipe is not None else "--out"
        raise HiergenError(f"{what} cannot change in a training that goes on", hint="--set changes single values")
    resume(folder, settings=settings, console=console(), quiet=quiet, **changes)


def _list_recipes() -> None:
    from rich.table import Table

    from hiergen.train.recipefile import load_recipe, recipe_names

    table = Table("recipe", "epochs", "batch", "optimizer", "trunk", "what for", box=None, pad_edge=False)
    for name in recipe_names():
        found = load_recipe(name)
        optimizer = f"{found.optimizer.name}, lr {found.optimizer.lr:g}"
        table.add_row(name, str(found.epochs), str(found.batch_size), optimizer, found.trunk.mode, found.note)
    console().print(table)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
