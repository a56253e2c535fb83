"""Which names of a statement mean a module's globals: Python's scoping rules on the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_FUNCTIONS, ast.Lambda, ast.ClassDef)
Inlined = Callable[[ast.Import | ast.ImportFrom], bool]


@dataclass(frozen=True)
class Use:
    """A name that means a global, or what an import inside a function binds (`imported`).

    `node` is the name, None inside a string whose position is unknown; `attributes` follow it, inner first; `around`
    are the local names of the scopes around it, which a new name must not be. `fixed`: it cannot be renamed, as a class
    body binds it too.
    """

    name: str
    node: ast.Name | None
    attributes: tuple[ast.Attribute, ...] = ()
    around: frozenset[str] = frozenset()
    imported: ast.Import | ast.ImportFrom | None = None
    fixed: bool = False


@dataclass
class _Scope:
    is_class: bool
    bound: set[str]
    outer: set[str] = field(default_factory=set)  # declared global
    imports: dict[str, ast.Import | ast.ImportFrom] = field(default_factory=dict)


def uses(statement: ast.stmt, inlined: Inlined) -> list[Use]:
    """The uses of globals in one top-level statement; imports for which `inlined` is true bind no local name."""
    walker = _Walker(inlined)
    walker.visit(statement)
    return walker.found


def binds(statement: ast.stmt) -> set[str]:
    """The global names that a top-level statement binds."""
    return set(_bound([statement]))


def imported_as(alias: ast.alias, statement: ast.Import | ast.ImportFrom) -> str:
    """The name that an import binds: `b` for `import a.b as b`, `a` for `import a.b`."""
    return alias.asname or (alias.name.partition(".")[0] if isinstance(statement, ast.Import) else alias.name)


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names bound in this scope, not in the scopes inside it (but `:=` leaves a comprehension)."""
    for node in nodes:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield node.name
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, _COMPREHENSIONS):
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (imported_as(alias, node) for alias in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        yield from _bound(ast.iter_child_nodes(node))


def _inside(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of one scope."""
    for node in nodes:
        yield node
        if not isinstance(node, _SCOPES):
            yield from _inside(ast.iter_child_nodes(node))


class _Walker(ast.NodeVisitor):
    def __init__(self, inlined: Inlined) -> None:
        self.found: list[Use] = []
        self._inlined = inlined
        self._scopes: list[_Scope] = []

    def visit_Name(self, node: ast.Name) -> None:
        self._use(node, ())

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = [node]
        while isinstance(inner := chain[-1].value, ast.Attribute):
            chain.append(inner)
        if isinstance(inner, ast.Name):
            self._use(inner, tuple(reversed(chain)))
        else:
            self.visit(inner)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._arguments(node.args)
        self._annotation(node.returns)
        self._function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._arguments(node.args)
        self._function(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self._enter(_Scope(True, set(_bound(node.body))), node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        self._annotation(node.annotation)
        if node.value is not None:
            alias = isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
            self._annotation(node.value) if alias else self.visit(node.value)

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, _COMPREHENSIONS):
            super().generic_visit(node)
            return
        first = node.generators[0].iter
        self.visit(first)
        inside = [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.comprehension)]
        for generator in node.generators:
            parts = [generator.target, *([] if generator.iter is first else [generator.iter]), *generator.ifs]
            inside += parts
        targets = set(_bound(generator.target for generator in node.generators))
        self._enter(_Scope(False, targets), inside)

    def _arguments(self, arguments: ast.arguments) -> None:
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        for argument in _all(arguments):
            self._annotation(argument.annotation)

    def _function(self, arguments: ast.arguments, body: list[ast.stmt] | list[ast.expr]) -> None:
        scope = _Scope(False, {argument.arg for argument in _all(arguments)} | set(_bound(body)))
        for node in _inside(body):
            if isinstance(node, ast.Global | ast.Nonlocal):
                scope.bound -= set(node.names)
                scope.outer |= set(node.names) if isinstance(node, ast.Global) else set()
            elif isinstance(node, ast.Import | ast.ImportFrom) and self._inlined(node):
                scope.imports |= {imported_as(alias, node): node for alias in node.names}
        scope.bound -= set(scope.imports)
        self._enter(scope, body)

    def _enter(self, scope: _Scope, nodes: Iterable[ast.AST]) -> None:
        self._scopes.append(scope)
        for node in nodes:
            self.visit(node)
        self._scopes.pop()

    def _annotation(self, node: ast.expr | None) -> None:
        """As code, also where it is a string."""
        if node is None:
            return
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                self._text(part)
        self.visit(node)

    def _text(self, node: ast.Constant) -> None:
        try:
            parsed = ast.parse(str(node.value), mode="eval")
        except SyntaxError:
            return  # Literal["text"] is no type
        plain = node.lineno == node.end_lineno and (node.end_col_offset or 0) - node.col_offset == (
            len(str(node.value).encode()) + 2
        )
        for name in (n for n in ast.walk(parsed) if isinstance(n, ast.Name)):
            name.lineno = name.end_lineno = node.lineno
            name.col_offset += node.col_offset + 1
            name.end_col_offset = name.col_offset + len(name.id.encode())
            self._use(name, (), known=plain)

    def _use(self, node: ast.Name, attributes: tuple[ast.Attribute, ...], *, known: bool = True) -> None:
        imported, fixed = None, False
        for depth, scope in enumerate(reversed(self._scopes)):
            if scope.is_class and depth:
                continue
            if node.id in scope.outer:
                break
            if imported := scope.imports.get(node.id):
                break
            if node.id in scope.bound:
                if not scope.is_class or not isinstance(node.ctx, ast.Load):
                    return
                fixed = True  # a class body reads the global until it binds the name
        around = frozenset().union(*(scope.bound for scope in self._scopes if not scope.is_class))
        self.found.append(Use(node.id, node if known else None, attributes, around, imported, fixed))


def _all(arguments: ast.arguments) -> list[ast.arg]:
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]
