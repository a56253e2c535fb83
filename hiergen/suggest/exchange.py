"""Exchanges: what agglomeration joined too early is put right, one step at a time, as long as it pays.

The objective is that of kernel k-means: Σ over groups of (sum of similarities of all ordered pairs of its classes) /
(its classes). With the number of groups fixed it does not change when a constant is added to all similarities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiergen.suggest.evidence import Floats
from hiergen.suggest.regroup import regroup

Ints = NDArray[np.int64]
_TINY = 1e-9  # of the largest similarity: gains below are rounding
_STEPS = 100  # at most, for each item; far above what is ever needed


def improve(pairs: Floats, weight: Floats, of: Ints, low: int, high: int) -> Ints:
    """The group of each of N items after exchanges; as many groups, each of `low` to `high` items.

    `pairs` `(N, N)`: sum of similarities between the classes of two items, on the diagonal within one (without those
    of a class with itself); `weight` `(N,)`: classes of an item. Moves first, swaps where no move pays, a regrouping
    where neither does; the best each time, of equals the first.
    """
    of = of.copy()
    enough = _TINY * float(np.abs(pairs).max(initial=0.0))
    state = _Sums(pairs, weight, of)
    for _ in range(_STEPS * len(of)):
        gains = state.moves(low, high)
        best = int(np.argmax(gains))
        if gains.flat[best] > enough:
            item, group = divmod(best, gains.shape[1])
            state.put(item, group)
            continue
        gains = state.swaps()
        best = int(np.argmax(gains))
        if not gains.flat[best] > enough:
            better = regroup(pairs, weight, of, low, high, enough)
            if better is None:
                return of
            of = better
            state = _Sums(pairs, weight, of)
            continue
        a, b = divmod(best, len(of))
        home, other = int(of[a]), int(of[b])
        state.put(a, other)
        state.put(b, home)
    return of


def objective(pairs: Floats, weight: Floats, of: Ints) -> float:
    """What `improve` makes larger."""
    total = 0.0
    for group in range(int(of.max()) + 1):
        inside = np.flatnonzero(of == group)
        total += float(pairs[np.ix_(inside, inside)].sum() / weight[inside].sum())
    return total


class _Sums:
    """`to[x, G]`: similarity of item x to all of group G; `inside[G]` of all its pairs; classes and items of each."""

    def __init__(self, pairs: Floats, weight: Floats, of: Ints) -> None:
        self._pairs, self._weight, self._of = pairs, weight, of
        member = np.zeros((len(of), int(of.max()) + 1))
        member[np.arange(len(of)), of] = 1
        self._to = pairs @ member
        self._inside = np.einsum("xg,xg->g", member, self._to)
        self._classes = weight @ member
        self._items = member.sum(axis=0)
        self._self = np.diagonal(pairs)

    def moves(self, low: int, high: int) -> Floats:
        """Gain of putting each item into each group `(N, groups)`; -inf where sizes forbid it."""
        rows = np.arange(len(self._of))
        home = self._of
        left = self._classes[home] - self._weight
        lost = self._inside[home] - 2 * self._to[rows, home] + self._self
        rest = np.divide(lost, left, out=np.zeros_like(lost), where=left > 0) - (self._inside / self._classes)[home]
        grown = self._inside[None, :] + 2 * self._to + self._self[:, None]
        grown /= self._classes[None, :] + self._weight[:, None]
        gains: Floats = grown - (self._inside / self._classes)[None, :] + rest[:, None]
        gains[rows, home] = -np.inf
        gains[self._items[home] - 1 < max(low, 1)] = -np.inf
        gains[:, self._items + 1 > high] = -np.inf
        return gains

    def swaps(self) -> Floats:
        """Gain of exchanging each two items `(N, N)`; -inf within a group."""
        home, weight = self._of, self._weight
        mine = self._to[np.arange(len(home)), home]
        base = (self._inside[home] - 2 * mine + self._self)[:, None]  # of x's group without x
        with_other = base + 2 * (self._to[:, home].T - self._pairs) + self._self[None, :]
        with_other /= (self._classes[home] - weight)[:, None] + weight[None, :]
        gains: Floats = with_other + with_other.T
        value = (self._inside / self._classes)[home]
        gains -= value[:, None] + value[None, :]
        gains[np.equal.outer(home, home)] = -np.inf
        return gains

    def put(self, item: int, group: int) -> None:
        home = int(self._of[item])
        row, own = self._pairs[item], float(self._self[item])
        self._inside[home] += own - 2 * self._to[item, home]
        self._inside[group] += own + 2 * self._to[item, group]
        self._to[:, home] -= row
        self._to[:, group] += row
        for sums, amount in ((self._classes, float(self._weight[item])), (self._items, 1.0)):
            sums[home] -= amount
            sums[group] += amount
        self._of[item] = group
