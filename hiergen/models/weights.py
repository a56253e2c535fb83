"""Weights of networks: saved with what they are of, and loaded only where they belong; a trunk's from a backbone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from timm.models import adapt_input_conv
from torch import Tensor, nn

from hiergen._version import __version__
from hiergen.console.terminal import command
from hiergen.errors import HiergenError, quoted, unquoted
from hiergen.models.weightsfile import FORMAT, CutoutProvenance, WeightsFile, read_weights, write_tensors
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.trunk import stages, trunk_model

_SHORT = 12  # hex digits of a hash in a message


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
    """Copy a file's weights into the network; before an error nothing is copied.

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
            hint=differs or f"all shapes fit: if only names changed, {convert} drops the taxonomy",
        )
    if differs:
        model = f" ({_word(file.metadata['model'])})" if file.metadata else ""
        raise HiergenError(
            f"are weights of another model{model} than {type(network).__name__}", place=place, hint=differs
        )
    network.load_state_dict(dict(file.tensors))
    return file


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


_PREFIXES = ("", "trunk.model.", "model.", "module.", "backbone.")


def load_trunk(network: HierarchicalNetwork, path: str | Path) -> None:
    """Copy the trunk's part of a flat backbone's weights (safetensors, timm's names), or of a network's of ours; those
    for RGB are made to fit the network's channels, as timm does it.

    Raises HiergenError for a file without the trunk's tensors, or with other shapes; then nothing is copied.
    """
    _load(network.trunk.model, path, network.trunk.backbone)


def flat_backbone(network: HierarchicalNetwork, path: str | Path) -> nn.Module:
    """The trunk's backbone with all of its stages, and these weights; its classifier is left out.

    Raises HiergenError as `load_trunk` does.
    """
    backbone = network.trunk.backbone
    model, _ = trunk_model(backbone, stages(backbone)[-1].name, pretrained=False, input_size=network.input_size)
    _load(model, path, backbone)
    return model


def copy_trunk(network: HierarchicalNetwork, state: Mapping[str, Tensor], *, place: str) -> None:
    """Copy the trunk's part of a flat backbone's state dict. Raises HiergenError as `load_trunk` does."""
    _copy(network.trunk.model, state, network.trunk.backbone, place)


def _load(model: nn.Module, path: str | Path, backbone: str) -> None:
    file = read_weights(path)
    _copy(model, file.tensors, backbone, unquoted(file.path))


def _first_convs(model: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The first convolutions' weights of a model for RGB made to fit another number of channels, as timm does it."""
    names = cast("dict[str, Any]", model.pretrained_cfg).get("first_conv") or ()
    state, fitting = model.state_dict(), {}
    for name in (names,) if isinstance(names, str) else names:
        ours, other = state.get(f"{name}.weight"), tensors.get(f"{prefix}{name}.weight")
        if ours is not None and other is not None and other.ndim == 4 and ours.shape[1] != other.shape[1] == 3:
            fitting[f"{prefix}{name}.weight"] = adapt_input_conv(ours.shape[1], other)
    return fitting


def _copy(model: nn.Module, tensors: Mapping[str, Tensor], backbone: str, place: str) -> None:
    state = model.state_dict()
    # batch counters are no weights, and some files lack them
    needed = [name for name in state if not name.endswith("num_batches_tracked")]
    prefix = max(_PREFIXES, key=lambda p: sum(f"{p}{name}" in tensors for name in needed))
    missing = [name for name in needed if f"{prefix}{name}" not in tensors]
    if missing:
        raise HiergenError(
            f"are no weights of the backbone {quoted(backbone)}",
            place=place,
            expected=f"timm's names, such as {quoted(missing[0])}",
            got=f"{len(missing)} of {len(needed)} tensors missing",
        )
    tensors = {**tensors, **_first_convs(model, tensors, prefix)}
    for name in needed:
        if state[name].shape != (shape := tensors[f"{prefix}{name}"].shape):
            raise HiergenError(
                f"are weights of another backbone than {quoted(backbone)}",
                place=place,
                expected=f"{quoted(name)} of shape {tuple(state[name].shape)}",
                got=str(tuple(shape)),
            )
    copied = {name: tensors[f"{prefix}{name}"] for name in state if f"{prefix}{name}" in tensors}
    model.load_state_dict({**state, **copied})
