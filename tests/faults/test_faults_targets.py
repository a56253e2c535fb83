"""What stands where a file is to be written, and is none: it stays what it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ran

from hiergen.errors import OutputError
from hiergen.files import check_writable, replacing, umask, write_text
from hiergen.models.weightsfile import write_tensors
from hiergen.planning import measure
from hiergen.training.recipe import load_recipe
from hiergen.training.runfolder import Request, begin

Run = Callable[..., Ran]
SAID = "is a pipe or a device, which a file would replace"


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """As root that would be the end of /dev/null."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    os.symlink(pipe, link)
    for path in (pipe, link):
        for write in (
            lambda path: write_text(path, "x"),
            lambda path: write_tensors({"a": torch.ones(1)}, path, {}),
            check_writable,
        ):
            with pytest.raises(OutputError, match=rf"{path}: {SAID}; expected a file"):
                write(path)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_nothing_in_dev_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/stdout is a link; where a file is behind it, it looks like a file."""
    monkeypatch.chdir("/dev")
    for path in (Path("/dev/stdout"), Path("/dev/null"), Path("stderr"), Path("/dev/no such device")):
        with pytest.raises(OutputError, match=SAID), replacing(path):
            pytest.fail("nothing may be written there")
    assert not [name for name in os.listdir("/dev") if name.endswith(".part")]
    plain = tmp_path / "dev" / "stdout"
    write_text(plain, "any other folder may be called so")
    assert plain.is_file()


def test_permissions_where_a_disk_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT and SMB refuse to change them; elsewhere they are the old file's, or as the user has set them."""
    path = tmp_path / "a.txt"
    before = os.umask(0o027)
    try:
        write_text(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        write_text(path, "again")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    write_text(path, "there")
    assert path.read_text() == "there"


def test_a_link_that_is_replaced_leaves_what_it_led_to_and_its_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for mode in (0o666, 0o600, 0o755, 0o400):
            theirs, path = tmp_path / f"theirs{mode}", tmp_path / f"out{mode}"
            theirs.write_text("theirs")
            theirs.chmod(mode)
            os.symlink(theirs, path)
            write_text(path, "ours")
            assert (path.is_symlink(), stat.S_IMODE(path.stat().st_mode)) == (False, 0o644)
            assert (theirs.read_text(), stat.S_IMODE(theirs.stat().st_mode)) == ("theirs", mode)
        dangling = tmp_path / "dangling"
        os.symlink(tmp_path / "gone", dangling)
        write_text(dangling, "ours")
        assert stat.S_IMODE(dangling.lstat().st_mode) == 0o644
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "words",
    [
        ("grow", "no_model", "--data", "nowhere", "-o"),
        ("specialise", "no_model", "--data", "nowhere", "-o"),
        ("train", "no_model", "--data", "nowhere", "--out"),
        ("eval", "no_model", "--data", "nowhere", "-o"),
        ("embed", "no_model", "--data", "nowhere", "-o"),
    ],
)
def test_where_nothing_can_be_written_no_work_begins(
    words: tuple[str, ...], tmp_path: Path, hiergen: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    ran = hiergen(*words, "file/out.npz")
    assert (ran.code, ran.err) == (2, "error: file/out.npz: cannot be written (not a directory)\n")


def test_the_umask_is_read_without_being_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's files would have no permissions taken away for that moment."""
    usual = os.umask(0o022)
    try:
        for mask in (0o022, 0o027, 0o077, 0o000, 0o002):
            os.umask(mask)
            with monkeypatch.context() as patch:
                patch.setattr(os, "umask", lambda _: pytest.fail("it is changed"))
                assert umask() == mask
                patch.setattr(
                    Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError(2, "no /proc"))
                )
                assert umask() == mask
    finally:
        os.umask(usual)


def test_beginning_anew_removes_nothing_through_links(tmp_path: Path) -> None:
    run, precious = tmp_path / "run", tmp_path / "precious"
    request, recipe = Request(model="m", data="d"), load_recipe("quick")
    begin(run, "m", request, recipe)
    names = ("events.out.tfevents.1.mine", "checkpoint.safetensors", "confusion.png", "curves.svg")
    precious.mkdir()
    for name in names:
        (precious / name).write_text("a year's work")
    os.symlink(precious, run / "tensorboard")
    for name in names[1:]:
        os.symlink(precious / name, run / name)
    begin(run, "m", request, recipe, force=True)
    assert sorted(os.listdir(precious)) == sorted(names)
    assert sorted(os.listdir(run)) == ["recipe.yaml", "run.json", "tensorboard"]
    (run / "tensorboard").unlink()
    (run / "tensorboard").mkdir()
    os.symlink(precious / names[0], run / "tensorboard" / names[0])
    begin(run, "m", request, recipe, force=True)
    assert sorted(os.listdir(precious)) == sorted(names)
    assert os.listdir(run / "tensorboard") == []


def test_the_table_of_backbones_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes minutes, and hiergen needs the table to measure: a write that fails leaves the one before."""
    table = tmp_path / "trunks.json.gz"
    monkeypatch.setattr(measure, "BACKBONES", ["resnet18"])
    measure.write_table(table)
    before = table.read_bytes()
    usual = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        usual(path, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match="no space left on device"):
        measure.write_table(table)
    assert table.read_bytes() == before
    assert os.listdir(tmp_path) == [table.name]
