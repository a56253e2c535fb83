"""What a person sees of a training: a bar with images/s and time left, a line per epoch, CSV and TensorBoard files."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.console.progress import ProgressBar
from hiergen.console.terminal import say
from hiergen.files import reason, write_text

if TYPE_CHECKING:
    from rich.console import Console


HISTORY, TENSORBOARD = "history.csv", "tensorboard"
_LOGGED_EVERY = 20  # updates, in TensorBoard


class TrainingLog:
    """Shows and logs one training. Without a console the files are written and nothing is shown."""

    def __init__(self, folder: Path, console: Console | None, *, epochs: int) -> None:
        self.folder, self.console, self.epochs = folder, console, epochs
        self._curves: Curves | None = None
        self._bar = ProgressBar(self.console, "")
        self._loss: float | None = None
        self._batch = self._updates = 0

    def start(self, done: int, total: int, batch: int, rows: Sequence[dict[str, float]] = ()) -> None:
        """A training of `total` updates of `batch` images, of which some are done, with these rows of epochs."""
        if rows:  # it may have been killed before they were written
            write_history(self.folder / HISTORY, rows)
        self._batch, self._updates = batch, total
        # what was logged after a checkpoint comes again
        self._curves = Curves(self.folder / TENSORBOARD, self._warn, purge_step=done or None)
        self._show(done)

    def step(self, step: int, loss: float, rate: float) -> None:
        """Update number `step` is done."""
        # for the eye: smoothed
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        if self._curves is not None and step % _LOGGED_EVERY == 0:
            self._curves.add(step, {"train/loss": loss, "train/lr": rate})
        self._show(step)

    def epoch(self, rows: Sequence[dict[str, float]], *, better: bool) -> None:
        """An epoch is over and saved; `rows` are those of all epochs so far."""
        row = rows[-1]
        write_history(self.folder / HISTORY, rows)
        if self._curves is not None:
            values = {name.replace("_", "/", 1): value for name, value in row.items() if name.startswith("val_")}
            self._curves.add(int(row["step"]), {name: value for name, value in values.items() if value is not None})
        if self.console is not None:
            measure, value = ("top-1", row["val_top1"]) if "val_top1" in row else ("mAP", row["val_map"])
            text = (
                f"epoch {int(row['epoch']):>{len(str(self.epochs))}}/{self.epochs}"
                f"  loss {row['train_loss']:.3f}  {measure} {100 * value:.2f} %"
                f"  {row['images_per_s']:,.0f} images/s{'  best so far' if better else ''}"
            )
            say(self.console, text)

    def stop(self) -> None:
        """No more updates."""
        self._bar.__exit__()
        if self._curves is not None:
            self._curves.close()

    def _show(self, step: int) -> None:
        epoch = min(self.epochs, 1 + step * self.epochs // max(self._updates, 1))
        loss = "" if self._loss is None else f"loss {self._loss:.3f}"
        self._bar(step * self._batch, self._updates * self._batch, text=f"epoch {epoch}/{self.epochs}", note=loss)

    def _warn(self, text: str) -> None:
        say(self.console, text, style="yellow")


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """One line for each epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[-1]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


class Curves:
    """Scalars in event files of `folder`, by torch's `SummaryWriter`; none without the package tensorboard.

    `purge_step`: what earlier files say from there on does not count. `note` gets a sentence when they are lost.
    """

    def __init__(self, folder: Path, note: Callable[[str], None], *, purge_step: int | None = None) -> None:
        self.folder, self._note = folder, note
        self._writer: Any = None
        self._hook, threading.excepthook = threading.excepthook, self._thread_failed
        with self._writing():
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self._writer = SummaryWriter(folder, purge_step=purge_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One value for each curve, written before this returns."""
        if self._writer is not None:
            with self._writing():
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)
                self._writer.flush()

    def close(self) -> None:
        """No more of them."""
        if self._writer is not None:
            with self._writing():
                self._writer.close()
        self._writer = None
        threading.excepthook = self._hook

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writer = None
            for thread in filter(_is_tensorboards, threading.enumerate()):
                thread.join(1)  # it has failed, and comes to the hook
            self._note(f"TensorBoard's log cannot be written ({reason(error)}): {self.folder}")

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """TensorBoard writes in a thread; what that raises is raised again by the next call, so it is not shown."""
        if not (isinstance(failure.exc_value, OSError) and _is_tensorboards(failure.thread)):
            self._hook(failure)


def _is_tensorboards(thread: threading.Thread | None) -> bool:
    return type(thread).__module__.startswith("tensorboard.")
