"""TensorBoard's event files, written here and now: its own writer does so in a thread, which a full disk ends there."""

from __future__ import annotations

import os
import socket
import time
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

_NUMBERS = count()


class Board:
    """Scalars in a new event file of `folder`; `purge_step`: what other files say from there on does not count.

    Raises ImportError without the package tensorboard, OSError where the file cannot be written.
    """

    def __init__(self, folder: Path, *, purge_step: int | None = None) -> None:
        events = import_module("tensorboard.compat.proto.event_pb2")
        self._event = events.Event
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        folder.mkdir(parents=True, exist_ok=True)
        place = f"{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._file = (folder / f"events.out.tfevents.{int(time.time()):010d}.{place}").open("wb")
        self._records = import_module("tensorboard.summary.writer.record_writer").RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        if purge_step is not None:
            self._add(step=purge_step, session_log=events.SessionLog(status=events.SessionLog.START))
        self._file.flush()

    def scalar(self, name: str, value: float, step: int) -> None:
        """One value of a curve."""
        self._add(step=step, summary=self._summary(value=[self._summary.Value(tag=name, simple_value=value)]))

    def flush(self) -> None:
        """So that others see what was written."""
        self._file.flush()

    def close(self) -> None:
        """No more of it."""
        self._file.close()

    def _add(self, **fields: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())
