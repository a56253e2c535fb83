"""A progress bar for one thing that is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console


class Bar:
    """In a with block, a callable of (done, total); drawn on a terminal only, and only if something is to do."""

    def __init__(self, console: Console | None, what: str) -> None:
        self.console, self.what = console, what
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        if self.console is None or not self.console.is_terminal:
            return
        if self._bar is None:
            if done >= total:
                return
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn(self.what, markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[pace]:,.0f} images/s, left"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=total, completed=done, pace=0.0)
        task = self._bar.tasks[0]
        self._bar.update(self._task, completed=done, pace=task.speed or 0.0)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
