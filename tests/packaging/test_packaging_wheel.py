"""The wheel has all that a user needs and nothing else, and works without the source tree."""

from __future__ import annotations

import email
import email.message
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import hiergen

pytest.importorskip("hatchling", reason="hatchling builds the wheel")
ROOT = Path(__file__).parents[2]
NEEDED = (
    "py.typed",
    "codegen/templates/module.py.j2",
    "assets/classes/imagenet100.txt",
    "assets/classes/imagenet1k.txt",
    "assets/superclass_ties.txt",
    "assets/trunks.json.gz",
    "assets/wordnet/LICENSE",
    "assets/wordnet/nouns.zip",
    "views/explore/page/main.js",
    "views/explore/page/page.css",
    "views/explore/vendor/d3-hierarchy.min.js",
    "views/explore/vendor/d3-hierarchy.LICENSE",
    "training/recipes/quick.yaml",
)
SUFFIXES = set(".py .pyi .typed .txt .gz .zip .md .js .css .html .yaml .json .j2 .LICENSE".split()) | {""}  # noqa: SIM905
LARGEST = 8_000_000  # bytes; WordNet's nouns are 6 of them


def _build(root: Path, out: Path, *targets: str) -> list[Path]:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    for target in targets:
        command += ["-t", target]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(out.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist of this tree."""
    wheel, sdist = _build(ROOT, tmp_path_factory.mktemp("dist"), "wheel", "sdist")
    return wheel, sdist


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked as pip does, where nobody may write."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(folder)
    return folder


def _metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_package_as_git_has_it(built: tuple[Path, Path]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "hiergen"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("no git repository")
    tracked = {name: ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    for file in (ROOT / "taxonomies").glob("*.yaml"):
        tracked[f"hiergen/assets/taxonomies/{file.name}"] = file
    with zipfile.ZipFile(built[0]) as wheel:
        names = {n for n in wheel.namelist() if not n.startswith(f"hiergen-{hiergen.__version__}.dist-info/")}
        assert names == set(tracked)
        for name in names:
            assert wheel.read(name) == tracked[name].read_bytes(), name


def test_the_wheel_holds_what_runs_need_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = [PurePosixPath(n) for n in wheel.namelist()]
    inside = {str(n.relative_to("hiergen")) for n in names if n.parts[0] == "hiergen"}
    assert set(NEEDED) <= inside
    assert {n.parts[0] for n in names} == {"hiergen", f"hiergen-{hiergen.__version__}.dist-info"}
    assert not [n for n in inside if "__pycache__" in n or n.endswith(".pyc") or "test" in PurePosixPath(n).parts[0]]
    assert {PurePosixPath(n).suffix for n in inside} <= SUFFIXES
    for name in inside:
        if name.startswith("views/explore/vendor/") and name.endswith(".js"):
            assert name.removesuffix(".min.js") + ".LICENSE" in inside
    assert built[0].stat().st_size < LARGEST


def test_the_metadata_say_what_the_project_says(built: tuple[Path, Path]) -> None:
    found = _metadata(built[0])
    assert (found["Name"], found["Version"]) == ("hiergen", hiergen.__version__)
    assert found["License-Expression"] == "Apache-2.0"
    assert "hiergen/assets/wordnet/LICENSE" in found.get_all("License-File", [])
    assert found["Requires-Python"] == ">=3.11"
    needed = [line for line in found.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert all(">=" in line for line in needed), "every dependency has a lower bound"
    with zipfile.ZipFile(built[0]) as wheel:
        entry = next(n for n in wheel.namelist() if n.endswith("entry_points.txt"))
        assert wheel.read(entry).decode().split() == ["[console_scripts]", "hiergen", "=", "hiergen.cli:main"]


def test_the_readme_of_the_metadata_stands_alone(built: tuple[Path, Path]) -> None:
    text = _metadata(built[0]).get_payload()
    assert isinstance(text, str)
    code = re.compile(r"^```.*?^```$", re.S | re.M)
    prose, blocks = code.sub("", text), code.findall(text)
    assert "# hiergen" in prose
    assert not re.search(r"!\[|<!--|\]\((?!https?://)", prose)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert blocks == code.findall(readme)
    assert len(prose) > 0.8 * len(code.sub("", readme)) - 1500


def test_an_sdist_gives_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    assert not list(tmp_path.rglob("*.pyc"))
    (again,) = _build(tmp_path / f"hiergen-{hiergen.__version__}", tmp_path / "dist", "wheel")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(built[0].read_bytes()).digest()


SPEC = """\
name: pets
classes: [n02123045, n02123394, n02085620, n02088364]
sources: [{groups: {cat: [cat.n.01]}}, wordnet]
models:
  PHL: {trunk: {backbone: test_resnet, until: layer1}, input_size: 32, branches: [[{width: 4, out: 8}]]}
"""
SCRIPT = """\
import json, sys
import hiergen
from hiergen.codegen.build import build
built = build("pets.yaml", "pets.py")
network = hiergen.load_network("pets.py:PHL")
from hiergen.cli import main
for argv in (["validate", "pets.yaml"], ["explore", "pets.yaml", "-o", "page.html"], ["train", "--recipes"]):
    sys.argv = ["hiergen", *argv]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
print(json.dumps([hiergen.__file__, built.plans[0].params, network.num_classes]))
"""


def test_an_unpacked_wheel_works_without_the_source_tree_and_writes_nothing_beside(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "pets.yaml").write_text(SPEC, "utf-8")
    before = sorted(str(p) for p in installed.rglob("*"))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    # an editable install adds the source tree to the path: the wheel stands before it
    env |= {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    where, params, classes = json.loads(done.stdout.splitlines()[-1])
    assert Path(where).is_relative_to(installed)
    assert classes == 4
    assert params > 1000
    assert "tabby" in (tmp_path / "page.html").read_text("utf-8")
    assert sorted(str(p) for p in installed.rglob("*")) == before
