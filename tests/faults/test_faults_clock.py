"""Clocks that go back or jump ahead: nothing is computed from them, nothing negative or NaN is shown."""

from __future__ import annotations

import csv
import itertools
import os
import time
from pathlib import Path

import pytest

from hiergen.suggest.llm.client import _retry_after
from hiergen.train import cachefolder
from hiergen.train.cachefile import USE, Layout
from hiergen.train.cachefolder import clear, open_cache, usage
from hiergen.train.watch import Watch

LAYOUT = Layout(rows=10, shape=(2, 3), dtype="float32", batch=2, chunk=4)
YEAR = 365 * 86400.0


@pytest.mark.parametrize("start", [0.0, -5.0, 4e9])
def test_the_log_of_a_training_whose_clock_goes_back(
    start: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Event files have wall times, by which TensorBoard does not order: steps do that."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    jumps = itertools.count(start + 4 * YEAR, -YEAR)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    watch = Watch(tmp_path, None, epochs=1)
    watch.start(0, 40, 8)
    for step in range(1, 41):
        watch.step(step, 1.0 / step, 0.1)
    row = {"epoch": 1.0, "step": 40.0, "lr": 0.1, "train_loss": 0.5, "images_per_s": 7.0, "val_top1": 0.25}
    watch.epoch([row], better=True)
    watch.stop()
    file = next((tmp_path / "tensorboard").iterdir())
    events = [
        (event.step, value.tag, round(value.tensor.float_val[0] if value.tensor.float_val else value.simple_value, 4))
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    ]
    assert events == [
        (20, "train/loss", 0.05),
        (20, "train/lr", 0.1),
        (40, "train/loss", 0.025),
        (40, "train/lr", 0.1),
        (40, "val/top1", 0.25),
    ]
    assert next(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))["val_top1"] == "0.25"


def test_a_cache_that_was_used_in_the_future_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of eviction is by the times of files; wrong times cost work, never results, and stop nothing."""
    monkeypatch.setattr(cachefolder, "_RESERVE", 0)
    for number, used in enumerate((time.time() + YEAR, 0.0, time.time() - YEAR)):
        cache = open_cache(tmp_path, f"{number:032x}", LAYOUT, {})
        cache.close()
        os.utime(cache.home / USE, (used, used))
    assert [int(found.path.stem, 16) for found in usage(tmp_path)] == [1, 2, 0]
    size = max(found.bytes for found in usage(tmp_path))
    open_cache(tmp_path, f"{3:032x}", LAYOUT, {}, limit=int(3.5 * size)).close()
    assert sorted(int(found.path.stem, 16) for found in usage(tmp_path)) == [0, 2, 3]
    assert clear(tmp_path) > 0


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),  # long over, by this clock
        ("Wed, 21 Oct 2099 07:28:00 GMT", 1e9, 1e10),  # refused by who asks: longer than it ever waits
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9, 1e12),
        ("-5", 0, 0),
        ("nan", 0, 0),
        ("1e9", 0, 0),
    ],
)
def test_when_a_server_says_to_come_back(text: str, least: float, most: float) -> None:
    assert least <= _retry_after(text) <= most
