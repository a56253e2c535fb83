"""`hiergen predict` as a function: files, folders and patterns in, what a network says of each image out."""

from __future__ import annotations

import csv
import glob
import io
import os  # os.path answers False for a name too long, where Path raises
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from hiergen.data.images import cores
from hiergen.errors import HiergenError, listed, nearest, quoted, unquoted
from hiergen.files import writable
from hiergen.lookup.choose import choose
from hiergen.models.load import ModelRef, load_trained
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.predict import Recognition, recognise
from hiergen.taxonomy.imagefolder import ENDINGS, ImagePlace, Unread, look_through

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictions:
    """What a network says of the images at `places`, in their order: an answer, or the error of one that cannot be
    read. `notes` say what was left out of folders. It is a sequence of its answers, without the errors."""

    network: HierarchicalNetwork
    places: tuple[ImagePlace, ...]
    images: tuple[Recognition | HiergenError, ...]
    notes: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[Recognition, ...]:
        """Of the images that could be read."""
        return tuple(image for image in self.images if isinstance(image, Recognition))

    def __iter__(self) -> Iterator[Recognition]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)

    @overload
    def __getitem__(self, which: int) -> Recognition: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[Recognition, ...]: ...
    def __getitem__(self, which: int | slice) -> Recognition | tuple[Recognition, ...]:
        return self.answers[which]

    @property
    def broken(self) -> tuple[HiergenError, ...]:
        """Why the others could not."""
        return tuple(image for image in self.images if isinstance(image, HiergenError))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "model": type(self.network).__name__,
            "form": self.network.form,
            "images": [answer.to_dict() for answer in self.answers],
            "broken": [{"file": error.place, "error": error.problem} for error in self.broken],
        }

    def to_csv(self) -> str:
        """One line for each image: its file, the answer, the likeliest class with its id and probability and the groups
        above it with theirs, then the other classes, best first; or why it is broken."""
        depth = self.network.nesting.depth
        groups = [f"level{j}{part}" for j in range(1, depth) for part in ("", "_probability")]
        most = max((len(answer.classes) for answer in self.answers), default=1)
        others = [f"class{i}{part}" for i in range(2, most + 1) for part in ("", "_probability")]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "answer", "class", "id", "probability", *groups, *others, "error"])
        for image in self.images:
            if isinstance(image, HiergenError):
                row = [image.place, *[""] * (4 + len(groups) + len(others)), image.problem]
            else:
                best = image.best
                row = [image.place, image.name, best.name, best.id, _share(best.probability)]
                row += [cell for guess in image.path[:-1] for cell in (guess.name, _share(guess.probability))]
                row += [cell for guess in image.classes[1:] for cell in (guess.name, _share(guess.probability))]
                row += [""] * (5 + len(groups) + len(others) - len(row)) + [""]
            writer.writerow(row)
        return writable(text.getvalue())


def _share(probability: float) -> str:
    return f"{probability:.6f}"


def predict(
    model: str | Path | ModelRef | HierarchicalNetwork,
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    weights: str | Path | None = None,
    classes: str | Sequence[str] = (),
    top: int = 5,
    batch_size: int = 64,
    workers: int | None = None,
    device: str | None = None,
    untrained: bool = False,
    progress: Progress = lambda done, total: None,
) -> Predictions:
    """What a trained network says of image files, of all images in folders or tars, and of what patterns
    ("photos/*.jpg", "**/*.png") fit; in their order, those of a folder by name.

    `model` is what `find_model` takes, with its `weights`; folders of cutouts and trainings bring theirs. `classes` are
    terms as `--classes` takes them: only these run. The likeliest `top` of each level are kept. An image that cannot be
    read is an error in its place among the answers. Raises HiergenError as `load_trained` and `choose` do, and for
    images that are not there.

    >>> Image.new("RGB", (400, 300)).save("photo.png")
    >>> done = predict(network, "*.png")
    >>> [answer.place for answer in done.answers], len(done.answers[0].classes)
    (['photo.png'], 4)
    """
    paths = [images] if isinstance(images, str | os.PathLike) else list(images)
    places, notes = find_pictures(paths)
    network = load_trained(model, weights, untrained=untrained, device=device)
    terms = [classes] if isinstance(classes, str) else list(classes)
    chosen = choose(network.selector, terms)
    done: list[Recognition | HiergenError] = []
    read = recognise(
        network,
        ((str(place) if place.inside else os.fspath(place.file), place) for place in places),  # type: ignore[misc]
        classes=chosen,
        top=top,
        batch_size=batch_size,
        workers=max(cores() - 1, 1) if workers is None else max(workers, 1),
    )
    for answer in read:
        done.append(answer)
        progress(len(done), len(places))
    return Predictions(network, tuple(places), tuple(done), tuple(notes))


def find_pictures(typed: Iterable[str | os.PathLike[str]]) -> tuple[list[ImagePlace], list[str]]:
    """The images of files, folders, tars and patterns, in their order, and what is to be said of other files.

    Raises HiergenError for a path that is not there, a pattern that fits nothing, and a folder without images.
    """
    places: list[ImagePlace] = []
    notes: list[str] = []
    for each in typed:
        text = os.fspath(each)
        if os.path.exists(text):
            where, note = _inside(Path(text))
        elif glob.has_magic(text):
            where, note = _fitting(text)
        else:
            path = Path(text)
            beside = sorted(os.listdir(path.parent)) if os.path.isdir(path.parent) else []
            close = tuple(unquoted(path.parent / name) for name in nearest(path.name, beside))
            raise HiergenError("no such image or folder", place=unquoted(path), nearest=close)
        places += where
        notes += [f"{unquoted(text)}: {note}"] if note else []
    if not places:
        raise HiergenError("no images", expected="files, folders, or patterns such as 'photos/*.jpg'")
    return places, notes


def _inside(path: Path) -> tuple[list[ImagePlace], str]:
    """Of a file or a folder."""
    if not os.path.isdir(path) and path.suffix.lower() != ".tar":
        return [ImagePlace(path)], ""
    found = look_through(path)
    return [place for place, _ in found.images], found.unread.note()


def _fitting(pattern: str) -> tuple[list[ImagePlace], str]:
    places: list[ImagePlace] = []
    unread = Unread(Path())
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):
        if os.path.isdir(path):
            places += [] if "**" in pattern else _inside(path)[0]  # all below fits, too
        elif path.suffix.lower() in ENDINGS:
            places.append(ImagePlace(path))
        else:
            unread.add(path)
    if not places:
        raise HiergenError(f"no image fits the pattern {quoted(pattern)}", got=unread.note() or None)
    return places, unread.note()


def broken_sentence(done: Predictions) -> HiergenError | None:
    """What is to be said of images that could not be read; None where all could."""
    if not done.broken:
        return None
    count, total = len(done.broken), len(done.images)
    return HiergenError(
        f"{count:,} of {total:,} images cannot be read ({listed((e.place for e in done.broken), 3)})",
        hint="--skip-broken leaves such images out",
    )
