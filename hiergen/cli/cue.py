"""The command `hiergen cue`: which classes a word is about, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiergen.cli.app import Exit, Json, app, console
from hiergen.console.terminal import as_json as json_text
from hiergen.console.terminal import one_line
from hiergen.errors import HiergenError, SpecError, quoted

if TYPE_CHECKING:
    from rich.console import Console

    from hiergen.lookup.cue import Cue

_OTHERS = 5  # readings shown beside the chosen ones


@app.command()
def cue(
    words: Annotated[
        list[str],
        typer.Argument(help="Words, then maybe a taxonomy file, a generated file (FILE.py:MODEL) or a model's name."),
    ],
    sense: Annotated[str | None, typer.Option(help="The sense to take, such as bark.n.04.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Take all readings together, not only the best.")] = False,
    as_json: Json = False,
) -> None:
    """Find the classes that a word, such as a sound's label, is about, and say why."""
    from hiergen.lookup.cue import cue as job
    from hiergen.lookup.vocabulary import vocabulary

    words, source = _split(words)
    terms = vocabulary(source)
    names = dict(zip(terms.ids, terms.names, strict=True))
    cues: list[Cue] = []
    problems: list[HiergenError] = []
    for word in words:
        try:
            cues.append(job(word, terms, sense=sense, every=every))
        except HiergenError as error:
            problems.append(error)
    if as_json:
        print(json_text([_as_data(one, names) for one in cues], indent=1))
    else:
        printer = console()
        for one in cues:
            _show(one, names, printer)
    for problem in problems:
        print(f"error: {one_line(problem)}", file=sys.stderr)
    if problems:
        raise typer.Exit(Exit.BAD_INPUT)


def _split(words: list[str]) -> tuple[list[str], str]:
    """The words, and what the last argument says of the classes; without that ImageNet-1k's."""
    from hiergen.lookup.vocabulary import is_source

    if not is_source(words[-1]):
        return words, "imagenet1k"
    if len(words) == 1:
        raise SpecError("no word given", expected="hiergen cue WORD … [FILE]", got=quoted(words[-1]))
    return words[:-1], words[-1]


def _as_data(result: Cue, names: Mapping[str, str]) -> dict[str, Any]:
    data = asdict(result)
    return {**data, "classes": [{"id": c, "name": names[c]} for c in result.classes]}


def _show(result: Cue, names: Mapping[str, str], printer: Console) -> None:
    shown = [names[c] for c in result.classes]
    more = f", … {len(shown) - 12} more" if len(shown) > 12 else ""
    printer.print(f"{result.word} → {_count(len(shown))} (score {result.score:.2f})", style="bold", markup=False)
    printer.print(f"  {', '.join(shown[:12])}{more}", style="cyan", markup=False)
    for line in result.evidence:
        printer.print(f"  {line}", markup=False)
    others = [r for r in result.readings if not set(r.evidence) <= set(result.evidence)]
    for reading in others[:_OTHERS]:
        option = f"--sense {reading.sense}" if reading.sense else "--all"
        text = f"  also {reading.score:.2f}, {_count(len(reading.classes))}, {option}: {reading.evidence[0]}"
        printer.print(text, style="dim", markup=False)
    if len(others) > _OTHERS:
        printer.print(f"  and {len(others) - _OTHERS} readings more (--json)", style="dim", markup=False)


def _count(number: int) -> str:
    return f"{number} class{'es' * (number != 1)}"
