"""Two processes at once on one output, run folder, state file or cache: the file is one's or the other's, whole."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hiergen.errors import OutputError
from hiergen.training.recipe import load_recipe
from hiergen.training.runfolder import Request, begin, held

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from hiergen.files import write_text
for number in range(150):
    write_text(Path(sys.argv[1]), (sys.argv[2] * 100 + "\\n") * (200 + number))
"""
TUNER = """
import os, sys, time, torch
from pathlib import Path
from hiergen.nn.lowering import Lowering
from hiergen.nn.tuning import Case, remember
here = Path(sys.argv[2])
(here / f"ready-{sys.argv[1]}").touch()
while len(list(here.glob("ready-*"))) < 2:  # importing torch takes either of them its own time
    time.sleep(0.001)
for number in range(40):
    remember(Case((), int(sys.argv[1]), (number, 8, 8), torch.device("cpu"), torch.float32, False, 1), Lowering("loop"))
"""


def start(code: str, *arguments: object, **env: str) -> subprocess.Popen[bytes]:
    asked = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(asked, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env})


def both(*processes: subprocess.Popen[bytes]) -> None:
    assert [process.wait(300) for process in processes] == [0] * len(processes)


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    processes = [start(WRITER, path, letter) for letter in "ab"]
    seen = set()
    while any(process.poll() is None for process in processes):
        if path.exists():
            lines = path.read_text().split("\n")
            assert lines.pop() == ""
            assert 200 <= len(lines) < 350
            assert len(set(lines)) == 1
            assert len(lines[0]) == 100
            seen.add(lines[0][0])
    both(*processes)
    assert seen <= {"a", "b"}
    assert os.listdir(tmp_path) == ["t.py"], "none took the other's unfinished file for a leftover"


def test_two_that_tune_keep_the_choices_of_both(tmp_path: Path) -> None:
    both(*(start(TUNER, branches, tmp_path, XDG_CACHE_HOME=str(tmp_path)) for branches in (2, 3)))
    assert len(json.loads((tmp_path / "hiergen" / "lowerings.json").read_text())) == 80
    assert os.listdir(tmp_path / "hiergen") == ["lowerings.json"]


def test_a_second_training_in_one_folder_is_refused(tmp_path: Path) -> None:
    """Also one that begins anew, before it removes anything."""
    folder = tmp_path / "run"
    asked, recipe = Request(model="m.py:M", data="d"), load_recipe("digits")
    begin(folder, "x", asked, recipe)
    with held(folder):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with held(folder):
                    pass
            except OutputError as error:
                code = 7 * ("another process trains in this folder" in str(error))
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with held(folder):
        pass
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(OutputError, match="another process trains in this folder; wait for it, or stop it"):
        begin(folder, "x", asked, recipe, force=True, hold=lambda path: held(path).__enter__())
    os.close(handle)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "left", [(".run.json.abcdefg1.part",), ("run.json",), ("run.json", ".recipe.yaml.a_cdefg1.part")]
)
def test_a_training_killed_as_it_began_can_be_asked_for_again(left: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    asked, recipe = Request(model="m.py:M", data="d"), load_recipe("digits")
    begin(folder, "x", asked, recipe)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in (set(whole) | set(left)) - (set(whole) & set(left)):
        (folder / name).unlink() if name in whole else (folder / name).write_text("half")
    assert {path.name for path in folder.iterdir()} == set(left)
    begin(folder, "x", asked, recipe)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    (folder / "recipe.yaml").unlink()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is no folder of a training"):
        begin(folder, "x", asked, recipe)
