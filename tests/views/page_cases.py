"""Taxonomy files for the page's tests, and a browser to open pages in."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

EVIL = "</script><img src=x onerror=\"document.title='owned'\">"
# resnet50 at its usual size is in the shipped table, so that torch stays out
MODELS = """models:
  PHL: {trunk: {backbone: resnet50, until: layer3}, branches: [[{width: 8, out: 12}]]}
  N2HL:
    trunk: {backbone: resnet50, until: layer3}
    branches: [[{width: 16, out: 24, stride: 2}], [{width: 8, out: 12, depth: 2}]]
  N3HL:
    trunk: {backbone: resnet50, until: layer2}
    branches: [[{width: 32, out: 48, stride: 2}], [{width: 16, out: 24, stride: 2}], [{width: 8, out: 12}]]
"""
_CLASSES = f"{json.dumps(EVIL)}, \"it's a 'quote'\", '-dash', goldfish, 'a, b'"
AWKWARD = (
    f"name: awkward\nclasses: [tabby, siamese, pug, beagle, 'tench, Tinca tinca', shark, {_CLASSES}]\n"
    "sources:\n  - groups:\n      animal: {cat & dog: {cat: [tabby, siamese], dog: [pug, beagle]}, "
    "fish: {big fish: [shark, 'tench, Tinca tinca'], lone: [goldfish]}}\n"
    f"      odd things: [{json.dumps(EVIL)}, \"it's a 'quote'\"]\n      '<b>bold</b>': ['-dash', 'a, b']\n"
) + MODELS
OTHER = (
    f"name: other\nclasses: [pug, tabby, beagle, siamese, 'tench, Tinca tinca', shark, {_CLASSES}]\n"
    "sources:\n  - groups:\n      animal: {cat & dog: {cat: [tabby, siamese, goldfish], dog: [pug, beagle]}, "
    "fish: {big fish: [shark, 'tench, Tinca tinca']}}\n"
    f"      odd things: [{json.dumps(EVIL)}, \"it's a 'quote'\", '-dash', 'a, b']\n"
) + MODELS


def thousand() -> str:
    """1000 classes in 10 groups of 10 groups of 10."""
    groups = {
        f"group {a}": {f"group {a}{b}": [f"thing {a}{b}{c}" for c in range(10)] for b in range(10)} for a in range(10)
    }
    names = [name for level in groups.values() for part in level.values() for name in part]
    random.Random(0).shuffle(names)
    text = {"name": "thousand", "classes": names, "sources": [{"groups": groups}]}
    return f"{json.dumps(text)[:-1]}, {json.dumps('models')}: {_inline_models()}}}\n"


def _inline_models() -> str:
    import yaml

    return json.dumps(yaml.safe_load(MODELS)["models"])


def data_of(html: str) -> Any:
    """The page's data."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.S)
    assert found
    return json.loads(found[1])


Browser = Any


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium by its driver. Skips where one of them or selenium is not there."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install '.[dev]')")
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = chromium
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "window-size=1280,860"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    made.set_page_load_timeout(280)
    made.set_script_timeout(280)
    try:
        yield made
    finally:
        made.quit()


class Page:
    """A page that is open in a browser: what it shows, what was asked of the network, what the console says."""

    def __init__(self, driver: Browser, file: Path) -> None:
        self.driver = driver
        driver.get_log("browser"), driver.get_log("performance")
        driver.get(file.as_uri())
        self.until(lambda: self.js("return document.documentElement.dataset.ready") == "true")

    def js(self, code: str, *arguments: Any) -> Any:
        """The result of a script; drawing that is due is done first and afterwards."""
        return self.driver.execute_script(f"globalThis.Explore?.flush?.(); {code}", *arguments)

    def until(self, true: Callable[[], Any], seconds: float = 120) -> Any:
        """Wait for something to become true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _: true())

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def text(self, selector: str) -> str:
        found = str(self.js("return document.querySelector(arguments[0])?.textContent ?? ''", selector))
        return found.replace("\u00a0", " ")

    def names(self, pane: int = 0) -> list[str]:
        """The rows of a tree in their order."""
        return list(
            self.js(
                "return [...document.querySelectorAll(`#tree-${arguments[0]} .row`)]"
                ".sort((a, b) => a.getBoundingClientRect().y - b.getBoundingClientRect().y)"
                ".map(r => r.querySelector('.name').textContent)",
                pane,
            )
        )

    def row(self, name: str, pane: int = 0) -> Any:
        """The row of a name that is in view."""
        code = (
            "return [...document.querySelectorAll(`#tree-${arguments[1]} .row`)]"
            ".find(r => r.querySelector('.name').textContent === arguments[0])"
        )
        return self.until(lambda: self.js(code, name, pane))

    def focused(self) -> str:
        """The name of the row that has the focus."""
        return str(self.js("return document.activeElement.querySelector?.('.name')?.textContent ?? ''"))

    def figures(self, row: str, pane: int = 0) -> dict[str, float]:
        """What a row of the cutout's table says."""
        cells = self.js(
            "return [...document.querySelectorAll(`table[data-pane='${arguments[1]}'] tr[data-row='${arguments[0]}']"
            " td[data-what]`)].map(c => [c.dataset.what, Number(c.dataset.value), c.firstChild.textContent])",
            row,
            pane,
        )
        return {what: value for what, value, _ in cells}

    def nodes(self, value: str) -> list[Any]:
        """A JavaScript value of every node v of the first nesting n."""
        return list(self.js(f"const n = Explore.nestOf(0); return [...Array(n.size).keys()].map(v => {value})"))

    def set(self, selector: str, value: str, event: str) -> None:
        """A field's value, with the event that tells of it."""
        self.js(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event(arguments[2], {bubbles: true})); Explore.flush()",
            selector,
            value,
            event,
        )

    def model(self, name: str, pane: int = 0, source: int = 0) -> None:
        """Show a model."""
        self.js(
            "Explore.state.models[arguments[1]] = Explore.models.findIndex("
            "m => m.name === arguments[0] && m.source === arguments[2]); Explore.changed('models'); Explore.flush()",
            name,
            pane,
            source,
        )

    def choose(self, classes: list[int]) -> None:
        """Keep these classes (indices), as clicks on each would."""
        self.js("const s = new Set(arguments[0]); Explore.choose(c => s.has(c)); Explore.flush()", classes)

    def quiet(self) -> None:
        """Nothing in the console, no violation of the policy, and no request but the file itself."""
        assert [entry for entry in self.driver.get_log("browser") if entry["level"] != "DEBUG"] == []
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert len([url for url in asked if url.startswith("file:")]) <= 1
