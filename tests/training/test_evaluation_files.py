"""`hiergen eval -o FOLDER`: a line for each image, against what the network says of that file alone."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hiergen.models.load import load_network
from hiergen.models.weights import save_weights
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.rejection import Rejection
from hiergen.training.run import evaluate, evaluate_network
from tests.helpers import message
from tests.training.own_images import CLASSES, FOLDERS, GROUPS

Hiergen = Callable[..., Any]
MODEL = ("own.py:N2HL", "--weights", "w.safetensors", "--data", "other")


@pytest.fixture(autouse=True)
def network(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HierarchicalNetwork:
    """In a folder with own.py, other/ and random weights, whose network this is."""
    shutil.copytree(home / "other", tmp_path / "copy/other")
    shutil.copy(home / "own.py", tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    torch.manual_seed(2)
    network = load_network("own.py:N2HL")
    torch.nn.init.normal_(network.head.weight)
    save_weights(network, "w.safetensors")
    return network


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_and_every_pair_of_classes(hiergen: Hiergen, network: HierarchicalNetwork) -> None:
    ran = hiergen("eval", *MODEL, "-o", "out", "--workers", 0)
    assert ran.code == 0, ran.err
    files = "classes.csv, confusion-classes.png, confusion-classes.svg, confusion.csv, confusion.png, confusion.svg"
    assert ran.out.splitlines()[-1] == f"→ out: {files}, images.csv, metrics.json"
    lines = rows("out/images.csv")
    assert sorted(line["file"] for line in lines) == sorted(map(str, Path("other").rglob("*.png")))
    names = dict(zip(network.classes, network.nesting.labels, strict=True))
    homes = {folder: name for name, folder in FOLDERS.items()}
    pairs = []
    for line in lines:
        answer, true = network.predict(line["file"]), homes[Path(line["file"]).parent.name]
        pairs.append((true, answer.best.id))
        assert (line["true_id"], line["true"], line["level1_true"]) == (true, names[true], GROUPS[true])
        assert (line["predicted_id"], line["predicted"]) == (answer.best.id, answer.name)
        assert line["level1_predicted"] == GROUPS[answer.best.id]
        assert line["right"] == str(int(true == answer.best.id))
        assert float(line["probability"]) == pytest.approx(answer.best.probability, abs=2e-5)
    assert len({said for _, said in pairs}) > 1
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["top1"] == pytest.approx(sum(line["right"] == "1" for line in lines) / len(lines))
    matrix = rows("out/confusion.csv")
    assert [line["true"] for line in matrix] == list(CLASSES)
    for line in matrix:
        assert {c: int(line[c]) for c in CLASSES} == {c: pairs.count((line["true"], c)) for c in CLASSES}
    assert hiergen("eval", *MODEL, "-o", "out", "--classes", "cold", "--workers", 0).code == 0  # in place of it
    cold = [name for name in CLASSES if GROUPS[name] == "cold"]
    assert {line["true_id"] for line in rows("out/images.csv")} == set(cold)
    assert [line["true"] for line in rows("out/confusion.csv")] == cold
    for line in rows("out/images.csv"):
        assert line["predicted_id"] == network.predict(line["file"], classes="cold").best.id


def test_broken_images_are_no_lines(hiergen: Hiergen, network: HierarchicalNetwork) -> None:
    Path("other/moss/1.png").write_text("no image")
    ran = hiergen("eval", *MODEL, "-o", "out", "--workers", 0)
    assert (ran.code, Path("out").exists()) == (2, False)
    assert hiergen("eval", *MODEL, "-o", "out", "--workers", 0, "--skip-broken").code == 0
    lines = rows("out/images.csv")
    assert len(lines) == 14
    assert "other/moss/1.png" not in {line["file"] for line in lines}
    assert all(line["predicted_id"] == network.predict(line["file"]).best.id for line in lines)


def test_other_files_stay(hiergen: Hiergen) -> None:
    Path("run").mkdir()
    Path("run/metrics.json").write_text("{}")
    Path("run/best.safetensors").write_text("")
    ran = hiergen("eval", *MODEL, "-o", "run")
    assert (ran.code, ran.out) == (2, "")
    assert "run: is a folder with other files; expected a new or empty folder, got best.safetensors" in ran.err
    assert Path("run/metrics.json").read_text() == "{}"
    Path("run/best.safetensors").rename("run/confusion notes.txt")
    Path("run/metrics.json").unlink()
    ran = hiergen("eval", *MODEL, "-o", "run")
    assert (ran.code, ran.out) == (2, "")
    assert "got confusion notes.txt" in ran.err
    assert Path("run/confusion notes.txt").is_file()
    assert "w.safetensors: is a file" in message(lambda: evaluate("own.py:N2HL", "other", out="w.safetensors"))


def test_a_threshold_is_a_column(network: HierarchicalNetwork) -> None:
    from hiergen.data.sources import labelled_images
    from hiergen.training.evaluation_files import images_csv

    images = labelled_images(network, "other")
    logits = torch.stack([network(images[i][0][None])[0] for i in range(len(images))]).detach()
    order = logits.max(1).values.sort().values
    network.rejection = Rejection(float(order[len(order) // 2 - 1 :][:2].mean()))  # between two, where nothing rounds
    lines = list(csv.DictReader(images_csv(evaluate_network(network, images, workers=0)).splitlines()))
    want = (logits.max(1).values >= network.rejection.threshold).int().tolist()
    assert [int(line["accepted"]) for line in lines] == want
    assert len(set(want)) == 2
