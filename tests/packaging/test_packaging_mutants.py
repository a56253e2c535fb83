"""benchmarks/mutants.yaml follows the code: each mutant's text is there, once, and so are the tests to run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = importlib.util.spec_from_file_location("mutants", ROOT / "benchmarks/mutants.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "mutants", module)
    found.loader.exec_module(module)
    return module


def test_every_mutant_can_be_made(script: ModuleType) -> None:
    made = list(script.mutants())
    assert len(made) > 250
    for mutant in made:
        assert mutant.applied((ROOT / mutant.file).read_text("utf-8"))
        assert all((ROOT / test).exists() for test in " ".join(mutant.tests).split()), mutant
