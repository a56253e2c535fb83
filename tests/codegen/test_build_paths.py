"""Where `hiergen build` may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Write

from tests.bad_input import Run, check_refused, listing, spec

OUTS = {
    "t.yaml": ("is the taxonomy file itself",),
    "notes.txt": ("is not a folder", "ends in .py"),
    "link.py": ("is the taxonomy file itself",),
    "mine.py": ("a file that hiergen did not write", "--out"),
    "folder.py": ("is a directory; expected a file to write",),
    "pipe.py": ("is a pipe or a device, which a file would replace",),
    "t.yaml/x.py": ("cannot be written", "not a directory"),
    "t.yaml/x/": ("cannot be written", "not a directory"),
    f"{'x' * 300}.py": ("cannot be written", "too long"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_output_paths(here: Path, hiergen: Run, write: Write) -> None:
    write(spec())
    write("print('mine')\n", "mine.py")
    write("mine", "notes.txt")
    os.symlink("t.yaml", here / "link.py")
    (here / "folder.py").mkdir()
    os.mkfifo("pipe.py")
    before = listing(here)
    for out, words in OUTS.items():
        check_refused(hiergen("build", "t.yaml", "--out", out), out.rstrip("/")[:60], 0, *words)
        assert listing(here) == before
    for out in ("folder.py", "pipe.py"):  # which it would open, too
        check_refused(hiergen("build", "t.yaml", "--out", out, "--check"), out, 0, *OUTS[out])
    ran = hiergen("build", "t.yaml", "--out", "new/deep/x.py")
    assert (ran.code, ran.err) == (0, "")
    assert (here / "new" / "deep" / "x.py").is_file()
    assert not list(here.rglob("*.part"))


def test_two_files_into_one(here: Path, hiergen: Run, write: Write) -> None:
    write(spec())
    write(spec(name="u"), "u.yaml")
    check_refused(hiergen("build", "t.yaml", "u.yaml", "--out", "x.py"), "x.py", 0, "cannot hold several")
    assert hiergen("build", "t.yaml", "u.yaml", "--out", "x").code == 0
    assert sorted(p.name for p in (here / "x").iterdir()) == ["t.py", "u.py"]
