"""ONNX files with class names inside, run in onnxruntime before they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.files import check_replaceable, put, staging, writing
from hiergen.models.export.trace import BATCHES, Exported, batch_size, compare, describe, program, quiet, ready
from hiergen.nn.network import HierarchicalNetwork

if TYPE_CHECKING:
    from hiergen.models.weightsfile import CutoutProvenance

EXTRA = ("onnx", "onnxruntime", "onnxscript")
PROTOBUF_LIMIT = 1_900_000_000  # bytes; a protobuf ends at 2 GiB, weights beyond go to a file beside it
FOLDED_LIMIT = 2**30  # values
OPSETS = (18, 23)  # what torch writes


def to_onnx(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    batch: int | None = None,
    opset: int | None = None,
    provenance: CutoutProvenance | None = None,
) -> Exported:
    """Write `images (batch, C, H, W) → logits (batch, classes)` as ONNX, with `describe`'s metadata.

    `batch` None leaves the batch size open. The file is run in onnxruntime at two batch sizes (or at `batch`) and only
    takes its place if the logits are torch's to 1e-4 of the largest. Weights of more than 1.9 GB go to `<path>.data`.
    Raises HiergenError for missing packages, a batch size or opset that cannot be, and logits that differ.
    """
    path = Path(path)
    batch_size(batch)
    if opset is not None and not OPSETS[0] <= opset <= OPSETS[1]:
        raise HiergenError("no such opset", expected=f"{OPSETS[0]} … {OPSETS[1]}", got=str(opset))
    runtime = packages()
    with ready(network) as net, _beside(path) as temporary, quiet():
        written = _translate(program(net, batch), batch, opset)
        model = written.model
        if opset is not None and model.opset_imports[""] != opset:
            raise HiergenError(f"torch could not write opset {opset}", got=str(model.opset_imports[""]))
        _strip(model)
        model.metadata_props.update(describe(network, provenance))
        size = sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values())
        batches = BATCHES if batch is None else (batch,)
        try:
            written.save(str(temporary), external_data=size > PROTOBUF_LIMIT)
        except ValueError as error:  # the protobuf's own limit
            raise HiergenError("the graph is too large for ONNX", got=str(error).splitlines()[0]) from error
        difference = _run(runtime, temporary, net, batches)
    files = tuple(file for file in (path, _data(path)) if file == path or size > PROTOBUF_LIMIT)
    return Exported(
        path,
        "onnx",
        files,
        sum(file.stat().st_size for file in files),
        f"onnxruntime {runtime.__version__}",
        batches,
        len(model.graph),
        model.opset_imports[""],
        batch is None,
        difference,
    )


def packages() -> Any:
    """onnxruntime. Raises HiergenError with the command that installs what is missing."""
    missing = []
    with quiet():
        for name in EXTRA:
            try:
                runtime = import_module(name)
            except ImportError:
                missing.append(name)
            if name == "onnxruntime" and name not in missing:
                imported = runtime
    if missing:
        raise HiergenError(
            f"ONNX needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            hint="run: pip install 'hiergen[export]'",
        )
    return imported


def _translate(traced: torch.export.ExportedProgram, batch: int | None, opset: int | None) -> Any:
    """torch's ONNXProgram, with every product of constants computed: torch leaves large ones to the runtime."""
    written = torch.onnx.export(
        traced,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},) if batch is None else None,  # the program has it; this is its name
        opset_version=opset,
        dynamo=True,
        verbose=False,
    )
    assert written is not None
    import_module("onnxscript.optimizer").optimize(
        written.model, input_size_limit=FOLDED_LIMIT, output_size_limit=FOLDED_LIMIT
    )
    return written


def _strip(model: Any) -> None:
    """Drop the exporter's stack traces: they name files of this machine and outweigh the graph."""
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()


def _run(runtime: Any, file: Path, network: HierarchicalNetwork, batches: tuple[int, ...]) -> float:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise HiergenError(
            "onnxruntime cannot load what torch wrote",
            got=str(error).strip().splitlines()[0],
            hint="another --opset may help",
        ) from error

    def run(x: Tensor) -> Any:
        return session.run(["logits"], {"images": x.numpy()})[0]

    return compare(network, run, batches, "the ONNX file")


def _data(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A path of that name in a fresh folder beside it; what the block leaves there moves to the path's own folder."""
    check_replaceable(path)
    with writing(path), staging(path) as folder:
        yield folder / path.name
        for file in sorted(folder.iterdir(), reverse=True):  # the weights before the file that names them
            put(file, path.parent / file.name)
