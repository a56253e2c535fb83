"""The real entry points under attack: what every answer to a hostile input must be, and what it may cost."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer.main
from hypothesis import currently_in_test_context, note

from hiergen import cli
from hiergen.errors import HiergenError
from tests.conftest import Ran
from tests.fuzz.profiles import LONG

SECONDS = 2.0  # CPU of one command on one hostile input
BYTES = 500_000_000  # memory that it may grow by, at its peak
HANG = 20 * SECONDS  # in every mode
LINES = 12  # of a sentence; typer's own box about an option has a few
CHARACTERS = 9_000  # a path of 5,000 is named whole
_TIMERS = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 10))  # CPU; waiting for ever
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class HangError(Exception):
    """A command that took longer than `HANG`."""


class _Once:
    """typer builds its click command anew in each run; the same one does."""

    made: Any = None


_built = typer.main.get_command


def _get_command(app: Any) -> Any:
    if app is not cli.app:
        return _built(app)
    _Once.made = _Once.made or _built(app)
    return _Once.made


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A fresh folder, and the process in it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="hiergen-fuzz-") as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def command(*arguments: object, allowed: tuple[int, ...] = (0, 2), seconds: float = SECONDS) -> Ran:
    """Run the command line in this process and check its answer: success, or exit code 2 with a sentence and nothing
    written; never a traceback, control characters or files left over."""
    args = [str(a) for a in arguments]
    _note(f"hiergen {args!r}"[:3000])
    here = Path.cwd()
    before = _files(here)
    out, err = io.StringIO(), io.StringIO()
    old, sys.argv = sys.argv, ["hiergen", *args]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), measured(seconds):
            typer.main.get_command = _get_command
            try:
                cli.main()
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.argv = old
        typer.main.get_command = _built
    ran = Ran(code, out.getvalue(), err.getvalue())
    _note(f"→ {code} {ran.err[:2000]}")
    assert code in allowed, ran
    plain(ran.out, "stdout")
    plain(ran.err, "stderr")
    left = {name: size for name, size in _files(here).items() if name.endswith((".part", ".tmp", ".partial"))}
    assert not left, f"left over: {left}"
    if code == 2:
        if not ran.out or ran.err:  # validate prints its findings
            sentence(ran.err)
        assert _files(here) == before, "something was written"
    return ran


def call(function: Callable[[], Any], *, seconds: float = SECONDS) -> Any:
    """The same for a function of the public API; None where it refused."""
    try:
        with measured(seconds):
            return function()
    except HiergenError as error:
        _note(f"→ {error}"[:2000])
        text = str(error)
        plain(text, "the error")
        sentence(f"error: {text}")
        return None


def sentence(text: str) -> None:
    """One sentence for the user: short, and about the input."""
    assert text.strip(), "no sentence"
    assert "Traceback" not in text, text
    lines = text.strip().splitlines()
    assert len(lines) <= LINES or "Usage:" in text, text  # typer's box repeats what was typed
    assert len(text) <= CHARACTERS, f"{len(text)} characters: {text[:500]}"
    assert "error: " in text or "Usage:" in text or "Error" in text, text


def plain(text: str, what: str) -> None:
    """Nothing that moves a terminal's cursor or turns its text around."""
    bad = sorted({c for c in text if c != "\n" and unicodedata.category(c) in _UNSEEN})
    assert not bad, f"{what} has {bad!a}: {text[:1500]!a}"


@contextlib.contextmanager
def measured(seconds: float) -> Iterator[None]:
    """In the long mode hold the run to its limits, in all modes stop a hang."""
    _reset_peak()
    start_bytes, start = _memory("VmRSS"), time.process_time()
    for timer, number, factor in _TIMERS:
        signal.signal(number, _hang)
        signal.setitimer(timer, factor * max(HANG, 20 * seconds))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "Overwriting .* in registry", UserWarning)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata, while the picture is read
            yield
    finally:
        for timer, _, _ in _TIMERS:
            signal.setitimer(timer, 0)
        spent, grown = time.process_time() - start, _memory("VmHWM") - start_bytes
    if LONG:
        assert spent <= seconds, f"{spent:.2f} s of CPU"
        assert grown <= BYTES, f"{grown / 1e6:.0f} MB more"


def _note(text: str) -> None:
    if currently_in_test_context():
        note(text)


def _hang(*_: object) -> None:
    raise HangError


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory(key: str) -> int:
    """Bytes, from /proc; 0 where there is none."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(key)), 0)
    return 0


def _files(folder: Path) -> dict[str, int]:
    """Everything below a folder with its size; links and pipes as -1."""
    found: dict[str, int] = {}
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(top, name)
            status = os.lstat(path)
            found[os.path.relpath(path, folder)] = status.st_size if not os.path.isdir(path) else -1
    return found
