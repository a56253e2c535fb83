"""Random taxonomy files out to every tree format and back; and what is written of a nesting."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from hiergen import formats
from hiergen.errors import HiergenError
from hiergen.formats.exporting import export_tree
from hiergen.formats.importing import import_tree
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.tree import ROOT
from tests.fuzz.files import Data, class_files
from tests.fuzz.profiles import examples
from tests.fuzz.test_fuzz_files import depth_of

Named = frozenset[frozenset[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


def family(taxonomy: Taxonomy) -> Named:
    """The sets of class ids of the merged tree's groups, by plain reachability."""
    tree = taxonomy.tree
    leaf = {key: tree.nodes[key]["info"].id for key in tree.graph["order"]}
    return frozenset(
        frozenset(leaf[k] for k in nx.descendants(tree, key) if k in leaf)
        for key in tree
        if key != ROOT and key not in leaf
    )


@st.composite
def readable(draw: st.DrawFn, folder: Path) -> Data:
    data = draw(class_files(10))
    deepest = depth_of(folder / "t.yaml", data)
    assume(deepest)
    data["models"] = {f"M{k}": {"levels": k} for k in range(1, min(deepest, 4) + 1)}
    (folder / "t.yaml").write_text(json.dumps(data), encoding="utf-8")
    return data


@examples(12, 0.04)
@given(st.data())
def test_json_brings_everything_back(folder: Path, data: st.DataObject) -> None:
    data.draw(readable(folder))
    before = load_taxonomy(folder / "t.yaml")
    export_tree(folder / "t.yaml", folder / "t.json")
    import_tree(folder / "t.json", folder / "again.yaml", force=True)
    after = load_taxonomy(folder / "again.yaml")
    assert said(after) == said(before)
    assert family(after) == family(before)


def refused(folder: Path, target: Path, kind: str) -> HiergenError | None:
    try:
        export_tree(folder / "t.yaml", target, format=kind)
        import_tree(target, folder / "again.yaml", format=kind, force=True)
    except HiergenError as error:
        return error
    return None


@examples(20, 0.04)
@given(st.data(), st.sampled_from(["newick", "isa", "paths", "nbdt"]))
def test_other_formats_bring_back_the_groups_or_say_why_not(folder: Path, data: st.DataObject, kind: str) -> None:
    data.draw(readable(folder))
    before = load_taxonomy(folder / "t.yaml")
    target = folder / f"t{formats.files.FORMATS[kind].ending}"
    if error := refused(folder, target, kind):
        event(f"{kind} refused")
        assert "\n" not in str(error)
        return
    event(f"{kind} written")
    after = load_taxonomy(folder / "again.yaml")
    now, then = ([c.id for c in taxonomy.classes] for taxonomy in (after, before))
    if kind == "nbdt":  # wnids for ids, or labels; but in the same order
        now = then
    assert sorted(now) == sorted(then)
    called = {c.id: id_ for c, id_ in zip(after.classes, now, strict=True)}
    assert frozenset(frozenset(called[c] for c in group) for group in family(after)) == family(before)


def said(taxonomy: Taxonomy) -> list[tuple[str, str, str | None]]:
    return [(c.id, c.name, c.synset) for c in taxonomy.classes]
