"""The command `hiergen coarse-first`: accuracy against compute when only the likely subtrees run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, app, console
from hiergen.cli.inputs import (
    BATCH_SIZE,
    BatchSize,
    Classes,
    Data,
    Device,
    Holdout,
    Model,
    Seed,
    Untrained,
    Weights,
    Workers,
    numbers,
)

if TYPE_CHECKING:
    from hiergen.costs.coarse_first import Point, Study


@app.command("coarse-first")
def coarse_first(
    model: Model,
    data: Data,
    weights: Weights = None,
    level: Annotated[int, typer.Option(help="The level whose groups are scored first.")] = 1,
    thresholds: Annotated[
        str, typer.Option(help="Run the likeliest groups up to this probability: a list, or FROM:TO:STEP.")
    ] = "0,0.5,0.8,0.9,0.95,0.98,0.99,0.999,1",
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Score groups by their classes' logits: as good as a gate can be.")
    ] = False,
    load: Annotated[Path | None, typer.Option(help="Take group heads from this file instead of fitting.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the fitted group heads beside the weights.")] = False,
    holdout: Holdout = 0.5,
    seed: Seed = 0,
    classes: Classes = None,
    batch_size: BatchSize = None,
    timed_batch: Annotated[int, typer.Option(help="Images at once where ms are measured.", min=1)] = 1,
    workers: Workers = None,
    device: Device = None,
    untrained: Untrained = False,
    as_json: Json = False,
) -> None:
    """Score groups first, run only the subtrees that matter: accuracy against MACs and ms."""
    from hiergen.costs import coarse_first as job
    from hiergen.models.load import default_device

    study = job.coarse_first(
        model,
        data,
        weights=weights,
        level=level,
        thresholds=numbers(thresholds, "--thresholds"),
        oracle=oracle,
        load=load,
        save=save,
        holdout=holdout,
        seed=seed,
        classes=classes,
        batch_size=batch_size or BATCH_SIZE,
        timed_batch=timed_batch,
        workers=workers,
        device=device,
        untrained=untrained,
    )
    if as_json:
        print(json.dumps(asdict(study), indent=1))
        return
    _show(study, timed_batch, device or default_device())
    if save and weights is not None:
        console().print(f"→ {job.heads_beside(weights)}", style="bold", markup=False, soft_wrap=True)


def _show(study: Study, batch: int, device: str) -> None:
    from rich.table import Table

    printer, full = console(), study.full
    printer.print(
        f"{study.groups} groups of level {study.level}; reported on {study.images:,} images; what always runs is "
        f"{100 * study.base_macs / full.macs:.1f} % of the full network's {full.macs / 1e6:,.1f} MMACs"
    )
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("threshold", "top-1", "as the full", "groups", "MMACs", "of full", "ms", "of full"):
        table.add_column(name, justify="right")
    for point, name in [(full, "full network"), *((p, f"{p.threshold:g}") for p in study.points)]:
        table.add_row(name, *_cells(point, full))
    printer.print(table)
    printer.print(f"ms per image: median, batch {batch}, {device}", style="dim")


def _cells(point: Point, full: Point) -> list[str]:
    return [
        f"{100 * point.top1:.2f} %",
        f"{100 * point.agrees:.2f} %",
        f"{point.groups:.2f}",
        f"{point.macs / 1e6:,.1f}",
        f"{100 * point.macs / full.macs:.1f} %",
        f"{point.ms:.2f}",
        f"{100 * point.ms / full.ms:.0f} %",
    ]
