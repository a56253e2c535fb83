"""PyTorch checkpoints → safetensors, without running what a pickle may hold."""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hiergen.errors import HiergenError, OutputError, quoted, unquoted
from hiergen.models.weightsfile import is_pickle, read_bytes, read_weights, write_tensors

if TYPE_CHECKING:
    from hiergen.models.likeness import Likeness

# Where training scripts keep weights in a checkpoint, in timm's order of preference: averaged ones first.
_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
# Tensors may share memory (tied weights), and one number may stand for many (expand): so many times the file's size
_SHARED, _LITTLE = 4, 1 << 24
# What torch's unpickler raises for bytes that are no checkpoint; AssertionError in the format before zips
_DAMAGED = (
    *(
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        OSError,
        RuntimeError,
        MemoryError,
    ),
    *(AssertionError, struct.error),
)
# What torch's unpickler calls with anything: one number makes it as large as that, ten codecs a thousand times larger
_GROWING = {b"builtins\nbytearray\n", b"__builtin__\nbytearray\n", b"_codecs\nencode\n"}
_PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")  # torch.compile around or inside DistributedDataParallel


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote. `key` is where the checkpoint kept the weights, None if it is nothing but weights.
    `likeness` says how tensors got timm's names, where `like` asked for them."""

    path: Path
    key: str | None
    tensors: int
    params: int
    likeness: Likeness | None = None


def convert(source: str | Path, target: str | Path, *, use_ema: bool = True, like: str | None = None) -> Converted:
    """Write a checkpoint's weights as plain safetensors; averaged weights are preferred, as timm does.

    A pickle is read with `torch.load(weights_only=True)`: tensors and plain values, no code. A safetensors file loses
    its metadata, and with it the claim to a taxonomy. `like` is a timm model: weights of another implementation get its
    names, as `hiergen.models.likeness.matched` finds them. Raises HiergenError for a file that holds anything else or
    is not whole, OutputError for a target that is the source or cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise OutputError("is no name for weights", place=unquoted(target), expected="a name ending in .safetensors")
    raw = read_bytes(source)
    if target.exists() and target.samefile(source):
        raise OutputError("is the file to convert", place=unquoted(target), expected="another path")
    tensors, key = _state(raw, source, use_ema)
    likeness = None
    if like is not None:
        from hiergen.models.likeness import matched

        tensors, likeness = matched(tensors, like, unquoted(source), ordered=is_pickle(raw))
    digest = hashlib.sha256(raw).hexdigest()
    write_tensors(tensors, target, {"format": "pt", "converted_from_sha256": digest})
    return Converted(target, key, len(tensors), sum(t.numel() for t in tensors.values()), likeness)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The weights in a safetensors file or a PyTorch checkpoint, read as `convert` does, averaged ones first."""
    path = Path(path)
    return _state(read_bytes(path), path, True)[0]


def _state(raw: bytes, source: Path, use_ema: bool) -> tuple[dict[str, Tensor], str | None]:
    if is_pickle(raw):
        return _weights(read_pickle(raw, source), source, use_ema, len(raw))
    return dict(read_weights(source).tensors), None


def read_pickle(raw: bytes, source: Path) -> Any:
    """What a checkpoint's bytes hold, without running code. Raises HiergenError for anything but tensors and plain
    values, and for a file that unpacks to more than it has."""
    _check_sizes(raw, source)
    for name in _GROWING:
        if name in raw:
            raise _more_than_weights(unquoted(source), name.decode().strip().replace("\n", "."))
    return _unpickled(raw, source)


def check_amount(tensors: Iterable[Tensor], size: int, source: Path) -> None:
    """Raises HiergenError for tensors of a file of `size` bytes that would take far more memory than it."""
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors) > _SHARED * size + _LITTLE:
        raise HiergenError(
            "holds tensors that are far larger than the file",
            place=unquoted(source),
            hint="where it was made, save clones: {name: tensor.clone() for name, tensor in ….items()}",
        )


def _check_sizes(raw: bytes, source: Path) -> None:
    """A checkpoint's zip has its tensors as they are. Raises HiergenError for one that would grow when it is read."""
    if not raw.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise _broken(unquoted(source), error, "zipfile") from None  # torch is less strict, and would unpack it
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or sum(m.file_size for m in members) > len(raw):
        raise HiergenError(
            "is a compressed zip, which may unpack to any size",
            place=unquoted(source),
            expected="a file that torch.save wrote",
        )


def _unpickled(raw: bytes, source: Path) -> Any:
    place = unquoted(source)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):  # timm's saved options
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise _more_than_weights(place, named[1] if named else None) from None
    except _DAMAGED as error:
        raise _broken(place, error, "torch") from None


def _more_than_weights(place: str, name: str | None) -> HiergenError:
    return HiergenError(
        "holds more than weights or is not whole, and hiergen runs no code from a pickle",
        place=place,
        expected="tensors and plain values",
        got=quoted(name) if name else None,
        hint="where it was made, save its state_dict() alone",
    )


def _broken(place: str, error: Exception, who: str) -> HiergenError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return HiergenError("is a truncated or corrupt checkpoint", place=place, hint=f"{who} says: {unquoted(reason)}")


def _weights(checkpoint: Any, source: Path, use_ema: bool, size: int) -> tuple[dict[str, Tensor], str | None]:
    """The state dict inside, without the prefixes of wrappers, and its key."""
    place = unquoted(source)
    if not isinstance(checkpoint, Mapping):
        raise HiergenError("holds no state dict", place=place, got=type(checkpoint).__name__)
    keys = [key for key in _KEYS if (use_ema or not key.endswith("_ema")) and checkpoint.get(key) is not None]
    key = next((key for key in keys if isinstance(checkpoint[key], Mapping)), None)
    state = checkpoint if key is None else checkpoint[key]
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            kind = "a sparse tensor" if isinstance(value, Tensor) else type(value).__name__
            raise HiergenError(
                f"holds {quoted(name)}, which is no weight",
                place=f"{place}{'' if key is None else f' ({key})'}",
                expected="names and dense tensors",
                got=kind,
            )
        clean = name
        for prefix in _PREFIXES:
            clean = clean.removeprefix(prefix)
        tensors[clean] = value.detach()
    if not tensors:
        raise HiergenError("holds no weights", place=place)
    check_amount(tensors.values(), size, source)
    # a clone shares with no other
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}, key
