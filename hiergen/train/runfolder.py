"""A training's folder: its name, and what it is a training of."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from hiergen.errors import HiergenError, OutputError, quoted
from hiergen.files import read_text, reason, write_text
from hiergen.train.recipe import Recipe
from hiergen.train.recipefile import dump_recipe, load_recipe

RUNS = Path("runs")
REQUEST, RECIPE, METRICS, CARD = "run.json", "recipe.yaml", "metrics.json", "card.md"


class Request(BaseModel):
    """What is trained, on what: everything of the command line that is not in the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data: str
    val: str | None = None
    root: str | None = None
    weights: str | None = None
    trunk_weights: str | None = None
    recipe: str = "quick"
    only_known: bool = False
    skip_broken: bool = False
    cache: str | None = None
    cache_limit: int = 20 * 10**9
    workers: int | None = None
    device: str | None = None


def new_folder(wanted: Path | None, name: str, *, force: bool = False) -> Path:
    """The folder to train in, not made yet: `wanted`, or the next free runs/NAME, runs/NAME-2, …

    Raises HiergenError for a folder that holds a training already; with `force` that is removed when a new one begins.
    """
    if wanted is None:
        number = 1
        while (path := RUNS / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return path
    if (wanted / REQUEST).is_file() and not force:
        raise OutputError(
            "holds a training already",
            place=quoted(wanted)[1:-1],
            hint=f"--resume {wanted} goes on with it, --force begins anew",
        )
    if wanted.exists() and not (wanted / REQUEST).is_file() and (not wanted.is_dir() or any(wanted.iterdir())):
        raise OutputError("is no folder of a training", place=quoted(wanted)[1:-1], expected="a new or empty folder")
    return wanted


def begin(folder: Path, request: Request, recipe: Recipe) -> None:
    """Make the folder, with the request and the whole recipe. Raises OutputError where it cannot be written."""
    try:
        if (folder / REQUEST).is_file():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be written ({reason(error)})", place=str(folder)) from None
    write_text(folder / RECIPE, dump_recipe(recipe))
    write_text(folder / REQUEST, request.model_dump_json(indent=2) + "\n")


def recorded(folder: Path, settings: tuple[str, ...] = (), changes: Mapping[str, Any] = {}) -> tuple[Request, Recipe]:
    """A folder's request and recipe, with what is asked otherwise this time.

    Raises HiergenError for a folder that holds none.
    """
    place = quoted(folder)[1:-1]
    if not (folder / REQUEST).is_file():
        raise HiergenError(
            "holds no training to go on with", place=place, expected="a folder that 'hiergen train' wrote"
        )
    try:
        request = Request.model_validate_json(read_text(folder / REQUEST))
        request = Request(**{**request.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise HiergenError(
            f"cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}",
            place=f"{place}/{REQUEST}",
        ) from None
    return request, load_recipe(folder / RECIPE, settings)
