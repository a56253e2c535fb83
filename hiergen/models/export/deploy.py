"""What all exports share: the network in plain form as it is deployed, inputs to check with, and the comparison."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from hiergen._version import __version__
from hiergen.errors import HiergenError, quoted
from hiergen.models.weights import taxonomy_hash
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain import PlainNetwork
from hiergen.nn.runtimes import first_line, onnx_session

if TYPE_CHECKING:
    from hiergen.models.weightsfile import CutoutProvenance


DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LIMITS = {"float32": 1e-4, "float16": 0.03, "bfloat16": 0.2}  # of the largest logit
BATCHES = (1, 2, 5)  # sizes that a file of any batch size is run with


@dataclass(frozen=True)
class Exported:
    """One export. `files` are the file and what lies beside it, `size` their bytes, `nodes` the graph's operations.

    `difference` is the largest |difference| from the network's answer in float32, divided by the largest |value|, over
    all `batches` that were run in `runtime`; None for a file that only holds weights. `note` is what else there is to
    say.
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
    note: str = ""


@dataclass(frozen=True)
class Form:
    """What an exported network takes and gives.

    `batch` None: any. `open_size`: any height and width. `preprocess`: images are pixels of 0 … 255, uint8, and the
    network scales and normalizes them; else it takes them normalized, float32. `softmax`: probabilities in place of
    logits. `dtype` is that of weights and maps. `steerable`: gains `(1 or B, nodes)` are a second input.
    """

    batch: int | None = None
    open_size: bool = False
    preprocess: bool = False
    softmax: bool = False
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    steerable: bool = False

    def __post_init__(self) -> None:
        if self.batch is not None and (type(self.batch) is not int or self.batch < 1):
            raise HiergenError("a batch size is a positive int", got=repr(self.batch), hint="leave it out for any size")
        if self.dtype not in DTYPES:
            raise HiergenError(f"no dtype {quoted(self.dtype)}", expected=f"one of {', '.join(DTYPES)}")

    @property
    def batches(self) -> tuple[int, ...]:
        return BATCHES if self.batch is None else (self.batch,)

    @property
    def output(self) -> str:
        return "probabilities" if self.softmax else "logits"

    @property
    def inputs(self) -> list[str]:
        return ["images", "gains"] if self.steerable else ["images"]


class Deployed(nn.Module):
    """A plain network between what a `Form` puts before and behind it; float32 in and out."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: PlainNetwork, form: Form, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.form, self.network = form, network.to(DTYPES[form.dtype])
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None])
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)[:, None, None]))

    def forward(self, images: Tensor, gains: Tensor | None = None) -> Tensor:
        dtype = DTYPES[self.form.dtype]
        x = (images.float() - self.mean) * self.scale if self.form.preprocess else images
        y: Tensor = self.network(x.to(dtype), None if gains is None else gains.to(dtype)).float()
        return y.softmax(1) if self.form.softmax else y


def deployed(network: HierarchicalNetwork, form: Form) -> Deployed:
    """The network as it is exported, on the CPU in eval mode. Raises HiergenError for one that cannot be."""
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
            hint="network.float(), and a dtype of the export",
        )
    if network.active is not None:
        raise HiergenError(f"{name} runs some of its classes only", hint="set network.active = None, or cut them out")
    plain = network.plain(steerable=form.steerable, open_size=form.open_size).cpu()
    return Deployed(plain, form, *_statistics(network)).eval()


def _statistics(network: HierarchicalNetwork) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation by channel, of pixels scaled to 0 … 1."""
    cfg, channels = network.pretrained_cfg, network.trunk.input_size[0]
    return cfg.get("mean") or [0.0] * channels, cfg.get("std") or [1.0] * channels


def examples(network: HierarchicalNetwork, form: Form, batch: int, size: tuple[int, int] | None = None) -> list[Tensor]:
    """Inputs for so many images, the same ones every time: noise in the form's range, and gains from 0.5 to 1.5."""
    generator = torch.Generator().manual_seed(batch)
    channels, *usual = network.trunk.input_size
    shape = (batch, channels, *(size or usual))
    images = torch.randn(shape, generator=generator)
    if form.preprocess:
        images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    gains = [0.5 + torch.rand((batch, len(network.nodes)), generator=generator)] if form.steerable else []
    return [images, *gains]


def sizes(network: HierarchicalNetwork, form: Form) -> list[tuple[int, int]]:
    """Heights and widths to check with: the network's own, and where any will do another one."""
    _, height, width = network.trunk.input_size
    step = getattr(network.trunk, "reduction", 8) * 4
    return [(height, width), (height + step, width + 2 * step)] if form.open_size else [(height, width)]


def answer(network: HierarchicalNetwork, form: Form, inputs: Sequence[Tensor]) -> Tensor:
    """What the network itself makes of such inputs, in float32: the independent path of every check."""
    x = inputs[0].to(network.head.weight.device)
    if form.preprocess:
        mean, std = (torch.tensor(values, device=x.device)[:, None, None] for values in _statistics(network))
        x = (x / 255 - mean) / std
    with torch.no_grad(), _eval(network):
        if form.steerable:
            with network.attend(inputs[1].to(x.device)):
                y: Tensor = network(x)
        else:
            y = network(x)
    return (y.softmax(1) if form.softmax else y).float().cpu()


@contextmanager
def _eval(network: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def compare(network: HierarchicalNetwork, form: Form, run: Callable[..., Any], where: str) -> float:
    """The largest |difference| of `run`'s answer from the network's, in units of the largest |value|.

    Raises HiergenError above the dtype's limit, and for values that are not finite in either.
    """
    worst, limit = 0.0, LIMITS[form.dtype]
    for size in sizes(network, form):
        for batch in form.batches:
            inputs = examples(network, form, batch, size)
            want = answer(network, form, inputs)
            got = torch.as_tensor(run(*inputs))
            if got.shape != want.shape:
                raise HiergenError(
                    f"{where} gives another shape", expected=f"{tuple(want.shape)}", got=f"{tuple(got.shape)}"
                )
            if not want.isfinite().all():
                raise HiergenError(f"{type(network).__name__}'s logits are not finite", hint="check its weights")
            scale = float(want.abs().max()) or 1.0
            worst = max(worst, float((got - want).abs().nan_to_num(torch.inf).max()) / scale)
    if worst > limit:
        raise HiergenError(
            f"{where} gives other logits than torch, so nothing was written",
            expected=f"a difference of at most {limit:g} of the largest logit",
            got=f"{worst:.2g}",
        )
    return worst


def onnx_runner(file: Path, form: Form) -> Callable[..., Any]:
    """An ONNX file as a function of tensors. Raises HiergenError where onnxruntime cannot load it."""
    session = onnx_session(file, torch.get_num_threads())

    def run(*inputs: Tensor) -> Any:
        return session.run([form.output], dict(zip(form.inputs, [x.numpy() for x in inputs], strict=True)))[0]

    return run


def program(network: HierarchicalNetwork, form: Form) -> torch.export.ExportedProgram:
    """The traced graph. Raises HiergenError where torch cannot trace the trunk."""
    inputs = examples(network, form, form.batch or 2)
    any_size = torch.export.Dim.DYNAMIC
    images = {0: any_size} if form.batch is None else {}
    images |= {2: any_size, 3: any_size} if form.open_size else {}
    shapes = [images, {0: any_size} if form.batch is None else {}][: len(inputs)]
    return trace(deployed(network, form), network, form, inputs, shapes)


def trace(
    module: Deployed,
    network: HierarchicalNetwork,
    form: Form,
    inputs: Sequence[Tensor],
    shapes: Sequence[dict[int, Any]],
) -> torch.export.ExportedProgram:
    """The graph of the network, or of a part of it, with these inputs. Raises HiergenError where torch gives none."""
    try:
        with torch.no_grad():
            return torch.export.export(module, tuple(inputs), dynamic_shapes=tuple(shapes))
    except Exception as error:
        answer(network, form, examples(network, form, 1))  # a network that cannot run has an error of its own
        raise HiergenError(
            f"torch.export cannot trace {type(network).__name__} on {getattr(network.trunk, 'backbone', 'the trunk')}",
            got=f"{type(error).__name__}: {first_line(error)}",
            hint="a fixed batch size (--batch 1) and a fixed image size ask less of it",
        ) from error


_IMAGE = ("mean", "std", "interpolation", "crop_pct", "crop_mode")


def describe(network: HierarchicalNetwork, provenance: CutoutProvenance | None = None) -> dict[str, str]:
    """The metadata: texts as they are, everything else as JSON.

    `hiergen_version`, `model` (the class's name), `form` (see `HierarchicalNetwork.form`), `classes` (ids in the order
    of the logits), `names` (likewise), `taxonomy` (group → … → class id → name), `taxonomy_sha256`, `input_size`
    (channels, height, width in px), and as far as the backbone says `mean`, `std` (of pixels scaled to 0 … 1),
    `interpolation`, `crop_pct`, `crop_mode`; of a
    cutout `cutout`; where it was fitted `rejection` (see `Rejection`; its threshold is one of logits).
    """
    cfg = network.pretrained_cfg
    values = {
        "classes": list(network.classes),
        "names": list(network.nesting.labels),
        "taxonomy": network.taxonomy,
        "input_size": list(cfg["input_size"]),
        **{key: cfg[key] for key in _IMAGE if cfg.get(key) is not None},
        **({"cutout": asdict(provenance)} if provenance is not None else {}),
        **({"rejection": asdict(network.rejection)} if network.rejection is not None else {}),
    }
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=dict)
        for key, value in values.items()
    }
    header = {
        "hiergen_version": __version__,
        "model": type(network).__name__,
        "taxonomy_sha256": taxonomy_hash(network),
        "form": network.form,
    }
    return {**header, **texts}
