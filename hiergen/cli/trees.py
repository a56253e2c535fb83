"""The command `hiergen import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiergen.cli.app import app, console
from hiergen.console.terminal import command, one_line

_SHOWN = 5


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A file with a class tree.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The taxonomy file to write, NEW.yaml.")],
    format: Annotated[
        str | None, typer.Option(help="nbdt, isa, paths, newick or json (default: as the file looks).")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Classes in the order of the logits: a built-in list, a text file, an image folder, or names with"
            " commas (default: the leaves)."
        ),
    ] = None,
    subset: Annotated[
        bool | None,
        typer.Option(help="Keep of the tree only what is above --classes (default: with isa)."),
    ] = None,
    join_roots: Annotated[bool, typer.Option("--join-roots", help="Put several roots side by side.")] = False,
    header: Annotated[bool, typer.Option("--header", help="The first row of label paths names its columns.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a taxonomy file from a tree: NBDT graphs, edge lists (wordnet.is_a.txt), label paths, Newick, JSON."""
    from hiergen.formats.importing import import_tree

    done = import_tree(
        source,
        out,
        format=format,
        classes=classes,
        subset=subset,
        join_roots=join_roots,
        header=header,
        force=force,
    )
    printer = console()
    for note in done.notes[:_SHOWN]:
        printer.print(f"note: {note}", markup=False, soft_wrap=True, style="yellow")
    if len(done.notes) > _SHOWN:
        printer.print(f"… and {len(done.notes) - _SHOWN} more notes, at the top of the file", style="yellow")
    groups = f"{done.groups} group{'s' * (done.groups != 1)} on {done.levels} level{'s' * (done.levels != 1)}"
    counts = f"{done.classes} classes, {groups}; models {', '.join(done.models)}"
    printer.print(f"→ {one_line(done.path)}: {counts}", markup=False, soft_wrap=True)
    check = command(("hiergen", "validate", done.path))
    printer.print(f"next: edit it; {check} checks it", markup=False, soft_wrap=True)
