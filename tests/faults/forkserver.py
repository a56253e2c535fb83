"""The far end of `injector.Server`: imports once, and runs each command in a fork of itself.

Reads one JSON request a line on stdin, answers with one on stdout. Started with the shim preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch


def child(job: dict[str, Any]) -> None:
    """This process becomes the command: its folder, environment and streams; then the fault is armed."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, path in ((1, job["stdout"]), (2, job["stderr"])):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(handle, number)
        os.close(handle)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, value in job["env"].items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    os.chdir(job["cwd"])
    sys.path[0] = job["cwd"]
    if (umask := job.get("umask")) is not None:
        os.umask(umask)
    sys.argv = ["hiergen", *job["argv"]]


def run(job: dict[str, Any]) -> None:
    mode, at, number, mask, hit = job["fault"]
    arm = ctypes.CDLL(None).fault_arm
    arm(os.fsencode(job["root"]), os.fsencode(job["log"]), mode, ctypes.c_long(at), number, mask, hit)
    code = 0
    try:
        if "code" in job:
            exec(compile(job["code"], "<job>", "exec"), {"__name__": "__main__"})
        else:
            from hiergen.cli import main

            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001 - what Python itself does with it, without its end
        traceback.print_exc()
        code = 1
    finally:
        if job["modules"]:
            own = [name for name, module in sys.modules.items() if _installed(module)]
            Path(job["modules"]).write_text("\n".join(own), "utf-8")
    if not job["whole"]:  # what Python does at its end takes longer than most commands
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def prime() -> None:
    """What every command would do again: WordNet, and the options of all commands."""
    import typer.main

    from hiergen.taxonomy.wordnet.nouns import default

    default()
    typer.main.get_command = functools.cache(typer.main.get_command)
    from hiergen.cli import app

    typer.main.get_command(app)
    gc.collect()
    gc.freeze()


def _installed(module: object) -> bool:
    """Whether it belongs to no folder of the command's own."""
    file = getattr(module, "__file__", None) or ""
    return "site-packages" in file or "/hiergen/" in file or file.startswith(sys.prefix) or "lib/python" in file


def wait(pid: int, seconds: float) -> int:
    """The exit code, -N for a signal; a command that takes too long is killed, and that is -99."""
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -99
        time.sleep(0.002)


def serve() -> dict[str, Any] | None:
    """Until stdin ends; in a child it returns the child's job."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that is imported answers by mistake
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if request["do"] == "import":
            for name in request["names"]:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        elif request["do"] == "start":
            answer["pid"] = os.fork()
            if answer["pid"] == 0:
                child(request)
                return dict(request)
        else:
            answer["code"] = wait(request["pid"], request["seconds"])
        print(json.dumps(answer), file=answers, flush=True)
    return None


if __name__ == "__main__":
    torch.set_num_threads(1)
    prime()
    if (asked := serve()) is not None:
        run(asked)
