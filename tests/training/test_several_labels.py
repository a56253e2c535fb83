"""Images with several labels, or none: tables as people bring them, the loss and the metrics by loops."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hiergen.data.imageclasses import Others
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from hiergen.models.load import load_network
from hiergen.training.labelmetrics import evaluate_labels
from hiergen.training.loop import Training
from hiergen.training.run import train
from tests.training.own_images import CLASSES, COLOURS, PLAIN

Hiergen = Callable[..., Any]


@pytest.fixture(autouse=True)
def place(home: Path, lean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """own.py, images/0.png … 39.png of two halves, and the truth in labels.csv; val.csv has the last 12."""
    shutil.copy(home / "own.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        shown = sorted(rng.choice(5, size=int(rng.integers(0, 3)), replace=False).tolist())
        pixels = rng.normal(10, 5, (32, 32, 3))
        for half, c in enumerate(shown):
            pixels[:, 16 * half : 16 * half + 16] += COLOURS[CLASSES[c]]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(f"images/{number}.png")
        rows.append((f"images/{number}.png", shown))
    for name, some in (("labels.csv", rows[:28]), ("val.csv", rows[28:])):
        Path(name).write_text("".join(f"{f},{'|'.join(CLASSES[c] for c in shown)}\n" for f, shown in some))


def truth_of(file: str, **options: Any) -> list[tuple[str, tuple[str, ...]]]:
    images = open_data(file, load_network("own.py:N2HL"), several=True, **options)
    table = torch.eye(5, dtype=torch.bool) if images.labels is None else images.labels.table()
    shown = [tuple(CLASSES[c] for c in range(5) if table[target, c]) for target in images.targets]
    return [(Path(images.place(i)).name, shown[i]) for i in range(len(images))]


TWO = [("0.png", ("sky", "moss")), ("1.png", ()), ("2.png", ("rust",)), ("3.png", ("sand", "plum"))]


@pytest.mark.parametrize(
    "text",
    [
        "images/0.png,sky|moss\nimages/1.png,\nimages/2.png,rust\nimages/3.png,plum|sand\n",
        "file,labels\nimages/0.png,night sky;moss\nimages/1.png,\nimages/2.png,rust\nimages/3.png,sand; plum\n",
        'filename;tags\nimages/0.png;"sky,moss"\nimages/1.png;\nimages/2.png;rust\nimages/3.png;sand plum\n',
        "Image_Name,sky,rust,moss,sand,plum\nimages/0.png,1,0,1,0,0\nimages/1.png,0,0,0,0,0\n"
        "images/2.png,0,1,0,0,0\nimages/3.png,0,0,0,1.0,1\n",
        "file,label\nimages/0.png,sky\nimages/0.png,moss\nimages/1.png,\nimages/2.png,rust\nimages/3.png,sand\n"
        "images/3.png,plum\n",
    ],
    ids=["plain", "header", "semicolons", "0 and 1", "a row for each label"],
)
def test_tables_as_people_bring_them(text: str) -> None:
    Path("t.csv").write_text(text)
    assert truth_of("t.csv") == TWO
    if '"' not in text:
        Path("t.tsv").write_text(text.replace(",", "\t"))
        assert truth_of("t.tsv") == TWO


def test_one_label_each_is_a_class_each() -> None:
    rows = [f"{4 * i}.png,{c}" for i, c in enumerate(CLASSES)]
    Path("images/one.csv").write_text("\n".join(rows))
    images = open_data("images/one.csv", load_network("own.py:N2HL"))
    assert images.labels is None
    assert images.targets == (0, 1, 2, 3, 4)
    several = open_data("labels.csv", load_network("own.py:N2HL"), classes=Others((0,)), several=True)
    assert set(several.targets) == {-1}
    assert len(several) == sum("sky" not in shown for _, shown in truth_of("labels.csv"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images/0.png,sky\nimages/77.png,moss\n", "t.csv:2: no such image; got 'images/77.png'"),
        ("images/0.png,sky|mos\n", "label 'mos' is no class of the network"),
        ("images/0.png\n", "t.csv:1: has 1 column; expected a file and its labels"),
        ("images/0.png,1,0\n", "t.csv:1: has 3 columns; expected a file and its labels"),
        ("file,sky,rust\nimages/0.png,1,2\n", "t.csv:2: is no row of a file and a 0 or 1 for each label"),
        ("", "t.csv: names no images"),
        (f"images/0.png,{'x' * 200_000}\n", "t.csv:1: is no table (field larger than field limit (131072))"),
        (f"images/{'x' * 300}.png,sky\n", "t.csv:1: no such image"),
        ("images/0.png,sky|moss\n", "holds no images of class 'rust'"),
    ],
)
def test_tables_that_are_none(text: str, words: str) -> None:
    Path("t.csv").write_text(text)
    with pytest.raises(HiergenError) as error:
        truth_of("t.csv")
    assert words in str(error.value)


def test_metrics_by_loops() -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(30, 4), torch.rand(30, 4) < 0.3
    truth[:, 3] = False
    found = evaluate_labels(logits, truth, "abcd", "ABCD")
    precisions, f1s, hits, asked = [], [], 0, 0
    for c in range(3):
        order = sorted(range(30), key=lambda i: -float(logits[i, c]))
        seen, total = 0, 0.0
        for rank, i in enumerate(order, 1):
            if truth[i, c]:
                seen += 1
                total += seen / rank
        precisions.append(total / seen)
        tp = sum(bool(truth[i, c]) and float(logits[i, c]) > 0 for i in range(30))
        yes, have = sum(float(z) > 0 for z in logits[:, c]), int(truth[:, c].sum())
        f1s.append(2 * tp / (yes + have))
    for c in range(4):
        hits += 2 * sum(bool(truth[i, c]) and float(logits[i, c]) > 0 for i in range(30))
        asked += sum(float(z) > 0 for z in logits[:, c]) + int(truth[:, c].sum())
    assert found.map == pytest.approx(sum(precisions) / 3)
    assert found.f1 == pytest.approx(sum(f1s) / 3)
    assert found.f1_micro == pytest.approx(hits / asked)
    assert (
        found.exact
        == sum(all((z > 0) == t for z, t in zip(a, b, strict=True)) for a, b in zip(logits, truth, strict=True)) / 30
    )
    assert found.classes[3].average_precision is None
    assert [score.average_precision for score in found.classes[:3]] == pytest.approx(precisions)


def test_training_learns_them(hiergen: Hiergen, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[tuple[torch.Tensor, torch.Tensor, float]] = []
    loss_of = Training._loss

    def watched(self: Training, logits: torch.Tensor, y: torch.Tensor, taught: Any) -> torch.Tensor:
        value = loss_of(self, logits, y, taught)
        losses.append((logits.detach(), y, float(value.detach())))
        return value

    monkeypatch.setattr(Training, "_loss", watched)
    settings = ["epochs=8", "batch_size=7", "optimizer.lr=0.01", "loss.name=bce", "loss.class_weights=auto", *PLAIN]
    done = train("own.py:N2HL", "labels.csv", val="val.csv", settings=settings, out="run")
    shown = [labels for _, labels in truth_of("labels.csv")]
    weights = [sum(c not in labels for labels in shown) / sum(c in labels for labels in shown) for c in CLASSES]
    logits, y, value = losses[0]
    by_hand = 0.0
    for row, labels in zip(logits.tolist(), y.tolist(), strict=True):
        for z, label, weight in zip(row, labels, weights, strict=True):
            yes = 1 / (1 + math.exp(-z))
            by_hand -= weight * math.log(yes) if label else math.log(1 - yes)
    assert value == pytest.approx(by_hand / 7, rel=1e-4)
    assert losses[-1][2] < losses[0][2]
    kept = json.loads(Path("run/metrics.json").read_text())
    assert kept == json.loads(json.dumps(done.metrics.to_dict()))
    assert Path("run/history.csv").read_text().splitlines()[0].endswith("val_map,val_f1,val_f1_micro,val_exact")
    again = hiergen("eval", "own.py:N2HL", "--weights", "run/best.safetensors", "--data", "val.csv", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["map"] == pytest.approx(kept["map"])
    assert "mAP" in hiergen("eval", "own.py:N2HL", "--weights", "run/best.safetensors", "--data", "val.csv").out


def test_held_out_images_are_drawn_from_every_combination() -> None:
    images = open_data("labels.csv", load_network("own.py:N2HL"), several=True)
    first, second = images.split(0.3)
    assert len(first) + len(second) == 28
    assert 4 <= len(second) <= 14
    assert set(second.targets) <= set(first.targets)


def test_what_is_refused(hiergen: Hiergen) -> None:
    for words, settings in (
        ("the loss 'cross-entropy' cannot be with images with several labels; --set loss.name=bce", ()),
        ("'balanced' cannot be with images with several labels", ("loss.name=bce", "balanced=true")),
        ("'reject' cannot be with images with several labels", ("loss.name=bce", "reject.kept=0.9")),
        ("mixup and cutmix cannot be with images with several labels", ("loss.name=bce", "augment.mixup=0.1")),
    ):
        options = [word for setting in settings for word in ("--set", setting)]
        done = hiergen("train", "own.py:N2HL", "--data", "labels.csv", "--val", "val.csv", *options)
        assert (done.code, done.out) == (2, ""), done
        assert words in done.err
    done = hiergen("reject", "own.py:N2HL", "--weights", "x", "--data", "labels.csv")
    assert done.code == 2
    with pytest.raises(HiergenError, match="its images have several labels, or none; expected one for each"):
        open_data("labels.csv", load_network("own.py:N2HL"))
