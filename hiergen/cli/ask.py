"""The command `hiergen ask`: a nesting with a language model's word where the evidence disagrees (NHLgpt)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import Json, TaxonomyFile, app, console
from hiergen.cli.suggest import Force, Groups, Model, Timm, Weights, print_result, progress_bar

if TYPE_CHECKING:
    from hiergen.nestings.ask.ask import AskResult

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
    from hiergen.nestings.ask.ask_nesting import ask as job
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
    printer.print(f"questions: {text}", markup=False, soft_wrap=True)
    for problem in result.problems[:5]:
        printer.print(f"  {problem}", style="yellow", markup=False, soft_wrap=True)
    if dry_run is not None:
        many = "1 prompt is" if result.prompts == 1 else f"{result.prompts} prompts are"
        text = f"{many} in {dry_run}; give the answers back with --answers FILE"
        printer.print(text, style="bold", markup=False, soft_wrap=True)
