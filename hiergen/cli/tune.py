"""`hiergen tune`: measure how the branches run fastest on this machine, and remember it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from hiergen.cli.app import Json, app, console


@app.command()
def tune(
    model: Annotated[
        str, typer.Argument(help="A generated model, such as generated/imagenet100.py:N3HL, or a cutout.")
    ],
    batch: Annotated[list[int] | None, typer.Option(help="Batch sizes (default: 1).")] = None,
    train: Annotated[bool, typer.Option("--train", help="Tune training steps instead of inference.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")] = "cpu",
    as_json: Json = False,
) -> None:
    """Measure how each level's branches run fastest here; later runs use it."""
    from rich.table import Table

    from hiergen.costs.measured import tune as job
    from hiergen.models.load import load_network
    from hiergen.nn.tuning import cache_file

    network = load_network(model)
    table = Table("batch", "level", "branches", "fastest", "ms", "second", "ms", "slowest", "ms")
    rows = []
    for size, levels in job(network, batch or [1], train=train, device=device).items():
        for number, times in enumerate(levels, 1):
            ranked = sorted(times.items(), key=lambda item: item[1])
            rows.append({"batch": size, "level": number, "ms": {str(k): round(v, 3) for k, v in ranked}})
            first, second, last = ranked[0], ranked[1], ranked[-1]
            cells = (f"{x}" for pair in (first, second, last) for x in (pair[0], f"{pair[1]:.1f}"))
            table.add_row(str(size), str(number), str(network.levels[number - 1].branches), *cells)
    saved = cache_file()
    if as_json:
        print(json.dumps({"file": str(saved), "tuned": rows}, indent=1))
        return
    console().print(table)
    print(f"saved to {saved}; delete the file to forget it")
