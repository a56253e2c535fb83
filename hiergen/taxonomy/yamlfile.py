"""YAML text → plain data plus the line of every value.

Every scalar stays the text that was typed (`no`, `1e3` and `n01440764` mean what they look like; pydantic turns
text into numbers where a number is due). Refused: duplicate keys, tags, aliases that multiply, bottomless nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hiergen.errors import SpecError, quoted
from hiergen.files import read_text

if TYPE_CHECKING:
    from hiergen.taxonomy.classes import ClassEntry


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
    and indices, or of its nearest parent; `place(key)` gives "file:line", or without lines the keys themselves.
    """

    def __init__(self, path: Path, data: Any, lines: dict[Key, int] | None) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def line(self, key: Key) -> int:
        lines = self._lines or {}
        while key not in lines and key:
            key = key[:-1]
        return lines.get(key, 1)

    def place(self, key: Key) -> str:
        if self._lines is None:
            return ".".join(map(str, (self.path, *key)))
        return f"{self.path}:{self.line(key)}"


def from_data(data: Any, name: str) -> Document:
    """What a file with this data would be; numbers and booleans become the text that a file has for them."""
    return Document(Path(name), _as_text(data), None)


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_text(below) for key, below in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_text(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def load(path: Path) -> Document:
    """Read one YAML file. Raises `SpecError` with line and column for anything that is not plain YAML data."""
    return parse(read_text(path, limit=MAX_BYTES), path)


def parse(text: str, path: Path) -> Document:
    """As `load`, from text that is already in memory; `path` is used in messages only."""
    try:
        _check_nesting(text, path)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):  # newer parsers have a limit of their own
            mark = error.problem_mark
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise SpecError("is nested too deeply", place=where, expected=f"at most {MAX_DEPTH} levels") from None
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        parts = (error.context, error.problem) if str(error.problem).startswith("but ") else (error.problem,)
        raise SpecError(f"is not valid YAML: {' '.join(filter(None, parts))}", place=where) from None
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
        if len(self.open) >= MAX_DEPTH:  # by aliases too
            raise SpecError("is nested too deeply", place=place, expected=f"at most {MAX_DEPTH} levels")
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
        inherited: dict[str, Any] = {}
        first: dict[str, int] = {}
        for name_node, value_node in sorted(node.value, key=lambda pair: not _merges(pair[0])):
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                raise SpecError("a key must be a single value", place=f"{self.path}:{line}", got="a list or mapping")
            name = name_node.value
            if name in first:
                raise SpecError(
                    f"{quoted(name)} stands twice", place=f"{self.path}:{line}", hint=f"first on line {first[name]}"
                )
            first[name] = line
            if _merges(name_node):
                inherited = self._inherited(value_node, key, f"{self.path}:{line}")
                continue
            built[name] = self.build(value_node, (*key, name))
            self.lines[(*key, name)] = line  # the line of the key is where a reader looks
        return {**inherited, **built}

    def _inherited(self, node: yaml.Node, key: Key, place: str) -> dict[str, Any]:
        """What YAML's merge key brings: a mapping, or several, of which the first counts."""
        line = self.lines[key]
        built = self.build(node, key)
        self.lines[key] = line
        parts = built if isinstance(built, list) else [built]
        if not all(isinstance(part, dict) for part in parts):
            raise SpecError("'<<' takes the keys of a mapping", place=place, expected="an alias such as *base")
        return {name: value for part in reversed(parts) for name, value in part.items()}


def _merges(name: yaml.Node) -> bool:
    return isinstance(name, yaml.ScalarNode) and name.value == "<<" and name.style in (None, "")


WIDTH = 118  # columns of a comment or list
_PLAIN = re.compile(r"[\w./][\w./()' +-]*", flags=re.ASCII)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def scalar(text: str, *, value: bool = False) -> str:
    """One scalar: as it is where every YAML reader takes it for this text, else in double quotes.

    With `value` a number or truth value stays bare (`depth: 3`), as hiergen's reader takes all scalars for text anyway.
    """
    if value and (_NUMBER.fullmatch(text) or text in {"true", "false"}):
        return text
    if _PLAIN.fullmatch(text) and not text.endswith(" ") and _resolves_to_text(text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def flow(data: Any) -> str:
    """A value on one line: `{backbone: resnet50, until: layer3}`."""
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {flow(value)}" for key, value in data.items()) + "}"
    if isinstance(data, Sequence) and not isinstance(data, str):
        return "[" + ", ".join(map(flow, data)) + "]"
    return "null" if data is None else scalar(str(data), value=True)


def printable(text: str) -> str:
    """One line of text that YAML may hold anywhere: what no YAML file may contain becomes a question mark."""
    return "".join(c if c == " " or c.isprintable() else " " if c.isspace() else "?" for c in text).strip()


def comment(sentence: str) -> Iterator[str]:
    """A sentence as comment lines that it cannot leave."""
    line = "#"
    for word in printable(sentence).split():
        if len(line) + 1 + len(word) > WIDTH and line != "#":
            yield line
            line = "#"
        line += f" {word}"
    yield line


def member(indent: str, entry: ClassEntry, question: str = "") -> str:
    """A class in a list, its name beside it, and what there is to ask ("# ? …")."""
    line, shown = f"{indent}- {scalar(entry.id)}", printable(entry.name)
    if question:
        return f"{line}  # ? {shown}: {printable(question)}"
    return f"{line}  # {shown}" if entry.name != entry.id else line


def table(key: str, values: Mapping[str, str]) -> list[str]:
    """`key:` with one line for each value; nothing for none."""
    return [f"{key}:", *(f"  {scalar(k)}: {scalar(v)}" for k, v in values.items())] if values else []


def models(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """`models:` with the options of each on lines of their own."""
    yield "models:"
    for name, settings in options.items():
        yield f"  {scalar(name)}:" if settings else f"  {scalar(name)}: {{}}"
        yield from (f"    {scalar(str(key))}: {flow(value)}" for key, value in settings.items())


def _resolves_to_text(text: str) -> bool:
    """False for what a reader takes for a number, a date, a truth value or nothing."""
    resolver = yaml.resolver.Resolver()
    tag: str = resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag == "tag:yaml.org,2002:str" and text.lower() not in {"y", "n"}


def _escaped(c: str) -> str:
    if c in '"\\':
        return f"\\{c}"
    if c.isprintable():
        return c
    return f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" if ord(c) < 65536 else f"\\U{ord(c):08x}"
