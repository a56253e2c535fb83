"""Commands on taxonomy files: build, validate, show."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Exit, Json, TaxonomyFile, app, console
from hiergen.errors import SpecError
from hiergen.terminal import as_json as json_text
from hiergen.terminal import command, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from hiergen.taxonomy.load import Taxonomy


@app.command()
def build(
    taxonomies: Annotated[
        list[Path] | None, typer.Argument(help="Taxonomy files (default: all in the folder taxonomies).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A .py file or a folder (default: the folder generated).")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")] = False,
    standalone: Annotated[
        bool,
        typer.Option("--standalone", help="Write source that needs torch and timm only, to the folder standalone."),
    ] = False,
) -> None:
    """Compile taxonomy files into PyTorch source."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from hiergen import builder as job
    from hiergen.show import model_table

    paths = taxonomies or _all_taxonomies()
    if out is not None and out.suffix == ".py" and len(paths) > 1:
        raise SpecError("one file cannot hold several taxonomies", place=str(out), expected="a folder for --out")
    printer, drifted = console(), []
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    status = console(stderr=True)
    with Progress(*columns, console=status, transient=True, disable=not status.is_terminal) as progress:
        task = progress.add_task("")
        for path in paths:
            advance = partial(_advance, progress, task, path)
            built = job.build(path, out, check=check, standalone=standalone, progress=advance)
            if built.drift:
                drifted.append(built.path)
                printer.print(built.drift, end="", markup=False, soft_wrap=True)
            elif check:
                printer.print(f"{one_line(built.path)} is up to date", markup=False, soft_wrap=True)
            else:
                printer.print(one_line(f"{path} → {built.path}"), style="bold", markup=False, soft_wrap=True)
                printer.print(model_table(built.plans))
    if drifted:
        names = " ".join(str(path) for path in drifted)
        print(f"out of date: {one_line(names)}; run 'hiergen build' and commit the result", file=sys.stderr)
        raise typer.Exit(Exit.DRIFT)
    if not check:
        printer.print(_next_step(built), markup=False, soft_wrap=True)


@app.command()
def validate(taxonomy: TaxonomyFile, as_json: Json = False) -> None:
    """Check a taxonomy file: all findings at once, by code."""
    from hiergen.builder import validate as job

    findings = job(taxonomy)
    errors = [f for f in findings if f.is_error]
    if as_json:
        print(json_text([f.as_dict() for f in findings], indent=2))
    else:
        for f in findings:
            print(one_line(f"{f.place}: {f.code} {f.message}"))
        warnings = len(findings) - len(errors)
        counts = f"{len(errors)} error{'s' * (len(errors) != 1)}, {warnings} warning{'s' * (warnings != 1)}"
        print(f"{one_line(taxonomy)}: {counts}")
    if errors:
        raise typer.Exit(Exit.BAD_INPUT)


@app.command()
def show(
    taxonomy: TaxonomyFile,
    model: Annotated[str | None, typer.Option(help="The model whose nesting to show (default: the deepest).")] = None,
    levels: Annotated[int | None, typer.Option(help="Show the nesting with this many levels.", min=1)] = None,
    merged: Annotated[bool, typer.Option("--merged", help="Show the merged tree, with who says so.")] = False,
    conflicts: Annotated[bool, typer.Option("--conflicts", help="List what sources said differently.")] = False,
    as_json: Json = False,
) -> None:
    """Print a taxonomy's tree with classes, params and MACs per group."""
    from hiergen import show as view
    from hiergen.taxonomy.load import load_taxonomy

    loaded = load_taxonomy(taxonomy)
    printer = console()
    if as_json:
        print(json_text(view.as_data(loaded, conflicts=conflicts), indent=1))
    elif conflicts:
        printer.print(view.conflict_table(loaded))
        printer.print(f"conflicts: {view.conflict_summary(loaded)}", style="bold")
    elif merged:
        printer.print(view.merged_tree(loaded))
    else:
        _show_nesting(loaded, model, levels, printer)


def _show_nesting(loaded: Taxonomy, model: str | None, levels: int | None, printer: Console) -> None:
    from hiergen import show as view
    from hiergen.builder import plan_if_known

    names = list(loaded.spec.models)
    if model is not None:
        loaded.known(model)
    fitting = [n for n in names if levels in (None, loaded.levels[n]) and not loaded.spec.models[n].single_branch]
    chosen = model or max(fitting, key=lambda n: loaded.levels[n], default=None)
    if chosen is not None:
        nesting, plan = loaded.nesting(chosen), plan_if_known(loaded, chosen)
        printer.print(view.nesting_tree(loaded, nesting, plan if plan and not plan.single_branch else None))
    else:
        printer.print(view.nesting_tree(loaded, loaded.nesting_of(levels or 1), None))
    plans = view.known_plans(loaded)
    printer.print()
    printer.print(view.model_table(plans))
    unknown = [n for n in names if n not in {p.model for p in plans}]
    if unknown:
        run = command(("hiergen", "build", loaded.path))
        printer.print(f"{', '.join(unknown)}: backbone not measured yet; run {run} once", markup=False)
    printer.print(f"conflicts: {view.conflict_summary(loaded)} (--conflicts lists them)", style="dim")


def _advance(progress: Progress, task: TaskID, path: Path, model: str) -> None:
    progress.update(task, description=one_line(f"{path} {model}"))


def _all_taxonomies() -> list[Path]:
    found = sorted(Path("taxonomies").glob("*.yaml"))
    if not found:
        raise SpecError("no taxonomy file given, and no folder taxonomies here", expected="hiergen build FILE.yaml")
    return found


def _next_step(built: object) -> str:
    from hiergen.builder import Built

    assert isinstance(built, Built)
    last = max(built.plans, key=lambda plan: len(plan.levels))
    channels, height, width = last.trunk.input_size
    module = built.path.stem
    if not built.path.is_absolute() and ".." not in built.path.parts:
        module = ".".join(built.path.with_suffix("").parts)
    show = command(("hiergen", "show", built.taxonomy.path))
    lines = (
        f"next: in Python, from {'this folder' if '.' in module else one_line(built.path.parent)}",
        f"  from {one_line(module)} import {last.model.replace('-', '_')}",
        f"  model = {last.model.replace('-', '_')}()  # (B, {channels}, {height}, {width}) -> (B, {len(last.classes)})",
        f"or read {one_line(built.path)}; {show} prints its tree",
    )
    return "\n".join(lines)
