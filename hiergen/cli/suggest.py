"""Commands that write a nesting as a new taxonomy file: `suggest` by evidence, `search` for the best of an objective,
`ask` with a language model's word where the evidence disagrees (NHLgpt)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, TaxonomyFile, app, console
from hiergen.console.terminal import plain_table, say
from hiergen.nestings.search.kinds import OBJECTIVES
from hiergen.nestings.suggest.kinds import EVIDENCE

if TYPE_CHECKING:
    from hiergen.nestings.ask.ask import AskResult
    from hiergen.nestings.search.search import SearchResult
    from hiergen.nestings.suggest.kinds import Progress
    from hiergen.nestings.suggest.suggest import Suggestion

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
    from hiergen.nestings.suggest.suggest import suggest as job

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
    from hiergen.nestings.suggest.suggest import print_suggestion

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
    from hiergen.nestings.search.search import search as job
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

    from hiergen.nestings.search.search import DRAWS

    z = f"z, by {DRAWS} draws"
    table = plain_table((result.objective, "score", z), left=(result.objective, z))
    for row in result.rows():
        table.add_row(*row)
    printer = console()
    printer.print(table)
    if result.stopped:
        printer.print("stopped before its end: the best so far", style="yellow")
    printer.print(f"{result.steps:,} steps in {result.seconds:.1f} s", style="dim")


_SERVER, _HAND = "A server", "By hand"


@app.command()
def ask(
    taxonomy: TaxonomyFile,
    groups: Groups = None,
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new file (default: NAME-ask.yaml beside).")
    ] = None,
    force: Force = False,
    weights: Weights = None,
    timm: Timm = None,
    cache: Annotated[Path | None, typer.Option(help="Answers so far (default: beside the new file).")] = None,
    batch: Annotated[int, typer.Option(help="Questions in one prompt.")] = 20,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server, ending in /v1.", rich_help_panel=_SERVER)
    ] = None,
    llm_model: Annotated[str | None, typer.Option(help="The model's name there.", rich_help_panel=_SERVER)] = None,
    key_env: Annotated[
        str | None,
        typer.Option(help="The environment variable with the key (default: OPENAI_API_KEY).", rich_help_panel=_SERVER),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for one request (default: 60).", rich_help_panel=_SERVER)
    ] = None,
    dry_run: Annotated[
        Path | None, typer.Option(help="Write the prompts to this file instead of a taxonomy.", rich_help_panel=_HAND)
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="The replies to the prompts of --dry-run.", rich_help_panel=_HAND)
    ] = None,
    as_json: Json = False,
) -> None:
    """Group the classes of FILE by WordNet and names, and ask a language model where these disagree."""
    from hiergen.nestings.ask.ask import ask as job
    from hiergen.nestings.suggest.request import SuggestRequest
    from hiergen.nestings.suggest.shape import read_counts

    counts = None if groups is None else read_counts(groups)
    with progress_bar() as progress:
        suggestion = job(
            taxonomy,
            SuggestRequest(groups=counts, model=model, weights=weights, timm=timm),
            base_url=base_url,
            llm_model=llm_model,
            key_env=key_env,
            answers=answers,
            dry_run=dry_run,
            cache=cache,
            timeout=timeout,
            batch=batch,
            out=out,
            force=force,
            progress=progress,
        )
    if print_result(suggestion, as_json=as_json):
        from hiergen.nestings.ask.ask import AskResult

        assert isinstance(suggestion.proposal.detail, AskResult)
        print_questions(suggestion.proposal.detail, dry_run)


def print_questions(result: AskResult, dry_run: Path | None) -> None:
    """How many questions there were, who answered them, and what to do with a file of prompts."""
    printer = console()
    counts = (
        (result.sent, "sent"),
        (result.taken, "from --answers"),
        (result.cached, "answered before"),
        (result.open, "open"),
    )
    text = ", ".join(f"{count} {what}" for count, what in counts if count) or "none: the evidence agrees"
    say(printer, f"questions: {text}")
    for problem in result.problems[:5]:
        say(printer, f"  {problem}", style="yellow")
    if dry_run is not None:
        many = "1 prompt is" if result.prompts == 1 else f"{result.prompts} prompts are"
        text = f"{many} in {dry_run}; give the answers back with --answers FILE"
        say(printer, text, style="bold")
