"""What a user asks of a cost card, checked: device, numbers, and more memory than there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hiergen.errors import HiergenError, quoted


def asked_device(asked: str | torch.device) -> torch.device:
    """The device, with its number. Raises HiergenError if it is not there."""
    known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    try:
        device = torch.device(asked)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise HiergenError(f"no device {quoted(asked)}", expected="cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        got = ", ".join(known)
        raise HiergenError(f"device {quoted(asked)} is not there", expected=f"one of {got}")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else torch.device("cpu")


def whole_number(what: str, number: object, least: int = 1) -> int:
    """The number. Raises HiergenError unless it is an int, `least` or more."""
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise HiergenError(f"{what} cannot be {quoted(number)}", expected=f"a whole number from {least}")
    return number


@contextmanager
def enough_memory() -> Iterator[None]:
    """torch's refusal to allocate, in our words."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" not in text and "out of memory" not in text:
            raise
        raise HiergenError("there is not enough memory to measure this", hint="choose a smaller batch") from error
