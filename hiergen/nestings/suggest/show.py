"""A suggestion as text: its groups, how coherent they are beside the old ones, and what to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hiergen.console.terminal import command, one_line
from hiergen.nestings.compare.coherence import Coherence
from hiergen.nestings.suggest.suggest_nesting import Suggestion, shown_z
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree

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
        printer.print(note, style="dim", markup=False, soft_wrap=True)
    if marks:
        printer.print(f"{len(marks)} of {len(nesting.classes)} classes could as well be elsewhere:", style="bold")
        for i, text in sorted(marks.items())[:_DOUBTS]:
            printer.print(f"  {nesting.labels[i]}: {text}", markup=False, soft_wrap=True)
        if len(marks) > _DOUBTS:
            printer.print(f"  and {len(marks) - _DOUBTS} more, marked '# ?' in the file")
    written = suggestion.written
    if written is None:
        return
    if written.difference:
        printer.print(f"not quite: {written.difference}", style="yellow", markup=False, soft_wrap=True)
    if written.left_out:
        printer.print(f"left out, having more levels: {', '.join(written.left_out)}", markup=False, soft_wrap=True)
    printer.print(
        f"written: {one_line(written.path)} (the nesting of {written.model})",
        style="bold",
        markup=False,
        soft_wrap=True,
    )
    build = command(("hiergen", "build", written.path))
    printer.print(f"next: edit it, then {build}", markup=False, soft_wrap=True)


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
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    depth = max(len(suggestion.proposal.nesting.levels), len(suggestion.current.levels))
    table.add_column("nesting")
    for column in ("groups", "sizes, finest", *(f"z, level {j + 1}" for j in range(depth)), "z, whole nest"):
        table.add_column(column, justify="right")
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
