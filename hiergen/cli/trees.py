"""The commands `hiergen init` (`import` is the same) and `hiergen senses`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiergen.cli.app import Exit, Json, app, console
from hiergen.console.terminal import as_json as json_text
from hiergen.console.terminal import command, one_line

_SHOWN = 5


@app.command("import", hidden=True)
@app.command()
def init(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="WHAT", help="A folder of images, a table, a file with a class tree or a list of names."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The taxonomy file to write (default: WHAT.yaml).")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="nbdt, isa, child-parent, paths, separated, outline, names, newick, json or nested (default: as the"
            " file looks)."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Classes in the order of the logits: a built-in list, a text file, an image folder, or names with"
            " commas (default: the leaves)."
        ),
    ] = None,
    names: Annotated[Path | None, typer.Option(help="A file of 'id name' lines: what the ids are called.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns of a table from the root to the classes: class,order,family,name.")
    ] = None,
    subset: Annotated[
        bool | None,
        typer.Option(help="Keep of the tree only what is above --classes (default: with isa)."),
    ] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out of --classes what the tree lacks.")
    ] = False,
    join_roots: Annotated[bool, typer.Option("--join-roots", help="Put several roots side by side.")] = False,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether a table's first row names its columns (default: as it is)."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The timm model that networks are made of (a folder's: tf_efficientnet_lite0).")
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="px of the networks' images (default: by a folder's images).", min=8)
    ] = None,
    cutout: Annotated[
        float | None, typer.Option(help="Their aim: ms of a group's cutout, flat = 1 (default: 0.6).", min=0.01)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented taxonomy file from a folder of images, a table, a class tree or a list of names."""
    from hiergen.formats.importing import AIM
    from hiergen.formats.importing import init as job

    done = job(
        source,
        out,
        format=format,
        classes=classes,
        names=names,
        columns=columns,
        subset=subset,
        drop_missing=drop_missing,
        join_roots=join_roots,
        header=header,
        backbone=backbone,
        input_size=input_size,
        cutout=AIM if cutout is None else cutout,
        force=force,
    )
    printer = console()
    for note in done.notes[:_SHOWN]:
        printer.print(f"note: {note}", markup=False, soft_wrap=True, style="yellow")
    if len(done.notes) > _SHOWN:
        printer.print(f"… and {len(done.notes) - _SHOWN} more notes, at the top of the file", style="yellow")
    if done.unplaced:
        missing = f"not in WordNet, below the root: {', '.join(done.unplaced)}"
        printer.print(f"note: {missing}; the file offers nearest words", markup=False, soft_wrap=True, style="yellow")
    if done.doubtful:
        text = f"look at the senses of: {', '.join(done.doubtful)}"
        others = command(("hiergen", "senses", *done.doubtful[:3], done.path))
        printer.print(f"note: {text}; {others} lists what they may be", markup=False, soft_wrap=True, style="yellow")
    groups = f"{done.groups} group{'s' * (done.groups != 1)} on {done.levels} level{'s' * (done.levels != 1)}"
    shown = "groups by WordNet" if done.by_wordnet else groups
    counts = f"{done.classes} classes, {shown}; models {', '.join(done.models)}"
    printer.print(f"→ {one_line(done.path)}: {counts}", markup=False, soft_wrap=True)
    show, build = (command(("hiergen", name, done.path)) for name in ("show", "build"))
    printer.print(f"next: edit it; {show} draws it, {build} makes the networks", markup=False, soft_wrap=True)


@app.command()
def senses(
    words: Annotated[
        list[str],
        typer.Argument(metavar="WORD...", help="Words, then maybe a taxonomy file whose classes are company."),
    ],
    as_json: Json = False,
) -> None:
    """List what words mean in WordNet, the likeliest first, with glosses."""
    from hiergen.lookup.senses import senses as job

    company = words.pop() if len(words) > 1 and words[-1].endswith((".yaml", ".yml")) else None
    rows = [job(word, company) for word in words]
    if as_json:
        print(json_text([one.as_dict() for one in rows], indent=1))
    else:
        for one in rows:
            console().print(one.text(), markup=False, soft_wrap=True, highlight=False)
    if not all(one.senses for one in rows):
        raise typer.Exit(Exit.BAD_INPUT)
