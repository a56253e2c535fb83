"""Weights of networks: saved with what they are of, and loaded only where they belong; a trunk's from a backbone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from hiergen._version import __version__
from hiergen.console.terminal import command
from hiergen.errors import HiergenError, PlanError, quoted, unquoted
from hiergen.models.convert import read_state
from hiergen.models.weightsfile import FORMAT, CutoutProvenance, WeightsFile, read_weights, write_tensors
from hiergen.nn.flat import FlatTail, fitting, flat_state, load_flat
from hiergen.nn.generalist import Form, Generalist
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.replicas import ReplicaStage
from hiergen.nn.trunk import make_model, stages, trunk_model

_SHORT = 12  # hex digits of a hash in a message
_TAKES_OVER = "'hiergen train --weights FOLDER', the folder of these, takes over what has the same names"


def taxonomy_hash(network: HierarchicalNetwork) -> str:
    """sha256 over the classes and the nested taxonomy, as JSON without blanks. Order counts: it is that of logits
    and branches."""
    content = {"classes": list(network.classes), "taxonomy": network.taxonomy}
    return hashlib.sha256(json.dumps(content, separators=(",", ":"), default=dict).encode()).hexdigest()


def identity(network: HierarchicalNetwork, model: str | None = None) -> dict[str, str]:
    """The metadata that says what a file of ours belongs to; `model` is the class's name, if it is another one."""
    return {
        "format": FORMAT,
        "hiergen_version": __version__,
        "model": model or type(network).__name__,
        "taxonomy_sha256": taxonomy_hash(network),
        "classes": json.dumps(list(network.classes)),
        **({} if network.form == "specialists" else {"form": network.form}),
        **({"choice": json.dumps(dict(network.choice))} if network.choice else {}),
        **({"rejection": json.dumps(asdict(network.rejection))} if network.rejection else {}),
    }


def save_weights(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    model: str | None = None,
    provenance: CutoutProvenance | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state dict as safetensors, with metadata: model (the class's name), taxonomy hash, classes, version.

    `state` is written in place of the network's own (averaged weights, …).

    The same weights give the same bytes. The file is written beside `path` and renamed. Raises OutputError when it
    cannot be written.
    """
    values = network.state_dict() if state is None else state
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in values.items()}
    metadata = identity(network, model)
    if provenance is not None:
        metadata["cutout"] = json.dumps(asdict(provenance))
    write_tensors(tensors, Path(path), metadata)


def load_weights(network: HierarchicalNetwork, path: str | Path) -> WeightsFile:
    """Copy a file's weights into the network, and take its form, choice and rejection; nothing before an error.

    The file is one of `save_weights`, or plain safetensors (as timm writes them) with the same names and shapes.
    Floating point numbers of another precision are cast to the network's, integers likewise; one is never taken for
    the other. Raises HiergenError for a file that is no safetensors file or not whole, and for weights of another
    taxonomy or model.
    """
    file = read_weights(path)
    state = network.state_dict()
    if any(tensor.is_meta for tensor in state.values()):
        raise HiergenError("a network on the meta device has no memory for weights", hint="build it on a real device")
    differs = _difference(state, file.tensors)
    place = unquoted(file.path)
    digest, other = taxonomy_hash(network), file.metadata.get("taxonomy_sha256")
    if other is not None and other != digest:
        convert = command(("hiergen", "convert", place, "-o", "PLAIN.safetensors"))
        raise HiergenError(
            f"are weights of another taxonomy{_first_class(network.classes, file.classes)}",
            place=place,
            expected=f"{digest[:_SHORT]} ({type(network).__name__}, {len(network.classes)} classes)",
            got=f"{_word(other[:_SHORT])} ({_word(file.metadata['model'])}, {len(file.classes)} classes)",
            hint=_other_classes(network.classes, file.classes)
            or (
                differs
                and set(network.classes) & set(file.classes) != set(network.classes)
                and f"{differs}; {_TAKES_OVER}"
            )
            or differs
            or f"all shapes fit: if only names changed, {convert} drops the taxonomy",
        )
    if differs:
        name, trained = type(network).__name__, _word(file.metadata["model"]) if file.metadata else ""
        problem = f"are weights of another model{f' ({trained})' if trained else ''} than {name}"
        if trained == name:
            problem = f"are weights of {name} before it was built anew, otherwise"
        raise HiergenError(problem, place=place, hint=differs)
    network.form = cast("Form", file.metadata.get("form", "specialists"))
    network.load_state_dict(dict(file.tensors))
    network.choice = json.loads(file.metadata.get("choice", "{}"))
    network.rejection = file.rejection
    return file


def _other_classes(ours: Sequence[str], theirs: Sequence[str]) -> str | None:
    """What to do where the classes are others."""
    if set(theirs) < set(ours):
        return f"'hiergen grow' adds classes to the network that they are of; {_TAKES_OVER}"
    if set(ours) < set(theirs):
        return f"'hiergen shrink' takes classes out of the network that they are of; {_TAKES_OVER}"
    return None


def _difference(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """The first key that differs, and how many are missing or unexpected; None where all fit."""
    missing = [name for name in state if name not in tensors]
    unexpected = [name for name in tensors if name not in state]
    texts = [text for name, tensor in state.items() if (text := _misfit(name, tensor, tensors.get(name)))]
    texts += [f"{quoted(name)} is unexpected" for name in unexpected]
    if not texts:
        return None
    counts = f"{len(missing)} keys missing, {len(unexpected)} unexpected" if missing or unexpected else "all keys there"
    return f"first difference: {texts[0]} ({len(texts)} in all, {counts})"


def _misfit(name: str, ours: Tensor, other: Tensor | None) -> str | None:
    if other is None:
        return f"{quoted(name)} is missing"
    if ours.shape != other.shape:
        return f"{quoted(name)} expected {tuple(ours.shape)}, got {tuple(other.shape)}"
    if ours.is_floating_point() != other.is_floating_point() or ours.is_complex() != other.is_complex():
        return f"{quoted(name)} expected {ours.dtype}, got {other.dtype}"
    return None


def _first_class(ours: Sequence[str], other: Sequence[str]) -> str:
    for i, (a, b) in enumerate(zip(ours, other, strict=False)):
        if a != b:
            return f" (class {i} is {quoted(b)} there, {quoted(a)} here)"
    return ""


def _word(text: str) -> str:
    return unquoted(text)


def load_trunk(network: HierarchicalNetwork, path: str | Path) -> None:
    """Copy the trunk's part of a flat backbone's weights (safetensors or a PyTorch checkpoint, timm's names), or of a
    network's of ours; those for RGB are made to fit the network's channels, as timm does it.

    Raises HiergenError for a file without the trunk's tensors, or with other shapes; then nothing is copied.
    """
    _load(network.trunk.model, path, network.trunk.backbone)


def flat_backbone(network: HierarchicalNetwork, path: str | Path) -> nn.Module:
    """What the trunk's backbone does after the cut, with these weights and their classifier (`FlatTail`).

    Where a file has no classifier, or the backbone cannot be parted so: the backbone with all of its stages, and where
    branches are copies of its blocks with its end as well. Raises HiergenError as `load_trunk` does.
    """
    backbone, state = network.trunk.backbone, read_state(path)
    classifier = network.trunk.pretrained_cfg.get("classifier")
    rows = [t.shape[0] for name, t in state.items() if name.endswith(f"{classifier}.weight")]
    if rows and not network.trunk.tokens and not any(name.startswith("trunk.") for name in state):
        with suppress(PlanError):
            tail = FlatTail(backbone, network.trunk.until, rows[0], input_size=network.input_size)
            cfg = network.trunk.pretrained_cfg
            tail.load_state_dict(fitting(tail.state_dict(), state, backbone, unquoted(Path(path)), cfg))
            return tail
    if has_copies(network):
        model = make_model(backbone, network.input_size, pretrained=False, num_classes=rows[0] if rows else 0)
    else:
        model, _ = trunk_model(backbone, stages(backbone)[-1].name, pretrained=False, input_size=network.input_size)
    _load(model, path, backbone)
    return model


def whole_state(network: HierarchicalNetwork) -> dict[str, Tensor]:
    """The flat network's state dict in timm's names, of a network that has the backbone's whole tail for all classes;
    it shares memory: `timm.create_model(backbone, num_classes=…)` loads it.

    Raises HiergenError for one without, and as `flat_state` does.
    """
    return flat_state(network.trunk, _whole(network))


def load_whole(network: HierarchicalNetwork, state: Mapping[str, Tensor], *, place: str = "the state dict") -> None:
    """Copy a flat network's state dict (timm's names) into the trunk and the branch that is the backbone's whole tail,
    whose logits are then the flat network's; weights for RGB are made to fit the network's channels.

    Raises HiergenError as `whole_state` does, and for a state dict that lacks tensors or has others' shapes; then
    nothing is copied.
    """
    load_flat(network.trunk, _whole(network), state, place)


def _whole(network: HierarchicalNetwork) -> Generalist:
    branch = network.flat or network.generalist
    if branch is None:
        raise HiergenError(
            f"{type(network).__name__} has no branch for all classes",
            expected="'generalist: whole' or 'both' in the taxonomy file",
        )
    return branch


def has_copies(network: HierarchicalNetwork) -> bool:
    """Whether branches are copies of the backbone's blocks."""
    return any(isinstance(part, ReplicaStage) and part.recipe.given is None for part in network.modules())


def copy_trunk(network: HierarchicalNetwork, state: Mapping[str, Tensor], *, place: str) -> None:
    """Copy the trunk's part of a flat backbone's state dict. Raises HiergenError as `load_trunk` does."""
    _copy(network.trunk.model, state, network.trunk.backbone, place)


def _load(model: nn.Module, path: str | Path, backbone: str) -> None:
    _copy(model, read_state(path), backbone, unquoted(Path(path)))


def _copy(model: nn.Module, tensors: Mapping[str, Tensor], backbone: str, place: str) -> None:
    cfg = cast("dict[str, Any]", model.pretrained_cfg)
    model.load_state_dict(fitting(model.state_dict(), tensors, backbone, place, cfg))
