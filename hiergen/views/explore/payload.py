"""Everything that the page shows, as JSON-ready data.

Costs come as the pieces that `Plan.cutout_cost` adds up; results are the metrics that `hiergen eval --json` prints and
`hiergen train` writes, laid over the classes and groups.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hiergen._version import __version__
from hiergen.errors import HiergenError, SpecError, listed, unquoted
from hiergen.files import read_text
from hiergen.lookup.select import key_of
from hiergen.nestings.read import check_same_classes
from hiergen.planning.plan import GeneralistPlan, Plan, StagePlan
from hiergen.taxonomy.checks import Finding
from hiergen.taxonomy.naming import identifier
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.specfile import misfit
from hiergen.views.explore.measure import Measured
from hiergen.views.explore.nodes import class_table, comma_pieces, conflict_data, moves_data, nesting_data
from hiergen.views.explore.read import ExploredModel, Source, plain

LIMIT = 64_000_000  # bytes; 21,841 classes need 5 MB
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Height = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ClassResult(_Read):
    """One class; `severity` is the mean height of its mistakes, None without mistakes or in a file that lacks it."""

    id: str
    images: _Count
    accuracy: _Share | None = None
    precision: _Share | None = None
    severity: _Height | None = None
    confused_with: str | None = None
    confused: _Count = 0


class GroupResult(_Read):
    """One group of a level: whether image and predicted class are in it."""

    level: int
    path: tuple[str, ...]
    images: _Count
    recall: _Share | None = None
    precision: _Share | None = None


class Results(_Read):
    """What is used of docs/metrics.md's JSON."""

    images: _Count
    top1: _Share
    level_accuracy: tuple[_Share, ...] = ()
    mistake_severity: _Height | None = None
    classes: tuple[ClassResult, ...]
    groups: tuple[GroupResult, ...] = ()


def read_results(path: Path, ids: Sequence[str]) -> Results:
    """Read a metrics file for these classes; a part of them will do.

    Raises SpecError for a file that is none, and for one of other classes.
    """
    place, text = unquoted(path), read_text(path, limit=LIMIT)
    try:
        results = Results.model_validate(json.loads(text))
    except (ValueError, RecursionError) as error:
        problem = f"does not fit: {misfit(error)}" if isinstance(error, ValidationError) else "is no JSON file"
        raise SpecError(problem, place=place, expected="the metrics.json of 'hiergen train' or 'eval --json'") from None
    other = [c.id for c in results.classes if c.id not in set(ids)]
    if other:
        raise HiergenError(f"is of other classes: {listed(other)}", place=place, expected="results of these classes")
    if not results.classes:
        raise SpecError("has no classes", place=place)
    return results


def trained_model(weights: str) -> tuple[str | None, str | None]:
    """The class name of the network that a safetensors file was trained for, and its form, from its header; None where
    there is no such file here, or it does not say."""
    try:
        if not Path(weights).is_file():  # a pipe may never end
            return None, None
        with open(weights, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= LIMIT else {}
        name, form = header["__metadata__"]["model"], header["__metadata__"].get("form", "specialists")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, None
    return (name, form) if isinstance(name, str) and isinstance(form, str) else (None, None)


def results_data(results: Results, ids: Sequence[str], nestings: Sequence[Nesting], name: str) -> dict[str, Any]:
    """Columns over the page's classes, None where a class has no result, and over the groups of the nestings that
    the results are told by."""
    number = {c: i for i, c in enumerate(ids)}
    rows: list[ClassResult | None] = [None] * len(ids)
    for c in results.classes:
        rows[number[c.id]] = c
    scored = [row for row in results.classes if row.severity is not None]
    by_path = {g.path: g for g in results.groups}
    return {
        "file": name,
        "images": results.images,
        "top1": results.top1,
        "levels": list(results.level_accuracy),
        "severity": results.mistake_severity,
        "by_class": bool(scored),
        "classes": {
            "images": [row.images if row else None for row in rows],
            "accuracy": [row.accuracy if row else None for row in rows],
            "precision": [row.precision if row else None for row in rows],
            "severity": [row.severity if row else None for row in rows],
            "confused": [[number.get(row.confused_with or "", -1), row.confused] if row else None for row in rows],
        },
        "groups": [_groups(by_path, nesting) for nesting in nestings],
    }


def _groups(by_path: dict[tuple[str, ...], GroupResult], nesting: Nesting) -> list[list[list[float | None]]] | None:
    """(recall, precision) of each group by level; None where the results are told by another nesting."""
    paths = [[nesting.path(j, i) for i in range(count)] for j, count in enumerate(nesting.counts, 1)]
    every = [path for level in paths for path in level]
    if not every or not any(path in by_path for path in every) or not set(by_path) <= set(every):
        return None
    groups = [[by_path.get(path) for path in level_paths] for level_paths in paths]
    return [[[g.recall, g.precision] if g else [None, None] for g in row] for row in groups]


FORMAT = 1  # of this data; the page's code reads no other


def payload(
    sources: Sequence[Source],
    *,
    results: tuple[str, Results] | None = None,
    measured: Mapping[tuple[int, str], Measured] | None = None,
    findings: Sequence[Sequence[Finding]] = (),
    weights: str | None = None,
    trained: str | None = None,
    form: str | None = None,
) -> dict[str, Any]:
    """The data of one page. With two sources, the second's classes are put into the order of the first.

    `measured` is by source and model; `trained` is the class name of the network that `weights` are of, and `form`
    what it answers with (default: its generalist, where there is one). A page begins with that network, or with one
    of the nesting that `results` are told by. Raises TaxonomyError for sources over different classes.
    """
    first, *others = sources
    for other in others:
        check_same_classes(first.nestings[0], other.nestings[0])
    orders = [_order(first, source) for source in sources]
    names = [
        *first.ids,
        *first.labels,
        *(g.name for s in sources for n in s.nestings for v in n.levels for g in v.groups),
    ]
    nestings: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    groups: list[Nesting] = []
    if trained not in {identifier(model.name) for source in sources for model in source.models}:
        trained, form = None, None  # a network by another name
    for s, (source, order) in enumerate(zip(sources, orders, strict=True)):
        base = len(nestings)
        for nesting in source.nestings:
            nestings.append(
                {
                    "source": s,
                    "levels": nesting_data(source, nesting),
                    "of": [nesting.levels[-1].of[c] for c in order] if nesting.levels else [],
                }
            )
            groups.append(nesting)
        for model in source.models:
            entry = _model(model, (measured or {}).get((s, model.name)))
            if trained is not None and identifier(model.name) != trained:
                entry["other_weights"] = True
            models.append({**entry, "source": s, "nest": base + model.nesting})
    overlay = None if results is None else results_data(results[1], first.ids, groups, results[0])
    begin = _trained(first, trained, overlay)
    starts = [sum(len(x.models) for x in sources[:s]) + at for s, at in enumerate(_starts(sources, begin))]
    data: dict[str, Any] = {
        "format": FORMAT,
        "hiergen": __version__,
        "title": first.title,
        "sources": [
            plain(
                {
                    "title": source.title,
                    "typed": source.typed,
                    "kind": "taxonomy" if source.taxonomy else "model",
                    "weights": source.weights,
                    "conflicts": conflict_data(source.taxonomy) if source.taxonomy else [],
                    "findings": [f.as_dict() for f in (findings[s] if s < len(findings) else ())],
                }
            )
            for s, source in enumerate(sources)
        ],
        "classes": class_table(first),
        "nests": nestings,
        "models": models,
        "start": starts,
        "moves": moves_data(first, groups, [len(s.nestings) for s in sources]),
        "alone": _alone(names),
        "weights": weights,
        "form": form or "generalist",
    }
    if overlay is not None:
        data["results"] = overlay
    return data


def _trained(source: Source, name: str | None, results: Mapping[str, Any] | None) -> int | None:
    """The model that was trained: by the name in its weights, else the first of the nesting its results are told by."""
    for i, model in enumerate(source.models):
        if name is not None and identifier(model.name) == name:
            return i
    groups = results["groups"] if results is not None else []
    return next(
        (i for i, model in enumerate(source.models) if model.nesting < len(groups) and groups[model.nesting]), None
    )


def _starts(sources: Sequence[Source], begin: int | None = None) -> list[int]:
    """The model to begin with, `begin` if given; of two sources, the first's deepest that the other has as well, by
    name or depth."""
    if len(sources) == 1:
        return [sources[0].start if begin is None else begin]
    first, second = sources

    def depth(source: Source, i: int) -> int:
        return len(source.nestings[source.models[i].nesting].levels)

    pairs = [
        (one.plan is not None and other.plan is not None, depth(first, i), one.name == other.name, -i, -j)
        for i, one in enumerate(first.models)
        for j, other in enumerate(second.models)
        if depth(first, i) == depth(second, j) and begin in (None, i)
    ]
    best = max(pairs, default=None)
    return [-best[3], -best[4]] if best else [first.start if begin is None else begin, second.start]


def _order(first: Source, source: Source) -> list[int]:
    """Of each class of `first` its index in `source`."""
    place = {c: i for i, c in enumerate(source.ids)}
    return [place[c] for c in first.ids]


def _alone(names: Sequence[str]) -> list[str]:
    """Names that must not share one `--classes` with another, as a comma between might be read as part of a name."""
    pieces = comma_pieces(names)
    return sorted({name for name in names if "," in name or key_of(name) in pieces})


def _model(model: ExploredModel, measured: Measured | None) -> dict[str, Any]:
    plan, backbone_facts = model.plan, model.backbone
    return plain(
        {
            "name": model.name,
            "reference": model.reference,
            "why": model.why,
            "plan": _plan(plan) if plan else None,
            "flat": backbone_facts.model_dump(include=_FLAT) if backbone_facts else None,
            "time": measured.as_data() if measured else None,
        }
    )


_FLAT = {"params_fixed", "params_per_class", "macs_fixed", "macs_per_class"}


def _plan(plan: Plan) -> dict[str, Any]:
    trunk, head = plan.trunk, plan.levels[-1].channels
    return {
        "backbone": trunk.backbone,
        "until": trunk.until,
        "input": list(trunk.input_size),
        "trunk": {
            "params": trunk.params,
            "macs": trunk.macs,
            "shape": [trunk.channels, trunk.height, trunk.width],
        },
        "levels": [
            {
                "params": level.branch_params,
                "macs": level.branch_macs,
                "branches": level.branches,
                "shape": [level.channels, level.height, level.width],
                "stages": [_stage(stage) for stage in level.stages],
            }
            for level in plan.levels
        ],
        "head": {"params": head + 1, "macs": head},
        "single": plan.single_branch,
        "full": {"params": plan.params, "macs": plan.macs},
        "for_all": {form: _for_all(part) for form in ("generalist", "flat") if (part := getattr(plan, form))},
    }


def _for_all(part: GeneralistPlan) -> dict[str, Any]:
    """A branch for all classes: its own params and MACs, and those of a row of its classifier."""
    channels = part.stages[-1].out
    return {
        "params": part.params - part.classes * (channels + 1) - part.groups,
        "macs": part.macs - part.classes * channels,
        "head": {"params": channels + 1, "macs": channels},
        "classes": part.classes,
        "gains": part.groups,
        "stages": [_stage(stage) for stage in part.stages],
    }


def _stage(stage: StagePlan) -> str:
    stride = f", stride {stage.stride}" if stage.stride != 1 else ""
    if stage.block == "copy":
        return f"{stage.depth} of the backbone's own modules, {stage.in_channels} → {stage.out}{stride}"
    return f"{stage.depth} × {stage.block}, {stage.in_channels} → {stage.width} → {stage.out}{stride}"
