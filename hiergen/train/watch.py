"""What a person sees of a training: a bar with images/s and time left, a line per epoch, CSV and TensorBoard files."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.files import reason, write_text
from hiergen.train.board import Board

if TYPE_CHECKING:
    from rich.console import Console

HISTORY, TENSORBOARD = "history.csv", "tensorboard"
_LOGGED_EVERY = 20  # updates, in TensorBoard


class Watch:
    """Shows and logs one training. The bar is drawn on a terminal only; without a console, or `quiet`, the files are
    written and nothing is shown."""

    def __init__(
        self, folder: Path, console: Console | None, *, epochs: int, quiet: bool = False, board: bool = True
    ) -> None:
        self.folder, self.console, self.epochs = folder, None if quiet else console, epochs
        self._board: Board | None = None
        if board:
            self._open_board()
        self._bar: Any = None
        self._loss: float | None = None
        self._batch = 0
        self._began = time.monotonic()

    def start(self, done: int, total: int, batch: int, rows: Sequence[dict[str, float]] = ()) -> None:
        """A training of `total` updates of `batch` images, of which some are done, with these rows of epochs."""
        if rows:  # it may have been killed before they were written
            write_history(self.folder / HISTORY, rows)
        self._batch, self._began = batch, time.monotonic()
        if self._board is not None and done:
            # what was logged after the checkpoint comes again
            self._close_board()
            self._open_board(purge_step=done)
        if self.console is None or not self.console.is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %  {task.fields[pace]} images/s  loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._bar.start()
        self._done, self._updates = done, total
        first = self._epoch_of(done + 1)
        self._task = self._bar.add_task(
            "", total=total, completed=done, epoch=first, epochs=self.epochs, pace="…", loss="…"
        )

    def step(self, step: int, loss: float, rate: float) -> None:
        """Update number `step` is done."""
        # for the eye: smoothed
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        if self._board is not None and step % _LOGGED_EVERY == 0:
            with self._logging():
                self._board.scalar("train/loss", loss, step)
                self._board.scalar("train/lr", rate, step)
                self._board.flush()
        if self._bar is not None:
            pace = (step - self._done) * self._batch / max(time.monotonic() - self._began, 1e-9)
            self._bar.update(
                self._task, completed=step, epoch=self._epoch_of(step), pace=f"{pace:,.0f}", loss=f"{self._loss:.3f}"
            )

    def epoch(self, rows: Sequence[dict[str, float]], *, better: bool) -> None:
        """An epoch is over and saved; `rows` are those of all epochs so far."""
        row = rows[-1]
        write_history(self.folder / HISTORY, rows)
        if self._board is not None:
            with self._logging():
                for name, value in row.items():
                    if name.startswith("val_") and value is not None:
                        self._board.scalar(name.replace("_", "/", 1), value, int(row["step"]))
                self._board.flush()
        if self.console is not None:
            text = (
                f"epoch {int(row['epoch']):>{len(str(self.epochs))}}/{self.epochs}"
                f"  loss {row['train_loss']:.3f}  top-1 {100 * row['val_top1']:.2f} %"
                f"  {row['images_per_s']:,.0f} images/s{'  best so far' if better else ''}"
            )
            self.console.print(text, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """No more updates."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._close_board()

    def _open_board(self, *, purge_step: int | None = None) -> None:
        with self._logging():
            try:
                self._board = Board(self.folder / TENSORBOARD, purge_step=purge_step)
            except ImportError:
                return

    def _close_board(self) -> None:
        if self._board is not None:
            with self._logging():
                self._board.close()
            self._board = None

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """A log that cannot be written is said once, and is no reason to lose a training."""
        try:
            yield
        except OSError as error:
            self._board = None
            if self.console is not None:
                text = f"TensorBoard's log cannot be written ({reason(error)}): {self.folder / TENSORBOARD}"
                self.console.print(text, markup=False, soft_wrap=True, style="yellow")

    def _epoch_of(self, step: int) -> int:
        return min(self.epochs, 1 + (step - 1) * self.epochs // max(self._updates, 1))


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """One line for each epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[-1]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
