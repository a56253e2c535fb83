"""`hiergen search` in Python: a taxonomy file in, a new one with the best nesting of an objective out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hiergen.nestings.search.kinds import ObjectiveInputs, make_objective, objective_kind
from hiergen.nestings.search.search import find_best
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.kinds import OPTIONS, Progress
from hiergen.nestings.suggest.naming import name_groups
from hiergen.nestings.suggest.propose import MARGIN_NOTE, Proposal, mark_doubts
from hiergen.nestings.suggest.request import SuggestRequest, refuse_unread, typed_command
from hiergen.nestings.suggest.suggest_nesting import Suggestion, open_draft
from hiergen.nestings.suggest.wordnet import depth_evidence
from hiergen.nestings.tasks import read_tasks
from hiergen.taxonomy.load import Taxonomy


def search(
    file: str | Path,
    request: SuggestRequest = SuggestRequest(),  # noqa: B008 - frozen
    *,
    objective: str = "coherence",
    tasks: Sequence[str | Path] = (),
    same_sizes: bool = False,
    steps: int | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Suggestion:
    """Search the nestings of the file's shape, or of `request`'s, for the best by an objective (`kinds.OBJECTIVES`);
    write it to `out`, by default beside the file as NAME-search.yaml. The result is at least as good as the file's own.

    Evidence of a kind other than WordNet's is what coherence and separability are of. Further arguments as
    `search.search` has them; `proposal.detail` is its result. Raises HiergenError as that, and as `suggest`.
    """
    kind = objective_kind(objective)
    if kind.evidence:
        request.check()
    else:
        given = {name: getattr(request, name) for name in OPTIONS}
        by = {"by": None if request.by == "wordnet" else request.by}
        refuse_unread({**by, **given}, f"with --objective {objective}", "it looks at sizes and tasks only")
    draft = open_draft(file, request, "search", out=out, force=force)
    taxonomy = draft.taxonomy
    evidence = _evidence(taxonomy, objective, request, progress) if kind.evidence else None
    inputs = ObjectiveInputs(taxonomy, evidence, read_tasks(tasks, draft.current) if tasks else (), request.model)
    result = find_best(
        taxonomy,
        draft.current,
        objective=make_objective(objective, inputs),
        shape=draft.shape,
        same_sizes=same_sizes,
        seed=request.seed,
        steps=steps,
        tick=progress or (lambda *_: None),
    )
    alike = evidence or depth_evidence(taxonomy)
    nesting = name_groups(taxonomy, result.nesting, alike)
    marks = mark_doubts(alike, nesting) if kind.evidence else {}
    notes = (*result.notes(), *(evidence.notes if evidence else ()), *([MARGIN_NOTE] if marks else []))
    words = ["--objective", objective, *(word for task in tasks for word in ("--tasks", Path(task).name))]
    words += [*request.words(), *(["--same-sizes"] if same_sizes else [])]
    words += ["--steps", str(steps)] if steps is not None else []
    proposal = Proposal(nesting, marks, notes, result)
    return draft.finish(proposal, typed_command("search", taxonomy.path, words))


def _evidence(
    taxonomy: Taxonomy, objective: str, request: SuggestRequest, progress: Progress | None
) -> Evidence | None:
    """None for coherence by Wu and Palmer's similarity, which it is unless something else is given."""
    return None if objective == "coherence" and request.by == "wordnet" else request.gather(taxonomy, None, progress)
