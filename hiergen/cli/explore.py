"""The command `hiergen explore`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hiergen.cli.app import app, console
from hiergen.console.progress import spinner
from hiergen.errors import quoted


@app.command()
def explore(
    source: Annotated[str, typer.Argument(help="A taxonomy file, FILE.yaml:MODEL, FILE.py:NAME or a cutout's folder.")],
    second: Annotated[
        str | None, typer.Argument(help="Another one over the same classes, to be shown beside it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The .html file (default: NAME.html).")] = None,
    results: Annotated[
        Path | None, typer.Option(help="A metrics.json of 'hiergen train' or 'hiergen eval --json'.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights that the page's commands name, as --weights FILE.safetensors.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure milliseconds now: full, flat and some cutouts of each model.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Images at once, for --measure.", min=1)] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads, for --measure (default: torch's own).")] = None,
    repeats: Annotated[int | None, typer.Option(help="Runs of each (default: what fits into ten seconds).")] = None,
) -> None:
    """Write a page to look at: the tree, where its costs sit, and what a cutout would save. It needs no server."""
    from hiergen.views.explore import explore as job

    with spinner(console(stderr=True)) as progress:
        done = job(
            [source] if second is None else [source, second],
            out,
            results=results,
            weights=weights,
            timed=measure,
            batch=batch,
            threads=threads,
            repeats=repeats,
            progress=progress,
        )
    printer = console()
    models = ", ".join(model.name for one in done.sources for model in one.models)
    text = f"→ {done.path}: {len(done.sources[0].ids):,} classes; {models}; {done.size / 1e6:.1f} MB"
    printer.print(text, style="bold", markup=False, soft_wrap=True)
    for one in done.sources:
        for model in one.models:
            if model.why:
                printer.print(f"{model.name}: {model.why}", style="yellow", markup=False, soft_wrap=True)
    if weights is not None and not os.path.isfile(weights):
        text = f"no file {quoted(Path(weights))} is here: the page's commands name it all the same"
        printer.print(text, style="yellow", markup=False, soft_wrap=True)
    printer.print("next: open it in a browser; no server and no network are needed", markup=False, soft_wrap=True)
