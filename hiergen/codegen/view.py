"""Plans → the ready-made strings that the template fills in. All logic of code generation is here."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hiergen._version import __version__
from hiergen.console.terminal import giga
from hiergen.planning.blocks import BLOCKS
from hiergen.planning.plan import GeneralistPlan, LevelPlan, Plan, StagePlan, TrunkPlan
from hiergen.taxonomy.naming import identifier
from hiergen.taxonomy.nesting import Nesting

_INDENT = 8
WIDTH = 120


@dataclass(frozen=True)
class ModelView:
    """One class of the generated module; every field is finished source text."""

    name: str
    nesting: str
    registered: str
    summary: str
    costs: str
    input_size: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class ModuleView:
    """The generated module."""

    summary: str
    origin: str
    imports: str
    classes: str
    synsets: str
    groups: str
    nestings: tuple[str, ...]
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
    models = tuple(_model(plan) for plan in plans)
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
    model = replace(_model(plan), registered=text(origin.registered))
    count = len(plan.classes)
    summary = f"{model.name}: {count} of the {origin.classes} classes of {origin.model}."
    return _module([plan], (model,), summary, "\n".join(lines))


def assembled_view(plan: Plan, how: str, registered: str, taxonomy: str) -> ModuleView:
    """Everything the template shows of a network that was put together of others."""
    model = replace(_model(plan), registered=text(registered))
    lines = (
        _wrapped(f"Written by hiergen {__version__}, put together of {_plain(how)}."),
        f"taxonomy sha256: {taxonomy}",
    )
    return _module([plan], (model,), f"{model.name} for {len(plan.classes)} classes.", "\n".join(lines))


def _wrapped(line: str) -> str:
    return "\n".join(textwrap.wrap(line, 120, break_long_words=False, break_on_hyphens=False))


def _module(plans: list[Plan], models: tuple[ModelView, ...], summary: str, origin: str) -> ModuleView:
    stages = {stage for plan in plans for level in plan.levels for stage in level.stages}
    stages |= {stage for plan in plans for branch in plan.for_all for stage in branch.stages}
    recipes = {BLOCKS[stage.block].recipe for stage in stages}
    names = {*recipes, "ClassHeads", "HierarchicalNetwork", "Nesting", "Siblings", "Trunk", "register"}
    names |= {"Generalist"} if any(plan.for_all for plan in plans) else set()
    nestings: dict[int, Nesting] = {}
    for plan in plans:
        assert nestings.setdefault(len(plan.levels), plan.nesting) == plan.nesting  # one per number of levels
    first = plans[0].nesting
    synsets = [(c, synset) for c, synset in zip(first.classes, first.synsets, strict=True) if synset is not None]
    return ModuleView(
        summary=summary,
        origin=origin,
        imports=wrapped_import("hiergen.nn", sorted(names, key=lambda n: (n[0].islower(), n))),
        classes=mapping(zip(first.classes, first.labels, strict=True)),
        synsets=mapping(synsets),
        groups="\n".join(_groups(nestings)),
        nestings=tuple(_nesting(nestings[k], synsets=bool(synsets)) for k in sorted(nestings)),
        models=models,
    )


def _groups(nestings: dict[int, Nesting]) -> Iterator[str]:
    """Lines of the groups by hand that some nesting lacks."""
    lost: dict[str, tuple[int, ...]] = {}
    for nesting in nestings.values():
        lost |= dict(nesting.groups)
    ids = next(iter(nestings.values())).classes
    for name, classes in lost.items():
        lines = list(packed((text(ids[c]) for c in classes), 8))
        short = f"    {text(name)}: [{lines[0].strip().rstrip(',')}]," if len(lines) == 1 else ""
        if short and len(short) <= WIDTH:
            yield short
        else:
            yield from (f"    {text(name)}: [", *lines, "    ],")


def _nesting(nesting: Nesting, *, synsets: bool) -> str:
    tail = "CLASSES, SYNSETS" if synsets else "CLASSES"
    if nesting.groups:
        tail += ", GROUPS" if synsets else ", {}, GROUPS"
    head = f"NESTING_{nesting.depth} = Nesting.from_tree("
    if not nesting.levels and nesting.leaves == tuple(range(len(nesting.classes))):
        return f"{head}CLASSES, {tail})"
    if not nesting.levels:
        ids = packed((text(c) for c in nesting.names(1)), 4)
        return "\n".join([f"{head}[", *ids, f"], {tail})"])
    return "\n".join([f"{head}{{", *tree(nesting.tree()), f"}}, {tail})"])


def _plain(name: str) -> str:
    """A name from outside (a file's, timm's) with "?" for what is not plain: it stands in a docstring."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-,: ") else "?" for c in name)


def digest(plans: list[Plan]) -> str:
    """sha256 over the plans: what the source says, whatever file it came from."""
    content = "\n".join(plan.model_dump_json(exclude={"nesting"}) for plan in plans)  # which says where groups are from
    content += json.dumps([[plan.nesting.tree(), plan.nesting.synsets] for plan in plans])
    return hashlib.sha256(content.encode()).hexdigest()


def _model(plan: Plan) -> ModelView:
    trunk, classes = plan.trunk, len(plan.classes)
    name = identifier(plan.model)
    arguments = [text(trunk.backbone), f"until={text(trunk.until)}", "pretrained=pretrained"]
    if trunk.input_size != (3, 224, 224):
        arguments.append("input_size=self.input_size")
    if trunk.tokens:
        arguments.append("tokens=True")
    head = [str(classes), str(plan.levels[-1].channels)]
    if plan.single_branch:
        head.append(f"parents=[0] * {classes}")
    elif plan.head_parents:
        head.append("parents=self.nesting.heads")
    modules = [
        call("self.trunk = Trunk", arguments, _INDENT, f"-> (B, {trunk.channels}, {trunk.height}, {trunk.width})"),
        *(_level(level, j) for j, level in enumerate(plan.levels, 1)),
        call("self.head = ClassHeads", head, _INDENT, f"-> (B, {classes})"),
        *(_for_all(name, branch) for name in ("generalist", "flat") if (branch := getattr(plan, name)) is not None),
    ]
    return ModelView(
        name=name,
        nesting=f"NESTING_{len(plan.levels)}",
        registered=text(f"{identifier(plan.taxonomy)}_{name}".lower()),
        summary=_summary(plan),
        costs=_costs(plan),
        input_size=str(trunk.input_size),
        modules=tuple(modules),
    )


def _level(level: LevelPlan, number: int) -> str:
    stages = [_call_text(*_stage(stage)) for stage in level.stages]
    arguments = [str(level.branches), f"[{', '.join(stages)}]"]
    if level.parents:
        arguments.append(f"parents=self.nesting.parents({number})")
    return _split(f"self.level{number} = Siblings", arguments, 1, level.stages, _shape(level, level.branches))


def _for_all(name: str, plan: GeneralistPlan) -> str:
    stages = [_call_text(*_stage(stage)) for stage in plan.stages]
    arguments = [f"[{', '.join(stages)}]", str(plan.classes), f"groups={plan.groups}"]
    for option, value in (("columns", plan.columns), ("homes", plan.homes)):
        if value is not None:
            arguments.append(f"{option}={list(value)}")
    comment = f"-> (B, {plan.classes})"
    return _split(f"self.{name} = Generalist", arguments, 0, plan.stages, comment)


def _split(head: str, arguments: list[str], at: int, stages: Sequence[StagePlan], comment: str) -> str:
    """A call whose argument `at` is the list of these stages, a stage a line where it is long."""
    line = call(head, arguments, _INDENT, comment)
    if any(len(part) > WIDTH for part in line.split("\n")):
        pad = " " * (_INDENT + 8)
        inner = "\n".join(f"{pad}{_broken(*_stage(stage), len(pad))}," for stage in stages)
        arguments[at] = f"[\n{inner}\n{' ' * (_INDENT + 4)}]"
        line = call(head, arguments, _INDENT, comment)
    return line


def _shape(part: TrunkPlan | LevelPlan, *branches: int) -> str:
    return f"-> (B, {', '.join(map(str, (*branches, part.channels, part.height, part.width)))})"


def _stage(stage: StagePlan) -> tuple[str, list[str]]:
    """The recipe's name and its arguments."""
    kind = BLOCKS[stage.block]
    arguments = []
    for name, value in kind.recipe_of(stage).items():
        if name == "input_size":
            shown = "self.input_size"
        elif isinstance(value, list):
            shown = f"[{', '.join(map(text, value))}]"
        else:
            shown = text(value) if isinstance(value, str) else str(value)
        arguments.append(shown if name in kind.sizes else f"{name}={shown}")
    return kind.recipe, arguments


def _call_text(name: str, arguments: list[str]) -> str:
    """`name(a, b)`."""
    return f"{name}({', '.join(arguments)})"


def _broken(name: str, arguments: list[str], indent: int) -> str:
    """`name(a, b)` that begins at this column, an argument a line where it is long, an item of a list likewise."""
    line = _call_text(name, arguments)
    if indent + len(line) < WIDTH:
        return line
    pad, lines = " " * (indent + 4), []
    for argument in arguments:
        if argument.startswith("[") and len(pad) + len(argument) >= WIDTH:
            items = argument[1:-1].split(", ")
            lines += [f"{pad}[", *(f"{pad}    {item}," for item in items), f"{pad}],"]
        else:
            lines.append(f"{pad}{argument},")
    return "\n".join([f"{name}(", *lines, f"{' ' * indent})"])


def _summary(plan: Plan) -> str:
    counts = " → ".join(str(level.branches) for level in plan.levels)
    noun = "branch" if plan.levels[-1].branches == 1 else "branches"
    more = ("", ", and one for all classes,", ", and two for all classes,")[len(plan.for_all)]
    return f"{counts} {noun}{more} on {_plain(plan.trunk.backbone)} up to {_plain(plan.trunk.until)}."


def _costs(plan: Plan) -> str:
    flat = f"{plan.trunk.flat_params:,} params, {giga(plan.trunk.flat_macs)} GMACs"
    channels, height, width = plan.trunk.input_size
    size = width if (channels, height) == (3, width) else f"{channels} × {height} × {width}"
    return (
        f"{plan.params:,} params and {giga(plan.macs)} GMACs at {size} px; flat {_plain(plan.trunk.backbone)}: {flat}."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def text(value: str) -> str:
    """A string literal: double quotes as ruff writes them, ASCII escapes for what does not print."""
    body = ascii(value) if not value.isprintable() else repr(value)
    if body.startswith("'") and '"' not in body:
        body = f'"{body[1:-1]}"'
    return body


def packed(items: Iterable[str], indent: int) -> list[str]:
    """Comma-separated items filled into lines of at most WIDTH characters."""
    lines: list[str] = []
    current = " " * indent
    for item in items:
        piece = f"{item},"
        if len(current) + 1 + len(piece) > WIDTH and current.strip():
            lines.append(current)
            current = " " * indent
        current += piece if not current.strip() else f" {piece}"
    return [*lines, current] if current.strip() else lines


def mapping(items: Iterable[tuple[str, str]]) -> str:
    """The lines of a mapping of texts, without its braces."""
    return "\n".join(packed((f"{text(key)}: {text(value)}" for key, value in items), 4))


def tree(nested: Mapping[str, Any], indent: int = 4) -> list[str]:
    """A mapping group → … → class ids, one line per group as far as it fits, the ids of a group packed below it."""
    lines = []
    for key, below in nested.items():
        groups = all(isinstance(value, Mapping) for value in below.values())
        inner = tree(below, indent + 4) if groups else packed(map(text, below), indent + 4)
        start, end = "{}" if groups else "[]"
        short = (
            f"{' ' * indent}{text(key)}: {start}{inner[0].strip().removesuffix(',')}{end}," if len(inner) == 1 else ""
        )
        if short and len(short) <= WIDTH:
            lines.append(short)
        else:
            lines += [f"{' ' * indent}{text(key)}: {start}", *inner, f"{' ' * indent}{end},"]
    return lines


def wrapped_import(module: str, names: list[str]) -> str:
    """`from module import a, b`, as a formatter writes it."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def call(head: str, arguments: list[str], indent: int, comment: str) -> str:
    """`head(a, b)  # comment`, or one argument a line, or the comment above, where it does not fit."""
    pad = " " * indent
    line = f"{pad}{head}({', '.join(arguments)})"
    if len(line) > WIDTH:
        return "\n".join([f"{pad}{head}(", *(f"{pad}    {a}," for a in arguments), f"{pad})  # {comment}"])
    return f"{line}  # {comment}" if len(line) + len(comment) + 4 <= WIDTH else f"{pad}# {comment}\n{line}"
