"""`budget: {ms: 12}`: the MACs that take so long on this machine, measured once and kept in the user's cache folder.

Milliseconds grow nearly linearly with MACs: a few networks are planned, built with random weights and timed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from math import floor, log10
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hiergen import files as io
from hiergen.errors import OutputError, PlanError
from hiergen.hardware import processor
from hiergen.planning.backbones import BackboneFacts, read_record, write_record
from hiergen.planning.budget import GRID
from hiergen.planning.compile import compile_plan
from hiergen.planning.plan import Plan
from hiergen.taxonomy.modelspec import Budget, ModelSpec
from hiergen.taxonomy.nesting import Nesting

CLOSE = 0.97  # of the ms: near enough
AIM = 0.985
MOST = 6  # networks that are timed, besides the narrowest
FURTHEST = 8  # times the MACs of what was timed before
NARROW = 1.05  # between bounds nearer than that there is nothing to find
FLATTEST = 0.3  # slope, of ms / MACs: less is noise

Progress = Callable[[str], None]


class Latency(BaseModel):
    """The `macs` that a budget must say for a network of `ms` milliseconds, and what they were measured on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    macs: int
    ms: float
    machine: str
    runtime: str
    threads: int
    date: str

    def sentence(self, budget: Budget) -> str:
        """What was measured, and the line that gives the same widths elsewhere."""
        keys = {"params": budget.params, "macs": _amount(self.macs), "grid": budget.grid or GRID}
        line = ", ".join(f"{key}: {value}" for key, value in keys.items() if value is not None)
        return (
            f"{self.ms:.3g} of {budget.ms:g} ms in {self.runtime} on {self.machine}, {self.threads} "
            f"thread{'s' * (self.threads > 1)}; on other machines the same widths by budget: {{{line}}}"
        )


def find_latency(spec: ModelSpec, nesting: Nesting, facts: BackboneFacts) -> Latency | None:
    """What was measured here for this model before. Never imports torch."""
    with suppress(OutputError):  # no home, no record
        return read_record(_file(spec, nesting, facts), Latency)
    return None


def measure_latency(spec: ModelSpec, nesting: Nesting, facts: BackboneFacts, progress: Progress) -> Latency:
    """Solve a model's budget of ms by measuring networks, and keep it. Imports torch.

    Raises HiergenError for a runtime that is not installed, ms that cannot be met, and a cache that cannot be written.
    """
    from hiergen.nn.runtimes import RUNTIMES, version
    from hiergen.planning.network import measure_ms

    budget, file = spec.budget, _file(spec, nesting, facts)
    assert budget is not None
    assert budget.ms is not None
    with io.in_cache():
        io.check_writable(file)
    runtime, threads = _runtime(budget)
    RUNTIMES[runtime].package()

    def plan(macs: int | None) -> Plan:
        """Within so many MACs, or the narrowest."""
        bounded = spec if macs is None else with_macs(spec, macs)
        return compile_plan("", "M", bounded, nesting, facts, narrowest=macs is None)

    def measure(plan: Plan) -> float:
        ms = measure_ms(plan, runtime, threads)
        progress(f"{ms:.3g} ms with {plan.macs / 1e9:.3g} GMACs")
        return ms

    if budget.params is not None or budget.macs is not None:
        compile_plan("", "M", spec, nesting, facts)  # too small a bound is said before any is measured
    macs, ms = solve_macs(plan, measure, budget.ms)
    latency = Latency(
        macs=min(macs, budget.macs or macs),
        ms=round(ms, 4),
        machine=processor(),
        runtime=f"{runtime} {version(runtime)}",
        threads=threads,
        date=date.today().isoformat(),
    )
    write_record(file, latency)
    return latency


def solve_macs(
    plan: Callable[[int | None], Plan], measure: Callable[[Plan], float], budget: float
) -> tuple[int, float]:
    """(MACs to plan for, ms measured) of the largest network that was measured within the budget, ms.

    The narrowest (`plan(None)`) is measured first; then the secant through the two nearest leads to the next one, until
    one comes within 3 % or six are measured. Raises PlanError with the narrowest's ms where those are too many.
    """
    first = plan(None)
    low, below = first.macs, measure(first)  # the most MACs within the budget
    if below > budget:
        expected = f"at least {below:.3g} ms with this trunk"
        raise PlanError(f"the budget of {budget:g} ms is too small", expected=expected, code="E503")
    bound, macs = first.macs, {first.macs}
    high: tuple[int, float] | None = None  # the fewest beyond it
    slope = below / low
    for _ in range(MOST):
        if below >= CLOSE * budget:
            break
        if high is not None and high[0] < NARROW * low:
            high, slope = None, below / low  # what was beyond it may have been disturbed
        if high is not None:
            slope = (high[1] - below) / (high[0] - low)
        guess = low + (AIM * budget - below) / slope
        if high is not None and not low < guess < high[0]:
            guess = (low + high[0]) / 2
        tried = _rounded(min(guess, FURTHEST * low))
        planned = plan(tried)
        if planned.macs in macs:
            break  # the channels' grid, or another bound, leaves nothing between
        macs.add(planned.macs)
        ms = measure(planned)
        if ms > budget:
            high = (planned.macs, ms)
        elif planned.macs > low:
            slope = max((ms - below) / (planned.macs - low), FLATTEST * ms / planned.macs)
            bound, low, below = tried, planned.macs, ms
    return bound, below


def with_macs(spec: ModelSpec, macs: int) -> ModelSpec:
    """The model with a bound of so many MACs in the place of its ms."""
    assert spec.budget is not None
    tighter = min(macs, spec.budget.macs or macs)
    budget = spec.budget.model_copy(update={"macs": tighter, "ms": None, "runtime": None, "threads": None})
    return spec.model_copy(update={"budget": budget})


def _runtime(budget: Budget) -> tuple[str, int]:
    return budget.runtime or "onnxruntime", budget.threads or 1


def _file(spec: ModelSpec, nesting: Nesting, facts: BackboneFacts) -> Path:
    """Where the record lies: named by all that the widths depend on. Names of groups and classes are not."""
    assert spec.budget is not None
    shape = [nesting.parents(level) for level in range(2, nesting.depth + 1)]
    key = [spec.model_dump(mode="json"), shape, nesting.heads, facts.model_dump(mode="json")]
    text = json.dumps([*key, *_runtime(spec.budget), processor()], sort_keys=True)
    return io.cache_home() / "latency" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _rounded(macs: float) -> int:
    """Down to four digits, which a budget can say."""
    step = 10 ** max(floor(log10(macs)) - 3, 0)
    return int(macs // step * step)


def _amount(macs: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6)):
        if macs >= size:
            return f"{macs / size:.12g}{unit}"
    return str(macs)
