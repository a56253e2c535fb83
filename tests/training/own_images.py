"""A user's own data: classes in plain words, told apart by their colour, in folders that sort otherwise."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from hiergen.codegen.build import build

# Class ids in the order of the logits; the folder and the colour of each. Folders sort as moss, Night Sky, plum, …
CLASSES = ("sky", "rust", "moss", "sand", "plum")
FOLDERS = {"sky": "Night_Sky", "rust": "rust", "moss": "moss", "sand": "sand", "plum": "plum"}
COLOURS = {
    "sky": (30, 60, 230),
    "rust": (210, 50, 20),
    "moss": (40, 170, 40),
    "sand": (230, 210, 130),
    "plum": (110, 20, 110),
}
GROUPS = {"sky": "cold", "moss": "cold", "plum": "cold", "rust": "warm", "sand": "warm"}
SPEC = """\
name: {name}
classes: [sky, rust, moss, sand, plum]
names: {{sky: night sky}}
sources:
  - groups: {{cold: [sky, moss, plum], warm: [rust, sand]}}
nesting: {{closeness: 0}}
models:
  N2HL: &small
    trunk: {{backbone: {backbone}, until: layer1}}
    input_size: 32
    block: bottleneck
    depth: 1
    budget: {{params: {params}}}
  PHL: *small
"""
PLAIN = ("augment.crop=none", "augment.hflip=0", "schedule.warmup_epochs=0", "loss.smoothing=0")


def source(folder: Path, name: str = "toy_colours", *, params: str = "50k", backbone: str = "test_resnet") -> Path:
    """A generated file with N2HL and PHL, both on the same trunk."""
    spec = folder / f"{name}.yaml"
    spec.write_text(SPEC.format(name=name, params=params, backbone=backbone), "utf-8")
    return build(spec, folder / f"{name}.py").path


def folders(root: Path, each: int = 6, *, seed: int = 0) -> Path:
    """A folder of images for each class."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (root / FOLDERS[name]).mkdir(parents=True)
        for number in range(each):
            pixels = np.array(COLOURS[name]) + rng.normal(0, 18, (32, 32, 3))
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(root / FOLDERS[name] / f"{number}.png")
    return root


def tar(root: Path) -> Path:
    """The same as a tar beside it."""
    path = root.with_name(f"{root.name}.tar")
    with tarfile.open(path, "w") as file:
        file.add(root, root.name)
    return path


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, byte for byte."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
