"""Images that change under a training: the message names the file, the checkpoint stays, and one can go on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ran
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from cases import with_images

from hiergen.models.weightsfile import read_weights
from hiergen.training import report
from hiergen.training.progress import TrainingLog

pytestmark = pytest.mark.filterwarnings("ignore:Overwriting faulty:UserWarning")  # timm, of one name again
Run = Callable[..., Ran]
TRAIN = "train t.py:N2HL --data images --recipe digits --epochs 3 --workers 0 --device cpu --batch-size 5 --out run"
PLAIN = ("--set", "augment.crop=none", "--set", "hold_out=0.25")
VICTIM = Path("images/plum/2.png")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_images(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "draw_pictures", lambda *_: ())
    monkeypatch.setattr(report, "_cost", lambda *_: None)


def removed() -> None:
    VICTIM.unlink()


def garbage() -> None:
    VICTIM.write_bytes(b"no image")


def cut_off() -> None:
    VICTIM.write_bytes(VICTIM.read_bytes()[:300])


def renamed() -> None:
    VICTIM.parent.rename("images/moved")


def gone() -> None:
    shutil.move("images", "elsewhere")


HARM = (removed, cut_off, gone)


def harmed_after_an_epoch(monkeypatch: pytest.MonkeyPatch, harm: Callable[[], None]) -> None:
    usual = TrainingLog.epoch

    def epoch(self: TrainingLog, rows: Any, *, better: bool) -> None:
        usual(self, rows, better=better)
        if len(rows) == 1:
            harm()

    monkeypatch.setattr(TrainingLog, "epoch", epoch)


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_between_two_epochs(harm: Callable[[], None], hiergen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = {path: path.read_bytes() for path in Path("images").rglob("*.png")}
    with monkeypatch.context() as patch:
        harmed_after_an_epoch(patch, harm)
        ran = hiergen(*TRAIN.split(), *PLAIN)
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    # in a folder that is gone, whichever image was due first
    assert ("images/plum/" if harm is not gone else "images/") in ran.err
    assert "cannot be read as an image" in ran.err
    assert read_weights("run/checkpoint.safetensors").metadata["model"] == "N2HL"
    # with the images back, it ends as if nothing had happened
    for folder in ("images", "elsewhere"):
        shutil.rmtree(folder, ignore_errors=True)
    for path, content in keep.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert hiergen("train", "--resume", "run").code == 0
    assert hiergen(*TRAIN.replace("run", "whole").split(), *PLAIN).code == 0
    one, other = (load_file(f"{name}/last.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("harm", "code", "words"),
    [
        (removed, 2, "the training images are not those that this training started with; expected 15 images, got"),
        (garbage, 0, "some training images are not those that this training started with (by name, size or time)"),
        (renamed, 2, "'moved'"),
        (gone, 2, "no data 'images'"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_before_going_on(
    harm: Callable[[], None], code: int, words: str, hiergen: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer images, or no folder for a class: refused. Other content: said, and then a broken image is named."""
    assert hiergen(*TRAIN.replace("--epochs 3", "--epochs 1").split(), *PLAIN).code == 0
    before = Path("run/checkpoint.safetensors").read_bytes()
    harm()
    ran = hiergen("train", "--resume", "run", "--epochs", 2)
    text = " ".join(f"{ran.out} {ran.err}".split())
    assert words in text
    assert ran.code == 2, text
    if code == 0:
        assert "images/plum/2.png: cannot be read as an image" in text
    assert Path("run/checkpoint.safetensors").read_bytes() == before
