"""Commands that measure: `cost`, a network or a cutout beside its flat backbone; `tune`, how branches run fastest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Device, Json, Model, app, console
from hiergen.console.progress import spinner
from hiergen.console.terminal import as_json as json_text
from hiergen.console.terminal import giga, plain_table, say
from hiergen.errors import HiergenError, quoted

if TYPE_CHECKING:
    from rich.table import Table

    from hiergen.costs import CostCard


@app.command()
def cost(
    model: Model,
    weights: Annotated[Path | None, typer.Option(help="Weights, safetensors; random ones cost the same.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="A cutout's classes: ids, names, groups, WordNet terms; commas between, repeatable."),
    ] = None,
    except_: Annotated[list[str] | None, typer.Option("--except", help="Classes to leave out, likewise.")] = None,
    batch: Annotated[list[str] | None, typer.Option(help="Batch sizes, as 1,16 (default: 1); repeatable.")] = None,
    device: Device = None,
    runtime: Annotated[
        str | None,
        typer.Option(help="torch, compiled, onnxruntime or openvino (default: onnxruntime if installed, else torch)."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantize all rows (onnxruntime, openvino).")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads, of every runtime.")] = 1,
    repeats: Annotated[int | None, typer.Option(help="Runs of each (default: three seconds of each).")] = None,
    no_time: Annotated[bool, typer.Option("--no-time", help="Do not measure milliseconds.")] = False,
    memory: Annotated[
        bool | None, typer.Option("--memory/--no-memory", help="Peak memory in torch (default: with --runtime torch).")
    ] = None,
    rivals: Annotated[
        bool, typer.Option("--rivals/--no-rivals", help="Also smaller and shorter flat networks, lower resolutions.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Count and measure a network, or a cutout of it, as it is deployed, beside flat rivals deployed alike."""
    from hiergen.costs.card import cost as job
    from hiergen.costs.card import network_to_count
    from hiergen.lookup.choose import choose
    from hiergen.models.load import default_device

    batches = _batches(batch or ["1"])
    network = network_to_count(model, weights, not no_time or bool(memory))
    with spinner(console(stderr=True)) as progress:
        card = job(
            network,
            choose(network.selector, classes or (), except_ or ()),
            device=device or default_device(),
            runtime=runtime,
            int8=int8,
            batches=batches,
            repeats=repeats,
            threads=threads,
            time=not no_time,
            memory=memory,
            rivals=rivals,
            progress=progress,
        )
    if as_json:
        print(json_text(card.as_data(), indent=1))
    else:
        print_card(card)


def print_card(card: CostCard) -> None:
    """The card as text: rows, the parts of the networks with branches, how it was measured, and the verdict."""
    from hiergen.costs.verdict import COSTS_ONLY

    printer = console()
    printer.print(card_table(card))
    if any(row.kind in COSTS_ONLY for row in card.rows):
        say(printer, "* costs only: the accuracy of these must be measured", style="dim")
    printer.print()
    printer.print(_parts_table(card))
    if card.rows[0].times:
        how = (
            f"ms: median (quartiles) of {', '.join(f'{t.runs} runs at batch {t.batch}' for t in card.rows[0].times)}, "
            f"in turns; × flat: median (95 % interval) of the ratios within turns; {card.how}, {card.machine}; "
            "weights do not matter"
        )
        say(printer, how, style="dim")
    say(printer, card.verdict, style="bold")


def card_table(card: CostCard) -> Table:
    """One line per row of the card."""

    table = plain_table(("", *card.heads()))
    for row in card.rows:
        table.add_row(row.label, *row.cells())
    return table


def _parts_table(card: CostCard) -> Table:
    table = plain_table(("", "part", "branches", "params", "GMACs"), left=("", "part"))
    for row in card.rows:
        for i, part in enumerate(row.parts):
            label = "" if i else row.label
            table.add_row(label, part.name, str(part.branches), f"{part.params:,}", giga(part.macs))
    return table


def _batches(typed: list[str]) -> list[int]:
    """ "1,16" → [1, 16]."""
    pieces = [piece.strip() for text in typed for piece in text.split(",")]
    for piece in pieces:
        if not re.fullmatch(r"[1-9][0-9]{0,5}", piece):
            raise HiergenError(f"batch cannot be {quoted(piece)}", expected="whole numbers from 1, as 1,16")
    return [int(piece) for piece in pieces]


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
        print(json_text({"file": str(saved), "tuned": rows}, indent=1))
        return
    console().print(table)
    print(f"saved to {saved}; delete the file to forget it")
