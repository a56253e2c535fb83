"""Standard output that cannot be written (a full disk behind it) as one sentence, and one that nobody reads as none."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from hiergen.errors import OutputError
from hiergen.files import reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReaderGone(BaseException):  # no error, and for `main` alone to catch: click would exit with 1
    """Who read what is printed (head, less) has seen enough."""


class _Raw(io.FileIO):
    """After its first error it takes everything: what is left in buffers is not told of again."""

    def __init__(self, handle: int, name: str | None) -> None:
        """Without a `name` nobody is told that it cannot be written, nor where a terminal is gone: work goes on."""
        super().__init__(handle, "w", closefd=False)
        self._called, self._lost = None if self.isatty() else name, False

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            if not self._lost:
                return super().write(data)
        except BrokenPipeError:
            self._lost = True
            raise ReaderGone from None
        except OSError as error:
            self._lost = True
            if self._called is not None:
                raise OutputError(f"cannot be written ({reason(error)})", place=self._called) from None
        return len(memoryview(data).cast("B"))


@contextmanager
def printing() -> Iterator[Callable[[], None]]:
    """Gives a function to be called at the end, which raises OutputError for what is still to be written.

    In the block, and from it, ReaderGone comes where nobody reads standard output or standard error any more.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, "w")))
    out, err = sys.stdout, sys.stderr
    sys.stdout = _watched(out, sys.__stdout__, "standard output")
    sys.stderr = _watched(err, sys.__stderr__, None)  # where would it be said?
    try:
        yield sys.stdout.flush
    finally:
        sys.stdout, sys.stderr = out, err


def _watched(stream: TextIO, own: io.TextIOWrapper | None, name: str | None) -> TextIO:
    if own is None or stream is not own:  # somebody else's
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Raw(own.fileno(), name)),
        encoding=own.encoding,
        errors="backslashreplace" if own.errors == "strict" else own.errors,
        line_buffering=own.line_buffering or own.write_through,  # PYTHONUNBUFFERED
    )
