"""The page in a real browser: what a reader sees and does."""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hiergen.planning.backbones import facts
from hiergen.planning.from_taxonomy import plan_if_known
from hiergen.planning.plan import Plan
from hiergen.taxonomy.checks import DOUBTFUL
from hiergen.taxonomy.load import load_taxonomy
from hiergen.views.explore import explore
from tests.views.page_cases import AWKWARD, EVIL, OTHER, Browser, Page, browser, thousand


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    for name, text in (("awkward", AWKWARD), ("other", OTHER), ("thousand", thousand())):
        (made / f"{name}.yaml").write_text(text, "utf-8")
    return made


@pytest.fixture(scope="module")
def awkward(folder: Path) -> Path:
    return explore([str(folder / "awkward.yaml")], folder / "awkward.html").path


@pytest.fixture(scope="module")
def plans(folder: Path) -> dict[str, Plan]:
    loaded = load_taxonomy(folder / "awkward.yaml")
    found = {name: plan_if_known(loaded, name) for name in loaded.levels}
    return {name: plan for name, plan in found.items() if plan is not None}


@pytest.fixture
def page(chromium: Browser, awkward: Path) -> Iterator[Page]:
    opened = Page(chromium, awkward)
    yield opened
    opened.quiet()


def test_names_that_are_markup_are_text(page: Page) -> None:
    row = page.row("odd things")
    if row.get_attribute("aria-expanded") == "false":
        page.js("arguments[0].querySelector('.twist').click(); Explore.flush()", row)
    assert EVIL in page.names()
    assert "<b>bold</b>" in page.names()
    assert page.driver.title == "awkward · hiergen explore"
    assert page.js("return document.images.length + document.querySelectorAll('.name b').length") == 0
    page.js("arguments[0].click(); Explore.flush()", page.row(EVIL))
    assert page.text("#details-title") == EVIL
    assert shlex.split(page.text("#cutout-line"))[-3] == f"--classes=odd things/{EVIL}"


def test_search_finds_by_name_id_and_group_and_goes_there(page: Page) -> None:
    page.press("/")
    assert page.js("return document.activeElement.id") == "search"
    page.press("ench")
    assert page.text("#hits li b") == "tench, Tinca tinca"
    page.press("\ue007")  # Enter
    assert page.until(page.focused) == "tench, Tinca tinca"
    assert "fish" in page.names()
    page.press("/", "shark")  # by its synset's words as well
    assert page.one("#search").get_attribute("aria-activedescendant") == "hit-0"
    page.set("#search", "carcharodon", "input")
    page.set("#search", "fish", "input")
    found = page.js("return [...document.querySelectorAll('#hits li b')].map(b => b.textContent)")
    assert found[:2] == ["fish", "goldfish"]
    page.press("\ue015", "\ue007")  # down, Enter
    assert page.until(page.focused) == "goldfish"
    page.press("/", "nothing like it")
    assert "nothing found" in page.text("#hits")
    page.press("\ue00c")  # Escape
    assert page.one("#hits").get_attribute("hidden") is not None


def test_wnid_and_synset_are_found(page: Page) -> None:
    def first(typed: str) -> str:
        return str(
            page.js("const n = Explore.nestOf(0); return n.name(Explore.search(n, arguments[0]).hits[0])", typed)
        )

    assert first("n02123045") == "tabby"
    assert first("pug.n.01") == "pug"
    assert first("siamese") == "siamese"


def test_the_tree_by_keyboard_alone(page: Page) -> None:
    down, up, right, left, home, end, space = "\ue015", "\ue013", "\ue014", "\ue012", "\ue011", "\ue010", " "
    page.model("N3HL")
    page.js("document.querySelector('#tree-0 .row[tabindex=\"0\"]').focus()")
    page.press(home)
    assert page.focused() == "awkward"
    page.press(left)  # folds the root
    assert page.names() == ["awkward"]
    assert page.row("awkward").get_attribute("aria-expanded") == "false"
    page.press(right, down)
    assert page.focused() == "animal"
    assert page.row("animal").get_attribute("aria-level") == "2"
    assert page.row("animal").get_attribute("aria-setsize") == "3"
    page.press(down if "cat & dog" in page.names() else right, up, home, down)
    assert page.focused() == "animal"
    page.press(space)
    page.js("")
    assert page.row("animal").get_attribute("aria-selected") == "true"
    assert page.row("awkward").get_attribute("aria-selected") == "false"
    assert (
        ", 7 of 11 classes chosen" in page.row("awkward").text
        or page.js("return arguments[0].querySelector('.some').textContent", page.row("awkward"))
        == ", 7 of 11 classes chosen"
    )
    page.press(end)
    assert page.focused() == page.names()[-1]
    page.press("a")  # the next name that starts with it
    assert page.focused() == "awkward" or page.focused().startswith("a")
    assert page.js("return document.querySelectorAll('#tree-0 .row[tabindex=\"0\"]').length") == 1
    page.until(lambda: "Cutout of 7 classes" in page.text("#live"))


def test_collapse_hides_what_is_below(page: Page) -> None:
    page.model("N3HL")
    if "fish" not in page.names():
        page.js("arguments[0].querySelector('.twist').click(); Explore.flush()", page.row("animal"))
    page.js("arguments[0].querySelector('.twist').click(); Explore.flush()", page.row("animal"))
    assert not {"fish", "cat & dog", "shark"} & set(page.names())
    assert page.js("return Explore.state.total") == 0  # folding chooses nothing
    page.js("arguments[0].querySelector('.twist').click(); Explore.flush()", page.row("animal"))
    assert "fish" in page.names()


def test_cutout_figures_are_those_of_the_plan(page: Page, plans: dict[str, Plan]) -> None:
    draw = random.Random(0)
    for name, plan in plans.items():
        page.model(name)
        known = facts(plan.trunk.backbone, plan.trunk.input_size[1:])
        assert known is not None
        for _ in range(12):
            kept = draw.sample(range(11), draw.randint(1, 10))
            page.choose(kept)
            assert tuple(page.figures("cutout").values()) == plan.cutout_cost(frozenset(kept)), (name, kept)
            assert tuple(page.figures("sliced").values()) == known.flat(len(kept))
        assert tuple(page.figures("full").values()) == (plan.params, plan.macs)
        assert tuple(page.figures("flat").values()) == (plan.trunk.flat_params, plan.trunk.flat_macs)
    page.choose(list(range(11)))
    assert page.figures("cutout") == {}
    assert "full network" in page.text("#cutout-count")


def test_the_line_names_exactly_the_chosen_classes(page: Page, plans: dict[str, Plan], folder: Path) -> None:
    from hiergen.lookup.choose import find_terms
    from hiergen.lookup.select import Selector
    from hiergen.taxonomy.nesting import Nesting

    draw = random.Random(1)
    for name, plan in plans.items():
        page.model(name)
        selector = Selector(Nesting.from_tree(plan.nesting.tree(), plan.classes))
        for _ in range(25):
            kept = draw.sample(range(11), draw.randint(1, 10))
            page.choose(kept)
            words = shlex.split(page.text("#cutout-line"))
            assert words[:5] == [
                "hiergen",
                "cutout",
                f"{folder}/awkward.yaml:{name}",
                "--weights",
                "weights.safetensors",
            ]
            assert words[-2:] == ["-o", "cutout"]
            terms: dict[str, list[str]] = {"--classes": [], "--except": []}
            for word in words[5:-2]:
                option, _, value = word.partition("=")
                terms[option].append(value)
            found = {i for some in find_terms(selector, terms["--classes"]).values() for i in some} or set(range(11))
            found -= {i for some in find_terms(selector, terms["--except"]).values() for i in some}
            assert found == set(kept), words


def test_copy_copies_the_line(page: Page, folder: Path) -> None:
    page.choose([0, 1])
    page.js(
        "globalThis.copied = null;"
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (t) => { globalThis.copied = t; }},"
        " configurable: true})"
    )
    page.js("document.querySelector('#cutout .copy').click()")
    assert page.until(lambda: page.js("return globalThis.copied")) == page.text("#cutout-line")
    assert page.text("#cutout-line") == (
        f"hiergen cutout {folder}/awkward.yaml:N3HL --weights weights.safetensors --classes=cat -o cutout"
    )
    assert page.until(lambda: page.text("#cutout .copy") == "Copied")
    page.js("document.execCommand = () => true; navigator.clipboard.writeText = async () => { throw new Error('no'); }")
    page.js("document.querySelector('#cutout .copy').click()")
    assert page.until(lambda: page.js("return String(getSelection())")) == page.text("#cutout-line")


def test_gains_are_sliders_and_a_line(page: Page, plans: dict[str, Plan], folder: Path) -> None:
    from hiergen.lookup.select import Selector

    page.model("N3HL")
    selector = Selector(plans["N3HL"].nesting)
    assert page.text("#attend-line") == "hiergen attend …"
    nodes = page.nodes("[v, n.level[v], v && Explore.gainNode(n, v), Explore.gainTerm(n, v)]")[1:]
    levels = {node: level for node, level, _, _ in nodes}
    for node, _, acts, term in nodes:
        (found,) = selector.nodes(term)
        assert found.level == levels[acts], (node, term)
    page.js("Explore.goTo(0, arguments[0]); Explore.flush()", nodes[0][0])
    page.set("#details input[type=range]", "1.4", "input")
    assert page.text("#attend-line") == (
        f"hiergen attend {folder}/awkward.yaml:N3HL --weights weights.safetensors --data path/to/val --gain=animal=1.4"
    )
    assert page.js("return document.querySelector('#gains input[type=range]').value") == "1.4"
    assert page.row("animal").get_attribute("data-gain") == "× 1.4"
    page.js("[...document.querySelectorAll('#gains button')].find(b => b.textContent === '×').click(); Explore.flush()")
    assert page.text("#attend-line") == "hiergen attend …"


def test_single_children_and_findings_are_marked(chromium: Browser, folder: Path) -> None:
    page = Page(chromium, explore([str(folder / "other.yaml")], folder / "other.html").path)
    page.model("N3HL")
    singles = page.nodes("n.single(v)").count(True)
    assert singles == 1
    lone = page.nodes("n.single(v)").index(True)
    page.js("Explore.goTo(0, arguments[0]); Explore.flush()", lone)
    assert page.focused() == "it's a 'quote'"
    assert page.js("return !!document.activeElement.querySelector('.mark.single')")
    assert "single child" in page.text("#details")
    assert f"Groups with a single child ({singles})" in page.text("#notes")
    assert "W401" in page.text("#notes")
    page.quiet()


def test_diagrams_answer_clicks_where_the_nodes_are(page: Page) -> None:
    for view in ("icicle", "sunburst"):
        page.js(f"document.querySelector('[data-view={view}]').click(); Explore.flush()")
        page.choose([])
        # the picture has ink, in more than three colours
        colours = page.js(
            "return new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => {"
            " const c = document.querySelector('.canvas'), o = new OffscreenCanvas(c.width, c.height);"
            " const x = o.getContext('2d', {willReadFrequently: true}); x.drawImage(c, 0, 0);"
            " const p = x.getImageData(0, 0, c.width, c.height).data, s = new Set();"
            " for (let i = 0; i < p.length; i += 404) s.add(p.slice(i, i + 4).join());"
            " r(s.size); })))"
        )
        assert colours > 3
        page.js(
            "const c = document.querySelector('.canvas'), b = c.getBoundingClientRect();"
            "const radius = Math.min(b.width, b.height) / 2, middle = b.height / 2 - radius;"
            "const at = arguments[0] === 'icicle' ? [b.width - 4, b.height - 3] : [b.width / 2 - 3, middle + 8];"
            "const where = {clientX: b.left + at[0], clientY: b.top + at[1], bubbles: true};"
            "c.dispatchEvent(new MouseEvent('click', where));"
            "Explore.flush()",
            view,
        )
        last = page.js("const n = Explore.nestOf(0); return n.order[n.order.length - 1]")
        assert page.js("return [...Explore.state.chosen.keys()].filter(c => Explore.state.chosen[c])") == [last], view


def test_zooming_keeps_the_picture_in_view(page: Page) -> None:
    def corners() -> list[float]:
        """Left, top, right and bottom of the picture, in shares of the view's width and height."""
        page.js("d3.select('.canvas').interrupt()")
        found = page.js(
            "const c = document.querySelector('.canvas'), t = d3.zoomTransform(c);"
            "return [t.x / c.clientWidth, t.y / c.clientHeight, t.k]"
        )
        return [found[0], found[1], found[0] + found[2], found[1] + found[2]]

    still = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", still)
    page.model("N2HL")
    for view in ("icicle", "sunburst"):
        page.js(f"document.querySelector('[data-view={view}]').click(); Explore.flush()")
        assert corners() == [0, 0, 1, 1], view  # also after the other picture was zoomed
        for node in page.nodes("v"):
            page.js("Explore.goTo(0, arguments[0]); Explore.flush()", node)
            left, top, right, bottom = corners()
            assert max(left, top) < 1e-6, (view, node)
            assert min(right, bottom) > 1 - 1e-6, (view, node)
        page.js("document.querySelector('.canvas').dispatchEvent(new KeyboardEvent('keydown', {key: '+'}))")
        assert page.js("return d3.zoomTransform(document.querySelector('.canvas')).k") > 1.5, view
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_weights_are_named_in_the_lines_of_their_model(chromium: Browser, folder: Path, tmp_path: Path) -> None:
    save_file({"w": np.zeros(1, np.float32)}, tmp_path / "ours.safetensors", {"model": "N2HL"})
    ours = str(tmp_path / "ours.safetensors")
    page = Page(chromium, explore([str(folder / "awkward.yaml")], tmp_path / "p.html", weights=ours).path)
    page.choose([0])
    assert shlex.split(page.text("#cutout-line"))[2:5] == [f"{folder}/awkward.yaml:N2HL", "--weights", ours]
    page.model("N3HL")
    others = [f"{folder}/awkward.yaml:N3HL", "--weights", "weights.safetensors"]
    assert shlex.split(page.text("#cutout-line"))[2:5] == others
    page.set(".names input", "typed.safetensors", "input")
    assert shlex.split(page.text("#cutout-line"))[2:5] == [*others[:2], "typed.safetensors"]
    page.quiet()


def test_two_nestings_side_by_side(chromium: Browser, folder: Path) -> None:
    files = [str(folder / "awkward.yaml"), str(folder / "other.yaml")]
    page = Page(chromium, explore(files, folder / "two.html").path)
    page.js("Explore.state.view = 'tree'; Explore.changed('layout')")
    for pane in (0, 1):
        page.model("N2HL", pane, pane)
    from hiergen import compare_nestings as compare

    (pair,) = compare([f"{file}:N2HL" for file in files]).pairs
    wanted = {m.index for level in pair.levels for m in level.moves.moved}
    found = page.js("const m = Explore.movesNow(); return [...m.flags.keys()].filter(c => m.flags[c])")
    assert set(found) == wanted
    assert wanted
    assert f"{len(wanted)} of 11 classes moved" in page.text("#moved")
    page.js("document.getElementById('only-moved').click(); Explore.flush()")
    labels = page.js("return Explore.raw.classes.name")
    for pane in (0, 1):
        tree = f"#tree-{pane} .row"
        for _ in range(3):
            page.js(f"document.querySelectorAll('{tree}[aria-expanded=false] .twist').forEach(t => t.click())")
        shown = page.js(
            f"return [...document.querySelectorAll('{tree}.class')]"
            ".map(r => [r.querySelector('.name').textContent, !!r.querySelector('.mark.moved')])"
        )
        assert {name for name, _ in shown} == {labels[c] for c in wanted}
        assert all(marked for _, marked in shown)
    # one choice, two cutouts, each its own plan's
    page.choose([0, 4])
    for pane, file in enumerate(files):
        loaded = load_taxonomy(file)
        plan = plan_if_known(loaded, "N2HL")
        assert plan is not None
        ids = page.js("return Explore.raw.classes.id")
        kept = frozenset(plan.classes.index(ids[c]) for c in (0, 4))
        assert tuple(page.figures("cutout", pane).values()) == plan.cutout_cost(kept)
    page.quiet()


def test_a_thousand_classes_only_rows_in_view_are_drawn(chromium: Browser, folder: Path) -> None:
    page = Page(chromium, explore([str(folder / "thousand.yaml")], folder / "thousand.html").path)
    page.js("const t = document.querySelector('#tree-0'); Explore.goTo(0, Explore.nestOf(0).size - 1); Explore.flush()")
    page.js(  # all 1111 rows are open then
        "const n = Explore.nestOf(0), last = n.size - 1;"
        "for (let g = n.offset[2]; g < n.offset[3]; g++) Explore.goTo(0, n.children[g][0]);"
        "Explore.goTo(0, n.order.at(-1) + n.firstClass); Explore.goTo(0, last); Explore.flush()"
    )
    tall = "const t = document.querySelector('#tree-0'); return t.scrollHeight / t.querySelector('.row').offsetHeight"
    assert page.js(tall) > 1100
    assert page.js("return document.querySelectorAll('.row').length") < 100
    assert page.focused() == page.js("return Explore.raw.classes.name[999]")
    page.press("\ue010")  # End
    assert page.js("return document.activeElement.getBoundingClientRect().bottom <= innerHeight") is True
    page.press(" ")
    page.js("")
    assert page.js("return Explore.state.total") >= 1
    page.js("document.querySelector('#tree-0').scrollTop = 0; Explore.flush()")
    assert page.until(lambda: "thousand" in page.names())
    assert page.js("return document.querySelectorAll('.row').length") < 100
    page.quiet()


MODEL = "{trunk: {backbone: resnet50, until: layer3}, branches: [[{width: 16, out: 24}], [{width: 8, out: 12}]]}"
# px of height that rows with controls take
CONTROLS = (
    "const rows = ['.top', '.pane-head', '#bar'].map(q => document.querySelector(q).getBoundingClientRect());"
    "return rows.reduce((sum, r) => sum + r.height, 0)"
)


def _saved(page: Page) -> str:
    change = 100 * (page.figures("cutout")["macs"] / page.figures("full")["macs"] - 1)
    return f"{change:.1f} %".replace("-", "−")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scroll(chromium: Browser, awkward: Path, scheme: str) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    try:
        page = Page(chromium, awkward)
        page.choose([0, 3])
        for view in ("tree", "icicle", "sunburst"):
            page.js(f"document.querySelector('[data-view={view}]').click(); Explore.flush()")
            assert page.js("return document.documentElement.scrollWidth") <= 390, view
            assert page.js(CONTROLS) <= 0.15 * 844, view
        assert page.text("#bar") == f"2 classes · {_saved(page)} MACs"
        assert page.js("scrollTo(0, 400); return document.getElementById('bar').getBoundingClientRect().bottom") == 844
        shade = page.js("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (max(shade) < 60) is (scheme == "dark")
        page.quiet()
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_results_are_told_by_node(chromium: Browser, folder: Path) -> None:
    ids = list(plan_if_known(load_taxonomy(folder / "awkward.yaml"), "PHL").classes)  # type: ignore[union-attr]
    rows = [
        {
            "id": c,
            "name": c,
            "images": 10,
            "accuracy": i / 10,
            "precision": None,
            "severity": 1 + i / 9 if i < 10 else None,
            "confused_with": ids[0],
            "confused": 10 - i,
        }
        for i, c in enumerate(ids)
    ]
    data = {"images": 110, "top1": 0.5, "mistake_severity": 1.3, "classes": rows}
    (folder / "metrics.json").write_text(json.dumps(data))
    done = explore([str(folder / "awkward.yaml")], folder / "results.html", results=folder / "metrics.json")
    page = Page(chromium, done.path)
    page.model("N2HL")
    for node, members in page.nodes("[v, [...n.order.slice(n.low[v], n.high[v])]]"):
        wrong = [10 - c for c in members if c < 10]
        heights = [(10 - c) * (1 + c / 9) for c in members if c < 10]
        accuracy, severity = page.js(
            "const r = Explore.results(Explore.nestOf(0)); return [r.accuracy(arguments[0]), r.severity(arguments[0])]",
            node,
        )
        assert accuracy == pytest.approx(sum(members) / 10 / len(members))
        assert severity == (pytest.approx(sum(heights) / sum(wrong)) if wrong else None)
    page.js("Explore.goTo(0, Explore.nestOf(0).firstClass + 2); Explore.flush()")
    assert "20.0 % of 10 images" in page.text("#details")
    assert "mean severity 1.22 levels" in page.text("#details")
    page.set("#colour", "accuracy", "change")
    assert "20.0 %" in page.text("#tree-0")
    assert page.text(".legend").startswith("0 %100 %")
    (folder / "metrics.json").write_text(json.dumps({**data, "classes": [{**r, "accuracy": 0.83} for r in rows]}))
    page = Page(chromium, explore([str(folder / "awkward.yaml")], done.path, results=folder / "metrics.json").path)
    page.set("#colour", "accuracy", "change")
    assert page.text(".legend").startswith("80 %100 %")
    page.quiet()


def test_a_question_mark_shows_the_keys(page: Page) -> None:
    page.press("?")
    assert page.js("return document.activeElement.closest('dialog').id") == "keys"
    for name in ("Home", "Space", "two parents", "guessed"):
        assert name in page.text("#keys")
    page.press("?")
    assert not page.js("return document.getElementById('keys').open")
    page.press("/", "?")  # typed into a field it is a letter
    assert page.js("return document.getElementById('search').value") == "?"
    assert not page.js("return document.getElementById('keys').open")
    page.press("\ue00c")


def test_side_by_side_begins_with_what_can_be_compared(page: Page) -> None:
    for name in ("PHL", "N3HL"):
        page.model(name)
        page.js("document.getElementById('compare').click(); Explore.flush()")
        shown = page.js("return Explore.state.models.map(m => Explore.models[m].name)")
        assert sorted(shown) == ["N2HL", "N3HL"]
        assert "of 11 classes moved" in page.text("#moved")
        page.js("document.getElementById('compare').click(); Explore.flush()")


def test_side_by_side_without_groups_shows_two_models(chromium: Browser, folder: Path) -> None:
    text = AWKWARD[: AWKWARD.index("models:")] + "models:\n"
    for name in ("One", "Two"):
        text += f"  {name}: {{levels: 1, trunk: {{backbone: resnet50, until: layer3}}, "
        text += "branches: [[{width: 8, out: 12}]]}\n"
    (folder / "flat.yaml").write_text(text)
    page = Page(chromium, explore([str(folder / "flat.yaml")], folder / "flat.html").path)
    page.js("document.getElementById('compare').click(); Explore.flush()")
    assert sorted(page.js("return Explore.state.models.map(m => Explore.models[m].name)")) == ["One", "Two"]
    assert page.text("#moved") == "The same nesting on both sides."
    page.quiet()


def test_badges_tell_guesses_and_conflicts_apart(chromium: Browser, folder: Path) -> None:
    names = "crane, heron, gull, tabby, 'pen, enclosure', domestic cat, eagle"
    groups = "{groups: {mixed: [crane, tabby]}}, wordnet"
    text = f"name: birds\nclasses: [{names}]\nsources: [{groups}]\nmodels:\n  N2HL: {MODEL}\n"
    (folder / "birds.yaml").write_text(text)
    loaded = load_taxonomy(folder / "birds.yaml")
    doubtful = [c.name for c in loaded.classes if c.guess and c.guess.doubt >= DOUBTFUL]
    assert doubtful
    assert "overlap" in {c.kind for c in loaded.conflicts}
    page = Page(chromium, explore([str(folder / "birds.yaml")], folder / "birds.html").path)
    code = "return [...document.querySelectorAll('#tree-0 .row')].filter(r => r.querySelector(arguments[0]))"
    for _ in range(2):
        page.js("document.querySelectorAll('#tree-0 .row[aria-expanded=false] .twist').forEach(t => t.click())")
    assert sorted(page.js(f"{code}.map(r => r.querySelector('.name').textContent)", ".guessed")) == sorted(doubtful)
    assert page.js(f"{code}.length", ".conflict") >= 1
    page.js("Explore.raw.sources[0].conflicts.forEach(c => { c.kind = 'hypernym'; }); Explore.changed('models')")
    assert page.js(f"{code}.length", ".conflict") == 0
    assert page.js(f"{code}.length", ".quiet") >= 1
    assert "Two parents in WordNet" in page.text("#notes")
    page.quiet()
