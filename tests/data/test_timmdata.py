"""timm's dataset names: torchvision's files, the package datasets, webdataset shards; all made here, none fetched."""

from __future__ import annotations

import io
import json
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from hiergen.data.sources import has_validation, open_data
from hiergen.data.timmdata import _plain
from hiergen.models.load import load_network
from hiergen.nn import HierarchicalNetwork
from tests.helpers import message
from tests.nn.steering_cases import Nested

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network() -> HierarchicalNetwork:
    return Nested().eval()


@pytest.fixture(scope="module")
def digits() -> HierarchicalNetwork:
    return load_network(ROOT / "generated/digits.py:PHL")


# torchvision


def cifar(root: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> Path:
    """CIFAR-10's python files with two images a class: image i is all 20 × its label, the labels fall."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    labels = [i for i in reversed(range(len(names))) for _ in range(2)]
    data = np.repeat(np.array(labels, dtype=np.uint8)[:, None] * 20, 3 * 32 * 32, axis=1)
    for name in ("data_batch_1", "test_batch"):
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": labels}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", None]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": None})
    return root


def test_cifar_by_the_names_of_its_classes(
    tmp_path: Path, network: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its label 0 is "van", the network's class 4: the index means nothing."""
    root = cifar(tmp_path, monkeypatch, ["van", "cab", "pug", "Tabby", "siamese"])
    train = open_data("torch/cifar10", network, root=root)
    held = open_data("torch/CIFAR10", network, root=root, split="validation")
    assert has_validation("torch/cifar10")
    expected = {0: 4, 1: 3, 2: 1, 3: 0, 4: 2}
    for images, part in ((train, "train"), (held, "validation")):
        greys = [images.picture(i).getpixel((3, 3))[0] for i in range(len(images))]  # type: ignore[index]
        assert list(images.targets) == [expected[grey // 20] for grey in greys]
        assert images.place(7) == f"torch/cifar10:{part}:7"
        assert images.in_memory
    assert train.fingerprint() != held.fingerprint()
    some = open_data("torch/cifar10", network, root=root, classes=[1, 4])
    assert (some.targets, some.left_out) == ((1, 1, 4, 4), ("Tabby", "cab", "siamese"))
    assert [some.picture(i).getpixel((0, 0)) for i in (0, 3)] == [(40,) * 3, (0,) * 3]


def test_cifar_of_other_classes(tmp_path: Path, network: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    root = cifar(tmp_path, monkeypatch, ["van", "cab", "pug", "tabby", "horse"])
    assert message(lambda: open_data("torch/cifar10", network, root=root)).startswith(
        "torch/cifar10: class 'horse' is no class of the network"
    )


def test_files_that_are_not_there(tmp_path: Path, network: HierarchicalNetwork) -> None:
    sentence = message(lambda: open_data("torch/cifar10", network, root=tmp_path))
    assert sentence == (
        f"torch/cifar10: its files are not there, or not whole; expected them in {tmp_path}; where there is a network, "
        f"'import timm; timm.data.create_dataset('torch/cifar10', '{tmp_path}', 'train', download=True)' in Python "
        "puts them there"
    )
    sentence = message(lambda: open_data("torch/mnist", network, root=tmp_path, split="validation"))
    assert f"create_dataset('torch/mnist', '{tmp_path}', 'validation', download=True)" in sentence
    for name in ("torch/places365", "torch/inaturalist"):
        assert "its files are not there" in message(lambda name=name: open_data(name, network, root=tmp_path))
    assert "nearest: torch/cifar10" in message(lambda: open_data("torch/cifar-10", network))
    assert list(tmp_path.iterdir()) == [] or not any(tmp_path.rglob("*.gz"))


def test_names_as_torchvision_writes_them() -> None:
    written = ("0 - zero", "/a/airfield", "/b/bow_window/indoor", "T-shirt/top", "airplane")
    assert [_plain(text) for text in written] == ["0", "airfield", "bow_window/indoor", "T-shirt/top", "airplane"]


def test_a_folder_by_timms_name(tmp_path: Path, network: HierarchicalNetwork) -> None:
    for part, grey in (("train", 10), ("val", 20)):
        for name in network.classes:
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("L", (8, 8), grey).save(tmp_path / part / name / "0.png")
    assert has_validation("torch/image_folder", root=tmp_path)
    for part, grey in (("train", 10), ("validation", 20)):
        images = open_data("torch/image_folder", network, root=tmp_path, split=part)  # type: ignore[arg-type]
        assert images.targets == (0, 1, 2, 3, 4)
        assert images.picture(0).getpixel((0, 0)) == (grey,) * 3
    assert "name it as the root" in message(lambda: open_data("torch/imagenet", network))


# the package datasets


class Rows:
    """As much of datasets.Dataset as is used."""

    def __init__(self, names: list[str], labels: list[int]) -> None:
        self.names, self.labels = names, labels
        self._fingerprint = "print"
        image, label = type("Image", (), {})(), type("ClassLabel", (), {"names": names})()
        self.features = {"picture": image, "label": label}

    def select_columns(self, columns: list[str]) -> Rows:
        assert columns == ["picture"]
        return self

    def cast_column(self, column: str, to: object) -> Rows:
        assert column == "picture"
        return self

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: str | int) -> object:
        if isinstance(key, str):
            return self.labels
        stream = io.BytesIO()
        Image.new("L", (4, 4), 20 * self.labels[key]).save(stream, "PNG")
        return {"picture": {"bytes": stream.getvalue(), "path": None}}


def test_the_package_datasets(network: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    loaded: list[tuple[str, str]] = []

    def load(source: str, *, split: str, cache_dir: str | None) -> Rows:
        loaded.append((source, split))
        return Rows(["van", "cab", "pug", "tabby", "siamese"], [0, 1, 2, 3, 4, 0])

    def builder(source: str, *, cache_dir: str | None) -> object:
        if source != "some/cats":
            raise ConnectionError(f"Couldn't reach '{source}' on the Hub")
        return SimpleNamespace(info=SimpleNamespace(splits={"train": 1, "test": 2}))

    module = SimpleNamespace(
        load_dataset=load, load_dataset_builder=builder, Image=lambda decode: None, load_from_disk=None
    )
    module.__version__ = "4.0.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    assert has_validation("hfds/some/cats")
    images = open_data("hfds/some/cats", network, split="validation")
    assert loaded == [("some/cats", "test")]
    assert images.targets == (4, 3, 1, 0, 2, 4)
    assert [images.picture(i).getpixel((0, 0)) for i in (1, 4)] == [(20,) * 3, (80,) * 3]
    assert "test part" in images.note
    assert images.place(2) == "hfds/some/cats:test:2"
    sentence = message(lambda: open_data("hfds/other/cats", network))
    assert sentence.startswith(
        "hfds/other/cats: cannot be loaded (Couldn't reach 'other/cats' on the Hub); without a netw"
    )


def test_without_the_package_datasets(network: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    sentence = message(lambda: open_data("hfds/some/cats", network))
    assert sentence == "reading 'hfds/some/cats' needs the package datasets; pip install datasets"


# webdataset


def shard(file: Path, samples: list[tuple[str, str, str]], image_ending: str = "png") -> Path:
    """One image for each (key, ending of the label's member, its text), of grey 20 × the sample's place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for i, (key, ending, label) in enumerate(samples):
            stream = io.BytesIO()
            Image.new("L", (4, 4), 20 * i).save(stream, "PNG")
            for name, raw in ((f"{key}.{image_ending}", stream.getvalue()), (f"{key}.{ending}", label.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(raw)
                tar.addfile(member, io.BytesIO(raw))
    return file


def numbered(labels: list[int]) -> list[tuple[str, str, str]]:
    return [(f"a/{i:04d}.x" if i % 2 else f"{i:04d}", "cls", str(label)) for i, label in enumerate(labels)]


def test_shards_with_names_beside_them(tmp_path: Path, network: HierarchicalNetwork) -> None:
    shard(tmp_path / "s-000.tar", numbered([0, 1, 2]))
    shard(tmp_path / "s-001.tar", numbered([3, 4, 0]))
    (tmp_path / "classes.txt").write_text("# in this order\nvan\ncab\npug\ntabby\nsiamese\n")
    for pattern in ("s-{000..001}.tar", "s-*.tar", "s-{000,001}.tar", "."):
        images = open_data(f"wds/{pattern}", network, root=tmp_path)
        assert images.targets == (4, 3, 1, 0, 2, 4), pattern
        assert [images.picture(i).getpixel((0, 0)) for i in range(6)] == [(g,) * 3 for g in (0, 20, 40, 0, 20, 40)]
        assert images.note == ""
    assert images.place(1) == f"{tmp_path / 's-000.tar'}:a/0001.x.png"
    (tmp_path / "classes.txt").write_text("c4\nc3\nc2\nc1\nc0\n")
    assert open_data(f"wds/{tmp_path}/s-000.tar", network, classes="present").targets == (4, 3, 2)
    assert not has_validation(f"wds/{tmp_path}/s-000.tar")


def test_shards_with_labels_in_words_or_json(tmp_path: Path, network: HierarchicalNetwork) -> None:
    words = ["cab", "tabby", "c4", "Pug", "siamese"]
    texts = shard(tmp_path / "t.tar", [(f"{i}", "txt", word) for i, word in enumerate(words)])
    fields = shard(
        tmp_path / "j.tar", [(f"{i}", "json", json.dumps({"label": word})) for i, word in enumerate(words)], "webp"
    )
    for file in (texts, fields):
        assert open_data(f"wds/{file}", network).targets == (3, 0, 4, 1, 2)


def test_numbers_without_names(tmp_path: Path, network: HierarchicalNetwork) -> None:
    fits = shard(tmp_path / "fits.tar", numbered([4, 3, 2, 1, 0]))
    images = open_data(f"wds/{fits}", network)
    assert images.targets == (4, 3, 2, 1, 0)
    assert images.note.endswith("numbers without names: taken as indices of the network's classes, in their order")
    for labels, got in (([0, 1, 2, 3], "4 different ones, 0..3"), ([1, 2, 3, 4, 5], "5 different ones, 1..5")):
        file = shard(tmp_path / "not.tar", numbered(labels))
        sentence = message(lambda file=file: open_data(f"wds/{file}", network))
        assert f"do not fit the network's classes; expected 0..4, got {got}; write the class names" in sentence
    (tmp_path / "classes.txt").write_text("van\ncab\n")
    assert "label 2 has no name; expected 0..1, as in" in message(lambda: open_data(f"wds/{fits}", network))


def test_shards_by_part(tmp_path: Path, network: HierarchicalNetwork) -> None:
    shard(tmp_path / "pets-train-000.tar", numbered([0, 1, 2, 3, 4, 4]))
    shard(tmp_path / "pets-validation-000.tar", numbered([0, 1, 2, 3, 4]))
    assert has_validation(f"wds/{tmp_path}")
    assert [len(open_data(f"wds/{tmp_path}", network, split=s)) for s in ("train", "validation")] == [6, 5]  # type: ignore[arg-type]


def test_shards_that_cannot_be_read(tmp_path: Path, network: HierarchicalNetwork) -> None:
    for address in ("https://host/s-{000..003}.tar", "pipe:cat s.tar", "s3://bucket/s.tar"):
        assert "shards are not read over a network" in message(lambda a=address: open_data(f"wds/{a}", network))
    sentence = message(lambda: open_data("wds/s-{000..002}.tar", network, root=tmp_path))
    assert sentence == f"s-{{000..002}}.tar: no shard '{tmp_path}/s-000.tar', and 2 more"
    unlabelled = shard(tmp_path / "u.tar", [("x/7", "md", "")])
    sentence = message(lambda: open_data(f"wds/{unlabelled}", network))
    assert sentence.startswith(f"{unlabelled}:x/7: an image without a label")
    (tmp_path / "bad.tar").write_text("no tar")
    assert "bad.tar: cannot be read" in message(lambda: open_data(f"wds/{tmp_path}/bad.tar", network))
