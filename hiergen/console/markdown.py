"""Markdown in which text from outside is shown as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hiergen.errors import printable


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: object) -> str:
    """A text as one line that is shown as it is; what is not printable as its escape.

    >>> escaped("<script>|*x*")
    '&lt;script&gt;\\\\|\\\\*x\\\\*'
    """
    plain = printable(str(text))
    plain = re.sub(r"[\\`*_\[\]|~$]", lambda mark: f"\\{mark[0]}", plain)
    plain = re.sub(r"[&<>]", lambda mark: _ENTITIES[mark[0]], plain)
    # GitHub makes links of these
    return plain.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


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
