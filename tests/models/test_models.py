"""What may be typed for a model; nothing but the named file is run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import timm
import torch
from toy_networks import built_toy, scrambled

from hiergen.errors import HiergenError
from hiergen.lookup.reference import registered_in
from hiergen.models.load import find_model, load_network
from hiergen.models.weights import save_weights

MINE = """
from pathlib import Path
Path({ran!r}).touch()
from hiergen.nn import HierarchicalNetwork, register
class Alone(HierarchicalNetwork):
    classes = ("a",)
"""
FORMS = "FILE.py:NAME, FILE.yaml:NAME, package.module:NAME, a registered name, a cutout's or a training's folder"
BUILD = "run 'hiergen build TAXONOMY.yaml' to write models"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with generated/toymodels.py, and a file there that says when it is run."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "generated").mkdir()
    built_toy(folder / "generated", "toymodels")
    (folder / "generated" / "mine.py").write_text(
        MINE.format(ran=str(folder / "ran")) + 'register(Alone, "mine_alone")\n'
    )
    (folder / "generated" / "broken.py").write_text("def (:\n")
    return folder


@pytest.fixture(autouse=True)
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    return home


def refused(reference: str | Path) -> str:
    with pytest.raises(HiergenError) as raised:
        find_model(reference)
    assert str(raised.value).isprintable()
    return str(raised.value)


def test_every_form_names_the_same_class(here: Path) -> None:
    forms = [
        "generated/toymodels.py:N3HL",
        here / "generated/toymodels.py:N3HL",
        "./generated/../generated/toymodels.py:N3HL",
        "generated.toymodels:N3HL",
        "toymodels_n3hl",
    ]
    found = [find_model(form) for form in forms]
    assert len({model.cls for model in found}) == 1
    assert {(model.name, model.registered, model.weights) for model in found} == {("N3HL", "toymodels_n3hl", None)}
    assert all(model.path is not None and model.path.samefile("generated/toymodels.py") for model in found)
    cls = found[0].cls
    assert sys.modules[cls.__module__].N3HL is cls
    assert type(timm.create_model("toymodels_n3hl")) is cls
    assert find_model("toymodels_n3hl").cls is cls  # through timm now
    assert not Path("ran").exists()
    assert not list(here.rglob("__pycache__"))


def test_a_registered_name_runs_its_own_file_only(here: Path) -> None:
    assert find_model("mine_alone").name == "Alone"
    assert Path("ran").exists()
    Path("ran").unlink()
    assert find_model("generated/mine.py").name == "Alone"
    assert not Path("ran").exists()  # unchanged, so not run again
    Path("generated/mine.py").write_text(Path("generated/mine.py").read_text().replace('"a"', '"b"'))
    assert find_model("generated/mine.py").cls.classes == ("b",)
    assert Path("ran").exists()


def test_register_lines_are_read_not_run() -> None:
    source = 'register(A, "a_a")\nregister(B, name)\nx.register(C, "c")\nregister("D")\nexit()\nregister(E, "e", 1)\n'
    assert registered_in(source) == {"a_a": "A"}
    assert registered_in("def (:") == registered_in("(" * 100_000) == registered_in("\0") == {}
    assert registered_in("'\\d'; register(A, 'a')") == {"a": "A"}


NAMES = "'PHL', 'N2HL', 'N3HL', 'OneBranch'"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("generated/toymodels.py", f"generated/toymodels.py: holds 4 networks; expected FILE:NAME, one of {NAMES}"),
        (
            "generated/toymodels.py:n3h",
            f"generated/toymodels.py: has no network 'n3h'; expected one of {NAMES}; nearest: N3HL",
        ),
        ("generated.toymodels:Nest", f"generated/toymodels.py: has no network 'Nest'; expected one of {NAMES}"),
        ("generated/toymodel.py:N3HL", "generated/toymodel.py: no such file; nearest: generated/toymodels.py"),
        ("toymodels_n3h", f"no model 'toymodels_n3h'; nearest: toymodels_n3hl, toymodels_n2hl, toymodels_phl; {BUILD}"),
        ("N2HL", f"no model 'N2HL'; nearest: toymodels_n2hl; {BUILD}"),
        (
            "resnet50",
            "timm's 'resnet50' is no network of hiergen, it has no branches; name a model that 'hiergen build' wrote",
        ),
        ("nothing_like_it", f"no model 'nothing_like_it'; expected {FORMS}; {BUILD}"),
        (
            "generated.toymodel:N3HL",
            f"no module 'generated.toymodel'; expected {FORMS}; "
            f"nearest: generated.toymodels, generated.mine, generated.broken; {BUILD}",
        ),
        ("no.such", f"no module 'no.such'; expected {FORMS}; {BUILD}"),
        ("os.path:N3HL", f"{os.path.__file__}: holds no network of hiergen.nn; {BUILD}"),
        (
            "generated/broken.py",
            "generated/broken.py: cannot be imported; got SyntaxError: invalid syntax (broken.py, line 1)",
        ),
        (
            "generated",
            "generated: is a folder without model.py and model.safetensors; expected a folder that "
            "'hiergen cutout' or 'hiergen train' wrote; or name a file in it: broken.py, mine.py, toymodels.py",
        ),
        ("", f"no model ''; expected {FORMS}; {BUILD}"),
        (":", f"no model ':'; expected {FORMS}; {BUILD}"),
        ("a\x1b[31m", f"no model 'a\\x1b[31m'; expected {FORMS}; {BUILD}"),
        ("\0", f"no model '\\x00'; expected {FORMS}; {BUILD}"),
        (
            "flat.pth",
            f"flat.pth: holds weights, and says nothing of their network; expected {FORMS}; 'hiergen adapt' begins "
            "with a checkpoint of timm's; a file of ours goes with MODEL --weights FILE",
        ),
        ("/dev/zero", f"no model '/dev/zero'; expected {FORMS}; {BUILD}"),
    ],
)
def test_everything_else_is_refused(reference: str, message: str) -> None:
    if reference in ("generated/toymodels.yaml", "flat.pth"):
        Path(reference).touch()
    assert refused(reference) == message


def test_endless_text_is_no_model() -> None:
    assert len(refused("x" * 10_000)) < 400
    assert len(refused("x." * 5_000 + "x:Y")) < 400


def test_two_files_with_one_name(here: Path) -> None:
    for name in ("one", "two"):
        Path(f"generated/{name}.py").write_text('register(A, "toytwice_a")\n')
    assert refused("toytwice_a") == (
        "'toytwice_a' is registered by 2 files; name one: generated/one.py:A, generated/two.py:A"
    )
    Path("generated/two.py").unlink()
    assert (
        refused("toytwice_a") == "generated/one.py: cannot be imported; got NameError: name 'register' is not defined"
    )
    Path("generated/one.py").unlink()


@pytest.mark.parametrize(
    "error", ["import no_such_module", "raise ValueError('\\x1b[31m')", "1 / None", "from os import q"]
)
def test_a_file_that_fails_leaves_no_module(error: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(f"{error}\n")
    before = set(sys.modules)
    assert f"{file}: cannot be imported; got " in refused(file)
    assert set(sys.modules) == before
    file.write_text("x = 1\n")
    assert refused(file) == f"{file}: holds no network of hiergen.nn; {BUILD}"


def test_a_file_that_stands_alone_is_named_as_such(tmp_path: Path) -> None:
    file = tmp_path / "alone.py"
    file.write_text("class HierarchicalNetwork: ...\nclass N3HL(HierarchicalNetwork): ...\n")
    assert refused(file) == (
        f"{file}: holds no network of hiergen.nn; "
        "its networks stand alone: name the file that was built without --standalone"
    )


def test_a_bug_in_the_file_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "bug.py").write_text("assert False\n")
    with pytest.raises(AssertionError):
        find_model(tmp_path / "bug.py")


def test_weights_are_loaded_and_the_network_evaluates(here: Path) -> None:
    torch.manual_seed(0)
    network = load_network("generated/toymodels.py:PHL")
    assert not any(module.training for module in network.modules())
    save_weights(scrambled(network), "phl.safetensors")
    again = load_network("toymodels_phl", "phl.safetensors")
    torch.testing.assert_close(dict(again.state_dict()), dict(network.state_dict()), atol=0, rtol=0)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(x), network(x))


def test_a_taxonomy_file_stands_for_the_network_that_build_would_write(here: Path) -> None:
    planned, built = load_network("generated/toymodels.yaml:N3HL"), load_network("generated/toymodels.py:N3HL")
    assert planned.nesting == built.nesting
    built.load_state_dict(planned.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(planned(x), built(x))
    assert find_model("generated/toymodels.yaml").name == "N3HL"  # the deepest


def test_a_cutouts_folder_brings_its_weights(here: Path) -> None:
    network = scrambled(load_network("generated/toymodels.py:PHL"))
    folder = here / "folder"
    folder.mkdir()
    source = (here / "generated" / "toymodels.py").read_text("utf-8")
    alone = source[: source.index('@register("toymodels_n2hl")')]
    alone = "".join(line for line in alone.splitlines(True) if not line.startswith("@register("))
    (folder / "model.py").write_text(alone, "utf-8")
    assert refused("folder") == "folder: is a folder without model.safetensors; " + (
        "expected a folder that 'hiergen cutout' or 'hiergen train' wrote; or name a file in it: model.py"
    )
    save_weights(network, folder / "model.safetensors")
    found = find_model("folder")
    assert (found.name, found.registered, found.weights) == ("PHL", None, Path("folder/model.safetensors"))
    assert torch.equal(load_network("folder").head.weight, network.head.weight)
