"""The smoke test and a part of the tests against the oldest and newest dependencies that pyproject.toml allows.

    python benchmarks/matrix.py [--rows ROW,ROW] [--python PYTHON] [--work FOLDER] [--against JSON] [--no-tests]

Each row is a fresh virtual environment with the wheel, built once from this tree, and the versions that uv resolves;
the smoke's values are compared with those of the first row that ran. The tests run in a copy without the package, so
that they import the wheel. Environments are deleted after use; packages are cached in FOLDER/uv and linked, so that a
row takes little disk. Needs `pip install uv build hatchling`, and a network.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("tests", "taxonomies", "generated", "benchmarks", "docs", "pyproject.toml", "README.md")
SHOWN = ("torch", "timm", "pydantic", "networkx", "numpy", "scipy", "scikit-learn", "typer", "click", "rich")
TOOLS = ("pytest>=8", "pytest-xdist", "hypothesis", "jsonschema")
TESTS = (
    *("tests/taxonomy", "tests/lookup", "tests/planning", "tests/codegen/test_codegen.py"),
    *("tests/models/test_weights.py", "tests/models/test_checkpoint.py", "tests/nn/test_siblings.py"),
    *("tests/nn/test_cutout.py", "tests/nn/test_norm.py"),
)


@dataclass(frozen=True)
class Row:
    """`lowest`: all direct dependencies at their lower bounds. `but`: packages at the other end."""

    name: str
    lowest: bool
    but: tuple[str, ...] = ()


ROWS = (
    Row("all newest", False),
    Row("all oldest", True),
    Row("oldest torch", False, ("torch",)),
    Row("newest torch", True, ("torch",)),
    Row("oldest pydantic", False, ("pydantic",)),
    Row("oldest networkx", False, ("networkx",)),
    Row("oldest timm", False, ("timm",)),
)


def main() -> None:
    """Run the rows and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help="names with commas (default: all)")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--work", type=Path, default=Path("build/matrix"))
    parser.add_argument("--against", type=Path, help="values of an earlier run (default: those of the first row)")
    parser.add_argument("--tests", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    chosen = [row for row in ROWS if asked.rows is None or row.name in asked.rows.split(",")]
    wheel = built(work)
    reference: Path | None = asked.against
    lines = [f"| row | {' | '.join(SHOWN)} | smoke | tests | min |", "|" + "---|" * (len(SHOWN) + 4)]
    for row in chosen:
        start = time.monotonic()
        values = work / f"{row.name.replace(' ', '-')}.json"
        found, smoke, tests = run(row, wheel, work, asked.python, values, reference, asked.tests)
        reference = reference or values
        shown = [found.get(name, "–") for name in SHOWN]
        lines.append(
            f"| {row.name} | {' | '.join(shown)} | {smoke} | {tests} | {(time.monotonic() - start) / 60:.0f} |"
        )
        print(lines[-1], flush=True)
    (work / "table.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


def built(work: Path) -> Path:
    """The wheel of this tree."""
    shutil.rmtree(work / "wheel", ignore_errors=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work / "wheel"), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next((work / "wheel").glob("*.whl"))


def run(
    row: Row, wheel: Path, work: Path, python: str, values: Path, reference: Path | None, tests: bool
) -> tuple[dict[str, str], str, str]:
    """Versions by package, and what the smoke and the tests said."""
    venv, log = work / "venv", work / f"{row.name.replace(' ', '-')}.log"
    shutil.rmtree(venv, ignore_errors=True)
    try:
        _uv(work, "venv", "--python", python, str(venv))
        pins = resolved(row, work, python)
        _uv(work, "pip", "install", "--python", str(venv / "bin/python"), "-r", str(pins), str(wheel), *TOOLS)
        told = _uv(work, "pip", "list", "--python", str(venv / "bin/python"), "--format", "json")
        found = {package["name"].lower(): package["version"] for package in json.loads(told)}
        command = [str(venv / "bin/python"), str(ROOT / "benchmarks/smoke.py"), "--fork", "--out", str(values)]
        command += ["--against", str(reference)] if reference else []
        smoke = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        said = tested(venv, work) if tests else ""
        log.write_text(f"{smoke.stdout}\n{smoke.stderr}\n{said}", "utf-8")
        short = re.search(r"\d+ problems", smoke.stdout)
        last = said.strip().splitlines()[-1] if said else "–"
        return found, "ok" if not smoke.returncode else short[0] if short else "died", last.strip("= ")
    finally:
        shutil.rmtree(venv, ignore_errors=True)


def resolved(row: Row, work: Path, python: str) -> Path:
    """A file of pinned versions."""
    pins, forced = work / "pins.txt", work / "forced.txt"
    forced.write_text("".join(f"{name}=={_end(name, not row.lowest, work, python)}\n" for name in row.but), "utf-8")
    way = "lowest-direct" if row.lowest else "highest"
    _compile(work, python, way, pins, "--constraint", str(forced))
    return pins


def _end(package: str, lowest: bool, work: Path, python: str) -> str:
    """The lowest version of a direct dependency that its bound allows, or the newest."""
    pins = work / "end.txt"
    _compile(work, python, "lowest-direct" if lowest else "highest", pins)
    found = re.search(rf"^{re.escape(package)}==(\S+)", pins.read_text("utf-8"), re.M)
    if found is None:
        raise SystemExit(f"{package} is no dependency")
    return found[1]


def _compile(work: Path, python: str, way: str, pins: Path, *more: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    source = work / "declared.in"
    source.write_text("\n".join(declared), "utf-8")
    options = ["-q", "--no-header", "--no-annotate", "--resolution", way, "--python", python, *more]
    pins.unlink(missing_ok=True)
    _uv(work, "pip", "compile", *options, "-o", str(pins), str(source))


def tested(venv: Path, work: Path) -> str:
    """What pytest said of `TESTS`, run on the installed wheel in a copy of the tree without the package."""
    copy = work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for name in COPIED:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target, ignore=ignored) if (ROOT / name).is_dir() else shutil.copy(
            ROOT / name, target
        )
    # warnings of other people's old packages are theirs
    argv = [str(venv / "bin/python"), "-m", "pytest", "-p", "no:cacheprovider", "-o", "filterwarnings=", "--no-header"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*argv, "--tb=short", "-W", "ignore", *TESTS], cwd=copy, env=env, capture_output=True, text=True, check=False
    )
    shutil.rmtree(copy, ignore_errors=True)
    return done.stdout[-20_000:] + done.stderr[-2000:]


def _uv(work: Path, *arguments: str) -> str:
    env = {**os.environ, "UV_CACHE_DIR": str(work / "uv"), "UV_PYTHON_DOWNLOADS": "never", "UV_HTTP_TIMEOUT": "300"}
    done = subprocess.run(["uv", *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"uv {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
