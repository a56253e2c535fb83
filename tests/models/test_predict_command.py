"""`hiergen predict`: every file named once and in order, broken ones too, in text, CSV, JSON and pictures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tarfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Ran
from PIL import Image
from toy_networks import toy_home

import hiergen as package
from hiergen.models.load import load_network
from hiergen.nn.predict import percent
from hiergen.views.draw.prediction import SHOWN, prediction_picture
from tests.helpers import message

Run = Callable[..., Ran]
FULL = ("toypredicted_n2hl", "--weights", "N2HL.safetensors")
NAMES = ["1.png", "2.png", "10.JPG", "more/deep/x.png", "more/ä b.png"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy_home(tmp_path_factory.mktemp("predicted"), "toypredicted", "N2HL")
    draw = np.random.default_rng(0)
    for name in NAMES:
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    (folder / "photos/notes.txt").write_text("hello")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    with tarfile.open(folder / "photos.tar", "w") as tar:
        tar.add(folder / "photos", "photos")
    return folder


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_a_tar_and_patterns_give_the_same_in_order(hiergen: Run) -> None:
    """By name in a folder, as typed otherwise; small batches keep the order."""
    want = [f"photos/{name}" for name in NAMES]
    ran = hiergen("predict", *FULL, "photos", "--csv", "--batch-size", 2, "--workers", 3)
    assert ran.code == 0
    assert "photos: left out: 1 file, which is no image (1 .txt; 'notes.txt' first)" in ran.err
    table = rows(ran.out)
    assert [row["file"] for row in table] == want
    network = load_network("toypredicted_n2hl", "N2HL.safetensors")
    for row in table:
        answer = network.predict(row["file"])
        assert (row["answer"], row["class"], row["id"]) == (answer.name, answer.best.name, answer.best.id)
        assert (row["level1"], row["error"]) == (answer.path[0].name, "")
        assert float(row["level1_probability"]) == pytest.approx(answer.path[0].probability, abs=1e-5)
        guesses = [(row["class"], row["probability"])]
        guesses += [(row[f"class{i}"], row[f"class{i}_probability"]) for i in range(2, 6)]
        assert [name for name, _ in guesses] == [guess.name for guess in answer.classes]
        assert [float(p) for _, p in guesses] == pytest.approx([g.probability for g in answer.classes], abs=1e-5)
    tarred = rows(hiergen("predict", *FULL, "photos.tar", "--csv").out)
    assert [row["file"] for row in tarred] == [f"photos.tar:photos/{name}" for name in NAMES]
    assert [row["answer"] for row in tarred] == [row["answer"] for row in table]
    everything = hiergen("predict", *FULL, "photos/**", "--csv")
    assert {row["file"] for row in rows(everything.out)} == set(want)
    assert "left out: 1 file" in everything.err
    typed = [want[3], want[0], want[3]]
    assert [row["file"] for row in rows(hiergen("predict", *FULL, *typed, "--csv").out)] == typed
    assert [row["file"] for row in rows(hiergen("predict", *FULL, "photos/*.png", "--csv").out)] == want[:2]
    assert [row["file"] for row in rows(hiergen("predict", *FULL, "phot?s/*", "--csv").out)] == [
        *("photos/1.png", "photos/10.JPG", "photos/2.png", "photos/more/deep/x.png", "photos/more/ä b.png")
    ]


def test_text_for_few_and_for_many(hiergen: Run) -> None:
    network = load_network("toypredicted_n2hl", "N2HL.safetensors")
    ran = hiergen("predict", *FULL, "photos/1.png", "--top", 2)
    assert (ran.code, ran.err) == (0, "")
    answer = network.predict("photos/1.png")
    lines = ran.out.splitlines()
    assert lines[0].startswith(f"photos/1.png: {answer.name} ")
    assert len(lines) == 1 + network.nesting.depth
    for line, level in zip(lines[1:], answer.levels, strict=True):
        assert line.startswith(f"  {level[0].name} ")
        assert len(line.split("   ")) == min(2, len(level))
    many = hiergen("predict", *FULL, "photos").out
    assert [line.split("  ")[0] for line in many.splitlines()[1:]] == [f"photos/{name}" for name in NAMES]


def test_broken_files_are_named_and_counted(hiergen: Run, tmp_path: Path) -> None:
    files = ("photos/1.png", "broken.jpg", "photos/2.png")
    out = tmp_path / "out.csv"
    ran = hiergen("predict", *FULL, *files, "-o", out)
    assert ran.code == 2
    assert "broken.jpg: cannot be read as an image" in ran.err
    assert "error: 1 of 3 images cannot be read ('broken.jpg'); --skip-broken leaves such images out" in ran.err
    table = rows(out.read_text("utf-8"))  # all the others are there
    assert [row["file"] for row in table] == list(files)
    assert [bool(row["error"]) for row in table] == [False, True, False]
    assert table[1]["answer"] == ""
    ran = hiergen("predict", *FULL, *files, "--json", "--skip-broken")
    assert ran.code == 0
    said = json.loads(ran.out)
    assert [image["file"] for image in said["images"]] == [files[0], files[2]]
    assert said["broken"][0]["file"] == "broken.jpg"
    assert (said["model"], said["form"]) == ("N2HL", "specialists")
    assert hiergen("predict", *FULL, "broken.jpg").code == 2
    done = package.predict(FULL[0], files, weights=FULL[2])
    assert [answer.place for answer in done] == [files[0], files[2]]  # a sequence of those that could be read
    assert (len(done), done[-1].place, done[1:]) == (2, files[2], done.answers[1:])


def test_classes_at_run_time_are_the_cutouts(hiergen: Run, tmp_path: Path) -> None:
    """And a cutout's folder brings its weights; its command names the next one."""
    made = hiergen("cutout", *FULL, "--classes", "dog,tabby", "-o", tmp_path / "cut")
    assert f"next: hiergen predict {tmp_path / 'cut'} IMAGES" in made.out
    cut = json.loads(hiergen("predict", tmp_path / "cut", "photos", "--json").out)
    full = json.loads(hiergen("predict", *FULL, "photos", "--json", "--classes", "dog", "--classes", "tabby").out)
    for a, b in zip(cut["images"], full["images"], strict=True):
        assert a["answer"] == b["answer"]
        for one, other in zip(a["levels"], b["levels"], strict=True):
            assert {g["name"]: g["probability"] for g in one} == pytest.approx(
                {g["name"]: g["probability"] for g in other}, rel=1e-4
            )


def test_a_trainings_folder_is_a_model(hiergen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its best weights; after it was moved too; and what is no such folder says so."""
    monkeypatch.chdir(tmp_path)
    assert hiergen("train", "--epochs", 1, "--out", "run").code == 0
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("zero.png")
    first = hiergen("predict", "run", "zero.png", "--json")
    assert first.code == 0
    model = json.loads(Path("run/run.json").read_text())["model"]
    again = hiergen("predict", model, "zero.png", "--json", "--weights", "run/best.safetensors")
    assert first.out == again.out
    os.rename("run", "moved")
    assert hiergen("predict", "moved", "zero.png", "--json").out == first.out
    assert hiergen("eval", "moved", "--data", "digits").code == 0
    Path("moved/best.safetensors").unlink()
    assert "moved: is a training's folder without best.safetensors" in hiergen("predict", "moved", "zero.png").err
    for text, said in (("[]", "says of no training"), ('{"model": 3}', "says of no training")):
        Path("moved/run.json").write_text(text)
        assert said in hiergen("predict", "moved", "zero.png").err
    Path("moved/run.json").write_text('{"model": "digits:N2HL", "flat": true}')
    assert "is a training of the flat network, which has no branches" in hiergen("predict", "moved", "zero.png").err
    Path("moved/best.safetensors").write_text("")
    Path("moved/run.json").write_text('{"model": "gone.py:N2HL"}')
    ran = hiergen("predict", "moved", "zero.png")
    assert "name where the model is now: MODEL --weights moved/best.safetensors" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    {
        ("photos/3.png",): "photos/3.png: no such image or folder; nearest: photos/2.png",
        ("photos/*.gif",): "no image fits the pattern 'photos/*.gif'",
        ("photos/*.txt",): "no image fits the pattern 'photos/*.txt'; got left out: 1 file, which is no image",
        ("generated",): "generated: holds no images",
        ("photos", "--csv", "--json"): "two formats are asked for; expected --csv or --json",
        ("photos", "-o", "x.xls"): "x.xls: is no name for predictions; expected a .csv or .json file",
        ("photos", "--draw", "x.gif"): "x.gif: is no name for a picture",
        ("photos", "--draw", "x.svg"): "x.svg: 5 images do not fit into one picture; expected a folder's name",
        ("photos", "--draw", "broken.jpg/x"): "broken.jpg/x/1.svg: cannot be written",
        ("photos", "--classes", "lynx"): "'lynx' is in WordNet, but no class of this network is a kind of it",
        ("photos", "--top", "0"): "should be greater than or equal to 1",
    }.items(),
)
def test_what_is_refused(hiergen: Run, words: tuple[str, ...], said: str) -> None:
    ran = hiergen("predict", *FULL, *words)
    assert ran.code == 2
    assert said in re.sub(r"[│\s]+", " ", ran.err)
    assert not Path("x.svg").exists()


def test_no_weights_is_an_error(hiergen: Run) -> None:
    ran = hiergen("predict", "toypredicted_n2hl", "photos")
    assert (ran.code, ran.out) == (2, "")
    assert "no weights for N2HL; expected --weights FILE.safetensors" in ran.err
    assert "no images" in message(lambda: package.predict("toypredicted_n2hl", [], untrained=True))


def test_the_picture_shows_the_image_the_way_and_all_probabilities(hiergen: Run, tmp_path: Path) -> None:
    ran = hiergen("predict", *FULL, "photos/1.png", "--draw", tmp_path / "x.svg")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, f"→ {tmp_path / 'x.svg'}")
    root = ElementTree.parse(tmp_path / "x.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    (image,) = root.iter(f"{space}image")
    shown = Image.open(io.BytesIO(b64decode(image.attrib["href"].removeprefix("data:image/jpeg;base64,"))))
    assert shown.size == (60, 40)
    network = load_network("toypredicted_n2hl", "N2HL.safetensors")
    answer = network.predict("photos/1.png", top=99)
    text = " ".join(t.text or "" for t in root.iter(f"{space}text"))
    for level in answer.levels:
        for guess in level:
            assert f"{guess.name} {percent(guess.probability)}" in text
    hot = [t.text for t in root.iter(f"{space}text") if t.attrib.get("class") == "hottext"]
    assert hot == [answer.name, percent(answer.best.probability)]
    assert len([n for n in root.iter(f"{space}g") if "data-class" in n.attrib]) == network.num_classes
    several = hiergen("predict", *FULL, "photos/1.png", "photos/more", "photos/1.png", "--draw", tmp_path / "drawn")
    assert several.code == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["1-2.svg", "1.svg", "x.svg", "ä-b.svg"]


def test_of_many_classes_the_likeliest_are_drawn() -> None:
    names = [f"c{i}" for i in range(SHOWN + 10)]
    groups = {"even": names[::2], "odd": names[1::2]}
    network = package.network(names, groups=groups, backbone="resnet10t", input_size=32)
    svg = prediction_picture(network, Image.new("RGB", (20, 30)), name="a.png")
    assert "a.png; the likeliest 12 of 50 classes" in svg
    answer = network.predict(Image.new("RGB", (20, 30)), top=12)
    assert set(re.findall(r'data-class="(c\d+)"', svg)) == {guess.id for guess in answer.classes}
    few = prediction_picture(network, Image.new("RGB", (20, 30)), classes=[0, 1, 7])
    assert set(re.findall(r'data-class="(c\d+)"', few)) == {"c0", "c1", "c7"}
