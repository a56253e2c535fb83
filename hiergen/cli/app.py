"""The typer app, its exit codes and what the commands share."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen import __version__
from hiergen.errors import HiergenError, quoted
from hiergen.files import reason

if TYPE_CHECKING:
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
    from hiergen.cli.stdout import ReaderGone, printing
    from hiergen.terminal import guarded

    try:
        with printing() as flush, guarded():
            _main(flush)
    except ReaderGone:  # not 1, which is drift
        sys.exit(Exit.UNREAD)


def _main(flush: Callable[[], None]) -> None:
    from hiergen.terminal import one_line

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
    from hiergen.plainconsole import console

    return console(stderr=stderr)


def _version(asked: bool) -> None:
    if asked:
        print(f"hiergen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...
