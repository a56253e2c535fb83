"""FILE:MODEL: what a user may type for a taxonomy, a model or a nesting. Imports no torch and runs nothing."""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hiergen.assets import taxonomy_file
from hiergen.errors import SpecError, nearest, quoted
from hiergen.files import read_text
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from hiergen.taxonomy.load import Taxonomy

FOLDER = Path("generated")
CUTOUT_SOURCE = "model.py"
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Reference:
    """What a text names.

    `kind` is `taxonomy` (FILE.yaml, or the name of one that comes with hiergen), `source` (FILE.py, or a module whose
    file lies below this folder), `cutout` (a folder), or `name`: of timm's, of a module elsewhere, or nothing at all.
    `model` is "" where none is named.
    """

    text: str
    kind: Literal["taxonomy", "source", "cutout", "name"]
    path: Path
    model: str


def parse_reference(text: str | os.PathLike[str]) -> Reference:
    """Split a text into file and model. A path that exists is a path, colon or not; nothing is read."""
    text = os.fspath(text)
    before, colon, name = text.rpartition(":")
    path, model = (Path(before), name) if colon and before and not _holds(Path(text).exists) else (Path(text), "")
    if path.suffix in YAML:
        return Reference(text, "taxonomy", path, model)
    if (shipped := taxonomy_file(path)) != path:
        return Reference(text, "taxonomy", shipped, model)
    if text and not model and _holds(path.is_dir):
        return Reference(text, "cutout", path, "")
    if path.suffix == ".py" or _holds(path.is_file):
        return Reference(text, "source", path, model)
    if re.fullmatch(r"\w+(\.\w+){0,50}", str(path)) and (model or "." in text):
        module = Path(*str(path).split(".")).with_suffix(".py")
        if _holds(module.is_file):
            return Reference(text, "source", module, model)
    return Reference(text, "name", path, model)


def names_classes(text: str) -> bool:
    """Whether a text has the form of a reference to classes; of a bare word, whether there is such a model."""
    reference = parse_reference(text)
    if reference.kind == "cutout":
        return (reference.path / CUTOUT_SOURCE).is_file()
    return reference.kind != "name" or _registered(text) is not None


def read_nesting(text: str | os.PathLike[str], taxonomies: dict[Path, Taxonomy] | None = None) -> Nesting:
    """The nesting of a model of a taxonomy file or of a generated file; without a name that of the deepest.

    "FILE.yaml", "FILE.yaml:N2HL", "generated/imagenet100.py:N3HL", "generated.imagenet100:N3HL", timm's name
    "imagenet100_n3hl" of a file in ./generated, or a cutout's folder. Taxonomies that are read are kept in
    `taxonomies`. Raises HiergenError for a file that cannot be read, and for a model that it does not have.
    """
    reference = parse_reference(text)
    if reference.kind == "taxonomy":
        taxonomy = read_taxonomy(reference.path, taxonomies)
        nesting = taxonomy.nesting(reference.model or taxonomy.deepest)
    elif reference.kind == "name":
        registered = _registered(reference.text)
        if registered is None:
            expected = "FILE.yaml:MODEL, FILE.py:MODEL or timm's name"
            raise SpecError(f"no model {quoted(reference.text)} in the folder {FOLDER}", expected=expected)
        nesting = registered
    else:
        path = reference.path / CUTOUT_SOURCE if reference.kind == "cutout" else reference.path
        nesting = _one_of(read_nestings(path), reference.model, path)
    return replace(nesting, name=reference.text)


def read_taxonomy(path: Path, taxonomies: dict[Path, Taxonomy] | None = None) -> Taxonomy:
    """A taxonomy file, read once for all that share the dictionary."""
    from hiergen.taxonomy.load import load_taxonomy  # pydantic and all that

    taxonomies = {} if taxonomies is None else taxonomies
    if path not in taxonomies:
        taxonomies[path] = load_taxonomy(path)
    return taxonomies[path]


def read_nestings(path: Path) -> dict[str, Nesting]:
    """The nesting of each class of a generated file, read from its text.

    Raises SpecError for a file that is no Python.
    """
    try:
        body = ast.parse(read_text(path)).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SpecError(f"this is no Python file ({error})", place=str(path)) from None
    constants = _assigned(body)
    nestings: dict[str, Nesting] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            fields = _assigned(node.body)
            call = _resolve(fields.get("nesting"), constants)
            literals = call.args if isinstance(call, ast.Call) else [fields.get("taxonomy"), fields.get("classes")]
            tree, classes, *further = (_value(literal, constants) for literal in literals)
            if isinstance(tree, Mapping | list) and isinstance(classes, Mapping | list | tuple):
                try:
                    nestings[node.name] = Nesting.from_tree(tree, classes, *further)  # type: ignore[arg-type]
                except ValueError as error:
                    raise SpecError(f"model {node.name}: {error}", place=str(path)) from None
    return nestings


def _one_of(nestings: dict[str, Nesting], model: str, path: Path) -> Nesting:
    if not nestings:
        raise SpecError("no generated model in this file", place=str(path), expected="what `hiergen build` writes")
    if model and model not in nestings:
        expected, close = f"one of {', '.join(nestings)}", nearest(model, nestings)
        raise SpecError(f"no model {quoted(model)}", place=str(path), expected=expected, nearest=close)
    return nestings[model] if model else max(nestings.values(), key=lambda nesting: nesting.depth)


def registered_in(source: str) -> dict[str, str]:
    """timm name → class name of each class that a source text registers; the text is parsed, not run.

    `@register("name")` above a class; in files of 0.1 a line `register(Class, "name")`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray backslash in somebody's string is not our business
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return {}
    registered: dict[str, str] = {}
    for statement in body:
        match statement:
            case ast.Expr(
                value=ast.Call(func=ast.Name(id="register"), args=[ast.Name(id=cls), ast.Constant(value=str(name))])
            ):
                registered[name] = cls
            case ast.ClassDef(
                name=cls, decorator_list=[ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=str(name))])]
            ):
                registered[name] = cls
    return registered


def _registered(name: str) -> Nesting | None:
    """The model that timm knows by this name among the generated files."""
    for path in sorted(FOLDER.glob("*.py")):
        if (model := registered_in(read_text(path)).get(name)) is not None:
            return read_nestings(path).get(model)
    return None


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Name → value of the plain assignments, and of those of several names at once."""
    values: dict[str, ast.expr] = {}
    for node in (statement for statement in body if isinstance(statement, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
            else:
                pairs = zip([target], [node.value], strict=True)
            values.update({name.id: value for name, value in pairs if isinstance(name, ast.Name)})
    return values


def _resolve(node: ast.expr | None, constants: Mapping[str, ast.expr]) -> ast.expr | None:
    """The module's constant that a name stands for."""
    return constants.get(node.id) if isinstance(node, ast.Name) else node


def _value(node: ast.expr | None, constants: Mapping[str, ast.expr]) -> object:
    """A literal's value; None for anything else."""
    node = _resolve(node, constants)
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def _holds(question: Callable[[], bool]) -> bool:
    """The answer to a question about a path that may be none."""
    try:
        return question()
    except (OSError, ValueError):  # too long, a NUL, …
        return False
