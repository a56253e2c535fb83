"""The job of `hiergen export`: a model that a user names → a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.export.onnx import packages, to_onnx
from hiergen.export.pt2 import to_pt2
from hiergen.export.safetensors import to_safetensors
from hiergen.export.trace import Exported, batch_size
from hiergen.models import ModelRef, find_model, load_network
from hiergen.weightsfile import read_weights

if TYPE_CHECKING:
    from hiergen.weightsfile import Provenance

FORMATS = ("onnx", "pt2", "safetensors")


def export(
    model: str | Path,
    path: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    format: str | None = None,
    batch: int | None = None,
    opset: int | None = None,
) -> Exported:
    """Export a network or a cutout by its name, with these weights or a cutout's own; else with random ones.

    `format` may be left out where the path's ending says it; without a path the file is called as the model, in this
    folder. Raises HiergenError as `find_model`, `load_weights` and the exporters do.
    """
    target = None if path is None else Path(path)
    kind = _format(format, target)
    if kind == "onnx":
        packages()  # before any work
    batch_size(batch)
    for option, value, kinds in (("batch", batch, ("onnx", "pt2")), ("opset", opset, ("onnx",))):
        if value is not None and kind not in kinds:
            raise HiergenError(f"{kind} has no {option}", expected=f"--{option} with {' or '.join(kinds)}")
    found = find_model(model)
    source = Path(weights) if weights is not None else found.weights
    target = _target(found, kind, target)
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise HiergenError("are the weights themselves", place=str(target), hint="name another file with -o")
    provenance = _provenance(source)
    network = load_network(model, weights)
    if kind == "onnx":
        return to_onnx(network, target, batch=batch, opset=opset, provenance=provenance)
    if kind == "pt2":
        return to_pt2(network, target, batch=batch, provenance=provenance)
    return to_safetensors(network, target, provenance=provenance)


def _format(format: str | None, path: Path | None) -> str:
    ending = path.suffix.removeprefix(".") if path is not None and not path.is_dir() else ""
    if format is None and not ending:
        raise HiergenError("no format given", expected=f"--format {'|'.join(FORMATS)}, or a file that ends in one")
    kind = format or ending
    if kind not in FORMATS:
        raise HiergenError(
            f"no format {quoted(kind)}", expected=f"one of {', '.join(FORMATS)}", nearest=nearest(kind, FORMATS)
        )
    if ending and ending != kind:
        raise HiergenError(f"is no name for {kind}", place=str(path), expected=f"a file that ends in .{kind}")
    return kind


def _target(found: ModelRef, kind: str, path: Path | None) -> Path:
    """The file to write: that path; or the model's name, in that folder, the cutout's, or this one."""
    if path is not None and path.suffix and not path.is_dir():
        return path
    if found.weights is not None:
        folder, name = found.weights.parent, found.weights.stem
    else:
        folder, name = Path(), found.registered or found.name.lower()
    return (path or folder) / f"{name}.{kind}"


def _provenance(source: Path | None) -> Provenance | None:
    return None if source is None else read_weights(source).provenance
