"""One module's source as a list of top-level items, each with its text, the names it binds and the globals it uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from hiergen.codegen.inlining.scopes import Use, binds, imported_as, uses
from hiergen.errors import HiergenError

PACKAGE = "hiergen"
# decorators that leave no trace elsewhere: a definition with another one is kept although nothing names it
_PURE = {
    *("cache", "cached_property", "contextmanager", "dataclass", "disable", "final", "ignore", "inference_mode"),
    *("lru_cache", "no_grad", "overload", "runtime_checkable", "total_ordering", "unique", "wraps"),
}


@dataclass(frozen=True)
class Import:
    """`import module` (name None) or `from module import name`, at its line."""

    module: str
    name: str | None
    alias: str | None
    line: int

    @property
    def internal(self) -> bool:
        return self.module.partition(".")[0] == PACKAGE


@dataclass(frozen=True)
class Item:
    """A top-level statement: lines `start` to `end` (from 1, comments above included), the one before it ending at
    `after`; `effect`: it does something."""

    node: ast.stmt
    after: int
    start: int
    end: int
    binds: frozenset[str]
    uses: tuple[Use, ...]
    effect: bool
    inlined: tuple[ast.Import | ast.ImportFrom, ...]
    guarded: frozenset[int]  # ids of the imports that may fail

    @property
    def is_block(self) -> bool:
        return isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


@dataclass(frozen=True)
class Module:
    """A parsed source; `imports` and `type_imports` (below `if TYPE_CHECKING`) are by the name they bind."""

    name: str
    lines: tuple[str, ...]
    doc: ast.Expr | None
    futures: frozenset[str]
    items: tuple[Item, ...]
    imports: dict[str, tuple[Import, ...]]
    type_imports: dict[str, tuple[Import, ...]]
    whole: tuple[Import, ...]

    @property
    def place(self) -> str:
        return _file(self.name) if self.name else "the source"

    def binding(self, name: str) -> list[Item]:
        return [item for item in self.items if name in item.binds]

    def fail(self, problem: str, line: int, **more: str) -> HiergenError:
        return HiergenError(problem, place=f"{self.place}:{line}", **more)


@cache
def load(name: str) -> Module | None:
    """A module of hiergen by its dotted name, read but not imported; None if there is none."""
    text = _text(name)
    return None if text is None else parse(text, name)


def parse(text: str, name: str) -> Module:
    """Split a source. Raises `HiergenError` for one that is no Python or that cannot be split by lines."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        place = _file(name) if name else "the source"
        raise HiergenError(f"is not Python ({error.msg})", place=f"{place}:{error.lineno}") from None
    return _Parser(text, name).module(tree)


def statements_of(node: ast.Import | ast.ImportFrom, module: str) -> Iterator[tuple[str, Import]]:
    """What an import binds: the name here, and where it comes from (relative imports made absolute)."""
    for alias in node.names:
        bound = imported_as(alias, node)
        if isinstance(node, ast.Import):
            yield bound, Import(alias.name, None, alias.asname, node.lineno)
        else:
            yield bound, Import(_absolute(node, module), alias.name, alias.asname, node.lineno)


class _Parser:
    def __init__(self, text: str, name: str) -> None:
        self.name, self.lines = name, tuple(text.splitlines(keepends=True))
        self.guarded: set[int] = set()

    def module(self, tree: ast.Module) -> Module:
        body = list(tree.body)
        doc = body.pop(0) if ast.get_docstring(tree) is not None else None
        assert doc is None or isinstance(doc, ast.Expr)
        items: list[Item] = []
        futures: set[str] = set()
        imports: dict[str, tuple[Import, ...]] = {}
        types: dict[str, tuple[Import, ...]] = {}
        whole: list[Import] = []
        last = doc.end_lineno or 0 if doc else 0
        for node in body:
            end = node.end_lineno or node.lineno
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                futures |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self._collect(node, imports)
                whole += [i for _, i in statements_of(node, self.name) if i.name is None and i.internal]
            elif _is_type_checking(node):
                assert isinstance(node, ast.If)
                for inner in node.body:
                    if isinstance(inner, ast.Import | ast.ImportFrom):
                        self._collect(inner, types)
            elif not (isinstance(node, ast.Assign) and binds(node) == {"__all__"}):
                items.append(self._item(node, last))
            last = end
        return Module(self.name, self.lines, doc, frozenset(futures), tuple(items), imports, types, tuple(whole))

    def _collect(self, node: ast.Import | ast.ImportFrom, into: dict[str, tuple[Import, ...]]) -> None:
        for bound, found in statements_of(node, self.name):
            if bound == "*":
                raise self._fail(node, f"'from {found.module} import *' cannot be inlined")
            into[bound] = (*into.get(bound, ()), found)

    def _item(self, node: ast.stmt, last: int) -> Item:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        end = node.end_lineno or node.lineno
        start = first
        while start - 1 > last and (not (above := self.lines[start - 2].strip()) or above.startswith("#")):
            start -= 1
        while not self.lines[start - 1].strip():
            start += 1
        if first == last or self.lines[first - 1][: node.col_offset].strip():
            raise self._fail(node, "two statements on one line cannot be inlined")
        self._find_guarded(node)
        inlined: list[ast.Import | ast.ImportFrom] = []
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom) and self._is_inlined(inner):
                inlined.append(inner)
        return Item(
            node,
            last,
            start,
            end,
            frozenset(binds(node)),
            tuple(uses(node, self._is_inlined)),
            _has_effect(node),
            tuple(inlined),
            frozenset(self.guarded),
        )

    def _is_inlined(self, node: ast.Import | ast.ImportFrom) -> bool:
        """Imports of hiergen are, unless their failure is expected."""
        return id(node) not in self.guarded and any(i.internal for _, i in statements_of(node, self.name))

    def _find_guarded(self, node: ast.AST) -> None:
        for part in ast.walk(node):
            if isinstance(part, ast.Try) and any(_catches(h.type) for h in part.handlers):
                body: list[ast.stmt] = part.body
            elif isinstance(part, ast.With) and any(_suppresses(i.context_expr) for i in part.items):
                body = part.body
            else:
                continue
            found = (n for s in body for n in ast.walk(s))
            self.guarded |= {id(n) for n in found if isinstance(n, ast.Import | ast.ImportFrom)}

    def _fail(self, node: ast.stmt, problem: str) -> HiergenError:
        place = _file(self.name) if self.name else "the source"
        return HiergenError(problem, place=f"{place}:{node.lineno}")


def _has_effect(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return any(_last_name(decorator) not in _PURE for decorator in node.decorator_list)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(not isinstance(n, ast.Name | ast.Tuple | ast.List) for n in targets)
    return True


def _last_name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _catches(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind] if kind is not None else []
    return any(_last_name(k) in {"ImportError", "ModuleNotFoundError"} for k in kinds)


def _suppresses(context: ast.expr) -> bool:
    return isinstance(context, ast.Call) and _last_name(context) == "suppress" and any(map(_catches, context.args))


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING" and not node.orelse


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = module if _is_package(module) else module.rpartition(".")[0]
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _root() -> Traversable:
    return files(PACKAGE)


def _is_package(name: str) -> bool:
    return _root().joinpath(*name.split(".")[1:], "__init__.py").is_file()


def _file(name: str) -> str:
    """`hiergen/nn/trunk.py`, for messages and headings."""
    return "/".join(name.split(".")) + ("/__init__.py" if _is_package(name) else ".py")


def _text(name: str) -> str | None:
    root, *parts = name.split(".")
    if root != PACKAGE:
        return None
    for path in ([*parts, "__init__.py"], [*parts[:-1], f"{parts[-1]}.py"] if parts else None):
        found = _root().joinpath(*path) if path else None
        if found is not None and found.is_file():
            return found.read_text("utf-8")
    return None
