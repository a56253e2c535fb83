"""PyTorch's own exported programs (.pt2), loaded and run before they are kept."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hiergen.export.metadata import describe
from hiergen.export.trace import BATCHES, Exported, batch_size, compare, program, quiet, ready
from hiergen.files import replacing
from hiergen.nn.network import HierarchicalNetwork

if TYPE_CHECKING:
    from hiergen.weightsfile import Provenance

METADATA = "hiergen.json"


def to_pt2(
    network: HierarchicalNetwork, path: str | Path, *, batch: int | None = None, provenance: Provenance | None = None
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
        found = compare(net, again, batches, "the exported program")
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
        difference=found,
    )
