"""A comparison as text: rich tables, one column per nesting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

from hiergen.console.terminal import giga, say

if TYPE_CHECKING:
    from rich.console import Console

    from hiergen.nestings.compare.compare import Comparison, LevelPair, NestingFigures

NONE = "–"
_INDICES = {
    "ari": "adjusted Rand",
    "ami": "adjusted mutual information",
    "v_measure": "V-measure",
    "vi": "variation of information, nats",
    "nvi": "  of the joint entropy",
}
_OTHER_DEPTH = (
    "Nestings of other depths: each level of the shallower is compared with one of the deeper, in order, where the "
    "sum of the adjusted mutual informations is largest."
)


def print_comparison(comparison: Comparison, console: Console, *, moved: int = 20) -> None:
    """The main table, the matrix where there are more than two nestings, who moved, and what it comes to."""
    console.print(_table(comparison))
    every = comparison.nestings
    if text := _outside(comparison):
        say(console, text, style="dim")
    if len({figures.nesting.depth for figures in every}) > 1:
        say(console, _OTHER_DEPTH, style="dim")
    for reason, titles in _reasons(every).items():
        say(console, f"No cost for {titles}: {reason}.", style="dim")
    if len(every) > 2:
        console.print()
        title = "All pairs: adjusted Rand, mean of the levels (above), triplet distance (below)"
        console.print(title, style="bold", soft_wrap=True)
        console.print(_matrix(comparison))
    if len(every) > 1 and moved:
        _moved(comparison, console, moved)
    for i, text in enumerate(comparison.verdicts):
        if not i:
            console.print()
        say(console, text)


def _outside(comparison: Comparison) -> str | None:
    """What coherence says where WordNet has not all classes."""
    outside, n = comparison.outside, len(comparison.nestings[0].nesting.classes)
    if outside == n:
        return "No coherence: WordNet has none of the classes."
    many = "class is" if outside == 1 else "classes are"
    return f"{outside} of {n} {many} not in WordNet: placed by the first file's groups." if outside else None


def _reasons(nestings: tuple[NestingFigures, ...]) -> dict[str, str]:
    titles_of: dict[str, list[str]] = {}
    for figures in nestings:
        if figures.no_cost:
            titles_of.setdefault(figures.no_cost, []).append(figures.title)
    return {reason: ", ".join(titles) for reason, titles in titles_of.items()}


def _table(comparison: Comparison) -> Table:
    every = comparison.nestings
    table = _columns("", every, "right")
    rows = _ComparisonRows(table, comparison)
    rows.alone()
    rows.costs()
    if len(every) > 1:
        rows.against()
    return table


class _ComparisonRows:
    def __init__(self, table: Table, comparison: Comparison) -> None:
        self._table = table
        self._figures = comparison.nestings
        self._tasks = comparison.tasks
        self._with_first = {pair.second: pair for pair in comparison.pairs if pair.first == 0}
        self._depth = max(len(figures.nesting.levels) for figures in self._figures)

    def _head(self, text: str) -> None:
        self._table.add_row()
        self._table.add_row(Text(text), style="bold")

    def _row(self, label: str, cells: Iterable[str]) -> None:
        self._table.add_row(Text(label), *map(Text, cells))

    def alone(self) -> None:
        every = self._figures
        self._row("groups", (" → ".join(map(str, figures.nesting.counts)) or "none" for figures in every))
        for j in range(self._depth):
            groups = [figures.nesting.levels[j:] for figures in every]
            self._row(f"level {j + 1}: classes per group", (_span(g[0].sizes) if g else NONE for g in groups))
            shares = [figures.shares[j:] for figures in every]
            self._row("  share of partitions", (_power(values[0].share) if values else NONE for values in shares))
        self._row("share of nestings", (_power(figures.share.share) for figures in every))
        self._row("  of", (_power(figures.share.all) for figures in every))
        for how, title in (("wu-palmer", "Wu–Palmer"), ("path", "path")):
            self._head(f"Coherence, {title}: within – between, z")
            values = [figures.coherence.get(how) for figures in every]
            for j in range(self._depth):
                levels = [c.levels[j:] if c else () for c in values]
                self._row(f"level {j + 1}", (_scored(c[0].coherence, c[0].z) if c else NONE for c in levels))
            self._row("whole nesting, r", (_scored(c.correlation, c.z) if c else NONE for c in values))

    def costs(self) -> None:
        costs = [figures.cost for figures in self._figures]
        if not any(costs):
            return
        self._head("Cost on the first file's trunk and budget")
        self._row("as model", (cost.model if cost else NONE for cost in costs))
        self._row("params, M", (f"{cost.params / 1e6:.2f}" if cost else NONE for cost in costs))
        self._row("GMACs", (giga(cost.macs) if cost else NONE for cost in costs))
        if not self._tasks:
            return
        self._head("Cutouts of the tasks: params, M; GMACs")
        for task in self._tasks:
            size = f"{len(task.classes)} class{'es' if len(task.classes) > 1 else ''}"
            weight = f", weight {task.weight:g}" if task.weight != 1 else ""
            self._row(f"{task.name} ({size}{weight})", (_amounts(*c.tasks[task.name]) if c else NONE for c in costs))
        means = [cost.expected if cost else None for cost in costs]
        self._row("expected", (_amounts(mean.params, mean.macs) if mean else NONE for mean in means))

    def against(self) -> None:
        first = self._figures[0]
        for j in range(len(first.nesting.levels)):
            levels = [self._level(i, j) for i in range(len(self._figures))]
            if not any(levels):
                continue
            self._head(f"Level {j + 1} against {first.title}")
            if len({figures.nesting.depth for figures in self._figures}) > 1:
                self._row("its level", (str(level.second + 1) if level else NONE for level in levels))
            both = [level.agreement if level else None for level in levels]
            for index, label in _INDICES.items():
                self._row(label, (_real(getattr(a, index)) if a else NONE for a in both))
            pairs = (f"{_real(a.homogeneity)}, {_real(a.completeness)}" if a else NONE for a in both)
            self._row("homogeneity, completeness", pairs)
            self._row("groups of meet, join", (f"{a.meet}, {a.join}" if a else NONE for a in both))
            self._row("classes that moved", (str(len(level.moves.moved)) if level else NONE for level in levels))
        self._head(f"Whole tree against {first.title}")
        trees = [self._with_first[i].distance if i else None for i in range(len(self._figures))]
        self._row("cophenetic correlation", (_real(tree.cophenetic) if tree else NONE for tree in trees))
        self._row("Robinson–Foulds, normalised", (_real(tree.robinson_foulds) if tree else NONE for tree in trees))
        self._row("triplet distance", (_real(tree.triplets) if tree else NONE for tree in trees))

    def _level(self, i: int, j: int) -> LevelPair | None:
        """Level j of the first against nesting i."""
        levels = self._with_first[i].levels if i else ()
        return next((level for level in levels if level.first == j), None)


def _matrix(comparison: Comparison) -> Table:
    """Above the diagonal one index, below it another."""
    every, pairs = comparison.nestings, {(p.first, p.second): p for p in comparison.pairs}
    table = _columns("", every, "right")
    for i, figures in enumerate(every):
        cells = []
        for j in range(len(every)):
            pair = pairs.get((min(i, j), max(i, j)))
            value = None if pair is None else pair.mean("ari") if i < j else pair.distance.triplets
            cells.append(NONE if value is None else _real(value))
        table.add_row(Text(figures.title), *cells)
    return table


def _moved(comparison: Comparison, console: Console, most: int) -> None:
    """Side by side: the finest groups of each class that moved on the finest levels compared with the first."""
    every = comparison.nestings
    moved: dict[int, set[int]] = {}  # class → nestings where it moved
    for pair in comparison.pairs:
        if pair.first == 0 and pair.levels:
            for m in pair.levels[-1].moves.moved:
                moved.setdefault(m.index, set()).add(pair.second)
    if not moved:
        return
    console.print()
    levels = {pair.second: pair.levels[-1] for pair in comparison.pairs if pair.first == 0 and pair.levels}
    home = every[0].nesting.levels[max(level.first for level in levels.values())]
    table = _columns(f"moved ({len(moved)} of {len(home.of)} classes)", every, "left")
    order = sorted(moved, key=lambda c: (home.of[c], c))
    for c in order[:most]:
        cells = [home.names[home.of[c]]]
        for i in range(1, len(every)):
            level = every[i].nesting.levels[levels[i].second] if i in levels else None
            cells.append(level.names[level.of[c]] if level and i in moved[c] else "·" if level else NONE)
        table.add_row(*(Text(text) for text in (every[0].nesting.labels[c], *cells)))
    console.print(table)
    console.print("·: in the best match of its group", style="dim")
    if len(order) > most:
        console.print(f"and {len(order) - most} more; --json has all", style="dim")


def _columns(first: str, every: Sequence[NestingFigures], justify: Literal["left", "right"]) -> Table:
    """An empty table with a column per nesting after the first."""
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for figures in every:
        table.add_column(Text(figures.title), justify=justify)
    return table


def _span(sizes: Sequence[int]) -> str:
    return f"{min(sizes)} … {float(median(sizes)):g} … {max(sizes)}"


def _scored(value: float, z: float) -> str:
    return f"{_real(value)}  {_real(z, 1):>5}"


def _amounts(params: float, macs: float) -> str:
    return f"{params / 1e6:.2f}  {giga(macs)}"


def _power(exponent: float | None) -> str:
    if exponent is None:
        return NONE
    return f"{10**exponent:.3g}" if -3 < exponent < 3 else f"10^{exponent:.1f}"


def _real(value: float, digits: int = 3) -> str:
    return NONE if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")
