"""What is shown of a training, and that what cannot be shown or logged costs nothing else."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from hiergen.console.progress import ProgressBar, draws, spinner
from hiergen.console.terminal import PlainConsole, notebook_console
from hiergen.training.progress import TrainingLog

ROW = {"epoch": 1.0, "step": 40.0, "lr": 0.1, "train_loss": 0.5, "images_per_s": 7.0, "val_top1": 0.25}


def logged(folder: Path, console: Console | None) -> None:
    log = TrainingLog(folder, console, epochs=1)
    log.start(0, 40, 8)
    for step in range(1, 41):
        log.step(step, 1.0 / step, 0.1)
    log.epoch([ROW], better=True)
    log.stop()


def test_on_a_terminal_a_bar_moves() -> None:
    out = io.StringIO()
    with ProgressBar(Console(file=out, force_terminal=True, width=120), "features") as bar:
        bar(0, 30)
        bar(20, 30, note="loss 0.5")
    assert "features" in out.getvalue()
    assert "20/30" in out.getvalue()
    assert "images/s, loss 0.5, left" in out.getvalue()


def test_in_a_pipe_nothing_does(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    with ProgressBar(console, "features") as bar, spinner(console) as say:
        bar(20, 30)
        say("counting")
    assert out.getvalue() == ""
    logged(tmp_path, console)
    assert out.getvalue() == "epoch 1/1  loss 0.500  top-1 25.00 %  7 images/s  best so far\n"


def test_in_a_log_what_takes_long_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    out, clock = io.StringIO(), [100.0]
    monkeypatch.setattr("hiergen.console.progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    with ProgressBar(Console(file=out, width=120), "features") as bar:
        for done in range(10_000, 100_001, 1000):  # 10,000 were there before; 1,000 a second, and a break
            clock[0] += 1.0 if done != 50_000 else 9_000.0
            bar(done, 100_000)
    first, second = out.getvalue().splitlines()
    assert first == "features: 40,000 of 100,000 images, about 60 s left"
    assert second == "features: 50,000 of 100,000 images, about 3 h 8 min left"  # 9,029 s for 40,000


@pytest.mark.parametrize("widgets", [False, True])
def test_in_a_notebook(widgets: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each epoch is displayed there, and a bar where ipywidgets is."""
    texts: list[str] = []

    def display(*shown: Any, **_: Any) -> None:
        texts.extend(one._repr_mimebundle_([], [])["text/plain"] for one in shown if hasattr(one, "_repr_mimebundle_"))

    class Output:
        def clear_output(self, **_: object) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...
        def close(self) -> None: ...

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=SimpleNamespace(display=display)))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "ipywidgets", SimpleNamespace(Output=Output) if widgets else None)
    monkeypatch.setattr("hiergen.console.progress.find_spec", lambda _: object() if widgets else None)
    console = PlainConsole(force_jupyter=True, width=120)
    assert draws(console) == widgets
    logged(tmp_path, console)
    shown = "".join(texts)
    assert "epoch 1/1  loss 0.500  top-1 25.00 %" in shown
    assert ("0/320" in shown) == widgets


def test_outside_of_a_notebook_there_is_no_console_of_one() -> None:
    assert notebook_console() is None


class Full:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, raw: bytes) -> int:
        self.room -= len(raw)
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return len(raw)

    def flush(self) -> None:
        self.write(b"")

    def close(self) -> None: ...


def no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tensorboard").write_text("in the way")


def full_at(room: int) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def patch(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from tensorboard.compat import tf

        monkeypatch.setattr(tf.io.gfile, "GFile", lambda *_: Full(room))

    return patch


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("harm", [no_folder, full_at(0), full_at(150), full_at(300)])
def test_curves_that_cannot_be_written_cost_no_training(
    harm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a sentence too many nor the traceback of a thread; history.csv is there all the same."""
    pytest.importorskip("tensorboard")
    harm(tmp_path, monkeypatch)
    out, hook = io.StringIO(), threading.excepthook
    logged(tmp_path, Console(file=out, width=300))
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["TensorBoard's", "epoch"]
    assert str(tmp_path / "tensorboard") in lines[0]
    assert "top1" in (tmp_path / "history.csv").read_text()
    assert "Traceback" not in capfd.readouterr().err
    assert threading.excepthook is hook
