"""Command: eval."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hiergen.cli.app import Json, app, console
from hiergen.cli.inputs import Model, Untrained, Weights, load_trained
from hiergen.errors import HiergenError, listed

if TYPE_CHECKING:
    from hiergen.train.data import Split


@app.command("eval")
def evaluate(
    model: Model,
    data: Annotated[
        str,
        typer.Option(
            help="A folder of one folder per class, a .tar of one, digits, torch/NAME, hfds/NAME, wds/SHARDS."
        ),
    ],
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
    batch_size: Annotated[int, typer.Option(help="Images at once.", min=1)] = 64,
    workers: Annotated[int | None, typer.Option(help="Processes that read images.", min=0)] = None,
    device: Annotated[str | None, typer.Option(help="cpu; default: the GPU that is there.")] = None,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    root: Annotated[Path | None, typer.Option(help="Where torch/NAME data sets lie.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out broken images, and count them.")
    ] = False,
    untrained: Untrained = False,
    as_json: Json = False,
) -> None:
    """Metrics of a trained network on labelled images: top-1, by level, by group, mistakes' severity, calibration."""
    from hiergen.terms import chosen
    from hiergen.train.data import open_data
    from hiergen.train.hierarchy import Hierarchy
    from hiergen.train.job import evaluate_network
    from hiergen.train.metrics_table import metrics_table

    for name, value, known in (
        ("--split", split, ("validation", "train")),
        ("--decision", decision, ("argmax", "crm")),
        ("--precision", precision, ("float32", "bfloat16", "float16")),
    ):
        if value not in known:
            raise HiergenError(f"{name} {value!r} is not known", expected=f"one of {', '.join(known)}")
    network = load_trained(model, weights, untrained=untrained)
    wanted: str | list[int] | None = None
    if classes == ["present"]:
        wanted = "present"
    elif classes:
        wanted = sorted({i for found in chosen(network.selector, classes).values() for i in found})
        if not wanted:
            raise HiergenError("an empty class name", expected="a class id, name, group, WordNet term or index")
    images = open_data(data, network, split=cast("Split", split), classes=wanted, root=root)
    if images.left_out:
        print(f"left out: {len(images.left_out)} folders ({listed(images.left_out)})", file=sys.stderr)
    competing = sorted(set(images.targets)) if wanted == "present" else wanted
    assert not isinstance(competing, str)
    done = evaluate_network(
        network,
        images,
        classes=competing,
        hierarchy=Hierarchy.of_taxonomy(taxonomy, network.classes) if taxonomy is not None else None,
        decision=decision,
        batch_size=batch_size,
        workers=workers,
        precision=precision,
        device=device,
        skip_broken=skip_broken,
        console=console(stderr=True),
    )
    if done.broken:
        print(f"left out: {len(done.broken)} broken images ({listed(done.broken)})", file=sys.stderr)
    if as_json:
        print(json.dumps(done.metrics.to_dict(), indent=2))
        return
    console().print(metrics_table(done.metrics))
