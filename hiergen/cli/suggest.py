"""The command `hiergen suggest`: a proposed nesting as a new taxonomy file; and what `search` and `ask` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, TaxonomyFile, app, console
from hiergen.nestings.suggest.kinds import EVIDENCE

if TYPE_CHECKING:
    from hiergen.nestings.suggest.kinds import Progress
    from hiergen.nestings.suggest.suggest_nesting import Suggestion

KINDS = ", ".join(EVIDENCE)
Groups = Annotated[
    str | None, typer.Option(help="Groups of each level, coarse first, as 5,15 (default: as FILE has them).")
]
Model = Annotated[str | None, typer.Option(help="The model of FILE to be like (default: the deepest).")]
MinSize = Annotated[int, typer.Option(help="Fewest classes of a finest group.")]
MaxSize = Annotated[int | None, typer.Option(help="Most classes of a finest group (default: 3 × mean).")]
Seed = Annotated[int, typer.Option(help="Seed of whatever is drawn.", min=0)]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
Weights = Annotated[
    Path | None, typer.Option(help="A classifier's weights, .safetensors or .pth.", rich_help_panel="Evidence")
]
Timm = Annotated[str | None, typer.Option(help="A timm model, pretrained.", rich_help_panel="Evidence")]
Confusions = Annotated[
    Path | None, typer.Option(help="Counts of mistakes, or a report's classes.csv.", rich_help_panel="Evidence")
]


@app.command()
def suggest(
    taxonomy: TaxonomyFile,
    by: Annotated[str, typer.Option(help=f"{KINDS}.")] = "wordnet",
    groups: Groups = None,
    model: Model = None,
    min_size: MinSize = 2,
    max_size: MaxSize = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new file (default: NAME-BY.yaml beside).")
    ] = None,
    force: Force = False,
    weights: Weights = None,
    key: Annotated[
        str | None, typer.Option(help="weights: the tensor with one row per class.", rich_help_panel="Evidence")
    ] = None,
    timm: Timm = None,
    data: Annotated[
        str | None,
        typer.Option(help="features: images, as 'hiergen train' takes them.", rich_help_panel="Evidence"),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="features: FILE.py:NAME, with --weights.", rich_help_panel="Evidence")
    ] = None,
    confusions: Confusions = None,
    text_model: Annotated[
        str | None, typer.Option(help="names: a sentence-transformers model.", rich_help_panel="Evidence")
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose groups for the classes of FILE, from evidence, and write them as a new taxonomy file to be edited."""
    from hiergen.nestings.suggest.request import SuggestRequest
    from hiergen.nestings.suggest.shape import read_counts
    from hiergen.nestings.suggest.suggest_nesting import suggest as job

    request = SuggestRequest(
        by=by,
        groups=None if groups is None else read_counts(groups),
        model=model,
        min_size=min_size,
        max_size=max_size,
        seed=seed,
        weights=weights,
        key=key,
        timm=timm,
        data=data,
        network=network,
        confusions=confusions,
        text_model=text_model,
    )
    with progress_bar() as progress:
        suggestion = job(taxonomy, request, out=out, force=force, progress=progress)
    print_result(suggestion, as_json=as_json)


def print_result(suggestion: Suggestion, *, as_json: bool) -> bool:
    """The suggestion as JSON or as text; whether it was text."""
    from hiergen.console.terminal import as_json as json_text
    from hiergen.nestings.suggest.show import print_suggestion

    if as_json:
        print(json_text(suggestion.as_data(), indent=1))
    else:
        print_suggestion(suggestion, console())
    return not as_json


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr for whatever takes its time: `progress(done, total)`."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    status = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=status, transient=True, disable=not status.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
