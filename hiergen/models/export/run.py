"""The job of `hiergen export`: a model that a user names → a file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.files import replacing
from hiergen.models.export.onnx import packages, to_onnx
from hiergen.models.export.trace import BATCHES, Exported, batch_size, compare, describe, program, quiet, ready
from hiergen.models.load import ModelRef, find_model, load_network
from hiergen.models.weights import save_weights
from hiergen.models.weightsfile import read_weights
from hiergen.nn.network import HierarchicalNetwork

if TYPE_CHECKING:
    from hiergen.models.weightsfile import CutoutProvenance


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
    exporter = EXPORTERS[kind]
    exporter.prepare()  # before any work
    batch_size(batch)
    options = {name: value for name, value in (("batch", batch), ("opset", opset)) if value is not None}
    for option in options.keys() - set(exporter.options):
        having = " or ".join(name for name, other in EXPORTERS.items() if option in other.options)
        raise HiergenError(f"{kind} has no {option}", expected=f"--{option} with {having}")
    reference = find_model(model)
    source = Path(weights) if weights is not None else reference.weights
    target = _target(reference, kind, target)
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise HiergenError("are the weights themselves", place=str(target), hint="name another file with -o")
    provenance = None if source is None else read_weights(source).provenance
    network = load_network(reference, weights)
    return exporter.write(network, target, provenance=provenance, **options)


def _format(format: str | None, path: Path | None) -> str:
    ending = path.suffix.removeprefix(".") if path is not None and not path.is_dir() else ""
    if format is None and not ending:
        raise HiergenError("no format given", expected=f"--format {'|'.join(EXPORTERS)}, or a file that ends in one")
    kind = format or ending
    if kind not in EXPORTERS:
        raise HiergenError(
            f"no format {quoted(kind)}", expected=f"one of {', '.join(EXPORTERS)}", nearest=nearest(kind, EXPORTERS)
        )
    if ending and ending != kind:
        raise HiergenError(f"is no name for {kind}", place=str(path), expected=f"a file that ends in .{kind}")
    return kind


def _target(reference: ModelRef, kind: str, path: Path | None) -> Path:
    """The file to write: that path; or the model's name, in that folder, the cutout's, or this one."""
    if path is not None and path.suffix and not path.is_dir():
        return path
    if reference.weights is not None:
        folder, name = reference.weights.parent, reference.weights.stem
    else:
        folder, name = Path(), reference.registered or reference.name.lower()
    return (path or folder) / f"{name}.{kind}"


METADATA = "hiergen.json"


def to_pt2(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    batch: int | None = None,
    provenance: CutoutProvenance | None = None,
) -> Exported:
    """Write the network as `torch.export` traced it, with `describe`'s metadata as its extra file hiergen.json.

    `batch` None leaves the batch size open. The file is loaded, run and compared as an ONNX file is. Raises
    HiergenError for a trunk that cannot be traced, a batch size that cannot be, and logits that differ.
    """
    path = Path(path)
    batch_size(batch)
    batches = BATCHES if batch is None else (batch,)
    with ready(network) as net, replacing(path) as temporary, quiet():
        traced = program(net, batch)
        extra = {METADATA: json.dumps(describe(network, provenance), ensure_ascii=False)}
        buffer = io.BytesIO()  # torch ends the whole process where a file cannot be written
        torch.export.save(traced, buffer, extra_files=extra)
        # no view of it is left in an error's frames: the garbage collector of Python 3.12.1 crashes on those
        with temporary.open("wb") as out, buffer.getbuffer() as written:
            out.write(written)
        with temporary.open("rb") as file:
            again = torch.export.load(file).module()
        difference = compare(net, again, batches, "the exported program")
    nodes = sum(node.op == "call_function" for node in traced.graph.nodes)
    return Exported(
        path,
        "pt2",
        (path,),
        path.stat().st_size,
        f"torch {torch.__version__}",
        batches,
        nodes=nodes,
        dynamic=batch is None,
        difference=difference,
    )


def to_safetensors(
    network: HierarchicalNetwork, path: str | Path, *, provenance: CutoutProvenance | None = None
) -> Exported:
    """Write the state dict as `hiergen.models.weights.save_weights` does, and read it again. Raises as that does."""
    path = Path(path)
    if any(tensor.is_meta for tensor in network.state_dict().values()):
        raise HiergenError(f"{type(network).__name__} is on the meta device and has no weights")
    save_weights(network, path, provenance=provenance)
    read_weights(path)  # its checksum is over every tensor
    return Exported(path, "safetensors", (path,), path.stat().st_size, "safetensors")


@dataclass(frozen=True)
class Exporter:
    """One format of networks: `write` takes a network, a path, its provenance and `options`; `prepare` fails early."""

    write: Callable[..., Exported]
    options: tuple[str, ...] = ()
    prepare: Callable[[], object] = lambda: None


EXPORTERS = {
    "onnx": Exporter(to_onnx, ("batch", "opset"), packages),
    "pt2": Exporter(to_pt2, ("batch",)),
    "safetensors": Exporter(to_safetensors),
}
