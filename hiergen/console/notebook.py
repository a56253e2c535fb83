"""What a notebook shows of a value: plain HTML without a style of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def tree_html(title: str, groups: Iterable[tuple[int, str, Sequence[str]]]) -> str:
    """Groups (depth from 0, name, names of the classes directly in it), each before those below it, to fold open.

    >>> tree_html("2 classes", [(0, "cat", ["tabby", "Siamese"])])
    '<b>2 classes</b><details style="margin-left:1em"><summary>cat</summary>tabby, Siamese</details>'
    """
    parts, depth = [f"<b>{escape(title)}</b>"], 0
    for level, name, classes in groups:
        parts += ["</details>"] * (depth - level)
        parts.append(f'<details style="margin-left:1em"><summary>{escape(name)}</summary>{escape(", ".join(classes))}')
        depth = level + 1
    return "".join([*parts, *["</details>"] * depth])


def table_html(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a heading; numbers are already text."""
    lines = [("th", heads), *(("td", row) for row in rows)]
    cells = ("".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in line) for tag, line in lines)
    return f"<b>{escape(title)}</b><table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
