"""Commands on weights: cutout, convert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import app, console
from hiergen.console.terminal import giga

if TYPE_CHECKING:
    from hiergen.models.cutout import Cutout


@app.command()
def cutout(
    model: Annotated[str, typer.Argument(help="FILE.py:NAME, a timm name, or a cutout's folder to cut again.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for model.py and model.safetensors.")],
    weights: Annotated[Path | None, typer.Option(help="The full network's weights, safetensors.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="Classes to keep: ids, names, groups, WordNet terms, indices; commas between, repeatable."),
    ] = None,
    except_: Annotated[list[str] | None, typer.Option("--except", help="Classes to leave out, likewise.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The new class's name (default: the full network's + Cutout).")
    ] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Cut a network of random weights.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier cutout.")] = False,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Add standalone.py, which needs torch and timm only.")
    ] = False,
) -> None:
    """Cut classes out of a network: a smaller one with the same logits, as source and weights."""
    from hiergen.models.cutout import cutout as job

    done = job(
        model,
        out,
        classes=classes or (),
        except_=except_ or (),
        weights=weights,
        untrained=untrained,
        name=name,
        force=force,
        alone=standalone,
    )
    _print(done, untrained=untrained)


@app.command()
def convert(
    weights: Annotated[Path, typer.Argument(help="A PyTorch checkpoint (.pth, .pt, .pth.tar, .bin).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    ema: Annotated[bool, typer.Option("--ema/--no-ema", help="Prefer averaged weights where there are any.")] = True,
) -> None:
    """Turn a PyTorch checkpoint into safetensors; no code in it is run."""
    from hiergen.models.convert import convert as job

    done = job(weights, out, use_ema=ema)
    which = "the whole file" if done.key is None else f"its {done.key!r}"
    text = f"{weights} → {done.path}: {which}, {done.tensors:,} tensors, {done.params:,} values"
    console().print(text, markup=False, soft_wrap=True)


def _print(done: Cutout, *, untrained: bool) -> None:
    from rich.table import Table

    from hiergen.errors import quoted
    from hiergen.models.cutout import IMAGES

    printer, full, part = console(), done.full, done.part
    for term, why in done.why.items():
        plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in why)
        printer.print(f"{quoted(term)}: {plain}", markup=False, soft_wrap=True)
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("", "classes", "branches", "params", "GMACs", "params vs full", "MACs vs full"):
        table.add_column(column, justify="left" if column == "" else "right")
    flat = part.trunk
    rows = [
        (
            "full network",
            full.params,
            full.macs,
            " → ".join(str(level.branches) for level in full.levels),
            len(full.classes),
        ),
        ("cutout", part.params, part.macs, " → ".join(str(level.branches) for level in part.levels), len(part.classes)),
        (f"flat {flat.backbone}, classifier sliced", flat.flat_params, flat.flat_macs, "", len(part.classes)),
    ]
    for label, params, macs, branches, count in rows:
        changes = (_change(full.params, params), _change(full.macs, macs)) if label != "full network" else ("", "")
        table.add_row(label, str(count), branches, f"{params:,}", giga(macs), *changes)
    printer.print(table)
    if flat.flat_params <= part.params and flat.flat_macs <= part.macs:
        printer.print("the sliced flat network is smaller on both counts", style="yellow")
    printer.print(
        f"largest difference from the full network's kept logits: {done.difference:g} "
        f"({IMAGES} random images, float32, both one branch at a time; each as it runs by itself: {done.as_run:.2g})"
    )
    if untrained:
        printer.print("the weights are random: nothing was trained", style="yellow")
    files = ", ".join(sorted(path.name for path in done.folder.iterdir() if path.is_file()))
    printer.print(f"→ {done.folder}: {files}", style="bold", markup=False, soft_wrap=True)
    folder = str(done.folder)
    printer.print(f"next: hiergen.models.load.load_network({folder!r}) in Python", markup=False, soft_wrap=True)


def _change(before: int, after: int) -> str:
    return f"{100 * (after / before - 1):+.2f} %"
