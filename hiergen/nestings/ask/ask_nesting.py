"""`hiergen ask` in Python: the evidences' nesting, and a language model's word where they disagree, as a new file."""

from __future__ import annotations

from pathlib import Path

from hiergen.errors import SpecError
from hiergen.nestings.ask.ask import ask_model
from hiergen.nestings.suggest.evidence import combine
from hiergen.nestings.suggest.kinds import EVIDENCE, Progress
from hiergen.nestings.suggest.propose import Proposal, from_evidence
from hiergen.nestings.suggest.request import SuggestRequest, refuse_unread, typed_command
from hiergen.nestings.suggest.suggest_nesting import Suggestion, open_draft

CACHE_SUFFIX = ".answers.json"


def ask(
    file: str | Path,
    request: SuggestRequest = SuggestRequest(),  # noqa: B008 - frozen
    *,
    base_url: str | None = None,
    llm_model: str | None = None,
    key_env: str | None = None,
    answers: Path | None = None,
    dry_run: Path | None = None,
    cache: Path | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    batch: int = 20,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Suggestion:
    """Make a nesting from WordNet, names and whatever other evidence `request` gives, ask a language model where they
    disagree, and write it to `out`, by default beside the file as NAME-ask.yaml; `dry_run` writes the questions only.

    The file's own nesting has a vote where it has the shape. `cache` is by default the new file's name with
    .answers.json; other arguments as `ask.ask` has them, and `proposal.detail` is its result. Raises HiergenError as
    that, and as `suggest`.
    """
    if request.by != "wordnet":
        raise SpecError("all evidence together is what a model is asked about", expected="no --by")
    if base_url is None:
        of_server = {"key_env": key_env, "retries": retries, "timeout": timeout}
        refuse_unread(of_server, "without --base-url", "only a server is asked so")
    elif dry_run is not None:
        refuse_unread({"base_url": base_url}, "with --dry-run", "the prompts are written, and nobody is asked")
    draft = open_draft(file, request, "ask", out=out, force=force, write=dry_run is None)
    taxonomy, current = draft.taxonomy, draft.current
    evidence = [request.gather(taxonomy, kind, progress) for kind in _kinds(request)]
    result = ask_model(
        taxonomy,
        from_evidence(taxonomy, draft.shape, combine(evidence)).nesting,
        evidence,
        cache=cache or draft.path.with_name(draft.path.stem + CACHE_SUFFIX),
        base_url=base_url,
        model=llm_model,
        key_env=key_env or "OPENAI_API_KEY",
        dry_run=dry_run,
        answers=answers,
        timeout=60.0 if timeout is None else timeout,
        retries=3 if retries is None else retries,
        batch=batch,
        names=True,
        shape=draft.shape,
        proposals=[current] if current.counts == draft.shape.counts else [],
        progress=progress,
    )
    proposal = Proposal(result.nesting, result.marks, tuple(result.notes), result)
    command = None if dry_run is not None else typed_command("ask", taxonomy.path, request.words())
    return draft.finish(proposal, command)


def _kinds(request: SuggestRequest) -> list[str]:
    """WordNet and names; of the others the one that is given."""
    if request.data is not None:
        return ["wordnet", "names", "features"]
    given = [
        name for name in ("weights", "confusions") if any(getattr(request, n) is not None for n in EVIDENCE[name].needs)
    ]
    return ["wordnet", "names", *given]
