"""The command `hiergen cost`: what a network or a cutout costs, beside its flat backbone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, app, console
from hiergen.cli.inputs import Device, Model
from hiergen.console.progress import spinner
from hiergen.console.terminal import as_json as json_text
from hiergen.console.terminal import giga
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
    batch: Annotated[list[str] | None, typer.Option(help="Batch sizes, as 1,16 (the default); repeatable.")] = None,
    device: Device = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: torch's own).")] = None,
    repeats: Annotated[int | None, typer.Option(help="Runs of each (default: what fits into ten seconds).")] = None,
    no_time: Annotated[bool, typer.Option("--no-time", help="Do not measure milliseconds.")] = False,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Do not measure peak memory.")] = False,
    as_json: Json = False,
) -> None:
    """Count and measure a network, or a cutout of it, beside its flat backbone, whole and with a sliced classifier."""
    from hiergen.costs.card import cost_card as job
    from hiergen.costs.card import network_to_count
    from hiergen.lookup.choose import choose
    from hiergen.models.load import default_device

    batches = _batches(batch or ["1,16"])
    network = network_to_count(model, weights, not (no_time and no_memory))
    with spinner(console(stderr=True)) as progress:
        card = job(
            network,
            choose(network.selector, classes or (), except_ or ()),
            device=device or default_device(),
            batches=batches,
            repeats=repeats,
            threads=threads,
            time=not no_time,
            memory=not no_memory,
            progress=progress,
        )
    if as_json:
        print(json_text(card.as_data(), indent=1))
    else:
        print_card(card)


def print_card(card: CostCard) -> None:
    """The card as text: rows, the parts of the networks with branches, how it was measured, and the verdict."""
    printer = console()
    printer.print(card_table(card))
    printer.print()
    printer.print(_parts_table(card))
    if card.rows[0].times:
        how = (
            f"ms: median (quartiles) of {', '.join(f'{t.runs} runs at batch {t.batch}' for t in card.rows[0].times)}, "
            f"in turns, {card.dtype}, {card.threads} threads, {card.machine}, torch {card.torch}; weights do not matter"
        )
        printer.print(how, style="dim", markup=False, soft_wrap=True)
    printer.print(card.verdict, style="bold", markup=False, soft_wrap=True)


def card_table(card: CostCard) -> Table:
    """One line per row of the card."""
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for head in ("", *card.heads()):
        table.add_column(head, justify="left" if head == "" else "right")
    for row in card.rows:
        table.add_row(row.label, *row.cells())
    return table


def _parts_table(card: CostCard) -> Table:
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("", "part", "branches", "params", "GMACs"):
        table.add_column(column, justify="left" if column in {"", "part"} else "right")
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
