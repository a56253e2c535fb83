"""A taxonomy file's models, or another nesting of its classes → plans; and the findings about a file, those of its
models included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from hiergen.errors import HiergenError, PlanError, quoted
from hiergen.planning.aim import cut_at, find_aimed, measure_aimed
from hiergen.planning.backbones import BackboneFacts, facts
from hiergen.planning.compile import compile_plan, falls_back
from hiergen.planning.latency import find_latency, measure_latency, with_macs
from hiergen.planning.plan import Plan
from hiergen.planning.tails import Shape
from hiergen.taxonomy.checks import Finding, check_file, finding_of
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.modelspec import ModelSpec
from hiergen.taxonomy.nesting import Nesting

Progress = Callable[[str], None]


def plan_models(taxonomy: Taxonomy, progress: Progress = lambda _: None) -> list[Plan]:
    """The plan of each model of a file, in its order.

    Raises `PlanError` or `TaxonomyError`, placed at the model's line. Imports torch only for backbones, input sizes
    and budgets of ms that were never measured.
    """
    plans = [_plan(taxonomy, name, progress, measure=True) for name in taxonomy.spec.models]
    return [plan for plan in plans if plan is not None]


def plan_if_known(taxonomy: Taxonomy, model: str) -> Plan | None:
    """The plan of one model, or None where its backbone, or its ms, were never measured. Never imports torch."""
    return _plan(taxonomy, model, measure=False)


def unmeasured(taxonomy: Taxonomy, model: str) -> tuple[tuple[str, ...], str]:
    """Of a model without a known plan the key in the file, and what of it was never measured, for a sentence."""
    spec = taxonomy.spec.models[model]
    if _facts(taxonomy, model, measure=False) is None or (spec.budget is None and spec.find_aim() is None):
        return ("trunk", "backbone"), f"backbone {quoted(spec.trunk.backbone)}"
    if (aim := spec.find_aim()) is not None:
        return ("aim",), f"its aim of {aim.cutout:g} × the flat network's ms"
    assert spec.budget is not None
    return ("budget",), f"its budget of {spec.budget.ms:g} ms"


def latencies(taxonomy: Taxonomy) -> Iterator[str]:
    """A line for each model with an aim or a budget of ms: what was measured here, and how others get these widths; and
    for each whose branches are no copies of the backbone's blocks, as these are too dear."""
    for model, spec in taxonomy.spec.models.items():
        if (backbone := _facts(taxonomy, model, measure=False)) is not None and falls_back(
            spec, taxonomy.nesting(model), backbone
        ):
            yield (
                f"{model}: branches are bottlenecks that start at random, as copies of the blocks of "
                f"{spec.trunk.backbone} do not fit; 'block: copy' and a larger budget copy them"
            )
        if (aim := spec.find_aim()) is not None:
            backbone = _facts(taxonomy, model, measure=False)
            aimed = None if backbone is None else find_aimed(spec, taxonomy.nesting(model), backbone)
            if aimed is not None and backbone is not None:
                yield f"{model}: {aimed.sentence(aim)}"
                if backbone.tokens is None and aimed.cutout < aimed.flat and spec.generalist != "whole":
                    yield f"{model}: {aimed.rival(backbone.input_size)}"
        if spec.budget is None or spec.budget.ms is None:
            continue
        if (backbone := _facts(taxonomy, model, measure=False)) is None:
            continue
        if (latency := find_latency(spec, taxonomy.nesting(model), backbone)) is not None:
            yield f"{model}: {latency.sentence(spec.budget)}"


def plan_nesting(
    taxonomy: Taxonomy, nesting: Nesting, model: str | None = None, *, measure: bool = False
) -> Plan | None:
    """The plan of a network of this nesting on the trunk and within the budget or aim of one of the file's models.

    Default is the file's first model with as many levels, else its deepest; branches that the file spells out for
    another number of levels become `auto`; of ms count the MACs that the model itself came to. None where the backbone
    or the ms were never measured (`measure` does it, with torch). `nesting` has the classes of the file in its order
    (`read.align`).
    Raises SpecError for an unknown model, PlanError for a budget too small, ValueError for other classes.
    """
    if nesting.classes != tuple(c.id for c in taxonomy.classes):
        raise ValueError("the nesting is not over the file's classes in its order")
    name = taxonomy.check_model(model or find_model(taxonomy, nesting.depth) or taxonomy.deepest)
    backbone = _facts(taxonomy, name, measure=measure)
    if backbone is None:
        return None
    solved = _solved(taxonomy, name, backbone, measure=measure)
    if solved is None:
        return None
    spec, shape = solved
    if spec.single_branch and nesting.depth > 1:
        spec = spec.model_copy(update={"single_branch": False})
    if spec.branches != "auto" and len(spec.branches) != nesting.depth:
        spec = spec.model_copy(update={"branches": "auto"})
    nesting = replace(nesting.in_tree_order(), labels=tuple(c.name for c in taxonomy.classes))
    try:
        return compile_plan(taxonomy.spec.name, name, spec, nesting, backbone, shape=shape)
    except PlanError as error:
        error.problem = f"{nesting.name} as {name}: {error.problem}"
        raise error.at(taxonomy.document.place(("models", name))) from None


def find_model(taxonomy: Taxonomy, levels: int) -> str | None:
    """The first model of a file with so many levels."""
    return next((name for name, k in taxonomy.levels.items() if k == levels), None)


def find_deepest(taxonomy: Taxonomy, levels: int | None = None) -> str | None:
    """The deepest model (of so many levels) whose classes have branches of their own, the first of them."""
    models = taxonomy.spec.models.items()
    fitting = [name for name, spec in models if levels in (None, taxonomy.levels[name]) and not spec.single_branch]
    return max(fitting, key=taxonomy.levels.__getitem__, default=None)


def _model(taxonomy: Taxonomy, k: int) -> str:
    fitting = [name for name, levels in taxonomy.levels.items() if levels == k]
    return fitting[0] if fitting else taxonomy.deepest


def validate(path: str | Path) -> list[Finding]:
    """All findings about one taxonomy file: what it says, its tree, its nestings, and its models' plans.

    Never imports torch; models whose backbone or ms were never measured are named (W501), not checked.
    """
    return check_file(path, (_plan_findings,))


def _plan_findings(taxonomy: Taxonomy) -> Iterator[Finding]:
    for model in taxonomy.levels:
        try:
            if plan_if_known(taxonomy, model) is None:
                key, what = unmeasured(taxonomy, model)
                text = f"model {model}: {what} was never measured here; 'hiergen build' checks it"
                yield Finding("W501", taxonomy.document.place(("models", model, *key)), text)
        except HiergenError as error:
            if error.code != "E401":  # which is said already
                yield finding_of(error, str(taxonomy.path))


def _facts(taxonomy: Taxonomy, model: str, *, measure: bool) -> BackboneFacts | None:
    spec = taxonomy.spec.models[model]
    try:
        return facts(spec.trunk.backbone, spec.input_size, spec.in_chans, measure=measure)
    except HiergenError as error:
        raise error.at(taxonomy.document.place(("models", model, "trunk", "backbone"))) from None


def _solved(
    taxonomy: Taxonomy,
    model: str,
    backbone_facts: BackboneFacts,
    progress: Progress = lambda _: None,
    *,
    measure: bool,
) -> tuple[ModelSpec, Shape | None] | None:
    """The model, with what its ms came to here in their place: MACs, or the split and the shape of tails that its aim
    leads to. None where that was never measured."""
    spec, nesting = taxonomy.spec.models[model], taxonomy.nesting(model)

    def said(text: str) -> None:
        progress(f"{model}: {text}")

    if spec.find_aim() is not None:
        aimed = find_aimed(spec, nesting, backbone_facts)
        if aimed is None and measure:
            aimed = measure_aimed(spec, nesting, backbone_facts, said)
        return None if aimed is None else (cut_at(spec, aimed.until), aimed.shape)
    if spec.budget is None or spec.budget.ms is None:
        return spec, None
    latency = find_latency(spec, nesting, backbone_facts)
    if latency is None and measure:
        latency = measure_latency(spec, nesting, backbone_facts, said)
    return None if latency is None else (with_macs(spec, latency.macs), None)


def _plan(taxonomy: Taxonomy, model: str, progress: Progress = lambda _: None, *, measure: bool) -> Plan | None:
    backbone_facts = _facts(taxonomy, model, measure=measure)
    if backbone_facts is None:
        return None
    progress(model)
    nesting = taxonomy.nesting(model)
    try:
        solved = _solved(taxonomy, model, backbone_facts, progress, measure=measure)
        if solved is None:
            return None
        spec, shape = solved
        return compile_plan(taxonomy.spec.name, model, spec, nesting, backbone_facts, shape=shape)
    except HiergenError as error:
        bound = "aim" if taxonomy.spec.models[model].aim is not None else "budget"
        key = {"E502": ("trunk", "until"), "E503": (bound,), "E504": ("branches",)}.get(error.code, ())
        raise error.at(taxonomy.document.place(("models", model, *key))) from None
