"""Standard output that cannot be written (a full disk behind it) as one sentence, and one that is not there as none."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hiergen.errors import OutputError
from hiergen.files import reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Raw(io.FileIO):
    """After its first error it takes everything: what is left in buffers is not told of again."""

    def __init__(self, handle: int) -> None:
        super().__init__(handle, "w", closefd=False)
        self._lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            if not self._lost:
                return super().write(data)
        except BrokenPipeError:  # the reader (head, less) has seen enough
            self._lost = True
            raise
        except OSError as error:
            self._lost = True
            raise OutputError(f"cannot be written ({reason(error)})", place="standard output") from None
        return len(memoryview(data).cast("B"))


@contextmanager
def printing() -> Iterator[Callable[[], None]]:
    """Gives a function to be called at the end, which raises OutputError for what is still to be written."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, "w")))
    before, own = sys.stdout, sys.__stdout__
    if own is None or before is not own:  # somebody else's
        yield before.flush
        return
    made = io.TextIOWrapper(
        io.BufferedWriter(_Raw(own.fileno())),
        encoding=own.encoding,
        errors="backslashreplace" if own.errors == "strict" else own.errors,
        line_buffering=own.line_buffering,
    )
    sys.stdout = made
    try:
        yield made.flush
    finally:
        sys.stdout = before
