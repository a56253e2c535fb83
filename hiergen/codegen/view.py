"""Plans → the ready-made strings that the template fills in. All logic of code generation is here."""

from __future__ import annotations

import hashlib
import textwrap
from dataclasses import dataclass, replace

from hiergen import __version__
from hiergen.codegen import literals
from hiergen.plan.ir import LevelPlan, Plan, StagePlan
from hiergen.taxonomy.naming import identifier
from hiergen.units import giga

_RECIPES = {
    "bottleneck": "Bottlenecks",
    "convnext": "ConvNeXts",
    "convnextv2": "ConvNeXts",
    "mbconv": "InvertedResiduals",
}
_INDENT = 8


@dataclass(frozen=True)
class ModelView:
    """One class of the generated module; every field is finished source text.

    Models with as many levels share one tree: `tree` is empty for all but the first of them.
    """

    name: str
    tree_name: str
    registered: str
    summary: str
    costs: str
    tree: str
    input_size: str
    trunk: str
    levels: tuple[str, ...]
    head: str


@dataclass(frozen=True)
class ModuleView:
    """The generated module."""

    summary: str
    origin: str
    imports: str
    classes: str
    models: tuple[ModelView, ...]


@dataclass(frozen=True)
class CutoutOrigin:
    """What the source of a cutout says of where it comes from. `model` and `file` are the full network's; hashes are
    sha256, `source_weights` None for weights that were never trained."""

    model: str
    file: str
    classes: int
    registered: str
    source_taxonomy: str
    source_weights: str | None
    taxonomy: str


def module_view(plans: list[Plan], source: str) -> ModuleView:
    """Everything the template shows, from the plans of one taxonomy file named `source`."""
    first = plans[0]
    trees = {_tree_name(plan): plan.tree for plan in reversed(plans)}
    assert all(trees[_tree_name(plan)] == plan.tree for plan in plans)  # one nesting per number of levels
    shown: set[str] = set()
    models = tuple(_model(plan, shown) for plan in plans)
    return _module(
        plans,
        models,
        f"{_listed([m.name for m in models])} for the {len(first.classes)} classes of {first.taxonomy}.",
        _wrapped(
            f"Written by hiergen {__version__} from {_plain(source)}: to change it, edit that file and run "
            "`hiergen build` on it."
        )
        + f"\nplan sha256: {digest(plans)}",
    )


def cutout_view(plan: Plan, origin: CutoutOrigin) -> ModuleView:
    """Everything the template shows of a cutout."""
    lines = (
        _wrapped(
            f"Written by hiergen {__version__}, cut out of {origin.model} of {_plain(origin.file)}: for other "
            "classes, run `hiergen cutout` on that."
        ),
        f"source taxonomy sha256: {origin.source_taxonomy}",
        f"source weights sha256: {origin.source_weights or 'none, they are untrained'}",
        f"taxonomy sha256: {origin.taxonomy}",
    )
    model = replace(_model(plan, set()), registered=literals.text(origin.registered))
    count = len(plan.classes)
    summary = f"{model.name}: {count} of the {origin.classes} classes of {origin.model}."
    return _module([plan], (model,), summary, "\n".join(lines))


def _wrapped(line: str) -> str:
    return "\n".join(textwrap.wrap(line, 120, break_long_words=False, break_on_hyphens=False))


def _module(plans: list[Plan], models: tuple[ModelView, ...], summary: str, origin: str) -> ModuleView:
    recipes = {_RECIPES[stage.block] for plan in plans for level in plan.levels for stage in level.stages}
    names = sorted({*recipes, "ClassHeads", "HierarchicalNetwork", "Siblings", "Trunk", "register"})
    names += ["Nest"] if any(len(plan.levels) > 1 for plan in plans) else []
    names.sort(key=lambda n: (n[0].islower(), n))
    return ModuleView(
        summary=summary,
        origin=origin,
        imports=f"from hiergen.nn import {', '.join(names)}",
        classes="\n".join(literals.packed((literals.text(c) for c in plans[0].classes), 4)),
        models=models,
    )


def _plain(name: str) -> str:
    """A name from outside (a file's, timm's) with "?" for what is not plain: it stands in a docstring."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "?" for c in name)


def digest(plans: list[Plan]) -> str:
    """sha256 over the plans: what the source says, whatever file it came from."""
    content = "\n".join(plan.model_dump_json() for plan in plans)
    return hashlib.sha256(content.encode()).hexdigest()


def _tree_name(plan: Plan) -> str:
    return f"TAXONOMY_{len(plan.levels)}"


def _model(plan: Plan, shown: set[str]) -> ModelView:
    """The view of one model; its tree's literal is left out if `shown` has it, and added to it."""
    trunk = plan.trunk
    name = identifier(plan.model)
    arguments = [literals.text(trunk.backbone), f"until={literals.text(trunk.until)}", "pretrained=pretrained"]
    if trunk.input_size != (3, 224, 224):
        arguments.append(f"input_size={trunk.input_size}")
    shape = f"(B, {', '.join(map(str, trunk.input_size))}) -> (B, {trunk.channels}, {trunk.height}, {trunk.width})"
    head = [str(len(plan.classes)), str(plan.levels[-1].channels)]
    if plan.single_branch:
        head.append("parents=[0] * " + str(len(plan.classes)))
    elif plan.head_parents:
        head.append("parents=nest.heads")
    tree = "" if _tree_name(plan) in shown else "\n".join(literals.tree(plan.tree))
    shown.add(_tree_name(plan))
    return ModelView(
        name=name,
        tree_name=_tree_name(plan),
        registered=literals.text(f"{identifier(plan.taxonomy)}_{name}".lower()),
        summary=_summary(plan),
        costs=_costs(plan),
        tree=tree,
        input_size=str(trunk.input_size),
        trunk=f"{' ' * _INDENT}# {shape}\n" + literals.call("self.trunk = Trunk", arguments, _INDENT),
        levels=tuple(_level(level, j) for j, level in enumerate(plan.levels, 1)),
        head=f"{' ' * _INDENT}# -> (B, {len(plan.classes)})\n" + literals.call("self.head = ClassHeads", head, _INDENT),
    )


def _level(level: LevelPlan, number: int) -> str:
    shape = f"-> (B, {level.branches}, {level.channels}, {level.height}, {level.width})"
    stages = [_stage(stage) for stage in level.stages]
    arguments = [str(level.branches), f"[{', '.join(stages)}]"]
    if level.parents:
        arguments.append(f"parents=nest.parents({number})")
    comment = f"{' ' * _INDENT}# {shape}\n"
    head = f"self.level{number} = Siblings"
    line = literals.call(head, arguments, _INDENT)
    if any(len(part) > literals.WIDTH for part in line.split("\n")):
        pad = " " * (_INDENT + 8)
        inner = "\n".join(f"{pad}{stage}," for stage in stages)
        arguments[1] = f"[\n{inner}\n{' ' * (_INDENT + 4)}]"
        line = literals.call(head, arguments, _INDENT)
    return comment + line


def _stage(stage: StagePlan) -> str:
    numbers = [str(stage.in_channels), str(stage.width), str(stage.out)]
    numbers += [f"depth={stage.depth}"] if stage.depth != 1 else []
    numbers += [f"stride={stage.stride}"] if stage.stride != 1 else []
    numbers += ["grn=True"] if stage.block == "convnextv2" else []
    if stage.block == "mbconv":  # written out: a reader cannot know what goes with which backbone
        numbers += [f"kernel={stage.kernel}", f'act="{stage.act}"', *(["tf=True"] if stage.tf else [])]
    return f"{_RECIPES[stage.block]}({', '.join(numbers)})"


def _summary(plan: Plan) -> str:
    counts = " → ".join(str(level.branches) for level in plan.levels)
    noun = "branch" if plan.levels[-1].branches == 1 else "branches"
    return f"{counts} {noun} on {_plain(plan.trunk.backbone)} up to {_plain(plan.trunk.until)}."


def _costs(plan: Plan) -> str:
    flat = f"{plan.trunk.flat_params:,} params, {giga(plan.trunk.flat_macs)} GMACs"
    return (
        f"{plan.params:,} params and {giga(plan.macs)} GMACs at {plan.trunk.input_size[-1]} px; "
        f"flat {_plain(plan.trunk.backbone)}: {flat}."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
