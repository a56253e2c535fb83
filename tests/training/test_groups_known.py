"""Images known to a group only: read by the group's name, learnt by the group's probability, measured by the group."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hiergen.data.imageclasses import Others
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from hiergen.models.load import load_network
from hiergen.training.distill import GroupLoss
from hiergen.training.hierarchy import Hierarchy
from hiergen.training.losses import SetLoss, make_loss
from hiergen.training.metrics import evaluate
from hiergen.training.recipe import Distillation
from hiergen.training.run import train
from tests.training.own_images import FOLDERS, PLAIN

Hiergen = Callable[..., Any]


@pytest.fixture(autouse=True)
def place(home: Path, lean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """own.py, images/ and other/, both with images in warm/ and Cold/ that no class has."""
    shutil.copy(home / "own.py", tmp_path)
    for name in ("images", "other"):
        shutil.copytree(home / name, tmp_path / name)
        for group, members in (("warm", ("rust", "sand")), ("Cold", ("sky", "moss", "plum"))):
            (tmp_path / name / group).mkdir()
            for member in members:
                for number in (0, 1):
                    file = home / name / FOLDERS[member] / f"{number}.png"
                    shutil.copy(file, tmp_path / name / group / f"{member}{number}.png")
    monkeypatch.chdir(tmp_path)


def slow(logits: Tensor, targets: list[int], sets: list[list[int]], weights: list[float]) -> float:
    """Loops over probabilities."""
    total, count = 0.0, logits.shape[1]
    for row, target in zip(logits.tolist(), targets, strict=True):
        whole = sum(math.exp(z) for z in row)
        members = [target] if target < count else sets[target - count]
        weight = sum(weights[c] for c in members) / len(members)
        total -= weight * math.log(sum(math.exp(row[c]) for c in members) / whole)
    return total / len(targets)


def table(sets: list[list[int]], count: int) -> Tensor:
    return torch.tensor([[c in members for c in range(count)] for members in sets])


def test_loss_is_that_of_the_groups_probability() -> None:
    torch.manual_seed(0)
    tree = Hierarchy.of(load_network("own.py:N2HL"))
    logits, sets = 3 * torch.randn(7, 5, dtype=torch.float64), [[1, 3], [0, 2, 4]]
    weights = [1.0, 2.0, 0.5, 3.0, 1.5]
    for targets in ([0, 5, 6, 3, 6, 4, 5], [5, 5, 6, 6, 6, 5, 5], [0, 1, 2, 3, 4, 0, 1]):
        plain = SetLoss(make_loss("cross-entropy", tree), table(sets, 5))
        assert float(plain(logits, torch.tensor(targets))) == pytest.approx(slow(logits, targets, sets, [1.0] * 5))
        by_set = torch.tensor([2.5, 1.0])
        loss = make_loss("cross-entropy", tree, weights=torch.tensor(weights))
        weighted = SetLoss(loss, table(sets, 5), weights=by_set)
        assert float(weighted(logits, torch.tensor(targets))) == pytest.approx(slow(logits, targets, sets, weights))
        whole = torch.cat([torch.eye(5, dtype=torch.bool), table(sets, 5)])
        group = GroupLoss([0, 1, 0, 1, 0], Distillation(), weights=torch.tensor([*weights, 2.5, 1.0]), table=whole)
        assert float(group(logits, torch.tensor(targets))) == pytest.approx(slow(logits, targets, sets, weights))
    loss = SetLoss(make_loss("cross-entropy", tree), table(sets, 5))
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.tensor([0, 5, 6, 3, 6, 4, 5])), (logits.requires_grad_(),))


def test_a_teacher_speaks_of_their_group_as_of_any_image_of_it() -> None:
    torch.manual_seed(1)
    logits, taught, homes = torch.randn(4, 5), torch.randn(4, 5), [0, 1, 0, 1, 0]
    whole = torch.cat([torch.eye(5, dtype=torch.bool), table([[1, 3], [0, 2, 4]], 5)])
    with_sets = GroupLoss(homes, Distillation(), table=whole)
    plain = GroupLoss(homes, Distillation())
    known, vague = torch.tensor([0, 1, 2, 3]), torch.tensor([6, 5, 6, 5])
    want = plain(logits, known, taught) - plain(logits, known)
    assert float(with_sets(logits, vague, taught) - with_sets(logits, vague)) == pytest.approx(float(want), abs=1e-6)


def test_folders_of_groups_are_read_and_split() -> None:
    network = load_network("own.py:N2HL")  # sky, rust, moss, sand, plum
    images = open_data("images", network, groups=True)
    assert images.labels is not None
    assert images.labels.sets == ((0, 2, 4), (1, 3))
    assert images.note == "10 images are known to one of 2 groups only"
    by_folder = {Path(images.place(i)).parent.name: images.targets[i] for i in range(len(images))}
    assert by_folder == {"Night_Sky": 0, "rust": 1, "moss": 2, "sand": 3, "plum": 4, "Cold": 5, "warm": 6}
    first, second = images.split(0.25)
    assert len(first) + len(second) == 40
    assert set(second.targets) == set(range(7))
    with pytest.raises(HiergenError, match="folder 'Cold' is no class of the network"):
        open_data("images", network)
    assert open_data("images", network, classes="present").left_out == ("Cold", "warm")
    cutout = network.cutout("cold")
    assert open_data("images", cutout, classes=[0, 1, 2], groups=True).left_out == ("rust", "sand", "warm")
    # images of some cold class are none of its other classes, nor of no class
    others = open_data("images", network, classes=Others((1, 3)))
    assert {Path(others.place(i)).parent.name for i in range(len(others))} == {"Night_Sky", "moss", "plum"}


def test_metrics_of_groups_by_hand() -> None:
    network = load_network("own.py:N2HL")
    images = open_data("other", network, groups=True)
    torch.manual_seed(0)
    logits, targets = torch.randn(len(images), 5), torch.tensor(images.targets)
    found = evaluate(logits, targets, Hierarchy.of(network), sets=images.labels)
    vague = [(int(z.argmax()), int(t)) for z, t in zip(logits, targets, strict=True) if t >= 5]
    right = [best in ((0, 2, 4), (1, 3))[target - 5] for best, target in vague]
    assert (found.group_images, found.group_accuracy) == (10, sum(right) / 10)
    assert found.images == 15
    known = targets < 5
    assert found.top1 == evaluate(logits[known], targets[known], Hierarchy.of(network)).top1


def test_training_with_them_alone_tells_groups_apart(hiergen: Hiergen) -> None:
    """One image a class, and many of which only the group is known."""
    for name in FOLDERS.values():
        for file in sorted(Path("images", name).iterdir())[2:]:
            shutil.move(
                file, Path("images", "Cold" if name in ("Night_Sky", "moss", "plum") else "warm", f"{name}x{file.name}")
            )
    settings = ["epochs=4", "batch_size=8", "optimizer.lr=0.01", *PLAIN]
    done = train("own.py:N2HL", "images", val="other", settings=settings, out="run")
    assert (done.metrics.images, done.metrics.group_images) == (15, 10)
    assert done.metrics.group_accuracy is not None
    assert done.metrics.group_accuracy > 0.7
    assert "val_group" in Path("run/history.csv").read_text().splitlines()[0]
    again = hiergen("eval", "own.py:N2HL", "--weights", "run/best.safetensors", "--data", "other", "--json")
    assert json.loads(again.out)["group_accuracy"] == done.metrics.group_accuracy
    text = hiergen("eval", "own.py:N2HL", "--weights", "run/best.safetensors", "--data", "other")
    assert "in their group" in text.out


def test_what_is_refused(hiergen: Hiergen) -> None:
    for setting, words in (
        ("augment.mixup=0.2", "mixup and cutmix cannot be with images known to a group only"),
        ("negatives=1", "'negatives' cannot be with images known to a group only"),
        ("loss.name=bce", "the loss 'bce' cannot be with images known to a group only; --set loss.name=cross-entropy"),
    ):
        done = hiergen("train", "own.py:N2HL", "--data", "images", "--val", "other", "--set", setting)
        assert (done.code, done.out) == (2, ""), done
        assert words in done.err
        assert not Path("runs").exists()
