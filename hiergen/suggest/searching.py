"""`--search`: the best nesting of the shape for an objective (hiergen.suggest.search), named and marked."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hiergen.errors import SpecError
from hiergen.partitions.grouping import Grouping
from hiergen.suggest.evidence import Evidence
from hiergen.suggest.propose import MARGIN_NOTE, Progress, Proposal, doubts, gather
from hiergen.suggest.request import EVIDENCE, SuggestRequest
from hiergen.suggest.shape import Shape
from hiergen.suggest.unread import refuse_unread
from hiergen.taxonomy.load import Taxonomy

if TYPE_CHECKING:
    from hiergen.suggest.search.engine import Tick
    from hiergen.suggest.search.job import Found

_PARTS = 1000  # of a progress bar


@dataclass
class Searching:
    """Options of `hiergen suggest --search`; `result` is set once it was searched."""

    objective: str = "coherence"
    steps: int | None = None
    seconds: float | None = None
    state: Path | None = None
    tasks: tuple[str, ...] = ()
    same_sizes: bool = False
    result: Found | None = field(default=None, init=False)

    def propose(
        self, taxonomy: Taxonomy, shape: Shape, request: SuggestRequest, own: Grouping, progress: Progress | None = None
    ) -> Proposal:
        """A proposer for `hiergen.suggest.job.suggest`. Evidence of a kind other than WordNet's is what coherence and
        separability are of; the file's own nesting is what the score is compared with."""
        from hiergen.partitions.tasks import read_tasks
        from hiergen.suggest.naming import name_groups
        from hiergen.suggest.search.asked import check_name, objective_of
        from hiergen.suggest.search.job import search

        check_name(self.objective)
        evidence = self._evidence(taxonomy, request, progress)
        goal = objective_of(
            self.objective,
            taxonomy,
            evidence=evidence,
            tasks=read_tasks(self.tasks, own) if self.tasks else (),
            model=request.model,
        )

        def tick(at: Tick) -> None:
            if progress is not None:
                progress(round(at.done * _PARTS), _PARTS)

        self.result = found = search(
            taxonomy,
            own,
            objective=goal,
            shape=shape,
            same_sizes=self.same_sizes,
            seed=request.seed,
            steps=self.steps,
            seconds=self.seconds,
            state=self.state,
            progress=tick,
        )
        known = evidence or gather(taxonomy, "wordnet", SuggestRequest(criterion="depth"))
        grouping = name_groups(taxonomy, found.grouping, known)
        marks = doubts(known, grouping) if self.objective in {"coherence", "separability"} else {}
        notes = (*found.notes(), *(evidence.notes if evidence else ()), *([MARGIN_NOTE] if marks else []))
        return Proposal(grouping, evidence, marks, notes, {"search": found.as_data()})

    def _evidence(self, taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence | None:
        if self.objective in {"cost", "tasks"}:
            given = {name: getattr(request, name) for name in EVIDENCE}
            by = {"by": None if request.by == "wordnet" else request.by}
            refuse_unread({**by, **given}, f"with --objective {self.objective}", "it looks at sizes and tasks only")
            return None
        if request.by in {"random", "dissimilar"}:
            raise SpecError(f"'{request.by}' is no evidence to search by", expected="another --by, such as wordnet")
        if request.by == "wordnet" and self.objective == "coherence":  # it is by WordNet unless something else is given
            hint = "coherence is by Wu and Palmer's similarity"
            refuse_unread({"criterion": request.criterion}, "with --objective coherence", hint)
            return None
        return gather(taxonomy, request.by, request, progress)

    def command(self, request: SuggestRequest, file: Path) -> str:
        """The command, for the head of the file."""
        words = ["--search", "--objective", self.objective]
        words += [word for task in self.tasks for word in ("--tasks", Path(task).name)]
        words += ["--same-sizes"] if self.same_sizes else []
        words += ["--steps", str(self.steps)] if self.steps is not None else []
        words += ["--seconds", f"{self.seconds:g}"] if self.seconds is not None else []
        return f"{request.command(file)} {shlex.join([*words, '--seed', str(request.seed)])}"
