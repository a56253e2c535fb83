"""Generated source below the whole modules of hiergen that it imports, so that it needs torch and timm only."""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
import textwrap
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from hiergen._version import __version__
from hiergen.errors import HiergenError, quoted

STANDS_ALONE = "This file stands alone"
_HEAD = f"""\
# {STANDS_ALONE}: it needs torch and timm only, as the modules of hiergen that it uses are copied into it.
# Contains parts of hiergen {__version__}, Copyright the hiergen authors; the rest is what it generated.
# Licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
# Distributed on an "AS IS" basis, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND.
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations
"""
_WIDTH = 120
_THERE = {"torch", "timm", "numpy", "PIL"} | sys.stdlib_module_names  # timm's torchvision brings numpy and Pillow


class _Import(NamedTuple):
    """One name of an import statement; `text` is the statement for it alone, without a `name` it is `import module`."""

    text: str
    module: str
    name: str
    bound: str
    line: int

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]


_TYPE_CHECKING = _Import("from typing import TYPE_CHECKING", "typing", "TYPE_CHECKING", "TYPE_CHECKING", 0)


def standalone(source: str, package: Traversable | None = None) -> str:
    """Copy what the source imports of hiergen (or of `package`, a folder in its place) into it, same bytes each time.

    Imports whose ImportError is caught stay: words of WordNet are looked up only where hiergen is installed.
    Raises `HiergenError`, with file and line, for what cannot be copied and for a name that two places define.

    >>> "import hiergen" in standalone("from hiergen.nn import Nesting\\n")
    False
    """
    entry = _Module(source, "the source")
    modules = [*_needed(entry, package or files("hiergen")), entry]
    names = _names(modules)
    imports = [i for module in modules for i in module.outside if i.bound != "TYPE_CHECKING"]
    typed = [i for module in modules for i in module.typed if i.bound not in names]
    parts = ["".join(entry.lines[: entry.start]), _HEAD, _block([*imports, _TYPE_CHECKING] if typed else imports)]
    if typed:
        parts.append(f"if TYPE_CHECKING:\n{textwrap.indent(_block(typed), '    ')}")
    for module in modules[:-1]:
        lines = [part for line in module.doc.splitlines() for part in textwrap.wrap(line, _WIDTH - 2) or [""]]
        parts.append("\n".join(f"# {line}".rstrip() for line in [module.place, *lines]) + f"\n\n\n{module.body}\n")
    return "\n".join(part for part in [*parts, entry.body] if part)


class _Module:
    """A source split into docstring, imports and `body`: the lines that are left."""

    def __init__(self, text: str, place: str) -> None:
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            raise HiergenError(f"is not Python ({error.msg})", place=f"{place}:{error.lineno}") from None
        self.place, self.lines = place, text.splitlines(keepends=True)
        self.doc = ast.get_docstring(tree) or ""
        self.start = tree.body[0].end_lineno or 0 if self.doc else 0
        self.inner: list[_Import] = []  # of hiergen, at the top
        self.later: list[_Import] = []  # of hiergen, in functions
        self.outside: list[_Import] = []
        self.typed: list[_Import] = []  # below `if TYPE_CHECKING`
        self.names: dict[str, int] = {}  # that it defines, with their line
        self.body = self._split(tree)

    def fail(self, problem: str, line: int, hint: str) -> HiergenError:
        """The error to raise about this line."""
        return HiergenError(problem, place=f"{self.place}:{line}", hint=hint)

    def _split(self, tree: ast.Module) -> str:
        dropped: list[ast.stmt] = []
        optional = _optional(tree)
        for statement in tree.body[bool(self.doc) :]:
            defined = _defined(statement, "".join(self.lines[statement.lineno - 1 : statement.end_lineno]))
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._take(statement, self.inner, self.outside)
                dropped.append(statement)
            elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
                self.typed += [i for node in statement.body for i in _imports(node)]
                dropped.append(statement)
            elif defined == {"__all__"}:
                dropped.append(statement)
            else:
                self.names = dict.fromkeys(defined, statement.lineno) | self.names
                inside = [n for n in ast.walk(statement) if isinstance(n, ast.stmt) and n not in optional]
                dropped += [node for node in inside if self._take(node, self.later, [])]
        lines = [""] * self.start + self.lines[self.start :]
        for node in dropped:
            first, end = node.lineno - 1, node.end_lineno or node.lineno
            end += lines[end : end + 1] == ["\n"]  # with the blank line below
            lines[first:end] = [""] * (end - first)
        return "".join(lines).strip("\n") + "\n"

    def _take(self, node: ast.AST, inner: list[_Import], outside: list[_Import]) -> bool:
        """Note what a statement imports; true if it imports hiergen."""
        for item in _imports(node):
            if item.root == "hiergen":
                if item.name in {"", "*"} or item.name != item.bound:
                    hint = "write 'from hiergen.module import NAME'"
                    raise self.fail(f"{quoted(item.text)} cannot be copied", item.line, hint)
                inner.append(item)
            elif item.root in _THERE:
                outside.append(item)
            else:
                problem = f"needs {quoted(item.module)}, so the file could not stand alone"
                raise self.fail(problem, item.line, "import torch, timm and the standard library only")
        return any(item.root == "hiergen" for item in _imports(node))


def _imports(node: ast.AST) -> list[_Import]:
    if isinstance(node, ast.Import):
        return [
            _Import(ast.unparse(ast.Import([a])), a.name, "", a.asname or a.name.partition(".")[0], node.lineno)
            for a in node.names
        ]
    if not isinstance(node, ast.ImportFrom) or node.module == "__future__":
        return []
    module = "." * node.level + (node.module or "")
    texts = [ast.unparse(ast.ImportFrom(node.module, [a], node.level)) for a in node.names]
    return [_Import(t, module, a.name, a.asname or a.name, node.lineno) for t, a in zip(texts, node.names, strict=True)]


def _optional(tree: ast.Module) -> set[ast.AST]:
    """The nodes whose ImportError is caught."""
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    caught = [t for t in tries if any(h.type and "ImportError" in ast.unparse(h.type) for h in t.handlers)]
    return {node for t in caught for statement in t.body for node in ast.walk(statement)}


def _defined(statement: ast.stmt, text: str) -> set[str]:
    """The global names that a top-level statement defines; timm's name too where it registers a network."""
    symbols = symtable.symtable(text, "", "exec").get_symbols()
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call) and ast.unparse(n.func) == "register"]
    texts = {str(a.value) for call in calls for a in call.args if isinstance(a, ast.Constant)}
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()} | texts


def _needed(entry: _Module, package: Traversable) -> list[_Module]:
    """The modules that the entry imports, and theirs: each after those that it imports at its top."""
    read: dict[str, _Module] = {}
    order: list[_Module] = []
    visited: set[_Module] = set()

    def home(item: _Import, user: _Module) -> _Module:
        """The module that defines what is imported."""
        stem = item.module.partition(".")[2].replace(".", "/")
        for path in (f"{stem}/__init__.py".lstrip("/"), f"{stem}.py"):
            if path not in read and package.joinpath(path).is_file():
                read[path] = _Module(package.joinpath(path).read_text("utf-8"), f"hiergen/{path}")
            if module := read.get(path):
                for again in module.inner:
                    if again.name == item.name:
                        return home(again, module)
                if item.name in {*module.names, *(i.bound for i in module.outside)}:
                    return module
        raise user.fail(f"{quoted(item.text)}: there is no such name", item.line, "import what a module defines")

    def follow(user: _Module, imports: Iterable[_Import]) -> None:
        for item in imports:
            if (module := home(item, user)) not in visited:
                visited.add(module)
                follow(module, module.inner)
                order.append(module)

    follow(entry, entry.inner + entry.later)
    for module in order:  # it grows: what functions import comes last
        follow(module, module.later)
    return order


def _names(modules: Iterable[_Module]) -> set[str]:
    """All global names of the file. Raises HiergenError for one that means two things."""
    meanings: dict[str, tuple[str, str]] = {}
    for module in modules:
        uses = [(name, line, module.place) for name, line in module.names.items()]
        uses += [(i.bound, i.line, i.bound if i.text == f"import {i.module}" else i.text) for i in module.outside]
        for name, line, meaning in uses:
            if hasattr(builtins, name):
                raise module.fail(f"{quoted(name)} hides Python's own", line, "rename it")
            first, place = meanings.setdefault(name, (meaning, f"{module.place}:{line}"))
            if first != meaning:
                raise module.fail(f"{quoted(name)} is a name of {place} too", line, "rename one of them")
    return set(meanings)


def _block(imports: Iterable[_Import]) -> str:
    """Import statements in the order and form that ruff asks for."""
    members: dict[str, set[str]] = {}  # of "from module import "
    for item in imports:
        is_joined = item.name == item.bound
        text = item.text.removesuffix(item.name) if is_joined else item.text
        members.setdefault(text, set()).update({item.name} if is_joined else ())
    sections = ["", "", ""]  # the standard library, others, hiergen
    for text in sorted(members, key=lambda text: (text.startswith("from"), text.lower())):
        root = text.split()[1].partition(".")[0]
        names = sorted(members[text], key=lambda n: (not n.isupper(), n[0].islower(), n.lower()))  # constants first
        line = text + ", ".join(names)
        if len(line) > _WIDTH - 4:
            line = "\n".join([f"{text}(", *(f"    {name}," for name in names), ")"])
        sections[0 if root in sys.stdlib_module_names else 2 if root == "hiergen" else 1] += f"{line}\n"
    return "\n".join(section for section in sections if section)
