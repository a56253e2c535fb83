"""Plain data → YAML text that `hiergen.taxonomy.yamlfile` reads back as it was, and a person can edit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from hiergen.taxonomy.classes import ClassEntry

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
    for name, own in options.items():
        yield f"  {scalar(name)}:" if own else f"  {scalar(name)}: {{}}"
        yield from (f"    {scalar(str(key))}: {flow(value)}" for key, value in own.items())


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
