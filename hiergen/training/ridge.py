"""Classifiers in closed form: rows by ridge regression on features, as the start of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # parts of the features' mean square
SCALES = tuple(2.0**i for i in range(-1, 7))  # of 0-and-1 answers as logits
_SMOOTHING = 0.1  # or rows that are right about few images would get logits without bounds
_HELD = 10  # of so many rows one is held out, to choose both


@torch.no_grad()
def ridge_rows(
    features: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]], classes: int
) -> tuple[Tensor, Tensor]:
    """Weights `(classes, C)` and biases `(classes,)` of one linear layer, from batches of `(x, targets)`.

    `features(x)` is `(B, C)`, or `(B, classes, C)` where each class reads features of its own. Each class's row is the
    ridge regression of "is it this class" on them; penalty and scale are those with the least cross-entropy (labels
    smoothed) on a tenth of the rows, which the final rows are fitted to as well. Raises ValueError without batches.
    """
    gram: Tensor | None = None
    cross: Tensor | None = None
    held: list[tuple[Tensor, Tensor]] = []
    first: list[tuple[Tensor, Tensor]] = []  # what both are chosen on where there are few rows
    seen = 0
    for x, targets in batches:
        values = features(x).double().cpu()
        values = F.pad(values, (0, 1), value=1.0)  # for the bias
        values = values if values.ndim == 3 else values[:, None]
        wanted = F.one_hot(targets.cpu(), classes).double()
        if gram is None or cross is None:
            gram = values.new_zeros(values.shape[1], values.shape[2], values.shape[2])
            cross = values.new_zeros(classes, values.shape[2])
            first = [(values, wanted)]
        out = (torch.arange(seen, seen + len(values)) % _HELD) == _HELD - 1
        seen += len(values)
        if out.any():
            held.append((values[out], wanted[out]))
        _add(gram, cross, values[~out], wanted[~out])
    if gram is None or cross is None:
        raise ValueError("ridge_rows: expected a batch or more, got none")
    penalty, scale = min(
        ((p, s) for p in PENALTIES for s in SCALES),
        key=lambda pair: _loss(_solve(gram, cross, pair[0]), held or first, pair[1]),
    )
    for values, wanted in held:
        _add(gram, cross, values, wanted)
    rows = scale * _solve(gram, cross, penalty)
    return rows[:, :-1].float(), rows[:, -1].float()


def _add(gram: Tensor, cross: Tensor, values: Tensor, wanted: Tensor) -> None:
    gram += torch.einsum("bkc,bkd->kcd", values, values)
    cross += torch.einsum("bkc,bk->kc", values.expand(-1, wanted.shape[1], -1), wanted)


def _solve(gram: Tensor, cross: Tensor, penalty: float) -> Tensor:
    """Rows `(classes, C + 1)`; the bias is not penalized."""
    size = gram.diagonal(dim1=1, dim2=2)[:, :-1].mean(1).clamp(min=1e-12)
    ridge = torch.eye(gram.shape[1], dtype=gram.dtype)
    ridge[-1, -1] = 0.0
    whole = gram + penalty * size[:, None, None] * ridge
    if len(gram) == 1:
        return torch.linalg.solve(whole[0], cross.t()).t()  # type: ignore[no-any-return]
    return torch.linalg.solve(whole, cross[:, :, None])[:, :, 0]  # type: ignore[no-any-return]


def _loss(rows: Tensor, held: list[tuple[Tensor, Tensor]], scale: float) -> float:
    losses, count = 0.0, 0
    for values, wanted in held:
        logits = scale * torch.einsum("bkc,kc->bk", values.expand(-1, len(rows), -1), rows)
        losses += float(F.cross_entropy(logits, wanted.argmax(1), reduction="sum", label_smoothing=_SMOOTHING))
        count += len(values)
    return losses / max(count, 1)
