"""What `hiergen draw` may be given: a taxonomy file, or a model; and the classes that are chosen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hiergen.errors import HiergenError, SpecError, quoted
from hiergen.lookup.reference import parse_reference
from hiergen.planning.backbones import facts
from hiergen.planning.plan import Plan
from hiergen.taxonomy.nesting import Nesting
from hiergen.views.draw.outline import Chosen, Outline, of_merged, of_nesting

if TYPE_CHECKING:
    from hiergen.nn.network import HierarchicalNetwork


@dataclass(frozen=True)
class Subject:
    """`plan` None: there is no plan, because of `no_plan`."""

    name: str
    nesting: Nesting
    outline: Outline
    plan: Plan | None
    no_plan: HiergenError | None = None

    def chosen(self, shown: Sequence[str], kept: Sequence[str], except_: Sequence[str] = ()) -> Chosen:
        """Classes typed on a command line. Raises HiergenError for unknown ones, and where none is left."""
        if not (shown or kept or except_):
            return Chosen()
        from hiergen.lookup.choose import choose
        from hiergen.lookup.select import Selector

        selector = Selector(self.nesting)
        left = choose(selector, kept, except_)
        return Chosen(frozenset(choose(selector, shown) or ()), None if left is None else frozenset(left))

    def needed_plan(self) -> Plan:
        """The plan. Raises HiergenError where there is none."""
        if self.plan is None:
            raise self.no_plan or HiergenError(f"{self.name} has no plan")
        return self.plan


def find_subject(text: str, *, model: str | None = None, merged: bool = False, planned: bool = True) -> Subject:
    """A taxonomy file (.yaml, .yml) with one of its models (FILE.yaml:MODEL or `model`; default: the deepest), or
    anything `find_model` takes.

    `merged`: the outline is the merged tree. `planned=False`: a plan is made only where that needs no torch.
    Raises HiergenError for what is neither, an unknown `model`, and options that do not go with it.
    """
    reference = parse_reference(text)
    if reference.kind == "taxonomy":
        named = reference.model
        if named and model is not None:
            file = str(reference.path)
            raise HiergenError("two models are named", got=f"{named} and {model}", expected=f"{file} or no --model")
        return _of_file(reference.path, model or named or None, merged=merged, planned=planned)
    if model is not None or merged:
        option = "--merged" if merged else "--model"
        raise HiergenError(f"{option} is of a taxonomy file", got=quoted(text), expected="FILE.yaml")
    from hiergen.models.load import find_model

    reference_class = find_model(text)
    import torch

    with torch.device("meta"):
        network = reference_class.cls()
    taxonomy = reference_class.path.stem if reference_class.path is not None else (reference_class.registered or "")
    return of_network(network, taxonomy=taxonomy, model=reference_class.name)


def of_network(network: HierarchicalNetwork, *, taxonomy: str, model: str) -> Subject:
    """Of a built network; without a plan where it has blocks of its own."""
    from hiergen.planning.from_network import plan_of

    plan: Plan | None = None
    why: HiergenError | None = None
    try:
        plan = plan_of(network, taxonomy=taxonomy, model=model)
    except HiergenError as error:
        why = error
    name = f"{taxonomy} {model}".strip()
    return Subject(name, network.nesting, of_nesting(name, network.nesting), plan, why)


def flat_costs(plan: Plan, chosen: Chosen) -> dict[int, tuple[int, int]]:
    """(params, MACs) of the flat backbone for all classes and for those that a cutout keeps, where they are known."""
    channels, height, width = plan.trunk.input_size
    backbone_facts = facts(plan.trunk.backbone, (height, width), channels, measure=False)
    if backbone_facts is None:
        return {}
    counts = {len(plan.classes), len(chosen.kept) if chosen.kept is not None else len(plan.classes)}
    return {count: backbone_facts.flat(count) for count in sorted(counts)}


def _of_file(path: Path, model: str | None, *, merged: bool, planned: bool) -> Subject:
    from hiergen.planning.from_taxonomy import find_deepest, plan_if_known, plan_models
    from hiergen.taxonomy.load import load_taxonomy

    taxonomy = load_taxonomy(path)
    usual = find_deepest(taxonomy) or next(iter(taxonomy.levels), None)  # where all are one branch, they are alike
    name = usual if model is None else taxonomy.check_model(model)
    nesting = taxonomy.nesting(name) if name is not None else taxonomy.nesting_of(1)
    title = taxonomy.spec.name
    outline = of_merged(title, taxonomy.tree) if merged else of_nesting(title, nesting)
    plan: Plan | None = None
    why: HiergenError | None = SpecError("has no model", place=str(path), expected="'models:' with one at least")
    if name is not None:
        try:
            plan = plan_if_known(taxonomy, name)
            if plan is None and planned:
                plan = next(p for p in plan_models(taxonomy) if p.model == name)
        except HiergenError as error:
            why = error
    return Subject(title, nesting, outline, plan, why)


def is_file(text: str) -> bool:
    """Whether it is a taxonomy file that is meant."""
    return parse_reference(text).kind == "taxonomy"
