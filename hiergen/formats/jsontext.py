"""JSON text → data, with one sentence for what is wrong, and the line on which each text first stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError, quoted

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def parse_json(source: str, path: Path) -> dict[str, Any]:
    """The object that a text holds. Raises SpecError with line and column."""
    try:
        data = json.loads(source)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise SpecError(f"is not valid JSON: {error.msg}", place=place) from None
    except (RecursionError, ValueError):  # brackets without end, numbers of thousands of digits
        raise SpecError("is not JSON that can be read", place=str(path), expected="flat lists of nodes") from None
    if not isinstance(data, dict):
        raise SpecError("is no JSON object", place=str(path), expected="{…}", got=type(data).__name__)
    return data


class Lines:
    """Where a text first stands in a JSON file."""

    def __init__(self, source: str, path: Path) -> None:
        self._path = path
        self._found: dict[str, int] = {}
        if "\n" in source.strip():
            line, at = 1, 0
            for match in _STRING.finditer(source):
                line += source.count("\n", at, match.start())
                at = match.start()
                self._found.setdefault(match[0], line)

    def place(self, text: str) -> str:
        """ "file:line"; line 1 where the whole file is one line."""
        for ascii_only in (False, True):
            written = json.dumps(text, ensure_ascii=ascii_only)
            if written in self._found:
                return f"{self._path}:{self._found[written]}"
        return f"{self._path}:1"


def rows(data: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects. Raises SpecError for anything else."""
    found = data.get(key)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise SpecError(f"has no list of objects {quoted(key)}", place=str(path))
    return found


def word(row: dict[str, Any], key: str, place: str, *, needed: bool = False) -> str:
    """A text (or whole number) of an object; "" where it has none. Raises SpecError for anything else."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value):
        got = "nothing" if value is None or value == "" else quoted(json.dumps(value))
        raise SpecError(f"{quoted(key)} of a node or edge is no text", place=place, expected="a text", got=got)
    return value
