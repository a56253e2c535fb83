"""The sentences under a cost card: would a sliced flat classifier do better, and what does the cutout save?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hiergen.costs.card import CostCard, Row

# Differences below these say nothing, nor do times whose quartiles overlap; params and MACs are exact.
_SAME_TIME, _SAME_MEMORY = 0.05, 0.02


@dataclass(frozen=True)
class Compared:
    """One figure of two rows, smaller is better; `equal` where the difference says nothing."""

    unit: str  # "params", "ms", …
    at: str  # " at batch 1" or ""
    first: float
    second: float
    equal: bool

    def better(self) -> str:
        """How much better the smaller one is."""
        small, large = sorted((self.first, self.second))
        if self.unit == "ms":
            return f"{large / small:.2f} × as fast{self.at}"
        word = "less" if self.unit == "peak memory" else "fewer"
        return f"{100 * (1 - small / large):.1f} % {word} {self.unit}{self.at}"

    def tie(self) -> str:
        return f"{'speed' if self.unit == 'ms' else self.unit}{self.at}"


def verdict(card: CostCard) -> str:
    """Cutout against sliced flat network, then against its full network; without a cutout, full against flat."""
    rows = {row.kind: row for row in card.rows}
    full = f"the full {card.network}"
    if "cutout" not in rows:
        return _against(rows["full"], rows["flat"], full, f"the flat {card.backbone}")
    sliced = f"the sliced flat {card.backbone}"
    text = _against(rows["cutout"], rows["sliced"], "the cutout", sliced)
    return f"{text} {_saved(rows['cutout'], rows['full'], full)}"


def compare(first: Row, second: Row) -> list[Compared]:
    """All figures that both rows have."""
    compared = [
        Compared("params", "", first.params, second.params, first.params == second.params),
        Compared("MACs", "", first.macs, second.macs, first.macs == second.macs),
    ]
    for a, b in zip(first.times, second.times, strict=True):
        near = abs(a.ms - b.ms) <= _SAME_TIME * min(a.ms, b.ms)
        overlap = a.low <= b.high and b.low <= a.high
        compared.append(Compared("ms", f" at batch {a.batch}", a.ms, b.ms, near or overlap))
    for m, n in zip(first.memory, second.memory, strict=True):
        near = abs(m.peak - n.peak) <= _SAME_MEMORY * min(m.peak, n.peak)
        compared.append(Compared("peak memory", f" at batch {m.batch}", m.peak, n.peak, near))
    return compared


def _against(first: Row, second: Row, ours: str, theirs: str) -> str:
    compared = compare(first, second)
    mine = [c for c in compared if not c.equal and c.first < c.second]
    other = [c for c in compared if not c.equal and c.first > c.second]
    if mine and other:
        text = f"Neither wins everywhere: {theirs} is better by {_joined(other)}; {ours} by {_joined(mine)}."
    elif mine or other:
        winner, loser = (ours, theirs) if mine else (theirs, ours)
        text = f"{winner[0].upper()}{winner[1:]} beats {loser}: {_joined(mine or other)}."
    else:
        text = f"{ours[0].upper()}{ours[1:]} and {theirs} cost the same."
    if first.kind == "cutout" and other:
        text += " Slicing a trained flat classifier needs no re-training either."
    if (mine or other) and (same := [c.tie() for c in compared if c.equal]):
        text += f" No difference that counts: {', '.join(same)}."
    return text if first.times else f"{text} Speed was not measured."


def _saved(cutout: Row, full: Row, name: str) -> str:
    compared = compare(cutout, full)
    saved = [f"{100 * (1 - c.first / c.second):.1f} % of {c.unit}{c.at}" for c in compared if _sign(c) < 0]
    more = [f"{100 * (c.first / c.second - 1):.1f} % more {c.unit}{c.at}" for c in compared if _sign(c) > 0]
    same = [c.tie() for c in compared if c.equal]
    parts = [f"saves {', '.join(saved)}"] if saved else []
    parts += [f"takes {', '.join(more)}"] if more else []
    parts += [f"is level in {', '.join(same)}"] if same else []
    return f"Against {name} the cutout {'; it '.join(parts)}."


def _sign(compared: Compared) -> int:
    return 0 if compared.equal else 1 if compared.first > compared.second else -1


def _joined(compared: Iterable[Compared]) -> str:
    return ", ".join(c.better() for c in compared)
