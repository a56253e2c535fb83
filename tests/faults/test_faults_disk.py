"""Disks that are really full, really read-only, and files that may not grow: one sentence, and nothing is lost."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Ran

sys.path.insert(0, str(Path(__file__).parent))

from cases import built, spec

pytestmark = pytest.mark.filterwarnings("ignore:Overwriting faulty:UserWarning")  # timm, of one name again
Run = Callable[..., Ran]
COMMANDS: dict[str, tuple[object, ...]] = {
    "build": ("build", "t.yaml", "-o", "disk/t.py"),
    "standalone": ("build", "t.yaml", "--standalone", "-o", "disk/s.py"),
    "suggest": ("suggest", "t.yaml", "--by", "random", "--groups", "2", "-o", "disk/s.yaml"),
    "draw": ("draw", "t.yaml", "-o", "disk/d.svg"),
    "explore": ("explore", "t.yaml", "-o", "disk/p.html"),
    "safetensors": ("export", "t.py:N2HL", "--weights", "w.safetensors", "-o", "disk/n.safetensors"),
    "cutout": ("cutout", "t.py:N2HL", "--weights", "w.safetensors", "--classes", "cold", "-o", "disk/cut"),
    "schema": ("schema", "-o", "disk/s.json"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    built(folder)
    return folder


@pytest.fixture
def disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 1 MB of our own."""
    folder = home / "disk"
    folder.mkdir(exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no file system may be mounted here: {made.stderr.strip()}")
    monkeypatch.chdir(home)
    yield folder
    subprocess.run(["umount", folder], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name: str, disk: Path, hiergen: Run) -> None:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    before = contents(disk)
    ran = hiergen(*COMMANDS[name])
    assert ran.code == 2, ran.err
    assert ran.err.startswith("error: disk/"), ran.err
    assert ".part" not in ran.err, "a place that the user did not name"
    assert "cannot be written (no space left on device)" in ran.err
    assert ran.err.count("\n") == 1
    assert contents(disk) == before
    filler.unlink()
    again = hiergen(*COMMANDS[name])
    assert again.code == 0, again.err
    assert not list(disk.rglob(".*"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_disk(name: str, disk: Path, hiergen: Run) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    ran = hiergen(*COMMANDS[name])
    assert ran.code == 2, ran.err
    assert ran.err.startswith("error: disk"), ran.err
    assert "cannot be written (read-only file system)" in ran.err
    assert ran.err.count("\n") == 1
    assert list(disk.iterdir()) == []


PT2 = ("export", "t.py:N2HL", "--weights", "w.safetensors", "-o", "disk/n.pt2")


@pytest.mark.parametrize("command", [COMMANDS["build"], COMMANDS["safetensors"], PT2], ids=lambda command: command[-1])
def test_files_that_may_not_grow(command: tuple[object, ...], home: Path) -> None:
    """RLIMIT_FSIZE, which needs no rights. (Where a .pt2 cannot be written, torch would end the whole process.)"""
    (home / "disk").mkdir(exist_ok=True)
    target = home / str(command[-1])
    target.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "hiergen", *map(str, command)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    ran = subprocess.run(argv, cwd=home, env=env, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, f"error: {command[-1]}: cannot be written (file too large)\n")
    assert not list((home / "disk").iterdir())


def test_standard_output_on_a_full_disk_is_one_sentence(home: Path) -> None:
    (home / "small.yaml").write_text(spec("PHL"), "utf-8")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "hiergen", "validate", "small.yaml"]
    with open("/dev/full", "w") as full:
        ran = subprocess.run(command, cwd=home, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "error: standard output: cannot be written (no space left on device)\n"
    assert (ran.returncode, ran.stderr) == (2, said)
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    ran = subprocess.run(closed, cwd=home, env=env, stderr=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
