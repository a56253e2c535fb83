"""What README and docs say is so; tests/docs runs their blocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import hiergen
from hiergen.taxonomy.checks import CHECKS
from hiergen.taxonomy.spec import ModelSpec, NestingOptions, Spec
from tests.training.slow_trees import tree_of

ROOT = Path(__file__).parents[2]


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text("utf-8"), flags=re.S)


def test_readmes_commands_name_files_that_exist() -> None:
    commands = "\n".join(blocks("README.md", "sh"))
    for file in re.findall(r"taxonomies/\S+\.yaml", commands):
        assert (ROOT / file).is_file()
    assert len([line for line in commands.splitlines() if line.endswith("&& pytest")]) == 1


def test_two_commands_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = [b for b in blocks("README.md", "sh") if "hiergen init path/to/train" in b]
    assert len(text.strip().splitlines()) == 2
    monkeypatch.chdir(tmp_path)
    for name in ("n02123045", "fire_truck", "beagle", "pug", "tricycle", "minivan"):
        (tmp_path / "path/to/train" / name).mkdir(parents=True)
    built = hiergen.build(hiergen.init("path/to/train", "mine.yaml").path, tmp_path)
    assert [plan.model for plan in built.plans] == ["N2HL"]
    assert built.plans[0].classes == ("beagle", "fire_truck", "minivan", "n02123045", "pug", "tricycle")


def test_every_key_and_check_is_documented() -> None:
    text = (ROOT / "docs/taxonomy-file.md").read_text("utf-8")
    for model in (Spec, ModelSpec, NestingOptions):
        for key in (field.alias or name for name, field in model.model_fields.items()):
            assert f"`{key}" in text or f"{key}:" in text, key
    assert dict(re.findall(r"^\| ([EW]\d{3}) \| (.*) \|$", text, flags=re.M)) == CHECKS


def test_public_api_loads_and_nothing_else_is_public() -> None:
    for name in hiergen.__all__:
        assert getattr(hiergen, name) is not None
    with pytest.raises(AttributeError, match="No hiergen attribute nonsense"):
        _ = hiergen.nonsense


def test_every_key_of_a_recipe_is_documented_with_its_default(tmp_path: Path) -> None:
    from hiergen.training.recipe import Recipe, dump_recipe, load_recipe

    (text,) = [b for b in blocks("docs/training.md", "yaml") if "batch_size" in b]
    file = tmp_path / "all.yaml"
    file.write_text(text)
    assert load_recipe(file) == Recipe()
    shown, known = (re.findall(r"^ *(\w+):", yaml, flags=re.M) for yaml in (text, dump_recipe(Recipe())))
    assert set(known) - set(shown) == {"note"}


def test_every_metric_is_documented() -> None:
    from hiergen.training.metrics import evaluate

    tree = tree_of({"cat": {"a": "A", "b": "B"}, "dog": {"c": "C"}}, ["a", "b", "c"])
    found = evaluate(torch.eye(3), torch.tensor([0, 1, 1]), tree).to_dict()
    text = (ROOT / "docs/metrics.md").read_text("utf-8")
    for key in found:
        assert f"`{key}`" in text, key
