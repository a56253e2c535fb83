"""Safetensors files, read whole and checked, and written with hiergen's metadata."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from hiergen._version import __version__
from hiergen.errors import HiergenError, nearest, unquoted
from hiergen.files import check_replaceable, put, reason, staging, writing
from hiergen.nn.generalist import FORMS
from hiergen.nn.rejection import Rejection

FORMAT = "hiergen"
_WANTED = ("format", "hiergen_version", "model", "taxonomy_sha256", "classes")
_CHECKSUM = "content_sha256"


@dataclass(frozen=True)
class CutoutProvenance:
    """Where a cutout comes from. `source_weights` is the sha256 of the full network's file, None if untrained."""

    source_model: str
    source_taxonomy: str
    source_weights: str | None
    kept: tuple[str, ...]
    hiergen: str = __version__


@dataclass(frozen=True)
class WeightsFile:
    """A safetensors file, read and whole; `metadata` is empty unless hiergen wrote it."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class ids in the order of the logits; () in a file that does not say."""
        return tuple(json.loads(self.metadata.get("classes", "[]")))

    @property
    def provenance(self) -> CutoutProvenance | None:
        """Of a cutout's weights."""
        if "cutout" not in self.metadata:
            return None
        fields = json.loads(self.metadata["cutout"])
        return CutoutProvenance(**{**fields, "kept": tuple(fields["kept"])})

    @property
    def rejection(self) -> Rejection | None:
        """Which images show none of the classes."""
        text = self.metadata.get("rejection")
        return None if text is None else Rejection.of(json.loads(text))


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """A safetensors file, written beside `path` and renamed; metadata of hiergen's gets a checksum over all content.

    The same content gives the same bytes. Raises OutputError when the file cannot be written.
    """
    metadata = dict(metadata)
    if metadata.get("format") == FORMAT:
        metadata[_CHECKSUM] = _checksum(tensors, metadata)
    check_replaceable(path)
    # in a folder, as safetensors has unfinished files of its own, under other names
    with staging(path) as folder, writing(path):
        temporary = folder / "weights"
        try:
            safetensors.torch.save_file(dict(tensors), temporary, metadata)
        except SafetensorError as error:  # it holds what the system says: no space left, …
            raise OSError(_system_says(error)) from error
        _sort_metadata(temporary)
        put(temporary, path)


def read_weights(path: str | Path) -> WeightsFile:
    """Read a safetensors file whole and check it. Raises HiergenError as `load_weights` does."""
    path = Path(path)
    raw = read_bytes(path)
    place = unquoted(path)
    if is_pickle(raw):
        raise HiergenError(
            "is a pickle (a PyTorch checkpoint), which can run any code when it is read",
            place=place,
            expected="safetensors",
            hint=f"to read its weights and nothing else: {convert_command(path)}",
        )
    try:
        tensors = safetensors.torch.load(raw)
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    except (SafetensorError, ValueError, KeyError, RuntimeError, RecursionError) as error:
        raise HiergenError(
            f"is {_damage(raw)}",
            place=place,
            expected="a whole safetensors file",
            got=f"{len(raw):,} bytes",
            hint=f"safetensors says: {unquoted(str(error).splitlines()[0])}" if str(error) else None,
        ) from None
    metadata = header.get("__metadata__") or {}
    if not {*_WANTED[3:], _CHECKSUM} & set(metadata) and metadata.get("format") != FORMAT:
        metadata = {}  # another tool's
    elif problem := _bad_metadata(metadata, tensors):
        raise HiergenError(f"is corrupt: {problem}", place=place, hint="take another copy of the file")
    return WeightsFile(path, hashlib.sha256(raw).hexdigest(), tensors, metadata)


def read_bytes(path: Path) -> bytes:
    """A regular file's bytes. Raises HiergenError for a missing, unreadable or special file."""
    place = unquoted(path)
    try:
        if path.is_dir():
            raise HiergenError("is a directory", place=place, expected="a file of weights")
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            raise HiergenError("is not a regular file", place=place)
        return path.read_bytes()
    except FileNotFoundError:
        beside = sorted(p.name for p in path.parent.glob("*") if p.suffix in {path.suffix, ".safetensors"})
        close = [unquoted(path.parent / name) for name in nearest(path.name, beside)]
        raise HiergenError("no such file", place=place, nearest=close) from None
    except (OSError, ValueError) as error:
        raise HiergenError(f"cannot be read ({reason(error)})", place=place) from None


def is_pickle(raw: bytes) -> bool:
    """Whether these are a PyTorch checkpoint's bytes: a zip archive, or a pickle of its older format."""
    if raw[8:9] == b"{":
        return False
    return raw.startswith(b"PK\x03\x04") or (raw[:1] == b"\x80" and raw[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"})


def convert_command(path: Path) -> str:
    """The command that turns a checkpoint into safetensors."""
    before, after = (shlex.quote(unquoted(p)) for p in (path, path.with_suffix(".safetensors")))
    return f"hiergen convert {before} -o {after}"


def _damage(raw: bytes) -> str:
    """'truncated' where the header says that more bytes belong to the file."""
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 10:
        return "truncated" if raw else "empty"
    if raw[8:9] != b"{" or length > 10**8:
        return "no safetensors file, or corrupt"
    if len(raw) < 8 + length:
        return "truncated"
    try:
        header = json.loads(raw[8 : 8 + length])
        end = max(
            (int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"), default=0
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError):
        return "corrupt"
    return "truncated" if len(raw) < 8 + length + end else "corrupt"


def _bad_metadata(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the metadata of a file of ours."""
    if missing := [key for key in (*_WANTED, _CHECKSUM) if key not in metadata]:
        return f"its metadata has no {' and no '.join(missing)}"
    if _checksum(tensors, metadata) != metadata[_CHECKSUM]:
        return "its content is not what was saved"
    try:
        classes, cutout = json.loads(metadata["classes"]), json.loads(metadata.get("cutout", "null"))
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            return "its metadata's classes are no list of names"
        if cutout is not None:
            CutoutProvenance(**{**cutout, "kept": tuple(cutout["kept"])})
        choice = json.loads(metadata.get("choice", "{}"))
        if not isinstance(choice, dict) or not {metadata.get("form", FORMS[0]), *choice.values()} <= set(FORMS):
            return f"its metadata's form or choice is none of {', '.join(FORMS)}"
        if "rejection" in metadata:
            Rejection.of(json.loads(metadata["rejection"]))
    except HiergenError as error:
        return f"in its metadata, {error}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return "its metadata cannot be read"
    return None


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """sha256 over the metadata and the tensors' names, types, shapes and bytes."""
    entries = sorted((key, value) for key, value in metadata.items() if key != _CHECKSUM)
    digest = hashlib.sha256(json.dumps(entries).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name!r} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _system_says(error: SafetensorError) -> str:
    """'No space left on device' out of 'Error while serializing: I/O error: No space left on device (os error 28)'."""
    match = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(match[1])) if match else str(error)


def _sort_metadata(path: Path) -> None:
    """safetensors writes its metadata in random order; sorted, the same weights are the same bytes."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
        assert len(text) == length
        file.seek(8)
        file.write(text)
