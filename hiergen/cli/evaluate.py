"""Command: eval."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hiergen.cli.app import Json, app, console
from hiergen.cli.inputs import BATCH_SIZE, BatchSize, Data, Device, Model, Untrained, Weights, Workers
from hiergen.errors import listed

if TYPE_CHECKING:
    from hiergen.data.labelling import Split


@app.command("eval")
def evaluate(
    model: Model,
    data: Data,
    weights: Weights = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these classes compete (ids, names, groups, …; repeatable); 'present': those with images."
        ),
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
    as_json: Json = False,
) -> None:
    """Metrics of a trained network on labelled images: top-1, by level, by group, mistakes' severity, calibration."""
    from hiergen.training.metrics_table import metrics_table
    from hiergen.training.run import evaluate as job

    done = job(
        model,
        data,
        weights=weights,
        classes=classes,
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
        console=console(stderr=True),
    )
    if done.broken:
        print(f"left out: {len(done.broken)} broken images ({listed(done.broken)})", file=sys.stderr)
    if as_json:
        print(json.dumps(done.metrics.to_dict(), indent=2))
        return
    console().print(metrics_table(done.metrics))
