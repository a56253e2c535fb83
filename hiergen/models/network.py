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
from hiergen.models.module_network import Depth, Tail, module_network
from hiergen.models.weights import copy_trunk
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_taxonomy import plan_models
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.modelspec import ModelSpec
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.specfile import misfit
from hiergen.taxonomy.yamlfile import Document, Key

Classes: TypeAlias = Taxonomy | str | Path | Mapping[str, Any] | Iterable[str]


def network(
    what: Classes | nn.Module | None = None,
    /,
    taxonomy: Classes | Nesting | None = None,
    *,
    groups: Mapping[str, Any] | None = None,
    levels: int = 2,
    model: str | None = None,
    backbone: str | nn.Module = "resnet50",
    until: str | None = None,
    depth: Depth | None = None,
    tail: Tail | None = None,
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

    `network(module, until="layer3", taxonomy=…)` builds on any module whose children run one after the other, such as
    torchvision's: the trunk is a copy of its children up to `until` (`features.13` lies in an `nn.Sequential`), and
    every branch starts as a copy of the blocks between that and the pooling: the first of each later child, or with
    `depth="all"` every one (default: where there are more levels than first ones). `tail` names the modules of each
    level in their place. The classifier's rows are copied where it has one for each class. `taxonomy` may be a
    `Nesting` too; `model` is one of the taxonomy's models, in place of `levels`. The module itself stays as it is. Such
    a network has no source.
    Raises HiergenError for classes, groups, a backbone or a budget that cannot be, and a module whose children do not
    compute what it does.

    >>> pets = network(["cat", "dog", "hen", "goose"], backbone="resnet18", groups={"bird": ["hen", "goose"]})
    >>> pets.nesting.names(1), pets.num_classes
    (('carnivore', 'bird'), 4)
    """
    if isinstance(what, nn.Module):
        others = {"backbone": backbone != "resnet50", "block": block, "budget": budget, "pretrained": pretrained}
        if wrong := [option for option, value in others.items() if value]:
            raise HiergenError(f"a network on a module has no {wrong[0]}", hint="its branches are the module's blocks")
        return _on_module(what, until, taxonomy, groups, levels, model, input_size, in_chans, depth, tail)
    if wrong := [option for option, value in (("model", model), ("depth", depth), ("tail", tail)) if value is not None]:
        raise HiergenError(f"{wrong[0]} goes with a module", expected="network(module, until=…, taxonomy=…)")
    if (what is None) == (taxonomy is None) or isinstance(taxonomy, Nesting):
        raise HiergenError("a network needs one taxonomy", expected="network(TAXONOMY, …) or network(MODULE, …)")
    taxonomy = taxonomy if what is None else what
    assert taxonomy is not None
    name = "PHL" if levels == 1 else f"N{levels}HL"
    wanted = {
        "trunk": {"backbone": _architecture(backbone), "until": until},
        "levels": levels,
        "block": block,
        "budget": budget,
        "input_size": input_size,
        **({} if in_chans is None else {"in_chans": in_chans}),
    }
    try:
        spec = ModelSpec.model_validate(wanted)
    except ValidationError as error:
        raise SpecError(misfit(error), place="network") from None
    loaded = _loaded(taxonomy, groups)
    models = loaded.spec.model_copy(update={"models": {name: spec}})
    loaded = replace(loaded, spec=models, document=_Arguments(loaded.document), _nestings={})
    source = render(plan_models(loaded), loaded.path.name)
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]  # a module of its own, so that networks can be pickled
    built = network_of(source, name, Path(f"network_{digest}.py")).cls(pretrained=pretrained)
    if isinstance(backbone, nn.Module):
        copy_trunk(built, backbone.state_dict(), place=type(backbone).__name__)
    built.source = source  # type: ignore[assignment]
    return built


class _Arguments(Document):
    """A taxonomy's document whose model is `network`'s arguments: errors in it are at these."""

    def __init__(self, taxonomy: Document) -> None:
        super().__init__(taxonomy.path, taxonomy.data, {})
        self._taxonomy = taxonomy

    def place(self, key: Key) -> str:
        if key[:1] != ("models",):
            return self._taxonomy.place(key)
        return ".".join(map(str, (part for part in key[2:] if part != "trunk"))) or "network"


def _on_module(
    module: nn.Module,
    until: str | None,
    taxonomy: Classes | Nesting | None,
    groups: Mapping[str, Any] | None,
    levels: int,
    model: str | None,
    input_size: int | str | Sequence[int] | None,
    in_chans: int | None,
    depth: Depth | None,
    tail: Tail | None,
) -> HierarchicalNetwork:
    if until is None or taxonomy is None:
        missing = "until" if until is None else "taxonomy"
        raise HiergenError(f"a network on a module needs {missing}", expected="network(module, until=…, taxonomy=…)")
    images = {"input_size": input_size, **({} if in_chans is None else {"in_chans": in_chans})}
    try:
        spec = ModelSpec.model_validate({"levels": levels, **images})
    except ValidationError as error:
        raise SpecError(misfit(error), place="network") from None
    if isinstance(taxonomy, Nesting):
        nesting = taxonomy
    else:
        loaded = _loaded(taxonomy, groups)
        nesting = loaded.nesting(model) if model is not None else loaded.nesting_of(levels)
    height, width = spec.input_size or (224, 224)
    size = (spec.in_chans, height, width)
    return module_network(module, until, nesting, input_size=size, depth=depth, tail=tail)


def _loaded(taxonomy: Classes, groups: Mapping[str, Any] | None) -> Taxonomy:
    if isinstance(taxonomy, Taxonomy | str | Path) or (isinstance(taxonomy, Mapping) and "classes" in taxonomy):
        if groups is not None:
            raise SpecError("groups go with a list of classes", expected="'sources: [{groups: …}]' in the taxonomy")
        return taxonomy if isinstance(taxonomy, Taxonomy) else load_taxonomy(taxonomy)
    names = {key: name for key, name in taxonomy.items() if key != name} if isinstance(taxonomy, Mapping) else {}
    by_hand = [{"groups": groups}] if groups is not None else []
    content = {
        "name": "network",
        "classes": list(taxonomy),
        "names": names,
        "sources": [*by_hand, "imagenet-superclass", "wordnet"],
        "unplaced": "root",
    }
    try:
        return load_taxonomy(content)
    except HiergenError as error:  # the list of sources is ours
        error.place, error.hint = (
            text and text.replace("taxonomy.sources.0.", "") for text in (error.place, error.hint)
        )
        raise


def _architecture(backbone: str | nn.Module) -> str:
    if isinstance(backbone, str):
        return backbone
    config = getattr(backbone, "pretrained_cfg", None)
    name = config.get("architecture") if isinstance(config, Mapping) else None
    if not isinstance(name, str):
        raise HiergenError(
            f"a backbone of type {type(backbone).__name__} is no timm model",
            expected="a name of timm's, or its model",
            hint="network(module, until=…, taxonomy=…) takes any module",
        )
    return name
