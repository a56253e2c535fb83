"""Progress of what takes long: a bar for what is counted, a spinner for what is not; both by rich.

They are drawn on a terminal, and in a notebook that has ipywidgets; in a pipe or a log what takes longer than half a
minute says so in a line, and again each time when twice as much has passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console


_FIRST = 30.0  # seconds until a log says how long it will take


def draws(console: Console) -> bool:
    """Whether something that moves can be shown there."""
    return find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal


class ProgressBar:
    """A bar for images, in a with block: called as (done, total), it shows them, images/s and the time left.

    `text` stands before it, `note` (of a call) after it. It appears with the first call that leaves something to do.
    """

    def __init__(self, console: Console | None, text: str) -> None:
        self.console, self.text = console, text
        self._bar: Any = None
        self._began: tuple[float, int] | None = None  # when, and what was done before
        self._due = _FIRST

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int, *, text: str | None = None, note: str = "") -> None:
        if self.console is None or (self._bar is None and done >= total):
            return
        if not draws(self.console):
            self._log(self.console, done, total, text or self.text)
            return
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[pace]:,.0f} images/s{task.fields[note]}, left"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._bar.add_task(text or self.text, total=total, completed=done, pace=0.0, note=note)
            self._bar.start()
        (task,) = self._bar.tasks
        self._bar.update(
            task.id, completed=done, pace=task.speed or 0.0, description=text or self.text, note=note and f", {note}"
        )

    def _log(self, console: Console, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = now, done
        began, before = self._began
        if now - began >= self._due and done > before:
            left = (now - began) * (total - done) / (done - before)
            self._due = 2 * (now - began)
            line = f"{text}: {done:,} of {total:,} images, about {duration(left)} left"
            console.print(line, markup=False, soft_wrap=True)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def duration(seconds: float) -> str:
    """ "50 s", "12 min", "3 h 20 min", of what need not be exact.

    >>> duration(12_000)
    '3 h 20 min'
    """
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def spinner(console: Console) -> Iterator[Callable[[str], None]]:
    """Something that turns beside the time; call what the block gets to say what is being done."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not draws(console)) as progress:
        task = progress.add_task("")
        yield lambda text: progress.update(task, description=text)
