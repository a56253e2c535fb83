"""What killed processes leave beside a file: gone with the next write, and never what is still being written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hiergen.errors import OutputError
from hiergen.files import put, replacing, staging, write_text
from hiergen.models.weightsfile import read_weights, write_tensors

KILLED = """
import os, signal, sys
from pathlib import Path
from hiergen.files import replacing, staging
with (staging if sys.argv[2] == "folder" else replacing)(Path(sys.argv[1])) as part:
    (part / "x" if part.is_dir() else part).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
SAFETENSORS = """
import os, signal, sys, torch, safetensors.torch
from pathlib import Path
from hiergen.models import weightsfile
usual = safetensors.torch.save_file
def save(tensors, path, metadata):
    Path(path).with_name(".tmpAbC123").write_bytes(b"half")  # safetensors has unfinished files of its own
    os.kill(os.getpid(), signal.SIGKILL)
safetensors.torch.save_file = save
weightsfile.write_tensors({"a": torch.ones(3)}, Path(sys.argv[1]), {})
"""


def killed(code: str, *arguments: object) -> None:
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_killed_processes_left_is_removed_and_does_not_grow(kind: str, tmp_path: Path) -> None:
    for _ in range(2):
        killed(KILLED, tmp_path / "a.txt", kind)
        assert len(names(tmp_path)) == 1, "the one before was not removed"
    write_text(tmp_path / "b.txt", "another file's leftovers stay")
    assert len(names(tmp_path)) == 2
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_a_killed_save_of_weights_leaves_nothing_that_grows(tmp_path: Path) -> None:
    for _ in range(2):
        killed(SAFETENSORS, tmp_path / "w.safetensors")
        assert len(names(tmp_path)) == 1
    write_tensors({"a": torch.ones(3)}, tmp_path / "w.safetensors", {"format": "pt"})
    assert names(tmp_path) == ["w.safetensors"]
    assert read_weights(tmp_path / "w.safetensors").tensors["a"].tolist() == [1, 1, 1]


def test_a_folder_that_a_disk_does_not_let_go_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failed = os.rmdir, []

    def once(path: str, **more: object) -> None:
        if not failed:
            failed.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path, **more)  # type: ignore[arg-type]

    with staging(tmp_path / "a.txt") as made:
        (made / "x").write_text("x")
        monkeypatch.setattr(os, "rmdir", once)
    assert failed
    assert not list(tmp_path.iterdir())


def test_what_is_being_written_is_nobodys_leftover(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as first, staging(path) as folder:
        first.write_text("first")
        (folder / "x").write_text("third")
        write_text(path, "second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
        put(folder / "x", path)
        assert path.read_text() == "third"
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    kept = [".a.txt.part", ".a.txt.ABCDEFGH.part", ".a.txt.abcdefgh.bak", "a.txt.abcdefgh.part", ".b.txt.abcdefgh.part"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".a.txt.abcdefg1.part").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / ".a.txt.abcdefg2.part")
    (tmp_path / ".a.txt.abcdefg3.part").write_text("left")
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == sorted([*kept, ".a.txt.abcdefg1.part", "a.txt", "elsewhere"])
    assert (tmp_path / "elsewhere").read_text() == "x"


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".a.txt.abcdefgh.part").write_text("somebody's, perhaps")
    monkeypatch.setattr("hiergen.files.fcntl", None)
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == [".a.txt.abcdefgh.part", "a.txt"]


def test_an_error_of_the_block_is_the_blocks(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="on fire"), staging(tmp_path / "a"):
        raise OSError("on fire")
    with pytest.raises(OutputError, match=r"a: cannot be written \(on fire\)"), replacing(tmp_path / "a"):
        raise OSError("on fire")
    with pytest.raises(OutputError, match="embedded null byte"):
        write_text(tmp_path / "a\0b", "x")
    assert names(tmp_path) == []
