"""Who reads what is printed may go at any time, or want each line at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-m", "hiergen"]


def unread(*words: str, errors: bool = False) -> tuple[int, str]:
    """A command whose output goes into a pipe that nobody reads, as after `| head`; exit code and what it said."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            [*COMMAND, *words],
            env=ENV,
            stdout=writing,
            stderr=writing if errors else subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    return ran.returncode, ran.stderr or ""


@pytest.mark.parametrize(
    "words", [("schema",), ("--help",), ("count-partitions", "-n", "6")], ids=["schema", "help", "rich"]
)
def test_a_reader_that_is_gone_ends_it_without_a_word(words: tuple[str, ...]) -> None:
    """141, as shells have it after SIGPIPE: 1 would be drift."""
    assert unread(*words) == (141, "")


def test_nobody_to_tell_of_an_error() -> None:
    assert unread("build", "no such file.yaml", errors=True) == (141, "")


def test_errors_on_a_full_disk_keep_their_exit_code() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run([*COMMAND, "build", "no.yaml"], env=ENV, stdout=full, stderr=full, check=False)
    assert ran.returncode == 2


def test_unbuffered_means_each_line_at_once() -> None:
    """Logs of trainings in containers, where PYTHONUNBUFFERED is set: a process that is killed has said all it said."""
    code = "import os; from hiergen.cli.app import printing\nwith printing():\n    print('epoch 1')\n    os._exit(0)"
    ran = subprocess.run([sys.executable, "-u", "-c", code], env=ENV, stdout=subprocess.PIPE, check=True)
    assert ran.stdout == b"epoch 1\n"


TEXT = "name: t\nclasses: [pug, tabby, beagle]\nunplaced: root\nnames: {beagle: Bärchen}\nmodels: {PHL: {}}\n"


@pytest.mark.parametrize(
    "words", [("validate", "t.yaml"), ("show", "t.yaml"), ("validate", "u.yaml"), ("show", "ü.yaml")]
)
def test_a_locale_without_letters_beyond_ascii(words: tuple[str, ...], tmp_path: Path) -> None:
    """Its standard output has another way with errors than the usual one, and file names cannot be said."""
    (tmp_path / "t.yaml").write_text(TEXT, "utf-8")
    (tmp_path / "u.yaml").write_text(TEXT.replace("[pug, tabby, beagle]", "{imagefolder: ~ü/x}"), "utf-8")
    env = ENV | {"PYTHONUTF8": "0", "LC_ALL": "C"}
    ran = subprocess.run([*COMMAND, *words], env=env, cwd=tmp_path, capture_output=True, check=False)
    assert "Traceback" not in ran.stderr.decode("ascii")
    assert ran.stdout.decode("ascii") or ran.stderr.decode("ascii").startswith("error: ")
    assert ran.returncode == (0 if words[1] == "t.yaml" else 2)
