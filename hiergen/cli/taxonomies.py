"""Commands on taxonomy files: build, validate, show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Exit, Json, TaxonomyFile, app, console
from hiergen.console.progress import spinner
from hiergen.console.terminal import as_json as json_text
from hiergen.console.terminal import command, one_line
from hiergen.errors import SpecError

if TYPE_CHECKING:
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
    from hiergen.codegen import build as job
    from hiergen.planning.from_taxonomy import latencies
    from hiergen.views.show import model_table

    paths = taxonomies or _all_taxonomies()
    if out is not None and out.suffix == ".py" and len(paths) > 1:
        raise SpecError("one file cannot hold several taxonomies", place=str(out), expected="a folder for --out")
    printer, drifted = console(), []
    with spinner(console(stderr=True)) as progress:
        for path in paths:
            advance = partial(_advance, progress, path)
            built = job.build(path, out, check=check, standalone=standalone, progress=advance)
            if built.drift:
                drifted.append(built.path)
                printer.print(built.drift, end="", markup=False, soft_wrap=True)
            elif check:
                printer.print(f"{one_line(built.path)} is up to date", markup=False, soft_wrap=True)
            else:
                printer.print(one_line(f"{path} → {built.path}"), style="bold", markup=False, soft_wrap=True)
                printer.print(model_table(built.plans))
                for line in latencies(built.taxonomy):
                    printer.print(one_line(line), markup=False, soft_wrap=True)
                if built.changed:
                    text = (
                        f"note: {', '.join(built.changed)} changed, and weights of before may not fit; they go with the"
                    )
                    printer.print(
                        f"{text} source in their training's folder", markup=False, soft_wrap=True, style="yellow"
                    )
                _remark(built.taxonomy, names=True)
    if drifted:
        names = " ".join(str(path) for path in drifted)
        print(f"out of date: {one_line(names)}; run 'hiergen build' and commit the result", file=sys.stderr)
        raise typer.Exit(Exit.DRIFT)
    if not check:
        printer.print(_next_step(built), markup=False, soft_wrap=True)


@app.command()
def validate(taxonomy: TaxonomyFile, as_json: Json = False) -> None:
    """Check a taxonomy file: all findings at once, by code."""
    from hiergen.planning.from_taxonomy import validate as job

    findings = job(taxonomy)
    errors = [f for f in findings if f.is_error]
    if as_json:
        print(json_text([f.as_dict() for f in findings], indent=2))
    else:
        for f in findings:
            first, *further = f.message.split("\n") if f.code == "W101" else (f.message,)
            print("\n".join(map(one_line, (f"{f.place}: {f.code} {first}", *further))))
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
    from hiergen.taxonomy.load import load_taxonomy
    from hiergen.views import show as job

    if as_json:
        print(json_text(job.as_data(load_taxonomy(taxonomy), conflicts=conflicts), indent=1))
        return
    loaded = load_taxonomy(taxonomy)
    job.show(loaded, model, levels=levels, merged=merged, conflicts=conflicts, printer=console())
    if not conflicts:
        _remark(loaded, names=False)


def _remark(taxonomy: Taxonomy, *, names: bool) -> None:
    from hiergen.taxonomy.checks import remarks

    for line in remarks(taxonomy, names=names):
        console().print(f"note: {one_line(line)}", markup=False, soft_wrap=True, style="yellow")


def _advance(progress: Callable[[str], None], path: Path, model: str) -> None:
    progress(one_line(f"{path} {model}"))


def _all_taxonomies() -> list[Path]:
    files = sorted(Path("taxonomies").glob("*.yaml"))
    if not files:
        raise SpecError("no taxonomy file given, and no folder taxonomies here", expected="hiergen build FILE.yaml")
    return files


def _is_installed(name: str, ours: Path) -> bool:
    """Whether a module of this name is another file than ours."""
    try:
        found = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return name in sys.modules
    return found is not None and found.origin != str(ours.resolve())


def _next_step(built: object) -> str:
    from hiergen.codegen.build import Built

    assert isinstance(built, Built)
    last = max(built.plans, key=lambda plan: len(plan.levels))
    channels, height, width = last.trunk.input_size
    name, here = last.model.replace("-", "_"), not built.path.is_absolute() and ".." not in built.path.parts
    parts = built.path.with_suffix("").parts if here else (built.path.stem,)
    lines = [
        f"next: in Python, from {'this folder' if here else one_line(built.path.parent)}",
        f"  from {'.'.join(parts)} import {name}",
        f"  model = {name}()",
    ]
    hides = len(parts) == 1 and _is_installed(parts[0], built.path)
    if hides or not all(part.isidentifier() and not iskeyword(part) for part in parts):  # no module of Python's
        lines = [
            "next: in Python",
            "  import hiergen",
            f"  model = hiergen.load_network({json_text(f'{built.path}:{name}')})",
        ]
    if hides:
        lines[0] += (
            f" (not in this folder, where {built.path.name} hides the module {parts[0]!r}: another name is better)"
        )
    show = command(("hiergen", "show", built.taxonomy.path))
    lines[-1] += f"  # (B, {channels}, {height}, {width}) -> (B, {len(last.classes)})"
    return "\n".join([*lines, f"or read {one_line(built.path)}; {show} prints its tree"])
