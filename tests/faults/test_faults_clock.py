"""Clocks that go back or jump ahead: nothing is computed from them, nothing negative or NaN is shown."""

from __future__ import annotations

import csv
import itertools
import time
from pathlib import Path

import pytest

from hiergen.training.progress import TrainingLog

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
    log = TrainingLog(tmp_path, None, epochs=1)
    log.start(0, 40, 8)
    for step in range(1, 41):
        log.step(step, 1.0 / step, 0.1)
    row = {"epoch": 1.0, "step": 40.0, "lr": 0.1, "train_loss": 0.5, "images_per_s": 7.0, "val_top1": 0.25}
    log.epoch([row], better=True)
    log.stop()
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
