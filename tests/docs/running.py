"""Runs the blocks of a page in order, in a folder with copies of the repository's inputs, and compares outputs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pages import ROOT, Block

COPIED = ("taxonomies", "generated", "benchmarks/tasks", "pyproject.toml")
_NUMBER = re.compile(r"[-+−]?\d[\d,.]*(?:e[-+]?\d+)?")
_SHELL = re.compile(r"[|&;<>$`*?~{}()]|(?<!\s)#|\\$|^\s*\w+=")


class DocsError(AssertionError):
    """A block does not do what its page says."""


class Forker:
    """The other end of forked.py."""

    def __init__(self) -> None:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forked.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def ask(self, **request: Any) -> int:
        """The exit code of what was asked for."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "forked.py has died"
        code: int = json.loads(answer)["code"]
        return code

    def close(self) -> None:
        self.process.communicate(timeout=120)


@dataclass
class Running:
    """One page being run. `seconds` by block."""

    page: str
    folder: Path
    forker: Forker
    done: int = 0
    failed: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        for name in COPIED:
            source, target = ROOT / name, self.work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        home = self.folder / "home"
        home.mkdir()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "PATH": path, "OMP_NUM_THREADS": "1"}
        self.env |= {"COLUMNS": "200", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "DOCS_ROOT": str(ROOT)}

    def up_to(self, blocks: list[Block], last: int) -> None:
        """Run what was not run yet of `blocks`, including number `last`."""
        while self.done <= last:
            if self.failed:
                raise DocsError(f"not reached, as {self.failed} failed")
            block, start = blocks[self.done], time.perf_counter()
            self.done += 1
            if block.not_run:
                continue
            try:
                self.run(block)
            except BaseException:
                self.failed = block.place
                raise
            self.seconds[block.place] = time.perf_counter() - start

    def run(self, block: Block) -> None:
        """One block. Raises DocsError where a command fails or its output is another."""
        if block.kind == "file":
            (self.work / block.name).write_text(block.text, "utf-8")
        elif block.kind == "python":
            said = f"{block.place}: this Python"
            code, out = self._asked(session=self.page, code=block.text, line=block.line, page=block.page)
            _expect(code == 0, said, f"failed:\n{out}")
        elif block.kind == "console":
            for command, output in console(block.text):
                self._shell(block, command, output)
        else:
            commands = shell_commands(block.text)
            for i, command in enumerate(commands):
                last = i == len(commands) - 1
                self._shell(block, command, block.output if last else None)

    def _shell(self, block: Block, command: str, output: str | None) -> None:
        said = f"{block.place}: {command.splitlines()[0]}"
        argv = simple(command)
        if argv is not None:
            code, out = self._asked(argv=argv)
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=self.work,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            code, out = done.returncode, done.stdout
        wanted = 2 if output is not None and re.search("^error: ", output, re.M) else 0
        _expect(code == wanted, said, f"ended with exit code {code}, not {wanted}:\n{out}")
        if output is not None:
            _expect(same(out, output, vary=block.vary), said, f"printed\n{out}\ninstead of\n{output}")

    def _asked(self, **request: Any) -> tuple[int, str]:
        out = self.folder / "out"
        out.write_bytes(b"")
        code = self.forker.ask(**request, cwd=str(self.work), env=self.env, out=str(out))
        return code, out.read_text("utf-8", errors="replace")


def _expect(holds: bool, said: str, problem: str) -> None:
    if not holds:
        raise DocsError(f"{said}\n{problem}")


def simple(command: str) -> list[str] | None:
    """The arguments of a plain hiergen command; None for what a shell must read."""
    joined = command.replace("\\\n", " ")
    quoted_out = re.sub(r"'[^']*'|\"[^\"$`]*\"", "''", joined)
    if "\n" in joined or _SHELL.search(re.sub(r"\s#.*", "", quoted_out)):
        return None
    words = shlex.split(joined, comments=True)
    return words[1:] if words[:1] == ["hiergen"] else None


def shell_commands(text: str) -> list[str]:
    """The commands of a sh block; with a here-document, a loop or a function in it, all of it is one."""
    if re.search(r"<<|^\s*(for|while|if|\w+\(\))\b", text, re.M):
        return [text]
    lines = re.sub(r"\\\n", "\\\\\0", text).splitlines()
    return [line.replace("\0", "\n") for line in lines if line.strip() and not line.lstrip().startswith("#")]


def console(text: str) -> list[tuple[str, str]]:
    """A console block's commands, each with the output that is shown."""
    found: list[tuple[str, str]] = []
    lines = text.splitlines(keepends=True)
    while lines:
        command = lines.pop(0).removeprefix("$ ").rstrip("\n")
        while command.endswith("\\"):
            command += "\n" + lines.pop(0).rstrip("\n")
        output = ""
        while lines and not lines[0].startswith("$ "):
            output += lines.pop(0)
        found.append((command, output))
    return found


def same(got: str, shown: str, *, vary: bool = False) -> bool:
    """Whether an output is the one that is shown; `…` stands for anything, and with `vary` every number for any."""
    return _match(_plain(got, vary), _plain(shown, vary))


def _match(got: list[str], shown: list[str]) -> bool:
    if not shown:
        return not got
    if shown[0] == "…":
        return any(_match(got[i:], shown[1:]) for i in range(len(got) + 1))
    pattern = re.escape(shown[0]).replace("…", ".*")
    return bool(got) and re.fullmatch(pattern, got[0]) is not None and _match(got[1:], shown[1:])


def _plain(text: str, vary: bool) -> list[str]:
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return [re.sub(r"\s+", " ", _NUMBER.sub("0", line)).strip() for line in lines] if vary else lines
