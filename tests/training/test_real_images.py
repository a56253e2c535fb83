"""Generated models on real images: a few steps on one batch lower its loss."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import timm.data
import torch

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT / "benchmarks"))

from train_step import load_batch, losses  # noqa: E402


@pytest.mark.parametrize(
    ("module_name", "model_name", "archive"),
    [
        ("imagenette", "N2HL", "imagenet-1k-samples-256.tar"),
        ("tiny_imagenet_100", "N4HL", "tiny-imagenet-100-val.tar"),
    ],
)
def test_loss_on_a_batch_of_real_images_falls(module_name: str, model_name: str, archive: str) -> None:
    if not (DATA / archive).is_file():
        pytest.skip(f"the real images are not there: no {archive} in ../shared/data")
    torch.manual_seed(0)
    module = importlib.import_module(f"generated.{module_name}")
    model = getattr(module, model_name)()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    images, targets = load_batch(DATA / archive, list(module.CLASSES), 4, transform)
    values = losses(model, images, targets, steps=5)
    assert values[-1] < 0.9 * values[0]
