"""Trainings of a user's own images that several tests look at, made once; who changes one copies it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from hiergen.training import evaluation_files, report
from hiergen.training.run import Trained, train
from tests.training.own_images import PLAIN, folders, source


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """own.py, images/ and other/ (validation images) and trunk.safetensors; to be read only."""
    place = tmp_path_factory.mktemp("home")
    source(place).rename(place / "own.py")
    folders(place / "images", 6)
    folders(place / "other", 3, seed=1)
    torch.manual_seed(5)
    save_file(timm.create_model("test_resnet").state_dict(), place / "trunk.safetensors")
    return place


_DRAWN = evaluation_files.draw_pictures


@contextmanager
def no_report() -> Iterator[None]:
    """Pictures and costs have tests of their own; those of an evaluation stay, whenever it is imported first."""
    assert evaluation_files.draw_pictures is _DRAWN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw_pictures", lambda *_: iter(()))
        patch.setattr(report, "_cost", lambda *_: None)
        yield


@pytest.fixture
def lean() -> Iterator[None]:
    """Trainings draw and measure nothing."""
    with no_report():
        yield


@pytest.fixture(scope="session")
def trained(home: Path) -> Trained:
    """Until it is right about all images; in a folder of its own, to be read only."""
    settings = ["epochs=4", "batch_size=5", "optimizer.lr=0.01"]
    with no_report():
        return train(
            f"{home}/own.py:N2HL", home / "images", val=home / "other", settings=settings, out=home / "trained"
        )


@pytest.fixture(scope="session")
def one_epoch(home: Path) -> Trained:
    """Of one epoch in three updates; to be read only."""
    settings = ["epochs=1", "batch_size=10", *PLAIN]
    with no_report():
        return train(f"{home}/own.py:N2HL", home / "images", val=home / "other", settings=settings, out=home / "one")


@pytest.fixture
def copied(one_epoch: Trained, tmp_path: Path) -> Path:
    """A copy of that training, to change."""
    return shutil.copytree(one_epoch.folder, tmp_path / "copied")
