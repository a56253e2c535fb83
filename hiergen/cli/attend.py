"""Commands that steer a trained network: `attend`, what top-down attention does to its accuracy; `coarse-first`,
accuracy against compute when only the likely subtrees run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiergen.cli.app import (
    BATCH_SIZE,
    BatchSize,
    Classes,
    Data,
    Device,
    Holdout,
    Json,
    Model,
    Seed,
    Untrained,
    Weights,
    Workers,
    app,
    console,
    numbers,
    read_gains,
)
from hiergen.console.terminal import as_json as json_text
from hiergen.console.terminal import plain_table, say
from hiergen.errors import HiergenError, quoted, unquoted

if TYPE_CHECKING:
    from hiergen.costs.attention import Effect, Scan
    from hiergen.costs.coarse_first import Point, Study
    from hiergen.nn.network import HierarchicalNetwork

_RATES = tuple(i / 10 for i in range(11))


@app.command()
def attend(
    model: Model,
    data: Data,
    weights: Weights = None,
    scan: Annotated[bool, typer.Option("--scan", help="Find the best gain for a cue that knows the truth.")] = False,
    gain: Annotated[list[str] | None, typer.Option(help='Or: apply a gain, "domestic cat=1.4"; repeatable.')] = None,
    level: Annotated[
        str, typer.Option(help="What the cue names: leaf (a class), or the groups of level 1 … k.")
    ] = "leaf",
    gains: Annotated[str, typer.Option(help="Gains to try: FROM:TO:STEP, or a list with commas.")] = "0.5:3:0.1",
    after: Annotated[
        int | None, typer.Option(help="The branch's block after which gains act (default: middle).")
    ] = None,
    holdout: Holdout = 0.5,
    seed: Seed = 0,
    classes: Classes = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = None,
    untrained: Untrained = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves to a .png, .svg or .pdf file.")] = None,
    as_json: Json = False,
) -> None:
    """Measure top-down attention: scan for the best gain, or compare accuracy with and without given gains."""
    if scan == bool(gain):
        raise HiergenError("what to measure is not said", expected="--scan, or --gain TERM=NUMBER")
    if plot is not None:
        from hiergen.views.plots import check

        if not scan:
            raise HiergenError("--plot draws the curves of a scan", expected="--scan")
        check(plot)
    from hiergen.costs.attention import attend as job
    from hiergen.models.load import load_trained

    network = load_trained(model, weights, untrained=untrained, device=device)
    options: dict[str, Any] = {
        "after": after,
        "classes": classes,
        "batch_size": batch_size or BATCH_SIZE,
        "workers": workers,
        "device": device,
    }
    if gain:
        chosen = read_gains(network, gain)
        rows = job(network, data, chosen, **options)
        assert isinstance(rows, list)
        _print_effects(network, rows, chosen, as_json)
        return
    number = _level(network, level)
    tried = numbers(gains, "--gains")
    scanned = job(network, data, level=number, tried=tried, holdout=holdout, seed=seed, **options)
    assert not isinstance(scanned, list)
    if plot is not None:
        from hiergen.views.plots import draw_scan

        draw_scan(scanned, plot, what=_what(network, number))
    if as_json:
        print(json_text(_as_data(scanned), indent=1))
    else:
        _show_scan(scanned, _what(network, number))
        if plot is not None:
            say(console(), f"→ {plot}", style="bold")


def _level(network: HierarchicalNetwork, text: str) -> int:
    last = len(network.levels)
    if text == "leaf":
        return last
    if not text.isdecimal() or not 1 <= int(text) <= last:
        raise HiergenError(f"no level {quoted(text)}", expected=f"leaf, or 1..{last}")
    return int(text)


def _what(network: HierarchicalNetwork, level: int) -> str:
    if level == len(network.levels):
        return "class"
    return f"group of level {level}, one of {network.levels[level - 1].branches}"


def _as_data(scan: Scan) -> dict[str, object]:
    columns = ("wrong_rate", "accuracy", "gain_for_rate", "accuracy_with_it")
    return {
        **asdict(scan),
        "best_gain": scan.best,
        "break_even": scan.held.break_even(scan.best),
        "by_rate": [dict(zip(columns, row, strict=True)) for row in scan.by_rate(_RATES)],
    }


def _show_scan(scan: Scan, what: str) -> None:
    from rich.table import Table

    printer, best, held = console(), scan.best, scan.held
    printer.print(
        f"cue: the true {what}; gains act after block {scan.after} of level {scan.level}; "
        f"chosen on {scan.tuned.images:,} images, reported on {held.images:,} others"
    )
    table = Table("gain", "chosen on", "reported", "wrong cue", header_style="bold", box=None, pad_edge=False)
    for i, gain in enumerate(held.gains):
        cells = (_percent(values[i]) for values in (scan.tuned.right, held.right, held.wrong))
        table.add_row(f"{gain:g}", *cells, style="bold" if gain == best else "dim" if gain == 1 else None)
    printer.print(table)
    reached = held.accuracy(best, 0)
    printer.print(
        f"best gain {best:g}: top-1 {_percent(held.baseline)} → {_percent(reached)} "
        f"({100 * (reached - held.baseline):+.2f})",
        style="bold",
    )
    rates = Table(
        "wrong cues", f"gain {best:g}", "best gain then", "with it", header_style="bold", box=None, pad_edge=False
    )
    for rate, accuracy, best_then, with_own in scan.by_rate(_RATES):
        rates.add_row(f"{100 * rate:.0f} %", _percent(accuracy), f"{best_then:g}", _percent(with_own))
    printer.print(rates)
    even = held.break_even(best)
    printer.print("attention never helps" if even is None else f"attention helps below {_percent(even)} wrong cues")
    printer.print(
        f"the cue as a plain filter, other classes excluded: right cue {_percent(held.only_right)}, "
        f"wrong cue {_percent(held.only_wrong)}",
        style="dim",
    )


def _print_effects(
    network: HierarchicalNetwork, rows: list[Effect], gains: dict[int | str, float], as_json: bool
) -> None:
    if as_json:
        print(json_text([asdict(row) for row in rows], indent=1))
        return
    cued = {(node.level, node.branch) for term in gains for node in network.selector.nodes(term)}
    for named in gains:
        say(console(), f"{quoted(named)}: {unquoted(network.selector.explain(named))}")
    nodes = [(0, 0), *((node.level, node.branch) for node in network.nodes)]
    shown = [
        (row, place in cued)
        for row, place in zip(rows, nodes, strict=True)
        if row.images and (row.level <= 1 or place in cued)
    ]
    _show_effects(shown)


def _show_effects(rows: list[tuple[Effect, bool]]) -> None:
    heads = ("level", "group or class", "images", "top-1 without", "with", "", "named without", "with")
    table = plain_table(heads, left=("group or class",))
    for row, cued in rows:
        before, after = (_percent(right / row.images) for right in row.right)
        change = f"{100 * (row.right[1] - row.right[0]) / row.images:+.2f}"
        cells = (before, after, change, *(f"{named:,}" for named in row.named))
        level = str(row.level) if row.level else ""
        table.add_row(level, unquoted(row.name), f"{row.images:,}", *cells, style="bold" if cued else None)
    console().print(table)
    console().print("named: how often the answer is one of its classes", style="dim")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


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
        print(json_text(asdict(study), indent=1))
        return
    _show_study(study, timed_batch, device or default_device())
    if save and weights is not None:
        say(console(), f"→ {job.heads_beside(weights)}", style="bold")


def _show_study(study: Study, batch: int, device: str) -> None:
    printer, full = console(), study.full
    printer.print(
        f"{study.groups} groups of level {study.level}; reported on {study.images:,} images; what always runs is "
        f"{100 * study.base_macs / full.macs:.1f} % of the full network's {full.macs / 1e6:,.1f} MMACs"
    )
    table = plain_table(("threshold", "top-1", "as the full", "groups", "MMACs", "of full", "ms", "of full"))
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
