"""A taxonomy file → `Spec`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from hiergen.errors import SpecError, quoted
from hiergen.taxonomy.mistakes import mistakes
from hiergen.taxonomy.naming import identifier, is_reserved
from hiergen.taxonomy.spec import (
    Budget,
    Hypernyms,
    ImageFolder,
    Model,
    ModelSpec,
    Nesting,
    Spec,
    Stage,
    TrunkSpec,
    model_levels,
)
from hiergen.taxonomy.yamlfile import Document, Key, load


def read_spec(path: str | Path, report: Callable[[SpecError], None] | None = None) -> tuple[Spec, Document]:
    """Read and check one taxonomy file.

    Raises `SpecError`: the file and line, what is wrong there, and what was expected. A file with several mistakes
    hands all but the last of them to `report` first.
    """
    document = load(Path(path))
    if not isinstance(document.data, dict):
        kind = {list: "a list", str: "text", type(None): "nothing"}[type(document.data)]
        raise SpecError(
            "is not a taxonomy", place=f"{path}:1", expected="keys such as name, classes, sources, models", got=kind
        )
    try:
        spec = Spec.model_validate(document.data)
    except ValidationError as error:
        found = mistakes(error, document, _allowed)
        for mistake in found[:-1]:
            (report or _fail)(mistake)
        raise found[-1] from None
    for name, model in spec.models.items():
        if model_levels(name, model) is None:
            raise SpecError(
                f"cannot tell how many levels model {quoted(name)} has",
                place=document.place(("models", name)),
                hint="name it PHL or N<k>HL, or add 'levels: k'",
            )
    _check_model_names(spec, document)
    return spec, document


def _check_model_names(spec: Spec, document: Document) -> None:
    """In code '-' becomes '_', and timm's registry knows lower case only."""
    seen: dict[str, str] = {}
    for name in spec.models:
        if is_reserved(identifier(name)):
            raise SpecError(
                f"a model cannot be called {quoted(name)}: generated code uses that name",
                place=document.place(("models", name)),
                hint="rename it",
                code="E505",
            )
        other = seen.setdefault(identifier(name).lower(), name)
        if other != name:
            raise SpecError(
                f"models {quoted(other)} and {quoted(name)} become the same name in code or in timm's registry",
                place=document.place(("models", name)),
                hint="rename one",
                code="E505",
            )


def _fail(error: SpecError) -> None:
    raise error


def _allowed(key: Key) -> list[str]:
    """The keys that may stand in the mapping at `key`."""
    if not key:
        model: type[Model] = Spec
    elif key[0] == "models":
        inner: dict[str, type[Model]] = {"trunk": TrunkSpec, "budget": Budget}
        model = ModelSpec if len(key) == 2 else inner.get(str(key[2]), Stage)
    elif key[0] == "classes":
        model = ImageFolder
    elif key[0] == "sources":
        return ["groups", "superclass-files", "wordnet"]
    else:
        model = Nesting if key[0] == "nesting" else Hypernyms
    return [field.alias or name for name, field in model.model_fields.items()]
