"""Every example of a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import hiergen
import hiergen.nn

ROOT = Path(__file__).parents[2]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(hiergen.__path__, "hiergen.")
    if not module.ispkg and ">>>" in Path(f"{ROOT}/{module.name.replace('.', '/')}.py").read_text("utf-8")
)


@cache
def shared() -> dict[str, Any]:
    """What examples may speak of: a network of four pets, and two images for it."""
    groups = {"domestic cat": ["tabby", "Persian cat"], "dog": ["pug", "beagle"]}
    classes = [name for names in groups.values() for name in names]
    network = hiergen.network(classes, groups=groups, backbone="resnet18", input_size=64)
    answers = {"logits": torch.tensor([[2.0, 1.0, 0.0, 0.0], [2.0, 0.0, 1.0, 0.0]]), "targets": torch.tensor([0, 2])}
    layers = {name: getattr(hiergen.nn, name) for name in hiergen.nn.__all__}
    answers["images"] = torch.rand(2, 3, 64, 64)
    return {**layers, "network": network.eval(), "Image": Image, **answers}


def test_there_are_examples() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("taxonomies", "generated"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for example in doctest.DocTestFinder(exclude_empty=True).find(module):
        example.globs = {**shared(), **example.globs}
        runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)
