"""docs/licences.md is in step with pyproject.toml, and what it marks is what it should."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import licences


def rows() -> dict[str, list[str]]:
    """Package → version, licence, needed by."""
    lines = Path(licences.PAGE).read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][2:]
    return {cell[0]: cell[1:] for cell in cells}


def test_every_package_that_pyproject_names_is_listed() -> None:
    found, direct = rows(), licences.direct()
    assert direct.items() <= {name: by for name, (_, _, by) in found.items()}.items()
    assert {name for name, (_, _, by) in found.items() if by.startswith("hiergen")} == set(direct)
    assert all(said and re.fullmatch(r"[0-9][0-9a-z.]*", version) for version, said, _ in found.values())


def test_copyleft_is_marked() -> None:
    marked = {name for name, (_, said, _) in rows().items() if "(copyleft)" in said}
    assert marked == {"python-flint", "tqdm"}, "say in benchmarks/licences.py what the new one asks for"
    for said, mark in (("LGPL-3.0-or-later", True), ("MPL-2.0 AND MIT", True), ("BSD License", False), ("MIT", False)):
        assert bool(licences._COPYLEFT.search(said)) is mark
    head = licences.HEAD
    assert all(f"**{name}**" in head for name in marked)
