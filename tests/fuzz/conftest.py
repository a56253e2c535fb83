"""Loads the profile before hypothesis sees a test; the long mode prints its seed and what was executed."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import core

from tests.fuzz.profiles import LONG, register

register()


@dataclass
class Executed:
    """Of one property: examples that ran to their end, those that `assume` or a strategy gave up, and time."""

    passed: int = 0
    given_up: int = 0
    seconds: float = 0.0

    def counting(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def run(*args: Any, **kwargs: Any) -> Any:
            self.given_up += 1
            answer = inner(*args, **kwargs)
            self.given_up -= 1
            self.passed += 1
            return answer

        return run


_EXECUTED: dict[str, Executed] = {}


def pytest_configure(config: pytest.Config) -> None:
    if LONG and core.global_force_seed is None:
        core.global_force_seed = random.SystemRandom().getrandbits(64)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    if handle is None:
        return (yield)
    done = _EXECUTED[item.nodeid] = Executed()
    plain, start = handle.inner_test, time.perf_counter()
    handle.inner_test = done.counting(plain)
    try:
        return (yield)
    finally:
        handle.inner_test = plain
        done.seconds = time.perf_counter() - start


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Also after Ctrl-C: what was executed until then."""
    if not LONG:
        return
    write = terminalreporter.write_line
    write(f"fuzzing with --hypothesis-seed={core.global_force_seed}")
    write(f"{'examples':>9} {'given up':>8} {'s':>8}  property")
    for name, done in _EXECUTED.items():
        write(f"{done.passed:9,} {done.given_up:8,} {done.seconds:8.1f}  {name}")
    write(f"{sum(done.passed for done in _EXECUTED.values()):9,} examples in all")
