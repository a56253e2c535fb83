"""Batches that cannot be shared, or cannot be normed: said before anything is written, in the user's own numbers."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hiergen.codegen.build import build
from hiergen.training.loop import Training
from hiergen.training.recipe import load_recipe
from hiergen.training.run import train
from tests.helpers import message

ONE_PIXEL = """name: NAME
classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
unplaced: root
models:
  PHL:
    trunk: {backbone: BACKBONE}
    input_size: 32
    branches: [[{block: BLOCK, depth: 1, width: 8, out: 16, stride: 4}]]
"""


def whole_batch(batch_size: int, world: int, accumulate: int, images: int) -> int:
    recipe = load_recipe("digits", [f"batch_size={batch_size}", f"accumulate={accumulate}"])
    training = cast(Any, SimpleNamespace(parallel=SimpleNamespace(world=world), recipe=recipe))
    return Training._whole_batch(training, images)


@pytest.mark.parametrize("world", range(1, 9))
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_every_process_and_part_gets_as_many_images(world: int, accumulate: int) -> None:
    parts = world * accumulate
    for size in (48, 120, 5 * parts):
        size -= size % accumulate
        for images in (1, 7, 17, 31, 100, 1000):
            if size % parts:
                assert f"the recipe's batch_size {size} cannot be shared" in message(
                    lambda size=size, images=images: whole_batch(size, world, accumulate, images)
                )
            elif images < parts:
                assert f"{images} training images are fewer than" in message(
                    lambda size=size, images=images: whole_batch(size, world, accumulate, images)
                )
            else:
                batch = whole_batch(size, world, accumulate, images)
                assert batch % parts == 0
                assert min(size, images) - parts < batch <= min(size, images)


@pytest.mark.parametrize(
    ("backbone", "block", "settings", "said"),
    [
        (
            "test_resnet, until: layer4",
            "bottleneck",
            ("batch_size=1",),
            "batch norms cannot be trained by 1 image at once",
        ),
        (
            *("test_resnet, until: layer4", "bottleneck", ("accumulate=2", "batch_size=2")),
            "batch norms cannot be trained by 1 image at once",
        ),
        (
            *("test_convnext, until: stages.1", "convnext", ("trunk.mode=frozen", "trunk.crop_maps=0.5")),
            "windows of trunk.crop_maps 0.5 are too small for the network's blocks; got 2 × 2 pixels",
        ),
    ],
)
def test_it_is_said_before_a_folder_is_made(
    backbone: str, block: str, settings: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = ONE_PIXEL.replace("NAME", f"m{len(backbone)}{len(str(settings))}")  # timm warns of two models of one name
    Path("one.yaml").write_text(text.replace("BACKBONE", backbone).replace("BLOCK", block))
    build("one.yaml", "one.py")
    options: dict[str, Any] = {"recipe": "digits", "out": "run"}
    assert said in message(lambda: train("one.py:PHL", "digits", settings=["epochs=1", *settings], **options))
    assert not os.path.exists("run")
