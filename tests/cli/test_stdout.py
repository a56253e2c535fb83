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
