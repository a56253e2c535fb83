"""Batches of cached maps: the right rows, mirrored and cropped by seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hiergen.data.batches import ImageFeed, MapFeed
from hiergen.data.features import FeatureSet, cached_features
from hiergen.data.samples import EpochOrder, Samples
from hiergen.data.sources import open_data
from tests.nn.network_cases import Tiny


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureSet]:
    import importlib

    torch.manual_seed(0)
    network = importlib.import_module("generated.digits").PHL().eval()
    images = open_data("digits", network, split="train").subset(range(30))
    folder: Path = tmp_path_factory.mktemp("cache")
    with cached_features(network, images, images.transform, folder=folder, dtype="float32", workers=0) as features:
        yield features


def order(**options: int) -> EpochOrder:
    return EpochOrder(30, 10, seed=4, epoch=2, **options)


def all_of(feed: MapFeed, given: EpochOrder) -> list[tuple[Tensor, Tensor]]:
    return list(feed.epoch(given))


def test_rows_and_targets_are_those_of_the_order(features: FeatureSet) -> None:
    for (x, y), keys in zip(MapFeed(features).epoch(order()), order(), strict=True):
        assert y.tolist() == [features.targets[i] for _, i in keys]
        for row, (_, i) in zip(x, keys, strict=True):
            assert torch.equal(row, features.maps(0, [i])[0])
    every = torch.cat([x for x, _ in MapFeed(features).once(7, 0, 1)])
    assert torch.equal(every, features.maps(0, range(30)))


def test_mirroring_is_by_image_and_not_by_process(features: FeatureSet) -> None:
    feed = MapFeed(features, seed=3, flip=0.5)
    plain = torch.cat([x for x, _ in MapFeed(features).epoch(order())])
    mixed = torch.cat([x for x, _ in feed.epoch(order())])
    flipped = torch.tensor([not torch.equal(a, b) for a, b in zip(mixed, plain, strict=True)])
    assert 5 < int(flipped.sum()) < 25
    assert torch.equal(mixed[flipped], plain[flipped].flip(-1))
    halves = [list(feed.epoch(order(rank=rank, world=2))) for rank in (0, 1)]
    together = torch.cat([torch.cat([a[0], b[0]]) for a, b in zip(*halves, strict=True)])
    assert torch.equal(together, mixed)


def test_windows_lie_inside_and_are_the_same_after_a_break_and_on_every_process(features: FeatureSet) -> None:
    feed = MapFeed(features, seed=3, crop=0.5)
    whole = all_of(feed, order())
    plain = all_of(MapFeed(features), order())
    sizes = set()
    for (x, _), (full, _) in zip(whole, plain, strict=True):
        h, w = x.shape[-2:]
        sizes.add((h, w))
        places = [
            (i, j)
            for i in range(full.shape[-2] - h + 1)
            for j in range(full.shape[-1] - w + 1)
            if torch.equal(full[..., i : i + h, j : j + w], x)
        ]
        assert places
        assert 2 * h >= full.shape[-2]
        assert 2 * w >= full.shape[-1]
    assert len(sizes) > 1
    later = all_of(feed, order(start=1))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(whole[1:], later, strict=True))
    part = all_of(feed, order(rank=1, world=2))
    assert all(torch.equal(a[5:], b) for (a, _), (b, _) in zip(whole, part, strict=True))
    assert next(iter(feed.once(30, 0, 1)))[0].shape[-2:] == features.shape[1:], "only in training"


def test_images_come_without_those_that_are_broken(tmp_path: Path) -> None:
    from PIL import Image

    from hiergen.data.sources import open_data

    network = Tiny()
    for class_id in network.classes:
        (tmp_path / class_id).mkdir()
        Image.new("RGB", (8, 8), "red").save(tmp_path / class_id / "a.png")
    (tmp_path / "c1" / "broken.png").write_bytes(b"no image")
    images = open_data(tmp_path, network)
    feed = ImageFeed(Samples(images, images.transform, seed=0), workers=0, skip_broken=True)
    batches = list(feed.once(1, 0, 1))
    assert len(feed) == 6
    assert sorted(int(y) for _, y in batches) == [0, 1, 2, 3, 4]
    assert feed.broken == {str(tmp_path / "c1" / "broken.png")}
