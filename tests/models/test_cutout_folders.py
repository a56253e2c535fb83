"""Where `hiergen cutout` writes: a whole folder or nothing, and never over what is not a cutout."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ran
from toy_networks import parts, toy_home

from hiergen.errors import HiergenError
from hiergen.models.cutout import cutout
from hiergen.models.load import load_network
from tests.forks import Forked

Run = Callable[..., Ran]
N3HL = ("toyfolders_n3hl", "--weights", "N3HL.safetensors")
# One process writes the same cutout into several folders here, which timm's registry notices.
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting toyfolders:UserWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_home(tmp_path_factory.mktemp("folders"), "toyfolders", "N3HL")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def out(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the cutout goes; the models are in the current folder."""
    monkeypatch.chdir(home)
    return tmp_path / "out"


def test_a_folder_of_the_users_is_never_touched(out: Path, hiergen: Run) -> None:
    command = ("cutout", *N3HL, "--classes", "pug", "-o", out)
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for extra in ((), ("--force",)):
        ran = hiergen(*command, *extra)
        assert (ran.code, ran.err) == (
            2,
            f"error: {out}: is a folder with other files; expected a new or empty folder\n",
        )
    (out / "model.py").write_text("mine = True\n")
    (out / "model.safetensors").write_text("mine")
    assert hiergen(*command, "--force").code == 2
    assert (out / "model.py").read_text() == "mine = True\n"
    (out / "notes.txt").rename(out.parent / "file")
    ran = hiergen(*command[:-1], out.parent / "file")
    assert ran.err == f"error: {out.parent / 'file'}: is a file; expected a folder\n"
    ran = hiergen(*command[:-1], out.parent / "file" / "below")
    assert ran.err == f"error: {out.parent / 'file' / 'below'}: cannot be written (not a directory)\n"


def test_a_folder_that_is_there_may_be_another_disk(out: Path, hiergen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container's volume is: nothing is made beside it. What a killed process left in it is no other file."""
    (out / ".model.py.abcdefgh.part").mkdir(parents=True)
    replace = os.replace

    def on_one_disk(source: Path, target: Path) -> None:
        if not Path(source).is_relative_to(out):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", on_one_disk)
        for extra in ((), ("--force",)):
            ran = hiergen("cutout", *N3HL, "--classes", "pug", "-o", out, *extra)
            assert ran.code == 0, ran.err
            assert sorted(contents(out)) == ["model.py", "model.safetensors"]
    assert load_network(out).classes == ("pug",)


def test_others_may_enter_the_folder_as_any_other(out: Path, hiergen: Run) -> None:
    (out.parent / "usual").mkdir()
    assert hiergen("cutout", *N3HL, "--classes", "pug", "-o", out).code == 0
    assert out.stat().st_mode == (out.parent / "usual").stat().st_mode


@pytest.mark.parametrize("lost", ["model.py", "model.safetensors"])
def test_half_of_a_cutout_is_not_taken_for_one(lost: str, out: Path, hiergen: Run) -> None:
    command = ("cutout", *N3HL, "--classes", "pug", "-o", out)
    assert hiergen(*command).code == 0
    (out / lost).unlink()
    before = contents(out)
    ran = hiergen(*command, "--force")
    assert (ran.code, ran.err) == (2, f"error: {out}: is a folder with other files; expected a new or empty folder\n")
    assert contents(out) == before


def test_an_earlier_cutout_is_replaced_on_demand_only(out: Path, hiergen: Run) -> None:
    (out / "__pycache__").mkdir(parents=True)  # as good as empty
    command = ("cutout", *N3HL, "-o", out, "--classes")
    assert hiergen(*command, "pug").code == 0
    before = (out / "model.py").read_bytes(), (out / "model.safetensors").read_bytes()
    ran = hiergen(*command, "tabby,pug")
    assert (ran.code, ran.err) == (2, f"error: {out}: holds a network already; --force replaces it\n")
    assert ((out / "model.py").read_bytes(), (out / "model.safetensors").read_bytes()) == before
    assert hiergen(*command, "tabby,pug", "--force").code == 0
    assert load_network(out).classes == ("tabby", "pug")
    assert parts(out.parent) == ["out"]


def test_an_error_on_the_way_leaves_everything_as_it_was(
    home: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> float:
        raise OSError("the disk is on fire")

    options = {"classes": ["pug", "tabby"], "weights": "N3HL.safetensors"}
    monkeypatch.setattr("hiergen.models.cutout.difference", fails)
    with pytest.raises(OSError, match="on fire"):
        cutout("toyfolders_n3hl", out, **options)
    assert parts(out.parent) == []
    monkeypatch.undo()
    monkeypatch.chdir(home)
    cutout("toyfolders_n3hl", out, **options)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    monkeypatch.setattr("hiergen.models.cutout.save_weights", fails)
    with pytest.raises(OSError, match="on fire"):
        cutout("toyfolders_n3hl", out, classes=["beagle"], weights="N3HL.safetensors", force=True)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert parts(out.parent) == ["out"]


@pytest.mark.parametrize(("kills", "old"), [(1, True), (2, False)])
def test_killed_while_replacing(kills: int, old: bool, out: Path, home: Path) -> None:
    """Before the first rename all is old; between the two, loading says that source and weights do not belong."""
    cutout("toyfolders_n3hl", out, classes=["pug", "tabby"], weights="N3HL.safetensors")
    code = (
        "import os, sys\nimport hiergen\nreal, left = os.replace, [int(sys.argv[2])]\n"
        "def replace(a, b):\n"
        "    if os.path.dirname(b) == sys.argv[1]:\n"
        "        left[0] -= 1\n"
        "        left[0] or os._exit(9)\n"
        "    real(a, b)\n"
        "os.replace = replace\n"
        "options = {'classes': ['beagle'], 'weights': 'N3HL.safetensors', 'force': True}\n"
        "hiergen.cutout('toyfolders_n3hl', sys.argv[1], **options)"
    )
    process = Forked(["-c", code, out, kills], cwd=home)
    _, err = process.communicate()
    assert process.returncode == 9, err
    if old:
        assert load_network(out).classes == ("tabby", "pug")
    else:
        with pytest.raises(
            HiergenError, match=r"weights of another taxonomy \(class 0 is 'beagle' there, 'tabby' here\)"
        ):
            load_network(out)
    cutout("toyfolders_n3hl", out, classes=["beagle"], weights="N3HL.safetensors", force=True)
    assert load_network(out).classes == ("beagle",)


def test_a_standalone_file_comes_and_goes_with_its_cutout(out: Path, hiergen: Run) -> None:
    command = ("cutout", *N3HL, "-o", out, "--classes")
    ran = hiergen(*command, "pug,beagle", "--standalone")
    assert f"→ {out}: model.py, model.safetensors, standalone.py" in ran.out
    # in a process that has no hiergen: the same logits as the folder's network gives here
    code = """
import sys
sys.modules["hiergen"] = None
import torch
from safetensors.torch import load_file
from standalone import N3HLCutout
model = N3HLCutout().eval()
model.load_state_dict(load_file("model.safetensors"))
print(model(torch.ones(1, 3, 32, 32)).tolist())
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=out, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == str(load_network(str(out))(torch.ones(1, 3, 32, 32)).tolist())
    assert hiergen(*command, "pug", "--force").code == 0
    assert not (out / "standalone.py").exists()
