"""YAML text → plain data plus the line of every value.

Every scalar stays the text that was typed (`no`, `1e3` and `n01440764` mean what they look like; pydantic turns
text into numbers where a number is due). Refused: duplicate keys, tags, aliases that multiply, bottomless nesting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hiergen.errors import SpecError, quoted
from hiergen.files import read_text

MAX_DEPTH = 40
MAX_NODES = 500_000  # after aliases are expanded
MAX_BYTES = 4_000_000

Key = tuple[str | int, ...]
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}
_NULLS = {"", "~", "null", "Null", "NULL"}


class Document:
    """The data of one file, and where each value stands.

    `data` is made of dict, list, str and None; `line(key)` gives the 1-based line of the value at a path of keys
    and indices, or of its nearest parent; `place(key)` gives "file:line".
    """

    def __init__(self, path: Path, data: Any, lines: dict[Key, int]) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def line(self, key: Key) -> int:
        while key not in self._lines and key:
            key = key[:-1]
        return self._lines.get(key, 1)

    def place(self, key: Key) -> str:
        return f"{self.path}:{self.line(key)}"


def load(path: Path) -> Document:
    """Read one YAML file. Raises `SpecError` with line and column for anything that is not plain YAML data."""
    return parse(read_text(path, limit=MAX_BYTES), path)


def parse(text: str, path: Path) -> Document:
    """As `load`, from text that is already in memory; `path` is used in messages only."""
    try:
        _check_nesting(text, path)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        said = (error.context, error.problem) if str(error.problem).startswith("but ") else (error.problem,)
        raise SpecError(f"is not valid YAML: {' '.join(filter(None, said))}", place=where) from None
    except yaml.YAMLError as error:
        text = str(error).splitlines()[0]
        raise SpecError(f"is not valid YAML: {text}", place=str(path)) from None
    lines: dict[Key, int] = {}
    data = None if root is None else _Builder(path, lines).build(root, ())
    return Document(path, data, lines)


def _check_nesting(text: str, path: Path) -> None:
    """Before composing (which recurses): bound the depth, with the parser's flat stream of events."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                where = f"{path}:{mark.line + 1}" if mark else str(path)
                raise SpecError("is nested too deeply", place=where, expected=f"at most {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    def __init__(self, path: Path, lines: dict[Key, int]) -> None:
        self.path = path
        self.lines = lines
        self.count = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node, key: Key) -> Any:
        line = node.start_mark.line + 1
        self.lines[key] = line
        self.count += 1
        place = f"{self.path}:{line}"
        if self.count > MAX_NODES:
            raise SpecError("is too large once its aliases are expanded", place=place, expected=f"{MAX_NODES:,} values")
        if node.tag not in _PLAIN_TAGS:
            raise SpecError(f"tag {quoted(node.tag)} is not allowed", place=place, expected="plain YAML")
        if isinstance(node, yaml.ScalarNode):
            plain = node.style in (None, "")  # the two parsers differ
            return None if plain and node.value in _NULLS else node.value
        if id(node) in self.open:
            raise SpecError("an alias contains itself", place=place)
        self.open.add(id(node))
        built: Any
        if isinstance(node, yaml.SequenceNode):
            built = [self.build(item, (*key, i)) for i, item in enumerate(node.value)]
        else:
            built = self._mapping(node, key)
        self.open.discard(id(node))
        return built

    def _mapping(self, node: Any, key: Key) -> dict[str, Any]:
        built: dict[str, Any] = {}
        first: dict[str, int] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                raise SpecError("a key must be a single value", place=f"{self.path}:{line}", got="a list or mapping")
            name = name_node.value
            if name in built:
                raise SpecError(
                    f"{quoted(name)} stands twice", place=f"{self.path}:{line}", hint=f"first on line {first[name]}"
                )
            first[name] = line
            built[name] = self.build(value_node, (*key, name))
            self.lines[(*key, name)] = line  # the line of the key is where a reader looks
        return built
