"""What a folder of images means: no file vanishes, no other part is trained on, and all commands read it alike."""

from __future__ import annotations

import io
import os
import random
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hiergen
from hiergen.data.imageclasses import match
from hiergen.data.images import check_apart
from hiergen.data.sources import has_validation, open_data
from hiergen.formats.importing import init
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.pictures import converted
from hiergen.taxonomy.imagefolder import ENDINGS, look_through
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.roots import training_part
from tests.helpers import message
from tests.nn.steering_cases import Nested

CLASSES = ("c0", "c1", "c2", "c3", "c4")
FILES = (
    *("a.jpg", "B.JPG", "c.webp", "d.bmp", "e.tif", "f.TIFF", "g.gif", "h.ppm", "i.avif", "j.jfif", "k.pgm", "l.jpe"),
    *("a.txt", "b.csv", "c.heic", "d.svg", "e.jp2", "none", "f.jpg.part", ".jpg", "g.npy", "h.mp4", "i.xml", "ü.psd"),
)
JUNK = (
    "._a.jpg",
    "Thumbs.db",
    ".DS_Store",
    "desktop.ini",
    ".ipynb_checkpoints/a.jpg",
    "__MACOSX/c0/._a.jpg",
    "@eaDir/x",
)
OTHERS = (
    *("dev2", "holdout", "hold-out", "held_out", "fold1", "fold_2", "backup", "backup of old images", "old", "train2"),
    *("train_old", "Train (copy)", "extra", "unlabeled", "test_public", "testset", "val2", "query", "gallery", "raw"),
    *("noisy", "augmented", "2023", "part1", "split0", "images", "originals", "Prüfung", "hard", "few-shot", "tmp"),
)


@pytest.fixture(scope="module")
def network() -> HierarchicalNetwork:
    return Nested().eval()


def write(folder: Path, names: tuple[str, ...] = CLASSES, count: int = 2) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for j in range(count):
            Image.new("RGB", (8, 8), (j, 0, 0)).save(folder / name / f"{j}.png")
    return folder


def packed(folder: Path, file: Path) -> Path:
    with tarfile.open(file, "w") as tar:
        tar.add(folder, arcname="data")
    return file


def test_every_format_that_is_read_is_found_whatever_its_ending(tmp_path: Path, network: HierarchicalNetwork) -> None:
    root = write(tmp_path / "data")
    written = Image.registered_extensions()
    for ending in sorted(ENDINGS - {".pfm"}):
        image = Image.new("1" if ending == ".pbm" else "L" if ending == ".pgm" else "RGB", (8, 8))
        image.save(root / "c1" / f"x{ending}", written.get(ending, "PPM"))
    for data in (root, packed(root, tmp_path / "d.tar")):
        images = open_data(data, network)
        assert Counter(images.targets)[1] == len(ENDINGS) + 1
        assert all(images.picture(i).mode == "RGB" for i in range(len(images)))
        assert images.note == ""


@pytest.mark.parametrize("seed", range(40))
def test_every_file_is_read_or_counted(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    root = write(tmp_path / "data", ("c0",), count=1)
    kept = {"c0/0.png"}
    for _ in range(40):
        folder = draw.choice(("", "c0/", "c1/", "c1/deep/", "täg/", ".hidden/c0/", "c 2/.h/"))
        name = folder + draw.choice(FILES if draw.random() < 0.8 else JUNK)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
        if os.path.basename(name) in FILES and "checkpoints" not in name and "__MACOSX" not in name:
            kept.add(name)
    for data in (root, packed(root, tmp_path / "d.tar")):
        found = look_through(data)
        assert len(found.images) + found.unread.kinds.total() == len(kept), (found.unread.kinds, kept)
        seen = {name for name in kept if Path(name).suffix.lower() in ENDINGS and "/." not in f"/{name[:-5]}"}
        assert len(found.images) == len(seen)


def test_what_is_no_image_is_counted_and_named(tmp_path: Path, network: HierarchicalNetwork) -> None:
    root = write(tmp_path / "data")
    for name in ("c0/a.txt", "c0/b.TXT", "c1/photo.heic", ".cache/x/y.jpg", "README", "c2/Thumbs.db", "c2/._0.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    note = open_data(root, network).note
    assert note.startswith("left out: 5 files, which are no images (2 .txt, ")
    assert all(
        kind in note for kind in ("1 .heic", "1 without an ending", "1 in a hidden folder", "'.cache/x/y.jpg' first")
    )


def test_members_of_shards_that_are_no_images_are_counted(tmp_path: Path, network: HierarchicalNetwork) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    names = [
        *(f"{i}.{ending}" for i in range(5) for ending in ("avif", "cls")),
        "5.cls",
        "6.mp4",
        "7.jpg",
        "7.png",
        "7.cls",
    ]
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            content = b"4" if name.endswith(".cls") and int(name[0]) > 4 else name[:1].encode()
            content = content if name.endswith(".cls") else stream.getvalue()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    images = open_data(f"wds/{tmp_path / 's.tar'}", network)
    assert images.targets == (0, 1, 2, 3, 4, 4)
    assert images.place(5).endswith("7.png")
    assert images.note.startswith("left out: 3 files, which are no images (")
    assert all(kind in images.note for kind in ("1 label without an image", "1 .mp4", "1 of a sample's several images"))


@pytest.mark.parametrize("other", OTHERS)
def test_what_lies_beside_the_training_part_is_not_trained_on(
    other: str, tmp_path: Path, network: HierarchicalNetwork
) -> None:
    root = tmp_path / "data"
    write(root / "train", count=3)
    write(root / other)
    (root / "labels.csv").write_text("x")
    for data in (root, packed(root, tmp_path / "d.tar")):
        images = open_data(data, network)
        assert len(images) == 15
        assert {images.picture(i).getpixel((0, 0))[0] for i in range(15)} == {0, 1, 2}
        assert f"left out beside: '{other}' (10 files)" in images.note
        assert "1 .csv" in images.note
        assert not has_validation(data)
    write(root / "val", count=1)
    assert has_validation(root)
    assert len(open_data(root, network)) == 15
    assert len(open_data(root, network, split="validation")) == 5
    around = tmp_path / "around"
    around.mkdir()
    root.rename(around / "inner")  # an archive's one folder around all
    assert len(open_data(around, network)) == 15


@pytest.mark.parametrize(
    "names", [("fold1", "fold2"), ("2022", "2023"), ("train2017", "val2017"), ("a/x", "b"), ("", "old")]
)
def test_a_class_in_several_folders_is_refused(
    names: tuple[str, str], tmp_path: Path, network: HierarchicalNetwork
) -> None:
    root = tmp_path / "data"
    for name in names:
        write(root / name)
    for data in (root, packed(root, tmp_path / "d.tar")):
        for classes in (None, "present", [0, 1]):
            sentence = message(lambda data=data, classes=classes: open_data(data, network, classes=classes))
            if not (classes is None and "is no class" in sentence):
                assert "images of class 'c0' lie in several folders, and so do " in sentence
                assert all(f"{name}/c0'" in sentence for name in names if name)


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "test"), ("validation", "train")])
def test_parts_without_classes_are_no_classes(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data", names)
    Path("t.yaml").write_text("name: t\nclasses: {imagefolder: data}\nunplaced: root\nmodels: {PHL: {}}\n")
    first, second = sorted(names)
    said = f"'{first}' and '{second}' are parts, not classes, and have no folders in them"
    assert said in message(lambda: load_taxonomy("t.yaml"))
    assert said in message(lambda: init("data"))
    assert not Path("data.yaml").exists()


@pytest.mark.parametrize(
    ("layout", "classes"),
    [
        (("cat", "dog"), ["cat", "dog"]),
        (("train/cat", "train/dog", "val/cat", "val/dog"), ["cat", "dog"]),
        (("Training/cat", "Training/dog", "holdout/ant"), ["cat", "dog"]),
        (("data/train/cat", "data/train/dog", "data/dev/cat"), ["cat", "dog"]),
        (("data/cat", "data/dog"), ["cat", "dog"]),
        (("pets/cat", "pets/dog", "wild/fox", "owl"), ["cat", "dog", "fox", "owl"]),
        (("train/pets/cat", "train/wild/fox", "test/pets/cat"), ["cat", "fox"]),
        (("train", "car", "boat"), ["boat", "car", "train"]),
        (("Ku\u0308che", "tu\u0308r"), ["K\u00fcche", "t\u00fcr"]),  # as macOS writes them
    ],
)
def test_all_commands_read_a_root_alike(
    layout: tuple[str, ...], classes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write(tmp_path / "data", layout)
    made = load_taxonomy(init("data").path)
    assert sorted(c.id for c in made.classes) == classes
    Path("t.yaml").write_text("name: t\nclasses: {imagefolder: data}\nunplaced: root\nmodels: {PHL: {}}\n")
    assert sorted(c.id for c in load_taxonomy("t.yaml").classes) == classes
    said = [
        finding.message
        for finding in hiergen.validate("t.yaml")
        if finding.code == "W103" and "classes are" in finding.message
    ]
    inside = any(name.lower().startswith(("train/", "training/", "data/train/")) for name in layout)
    assert bool(said) == inside
    found = look_through(training_part(root)[0])
    homes = match(sorted({name for _, name in found.images}), Nesting.from_levels(classes, []), place="data")
    assert sorted(homes.values()) == list(range(len(classes)))


def links(root: Path, kind: str) -> str | Path:
    """A validation part that has training images, however they are called there."""
    if kind == "same":
        return root / "train"
    if kind == "folder":
        os.symlink(root / "train", root / "val")
        return root / "val"
    (root / "val").mkdir()
    if kind == "folders":
        for name in CLASSES:
            os.symlink(root / "train" / name, root / "val" / name)
        return root / "val"
    write(root / "val")
    target = root / "val" / "c3" / "again.png"
    (os.symlink if kind == "file" else os.link)(root / "train" / "c3" / "0.png", target)
    return root / "val"


@pytest.mark.parametrize("kind", ["same", "folder", "folders", "file", "hard"])
def test_validation_images_that_are_training_images(kind: str, tmp_path: Path, network: HierarchicalNetwork) -> None:
    write(tmp_path / "train")
    train = open_data(tmp_path / "train", network)
    val = open_data(links(tmp_path, kind), network, split="validation")
    many = {"file": "1 of 11", "hard": "1 of 11"}.get(kind, "10 of 10")
    assert f"{many} validation images are training images" in message(lambda: check_apart(train, val))
    tar = open_data(packed(tmp_path / "train", tmp_path / "t.tar"), network)
    check_apart(tar, train)
    assert "10 of 10" in message(lambda: check_apart(tar, tar))
    check_apart(open_data(write(tmp_path / "own"), network), train)


def test_links_to_one_image_are_not_held_out_of_a_training(tmp_path: Path, network: HierarchicalNetwork) -> None:
    root = write(tmp_path / "data", count=1)
    for i in range(9):
        os.symlink(root / "c0" / "0.png", root / "c0" / f"again{i}.png")
        for name in CLASSES[1:]:
            Image.new("RGB", (8, 8)).save(root / name / f"x{i}.png")
    one, other = open_data(root, network).split(0.3)
    assert "validation images are training images" in message(lambda: check_apart(one, other))


def raw(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def test_deep_pixels_are_scaled_or_refused() -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16
    for kind in ("PNG", "TIFF", "PPM"):
        for mode in ("RGB", "L", "RGBA"):
            got = np.asarray(converted(raw(ramp, kind), mode))
            assert np.abs((got if mode == "L" else got[..., 0]).astype(int) - ramp / 257).max() <= 1, (kind, mode)
    ones = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    assert np.array_equal(np.asarray(converted(raw(ones, "TIFF"), "L")), np.rint(ones * 255))
    whole = np.arange(4096, dtype=np.int32).reshape(64, 64)
    for pixels in (ones * 255, ones - 0.5, ones * np.float32(np.nan), whole, whole - 9, whole * 1000):
        with pytest.raises(ValueError, match="pixels"):
            converted(raw(pixels, "TIFF"), "RGB")


def test_deep_pixels_are_said(tmp_path: Path, network: HierarchicalNetwork) -> None:
    root = write(tmp_path / "data")
    (root / "c4" / "9.png").write_bytes(raw(np.full((8, 8), 40000, np.uint16), "PNG"))
    images = open_data(root, network)
    assert images.note == "pixels of 16 bits (0 … 65535) or floating-point (0 … 1) are scaled to 8 bits"
    assert images.picture(len(images) - 1).getpixel((0, 0)) == (156, 156, 156)
