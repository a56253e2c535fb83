"""`aim: {cutout: 0.6}`: trunk, depth and widths for which cutouts take that part of the flat network's time here.

The flat network and the backbone up to each of its stages are timed once for a machine. What a tail behind a stage
takes is guessed by its MACs, at what the backbone's own take there; the cutouts of the plan are then timed beside the
flat network, and the guess is mended. Of the stages behind which the aim leaves room for a tail with a quarter of the
channels, the last one is taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from hiergen import files as io
from hiergen.errors import OutputError, PlanError, quoted
from hiergen.hardware import processor
from hiergen.planning.backbones import BackboneFacts, find_stage, read_record, write_record
from hiergen.planning.blocks import trunk_plan
from hiergen.planning.compile import compile_plan, find_tail
from hiergen.planning.plan import Plan
from hiergen.planning.tails import NARROWEST, Shape, widest
from hiergen.taxonomy.modelspec import Aim, ModelSpec
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from hiergen.nn.runtimes import Run

ENOUGH = 0.25  # of the channels: with fewer an earlier stage is tried
CLOSE, AIMED = 0.96, 0.98  # of the aim: near enough, and what is tried
MOST = 4  # plans that are timed
ROUTABLE = 0.4  # of the flat network's ms: with less below the cut there is little to gain

Progress = Callable[[str], None]


class StageTime(BaseModel):
    """ms of the backbone up to a stage, and of the flat network beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trunk: float
    flat: float


_STEP = 16  # px


class Aimed(BaseModel):
    """What an aim came to: the trunk's last stage and the tails' shape; ms of the flat network, of the trunk, of a mean
    group's cutout and of the whole network; and what they were measured on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: str
    shape: Shape
    flat: float
    trunk: float
    cutout: float
    full: float
    machine: str
    runtime: str
    threads: int
    date: str

    def sentence(self, aim: Aim) -> str:
        """What was measured."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        text = (
            f"trunk until {self.until}; a group's cutout takes {self.cutout / self.flat:.2f} × the flat network's "
            f"{self.flat:.3g} ms (aim: {aim.cutout:g}), the whole network {self.full / self.flat:.2f} ×, in "
            f"{self.runtime} on {self.machine}, {threads}"
        )
        if self.trunk > (1 - ROUTABLE) * self.flat:
            text += f"; only {1 - self.trunk / self.flat:.0%} of the flat network's time lies behind the trunk"
        if not self.runtime.startswith(_runtime(aim)):
            text += f"; 'runtime: {_runtime(aim)}' under 'aim' measures anew in that"
        return text

    def rival(self, input_size: tuple[int, int, int]) -> str:
        """The flat network of smaller images that takes as long as a mean cutout."""
        sides = equal_sides(input_size, self.cutout / self.flat)
        text = f"{sides[0]} px" if sides[0] == sides[1] else f"{sides[0]} × {sides[1]} px"
        setting = str(sides[0]) if sides[0] == sides[1] else str(sides)
        return (
            f"as fast as a cutout is the flat network at {text}, and it may recognise more: "
            f"'input_size: {setting}' and 'hiergen train --flat' say so"
        )


def equal_sides(input_size: tuple[int, int, int], share: float) -> list[int]:
    """Sides in px of the images of which a network takes this part of its time: it goes with their pixels."""
    return [max(round(side * share**0.5 / _STEP) * _STEP, 2 * _STEP) for side in input_size[1:]]


def find_aimed(spec: ModelSpec, nesting: Nesting, facts: BackboneFacts) -> Aimed | None:
    """What was measured here for this model before; where the aim names no runtime, in the usual one or else in
    another: one that is installed later changes no network. Never imports torch."""
    aim = spec.find_aim()
    assert aim is not None
    for runtime in dict.fromkeys((_runtime(aim), *(() if aim.runtime else ("torch", "onnxruntime")))):
        with suppress(OutputError):  # no home, no record
            if (found := read_record(_file(spec, nesting, facts, runtime), Aimed)) is not None:
                return found
    return None


def measure_aimed(spec: ModelSpec, nesting: Nesting, facts: BackboneFacts, progress: Progress) -> Aimed:
    """Solve a model's aim by measuring, and keep it. Imports torch.

    Raises PlanError for an aim that cannot be met and a backbone whose blocks branches cannot be made of, HiergenError
    for a runtime that is not installed and a cache that cannot be written.
    """
    aim = spec.find_aim()
    assert aim is not None
    file = _file(spec, nesting, facts, _runtime(aim))
    with io.in_cache():
        io.check_writable(file)
    aimed = _Solver(spec, nesting, facts, progress).solve()
    write_record(file, aimed)
    return aimed


def cut_at(spec: ModelSpec, until: str) -> ModelSpec:
    """The model with a trunk that ends after this stage."""
    return spec.model_copy(update={"trunk": spec.trunk.model_copy(update={"until": until})})


class _Solver:
    def __init__(self, spec: ModelSpec, nesting: Nesting, facts: BackboneFacts, progress: Progress) -> None:
        aim = spec.find_aim()
        assert aim is not None
        self.spec, self.nesting, self.facts, self.progress, self.aim = spec, nesting, facts, progress, aim
        self.runtime, self.threads = _runtime(aim), aim.threads
        self.classes = len(nesting.classes)
        # of the finest groups
        self.shared = self.classes / nesting.counts[-1] if nesting.counts else 1.0
        level = max(nesting.depth - 1, 1)
        groups = [nesting.members(level, group) for group in range(len(nesting.names(level)))]
        self.group = min(groups, key=lambda inside: abs(len(inside) - self.shared))

    def solve(self) -> Aimed:
        """The widest plan that was measured within the aim."""
        from hiergen.planning.measure import flat_network
        from hiergen.planning.network import Timer

        size = self.facts.input_size
        self.timer = Timer(size, self.runtime, self.threads)
        self.flat = self.timer.add(flat_network(self.spec.trunk.backbone, self.classes, size))
        self.trunks: dict[str, Run] = {}
        tried: list[Aimed] = []
        best: Aimed | None = None
        for until, shape in self._splits():
            if (best := self._fitted(until, shape, tried)) is not None:
                break
        closest = min(tried, key=lambda aimed: aimed.cutout / aimed.flat)
        if best is None and not self._by_macs(closest):
            raise self._too_fast(closest)
        best = best or closest  # the machine was busy, and the sentence says so
        return best if self.aim.full is not None else self._measured(best.until, best.shape, full=True)

    def _by_macs(self, aimed: Aimed) -> bool:
        """Whether a plan is within the aim by its MACs."""
        plan, flat = self._plan(aimed.until, aimed.shape), self.facts.flat(self.classes)[1]
        whole = plan.macs if plan.generalist is None else plan.trunk.macs + plan.generalist.macs
        cutout = plan.trunk.macs + self._path_macs(aimed.until, aimed.shape)
        return cutout <= self.aim.cutout * flat and (self.aim.full is None or whole <= self.aim.full * flat)

    def _fitted(self, until: str, shape: Shape, tried: list[Aimed]) -> Aimed | None:
        """The widest plan with this split that was measured within the aim; all that were measured go to `tried`."""
        best: Aimed | None = None
        scale = 1.0
        for _ in range(MOST):
            aimed = self._measured(until, shape)
            tried.append(aimed)
            share, trunk = aimed.cutout / aimed.flat, aimed.trunk / aimed.flat
            over = share / self.aim.cutout
            if self.aim.full is not None:
                over = max(over, aimed.full / aimed.flat / self.aim.full)
            if over <= 1 and (best is None or (shape.further, shape.share) > (best.shape.further, best.shape.share)):
                best = aimed
            if CLOSE <= over <= 1 or (over > 1 and shape == NARROWEST):
                break
            # what of the time is not the trunk's grows with the tail
            wished = max(AIMED * self.aim.cutout - trunk, 1e-3) / max(share - trunk, 1e-3)
            scale *= wished if over <= 1 else min(wished, 0.9)
            if (wider := self._widest(until, scale)) in (None, shape):
                break
            assert wider is not None
            shape = wider
        return best

    def _splits(self) -> Iterator[tuple[str, Shape]]:
        """The stages that come into question, and the widest tails behind them: the last one behind which the aim
        leaves room for enough channels first, then earlier ones, then the one with most."""
        narrow: list[tuple[float, str, Shape]] = []
        flat_macs, none = self.facts.flat(self.classes)[1], True
        for stage in reversed(self.facts.stages):
            if stage.name != (self._fixed() or stage.name) or stage.macs > 1.1 * self.aim.cutout * flat_macs:
                continue
            if (shape := self._widest(stage.name, 1.0)) is None:
                continue
            none = False
            if shape.share >= ENOUGH:
                yield stage.name, shape
            else:
                narrow.append((shape.share, stage.name, shape))
        yield from ((name, shape) for _, name, shape in sorted(narrow, key=lambda row: -row[0])[:1])
        if none:
            why = self.facts.unlike or f"{self.nesting.depth} levels need as many blocks after the cut"
            raise PlanError(
                f"no stage of {self.facts.backbone} leaves blocks that branches can be made of within "
                f"{self.aim.cutout:g} × its ms",
                expected="a larger 'aim', another backbone, or a 'budget' with a 'block'",
                hint=why,
                code="E502",
            )

    def _widest(self, until: str, scale: float) -> Shape | None:
        """The widest tail behind a stage for which the aim leaves room, by MACs; `scale` is how many more than the
        backbone's own take as long. None where branches cannot be made of what is behind it."""
        stage = find_stage(self.facts, until)
        trunk = trunk_plan(self.spec.trunk.backbone, self.facts, stage, self.classes)
        try:
            tail = find_tail(self.facts, trunk, self.spec.block, self.nesting.depth, self.shared)
        except PlanError:  # fewer blocks than levels
            return None
        if tail is None:
            return None
        time, below = self._time(until), self.facts.flat(self.classes)[1] - stage.macs
        room = max(self.aim.cutout - time.trunk / time.flat, 1e-9)
        limit = scale * room * below / max(1 - time.trunk / time.flat, 1e-9)
        return widest(tail, lambda shape: self._path_macs(until, shape) / limit)

    def _path_macs(self, until: str, shape: Shape) -> float:
        """MACs of a finest group's branches, in the mean over the groups."""
        *above, last = self._plan(until, shape).levels
        return sum(level.branch_macs for level in above) + self.shared * (last.branch_macs + last.channels)

    def _plan(self, until: str, shape: Shape) -> Plan:
        return compile_plan("", "M", cut_at(self.spec, until), self.nesting, self.facts, shape=shape)

    def _fixed(self) -> str | None:
        """The stage that the file names."""
        until = self.spec.trunk.until
        return None if until in (None, "auto") else find_stage(self.facts, str(until)).name

    def _time(self, until: str) -> StageTime:
        """Of the backbone up to a stage; measured once on a machine."""
        facts, backbone = self.facts, self.spec.trunk.backbone
        key = [backbone, facts.input_size, until, self.classes, self.runtime, self.threads]
        file = _named("stages", key)
        if (time := read_record(file, StageTime)) is None:
            self.progress(f"timing {backbone} until {until}")
            flat_ms, trunk_ms = self.timer.measure([self.flat, self._trunk(until)])
            time = StageTime(trunk=trunk_ms, flat=flat_ms)
            write_record(file, time)
        return time

    def _trunk(self, until: str) -> Run:
        from hiergen.nn import Trunk

        if until not in self.trunks:
            trunk = Trunk(self.spec.trunk.backbone, until, input_size=self.facts.input_size)
            self.trunks[until] = self.timer.add(trunk.eval())
        return self.trunks[until]

    def _measured(self, until: str, shape: Shape, *, full: bool = False) -> Aimed:
        """A plan's cutout of a mean group, beside the flat network, and the whole where that is asked for."""
        from hiergen.nn.runtimes import version
        from hiergen.planning.network import network_of

        network = network_of(self._plan(until, shape))
        part = network.cutout(self.group) if len(self.group) < self.classes else network
        runs = [self.flat, self._trunk(until), self.timer.add(part)]
        if network.generalist is not None:
            network.form = "generalist"
        if full or self.aim.full is not None:
            runs.append(self.timer.add(network))
        flat_ms, trunk_ms, cutout, *whole = self.timer.measure(runs)
        self.progress(f"{until}, {shape.share:.2f} of the channels: {cutout / flat_ms:.2f} × the flat network's ms")
        return Aimed(
            until=until,
            shape=shape,
            flat=round(flat_ms, 4),
            trunk=round(trunk_ms, 4),
            cutout=round(cutout, 4),
            full=round(whole[0], 4) if whole else 0.0,
            machine=processor(),
            runtime=f"{self.runtime} {version(self.runtime)}",
            threads=self.threads,
            date=date.today().isoformat(),
        )

    def _too_fast(self, closest: Aimed) -> PlanError:
        asked = f"{self.aim.cutout:g} ×"
        reached = f"cutout: {closest.cutout / closest.flat + 0.005:.2f}"
        if self.aim.full is not None:
            asked += f", and {self.aim.full:g} × in full,"
            reached += f", full: {closest.full / closest.flat + 0.005:.2f}"
        return PlanError(
            f"the aim of {asked} the flat network's ms cannot be met",
            expected=f"{{{reached}}} or more with {quoted(self.facts.backbone)}",
            code="E503",
        )


def usual_runtime() -> str:
    """What is measured in where nothing is said: onnxruntime with what writes its files, else torch."""
    installed = all(find_spec(package) for package in ("onnxruntime", "onnx", "onnxscript"))
    return "onnxruntime" if installed else "torch"


def _runtime(aim: Aim) -> str:
    return aim.runtime or usual_runtime()


def _file(spec: ModelSpec, nesting: Nesting, facts: BackboneFacts, runtime: str) -> Path:
    """Where the record lies: named by all that the plan depends on. Names of groups and classes are not."""
    shape = [nesting.parents(level) for level in range(2, nesting.depth + 1)]
    key = [spec.model_dump(mode="json"), shape, nesting.heads, facts.model_dump(mode="json"), runtime]
    return _named("aims", key)


def _named(folder: str, key: list[Any]) -> Path:
    text = json.dumps([*key, processor()], sort_keys=True)
    return io.cache_home() / folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
