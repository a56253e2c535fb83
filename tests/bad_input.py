"""Wrong input through the real command line: one sentence, exit code 2, nothing written; each beside a good twin."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from conftest import Ran

Run = Callable[..., Ran]
LONGEST = 600
CLASSES = "[tabby.n.01, tiger_cat.n.02, beagle.n.01, toucan.n.01]"
LONG = "x" * 10_000


def spec(extra: str = "", *, name: str = "t", classes: str = CLASSES, models: str = "{PHL: {}}") -> str:
    """A taxonomy file: `name` in line 1, `classes` in line 2, `models` in line 3, then what is extra."""
    return f"name: {name}\nclasses: {classes}\nmodels: {models}\n{extra}\n"


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def check_refused(ran: Ran, file: str, line: int, *words: str) -> None:
    """One sentence that names the file, the line (0: none) and these words."""
    assert ran.code == 2, ran
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.endswith("\n")
    assert len(ran.err) <= LONGEST, len(ran.err)
    assert "Traceback" not in ran.err
    assert all(c.isprintable() or c == "\n" for c in ran.err)
    assert re.search(rf"{re.escape(file)}:{line}\b" if line else re.escape(file), ran.err), ran.err
    for word in words:
        assert word in ran.err, ran.err


def check_twins(bad: str | bytes, good: str, line: int, words: str, here: Path, hiergen: Run) -> None:
    """Building `bad` is refused with words that `|` separates and writes nothing; its near twin is built.

    `here` is an empty folder, and the current one.
    """
    for name in ("images/cat", "images/dog", "images/toucan", "hollow"):
        (here / name).mkdir(parents=True)
    (here / "t.yaml").write_bytes(bad.encode() if isinstance(bad, str) else bad)
    before = listing(here)
    check_refused(hiergen("build", "t.yaml"), "t.yaml", line, *words.split("|"))
    assert listing(here) == before
    (here / "t.yaml").write_text(good, "utf-8")
    ran = hiergen("build", "t.yaml")
    assert (ran.code, ran.err) == (0, "")
    (source,) = (here / "generated").iterdir()
    compile(source.read_text("utf-8"), str(source), "exec")
