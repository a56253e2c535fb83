"""A comparison as text: rich tables, one column per nesting."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hiergen.partitions.compare import Comparison, LevelPair, Nest, sizes
from hiergen.units import giga

if TYPE_CHECKING:
    from rich.console import Console

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
    """The main table, the matrix where there are more than two nestings, and who moved."""
    console.print(_table(comparison))
    nests = comparison.nests
    if text := _outside(comparison):
        console.print(text, style="dim", soft_wrap=True, markup=False)
    if len({nest.grouping.k for nest in nests}) > 1:
        console.print(_OTHER_DEPTH, style="dim", soft_wrap=True, markup=False)
    for reason, titles in _reasons(nests).items():
        console.print(f"No cost for {titles}: {reason}.", style="dim", soft_wrap=True, markup=False)
    if len(nests) > 2:
        console.print()
        title = "All pairs: adjusted Rand, mean of the levels (above), triplet distance (below)"
        console.print(title, style="bold", soft_wrap=True)
        console.print(_matrix(comparison))
    if len(nests) > 1 and moved:
        console.print()
        _moved(comparison, console, moved)


def _outside(comparison: Comparison) -> str | None:
    """What coherence says where WordNet has not all classes."""
    outside, n = comparison.outside, len(comparison.nests[0].grouping.classes)
    if outside == n:
        return "No coherence: WordNet has none of the classes."
    many = "class is" if outside == 1 else "classes are"
    return f"{outside} of {n} {many} not in WordNet: placed by the first file's groups." if outside else None


def _reasons(nests: tuple[Nest, ...]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for nest in nests:
        if nest.no_cost:
            found.setdefault(nest.no_cost, []).append(nest.title)
    return {reason: ", ".join(titles) for reason, titles in found.items()}


def _table(comparison: Comparison) -> Table:
    nests = comparison.nests
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for nest in nests:
        table.add_column(Text(nest.title), justify="right")
    rows = _Rows(table, comparison)
    rows.alone()
    rows.costs()
    if len(nests) > 1:
        rows.against()
    return table


class _Rows:
    def __init__(self, table: Table, comparison: Comparison) -> None:
        self._table = table
        self._nests = comparison.nests
        self._tasks = comparison.tasks
        self._with_first = {pair.second: pair for pair in comparison.pairs if pair.first == 0}
        self._depth = max(len(nest.grouping.levels) for nest in self._nests)

    def _head(self, text: str) -> None:
        self._table.add_row()
        self._table.add_row(Text(text), style="bold")

    def _row(self, label: str, cells: Iterable[str]) -> None:
        self._table.add_row(Text(label), *map(Text, cells))

    def alone(self) -> None:
        nests = self._nests
        self._row("groups", (" → ".join(map(str, nest.grouping.counts)) or "none" for nest in nests))
        for j in range(self._depth):
            spans = [sizes(nest.grouping) for nest in nests]
            self._row(f"level {j + 1}: classes per group", (_span(found[j]) if found[j:] else NONE for found in spans))
            shares = [nest.shares[j:] for nest in nests]
            self._row("  share of partitions", (_power(found[0].share) if found else NONE for found in shares))
        self._row("share of nestings", (_power(nest.share.share) for nest in nests))
        self._row("  of", (_power(nest.share.all) for nest in nests))
        for how, title in (("wu-palmer", "Wu–Palmer"), ("path", "path")):
            self._head(f"Coherence, {title}: within – between, z")
            found = [nest.coherence.get(how) for nest in nests]
            for j in range(self._depth):
                levels = [c.levels[j:] if c else () for c in found]
                self._row(f"level {j + 1}", (_scored(c[0].coherence, c[0].z) if c else NONE for c in levels))
            self._row("whole nest, r", (_scored(c.correlation, c.z) if c else NONE for c in found))

    def costs(self) -> None:
        costs = [nest.cost for nest in self._nests]
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
        first = self._nests[0]
        for j in range(len(first.grouping.levels)):
            found = [self._level(i, j) for i in range(len(self._nests))]
            if not any(found):
                continue
            self._head(f"Level {j + 1} against {first.title}")
            if len({nest.grouping.k for nest in self._nests}) > 1:
                self._row("its level", (str(level.second + 1) if level else NONE for level in found))
            both = [level.agreement if level else None for level in found]
            for index, label in _INDICES.items():
                self._row(label, (_real(getattr(a, index)) if a else NONE for a in both))
            pairs = (f"{_real(a.homogeneity)}, {_real(a.completeness)}" if a else NONE for a in both)
            self._row("homogeneity, completeness", pairs)
            self._row("groups of meet, join", (f"{a.meet}, {a.join}" if a else NONE for a in both))
            self._row("classes that moved", (str(len(level.moves.moved)) if level else NONE for level in found))
        self._head(f"Whole tree against {first.title}")
        trees = [self._with_first[i].distance if i else None for i in range(len(self._nests))]
        self._row("cophenetic correlation", (_real(tree.cophenetic) if tree else NONE for tree in trees))
        self._row("Robinson–Foulds, normalised", (_real(tree.robinson_foulds) if tree else NONE for tree in trees))
        self._row("triplet distance", (_real(tree.triplets) if tree else NONE for tree in trees))

    def _level(self, i: int, j: int) -> LevelPair | None:
        """Level j of the first against nesting i."""
        levels = self._with_first[i].levels if i else ()
        return next((level for level in levels if level.first == j), None)


def _matrix(comparison: Comparison) -> Table:
    """Above the diagonal one index, below it another."""
    nests, pairs = comparison.nests, {(p.first, p.second): p for p in comparison.pairs}
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for nest in nests:
        table.add_column(Text(nest.title), justify="right")
    for i, nest in enumerate(nests):
        cells = []
        for j in range(len(nests)):
            pair = pairs.get((min(i, j), max(i, j)))
            value = None if pair is None else pair.mean("ari") if i < j else pair.distance.triplets
            cells.append(NONE if value is None else _real(value))
        table.add_row(Text(nest.title), *cells)
    return table


def _moved(comparison: Comparison, console: Console, most: int) -> None:
    """Side by side: the finest groups of each class that moved on the finest levels compared with the first."""
    nests = comparison.nests
    moved: dict[int, set[int]] = {}  # class → nestings where it moved
    for pair in comparison.pairs:
        if pair.first == 0 and pair.levels:
            for m in pair.levels[-1].moves.moved:
                moved.setdefault(m.index, set()).add(pair.second)
    if not moved:
        return
    levels = {pair.second: pair.levels[-1] for pair in comparison.pairs if pair.first == 0 and pair.levels}
    home = nests[0].grouping.levels[max(level.first for level in levels.values())]
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"moved ({len(moved)} of {len(home.of)} classes)")
    for nest in nests:
        table.add_column(Text(nest.title))
    order = sorted(moved, key=lambda c: (home.of[c], c))
    for c in order[:most]:
        cells = [home.names[home.of[c]]]
        for i in range(1, len(nests)):
            level = nests[i].grouping.levels[levels[i].second] if i in levels else None
            cells.append(level.names[level.of[c]] if level and i in moved[c] else "·" if level else NONE)
        table.add_row(*(Text(text) for text in (nests[0].grouping.labels[c], *cells)))
    console.print(table)
    console.print("·: in the best match of its group", style="dim")
    if len(order) > most:
        console.print(f"and {len(order) - most} more; --json has all", style="dim")


def _span(found: tuple[int, float, int]) -> str:
    low, middle, high = found
    return f"{low} … {middle:g} … {high}"


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
