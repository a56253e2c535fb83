"""Hand-made mutants: each one wrong line in a copy of the tree, which the tests must notice.

    python benchmarks/mutants.py [WORD …] [--near] [--list]

benchmarks/mutants.yaml has, by file, the tests to run (the near ones, then the wider ones, each with -x) and the
mutants: `old` occurs once in the file and becomes `new`. `equivalent` says why no test can tell the two apart; such a
mutant is not run. A WORD chooses mutants by a part of their file's name or their text; `--near` leaves the wider tests
out. Prints what killed each one, and the survivors; exits 1 if there are any.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).with_suffix(".yaml")
COPIED = ("hiergen", "tests", "taxonomies", "generated", "benchmarks", "docs", "pyproject.toml", "README.md")
PRELOADED = ("torch", "timm", "torchvision", "scipy.sparse", "sklearn.datasets", "networkx", "pydantic", "pytest")
LIMIT = 600  # seconds of one mutant's tests; one that hangs is noticed too


@dataclass(frozen=True)
class Mutant:
    """One replacement in `file`, and the tests that run on it, in this order."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str | None

    def applied(self, text: str) -> str:
        """The file's text with the mutation. Raises ValueError unless `old` occurs once."""
        if (count := text.count(self.old)) != 1 or self.old == self.new:
            raise ValueError(f"{self.file}: occurs {count} times: {self.old}")
        return text.replace(self.old, self.new)


def mutants(*, wider: bool = True) -> Iterator[Mutant]:
    """All of mutants.yaml."""
    for file, entry in yaml.safe_load(DATA.read_text("utf-8")).items():
        for mutant in entry["mutants"]:
            tests = (*entry["near"], *(entry.get("wider", ()) if wider else ()))
            yield Mutant(file, mutant["old"], mutant["new"], tests, mutant.get("equivalent"))


def main() -> None:
    """Run them, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    chosen = [
        m
        for m in mutants(wider=not asked.near)
        if not asked.words or any(w in f"{m.file}\n{m.old}" for w in asked.words)
    ]
    for mutant in chosen:  # before anything runs
        mutant.applied((ROOT / mutant.file).read_text("utf-8"))
        for test in " ".join(mutant.tests).split():
            (ROOT / test).stat()
    equivalent = [m for m in chosen if m.equivalent]
    if asked.list:
        for mutant in chosen:
            print(f"{mutant.file}\n- {mutant.old}\n+ {mutant.new}\n")
    else:
        survivors = tested([m for m in chosen if not m.equivalent])
        for mutant in survivors:
            print(f"SURVIVED {mutant.file}\n- {mutant.old}\n+ {mutant.new}\n")
        killed = len(chosen) - len(equivalent) - len(survivors)
        print(f"{len(chosen)} mutants: {killed} killed, {len(equivalent)} equivalent, {len(survivors)} survived")
        raise SystemExit(1 if survivors else 0)
    print(f"{len(chosen)} mutants, {len(equivalent)} of them equivalent")


def tested(chosen: list[Mutant]) -> list[Mutant]:
    """The survivors."""
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
    sys.dont_write_bytecode = True
    for name in PRELOADED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)  # a pool of threads does not survive a fork
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            source, target = ROOT / name, copy / name
            shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(source, target)
        os.environ["PYTHONPATH"] = folder  # for tests that start processes of their own
        for test in sorted({test for mutant in chosen for test in mutant.tests}):
            if not _passes(test, copy, loud=True):
                raise SystemExit(f"{test} fails without any mutant")
        for number, mutant in enumerate(chosen, 1):
            start, path = time.monotonic(), copy / mutant.file
            text = path.read_text("utf-8")
            path.write_text(mutant.applied(text), "utf-8")
            killer = next((test for test in mutant.tests if not _passes(test, copy)), None)
            path.write_text(text, "utf-8")
            if killer is None:
                survivors.append(mutant)
            said = f"killed by {killer}" if killer else "SURVIVED"
            line = mutant.new.strip().splitlines()[0] if mutant.new.strip() else f"without {mutant.old.strip()}"
            print(
                f"{number}/{len(chosen)} {time.monotonic() - start:.0f} s {mutant.file}: {line[:70]}: {said}",
                flush=True,
            )
    return survivors


def _passes(test: str, copy: Path, *, loud: bool = False) -> bool:
    """Whether pytest ends well in a child that has imported what does not change."""
    child = os.fork()
    if not child:
        signal.alarm(LIMIT)
        os.setsid()
        if not loud:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
        os.chdir(copy)
        sys.path[:] = [str(copy), *(p for p in sys.path if Path(p or ".").resolve() not in (ROOT, ROOT / "benchmarks"))]
        code = 1
        try:
            options = [
                "-x",
                "-q",
                "-n0",
                "-p",
                "no:cacheprovider",
                "--tb=no",
                "-W",
                "ignore::pytest.PytestAssertRewriteWarning",
            ]
            code = int(sys.modules["pytest"].main([*options, *test.split()]))
        except BaseException:  # noqa: BLE001 -- shown; the parent reads the code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 5:
        raise RuntimeError(f"pytest {test} ran no test")
    return code == 0


if __name__ == "__main__":
    main()
