"""Maps of a frozen trunk: the same as the trunk gives, whoever computed them, and however often it was interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hiergen.data import feature_cache, features
from hiergen.data.feature_cache import open_cache
from hiergen.data.features import FeatureSet, cached_features, fingerprint
from hiergen.data.images import ImageSet, LabelledImages
from hiergen.data.samples import Samples
from hiergen.errors import HiergenError
from hiergen.taxonomy.imagefolder import ImagePlace
from tests.forks import Forked
from tests.nn.steering_cases import Nested


@pytest.fixture(autouse=True)
def _no_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "_RESERVE", 0)


class Shades(ImageSet):
    """Grey images in memory; some are broken. Each reading is a line in `log`."""

    left_out = ()
    note = ""

    def __init__(self, count: int, *, broken: Iterable[int] = (), log: Path | None = None, pause: float = 0) -> None:
        self.targets = tuple(i % 5 for i in range(count))
        self.transform = noisy
        self.bad, self.log, self.pause = frozenset(broken), log, pause

    def picture(self, index: int) -> Image.Image:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{index}\n")
        time.sleep(self.pause)
        if index in self.bad:
            raise HiergenError("cannot be read as an image (cut off)", place=self.place(index))
        return Image.new("RGB", (64, 64), (index % 256, 3 * index % 256, 7))

    def place(self, index: int) -> str:
        return f"shades/{index}.png"

    def fingerprint(self) -> str:
        return f"{len(self)}"

    def subset(self, indices: Iterable[int]) -> Self:
        raise NotImplementedError


def noisy(picture: Image.Image) -> Tensor:
    """An augmentation: the picture's grey, and noise."""
    shade = torch.tensor(picture.getpixel((0, 0)), dtype=torch.float32) / 255
    return shade[:, None, None] + 0.3 * torch.randn(3, 64, 64)


@pytest.fixture(scope="module")
def network() -> Nested:
    return seeded_network()


def seeded_network() -> Nested:
    torch.manual_seed(0)
    return Nested()


Make = Callable[..., FeatureSet]


def make_in(folder: Path, network: Nested, images: Shades, **options: object) -> FeatureSet:
    settings = {"folder": folder, "batch_size": 4, "description": "noisy", **options}
    return cached_features(network, images, noisy, **settings)


@pytest.fixture
def make(tmp_path: Path, network: Nested) -> Iterator[Make]:
    """`cached_features` in a fresh folder; what it gave is closed at the end."""
    given: list[FeatureSet] = []

    def made(images: Shades, **options: object) -> FeatureSet:
        network_of_own = options.pop("network", network)
        given.append(make_in(tmp_path / "cache", network_of_own, images, **options))
        return given[-1]

    yield made
    for one in given:
        one.close()


def slow(network: Nested, images: Shades, view: int, index: int, seed: int = 0) -> Tensor:
    """One image through the trunk."""
    image, _ = Samples(images, noisy, seed=seed)[view, index]
    with torch.no_grad():
        return network.trunk.eval()(image[None])[0]


def read(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def test_maps_are_the_trunks(make: Make, network: Nested) -> None:
    images = Shades(11)
    network.train()
    modes = [module.training for module in network.modules()]
    before = fingerprint(network)
    features = make(images, views=2, seed=3, dtype="float32")
    assert [module.training for module in network.modules()] == modes
    assert fingerprint(network) == before
    assert (len(features), features.views, features.shape) == (11, 2, (64, 16, 16))
    assert features.targets == images.targets
    assert features.broken == []
    assert features.usable.tolist() == list(range(11))
    for view, indices in ((0, [7]), (1, [10, 0, 3, 3, 9]), (0, torch.tensor([4, 2])), (1, range(11))):
        maps = features.maps(view, indices)
        assert maps.dtype == torch.float32
        expected = torch.stack([slow(network, images, view, int(i), seed=3) for i in indices])
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-5)
    assert not torch.equal(features.maps(0, [1]), features.maps(1, [1]))
    half = make(images, views=2, seed=3)
    assert half.folder != features.folder
    assert torch.equal(half.maps(1, [5, 2]), features.maps(1, [5, 2]).half().float())
    assert features.maps(0, []).shape == (0, 64, 16, 16)


@pytest.mark.parametrize(("view", "indices"), [(2, [0]), (-1, [0]), (0, [11]), (0, [-1])])
def test_what_is_not_there_is_an_index_error(make: Make, view: int, indices: list[int]) -> None:
    features = make(Shades(11), views=2)
    with pytest.raises(IndexError, match="expected"):
        features.maps(view, indices)


def test_a_finished_cache_is_only_read(make: Make, network: Nested, tmp_path: Path) -> None:
    log = tmp_path / "log"
    images = Shades(9, log=log)
    first = make(images)
    assert sorted(read(log)) == list(range(9))
    written = {path.name: path.read_bytes() for path in first.folder.glob("*.npy")}
    other = Nested()  # another model with the same trunk
    other.trunk.load_state_dict(network.trunk.state_dict())
    calls: list[int] = []
    again = make(images, network=other, workers=1, progress=lambda *_: calls.append(1))
    assert (again.folder, calls, len(read(log))) == (first.folder, [], 9)
    assert torch.equal(again.maps(0, range(9)), first.maps(0, range(9)))
    assert {path.name: path.read_bytes() for path in first.folder.glob("*.npy")} == written


def test_what_the_maps_depend_on_is_in_the_key(make: Make, network: Nested, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {make(Shades(3)).folder}
    for options in ({"views": 2}, {"seed": 1}, {"dtype": "float32"}, {"description": "other"}, {"batch_size": 3}):
        folders.add(make(Shades(3), **options).folder)
    folders.add(make(Shades(4)).folder)
    other = seeded_network()
    with torch.no_grad():
        next(b for name, b in other.trunk.named_buffers() if name.endswith("running_mean"))[0] += 1e-3
    folders.add(make(Shades(3), network=other).folder)
    monkeypatch.setattr(torch, "__version__", "9.9.0")
    folders.add(make(Shades(3)).folder)
    monkeypatch.setattr(torch, "__version__", "9.9.1+cpu")
    assert make(Shades(3)).folder in folders
    assert len(folders) == 9


def test_images_that_another_set_has_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, log = seeded_network(), list[str]()
    read_place = ImagePlace.read
    monkeypatch.setattr(ImagePlace, "read", lambda place: log.append(place.file.name) or read_place(place))
    for i in range(20):
        Image.new("RGB", (64, 64), (12 * i, 5, 255 - 12 * i)).save(tmp_path / f"{i}.png")

    def images(numbers: Iterable[int]) -> LabelledImages:
        places = tuple(ImagePlace(tmp_path / f"{i}.png") for i in numbers)
        return LabelledImages(places, tuple(i % 5 for i in numbers), network.preprocess)

    def maps(numbers: Iterable[int], folder: str = "cache", **options: object) -> Tensor:
        log.clear()
        settings = {"folder": tmp_path / folder, "batch_size": 4, "dtype": "float32", **options}
        with cached_features(network, images(numbers), network.preprocess, **settings) as found:
            return found.maps(0, range(len(numbers)))

    maps([0, 2, 4, 6, 8, 10, 12, 14]), maps([1, 3, 5, 7, 9, 11])
    wanted = [9, 2, 14, 5, 0, 11, 19, 1, 3, 4, 12, 7]
    found = maps(wanted)
    assert sorted(log) == ["0.png", "1.png", "11.png", "19.png"]  # a batch with a new image, 19, is computed whole
    torch.testing.assert_close(found, maps(wanted, "other"), rtol=1e-5, atol=1e-6)
    maps([2, 4, 6, 8], seed=3)
    assert log == []  # nothing is drawn
    Image.new("RGB", (64, 64), (1, 2, 3)).save(tmp_path / "4.png")
    found = maps([2, 4, 6, 8, 10])
    assert sorted(log) == ["2.png", "4.png", "6.png", "8.png"]
    torch.testing.assert_close(found[1], maps([4], "third")[0], rtol=1e-5, atol=1e-6)
    maps([2, 6, 8, 10], dtype="float16")
    assert len(log) == 4
    with torch.no_grad():
        next(network.trunk.parameters()).mul_(1.5)
    maps([6, 8, 10, 12])
    assert len(log) == 4


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _null(file: Path) -> None:
    file.write_text("null")


def _shorter(file: Path) -> None:
    np.save(file, np.load(file)[:-1])


@pytest.mark.parametrize("damage", [_empty, _null, _shorter, Path.unlink])
@pytest.mark.parametrize("name", ["contents.npy", "state.npy", "features.npy", "about.json"])
def test_damaged_caches_lend_nothing(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    if (name, damage) == ("about.json", _shorter):
        pytest.skip("no array")
    network = seeded_network()
    for i in range(8):
        Image.new("RGB", (64, 64), (12 * i, 5, 255 - 12 * i)).save(tmp_path / f"{i}.png")

    def maps(numbers: Iterable[int], folder: str) -> tuple[Tensor, Path]:
        places = tuple(ImagePlace(tmp_path / f"{i}.png") for i in numbers)
        images = LabelledImages(places, tuple(i % 5 for i in numbers), network.preprocess)
        options = {"folder": tmp_path / folder, "batch_size": 4, "dtype": "float32"}
        with cached_features(network, images, network.preprocess, **options) as found:
            return found.maps(0, range(len(numbers))), found.folder

    damage(maps(range(8), "cache")[1] / name)
    torch.testing.assert_close(maps([5, 4, 3, 2], "cache")[0], maps([5, 4, 3, 2], "other")[0], rtol=1e-5, atol=1e-6)


def test_a_file_that_took_the_number_of_another_is_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (8, 8), (9, len(name), 7)).save(tmp_path / f"{name}.bmp")
        os.utime(tmp_path / f"{name}.bmp", (0, 0))

    def contents(name: str) -> list[object]:
        return LabelledImages((ImagePlace(tmp_path / f"{name}.bmp"),), (0,), noisy).contents()

    before = contents("a"), contents("b")
    assert before[0] != before[1]
    time.sleep(0.01)
    pixels = Image.new("RGB", (8, 8), (1, 2, 3))
    pixels.save(tmp_path / "a.bmp")  # in place: same name, number and size
    os.utime(tmp_path / "a.bmp", (0, 0))
    assert contents("a") != before[0]
    assert contents("b") == before[1]


def test_workers_and_progress(make: Make, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    alone = make(Shades(37), views=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(min(done, 74), 74) for done in range(0, 77, 4)]
    with make_in(tmp_path / "other", seeded_network(), Shades(37), views=2, workers=2) as shared:
        assert content(shared.folder) == content(alone.folder)


def content(home: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(home.glob("*.npy"))]


def only(folder: Path) -> list[bytes]:
    """The content of the one cache in a folder."""
    (home,) = folder.glob("*.maps")
    return content(home)


RUN = """
import sys
import warnings
from pathlib import Path
import torch
warnings.simplefilter("error")
from hiergen.data import feature_cache
from tests.data.test_features import Shades, make_in, seeded_network
feature_cache._RESERVE = 0
folder, log = map(Path, sys.argv[1:3])
pause, rank, workers = float(sys.argv[3]), *map(int, sys.argv[4:])
def report(done, total):
    print(done, total, flush=True)
images = Shades(150, broken=[77], log=log, pause=pause)
with make_in(
    folder, seeded_network(), images, progress=report, skip_broken=True, share=(rank, 2), workers=workers
) as features:
    features.maps(0, features.usable)
"""


def started(folder: Path, log: Path, pause: float, rank: int = 0, workers: int = 0) -> Forked:
    return Forked(["-c", RUN, folder, log, pause, rank, workers])


def ended(child: Forked) -> None:
    _, err = child.communicate()
    assert child.returncode == 0, err


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The maps of one process that nobody interrupts."""
    folder = tmp_path_factory.mktemp("unbroken")
    ended(started(folder, folder / "log", 0))
    return only(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_again_and_again(tmp_path: Path, unbroken: list[bytes], workers: int) -> None:
    log = tmp_path / "log"
    for stop in (32, 96)[: 2 - workers // 2]:
        child = started(tmp_path, log, 0.01, workers=workers)
        for line in child.stdout:
            if int(line.split()[0]) >= stop:
                child.kill()
                break
        child.communicate()
    ended(started(tmp_path, log, 0, workers=workers))
    assert only(tmp_path) == unbroken
    assert len(list(tmp_path.glob("*.maps/*"))) == 3, "no claims are left"
    assert len(read(log)) < 150 + 2 * 4 * (1 + 4 * workers)  # what was done is not computed again


def test_two_processes_share_the_work(tmp_path: Path, unbroken: list[bytes]) -> None:
    log = tmp_path / "log"
    children = [started(tmp_path, log, 0.02, rank) for rank in range(2)]
    for child in children:
        ended(child)
    assert only(tmp_path) == unbroken
    assert sorted(read(log)) == list(range(150))


def test_a_dead_process_is_taken_over(tmp_path: Path, unbroken: list[bytes]) -> None:
    log = tmp_path / "log"
    slow_one = started(tmp_path, log, 0.3)
    while not read(log):
        time.sleep(0.05)
    other = started(tmp_path, tmp_path / "log2", 0, rank=1)
    for line in other.stdout:
        if int(line.split()[0]) >= 146:  # all but the slow one's batch
            break
    slow_one.kill()
    slow_one.communicate()
    ended(other)
    assert only(tmp_path) == unbroken


def test_broken_images(make: Make, network: Nested, tmp_path: Path) -> None:
    images = Shades(40, broken=[1, 37])
    with pytest.raises(HiergenError, match=r"shades/1.png: cannot be read as an image \(cut off\).*--skip-broken"):
        make(images)
    features = make(images, skip_broken=True, views=2)
    assert features.usable.tolist() == [i for i in range(40) if i not in (1, 37)]
    assert features.broken == ["shades/1.png", "shades/37.png"]
    torch.testing.assert_close(features.maps(1, [36])[0], slow(network, images, 1, 36), rtol=2e-3, atol=2e-3)
    with pytest.raises(IndexError, match="usable"):
        features.maps(0, [0, 37])
    with pytest.raises(HiergenError, match=r"shades/1\.png: cannot be read as an image \(cut off\)"):  # also then
        make(images, views=2)
    mended = make(Shades(40), views=2)
    assert (mended.folder, mended.broken) == (features.folder, [])
    with make_in(tmp_path / "other", network, Shades(40), views=2) as fresh:
        assert content(fresh.folder) == content(mended.folder)


def scaled(network: Nested, factor: float) -> Nested:
    other = seeded_network()
    other.trunk.load_state_dict(network.trunk.state_dict())
    last = [module for module in other.trunk.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    with torch.no_grad():
        last.weight.fill_(factor)
    return other


def test_maps_that_are_no_numbers(make: Make, network: Nested) -> None:
    large = scaled(network, 3e6)
    with pytest.raises(HiergenError, match=r"too large for float16; expected 65504 .*cache_dtype=float32"):
        make(Shades(6), network=large)
    assert float(make(Shades(6), network=large, dtype="float32").maps(0, range(6)).max()) > 65504
    with pytest.raises(HiergenError, match=r"shades/0\.png: the trunk's map of this image holds NaN"):
        make(Shades(6), network=scaled(network, float("nan")))


def test_a_batch_that_another_keeps_is_computed_in_the_end(
    make: Make, tmp_path: Path, network: Nested, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stopped, or a file system on which all locks seem taken."""
    notes: list[str] = []
    monkeypatch.setattr(features, "_PATIENCE", 0.3)
    with make_in(tmp_path / "other", network, Shades(9)) as alone:
        stopped = open_cache(tmp_path / "cache", alone.folder.stem, "float16", (9, 64, 16, 16), batch=4, about={})
        assert stopped.claim(1)
        assert content(make(Shades(9), note=notes.append).folder) == content(alone.folder)
        stopped.close()
    assert notes == ["another process computes the rest of the trunk's maps; waiting for it"]


def test_an_interrupted_process_gives_its_claims_back(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(features._Filling, "_maps", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make(Shades(6))
    assert not list(tmp_path.glob("cache/*/claim-*"))
    make(Shades(6))


def test_nothing_to_cache_is_refused(make: Make) -> None:
    for options in ({"views": 0}, {"dtype": "int8"}):
        with pytest.raises(ValueError, match="cannot be"):
            make(Shades(3), **options)
    with pytest.raises(ValueError, match="0 images"):
        make(Shades(0))


def test_random_state_is_left_alone(make: Make) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    make(Shades(5), workers=1)
    assert torch.equal(torch.get_rng_state(), before)
