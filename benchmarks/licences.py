"""The licences of what hiergen is installed with, as their packages state them: python benchmarks/licences.py

Writes docs/licences.md: the packages that pyproject.toml names, those of its extras that users install, and all that
these need, as they are installed here. Licences with a duty to pass on source (copyleft) are marked.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hiergen.files import write_text

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
EXTRAS = ("export", "llm", "viz")
_COPYLEFT = re.compile(r"\b(?:A|L)?GPL|\bMPL|\bEPL|\bCDDL|Mozilla|GNU|\bEUPL", flags=re.IGNORECASE)
HEAD = """# Licences of the packages that hiergen needs

Written by `python benchmarks/licences.py` from what the installed packages say of themselves; versions are those of
that day. hiergen itself is under Apache-2.0, the WordNet that it carries under WordNet's own licence
(`hiergen/assets/wordnet/LICENSE`), and the parts of d3 in its explorer under ISC (`hiergen/views/explore/vendor`).

What is marked *copyleft* asks for something where it is passed on. None of it does where hiergen is installed from its
own package, which holds no code of theirs:

- **python-flint**: its wheels hold FLINT, GMP and MPFR under LGPL-3.0-or-later. They are libraries of their own, loaded
  at run time; who bundles them into a program must let its users replace them. Only `hiergen count-partitions` and
  what compares nestings use it.
- **tqdm** is under MPL-2.0 in part: changed files of its stay under it.

torch as PyPI has it for Linux brings NVIDIA's CUDA libraries, which are *proprietary*: free to use, and passed on only
under NVIDIA's terms. torch for CPUs comes without them. Where a package does not state its licence in its metadata, its
own pages do.
"""


def direct(extras: tuple[str, ...] = EXTRAS) -> dict[str, str]:
    """The packages that pyproject.toml names → "hiergen" or "hiergen[extra]"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = {canonicalize_name(Requirement(line).name): "hiergen" for line in project["dependencies"]}
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            found.setdefault(canonicalize_name(Requirement(line).name), f"hiergen[{extra}]")
    return found


def needed(start: dict[str, str]) -> dict[str, list[str]]:
    """Package → who needs it, for all that is installed of what these need."""
    found = {name: [by] for name, by in start.items()}
    waiting = list(found)
    while waiting:
        name = waiting.pop()
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for requirement in map(Requirement, lines):
            other = canonicalize_name(requirement.name)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if other not in found:
                found[other] = []
                waiting.append(other)
            if name not in found[other] and other not in start:
                found[other].append(name)
    return found


def licence(name: str) -> str:
    """As the package's metadata says: an expression, else classifiers, else the first line of its text."""
    said = distribution(name).metadata
    if expression := said.get("License-Expression"):
        return str(expression)
    kinds = [c.rpartition(" :: ")[2] for c in said.get_all("Classifier", []) if c.startswith("License ::")]
    kinds = [kind for kind in kinds if kind != "OSI Approved"]
    return ", ".join(kinds) or (said.get("License") or "not stated").strip().splitlines()[0][:80]


def page() -> str:
    """docs/licences.md."""
    lines = [HEAD, "| package | version | licence | needed by |", "| --- | --- | --- | --- |"]
    for name, by in sorted(needed(direct()).items()):
        try:
            version = distribution(name).version
        except PackageNotFoundError:
            continue
        said = licence(name)
        mark = " *(copyleft)*" if _COPYLEFT.search(said) else " *(proprietary)*" if "nvidia" in said.lower() else ""
        lines.append(f"| {name} | {version} | {said.replace('|', '/')}{mark} | {', '.join(sorted(by))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    write_text(PAGE, page())
    print(f"→ {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
