"""A taxonomy file → `Spec`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hiergen.assets import taxonomy_file
from hiergen.errors import SpecError, nearest, quoted, unquoted
from hiergen.taxonomy.naming import identifier, is_reserved
from hiergen.taxonomy.spec import (
    Budget,
    Hypernyms,
    ImageFolder,
    Model,
    ModelSpec,
    NestingOptions,
    Spec,
    Stage,
    TrunkSpec,
    model_levels,
)
from hiergen.taxonomy.yamlfile import Document, Key, from_data, load


def read_spec(
    source: str | Path | Mapping[str, Any], report: Callable[[SpecError], None] | None = None
) -> tuple[Spec, Document]:
    """Read and check one taxonomy file, or a mapping with the same keys.

    Raises `SpecError`: the file and line, what is wrong there, and what was expected. A file with several mistakes
    hands all but the last of them to `report` first.
    """
    document = from_data(source, "taxonomy") if isinstance(source, Mapping) else load(taxonomy_file(source))
    if not isinstance(document.data, dict):
        kind = {list: "a list", str: "text", type(None): "nothing"}[type(document.data)]
        raise SpecError(
            "is not a taxonomy",
            place=document.place(()),
            expected="keys such as name, classes, sources, models",
            got=kind,
        )
    try:
        spec = Spec.model_validate(document.data)
    except ValidationError as error:
        errors = mistakes(error, document, _allowed)
        for mistake in errors[:-1]:
            (report or _fail)(mistake)
        raise errors[-1] from None
    for name, model in spec.models.items():
        if model_levels(name, model) is None:
            raise SpecError(
                f"cannot tell how many levels model {quoted(name)} has",
                place=document.place(("models", name)),
                hint="name it PHL or N<k>HL, or add 'levels: k'",
            )
    _check_model_names(spec, document)
    return spec, document


def _check_model_names(spec: Spec, document: Document) -> None:
    """In code '-' becomes '_', and timm's registry knows lower case only."""
    seen: dict[str, str] = {}
    for name in spec.models:
        if is_reserved(identifier(name)):
            raise SpecError(
                f"a model cannot be called {quoted(name)}: generated code uses that name",
                place=document.place(("models", name)),
                hint="rename it",
                code="E505",
            )
        other = seen.setdefault(identifier(name).lower(), name)
        if other != name:
            raise SpecError(
                f"models {quoted(other)} and {quoted(name)} become the same name in code or in timm's registry",
                place=document.place(("models", name)),
                hint="rename one",
                code="E505",
            )


def _fail(error: SpecError) -> None:
    raise error


def _allowed(key: Key) -> list[str]:
    """The keys that may stand in the mapping at `key`."""
    if not key:
        model: type[Model] = Spec
    elif key[0] == "models":
        inner: dict[str, type[Model]] = {"trunk": TrunkSpec, "budget": Budget}
        model = ModelSpec if len(key) == 2 else inner.get(str(key[2]), Stage)
    elif key[0] == "classes":
        model = ImageFolder
    elif key[0] == "sources":
        return ["groups", "superclass-files", "wordnet"]
    else:
        model = NestingOptions if key[0] == "nesting" else Hypernyms
    return [field.alias or name for name, field in model.model_fields.items()]


_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a key here",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a whole number of reasonable size",
    "int_from_float": "is not a whole number",
    "int_type": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_parsing": "is not true or false",
    "bool_type": "is not true or false",
    "dict_type": "is not a mapping",
    "list_type": "is not a list",
    "string_type": "is not text",
    "model_type": "is not a mapping",
    "literal_error": "is not known here",
    "greater_than": "is too small",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
}
_BOUNDS = {"gt": "more than", "ge": "at least", "le": "at most"}


def misfit(error: ValidationError) -> str:
    """The first of pydantic's complaints and what it is about: `'classes.3': field required`."""
    first = error.errors(include_url=False)[0]
    where, message = ".".join(map(str, first["loc"])), str(first["msg"])
    message = f"{message[:1].lower()}{message[1:]}"
    return f"{quoted(where)}: {message}" if where else message


def mistakes(error: ValidationError, document: Document, allowed: Callable[[Key], list[str]]) -> list[SpecError]:
    """pydantic's list of errors → one sentence per mistake, in the file's order.

    `allowed` gives the keys that may stand in the mapping at a key.
    """
    items = [(_user_key(item["loc"], document), item) for item in error.errors(include_url=False)]
    # of two mistakes on one line, a misspelt key explains a missing one
    items.sort(key=lambda pair: (document.line(pair[0]), pair[1]["type"] != "extra_forbidden"))
    return [_mistake(item, key, document, allowed) for key, item in items]


def _mistake(item: Any, key: Key, document: Document, allowed: Callable[[Key], list[str]]) -> SpecError:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    where: Key = (*key, str(item["loc"][-1])) if kind == "missing" else key
    shown = ".".join(str(part) for part in where) or "the file"
    problem = _MESSAGES.get(kind) or _sentence(item)
    names = allowed(key[:-1]) if kind == "extra_forbidden" else []
    near = nearest(str(key[-1]), names) if names else ()
    expected = f"one of {', '.join(names)}" if names else None
    if kind == "literal_error":
        expected = context["expected"]
        if isinstance(value, str):
            near = nearest(value, re.findall("'([^']+)'", expected))
    elif bound := next((b for b in _BOUNDS if b in context), None):
        expected = f"{_BOUNDS[bound]} {context[bound]:g}"
    got = None
    if kind not in {"missing", "extra_forbidden"}:
        scalar = isinstance(value, str | int | float)
        got = quoted(value) if scalar else _kind(value) if kind != "value_error" else None
    return SpecError(
        f"{quoted(shown)} {problem}",
        place=document.place(key),
        got=got if got is None or got not in problem else None,
        expected=expected,
        nearest=near,
        hint=_written_out(where, value) if kind in ("dict_type", "model_type") else None,
    )


def _written_out(key: Key, value: Any) -> str | None:
    """How a model, or its trunk, is written that somebody shortened to its name."""
    names = [value] if isinstance(value, str) else value
    if key == ("models",) and isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return f"write models: {{{', '.join(f'{unquoted(name)}: {{}}' for name in names)}}}"
    if len(key) == 2 and key[0] == "models" and value is None:
        return f"write {unquoted(key[1])}: {{}}"
    if len(key) == 3 and (key[0], key[2]) == ("models", "trunk") and isinstance(value, str):
        return f"write trunk: {{backbone: {unquoted(value)}}}"
    return None


def _sentence(item: Any) -> str:
    text = str(item["msg"]).removeprefix("Value error, ")
    return ("is wrong: " if item["type"] == "value_error" else "") + text[:1].lower() + text[1:]


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), type(value).__name__)


def _user_key(loc: tuple[Any, ...], document: Document) -> Key:
    """Drop the parts of pydantic's location that are names of union members, not keys of the file."""
    key: Key = ()
    data = document.data
    for part in loc:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        if inside:
            key, data = (*key, part), data[part]
    return key
