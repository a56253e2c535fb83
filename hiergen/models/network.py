"""Classes and a backbone in, an `nn.Module` out: the networks of `hiergen build` without its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError
from torch import nn

from hiergen.codegen.build import render
from hiergen.errors import HiergenError, SpecError
from hiergen.models.load import network_of
from hiergen.models.weights import copy_trunk
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_taxonomy import plan_models
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.modelspec import ModelSpec
from hiergen.taxonomy.specfile import misfit

Classes: TypeAlias = Taxonomy | str | Path | Mapping[str, Any] | Iterable[str]


def network(
    taxonomy: Classes,
    *,
    groups: Mapping[str, Any] | None = None,
    levels: int = 2,
    backbone: str | nn.Module = "resnet50",
    until: str | None = None,
    block: str | None = None,
    budget: Mapping[str, Any] | None = None,
    input_size: int | str | Sequence[int] | None = None,
    in_chans: int | None = None,
    pretrained: bool = False,
) -> HierarchicalNetwork:
    """Build a network at once: the one whose source `build` would write, kept as its attribute `source`.

    `taxonomy` is a list of class names or ids, a mapping of id → name, or whatever `load_taxonomy` takes. `groups` are
    groups by hand (name → members) for a list of classes; WordNet groups the rest. `levels` is k: 1 gives a PHL, 2 an
    N2HL. `backbone` is a timm name, or a timm model whose weights the trunk then starts from; `until` its last stage
    in the trunk; `block`, `budget` ({"params": "25M", "macs": "4.2G"}), `input_size` (64, (32, 64), …) and `in_chans`
    (default: 3) are those of a taxonomy file. The network maps `(B, in_chans, H, W)` to `(B, classes)`, in training
    mode as any new module.
    Raises HiergenError for classes, groups, a backbone or a budget that cannot be.

    >>> pets = network(["cat", "dog", "hen", "goose"], backbone="resnet18", groups={"bird": ["hen", "goose"]})
    >>> pets.nesting.names(1), pets.num_classes
    (('carnivore', 'bird'), 4)
    """
    name = "PHL" if levels == 1 else f"N{levels}HL"
    model = {
        "trunk": {"backbone": _architecture(backbone), "until": until},
        "levels": levels,
        "block": block,
        "budget": budget,
        "input_size": input_size,
        **({} if in_chans is None else {"in_chans": in_chans}),
    }
    try:
        spec = ModelSpec.model_validate(model)
    except ValidationError as error:
        raise SpecError(misfit(error), place="network") from None
    loaded = _loaded(taxonomy, groups)
    loaded = replace(loaded, spec=loaded.spec.model_copy(update={"models": {name: spec}}), _nestings={})
    source = render(plan_models(loaded), loaded.path.name)
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]  # a module of its own, so that networks can be pickled
    built = network_of(source, name, Path(f"network_{digest}.py")).cls(pretrained=pretrained)
    if isinstance(backbone, nn.Module):
        copy_trunk(built, backbone.state_dict(), place=type(backbone).__name__)
    built.source = source  # type: ignore[assignment]
    return built


def _loaded(taxonomy: Classes, groups: Mapping[str, Any] | None) -> Taxonomy:
    if isinstance(taxonomy, Taxonomy | str | Path) or (isinstance(taxonomy, Mapping) and "classes" in taxonomy):
        if groups is not None:
            raise SpecError("groups go with a list of classes", expected="'sources: [{groups: …}]' in the taxonomy")
        return taxonomy if isinstance(taxonomy, Taxonomy) else load_taxonomy(taxonomy)
    names = {key: name for key, name in taxonomy.items() if key != name} if isinstance(taxonomy, Mapping) else {}
    by_hand = [{"groups": groups}] if groups is not None else []
    return load_taxonomy(
        {
            "name": "network",
            "classes": list(taxonomy),
            "names": names,
            "sources": [*by_hand, "imagenet-superclass", "wordnet"],
            "unplaced": "root",
        }
    )


def _architecture(backbone: str | nn.Module) -> str:
    if isinstance(backbone, str):
        return backbone
    config = getattr(backbone, "pretrained_cfg", None)
    name = config.get("architecture") if isinstance(config, Mapping) else None
    if not isinstance(name, str):
        raise HiergenError(
            f"a backbone of type {type(backbone).__name__} is no timm model", expected="a name of timm's, or its model"
        )
    return name
