"""What travels with an exported network: enough to prepare an image and to read a logit."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from hiergen import __version__
from hiergen.nn.nest import Nest
from hiergen.nn.network import HierarchicalNetwork
from hiergen.weights import taxonomy_hash

if TYPE_CHECKING:
    from hiergen.weightsfile import Provenance

_IMAGE = ("mean", "std", "interpolation", "crop_pct", "crop_mode")


def describe(network: HierarchicalNetwork, provenance: Provenance | None = None) -> dict[str, str]:
    """The metadata: texts as they are, everything else as JSON.

    `hiergen_version`, `model` (the class's name), `classes` (ids in the order of the logits), `names` (likewise),
    `taxonomy` (group → … → class id → name), `taxonomy_sha256`, `input_size` (channels, height, width in px), and as
    far as the backbone says `mean`, `std` (of pixels scaled to 0 … 1), `interpolation`, `crop_pct`, `crop_mode`; of a
    cutout `cutout`.
    """
    cfg = network.pretrained_cfg
    values = {
        "classes": list(network.classes),
        "names": list(Nest(network.taxonomy, network.classes).labels),
        "taxonomy": network.taxonomy,
        "input_size": list(cfg["input_size"]),
        **{key: cfg[key] for key in _IMAGE if cfg.get(key) is not None},
        **({"cutout": asdict(provenance)} if provenance is not None else {}),
    }
    texts = {key: value if isinstance(value, str) else _json(value) for key, value in values.items()}
    own = {"hiergen_version": __version__, "model": type(network).__name__, "taxonomy_sha256": taxonomy_hash(network)}
    return {**own, **texts}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=dict)
