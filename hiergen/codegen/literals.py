"""Python literals as text: packed to the line width, every string through `repr`, so that no name becomes code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WIDTH = 120


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


def tree(nested: dict[str, Any], indent: int = 4) -> list[str]:
    """A nested mapping, one line per group as far as it fits, the classes of a group packed below it."""
    if all(isinstance(value, str) for value in nested.values()):
        return packed((f"{text(key)}: {text(value)}" for key, value in nested.items()), indent)
    lines = []
    for key, below in nested.items():
        inner = tree(below, indent + 4)
        short = f"{' ' * indent}{text(key)}: {{{inner[0].strip().removesuffix(',')}}}," if len(inner) == 1 else ""
        if short and len(short) <= WIDTH:
            lines.append(short)
        else:
            lines += [f"{' ' * indent}{text(key)}: {{", *inner, f"{' ' * indent}}},"]
    return lines


def call(head: str, arguments: list[str], indent: int) -> str:
    """`head(a, b)` on one line, or one argument a line where it does not fit."""
    line = f"{' ' * indent}{head}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return line
    pad = " " * (indent + 4)
    return "\n".join([f"{' ' * indent}{head}(", *(f"{pad}{a}," for a in arguments), " " * indent + ")"])
