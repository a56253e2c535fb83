"""The main job: taxonomy file → plans → source file, and the check that a committed source is up to date."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from hiergen.codegen.standalone import STANDS_ALONE
from hiergen.codegen.standalone import standalone as with_modules
from hiergen.codegen.view import CutoutOrigin, ModuleView, assembled_view, cutout_view, module_view
from hiergen.errors import OutputError, unquoted
from hiergen.files import check_replaceable, reason, write_text
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.naming import identifier

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """What `build` made of one file: where the source belongs, its text, what the file there differs by, and which
    networks it had otherwise until now."""

    taxonomy: Taxonomy
    plans: list[Plan]
    path: Path
    source: str
    drift: str | None
    changed: tuple[str, ...] = ()


def build(
    source: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    check: bool = False,
    standalone: bool = False,
    progress: Progress = lambda _: None,
) -> Built:
    """Read a taxonomy, plan its models and write their source; `source` is what `load_taxonomy` takes.

    `out` is a .py file or a folder (default: the folder `generated`); with `check` nothing is written and `drift` of
    the result is the difference; with `standalone` the source needs torch and timm only, and the default folder is
    `standalone`. Raises `HiergenError` for anything wrong with the input; then nothing is written.
    """
    taxonomy = load_taxonomy(source)
    target = output_path(taxonomy, out, standalone=standalone)
    plans = plan_models(taxonomy, progress)
    text = render(plans, taxonomy.path.name)
    if standalone:
        text = with_modules(text)
    if check:
        return Built(taxonomy, plans, target, text, _drift(target, text))
    old = target.read_bytes() if target.is_file() else b""
    if old != text.encode():
        write_text(target, text)
    return Built(taxonomy, plans, target, text, None, _changed(old.decode("utf-8-sig", "replace"), text))


def _changed(old: str, new: str) -> tuple[str, ...]:
    """Networks of both texts that differ in more than words and names with timm."""
    try:
        before, after = _networks(old), _networks(new)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # edited by hand
        return ()
    return tuple(name for name in after if name in before and before[name] != after[name])


def _networks(source: str) -> dict[str, set[str]]:
    """The networks of a generated module by name: their code without comments and docstrings, and what they use."""
    body = ast.parse(source).body
    values = {
        node.targets[0].id: node
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    found: dict[str, set[str]] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            node.body = [part for part in node.body if not isinstance(part, ast.Expr)]
            node.decorator_list = []
            used: list[ast.stmt] = [node]
            for statement in used:  # which grows
                names = {part.id for part in ast.walk(statement) if isinstance(part, ast.Name)}
                used += [values[name] for name in names if name in values and values[name] not in used]
            if any(isinstance(part, ast.Assign) and "'nesting'" in ast.dump(part.targets[0]) for part in node.body):
                found[node.name] = {ast.dump(statement) for statement in used}
    return found


def output_path(taxonomy: Taxonomy, out: str | Path | None, *, standalone: bool = False) -> Path:
    """Where the source goes. Raises `OutputError` for a path that is an input, no Python file, or impossible."""
    target = Path(out) if out is not None else Path("standalone" if standalone else "generated")
    try:
        return _checked_output(target, taxonomy, standalone)
    except (OSError, ValueError) as error:  # too long, below a file, a NUL, …
        raise OutputError(f"cannot be written ({reason(error)})", place=unquoted(target)) from None


def _checked_output(target: Path, taxonomy: Taxonomy, standalone: bool) -> Path:
    if target.exists() and taxonomy.path.exists() and target.samefile(taxonomy.path):
        raise OutputError("is the taxonomy file itself", place=str(target), expected="another path")
    if target.suffix != ".py":
        if target.is_file():
            raise OutputError("is not a folder", place=str(target), expected="a folder, or a file that ends in .py")
        target = target / f"{identifier(taxonomy.spec.name)}.py"
    check_replaceable(target)
    if not target.is_file() or not (head := _head(target).strip()):
        return target
    if "Written by hiergen " not in head:
        problem = "is a file that hiergen did not write"
    elif (STANDS_ALONE in head) != standalone:
        problem = f"is the file of 'hiergen build{'' if standalone else ' --standalone'}'"
    else:
        return target
    raise OutputError(problem, place=str(target), expected="a new path", hint="move it, or use --out")


def _head(target: Path) -> str:
    with target.open(encoding="utf-8", errors="replace") as file:
        return file.read(8000)


def _drift(target: Path, source: str) -> str | None:
    """A unified diff from the file to what it should be; None if they are the same."""
    if not target.exists():
        return f"{target} does not exist\n"
    old = target.read_text(encoding="utf-8", errors="replace")
    if old == source:
        return None
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), source.splitlines(keepends=True), str(target), f"{target} (rebuilt)", n=1
    )
    return "".join(lines)


def render(plans: list[Plan], source: str) -> str:
    """The module with one class per plan. `source` names the taxonomy file in the header."""
    return _filled(module_view(plans, source))


def render_cutout(plan: Plan, origin: CutoutOrigin) -> str:
    """The module with the class of a cutout."""
    return _filled(cutout_view(plan, origin))


def render_assembled(plan: Plan, how: str, registered: str, taxonomy: str) -> str:
    """The module with the class of a network that was put together; `how` says of what, `taxonomy` is its sha256."""
    return _filled(assembled_view(plan, how, registered, taxonomy))


def _filled(view: ModuleView) -> str:
    return _template().render(view=view).rstrip() + "\n"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    text = files("hiergen.codegen").joinpath("templates", "module.py.j2").read_text("utf-8")
    return environment.from_string(text)
