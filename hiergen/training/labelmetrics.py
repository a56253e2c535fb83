"""Metrics of images that show several classes, or none: each class is a question of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from hiergen.errors import HiergenError


@dataclass(frozen=True)
class LabelScore:
    """One class: `images` that show it, its average precision, and precision, recall and F1 where a probability of 0.5
    says yes. A value is None where it is not defined: of no image, or no yes."""

    id: str
    name: str
    images: int
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class LabelMetrics:
    """`map`: mean of the classes' average precisions; `f1` the mean of their F1, `f1_micro` that of all answers
    together; `exact`: share of images all of whose answers are right. Means are over classes with images."""

    images: int
    map: float
    f1: float
    f1_micro: float
    exact: float
    classes: tuple[LabelScore, ...]

    @property
    def score(self) -> float:
        """What the best epoch is chosen by."""
        return self.map

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; see docs/metrics.md."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """One epoch's columns."""
        return {"val_map": self.map, "val_f1": self.f1, "val_f1_micro": self.f1_micro, "val_exact": self.exact}


def evaluate_labels(logits: Tensor, truth: Tensor, ids: Sequence[str], names: Sequence[str]) -> LabelMetrics:
    """Of logits `(N, C)` and which classes each image shows, bool `(N, C)`. Raises HiergenError where no image shows
    any class, and for logits that are not finite.
    """
    from sklearn.metrics import average_precision_score

    logits, truth = logits.detach().cpu().double(), truth.cpu()
    if not truth.any():
        raise HiergenError("no image shows any class")
    if not logits.isfinite().all():
        raise HiergenError("logits are not finite", hint="check the weights")
    said = logits > 0
    images, yes, right = (part.sum(0).tolist() for part in (truth, said, truth & said))
    scores = []
    for c, (have, answers, hits) in enumerate(zip(images, yes, right, strict=True)):
        precise = float(average_precision_score(truth[:, c].numpy(), logits[:, c].numpy())) if have else None
        f1 = 2 * hits / (have + answers) if have else None
        shares = (hits / answers if answers else None, hits / have if have else None)
        scores.append(LabelScore(ids[c], names[c], have, precise, *shares, f1))
    seen = [score for score in scores if score.images]
    return LabelMetrics(
        images=len(logits),
        map=sum(score.average_precision or 0.0 for score in seen) / len(seen),
        f1=sum(score.f1 or 0.0 for score in seen) / len(seen),
        f1_micro=2 * sum(right) / (sum(images) + sum(yes)),
        exact=float((said == truth).all(1).double().mean()),
        classes=tuple(scores),
    )
