"""What pydantic finds wrong with a YAML file → sentences with file and line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from hiergen.errors import SpecError, nearest, quoted
from hiergen.taxonomy.yamlfile import Document, Key

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
    )


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
