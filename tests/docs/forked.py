"""A process that has imported what is slow to import, and forks for every command and every page's Python.

It reads one JSON object a line and answers with one. Commands: {"argv", "cwd", "env", "out"} → {"code"}. Python:
{"session", "code", "line", "page", "cwd", "env", "out"} → {"code"}; blocks of one session share their names. What a
child prints goes to the file `out`. A child starts from a state in which no command was run, as a fresh process would.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

LIMIT = 900  # seconds for one command; on a quiet machine none takes a minute
PRELOADED = (
    *("torch", "timm", "sklearn.metrics", "sklearn.datasets", "accelerate", "onnxruntime", "networkx"),
    *(
        "hiergen.cli",
        "hiergen.codegen.build",
        "hiergen.models.load",
        "hiergen.models.cutout",
        "hiergen.views.show",
        "hiergen.costs",
    ),
    *(
        "hiergen.training.run",
        "hiergen.training.report",
        "hiergen.nestings.compare.compare",
        "hiergen.nestings.suggest.suggest",
    ),
)


def main() -> None:
    """Serve until stdin ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    import torch

    from hiergen.taxonomy.wordnet.nouns import default

    torch.set_num_threads(1)  # before anything runs: a pool of threads does not survive a fork
    default()
    sessions: dict[str, tuple[int, int]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        code = _in_session(sessions, request) if "session" in request else _wait(_fork(request))
        print(json.dumps({"code": code}), flush=True)
    os._exit(0)  # sessions end with their pipes


def _fork(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _child(request)
        _leave(_command, request["argv"])
    return pid


def _wait(pid: int) -> int:
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(LIMIT)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(0)
    return code


def _in_session(sessions: dict[str, tuple[int, int]], request: dict[str, Any]) -> int:
    """Hand a block to the page's own process, which is forked for its first one."""
    name = request["session"]
    if name not in sessions:
        (to_read, to_write), (back_read, back_write) = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.close(to_write)
            os.close(back_read)
            _session(to_read, back_write)
        os.close(to_read)
        os.close(back_write)
        sessions[name] = (to_write, back_read)
    to_write, back_read = sessions[name]
    os.write(to_write, json.dumps(request).encode() + b"\n")
    answer = os.read(back_read, 16)
    return int(answer) if answer else 1  # nothing: it died


def _session(to_read: int, back_write: int) -> NoReturn:
    names: dict[str, Any] = {"__name__": "__main__"}
    with os.fdopen(to_read) as requests:
        for line in requests:
            request = json.loads(line)
            _child(request)
            code = _run(_python, request, names)
            sys.stdout.flush()
            os.write(back_write, str(code).encode())
    os._exit(0)


def _child(request: dict[str, Any]) -> None:
    """Become the process that the request asks for: folder, environment, output."""
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    sys.path[0] = request["cwd"]
    out = os.open(request["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for wanted, given in ((0, nothing), (1, out), (2, out)):
        os.dup2(given, wanted)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)


def _command(argv: list[str]) -> None:
    from hiergen import cli

    sys.argv = ["hiergen", *argv]
    cli.main()


def _python(request: dict[str, Any], names: dict[str, Any]) -> None:
    code = "\n" * request["line"] + request["code"]  # so that a traceback has the page's lines
    exec(compile(code, request["page"], "exec", dont_inherit=True), names)  # our own text


def _run(function: Any, *arguments: Any) -> int:
    try:
        function(*arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001 - what a process does at its end
        traceback.print_exc()
        return 1
    return 0


def _leave(function: Any, *arguments: Any) -> NoReturn:
    code = _run(function, *arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
