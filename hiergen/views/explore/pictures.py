"""What a network says of chosen images, for the page: thumbnails, and the probability of every class."""

from __future__ import annotations

import io
import os
import random
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from hiergen.errors import HiergenError, listed, unquoted
from hiergen.taxonomy.naming import identifier
from hiergen.views.explore.read import ExploredModel, Source, plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from hiergen.models.load import ModelRef
    from hiergen.nn.predict import Recognition

MOST = 100  # images of a page
EACH, SEED = 3, 0  # images that are drawn of a class, and by which seed
_SIDE = 192  # px of a thumbnail: 7 kB
_LEAST = 5e-6  # a smaller probability is left out


def seen_by(source: Source, trained: str | None) -> ExploredModel:
    """The model that images are shown to: the only one, or that of the class name `trained`. Raises HiergenError where
    that does not say which."""
    models = [m for m in source.models if trained is None or identifier(m.name) == trained]
    if len(models) != 1:
        raise HiergenError(
            "it is not clear which model is to see the images",
            place=source.typed,
            expected=f"one of them, as {source.typed}:{source.models[0].name}, or weights that name theirs",
        )
    return models[0]


def read_pictures(
    model: ExploredModel, images: Sequence[str | os.PathLike[str]], ids: Sequence[str], *, weights: str | None
) -> dict[str, Any]:
    """Run the model on files, folders and patterns, as `hiergen.predict`; JSON-ready, without the model's index.

    Raises HiergenError as that does, for an image that cannot be read, and for more than `MOST`.
    """
    from hiergen.models.predict import find_pictures, predict
    from hiergen.nn.pictures import read_picture

    places, _ = find_pictures(images)
    if len(places) > MOST:
        raise HiergenError("too many images for a page", expected=f"at most {MOST}", got=str(len(places)))
    done = predict(_trained(model, weights), images, weights=weights, top=len(ids))
    if done.broken:
        raise done.broken[0]
    number = {one: c for c, one in enumerate(ids)}
    items = [
        _item(Path(place.inside or place.file).name, read_picture(place, "RGB"), answer, number)  # type: ignore[arg-type]
        for place, answer in zip(done.places, done.answers, strict=True)
    ]
    return {"form": done.network.form, "items": items}


def read_data(model: ExploredModel, data: str, ids: Sequence[str], *, weights: str | None) -> dict[str, Any]:
    """Run the model on a few images of each class of a labelled data set, as `open_data` takes it; JSON-ready, as
    `read_pictures`, with the class of each, and `drawn`: a sentence of how many these are.

    They are of its validation part, if it has one. What cannot be read is left out. Raises HiergenError as
    `load_trained` and `open_data` do, and where none can be read.
    """
    from hiergen.data.imageclasses import PRESENT
    from hiergen.data.sources import open_data
    from hiergen.models.load import load_trained
    from hiergen.nn.predict import Recognition

    network = load_trained(_trained(model, weights), weights)
    images = open_data(data, network, split="validation", classes=PRESENT)
    number = {one: c for c, one in enumerate(ids)}
    chosen, each = _draw(images.targets)
    items, broken = [], list[str]()
    for i in chosen:  # one by one: those of a data set may be large
        try:
            picture = images.picture(i)
        except HiergenError:
            broken.append(images.place(i))
            continue
        answer, true = network.predict(picture, top=len(ids)), number[network.classes[images.targets[i]]]
        assert isinstance(answer, Recognition)
        items.append(_item(PurePath(images.place(i)).name, picture.convert("RGB"), answer, number, true))
    if not items:
        raise HiergenError(f"none of the images that were drawn can be read ({listed(broken)})", place=unquoted(data))
    classes, every = len({images.targets[i] for i in chosen}), len(set(images.targets))
    some = f"{classes:,} of {every:,}" if classes < every else f"{classes:,}"
    drawn = f"{len(items)} of {len(images):,} images, at most {each} of each of {some} classes, drawn with seed {SEED}"
    drawn += f"; left out: {len(broken)} that cannot be read" if broken else ""
    drawn += f"; left out: {len(images.left_out)} folders ({listed(images.left_out)})" if images.left_out else ""
    drawn += f"; {images.note}" if images.note else ""
    return {"form": network.form, "items": items, "from": data, "drawn": drawn}


def _trained(model: ExploredModel, weights: str | None) -> ModelRef:
    """Raises HiergenError where there are no weights."""
    from hiergen.models.load import check_weights, find_model

    reference = find_model(model.reference)
    check_weights(reference, weights, False, hint="images are shown to a trained network")
    return reference


def _draw(targets: Sequence[int]) -> tuple[list[int], int]:
    """Which images, class by class, and how many at most of each; of more than `MOST` classes some have none."""
    of: dict[int, list[int]] = {}
    for i, target in enumerate(targets):
        of.setdefault(target, []).append(i)
    draw, classes = random.Random(SEED), sorted(of)
    if len(classes) > MOST:
        classes = sorted(draw.sample(classes, MOST))
    each = min(EACH, MOST // len(classes))
    return [i for c in classes for i in sorted(draw.sample(of[c], min(each, len(of[c]))))], each


def _item(
    name: str, image: Image, answer: Recognition, number: Mapping[str, int], true: int | None = None
) -> dict[str, Any]:
    shares = [[number[g.id], round(g.probability, 6)] for g in answer.classes if g.probability >= _LEAST]
    facts = {"name": name, "image": thumbnail(image, _SIDE), "shares": shares, "accepted": answer.accepted}
    return plain({**facts, "true": true})


def thumbnail(image: Image, side: int, quality: int = 80) -> str:
    """An RGB image as a JPEG of at most so many px a side, in a URL; it is made smaller itself."""
    image.thumbnail((side, side))
    image.save(jpeg := io.BytesIO(), "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{b64encode(jpeg.getvalue()).decode()}"
