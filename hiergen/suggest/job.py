"""`hiergen suggest` in Python: a taxonomy file in, a new one with proposed groups out, and what they are worth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError
from hiergen.partitions.coherence import Coherence, coherence
from hiergen.partitions.grouping import Grouping
from hiergen.suggest.propose import Progress, Proposal, propose
from hiergen.suggest.request import SuggestRequest, asked_shape
from hiergen.suggest.shape import Shape
from hiergen.suggest.write import Written, check_target, default_path, write_suggestion
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

Proposer = Callable[[Taxonomy, Shape, SuggestRequest, Grouping, "Progress | None"], Proposal]


@dataclass(frozen=True)
class Suggested:
    """The file (None: nothing was to be written), the nesting in it and the old file's own, with the coherence of both
    by WordNet (None: WordNet has none of the classes)."""

    written: Written | None
    by: str
    proposal: Proposal
    own: Grouping
    coherence: Coherence | None
    own_coherence: Coherence | None

    def as_data(self) -> dict[str, Any]:
        """For --json; the same input, the same text."""
        grouping, marks = self.proposal.grouping, self.proposal.marks
        written = self.written
        return {
            "file": None if written is None else written.path.as_posix(),
            "by": self.by,
            "model": None if written is None else written.model,
            "difference": None if written is None else written.difference,
            "left_out": [] if written is None else list(written.left_out),
            "groups": list(grouping.counts),
            "levels": [
                [
                    {"name": name, "classes": [grouping.classes[i] for i in members]}
                    for name, members in zip(level.names, level.members(), strict=True)
                ]
                for level in grouping.levels
            ],
            "ambiguous": {grouping.classes[i]: text for i, text in sorted(marks.items())},
            "notes": list(self.proposal.notes),
            "coherence": None if self.coherence is None else self.coherence.as_data(),
            "own": {
                "nesting": self.own.name,
                "groups": list(self.own.counts),
                "coherence": None if self.own_coherence is None else self.own_coherence.as_data(),
            },
            **self.proposal.figures,
        }


def suggest_nesting(
    file: str | Path,
    request: SuggestRequest,
    *,
    out: str | Path | None = None,
    force: bool = False,
    write: bool = True,
    proposer: Proposer = propose,
    label: str | None = None,
    command: str | None = None,
    progress: Progress | None = None,
) -> Suggested:
    """Propose a nesting of the classes of `file` and write it to `out`, by default beside it as NAME-BY.yaml.

    `proposer` makes the nesting (`propose`, unless something is to be searched or asked); `label` is used in the new
    file's name instead of `request.by`, `command` in its head. Raises HiergenError for a file that is there already
    (unless `force`), before any work; as `load_taxonomy`, `asked_shape` and the evidence do.
    """
    taxonomy = load_taxonomy(file, _but_unplaced)
    request = request.checked()
    by = label or request.by
    path = Path(out) if out is not None else default_path(taxonomy, by)
    if write:
        check_target(taxonomy, path, force=force)
    shape, own = asked_shape(taxonomy, request)
    proposal = proposer(taxonomy, shape, request, own, progress)
    written = None
    if write:
        written = write_suggestion(
            taxonomy,
            proposal.grouping,
            path,
            by=by,
            notes=proposal.notes,
            marks=proposal.marks,
            command=command or request.command(taxonomy.path),
            force=force,
        )
    value, own_value = coherences(taxonomy, proposal.grouping, own)
    return Suggested(written, by, proposal, own, value, own_value)


def _but_unplaced(error: HiergenError) -> None:
    """A class that no source places is no mistake here: the suggestion places it."""
    if error.code != "E301":
        raise error


def coherences(taxonomy: Taxonomy, *groupings: Grouping) -> list[Coherence | None]:
    """Of each nesting, by Wu and Palmer's similarity; None where no class is in WordNet."""
    from hiergen.partitions.similarity import outside_wordnet, wordnet_similarity

    if outside_wordnet(taxonomy) == len(taxonomy.classes):
        return [None] * len(groupings)
    similarity = wordnet_similarity(taxonomy)
    ids = [c.id for c in taxonomy.classes]
    return [coherence(grouping.reordered(ids), similarity) if grouping.levels else None for grouping in groupings]


def shown_z(value: float) -> str:
    """ "+12.3", or "–" where it is not defined."""
    return "–" if math.isnan(value) else f"{value:+.1f}"
