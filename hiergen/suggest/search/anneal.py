"""Simulated annealing over nestings (Kirkpatrick, Gelatt & Vecchi, Science 1983), block by block.

A block is `BLOCK` proposals at one temperature, with random numbers of its own: from the group numbers at its start it
always goes the same way, on every machine, so that a search can stop and go on at any block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hiergen.suggest.search.chance import exponentials, uniforms
from hiergen.suggest.search.moves import Field

BLOCK = 1000
HOT = 1.0
_WHOLE = 0.1  # share of proposals that concern whole groups, where there are several levels
_SWAPS = 0.5


def temperature(start: float, at: float) -> float:
    """From `start` down to 0, `at` = 0 … 1 of the round: by plain products, which round alike everywhere."""
    left = 1.0 - at
    return start * left * left


def first_temperature(field: Field, key: Sequence[int]) -> float:
    """So hot that a round begins without much order: a share of the mean change that a proposal makes."""
    gains: list[float] = []
    _proposals(field, float("inf"), key, gains)
    sizes = [abs(gain) for gain in gains]
    return HOT * (sum(sizes) / len(sizes)) if sizes else 0.0


def run_block(field: Field, heat: float, key: Sequence[int], best: float) -> tuple[float, list[list[int]] | None]:
    """`BLOCK` proposals at temperature `heat`. The best value seen, and its group numbers if it is above `best`."""
    return _proposals(field, heat, key, None, best)


def _proposals(
    field: Field, heat: float, key: Sequence[int], gains: list[float] | None, best: float = float("inf")
) -> tuple[float, list[list[int]] | None]:
    nest, n, last = field.nest, field.space.n, field.nest.last
    u = uniforms(key, 4, BLOCK)
    groups = len(nest.size[last])
    swaps = 1.0 if field.space.fixed else _SWAPS
    kinds, firsts = u[0].tolist(), (u[1] * n).astype(np.int64).tolist()
    classes, targets = (u[2] * n).astype(np.int64).tolist(), (u[2] * groups).astype(np.int64).tolist()
    raw, bars = u[2].tolist(), (-heat * exponentials(u[3])).tolist() if gains is None else []
    value, found, seconds = field.value(), None, u[1].tolist()
    if value > best:
        best, found = value, nest.key()
    whole = _WHOLE if last else 0.0
    for i in range(BLOCK):
        kind = kinds[i]
        if kind < whole:
            level = 1 + int(kind / whole * last)
            g = int(seconds[i] * len(nest.size[level]))
            second = raw[i] * 2
            if second < 1:
                step = field.hang(level, g, int(second * len(nest.size[level - 1])))
            else:
                step = field.trade(level, g, int((second - 1) * len(nest.size[level])))
        elif (kind - whole) < swaps * (1 - whole):
            step = field.swap(firsts[i], classes[i])
        else:
            step = field.move(firsts[i], targets[i])
        if step is None:
            continue
        if gains is not None:
            gains.append(step.gain)
        elif step.gain >= bars[i]:
            field.take(step)
            value += step.gain
            if value > best + 1e-12:
                best, found = value, nest.key()
    return best, found
