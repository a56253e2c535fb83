"""`hiergen suggest` in Python: a taxonomy file in, a new one with proposed groups out, and what they are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.console.terminal import command, one_line, plain_table, say
from hiergen.errors import HiergenError
from hiergen.nestings.compare.coherence import Coherence, coherence
from hiergen.nestings.suggest.kinds import Progress
from hiergen.nestings.suggest.propose import Proposal, propose
from hiergen.nestings.suggest.request import SuggestRequest, typed_command, wanted_shape
from hiergen.nestings.suggest.shape import Shape
from hiergen.nestings.suggest.write import Written, check_target, default_path, write_suggestion
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree


@dataclass(frozen=True)
class Suggestion:
    """The file (None: nothing was to be written), the nesting in it and the old file's own, with the coherence of both
    by WordNet (None: WordNet has none of the classes)."""

    written: Written | None
    by: str
    proposal: Proposal
    current: Nesting
    coherence: Coherence | None
    current_coherence: Coherence | None

    def as_data(self) -> dict[str, Any]:
        """For --json; the same input, the same text."""
        nesting, marks, written = self.proposal.nesting, self.proposal.marks, self.written
        return {
            "file": None if written is None else written.path.as_posix(),
            "by": self.by,
            "model": None if written is None else written.model,
            "difference": None if written is None else written.difference,
            "left_out": [] if written is None else list(written.left_out),
            "groups": list(nesting.counts),
            "levels": [
                [
                    {"name": name, "classes": [nesting.classes[i] for i in members]}
                    for name, members in zip(level.names, level.members, strict=True)
                ]
                for level in nesting.levels
            ],
            "ambiguous": {nesting.classes[i]: text for i, text in sorted(marks.items())},
            "notes": list(self.proposal.notes),
            "coherence": None if self.coherence is None else self.coherence.as_data(),
            "own": {
                "nesting": self.current.name,
                "groups": list(self.current.counts),
                "coherence": None if self.current_coherence is None else self.current_coherence.as_data(),
            },
            **(self.proposal.detail.as_data() if self.proposal.detail is not None else {}),
        }


def suggest(
    file: str | Path,
    request: SuggestRequest = SuggestRequest(),  # noqa: B008 - frozen
    *,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Suggestion:
    """Propose a nesting of the classes of `file` by evidence and write it to `out`, by default beside it as
    NAME-BY.yaml.

    Raises HiergenError for a file that is there already (unless `force`), before any work; as `load_taxonomy`,
    `wanted_shape` and the evidence do.
    """
    request.check()
    draft = open_draft(file, request, request.by, out=out, force=force)
    proposal = propose(draft.taxonomy, draft.shape, request, draft.current, progress)
    return draft.finish(proposal, typed_command("suggest", draft.taxonomy.path, request.words()))


@dataclass(frozen=True)
class Draft:
    """A suggestion to be made: the file that it is for, the shape, the file's own nesting, and where it will be
    written."""

    taxonomy: Taxonomy
    shape: Shape
    current: Nesting
    by: str
    path: Path
    force: bool

    def finish(self, proposal: Proposal, typed: str | None) -> Suggestion:
        """Write it (with the command in its head; None: do not), and judge both nestings by WordNet."""
        written = None
        if typed is not None:
            written = write_suggestion(
                self.taxonomy,
                proposal.nesting,
                self.path,
                by=self.by,
                notes=proposal.notes,
                marks=proposal.marks,
                command=typed,
                force=self.force,
            )
        value, current_value = coherences(self.taxonomy, proposal.nesting, self.current)
        return Suggestion(written, self.by, proposal, self.current, value, current_value)


def open_draft(
    file: str | Path, request: SuggestRequest, by: str, *, out: str | Path | None, force: bool, write: bool = True
) -> Draft:
    """Everything that can be checked before the work."""
    taxonomy = load_taxonomy(file, _but_unplaced)
    path = Path(out) if out is not None else default_path(taxonomy, by)
    if write:
        check_target(taxonomy, path, force=force)
    shape, current = wanted_shape(taxonomy, request)
    return Draft(taxonomy, shape, current, by, path, force)


def _but_unplaced(error: HiergenError) -> None:
    """A class that no source places is no mistake here: the suggestion places it."""
    if error.code != "E301":
        raise error


def coherences(taxonomy: Taxonomy, *nestings: Nesting) -> list[Coherence | None]:
    """Of each nesting, by Wu and Palmer's similarity; None where no class is in WordNet."""
    from hiergen.nestings.compare.similarity import outside_wordnet, wordnet_similarity

    if outside_wordnet(taxonomy) == len(taxonomy.classes):
        return [None] * len(nestings)
    similarity = wordnet_similarity(taxonomy)
    ids = [c.id for c in taxonomy.classes]
    return [coherence(nesting.in_class_order(ids), similarity) if nesting.levels else None for nesting in nestings]


def shown_z(value: float) -> str:
    """ "+12.3", or "–" where it is not defined."""
    return "–" if math.isnan(value) else f"{value:+.1f}"


_LINES = 120  # of groups that are listed; of more, the finest level is left to the file
_DOUBTS = 8
_CLASSES = 90  # characters of a group's classes


def print_suggestion(suggestion: Suggestion, printer: Console) -> None:
    """Tree of groups, the table of both nestings, doubts, and the command to run next."""
    nesting, marks = suggestion.proposal.nesting, suggestion.proposal.marks
    printer.print(group_tree(nesting))
    printer.print()
    printer.print(coherence_table(suggestion))
    printer.print(
        "z: coherence by WordNet (Wu–Palmer), in standard deviations above chance with the same sizes", style="dim"
    )
    for note in suggestion.proposal.notes:
        say(printer, note, style="dim")
    if marks:
        printer.print(f"{len(marks)} of {len(nesting.classes)} classes could as well be elsewhere:", style="bold")
        for i, text in sorted(marks.items())[:_DOUBTS]:
            say(printer, f"  {nesting.labels[i]}: {text}")
        if len(marks) > _DOUBTS:
            printer.print(f"  and {len(marks) - _DOUBTS} more, marked '# ?' in the file")
    written = suggestion.written
    if written is None:
        return
    if written.difference:
        say(printer, f"not quite: {written.difference}", style="yellow")
    if written.left_out:
        say(printer, f"left out, having more levels: {', '.join(written.left_out)}")
    say(printer, f"written: {one_line(written.path)} (the nesting of {written.model})", style="bold")
    build = command(("hiergen", "build", written.path))
    say(printer, f"next: edit it, then {build}")


def group_tree(nesting: Nesting) -> Tree:
    """Groups with the number of their classes, the finest with their classes' names."""
    from rich.text import Text
    from rich.tree import Tree

    shape = ", ".join(map(str, nesting.counts))
    tree = Tree(Text(f"{len(nesting.classes)} classes in {shape} groups"))
    shown = len(nesting.levels) if sum(nesting.counts) <= _LINES else max(len(nesting.levels) - 1, 1)
    nodes = [tree]
    for j in range(shown):
        level = nesting.levels[j]
        parents, below = nesting.above(j + 1), []
        for number, members in enumerate(level.members):
            text = f"{level.names[number]} ({len(members)})"
            if j == len(nesting.levels) - 1:
                text += f": {_cut(', '.join(nesting.labels[i] for i in members))}"
            below.append(nodes[parents[number]].add(Text(text)))
        nodes = below
    return tree


def coherence_table(suggestion: Suggestion) -> Table:
    """One line for the suggestion, one for the file's own nesting."""
    depth = max(len(suggestion.proposal.nesting.levels), len(suggestion.current.levels))
    levels = (f"z, level {j + 1}" for j in range(depth))
    table = plain_table(("nesting", "groups", "sizes, finest", *levels, "z, whole nesting"), left=("nesting",))
    rows = ((f"by {suggestion.by}", suggestion.proposal.nesting, suggestion.coherence),)
    for name, nesting, value in (*rows, (suggestion.current.name, suggestion.current, suggestion.current_coherence)):
        sizes = nesting.levels[-1].sizes if nesting.levels else [0]
        table.add_row(
            name,
            ", ".join(map(str, nesting.counts)) or "none",
            f"{min(sizes)}–{max(sizes)}" if nesting.levels else "–",
            *_zs(value, depth),
        )
    return table


def _zs(value: Coherence | None, depth: int) -> list[str]:
    if value is None:
        return ["–"] * (depth + 1)
    levels = [shown_z(level.z) for level in value.levels]
    return [*levels, *(["–"] * (depth - len(levels))), shown_z(value.z)]


def _cut(text: str) -> str:
    return text if len(text) <= _CLASSES else f"{text[: _CLASSES - 1].rstrip(', ')}…"
