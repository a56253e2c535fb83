"""What hiergen raises for the user's input: one sentence, place → problem → expected/got → nearest or hint.

Anything that is not a `HiergenError` is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

_SHOWN = 80  # characters of a user's own text that a message repeats
_PATH = 300  # of a path, which may be in a command to copy

_SCRIPTS = "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
_EMOJI = "\u203c-\u2049\u2190-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030-\u303d\u3297-\u3299\U0001f000-\U0001faff"
# Joiners, seen by what they do to the letters of Arabic and Indic scripts, and to the parts of emoji.
JOINERS = re.compile(
    f"((?<=[{_SCRIPTS}])[\u200c\u200d](?=[{_SCRIPTS}])|(?<=[{_EMOJI}])\ufe0f|(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}]))"
)


class HiergenError(Exception):
    """Base of all errors that are about the input, not about hiergen.

    `place` says where ("taxonomies/a.yaml:12"), `problem` what; `expected`, `got`, `nearest` and `hint` are
    appended when given. `str(error)` is the whole message. `code` is the check it belongs to (taxonomy.checks).
    """

    def __init__(
        self,
        problem: str,
        *,
        place: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        nearest: Iterable[str] = (),
        hint: str | None = None,
        code: str = "E001",
    ) -> None:
        self.problem = problem
        self.place = place
        self.expected = expected
        self.got = got
        self.nearest = tuple(nearest)
        self.hint = hint
        self.code = code
        super().__init__(problem)

    def at(self, place: str) -> HiergenError:
        """Fill in the place where it is still unknown (the public boundary knows the file)."""
        if self.place is None:
            self.place = place
        return self

    def __str__(self) -> str:
        text = f"{self.place}: {self.problem}" if self.place else self.problem
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.got is not None:
            text += f"{',' if self.expected is not None else ';'} got {self.got}"
        if self.nearest:
            text += f"; nearest: {', '.join(self.nearest)}"
        if self.hint is not None:
            text += f"; {self.hint}"
        return text


class SpecError(HiergenError):
    """The taxonomy file cannot be read or says something that it may not."""


class TaxonomyError(HiergenError):
    """Names, classes, groups or sources that do not make a tree."""


class PlanError(HiergenError):
    """A backbone, stage, width or budget that cannot be."""


class OutputError(HiergenError):
    """A path that cannot be written."""


@contextmanager
def named_at(place: str) -> Iterator[None]:
    """An error in a file that the taxonomy file names starts with the line that names it."""
    try:
        yield
    except HiergenError as error:
        error.problem = f"{error.place}: {error.problem}" if error.place else error.problem
        error.place = place
        raise


def quoted(text: object) -> str:
    """A user's text in quotes, as `unquoted` has it."""
    return f"'{unquoted(text)}'"


def unquoted(text: object) -> str:
    """A user's text as one printable line: control and non-ASCII-safe characters escaped, shortened (of a path, the end
    is kept)."""
    shown, path = str(text), isinstance(text, PurePath)
    if len(shown) > (limit := _PATH if path else _SHOWN):
        shown = f"…{shown[1 - limit :]}" if path else f"{shown[: limit - 1]}…"
    return printable(shown)


def printable(text: str) -> str:
    """The text as one line: what does not print as its escape."""
    return each_letter(text, lambda c: c if c.isprintable() else c.encode("unicode_escape").decode())


def each_letter(text: str, write: Callable[[str], str]) -> str:
    """The text with each character as `write` gives it, but for joiners, which stay."""
    return "".join(part if number % 2 else "".join(map(write, part)) for number, part in enumerate(JOINERS.split(text)))


def listed(items: Iterable[object], limit: int = 5) -> str:
    """`'a', 'b' and 7 more`."""
    all_items = list(items)
    head = ", ".join(quoted(item) for item in all_items[:limit])
    rest = len(all_items) - limit
    return f"{head} and {rest} more" if rest > 0 else head


def nearest(name: str, names: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The names closest to a misspelt one, best first."""
    return tuple(difflib.get_close_matches(name[:200], list(names), n=count, cutoff=0.6))
