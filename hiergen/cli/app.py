"""The typer app, its exit codes, and what commands share: options, and lists of numbers."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from hiergen._version import __version__
from hiergen.errors import HiergenError, OutputError, quoted, unquoted
from hiergen.files import reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console

    from hiergen.nn.network import HierarchicalNetwork


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
_SEVERAL = {"train", "eval"}  # what several processes do together
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
            _check_words(sys.argv[1:])
            app()
        finally:
            flush()
    except HiergenError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(Exit.BAD_INPUT)
    except Interrupted as stop:
        print(one_line(stop), file=sys.stderr)
        sys.exit(Exit.INTERRUPTED)
    except UnicodeEncodeError as error:
        # only of a file's name: all texts are written as UTF-8
        if sys.getfilesystemencoding().lower() in ("utf-8", "utf8") or error.encoding.lower() == "utf-8":
            raise
        name, encoding = one_line(unquoted(error.object)), error.encoding
        print(f"error: {name}: is no file name in this locale, of {encoding}; try PYTHONUTF8=1", file=sys.stderr)
        sys.exit(Exit.BAD_INPUT)
    except OSError as error:
        # even asking whether there is such a file fails
        if error.errno not in _BAD_PATHS or not isinstance(error.filename, str):
            raise
        place = unquoted(Path(error.filename))
        print(f"error: {one_line(place)}: is no path to use ({reason(error)})", file=sys.stderr)
        sys.exit(Exit.BAD_INPUT)


def _check_words(words: Sequence[str]) -> None:
    """Raise HiergenError for an empty word, which `-o "$OUT"` is where a shell has no OUT: as a path it is this
    folder."""
    for before, word in zip(("", *words), words, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else (before, "", word)
        if value or (word and not equals):
            continue
        what = option if option.startswith("-") else "an argument"
        raise HiergenError(f"{unquoted(what)} is empty", hint="a shell's variable that is not set?")


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
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is not None and context.invoked_subcommand not in _SEVERAL:
        one_process(context.invoked_subcommand)


def one_process(command: str) -> None:
    """Raises HiergenError where torchrun started several processes, each of which would do and print all of it; the
    first of them says so."""
    started, rank = (os.environ.get(name, "") for name in ("WORLD_SIZE", "LOCAL_RANK"))
    if not started.isdecimal() or int(started) < 2 or not rank.isdecimal():
        return
    if int(rank):
        raise typer.Exit(Exit.BAD_INPUT)
    raise HiergenError(
        f"'hiergen {command}' is one process's work", got=f"{started} processes", hint="run it without torchrun"
    )


class Interrupted(Exception):  # noqa: N818  it is no error
    """Ctrl-C or a signal ended the command; what to do next, in a sentence."""


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
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8"))
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
        # "surrogateescape", of the C locale, fails for other letters than ASCII's too
        errors="backslashreplace" if wrapper.errors in ("strict", "surrogateescape") else wrapper.errors,
        line_buffering=wrapper.line_buffering or wrapper.write_through,  # PYTHONUNBUFFERED
    )


MODEL_FORMS = "FILE.py:NAME, TAXONOMY:NAME, a timm name, or a cutout's or a training's folder"
DATA_FORMS = (
    "A folder of one folder per class, a .tar of one, a .csv of files and labels, digits, torch/NAME, hfds/NAME, "
    "wds/SHARDS."
)
Model = Annotated[str, typer.Argument(help=f"{MODEL_FORMS}.")]
Weights = Annotated[Path | None, typer.Option(help="The network's weights, safetensors.")]
Data = Annotated[str, typer.Option(help=DATA_FORMS)]
Classes = Annotated[
    list[str] | None,
    typer.Option(help="Only these classes (ids, names, groups, …; repeatable); 'present': those that have images."),
]
Untrained = Annotated[bool, typer.Option("--untrained", help="Take random weights; figures then mean nothing.")]
Holdout = Annotated[float, typer.Option(help="Share of each class's images that figures are reported on.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
BATCH_SIZE = 64
BatchSize = Annotated[
    int | None,
    typer.Option(help=f"Images at once (default: {BATCH_SIZE}; of a training, the recipe's batch_size).", min=1),
]
Workers = Annotated[
    int | None, typer.Option(help="How many read images beside the main process (default: by the cores).", min=0)
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda (default: a GPU where there is one).")]


def numbers(text: str, option: str) -> list[float]:
    """ "0.5,1,2" or "0.5:3:0.1" (from, to and with, step). Raises HiergenError for anything else."""
    parts = text.split(":")
    try:
        if len(parts) == 1:
            return [float(part) for part in text.split(",")]
        low, high, step = (float(part) for part in parts)
    except ValueError:
        raise HiergenError(
            f"{option} {quoted(text)} is no list of numbers", expected="numbers with commas, or FROM:TO:STEP"
        ) from None
    count = (high - low) / step + 1e-9 if step > 0 else -1.0
    if not 0 <= count < 1000:
        raise HiergenError(f"{option} {quoted(text)} is no range", expected="FROM:TO:STEP with at most 1000 steps")
    return [round(low + i * step, 10) for i in range(int(count) + 1)]


def read_gains(network: HierarchicalNetwork, typed: list[str]) -> dict[int | str, float]:
    """TERM=NUMBER texts as gains. Raises HiergenError for anything else."""
    from hiergen.lookup.choose import read_term

    gains: dict[int | str, float] = {}
    for text in typed:
        term, sign, number = text.rpartition("=")
        try:
            gains[read_term(network.selector, term.strip())] = float(number)
        except ValueError:
            sign = ""
        if not sign or not term.strip():
            raise HiergenError(f"--gain {quoted(text)} is no gain", expected='TERM=NUMBER, as in "domestic cat=1.4"')
    return gains
