"""Runtimes: how a module in plain form becomes a callable. A new one is one function and one row of `RUNTIMES`."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, nearest, quoted

EXTRA = ("onnx", "onnxruntime", "onnxscript")
# what int8 kernels exist for; anything else would be taken to int8 and back at once
OPERATORS = ["Conv", "MatMul", "Gemm", "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool", "Concat", "Split"]
_CALIBRATION = 2  # batches of noise: int8 kernels take as long on any values

Run: TypeAlias = Callable[[], Any]


@dataclass(frozen=True)
class Runtime:
    """`start` takes a module in plain form, an example, a number of threads and whether int8, and answers what runs it.

    `package` imports the runtime, or raises a HiergenError that says how it is installed.
    """

    start: Callable[[nn.Module, Tensor, int, bool], Run]
    package: Callable[[], Any]
    int8: bool = False
    cuda: bool = False


def checked(name: str, device: torch.device, dtype: torch.dtype, int8: bool = False) -> Runtime:
    """The runtime of that name. Raises HiergenError where it does not exist or cannot do this."""
    if name not in RUNTIMES:
        raise HiergenError(
            f"no runtime {quoted(name)}", expected=f"one of {', '.join(RUNTIMES)}", nearest=nearest(name, RUNTIMES)
        )
    row = RUNTIMES[name]
    if int8 and not row.int8:
        able = " or ".join(other for other, runtime in RUNTIMES.items() if runtime.int8)
        raise HiergenError(f"the runtime {name} has no int8", expected=f"--runtime {able}")
    if not row.cuda and (device.type != "cpu" or dtype != torch.float32):
        able = " or ".join(other for other, runtime in RUNTIMES.items() if runtime.cuda)
        got = f"{device.type}, {str(dtype).removeprefix('torch.')}"
        raise HiergenError(f"the runtime {name} is for float32 on CPUs", got=got, hint=f"--runtime {able}")
    return row


def version(name: str) -> str:
    """The runtime's version."""
    return str(RUNTIMES[name].package().__version__).split("-")[0]


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


def openvino_package() -> Any:
    """openvino. Raises HiergenError with the command that installs it."""
    try:
        return import_module("openvino")
    except ImportError as error:
        raise HiergenError("OpenVINO is not installed", hint="run: pip install 'hiergen[openvino]'") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of exporters about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def first_line(error: Exception) -> str:
    """An error's first line of text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else "no reason given"


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """torch's number of CPU threads, while the block runs."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below a float's full precision are zeros in this thread, while the block runs. Random weights lead to
    them, and processors take many times as long for them: they would decide which of two networks is faster."""
    before = not (torch.tensor(1e-40) * 1.0).item()  # torch does not say
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _torch(module: nn.Module, example: Tensor, threads: int, _: bool) -> Run:
    def run() -> Any:
        with threads_set(threads), torch.inference_mode():
            return module(example)

    return run


def _compiled(module: nn.Module, example: Tensor, threads: int, _: bool) -> Run:
    try:
        with torch.no_grad():
            # Traced, it has code of its own: torch.compile keeps only a few variants of one forward().
            traced = torch.export.export(module, (example,)).module()
        compiled: Any = torch.compile(traced, dynamic=False, options={"freezing": True})
        run = _torch(compiled, example, threads, False)
        run()
    except Exception as error:
        raise HiergenError(
            "torch.compile cannot compile this here",
            got=f"{type(error).__name__}: {first_line(error)}",
            hint="it needs a C++ compiler (on a GPU triton); --runtime torch needs none",
        ) from error
    return run


def _onnxruntime(module: nn.Module, example: Tensor, threads: int, int8: bool) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        session = onnx_session(_onnx_file(module, example, Path(folder), int8), threads)
    images = {"images": example.numpy()}
    return lambda: session.run(None, images)[0]


def onnx_session(file: Path, threads: int) -> Any:
    """The file in onnxruntime, on the CPU. Raises HiergenError where it cannot be loaded."""
    runtime = packages()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # threads that still spin after their turn would slow the next subject's
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")  # in its threads
    try:
        with without_denormals():  # in this one it would hold for good
            return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise HiergenError(
            "onnxruntime cannot load what torch wrote", got=first_line(error), hint="another --opset may help"
        ) from error


def _openvino(module: nn.Module, example: Tensor, threads: int, int8: bool) -> Run:
    openvino = openvino_package()
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    with tempfile.TemporaryDirectory() as folder:
        if int8:
            packages()
            model = core.read_model(str(_onnx_file(module, example, Path(folder), int8)))
        else:
            try:
                model = openvino.convert_model(module, example_input=example, input=list(example.shape))
            except Exception as error:
                raise HiergenError("OpenVINO cannot convert this", got=first_line(error)) from error
        request = core.compile_model(model, "CPU", options).create_infer_request()
    images = example.numpy()
    return lambda: request.infer([images], share_inputs=True)[0]


def _onnx_file(module: nn.Module, example: Tensor, folder: Path, int8: bool) -> Path:
    file = folder / "module.onnx"
    try:
        written = torch.onnx.export(
            module, (example,), input_names=["images"], output_names=["logits"], dynamo=True, verbose=False
        )
    except Exception as error:
        raise HiergenError("torch cannot write this as ONNX", got=first_line(error), hint="--runtime torch") from error
    assert written is not None
    written.save(str(file))
    if not int8:
        return file
    quantize_onnx(file, folder / "int8.onnx", _noise(example))
    return folder / "int8.onnx"


def quantize_onnx(file: Path, written: Path, batches: Iterable[Tensor]) -> None:
    """Quantize an ONNX file: static, in QDQ form, per channel, calibrated on these batches of images.

    Raises HiergenError where onnxruntime cannot.
    """
    tools = import_module("onnxruntime.quantization")
    clean = import_module("onnxruntime.quantization.shape_inference").quant_pre_process
    prepared = file.with_name(f"{file.name}.prepared")
    try:
        clean(str(file), str(prepared), skip_symbolic_shape=True)
        tools.quantize_static(
            str(prepared),
            str(written),
            _Calibration(batches),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            reduce_range=True,  # 7 bits: processors without VNNI add products in 16, which 8 overflow
        )
    except HiergenError:  # of an image that calibrates
        raise
    except Exception as error:
        raise HiergenError(
            "onnxruntime cannot quantize this", got=f"{type(error).__name__}: {first_line(error)}"
        ) from error
    finally:
        prepared.unlink(missing_ok=True)


class _Calibration:
    """What onnxruntime asks for batches to calibrate with."""

    def __init__(self, batches: Iterable[Tensor]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch.numpy()}


def _noise(example: Tensor) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(example.shape, generator=generator) for _ in range(_CALIBRATION))


RUNTIMES = {
    "torch": Runtime(_torch, lambda: torch, cuda=True),
    "compiled": Runtime(_compiled, lambda: torch, cuda=True),
    "onnxruntime": Runtime(_onnxruntime, packages, int8=True),
    "openvino": Runtime(_openvino, openvino_package, int8=True),
}
