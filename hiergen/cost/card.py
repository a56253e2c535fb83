"""The honest cost card: a network or cutout beside its full network and its flat backbone, whole and sliced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import timm
import torch
from torch import Tensor, nn

from hiergen.cost.asked import asked_device, enough_memory, whole_number
from hiergen.cost.measured import Timing, in_turns, machine, threads_set
from hiergen.cost.memory import FlatRequest, Memory, cpu_peaks, cuda_peak
from hiergen.cost.static import Cost, Part, module_cost, network_parts
from hiergen.cost.subjects import at_rest, flat_network
from hiergen.errors import HiergenError, PlanError
from hiergen.nn.cutout import cut
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.select import ClassSelection
from hiergen.plan.live import plan_of

Kind: TypeAlias = Literal["cutout", "full", "flat", "sliced"]


@dataclass(frozen=True)
class Row:
    """One subject. `parts` are those of a network with branches; `times` and `memory` by batch size, if measured."""

    kind: Kind
    label: str
    classes: int
    params: int
    macs: int
    parts: tuple[Part, ...] = ()
    times: tuple[Timing, ...] = ()
    memory: tuple[Memory, ...] = ()


@dataclass(frozen=True)
class CostCard:
    """Rows: with a choice of classes (their ids) the cutout first, always the full network and its flat backbone, and
    last the backbone with its classifier sliced to the same classes. All in eval mode, `dtype`, with `threads`."""

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
    rows: tuple[Row, ...]

    def row(self, kind: Kind) -> Row:
        """The row of a kind. Raises KeyError where there is none."""
        return {row.kind: row for row in self.rows}[kind]

    @property
    def verdict(self) -> str:
        """What the figures say, in a few plain sentences."""
        from hiergen.cost.verdict import verdict

        return verdict(self)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready: the fields, and the verdict."""
        return {**asdict(self), "verdict": self.verdict}


def cost_card(
    network: HierarchicalNetwork,
    classes: ClassSelection | None = None,
    *,
    device: str | torch.device = "cpu",
    batches: Sequence[int] = (1, 16),
    repeats: int | None = None,
    threads: int | None = None,
    time: bool = True,
    memory: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> CostCard:
    """Count and measure a network, or with `classes` their cutout, in turns with what it must be compared with.

    The network stays as it is; its weights, and those of the flat backbone, may be random. `repeats`: turns for each
    batch size (None: what fits into about ten seconds). `time=False, memory=False` only counts; then the
    network may be on the meta device. Memory is measured with random weights, on a CPU in one fresh process per row.
    Raises HiergenError for unknown or all classes, a device that is not there, or numbers that cannot be.

    >>> print(cost_card(network, "domestic cat", batches=[1]).verdict)
    """
    place = asked_device(device)
    selected = None if classes is None else network.selector.classes(classes)
    batches = sorted({whole_number("batch", batch) for batch in batches})
    repeats = None if repeats is None else whole_number("repeats", repeats, least=2)
    threads = None if threads is None else whole_number("threads", threads)
    if not batches:
        raise HiergenError("no batch size is given", expected="at least one")
    if (time or memory) and _device_of(network).type == "meta":
        raise HiergenError("a network on the meta device cannot be measured", hint="build it on a real device")
    with ExitStack() as stack:
        stack.enter_context(threads_set(threads))
        stack.enter_context(enough_memory())
        used = torch.get_num_threads()
        subjects = list(_subjects(network, selected, place if time or memory else torch.device("meta")))
        rows = {s.kind: s.counted(tuple(network.trunk.input_size)) for s in _told(subjects, "counting", progress)}
        if time:
            for batch in batches:
                progress(f"timing, batch {batch}")
                runs = {s.kind: partial(s.module, _images(network, batch, place)) for s in subjects}
                for kind, found in in_turns(runs, place, repeats=repeats).items():
                    rows[kind] = replace(rows[kind], times=(*rows[kind].times, Timing.of(batch, found)))
        if memory:
            for s in _told(subjects, "peak memory of", progress):
                rows[s.kind] = replace(rows[s.kind], memory=s.peaks(network, batches, place, used))
    return CostCard(
        network=type(network).__name__,
        backbone=network.trunk.backbone,
        input_size=tuple(network.trunk.input_size),
        classes=None if selected is None else tuple(network.classes[i] for i in selected),
        device=str(place),
        machine=machine(place),
        threads=used,
        dtype=str(_dtype(network)).removeprefix("torch."),
        torch=torch.__version__,
        timm=timm.__version__,
        rows=tuple(rows.values()),
    )


@dataclass(frozen=True)
class _Subject:
    """A row to be: its module lies on the device that is measured; `flat` is what another process needs to build it."""

    kind: Kind
    label: str
    classes: int
    module: nn.Module
    flat: FlatRequest | None = None

    def counted(self, input_size: tuple[int, ...]) -> Row:
        parts: tuple[Part, ...] = ()
        if isinstance(self.module, HierarchicalNetwork):
            parts = network_parts(self.module)
            cost = Cost(sum(part.params for part in parts), sum(part.macs for part in parts))
        else:
            cost = module_cost(self.module, input_size)
        return Row(self.kind, self.label, self.classes, cost.params, cost.macs, parts)

    def peaks(
        self, network: HierarchicalNetwork, batches: Sequence[int], place: torch.device, threads: int
    ) -> tuple[Memory, ...]:
        if place.type == "cuda":
            return tuple(cuda_peak(self.module, _images(network, batch, place)) for batch in batches)
        if self.flat is not None:
            return cpu_peaks(self.flat, batches, dtype=_dtype(network), threads=threads)
        assert isinstance(self.module, HierarchicalNetwork)
        try:
            plan = plan_of(self.module, taxonomy="", model=type(network).__name__)
        except PlanError as error:  # another process can only build what a plan can say
            error.hint = "its peak memory cannot be measured on a CPU; leave memory out"
            raise
        lowerings = [level.lowering for level in self.module.levels]
        return cpu_peaks(plan, batches, lowerings=lowerings, dtype=_dtype(network), threads=threads)


def _subjects(network: HierarchicalNetwork, kept: tuple[int, ...] | None, place: torch.device) -> Iterator[_Subject]:
    trunk, count = network.trunk, network.num_classes
    full = at_rest(network, _device_of(network) if place.type == "meta" else place)
    if kept is not None:
        yield _Subject("cutout", "cutout", len(kept), cut(full, kept))
    yield _Subject("full", f"full {type(network).__name__}", count, full)
    flats: list[tuple[Kind, str, int]] = [("flat", f"flat {trunk.backbone}", count)]
    if kept is not None:
        flats.append(("sliced", f"flat {trunk.backbone}, classifier sliced", len(kept)))
    for kind, label, n in flats:
        request = (trunk.backbone, n, tuple(trunk.input_size))
        with torch.device(place):
            flat = flat_network(*request).to(_dtype(network))
        yield _Subject(kind, label, n, flat, request)


def _told(subjects: list[_Subject], what: str, progress: Callable[[str], None]) -> Iterator[_Subject]:
    for subject in subjects:
        progress(f"{what} {subject.label}")
        yield subject


def _images(network: HierarchicalNetwork, batch: int, place: torch.device) -> Tensor:
    return torch.rand(batch, *network.trunk.input_size, device=place, dtype=_dtype(network))


def _dtype(network: HierarchicalNetwork) -> torch.dtype:
    return next(network.parameters()).dtype


def _device_of(network: HierarchicalNetwork) -> torch.device:
    return next(network.parameters()).device
