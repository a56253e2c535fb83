"""What a user may name → a `Source`: classes, nestings, and the plans of the models that have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hiergen.console.terminal import command
from hiergen.errors import HiergenError, SpecError
from hiergen.lookup.reference import parse_reference
from hiergen.planning.backbones import BackboneFacts, facts
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.views.draw.subject import of_network


@dataclass(frozen=True)
class ExploredModel:
    """One network. `reference` is what other commands call it, `nesting` the index of its nesting in the source.

    `plan` is None where it is not known; `why` then says so in a sentence.
    """

    name: str
    reference: str
    nesting: int
    plan: Plan | None
    why: str | None

    @property
    def backbone(self) -> BackboneFacts | None:
        """Figures of the whole backbone, for the flat network of any number of classes."""
        if self.plan is None:
            return None
        trunk = self.plan.trunk
        channels, height, width = trunk.input_size
        return facts(trunk.backbone, (height, width), channels)


@dataclass(frozen=True)
class Source:
    """All that one argument names. `taxonomy` is None for a generated model. `ids` and `labels` are in logit order."""

    title: str
    typed: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    nestings: tuple[Nesting, ...]
    models: tuple[ExploredModel, ...]
    start: int
    taxonomy: Taxonomy | None = None
    weights: str | None = None


def read_source(text: str) -> Source:
    """ "FILE.yaml" (all its models), "FILE.yaml:MODEL", or a model as `hiergen.models.load.find_model` takes it.

    A taxonomy file is read without torch, a model with it. Raises HiergenError for anything else.
    """
    reference = parse_reference(text)
    if reference.kind == "taxonomy":
        return _of_taxonomy(text, load_taxonomy(reference.path), reference.model or None)
    if not text.strip():
        raise SpecError("nothing to explore", expected="a taxonomy file, or a model")
    return _of_model(text)


def _of_taxonomy(typed: str, taxonomy: Taxonomy, only: str | None) -> Source:
    from hiergen.planning.from_taxonomy import plan_if_known, unmeasured

    levels = taxonomy.levels
    names = [taxonomy.check_model(only)] if only is not None else list(levels)
    depths = sorted({levels[name] for name in names})
    nestings = tuple(
        replace(taxonomy.nesting(next(name for name in names if levels[name] == k)), name=typed) for k in depths
    )
    file = typed if only is None else typed.removesuffix(f":{only}")
    models = []
    for name in names:
        why = None
        try:
            plan = plan_if_known(taxonomy, name)
            if plan is None:
                run = command(("hiergen", "build", taxonomy.path))
                why = f"{unmeasured(taxonomy, name)[1]} was never measured here; run {run} once"
        except HiergenError as error:
            plan, why = None, str(error)
        models.append(ExploredModel(name, f"{file}:{name}", depths.index(levels[name]), plan, why))
    deepest = max(range(len(names)), key=lambda i: (models[i].plan is not None, levels[names[i]], -i))
    ids, labels = tuple(c.id for c in taxonomy.classes), tuple(c.name for c in taxonomy.classes)
    return Source(taxonomy.spec.name, typed, ids, labels, nestings, tuple(models), deepest, taxonomy)


def _of_model(typed: str) -> Source:
    import torch

    from hiergen.models.load import find_model

    model_class = find_model(typed)
    with torch.device("meta"):  # shapes only
        network = model_class.cls()
    subject = of_network(network, taxonomy="", model=model_class.name)
    why = None if subject.no_plan is None else str(subject.no_plan)
    folder = model_class.weights is not None
    reference = typed
    if model_class.path is not None and not folder and typed.endswith(".py"):
        reference = f"{typed}:{model_class.name}"
    model = ExploredModel(model_class.name, reference, 0, subject.plan, why)
    title = Path(typed.removesuffix(f":{model_class.name}")).stem if model_class.path is not None else typed
    return Source(
        title,
        typed,
        tuple(network.classes),
        network.nesting.labels,
        (replace(network.nesting, name=typed),),
        (model,),
        0,
        weights=str(model_class.weights) if model_class.weights else None,
    )


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys whose value is None: the page is shorter, and asks for what is there."""
    return {key: entry for key, entry in value.items() if entry is not None}
