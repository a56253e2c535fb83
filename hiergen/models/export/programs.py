"""PyTorch's own programs, TorchScript, OpenVINO's files and safetensors; run before they are kept."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hiergen.errors import HiergenError
from hiergen.files import check_replaceable, put, replacing, staging, writing
from hiergen.models.export.deploy import (
    Exported,
    Form,
    answer,
    compare,
    deployed,
    describe,
    examples,
    program,
)
from hiergen.models.weights import save_weights
from hiergen.models.weightsfile import read_weights
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.runtimes import first_line, openvino_package, quiet

if TYPE_CHECKING:
    from hiergen.models.weightsfile import CutoutProvenance

METADATA = "hiergen.json"


def to_pt2(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    provenance: CutoutProvenance | None = None,
    **options: Any,
) -> Exported:
    """Write the plain form as `torch.export` traced it, with `describe`'s metadata as its extra file hiergen.json.

    `options` are `Form`'s. The file is loaded, run and compared as an ONNX file is. Raises HiergenError for a trunk
    that cannot be traced, and logits that differ.
    """
    path, form = Path(path), Form(**options)
    with replacing(path) as temporary, quiet():
        traced = program(network, form)
        extra = {METADATA: json.dumps(describe(network, provenance), ensure_ascii=False)}
        buffer = io.BytesIO()  # torch ends the whole process where a file cannot be written
        torch.export.save(traced, buffer, extra_files=extra)
        # no view of it is left in an error's frames: the garbage collector of Python 3.12.1 crashes on those
        with temporary.open("wb") as out, buffer.getbuffer() as written:
            out.write(written)
        with temporary.open("rb") as file:
            again = torch.export.load(file).module()
        difference = compare(network, form, again, "the exported program")
    nodes = sum(node.op == "call_function" for node in traced.graph.nodes)
    return _done(path, "pt2", form, f"torch {torch.__version__}", difference, nodes)


def to_torchscript(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    provenance: CutoutProvenance | None = None,
    **options: Any,
) -> Exported:
    """Write the plain form as `torch.jit.trace` sees it, with `describe`'s metadata as its extra file hiergen.json.

    `options` are `Form`'s. Raises as `to_pt2` does.
    """
    path, form = Path(path), Form(**options)
    with replacing(path) as temporary, quiet():
        traced = _traced(network, form)
        extra = {METADATA: json.dumps(describe(network, provenance), ensure_ascii=False)}
        temporary.write_bytes(traced.save_to_buffer(_extra_files=extra))
        again = torch.jit.load(str(temporary))  # type: ignore[no-untyped-call]
        difference = compare(network, form, again, "the TorchScript file")
    nodes = sum(1 for _ in traced.inlined_graph.nodes())
    return _done(path, "torchscript", form, f"torch {torch.__version__}", difference, nodes)


def to_openvino(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    provenance: CutoutProvenance | None = None,
    **options: Any,
) -> Exported:
    """Write the plain form as OpenVINO's .xml, with its weights in the .bin beside it, and run it there.

    `options` are `Form`'s. Raises HiergenError where openvino is not installed or cannot take the network, and for
    logits that differ.
    """
    path, form = Path(path), Form(**options)
    openvino = openvino_package()
    if form.dtype == "bfloat16":
        raise HiergenError("OpenVINO's files hold no bfloat16", hint="float16, or the format pt2")
    half = form.dtype == "float16"
    binary = path.with_suffix(".bin")
    for file in (path, binary):
        check_replaceable(file)
    if binary.exists() and not path.exists():
        raise HiergenError("is another file", place=str(binary), hint="name another file with -o")
    full = replace(form, dtype="float32")
    with writing(path), staging(path) as folder, quiet():
        module = deployed(network, full)  # OpenVINO rounds weights itself
        inputs = examples(network, full, form.batch or 1)
        try:
            model = openvino.convert_model(module, example_input=tuple(inputs))
        except Exception as error:
            raise HiergenError("OpenVINO cannot convert the network", got=first_line(error)) from error
        for port, name, example in zip(model.inputs, form.inputs, inputs, strict=True):
            port.get_tensor().set_names({name})
            shape: list[int] = list(example.shape)
            shape[0] = form.batch or -1
            if form.open_size and name == "images":
                shape[2:] = [-1, -1]
            port.get_node().set_partial_shape(openvino.PartialShape(shape))
        model.outputs[0].get_tensor().set_names({form.output})
        model.validate_nodes_and_infer_types()
        for key, value in describe(network, provenance).items():
            model.set_rt_info(value, ["hiergen", key])
        written = folder / path.with_suffix(".xml").name
        openvino.save_model(model, str(written), compress_to_fp16=half)
        session = openvino.Core().compile_model(str(written), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def run(*given: torch.Tensor) -> Any:
            return session([x.numpy() for x in given])[0]

        difference = compare(network, form, run, "the OpenVINO file")
        for file in sorted(folder.iterdir()):  # the weights before the file that names them
            put(file, path.parent / file.name)
    xml = path.with_suffix(".xml")
    done = _done(xml, "openvino", form, f"openvino {openvino.__version__.split('-')[0]}", difference)
    return _with_files(done, (xml, binary))


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


def _traced(network: HierarchicalNetwork, form: Form) -> Any:
    module, inputs = deployed(network, form), examples(network, form, form.batch or 2)
    try:
        return torch.jit.trace(module, tuple(inputs), check_trace=False)  # type: ignore[no-untyped-call]
    except Exception as error:
        answer(network, form, examples(network, form, 1))  # a network that cannot run has an error of its own
        raise HiergenError(
            f"torch.jit cannot trace {type(network).__name__} on {network.trunk.backbone}",
            got=f"{type(error).__name__}: {first_line(error)}",
        ) from error


def _done(path: Path, kind: str, form: Form, runtime: str, difference: float, nodes: int | None = None) -> Exported:
    return Exported(
        path,
        kind,
        (path,),
        path.stat().st_size,
        runtime,
        form.batches,
        nodes=nodes,
        dynamic=form.batch is None,
        difference=difference,
    )


def _with_files(done: Exported, files: tuple[Path, ...]) -> Exported:
    return replace(done, files=files, size=sum(file.stat().st_size for file in files))
