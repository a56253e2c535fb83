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
from hiergen.nestings.read import nesting_of
from hiergen.nestings.suggest.write import write_suggestion
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


@examples(6, 0.02)
@given(st.data())
def test_a_nesting_is_written_level_by_level(folder: Path, data: st.DataObject) -> None:
    content = data.draw(readable(folder))
    model = data.draw(st.sampled_from(sorted(content["models"])))
    nesting = load_taxonomy(folder / "t.yaml").nesting(model)
    _, tree = export_tree(folder / "t.yaml", folder / "nested.json", model=model)
    again = formats.read(folder / "nested.json")
    for found in (tree, again):
        top = formats.tree.root(found)
        distance = nx.shortest_path_length(found, top)
        leaves = [key for key in found if not found.succ[key]]
        assert {distance[key] for key in leaves} == {nesting.depth}
        assert sorted(found.nodes[key]["index"] for key in leaves) == list(range(len(nesting.classes)))
        index = {key: found.nodes[key]["index"] for key in leaves}
        for level, groups in enumerate([v.groups for v in nesting.levels], 1):
            at = [key for key in found if distance[key] == level]
            below = [tuple(sorted(index[k] for k in nx.descendants(found, key) if k in index)) for key in at]
            assert sorted(below) == sorted(group.classes for group in groups)


@examples(6, 0.02)
@given(st.data())
def test_a_nesting_written_as_a_suggestion_is_nested_alike(folder: Path, data: st.DataObject) -> None:
    """`balance: 0` gives exactly the groups that are written, where none has a single member."""
    content = data.draw(readable(folder))
    taxonomy = load_taxonomy(folder / "t.yaml")
    model = data.draw(st.sampled_from(sorted(content["models"])))
    nesting = taxonomy.nesting(model)
    alone = len(nesting.levels[0].groups) == 1 if nesting.levels else False
    alone = alone or any(
        nesting.parents(j).count(i) == 1 for j in range(2, nesting.depth + 1) for i in nesting.parents(j)
    )
    wanted = nesting_of(taxonomy, model)
    done = write_suggestion(taxonomy, wanted, folder / "suggested.yaml", by="hand", force=True)
    again = load_taxonomy(done.path)
    assert said(again) == said(taxonomy)
    found = again.nesting(done.model)
    same = [[g.classes for g in level] for level in [v.groups for v in found.levels]] == [
        [g.classes for g in level] for level in [v.groups for v in nesting.levels]
    ]
    assert same == (done.difference is None)
    assert same or alone


def said(taxonomy: Taxonomy) -> list[tuple[str, str, str | None]]:
    return [(c.id, c.name, c.synset) for c in taxonomy.classes]
