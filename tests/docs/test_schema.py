"""The JSON Schemas accept what hiergen reads and refuse what it refuses."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Write
from editor_yaml import as_editors_do
from jsonschema import Draft202012Validator

from hiergen.cli.json_schema import recipe_schema, taxonomy_schema
from hiergen.errors import HiergenError
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.specfile import read_spec
from hiergen.training.losses import LOSSES
from hiergen.training.recipe import load_recipe

ROOT = Path(__file__).parents[2]
TAXONOMY, RECIPE = Draft202012Validator(taxonomy_schema()), Draft202012Validator(recipe_schema())
MINIMAL = "name: t\nclasses: imagenette\n"
STAGE = "{width: 8, out: 8}"
# good beside bad: what follows the two lines of MINIMAL
PAIRS = [
    ("models: {N3HL: {}}", "modells: {N3HL: {}}"),
    ("models: {PHLsmall: {}}", "models: {Small: {}}"),
    ("models: {Small: {levels: 2}}", "models: {Small: {levels: 0}}"),
    ("models: {N12HL: {}}", "models: {N0HL: {}}"),
    (f"models: {{Small: {{branches: [[{STAGE}]]}}}}", "models: {Small: {branches: auto}}"),
    ("models: {Small: {single_branch: true}}", "models: {Small: {single_branch: false}}"),
    ("models: {PHL: {single_branch: true, levels: 1}}", "models: {PHL: {single_branch: true, levels: 2}}"),
    (
        f"models: {{PHL: {{single_branch: true, branches: [[{STAGE}]]}}}}",
        f"models: {{PHL: {{single_branch: true, branches: [[{STAGE}], [{STAGE}]]}}}}",
    ),
    ("models: {PHL: {}}", "models: {}"),
    ("models: {PHL: {}}", "models: {PHL: null}"),
    ("models: {PHL-2: {}}", "models: {PHL.2: {}}"),
    ("models: {PHL: {trunk: {until: layer3}}}", "models: {PHL: {trunk: layer3}}"),
    ("models: {PHL: {budget: {params: 25M}}}", "models: {PHL: {budget: {params: 25 million}}}"),
    ("models: {PHL: {budget: {macs: 4.2G}}}", "models: {PHL: {budget: {}}}"),
    ("models: {PHL: {budget: {macs: 4200000000}}}", "models: {PHL: {budget: {macs: null, params: null}}}"),
    ("models: {PHL: {budget: {macs: 1 k}}}", "models: {PHL: {budget: {macs: 0}}}"),
    ("models: {PHL: {budget: {macs: 1G, grid: 8}}}", "models: {PHL: {budget: {macs: 1G, grid: 12}}}"),
    ("models: {PHL: {budget: {macs: 1G, grid: null}}}", "models: {PHL: {budget: {grid: 8}}}"),
    ("models: {PHL: {budget: {ms: 2.5}}}", "models: {PHL: {budget: {ms: 0}}}"),
    (
        "models: {PHL: {budget: {ms: 5, runtime: openvino, threads: 4}}}",
        "models: {PHL: {budget: {macs: 1G, threads: 4}}}",
    ),
    ("models: {PHL: {budget: {ms: 5, runtime: null}}}", "models: {PHL: {budget: {macs: 1G, runtime: torch}}}"),
    ("models: {PHL: {budget: {ms: 5, runtime: compiled}}}", "models: {PHL: {budget: {ms: 5, runtime: tflite}}}"),
    ("models: {PHL: {block: mbconv, kernel: 5}}", "models: {PHL: {kernel: 5}}"),
    ("models: {PHL: {block: mbconv, kernel: 7}}", "models: {PHL: {block: mbconv, kernel: 6}}"),
    ("models: {PHL: {block: bottleneck, depth: 2}}", f"models: {{PHL: {{depth: 2, branches: [[{STAGE}]]}}}}"),
    ("models: {PHL: {block: bottleneck, depth: 2}}", "models: {PHL: {depth: 2}}"),
    ("models: {PHL: {depth: null}}", "models: {PHL: {block: auto, depth: 2}}"),
    ("models: {PHL: {aim: {cutout: 0.5}}}", "models: {PHL: {aim: {cutout: 0.5}, budget: {params: 25M}}}"),
    ("models: {PHL: {aim: {cutout: 0.5}, block: auto}}", "models: {PHL: {aim: {cutout: 0.5}, block: mbconv}}"),
    ("models: {PHL: {aim: {cutout: 0.5, full: 2}}}", "models: {PHL: {aim: {full: 2}}}"),
    ("models: {PHL: {trunk: {until: auto}, aim: {cutout: 0.5}}}", "models: {PHL: {trunk: {until: auto}}}"),
    (
        "models: {PHL: {trunk: {until: auto}, generalist: shallow}}",
        "models: {PHL: {trunk: {until: auto}, generalist: shallow, budget: {params: 25M}}}",
    ),
    (
        "models: {PHL: {generalist: shallow, branches: [[{block: conv, out: 8}]]}}",
        f"models: {{PHL: {{generalist: shallow, trunk: {{until: auto}}, branches: [[{STAGE}]]}}}}",
    ),
    (
        "models: {PHL: {single_branch: true, generalist: none}}",
        "models: {PHL: {single_branch: true, generalist: shallow}}",
    ),
    ("models: {PHL: {branches: [[{block: conv, out: 8, act: relu}]]}}", "models: {PHL: {branches: [[{out: 8}]]}}"),
    (
        "models: {PHL: {branches: [[{block: conv, out: 8}]]}}",
        "models: {PHL: {branches: [[{block: conv, out: 8, stride: 2}]]}}",
    ),
    ("models: {PHL: {kernel: null}}", "models: {PHL: {block: convnext, kernel: 3}}"),
    (f"models: {{PHL: {{branches: [[{STAGE}]]}}}}", "models: {PHL: {branches: [[]]}}"),
    (f"models: {{N2HL: {{branches: [[{STAGE}], [{STAGE}]]}}}}", "models: {N2HL: {branches: []}}"),
    (f"models: {{PHL: {{branches: [[{STAGE}]]}}}}", "models: {PHL: {branches: [[{width: 8}]]}}"),
    (
        "models: {PHL: {branches: [[{block: mbconv, width: 8, out: 8, act: silu}]]}}",
        "models: {PHL: {branches: [[{width: 8, out: 8, act: silu}]]}}",
    ),
    ("models: {PHL: {branches: auto}}", "models: {PHL: {branches: automatic}}"),
    ("models: {PHL: {input_size: 128}}", "models: {PHL: {input_size: 4}}"),
    ("models: {PHL: {input_size: 32x64}}", "models: {PHL: {input_size: 32x4}}"),
    ("models: {PHL: {input_size: [32, 64]}}", "models: {PHL: {input_size: [32]}}"),
    ("models: {PHL: {input_size: [1, 32, 64]}}", "models: {PHL: {input_size: [0, 32, 64]}}"),
    ("models: {PHL: {input_size: 13x32x64}}", "models: {PHL: {input_size: [1, 1, 32, 64]}}"),
    ("models: {PHL: {in_chans: 13}}", "models: {PHL: {in_chans: 0}}"),
    ("sources: [imagenet-superclass, wordnet]", "sources: [wordnett]"),
    ("sources: [wordnet]", "sources: wordnet"),
    ("sources: [{wordnet: copy}]", "sources: [wordnet, {wordnet: copy}]"),
    ("sources: [{superclass-files: x}]", "sources: [{superclass_files: x}]"),
    ("sources: [{groups: {a: tench}}, wordnet]", "sources: [{groups: {a: tench}, wordnet: x}]"),
    ("sources: [{groups: {a: [tench]}}]", "sources: [{groups: [a]}]"),
    ("hypernyms: {rule: first}", "hypernyms: {rule: second}"),
    ("hypernyms: {choose: {dog.n.01: canine.n.02}}", "hypernyms: {choose: [dog.n.01]}"),
    ("names: {n01440764: 7}", "names: {n01440764: [7]}"),
    ("synsets: {n01440764: tench.n.01}", "synsets: [tench.n.01]"),
    ("unplaced: root", "unplaced: ignore"),
    ("nesting: {min_children: 3}", "nesting: {min_children: 1}"),
    ("nesting: {single_child: 0.5}", "nesting: {single_child: -1}"),
    ("nesting: {refine: true}", "nesting: {refine: sometimes}"),
]
GROUPS = [
    ("{fish: tench}", "{fish: null}"),
    ("{fish: [tench]}", "{fish: []}"),
    ("{thing: {fish: [tench]}}", "{thing: {fish: {}}}"),
    ("{thing: [{fish: [tench]}, church]}", "{thing: [[tench], church]}"),
    ("{fish: [tench]}", "{}"),
]
CLASSES = [
    ("[tench, 007, no]", "[tench, [church]]"),
    ("{imagefolder: 2024}", "{imagefolders: x}"),
    ("{imagefolder: x}", "{imagefolder: [x]}"),
    ("classes.txt", "null"),
]
RECIPES = [
    ("epochs: 3", "epochs: 0"),
    ("epochs: 3", "epoch: 3"),
    ("optimizer: {lr: 5e-3}", "optimizer: {lr: 0}"),
    ("optimizer: {clip_grad: null}", "optimizer: {clip_grad: 0}"),
    ("augment: {scale: [0.2, 1]}", "augment: {scale: [0.2]}"),
    ("augment: {scale: [0.2, 1]}", "augment: {scale: 0.2}"),
    ("schedule: {decay_milestones: [3, 6]}", "schedule: {decay_milestones: [3.5]}"),
    ("loss: {level_weights: [1, 2]}", "loss: {level_weights: [1, -2]}"),
    ("branches: scored\ntrunk: {mode: frozen}", "branches: scored"),
    ("branches: scored\ntrunk: {mode: frozen, cache: true}", "branches: scored\ntrunk: {mode: frozen, cache: false}"),
    ("ema: 0.99", "ema: 1"),
    ("precision: auto", "precision: half"),
]


def holds(validator: Draft202012Validator, text: str) -> bool:
    return validator.is_valid(as_editors_do(text))


def test_the_schemas_are_schemas() -> None:
    for validator in (TAXONOMY, RECIPE):
        Draft202012Validator.check_schema(validator.schema)
        assert validator.schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("path", sorted((ROOT / "taxonomies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_taxonomy_that_ships_is_valid(path: Path) -> None:
    assert [e.message for e in TAXONOMY.iter_errors(as_editors_do(path.read_text("utf-8")))] == []


@pytest.mark.parametrize("path", sorted((ROOT / "hiergen/training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_that_ships_is_valid(path: Path) -> None:
    assert [e.message for e in RECIPE.iter_errors(as_editors_do(path.read_text("utf-8")))] == []


@pytest.mark.parametrize(("good", "bad"), PAIRS)
def test_editors_and_hiergen_agree(good: str, bad: str, write: Write) -> None:
    read_spec(write(MINIMAL + good))
    assert [e.message for e in TAXONOMY.iter_errors(as_editors_do(MINIMAL + good))] == []
    with pytest.raises(HiergenError):
        read_spec(write(MINIMAL + bad))
    assert not holds(TAXONOMY, MINIMAL + bad)


@pytest.mark.parametrize(("good", "bad"), GROUPS)
def test_groups_have_members(good: str, bad: str, write: Write) -> None:
    around = MINIMAL + "sources: [{groups: %s}, wordnet]\nmodels: {PHL: {}}\n"
    load_taxonomy(write(around % good))
    assert holds(TAXONOMY, around % good)
    with pytest.raises(HiergenError):
        load_taxonomy(write(around % bad))
    assert not holds(TAXONOMY, around % bad)


@pytest.mark.parametrize(("good", "bad"), CLASSES)
def test_classes_of_every_form(good: str, bad: str, write: Write) -> None:
    read_spec(write(f"name: t\nclasses: {good}\n"))
    assert holds(TAXONOMY, f"name: t\nclasses: {good}\n")
    with pytest.raises(HiergenError):
        read_spec(write(f"name: t\nclasses: {bad}\n"))
    assert not holds(TAXONOMY, f"name: t\nclasses: {bad}\n")


@pytest.mark.parametrize(("good", "bad"), RECIPES)
def test_recipes(good: str, bad: str, write: Write) -> None:
    load_recipe(write(good))
    assert holds(RECIPE, good)
    with pytest.raises(HiergenError):
        load_recipe(write(bad))
    assert not holds(RECIPE, bad)


def test_the_losses_of_the_schema_are_those_there_are() -> None:
    assert recipe_schema()["$defs"]["Loss"]["properties"]["name"]["enum"] == list(LOSSES)


ALL = {
    "name": "t",
    "classes": ["a", "b"],
    "synsets": {"a": "x"},
    "names": {"a": "x"},
    "sources": [{"groups": {"g": ["a"]}}, {"superclass-files": "d"}, "wordnet"],
    "hypernyms": {"rule": "first", "choose": {"a": "b"}},
    "unplaced": "root",
    "nesting": {"min_children": 2, "closeness": 0.5, "single_child": 2, "refine": True},
    "models": {
        "N2HL": {"trunk": {"backbone": "x", "until": "y"}, "budget": {"params": "2M", "macs": 7}, "block": "mbconv"},
        "PHL": {"single_branch": True, "branches": [[{"width": 8, "out": 8, "stride": 2, "block": "mbconv"}]]},
        "Other": {"levels": 3, "block": "bottleneck", "depth": 2, "input_size": [1, 32, 64]},
        "Aimed": {"levels": 2, "trunk": {"until": "auto"}, "aim": {"cutout": 0.5}, "generalist": "shallow"},
    },
}
VALUES: list[Any] = [
    None,
    [],
    {},
    "text",
    -1,
    3,
    1.5,
    10**6,
    ["a"],
    {"x": "y"},
    [["a"]],
    [{"width": 8, "out": 8}],
    "auto",
    "shallow",
]


def places(data: Any, key: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys and indices that lead to each value."""
    for name, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*key, name)
        yield from places(value, (*key, name))


def mutated(rng: random.Random) -> tuple[tuple[Any, ...], Any]:
    data = copy.deepcopy(ALL)
    place = rng.choice(list(places(data)))
    at: Any = data
    for part in place[:-1]:
        at = at[part]
    how = rng.randrange(8)
    if how == 0:
        del at[place[-1]]
    elif how == 1 and isinstance(at, dict):
        at["stray"] = at.pop(place[-1])
    else:
        at[place[-1]] = rng.choice(VALUES)
    return place, data


def test_a_thousand_changes_are_judged_alike(write: Write) -> None:
    """JSON is YAML: each changed file is read by both. What only hiergen's rules over two keys know is left out."""
    rng, judged = random.Random(0), {True: 0, False: 0}
    assert TAXONOMY.is_valid(ALL)
    for _ in range(1000):
        place, data = mutated(rng)
        try:
            read_spec(write(json.dumps(data)))
            reads = True
        except HiergenError as error:
            if "'levels:" in str(error) or "E505" in str(error):
                continue
            reads = False
        if place[:2] == ("sources", 0) and reads:  # an empty group is found when classes are looked up
            continue
        assert TAXONOMY.is_valid(data) == reads, (place, data)
        judged[reads] += 1
    assert min(judged.values()) > 150


def test_the_command(hiergen: Callable[..., Ran], tmp_path: Path) -> None:
    assert json.loads(hiergen("schema").out) == taxonomy_schema()
    assert json.loads(hiergen("schema", "--recipe").out) == recipe_schema()
    file = tmp_path / "recipe.schema.json"
    ran = hiergen("schema", "--recipe", "-o", file)
    assert ran.code == 0
    assert f"→ {file}\n" in ran.out
    assert json.loads(file.read_text("utf-8")) == recipe_schema()
    ran = hiergen("schema", "-o", tmp_path / "mine.yaml")
    assert (ran.code, list(tmp_path.glob("*.yaml"))) == (2, [])
    assert "mine.yaml: is no file for a schema; expected a name that ends in .json" in ran.err
