"""The command `hiergen count-partitions`: how many nestings there are, one of them at random, several compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, app, console
from hiergen.errors import HiergenError
from hiergen.terminal import as_json as json_text

if TYPE_CHECKING:
    from hiergen.partitions.ask import Answer

_LIMITS, _COMPARING, _DRAWING = "Constraints", "Comparing", "Drawing"


@app.command("count-partitions")
def count_partitions(
    nestings: Annotated[
        list[str] | None,
        typer.Argument(help="A taxonomy file, FILE:MODEL or a generated model; two or more are compared."),
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", "-n", help="Number of classes, without a file.")] = None,
    levels: Annotated[
        int | None, typer.Option("--levels", "-k", help="Split-points (default: the file's, else 2).")
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="Groups of every level (5, 2-10) or of each, coarse first (5,10-20,*).", rich_help_panel=_LIMITS
        ),
    ] = None,
    min_size: Annotated[
        str | None, typer.Option(help="Fewest classes of a group, of every level or of each.", rich_help_panel=_LIMITS)
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(help="Most classes of a group, likewise.", rich_help_panel=_LIMITS)
    ] = None,
    must_link: Annotated[
        list[str] | None,
        typer.Option(
            help="A,B: in one group on every level (ids, names, indices; repeatable).", rich_help_panel=_LIMITS
        ),
    ] = None,
    cannot_link: Annotated[
        list[str] | None,
        typer.Option(help="A,B: never in one group, on no level (repeatable).", rich_help_panel=_LIMITS),
    ] = None,
    consistent: Annotated[
        str | None,
        typer.Option(help="A taxonomy file: only merges and cuts of its merged tree.", rich_help_panel=_LIMITS),
    ] = None,
    digits: Annotated[bool, typer.Option("--digits", help="Print the number of digits.")] = False,
    log10: Annotated[bool, typer.Option("--log10", help="Print the logarithm to base 10.")] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw one of them, all equally likely.", rich_help_panel=_DRAWING)
    ] = False,
    draws: Annotated[int, typer.Option(help="How many to draw.", min=0, rich_help_panel=_DRAWING)] = 0,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.", min=0, rich_help_panel=_DRAWING)] = 0,
    tasks: Annotated[
        list[Path] | None,
        typer.Option(help="Class lists: what a cutout of each would cost (repeatable).", rich_help_panel=_COMPARING),
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Where to draw the picture.", rich_help_panel=_COMPARING)] = None,
    as_json: Json = False,
) -> None:
    """Count the nestings of N classes exactly, under constraints; draw one; or compare nestings."""
    limits = (groups, min_size, max_size, consistent)
    if nestings and len(nestings) > 1:
        numbers = classes is not None or levels is not None or digits or log10 or sample or draws
        if numbers or must_link or cannot_link or any(limit is not None for limit in limits):
            raise HiergenError(
                "several nestings are compared, not counted", expected="one of them, to count; --tasks, --svg, --json"
            )
        _compare(nestings, tasks or [], svg, as_json=as_json)
        return
    if tasks or svg is not None:
        raise HiergenError("nothing to compare", expected="two or more nestings with --tasks and --svg")
    from hiergen.partitions import ask

    asked = ask.ask(
        nestings[0] if nestings else None,
        classes=classes,
        levels=levels,
        groups=groups,
        min_size=min_size,
        max_size=max_size,
        must_link=must_link or (),
        cannot_link=cannot_link or (),
        consistent=consistent,
    )
    draws = draws or int(sample)
    printer = console(stderr=True) if ask.seconds(asked) > 2 else None
    if printer is not None and printer.is_terminal:
        with printer.status(f"counting; about {ask.seconds(asked):.0f} s"):
            found = ask.answer(asked, draws=draws, seed=seed)
    else:
        found = ask.answer(asked, draws=draws, seed=seed)
    if as_json:
        print(json_text(found.as_data(), indent=1))
    else:
        _print(found, digits=digits, log10=log10)


def _print(found: Answer, *, digits: bool, log10: bool) -> None:
    from hiergen.partitions.ask import text
    from hiergen.partitions.count import log10_of

    if digits:
        print(found.digits if found.digits is not None else f"{int(found.low) + 1} or {int(found.high) + 1}")
    if log10:
        print(_power(found))
    if found.draws:
        for i, levels in enumerate(found.draws):
            if i:
                print()
            if not levels:
                print("1 level: nothing is grouped")
            for j, level in enumerate(levels):
                inside = " | ".join(", ".join(group) for group in level)
                print(f"level {j + 1}, {len(level)} group{'s' * (len(level) != 1)}: {inside}")
    if digits or log10 or found.draws:
        return
    if found.count is None:
        size = f", {found.digits:,} digits" if found.digits is not None else ""
        print(f"about 10^{_power(found)}{size} (not counted exactly; what is shown is proven)")
    else:
        print(text(found.count))
    if found.same is not None and found.asked.grouping is not None:
        counts = ", ".join(map(str, found.asked.grouping.counts))
        same = log10_of(found.same)
        print(f"{found.asked.grouping.name} is one of 10^{same:.2f} with its shape (groups {counts} and their sizes),")
        print(f"a share of 10^{same - found.low:.2f}")


def _power(found: Answer) -> str:
    """log10 of the count, of bounds only the places that both have."""
    if found.count is not None:
        return f"{found.low:.10g}"
    shown = ((f"{found.low:.{places}f}", f"{found.high:.{places}f}") for places in range(4, -1, -1))
    return next((low for low, high in shown if low == high), f"{found.low:.0f}")


def _compare(nestings: list[str], tasks: list[Path], svg: Path | None, *, as_json: bool) -> None:
    from hiergen.partitions.compare import compare_nestings

    found = compare_nestings(nestings, tasks=tasks, svg=svg)
    if as_json:
        print(json_text(found.as_data(), indent=1))
    else:
        found.table(console())
