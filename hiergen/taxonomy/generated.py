"""The classes of a generated file, read from its source: nothing is run, and torch stays out."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError, nearest, quoted
from hiergen.files import read_text

FOLDER = Path("generated")


@dataclass(frozen=True)
class Source:
    """What a generated class says of its classes: the nested literal, and the ids in logit order."""

    name: str
    taxonomy: Mapping[str, Any]
    classes: tuple[str, ...]


def is_model(text: str) -> bool:
    """Whether the text has a form that `read_model` takes; of a bare word, whether there is such a model."""
    return _parts(text) is not None or _registered(text) is not None


def read_model(text: str) -> Source:
    """A model by what `hiergen` calls it elsewhere: "generated/imagenet100.py:N3HL" (without a name the deepest, whose
    groups are the finest), "generated.imagenet100:N3HL", timm's name "imagenet100_n3hl", or a cutout's folder.

    Raises SpecError for a file that cannot be read or holds no model, and for a name that it has not.
    """
    path, model = _parts(text) or (None, "")
    if path is None:
        found = _registered(text)
        if found is None:
            raise SpecError(f"no model {quoted(text)} in the folder {FOLDER}", expected="FILE.py:MODEL or timm's name")
        return found
    models = _models(path)
    if not models:
        raise SpecError("no generated model in this file", place=str(path), expected="what `hiergen build` writes")
    if model and model not in models:
        raise SpecError(
            f"no model {quoted(model)}",
            place=str(path),
            expected=f"one of {', '.join(models)}",
            nearest=nearest(model, models),
        )
    return models[model] if model else max(models.values(), key=lambda found: _depth(found.taxonomy))


def _parts(text: str) -> tuple[Path, str] | None:
    """(file, model or "") where the text names a file, a module or a cutout's folder."""
    file, _, model = text.rpartition(":") if ":" in text else (text, "", "")
    if file.endswith(".py"):
        return Path(file), model
    module = Path(*file.split("."))
    if model and module.name and (module := module.with_suffix(".py")).is_file():
        return module, model
    folder = Path(text) / "model.py"
    return (folder, "") if "\0" not in text and folder.is_file() else None


def _registered(name: str) -> Source | None:
    """The model that timm knows by this name among the generated files."""
    for path in sorted(FOLDER.glob("*.py")) if "_" in name else ():
        start = f"{path.stem}_".lower()
        if name.lower().startswith(start):
            for model, source in _models(path).items():
                if name.lower() == f"{start}{model.lower()}":
                    return source
    return None


def _models(path: Path) -> dict[str, Source]:
    try:
        body = ast.parse(read_text(path)).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SpecError(f"this is no Python file ({error})", place=str(path)) from None
    constants = _assigned(body)
    found: dict[str, Source] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            fields = _assigned(node.body)
            tree, ids = (_value(fields.get(key), constants) for key in ("taxonomy", "classes"))
            if isinstance(tree, Mapping) and isinstance(ids, list | tuple):
                found[node.name] = Source(node.name, tree, tuple(map(str, ids)))
    return found


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Name → value of the plain assignments."""
    return {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _value(node: ast.expr | None, constants: Mapping[str, ast.expr]) -> object:
    """A literal, or the module's constant that the name stands for; None for anything else."""
    if isinstance(node, ast.Name):
        node = constants.get(node.id)
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def _depth(tree: Mapping[str, Any]) -> int:
    depth = 0
    below: Any = tree
    while isinstance(below, Mapping):
        depth, below = depth + 1, next(iter(below.values()), None)
    return depth
