"""Recipes by name or file, with values set on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from hiergen.errors import HiergenError, SpecError, nearest, quoted
from hiergen.taxonomy.specfile import mistakes
from hiergen.taxonomy.yamlfile import Document, Key, load, parse
from hiergen.training.recipe import Recipe

_ENDINGS = {".yaml", ".yml"}


def recipe_names() -> list[str]:
    """The recipes that ship."""
    folder = resources.files("hiergen.training").joinpath("recipes")
    return sorted(Path(file.name).stem for file in folder.iterdir() if Path(file.name).suffix == ".yaml")


def load_recipe(recipe: str | Path | Recipe, settings: Iterable[str] = ()) -> Recipe:
    """A shipped recipe by its name, one from a YAML file, or the one given; each of `settings` (a command's --set) is
    "key=value" or "key.key=value".

    Raises HiergenError for an unknown name, a file that is no recipe, a setting that is none, and values that cannot
    be.

    >>> load_recipe("quick", ["epochs=3", "optimizer.lr=0.01"]).epochs
    3
    """
    if isinstance(settings, str):
        settings = (settings,)
    document = parse(dump_recipe(recipe), Path("recipe")) if isinstance(recipe, Recipe) else _document(str(recipe))
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise SpecError("is not a recipe", place=f"{recipe}:1", expected="keys such as epochs, batch_size, optimizer")
    edited = _EditedDocument(document, data)
    for setting in settings:
        edited.put(setting)
    try:
        return Recipe.model_validate(edited.data)
    except ValidationError as error:
        raise mistakes(error, edited, allowed)[0] from None


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as YAML, defaults too; `load_recipe` of it gives the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def allowed(key: Key) -> list[str]:
    """The keys that may stand at a place of a recipe."""
    model: type[BaseModel] | None = Recipe
    for part in key:
        field = None if model is None else model.model_fields.get(str(part))
        kind = None if field is None else field.annotation
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return list(model.model_fields) if model is not None else []


def _document(recipe: str) -> Document:
    path = Path(recipe)
    if path.suffix in _ENDINGS:
        return load(path)
    if recipe not in recipe_names():
        raise HiergenError(
            f"no recipe {quoted(recipe)}",
            expected=f"{', '.join(recipe_names())}, or a .yaml file",
            nearest=nearest(recipe, recipe_names()),
        )
    text = resources.files("hiergen.training").joinpath("recipes", f"{recipe}.yaml").read_text("utf-8")
    return parse(text, Path(f"{recipe}.yaml"))


class _EditedDocument(Document):
    """A document some of whose values were set by hand: mistakes in them name the setting."""

    def __init__(self, document: Document, data: Mapping[str, Any]) -> None:
        super().__init__(document.path, _copied(data), {})
        self._under, self._by_hand = document, dict[Key, str]()

    def line(self, key: Key) -> int:
        return self._under.line(key)

    def place(self, key: Key) -> str:
        for end in range(len(key), 0, -1):
            if key[:end] in self._by_hand:
                return self._by_hand[key[:end]]
        # a rule over several values: what was set by hand is what broke it
        return next(reversed(self._by_hand.values())) if not key and self._by_hand else self._under.place(key)

    def put(self, setting: str) -> None:
        name, sign, text = setting.partition("=")
        key: Key = tuple(part.strip() for part in name.split("."))
        place = f"--set {quoted(setting)[1:-1]}"
        if not sign or not all(key):
            raise HiergenError("is no setting", place=place, expected="key=value, such as optimizer.lr=0.01")
        at = self.data
        for depth, part in enumerate(key[:-1], 1):
            if key[depth] not in (names := allowed(key[:depth])) and not names:
                siblings = allowed(key[: depth - 1])
                raise SpecError(
                    f"{quoted('.'.join(map(str, key)))} is not a key of a recipe",
                    place=place,
                    nearest=nearest(str(part), siblings),
                )
            inner = at.get(part)
            at[part] = at = inner if isinstance(inner, dict) else {}
        at[key[-1]] = parse(text, Path(place)).data
        self._by_hand[key] = place


def _copied(data: Any) -> Any:
    return {name: _copied(value) for name, value in data.items()} if isinstance(data, dict) else data
