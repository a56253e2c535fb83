"""Weights alone, as safetensors with hiergen's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hiergen.errors import HiergenError
from hiergen.export.trace import Exported
from hiergen.nn.network import HierarchicalNetwork
from hiergen.weights import save_weights
from hiergen.weightsfile import read_weights

if TYPE_CHECKING:
    from hiergen.weightsfile import Provenance


def to_safetensors(network: HierarchicalNetwork, path: str | Path, *, provenance: Provenance | None = None) -> Exported:
    """Write the state dict as `hiergen.weights.save_weights` does, and read it again. Raises as that does."""
    path = Path(path)
    if any(tensor.is_meta for tensor in network.state_dict().values()):
        raise HiergenError(f"{type(network).__name__} is on the meta device and has no weights")
    save_weights(network, path, provenance=provenance)
    read_weights(path)  # its checksum is over every tensor
    return Exported(path, "safetensors", (path,), path.stat().st_size, "safetensors")
