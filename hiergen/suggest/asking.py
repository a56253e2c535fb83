"""`--by llm`: the evidences' nesting, and a language model's word where they disagree (hiergen.suggest.llm)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hiergen.partitions.grouping import Grouping
from hiergen.suggest.evidence import Evidence, combined
from hiergen.suggest.propose import Progress, Proposal, from_evidence, gather
from hiergen.suggest.request import SuggestRequest
from hiergen.suggest.shape import Shape
from hiergen.taxonomy.load import Taxonomy

if TYPE_CHECKING:
    from hiergen.suggest.llm.job import Asked


@dataclass
class Asking:
    """Options of `hiergen suggest --by llm`; `result` is set once it was asked."""

    cache: Path
    base_url: str | None = None
    model: str | None = None
    key_env: str = "OPENAI_API_KEY"
    dry_run: Path | None = None
    answers: Path | None = None
    timeout: float = 60.0
    retries: int = 3
    batch: int = 20
    result: Asked | None = field(default=None, init=False)

    def propose(
        self, taxonomy: Taxonomy, shape: Shape, request: SuggestRequest, own: Grouping, progress: Progress | None = None
    ) -> Proposal:
        """A proposer for `hiergen.suggest.job.suggest`. The file's own nesting has a vote where it has the shape."""
        from hiergen.suggest.llm.job import ask

        evidence = evidences(taxonomy, request)
        start = from_evidence(taxonomy, shape, combined(evidence))
        self.result = asked = ask(
            taxonomy,
            start.grouping,
            evidence,
            cache=self.cache,
            base_url=self.base_url,
            model=self.model,
            key_env=self.key_env,
            dry_run=self.dry_run,
            answers=self.answers,
            timeout=self.timeout,
            retries=self.retries,
            batch=self.batch,
            seed=request.seed,
            names=True,
            shape=shape,
            proposals=[own] if own.counts == shape.counts else [],
            progress=progress,
        )
        counts = {"asked": asked.asked, "taken": asked.taken, "cached": asked.cached, "open": asked.open}
        figures = {"questions": {**counts, "prompts": asked.prompts, "problems": list(asked.problems)}}
        return Proposal(asked.grouping, start.evidence, asked.marks, tuple(asked.notes), figures)


def evidences(taxonomy: Taxonomy, request: SuggestRequest) -> list[Evidence]:
    """WordNet and names; weights and features too where they are given."""
    kinds = ["wordnet", "names"]
    if request.data is not None or request.confusions is not None:
        kinds.append("features")
    elif request.weights is not None or request.timm is not None:
        kinds.append("weights")
    return [gather(taxonomy, kind, request) for kind in kinds]


CACHE_SUFFIX = ".answers.json"


def cache_beside(path: Path) -> Path:
    """taxonomies/pets-llm.yaml → taxonomies/pets-llm.answers.json, which is committed with it."""
    return path.with_name(path.stem + CACHE_SUFFIX)
