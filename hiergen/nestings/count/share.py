"""Which part of all nestings has the shape of one: logarithms, as the numbers have hundreds of digits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hiergen.nestings.count.count import count_nestings, count_shape, log10_of
from hiergen.nestings.count.route import TooLargeError
from hiergen.taxonomy.nesting import Nesting


@dataclass(frozen=True)
class Share:
    """log10 of how many have the same shape (the relabellings of this one), and of how many there are at all with as
    many classes and levels (None where that is too large to count exactly)."""

    same: float
    all: float | None

    @property
    def share(self) -> float | None:
        """log10 of the share."""
        return None if self.all is None else self.same - self.all

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.share}


class Shares:
    """Shares of nestings of `n` classes; what is counted is kept."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._all: dict[int, float | None] = {}

    def whole(self, nesting: Nesting) -> Share:
        """Of a nesting among all with as many levels."""
        if not nesting.levels:
            return Share(0.0, 0.0)
        same = count_shape([nesting.above(j) for j in range(1, nesting.depth + 1)], self._n)
        return Share(log10_of(same), self._of(nesting.depth))

    def levels(self, nesting: Nesting) -> tuple[Share, ...]:
        """Of each level, by itself, among all partitions."""
        return tuple(self.whole(Nesting.from_levels(nesting.classes, [level.of])) for level in nesting.levels)

    def _of(self, k: int) -> float | None:
        if k not in self._all:
            try:
                self._all[k] = log10_of(count_nestings(self._n, k))
            except TooLargeError:
                self._all[k] = None
        return self._all[k]
