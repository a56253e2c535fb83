"""The honest cost card: a network or cutout as it is deployed, beside its full network and its flat rivals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import timm
import torch
from torch import Tensor, nn

from hiergen.console.notebook import table_html
from hiergen.console.terminal import giga
from hiergen.costs.measured import Ratio, Timing, in_turns, machine
from hiergen.costs.memory import Memory, cpu_peaks, cuda_peak
from hiergen.costs.rivals import Flat, lower_resolutions, shorter_tails, smaller_backbones
from hiergen.costs.runtimes import default_runtime, prepare
from hiergen.costs.subjects import (
    Cost,
    Part,
    asked_device,
    at_rest,
    enough_memory,
    module_cost,
    network_parts,
    whole_number,
)
from hiergen.costs.verdict import verdict
from hiergen.errors import HiergenError, PlanError
from hiergen.lookup.select import ClassSelection
from hiergen.models.load import find_model, load_network
from hiergen.nn.cutout import chosen_form, cut
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain_form import plain_form
from hiergen.nn.runtimes import checked, threads_set, version
from hiergen.planning.from_network import plan_of

MB = 10**6
Kind: TypeAlias = Literal["cutout", "full", "flat", "sliced", "lower", "shorter", "smaller"]


@dataclass(frozen=True)
class Row:
    """One subject. `parts` are those of a network with branches; by batch size, if measured, `times`, their `shares`
    (times those of the flat network) and `memory`."""

    kind: Kind
    label: str
    classes: int
    params: int
    macs: int
    parts: tuple[Part, ...] = ()
    times: tuple[Timing, ...] = ()
    shares: tuple[Ratio, ...] = ()
    memory: tuple[Memory, ...] = ()

    def cells(self) -> list[str]:
        """As the printed table has them, after the label."""
        return [cell for column in COLUMNS for cell in column.cells(self)]


@dataclass(frozen=True, repr=False)
class CostCard:
    """Rows: with a choice of classes (their ids) the cutout first, always the full network and its flat backbone, then
    the backbone with its classifier sliced to the same classes, and rivals that are costs only: the backbone at lower
    resolutions, without its tail, and smaller ones. All in plain form, `dtype`, with `threads`, in `runtime`."""

    network: str
    backbone: str
    input_size: tuple[int, ...]
    classes: tuple[str, ...] | None
    device: str
    machine: str
    threads: int
    dtype: str
    torch: str
    timm: str
    runtime: str
    runtime_version: str
    int8: bool
    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        """The printed table, without the parts."""
        lines = [("", *self.heads()), *((row.label, *row.cells()) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ("  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) for first, *rest in lines)
        return "\n".join([self._title(), *table])

    def _repr_html_(self) -> str:
        rows = [[row.label, *row.cells()] for row in self.rows]
        return table_html(self._title(), ["", *self.heads()], rows)

    def _title(self) -> str:
        return f"{self.network} on {self.backbone}, {self.how}"

    @property
    def how(self) -> str:
        """The runtime, the numbers' type, the device and the threads."""
        number = "int8" if self.int8 else self.dtype
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{f'{self.runtime} {self.runtime_version}'.strip()}, {number}, {self.device}, {threads}"

    def heads(self) -> list[str]:
        """Heads of the printed table's columns, after the rows' labels."""
        return [head for column in COLUMNS for head in column.heads(self)]

    def row(self, kind: Kind) -> Row:
        """The first row of a kind. Raises KeyError where there is none."""
        return {row.kind: row for row in reversed(self.rows)}[kind]

    @property
    def verdict(self) -> str:
        """What the figures say, in a few plain sentences."""
        return verdict(self)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready: the fields without single turns, the `ratios` of the first row's ms to each other row's with
        their outcome, and the verdict."""
        data = asdict(self)
        for timing in (timing for row in data["rows"] for timing in row["times"]):
            del timing["turns"]
        first, *others = self.rows
        ratios = [
            {"first": first.label, "second": other.label, **asdict(ratio), "outcome": ratio.outcome}
            for other in others
            for ratio in map(Ratio.of, first.times, other.times)
        ]
        return {**data, "ratios": ratios, "verdict": self.verdict}


def _ms(ms: float) -> str:
    return f"{ms:.{1 if ms >= 10 else 2 if ms >= 1 else 3}f}"


@dataclass(frozen=True)
class CardColumn:
    """A column of the printed card, or several: one for each batch size. `cells` are those of one row."""

    heads: Callable[[CostCard], list[str]]
    cells: Callable[[Row], list[str]]


COLUMNS = (
    CardColumn(lambda card: ["classes"], lambda row: [str(row.classes)]),
    CardColumn(lambda card: ["params"], lambda row: [f"{row.params:,}"]),
    CardColumn(lambda card: ["GMACs"], lambda row: [giga(row.macs)]),
    CardColumn(
        lambda card: [f"ms, batch {t.batch}" for t in card.rows[0].times],
        lambda row: [f"{_ms(t.ms)} ({_ms(t.low)}–{_ms(t.high)})" for t in row.times],
    ),
    CardColumn(
        lambda card: [f"× flat, batch {t.batch}" for t in card.rows[0].shares],
        lambda row: ["1" if row.kind == "flat" else f"{r.ratio:.2f} ({r.low:.2f}–{r.high:.2f})" for r in row.shares],
    ),
    CardColumn(
        lambda card: [f"peak MB, batch {m.batch}" for m in card.rows[0].memory],
        lambda row: [f"{m.peak / MB:,.0f}" for m in row.memory],
    ),
)


def network_to_count(model: str | Path, weights: str | Path | None, measured: bool) -> HierarchicalNetwork:
    """The network; one that is only counted needs no memory for its weights. Without weights it answers by its
    generalist, if it has one, as a training would choose."""
    reference = find_model(model)
    if weights is not None or reference.weights is not None:
        return load_network(reference, weights)
    with torch.device("cpu" if measured else "meta"):
        network = reference.cls().eval()
    if network.generalist is not None:
        network.form = "generalist"
    return network


def cost(
    model: str | Path | HierarchicalNetwork,
    classes: ClassSelection | None = None,
    *,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    runtime: str | None = None,
    int8: bool = False,
    batches: Sequence[int] = (1,),
    repeats: int | None = None,
    threads: int = 1,
    time: bool = True,
    memory: bool | None = None,
    rivals: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> CostCard:
    """The cost card of a network, or of a model by its name (FILE.yaml:NAME, FILE.py:NAME, …): it, or with `classes`
    their cutout, is counted and measured in turns with what it must be compared with, all in the form of deployment.

    A network given stays as it is; its weights, and those of the flat backbone, may be random. `runtime` is one of
    `RUNTIMES` (None: onnxruntime for float32 on a CPU, where it is installed, else torch). `repeats`: turns for each
    batch size (None: three seconds for each row). `time=False, memory=False` only counts; then the network may
    be on the meta device. Memory is that of torch (None: where torch is the runtime), with random weights, on a CPU in
    one fresh process per row. `rivals=False` leaves out the rows that are costs only.
    Raises HiergenError as `find_model` does, for unknown or all classes, a device or runtime that is not there, or
    numbers that cannot be.

    >>> card = cost(network, "domestic cat", time=False, memory=False, rivals=False)
    >>> [row.kind for row in card.rows]
    ['cutout', 'full', 'flat', 'sliced']
    """
    measured = time or bool(memory)
    network = model if isinstance(model, HierarchicalNetwork) else network_to_count(model, weights, measured)
    place, dtype = asked_device(device), _dtype(network)
    runtime = runtime or default_runtime(place, dtype)
    package = checked(runtime, place, dtype, int8).package
    if time:
        package()  # before any work
    memory = time and runtime == "torch" if memory is None else memory
    selected = None if classes is None else network.selector.classes(classes)
    batches = sorted({whole_number("batch", batch) for batch in batches})
    repeats = None if repeats is None else whole_number("repeats", repeats, least=2)
    whole_number("threads", threads)
    if not batches:
        raise HiergenError("no batch size is given", expected="at least one")
    if (time or memory) and _device_of(network).type == "meta":
        raise HiergenError("a network on the meta device cannot be measured", hint="build it on a real device")
    with threads_set(threads), enough_memory():
        subjects = {s.label: s for s in _subjects(network, selected, place, rivals)}
        rows = {s.label: s.counted() for s in _announced(subjects, "counting", progress)}
        for batch in batches if time else ():
            runs = {
                s.label: prepare(
                    s.module(place, dtype), s.images(batch, place, dtype), runtime=runtime, threads=threads, int8=int8
                )
                for s in _announced(subjects, "preparing", progress)
            }
            progress(f"timing, batch {batch}")
            times = {label: Timing.of(batch, ms) for label, ms in in_turns(runs, place, repeats=repeats).items()}
            flat = next(times[s.label] for s in subjects.values() if s.kind == "flat")
            for label, row in rows.items():
                shares = (*row.shares, Ratio.of(times[label], flat))
                rows[label] = replace(row, times=(*row.times, times[label]), shares=shares)
        for s in _announced(subjects, "peak memory of", progress) if memory else ():
            rows[s.label] = replace(rows[s.label], memory=s.peaks(batches, place, dtype, threads))
    return CostCard(
        network=type(network).__name__,
        backbone=network.trunk.backbone,
        input_size=tuple(network.trunk.input_size),
        classes=None if selected is None else tuple(network.classes[i] for i in selected),
        device=str(place),
        machine=machine(place),
        threads=threads,
        dtype=str(dtype).removeprefix("torch."),
        torch=torch.__version__,
        timm=timm.__version__,
        runtime=runtime,
        runtime_version=version(runtime) if time else "",
        int8=int8,
        rows=tuple(rows.values()),
    )


@dataclass(frozen=True)
class _Subject:
    """A row to be, of a network at rest or of a flat one, which is built when it is measured."""

    kind: Kind
    label: str
    classes: int
    what: HierarchicalNetwork | Flat

    def module(self, place: torch.device, dtype: torch.dtype = torch.float32) -> nn.Module:
        if isinstance(self.what, HierarchicalNetwork):
            return self.what
        with torch.device(place):
            return self.what.build().to(dtype)

    def images(self, batch: int, place: torch.device, dtype: torch.dtype) -> Tensor:
        what = self.what
        size = what.input_size if isinstance(what, Flat) else what.trunk.input_size
        return torch.rand(batch, *size, device=place, dtype=dtype)

    def counted(self) -> Row:
        parts: tuple[Part, ...] = ()
        if isinstance(self.what, HierarchicalNetwork):
            parts = network_parts(self.what)
            whole = Cost(sum(part.params for part in parts), sum(part.macs for part in parts))
        else:
            whole = module_cost(self.module(torch.device("meta")), self.what.input_size)
        return Row(self.kind, self.label, self.classes, whole.params, whole.macs, parts)

    def peaks(
        self, batches: Sequence[int], place: torch.device, dtype: torch.dtype, threads: int
    ) -> tuple[Memory, ...]:
        if place.type == "cuda":
            images = [self.images(batch, place, dtype) for batch in batches]
            module = plain_form(self.module(place, dtype), images[0].shape[1:])
            return tuple(cuda_peak(module, x) for x in images)
        if isinstance(self.what, Flat):
            return cpu_peaks(self.what, batches, dtype=dtype, threads=threads)
        try:
            plan = plan_of(self.what, taxonomy="", model=type(self.what).__name__)
        except PlanError as error:  # another process can only build what a plan can say
            error.hint = "its peak memory cannot be measured on a CPU; leave memory out"
            raise
        return cpu_peaks(plan, batches, dtype=dtype, threads=threads)


def _subjects(
    network: HierarchicalNetwork, kept: tuple[int, ...] | None, place: torch.device, rivals: bool
) -> Iterator[_Subject]:
    trunk, count, name = network.trunk, network.num_classes, type(network).__name__
    meta = _device_of(network).type == "meta"
    full = at_rest(network, _device_of(network) if meta else place)
    several = full.generalist is not None or full.flat is not None
    ours = [_Subject("full", f"full {name}{f', {full.form}' if several else ''}", count, full)]
    if kept is not None:
        whole = at_rest(full, _device_of(full))
        whole.form = chosen_form(full, kept)
        label = f"cutout, {whole.form}" if several else "cutout"
        ours.insert(0, _Subject("cutout", label, len(kept), cut(whole, kept)))
    yield from ours
    flat = Flat(trunk.backbone, count, tuple(trunk.input_size))
    yield _Subject("flat", f"flat {trunk.backbone}", count, flat)
    if kept is not None:
        flat = replace(flat, classes=len(kept))
        yield _Subject("sliced", f"flat {trunk.backbone}, classifier sliced", len(kept), flat)
    if not rivals:
        return
    yield from _rivals(flat, [s.counted().macs for s in ours])


def _rivals(flat: Flat, macs: Sequence[int]) -> Iterator[_Subject]:
    """Rivals for as many classes as the first row has; `macs` are those of our rows."""
    for lower in lower_resolutions(flat, macs):
        height, width = lower.input_size[1:]
        side = f"{height}" if height == width else f"{height}×{width}"
        yield _Subject("lower", f"flat {flat.backbone}, {side} px *", flat.classes, lower)
    for shorter in shorter_tails(flat):
        yield _Subject("shorter", f"flat {flat.backbone}, until {shorter.until} *", flat.classes, shorter)
    for smaller in smaller_backbones(flat):
        yield _Subject("smaller", f"flat {smaller.backbone} *", flat.classes, smaller)


def _announced(subjects: Mapping[str, _Subject], what: str, progress: Callable[[str], None]) -> Iterator[_Subject]:
    for subject in subjects.values():
        progress(f"{what} {subject.label.removesuffix(' *')}")
        yield subject


def _dtype(network: HierarchicalNetwork) -> torch.dtype:
    return next(network.parameters()).dtype


def _device_of(network: HierarchicalNetwork) -> torch.device:
    return next(network.parameters()).device
