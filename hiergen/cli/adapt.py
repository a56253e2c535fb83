"""The command `hiergen adapt`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hiergen.cli.app import Exit, Interrupted, app, console
from hiergen.console.terminal import say
from hiergen.errors import unquoted


@app.command()
def adapt(
    checkpoint: Annotated[Path, typer.Argument(help="A timm model's weights: safetensors, .pth, .pt or .bin.")],
    backbone: Annotated[str, typer.Option(help="The timm model that they are of.")],
    data: Annotated[str, typer.Option(help="Its images: a folder for each class, in the order of its classifier.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for all that is made.")],
    val: Annotated[
        str | None,
        typer.Option(
            help="Images that the checkpoint has not seen, likewise (default: a validation part of --data, else a share"
            " of it, which the checkpoint may have been trained on)."
        ),
    ] = None,
    input_size: Annotated[int | None, typer.Option(help="px of the images (default: by the folder's).", min=8)] = None,
    cutout: Annotated[float, typer.Option(help="The aim: ms of a group's cutout, flat = 1.", min=0.01)] = 0.6,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A value of the recipe 'tails', such as epochs=20; repeatable.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(help="torch, compiled, onnxruntime or openvino (default: onnxruntime, else torch)."),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads to measure with.", min=1)] = 1,
    force: Annotated[bool, typer.Option("--force", help="Begin anew in a folder of an earlier adapt.")] = False,
) -> None:
    """Make measured cutouts from a fine-tuned flat network and its images; prints each command that it runs."""
    from hiergen.training.adapt import SEEN
    from hiergen.training.adapt import adapt as job

    def run(words: Sequence[str]) -> None:
        code = app(list(words), standalone_mode=False)  # typer answers Ctrl-C with one
        if code == Exit.INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise typer.Exit(code)

    try:
        done = job(
            checkpoint,
            backbone,
            data,
            out,
            run,
            val=val,
            input_size=input_size,
            cutout=cutout,
            settings=settings or (),
            runtime=runtime,
            threads=threads,
            force=force,
            say=lambda text: say(console(), f"$ {text}", style="bold"),
            warn=lambda text: say(console(), text, style="yellow"),
        )
    except (Interrupted, KeyboardInterrupt):
        again = "the same command goes on, with --force it begins anew"
        raise Interrupted(f"{unquoted(out)}: stopped before the table; {again}") from None
    console().print(done.table())
    for note in done.notes():
        say(console(), note)
    if done.seen:
        say(console(), SEEN, style="yellow")
    if done.rows:
        say(console(), f"→ {done.folder}", style="bold")
        say(console(), f"next: hiergen predict {shlex.quote(str(done.rows[0].folder))} IMAGES recognises with a cutout")
