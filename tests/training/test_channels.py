"""Greyscale and RGBA images of a rectangle, from the files to the logits, and channels that no picture has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hiergen.codegen.build import build
from hiergen.data.augment import train_transform
from hiergen.data.augmentation import Augment
from hiergen.data.sources import open_data
from hiergen.models.load import load_network
from hiergen.views.draw.maps import _picture, read_image
from tests.helpers import message

# each test builds the model anew
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting shades_phl")
SPEC = """\
name: shades
classes: [dark, grey, light]
sources: [groups: {dim: [dark, grey], bright: [light]}]
unplaced: root
models:
  PHL:
    trunk: {backbone: test_resnet, until: layer1}
    input_size: [%d, 32, 48]
    block: bottleneck
    depth: 1
    budget: {params: 50k}
"""
SHADES = {"dark": 30, "grey": 120, "light": 220}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a folder with images/ of 32 × 48 px, each a class's shade with noise, transparent to the right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name, shade in SHADES.items():
        for number in range(6):
            pixels = (shade + rng.normal(0, 20, (32, 48, 4))).clip(0, 255).astype(np.uint8)
            (tmp_path / "images" / name).mkdir(parents=True, exist_ok=True)
            pixels[..., 3] = np.arange(48) * 5
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path


def model(channels: int) -> str:
    Path("shades.yaml").write_text(SPEC % channels)
    build("shades.yaml", Path(f"shades{channels}.py"))
    return f"shades{channels}.py:PHL"


@pytest.mark.parametrize("channels", MODES)
def test_items_are_pils_pixels_of_the_mode(channels: int) -> None:
    network = load_network(model(channels))
    config = network.pretrained_cfg
    images = open_data("images", network, transform=train_transform(network, Augment(crop="resize", hflip=0)))
    mean, std = (np.array(config[key], np.float32) for key in ("mean", "std"))
    for i in range(len(images)):
        with Image.open(images.place(i)) as file:
            pixels = np.asarray(file.convert(MODES[channels]), np.float32).reshape(32, 48, channels)
        x, _ = images[i]
        np.testing.assert_allclose(x.permute(1, 2, 0).numpy(), (pixels / 255 - mean) / std, atol=1e-5)
        seen = _picture(network, read_image(Path(images.place(i)), network))
        assert seen.shape == (32, 48, 3)


@pytest.mark.parametrize("channels", [1, 4])
def test_training_and_evaluation_by_command(channels: int, hiergen: Callable[..., Any]) -> None:
    name = model(channels)
    settings = [f"--set={s}" for s in ("augment.crop=resize", "schedule.warmup_epochs=0", "optimizer.lr=0.01")]
    words = ("--data", "images", "--set=hold_out=0.34")
    done = hiergen("train", name, *words, "--epochs", 8, "--batch-size", 6, "--out", "run", "--workers", 0, *settings)
    assert done.code == 0, done.err
    assert f"PIL image in mode {MODES[channels]}" in Path("run/card.md").read_text()
    judged = hiergen("eval", name, "--weights", "run/best.safetensors", "--data", "images", "--json")
    assert judged.code == 0, judged.err
    network = load_network(name, "run/best.safetensors").eval()
    images = open_data("images", network)
    with torch.no_grad():
        right = [int(network(x[None]).argmax()) == target for x, target in images]
    assert json.loads(judged.out)["top1"] == pytest.approx(sum(right) / len(right), abs=1e-6)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_frozen_trunks_maps_are_kept_by_shape(channels: int, hiergen: Callable[..., Any]) -> None:
    words = ("--data", "images", "--epochs", 1, "--out", "run", "--workers", 0)
    done = hiergen("train", model(channels), *words, "--set=trunk.mode=frozen", "--cache", "maps")
    assert done.code == 0, done.err
    kept = [json.loads(file.read_text()) for file in Path("maps").rglob("about.json")]
    assert [about["input_size"] for about in kept] == [[channels, 32, 48]] * 2


def test_every_augmentation_of_greyscale_runs() -> None:
    network = load_network(model(1))
    for text in ("rand-m9-mstd0.5-inc1", "original", "v0r", "3a", "augmix-m10-w3"):
        transform = train_transform(network, Augment(auto_augment=text, random_erasing=0.5, color_jitter=0.4))
        for _ in range(20):
            assert transform(Image.linear_gradient("L")).shape == (1, 32, 48)
    network = load_network(model(4))
    assert "no images with an alpha" in message(lambda: train_transform(network, Augment(auto_augment="original")))
    x = train_transform(network, Augment(color_jitter=0.4, random_erasing=1))(Image.new("RGBA", (50, 40), "red"))
    assert x.shape == (4, 32, 48)


def test_sixteen_bits_of_grey_are_scaled(here: Path) -> None:
    deep = (np.arange(32 * 48, dtype=np.uint16) * 42).reshape(32, 48)
    Image.fromarray(deep).save(here / "images" / "dark" / "0.png")
    images = open_data("images", load_network(model(1)), classes=[0])
    assert np.array_equal(np.asarray(images.picture(0)), deep // 256)


def test_thirteen_channels_are_no_picture(hiergen: Callable[..., Any]) -> None:
    name = model(13)
    done = hiergen("train", name, "--data", "images", "--out", "run")
    assert done.code == 2
    assert "pictures of 13 channels cannot be read from image files; expected a network of 1 (greyscale)" in done.err
    assert "takes tensors (B, 13, 32, 48): train and test it in a loop of your own" in done.err
    assert load_network(name).eval()(torch.rand(2, 13, 32, 48)).shape == (2, 3)
    assert hiergen("cost", name, "--no-time", "--no-memory").code == 0
    assert hiergen("cutout", name, "--classes", "dark,light", "--out", "cut", "--untrained").code == 0
