"""Values show themselves in a notebook: well-formed HTML that holds every class, and a table like the printed one."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import hiergen
from hiergen.taxonomy.nesting import Nesting


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{html}</div>")


def under(node: ElementTree.Element, name: str) -> list[str]:
    """Texts of the groups and classes below the group of this name."""
    group = next(inner for inner in node.iter("details") if inner.findtext("summary") == name)
    return [text.strip() for text in group.itertext()]


def test_a_nesting_shows_groups_inside_groups() -> None:
    tree = {"cat & co": {"house": ["tabby", "<Siamese>"], "wild": ["lynx"]}, "dog": {"pug-like": ["pug"]}}
    html = parsed(Nesting.from_tree(tree, ["pug", "lynx", "<Siamese>", "tabby"])._repr_html_())
    assert under(html, "cat & co") == ["cat & co", "house", "<Siamese>, tabby", "wild", "lynx"]
    assert under(html, "dog") == ["dog", "pug-like", "pug"]
    assert html.findtext("b") == "Nesting of 4 classes: 2 → 3 → 4"


def test_a_nesting_of_one_level_has_a_title_only() -> None:
    html = parsed(Nesting.from_tree(["a", "b"], ["a", "b"])._repr_html_())
    assert [child.tag for child in html] == ["b"]


@pytest.mark.parametrize("name", ["imagenet100", "digits"])
def test_a_taxonomy_shows_every_class_and_group(name: str) -> None:
    taxonomy = hiergen.load_taxonomy(name)
    html = parsed(taxonomy._repr_html_())
    texts = [text.strip() for text in html.itertext()]
    classes = [info.name for key, info in taxonomy.tree.nodes(data="info") if not taxonomy.tree.out_degree(key)]
    assert len(classes) == len(taxonomy.classes)
    assert all(any(name in text for text in texts) for name in classes)
    assert len(list(html.iter("details"))) == len(taxonomy.tree) - 1 - len(taxonomy.classes)  # without the root


def test_a_cost_card_shows_the_printed_table() -> None:
    card = hiergen.cost("generated/digits.py:N2HL", "0:3", time=False, memory=False)
    html = parsed(card._repr_html_())
    rows = [[cell.text or "" for cell in row] for row in html.iter("tr")]
    assert rows[0] == ["", "classes", "params", "GMACs"]
    assert rows[1][:3] == ["cutout", "3", f"{card.row('cutout').params:,}"]
    assert len(repr(card).splitlines()) == len(rows) + 1 <= 12
