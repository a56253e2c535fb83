"""Python processes forked from one that has imported what is slow to import: importing torch and timm takes longer
than most of what such a process is started for."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parents[1]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["torch", "timm", "accelerate", "torch.distributed.fsdp", "sklearn.datasets", "hiergen.cli", "hiergen.training.run"]
)


class Forked:
    """As `subprocess.Popen([sys.executable, *words])` with both outputs as text in pipes."""

    def __init__(self, words: Sequence[object], env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> None:
        (out, out_end), (err, err_end) = FORKS.Pipe(duplex=False), FORKS.Pipe(duplex=False)
        started = (list(map(str, words)), str(cwd), dict(env or {}), out_end, err_end)
        self._process = FORKS.Process(target=_become, args=started)
        self._process.start()
        self.stdout, self.stderr = (os.fdopen(os.dup(end.fileno()), encoding="utf-8") for end in (out, err))
        for end in (out, out_end, err, err_end):
            end.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What is left of its outputs, when it has ended. Fails where it takes longer than so many seconds."""
        found: dict[str, str] = {}
        pipes = {"out": self.stdout, "err": self.stderr}
        readers = [Thread(target=lambda name=name: found.update({name: pipes[name].read()})) for name in pipes]
        for reader in readers:
            reader.start()
        self._process.join(timeout)
        assert self.returncode is not None, "it does not end"
        for reader in readers:
            reader.join(timeout)
        for pipe in pipes.values():
            pipe.close()
        return found["out"], found["err"]


def _become(words: list[str], folder: str, env: dict[str, str], out: Connection, err: Connection) -> None:
    """In the child: `python *words`, in this folder."""
    import torch

    for given, wanted in ((out, 1), (err, 2)):
        os.dup2(given.fileno(), wanted)
        given.close()
    multiprocessing.set_start_method("fork", force=True)  # its own workers: as in a process that was not forked
    os.chdir(folder)
    os.environ.update(env)
    sys.path.insert(0, folder)
    torch.set_num_threads(1)
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(words[1], {"__name__": "__main__"})  # the test's own text
    elif words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
