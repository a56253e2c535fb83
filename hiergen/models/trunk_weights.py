"""A trunk's weights from a file, for machines without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from hiergen.errors import HiergenError, quoted
from hiergen.models.weightsfile import read_weights
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.trunk import stages, trunk_model

_PREFIXES = ("", "trunk.model.", "model.", "module.", "backbone.")


def load_trunk(network: HierarchicalNetwork, path: str | Path) -> None:
    """Copy the trunk's part of a flat backbone's weights (safetensors, timm's names), or of a network's of ours.

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
    _copy(model, file.tensors, backbone, quoted(file.path)[1:-1])


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
