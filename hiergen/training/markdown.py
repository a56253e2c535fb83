"""Markdown (GitHub's) from texts that may hold anything: no name becomes markup, a link or a second table cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: object) -> str:
    """A text as one line that is shown as it is; what is not printable as its escape.

    >>> escaped("<script>|*x*")
    '&lt;script&gt;\\\\|\\\\*x\\\\*'
    """
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    plain = re.sub(r"[\\`*_\[\]|~$]", lambda mark: f"\\{mark[0]}", plain)
    plain = re.sub(r"[&<>]", lambda mark: _ENTITIES[mark[0]], plain)
    # GitHub makes links of these
    return plain.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def writable(text: str) -> str:
    """The text with what UTF-8 cannot say (bytes of a file name that are no text) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def fenced(text: str, language: str = "") -> list[str]:
    """Lines of a code block that nothing in the text can close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.rstrip("\n").split("\n"), fence]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Lines of a table of cells that are Markdown already; the columns `right` are aligned to the right."""
    numbers = set(right)
    rule = ["---:" if i in numbers else "---" for i in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def from_rich(shown: Table) -> list[str]:
    """A table of the terminal as Markdown."""
    columns = [[escaped(cell) for cell in column.cells] for column in shown.columns]
    right = [i for i, column in enumerate(shown.columns) if column.justify == "right"]
    return table([escaped(column.header) for column in shown.columns], zip(*columns, strict=True), right=right)
