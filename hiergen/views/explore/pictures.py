"""What a network says of chosen images, for the page: thumbnails, and the probability of every class."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hiergen.console.terminal import command
from hiergen.errors import HiergenError
from hiergen.taxonomy.naming import identifier
from hiergen.views.explore.read import ExploredModel, Source, plain

MOST = 100  # images of a page
_SIDE, _QUALITY = 192, 80  # px and JPEG quality of a thumbnail: 7 kB
_LEAST = 5e-6  # a smaller probability is left out


def seen_by(source: Source, trained: str | None) -> ExploredModel:
    """The model that images are shown to: the only one, or that of the class name `trained`. Raises HiergenError where
    that does not say which, and for a model that is not built yet."""
    models = [m for m in source.models if trained is None or identifier(m.name) == trained]
    if len(models) != 1:
        raise HiergenError(
            "it is not clear which model is to see the images",
            place=source.typed,
            expected=f"one of them, as {source.typed}:{source.models[0].name}, or weights that name theirs",
        )
    if not models[0].built:
        run = command(("hiergen", "build", source.typed.partition(":")[0]))
        raise HiergenError(f"{models[0].reference} is not there to see the images", hint=f"run {run}")
    return models[0]


def read_pictures(
    model: ExploredModel, images: Sequence[str | os.PathLike[str]], ids: Sequence[str], *, weights: str | None
) -> dict[str, Any]:
    """Run the model on files, folders and patterns, as `hiergen.predict`; JSON-ready, without the model's index.

    Raises HiergenError as that does, for an image that cannot be read, and for more than `MOST`.
    """
    from hiergen.models.load import check_weights, find_model
    from hiergen.models.predict import find_pictures, predict
    from hiergen.nn.pictures import read_picture

    places, _ = find_pictures(images)
    if len(places) > MOST:
        raise HiergenError("too many images for a page", expected=f"at most {MOST}", got=str(len(places)))
    reference = find_model(model.reference)
    check_weights(reference, weights, False, hint="images are shown to a trained network")
    done = predict(reference, images, weights=weights, top=len(ids))
    if done.broken:
        raise done.broken[0]
    number = {one: c for c, one in enumerate(ids)}
    items = []
    for place, answer in zip(done.places, done.answers, strict=True):
        image = read_picture(place, "RGB")  # type: ignore[arg-type]
        image.thumbnail((_SIDE, _SIDE))
        image.save(jpeg := io.BytesIO(), "JPEG", quality=_QUALITY)
        shares = [[number[g.id], round(g.probability, 6)] for g in answer.classes if g.probability >= _LEAST]
        items.append(
            plain(
                {
                    "name": Path(place.inside or place.file).name,
                    "image": f"data:image/jpeg;base64,{b64encode(jpeg.getvalue()).decode()}",
                    "shares": shares,
                    "accepted": answer.accepted,
                }
            )
        )
    return {"form": done.network.form, "items": items}
