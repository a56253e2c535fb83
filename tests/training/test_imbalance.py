"""Classes of unequal size: weights by hand, and what a training makes of them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from hiergen.data.samples import Samples
from hiergen.models.load import load_network
from hiergen.training.distill import GroupLoss
from hiergen.training.labelled import class_weights
from hiergen.training.recipe import Distillation, load_recipe
from hiergen.training.run import train
from tests.training.own_images import CLASSES, FOLDERS, PLAIN

Hiergen = Callable[..., Any]


@pytest.fixture(autouse=True)
def place(home: Path, lean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """own.py and images/, of which sky and sand have 2 of 6."""
    shutil.copy(home / "own.py", tmp_path)
    shutil.copytree(home / "images", tmp_path / "images")
    for name in ("sky", "sand"):
        for file in sorted((tmp_path / "images" / FOLDERS[name]).iterdir())[2:]:
            file.unlink()
    monkeypatch.chdir(tmp_path)


def test_weights_by_hand() -> None:
    network = load_network("own.py:N2HL")  # sky, rust, moss, sand, plum
    targets = torch.tensor([0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4])

    def weights(*settings: str) -> list[float]:
        found = class_weights(network, load_recipe("quick", settings), targets)
        assert found is not None
        return found.tolist()

    mean = 22 / 5
    auto = weights("loss.class_weights=auto")
    assert auto == pytest.approx([mean / 2, mean / 6, mean / 6, mean / 2, mean / 6])
    assert sum(auto[c] for c in targets.tolist()) == pytest.approx(22)
    assert weights("loss.class_weights=auto", "loss.name=bce") == pytest.approx([10, 16 / 6, 16 / 6, 10, 16 / 6])
    assert weights("loss.class_weights={night sky: 3, warm: 0.5}") == [3, 0.5, 1, 0.5, 1]
    assert class_weights(network, load_recipe("quick"), targets) is None


def test_a_teacher_beside_weights() -> None:
    torch.manual_seed(0)
    logits, taught, targets = torch.randn(6, 4), torch.randn(6, 4), torch.tensor([0, 3, 3, 1, 2, 0])
    weights = torch.tensor([2.0, 1.0, 0.5, 3.0])
    both = [GroupLoss([0, 0, 1, 1], Distillation(), weights=w)(logits, targets, taught) for w in (weights, None)]
    each = F.cross_entropy(logits, targets, reduction="none")
    assert float(both[0] - both[1]) == pytest.approx(float(((weights[targets] - 1) * each).mean()), abs=1e-6)


def test_weights_move_the_training() -> None:
    def last(*settings: str) -> Any:
        options = ["epochs=1", "batch_size=11", *PLAIN, *settings]
        return train("own.py:N2HL", "images", val="images/../images2", settings=options, out=f"run{len(settings)}")

    shutil.copytree("images", "images2")
    plain = last()
    weighted = last("loss.class_weights=auto")
    one = load_network("own.py:N2HL", "run0/best.safetensors").state_dict()
    two = load_network("own.py:N2HL", "run1/best.safetensors").state_dict()
    assert any(not torch.equal(one[name], two[name]) for name in one)
    assert plain.metrics.images == weighted.metrics.images == 22


def test_a_balanced_epoch_reads_every_class_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    read = Samples.__getitem__

    def reading(self: Samples, key: tuple[int, int]) -> Any:
        seen.append((key[0], self.images.targets[key[1]]))
        return read(self, key)

    monkeypatch.setattr(Samples, "__getitem__", reading)
    shutil.copytree("images", "images2")
    settings = ["epochs=1", "batch_size=22", *PLAIN, "balanced=true"]
    train("own.py:N2HL", "images", val="images2", settings=settings, out="run", workers=0)
    drawn = Counter(target for _, target in seen[:22])
    assert sorted(drawn.values()) == [4, 4, 4, 5, 5]
    assert len(drawn) == len(CLASSES)


def test_what_is_refused(hiergen: Hiergen) -> None:
    for settings, words in (
        (["balanced=true", "loss.class_weights=auto"], "both make up for rare classes"),
        (["loss.class_weights={cat: 2}"], "'cat'"),
        (["loss.class_weights={sky: 0}"], "loss.class_weights"),
        (["loss.class_weights=some"], "loss.class_weights"),
        (["loss.class_weights={}", "balanced=maybe"], "balanced"),
    ):
        done = hiergen("train", "own.py:N2HL", "--data", "images", *(w for s in settings for w in ("--set", s)))
        assert (done.code, done.out) == (2, ""), done
        assert words in done.err
        assert not Path("runs").exists()
