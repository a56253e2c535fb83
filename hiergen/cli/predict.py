"""The command `hiergen predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import BATCH_SIZE, BatchSize, Device, Json, Model, Untrained, Weights, Workers, app, console
from hiergen.console.terminal import as_json, one_line, plain_table, say
from hiergen.errors import HiergenError, unquoted

if TYPE_CHECKING:
    from rich.console import Console

    from hiergen.models.predict import Predictions
    from hiergen.nn.predict import Guess, Recognition

_LONG = 3  # images up to which each level's guesses are printed


@app.command()
def predict(
    model: Model,
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders or tars of them, or patterns such as 'photos/*.jpg'.")
    ],
    weights: Weights = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="Only these classes run (ids, names, groups, WordNet terms, …; repeatable): a cutout."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many groups and classes of each level.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all as a .csv or .json file.")] = None,
    draw: Annotated[
        Path | None,
        typer.Option(help="Draw the image with its path through the tree: an .svg or .png; of several a folder."),
    ] = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    device: Device = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out broken images: they are named, and no error.")
    ] = False,
    untrained: Untrained = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of text.")] = False,
    json_: Json = False,
) -> None:
    """Recognise images: the likeliest groups and classes, level by level, with their probabilities."""
    if as_csv and json_:
        raise HiergenError("two formats are asked for", expected="--csv or --json")
    if out is not None and out.suffix.lower() not in (".csv", ".json"):
        raise HiergenError("is no name for predictions", place=unquoted(out), expected="a .csv or .json file")
    from hiergen.console.progress import ProgressBar
    from hiergen.files import check_writable, writable, write_text
    from hiergen.models.predict import broken_sentence
    from hiergen.models.predict import predict as job

    if out is not None:
        check_writable(out)
    if draw is not None:
        from hiergen.views.draw.prediction import check

        check(draw)
    with ProgressBar(console(stderr=True), "images") as report:
        done = job(
            model,
            images,
            weights=weights,
            classes=classes or (),
            top=top,
            batch_size=batch_size or BATCH_SIZE,
            workers=workers,
            device=device,
            untrained=untrained,
            progress=report,
        )
    written = [] if out is None else [out]
    if draw is not None:
        from hiergen.views.draw.prediction import draw_predictions

        written = [*draw_predictions(done, draw, classes=classes or ()), *written]
    for note in done.notes:
        print(one_line(note), file=sys.stderr)
    text = done.to_csv() if as_csv or (out is not None and out.suffix.lower() == ".csv") else ""
    json_text = writable(as_json(done.to_dict(), indent=1)) + "\n"
    if out is not None:
        write_text(out, text if out.suffix.lower() == ".csv" else json_text)
    if as_csv or json_:
        sys.stdout.write(text if as_csv else json_text)
    else:
        _show(console(), done)
    printer = console(stderr=as_csv or json_)
    for path in written:
        say(printer, f"→ {path}", style="bold")
    for error in done.broken:
        print(one_line(error), file=sys.stderr)
    if (problem := broken_sentence(done)) is not None and not skip_broken:
        raise problem


def _show(printer: Console, done: Predictions) -> None:
    answers = done.answers
    if len(answers) <= _LONG:
        for answer in answers:
            say(printer, _named(answer), style="bold")
            for level in answer.levels:
                say(printer, "  " + "   ".join(map(_guess, level)))
        return
    depth = done.network.nesting.depth
    table = plain_table(("file", *(f"level {j}" for j in range(1, depth)), "class"), left=("file",))
    for column in table.columns:
        column.justify = "left"
    for answer in answers:
        table.add_row(answer.place, *map(_guess, answer.path[:-1]), _last(answer))
    printer.print(table)


def _named(answer: Recognition) -> str:
    return f"{answer.place}: {_last(answer)}"


def _last(answer: Recognition) -> str:
    return _guess(answer.best) if answer.accepted is not False else f"{answer.name} (nearest: {_guess(answer.best)})"


def _guess(guess: Guess) -> str:
    from hiergen.nn.predict import percent

    return f"{guess.name} {percent(guess.probability)}"
