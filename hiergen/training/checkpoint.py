"""Everything that a training needs to go on as if nothing had happened, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hiergen.errors import HiergenError, quoted, unquoted
from hiergen.models.weights import identity, taxonomy_hash
from hiergen.models.weightsfile import read_weights, write_tensors
from hiergen.nn.network import HierarchicalNetwork

_STATE, _NETWORK, _AVERAGE, _OPTIMIZER = "training", "network.", "average.", "optimizer."


@dataclass(frozen=True)
class Checkpoint:
    """A training's state: `state` is plain JSON data (step, history, …), the rest are tensors by name."""

    state: dict[str, Any]
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def save_checkpoint(
    path: Path,
    network: HierarchicalNetwork,
    *,
    weights: dict[str, Tensor],
    average: dict[str, Tensor] | None,
    optimizer: dict[str, Any],
    state: dict[str, Any],
) -> None:
    """Write one file beside `path` and rename it: tensors, and the JSON `state` in its metadata, under one checksum.

    `optimizer` is its state dict. Raises OutputError where it cannot be written; the file before it stays.
    """
    tensors = {f"{_NETWORK}{name}": _plain(tensor) for name, tensor in weights.items()}
    tensors |= {f"{_AVERAGE}{name}": _plain(tensor) for name, tensor in (average or {}).items()}
    values: dict[str, dict[str, Any]] = {}
    for index, entries in optimizer["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{index}.{name}"] = _plain(value)
            else:
                values.setdefault(str(index), {})[name] = value
    groups = [{**group, "params": list(group["params"])} for group in optimizer["param_groups"]]
    try:
        text = json.dumps({**state, "optimizer": {"groups": groups, "values": values}}, allow_nan=True)
    except TypeError as error:
        raise HiergenError(f"this optimizer's state cannot be saved ({error})", hint="choose another one") from None
    write_tensors(tensors, path, {**identity(network), _STATE: text})


def load_checkpoint(path: Path, network: HierarchicalNetwork) -> Checkpoint:
    """Read a checkpoint whole. Raises HiergenError for a damaged file, or one of another network."""
    file = read_weights(path)
    place = unquoted(path)
    if _STATE not in file.metadata:
        raise HiergenError("is no checkpoint of a training", place=place, expected="a file that 'hiergen train' wrote")
    if file.metadata["taxonomy_sha256"] != taxonomy_hash(network):
        raise HiergenError(
            f"is of another taxonomy than {type(network).__name__} has now",
            place=place,
            hint="the model's file was changed since; build the earlier one again, or start anew",
        )
    parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in (_NETWORK, _AVERAGE, _OPTIMIZER)}
    for name, tensor in file.tensors.items():
        prefix = next((p for p in parts if name.startswith(p)), None)
        if prefix is None:
            raise HiergenError(f"is corrupt: {quoted(name)} belongs to nothing", place=place)
        parts[prefix][name.removeprefix(prefix)] = tensor
    try:
        state = json.loads(file.metadata[_STATE])
    except (ValueError, RecursionError):
        raise HiergenError("is corrupt: its state is no JSON", place=place) from None
    return Checkpoint(state, *parts.values())


def optimizer_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """The state dict to load."""
    saved = checkpoint.state["optimizer"]
    state: dict[int | str, dict[str, Any]] = {_numbered(i): dict(values) for i, values in saved["values"].items()}
    for name, tensor in sorted(checkpoint.optimizer.items()):
        index, _, key = name.rpartition(".")
        state.setdefault(_numbered(index), {})[key] = tensor
    # tuples became lists
    groups = [
        {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
        for group in saved["groups"]
    ]
    return {"state": state, "param_groups": groups}


def _numbered(index: str) -> int | str:
    """A parameter's number, or its name."""
    return int(index) if index.isdecimal() else index


def _plain(tensor: Tensor) -> Tensor:
    # a copy: shared memory would be refused, and the training goes on
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
