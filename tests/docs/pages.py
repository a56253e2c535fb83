"""The blocks of README and docs, and what is said about them in HTML comments.

    <!-- not run: REASON -->   the next block is not run; REASON begins with one of `REASONS`
    <!-- numbers vary -->      of the next block's output only the words are compared
    <!-- file: NAME -->        the next block is written to the file NAME (so is a block that begins with "# NAME.yaml")
    <!-- first: sh ... -->     lines that CI runs there and readers need not see (or "first: python")

Run are `sh` blocks (every command must end well), `console` blocks (commands after "$ ", each followed by its output)
and `python` blocks (one namespace for a page). A `text` block right after a `sh` block is its output. In outputs `…`
stands for anything, a line of it for any lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
REASONS = {
    "download": "fetches weights or data",
    "your files": "its files are the reader's own",
    "GPU": "wants a GPU",
    "minutes": "takes minutes or more",
    "server": "needs a server that answers",
    "set-up": "CI does this itself",
    "package": "needs a package that is no dependency of hiergen",
}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.S)


@dataclass(frozen=True)
class Block:
    """One block of a page. `kind` is sh, console, python or file; `name` is a file's; `output` is what must come."""

    page: str
    line: int
    kind: str
    text: str
    name: str = ""
    output: str | None = None
    not_run: str = ""
    vary: bool = False

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass
class _Marks:
    not_run: str = ""
    vary: bool = False
    file: str = ""
    first: list[tuple[str, str, int]] = field(default_factory=list)


def pages() -> list[str]:
    """README.md and all pages, by their paths in the repository."""
    return ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def blocks(page: str) -> list[Block]:
    """What of a page is run or written, in order, and what is marked as not run.

    Raises ValueError for an unknown mark.
    """
    return parse(page, (ROOT / page).read_text("utf-8"))


def parse(page: str, text: str) -> list[Block]:
    """As `blocks`, from the page's text."""
    found: list[Block] = []
    end, fences = 0, list(_FENCE.finditer(text))
    for at, fence in enumerate(fences):
        before, line = text[end : fence.start()], text[: fence.start()].count("\n") + 1
        marks = _marks(page, before, text[:end].count("\n") + 1)
        end = fence.end()
        found += [Block(page, where, kind, code) for kind, code, where in marks.first]
        language, code = fence[1], fence[2]
        name = marks.file or _file_name(language, code)
        if name:
            found.append(Block(page, line, "file", code, name=name))
        elif language in {"sh", "console", "python"}:
            if language == "console" and not code.startswith("$ "):
                raise ValueError(f"{page}:{line}: a console block begins with '$ '")
            output = _output_after(text, fences, at) if language == "sh" else None
            vary = marks.vary or (output is not None and _vary_between(text, fences, at))
            found.append(Block(page, line, language, code, output=output, not_run=marks.not_run, vary=vary))
        elif code.startswith("$ "):
            raise ValueError(f"{page}:{line}: commands stand in a block that nobody runs; expected ```console")
        elif marks.not_run:
            raise ValueError(f"{page}:{line}: 'not run' stands before a block that nobody would run")
    last = _marks(page, text[end:], text[:end].count("\n") + 1)
    return found + [Block(page, where, kind, code) for kind, code, where in last.first]


def _marks(page: str, between: str, line: int) -> _Marks:
    marks = _Marks()
    for comment in _COMMENT.finditer(between):
        said, where = comment[1], line + between[: comment.start()].count("\n")
        key, _, value = said.partition(":")
        if said == "numbers vary":
            marks.vary = True
        elif key == "not run" and value.strip():
            marks.not_run = value.strip()
        elif key == "file" and value.strip():
            marks.file = value.strip()
        elif key == "first" and (match := re.match(r"\s*(sh|python)\n", value)):
            marks.first.append((match[1], value[match.end() :] + "\n", where))
        else:
            raise ValueError(f"{page}:{where}: unknown mark {said!r}")
    return marks


def _file_name(language: str, code: str) -> str:
    match = re.match(r"# ([\w.-]+\.(?:yaml|yml|txt|csv))\n", code) if language in {"yaml", "text"} else None
    return match[1] if match else ""


def _output_after(text: str, fences: list[re.Match[str]], at: int) -> str | None:
    """The text block right after a sh block: its output."""
    if at + 1 == len(fences) or fences[at + 1][1] != "text":
        return None
    between = _COMMENT.sub("", text[fences[at].end() : fences[at + 1].start()])
    return fences[at + 1][2] if not between.strip() else None


def _vary_between(text: str, fences: list[re.Match[str]], at: int) -> bool:
    return "<!-- numbers vary -->" in text[fences[at].end() : fences[at + 1].start()]
