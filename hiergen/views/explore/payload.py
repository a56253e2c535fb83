"""Everything that the page shows, as JSON-ready data. Costs come as the pieces that `Plan.cutout_cost` adds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hiergen._version import __version__
from hiergen.lookup.select import key_of
from hiergen.nestings.read import check_same_classes
from hiergen.planning.plan import Plan, StagePlan
from hiergen.taxonomy.checks import Finding
from hiergen.taxonomy.naming import identifier
from hiergen.taxonomy.nesting import Nesting
from hiergen.views.explore.measure import Measured
from hiergen.views.explore.nodes import class_table, comma_pieces, conflict_data, moves_data, nest_data
from hiergen.views.explore.read import ExploredModel, Source, plain
from hiergen.views.explore.results import Results, results_data

FORMAT = 1  # of this data; the page's code reads no other


def payload(
    sources: Sequence[Source],
    *,
    results: tuple[str, Results] | None = None,
    measured: Mapping[tuple[int, str], Measured] | None = None,
    findings: Sequence[Sequence[Finding]] = (),
    weights: str | None = None,
    trained: str | None = None,
) -> dict[str, Any]:
    """The data of one page. With two sources, the second's classes are put into the order of the first.

    `measured` is by source and model; `trained` is the class name of the network that `weights` are of. A page begins
    with that network, or with one of the nesting that `results` are told by. Raises TaxonomyError for sources over
    different classes.
    """
    first, *others = sources
    for other in others:
        check_same_classes(first.nests[0], other.nests[0])
    orders = [_order(first, source) for source in sources]
    names = [*first.ids, *first.labels, *(g.name for s in sources for n in s.nests for v in n.levels for g in v.groups)]
    nests: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    groups: list[Nesting] = []
    if trained not in {identifier(model.name) for source in sources for model in source.models}:
        trained = None  # a network by another name
    for s, (source, order) in enumerate(zip(sources, orders, strict=True)):
        base = len(nests)
        for nest in source.nests:
            nests.append(
                {
                    "source": s,
                    "levels": nest_data(source, nest),
                    "of": [nest.levels[-1].of[c] for c in order] if nest.levels else [],
                }
            )
            groups.append(nest)
        for model in source.models:
            entry = _model(model, (measured or {}).get((s, model.name)))
            if trained is not None and identifier(model.name) != trained:
                entry["other_weights"] = True
            models.append({**entry, "source": s, "nest": base + model.nest})
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
        "nests": nests,
        "models": models,
        "start": starts,
        "moves": moves_data(first, groups, [len(s.nests) for s in sources]),
        "alone": _alone(names),
        "weights": weights,
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
    return next((i for i, model in enumerate(source.models) if model.nest < len(groups) and groups[model.nest]), None)


def _starts(sources: Sequence[Source], begin: int | None = None) -> list[int]:
    """The model to begin with, `begin` if given; of two sources, the first's deepest that the other has as well, by
    name or depth."""
    if len(sources) == 1:
        return [sources[0].start if begin is None else begin]
    first, second = sources

    def depth(source: Source, i: int) -> int:
        return len(source.nests[source.models[i].nest].levels)

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
            "built": model.built,
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
    }


def _stage(stage: StagePlan) -> str:
    stride = f", stride {stage.stride}" if stage.stride != 1 else ""
    return f"{stage.depth} × {stage.block}, {stage.in_channels} → {stage.width} → {stage.out}{stride}"
