"""int8: static quantization of an ONNX file in QDQ form, calibrated on images, with its accuracy before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor

from hiergen.data.images import ImageSet, batches
from hiergen.models.export.deploy import Form, onnx_runner
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.runtimes import quantize_onnx

IMAGES = 256  # that calibrate


@dataclass(frozen=True)
class Calibration:
    """Images that calibrate, of the training part, and labelled ones that the accuracy is measured on."""

    images: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class Quantized:
    """Top-1 accuracy of the float32 file and of the int8 file, and the share of images where both say the same."""

    calibrated: int
    tested: int
    before: float
    after: float
    agreement: float
    is_same: bool = False  # images that calibrate and images that test

    def __str__(self) -> str:
        return (
            f"int8, calibrated on {self.calibrated} images: top-1 {100 * self.before:.2f} → {100 * self.after:.2f} % "
            f"of {self.tested} images, the same answer for {100 * self.agreement:.2f} %"
            + "; the same images calibrated, as there is no validation part: name the folder above train and val"
            * self.is_same
        )


def quantize(path: Path, calibration: Calibration, form: Form, network: HierarchicalNetwork) -> Quantized:
    """Replace the float32 file by its int8 form. Raises HiergenError where onnxruntime cannot quantize it."""
    images, test = calibration.images, calibration.test
    same = images is test
    if form.preprocess:
        config = resolve_model_data_config(network)
        pixels = create_transform(**config, is_training=False, normalize=False)
        images, test = replace(images, transform=pixels), replace(test, transform=pixels)  # type: ignore[type-var]
    chosen = _spread(images, IMAGES)
    before = _answers(onnx_runner(path, form), test, form)
    written = path.with_name(f"{path.name}.int8")
    quantize_onnx(path, written, _batches(chosen, form))
    after = _answers(onnx_runner(written, form), test, form)
    _keep_metadata(path, written)
    written.replace(path)
    targets = torch.tensor(test.targets)

    def share(first: Tensor, second: Tensor) -> float:
        return float((first == second).float().mean())

    return Quantized(
        len(chosen), len(targets), share(before, targets), share(after, targets), share(before, after), same
    )


def _keep_metadata(source: Path, target: Path) -> None:
    onnx = import_module("onnx")
    old, new = onnx.load(str(source), load_external_data=False), onnx.load(str(target))
    onnx.helper.set_model_props(new, {entry.key: entry.value for entry in old.metadata_props})
    onnx.save(new, str(target))


def _spread(images: ImageSet, most: int) -> ImageSet:
    """So many images, spread over all: sources list them by class."""
    count = len(images.targets)
    if count <= most:
        return images
    return images.subset(int((i + 0.5) * count / most) for i in range(most))


def _batches(images: ImageSet, form: Form) -> Iterator[Tensor]:
    """Batches of images as the file takes them; the last one filled up where the batch size is fixed."""
    for batch, _ in batches(images, form.batch or 32):
        more = (form.batch or len(batch)) - len(batch)
        yield torch.cat([batch, batch[-1:].expand(more, -1, -1, -1)]) if more else batch


def _answers(run: Any, images: ImageSet, form: Form) -> Tensor:
    answers = [torch.as_tensor(run(batch)).argmax(1) for batch in _batches(images, form)]
    return torch.cat(answers)[: len(images)]
