"""Rows by ridge regression, against scikit-learn's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from hiergen.training import ridge
from hiergen.training.ridge import ridge_rows

CLASSES, CHANNELS = 4, 6


def batches(count: int = 12, size: int = 16, spread: float = 1.0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, CHANNELS, generator=generator)
    made = []
    for _ in range(count):
        y = torch.randint(CLASSES, (size,), generator=generator)
        made.append((centres[y] + spread * torch.randn(size, CHANNELS, generator=generator), y))
    return made


def given(x: Tensor) -> Tensor:
    return x


def test_rows_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "PENALTIES", (0.1,))
    monkeypatch.setattr(ridge, "SCALES", (1.0,))
    feed = batches()
    weight, bias = ridge_rows(given, feed, CLASSES)
    x, y = torch.cat([x for x, _ in feed]).double(), torch.cat([y for _, y in feed])
    # the penalty is a part of the mean square of the features, summed over all images
    theirs = Ridge(alpha=0.1 * float(x.square().sum(0).mean())).fit(x, torch.nn.functional.one_hot(y, CLASSES).double())
    torch.testing.assert_close(weight.double(), torch.as_tensor(theirs.coef_), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bias.double(), torch.as_tensor(theirs.intercept_), atol=1e-5, rtol=1e-4)


def test_features_of_each_class_by_itself_give_the_same_where_they_are_alike() -> None:
    feed = batches()
    shared = ridge_rows(given, feed, CLASSES)
    own = ridge_rows(lambda x: x[:, None].expand(-1, CLASSES, -1), feed, CLASSES)
    for one, other in zip(shared, own, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_class_reads_its_own_features_only() -> None:
    feed = batches()

    def features(x: Tensor) -> Tensor:
        each = x[:, None].repeat(1, CLASSES, 1)
        each[:, 2] = 0  # class 2 sees nothing
        return each

    weight, bias = ridge_rows(features, feed, CLASSES)
    whole = ridge_rows(lambda x: x[:, None].repeat(1, CLASSES, 1), feed, CLASSES)
    assert weight[2].abs().max() == 0
    assert bias[2] > 0  # its share of the images, scaled
    assert weight[1].abs().max() > 0
    assert whole[0][2].abs().max() > 0


def test_one_batch_is_enough_and_none_is_said() -> None:
    weight, _ = ridge_rows(given, batches(1), CLASSES)
    assert weight.isfinite().all()

    def nothing() -> Iterator[tuple[Tensor, Tensor]]:
        yield from ()

    with pytest.raises(ValueError, match="expected a batch or more"):
        ridge_rows(given, nothing(), CLASSES)
