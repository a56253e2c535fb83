"""What all exports share: a network ready to be traced, inputs to check with, and the comparison."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hiergen._version import __version__
from hiergen.errors import HiergenError
from hiergen.models.weights import taxonomy_hash
from hiergen.nn.network import HierarchicalNetwork

if TYPE_CHECKING:
    from hiergen.models.weightsfile import CutoutProvenance


LIMIT = 1e-4  # of the largest logit
BATCHES = (1, 3)  # sizes that a file of any batch size is run with


@dataclass(frozen=True)
class Exported:
    """One export. `files` are the file and what lies beside it, `size` their bytes, `nodes` the graph's operations.

    `difference` is the largest |difference| from torch's logits, divided by the largest |logit|, over all `batches`
    that were run in `runtime`; None for a file that only holds weights.
    """

    path: Path
    format: str
    files: tuple[Path, ...]
    size: int
    runtime: str
    batches: tuple[int, ...] = ()
    nodes: int | None = None
    opset: int | None = None
    dynamic: bool = False
    difference: float | None = None


@contextmanager
def ready(network: HierarchicalNetwork) -> Iterator[HierarchicalNetwork]:
    """The network on the CPU in eval mode, as it was afterwards. Raises HiergenError for one that cannot be traced."""
    tensors = [*network.parameters(), *network.buffers()]
    name = type(network).__name__
    if any(tensor.is_meta for tensor in tensors):
        raise HiergenError(f"{name} is on the meta device and has no weights", hint="build it on the CPU")
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()} - {torch.float32}
    if kinds:
        raise HiergenError(
            f"{name} cannot be exported",
            expected="weights in torch.float32",
            got=f"{kinds.pop()}",
            hint="network.float()",
        )
    if getattr(network, "active", None) is not None:
        raise HiergenError(f"{name} runs some of its classes only", hint="set network.active = None, or cut them out")
    if any(tensor.device.type != "cpu" for tensor in tensors):
        network = copy.deepcopy(network).cpu()
    modes = {module: module.training for module in network.modules()}
    try:
        yield network.eval()
    finally:
        for module, training in modes.items():
            module.training = training


def images(network: HierarchicalNetwork, count: int) -> Tensor:
    """Normally distributed images `(count, C, H, W)`, the same ones every time."""
    generator = torch.Generator().manual_seed(count)
    return torch.randn((count, *network.input_size), generator=generator)


def program(network: HierarchicalNetwork, batch: int | None) -> torch.export.ExportedProgram:
    """The traced graph, for one batch size or for any. Raises HiergenError where torch cannot trace the trunk."""
    shapes = {0: torch.export.Dim("batch")} if batch is None else None
    try:
        with torch.no_grad():
            return torch.export.export(network, (images(network, batch or 2),), dynamic_shapes=(shapes,))
    except Exception as error:
        trunk = getattr(network.trunk, "backbone", "the trunk")
        with torch.no_grad():
            network(images(network, 1))  # a network that cannot run has an error of its own
        raise HiergenError(
            f"torch.export cannot trace {type(network).__name__} on {trunk}",
            got=f"{type(error).__name__}: {_first_line(error)}",
            hint=None if batch else "a fixed batch size (--batch 1) asks less of it",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of torch's exporter about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compare(network: HierarchicalNetwork, run: Callable[[Tensor], Any], batches: tuple[int, ...], where: str) -> float:
    """The largest |difference| of `run`'s logits from the network's, in units of the largest |logit|.

    Raises HiergenError above `LIMIT`, and for logits that are not finite in either.
    """
    worst = 0.0
    for count in dict.fromkeys(batches):
        x = images(network, count)
        with torch.no_grad():
            want = network(x)
        logits = torch.as_tensor(run(x))
        if logits.shape != want.shape:
            raise HiergenError(
                f"{where} gives another shape", expected=f"{tuple(want.shape)}", got=f"{tuple(logits.shape)}"
            )
        if not want.isfinite().all():
            raise HiergenError(f"{type(network).__name__}'s logits are not finite", hint="check its weights")
        scale = float(want.abs().max()) or 1.0
        worst = max(worst, float((logits - want).abs().nan_to_num(torch.inf).max()) / scale)
    if worst > LIMIT:
        raise HiergenError(
            f"{where} gives other logits than torch, so nothing was written",
            expected=f"a difference of at most {LIMIT:g} of the largest logit",
            got=f"{worst:.2g}",
        )
    return worst


def batch_size(batch: int | None) -> None:
    """HiergenError unless it is None or a positive int."""
    if batch is not None and (type(batch) is not int or batch < 1):
        raise HiergenError("a batch size is a positive int", got=repr(batch), hint="leave it out for any size")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else "no reason given"


_IMAGE = ("mean", "std", "interpolation", "crop_pct", "crop_mode")


def describe(network: HierarchicalNetwork, provenance: CutoutProvenance | None = None) -> dict[str, str]:
    """The metadata: texts as they are, everything else as JSON.

    `hiergen_version`, `model` (the class's name), `classes` (ids in the order of the logits), `names` (likewise),
    `taxonomy` (group → … → class id → name), `taxonomy_sha256`, `input_size` (channels, height, width in px), and as
    far as the backbone says `mean`, `std` (of pixels scaled to 0 … 1), `interpolation`, `crop_pct`, `crop_mode`; of a
    cutout `cutout`.
    """
    cfg = network.pretrained_cfg
    values = {
        "classes": list(network.classes),
        "names": list(network.nesting.labels),
        "taxonomy": network.taxonomy,
        "input_size": list(cfg["input_size"]),
        **{key: cfg[key] for key in _IMAGE if cfg.get(key) is not None},
        **({"cutout": asdict(provenance)} if provenance is not None else {}),
    }
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=dict)
        for key, value in values.items()
    }
    header = {
        "hiergen_version": __version__,
        "model": type(network).__name__,
        "taxonomy_sha256": taxonomy_hash(network),
    }
    return {**header, **texts}
