"""Commands that change a trained network's classes and branches: grow, specialise, graft, shrink."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import DATA_FORMS, MODEL_FORMS, Device, Weights, Workers, app, console
from hiergen.console.terminal import say
from hiergen.errors import listed

if TYPE_CHECKING:
    from hiergen.models.folder import Written
    from hiergen.models.graft import Grafted

Out = Annotated[Path, typer.Option("--out", "-o", help="The folder for model.py and model.safetensors.")]
Model = Annotated[str, typer.Argument(help=f"{MODEL_FORMS}.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="A recipe's value, such as epochs=12; repeatable.")]
RecipeName = Annotated[str, typer.Option(help="A recipe's name, or a .yaml file.")]
Name = Annotated[str | None, typer.Option(help="The new class's name (default: the network's).")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier network in the folder.")]
SkipBroken = Annotated[bool, typer.Option("--skip-broken", help="Leave out broken images.")]
Cache = Annotated[Path | None, typer.Option(help="Folder for the features of the trunk.")]


@app.command()
def grow(
    model: Model,
    data: Annotated[str, typer.Option(help=f"Images of the new classes, and of old ones. {DATA_FORMS}")],
    out: Out,
    weights: Weights = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="A new class: a folder of --data; repeatable (default: all that are none yet)."),
    ] = None,
    group: Annotated[str | None, typer.Option(help="The group that they join.")] = None,
    new_group: Annotated[str | None, typer.Option(help="A new group for them; with --group, below that one.")] = None,
    old: Annotated[
        str | None, typer.Option(help="Images of old classes, to be told apart from (default: those in --data).")
    ] = None,
    solver: Annotated[
        str, typer.Option(help="train: branches and rows; ridge: rows in closed form, in seconds.")
    ] = "train",
    recipe: RecipeName = "tails",
    settings: Settings = None,
    name: Name = None,
    force: Force = False,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = None,
    skip_broken: SkipBroken = False,
) -> None:
    """Add classes to a trained network: only their branches and rows are trained, all that was there stays to the
    bit."""
    from hiergen.training.grow import grow as job

    printer = console()
    done = job(
        model,
        data,
        out,
        group=group,
        new_group=new_group,
        classes=classes or (),
        old=old,
        weights=weights,
        solver=solver,
        recipe=recipe,
        settings=settings or (),
        name=name,
        force=force,
        cache=cache,
        workers=workers,
        device=device,
        skip_broken=skip_broken,
        console=console(),
    )
    new, before = done.images
    say(printer, f"new: {listed(done.classes)}; learned from {new:,} images of them and {before:,} of old classes")
    printer.print(done.table())
    both = done.written.network.form == "both"
    but = ", but in the form both where a new class's group is the likeliest" * both
    printer.print("held-out images, which scale and offset of the new logits were fitted on, too")
    printer.print(f"old logits are what they were, to the bit{but}")
    if not before:
        text = "without images of old classes nothing says how often new ones are seen in them: --old DATA"
        printer.print(text, style="yellow")
    _say_written(done.written)


@app.command()
def specialise(
    model: Model,
    data: Annotated[str, typer.Option(help=DATA_FORMS)],
    out: Out,
    weights: Weights = None,
    groups: Annotated[
        list[str] | None,
        typer.Option("--groups", help="Groups, commas between, repeatable (default: all of two classes or more)."),
    ] = None,
    val: Annotated[str | None, typer.Option(help="Held-out images (default: a share of --data).")] = None,
    recipe: RecipeName = "tails",
    settings: Settings = None,
    name: Name = None,
    force: Force = False,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = None,
    skip_broken: SkipBroken = False,
    only_known: Annotated[
        bool, typer.Option("--only-known", help="Leave out folders that are no class of the network.")
    ] = False,
) -> None:
    """Train own branches of groups, one at a time, and keep those that are better than the branch for all classes on
    held-out images."""
    from hiergen.training.specialise import specialise as job

    printer = console()
    done = job(
        model,
        data,
        out,
        groups=groups or (),
        weights=weights,
        val=val,
        recipe=recipe,
        settings=settings or (),
        name=name,
        force=force,
        cache=cache,
        workers=workers,
        device=device,
        skip_broken=skip_broken,
        only_known=only_known,
        console=console(),
    )
    printer.print(done.table())
    count = f"kept: {len(done.kept)} of {len(done.groups)} new branches"
    if done.written is None:
        printer.print(f"{count}: none is better than the generalist, nothing is written", style="yellow")
        return
    say(printer, f"{count} ({listed(done.kept)}); cutouts of these groups are they")
    _say_written(done.written)


@app.command()
def graft(
    models: Annotated[list[str], typer.Argument(help=f"Two or more networks or cutouts on one trunk: {MODEL_FORMS}.")],
    out: Out,
    weights: Annotated[
        list[Path] | None,
        typer.Option(help="Weights of those that are no folder, in their order; repeatable."),
    ] = None,
    put_back: Annotated[
        bool, typer.Option("--put-back", help="Of classes that several have, take the last one's branches.")
    ] = False,
    name: Name = None,
    force: Force = False,
) -> None:
    """Put networks and cutouts that share a trunk together; nothing is trained, logits stay."""
    from hiergen.models.graft import graft as job

    _say_grafted(job(models, out, weights=weights or (), put_back=put_back, name=name, force=force))


@app.command()
def shrink(
    model: Model,
    classes: Annotated[
        list[str], typer.Option(help="Classes to take out: ids, names, groups, …; commas between, repeatable.")
    ],
    out: Out,
    weights: Weights = None,
    name: Name = None,
    force: Force = False,
) -> None:
    """Take classes out of a network for good: nothing of their branches and rows is left in the files."""
    from hiergen.models.graft import shrink as job

    _say_grafted(job(model, out, classes, weights=weights, name=name, force=force))


def _say_grafted(done: Grafted) -> None:
    from hiergen.models.graft import IMAGES, UNFITTED

    printer, whole = console(), done.written.network
    before = " and ".join(str(network.num_classes) for network in done.networks)
    say(
        printer,
        f"{before} classes → {whole.num_classes}, {' → '.join(str(level.branches) for level in whole.levels)} branches",
    )
    for name in done.lost:
        what = "generalist" if name == "generalist" else "flat network's tail"
        say(printer, f"the {what} is left out: it has no rows for all of the classes", style="yellow")
    if any(network.rejection for network in done.networks):
        say(printer, UNFITTED, style="yellow")
    if done.difference is not None:
        say(printer, f"largest difference from the logits before: {done.difference:g} ({IMAGES} random images)")
    else:
        form = f"its form is {whole.form}, theirs are {listed({network.form for network in done.networks})}"
        say(printer, f"no logits to compare: {form}")
    _say_written(done.written)


def _say_written(written: Written) -> None:
    printer, folder = console(), str(written.folder)
    say(
        printer,
        f"→ {folder}: {', '.join(sorted(p.name for p in written.folder.iterdir() if p.is_file()))}",
        style="bold",
    )
    say(printer, f"next: hiergen predict {shlex.quote(folder)} IMAGES; in Python hiergen.load_network({folder!r})")
