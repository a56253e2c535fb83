"""The command `hiergen suggest`: a proposed nesting as a new taxonomy file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiergen.cli.app import Json, TaxonomyFile, app, console
from hiergen.errors import SpecError
from hiergen.terminal import as_json as json_text

if TYPE_CHECKING:
    from hiergen.suggest.asking import Asking
    from hiergen.suggest.job import Proposer
    from hiergen.suggest.propose import Progress
    from hiergen.suggest.search.job import Found

_EVIDENCE, _SEARCH, _MODEL = "Evidence", "Search", "Language model (--by llm)"


@app.command()
def suggest(
    taxonomy: TaxonomyFile,
    by: Annotated[
        str,
        typer.Option(help="wordnet, superclass, weights, features, names, random, dissimilar or llm."),
    ] = "wordnet",
    groups: Annotated[
        str | None, typer.Option(help="Groups of each level, coarse first, as 5,15 (default: as FILE has them).")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model of FILE to be like (default: the deepest).")] = None,
    min_size: Annotated[int, typer.Option(help="Fewest classes of a finest group.")] = 2,
    max_size: Annotated[int | None, typer.Option(help="Most classes of a finest group (default: 3 × mean).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of whatever is drawn.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new file (default: NAME-BY.yaml beside).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    criterion: Annotated[
        str | None,
        typer.Option(help="wordnet: ic (information content, the default) or depth.", rich_help_panel=_EVIDENCE),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A classifier's weights, .safetensors or .pth.", rich_help_panel=_EVIDENCE)
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Its tensor with one row per class.", rich_help_panel=_EVIDENCE)
    ] = None,
    timm: Annotated[str | None, typer.Option(help="A timm model, pretrained.", rich_help_panel=_EVIDENCE)] = None,
    data: Annotated[
        str | None, typer.Option(help="features: images, as 'hiergen train' takes them.", rich_help_panel=_EVIDENCE)
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="features: FILE.py:NAME, with --weights.", rich_help_panel=_EVIDENCE)
    ] = None,
    confusions: Annotated[
        Path | None, typer.Option(help="features: counts, or a report's classes.csv.", rich_help_panel=_EVIDENCE)
    ] = None,
    text_model: Annotated[
        str | None, typer.Option(help="names: a sentence-transformers model.", rich_help_panel=_EVIDENCE)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="features: threads that read images (default: 1).", min=1, rich_help_panel=_EVIDENCE),
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Search from there for the best of --objective.", rich_help_panel=_SEARCH)
    ] = False,
    objective: Annotated[
        str | None,
        typer.Option(help="coherence (the default), separability, cost or tasks.", rich_help_panel=_SEARCH),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Stop after so many steps, in blocks of 1,000.", min=1, rich_help_panel=_SEARCH),
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", rich_help_panel=_SEARCH)] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep the search here, and go on from here.", rich_help_panel=_SEARCH)
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option(help="tasks: a file of classes; repeatable.", rich_help_panel=_SEARCH)
    ] = None,
    same_sizes: Annotated[
        bool, typer.Option("--same-sizes", help="Keep the sizes of FILE's groups.", rich_help_panel=_SEARCH)
    ] = False,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.", rich_help_panel=_MODEL)] = None,
    llm_model: Annotated[str | None, typer.Option(help="The model's name there.", rich_help_panel=_MODEL)] = None,
    key_env: Annotated[
        str | None,
        typer.Option(help="The environment variable with the key (default: OPENAI_API_KEY).", rich_help_panel=_MODEL),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Answers to the prompts of --dry-run.", rich_help_panel=_MODEL)
    ] = None,
    dry_run: Annotated[
        Path | None, typer.Option(help="Write the prompts to this file instead of a taxonomy.", rich_help_panel=_MODEL)
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Answers so far (default: beside the new file).", rich_help_panel=_MODEL)
    ] = None,
    retries: Annotated[
        int | None, typer.Option(help="Of a question or request (default: 3).", rich_help_panel=_MODEL)
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for one request (default: 60).", rich_help_panel=_MODEL)
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Questions in one prompt (default: 20).", rich_help_panel=_MODEL)
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose groups for the classes of FILE, from evidence, and write them as a new taxonomy file to be edited."""
    from hiergen.suggest import job
    from hiergen.suggest.propose import propose
    from hiergen.suggest.request import SuggestRequest
    from hiergen.suggest.shape import read_counts
    from hiergen.suggest.show import print_suggestion
    from hiergen.suggest.unread import refuse_unread

    request = SuggestRequest(
        by=by,
        groups=None if groups is None else read_counts(groups),
        model=model,
        min_size=min_size,
        max_size=max_size,
        seed=seed,
        criterion=criterion,
        weights=weights,
        key=key,
        timm=timm,
        data=data,
        network=network,
        confusions=confusions,
        text_model=text_model,
        workers=workers,
    ).checked()
    of_search = {
        "objective": objective,
        "steps": steps,
        "seconds": seconds,
        "state": state,
        "tasks": tuple(tasks) if tasks else None,
        "same_sizes": same_sizes or None,
    }
    of_llm = {
        "base_url": base_url,
        "llm_model": llm_model,
        "key_env": key_env,
        "answers": answers,
        "dry_run": dry_run,
        "cache": cache,
        "retries": retries,
        "timeout": timeout,
        "batch": batch,
    }
    proposer: Proposer = propose
    asking, searching, label, command = None, None, None, None
    if search and by == "llm":
        raise SpecError("a search does not ask a model", expected="--search or --by llm")
    if not search:
        refuse_unread(of_search, "without --search", "hiergen suggest FILE --search looks for the best nesting")
    if by != "llm":
        refuse_unread(of_llm, "without --by llm", "hiergen suggest FILE --by llm asks a model")
    if by == "llm":
        asking = _asking(taxonomy, out, of_llm)
        proposer = asking.propose
    elif search:
        from hiergen.suggest.searching import Searching

        searching = Searching(**_given(of_search))
        proposer, label = searching.propose, "search"
        command = searching.command(request, taxonomy)
    with _bar() as progress:
        suggested = job.suggest_nesting(
            taxonomy,
            request,
            out=out,
            force=force,
            write=dry_run is None,
            proposer=proposer,
            label=label,
            command=command,
            progress=progress,
        )
    if as_json:
        print(json_text(suggested.as_data(), indent=1))
        return
    print_suggestion(suggested, console())
    if asking is not None and asking.result is not None:
        print_asked(asking)
    if searching is not None and searching.result is not None:
        print_found(searching.result)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _asking(taxonomy: Path, out: Path | None, options: dict[str, Any]) -> Asking:
    from hiergen.suggest.asking import Asking, cache_beside
    from hiergen.suggest.unread import refuse_unread
    from hiergen.suggest.write import default_path
    from hiergen.taxonomy.load import load_taxonomy

    if options["base_url"] is None:
        of_server = {name: options[name] for name in ("key_env", "retries", "timeout")}
        refuse_unread(of_server, "without --base-url", "only a server is asked so")
    elif options["dry_run"] is not None:
        refuse_unread(
            {"base_url": options["base_url"]}, "with --dry-run", "the prompts are written, and nobody is asked"
        )
    given = _given(options)
    model = given.pop("llm_model", None)
    if "cache" not in given:
        given["cache"] = cache_beside(out if out is not None else default_path(load_taxonomy(taxonomy), "llm"))
    return Asking(model=model, **given)


def print_asked(asking: Asking) -> None:
    """How many questions there were, who answered them, and what to do with a file of prompts."""
    printer, asked = console(), asking.result
    assert asked is not None
    counts = (
        (asked.asked, "asked"),
        (asked.taken, "from --answers"),
        (asked.cached, f"known from {asking.cache}"),
        (asked.open, "open"),
    )
    said = ", ".join(f"{count} {what}" for count, what in counts if count) or "none: the evidence agrees"
    printer.print(f"questions: {said}", markup=False, soft_wrap=True)
    for problem in asked.problems[:5]:
        printer.print(f"  {problem}", style="yellow", markup=False, soft_wrap=True)
    if asking.dry_run is not None:
        many = "1 prompt is" if asked.prompts == 1 else f"{asked.prompts} prompts are"
        text = f"{many} in {asking.dry_run}; give the answers back with --answers FILE"
        printer.print(text, style="bold", markup=False, soft_wrap=True)


def print_found(found: Found) -> None:
    """The score of a search beside the file's own, random ones and the bound."""
    from rich.table import Table

    from hiergen.suggest.search.job import DRAWS

    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in (found.what, "score", f"z, by {DRAWS} draws"):
        table.add_column(column, justify="right" if column == "score" else "left")
    for row in found.rows():
        table.add_row(*row)
    printer = console()
    printer.print(table)
    if found.stopped:
        printer.print("stopped before its end: the best so far", style="yellow")
    printer.print(f"{found.steps:,} steps in {found.seconds:.1f} s", style="dim")


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar on stderr for whatever takes its time: `progress(done, total)`."""
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    status = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=status, transient=True, disable=not status.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
