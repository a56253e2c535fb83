"""The command `hiergen search`: the best nesting of an objective as a new taxonomy file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, TaxonomyFile, app, console
from hiergen.cli.suggest import (
    KINDS,
    Confusions,
    Force,
    Groups,
    MaxSize,
    MinSize,
    Model,
    Seed,
    Timm,
    Weights,
    print_result,
    progress_bar,
)
from hiergen.nestings.search.kinds import OBJECTIVES

if TYPE_CHECKING:
    from hiergen.nestings.search.search import SearchResult

_OBJECTIVES = "; ".join(f"{name}: {kind.help}" for name, kind in OBJECTIVES.items())


@app.command()
def search(
    taxonomy: TaxonomyFile,
    objective: Annotated[str, typer.Option(help=f"{_OBJECTIVES}.")] = "coherence",
    tasks: Annotated[list[str] | None, typer.Option(help="tasks: a file of classes; repeatable.")] = None,
    same_sizes: Annotated[bool, typer.Option("--same-sizes", help="Keep the sizes of FILE's groups.")] = False,
    steps: Annotated[int | None, typer.Option(help="Proposals to try (default: eight rounds).", min=1)] = None,
    groups: Groups = None,
    model: Model = None,
    min_size: MinSize = 2,
    max_size: MaxSize = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new file (default: NAME-search.yaml beside).")
    ] = None,
    force: Force = False,
    by: Annotated[
        str, typer.Option(help=f"What the objective is of: {KINDS}.", rich_help_panel="Evidence")
    ] = "wordnet",
    weights: Weights = None,
    timm: Timm = None,
    confusions: Confusions = None,
    as_json: Json = False,
) -> None:
    """Search the nestings of FILE's shape for the best of an objective, and write it as a new taxonomy file."""
    from hiergen.nestings.search.search_nesting import search as job
    from hiergen.nestings.suggest.request import SuggestRequest
    from hiergen.nestings.suggest.shape import read_counts

    request = SuggestRequest(
        by=by,
        groups=None if groups is None else read_counts(groups),
        model=model,
        min_size=min_size,
        max_size=max_size,
        seed=seed,
        weights=weights,
        timm=timm,
        confusions=confusions,
    )
    with progress_bar() as progress:
        suggestion = job(
            taxonomy,
            request,
            objective=objective,
            tasks=tasks or (),
            same_sizes=same_sizes,
            steps=steps,
            out=out,
            force=force,
            progress=progress,
        )
    if print_result(suggestion, as_json=as_json):
        from hiergen.nestings.search.search import SearchResult

        assert isinstance(suggestion.proposal.detail, SearchResult)
        print_scores(suggestion.proposal.detail)


def print_scores(result: SearchResult) -> None:
    """The score beside the file's own and random ones."""
    from rich.table import Table

    from hiergen.nestings.search.search import DRAWS

    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in (result.objective, "score", f"z, by {DRAWS} draws"):
        table.add_column(column, justify="right" if column == "score" else "left")
    for row in result.rows():
        table.add_row(*row)
    printer = console()
    printer.print(table)
    if result.stopped:
        printer.print("stopped before its end: the best so far", style="yellow")
    printer.print(f"{result.steps:,} steps in {result.seconds:.1f} s", style="dim")
