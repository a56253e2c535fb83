"""The step that single exchanges cannot take: one group is dissolved, another is cut in two, the number stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiergen.suggest.evidence import Floats

Ints = NDArray[np.int64]
_TRIED = 8  # groups to dissolve, and groups to cut, that are tried with each other


def regroup(pairs: Floats, weight: Floats, of: Ints, low: int, high: int, enough: float) -> Ints | None:
    """A better assignment with as many groups, or None where none of the likeliest steps gains more than `enough`.

    Likeliest to be dissolved: the groups of least value for each item; to be cut: those that gain most by it.
    Arguments as `hiergen.suggest.exchange.improve` has them.
    """
    groups = [np.flatnonzero(of == number) for number in range(int(of.max()) + 1)]
    sums = np.array([_sum(pairs, group) for group in groups])
    values = sums / np.array([weight[group].sum() for group in groups])
    cuts = {number: cut for number, group in enumerate(groups) if (cut := _cut(pairs, weight, group, low)) is not None}
    by_cut = sorted(cuts, key=lambda b: (values[b] - sum(_value(pairs, weight, part) for part in cuts[b]), b))[:_TRIED]
    by_value = sorted(range(len(groups)), key=lambda a: (values[a] / len(groups[a]), a))[:_TRIED]
    best, found = enough, None
    for b in by_cut:
        for a in by_value:
            if a == b:
                continue
            trial = of.copy()
            trial[groups[a]] = -1
            trial[cuts[b][1]] = a
            inside = sums.copy()
            inside[a], inside[b] = (_sum(pairs, part) for part in cuts[b][::-1])
            if _settle(pairs, weight, trial, groups[a], inside, high):
                touched = sorted({a, b, *(int(trial[i]) for i in groups[a])})
                new = sum(_value(pairs, weight, np.flatnonzero(trial == number)) for number in touched)
                gain = new - float(values[touched].sum())
                if gain > best:
                    best, found = gain, trial
    return found


def _sum(pairs: Floats, group: Ints) -> float:
    return float(pairs[np.ix_(group, group)].sum())


def _value(pairs: Floats, weight: Floats, group: Ints) -> float:
    return _sum(pairs, group) / float(weight[group].sum())


def _cut(pairs: Floats, weight: Floats, group: Ints, low: int) -> tuple[Ints, Ints] | None:
    """A group in two: around the two items that are least alike, evened out to `low` items each."""
    if len(group) < 2 * low:
        return None
    inside = pairs[np.ix_(group, group)] / np.outer(weight[group], weight[group])
    apart = inside.copy()
    np.fill_diagonal(apart, np.inf)
    a, b = divmod(int(np.argmin(apart)), len(group))
    lean = inside[a] - inside[b]  # towards the first seed
    lean[a], lean[b] = np.inf, -np.inf
    order = np.argsort(-lean, kind="stable")
    count = min(max(int((lean > 0).sum()), low), len(group) - low)
    return np.sort(group[order[:count]]), np.sort(group[order[count:]])


def _settle(pairs: Floats, weight: Floats, of: Ints, loose: Ints, inside: Floats, high: int) -> bool:
    """Put each loose item (-1) where it adds most (`inside`: sums of the groups); False where there is no room."""
    placed = of >= 0
    member = np.zeros((len(of), len(inside)))
    member[placed, of[placed]] = 1
    classes, items = weight @ member, member.sum(axis=0)
    for i in loose:
        to = pairs[i] @ member
        gain = (inside + 2 * to + pairs[i, i]) / (classes + weight[i]) - inside / classes
        gain[items + 1 > high] = -np.inf
        home = int(np.argmax(gain))
        if gain[home] == -np.inf:
            return False
        inside[home] += 2 * to[home] + pairs[i, i]
        classes[home] += weight[i]
        items[home] += 1
        member[i, home] = 1
        of[i] = home
    return True
