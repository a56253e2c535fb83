"""An evaluation's answers on the page: counts against images.csv, thumbnails against images, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hiergen.models.load import find_model
from hiergen.taxonomy.load import load_taxonomy
from hiergen.training.run import evaluate
from hiergen.views.explore import explore
from hiergen.views.explore.answers import EACH, MOST, _Answer, _draw
from tests.views.page_cases import AWKWARD, EVIL, Page, browser, data_of

GROUPS = {"cat": ["tabby", "siamese"], "dog": ["pug", "beagle", "hound"], "fish": ["carp", "tuna"]}
CLASSES = ["tabby", "pug", "carp", "siamese", "beagle", "tuna", "hound"]
SPEC = f"""\
name: answered
classes: {json.dumps(CLASSES)}
sources: [groups: {json.dumps(GROUPS)}]
models: {{N2HL: {{trunk: {{backbone: mobilenetv2_035, until: blocks.5}}, input_size: 64, budget: {{params: 300k}}}}}}
"""
HOME = {member: group for group, members in GROUPS.items() for member in members}
Row = dict[str, str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A taxonomy, and an evaluation of a network of random weights on images of one colour each."""
    made = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        Path("answered.yaml").write_text(SPEC)
        torch.manual_seed(1)
        network = find_model("answered.yaml:N2HL").cls()
        with torch.no_grad():
            network.head.weight.mul_(40)
        draw = np.random.default_rng(0)
        for name in CLASSES:
            (Path("data") / name).mkdir(parents=True)
            for i in range(9):
                colour = tuple(int(c) for c in draw.integers(0, 256, 3))
                Image.new("RGB", (160, 120), colour).save(f"data/{name}/{name}{i}.png")
        evaluate(network, "data", out="ev")
        yield made


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[Row]:
    with open("ev/images.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_answers_are_those_of_the_evaluation(folder: Path, rows: list[Row]) -> None:
    done = explore(["answered.yaml"], "p.html", results="ev")
    answers = data_of(done.path.read_text("utf-8"))["answers"]
    pairs = Counter((row["true_id"], row["predicted_id"]) for row in rows)
    assert {(CLASSES[t], CLASSES[p]): n for t, p, n in answers["confusions"]} == pairs
    by_name = {Path(row["file"]).name: row for row in rows}
    kinds: Counter[tuple[str, bool]] = Counter()
    for item in answers["items"]:
        row = by_name.pop(item["file"])  # none twice
        assert [CLASSES[item["true"]], CLASSES[item["predicted"]]] == [row["true_id"], row["predicted_id"]]
        assert item["probability"] == pytest.approx(float(row["probability"]))
        head, _, bytes64 = item["image"].partition(",")
        assert head == "data:image/jpeg;base64"
        small = Image.open(io.BytesIO(b64decode(bytes64)))
        assert small.size == (96, 72)
        colour = Image.open(row["file"]).convert("RGB").getpixel((0, 0))
        assert small.getpixel((40, 40)) == pytest.approx(colour, abs=6)
        kinds[row["true_id"], row["right"] == "1"] += 1
    every = Counter((row["true_id"], row["right"] == "1") for row in rows)
    assert kinds == {kind: min(count, EACH) for kind, count in every.items()}
    assert done.notes == (f"ev: {answers['drawn']}",)
    assert answers["drawn"].startswith(f"thumbnails of {kinds.total()} of 63 images, at most 3 right and 3 wrong ones")
    # the page without them has neither their data nor their code
    bare = explore(["answered.yaml"], "bare.html")
    assert '"answers"' not in bare.path.read_text("utf-8")
    assert "Explore.raw.answers" not in bare.path.read_text("utf-8")
    assert bare.size < 1_000_000
    assert done.size - bare.size < 20_000 + 6_000 * kinds.total()


def test_a_click_shows_what_a_node_is_taken_for(folder: Path, rows: list[Row]) -> None:
    done = explore(["answered.yaml"], "p.html", results="ev")
    with browser() as chromium:
        page = Page(chromium, done.path.absolute())
        assert page.js("return document.getElementById('colour').value") == "accuracy"
        assert page.js("return document.documentElement.scrollHeight <= innerHeight")
        for name in ("answered", *GROUPS, *CLASSES):
            page.js("arguments[0].click(); Explore.flush()", page.row(name))
            home = (lambda c: c) if name in HOME else HOME.__getitem__ if name in GROUPS else (lambda _: "answered")
            below = [row for row in rows if home(row["true_id"]) == name]
            right = sum(row["right"] == "1" for row in below)
            share = f"{100 * right / len(below):.1f} %"
            assert page.text("#answers-share") == f"{share} right: {right} of {len(below)} images"
            assert page.text("#answers-title") == f"Answers: {name}"
            amounts = page.js("return arguments[0].querySelector('.amount').textContent", page.row(name))
            assert amounts.replace("\u00a0", " ") == share
            # both directions, most first
            to = Counter(home(row["predicted_id"]) for row in below if home(row["predicted_id"]) != name)
            others = [row for row in rows if home(row["predicted_id"]) == name and row not in below]
            came = Counter(home(row["true_id"]) for row in others)
            for title, counts in (("Taken for other", to), ("Other", came)):
                shown = page.js(
                    "const every = [...document.querySelectorAll('#answers h3')];"
                    "const h = every.find(e => e.textContent.startsWith(arguments[0]));"
                    "return h ? [...h.nextSibling.querySelectorAll('button')].map(b =>"
                    " [b.firstChild.textContent, Number(b.querySelector('b').firstChild.textContent)]) : []",
                    title,
                )
                assert dict(shown) == counts
                assert [n for _, n in shown] == sorted(counts.values(), reverse=True)
            pictures = page.js(
                "return [...document.querySelectorAll('#answers img')].map(i => [i.alt, i.naturalWidth])"
            )
            assert all(width == 96 for _, width in pictures)
            for kind, flag in (("right", "1"), ("taken for", "0")):
                of = Counter(row["true_id"] for row in below if row["right"] == flag)
                drawn = sum(min(count, EACH) for count in of.values())
                assert sum(f": {kind}" in alt for alt, _ in pictures) == min(drawn, 6)
            assert all(alt.split(",")[0] in {Path(row["file"]).name for row in below} for alt, _ in pictures)
        # an entry goes to its class, by the keyboard as well
        to = Counter(r["predicted_id"] for r in rows if r["true_id"] == "pug" and r["right"] == "0")
        page.js("arguments[0].click(); Explore.flush()", page.row("pug"))
        page.js("document.querySelector('#answers button.confused').focus()")
        page.press("\ue007")
        other = page.until(lambda: page.focused() not in ("", "pug") and page.focused())
        assert to[other] == max(to.values())
        page.js("")
        assert page.text("#answers-title") == f"Answers: {other}"
        page.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_answers_without_sideways_scroll(folder: Path, scheme: str) -> None:
    done = explore(["answered.yaml"], "p.html", results="ev")
    with browser() as chromium:
        metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
        page = Page(chromium, done.path.absolute())
        for name in ("dog", "pug"):
            page.js("arguments[0].click(); Explore.flush()", page.row(name))
            assert page.js("return document.querySelectorAll('#answers img').length") > 0
            assert page.js("return document.documentElement.scrollWidth") <= 390
            heights = "return [...document.querySelectorAll('#answers button')].map(b => b.offsetHeight)"
            assert min(page.js(heights)) >= 28
        page.quiet()


def test_images_that_are_gone_are_counted(folder: Path, rows: list[Row], tmp_path: Path) -> None:
    shutil.copytree("ev", tmp_path / "ev")
    text = (tmp_path / "ev/images.csv").read_text()
    (tmp_path / "ev/images.csv").write_text(text.replace("data/pug", "nowhere/pug").replace("data/carp/", "\0"))
    done = explore(["answered.yaml"], tmp_path / "p.html", results=tmp_path / "ev")
    answers = data_of(done.path.read_text("utf-8"))["answers"]
    every = Counter((row["true_id"], row["right"]) for row in rows)
    lost = sum(min(EACH, count) for (name, _), count in every.items() if name in ("pug", "carp"))
    assert f"; {lost} more can no longer be read where images.csv says" in done.notes[0]
    assert {CLASSES[item["true"]] for item in answers["items"]} == {*CLASSES} - {"pug", "carp"}
    assert sum(n for *_, n in answers["confusions"]) == len(rows)


def test_images_of_tars_and_of_digits_are_found(folder: Path, rows: list[Row], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add("data")
    shutil.copytree("ev", tmp_path / "ev")
    file = tmp_path / "ev/images.csv"
    file.write_text(file.read_text().replace("data/", f"{tmp_path}/data.tar:data/"))
    done = explore(["answered.yaml"], tmp_path / "p.html", results=tmp_path / "ev")
    assert "can no longer" not in done.notes[0]
    written(tmp_path / "digits", [("digits:0", "tabby", "pug"), ("digits:9999", "tabby", "tabby")], CLASSES)
    done = explore(["answered.yaml"], tmp_path / "p.html", results=tmp_path / "digits")
    (item,) = data_of(done.path.read_text("utf-8"))["answers"]["items"]
    assert item["file"] == "digits:0"
    assert "; 1 more can no longer be read" in done.notes[0]


def written(folder: Path, lines: list[tuple[str, str, str]], ids: list[str]) -> Path:
    """The files of an evaluation with these (file, true, predicted), by hand."""
    folder.mkdir()
    with open(folder / "images.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "true_id", "predicted_id", "probability"), *((*line, "0.5") for line in lines)]
        )
    counts = Counter((true, said) for _, true, said in lines)
    with open(folder / "confusion.csv", "w", newline="") as file:
        csv.writer(file).writerows([("true", *ids), *((t, *(counts[t, p] for p in ids)) for t in ids)])
    classes = [{"id": c, "images": sum(t == c for _, t, _ in lines)} for c in ids]
    (folder / "metrics.json").write_text(json.dumps({"images": len(lines), "top1": 0.5, "classes": classes}))
    return folder


def test_names_of_classes_and_files_are_text(tmp_path: Path, write: Callable[..., Path]) -> None:
    spec = write(AWKWARD, "awkward.yaml")
    ids = [c.id for c in load_taxonomy(spec).classes]
    file = tmp_path / "<img src=x onerror=alert(1)> & \"'.png"
    Image.new("RGB", (50, 50), "red").save(file)
    lines = [(str(file), EVIL, "-dash"), (str(file), "-dash", EVIL), (str(file), EVIL, EVIL)]
    done = explore([str(spec)], tmp_path / "p.html", results=written(tmp_path / "ev", lines, ids))
    assert EVIL not in done.path.read_text("utf-8")
    with browser() as chromium:
        page = Page(chromium, done.path)
        page.js("Explore.goTo(0, Explore.nestOf(0).firstClass + arguments[0]); Explore.flush()", ids.index(EVIL))
        assert page.text("#answers-title") == f"Answers: {EVIL}"
        assert page.text("#answers .confused span") == "-dash"
        assert page.js("return [...document.querySelectorAll('#answers small')].pop().textContent") == file.name
        assert page.js("return [...document.images].every(i => i.src.startsWith('data:'))")
        assert page.driver.title == "awkward · hiergen explore"
        page.quiet()


def test_every_part_of_a_large_tree_has_thumbnails() -> None:
    answers = [_Answer(str(i), i % 400, (i % 400 + i % 3) % 400, 0.5, None) for i in range(8000)]
    chosen = _draw(answers)
    assert len(chosen) == MOST
    assert len({a.file for a in chosen}) == MOST
    assert Counter(a.true == a.predicted for a in chosen) == {True: MOST // 2, False: MOST // 2}
    assert len({a.true // 40 for a in chosen}) == 10
    assert chosen == _draw(answers)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("images.csv", None, "holds no images.csv; expected an evaluation; run hiergen eval -o FOLDER"),
        ("confusion.csv", None, "holds no confusion.csv; expected an evaluation; run hiergen eval -o FOLDER"),
        ("metrics.json", None, "holds no metrics.json"),
        (
            "metrics.json",
            ("pug", "alien"),
            "metrics.json: is of other classes: 'alien'; expected results of these classes",
        ),
        ("images.csv", (",pug,", ",alien,"), ": is of other classes: 'alien'"),
        ("confusion.csv", ("pug", "alien"), "confusion.csv:1: is of other classes: 'alien'"),
        ("images.csv", ("probability", "chance"), "images.csv: has no column 'probability'"),
        ("images.csv", (",0.", ",1."), "is not a probability"),
        ("images.csv", (",0.", ",,0."), "has other cells than the head; expected 9, got 10"),
        ("confusion.csv", ("\ntabby,", "\ntabby,x"), "is not a count of images"),
        ("confusion.csv", (",1", ",2"), "does not count the images of images.csv"),
        ("confusion.csv", (",1", ",nan"), "'nan' is not a count of images"),
        (
            "metrics.json",
            ('"images": 63', '"images": 64'),
            "metrics.json: counts other images; got 64, and 63 in images.csv",
        ),
    ],
)
def test_what_is_no_evaluation_of_these_classes_is_one_sentence(
    hiergen: Callable[..., Any],
    folder: Path,
    tmp_path: Path,
    file: str,
    change: tuple[str, str] | None,
    says: str,
) -> None:
    shutil.copytree("ev", made := tmp_path / "ev")
    text = (made / file).read_text()
    (made / file).unlink()
    if change is not None:
        assert change[0] in text
        (made / file).write_text(text.replace(*change))
    ran = hiergen("explore", folder / "answered.yaml", "--results", made, "-o", tmp_path / "p.html")
    assert ran.code == 2
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "p.html").exists()
