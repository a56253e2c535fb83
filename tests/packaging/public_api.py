"""What others build on, as text, one fact a line: `python tests/packaging/public_api.py` writes api.txt anew.

Names of `hiergen` and `hiergen.nn` with signatures, fields and public methods; commands with options and defaults;
the codes of findings; the keys of taxonomy files and recipes; timm names that the shipped taxonomies register; and the
versions of file formats. Only what hiergen itself defines: what torch, timm or pydantic add is theirs.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import hiergen
import hiergen.nn
from hiergen.cli import app
from hiergen.cli.json_schema import recipe_schema, taxonomy_schema

ROOT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("api.txt")
FORMATS = (
    *(
        "hiergen.models.weightsfile.FORMAT",
        "hiergen.nestings.ask.questions.VERSION",
    ),
    *("hiergen.formats.json_trees.FORMAT", "hiergen.formats.json_trees.VERSION", "hiergen.data.feature_cache.FORMAT"),
    "hiergen.views.explore.payload.FORMAT",
)


def facts() -> list[str]:
    """All lines, in a fixed order."""
    parts = (_module(hiergen), _module(hiergen.nn), _commands(), _findings(), _keys(), _timm_names(), _formats())
    return [line for part in parts for line in part]


def _module(module: Any) -> Iterator[str]:
    for name in sorted(module.__all__):
        yield from _name(f"{module.__name__}.{name}", getattr(module, name))


def _name(path: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        shown = inspect.signature(thing) if callable(thing) else type(thing).__name__
        yield f"{path}{_plain(shown)}" if callable(thing) else f"{path}: {shown}"
        return
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    yield f"class {path}({bases})" if bases else f"class {path}"
    if issubclass(thing, BaseModel):
        for name, field in thing.model_fields.items():
            default = "" if field.is_required() or field.default is PydanticUndefined else f" = {field.default!r}"
            yield f"{path}.{name}: {_plain(thing.__annotations__.get(name, ''))}{default}"
    elif dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            if field.name.startswith("_"):
                continue
            default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
            yield f"{path}.{field.name}: {_plain(field.type)}{default}"
    elif "__init__" in vars(thing):
        yield f"{path}{_plain(inspect.signature(thing))}"
    for name, member in sorted(vars(thing).items()):
        if name.startswith("_") or (dataclasses.is_dataclass(thing) and name in thing.__dataclass_fields__):
            continue
        if inspect.isfunction(member) or isinstance(member, classmethod | staticmethod):
            yield f"{path}.{name}{_plain(inspect.signature(inspect.unwrap(getattr(thing, name))))}"
        elif isinstance(member, property):
            yield f"{path}.{name} -> {_plain(inspect.signature(member.fget).return_annotation)}"


def _plain(shown: object) -> str:
    """As written, without quotes around annotations, and without addresses in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", re.sub(r"(^|: |-> )'([^']*)'", r"\1\2", str(shown)))


def _commands() -> Iterator[str]:
    group = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        yield f"command {name}"
        for parameter in command.params:
            needed = " needed" if parameter.required else ""
            many = " repeatable" if getattr(parameter, "multiple", False) or parameter.nargs == -1 else ""
            spelled = ", ".join([*parameter.opts, *parameter.secondary_opts])
            kind = spelled if parameter.param_type_name == "option" else f"<{parameter.name}>"
            default = parameter.default
            shown = "" if default in (None, (), []) or needed or default is False else f" = {default}"
            yield f"command {name} {kind}{needed}{many}{shown}"


def _findings() -> Iterator[str]:
    yield from (f"finding {code}" for code in sorted(hiergen.CHECKS))


def _keys() -> Iterator[str]:
    for what, schema in (("taxonomy", taxonomy_schema()), ("recipe", recipe_schema())):
        for path in sorted(set(_properties(schema))):
            yield f"key of a {what} file: {path}"


def _properties(schema: Any, place: str = "") -> Iterator[str]:
    if isinstance(schema, dict):
        for name, below in schema.get("properties", {}).items():
            yield f"{place}{name}"
            yield from _properties(below, f"{place}{name}.")
        for name, below in schema.items():
            if name in ("$defs", "definitions"):
                for part, inner in below.items():
                    yield from _properties(inner, f"<{part}>.")
            elif name != "properties":
                yield from _properties(below, place)
    elif isinstance(schema, list):
        for below in schema:
            yield from _properties(below, place)


def _timm_names() -> Iterator[str]:
    for path in sorted((ROOT / "generated").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "register":
                yield f"timm model {ast.literal_eval(node.args[-1])}"


def _formats() -> Iterator[str]:
    for path in FORMATS:
        module, _, name = path.rpartition(".")
        yield f"format {path} = {json.dumps(getattr(importlib.import_module(module), name))}"


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(facts()) + "\n", "utf-8")
