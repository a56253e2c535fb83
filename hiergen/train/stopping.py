"""Ctrl-C and SIGTERM as a wish that is granted after the update."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """While open, the first Ctrl-C or SIGTERM is only noted in `asked`; a second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        self.name = ""
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.name = True, "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
