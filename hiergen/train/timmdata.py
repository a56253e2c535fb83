"""timm's dataset names "torch/…" and "hfds/…" with random access, their classes matched by name, never by index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from PIL import Image

from hiergen.errors import HiergenError, listed, nearest, quoted
from hiergen.files import reason
from hiergen.imageclasses import homes_of
from hiergen.imagefiles import ImagePlace
from hiergen.images import ImageSet, SourceImages, digest, eval_transform, label_images
from hiergen.train.data import PARTS, Asked, Split, folder_parts, open_folder, pick

_ROOT = Path("data")
_ARRAYS = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "mnist": "MNIST",
    "kmnist": "KMNIST",
    "fashion_mnist": "FashionMNIST",
    "qmnist": "QMNIST",
}
_FILES = {
    "places365": ("Places365", {"train": "train-standard", "validation": "val"}),
    "inaturalist": ("INaturalist", {"train": "2021_train", "validation": "2021_valid"}),
    "inat": ("INaturalist", {"train": "2021_train", "validation": "2021_valid"}),
}
_FOLDERS = ("image_folder", "folder", "imagenet")  # imagenet: train and val, with a folder for each wnid
TORCH = (*_ARRAYS, *_FILES, *_FOLDERS)


# torchvision


def open_torch(name: str, asked: Asked) -> ImageSet:
    """torchvision's data set of that name; see `open_data`."""
    name = _torch_name(name)
    if name in _FOLDERS:
        return open_folder(_folder_root(name, asked.root), asked)
    root = asked.root or _ROOT
    place = f"torch/{name}"
    if name in _FILES:
        kind, versions = _FILES[name]
        option = "version" if kind == "INaturalist" else "split"
        dataset = _made(kind, root, asked, {option: versions[asked.split]})
        return label_images(
            _files_of(dataset),
            asked.network,
            place=place,
            classes=asked.classes,
            transform=asked.transform,
            noun="class",
        )
    dataset = _made(_ARRAYS[name], root, asked, {"train": asked.split == "train"})
    names = [_plain(text) for text in dataset.classes]
    targets = [int(target[0]) if name == "qmnist" else int(target) for target in dataset.targets]
    return _labelled(TorchArrays(place, asked.split, dataset), [names[t] for t in targets], asked, place)


def torch_has_validation(name: str, root: Path | None) -> bool:
    """Whether torchvision's data set has a validation or test part."""
    name = _torch_name(name)
    return name not in _FOLDERS or len(folder_parts(_folder_root(name, root))) == len(PARTS)


@dataclass(frozen=True)
class TorchArrays:
    """A data set that torchvision holds in memory."""

    name: str
    split: Split
    dataset: Any
    in_memory: bool = True

    def picture(self, row: int) -> Image.Image:
        image: Image.Image = self.dataset[row][0]
        return image

    def place(self, row: int) -> str:
        return f"{self.name}:{self.split}:{row}"

    def fingerprint(self) -> str:
        data = self.dataset.data
        return digest([self.name, self.split, (data.numpy() if hasattr(data, "numpy") else data).tobytes()])


def _torch_name(name: str) -> str:
    name = name.lower()
    if name not in TORCH:
        raise HiergenError(
            f"no data set {quoted(f'torch/{name}')}",
            expected=f"torch/ and one of {', '.join(TORCH)}",
            nearest=[f"torch/{close}" for close in nearest(name, TORCH)],
        )
    return name


def _folder_root(name: str, root: Path | None) -> Path:
    if root is None:
        raise HiergenError(f"torch/{name} is a folder of images, and none is named", hint="name it as the root")
    return root


def _made(kind: str, root: Path, asked: Asked, options: dict[str, Any]) -> Any:
    from torchvision import datasets

    cls = getattr(datasets, kind)
    try:
        return cls(root=str(root), download=asked.download, **options)
    except (RuntimeError, OSError, ValueError, UnpicklingError) as error:
        files = root / getattr(cls, "base_folder", f"{kind}/raw" if "MNIST" in kind else "")
        arguments = ", ".join(f"{key}={value!r}" for key, value in options.items())
        call = f"torchvision.datasets.{kind}({str(root)!r}, download=True, {arguments})"
        text = re.sub(r"\s+", " ", reason(error))
        raise HiergenError(
            "cannot be downloaded" if asked.download else "its files are not there, or not whole",
            place=f"torch/{_short(kind)}",
            expected=f"them in {ImagePlace(files)}",
            got=quoted(text)[1:-1] if asked.download else None,
            hint=f"where there is a network, 'import torchvision; {call}' in Python puts them there",
        ) from None


def _short(kind: str) -> str:
    return next(name for name, found in [*_ARRAYS.items(), *((n, k) for n, (k, _) in _FILES.items())] if found == kind)


def _files_of(dataset: Any) -> list[tuple[ImagePlace, str]]:
    """Files with the names of their classes, of INaturalist or Places365."""
    if hasattr(dataset, "all_categories"):
        names = dataset.all_categories
        return [(ImagePlace(Path(dataset.root, names[c], file)), names[c]) for c, file in dataset.index]
    names = [_plain(text) for text in dataset.classes]
    return [(ImagePlace(Path(file)), names[c]) for file, c in dataset.imgs]


def _plain(text: str) -> str:
    """torchvision writes MNIST's "0 - zero" and Places365's "/a/airfield"."""
    return re.sub(r"^([0-9]) - \w+$|^/[a-z]/", r"\1", text)


# Hugging Face datasets


def open_hf(name: str, asked: Asked) -> ImageSet:
    """A data set of the package datasets, or a folder that its `save_to_disk` wrote; see `open_data`."""
    place = f"hfds/{quoted(name)[1:-1]}"
    splits = _hf_splits(name, asked.root)
    part = next(iter(splits)) if len(splits) == 1 else pick(splits, asked.split)
    if part is None:
        raise HiergenError(
            f"has no {asked.split} part", place=place, expected=f"one of {', '.join(PARTS[asked.split])}",
            got=listed(splits),
        )  # fmt: skip
    dataset = splits[part]()
    image = _feature(dataset, "Image", ("image", "img"), place)
    label = _feature(dataset, "ClassLabel", ("label", "labels"), place)
    names = dataset.features[label].names
    labels = dataset[label]
    if any(target is None or target < 0 for target in labels):
        raise HiergenError(f"some images of its part {quoted(part)} have no label", place=place)
    import datasets

    raw = dataset.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    note = f"{place} has no validation part but a test part, which is taken for it"
    return _labelled(
        HfRows(place, part, raw, image),
        [names[target] for target in labels],
        asked,
        place,
        note=note if part == "test" and len(splits) > 1 and asked.split == "validation" else "",
    )


def hf_has_validation(name: str, root: Path | None) -> bool:
    """Whether the data set has both parts."""
    splits = _hf_splits(name, root)
    return len(splits) > 1 and all(pick(splits, split) for split in PARTS)


@dataclass(frozen=True)
class HfRows:
    """The image column of a data set of the package datasets, which it maps into memory from its files."""

    name: str
    split: str
    dataset: Any
    column: str
    in_memory: bool = False

    def picture(self, row: int) -> bytes:
        found = self.dataset[row][self.column]
        if found is None:
            raise ValueError("no image in this row")
        raw: bytes = found["bytes"] or ImagePlace(Path(found["path"])).read()
        return raw

    def place(self, row: int) -> str:
        return f"{self.name}:{self.split}:{row}"

    def fingerprint(self) -> str:
        return digest([self.name, self.split, len(self.dataset), getattr(self.dataset, "_fingerprint", "")])


def _hf_splits(name: str, root: Path | None) -> dict[str, Callable[[], Any]]:
    """Split → what loads it."""
    try:
        import datasets
    except ImportError:
        raise HiergenError(
            f"reading {quoted(f'hfds/{name}')} needs the package datasets", hint="pip install datasets"
        ) from None
    place = f"hfds/{quoted(name)[1:-1]}"
    if int(datasets.__version__.partition(".")[0]) < 4:
        raise HiergenError(
            f"reading {quoted(f'hfds/{name}')} needs a newer datasets: earlier ones run a script in the data's folder",
            expected="4 or later",
            got=datasets.__version__,
            hint="pip install -U datasets",
        )
    folder = next((path for path in (Path(name), (root or Path()) / name) if path.is_dir()), None)
    try:
        if folder and any((folder / file).is_file() for file in ("dataset_dict.json", "state.json")):
            saved = datasets.load_from_disk(str(folder))
            whole = saved if isinstance(saved, dict) else {"all": saved}
        else:
            source, cache = str(folder or name), None if root is None else str(root)
            splits = datasets.load_dataset_builder(source, cache_dir=cache).info.splits
            if splits:
                return {split: partial(_hf_load, datasets, source, cache, split, place) for split in splits}
            whole = datasets.load_dataset(source, cache_dir=cache)
    except (OSError, ValueError, RuntimeError) as error:
        raise _hf_error(error, place) from None
    return {split: partial(whole.__getitem__, split) for split in whole}


def _hf_load(datasets: Any, source: str, cache: str | None, split: str, place: str) -> Any:
    try:
        return datasets.load_dataset(source, split=split, cache_dir=cache)
    except (OSError, ValueError, RuntimeError) as error:
        raise _hf_error(error, place) from None


def _hf_error(error: Exception, place: str) -> HiergenError:
    text = re.sub(r"\s+", " ", str(error)) or type(error).__name__
    return HiergenError(
        f"cannot be loaded ({quoted(text)[1:-1]})",
        place=place,
        hint="without a network, name a data set that was loaded here before, or a folder that save_to_disk wrote",
    )


def _feature(dataset: Any, kind: str, usual: Sequence[str], place: str) -> str:
    """The column of that type: the usual one, or the only one."""
    found = [str(name) for name, feature in dataset.features.items() if type(feature).__name__ == kind]
    for name in usual:
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    raise HiergenError(
        f"{len(found) or 'no'} columns hold {'images' if kind == 'Image' else 'class labels'}",
        place=place,
        expected=f"one, or one called {usual[0]}",
        got=listed(found or dataset.features),
    )


def _labelled(
    source: Any, names: Iterable[str], asked: Asked, place: str, *, note: str = "", noun: str = "class"
) -> SourceImages:
    """Rows of a source by the names of their classes."""
    by_row = list(names)
    homes, left_out = homes_of(by_row, asked.network, classes=asked.classes, place=place, noun=noun)
    rows = tuple(row for row, name in enumerate(by_row) if name in homes)
    return SourceImages(
        source=source,
        rows=rows,
        targets=tuple(homes[by_row[row]] for row in rows),
        transform=asked.transform or eval_transform(asked.network),
        left_out=left_out,
        note=note,
    )
