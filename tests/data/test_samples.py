"""Batches that depend on (seed, epoch, image) alone, and broken images in them."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hiergen.data.images import ImageSet, LabelledImages
from hiergen.data.samples import (
    ROUNDS,
    Broken,
    EpochOrder,
    Samples,
    default_workers,
    in_order,
    loader,
    read_batches,
    seeded,
)
from hiergen.errors import HiergenError
from hiergen.taxonomy.imagefolder import ImagePlace


def drawn(image: Image.Image) -> Tensor:
    """The image's grey and a draw of each generator."""
    grey = image.getpixel((0, 0))
    assert isinstance(grey, tuple)
    values = [float(grey[0]), random.random(), float(np.random.rand()), float(torch.rand(()))]
    return torch.tensor(values).view(1, 2, 2).expand(3, 2, 2)


@pytest.fixture
def images(tmp_path: Path) -> LabelledImages:
    """13 images; image i has grey 10 i and class i mod 3."""
    places = []
    for i in range(13):
        Image.new("L", (4, 4), 10 * i).save(tmp_path / f"{i}.png")
        places.append(ImagePlace(tmp_path / f"{i}.png"))
    return LabelledImages(tuple(places), tuple(i % 3 for i in range(13)), drawn)


def test_a_sample_is_the_same_wherever_it_is_read(images: LabelledImages) -> None:
    samples = Samples(images, drawn, seed=5)
    alone = {(epoch, i): samples[epoch, i] for epoch in (0, 1) for i in range(13)}
    assert len({tuple(item[0].flatten().tolist()) for item in alone.values() if not isinstance(item, Broken)}) == 26
    for epoch, workers, world in ((0, 0, 1), (0, 2, 1), (1, 0, 2), (1, 2, 2)):
        seen: list[int] = []
        for rank in range(world):
            order = EpochOrder(13, 4, seed=5, epoch=epoch, rank=rank, world=world)
            random.seed(workers)  # what ran before does not matter
            torch.manual_seed(workers)
            for keys, (x, y, broken) in zip(order, loader(samples, order, workers=workers), strict=True):
                assert not broken
                for row, target, key in zip(x, y, keys, strict=True):
                    expected = alone[key]
                    assert not isinstance(expected, Broken)
                    assert torch.equal(row, expected[0])
                    assert (int(target), round(float(row[0, 0, 0]))) == (key[1] % 3, 10 * key[1])
                    seen.append(key[1])
        assert len(seen) == len(set(seen)) == 12
    other = Samples(images, drawn, seed=6)[0, 3]
    assert not isinstance(other, Broken)
    assert not torch.equal(other[0], alone[0, 3][0])  # type: ignore[index]


def test_reading_leaves_the_generators_as_they_were(images: LabelledImages) -> None:
    def draws(act: Callable[[], object]) -> tuple[float, float, float]:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        act()
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    samples = Samples(images, drawn, seed=5)
    plain = draws(lambda: None)
    assert draws(lambda: samples[0, 3]) == plain
    for workers in (0, 1):
        order = EpochOrder(13, 4, seed=0, epoch=0)
        assert draws(lambda workers=workers, order=order: list(loader(samples, order, workers=workers))) == plain
    with seeded(1, 2):
        first = torch.rand(2)
    with seeded(1, 2):
        assert torch.equal(torch.rand(2), first)


def test_ranks_share_the_batches_of_one_process() -> None:
    for count, size, world in ((40, 8, 2), (41, 8, 4), (23, 6, 3), (3, 8, 2)):
        whole = list(EpochOrder(count, size, seed=1, epoch=2))
        parts = [list(EpochOrder(count, size, seed=1, epoch=2, rank=rank, world=world)) for rank in range(world)]
        assert [[key for part in batch for key in part] for batch in zip(*parts, strict=True)] == whole
        assert [len(batch) for batch in whole] == ([size] * (count // size) or [count])
        indices = [i for batch in whole for _, i in batch]
        assert sorted(set(indices)) == sorted(indices)
        assert {epoch for batch in whole for epoch, _ in batch} == {2}
    assert sorted(i for (batch,) in [list(EpochOrder(3, 8, seed=1, epoch=0))] for _, i in batch) == [0, 1, 2]


def test_an_epoch_is_another_permutation_and_can_be_resumed() -> None:
    def indices(batches: Iterable[list[tuple[int, int]]]) -> list[int]:
        return [i for batch in batches for _, i in batch]

    def order(seed: int, epoch: int, start: int = 0) -> EpochOrder:
        return EpochOrder(100, 10, seed=seed, epoch=epoch, start=start)

    orders = {(seed, epoch): indices(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert all(sorted(permutation) == list(range(100)) for permutation in orders.values())
    assert len({tuple(permutation) for permutation in orders.values()}) == 6
    assert list(order(0, 1, start=7)) == list(order(0, 1))[7:]
    assert len(order(0, 1, start=7)) == 3
    assert order(0, 1, start=7).batches == 10
    # an order that a resumed run must find again, whatever the versions: argsort of PCG64's raw stream
    assert indices(EpochOrder(6, 6, seed=0, epoch=0)) == KNOWN


KNOWN = [0, 4, 5, 3, 2, 1]


def test_in_order_is_everything_once() -> None:
    for world in (1, 2, 3):
        parts = [list(in_order(10, 4, rank=rank, world=world)) for rank in range(world)]
        assert sorted(key for part in parts for batch in part for key in batch) == [(0, i) for i in range(10)]
        assert all(batch for part in parts for batch in part)
    assert list(in_order(5, 4)) == [[(0, 0), (0, 1), (0, 2), (0, 3)], [(0, 4)]]
    assert len(in_order(1, 4, rank=0, world=2)) + len(in_order(1, 4, rank=1, world=2)) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named_or_left_out(images: LabelledImages, workers: int) -> None:
    bad = images.places[4].file
    bad.write_bytes(bad.read_bytes()[:40])
    samples = Samples(images, drawn, seed=0)
    item = samples[0, 4]
    assert isinstance(item, Broken)
    assert item.place == str(bad)
    with pytest.raises(HiergenError, match="cannot be read as an image") as caught:
        list(loader(samples, in_order(13, 4), workers=workers))
    assert str(caught.value).startswith(f"{bad}: ")
    loaded = list(loader(samples, in_order(13, 4), workers=workers, skip_broken=True))
    assert [len(x) for x, _, _ in loaded] == [4, 3, 4, 1]
    assert torch.cat([y for _, y, _ in loaded]).tolist() == [i % 3 for i in range(13) if i != 4]
    assert [broken for _, _, broken in loaded] == [[], [str(bad)], [], []]


def test_a_batch_of_nothing_but_broken_images(images: LabelledImages) -> None:
    for place in images.places[4:8]:
        place.file.write_bytes(b"no image")
    samples = Samples(images.subset(range(4, 8)), drawn, seed=0)
    ((x, y, broken),) = loader(samples, in_order(4, 4), workers=0, skip_broken=True)
    assert (len(x), len(y), len(broken)) == (0, 0, 4)
    with pytest.raises(HiergenError, match="all 4 images of a batch are broken"):
        list(loader(samples, EpochOrder(4, 4, seed=0, epoch=0), workers=0, skip_broken=True))


def dies(_: Image.Image) -> Tensor:

    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def interrupted(image: Image.Image) -> Tensor:

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    return drawn(image)


def test_signals_in_workers(images: LabelledImages, capfd: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C and a closed terminal reach all processes: workers leave it to the main one. One killed: one sentence."""
    whole = list(loader(Samples(images, drawn, seed=0), in_order(13, 4), workers=0))
    loaded = list(loader(Samples(images, interrupted, seed=0), in_order(13, 4), workers=2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(loaded, whole, strict=True))
    with pytest.raises(HiergenError, match=r"a process that reads images is gone .*fewer --workers"):
        list(loader(Samples(images, dies, seed=0), in_order(13, 4), workers=1))
    assert "Traceback" not in capfd.readouterr().err


def test_batches_from_workers_are_few_open_files(images: LabelledImages) -> None:
    """Of which a process may have 1024 in most places: with one for each image, large batches never came."""
    images.places[4].file.write_bytes(b"no image")
    samples = Samples(images, drawn, seed=0)
    keys = [(0, i % 13) for i in range(100)]
    before = len(os.listdir("/dev/fd"))
    held = list(read_batches(samples, [keys, keys], workers=1))
    assert len(os.listdir("/dev/fd")) < before + 20
    assert [len(items) for items in held] == [100, 100]
    for key, item in zip(keys, held[1], strict=True):
        alone = samples[key]
        if isinstance(item, Broken) or isinstance(alone, Broken):
            assert item == alone
        else:
            assert (item[0].tolist(), item[1]) == (alone[0].tolist(), alone[1])


def test_without_shared_memory_batches_come_all_the_same(
    images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, where it is 64 MB: what a worker could not send never came, and all waited for ever."""

    def full(*_: object) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    monkeypatch.setattr(torch.UntypedStorage, "_share_filename_cpu_", full)
    samples = Samples(images, drawn, seed=0)
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for ever"))
    signal.alarm(60)
    try:
        here, there = (list(loader(samples, in_order(13, 4), workers=workers)) for workers in (0, 2))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert [(x.tolist(), y.tolist()) for x, y, _ in there] == [(x.tolist(), y.tolist()) for x, y, _ in here]


@dataclass(frozen=True)
class Held(LabelledImages):
    in_memory = True


def test_workers_by_default(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 0), (2, 1), (6, 5), (64, 8)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert default_workers(images) == expected
    assert default_workers(Held((), (), drawn)) == 0


def test_balanced_epochs_draw_every_class_equally_often() -> None:
    labels = np.array([0] * 3 + [7] * 50 + [2] * 12)  # not in order 0, 1, 2, and some missing
    extra = Counter[int]()
    for epoch in range(60):
        order = EpochOrder(65, 8, seed=3, epoch=epoch, labels=labels)
        keys = [key for batch in order for key in batch]
        assert len(keys) == 64  # the last batch is dropped, as ever
        whole = [key for batch in EpochOrder(65, 65, seed=3, epoch=epoch, labels=labels) for key in batch]
        assert whole[:64] == keys
        drawn = Counter(int(labels[i]) for _, i in whole)
        assert sorted(drawn.values()) == [21, 22, 22]
        extra.update(label for label, count in drawn.items() if count == 22)
        for label in (0, 7, 2):
            times = Counter(i for _, i in whole if labels[i] == label)
            have = int((labels == label).sum())
            assert max(times.values()) - min(times[i] for i in np.flatnonzero(labels == label).tolist()) <= 1
            assert len(times) == min(have, drawn[label])
        assert len(set(whole)) == 65  # an image that comes again is of another round, and so augmented otherwise
        assert {key[0] % ROUNDS for key in whole} == {epoch}
    assert min(extra.values()) > 20  # who gets one more is drawn


def test_balanced_epochs_are_the_same_for_any_number_of_processes() -> None:
    labels = np.array([0] * 5 + [1] * 15)
    whole = list(EpochOrder(20, 6, seed=1, epoch=4, labels=labels))
    parts = [list(EpochOrder(20, 6, seed=1, epoch=4, labels=labels, rank=r, world=2)) for r in range(2)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    assert list(EpochOrder(20, 6, seed=1, epoch=4, labels=labels, start=2)) == whole[2:]
    assert whole != list(EpochOrder(20, 6, seed=1, epoch=5, labels=labels))
