"""Runs real commands and spoils one of their changes to files: killed there, or with an error of the system's.

`Server` starts commands; `Fault` says what happens at which operation. Needs a C compiler and Linux (`why_not`).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GROWS, CHANGES, WAITS, READS = 1, 2, 4, 8  # as in the shim
WRITES = GROWS | CHANGES | WAITS
_MODES = {"none": 0, "before": 1, "after": 2, "half": 3, "once": 4, "always": 5, "short": 6, "signal": 7}
# what of the disk each error comes from: a full disk still removes files
_HITS = {
    "ENOSPC": GROWS,
    "EDQUOT": GROWS,
    "EROFS": CHANGES,
    "EACCES": CHANGES,
    "EIO": WRITES,
    "EINTR": WAITS,
}


def why_not() -> str | None:
    """Why faults cannot be injected here; None where they can."""
    if sys.platform != "linux":
        return "faults are injected on Linux only"
    return None if shutil.which("cc") else "faults are injected by a library in C, and there is no compiler (cc)"


@dataclass(frozen=True)
class Fault:
    """What happens at operation `at` (from 1). `how`: killed "before", "after" or in the midst ("half") of it; `error`
    "once" or "always" from there on; a "short" write; a "signal", which is `error` then."""

    how: str = "none"
    at: int = 0
    error: str = ""

    def armed(self, mask: int) -> tuple[int, int, int, int, int]:
        number = 0
        if self.how == "signal":
            number = getattr(signal, self.error)
        elif self.error:
            number = getattr(errno, self.error)
        return _MODES[self.how], self.at, number, mask, _HITS.get(self.error, WRITES)

    def hits(self, kind: int) -> bool:
        """Whether an operation of this kind can meet with it."""
        if self.how == "half":
            return bool(kind & GROWS)
        return not self.error or self.how == "signal" or bool(_HITS[self.error] & kind)

    def __str__(self) -> str:
        return f"{self.error or 'kill'} {self.how} @{self.at}"


@dataclass(frozen=True)
class Operation:
    """One change to a file, as the shim numbers them; `path` is below the root."""

    number: int
    name: str
    kind: int
    path: str


@dataclass(frozen=True)
class Ran:
    """Exit code (-N: by signal N; -99: took too long), what was printed, and the operations if they were noted."""

    code: int
    out: str
    err: str
    operations: tuple[Operation, ...] = ()


class Server:
    """Commands in forks of one warm process; `with Server() as server`."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="faults-"))
        library = self.place / "shim.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, HERE / "shim.c", "-ldl"], check=True)
        env = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        env |= {"PYTHONDONTWRITEBYTECODE": "1"}
        self._log = (self.place / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "forkserver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=env,
            text=True,
        )
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def warm(self, modules: Iterable[str]) -> None:
        """Import these once."""
        self._ask(do="import", names=list(modules))

    def run(
        self,
        root: Path,
        *argv: object,
        fault: Fault = Fault(),
        mask: int = WRITES,
        note: bool = False,
        seconds: float = 300,
        **options: Any,
    ) -> Ran:
        """One command to its end; see `start`."""
        return self.end(self.start(root, *argv, fault=fault, mask=mask, note=note, **options), seconds)

    def start(
        self,
        root: Path,
        *argv: object,
        fault: Fault = Fault(),
        mask: int = WRITES,
        note: bool = False,
        code: str | None = None,
        cwd: str = "work",
        env: dict[str, str | None] | None = None,
        umask: int | None = None,
        stdout: str | None = None,
        whole: bool = False,
    ) -> tuple[int, Path]:
        """Start `hiergen ARGV`, or `code`, in ROOT/work, with ROOT/home and ROOT/tmp as home and temporary folder.

        Operations below `root` are counted. `note`: they are listed, and the imported modules kept warm. `whole`: with
        all that Python does at its end.
        """
        self._count += 1
        files = self.place / str(self._count)
        job: dict[str, Any] = {
            "do": "start",
            "argv": [str(a) for a in argv],
            "root": str(root),
            "cwd": str(root / cwd),
            "env": {"HOME": str(root / "home"), "XDG_CACHE_HOME": None, "TMPDIR": str(root / "tmp"), **(env or {})},
            "umask": umask,
            "stdout": stdout or f"{files}.out",
            "stderr": f"{files}.err",
            "log": f"{files}.log" if note else "",
            "modules": f"{files}.mod" if note else "",
            "fault": fault.armed(mask),
            "whole": whole,
        }
        if code is not None:
            job["code"] = code
        return self._ask(**job)["pid"], files

    def end(self, started: tuple[int, Path], seconds: float = 300) -> Ran:
        """Wait for it."""
        pid, files = started
        code = self._ask(do="wait", pid=pid, seconds=seconds)["code"]
        texts = []
        for kind in ("out", "err", "log", "mod"):
            path = files.with_suffix(f".{kind}")
            texts.append(path.read_bytes().decode("utf-8", "backslashreplace") if path.exists() else "")
            path.unlink(missing_ok=True)
        if texts[3]:
            self.warm(texts[3].split("\n"))
        found = []
        for line in texts[2].splitlines():
            number, name, kind, path = line.split("\t", 3)
            found.append(Operation(int(number), name, int(kind), path))
        return Ran(code, texts[0], texts[1], tuple(found))

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server is gone: {(self.place / 'server.log').read_text('utf-8')[-2000:]}")
        return dict(json.loads(answer))
