"""One global name for everything that is inlined: its own where it is free, else one that says where it is from."""

from __future__ import annotations

import ast
import builtins
import keyword
import re

from hiergen.codegen.inlining.module import Item, Module
from hiergen.codegen.inlining.reach import Outside, Reached, Symbol, Target
from hiergen.errors import HiergenError, quoted


def names(reached: Reached) -> dict[Target, str]:
    """The name of every target in the one file. The source's own names stay; HiergenError if they cannot."""
    forced: set[Target] = set()
    while True:
        given = _assign(reached, forced)
        caught = _captured(reached, given) - forced
        if not caught:
            return given
        forced |= caught


def _assign(reached: Reached, forced: set[Target]) -> dict[Target, str]:
    entry = reached.modules[-1]
    given: dict[Target, str] = {}
    for item in entry.items:
        for name in sorted(item.binds):
            if name in reached.free:
                raise entry.fail(f"the name {quoted(name)} hides one that inlined code uses", item.node.lineno)
            given[Symbol("", name)] = name
    taken = {*given.values(), *reached.free, *dir(builtins)}
    words = _words(reached)
    for target in _targets(reached):
        if target in given:
            continue
        name = target.bound if isinstance(target, Outside) else target.name
        if name in taken or target in forced:
            name = _fresh(target, name, taken | words)
        taken.add(name)
        given[target] = name
    return given


def _targets(reached: Reached) -> list[Target]:
    """Outside names first, since all modules share them; then definitions, in order."""
    outside: dict[Target, None] = {}
    inside: dict[Target, None] = {}
    for module in reached.modules:
        for item in reached.items[module.name]:
            inside |= {Symbol(module.name, name): None for name in sorted(item.binds)}
            for bound in reached.bounds[id(item)]:
                target = reached.target(bound)
                (outside if isinstance(target, Outside) else inside)[target] = None
    return [*outside, *inside]


def _fresh(target: Target, name: str, taken: set[str]) -> str:
    """`_key` of select → `_select_key`, `Stage` of backbone → `BackboneStage`, `LIMIT` of files → `FILES_LIMIT`."""
    stem = re.sub(r"\W|^_+", "", target.module.rpartition(".")[2]) or "hiergen"
    private, plain = name[: len(name) - len(name.lstrip("_"))], name.strip("_")
    if plain.isupper() and len(plain) > 1:
        found = f"{private}{stem.upper()}_{plain}"
    elif plain[:1].isupper():
        found = f"{private}{''.join(part.capitalize() for part in stem.split('_'))}{plain}"
    else:
        found = f"{private}{stem}_{plain}"
    count, base = 1, found
    while found in taken or keyword.iskeyword(found):
        count += 1
        found = f"{base}{count}"
    return found


def _words(reached: Reached) -> set[str]:
    """Every word of the kept text: a fresh name is none of them."""
    text = "".join(
        "".join(module.lines[item.start - 1 : item.end])
        for module in reached.modules
        for item in reached.items[module.name]
    )
    return set(re.findall(r"\w+", text))


def _captured(reached: Reached, given: dict[Target, str]) -> set[Target]:
    """Targets whose name, where it replaces another one, a local variable has."""
    found: set[Target] = set()
    for module in reached.modules:
        for item in reached.items[module.name]:
            for bound in reached.bounds[id(item)]:
                target = reached.target(bound)
                if given[target] in bound.use.around:
                    found.add(target)
    return {target for target in found if not (isinstance(target, Symbol) and target.module == "")}


Edit = tuple[int, int, int, int, str]  # start line and column, end line and column (bytes), new text


def edits(module: Module, item: Item, reached: Reached, given: dict[Target, str]) -> list[Edit]:
    """What must change in an item's text so that it uses the given names."""
    made: dict[tuple[int, int], Edit] = {}
    renamed: set[str] = set()
    for bound in reached.bounds[id(item)]:
        use, name = bound.use, given[reached.target(bound)]
        if bound.end is use.node and name == use.name:
            continue
        if use.node is None or bound.end is None or use.fixed:
            line = use.node.lineno if use.node else item.node.lineno
            raise module.fail(f"{quoted(use.name)} cannot be renamed to {quoted(name)} here", line)
        if isinstance(use.node.ctx, ast.Store):
            renamed.add(use.name)
        made[use.node.lineno, use.node.col_offset] = (
            *(use.node.lineno, use.node.col_offset),
            *(bound.end.end_lineno or 0, bound.end.end_col_offset or 0),
            name,
        )
    for own in sorted(item.binds):
        name = given[Symbol(module.name, own)]
        if name != own and own not in renamed:
            edit = _definition(module, item, own, name)
            made[edit[0], edit[1]] = edit
    for node in ast.walk(item.node):
        if isinstance(node, ast.Global):
            text = "global " + ", ".join(given.get(Symbol(module.name, n), n) for n in node.names)
            if text != ast.unparse(node):
                made[node.lineno, node.col_offset] = (*_span(node), text)
    return [made[key] for key in sorted(made)]


def _definition(module: Module, item: Item, own: str, name: str) -> Edit:
    """Of the name after `def` or `class`."""
    node = item.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        raise module.fail(f"{quoted(own)} cannot be renamed to {quoted(name)} here", node.lineno)
    match = re.match(r"\s*(?:async\s+def|def|class)\s+", module.lines[node.lineno - 1])
    if match is None:
        raise HiergenError(f"{quoted(own)} cannot be renamed", place=f"{module.place}:{node.lineno}")
    return node.lineno, match.end(), node.lineno, match.end() + len(own.encode()), name


def _span(node: ast.stmt) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0
