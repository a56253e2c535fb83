"""The page's function that makes an image for an exported file, against timm's own transform."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from pages import blocks
from PIL import Image

import hiergen
from hiergen.models.export.deploy import describe

CLASSES = ["tabby", "Persian cat", "pug", "beagle"]
SIZES = [(64, 64), (400, 300), (301, 487), (97, 33), (20, 31), (1000, 101)]


def of_the_page() -> dict[str, Any]:
    """The names of the page's block, up to where it opens a session."""
    (code,) = (block.text for block in blocks("docs/export.md") if "def prepare(" in block.text)
    names: dict[str, Any] = {}
    exec(code.partition("session = ")[0], names)
    return names


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("side", [64, 65])
def test_the_pages_function_is_timms_transform(mode: str, side: int) -> None:
    prepare = of_the_page()["prepare"]
    network = hiergen.network(CLASSES, backbone="resnet18", input_size=side)
    backbone = network.trunk.pretrained_cfg
    draw = np.random.default_rng(0)
    for pct, interpolation, (width, height) in product([0.875, 0.9, 0.95, 1.0], ["bicubic", "bilinear"], SIZES):
        network.trunk.model.pretrained_cfg = {
            **backbone,
            "crop_pct": pct,
            "crop_mode": mode,
            "interpolation": interpolation,
        }
        image = Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8))
        wanted, got = network.preprocess(image)[None].numpy(), prepare(image, describe(network))
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, atol=1e-6, err_msg=f"{pct} {interpolation} {width} {height}")
    grey = Image.fromarray(draw.integers(0, 256, (50, 70), np.uint8))
    assert prepare(grey, describe(network)).shape == (1, 3, side, side)


def test_sides_of_two_lengths() -> None:
    """Which the function covers where it does not cut the centre out."""
    network = hiergen.network(CLASSES, backbone="resnet18", input_size=(64, 96))
    backbone, draw = network.trunk.pretrained_cfg, np.random.default_rng(0)
    for mode, (width, height) in product(["squash", "border"], SIZES):
        network.trunk.model.pretrained_cfg = {**backbone, "crop_pct": 0.9, "crop_mode": mode}
        image = Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8))
        got = of_the_page()["prepare"](image, describe(network))
        np.testing.assert_allclose(got, network.preprocess(image)[None].numpy(), atol=1e-6)
