"""The typer app, its exit codes and what the commands share."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from hiergen._version import __version__
from hiergen.errors import HiergenError, OutputError, quoted
from hiergen.files import reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console


class Exit(IntEnum):
    DONE = 0
    DRIFT = 1
    BAD_INPUT = 2
    INTERRUPTED = 130  # as shells have it after Ctrl-C
    UNREAD = 141  # and after SIGPIPE


app = typer.Typer(
    name="hiergen",
    help="Class taxonomies in, networks with separate features per class and superclass out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_BAD_PATHS = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP}
TaxonomyFile = Annotated[Path, typer.Argument(help="A taxonomy file, such as taxonomies/imagenet100.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def main() -> None:
    """Entry point: our sentence and exit code 2 for wrong input, a traceback for our own bugs."""
    from hiergen.console.terminal import guarded

    try:
        with printing() as flush, guarded():
            _main(flush)
    except ReaderGone:  # not 1, which is drift
        sys.exit(Exit.UNREAD)


def _main(flush: Callable[[], None]) -> None:
    from hiergen.console.terminal import one_line

    try:
        try:
            app()
        finally:
            flush()
    except HiergenError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(Exit.BAD_INPUT)
    except OSError as error:
        # even asking whether there is such a file fails
        if error.errno not in _BAD_PATHS or not isinstance(error.filename, str):
            raise
        place = quoted(Path(error.filename))[1:-1]
        print(f"error: {one_line(place)}: is no path to use ({reason(error)})", file=sys.stderr)
        sys.exit(Exit.BAD_INPUT)


def console(*, stderr: bool = False) -> Console:
    """A rich console on which text from outside is shown, never obeyed; pipes and logs are 200 columns wide."""
    from hiergen.console.terminal import console

    return console(stderr=stderr)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hiergen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


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


def _watched(stream: TextIO, wrapper: io.TextIOWrapper | None, name: str | None) -> TextIO:
    if wrapper is None or stream is not wrapper:  # somebody else's
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Raw(wrapper.fileno(), name)),
        encoding=wrapper.encoding,
        errors="backslashreplace" if wrapper.errors == "strict" else wrapper.errors,
        line_buffering=wrapper.line_buffering or wrapper.write_through,  # PYTHONUNBUFFERED
    )
