"""Evidence from images: how alike the classes look to a backbone or network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hiergen.errors import HiergenError, listed, quoted, unquoted
from hiergen.nestings.suggest.evidence import Evidence, Floats, cosine
from hiergen.nestings.suggest.weights import read_tensors, timm_model
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from torch import Tensor

    from hiergen.data.images import ImageSet
    from hiergen.nestings.suggest.kinds import Progress
    from hiergen.nestings.suggest.request import SuggestRequest
    from hiergen.nn.network import HierarchicalNetwork


def features_evidence(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None = None) -> Evidence:
    """Cosine similarity of the classes' centroids (the mean of all images' pooled features), centred.

    Features of a hiergen network's trunk, or of a timm model (pretrained, or with `weights`).

    Images are those of the data's training part, if it has parts. Raises HiergenError for data that has not every
    class, images that cannot be read, and a network of other classes.
    """
    assert request.data is not None  # as `needs` of the kind has it
    if (request.network is None) == (request.timm is None):
        raise HiergenError("whose features?", expected="--network MODEL --weights FILE, or --timm NAME")
    of_source = _of_network if request.network is not None else _of_timm
    centroids, count, what = of_source(taxonomy, request.data, request, progress)
    name = Path(request.data).name
    note = f"Features of {what} on {count:,} images of {name}. Similarity: cosine of the classes' centroids, centred."
    return Evidence("features", cosine(centroids), (note,))


class Centroids:
    """Running means of rows by class, in double precision."""

    def __init__(self, classes: int) -> None:
        self._sums: Floats | None = None
        self._counts = np.zeros(classes, dtype=np.int64)

    def add(self, rows: Tensor, targets: Tensor) -> None:
        """`(B, d)` features of images of these classes `(B,)`."""
        values = rows.double().cpu().numpy()
        if self._sums is None:
            self._sums = np.zeros((len(self._counts), values.shape[1]))
        np.add.at(self._sums, targets.numpy(), values)
        np.add.at(self._counts, targets.numpy(), 1)

    def means(self) -> Floats:
        """`(classes, d)`. Raises HiergenError where they are not finite."""
        assert self._sums is not None
        means: Floats = self._sums / np.maximum(self._counts, 1)[:, None]
        if not np.isfinite(means).all():
            raise HiergenError("features are not finite", hint="check the weights")
        return means


def _of_network(
    taxonomy: Taxonomy, data: str, request: SuggestRequest, progress: Progress | None
) -> tuple[Floats, int, str]:
    """Centroids of a network's trunk, by way of the cache that training uses too."""
    import torch

    from hiergen.data.features import cached_features
    from hiergen.data.images import eval_transform
    from hiergen.data.sources import open_data
    from hiergen.models.load import load_trained

    assert request.network is not None
    network = load_trained(request.network, request.weights)
    place = {name: i for i, name in enumerate(network.classes)}
    if missing := [c.id for c in taxonomy.classes if c.id not in place]:
        raise HiergenError(f"{request.network} lacks {len(missing)} classes of {taxonomy.path}: {listed(missing)}")
    wanted = [place[c.id] for c in taxonomy.classes]
    images = open_data(data, network, classes=sorted(wanted))
    sums = Centroids(len(network.classes))
    with cached_features(network, images, eval_transform(network), workers=request.workers, progress=progress) as maps:
        targets = torch.tensor(maps.targets)
        for rows in torch.split(maps.usable, request.batch_size):
            sums.add(maps.maps(0, rows).mean((2, 3)), targets[rows])
    return sums.means()[wanted], len(images), f"the trunk of {Path(request.network).name}"


def _of_timm(
    taxonomy: Taxonomy, data: str, request: SuggestRequest, progress: Progress | None
) -> tuple[Floats, int, str]:
    """Centroids of a timm model's features before its classifier."""
    import timm
    import torch

    from hiergen.data.images import batches

    assert request.timm is not None
    model = _timm_with(request.timm, request.weights)
    images = _images(taxonomy, data, timm.data.resolve_model_data_config(model))
    sums, done = Centroids(len(taxonomy.classes)), 0
    with torch.inference_mode():
        for pictures, targets in batches(images, request.batch_size, workers=max(request.workers, 1)):
            sums.add(model.forward_head(model.forward_features(pictures), pre_logits=True).flatten(1), targets)
            done += len(targets)
            if progress is not None:
                progress(done, len(images))
    return sums.means(), len(images), f"timm's {request.timm}"


def _timm_with(name: str, weights: Path | None) -> Any:
    model = timm_model(name, pretrained=weights is None).eval()
    if weights is None:
        return model
    tensors = read_tensors(weights)[0]
    head = {f"{part}." for part in _texts(model.default_cfg.get("classifier"))}
    needed = {key: value for key, value in model.state_dict().items() if not key.startswith(tuple(head))}
    bad = [k for k, v in needed.items() if k not in tensors or tensors[k].shape != v.shape]
    bad = [key for key in bad if not key.endswith("num_batches_tracked")]
    if bad:
        raise HiergenError(
            f"are no weights of timm's {name}",
            place=unquoted(weights),
            expected=f"timm's names and shapes, such as {quoted(bad[0])} {tuple(needed[bad[0]].shape)}",
            got=f"{len(bad)} of {len(needed)} tensors missing or of another shape",
        )
    model.load_state_dict({k: tensors[k] for k in needed if k in tensors}, strict=False)
    return model


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _images(taxonomy: Taxonomy, data: str, config: Mapping[str, Any]) -> ImageSet:
    """Images labelled with the file's classes, as for a network of them."""
    import timm

    from hiergen.data.sources import open_data

    ids, labels = (tuple(getattr(c, part) for c in taxonomy.classes) for part in ("id", "name"))
    # labelling reads these of a network only
    nesting = Nesting.from_levels(ids, [], labels=labels)
    size = tuple(config["input_size"])
    classes = SimpleNamespace(classes=ids, num_classes=len(ids), nesting=nesting, input_size=size)
    transform = timm.data.create_transform(**config, is_training=False)
    return open_data(data, cast("HierarchicalNetwork", classes), transform=transform)
