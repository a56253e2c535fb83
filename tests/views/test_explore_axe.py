"""The page by axe-core's rules for accessibility: no violation in any view, width and scheme."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hiergen.models.load import find_model
from hiergen.models.weights import save_weights
from hiergen.training.run import evaluate
from hiergen.views.explore import explore
from tests.views.page_cases import AWKWARD, OTHER, Browser, Page, browser

SPEC = """\
name: seen
classes: [tabby, pug, carp, siamese]
sources: [groups: {cat: [tabby, siamese], rest: [pug, carp]}]
models:
  N2HL:
    trunk: {backbone: mobilenetv2_035, until: blocks.5}
    input_size: 64
    levels: 2
    budget: {params: 600k}
    generalist: both
"""
RUN = """
const done = arguments[0];
axe.run().then(found => done(found.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.html).join(' ')}`)));
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One network, two side by side, and one that has seen images and been measured."""
    made = tmp_path_factory.mktemp("axe")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for name, text in (("awkward", AWKWARD), ("other", OTHER), ("seen", SPEC)):
            Path(f"{name}.yaml").write_text(text, "utf-8")
        torch.manual_seed(0)
        network = find_model("seen.yaml:N2HL").cls()
        save_weights(network, "w.safetensors", model="N2HL")
        draw = np.random.default_rng(0)
        for name in network.classes:
            (Path("data") / name).mkdir(parents=True)
            for i in range(3):
                pixels = draw.integers(0, 256, (60, 80, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(f"data/{name}/{i}.png")
        evaluate(network, "data", out="ev")
        explore(["awkward.yaml"], "one.html")
        explore(["awkward.yaml", "other.yaml"], "two.html")
        explore(["seen.yaml"], "seen.html", weights="w.safetensors", data="data", results="ev")
    return {path.stem: path for path in made.glob("*.html")}


def violations(page: Page) -> list[str]:
    return list(page.driver.execute_async_script(RUN))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", ["one", "two", "seen"])
def test_no_rule_is_violated(chromium: Browser, pages: dict[str, Path], name: str, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed (pip install '.[dev]')")
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    page = Page(chromium, pages[name])
    page.js(resources.files(axe).joinpath("axe.min.js").read_text("utf-8"))
    views = page.js("return [...document.querySelectorAll('button[data-view]')].map(b => b.dataset.view)")
    assert len(views) > 2
    for view in views:
        page.js("document.querySelector(`button[data-view=${arguments[0]}]`).click()", view)
        assert violations(page) == [], view
    page.choose([0, 1])
    page.press("?")
    assert violations(page) == []
    page.js("document.querySelector('h1').style.color = document.body.style.background = '#777'")
    assert [found.split(":")[0] for found in violations(page)] == ["color-contrast"]
