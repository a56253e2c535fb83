"""What `hiergen draw` may be given: a taxonomy file, or a model; and the classes that are chosen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.draw.outline import Chosen, Outline, of_mapping, of_merged, of_nesting
from hiergen.errors import HiergenError, SpecError, quoted
from hiergen.plan.ir import Plan
from hiergen.plan.trunks import facts

if TYPE_CHECKING:
    from hiergen.nn.network import HierarchicalNetwork
    from hiergen.taxonomy.load import Taxonomy

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Subject:
    """`tree` is group → … → class id → name; `classes` are ids in the order of the logits. `plan` None: there is no
    plan, because of `no_plan`."""

    name: str
    tree: dict[str, Any]
    classes: tuple[str, ...]
    outline: Outline
    plan: Plan | None
    no_plan: HiergenError | None = None

    def chosen(self, shown: Sequence[str], kept: Sequence[str], excepted: Sequence[str] = ()) -> Chosen:
        """Classes typed on a command line. Raises HiergenError for unknown ones, and where none is left."""
        if not (shown or kept or excepted):
            return Chosen()
        from hiergen.nn.nest import Nest  # torch
        from hiergen.nn.select import Selector
        from hiergen.terms import chosen

        selector = Selector(Nest(self.tree, self.classes))
        wanted, inside, outside = (
            {i for found in chosen(selector, terms).values() for i in found} for terms in (shown, kept, excepted)
        )
        if (shown and not wanted) or (kept and not inside) or (excepted and not outside):
            raise HiergenError("an empty class name", expected="a class id, name, group, WordNet term or index")
        if not (kept or excepted):
            return Chosen(frozenset(wanted))
        left = (inside if kept else set(range(len(self.classes)))) - outside
        if not left:
            raise HiergenError("no class is left", expected="at least one that --except does not name")
        return Chosen(frozenset(wanted), frozenset(left))

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
    if is_file(text):
        file, named = _file_and_model(text)
        if named is not None and model is not None:
            raise HiergenError("two models are named", got=f"{named} and {model}", expected=f"{file} or no --model")
        return _of_file(Path(file), model or named, merged=merged, planned=planned)
    if model is not None or merged:
        option = "--merged" if merged else "--model"
        raise HiergenError(f"{option} is of a taxonomy file", got=quoted(text), expected="FILE.yaml")
    from hiergen.models import find_model

    found = find_model(text)
    import torch

    with torch.device("meta"):
        network = found.cls()
    taxonomy = found.path.stem if found.path is not None else (found.registered or "")
    return of_network(network, taxonomy=taxonomy, model=found.name)


def of_network(network: HierarchicalNetwork, *, taxonomy: str, model: str) -> Subject:
    """Of a built network; without a plan where it has blocks of its own."""
    from hiergen.plan.live import plan_of

    plan: Plan | None = None
    why: HiergenError | None = None
    try:
        plan = plan_of(network, taxonomy=taxonomy, model=model)
    except HiergenError as error:
        why = error
    tree = dict(network.taxonomy)
    classes = tuple(network.classes)
    name = f"{taxonomy} {model}".strip()
    return Subject(name, tree, classes, of_mapping(name, tree, classes), plan, why)


def flat_costs(plan: Plan, chosen: Chosen) -> dict[int, tuple[int, int]]:
    """(params, MACs) of the flat backbone for all classes and for those that a cutout keeps, where they are known."""
    known = facts(plan.trunk.backbone, plan.trunk.input_size[1], measure=False)
    if known is None:
        return {}
    counts = {len(plan.classes), len(chosen.kept) if chosen.kept is not None else len(plan.classes)}
    return {count: known.flat(count) for count in sorted(counts)}


def _of_file(path: Path, model: str | None, *, merged: bool, planned: bool) -> Subject:
    from hiergen.builder import plan_if_known, plan_models
    from hiergen.plan.compile import nested_tree
    from hiergen.taxonomy.load import load_taxonomy

    taxonomy = load_taxonomy(path)
    name = _model(taxonomy, model)
    nesting = taxonomy.nesting(name) if name is not None else taxonomy.nesting_of(1)
    tree = nested_tree(taxonomy.classes, nesting)
    classes = tuple(entry.id for entry in taxonomy.classes)
    title = taxonomy.spec.name
    outline = of_merged(title, taxonomy.tree) if merged else of_nesting(title, tree, classes, nesting)
    plan: Plan | None = None
    why: HiergenError | None = SpecError("has no model", place=str(path), expected="'models:' with one at least")
    if name is not None:
        try:
            plan = plan_if_known(taxonomy, name)
            if plan is None and planned:
                plan = next(p for p in plan_models(taxonomy) if p.model == name)
        except HiergenError as error:
            why = error
    return Subject(title, tree, classes, outline, plan, why)


def _model(taxonomy: Taxonomy, wanted: str | None) -> str | None:
    names = list(taxonomy.spec.models)
    if wanted is None:
        branching = [name for name in names if not taxonomy.spec.models[name].single_branch]
        return max(branching or names, key=lambda name: taxonomy.levels[name], default=None)
    return taxonomy.known(wanted)


def is_file(text: str) -> bool:
    """Whether it is a taxonomy file that is meant."""
    return Path(_file_and_model(text)[0]).suffix in _YAML


def _file_and_model(text: str) -> tuple[str, str | None]:
    file, colon, model = text.rpartition(":")
    return (file, model) if colon and Path(file).suffix in _YAML else (text, None)
