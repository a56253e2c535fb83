"""What never waits for torch, in one process: each command ends well, and torch is not imported after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran

ROOT = Path(__file__).parents[2]
NESTED, BUILT = str(ROOT / "taxonomies/imagenette.yaml"), str(ROOT / "generated/imagenet100.py")
COMMANDS = (
    *("--help", "cutout --help", "convert --help", "train --help"),
    *(f"show {NESTED}", f"validate {NESTED}", f"build {NESTED} --out built", "show new.yaml"),
    *("show ms.yaml", "validate ms.yaml"),
    *(f"suggest {NESTED} --by random --groups 2,4 -o 1.yaml", f"suggest {NESTED} --groups 2,4 -o 2.yaml"),
    *(f"cue dog {NESTED}", "cue meow", f"cue meow {ROOT}/generated/imagenet1k.py", f"count-partitions {NESTED}"),
    *("count-partitions 1.yaml 2.yaml --json", f"count-partitions {BUILT}:N3HL {BUILT}:N4HL"),
    *(
        "import t.nwk -o t.yaml",
        "export t.yaml:N2HL -o t.graphml",
        f"draw {NESTED} -o d.svg",
        f"explore {NESTED} -o p.html",
    ),
)
CODE = """
import contextlib, io, json, sys
from hiergen import cli
for line in json.loads(sys.argv[1]):
    sys.argv = ["hiergen", *line.split()]
    out, code = io.StringIO(), 0
    with contextlib.redirect_stdout(out):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    slow = sorted({"torch", "timm"} & {*sys.modules})
    print(json.dumps([line, code, slow, out.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str], str]]:
    """By command: its exit code, the slow modules that are there after it, and what it printed."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "t.nwk").write_text("((a,b)x,(c,d)y);")
    models = "models: {N2HL: {trunk: {backbone: resnet10t}}}"  # never measured
    (folder / "new.yaml").write_text(f"name: t\nclasses: imagenette\n{models}\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    (folder / "ms.yaml").write_text("name: t\nclasses: imagenette\nmodels: {N2HL: {budget: {ms: 9}}}\n")
    words = [sys.executable, "-c", CODE, json.dumps(COMMANDS)]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {line: (code, slow, out) for line, code, slow, out in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_never_imports_torch(line: str, ran: dict[str, tuple[int, list[str], str]]) -> None:
    code, slow, _ = ran[line]
    assert (code, slow) == (0, [])


def test_a_backbone_never_measured_is_said(ran: dict[str, tuple[int, list[str], str]]) -> None:
    assert "backbone not measured yet; run 'hiergen build" in ran["show new.yaml"][2]
    assert "budget not measured yet; run 'hiergen build" in ran["show ms.yaml"][2]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("build", "t.yaml", "-o", ""), "-o"),
        (("cutout", "net", "--classes", "dog", "--out="), "--out"),
        (("train", ""), "an argument"),
        (("eval", "net", "--data", "", "--json"), "--data"),
    ],
)
def test_an_empty_word_is_refused(
    words: tuple[str, ...], what: str, hiergen: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-o "$OUT"` where a shell has no OUT would be this folder."""
    monkeypatch.chdir(tmp_path)
    ran = hiergen(*words)
    assert (ran.code, ran.err) == (2, f"error: {what} is empty; a shell's variable that is not set?\n")
    assert not any(tmp_path.iterdir())
