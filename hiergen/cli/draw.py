"""Commands to look: `draw`, a tree, an architecture, or what branches make of an image; `explore`, a page of it all."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hiergen.cli.app import app, console
from hiergen.console.progress import spinner
from hiergen.console.terminal import command, say
from hiergen.errors import HiergenError, listed, quoted


class Theme(StrEnum):
    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class Layout(StrEnum):
    AUTO = "auto"
    ROWS = "rows"
    RADIAL = "radial"


class _Draw(TyperCommand):
    """Nestings side by side are another command's, which it names."""

    allow_extra_args = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        more = super().parse_args(ctx, args)
        if more:
            subject, out = ctx.params["subject"], ctx.params["out"]
            svg = out if out is not None and out.suffix == ".svg" else "OUT.svg"
            both = command(("hiergen", "count-partitions", subject, *more, "--svg", svg))
            raise HiergenError(
                "one thing is drawn at once",
                expected=quoted(subject),
                got=f"{listed(more)} too",
                hint=f"{both} draws nestings side by side",
            )
        return more


@app.command(cls=_Draw)
def draw(
    subject: Annotated[
        str,
        typer.Argument(
            help="A taxonomy file, FILE.yaml:MODEL, FILE.py:NAME, a timm name, or a cutout's folder.",
            metavar="FILE|MODEL",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="An .svg or .png (of maps .png, .svg or .pdf).")
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Draw the tree (the default for a taxonomy file).")] = False,
    architecture: Annotated[
        bool, typer.Option("--architecture", help="Draw trunk, split-points and branches (the default for a model).")
    ] = False,
    model: Annotated[str | None, typer.Option(help="The taxonomy file's model (default: the deepest).")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Draw the merged tree instead of a model's nesting.")
    ] = False,
    shown: Annotated[
        list[str] | None, typer.Option("--class", help="Show the path of these classes; repeatable.")
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option(help="A cutout: classes to keep; the others are grey; repeatable.")
    ] = None,
    except_: Annotated[list[str] | None, typer.Option("--except", help="Classes to leave out, likewise.")] = None,
    layout: Annotated[Layout, typer.Option(help="How a tree is laid out; auto: rows up to 150 classes.")] = Layout.AUTO,
    theme: Annotated[Theme, typer.Option(help="Colours; auto: the reader's in an SVG, light in a PNG.")] = Theme.AUTO,
    scale: Annotated[float | None, typer.Option(help="Pixels of a PNG for each of the SVG.")] = None,
    image: Annotated[Path | None, typer.Option(help="Draw what branches of a model make of this image.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The model's weights, safetensors (of --image).")] = None,
    branches: Annotated[
        list[str] | None,
        typer.Option(help="Groups or classes whose maps to draw (default: the two likeliest classes)."),
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also Grad-CAM's heat of each branch.")] = False,
    gain: Annotated[
        list[str] | None, typer.Option(help='Also the maps with a gain, "domestic cat=1.4"; repeatable.')
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels of each branch to draw.", min=1, max=64)] = 6,
) -> None:
    """Draw a taxonomy's tree or a network's architecture, or the feature maps of branches on an image."""
    of_image: dict[str, object] = {"--weights": weights, "--branches": branches, "--overlay": overlay, "--gain": gain}
    of_plan: dict[str, object] = {
        **{"--tree": tree, "--architecture": architecture, "--model": model, "--merged": merged, "--class": shown},
        **{"--classes": classes, "--except": except_, "--scale": scale, "--theme": theme != Theme.AUTO},
        "--layout": layout != Layout.AUTO,
    }
    _together("--image", of_image if image is None else of_plan, given=image is not None)
    if image is not None:
        _maps(subject, out, image, weights, branches or [], overlay, gain or [], channels)
        return
    if tree and architecture:
        raise HiergenError("two pictures are asked for", expected="--tree or --architecture")
    from hiergen.views.draw.draw import draw as job

    target = job(
        subject,
        out,
        what="tree" if tree else "architecture" if architecture else None,
        model=model,
        merged=merged,
        shown=shown or (),
        classes=classes or (),
        except_=except_ or (),
        layout=layout.value,
        theme=theme.value,
        scale=scale,
    )
    say(console(), f"→ {target}", style="bold")


def _together(option: str, others: dict[str, object], *, given: bool) -> None:
    """Raises HiergenError for options of the other kind of picture."""
    for name, value in others.items():
        if value:
            if given:
                raise HiergenError(f"{name} does not go with {option}")
            raise HiergenError(f"{name} needs an image", expected=f"{option} FILE")


def _maps(
    subject: str,
    out: Path | None,
    image: Path,
    weights: Path | None,
    branches: list[str],
    overlay: bool,
    gain: list[str],
    channels: int,
) -> None:
    from hiergen.cli.app import read_gains
    from hiergen.models.load import load_trained
    from hiergen.views import plots
    from hiergen.views.draw.subject import is_file

    target = out or Path(f"{_file_name(image.stem)}-maps.png")
    plots.check(target)
    if is_file(subject):
        raise HiergenError(
            "an image needs a network", got=quoted(subject), expected="FILE.py:NAME or a cutout's folder"
        )
    from hiergen.models.load import find_model
    from hiergen.views.draw.maps import UNTRAINED, best_classes, draw_maps, read_image, states, typed_nodes

    reference = find_model(subject)
    trained = weights is not None or reference.weights is not None
    network = load_trained(reference, weights, untrained=not trained)
    nodes = typed_nodes(network, branches) if branches else []
    gains = read_gains(network, gain)
    tensor = read_image(image, network)
    if not nodes:  # of what is steered, then of the answers
        steered = [node for term in gains for node in network.selector.nodes(term)]
        answers = [node for c, _ in best_classes(network, tensor, 2) for node in network.selector.nodes(c)]
        nodes = list(dict.fromkeys([*steered, *answers]))[:2]
    if not trained:
        print(f"{UNTRAINED}; give --weights FILE.safetensors", file=sys.stderr)
    shown = states(network, tensor, nodes, gains)
    draw_maps(
        target,
        network,
        tensor,
        shown,
        overlay=overlay,
        channels=channels,
        trained=trained,
        title=f"{reference.name} on {image.name}",
    )
    say(console(), f"→ {target}", style="bold")


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:80] or "picture"


@app.command()
def explore(
    source: Annotated[str, typer.Argument(help="A taxonomy file, FILE.yaml:MODEL, FILE.py:NAME or a cutout's folder.")],
    second: Annotated[
        str | None, typer.Argument(help="Another one over the same classes, to be shown beside it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The .html file (default: NAME.html).")] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="The folder of 'hiergen eval -o FOLDER', or a metrics.json of 'train' or 'eval --json'."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights that the page's commands name, and --image and --data take.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            help="Show these images' paths through the tree: files, folders, patterns; repeatable; not with --data."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Show those of a few images of each class of labelled data, and which answers are right."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure milliseconds now: full, flat and some cutouts of each model.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Images at once, for --measure.", min=1)] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads, for --measure (default: torch's own).")] = None,
    repeats: Annotated[int | None, typer.Option(help="Runs of each (default: three seconds of each).")] = None,
) -> None:
    """Write a page to look at: the tree, where its costs sit, and what a cutout would save. It needs no server."""
    from hiergen.views.explore import explore as job

    with spinner(console(stderr=True)) as progress:
        done = job(
            [source] if second is None else [source, second],
            out,
            results=results,
            weights=weights,
            images=image or (),
            data=data,
            timed=measure,
            batch=batch,
            threads=threads,
            repeats=repeats,
            progress=progress,
        )
    printer = console()
    models = ", ".join(name for name, _ in done.models)
    text = f"→ {done.path}: {len(done.sources[0].ids):,} classes; {models}; {done.size / 1e6:.1f} MB"
    say(printer, text, style="bold")
    for note in done.notes:
        say(printer, note)
    for name, model in done.models:
        if model.why:
            say(printer, f"{name}: {model.why}", style="yellow")
    if weights is not None and not os.path.isfile(weights):
        text = f"no file {quoted(Path(weights))} is here: the page's commands name it all the same"
        say(printer, text, style="yellow")
    say(printer, "next: open it in a browser; no server and no network are needed")
