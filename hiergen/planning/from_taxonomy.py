"""A taxonomy file's models → their plans; and the findings about a file, those of its models included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hiergen.errors import HiergenError, quoted
from hiergen.planning.backbones import BackboneFacts, facts
from hiergen.planning.compile import compile_plan
from hiergen.planning.plan import Plan
from hiergen.taxonomy.checks import Finding, check_file, finding_of
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.tree import depths

Progress = Callable[[str], None]


def plan_models(taxonomy: Taxonomy, progress: Progress = lambda _: None) -> list[Plan]:
    """The plan of each model of a file, in its order.

    Raises `PlanError` or `TaxonomyError`, placed at the model's line. Imports torch only for backbones and input
    sizes that were never measured.
    """
    return [_plan(taxonomy, name, _facts(taxonomy, name, measure=True), progress) for name in taxonomy.spec.models]


def plan_if_known(taxonomy: Taxonomy, model: str) -> Plan | None:
    """The plan of one model, or None where its backbone was never measured. Never imports torch."""
    backbone_facts = _facts(taxonomy, model, measure=False)
    return _plan(taxonomy, model, backbone_facts, lambda _: None) if backbone_facts else None


def validate(path: str | Path) -> list[Finding]:
    """All findings about one taxonomy file: what it says, its tree, its nestings, and its models' plans.

    Never imports torch; models on backbones that were never measured are named (W501), not checked.
    """
    return check_file(path, (_plan_findings,))


def _plan_findings(taxonomy: Taxonomy) -> Iterator[Finding]:
    deepest = max(depths(taxonomy.tree).values())
    for model, levels in taxonomy.levels.items():
        if levels > deepest:
            continue  # E401 says so
        place = taxonomy.document.place(("models", model, "trunk", "backbone"))
        try:
            if plan_if_known(taxonomy, model) is None:
                backbone = quoted(taxonomy.spec.models[model].trunk.backbone)
                text = f"model {model}: backbone {backbone} was never measured here; 'hiergen build' checks it"
                yield Finding("W501", place, text)
        except HiergenError as error:
            yield finding_of(error, str(taxonomy.path))


def _facts(taxonomy: Taxonomy, model: str, *, measure: bool) -> BackboneFacts | None:
    spec = taxonomy.spec.models[model]
    try:
        return facts(spec.trunk.backbone, spec.input_size, measure=measure)
    except HiergenError as error:
        raise error.at(taxonomy.document.place(("models", model, "trunk", "backbone"))) from None


def _plan(taxonomy: Taxonomy, model: str, backbone_facts: BackboneFacts | None, progress: Progress) -> Plan:
    assert backbone_facts is not None
    progress(model)
    spec = taxonomy.spec.models[model]
    nesting = taxonomy.nesting(model)
    try:
        return compile_plan(taxonomy.spec.name, model, spec, nesting, backbone_facts)
    except HiergenError as error:
        key = {"E502": ("trunk", "until"), "E503": ("budget",), "E504": ("branches",)}.get(error.code, ())
        raise error.at(taxonomy.document.place(("models", model, *key))) from None
