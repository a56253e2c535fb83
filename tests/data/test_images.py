"""Image folders and tars of them: which folder is which class, splits, and what is wrong with them."""

from __future__ import annotations

import json
import os
import tarfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hiergen.data.imageclasses import match
from hiergen.data.images import LabelledImages, batches, split
from hiergen.data.sources import open_data
from hiergen.nn import HierarchicalNetwork
from hiergen.taxonomy.nesting import Nesting
from tests.conftest import Ran
from tests.helpers import message
from tests.nn.steering_cases import Nested

COLOURS = {"c0": 10, "c1": 60, "c2": 110, "c3": 160, "c4": 210}

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network() -> HierarchicalNetwork:
    return Nested().eval()


def write(folder: Path, names: dict[str, str] | None = None, per_class: int = 3) -> Path:
    """Grey images, a grey for each class; `names` renames folders."""
    for class_id, grey in COLOURS.items():
        home = folder / (names or {}).get(class_id, class_id)
        home.mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            Image.new("RGB", (70 + i, 80), (grey, grey, grey)).save(home / f"{i}.png")
    return folder


def packed(folder: Path, file: Path) -> Path:
    with tarfile.open(file, "w") as tar:
        tar.add(folder, arcname="data")
    return file


def greys(images: LabelledImages) -> list[tuple[int, int]]:
    """Target and grey of every image, read back through the transform."""
    config_mean, config_std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    levels = []
    for i in range(len(images)):
        image, target = images[i]
        assert image.shape == (3, 64, 64)
        level = (image.mean((1, 2)) * config_std + config_mean).mean() * 255
        levels.append((target, round(float(level))))
    return levels


def test_a_folder_is_its_class_by_id(tmp_path: Path, network: HierarchicalNetwork) -> None:
    images = open_data(write(tmp_path / "data"), network)
    assert greys(images) == [(i, grey) for i, grey in enumerate(COLOURS.values()) for _ in range(3)]


def test_names_decide_not_their_sorting(tmp_path: Path, network: HierarchicalNetwork) -> None:
    """By display name the sorted folders are cab, pug, siamese, tabby, van: not the classes' order."""
    names = {"c0": "Tabby", "c1": "pug", "c2": "siamese", "c3": "cab", "c4": "van"}
    images = open_data(write(tmp_path / "data", names), network)
    assert set(greys(images)) == set(enumerate(COLOURS.values()))


def test_a_tar_is_the_same_as_its_folder(tmp_path: Path, network: HierarchicalNetwork) -> None:
    folder = write(tmp_path / "data")
    tar = packed(folder, tmp_path / "data.tar")
    assert greys(open_data(tar, network)) == greys(open_data(folder, network))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "data.tar"]  # timm leaves no cache beside it


def test_batches_keep_order_whatever_the_threads(tmp_path: Path, network: HierarchicalNetwork) -> None:
    images = open_data(packed(write(tmp_path / "data"), tmp_path / "data.tar"), network)
    for size, workers in ((1, 1), (4, 3), (100, 2)):
        read = list(batches(images, size, workers=workers))
        assert [len(x) for x, _ in read] == [size] * (15 // size) + [15 % size] * bool(15 % size)
        assert torch.cat([y for _, y in read]).tolist() == list(images.targets)
        assert torch.equal(torch.cat([x for x, _ in read]), torch.stack([images[i][0] for i in range(15)]))


def test_chosen_classes_only(tmp_path: Path, network: HierarchicalNetwork) -> None:
    folder = write(tmp_path / "data", {"c3": "zebra"})
    images = open_data(folder, network, classes=[0, 4])
    assert Counter(images.targets) == {0: 3, 4: 3}
    assert images.left_out == ("c1", "c2", "zebra")
    present = open_data(folder, network, classes="present")
    assert Counter(present.targets) == {0: 3, 1: 3, 2: 3, 4: 3}
    assert present.left_out == ("zebra",)


def test_wrong_folders(tmp_path: Path, network: HierarchicalNetwork) -> None:
    folder = write(tmp_path / "a", {"c2": "simese"})
    sentence = message(lambda: open_data(folder, network))
    assert sentence.startswith(f"{folder}: folder 'simese' is no class of the network")
    assert "nearest: 'siamese' (c2)" in sentence
    assert "--classes present" in sentence
    twice = write(tmp_path / "b")
    (twice / "c3").rename(twice / "Siamese")
    assert "folders 'Siamese' and 'c2' are the same class, 'siamese' (c2)" in message(lambda: open_data(twice, network))
    loose = write(tmp_path / "c")
    Image.new("RGB", (8, 8)).save(loose / "loose.png")
    assert "images lie in no folder" in message(lambda: open_data(loose, network))


def test_a_missing_or_empty_class_is_named(tmp_path: Path, network: HierarchicalNetwork) -> None:
    folder = write(tmp_path / "data")
    for image in (folder / "c1").iterdir():
        image.unlink()
    sentence = message(lambda: open_data(folder, network))
    assert sentence.startswith(f"{folder}: holds no images of class 'pug' (c1); got an empty folder; ")
    (folder / "c1").rmdir()
    for image in (folder / "c4").iterdir():
        image.rename(image.with_suffix(".txt"))
    sentence = message(lambda: open_data(folder, network))
    assert "holds no images of class 'pug' (c1), and of 1 class more; --classes present" in sentence
    assert "of class 'van' (c4)" in message(lambda: open_data(folder, network, classes=[3, 4]))
    tar = packed(folder, tmp_path / "data.tar")
    assert "holds no images of class 'pug' (c1)" in message(lambda: open_data(tar, network))


def flat(ids: list[str], labels: list[str] | None = None) -> Nesting:
    return Nesting.from_levels(ids, [], labels=labels)


def test_a_name_of_two_classes() -> None:
    ids, labels = ["n1", "n2", "n3"], ["crane", "crane", "pug"]
    assert match(["n2", "pug"], flat(ids, labels), place="x") == {"n2": 1, "pug": 2}
    sentence = message(lambda: match(["crane"], flat(ids, labels), place="x"))
    assert sentence == "x: folder 'crane' may be any of 'n1', 'n2'; name it by its id"


@pytest.mark.parametrize("as_tar", [False, True])
def test_a_broken_image_is_named(tmp_path: Path, network: HierarchicalNetwork, as_tar: bool) -> None:
    folder = write(tmp_path / "data")
    whole = (folder / "c2" / "1.png").read_bytes()
    for raw in (b"", b"no image", whole[: len(whole) // 2]):
        (folder / "c2" / "1.png").write_bytes(raw)
        root = packed(folder, tmp_path / "data.tar") if as_tar else folder
        images = open_data(root, network)
        place = f"{root}:data/c2/1.png" if as_tar else f"{root}/c2/1.png"
        assert message(lambda images=images: images[7]).startswith(f"{place}: cannot be read as an image")
        assert place in message(lambda images=images: list(batches(images, 4, workers=2)))


def test_roots_that_cannot_be(tmp_path: Path, network: HierarchicalNetwork) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "bad.tar").write_text("no tar at all")
    with tarfile.open(tmp_path / "none.tar", "w"):
        pass
    whole = packed(write(tmp_path / "data"), tmp_path / "data.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2 - 200])
    for name, says in (
        ("nowhere", "no such folder or tar of images"),
        ("empty", "holds no images"),
        ("file.txt", "is no folder of images; expected a folder, or a .tar"),
        ("bad.tar", "cannot be read"),
        ("none.tar", "holds no images"),
        ("cut.tar", "cannot be read"),
    ):
        sentence = message(lambda name=name: open_data(tmp_path / name, network))
        assert sentence.startswith(f"{tmp_path / name}: {says}"), sentence


def test_split_is_stratified_seeded_and_whole() -> None:
    targets = [i % 3 for i in range(20)] + [3, 3]
    first, second = split(targets, 0.3, seed=1)
    assert sorted(first + second) == list(range(22))
    assert Counter(targets[i] for i in second) == {0: 2, 1: 2, 2: 2, 3: 1}
    assert split(targets, 0.3, seed=1) == (first, second)
    assert split(targets, 0.3, seed=2) != (first, second)
    assert Counter(targets[i] for i in split(targets, 0.99)[1])[3] == 1
    assert "has a single image" in message(lambda: split([0, 0, 1], 0.5))
    for bad in (0, 1, -0.5, 2, float("nan")):
        assert "expected a number between 0 and 1" in message(lambda bad=bad: split(targets, bad))


def test_folders_by_words_of_wordnet(tmp_path: Path) -> None:
    """Ids, names, lemmas, synset names and wnids of Imagewoof, in an order that is not the classes'."""
    from hiergen.models.load import load_network

    model = load_network(Path(__file__).parents[2] / "generated/imagewoof.py:N2HL")
    names = {
        "n02087394": "Rhodesian_ridgeback",
        "n02088364": "beagle.n.01",
        "n02089973": "English foxhound",
        "n02093754": "border terrier",
        "n02096294": "AUSTRALIAN-TERRIER",
        "n02099601": "golden retriever",
        "n02105641": "bobtail",  # also a cat's tail and a mare: of its senses one is a class
        "n02111889": "Samoyede",
        "n02115641": "warragal",
        "n02086240": "n02086240",
    }
    assert sorted(names) == sorted(model.classes)
    for i, name in enumerate(names.values()):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9), (10 * i,) * 3).save(tmp_path / name / "0.png")
    images = open_data(tmp_path, model)
    greys = [images.picture(i).getpixel((0, 0))[0] for i in range(10)]  # type: ignore[index]
    wnids = list(names)
    assert [model.classes[target] for target in images.targets] == [wnids[grey // 10] for grey in greys]
    # neither what stands above a class nor below one is the class
    (tmp_path / "bobtail").rename(tmp_path / "shepherd dog")
    assert "folder 'shepherd dog' is no class of the network" in message(lambda: open_data(tmp_path, model))


def test_a_word_of_two_classes_is_an_error() -> None:
    ids, labels = ["n02012849", "n03126707"], ["crane (bird)", "crane (machine)"]
    sentence = message(lambda: match(["crane"], flat(ids, labels), place="x"))
    assert sentence == "x: folder 'crane' may be any of 'n02012849', 'n03126707'; name it by its id"
    assert match(["crane.n.04"], flat(ids, labels), place="x") == {"crane.n.04": 1}
    # a class that is called "crane" and nothing more may be either: its synset is no evidence
    assert match(["crane.n.04"], flat(["crane", "pug"]), place="x", strict=False) == {}
    assert match(["pug-dog"], flat(["crane", "pug"]), place="x") == {"pug-dog": 1}


def test_pictures_become_rgb(tmp_path: Path, network: HierarchicalNetwork) -> None:
    """As timm's own data set reads them."""
    from timm.data import ImageDataset

    folder = write(tmp_path / "data")
    grey = Image.linear_gradient("L").resize((20, 20))
    colours = Image.merge("RGB", (grey, grey.rotate(90), grey.rotate(180)))
    clear = colours.convert("P")
    clear.info["transparency"] = bytes(range(256))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    saved: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "grey.png": (grey, {}),
        "bits.png": (grey.point(lambda v: 255 * (v > 99)).convert("1"), {}),
        "cmyk.jpg": (colours.convert("CMYK"), {}),
        "palette.png": (colours.convert("P"), {}),
        "clear.png": (clear, {"transparency": bytes(range(256))}),
        "alpha.png": (Image.merge("RGBA", (*colours.split(), grey)), {}),
        "deep.png": (Image.fromarray((np.arange(400, dtype=np.uint16) * 160).reshape(20, 20)), {}),
        "turned.jpg": (colours.resize((20, 30)), {"exif": rotated}),
        "moving.png": (colours, {"save_all": True, "append_images": [grey.convert("RGB")]}),
    }
    for name, (image, options) in saved.items():
        image.save(folder / "c2" / name, **options)  # type: ignore[arg-type]
    images = open_data(folder, network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {Path(path).name: item[0] for item, (path, _) in zip(*_twice(ImageDataset(str(folder))), strict=True)}
    for i in range(len(images)):
        name = Path(images.place(i)).name
        if name in saved:
            picture = images.picture(i)
            assert picture.mode == "RGB"
            other = np.asarray(theirs.pop(name))
            if name == "deep.png":  # timm clips it
                other = np.repeat((np.asarray(saved[name][0]) >> 8)[..., None], 3, axis=2)
            assert np.array_equal(np.asarray(picture), other), name
    assert images.picture([Path(images.place(i)).name for i in range(len(images))].index("turned.jpg")).size == (20, 30)
    assert not set(theirs) & set(saved)


def _twice(dataset: Any) -> tuple[list[Any], list[Any]]:
    return [dataset[i] for i in range(len(dataset))], dataset.reader.samples


def test_a_bomb_is_broken(tmp_path: Path, network: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    images = open_data(write(tmp_path / "data"), network)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 70 * 80 // 2 - 1)
    assert "cannot be read as an image (Image size (5600 pixels) exceeds limit" in message(lambda: images.picture(0))


def test_a_fingerprint_follows_images_and_order_not_the_place(tmp_path: Path, network: HierarchicalNetwork) -> None:
    folder = write(tmp_path / "data")
    images = open_data(folder, network)
    first = images.fingerprint()
    assert open_data(folder, network).fingerprint() == first
    assert images.subset(range(15)).fingerprint() == first
    assert images.subset(reversed(range(15))).fingerprint() != first
    assert images.subset(range(14)).fingerprint() != first
    moved = folder.rename(tmp_path / "elsewhere")
    assert open_data(moved, network).fingerprint() == first
    file = moved / "c1" / "1.png"
    facts = file.stat()
    Image.new("RGB", (70, 80), (1, 2, 3)).save(file)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    changed = open_data(moved, network).fingerprint()
    assert changed != first
    tar = open_data(packed(moved, tmp_path / "data.tar"), network)
    assert tar.fingerprint() == open_data(tmp_path / "data.tar", network).fingerprint() != changed
    assert tar.subset([1, 0]).fingerprint() != tar.subset([0, 1]).fingerprint()


def test_the_real_tar(shared_data: Path) -> None:
    from hiergen.models.load import load_network

    model = load_network(ROOT / "generated/tiny_imagenet_100.py:N2HL")
    images = open_data(shared_data / "tiny-imagenet-100-val.tar", model)
    assert Counter(images.targets) == dict.fromkeys(range(100), 50)
    assert images[0][0].shape == (3, 128, 128)


def test_commands_on_a_small_folder(tmp_path: Path, hiergen: Callable[..., Ran]) -> None:
    """attend and coarse-first from end to end."""
    folder = tmp_path / "data"
    for i, name in enumerate(("n02123045", "n02124075", "n07753592")):
        (folder / name).mkdir(parents=True)
        for j in range(2):
            Image.new("RGB", (64, 64), (60 * i, 40 * j, 90)).save(folder / name / f"{j}.png")
    common = (f"{ROOT}/generated/tiny_imagenet_100.py:N2HL", "--data", folder, "--classes", "present", "--untrained")
    ran = hiergen("attend", *common, "--scan", "--gains", "1:2:1", "--level", 1, "--json", "--batch-size", 8)
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert (figures["level"], figures["held"]["images"], figures["held"]["gains"]) == (1, 3, [1.0, 2.0])
    assert len(figures["by_rate"]) == 11
    ran = hiergen("attend", *common, "--gain", "domestic cat=1.4", "--gain", "banana=0")
    assert "WordNet" in ran.out
    assert "banana" in ran.out
    ran = hiergen("coarse-first", *common, "--thresholds", "0,1", "--json")
    assert ran.code == 0, ran.err
    points = json.loads(ran.out)["points"]
    assert points[0]["groups"] == 1
    assert points[1]["agrees"] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--scan",), "no weights for N2HL"),
        (("--untrained",), "--scan, or --gain TERM=NUMBER"),
        (("--untrained", "--gain", "cat"), "--gain 'cat' is no gain"),
        (("--untrained", "--gain", "sevn=2"), "no class or group 'sevn'"),
        (("--untrained", "--scan", "--gains", "a"), "--gains 'a' is no list of numbers"),
        (("--untrained", "--scan", "--gains", "3:1:0.1"), "--gains '3:1:0.1' is no range"),
        (("--untrained", "--scan", "--level", "9"), "no level '9'; expected leaf, or 1..2"),
        (("--untrained", "--scan", "--holdout", "1"), "the share to hold out cannot be"),
        (("--untrained", "--scan", "--plot", "x.bmp"), "is no name for a picture"),
    ],
)
def test_commands_that_are_refused(arguments: tuple[str, ...], sentence: str, hiergen: Callable[..., Ran]) -> None:
    ran = hiergen("attend", f"{ROOT}/generated/digits.py:N2HL", "--data", "digits", *arguments)
    assert ran.code == 2
    assert sentence in ran.err


def test_a_scan_shows_the_best_gain(hiergen: Callable[..., Ran]) -> None:
    model = f"{ROOT}/generated/digits.py:N2HL"
    assert "best gain" in hiergen("attend", model, "--data", "digits", "--untrained", "--scan", "--gains", "2").out
