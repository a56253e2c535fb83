"""Names in the files that hiergen writes: each format's own reader finds them as they were, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from conftest import Ran

from hiergen.nestings.ask.client import is_local
from hiergen.training.model_card import escaped, table
from tests.security.hostile import LEGAL, taxonomy
from tests.views.page_cases import Browser, Page, browser, data_of

Run = Callable[..., Ran]
NAMES = [f"{i} {name[:150]}" for i, name in enumerate(LEGAL)]  # two may not become one identifier
DATA = {
    "classes": NAMES,
    "names": {NAMES[0]: f"{NAMES[0]} too"},
    "sources": [{"groups": {f"{NAMES[i]} group": NAMES[i : i + 6] for i in range(0, len(NAMES), 6)}}],
    "models": {"N2HL": {"trunk": {"backbone": "resnet50", "until": "layer3"}}},
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(taxonomy("x", **DATA), "utf-8")
    return tmp_path


def test_taxonomy_files_that_are_written(here: Path, hiergen: Run) -> None:
    """As PyYAML's safe loader reads them: plain data, the same classes, no comment that a name has left."""
    assert hiergen("suggest", "t.yaml", "--by", "random", "--out", "s.yaml").code == 0
    found = yaml.safe_load(Path("s.yaml").read_text("utf-8"))
    assert found["classes"] == NAMES
    assert set(found) <= {
        "name",
        "classes",
        "names",
        "sources",
        "nesting",
        "models",
        "hypernyms",
        "unplaced",
        "synsets",
        "kind-of",
    }
    assert hiergen("export", "t.yaml", "--format", "json", "-o", "t.json").code == 0
    assert hiergen("import", "t.json", "-o", "i.yaml").code == 0
    assert yaml.safe_load(Path("i.yaml").read_text("utf-8"))["classes"] == NAMES
    assert hiergen("validate", "i.yaml").code == 0


def test_trees_in_other_formats(here: Path, hiergen: Run) -> None:
    """Newick, GraphML, label paths and JSON, read by hiergen and, where there is one, by another reader.

    A table holds names as they are, "=…" too: it is read back, and a mark before it would be part of the name.
    """
    for kind, ending in (
        ("newick", "nwk"),
        ("json", "json"),
        ("paths", "csv"),
        ("paths", "tsv"),
        ("graphml", "graphml"),
    ):
        file = f"t.{ending}"
        assert hiergen("export", "t.yaml", "--format", kind, "-o", file).code == 0
        if kind != "graphml":
            assert hiergen("import", file, "-o", f"{ending}.yaml").code == 0
            assert sorted(yaml.safe_load(Path(f"{ending}.yaml").read_text("utf-8"))["classes"]) == sorted(NAMES)
    rows = list(csv.reader(io.StringIO(Path("t.csv").read_text("utf-8"))))
    assert {next(cell for cell in reversed(row) if cell) for row in rows} == set(NAMES)
    document = ET.parse("t.graphml")
    assert {node.text for node in document.iter("{http://graphml.graphdrawing.org/xmlns}data")} >= set(NAMES)
    assert "<!ENTITY" not in Path("t.graphml").read_text("utf-8")


class Tags(HTMLParser):
    """The elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")], (
            tag,
            attrs,
        )


def test_pictures_and_pages_have_no_element_of_a_name(here: Path, hiergen: Run) -> None:
    tame = {**DATA, "classes": [f"c{i}" for i in range(len(NAMES))], "names": {}}
    tame["sources"] = [{"groups": {f"g{i}": tame["classes"][i : i + 6] for i in range(0, len(NAMES), 6)}}]
    Path("tame.yaml").write_text(taxonomy("x", **tame), "utf-8")
    pages = {}
    for name in ("t", "tame"):
        assert hiergen("explore", f"{name}.yaml", "-o", f"{name}.html").code == 0
        for how in ("tree", "architecture"):
            assert hiergen("draw", f"{name}.yaml", f"--{how}", "-o", f"{name}-{how}.svg").code == 0
            kinds = {node.tag.partition("}")[2] for node in ET.parse(f"{name}-{how}.svg").iter()}
            assert kinds <= {"svg", "g", "title", "desc", "style", "rect", "text", "path", "circle", "tspan"}
        tags = Tags()
        tags.feed(Path(f"{name}.html").read_text("utf-8"))
        pages[name] = tags.found
    assert pages["t"] == pages["tame"]
    text = Path("t.html").read_text("utf-8")
    assert all(name in json.dumps(data_of(text), ensure_ascii=False) for name in ("=HYPERLINK", "javascript:alert(1)"))


@pytest.mark.parametrize("name", LEGAL)
def test_a_cell_of_markdown_is_one_cell_of_text(name: str) -> None:
    (_, _, row) = table(["class", "n"], [[escaped(name), "1"]])
    cells = row.replace("\\\\", "").replace("\\|", "")
    assert cells.count("|") == 3
    for mark in ("<", "](", "`", "://", "\n"):
        assert mark not in row.replace("\\`", "").replace("\\]", "")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


def test_nothing_of_a_name_runs_in_a_browser(chromium: Browser, here: Path, hiergen: Run) -> None:
    """Every hostile name as class, display name and group; the title, the details, the search and the line to copy."""
    file = "</title><script>document.title='owned'</script>&amp;.yaml"
    odd = Path(file.replace("/", "\u2215"))
    odd.write_text(taxonomy("x", **DATA), "utf-8")
    ran = hiergen("explore", str(odd), "-o", "p.html")
    assert ran.code == 0, ran.err
    page = Page(chromium, here / "p.html")
    before = page.js("return document.querySelectorAll('script,iframe,img,object,embed,link,base,form').length")
    for name in NAMES:
        page.set("#search", name[:40], "input")
        assert name[:20] in page.text("#hits") or page.text("#hits")
        page.js("document.querySelector('#hits li')?.click(); Explore.flush()")
    page.choose([0, 1, 2])
    words = shlex.split(page.text("#cutout-line"))
    assert words[:2] == ["hiergen", "cutout"]
    assert {w.split("=", 1)[1] for w in words if w.startswith("--classes=")} <= {*NAMES, ",".join(NAMES[:3])}
    assert "owned" not in page.driver.title.replace(odd.stem, "").replace("document.title='owned'", "")
    after = page.js("return document.querySelectorAll('script,iframe,img,object,embed,link,base,form').length")
    assert after == before
    assert page.js("return document.title") != "owned"
    page.quiet()  # no violation of the policy, no request


# the client of a language model: tests/nestings/test_llm_client.py has its faults, its key and its redirects


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1/v1", True),
        ("http://127.0.0.1:1/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://127.0.0.1.example.org/v1", False),
        ("http://127.evil.org/v1", False),
        ("http://localhost.evil.org/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_only_this_machine_is_this_machine(url: str, local: bool) -> None:
    """ "127.evil.org" was taken for it, and went past the proxy that the environment asks for."""
    assert is_local(url) is local
