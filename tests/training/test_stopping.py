"""Signals during a training, and a terminal that is closed under it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiergen.training.loop import CHECKPOINT
from hiergen.training.stopping import Stopping
from tests.training.own_images import folders, source

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "TERM": "xterm"}


@pytest.fixture
def heard() -> Iterator[None]:
    """Whoever started pytest may have had SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")]
)
@pytest.mark.usefixtures("heard")
def test_the_first_is_noted_and_a_second_interrupts(number: signal.Signals, name: str) -> None:
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Stopping() as stopping:
        assert (stopping.requested, stopping.name) == (False, "")
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGHUP)  # the shell and the kernel both send it
        assert (stopping.requested, stopping.name) == (True, name)
        for second in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(second)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers


@pytest.mark.usefixtures("heard")
def test_under_nohup_a_closed_terminal_is_no_wish_to_stop() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Stopping() as stopping:
        signal.raise_signal(signal.SIGHUP)
        assert not stopping.requested
        signal.raise_signal(signal.SIGINT)
        assert stopping.name == "Ctrl-C"
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def on_a_terminal(*words: str, ignored: bool = False) -> tuple[subprocess.Popen[bytes], int]:
    """A process that leads a session on a terminal of its own; the terminal's other end."""

    def lead() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)

    ours, theirs = os.openpty()
    started = subprocess.Popen(
        [sys.executable, *words],
        env=ENV,
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lead,  # nothing else gives it the terminal
    )
    os.close(theirs)
    return started, ours


def read_until(ours: int, word: bytes) -> bytes:
    """What comes, up to a word, at most two minutes' worth."""
    text = b""
    while word not in text:
        assert select.select([ours], [], [], 120)[0], text
        text += os.read(ours, 65536)
    return text


def test_a_training_whose_terminal_is_closed_saves_first(tmp_path: Path) -> None:
    source(tmp_path, "toy_hup").rename(tmp_path / "own.py")
    folders(tmp_path / "images", 6)
    run = tmp_path / "run"
    words = ["own.py:N2HL", "--data", "images", "--epochs", "100000", "--out", str(run)]
    code = f"import os; os.chdir({str(tmp_path)!r}); from hiergen.cli import main; main()"
    started, ours = on_a_terminal("-c", code, "train", *words)
    try:
        read_until(ours, b"images/s")  # the bar
        os.close(ours)
        assert started.wait(120) == 130
    finally:
        started.kill()
        started.communicate()
    assert (run / CHECKPOINT).is_file()


def test_work_goes_on_without_a_terminal() -> None:
    """nohup and disown: what nobody can see is no error, as a full disk behind standard output would be."""
    code = (
        "import sys; from hiergen.cli.app import printing\n"
        "with printing() as flush:\n"
        "    print('ready', flush=True); sys.stdin.read()\n"
        "    print('unseen', flush=True); print('unseen', file=sys.stderr, flush=True); flush()\n"
        "    sys.exit(7)"
    )
    started, ours = on_a_terminal("-c", code, ignored=True)
    read_until(ours, b"ready")
    os.close(ours)
    started.communicate(timeout=120)
    assert started.returncode == 7
