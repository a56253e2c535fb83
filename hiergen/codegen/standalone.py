"""Generated source → the same source with what it uses of hiergen inlined, so that it needs torch and timm only."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable

from hiergen import __version__
from hiergen.codegen.inlining.imports import block
from hiergen.codegen.inlining.module import Item, Module, parse
from hiergen.codegen.inlining.names import Edit, edits, names
from hiergen.codegen.inlining.reach import Outside, Reached, Target, reach

WIDTH = 120
_LICENCE = f"""\
# Contains parts of hiergen {__version__}, Copyright the hiergen authors; the rest is what it generated.
# Licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
# Distributed on an "AS IS" basis, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND.
# SPDX-License-Identifier: Apache-2.0
"""
STANDS_ALONE = "This file stands alone"
_NOTE = f"{STANDS_ALONE}: it needs torch and timm only, as what it uses of hiergen is copied into it."


def standalone(source: str) -> str:
    """The source without its imports of hiergen; the same source gives the same bytes.

    Imports in functions whose ImportError is caught stay (words of WordNet are looked up only where hiergen is).
    Raises `HiergenError`, with file and line, for anything that cannot be inlined.

    >>> "hiergen" in standalone("from hiergen.nn import Nest\\n").partition("class Nest")[2]
    False
    """
    entry = parse(source, "")
    reached = reach(entry)
    given = names(reached)
    library = [_part(module, reached, given) for module in reached.modules[:-1]]
    changed = any(edits(m, i, reached, given) for m in reached.modules for i in reached.items[m.name])
    body = "\n\n".join(part for part in library if part)
    own = _items(entry, entry.items, reached, given)
    parts = [_docstring(entry), _LICENCE, _imports(reached, given)]
    if changed:  # a shorter or longer name may move a line break
        parts += ["# fmt: off", body, "# fmt: on\n\n" + own]
    else:
        parts += [body, "\n" + own] if body else [own]
    text = "\n".join(parts)
    known = {line for module in reached.modules for line in module.lines}
    if any(len(line) > WIDTH + 1 and line not in known for line in text.splitlines(keepends=True)):
        text = text.replace(_LICENCE, f"{_LICENCE}# ruff: noqa: E501\n", 1)
    compile(text, "<standalone>", "exec")
    return text


def _docstring(entry: Module) -> str:
    if entry.doc is None:
        return f'"""{_NOTE}"""\n'
    text = "".join(entry.lines[entry.doc.lineno - 1 : entry.doc.end_lineno]).rstrip()
    quotes = text[-3:]
    return f"{text[:-3].rstrip()}\n\n{_NOTE}\n{quotes}\n"


def _imports(reached: Reached, given: dict[Target, str]) -> str:
    used = {
        target: given[target]
        for module in reached.modules
        for item in reached.items[module.name]
        for bound in reached.bounds[id(item)]
        if isinstance(target := reached.target(bound), Outside)
    }
    futures = {name for module in reached.modules for name in module.futures}
    return block(futures, used, sorted(reached.plain))


def _part(module: Module, reached: Reached, given: dict[Target, str]) -> str:
    """What is kept of one module, below a line that names it and says what its docstring says."""
    items = reached.items[module.name]
    if not items:
        return ""
    lines = [f"# {module.place}"]
    doc = ast.literal_eval(module.doc.value) if module.doc else ""
    for line in doc.strip().splitlines():
        lines += [f"# {piece}" for piece in textwrap.wrap(line, WIDTH - 2)] or ["#"]
    gap = "\n\n\n" if items[0].is_block else "\n\n"
    return "\n".join(lines) + gap + _items(module, items, reached, given)


def _items(module: Module, items: Iterable[Item], reached: Reached, given: dict[Target, str]) -> str:
    """The items' text; where one was left out, with the blank lines that a formatter wants."""
    text = ""
    before: Item | None = None
    for item in items:
        if before is not None:
            together = item.after == before.end  # in the module too
            blank = item.start - before.end - 1 if together else 2 if before.is_block or item.is_block else 1
            text += "\n" * blank
        text += _text(module, item, edits(module, item, reached, given))
        before = item
    return text


def _text(module: Module, item: Item, changes: list[Edit]) -> str:
    lines = [line.encode() for line in module.lines]
    for first, start, last, end, new in reversed(changes):
        lines[first - 1 : last] = [
            lines[first - 1][:start] + new.encode() + lines[last - 1][end:],
            *(b"" for _ in range(last - first)),
        ]
    for statement in item.inlined:
        _drop(lines, item.node, statement)
    return b"".join(lines[item.start - 1 : item.end]).decode()


def _drop(lines: list[bytes], root: ast.stmt, statement: ast.stmt) -> None:
    """Take a statement out of its block, with the blank line below it at the block's head; `pass` if it was all."""
    block_of = next(
        body
        for node in ast.walk(root)
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody"))
        if isinstance(body, list) and statement in body
    )
    first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
    indent = lines[first][: statement.col_offset]
    kept = [s for s in block_of if not isinstance(s, ast.Import | ast.ImportFrom)]
    for index in range(first, last):
        lines[index] = b""
    if not kept and statement is block_of[-1]:
        lines[first] = indent + b"pass\n"
    elif last < len(lines) and not lines[last].strip() and (not first or not lines[first - 1].strip().endswith(b'"""')):
        lines[last] = b""
