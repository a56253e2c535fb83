"""The command `hiergen count-partitions`: how many nestings there are, one of them at random, several compared."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, app, console
from hiergen.console.terminal import as_json as json_text
from hiergen.errors import HiergenError

if TYPE_CHECKING:
    from hiergen.nestings.count.request import CountResult

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
    from hiergen.nestings.count.request import count_and_draw, estimate_seconds, read_request

    request = read_request(
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
    seconds, status = estimate_seconds(request), console(stderr=True)
    waiting = seconds > 2 and status.is_terminal
    with status.status(f"counting; about {seconds:.0f} s") if waiting else nullcontext():
        result = count_and_draw(request, draws=draws or int(sample), seed=seed)
    if as_json:
        print(json_text(result.as_data(), indent=1))
    else:
        _print(result, digits=digits, log10=log10)


def _print(result: CountResult, *, digits: bool, log10: bool) -> None:
    """Each number behind what it is."""
    from hiergen.nestings.count.constraints import short
    from hiergen.nestings.count.request import text

    request = result.request
    if digits:
        print(f"digits: {result.digits}")
    if log10:
        print(f"log10: {result.log10:.10g}")
    for i, levels in enumerate(result.draws):
        if i:
            print()
        if not levels:
            print("1 level: nothing is grouped")
        for j, level in enumerate(levels):
            inside = " | ".join(", ".join(group) for group in level)
            print(f"level {j + 1}, {len(level)} group{'s' * (len(level) != 1)}: {inside}")
    if digits or log10 or result.draws:
        return
    levels_text = f"{short(request.k)} level{'s' * (request.k != 1)}"
    print(f"nestings of {request.n:,} classes on {levels_text}: {text(result.count)}")
    if result.same is not None and (nesting := request.nesting) is not None:
        counts, same = ", ".join(map(str, nesting.counts)), math.log10(result.same)
        print(f"{nesting.name} is one of 10^{same:.2f} with its shape (groups {counts} and their sizes),")
        print(f"a share of 10^{same - result.log10:.2f}")


def _compare(nestings: list[str], tasks: list[Path], svg: Path | None, *, as_json: bool) -> None:
    from hiergen.nestings.compare.compare import compare_nestings
    from hiergen.views.alluvial import check_alluvial, write_alluvial

    if svg is not None:
        check_alluvial(svg, len(nestings))
    comparison = compare_nestings(nestings, tasks=tasks)
    if svg is not None:
        write_alluvial(svg, *zip(*((figures.nesting, figures.title) for figures in comparison.nestings), strict=True))
    if as_json:
        print(json_text(comparison.as_data(), indent=1))
    else:
        comparison.table(console())
