"""What a source reaches of hiergen: which items of which modules, and what every name in them means."""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hiergen.codegen.inlining.module import PACKAGE, Import, Item, Module, load, statements_of
from hiergen.codegen.inlining.scopes import Use, imported_as
from hiergen.errors import HiergenError, nearest, quoted

ALLOWED = {"torch", "timm"}


@dataclass(frozen=True)
class Symbol:
    """A top-level name of a module of hiergen, or of the source itself (module "")."""

    module: str
    name: str


@dataclass(frozen=True)
class Outside:
    """What an import of torch, timm or the standard library binds; `typing_only`: below `if TYPE_CHECKING`."""

    module: str
    name: str | None
    alias: str | None
    typing_only: bool = False

    @property
    def bound(self) -> str:
        return self.alias or self.name or self.module.partition(".")[0]


Target = Symbol | Outside


@dataclass(frozen=True)
class Bound:
    """A use and what it means; its text ends where `end` does. `weak` has a meaning for type checkers only."""

    use: Use
    target: Target
    end: ast.expr | None
    weak: Outside | None = None


@dataclass
class Reached:
    """Kept items by module, with the meaning of their names; `modules` are in the order in which Python runs them."""

    modules: list[Module] = field(default_factory=list)
    items: dict[str, list[Item]] = field(default_factory=dict)
    bounds: dict[int, list[Bound]] = field(default_factory=dict)  # by id of the item
    free: set[str] = field(default_factory=set)  # names that no module binds: builtins
    plain: set[str] = field(default_factory=set)  # "a.b" of `import a.b`

    def target(self, bound: Bound) -> Target:
        """A name for type checkers means the real thing where that is here."""
        if bound.weak and isinstance(bound.target, Symbol):
            here = any(bound.target.name in item.binds for item in self.items.get(bound.target.module, ()))
            return bound.target if here else bound.weak
        return bound.target


def reach(entry: Module) -> Reached:
    """Everything that the source needs. Raises `HiergenError` for what cannot be inlined, with file and line."""
    search = _Search(entry)
    search.run()
    return search.reached


class _Search:
    def __init__(self, entry: Module) -> None:
        self.entry = entry
        self.reached = Reached()
        self._todo: deque[tuple[Module, Item]] = deque()
        self._modules: dict[str, Module] = {}
        self._seen: set[int] = set()

    def run(self) -> None:
        self._include(self.entry)
        for item in self.entry.items:
            self._keep(self.entry, item)
        while self._todo:
            self._follow(*self._todo.popleft())
        ordered = _in_order(self.entry, self._modules)
        self.reached.modules = ordered
        self.reached.items = {
            module.name: [item for item in module.items if id(item) in self._seen] for module in ordered
        }

    def _include(self, module: Module) -> None:
        if module.name in self._modules:
            return
        self._modules[module.name] = module
        for item in module.items:
            if item.effect:
                self._keep(module, item)
        for found in module.whole:
            if (other := load(found.module)) is None:
                raise module.fail(f"hiergen has no module {quoted(found.module)}", found.line)
            self._include(other)

    def _keep(self, module: Module, item: Item) -> None:
        if id(item) not in self._seen:
            self._seen.add(id(item))
            self._todo.append((module, item))

    def _follow(self, module: Module, item: Item) -> None:
        _check(module, item)
        bounds = self.reached.bounds[id(item)] = []
        for use in item.uses:
            bound = self._meaning(module, use)
            if bound is None:
                self.reached.free.add(use.name)
                continue
            bounds.append(bound)
            if isinstance(bound.target, Symbol) and not bound.weak:
                home = module if bound.target.module == module.name else self._home(bound.target)
                self._include(home)
                for other in home.binding(bound.target.name):
                    self._keep(home, other)

    def _home(self, symbol: Symbol) -> Module:
        home = self._modules.get(symbol.module) or load(symbol.module)
        assert home is not None
        return home

    def _meaning(self, module: Module, use: Use) -> Bound | None:
        if use.imported is not None:
            imports: Iterable[Import] = (i for n, i in statements_of(use.imported, module.name) if n == use.name)
        elif module.binding(use.name):
            return Bound(use, Symbol(module.name, use.name), use.node)
        elif use.name in module.imports:
            imports = module.imports[use.name]
        elif use.name in module.type_imports:
            return self._typed(module, use, module.type_imports[use.name][-1])
        else:
            return None
        found = list(imports)[-1]
        if found.internal:
            return self._internal(module, use, found)
        return Bound(use, self._outside(module, found), use.node)

    def _typed(self, module: Module, use: Use, found: Import) -> Bound:
        outside = Outside(found.module, found.name, found.alias, typing_only=True)
        if found.internal and found.name is not None:
            target = _find(module, found, found.module, found.name)
            if isinstance(target, Symbol):
                return Bound(use, target, use.node, weak=outside)
        return Bound(use, outside, use.node)

    def _internal(self, module: Module, use: Use, found: Import) -> Bound:
        target: Target | str
        if found.name is None:
            target = found.module if found.alias else PACKAGE
        else:
            target = _find(module, found, found.module, found.name)
        end: ast.expr | None = use.node
        chain: Iterator[ast.Attribute] = iter(use.attributes)
        while isinstance(target, str):  # a module: its attribute is meant
            attribute = next(chain, None)
            if attribute is None or not isinstance(attribute.ctx, ast.Load):
                line = use.node.lineno if use.node else found.line
                raise module.fail(f"uses the module {quoted(target)} as a value, which cannot be inlined", line)
            target, end = _find(module, found, target, attribute.attr), attribute
        if isinstance(target, Outside):
            target = self._outside(module, Import(target.module, target.name, target.alias, found.line))
        return Bound(use, target, end)

    def _outside(self, module: Module, found: Import) -> Outside:
        _allowed(module, found.module, found.line)
        if found.name is None and found.alias is None:
            root = found.module.partition(".")[0]
            # `import a.b` beside `import a.c` both bind a
            self.reached.plain |= {i.module for i in module.imports.get(root, ()) if not i.alias and not i.name}
            self.reached.plain.add(found.module)
            return Outside(root, None, None)
        return Outside(found.module, found.name, found.alias)


def _find(module: Module, found: Import, home: str, name: str) -> Target | str:
    """What `home.name` is: a symbol, something from outside, or (a str) a module of hiergen."""
    there = load(home)
    if there is None:
        raise module.fail(f"hiergen has no module {quoted(home)}", found.line)
    if there.binding(name):
        return Symbol(home, name)
    for imports in (there.imports, there.type_imports):  # the package's lazy names are there for type checkers only
        if name in imports:
            other = imports[name][-1]
            if not other.internal:
                return Outside(other.module, other.name, other.alias)
            return other.module if other.name is None else _find(there, other, other.module, other.name)
    if load(f"{home}.{name}") is not None:
        return f"{home}.{name}"
    known = {*there.imports, *(n for item in there.items for n in item.binds)}
    raise HiergenError(
        f"{home} has no {quoted(name)}", place=f"{module.place}:{found.line}", nearest=nearest(name, sorted(known))
    )


def _in_order(entry: Module, included: dict[str, Module]) -> list[Module]:
    """Modules after what they import at their top; what only functions import comes last, before the source."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(module: Module) -> None:
        if module.name in seen:
            return
        seen.add(module.name)
        found = [i for imports in module.imports.values() for i in imports if i.internal]
        for i in sorted(found, key=lambda i: i.line):
            for name in (i.module, f"{i.module}.{i.name}"):
                if (other := load(name)) is not None:
                    visit(other)
        order.append(module.name)

    seen.add(entry.name)
    roots = [i for imports in entry.imports.values() for i in imports if i.internal]
    for i in sorted(roots, key=lambda i: i.line):
        if (other := load(i.module)) is not None:
            visit(other)
    for module in list(included.values()):
        visit(module)
    return [included[name] for name in order if name in included] + [entry]


def _check(module: Module, item: Item) -> None:
    """HiergenError for what an item imports inside a function, or by a text, and must not."""
    for node in ast.walk(item.node):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in item.guarded:
            for bound, found in statements_of(node, module.name):
                if not found.internal:
                    _allowed(module, found.module, node.lineno)
                elif bound == "*" or imported_as(node.names[0], node) == PACKAGE:
                    raise module.fail("imports all of hiergen, which cannot be inlined", node.lineno)
        elif isinstance(node, ast.Call) and _name(node.func) in {"import_module", "__import__"} and node.args:
            text = ast.unparse(node.args[0]).lstrip("frub\"'")
            if text.partition(".")[0].rstrip("\"'") == PACKAGE:
                raise module.fail("imports a module of hiergen by its text, which cannot be inlined", node.lineno)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _allowed(module: Module, name: str, line: int) -> None:
    root = name.partition(".")[0]
    if root not in ALLOWED and root not in sys.stdlib_module_names:
        raise module.fail(
            f"needs {quoted(root)}, so the file could not stand alone",
            line,
            expected="torch, timm or the standard library",
        )
