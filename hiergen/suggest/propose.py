"""Evidence, and the nesting that follows from it, by any of the ways but asking a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hiergen.errors import SpecError
from hiergen.partitions.grouping import Grouping
from hiergen.suggest.evidence import Evidence
from hiergen.suggest.request import SuggestRequest
from hiergen.suggest.shape import Shape
from hiergen.suggest.tree import MARGIN, agglomerate, ambiguous
from hiergen.taxonomy.load import Taxonomy

Progress = Callable[[int, int], None]
MARGIN_NOTE = (
    f"'# ?' marks a class whose mean similarity to its group is not above that to another by {MARGIN:g} of the "
    "similarities' standard deviation."
)


@dataclass(frozen=True)
class Proposal:
    """A nesting, named; what speaks for it (None: nothing); class index → what to look at; sentences for the head of
    the file; `figures` of a search or of a model's answers, for --json."""

    grouping: Grouping
    evidence: Evidence | None
    marks: dict[int, str]
    notes: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)


def gather(taxonomy: Taxonomy, by: str, request: SuggestRequest, progress: Progress | None = None) -> Evidence:
    """The evidence of one kind. Raises HiergenError where it cannot be had."""
    match by:
        case "wordnet":
            from hiergen.suggest.wordnet import wordnet_evidence

            return wordnet_evidence(taxonomy, request.criterion or "ic")
        case "superclass":
            from hiergen.suggest.wordnet import superclass_evidence, wordnet_evidence

            return superclass_evidence(taxonomy, wordnet_evidence(taxonomy, request.criterion or "ic"))
        case "names":
            from hiergen.suggest.names import names_evidence

            return names_evidence(taxonomy, request.text_model)
        case "weights":
            from hiergen.suggest.weights import weights_evidence

            return weights_evidence(taxonomy, weights=request.weights, key=request.key, timm_name=request.timm)
        case "features":
            if request.confusions is not None:
                from hiergen.suggest.confusions import confusions_evidence

                return confusions_evidence(taxonomy, request.confusions)
            from hiergen.suggest.features import Source, features_evidence

            if request.data is None:
                raise SpecError("--by features: of what?", expected="--data FOLDER, or --confusions FILE.csv")
            source = Source(request.network, request.timm, request.weights, request.batch_size, request.workers or 1)
            return features_evidence(taxonomy, request.data, source, progress)
    raise AssertionError(by)


def propose(
    taxonomy: Taxonomy, shape: Shape, request: SuggestRequest, own: Grouping, progress: Progress | None = None
) -> Proposal:
    """The nesting of this shape by `request.by` (not `llm`); `own`, the file's, is what `dissimilar` deals out where it
    has the shape."""
    from hiergen.suggest.naming import number_groups

    ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
    if request.by == "random":
        from hiergen.suggest.random import random_grouping

        drawn = number_groups(taxonomy, random_grouping(shape, ids, labels, request.seed))
        note = f"Drawn uniformly at random among the nestings with so many groups, with seed {request.seed}."
        return Proposal(drawn, None, {}, (note,))
    if request.by == "dissimilar":
        from hiergen.suggest.random import dissimilar_grouping

        fits = own.counts == shape.counts and shape.misfit(own) is None
        base = own if fits else agglomerate(gather(taxonomy, "wordnet", request), shape, ids, labels)
        mixed = number_groups(taxonomy, dissimilar_grouping(base.reordered(ids)))
        of = own.name.rpartition(":")[2] if fits else "the nesting by WordNet"
        return Proposal(mixed, None, {}, (f"A control: the classes of {of}, dealt out so that every group is mixed.",))
    return from_evidence(taxonomy, shape, gather(taxonomy, request.by, request, progress))


def from_evidence(taxonomy: Taxonomy, shape: Shape, evidence: Evidence) -> Proposal:
    """The nesting by one evidence, with names and marks."""
    from hiergen.suggest.naming import name_groups

    ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
    grouping = name_groups(taxonomy, agglomerate(evidence, shape, ids, labels), evidence)
    marks = doubts(evidence, grouping)
    return Proposal(grouping, evidence, marks, (*evidence.notes, *([MARGIN_NOTE] if marks else [])))


def doubts(evidence: Evidence, grouping: Grouping) -> dict[int, str]:
    """Class → the group where it could as well be, with both mean similarities."""
    names = grouping.levels[-1].names if grouping.levels else ()
    digits = 3 if evidence.spread > 0.02 else 5
    return {
        d.index: f"or {names[d.other]} ({d.other_similarity:.{digits}f}, here {d.own_similarity:.{digits}f})"
        for d in ambiguous(evidence, grouping)
    }
