"""Recipes: what ships is valid, a setting lands where it says, and a mistake is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiergen.errors import HiergenError
from hiergen.training.recipe import Recipe, dump_recipe, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid_and_survive_a_dump(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.note
    file = tmp_path / "again.yaml"
    file.write_text(dump_recipe(recipe))
    assert load_recipe(file) == recipe


def test_the_issues_recipes_ship() -> None:
    assert {"paper-10", "paper-100", "paper-1000", "frozen-trunk", "quick", "digits"} <= set(recipe_names())


def test_settings_win_over_the_file_the_last_one_over_the_first(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 7\noptimizer: {lr: 0.5, momentum: 0.8}\n")
    recipe = load_recipe(file, ["optimizer.lr=0.25", "epochs=8", "epochs=9", "augment.scale=[0.5,1]", "ema=null"])
    assert (recipe.epochs, recipe.optimizer.lr, recipe.optimizer.momentum) == (9, 0.25, 0.8)
    assert recipe.augment.scale == (0.5, 1.0)
    assert recipe.ema is None
    assert recipe.batch_size == Recipe().batch_size


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("# nothing\n")
    assert load_recipe(file) == Recipe()


@pytest.mark.parametrize(
    ("setting", "good", "sentence"),
    [
        ("epochs=0", "epochs=1", "'epochs' is too small; expected more than 0, got '0'"),
        ("epochs=ten", "epochs=10", "'epochs' is not a whole number; got 'ten'"),
        ("optimiser.lr=1", "optimizer.lr=1", "'optimiser.lr' is not a key of a recipe; nearest: optimizer"),
        ("optimizer.rate=1", "optimizer.lr=1", "'optimizer.rate' is not a key here"),
        ("optimizer.lr=nan", "optimizer.lr=1e-3", "'optimizer.lr' is not a finite number"),
        ("trunk.mode=frosen", "trunk.mode=frozen", "nearest: frozen"),
        ("trunk=frozen", "trunk={mode: frozen}", "'trunk' is not a mapping"),
        ("epochs", "epochs=1", "is no setting; expected key=value"),
        ("branches=scored", "branches=backbone", "reads maps from the cache"),
        ("accumulate=3", "accumulate=2", "does not divide 'batch_size: 64'"),
        ("augment.scale=[1,0.5]", "augment.scale=[0.5,1]", "expected the smaller number first"),
        ("batch_size=3", "batch_size=4", "expected an even 'batch_size'"),
    ],
)
def test_a_wrong_setting_is_named_beside_a_right_twin(setting: str, good: str, sentence: str) -> None:
    base = ["augment.mixup=0.2"] if setting.startswith("batch_size") else []
    with pytest.raises(HiergenError) as error:
        load_recipe("quick", [*base, setting])
    assert sentence in str(error.value)
    assert f"--set {setting}" in str(error.value)
    load_recipe("quick", [*base, good])


def test_a_mistake_in_a_file_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 3\noptimizer:\n  lr: fast\n")
    with pytest.raises(HiergenError, match=r"mine\.yaml:3: 'optimizer\.lr' is not a number; got 'fast'"):
        load_recipe(file)


def test_an_unknown_recipe_gets_the_nearest() -> None:
    with pytest.raises(HiergenError, match=r"no recipe 'paper-1O'.*nearest: paper-1"):
        load_recipe("paper-1O")
