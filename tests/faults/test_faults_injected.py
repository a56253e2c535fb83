"""Real commands, spoiled at one of their writes by a kill or an error of the system (benchmarks/faults.py: at all)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES
from injector import Fault, Server, why_not
from trial import Baseline, faults, trial, undisturbed

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.filterwarnings("ignore:Overwriting faulty:UserWarning"),  # timm, of one name again
]
# one fault in so many: of each command some, of all kinds together
SOME = {
    "build, over another": 29,
    "ask, answers kept": 41,
    "import": 23,
    "export safetensors": 23,
    "cutout --force": 37,
    "convert": 19,
    "predict": 13,
    "tune": 23,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.mark.parametrize("name", SOME)
def test_a_spoiled_write_loses_nothing(name: str, server: Server, tmp_path: Path) -> None:
    base = undisturbed(server, CASES[name], tmp_path)
    tried = faults(base.operations, every=SOME[name], seed=len(name))
    assert len(tried) >= 4
    found = {str(fault): trial(server, base, fault, tmp_path) for fault in tried}
    assert {fault: wrong for fault, wrong in found.items() if wrong} == {}


def test_a_training_goes_on_from_wherever_it_was_killed(server: Server, tmp_path: Path) -> None:
    """Before and after the renames of what it is a training of, its checkpoint, weights, history and card."""
    base = undisturbed(server, CASES["train"], tmp_path)
    last = {op.path: op.number for op in base.operations if op.name == "rename"}
    chosen = ("run.json", "recipe.yaml", "checkpoint.safetensors", "best.safetensors", "history.csv", "card.md")
    tried = [Fault(how, last[f"/work/run/{name}"]) for name in chosen for how in ("before", "after")]
    tried.append(
        Fault("half", next(op.number for op in base.operations if op.name == "write" and "/weights" in op.path))
    )
    found = {str(fault): trial(server, base, fault, tmp_path) for fault in tried}
    assert {fault: wrong for fault, wrong in found.items() if wrong} == {}


def test_a_log_that_cannot_be_written_is_no_reason_to_lose_a_training(server: Server, tmp_path: Path) -> None:
    base: Baseline = undisturbed(server, CASES["train"], tmp_path)
    logs = [op.number for op in base.operations if "/tensorboard" in op.path]
    for fault in (Fault("once", logs[0], "EACCES"), Fault("once", logs[-1], "EIO"), Fault("always", logs[1], "ENOSPC")):
        assert trial(server, base, fault, tmp_path) == [], str(fault)
    assert logs
