"""Import statements in the order and form that ruff's isort rule asks for."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

from hiergen.codegen.inlining.module import PACKAGE
from hiergen.codegen.inlining.reach import Outside

WIDTH = 120


def block(futures: Iterable[str], names: Mapping[Outside, str], plain: Iterable[str]) -> str:
    """The imports at the top of the file, those for type checkers below `if TYPE_CHECKING`.

    `names` is what each import is bound to; `plain` are the modules of `import a.b`.
    """
    runtime = {outside: name for outside, name in names.items() if not outside.typing_only}
    typed = {outside: name for outside, name in names.items() if outside.typing_only}
    if typed:
        runtime.setdefault(Outside("typing", "TYPE_CHECKING", None), "TYPE_CHECKING")
    roots = {outside.module: name for outside, name in runtime.items() if outside.name is None and not outside.alias}
    direct = [(module, roots[module.partition(".")[0]]) for module in plain if module.partition(".")[0] in roots]
    text = f"from __future__ import {', '.join(sorted({*futures, 'annotations'}))}\n"
    if runtime:
        text += "\n" + _sections(runtime, direct)
    if typed:
        inner = _sections(typed, [])
        text += "\nif TYPE_CHECKING:\n" + "".join(f"    {line}" if line.strip() else line for line in _lines(inner))
    return text


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _sections(names: Mapping[Outside, str], direct: Iterable[tuple[str, str]]) -> str:
    straight: dict[str, set[str]] = {}  # module → "import" statements
    members: dict[str, dict[str, str]] = {}
    aliased: dict[str, set[str]] = {}
    for module, name in direct:
        own = module.partition(".")[0]
        straight.setdefault(module, set()).add(f"import {module}" + (f" as {name}" if name != own else ""))
    for outside, name in names.items():
        if outside.name is not None and outside.name == name:
            members.setdefault(outside.module, {})[name] = name
        elif outside.name is not None:
            aliased.setdefault(outside.module, set()).add(f"from {outside.module} import {outside.name} as {name}")
        elif outside.alias:
            straight.setdefault(outside.module, set()).add(f"import {outside.module} as {name}")
    sections: list[str] = []
    modules = {*straight, *members, *aliased}
    for section in range(3):
        here = sorted((m for m in modules if _section(m) == section), key=_natural)
        lines = [line for m in here for line in sorted(straight.get(m, ()), key=_natural)]
        for module in here:
            if module in members:
                lines.append(_from(module, sorted(members[module], key=_member)))
            lines += sorted(aliased.get(module, ()), key=_natural)
        if lines:
            sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _section(module: str) -> int:
    root = module.partition(".")[0]
    return 0 if root in sys.stdlib_module_names else 2 if root == PACKAGE else 1


def _from(module: str, members: list[str]) -> str:
    line = f"from {module} import {', '.join(members)}"
    if len(line) <= WIDTH - 4:  # four less: it may stand below `if TYPE_CHECKING`
        return line
    return "\n".join([f"from {module} import (", *(f"    {member}," for member in members), ")"])


def _member(name: str) -> tuple[int, tuple[tuple[int, int, str], ...], str]:
    """Constants, then classes, then the rest."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, _natural(name), name


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    parts = re.findall(r"\d+|\D+", text.lower())
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
