"""Text from outside (names, paths, what servers say) on a terminal: shown, never obeyed.

A terminal obeys control characters (ESC and the C1 block move the cursor, retitle the window, write to the clipboard),
and format characters (bidirectional overrides, zero-width letters) make a name look like another one.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
import unicodedata
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hiergen.errors import each_letter

if TYPE_CHECKING:
    from rich.table import Table

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_COLOUR = re.compile(r"(\x1b\[[0-9;]{0,30}m)")  # what rich and typer write themselves
_BREAKS = str.maketrans("", "", "\n\t")


def shown(text: str) -> str:
    r"""The text with what a terminal would obey, or not show, as escapes; line breaks and tabs stay.

    >>> shown("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.translate(_BREAKS).isprintable():
        return text
    return each_letter(text, lambda c: c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else _escape(c))


def one_line(text: object) -> str:
    """As `shown`, with line breaks and tabs as escapes too: a name cannot begin a line of its own."""
    return shown(str(text)).replace("\n", r"\n").replace("\t", r"\t")


def as_json(data: Any, indent: int | None = None) -> str:
    """JSON in which letters of all scripts stay as they are, and what a terminal would obey is written `\\u001b`.
    NaN and infinite numbers, which JSON does not have, are null."""
    options: dict[str, Any] = {"indent": indent, "ensure_ascii": False, "allow_nan": False}
    try:
        text = json.dumps(data, **options)
    except ValueError:
        text = json.dumps(_finite(data), **options)
    if text.translate(_BREAKS).isprintable():
        return text
    # outside of texts JSON has no such characters
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in _HIDDEN else json.dumps(c, ensure_ascii=True)[1:-1]
        for c in text
    )


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def command(words: Iterable[object]) -> str:
    """A command to copy, in quotes where it has none of its own: each word is one word to a POSIX shell, whatever is in
    it.

    >>> command(["hiergen", "build", "a.yaml"]), command(["hiergen", "build", "a;b.yaml"])
    ("'hiergen build a.yaml'", "hiergen build 'a;b.yaml'")
    """
    line = one_line(shlex.join(map(str, words)))
    return line if "'" in line else f"'{line}'"


class _Guarded:
    """A stream whose text is `shown`, but for colours, which typer's help has."""

    def __init__(self, stream: TextIO) -> None:
        self.under = stream

    def write(self, text: str) -> int:
        parts = _COLOUR.split(text) if "\x1b" in text else [text]
        self.under.write("".join(part if i % 2 else shown(part) for i, part in enumerate(parts)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.under, name)


def bare(stream: TextIO) -> TextIO:
    """The stream under a guarded one."""
    return stream.under if isinstance(stream, _Guarded) else stream


@contextmanager
def guarded() -> Iterator[None]:
    """In the block nothing that is printed reaches the terminal as a command."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", _Guarded(bare(stream))) for stream in (out, err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def _escape(c: str) -> str:
    return c.encode("unicode_escape").decode()


class PlainConsole(Console):
    """A rich console that shows all text as it is: no markup, no emoji codes, no escape sequences but its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Its segments, cleaned; those that only steer the terminal are rich's own."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable() or (plain := shown(text)) == text:
                yield segment
            else:
                yield Segment(plain, segment.style)


def notebook_console() -> Console | None:
    """A console of the notebook that this runs in; None outside of one."""
    made = PlainConsole()
    return made if made.is_jupyter else None


def console(*, stderr: bool = False) -> Console:
    """A console on standard output; pipes and logs are 200 columns wide."""
    stream = bare(sys.stderr if stderr else sys.stdout)
    made = PlainConsole(file=stream)
    return made if made.is_terminal else PlainConsole(file=stream, width=200)


def say(console: Console | None, text: str, *, style: str | None = None) -> None:
    """A line of text as it is, however long; nothing where there is no console."""
    if console is not None:
        console.print(text, markup=False, soft_wrap=True, style=style)


def plain_table(heads: Iterable[str], left: Container[str] = ("",)) -> Table:
    """An empty table without lines; columns are aligned to the right, but for those called as `left` says."""
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if head in left else "right")
    return table


def giga(macs: float) -> str:
    """MACs in GMACs: three decimals, and below 0.1 three digits, of at most six decimals.

    >>> giga(4_089_000_000), giga(4_583_210), giga(90)
    ('4.089', '0.00458', '0.000000')
    """
    value = macs / 1e9
    leading = -math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{min(max(3, leading + 2), 6)}f}"
