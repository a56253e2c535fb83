"""`budget: {ms: …}`: the solver on times that are known, the record that is found again, one real measurement."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from hiergen.cli import app
from hiergen.costs.measured import in_turns
from hiergen.errors import HiergenError, PlanError, SpecError
from hiergen.planning import latency as module
from hiergen.planning.aim import Aimed
from hiergen.planning.from_taxonomy import latencies, plan_if_known, plan_models, plan_nesting, validate
from hiergen.planning.latency import MOST, solve_macs
from hiergen.planning.network import Timer
from hiergen.taxonomy.load import load_taxonomy

NARROWEST = 40_000_000


def plan(macs: int | None) -> Any:
    """A plan whose MACs are multiples of 64,000, as widths allow."""
    return SimpleNamespace(macs=NARROWEST if macs is None else max(macs // 64_000 * 64_000, NARROWEST))


def linear(macs: int) -> float:
    return 0.5 + macs * 5e-9


def noisy(macs: int, rng: random.Random = random.Random(0)) -> float:  # noqa: B008
    return linear(macs) * rng.uniform(1, 1.03)


def steps(macs: int) -> float:
    return 1.0 + macs // 200_000_000


def curved(macs: int) -> float:
    return 0.5 + (macs / 1e9) ** 0.7 * 4


@pytest.mark.parametrize("time", [linear, noisy, steps, curved])
@pytest.mark.parametrize("budget", [1.1, 3.0, 12.0, 70.0])
def test_the_largest_within_the_budget_is_reached_in_few_measurements(
    time: Callable[[int], float], budget: float
) -> None:
    measured: dict[int, float] = {}

    def measure(planned: Any) -> float:
        assert planned.macs not in measured
        measured[planned.macs] = time(planned.macs)
        return measured[planned.macs]

    macs, ms = solve_macs(plan, measure, budget)
    assert ms == measured[plan(macs).macs] <= budget
    assert len(measured) <= 1 + MOST
    assert plan(macs).macs == max(macs for macs, ms in measured.items() if ms <= budget)
    if time is not steps:
        assert ms >= 0.96 * budget
    assert macs == NARROWEST or len(str(macs).rstrip("0")) <= 4


def test_a_single_disturbed_measurement_is_got_over() -> None:
    calls = []

    def measure(planned: Any) -> float:
        calls.append(planned.macs)
        return linear(planned.macs) * (2.5 if len(calls) == 2 else 1)

    assert 0.85 * 3 <= solve_macs(plan, measure, 3.0)[1] <= 3


def test_a_hair_over_the_budget_is_over() -> None:
    times = iter([1.0, 3.001, 2.95])
    assert solve_macs(plan, lambda _: next(times), 3.0)[1] == 2.95


def test_another_bound_ends_it() -> None:
    calls = []

    def measure(planned: Any) -> float:
        calls.append(planned.macs)
        return linear(planned.macs)

    bounded = 200_000_000
    macs, ms = solve_macs(lambda macs: plan(macs and min(macs, bounded)), measure, 1e6)
    assert (plan(min(macs, bounded)).macs, ms) == (plan(bounded).macs, linear(plan(bounded).macs))
    assert len(calls) == 2


def test_too_few_ms_name_the_narrowests() -> None:
    with pytest.raises(PlanError, match=r"budget of 0\.6 ms is too small; expected at least 0\.7 ms with this trunk"):
        solve_macs(plan, lambda planned: linear(planned.macs), 0.6)


MODEL = "{trunk: {backbone: test_resnet}, input_size: 32, block: bottleneck, budget: {ms: MS, runtime: torch}}"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "t.yaml"
    path.write_text(f"name: t\nclasses: imagenette\nmodels:\n  N2HL: {MODEL.replace('MS', '5')}\n")
    return path


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Times without a clock; the MACs of what was timed."""
    from hiergen.planning import network

    calls: list[int] = []

    def measure(plan: Any, runtime: str, threads: int) -> float:
        assert (runtime, threads) == ("torch", 1)
        calls.append(plan.macs)
        return 1 + 2e-7 * plan.macs

    monkeypatch.setattr(network, "measure_ms", measure)
    return calls


def test_what_was_measured_is_found_again(file: Path, timed: list[int]) -> None:
    loaded = load_taxonomy(file)
    plan_models(load_taxonomy(_without_ms(file)))  # the backbone's facts
    assert [f.message for f in validate(file) if f.code == "W501"] == [
        "model N2HL: its budget of 5 ms was never measured here; 'hiergen build' checks it"
    ]
    assert plan_if_known(loaded, "N2HL") is None
    assert (
        "N2HL: budget not measured yet; run 'hiergen build t.yaml' once"
        in CliRunner().invoke(app, ["show", "t.yaml"]).output
    )
    assert not timed
    (planned,) = plan_models(loaded)
    assert 0.96 * 5 < 1 + 2e-7 * planned.macs <= 5
    count = len(timed)
    assert [planned] == plan_models(load_taxonomy(file)) == [plan_if_known(loaded, "N2HL")]
    other = plan_nesting(loaded, loaded.nesting_of(3))  # within the MACs of N2HL
    assert other is not None
    assert 0.9 * planned.macs < other.macs <= 1.01 * planned.macs
    assert len(timed) == count
    code = (
        "import sys; from hiergen.planning.from_taxonomy import *; from hiergen.taxonomy.load import load_taxonomy\n"
        "print(plan_if_known(load_taxonomy('t.yaml'), 'N2HL').macs, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(planned.macs), "False"]
    (record,) = (file.parent / "cache/hiergen/latency").iterdir()
    kept = json.loads(record.read_text().partition("\n")[2])
    assert set(kept) == {"macs", "ms", "machine", "runtime", "threads", "date"}
    record.write_text(record.read_text().replace('"ms":', '"ms":1'))  # damaged: measured anew
    assert plan_if_known(loaded, "N2HL") is None


def test_build_says_the_line_for_other_machines(file: Path, timed: list[int]) -> None:
    output = CliRunner().invoke(app, ["build", "t.yaml"]).output
    (line,) = (line for line in output.splitlines() if line.startswith("N2HL: "))
    assert " of 5 ms in torch " in line
    assert "1 thread; on other machines the same widths by budget: {macs: " in line
    budget = line.partition("by budget: ")[2]
    other = _without_ms(file, budget)
    (same,), (planned,) = plan_models(load_taxonomy(other)), plan_models(load_taxonomy(file))
    assert same.levels == planned.levels


def test_a_tighter_bound_of_macs_is_in_the_line(file: Path, timed: list[int]) -> None:
    file.write_text(file.read_text().replace("ms: 5", "ms: 5, macs: 9M, grid: 8"))
    (line,) = (line for line in CliRunner().invoke(app, ["build", "t.yaml"]).output.splitlines() if " ms in " in line)
    assert line.startswith("N2HL: 2.")
    assert line.endswith("{macs: 9M, grid: 8}")
    assert len(timed) == 2


def _without_ms(file: Path, budget: str = "{params: 1M}") -> Path:
    other = file.with_name("other.yaml")
    other.write_text(file.read_text().replace("{ms: 5, runtime: torch}", budget))
    return other


def test_other_ms_threads_or_machines_are_measured_anew(
    file: Path, timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_models(load_taxonomy(file))
    monkeypatch.setattr(module, "processor", lambda: "another CPU")
    assert plan_if_known(load_taxonomy(file), "N2HL") is None
    monkeypatch.undo()
    file.write_text(file.read_text().replace("ms: 5", "ms: 4"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(file.parent / "cache"))
    assert plan_if_known(load_taxonomy(file), "N2HL") is None


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("{ms: 0}", "ms"),
        ("{ms: fast}", "ms"),
        ("{ms: .inf}", "ms"),
        ("{ms: 5, runtime: tensorrt}", "expected 'torch', 'compiled', 'onnxruntime' or 'openvino', got 'tensorrt'"),
        ("{ms: 5, threads: 0}", "threads"),
        ("{params: 1M, runtime: torch}", "'runtime' goes with 'ms' only"),
        ("{macs: 1G, threads: 2}", "'threads' goes with 'ms' only"),
        ("{runtime: torch}", "expected params, macs, ms or some of them"),
    ],
)
def test_bad_budgets_are_one_sentence(file: Path, budget: str, message: str) -> None:
    with pytest.raises(SpecError, match=rf"t\.yaml:4: .*{message}"):
        load_taxonomy(_without_ms(file, budget).rename(file))


def test_what_cannot_be_is_said_before_anything_is_measured(
    file: Path, timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlanError, match=r"other\.yaml:4: the budget of 10\.00k params is too small"):
        plan_models(load_taxonomy(_without_ms(file, "{ms: 5, runtime: torch, params: 10k}")))
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(HiergenError, match=r"not installed; run: pip install 'hiergen\[openvino\]'"):
        plan_models(load_taxonomy(_without_ms(file, "{ms: 5, runtime: openvino}")))
    assert not timed


def test_a_real_network_is_timed(file: Path) -> None:
    file.write_text(file.read_text().replace("ms: 5", "ms: 1e4, params: 200k"))
    (planned,) = plan_models(load_taxonomy(file))
    assert 0.98 * 200_000 <= planned.params <= 200_000
    file.write_text(file.read_text().replace("ms: 1e4", "ms: 1e-3"))
    with pytest.raises(
        PlanError, match=r"t\.yaml:4: the budget of 0\.001 ms is too small; expected at least [\d.]+ ms"
    ):
        plan_models(load_taxonomy(file))


@pytest.mark.parametrize(
    ("cutout", "size", "text"),
    [
        (0.57, (3, 128, 128), "the flat network at 96 px"),  # 128 · √0.57 = 96.6
        (0.41, (3, 128, 128), "the flat network at 80 px"),
        (0.5, (3, 224, 160), "the flat network at 160 × 112 px"),
        (0.05, (3, 64, 64), "the flat network at 32 px"),
    ],
)
def test_the_flat_network_that_is_as_fast_is_named(cutout: float, size: tuple[int, int, int], text: str) -> None:
    ms = {"flat": 2.0, "trunk": 0.5, "cutout": 2.0 * cutout, "full": 2.0}
    record = {"until": "blocks.3", "shape": None, "machine": "m", "runtime": "r", "threads": 1, "date": "d"}
    assert f"as fast as a cutout is {text}, and it may" in Aimed.model_construct(**record, **ms).rival(size)


def test_a_runtime_that_is_installed_later_changes_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("hiergen.planning.network.LEAST", 0.0)
    monkeypatch.setattr("hiergen.planning.aim.usual_runtime", lambda: "torch")
    file = tmp_path / "a.yaml"
    text = (
        "name: a\nclasses: [cat, dog, oak, fir]\nsources: [wordnet]\nmodels:\n  M:\n    levels: 2\n    input_size: 32\n"
    )
    file.write_text(text + "    trunk: {backbone: mobilenetv2_035}\n    aim: {cutout: 0.9}\n")
    (before,) = plan_models(load_taxonomy(file))
    (line,) = (line for line in latencies(load_taxonomy(file)) if "takes" in line)
    assert ", in torch " in line
    assert "measures anew" not in line
    monkeypatch.setattr("hiergen.planning.aim.usual_runtime", lambda: "onnxruntime")
    monkeypatch.setattr("hiergen.planning.from_taxonomy.measure_aimed", None)
    assert plan_if_known(load_taxonomy(file), "M") == before
    assert plan_models(load_taxonomy(file)) == [before]
    (line,) = (line for line in latencies(load_taxonomy(file)) if "takes" in line)
    assert line.endswith("'runtime: onnxruntime' under 'aim' measures anew in that")
    file.write_text(text + "    trunk: {backbone: mobilenetv2_035}\n    aim: {cutout: 0.9, runtime: onnxruntime}\n")
    assert plan_if_known(load_taxonomy(file), "M") is None


def test_numbers_below_full_precision_cost_nothing_while_runs_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors take many times as long for them: of random networks some would be slower than others."""
    monkeypatch.setattr("hiergen.planning.network.LEAST", 0.0)
    kept: list[bool] = []

    def run() -> bool:
        kept.append(float(torch.tensor(1e-40) * torch.tensor(1.0)) > 0)
        return kept[-1]

    assert run()  # as anywhere else
    Timer((3, 8, 8), "torch", 1).measure([run])
    in_turns({"one": run}, torch.device("cpu"), repeats=2)
    assert run()
    assert not any(kept[1:-1])
    torch.set_flush_denormal(True)
    try:
        in_turns({"one": run}, torch.device("cpu"), repeats=1)
        assert not run()  # whose own setting it was
    finally:
        torch.set_flush_denormal(False)
