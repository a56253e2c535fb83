"""A picture, what a network says of it, and the way there through the tree."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from hiergen.errors import HiergenError, OutputError, unquoted
from hiergen.files import replacing, write_text
from hiergen.lookup.choose import choose
from hiergen.models.predict import Predictions
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.pictures import Picture, read_picture
from hiergen.nn.predict import Recognition, percent, recognise
from hiergen.views.draw.colours import Theme
from hiergen.views.draw.draw import KINDS, PNG_FAMILY, check_output, render_png
from hiergen.views.draw.outline import Chosen, Outline, of_nesting
from hiergen.views.draw.rows import SIDE, TOP, Rows

SHOWN = 40  # classes up to which all are drawn
_LIKELIEST = 12  # of more
_IMAGE = 280  # px of the picture's longer side


def prediction_picture(
    network: HierarchicalNetwork,
    picture: Picture,
    *,
    classes: Sequence[int] | None = None,
    name: str = "",
    theme: Theme = "auto",
    family: str | None = None,
) -> str:
    """The SVG of a picture beside the tree: the way to the likeliest class is orange, lines are as thick as groups and
    classes are likely. Of more than 40 classes it has the likeliest 12. Raises HiergenError as `network.predict`."""
    (answer,) = recognise(network, [(name, picture)], classes=classes, top=network.num_classes)
    if isinstance(answer, HiergenError):
        raise answer
    nesting = network.nesting
    index = {class_id: c for c, class_id in enumerate(nesting.classes)}
    shares = {index[guess.id]: guess.probability for guess in answer.classes}
    kept = sorted(shares if len(shares) <= SHOWN else list(shares)[:_LIKELIEST])
    outline = of_nesting(answer.place, nesting.keep(kept) if len(kept) < len(nesting.classes) else nesting)
    by_item = {}
    for position, item in enumerate(outline.items):
        c = kept[outline.order[item.first]]
        inside = (
            nesting.levels[item.depth - 1].members[nesting.levels[item.depth - 1].of[c]] if item.label is None else [c]
        )
        by_item[position] = sum(shares.get(member, 0.0) for member in inside)
    best = kept.index(index[answer.best.id])
    drawn = _Drawn(outline, Chosen(frozenset([best]) if answer.accepted is not False else frozenset()), by_item)
    return drawn.picture(answer, len(shares), read_picture(picture, "RGB"), theme, family)


class _Drawn(Rows):
    start = float(SIDE + _IMAGE + 24)

    def __init__(self, outline: Outline, chosen: Chosen, shares: Mapping[int, float]) -> None:
        self.shares = shares
        super().__init__(outline, {}, chosen, "")

    def note(self, position: int) -> str:
        return percent(self.shares[position])

    def stroke(self, position: int) -> float:
        return 0.8 + 3.2 * self.shares[position]

    def picture(self, answer: Recognition, classes: int, image: Image.Image, theme: Theme, family: str | None) -> str:
        """The SVG."""
        image = image.copy()
        image.thumbnail((2 * _IMAGE, 2 * _IMAGE))
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=88)
        scale = _IMAGE / max(image.size)
        wide, high = (scale * side for side in image.size)
        best = f"{answer.best.name} {percent(answer.best.probability)}"
        self.title = best if answer.accepted is not False else f"{answer.name} (nearest: {best})"
        left = (
            f"the likeliest {len(self.outline.order)} of {classes:,} classes"
            if len(self.outline.order) < classes
            else ""
        )
        self.subtitle = "; ".join(filter(None, [Path(answer.place).name, left]))
        path = " → ".join(f"{guess.name} {percent(guess.probability)}" for guess in answer.path)
        self.legend = [f"Orange: {path}."] if answer.accepted is not False else []
        right = max(sum(self.columns[-1]) + SIDE, 360)
        rows = len(self.outline.order) * self.row
        self.top = TOP + max(high - rows, 0) / 2
        middle = self.top + rows / 2
        self.draw_heading(right)
        self.canvas.image(SIDE, middle - high / 2, wide, high, jpeg.getvalue())
        self.draw_links(middle)
        self.canvas.dot(sum(self.columns[0]), middle, 4, "dot")
        self.draw_items()
        return self.document(right, TOP + max(rows, high) + 14, theme, family)

    def _columns(self) -> list[tuple[float, float]]:
        """The root is a dot."""
        (x, wide), *others = super()._columns()
        return [(x, 8.0), *((left + 8 - wide, each) for left, each in others)]


def check(path: Path) -> None:
    """Raises OutputError for a file that is no picture's; a path without a suffix is a folder."""
    if path.suffix:
        check_output(path)
    elif path.exists() and not path.is_dir():
        raise OutputError("is a file", place=unquoted(path), expected=f"one of {', '.join(KINDS)}, or a folder")


def draw_predictions(done: Predictions, path: Path, *, classes: Sequence[str] = ()) -> Iterator[Path]:
    """Draw each image that could be read, of one into a file, or all into a folder as SVG; the files. Raises
    HiergenError for several images and one file."""
    chosen = choose(done.network.selector, classes)
    good = [place for place, image in zip(done.places, done.images, strict=True) if isinstance(image, Recognition)]
    if path.suffix and len(good) != 1:
        raise HiergenError(
            f"{len(good)} images do not fit into one picture",
            place=unquoted(path),
            expected="a folder's name, or one image",
        )
    names: set[str] = set()
    for place in good:
        name = Path(place.inside or place.file).name
        target = path if path.suffix else path / _file_name(name, names)
        raster = target.suffix.lower() == ".png"
        svg = prediction_picture(
            done.network,
            place,  # type: ignore[arg-type]
            classes=chosen,
            name=name,
            theme="light" if raster else "auto",
            family=PNG_FAMILY if raster else None,
        )
        if raster:
            with replacing(target) as temporary:
                temporary.write_bytes(render_png(svg))
        else:
            write_text(target, svg)
        yield target


def _file_name(name: str, taken: set[str]) -> str:
    stem = re.sub(r"[^\w.-]+", "-", Path(name).stem).strip("-.")[:80] or "picture"
    number = next(n for n in range(1, len(taken) + 2) if (stem if n == 1 else f"{stem}-{n}") not in taken)
    taken.add(chosen := stem if number == 1 else f"{stem}-{number}")
    return f"{chosen}.svg"
