"""timm's dataset names "torch/…" and "hfds/…" with random access, their classes matched by name, never by index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
from PIL import Image

from hiergen.data.folders import has_parts, open_folder
from hiergen.data.imageclasses import ImageRequest, label_images, label_rows
from hiergen.data.images import ImageSet, digest
from hiergen.errors import HiergenError, listed, nearest, quoted, unquoted
from hiergen.files import reason
from hiergen.taxonomy.imagefolder import ImagePlace
from hiergen.taxonomy.roots import PARTS, TESTS, Split, pick

_ROOT = Path("data")
_ARRAYS = ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
_FILES = ("places365", "inaturalist", "inat")
_FOLDERS = ("image_folder", "folder", "imagenet")  # imagenet: train and val, with a folder for each wnid


# torchvision


def open_torch(name: str, request: ImageRequest) -> ImageSet:
    """torchvision's data set of that name, as timm opens it; see `open_data`."""
    name = _torch_name(name)
    if name in _FOLDERS:
        return open_folder(_folder_root(name, request.root), request)
    place, dataset = f"torch/{name}", _torch_dataset(name, request)
    if name in _FILES:
        return label_images(_files_of(dataset), request, place)
    names = [_plain(text) for text in dataset.classes]
    labels = [int(target[0]) if name == "qmnist" else int(target) for target in dataset.targets]
    return label_rows(TorchArrays(place, request.split, dataset), [names[label] for label in labels], request, place)


def torch_has_validation(name: str, root: Path | None) -> bool:
    """Whether torchvision's data set has a validation or test part."""
    name = _torch_name(name)
    return name not in _FOLDERS or has_parts(_folder_root(name, root))


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
    name, names = name.lower(), (*_ARRAYS, *_FILES, *_FOLDERS)
    if name not in names:
        raise HiergenError(
            f"no data set {quoted(f'torch/{name}')}",
            expected=f"torch/ and one of {', '.join(names)}",
            nearest=[f"torch/{close}" for close in nearest(name, names)],
        )
    return name


def _folder_root(name: str, root: Path | None) -> Path:
    if root is None:
        raise HiergenError(f"torch/{name} is a folder of images, and none is named", hint="name it as the root")
    return root


def _torch_dataset(name: str, request: ImageRequest) -> Any:
    root = str(request.root or _ROOT)
    try:
        return timm.data.create_dataset(f"torch/{name}", root, split=request.split, download=request.download)
    except (RuntimeError, OSError, ValueError, UnpicklingError) as error:
        call = f"timm.data.create_dataset('torch/{name}', {root!r}, {request.split!r}, download=True)"
        raise HiergenError(
            "cannot be downloaded" if request.download else "its files are not there, or not whole",
            place=f"torch/{name}",
            expected=f"them in {ImagePlace(Path(root))}",
            got=unquoted(_one_line(reason(error))) if request.download else None,
            hint=f"where there is a network, 'import timm; {call}' in Python puts them there",
        ) from None


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


def open_hf(name: str, request: ImageRequest) -> ImageSet:
    """A data set of the package datasets, or a folder that its `save_to_disk` wrote; see `open_data`."""
    place = f"hfds/{unquoted(name)}"
    splits = _hf_splits(name, request.root)
    part = next(iter(splits)) if len(splits) == 1 else pick(splits, request.split)
    if part is None:
        raise HiergenError(
            f"has no {request.split} part", place=place, expected=f"one of {', '.join(PARTS[request.split])}",
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
    return label_rows(
        HfRows(place, part, raw, image),
        [names[target] for target in labels],
        request,
        place,
        note=note if part in TESTS and len(splits) > 1 and request.split == "validation" else "",
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
        cell = self.dataset[row][self.column]
        if cell is None:
            raise ValueError("no image in this row")
        raw: bytes = cell["bytes"] or ImagePlace(Path(cell["path"])).read()
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
    place = f"hfds/{unquoted(name)}"
    if int(datasets.__version__.partition(".")[0]) < 4:
        raise HiergenError(
            f"reading {quoted(f'hfds/{name}')} needs a newer datasets: earlier ones run a script in the data's folder",
            expected="4 or later",
            got=datasets.__version__,
            hint="pip install -U datasets",
        )
    folder = next((path for path in (Path(name), (root or Path()) / name) if path.is_dir()), None)
    if folder and any((folder / file).is_file() for file in ("dataset_dict.json", "state.json")):
        with _loading(place):
            saved = datasets.load_from_disk(str(folder))
        whole = saved if isinstance(saved, dict) else {"all": saved}
        return {split: partial(whole.__getitem__, split) for split in whole}
    source, cache = str(folder or name), None if root is None else str(root)
    with _loading(place):
        splits = datasets.load_dataset_builder(source, cache_dir=cache).info.splits
        if not splits:  # a folder of files says only when it is read
            splits = datasets.load_dataset(source, cache_dir=cache)

    def load(split: str) -> Any:
        with _loading(place):
            return datasets.load_dataset(source, split=split, cache_dir=cache)

    return {split: partial(load, split) for split in splits}


@contextmanager
def _loading(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise HiergenError(
            f"cannot be loaded ({unquoted(_one_line(str(error)) or type(error).__name__)})",
            place=place,
            hint="without a network, name a data set that was loaded here before, or a folder that save_to_disk wrote",
        ) from None


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _feature(dataset: Any, kind: str, usual: Sequence[str], place: str) -> str:
    """The column of that type: the usual one, or the only one."""
    fitting = [str(name) for name, feature in dataset.features.items() if type(feature).__name__ == kind]
    for name in (*usual, *fitting[: len(fitting) == 1]):
        if name in fitting:
            return name
    raise HiergenError(
        f"{len(fitting) or 'no'} columns hold {'images' if kind == 'Image' else 'class labels'}",
        place=place,
        expected=f"one, or one called {usual[0]}",
        got=listed(fitting or dataset.features),
    )
