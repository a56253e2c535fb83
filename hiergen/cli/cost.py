"""The command `hiergen cost`: what a network or a cutout costs, beside its flat backbone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, app, console
from hiergen.errors import HiergenError, quoted
from hiergen.terminal import as_json as json_text
from hiergen.units import giga

if TYPE_CHECKING:
    from rich.table import Table

    from hiergen.cost import CostCard, Row
    from hiergen.nn.network import HierarchicalNetwork

_MB = 1e6


@app.command()
def cost(
    model: Annotated[str, typer.Argument(help="FILE.py:NAME, a timm name, or a cutout's folder.")],
    weights: Annotated[Path | None, typer.Option(help="Weights, safetensors; random ones cost the same.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="A cutout's classes: ids, names, groups, WordNet terms; commas between, repeatable."),
    ] = None,
    excepted: Annotated[list[str] | None, typer.Option("--except", help="Classes to leave out, likewise.")] = None,
    batch: Annotated[list[str] | None, typer.Option(help="Batch sizes, as 1,16 (the default); repeatable.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: torch's own).")] = None,
    repeats: Annotated[int | None, typer.Option(help="Runs of each (default: what fits into ten seconds).")] = None,
    no_time: Annotated[bool, typer.Option("--no-time", help="Do not measure milliseconds.")] = False,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Do not measure peak memory.")] = False,
    as_json: Json = False,
) -> None:
    """Count and measure a network, or a cutout of it, beside its flat backbone, whole and with a sliced classifier."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from hiergen.cost import cost_card as job

    batches = _batches(batch or ["1,16"])
    network = _network(model, weights, counted=no_time and no_memory)
    status = console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=status, transient=True, disable=not status.is_terminal) as progress:
        task = progress.add_task("")
        card = job(
            network,
            _kept(network, classes or [], excepted or []),
            device=device,
            batches=batches,
            repeats=repeats,
            threads=threads,
            time=not no_time,
            memory=not no_memory,
            progress=lambda text: progress.update(task, description=text),
        )
    if as_json:
        print(json_text(card.as_data(), indent=1))
    else:
        print_card(card)


def _network(model: str, weights: Path | None, *, counted: bool) -> HierarchicalNetwork:
    """The network; one that is only counted needs no memory for its weights."""
    import torch

    from hiergen.models import find_model, load_network

    found = find_model(model)
    if not counted or weights is not None or found.weights is not None:
        return load_network(model, weights)
    with torch.device("meta"):
        return found.cls().eval()


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
    times, memory = card.rows[0].times, card.rows[0].memory
    heads = [*(f"ms, batch {t.batch}" for t in times), *(f"peak MB, batch {m.batch}" for m in memory)]
    for column in ("", "classes", "params", "GMACs", *heads):
        table.add_column(column, justify="left" if column == "" else "right")
    for row in card.rows:
        table.add_row(row.label, *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    times = [f"{t.ms:.1f} ({t.low:.1f}–{t.high:.1f})" for t in row.times]
    memory = [f"{m.peak / _MB:,.0f}" for m in row.memory]
    return [str(row.classes), f"{row.params:,}", giga(row.macs), *times, *memory]


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


def _kept(network: HierarchicalNetwork, classes: list[str], excepted: list[str]) -> tuple[int, ...] | None:
    """Indices of the cutout's classes; None: no cutout is asked for."""
    from hiergen.terms import chosen

    if not classes and not excepted:
        return None
    wanted, unwanted = chosen(network.selector, classes), chosen(network.selector, excepted)
    if (classes and not wanted) or (excepted and not unwanted):
        raise HiergenError("an empty class name", expected="a class id, name, group, WordNet term or index")
    kept = {i for found in wanted.values() for i in found} if classes else set(range(network.num_classes))
    kept -= {i for found in unwanted.values() for i in found}
    if not kept:
        raise HiergenError("no class is left", expected="at least one that --except does not name")
    return tuple(sorted(kept))
