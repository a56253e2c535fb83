"""What a user may name → a `Source`: classes, nestings, and the plans of the models that have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError, SpecError, quoted
from hiergen.plan.ir import Plan
from hiergen.plan.trunks import BackboneFacts, facts
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.naming import identifier
from hiergen.terminal import command


@dataclass(frozen=True)
class GroupView:
    """A group of one level: `parent` is its index in the level above, `classes` are class indices, ascending.

    `kind` is `node`, `rest` or `pass` as in `taxonomy.nesting`; "" where the file does not say it.
    """

    name: str
    parent: int
    classes: tuple[int, ...]
    kind: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Nest:
    """One nesting: the levels above the classes, coarse first; siblings stand side by side."""

    levels: tuple[tuple[GroupView, ...], ...]


@dataclass(frozen=True)
class ModelView:
    """One network. `reference` is what other commands call it, `nest` the index of its nesting in the source.

    `plan` is None where it is not known; `why` then says so in a sentence. `built`: the reference exists.
    """

    name: str
    reference: str
    nest: int
    plan: Plan | None
    why: str | None
    built: bool

    @property
    def backbone(self) -> BackboneFacts | None:
        """Figures of the whole backbone, for the flat network of any number of classes."""
        if self.plan is None:
            return None
        trunk = self.plan.trunk
        return facts(trunk.backbone, trunk.input_size[1], measure=False) or facts(trunk.backbone, trunk.input_size[1])


@dataclass(frozen=True)
class Source:
    """All that one argument names. `taxonomy` is None for a generated model. `ids` and `labels` are in logit order."""

    title: str
    typed: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    nests: tuple[Nest, ...]
    models: tuple[ModelView, ...]
    start: int
    taxonomy: Taxonomy | None = None
    weights: str | None = None
    folder: bool = field(default=False)


def read_source(text: str) -> Source:
    """ "FILE.yaml" (all its models), "FILE.yaml:MODEL", or a model as `hiergen.models.find_model` takes it.

    A taxonomy file is read without torch, a model with it. Raises HiergenError for anything else.
    """
    file, _, model = text.rpartition(":") if ":" in text and not _exists(text) else (text, "", "")
    if file.endswith((".yaml", ".yml")):
        return _of_taxonomy(text, load_taxonomy(file), model or None)
    if not text.strip():
        raise SpecError("nothing to explore", expected="a taxonomy file, or a model")
    return _of_model(text)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _of_taxonomy(typed: str, taxonomy: Taxonomy, only: str | None) -> Source:
    from hiergen.builder import plan_if_known

    known = taxonomy.levels
    names = [taxonomy.known(only)] if only is not None else list(known)
    depths = sorted({known[name] for name in names})
    nests = tuple(
        Nest(
            tuple(
                tuple(GroupView(g.name, g.parent, g.classes, g.kind, g.origin) for g in level)
                for level in taxonomy.nesting(next(name for name in names if known[name] == k)).groups
            )
        )
        for k in depths
    )
    file = Path("generated") / f"{identifier(taxonomy.spec.name)}.py"
    models = []
    for name in names:
        why = None
        try:
            plan = plan_if_known(taxonomy, name)
            if plan is None:
                backbone = quoted(taxonomy.spec.models[name].trunk.backbone)
                run = command(("hiergen", "build", taxonomy.path))
                why = f"backbone {backbone} was never measured here; run {run} once"
        except HiergenError as error:
            plan, why = None, str(error)
        reference = f"{file.as_posix()}:{identifier(name)}"
        models.append(ModelView(name, reference, depths.index(known[name]), plan, why, file.is_file()))
    deepest = max(range(len(names)), key=lambda i: (models[i].plan is not None, known[names[i]], -i))
    ids, labels = tuple(c.id for c in taxonomy.classes), tuple(c.name for c in taxonomy.classes)
    return Source(taxonomy.spec.name, typed, ids, labels, nests, tuple(models), deepest, taxonomy)


def _of_model(typed: str) -> Source:
    import torch

    from hiergen.models import find_model
    from hiergen.plan.live import plan_of

    found = find_model(typed)
    with torch.device("meta"):  # shapes only
        network = found.cls()
    plan, why = None, None
    try:
        plan = plan_of(network, taxonomy="", model=found.name)
    except HiergenError as error:
        why = str(error)
    nest = network.nest
    levels = tuple(
        tuple(
            GroupView(name, parent, nest.classes(j, i))
            for i, (name, parent) in enumerate(zip(nest.names(j), nest.parents(j), strict=True))
        )
        for j in range(1, nest.depth)
    )
    folder = found.weights is not None
    reference = typed
    if found.path is not None and not folder and typed.endswith(".py"):
        reference = f"{typed}:{found.name}"
    model = ModelView(found.name, reference, 0, plan, why, True)
    title = Path(typed.removesuffix(f":{found.name}")).stem if found.path is not None else typed
    return Source(
        title,
        typed,
        tuple(network.classes),
        nest.labels,
        (Nest(levels),),
        (model,),
        0,
        weights=str(found.weights) if found.weights else None,
        folder=folder,
    )


def home(nest: Nest, classes: int) -> list[list[int]]:
    """Of each level the group of every class."""
    found = []
    for level in nest.levels:
        of = [0] * classes
        for i, group in enumerate(level):
            for c in group.classes:
                of[c] = i
        found.append(of)
    return found


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys whose value is None: the page is shorter, and asks for what is there."""
    return {key: entry for key, entry in value.items() if entry is not None}
