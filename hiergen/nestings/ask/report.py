"""What is said about the answers: sentences for the head of the file, and marks on the classes that stay open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hiergen.errors import quoted
from hiergen.nestings.ask.cache import CacheEntry
from hiergen.nestings.ask.votes import Spot
from hiergen.taxonomy.nesting import Nesting

_SHOWN = 12  # moves that the head of the file lists


@dataclass(frozen=True)
class Verdict:
    """How a spot ended: `answered` usably or not, the group `chosen`, and whether that was `reverted` for its size."""

    spot: Spot
    answered: bool
    chosen: int
    reverted: bool

    @property
    def final(self) -> int:
        return self.spot.home if self.reverted else self.chosen


def marks(start: Nesting, titles: Sequence[Sequence[str]], verdicts: Sequence[Verdict]) -> dict[int, str]:
    """Class → what is open there. `titles[level][group]`: what the groups of `start` are called now. What is open about
    a group stands at its first class."""
    texts: dict[int, list[str]] = {}
    last = len(start.levels) - 1
    for verdict in verdicts:
        spot, names = verdict.spot, titles[verdict.spot.level]
        if not verdict.answered:
            others = [group for group in spot.candidates if group != verdict.final]
            text = " or ".join(f"{quoted(names[g])}{_by(spot.voters(g))}" for g in others) + "; no usable answer"
        elif verdict.reverted:
            text = f"{quoted(names[verdict.chosen])} by the answer, but then the groups' sizes would not do"
        else:
            continue
        if spot.level == last:
            c, who = spot.index, ""
        else:
            c = start.levels[spot.level + 1].members[spot.index][0]
            who = f"its group {quoted(titles[spot.level + 1][spot.index])} in "
        texts.setdefault(c, []).append(f"{who}{text}")
    return {c: "; ".join(texts[c]) for c in sorted(texts)}


def notes(
    start: Nesting,
    titles: Sequence[Sequence[str]],
    verdicts: Sequence[Verdict],
    entries: Mapping[str, CacheEntry],
    voters: Sequence[str],
) -> list[str]:
    """Sentences that depend on the evidence and the answers only, not on when and by which run they were asked."""
    voter_names = " and ".join([", ".join(voters[:-1]), voters[-1]] if voters[1:] else voters)
    last = len(start.levels) - 1
    counts = Counter(verdict.spot.level == last for verdict in verdicts)
    parts = [f"{counts[True]} of {len(start.classes)} classes"]
    if last:
        parts.append(f"{counts[False]} of {sum(start.counts[1:])} groups")
    sentences = [f"A language model's word counts where {voter_names} disagree: {' and '.join(parts)}."]
    if not verdicts:
        return [f"No language model was asked: {voter_names} do not disagree anywhere."]
    by = Counter(entry.by for entry in entries.values() if entry.answer is not None)
    if by:
        sentences.append("Answered by " + ", ".join(f"{name} ({by[name]})" for name in sorted(by)) + ".")
    moved = [_move(start, titles, v) for v in verdicts if v.final != v.spot.home]
    if moved:
        rest = f"; and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
        sentences.append(f"Moved from its place in start ({len(moved)}): {'; '.join(moved[:_SHOWN])}{rest}.")
    if unanswered := sum(not verdict.answered for verdict in verdicts):
        sentences.append(f"No usable answer to {unanswered} of {len(verdicts)} questions: the evidence decided there.")
    if kept := sum(verdict.reverted for verdict in verdicts):
        sentences.append(f"Not moved, though chosen, as the groups' sizes would not do: {kept}.")
    return sentences


def _move(start: Nesting, titles: Sequence[Sequence[str]], verdict: Verdict) -> str:
    j, i = verdict.spot.level, verdict.spot.index
    subject = start.labels[i] if j == len(start.levels) - 1 else f"group {titles[j + 1][i]}"
    return f"{subject}: {titles[j][verdict.spot.home]} → {titles[j][verdict.final]}"


def _by(voters: Sequence[str]) -> str:
    return f" ({', '.join(voters)})"
