"""Images on the page: the network's own probabilities, their path through the tree, and what cannot be shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import message
from PIL import Image

from hiergen.models.load import find_model
from hiergen.models.weights import save_weights
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.predict import percent
from hiergen.views.explore import explore
from hiergen.views.explore.pictures import EACH, MOST, _draw
from tests.views.page_cases import Page, browser, data_of

SPEC = """\
name: seen
classes: [tabby, pug, carp, siamese, beagle, tuna, hound]
sources: [groups: {cat: [tabby, siamese], dog: [pug, beagle, hound], fish: [carp, tuna]}]
models:
  N2HL: &model
    trunk: {backbone: mobilenetv2_035, until: blocks.5}
    input_size: 64
    budget: {params: 300k}
  PHL: *model
"""
FILES = [f"{i}.png" for i in range(3)]
COUNTS = {"tabby": 2, "pug": 5, "carp": 5, "siamese": 5, "beagle": 5, "tuna": 5, "hound": 5}  # images of "data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("seen")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        Path("seen.yaml").write_text(SPEC)
        torch.manual_seed(1)
        network = find_model("seen.yaml:N2HL").cls()
        with torch.no_grad():
            network.head.weight.mul_(40)
        save_weights(network, "w.safetensors", model="N2HL")
        draw = np.random.default_rng(0)
        for file in FILES:
            pixels = draw.integers(0, 256, (6, 9, 3)).astype(np.uint8)
            Image.fromarray(pixels).resize((450, 300), Image.Resampling.NEAREST).save(file)
        for name, count in COUNTS.items():
            (Path("data") / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (6, 9, 3)).astype(np.uint8)
                Image.fromarray(pixels).resize((90, 60), Image.Resampling.NEAREST).save(f"data/{name}/{name}-{i}.png")
        yield made


@pytest.fixture(scope="module")
def network(folder: Path) -> HierarchicalNetwork:
    from hiergen.models.load import load_trained

    return load_trained("seen.yaml:N2HL", "w.safetensors")


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    return explore(["seen.yaml"], "p.html", weights="w.safetensors", images=FILES).path.absolute()


def by_hand(network: HierarchicalNetwork, file: str) -> torch.Tensor:
    with torch.no_grad():
        return network(network.preprocess(Image.open(file))[None]).softmax(1)[0]  # type: ignore[no-any-return]


def test_probabilities_are_the_networks(page: Path, network: HierarchicalNetwork) -> None:
    data = data_of(page.read_text("utf-8"))
    assert data["models"][data["pictures"]["model"]]["name"] == "N2HL"
    items = data["pictures"]["items"]
    assert [item["name"] for item in items] == FILES
    for item in items:
        shares = torch.zeros(7)
        for c, p in item["shares"]:
            shares[c] = p
        assert shares.numpy() == pytest.approx(
            by_hand(network, item["name"]).numpy(), abs=1e-3
        )  # one by one, kernels round otherwise
        assert len(item["image"]) < 16_000
    bare = explore(["seen.yaml"], "bare.html")
    assert page.stat().st_size - bare.size < 60_000
    assert bare.size < 1_000_000


def test_a_click_lights_the_path(page: Path, network: HierarchicalNetwork) -> None:
    groups = [["tabby", "siamese"], ["pug", "beagle", "hound"], ["carp", "tuna"]]
    with browser() as chromium:
        shown = Page(chromium, page)
        items = data_of(page.read_text("utf-8"))["pictures"]["items"]
        for i in range(len(FILES)):
            shown.js("document.querySelectorAll('.picture')[arguments[0]].click(); Explore.flush()", i)
            shares = dict.fromkeys(network.nesting.labels, 0.0)
            shares |= {network.nesting.labels[c]: p for c, p in items[i]["shares"]}
            best = max(shares, key=shares.__getitem__)
            (home,) = [name for name, group in zip(("cat", "dog", "fish"), groups, strict=True) if best in group]
            rows = shown.js(
                "return [...document.querySelectorAll('#tree-0 .row')].map(r => [r.querySelector('.name').textContent,"
                " r.classList.contains('lit'), r.dataset.share ?? ''])"
            )
            assert {name for name, lit, _ in rows if lit} == {"seen", home, best}
            said = {name: share.replace("\u00a0", " ") for name, _, share in rows}
            for name, group in zip(("cat", "dog", "fish"), groups, strict=True):
                total = sum(shares[member] for member in group)
                assert said[name] == (percent(total) if total >= 0.0005 else "")
            assert shown.text("#picture-says").startswith(f"{home} {said[home]} → {best} {said[best]}")
        shown.js("document.querySelectorAll('.picture')[2].click(); Explore.flush()")  # once more: none
        assert shown.js("return document.querySelectorAll('.lit, [data-share]').length") == 0
        shown.quiet()


def test_what_cannot_be_shown_is_said_and_nothing_written(folder: Path) -> None:
    def said(name: str = "seen.yaml:N2HL", **options: object) -> str:
        text = message(lambda: explore([name], "no.html", **{"images": FILES, **options}))  # type: ignore[arg-type]
        assert not Path("no.html").exists()
        return text

    assert "not clear which model" in said("seen.yaml")
    assert "no weights for N2HL" in said()
    Path("broken.png").write_bytes(b"no image")
    assert "broken.png" in said(weights="w.safetensors", images=[*FILES, "broken.png"])
    assert f"at most {MOST}" in said(weights="w.safetensors", images=FILES * 40)


def test_a_few_of_each_class_are_drawn_and_known(folder: Path, network: HierarchicalNetwork) -> None:
    done = explore(["seen.yaml"], "d.html", weights="w.safetensors", data="data")
    pictures = data_of(done.path.read_text("utf-8"))["pictures"]
    labels = network.nesting.labels
    names = [item["name"] for item in pictures["items"]]
    assert len(set(names)) == len(names)
    assert Counter(name.split("-")[0] for name in names) == {name: min(n, EACH) for name, n in COUNTS.items()}
    assert done.notes == ("data: 20 of 32 images, at most 3 of each of 7 classes, drawn with seed 0",)
    right = 0
    for item in pictures["items"]:
        own = item["name"].split("-")[0]
        assert labels[item["true"]] == own
        logits = by_hand(network, f"data/{own}/{item['name']}")
        assert dict(item["shares"])[int(logits.argmax())] == pytest.approx(float(logits.max()), abs=1e-5)
        right += labels[int(logits.argmax())] == own
    assert 0 < right < 20
    with browser() as chromium:
        shown = Page(chromium, done.path.absolute())
        assert shown.text("#pictures .kind") == f"{right} of 20 right. {done.notes[0]}."
        assert shown.js("return document.querySelectorAll('.picture .right').length") == right
        for i, item in enumerate(pictures["items"]):
            shown.js("document.querySelectorAll('.picture')[arguments[0]].click(); Explore.flush()", i)
            own, said = item["name"].split("-")[0], labels[item["shares"][0][0]]
            text, alt = shown.text("#picture-says"), f"{item['name']}, {own}: {'right' if own == said else 'wrong'}"
            assert ("✓ right" if own == said else f"✗ wrong: it is {own} (") in text
            assert item["name"] in text
            assert shown.js("return document.querySelectorAll('.picture img')[arguments[0]].alt", i) == alt
        shown.quiet()


def test_of_many_classes_some_are_drawn() -> None:
    targets = [c for c in range(250) for _ in range(4)]
    chosen, each = _draw(targets)
    assert (len(chosen), each) == (MOST, 1)
    assert len({targets[i] for i in chosen}) == MOST
    assert chosen == _draw(targets)[0]
    assert _draw([0, 0, 0, 0, 1])[1] == EACH
    assert _draw(targets[:160])[1] == 2


def test_broken_images_and_other_folders_are_said(hiergen: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    for name in ("tabby", "pug", "zebra"):
        (tmp_path / "some" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "some" / name / "a.png")
    (tmp_path / "some/tabby/b.png").write_bytes(b"no image")
    run = ["explore", "seen.yaml", "--weights", "w.safetensors", "-o", tmp_path / "p.html", "--data"]
    ran = hiergen(*run, tmp_path / "some")
    assert ran.code == 0
    said = re.sub(r"\s+", " ", ran.out)
    assert "2 of 3 images, at most 3 of each of 2 classes, drawn with seed 0; left out: 1 that cannot be read" in said
    assert "left out: 1 folders ('zebra')" in said
    (tmp_path / "p.html").unlink()
    for name in ("tabby", "pug"):
        (tmp_path / "some" / name / "a.png").write_bytes(b"no image")
    for data, says in (
        (tmp_path / "some", "none of the images that were drawn can be read"),
        ("absent", "no data 'absent'"),
    ):
        ran = hiergen(*run, data)
        assert ran.code == 2
        assert says in ran.err
        assert len(ran.err.strip().splitlines()) == 1
        assert not (tmp_path / "p.html").exists()
    ran = hiergen(*run, "data", "--image", "0.png")
    assert ran.code == 2
    assert "two choices of images are given; expected --image or --data" in ran.err
