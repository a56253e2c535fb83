"""None of these: a threshold on a network's logits, below which an image shows no class of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

import torch
from torch import Tensor

from hiergen.errors import HiergenError, quoted

SCORE = "largest logit"  # of those tried it tells most: docs/evidence.md
_FIELDS = {"threshold", "temperature", "kept", "score"}


@dataclass(frozen=True)
class Rejection:
    """Which images show none of a network's classes, fitted on held-out images of them.

    An image is accepted whose `score`, the largest logit, reaches the `threshold`; of held-out images of the network's
    own classes the share `kept` did. `temperature` is what logits are divided by for a softmax that says how often it
    is right. They are of one network in one form: a cutout has its own.
    Raises HiergenError for values that cannot be.
    """

    threshold: float
    temperature: float = 1.0
    kept: float = 0.95
    score: str = SCORE

    def __post_init__(self) -> None:
        if self.score != SCORE:
            raise HiergenError(f"no score {quoted(str(self.score))}", expected=SCORE)
        for name, low, high, expected in (
            ("threshold", -inf, inf, "a finite number"),
            ("temperature", 0.0, inf, "a finite number above 0"),
            ("kept", 0.0, nextafter(1.0, 2.0), "a share above 0, at most 1"),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
                raise HiergenError(f"the {name} of a rejection cannot be {value!r}", expected=expected)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Rejection:
        """From a file's metadata. Raises HiergenError for other keys."""
        if not isinstance(values, Mapping) or set(values) != _FIELDS:
            raise HiergenError("is no rejection", expected=", ".join(sorted(_FIELDS)))
        return cls(**values)

    def accepts(self, logits: Tensor) -> Tensor:
        """Logits `(B, classes)` → bool `(B,)`: whether an image shows one of the classes. Raises HiergenError for
        another shape.

        >>> Rejection(threshold=2.0).accepts(torch.tensor([[0.0, 3.0], [1.0, 1.9]])).tolist()
        [True, False]
        """
        return self.scores(logits) >= self.threshold

    def scores(self, logits: Tensor) -> Tensor:
        """Logits `(B, classes)` → float32 or better `(B,)`. Raises HiergenError for another shape."""
        if logits.ndim != 2 or not logits.shape[1]:
            raise HiergenError("scores are of logits", expected="(B, classes)", got=str(tuple(logits.shape)))
        return (logits if logits.dtype == torch.float64 else logits.float()).amax(1)
