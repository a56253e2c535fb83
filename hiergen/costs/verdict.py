"""What a cost card says: counts exactly, speed by the turns, and no more than its interval allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from hiergen.costs.measured import INTERVAL, Ratio

if TYPE_CHECKING:
    from hiergen.costs.card import CostCard, Row

COSTS_ONLY = ("lower", "shorter", "smaller")  # kinds of rows whose accuracy nobody has measured

Outcome: TypeAlias = Literal["less", "more", "equal", "noisy"]
_WORDS: dict[str, Outcome] = {"faster": "less", "slower": "more", "equal": "equal", "noisy": "noisy"}
_SAME_MEMORY = 0.02  # less says nothing; params and MACs are exact


@dataclass(frozen=True)
class Compared:
    """One figure of two rows, smaller is better; `ratio` that of their ms."""

    unit: str  # "params", "ms", …
    at: str  # " at batch 1" or ""
    first: float
    second: float
    outcome: Outcome
    ratio: Ratio | None = None

    def better(self) -> str:
        """How much better the smaller one is."""
        if self.ratio is not None:
            return f"{speed(self.ratio)}{self.at}"
        small, large = sorted((self.first, self.second))
        word = "less" if self.unit == "peak memory" else "fewer"
        return f"{100 * (1 - small / large):.1f} % {word} {self.unit}{self.at}"

    def name(self) -> str:
        return f"{'speed' if self.unit == 'ms' else self.unit}{self.at}"

    def spread(self) -> str:
        """The name, with the interval that decides nothing."""
        assert self.ratio is not None
        if self.ratio.turns < INTERVAL:
            return f"{self.name()} ({self.ratio.turns} turns are too few)"
        return f"{self.name()} ({self.ratio.low:.2f} to {self.ratio.high:.2f} × the ms)"


def speed(ratio: Ratio) -> str:
    """How many times as fast the faster one is, with the interval."""
    low, middle, high = sorted((x if ratio.ratio > 1 else 1 / x) for x in (ratio.low, ratio.ratio, ratio.high))
    return f"{middle:.2f} × as fast ({low:.2f}–{high:.2f})"


def verdict(card: CostCard) -> str:
    """Cutout against sliced flat network, then against its full network; without a cutout, full against flat; and what
    each of the other rivals would save."""
    rows = {row.kind: row for row in reversed(card.rows)}
    full = f"the full {card.network}"
    if "cutout" in rows:
        ours, first = "the cutout", rows["cutout"]
        text = _against(first, rows["sliced"], ours, f"the sliced flat {card.backbone}")
        text = f"{text} {_saved(first, rows['full'], full)}"
    else:
        ours, first = full, rows["full"]
        text = _against(first, rows["flat"], ours, f"the flat {card.backbone}")
    rivals = [row for row in card.rows if row.kind in COSTS_ONLY]
    return " ".join([text, *_costs_only(first, rivals, ours)])


def compare(first: Row, second: Row) -> list[Compared]:
    """All figures that both rows have."""
    compared = [
        Compared(unit, "", a, b, _outcome(a, b))
        for unit, a, b in (("params", first.params, second.params), ("MACs", first.macs, second.macs))
    ]
    for a, b in zip(first.times, second.times, strict=True):
        ratio = Ratio.of(a, b)
        compared.append(Compared("ms", f" at batch {a.batch}", ratio.ratio, 1, _WORDS[ratio.outcome], ratio))
    for m, n in zip(first.memory, second.memory, strict=True):
        outcome = _outcome(m.peak, n.peak, _SAME_MEMORY)
        compared.append(Compared("peak memory", f" at batch {m.batch}", m.peak, n.peak, outcome))
    return compared


def _outcome(first: float, second: float, same: float = 0.0) -> Outcome:
    if abs(first - second) <= same * min(first, second):
        return "equal"
    return "less" if first < second else "more"


def _against(first: Row, second: Row, ours: str, theirs: str) -> str:
    compared = compare(first, second)
    mine, other, same, noisy = (_having(outcome, compared) for outcome in ("less", "more", "equal", "noisy"))
    text = []
    if mine and other:
        better = f"{theirs} is better by {_joined(other)}; {ours} by {_joined(mine)}"
        text.append(f"Neither wins everywhere: {better}.")
    elif mine or other:
        winner, loser = (ours, theirs) if mine else (theirs, ours)
        text.append(f"{winner[0].upper()}{winner[1:]} beats {loser}: {_joined(mine or other)}.")
    elif not noisy:
        text.append(f"{ours[0].upper()}{ours[1:]} and {theirs} cost the same.")
    if first.kind == "cutout" and other:
        text.append("Slicing a trained flat classifier needs no re-training either.")
    if (mine or other or noisy) and same:
        text.append(f"No difference that counts: {', '.join(c.name() for c in same)}.")
    if noisy:
        text.append(f"Too noisy to tell: {', '.join(c.spread() for c in noisy)}.")
    if not first.times:
        text.append("Speed was not measured.")
    return " ".join(text)


def _saved(cutout: Row, full: Row, name: str) -> str:
    compared = compare(cutout, full)
    less, more, same, noisy = (_having(outcome, compared) for outcome in ("less", "more", "equal", "noisy"))
    saved = [f"{100 * (1 - c.first / c.second):.1f} % of {c.unit}{c.at}" for c in less]
    takes = [f"{100 * (c.first / c.second - 1):.1f} % more {c.unit}{c.at}" for c in more]
    parts = [f"saves {', '.join(saved)}"] if saved else []
    parts += [f"takes {', '.join(takes)}"] if takes else []
    parts += [f"is level in {', '.join(c.name() for c in same)}"] if same else []
    parts += [f"is too noisy to tell in {', '.join(c.spread() for c in noisy)}"] if noisy else []
    return f"Against {name} the cutout {'; it '.join(parts)}."


def _costs_only(first: Row, rivals: list[Row], ours: str) -> list[str]:
    """A sentence for each batch size: which rivals are faster than ours, and which are not. None without times."""
    sentences = []
    words = {"faster": "faster", "slower": "slower", "equal": "as fast", "noisy": "too noisy to tell"}
    for i, timing in enumerate(first.times if rivals else ()):
        ratios = {row.label.removesuffix(" *"): Ratio.of(row.times[i], timing) for row in rivals}
        groups = []
        for outcome, word in words.items():
            some = [
                label if outcome in ("equal", "noisy") else f"{label} by {max(r.ratio, 1 / r.ratio):.2f} ×"
                for label, r in ratios.items()
                if r.outcome == outcome
            ]
            groups += [f"{word}: {', '.join(some)}"] if some else []
        what = f"Costs only (accuracy must be measured), beside {ours} at batch {timing.batch}"
        sentences.append(f"{what}, {'; '.join(groups)}.")
    return sentences


def _having(outcome: str, compared: Iterable[Compared]) -> list[Compared]:
    return [c for c in compared if c.outcome == outcome]


def _joined(compared: Iterable[Compared]) -> str:
    return ", ".join(c.better() for c in compared)
