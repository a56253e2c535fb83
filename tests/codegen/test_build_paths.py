"""Where `hiergen build` may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Write

from hiergen.codegen.build import build
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


def test_networks_that_changed_are_named(tmp_path: Path) -> None:
    text = (
        "name: t\nclasses: [cat, dog, oak, fir]\nsources: [wordnet]\nmodels:\n"
        "  PHL: {trunk: {backbone: resnet18, until: layer2}, levels: 1, block: bottleneck, budget: {params: PARAMS}}\n"
        "  N2HL: {trunk: {backbone: resnet18, until: layer2}, levels: 2, block: bottleneck, budget: {params: 4M}}\n"
    )
    file, out = tmp_path / "t.yaml", tmp_path / "t.py"

    def built(text: str) -> tuple[str, ...]:
        file.write_text(text)
        return build(file, out).changed

    first = text.replace("PARAMS", "2M")
    assert built(first) == ()
    assert built(first) == ()
    assert built(text.replace("PARAMS", "1M")) == ("PHL",)
    assert built(text.replace("PARAMS", "1M").replace("name: t", "names: {oak: an oak}\nname: t")) == ("PHL", "N2HL")
    assert built(first.replace("PHL:", "Other:")) == ("N2HL",)  # whose names were others
    assert (
        built(first.replace("PHL:", "Other:") + text.split("models:\n")[1].replace("PARAMS", "3M").split("\n")[0]) == ()
    )
    out.write_text('"""Written by hiergen by hand"""\n(')
    assert built(first) == ()
