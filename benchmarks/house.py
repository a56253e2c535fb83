"""The shape of a checkout in one table: its size, its rooms and the arrows between them, its names.

    python benchmarks/house.py [FOLDER] [--json]

Everything is read with `ast`; nothing is imported. How it counts:
- Lines are all lines of all .py files, `__init__` included; modules are the .py files of hiergen without `__init__`.
- A room is a folder right under hiergen with all that lies in it, or a module there, by its stem. Deep rooms are
  folders at any depth, each for itself. The package's own `__init__` is no room: it reaches all of them, lazily.
- An arrow goes from a room to another that it imports anywhere, within functions too; one that stands only under `if
  TYPE_CHECKING` is counted apart. Back is an arrow to a room that comes later in ORDER; rooms not in it have no place.
- A circle is a set of rooms, or modules, that all reach each other by arrows (without those for types only).
- Names are identifiers that are one of NAMES without leading underscores: variables, arguments, keywords, attributes,
  functions, classes, modules and what is imported, each time that they stand there.
- Trees are the lines of dicts and lists over more than one line that a module assigns, alone or as a call's argument.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import json
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

ORDER = """_version errors hardware console files assets taxonomy lookup nn planning formats codegen data models costs
 nestings views training cli"""
NAMES = ("found", "own", "told", "said", "asked", "known", "settle")
Graph = dict[str, set[str]]


class Module:
    """A .py file of hiergen; a package's `__init__` has the package's name, the others their own."""

    def __init__(self, path: Path, root: Path) -> None:
        *folders, self.stem = path.relative_to(root).with_suffix("").parts
        self.package = ".".join(folders)
        self.name = self.package if self.stem == "__init__" else f"{self.package}.{self.stem}"
        self.room = folders[1] if folders[1:] else self.stem
        self.deep_room = ".".join(folders[1:]) or self.stem
        text = path.read_text("utf-8")
        self.lines, self.tree = len(text.splitlines()), ast.parse(text)

    def imports(self, modules: Container[str]) -> Iterator[tuple[str, bool]]:
        """The modules of hiergen that it imports, and whether for types only."""
        for node, typing in _walk(self.tree, False):
            targets = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                package = self.package.split(".")
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                inner = [f"{base}.{alias.name}" for alias in node.names]
                targets = [name if name in modules else base for name in inner]
            yield from ((target, typing) for target in targets if target in modules and target != self.name)


def _walk(node: ast.AST, typing: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below, and whether they stand under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        under = typing or (isinstance(node, ast.If) and child in node.body and "TYPE_CHECKING" in ast.dump(node.test))
        yield child, under
        yield from _walk(child, under)


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Every identifier, as often as it stands there; dotted ones in parts."""
    for node in ast.walk(tree):
        values = [getattr(node, field, None) for field in ("id", "arg", "attr", "name", "asname", "module", "rest")]
        names = node.names if isinstance(node, ast.Global | ast.Nonlocal) else getattr(node, "kwd_attrs", [])
        for text in (*values, *names):
            yield from text.split(".") if isinstance(text, str) else ()


def circles(graph: Graph) -> list[str]:
    """Sets of more than one node that all reach each other, the largest first."""
    reach: Graph = {}
    for start in graph:
        reach[start], stack = set(), [start]
        while stack:
            new = graph.get(stack.pop(), set()) - reach[start]
            reach[start] |= new
            stack += new
    sets = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in graph}
    return [" ".join(sorted(one)) for one in sorted(sets, key=lambda one: (-len(one), sorted(one))) if len(one) > 1]


def examples(tree: ast.AST) -> int:
    """`>>>` examples in all docstrings."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    texts = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return sum(len(doctest.DocTestParser().get_examples(text)) for text in texts if text)


def tree_lines(tree: ast.Module) -> int:
    """Lines of the dicts and lists over several lines that are assigned at module level."""
    values = [node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    values += [x for v in values if isinstance(v, ast.Call) for x in (*v.args, *(k.value for k in v.keywords))]
    sizes = [(v.end_lineno or 0) - v.lineno + 1 for v in values if isinstance(v, ast.Dict | ast.List)]
    return sum(size for size in sizes if size > 1)


def house(folder: Path) -> dict[str, Any]:
    """All figures, by name."""
    modules = {m.name: m for m in (Module(path, folder) for path in sorted((folder / "hiergen").rglob("*.py")))}
    plain = [m for m in modules.values() if m.stem != "__init__"]
    links = [(m, modules[to], typing) for m in modules.values() for to, typing in m.imports(modules)]
    inner = [(a, b) for a, b, typing in links if not typing]
    arrows = {(a.room, b.room) for a, b in inner if a.room != b.room and "__init__" not in (a.room, b.room)}
    typed = {(a.room, b.room) for a, b, typing in links if typing and "__init__" not in (a.room, b.room)} - arrows
    deep = {(a.deep_room, b.deep_room) for a, b in inner if "__init__" not in (a.deep_room, b.deep_room)}
    place = {room: i for i, room in enumerate(ORDER.split())}
    rooms = {m.room for m in modules.values()} - {"__init__"}
    classes = Counter(n.name for m in modules.values() for n in ast.walk(m.tree) if isinstance(n, ast.ClassDef))
    names = Counter(n.lstrip("_") for m in modules.values() for n in (*identifiers(m.tree), m.stem))
    functions = {n.name for m in modules.values() for n in m.tree.body if isinstance(n, ast.FunctionDef)}
    text = (folder / "generated/imagenet100.py").read_text("utf-8")
    longest = max(plain, key=lambda m: m.lines)
    return {
        "lines of hiergen": sum(m.lines for m in modules.values()),
        "lines of tests": sum(len(p.read_text("utf-8").splitlines()) for p in (folder / "tests").rglob("*.py")),
        "modules": len(plain),
        "modules under 60 lines": sum(m.lines < 60 for m in plain),
        "longest module": f"{longest.name}, {longest.lines}",
        "classes of one name": [f"{name} {count}" for name, count in sorted(classes.items()) if count > 1],
        "rooms": sorted(rooms),
        "rooms not in the order": sorted(rooms - {*place}),
        "arrows": len(arrows),
        "arrows for types only": [f"{a} -> {b}" for a, b in sorted(typed) if a != b],
        "arrows between deep rooms": sum(a != b for a, b in deep),
        "arrows back": [f"{a} -> {b}" for a, b in sorted(arrows) if place.get(b, -1) > place.get(a, len(place))],
        "circles of rooms": circles({a: {b for x, b in arrows if x == a} for a in rooms}),
        "circles of modules": circles({m: {b.name for a, b in inner if a.name == m} for m in modules}),
        "names": {"all": sum(names[n] for n in NAMES), **{n: names[n] for n in NAMES}},
        "functions named as a room": sorted(functions & rooms),
        "doctest examples": sum(examples(m.tree) for m in modules.values()),
        "lines of imagenet100.py": len(text.splitlines()),
        "besides the trees": len(text.splitlines()) - tree_lines(ast.parse(text)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = house(args.folder)
    for name, value in {} if args.json else figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count:,}" for key, count in value.items())
        elif isinstance(value, list):
            value = f"{len(value)}{': ' if value else ''}{', '.join(value)}"
        print(f"{name:28}{value:,}" if isinstance(value, int) else f"{name:28}{value}")
    if args.json:
        print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
