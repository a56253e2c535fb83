"""What tests of several rooms use."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.errors import HiergenError

ROOT = Path(__file__).parents[1]


def message(act: Callable[[], object]) -> str:
    """The sentence with which hiergen refuses."""
    with pytest.raises(HiergenError) as caught:
        act()
    return str(caught.value)


def imported(path: Path, name: str = "") -> ModuleType:
    """A generated file as a module."""
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    module = sys.modules[name or path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def counted_macs(module: nn.Module, *shape: int) -> int:
    """MACs per image by torch's own counter, of a module without memory: what two images take beyond one, so that work
    on weights alone does not count."""
    counts = []
    for batch in (1, 2):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.empty(batch, *shape, device="meta"))
        counts.append(counter.get_total_flops() // 2)
    return counts[1] - counts[0]


def printed_twice(code: str, *arguments: object) -> str:
    """What this code prints: the same here and in a fresh Python whose hashes have another seed."""
    words = [sys.executable, "-c", code, *map(str, arguments)]
    env = os.environ | {"PYTHONHASHSEED": "7"}
    there = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with mock.patch.object(sys, "argv", words[2:]), contextlib.redirect_stdout(io.StringIO()) as here:
        exec(code, {})
    assert here.getvalue() == there
    return there


def check_lint(path: Path) -> None:
    """A generated file is as ruff would have it."""
    for command in ("check", "format --diff"):
        ruff = [sys.executable, "-m", "ruff", *command.split(), "--no-cache", "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run([*ruff, str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
