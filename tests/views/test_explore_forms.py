"""Branches for all classes on the page: what each form costs, against the networks themselves."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from hiergen.codegen.build import build
from hiergen.costs import cost
from hiergen.costs.subjects import network_parts
from hiergen.models.load import find_model
from hiergen.models.weights import save_weights
from hiergen.nn.cutout import cut
from hiergen.nn.generalist import Form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.network import network_of
from hiergen.taxonomy.load import load_taxonomy
from hiergen.views.explore import explore
from tests.views.page_cases import Page, browser

SPEC = """\
name: general
classes: [tabby, pug, carp, siamese, beagle, tuna, hound]
sources: [groups: {cat: [tabby, siamese], dog: [pug, beagle, hound], fish: [carp, tuna]}]
models:
"""
for _name, _kind in (("Both", "both"), ("Shallow", "shallow"), ("Whole", "whole"), ("Without", "none")):
    SPEC += f"  {_name}: {{trunk: {{backbone: mobilenetv2_035, until: blocks.5}}, input_size: 64, levels: 2, "
    SPEC += f"budget: {{params: 600k}}, generalist: {_kind}}}\n"
FORMS = {
    "Both": ["specialists", "generalist", "both", "flat"],
    "Shallow": ["specialists", "generalist", "both"],
    "Whole": ["specialists", "generalist", "both"],
    "Without": ["specialists"],
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("forms") / "general.yaml"
    made.write_text(SPEC)
    return made


@pytest.fixture(scope="module")
def networks(file: Path) -> dict[str, HierarchicalNetwork]:
    return {plan.model: network_of(plan).eval() for plan in plan_models(load_taxonomy(file))}


@pytest.fixture(scope="module")
def page(file: Path, networks: dict[str, HierarchicalNetwork]) -> Iterator[Page]:
    with browser() as chromium:
        opened = Page(chromium, explore([str(file)], file.with_suffix(".html")).path)
        yield opened
        opened.quiet()


def costs(network: HierarchicalNetwork) -> tuple[int, int]:
    """Counted: params and MACs of all that its form runs."""
    parts = network_parts(network)
    return sum(part.params for part in parts), sum(part.macs for part in parts)


@pytest.mark.parametrize("name", FORMS)
def test_each_form_costs_what_its_network_does(page: Page, networks: dict[str, HierarchicalNetwork], name: str) -> None:
    page.model(name)
    shown = page.js("return [...document.querySelectorAll('#form option')].map(o => o.value)")
    assert shown == FORMS[name]
    assert page.js("return document.getElementById('form').checkVisibility()") is (len(shown) > 1)
    draw, network = random.Random(name), networks[name]
    for form in FORMS[name]:
        assert form in get_args(Form)
        if len(shown) > 1:
            page.set("#form", form, "change")
        network.form = form  # type: ignore[assignment]
        assert tuple(page.figures("full").values()) == costs(network), form
        for _ in range(2):
            kept = sorted(draw.sample(range(7), draw.randint(1, 6)))
            page.choose(kept)
            assert tuple(page.figures("cutout").values()) == costs(cut(network, kept)), (form, kept)
            words = shlex.split(page.text("#cutout-line"))
            assert [word for word in words if "--form" in word] == ([f"--form={form}"] if len(shown) > 1 else [])


def test_plans_and_cost_cards_know_what_each_form_runs(file: Path, networks: dict[str, HierarchicalNetwork]) -> None:
    for plan in plan_models(load_taxonomy(file)):
        network = networks[plan.model]
        for form in FORMS[plan.model]:
            network.form = form  # type: ignore[assignment]
            assert plan.answering(form) == costs(network)
    card = cost(f"{file}:Both", "cat", time=False, memory=False, rivals=False)
    labels = ["cutout, generalist", "full Both, generalist", "flat mobilenetv2_035"]
    assert [row.label for row in card.rows][:3] == labels
    assert card.row("full").macs == plan_models(load_taxonomy(file))[0].answering("generalist")[1]
    network = networks["Both"]
    network.form, network.choice = "flat", {"cat": "specialists"}
    card = cost(network, "cat", time=False, memory=False, rivals=False)
    assert [row.label for row in card.rows][:2] == ["cutout, specialists", "full HierarchicalNetwork, flat"]
    network.choice = {}


def test_details_and_heads_tell_of_them(page: Page, networks: dict[str, HierarchicalNetwork]) -> None:
    page.model("Both")
    page.js("Explore.goTo(0, 0); Explore.flush()")
    assert "two branches for all classes" in page.text(".facts")
    assert "generalist: " in page.text("#details")
    assert "flat: " in page.text("#details")
    total = sum(p.numel() for p in networks["Both"].parameters())
    assert page.js("return Explore.format.amount(arguments[0])", total) in page.text("#tree-0 .root")
    page.model("Without")
    assert "for all classes" not in page.text(".facts") + page.text("#details")


def test_a_page_begins_in_the_form_of_the_weights(file: Path, tmp_path: Path) -> None:
    build(file, tmp_path / "general.py")
    network = find_model(f"{tmp_path}/general.py:Both").cls()
    pages = {"generalist": explore([f"{file}:Both"], tmp_path / "none.html")}
    for form in ("specialists", "flat"):
        network.form = form
        save_weights(network, tmp_path / f"{form}.safetensors")
        pages[form] = explore([f"{file}:Both"], tmp_path / f"{form}.html", weights=f"{tmp_path}/{form}.safetensors")
    with browser() as chromium:
        for form, done in pages.items():
            assert Page(chromium, done.path).js("return document.getElementById('form').value") == form
