"""A training's folder: its name, and what it is a training of."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from hiergen.console.terminal import as_json
from hiergen.errors import HiergenError, OutputError, quoted, unquoted
from hiergen.files import check_writable, lock, read_text, reason, write_text, writing
from hiergen.lookup.reference import CUTOUT_SOURCE, parse_reference
from hiergen.models.load import TRAINING
from hiergen.taxonomy.specfile import misfit
from hiergen.training.recipe import Recipe, dump_recipe, load_recipe

RUNS = Path("runs")
REQUEST, RECIPE, METRICS, CARD, CHOICE = TRAINING, "recipe.yaml", "metrics.json", "card.md", "choice.json"
# what else a training writes: all that beginning anew removes, and the checkpoint first
_WRITTEN = (
    *("checkpoint.safetensors", "last.safetensors", "best.safetensors", METRICS, CARD, "history.csv", "classes.csv"),
    *("curves.png", "curves.svg", "confusion*.png", "confusion*.svg", "tensorboard/events.out.tfevents.*"),
    *("architecture.svg", "tree.svg", "flat.safetensors", CHOICE),
)
# keys of a recipe that a checkpoint belongs to: how images are split and counted, and the optimiser's state
_FIXED = (
    *("seed", "hold_out", "batch_size", "accumulate", "trunk.mode", "trunk.lr_scale"),
    *("optimizer.name", "optimizer.weight_decay", "optimizer.momentum", "optimizer.layer_decay"),
)


_UNFINISHED = re.compile(rf"\.({re.escape(REQUEST)}|{re.escape(RECIPE)})\.[a-z0-9_]{{8}}\.part")


class Request(BaseModel):
    """What is trained, on what: everything of the command line that is not in the recipe. `copied` is the network's
    name in the training's own copy of its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    copied: str | None = None
    data: str
    val: str | None = None
    root: str | None = None
    weights: str | None = None
    trunk_weights: str | None = None
    teacher: str | None = None
    flat: bool = False
    recipe: str = "quick"
    only_known: bool = False
    skip_broken: bool = False
    cache: str | None = None
    cache_limit: int = 20 * 10**9
    workers: int | None = None
    device: str | None = None

    @field_validator(
        "model", "data", "val", "root", "weights", "trunk_weights", "teacher", "recipe", "cache", mode="before"
    )
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_folder(wanted: Path | None, *, force: bool = False) -> None:
    """Raises OutputError where no training can begin: a folder that holds one already (unless `force`), a folder of
    something else, a file, a place that cannot be written. None is the next free folder under runs/."""
    if wanted is None or not (wanted.exists() or wanted.is_symlink()):
        check_writable(RUNS / "new" if wanted is None else wanted)
        return
    place = unquoted(wanted)
    there = _contents(wanted) if wanted.is_dir() else []
    if not wanted.is_dir() or (there and not _holds_training(wanted)):
        raise OutputError("is no folder of a training", place=place, expected="a new or empty folder")
    if set(there) - {REQUEST} and not force:
        raise OutputError(
            "holds a training already",
            place=place,
            hint=f"hiergen train --resume {shlex.quote(str(wanted))} goes on with it, --force (force=True) begins anew",
        )
    check_writable(wanted / REQUEST)


def begin(
    wanted: Path | None,
    name: str,
    request: Request,
    recipe: Recipe,
    *,
    force: bool = False,
    hold: Callable[[Path], object] = lambda _: None,
) -> Path:
    """Make the folder `wanted`, or the next free runs/NAME, runs/NAME-2, …, with the request and the whole recipe.

    With `force` the files of a training that is there are removed, and no others. `hold` is called once it is made,
    before anything in it is touched. Raises OutputError as `check_folder` does, and where the folder cannot be written.
    """
    check_folder(wanted, force=force)
    try:
        folder = _next_folder(name) if wanted is None else wanted
        folder.mkdir(parents=True, exist_ok=True)
        hold(folder)
        check_folder(folder, force=force)  # another training may have come and gone since
        for pattern in _WRITTEN:
            for path in folder.glob(pattern):
                if path.parent == folder or not path.parent.is_symlink():  # what a link leads to is not ours
                    path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be written ({reason(error)})", place=str(wanted or RUNS)) from None
    record(folder, request, recipe)
    return folder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """One training at a time is in a folder, until its process ends. Raises OutputError where another one is; without
    locks nobody can know."""
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        if not lock(handle):
            raise OutputError(
                "another process trains in this folder", place=unquoted(folder), hint="wait for it, or stop it"
            )
        yield
    finally:
        os.close(handle)


def record(folder: Path, request: Request, recipe: Recipe) -> None:
    """Write what a folder is a training of."""
    # by the first of them a folder is known as ours
    write_text(folder / REQUEST, as_json(request.model_dump(), indent=2) + "\n")
    write_text(folder / RECIPE, dump_recipe(recipe))


def _next_folder(name: str) -> Path:
    """Made at once: two trainings that begin together get two."""
    RUNS.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def _holds_training(folder: Path) -> bool:
    """Whether its run.json is ours: other programs have files of that name. Alone it is a training that was ended as it
    began."""
    try:
        Request.model_validate(json.loads(read_text(folder / REQUEST)))
    except (HiergenError, ValueError, RecursionError):
        return False
    return (folder / RECIPE).is_file() or _contents(folder) == [REQUEST]


def _contents(folder: Path) -> list[str]:
    """Names in it, but for what a training that was killed as it began left unfinished."""
    return [path.name for path in folder.iterdir() if not _UNFINISHED.fullmatch(path.name)]


def check_changes(before: Recipe, after: Recipe, folder: Path) -> None:
    """Raises HiergenError for a changed value that the training's checkpoint does not go with."""
    for key in _FIXED:
        old, new = (_value(recipe, key) for recipe in (before, after))
        if old != new:
            raise HiergenError(
                f"{quoted(key)} cannot change in a training that goes on",
                place=unquoted(folder),
                expected=f"{old}",
                got=f"{new}",
                hint="a new training with --weights FILE (weights=FILE) starts from weights of this one",
            )


def _value(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def recorded(folder: Path, settings: tuple[str, ...] = (), changes: Mapping[str, Any] = {}) -> tuple[Request, Recipe]:
    """A folder's request and recipe, with what is asked otherwise this time.

    Raises HiergenError for a folder that holds none.
    """
    place = unquoted(folder)
    if not (folder / REQUEST).is_file():
        raise HiergenError(
            "holds no training to go on with", place=place, expected="a folder that 'hiergen train' wrote"
        )
    try:
        # not by pydantic, which knows no file names that are no UTF-8
        request = Request.model_validate(json.loads(read_text(folder / REQUEST)))
        inside = folder / Path(request.model).name  # of a folder of before that was moved
        if not parse_reference(request.model).path.exists() and parse_reference(inside).path.is_file():
            request = request.model_copy(update={"model": str(inside)})
        forgotten = {"copied": None} if "model" in changes else {}
        request = Request(**{**request.model_dump(), **changes, **forgotten})
    except ValidationError as error:
        raise HiergenError(f"cannot be read: {misfit(error)}", place=f"{place}/{REQUEST}") from None
    except (ValueError, RecursionError) as error:
        raise HiergenError(f"cannot be read: no JSON ({error})", place=f"{place}/{REQUEST}") from None
    if request.copied is not None and not (folder / CUTOUT_SOURCE).is_file():
        hint = f"name the model: hiergen train MODEL --resume {shlex.quote(str(folder))}"
        raise HiergenError(f"is a training's folder without {CUTOUT_SOURCE}", place=place, hint=hint)
    return request, load_recipe(folder / RECIPE, settings)
