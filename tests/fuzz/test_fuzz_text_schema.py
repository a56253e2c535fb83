"""Nasty values at every key of the two schemas: of a taxonomy file, and of a recipe, in a file and by --set."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from hiergen.training.recipe import dump_recipe, load_recipe
from tests.fuzz.bytes import SCALARS, almost, seeds
from tests.fuzz.entry import call, command, folder
from tests.fuzz.profiles import examples

DOCS = Path(__file__).parents[2] / "docs"
BASE: dict[str, Any] = {
    "name": "t",
    "classes": ["tabby.n.01", "tiger_cat.n.02", "beagle.n.01", "a"],
    "unplaced": "root",
}
BASE |= {"models": {"PHL": {"trunk": {"backbone": "resnet18", "until": "layer2"}}}}


def keys(schema: dict[str, Any]) -> list[tuple[str, ...]]:
    """The path of every key that a schema names; lists are written "[]", a model of any name "PHL"."""

    def inside(part: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if "$ref" in part:
            name = part["$ref"].split("/")[-1]
            if path.count(f"${name}") < 1 and len(path) < 14:
                yield from inside(schema["$defs"][name], (*path, f"${name}"))
        for name, below in part.get("properties", {}).items():
            if isinstance(below, dict):
                yield (*path, name)
                yield from inside(below, (*path, name))
        for below in part.get("patternProperties", {}).values():
            yield (*path, "PHL")
            yield from inside(below, (*path, "PHL"))
        if isinstance(part.get("additionalProperties"), dict) and "patternProperties" not in part:
            yield (*path, "a")
            yield from inside(part["additionalProperties"], (*path, "a"))
        if isinstance(part.get("items"), dict):
            yield (*path, "[]")
            yield from inside(part["items"], (*path, "[]"))
        for union in ("oneOf", "anyOf"):
            for below in part.get(union, ()):
                yield from inside(below, path)

    plain = [tuple(p for p in path if not p.startswith("$")) for path in inside(schema, ())]
    return sorted(set(plain))


TAXONOMY = keys(json.loads((DOCS / "taxonomy.schema.json").read_text("utf-8")))
RECIPE = keys(json.loads((DOCS / "recipe.schema.json").read_text("utf-8")))


def test_the_walk_knows_the_keys() -> None:
    assert ("models", "PHL", "branches", "[]", "[]", "kernel") in TAXONOMY
    assert {
        ("sources", "[]", "superclass-files"),
        ("sources", "[]", "groups", "a"),
        ("hypernyms", "choose", "a"),
    } <= set(TAXONOMY)
    assert {("optimizer", "lr"), ("trunk", "views"), ("loss", "name"), ("schedule", "warmup_epochs")} <= set(RECIPE)
    assert len(TAXONOMY) > 40
    assert len(RECIPE) > 40


def _text(data: Any) -> str:
    """Nested data as flow YAML whose leaves are written as they are."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in data.items()) + "}"
    return "[" + ", ".join(map(_text, data)) + "]" if isinstance(data, list) else str(data)


def _at(path: tuple[str, ...], value: str) -> Any:
    for name in reversed(path):
        below = value
        value = [below] if name == "[]" else {name: below}  # type: ignore[assignment]
        if name in {"width", "out"}:
            value = {"width": 8, "out": 8, name: below}  # type: ignore[assignment]
        elif name in {"block", "depth", "stride", "kernel", "act"} and path.count("[]") > 1:
            value = {"width": 8, "out": 8, "block": "mbconv", name: below}  # type: ignore[assignment]
    return value


def _merged(base: Any, more: Any) -> Any:
    if isinstance(base, dict) and isinstance(more, dict):
        return {**base, **{k: _merged(base.get(k), v) for k, v in more.items()}}
    return more


def _value(rng: random.Random) -> str:
    value = rng.choice(SCALARS)
    kind = rng.randrange(8)
    if kind == 0:
        value = f"[{value}, {rng.choice(SCALARS)}]"
    elif kind == 1:
        value = f"{{{value}: {rng.choice(SCALARS)}}}"
    return value


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    with folder() as here:
        (here / "t.yaml").write_text(_text(BASE))
        for words in (["validate"], ["show"], ["build", "-o", "o.py"]):
            command(*words, "t.yaml", seconds=60)


@examples(40, 0.15)
@given(seeds)
def test_every_key_of_a_taxonomy_takes_nasty_values(seed: int) -> None:
    rng = random.Random(seed)
    path = rng.choice(TAXONOMY)
    data = BASE
    for _ in range(rng.choice((1, 1, 2))):
        data = _merged(data, _at(path, _value(rng)))
        path = rng.choice(TAXONOMY)
    with folder() as here:
        (here / "t.yaml").write_text(_text(data), "utf-8")
        command(*rng.choice((["validate"], ["show"], ["build", "-o", "o.py"], ["show", "--merged"])), "t.yaml")


@examples(30, 0.08)
@given(seeds)
def test_every_key_of_a_recipe_takes_nasty_values(seed: int) -> None:
    rng = random.Random(seed)
    path, value = rng.choice(RECIPE), _value(rng)
    if rng.random() < 0.5:
        setting = (
            f"{'.'.join(path)}={value}" if rng.random() < 0.9 else rng.choice((value, f"{value}={value}", f"={value}"))
        )
        found = call(lambda: load_recipe(rng.choice(("quick", "digits", "nope")), [setting]))
    else:
        with folder() as here:
            (here / "r.yaml").write_text(_text(_at(path, value)), "utf-8")
            found = call(lambda: load_recipe("r.yaml"))
    if found is not None:
        assert load_recipe_text(dump_recipe(found)) == found


def load_recipe_text(text: str) -> Any:
    with folder() as here:
        (here / "again.yaml").write_text(text, "utf-8")
        return load_recipe("again.yaml")


@examples(20, 0.05)
@given(seeds)
def test_a_mutated_recipe_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "r.yaml").write_bytes(almost(rng, *GOOD))
        call(lambda: load_recipe("r.yaml", ["epochs=3"] if rng.random() < 0.3 else []))


GOOD = [dump_recipe(load_recipe(name)).encode() for name in ("quick", "digits")]
