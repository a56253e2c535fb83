"""What may be typed for a data set: digits, folders with parts, tars of them; what is missing is said."""

from __future__ import annotations

import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hiergen.data.sources import has_validation, open_data
from hiergen.models.load import load_network
from hiergen.nn import HierarchicalNetwork
from tests.helpers import message
from tests.nn.steering_cases import Nested

ROOT = Path(__file__).parents[2]
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def network() -> HierarchicalNetwork:
    return Nested().eval()


@pytest.fixture(scope="module")
def digits() -> HierarchicalNetwork:
    return load_network(ROOT / "generated/digits.py:N2HL")


def write(folder: Path, names: tuple[str, ...] = ("c0", "c1", "c2", "c3", "c4"), grey: int = 0) -> Path:
    """Two images a folder, of grey 10 × its place in `names`, plus `grey`."""
    for i, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for j in range(2):
            Image.new("RGB", (9, 9), (10 * i + grey,) * 3).save(folder / name / f"{j}.png")
    return folder


def packed(folder: Path, file: Path, arcname: str) -> Path:
    with tarfile.open(file, "w") as tar:
        tar.add(folder, arcname=arcname)
    return file


def test_digits_are_scikit_learns(digits: HierarchicalNetwork) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    train, held = open_data("digits", digits), open_data("digits", digits, split="validation")
    assert (len(train), len(held)) == (1438, 359)
    assert has_validation("digits")
    rows = [int(images.place(i).removeprefix("digits:")) for images in (train, held) for i in range(len(images))]
    assert sorted(rows) == list(range(1797))
    assert Counter(held.targets) == {0: 36, 1: 36, 2: 35, 3: 37, 4: 36, 5: 36, 6: 36, 7: 36, 8: 35, 9: 36}
    for i in (0, 17, 300):
        picture = held.picture(i)
        row = rows[1438 + i]
        assert picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture)[..., 1], np.rint(bunch.images[row] * 255 / 16))
        assert held.targets[i] == bunch.target[row]
    again = open_data("digits", digits, split="validation")
    assert again.fingerprint() == held.fingerprint() != train.fingerprint()
    assert held[5][0].shape == (3, 32, 32)


def test_digits_of_some_classes(digits: HierarchicalNetwork) -> None:
    even = digits.selector.classes("even")
    assert even == (0, 2, 4, 6, 8)
    images = open_data("digits", digits, classes=even)
    assert set(images.targets) == set(even)
    assert images.left_out == ("1", "3", "5", "7", "9")
    # a cutout has logits of its own
    cutout = digits.cutout("even")
    of_cutout = open_data("digits", cutout, classes="present")
    assert [even[target] for target in of_cutout.targets] == list(images.targets)


def test_digits_for_another_network(network: HierarchicalNetwork) -> None:
    sentence = message(lambda: open_data("digits", network))
    assert sentence.startswith("digits: class '0' is no class of the network")


def test_a_folder_with_parts(tmp_path: Path, network: HierarchicalNetwork) -> None:
    for name, note in (("val", ""), ("Validation", ""), ("test", "test part, which is taken for it")):
        root = tmp_path / name
        write(root / "train")
        write(root / name, grey=5)
        write(root / "extra", ("zebra",))  # no part: what stands beside train and val is not read
        assert has_validation(root)
        train, held = open_data(root, network), open_data(str(root), network, split="validation")
        assert [train.picture(i).getpixel((0, 0)) for i in (0, 9)] == [(0, 0, 0), (40, 40, 40)]
        assert [held.picture(i).getpixel((0, 0)) for i in (0, 9)] == [(5, 5, 5), (45, 45, 45)]
        assert note in held.note
        assert train.note == f"{root} has the parts 'train' and '{name}'; left out beside: 'extra' (2 files)"
        tar = packed(root / "train", tmp_path / f"{name}.tar", "data")
        assert not has_validation(tar)


@pytest.mark.parametrize("top", [".", "data"])
def test_a_tar_with_parts(tmp_path: Path, network: HierarchicalNetwork, top: str) -> None:
    root = tmp_path / "both"
    write(root / "train")
    write(root / "val", grey=5)
    tar = packed(root, tmp_path / "both.tar", top)
    assert has_validation(tar)
    held = open_data(tar, network, split="validation")
    assert [held.picture(i).getpixel((0, 0)) for i in (0, 9)] == [(5, 5, 5), (45, 45, 45)]
    assert len(open_data(tar, network)) == 10


def test_data_without_parts(tmp_path: Path, network: HierarchicalNetwork) -> None:
    plain = write(tmp_path / "plain")
    assert not has_validation(plain)
    assert open_data(plain, network).targets == open_data(plain, network, split="validation").targets
    alone = tmp_path / "alone"
    write(alone / "train")
    assert not has_validation(alone)
    assert len(open_data(alone, network)) == 10
    sentence = message(lambda: open_data(alone, network, split="validation"))
    assert sentence.startswith(f"{alone}: has no validation part")
    # a class may be called so
    vehicles = write(tmp_path / "vehicles", ("c0", "c1", "c2", "c3", "train"))
    assert message(lambda: open_data(vehicles, network)).startswith(f"{vehicles}: folder 'train' is no class")


def test_a_class_is_missing_in_the_validation_folder(tmp_path: Path, network: HierarchicalNetwork) -> None:
    write(tmp_path / "train")
    write(tmp_path / "val", ("c0", "c1", "c2", "c3"))
    assert len(open_data(tmp_path, network)) == 10
    held = open_data(tmp_path, network, split="validation")
    assert set(held.targets) == {0, 1, 2, 3}
    assert held.note == "1 of 5 classes have no images ('c4')"
    (tmp_path / "val" / "c5").mkdir()
    for i in range(5):
        shutil.rmtree(tmp_path / "val" / f"c{i}", ignore_errors=True)
    assert "holds no images" in message(lambda: open_data(tmp_path, network, split="validation"))


def test_names_of_data_that_is_not_there(
    tmp_path: Path, network: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message(lambda: open_data("digit", network)).endswith("nearest: digits")
    assert "no such folder or tar of images" in message(lambda: open_data(tmp_path / "nowhere", network))
    assert "is a stream" in message(lambda: open_data("tfds/cifar10", network))
    write(tmp_path / "digits", ("c0", "c1", "c2", "c3", "c4"))  # a folder of that name is meant
    assert len(open_data("digits", network)) == 10
    assert not has_validation("digits")
