"""`hiergen reject`: the threshold below which an image shows none of a network's classes, fitted and measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.files import check_writable
from hiergen.nn.rejection import Rejection
from hiergen.training.metrics import calibration_error

if TYPE_CHECKING:
    from rich.console import Console

    from hiergen.taxonomy.roots import Split

KEPT = 0.95
BINS = 15
_COLDEST, _HOTTEST = 0.01, 100.0  # temperatures that are looked at


@dataclass(frozen=True)
class RejectionScore:
    """How well a network tells images of its classes from others', by `score`. None: not defined.

    `auroc`: share of pairs of an own image and another in which the own one scores higher, ties half. `fpr`: share of
    the others that a threshold lets through which keeps the share `kept` of the own images measured here. `accepted`
    and `accepted_others`: shares that the network's own threshold lets through. `ece`: calibration error of the softmax
    on the own images, `ece_tempered` after the network's temperature.
    """

    images: int
    others: int
    score: str
    kept: float
    auroc: float | None
    fpr: float | None
    ece: float
    threshold: float | None = None
    accepted: float | None = None
    accepted_others: float | None = None
    temperature: float | None = None
    ece_tempered: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, value and meaning of each figure that there is."""
        shares: list[tuple[str, float | None, str]] = [
            ("AUROC", self.auroc, f"own images against {self.others:,} of other classes, by the {self.score}"),
            (f"FPR at {self.kept:.0%} kept", self.fpr, "others taken for own ones, threshold fitted here"),
            ("own accepted", self.accepted, f"of {self.images:,}, at the network's threshold {_short(self.threshold)}"),
            ("others accepted", self.accepted_others, f"of {self.others:,}, likewise"),
            ("ECE", self.ece, "of own images, confidence against accuracy"),
            ("ECE, tempered", self.ece_tempered, f"the same, logits divided by {_short(self.temperature)}"),
        ]
        yield from ((name, f"{100 * share:.2f} %", text) for name, share, text in shares if share is not None)


@dataclass(frozen=True)
class Rejected:
    """What `reject` wrote into the file of weights, and how good it is on the images that it was fitted on."""

    path: Path
    rejection: Rejection
    score: RejectionScore
    broken: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"path": str(self.path), "rejection": asdict(self.rejection), "score": self.score.to_dict()}


def fit_rejection(logits: Tensor, targets: Tensor, kept: float = KEPT) -> Rejection:
    """Threshold and temperature from logits `(N, classes)` of held-out images of the network's own classes, `(N,)`.

    The threshold is the highest that accepts the share `kept` of them; the temperature that of the least NLL (Guo et
    al., arXiv 1706.04599) with one image more whose class may be any, 1 where a network has one class. Raises
    HiergenError for a share that cannot be, no images, and logits that are not finite.
    """
    plain = Rejection(0.0, kept=kept)
    if not len(logits):
        raise HiergenError("there are no images to fit a rejection on")
    if not logits.isfinite().all():
        raise HiergenError("logits are not finite", hint="check the weights")
    scores = plain.scores(logits)
    return Rejection(_threshold(scores, kept), _temperature(logits.double(), targets), kept)


def score_rejection(
    logits: Tensor,
    targets: Tensor,
    others: Tensor | None = None,
    rejection: Rejection | None = None,
    *,
    kept: float = KEPT,
    bins: int = BINS,
) -> RejectionScore:
    """Figures of own images' logits `(N, classes)` with their targets `(N,)`, beside those of others' `(M, classes)`.

    Without a `rejection` the score is the usual one, and `kept` the share of own images. Raises HiergenError as
    `Rejection.scores` does.
    """
    from sklearn.metrics import roc_auc_score

    used = rejection or Rejection(0.0, kept=kept)
    own = used.scores(logits)
    found: dict[str, Any] = {"auroc": None, "fpr": None}
    if others is not None and len(others):
        strange = used.scores(others)
        truth = torch.cat([torch.ones(len(own)), torch.zeros(len(strange))])
        found["auroc"] = float(roc_auc_score(truth.numpy(), torch.cat([own, strange]).numpy()))
        found["fpr"] = float((strange >= _threshold(own, used.kept)).double().mean())
        if rejection is not None:
            found["accepted_others"] = float((strange >= rejection.threshold).double().mean())
    if rejection is not None:
        found["threshold"], found["temperature"] = rejection.threshold, rejection.temperature
        found["accepted"] = float((own >= rejection.threshold).double().mean())
        found["ece_tempered"] = _ece(logits.double() / rejection.temperature, targets, bins)
    count = 0 if others is None else len(others)
    return RejectionScore(len(own), count, used.score, used.kept, ece=_ece(logits.double(), targets, bins), **found)


def reject(
    model: str | Path,
    data: str | Path,
    *,
    weights: str | Path | None = None,
    others: str | Path | None = None,
    kept: float = KEPT,
    split: Split = "validation",
    batch_size: int = 64,
    workers: int | None = None,
    device: str | None = None,
    root: str | Path | None = None,
    skip_broken: bool = False,
    console: Console | None = None,
) -> Rejected:
    """Fit a network's or cutout's rejection on held-out images of its classes, and write it into its weights' metadata.

    `data` is what `open_data` takes; its images of other classes, or those of `others`, measure how many are let
    through. Tensors stay as they are, to the bit. Raises HiergenError as `load_trained`, `open_data` and
    `fit_rejection` do, and for weights that are not there or cannot be written.
    """
    from hiergen.data.imageclasses import PRESENT
    from hiergen.data.sources import labelled_images, other_images
    from hiergen.models.load import find_model, load_trained
    from hiergen.models.weights import identity
    from hiergen.models.weightsfile import read_weights, write_tensors
    from hiergen.training.run import check_split, predicted

    Rejection(0.0, kept=kept)
    check_split(split)
    reference = find_model(model)
    network = load_trained(reference, weights)
    path = Path(weights) if weights is not None else reference.weights
    assert path is not None  # or it could not be loaded
    check_writable(path)
    options: dict[str, Any] = {"split": split, "root": root}
    images = labelled_images(network, str(data), PRESENT, **options)
    strange = other_images(network, str(data) if others is None else str(others), needed=others is not None, **options)
    run: dict[str, Any] = {
        "batch_size": batch_size,
        "workers": workers,
        "device": device,
        "skip_broken": skip_broken,
        "console": console,
    }
    logits, targets, broken = predicted(network, images, **run)
    rejection = fit_rejection(logits, targets, kept)
    other: Tensor | None = None
    if strange is not None:
        other, _, more = predicted(network, strange, **run)
        broken |= more
    file = read_weights(path)
    metadata = {**(file.metadata or identity(network, reference.name)), "rejection": json.dumps(asdict(rejection))}
    write_tensors(file.tensors, path, metadata)
    score = score_rejection(logits, targets, other, rejection)
    return Rejected(path, rejection, score, tuple(sorted(broken)))


def _threshold(scores: Tensor, kept: float) -> float:
    """The highest that at least this share of the scores reaches."""
    count = max(math.ceil(kept * len(scores) - 1e-9), 1)
    return float(scores.sort(descending=True).values[count - 1])


def _temperature(logits: Tensor, targets: Tensor) -> float:
    """Of the least NLL: in 1 / T, which logits are multiplied by, it has one minimum. One image more, of any class,
    keeps it finite where all are right (as Platt 1999 does)."""
    from scipy.optimize import minimize_scalar

    if logits.shape[1] == 1:
        return 1.0

    def nll(log: float) -> float:
        return float(F.cross_entropy(logits * math.exp(-log), targets, label_smoothing=1 / (len(targets) + 1)))

    bounds = (math.log(_COLDEST), math.log(_HOTTEST))
    return math.exp(float(minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-5}).x))


def _ece(logits: Tensor, targets: Tensor, bins: int) -> float:
    confidence, best = logits.softmax(1).max(1)
    return calibration_error(confidence, best == targets, bins)


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}"
