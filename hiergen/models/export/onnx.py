"""ONNX files with class names inside, run in onnxruntime before they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hiergen.errors import HiergenError
from hiergen.files import check_replaceable, put, staging, writing
from hiergen.models.export.deploy import (
    Exported,
    Form,
    compare,
    deployed,
    describe,
    examples,
    onnx_runner,
    program,
)
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.runtimes import first_line, packages, quiet

if TYPE_CHECKING:
    from hiergen.models.export.int8 import Calibration, Quantized
    from hiergen.models.weightsfile import CutoutProvenance

PROTOBUF_LIMIT = 1_900_000_000  # bytes; a protobuf ends at 2 GiB, weights beyond go to a file beside it
OPSETS = (11, 25)
INT8 = 13  # the first opset that quantizes channel by channel
DYNAMO = 18  # the first opset of torch's newer exporter; older ones are traced


def to_onnx(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    opset: int | None = None,
    int8: Calibration | None = None,
    provenance: CutoutProvenance | None = None,
    **options: Any,
) -> Exported:
    """Write the network in plain form as ONNX, `images` → `logits`, with `describe`'s metadata; `options` are `Form`'s.

    The file is run in onnxruntime, at each batch size and image size that it promises, and only takes its place if its
    answers are the network's. `int8` quantizes it, static and per channel, by the images that the calibration holds.
    Weights of more than 1.9 GB go to `<path>.data`.
    Raises HiergenError for missing packages, an opset that cannot be, and logits that differ.
    """
    path, form = Path(path), Form(**options)
    check_opset(opset, form)
    if int8 is not None and (form.dtype != "float32" or form.steerable):
        got = "gains as an input" if form.steerable else form.dtype
        raise HiergenError("int8 starts from float32, without gains as an input", got=got)
    if int8 is not None and opset is not None and opset < INT8:
        raise HiergenError(f"int8 needs opset {INT8} or more", got=str(opset))
    runtime = packages()
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    is_large = size > PROTOBUF_LIMIT
    quantized: Quantized | None = None
    with _beside(path) as temporary, quiet():
        if opset is not None and opset < DYNAMO:
            if is_large:
                raise HiergenError(f"weights of {size / 1e9:.1f} GB need opset {DYNAMO} or more", got=str(opset))
            _trace(network, form, opset, temporary, describe(network, provenance))
        else:
            _translate(network, form, opset, temporary, describe(network, provenance), is_large)
        difference = compare(network, form, onnx_runner(temporary, form), "the ONNX file")
        if int8 is not None:
            from hiergen.models.export.int8 import quantize  # it reads images

            quantized = quantize(temporary, int8, form, network)
        model = import_module("onnx").load(str(temporary), load_external_data=False)
    files = tuple(file for file in (path, _data(path)) if file == path or is_large)
    return Exported(
        path,
        "onnx",
        files,
        sum(file.stat().st_size for file in files),
        f"onnxruntime {runtime.__version__}",
        form.batches,
        len(model.graph.node),
        next(entry.version for entry in model.opset_import if not entry.domain),
        form.batch is None,
        difference,
        "" if quantized is None else str(quantized),
    )


def check_opset(opset: int | None, form: Form, least: int = OPSETS[0]) -> None:
    """Raise HiergenError for an opset that cannot be written, and a dtype that onnxruntime does not compute with."""
    if opset is not None and not least <= opset <= OPSETS[1]:
        raise HiergenError("no such opset", expected=f"{least} … {OPSETS[1]}", got=str(opset))
    if form.dtype == "bfloat16":
        raise HiergenError("onnxruntime has no bfloat16 convolutions on CPUs", hint="float16, or the format pt2")


def _translate(
    network: HierarchicalNetwork, form: Form, opset: int | None, path: Path, metadata: dict[str, str], is_large: bool
) -> None:
    """By torch's newer exporter."""
    names = {0: "batch"} if form.batch is None else {}
    images = names | ({2: "height", 3: "width"} if form.open_size else {})
    shapes = [images, names][: len(form.inputs)]
    save_program(program(network, form), path, metadata, form.inputs, form.output, shapes, opset, is_large=is_large)


def save_program(
    traced: torch.export.ExportedProgram,
    path: Path,
    metadata: dict[str, str],
    inputs: Sequence[str],
    output: str,
    shapes: Sequence[dict[int, str]],
    opset: int | None,
    *,
    is_large: bool = False,
) -> None:
    """Write a traced graph as ONNX, `shapes` being names of its inputs' sizes that are free."""
    written = torch.onnx.export(
        traced,
        input_names=inputs,
        output_names=[output],
        dynamic_shapes=tuple(shapes) if any(shapes) else None,  # these are their names
        opset_version=opset,
        dynamo=True,
        verbose=False,
    )
    assert written is not None
    model = written.model
    if opset is not None and model.opset_imports[""] != opset:
        raise HiergenError(f"torch could not write opset {opset}", got=str(model.opset_imports[""]))
    _strip(model)
    model.metadata_props.update(metadata)
    try:
        written.save(str(path), external_data=is_large)
    except ValueError as error:  # the protobuf's own limit
        raise HiergenError("the graph is too large for ONNX", got=first_line(error)) from error


def _trace(network: HierarchicalNetwork, form: Form, opset: int, path: Path, metadata: dict[str, str]) -> None:
    """By torch's older exporter, which writes the opsets of older runtimes."""
    onnx = import_module("onnx")
    names = {0: "batch"} if form.batch is None else {}
    images = names | ({2: "height", 3: "width"} if form.open_size else {})
    axes = {"images": images, form.output: names, **({"gains": names} if form.steerable else {})}
    try:
        torch.onnx.export(
            deployed(network, form),
            tuple(examples(network, form, form.batch or 2)),
            str(path),
            input_names=form.inputs,
            output_names=[form.output],
            dynamic_axes={name: named for name, named in axes.items() if named},
            opset_version=opset,
            dynamo=False,
        )
    except Exception as error:
        raise HiergenError(
            f"torch could not write opset {opset}", got=first_line(error), hint=f"--opset {DYNAMO} or more may work"
        ) from error
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, str(path))


def _strip(model: Any) -> None:
    """Drop the exporter's stack traces: they name files of this machine and outweigh the graph."""
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()


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
