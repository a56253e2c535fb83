"""Ctrl-C, SIGTERM and a terminal that is closed as a wish that is granted after the update."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self

from hiergen.data.samples import SIGNALS


class Stopping:
    """While open, the first of SIGNALS is only noted in `requested`; a second Ctrl-C or SIGTERM interrupts at once.

    SIGHUP, of a terminal that is closed, comes from the shell and the kernel: the second one says nothing new. Where it
    is ignored (nohup) it stays so.
    """

    def __init__(self) -> None:
        self.requested = False
        self.name = ""
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            wanted = [s for s in SIGNALS if s.name != "SIGHUP" or signal.getsignal(s) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if not self.requested:
            self.requested, self.name = True, "Ctrl-C" if name == "SIGINT" else name
        elif name != "SIGHUP":
            raise KeyboardInterrupt
