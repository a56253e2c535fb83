"""The honest cost card: a network or cutout beside its full network and its flat backbone, whole and sliced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import timm
import torch
from torch import Tensor, nn

from hiergen.console.notebook import table_html
from hiergen.console.terminal import giga
from hiergen.costs.measured import Timing, in_turns, machine, threads_set
from hiergen.costs.memory import FlatRequest, Memory, cpu_peaks, cuda_peak
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
from hiergen.errors import HiergenError, PlanError
from hiergen.lookup.select import ClassSelection
from hiergen.models.load import find_model, load_network
from hiergen.nn.cutout import cut
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_network import plan_of
from hiergen.planning.measure import flat_network

MB = 10**6
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

    def cells(self) -> list[str]:
        """As the printed table has them, after the label."""
        return [cell for column in COLUMNS for cell in column.cells(self)]


@dataclass(frozen=True, repr=False)
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
        return f"{self.network} on {self.backbone}, {self.device}, {self.dtype}, {self.threads} threads"

    def heads(self) -> list[str]:
        """Heads of the printed table's columns, after the rows' labels."""
        return [head for column in COLUMNS for head in column.heads(self)]

    def row(self, kind: Kind) -> Row:
        """The row of a kind. Raises KeyError where there is none."""
        return {row.kind: row for row in self.rows}[kind]

    @property
    def verdict(self) -> str:
        """What the figures say, in a few plain sentences."""
        return verdict(self)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready: the fields, and the verdict."""
        return {**asdict(self), "verdict": self.verdict}


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
        lambda row: [f"{t.ms:.1f} ({t.low:.1f}–{t.high:.1f})" for t in row.times],
    ),
    CardColumn(
        lambda card: [f"peak MB, batch {m.batch}" for m in card.rows[0].memory],
        lambda row: [f"{m.peak / MB:,.0f}" for m in row.memory],
    ),
)


def network_to_count(model: str | Path, weights: str | Path | None, measured: bool) -> HierarchicalNetwork:
    """The network; one that is only counted needs no memory for its weights."""
    reference = find_model(model)
    if measured or weights is not None or reference.weights is not None:
        return load_network(reference, weights)
    with torch.device("meta"):
        return reference.cls().eval()


def cost(
    model: str | Path | HierarchicalNetwork,
    classes: ClassSelection | None = None,
    *,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    batches: Sequence[int] = (1, 16),
    repeats: int | None = None,
    threads: int | None = None,
    time: bool = True,
    memory: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> CostCard:
    """The cost card of a network, or of a model by its name (FILE.yaml:NAME, FILE.py:NAME, …): it, or with `classes`
    their cutout, is counted and measured in turns with what it must be compared with.

    A network given stays as it is; its weights, and those of the flat backbone, may be random. `repeats`: turns for
    each batch size (None: what fits into about ten seconds). `time=False, memory=False` only counts; then the network
    may be on the meta device. Memory is measured with random weights, on a CPU in one fresh process per row.
    Raises HiergenError as `find_model` does, for unknown or all classes, a device that is not there, or numbers that
    cannot be.

    >>> card = cost(network, "domestic cat", time=False, memory=False)
    >>> [row.kind for row in card.rows]
    ['cutout', 'full', 'flat', 'sliced']
    """
    network = model if isinstance(model, HierarchicalNetwork) else network_to_count(model, weights, time or memory)
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
        rows = {s.kind: s.counted(tuple(network.trunk.input_size)) for s in _announced(subjects, "counting", progress)}
        if time:
            for batch in batches:
                progress(f"timing, batch {batch}")
                runs = {s.kind: partial(s.module, _images(network, batch, place)) for s in subjects}
                for kind, times_ms in in_turns(runs, place, repeats=repeats).items():
                    rows[kind] = replace(rows[kind], times=(*rows[kind].times, Timing.of(batch, times_ms)))
        if memory:
            for s in _announced(subjects, "peak memory of", progress):
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
            whole = Cost(sum(part.params for part in parts), sum(part.macs for part in parts))
        else:
            whole = module_cost(self.module, input_size)
        return Row(self.kind, self.label, self.classes, whole.params, whole.macs, parts)

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


def _announced(subjects: list[_Subject], what: str, progress: Callable[[str], None]) -> Iterator[_Subject]:
    for subject in subjects:
        progress(f"{what} {subject.label}")
        yield subject


def _images(network: HierarchicalNetwork, batch: int, place: torch.device) -> Tensor:
    return torch.rand(batch, *network.trunk.input_size, device=place, dtype=_dtype(network))


def _dtype(network: HierarchicalNetwork) -> torch.dtype:
    return next(network.parameters()).dtype


def _device_of(network: HierarchicalNetwork) -> torch.device:
    return next(network.parameters()).device


# Differences below these say nothing, nor do times whose quartiles overlap; params and MACs are exact.
_SAME_TIME, _SAME_MEMORY = 0.05, 0.02


@dataclass(frozen=True)
class Compared:
    """One figure of two rows, smaller is better; `equal` where the difference says nothing."""

    unit: str  # "params", "ms", …
    at: str  # " at batch 1" or ""
    first: float
    second: float
    equal: bool

    def better(self) -> str:
        """How much better the smaller one is."""
        small, large = sorted((self.first, self.second))
        if self.unit == "ms":
            return f"{large / small:.2f} × as fast{self.at}"
        word = "less" if self.unit == "peak memory" else "fewer"
        return f"{100 * (1 - small / large):.1f} % {word} {self.unit}{self.at}"

    def tie(self) -> str:
        return f"{'speed' if self.unit == 'ms' else self.unit}{self.at}"


def verdict(card: CostCard) -> str:
    """Cutout against sliced flat network, then against its full network; without a cutout, full against flat."""
    rows = {row.kind: row for row in card.rows}
    full = f"the full {card.network}"
    if "cutout" not in rows:
        return _against(rows["full"], rows["flat"], full, f"the flat {card.backbone}")
    sliced = f"the sliced flat {card.backbone}"
    text = _against(rows["cutout"], rows["sliced"], "the cutout", sliced)
    return f"{text} {_saved(rows['cutout'], rows['full'], full)}"


def compare(first: Row, second: Row) -> list[Compared]:
    """All figures that both rows have."""
    compared = [
        Compared("params", "", first.params, second.params, first.params == second.params),
        Compared("MACs", "", first.macs, second.macs, first.macs == second.macs),
    ]
    for a, b in zip(first.times, second.times, strict=True):
        near = abs(a.ms - b.ms) <= _SAME_TIME * min(a.ms, b.ms)
        overlap = a.low <= b.high and b.low <= a.high
        compared.append(Compared("ms", f" at batch {a.batch}", a.ms, b.ms, near or overlap))
    for m, n in zip(first.memory, second.memory, strict=True):
        near = abs(m.peak - n.peak) <= _SAME_MEMORY * min(m.peak, n.peak)
        compared.append(Compared("peak memory", f" at batch {m.batch}", m.peak, n.peak, near))
    return compared


def _against(first: Row, second: Row, ours: str, theirs: str) -> str:
    compared = compare(first, second)
    mine = [c for c in compared if not c.equal and c.first < c.second]
    other = [c for c in compared if not c.equal and c.first > c.second]
    if mine and other:
        text = f"Neither wins everywhere: {theirs} is better by {_joined(other)}; {ours} by {_joined(mine)}."
    elif mine or other:
        winner, loser = (ours, theirs) if mine else (theirs, ours)
        text = f"{winner[0].upper()}{winner[1:]} beats {loser}: {_joined(mine or other)}."
    else:
        text = f"{ours[0].upper()}{ours[1:]} and {theirs} cost the same."
    if first.kind == "cutout" and other:
        text += " Slicing a trained flat classifier needs no re-training either."
    if (mine or other) and (same := [c.tie() for c in compared if c.equal]):
        text += f" No difference that counts: {', '.join(same)}."
    return text if first.times else f"{text} Speed was not measured."


def _saved(cutout: Row, full: Row, name: str) -> str:
    compared = compare(cutout, full)
    saved = [f"{100 * (1 - c.first / c.second):.1f} % of {c.unit}{c.at}" for c in compared if _sign(c) < 0]
    more = [f"{100 * (c.first / c.second - 1):.1f} % more {c.unit}{c.at}" for c in compared if _sign(c) > 0]
    same = [c.tie() for c in compared if c.equal]
    parts = [f"saves {', '.join(saved)}"] if saved else []
    parts += [f"takes {', '.join(more)}"] if more else []
    parts += [f"is level in {', '.join(same)}"] if same else []
    return f"Against {name} the cutout {'; it '.join(parts)}."


def _sign(compared: Compared) -> int:
    return 0 if compared.equal else 1 if compared.first > compared.second else -1


def _joined(compared: Iterable[Compared]) -> str:
    return ", ".join(c.better() for c in compared)
