"""What all tests share: taxonomy files in a fresh folder, the real data, the command line in-process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy networks are fastest so; before torch is imported

from hiergen import cli
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

Write = Callable[..., Path]
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs in several processes; files and tests named on the command line in this one."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return (os.cpu_count() or 1) if whole else 0


@dataclass(frozen=True)
class Ran:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text to a file (default: t.yaml) in a fresh folder."""

    def written(text: str | bytes, name: str = "t.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


@pytest.fixture
def load(write: Write) -> Callable[[str], Taxonomy]:
    """A taxonomy from the text of its file."""
    return lambda text: load_taxonomy(write(text))


@pytest.fixture
def shared_data() -> Path:
    """The folder ../shared/data; skips the test where it is not there."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}")
    return SHARED


@pytest.fixture
def hiergen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the real command line in this process."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["hiergen", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run
