"""The command `hiergen coarse-first`: accuracy against compute when only the likely subtrees run."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, app, console
from hiergen.cli.inputs import (
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
    labelled,
    load_trained,
    numbers,
)
from hiergen.errors import HiergenError

if TYPE_CHECKING:
    from hiergen.coarse import Point, Study

_TIMED = 64  # images


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
    batch: BatchSize = 64,
    timed_batch: Annotated[int, typer.Option(help="Images at once where ms are measured.", min=1)] = 1,
    workers: Workers = 1,
    device: Device = "cpu",
    untrained: Untrained = False,
    as_json: Json = False,
) -> None:
    """Score groups first, run only the subtrees that matter: accuracy against MACs and ms."""
    import torch

    from hiergen.coarse import heads_beside, load_heads, save_heads, study
    from hiergen.images import batches
    from hiergen.nn.coarse import CoarseFirst

    network = load_trained(model, weights, untrained=untrained, device=device)
    coarse = CoarseFirst(network, level, score="classes" if oracle else "heads")
    if save and (weights is None or oracle or load is not None):
        raise HiergenError("--save keeps the heads that were fitted to --weights", expected="--weights, no --oracle")
    tried = numbers(thresholds, "--thresholds")
    fitting, held = labelled(network, data, classes).split(holdout, seed=seed)
    if load is not None:
        load_heads(coarse, load)
    elif not oracle:
        coarse.fit(images.to(device) for images, _ in batches(fitting, batch, workers=workers))
    if save and weights is not None:
        save_heads(coarse, heads_beside(weights))
    some = random.Random(seed).sample(range(len(held)), min(_TIMED, len(held)))
    timed = torch.stack([held[i][0] for i in some]).to(device)
    found = study(coarse, batches(held, batch, workers=workers), tried, timed, batch=timed_batch)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return
    _show(found, timed_batch, device)
    if save and weights is not None:
        console().print(f"→ {heads_beside(weights)}", style="bold", markup=False, soft_wrap=True)


def _show(found: Study, batch: int, device: str) -> None:
    from rich.table import Table

    printer, full = console(), found.full
    printer.print(
        f"{found.groups} groups of level {found.level}; reported on {found.images:,} images; what always runs is "
        f"{100 * found.base_macs / full.macs:.1f} % of the full network's {full.macs / 1e6:,.1f} MMACs"
    )
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("threshold", "top-1", "as the full", "groups", "MMACs", "of full", "ms", "of full"):
        table.add_column(name, justify="right")
    for point, name in [(full, "full network"), *((p, f"{p.threshold:g}") for p in found.points)]:
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
