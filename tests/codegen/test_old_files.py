"""What hiergen 0.1 wrote still works: generated files and their weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from hiergen.lookup.reference import read_nestings
from hiergen.models.load import load_network
from hiergen.models.weights import load_weights, save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = ("PHL", "N2HL", "N3HL", "OneBranch")
SAME = ("PHL", "N2HL", "OneBranch")  # N3HL's groups by hand are not joined any more


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One taxonomy as 0.1 wrote it, and as it is written now."""
    folder = tmp_path_factory.mktemp("old")
    old, new = folder / "oldtoy.py", folder / "newtoy.py"
    old.write_text((GOLDEN / "toy_of_0_1.py.golden").read_text("utf-8").replace('"toy_', '"oldtoy_'), "utf-8")
    new.write_text((GOLDEN / "toy.py.golden").read_text("utf-8").replace('"toy_', '"newtoy_'), "utf-8")
    return old, new


@pytest.mark.parametrize("model", SAME)
def test_a_generated_file_and_its_weights_load(files: tuple[Path, Path], model: str, tmp_path: Path) -> None:
    old, new = (load_network(f"{file}:{model}") for file in files)
    assert old.nesting.tree() == new.nesting.tree()
    assert (old.classes, old.taxonomy) == (new.classes, new.taxonomy)
    for tensor in old.state_dict().values():  # branches switched on: fresh gammas are zero
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 0.5)
    save_weights(old, tmp_path / "old.safetensors")
    load_weights(new, tmp_path / "old.safetensors")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(old(x), new(x))
    assert torch.equal(old.cutout("pug")(x), new.cutout("pug")(x))
    assert type(timm.create_model(f"oldtoy_{model.lower()}")) is type(old)


def test_its_nestings_are_read_without_running_it(files: tuple[Path, Path]) -> None:
    old, new = map(read_nestings, files)
    assert list(old) == list(MODELS)
    assert all(old[name].tree() == new[name].tree() for name in SAME)
    assert list(old["N3HL"].tree()) == ["cat & dog", "other"]


def test_a_nesting_that_is_made_otherwise_now_loads_as_it_is(files: tuple[Path, Path], tmp_path: Path) -> None:
    network = load_network(f"{files[0]}:N3HL")
    save_weights(network, tmp_path / "old.safetensors")
    again = load_network(f"{files[0]}:N3HL", tmp_path / "old.safetensors")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(x), again(x))
