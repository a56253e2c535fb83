"""Tree → file → tree, in every format; formats are told apart; GraphML as networkx reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest
from random_trees import HOSTILE, random_tree, shape

from hiergen import formats
from hiergen.errors import HiergenError
from hiergen.formats.tree import Tree, add, label, leaves, new_tree, root, top_down
from hiergen.taxonomy.tree import parent

NAMES = {"newick": "t.nwk", "json": "t.json", "isa": "t.txt", "paths": "t.csv", "nbdt": "t.json"}


@pytest.mark.parametrize("format", ["newick", "json", "isa"])
@pytest.mark.parametrize("seed", range(15))
def test_what_is_written_is_read_again(tmp_path: Path, format: str, seed: int) -> None:
    tree = random_tree(seed)
    file = tmp_path / NAMES[format]
    formats.write(tree, file, format)
    again = formats.read(file)  # its format found by itself
    assert again.graph["format"] == format
    assert shape(again) == shape(tree)
    formats.write(again, tmp_path / "second", format)
    assert (tmp_path / "second").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("seed", range(15))
def test_label_paths_are_read_again(tmp_path: Path, seed: int, ending: str) -> None:
    tree = random_tree(seed)
    file = tmp_path / f"t.{ending}"
    formats.write(tree, file, "paths")
    again = formats.read(file)
    assert {path(again, key) for key in leaves(again)} == {path(tree, key) for key in leaves(tree)}
    assert [label(again, k) for k in leaves(again)] == [label(tree, k) for k in leaves(tree)]


def path(tree: Tree, key: str) -> tuple[str, ...]:
    found: list[str] = []
    above: str | None = key
    while above is not None and above != root(tree):
        found.append(label(tree, above))
        above = parent(tree, above)
    return tuple(reversed(found))


@pytest.mark.parametrize("seed", range(15))
def test_nbdt_graphs_are_read_again(tmp_path: Path, seed: int) -> None:
    tree = random_tree(seed)
    for key in tree:  # labels are words there, their ids are made up
        tree.nodes[key].update(id="", name=tree.nodes[key]["id"].replace("_", " ") if key != "0" else "")
    file = tmp_path / "t.json"
    formats.write(tree, file, "nbdt")
    again = formats.read(file)
    assert again.graph["format"] == "nbdt"
    clades, others = ({frozenset(below(t, k)) for k in t} for t in (tree, again))
    assert clades == others
    assert [again.nodes[k]["name"] for k in leaves(again)] == [tree.nodes[k]["name"] for k in leaves(tree)]


def test_an_nbdt_graph_has_an_id_per_node(tmp_path: Path) -> None:
    """A class that has classes below it stands in a group of the same synset."""
    tree = new_tree()
    add(tree, "0", id="root")
    add(tree, "1", "0", id="dogs", synset="n02084071")
    add(tree, "2", "1", id="dog", synset="n02084071", name="the dog")
    add(tree, "3", "1", id="pug", synset="n02110958")
    add(tree, "4", "0", id="my thing")
    formats.write(tree, tmp_path / "t.json", "nbdt")
    again = formats.read(tmp_path / "t.json")
    assert list(again) == ["n02084071", "n02110958", "f00000002", "f00000003", "f00000004"]
    assert [again.nodes[k]["name"] for k in again] == ["the dog", "pug", "my thing", "dogs", ""]
    assert set(again.edges) == {
        ("f00000004", "f00000003"),
        ("f00000004", "f00000002"),
        ("f00000003", "n02084071"),
        ("f00000003", "n02110958"),
    }


def below(tree: Tree, key: str) -> list[str]:
    names = [tree.nodes[k]["name"] for k in [key, *nx.descendants(tree, key)] if not tree.succ[k]]
    return [*names, f"inner {tree.nodes[key]['name']}"] if tree.succ[key] and key != root(tree) else names


@pytest.mark.parametrize("seed", range(5))
def test_networkx_reads_the_graphml(tmp_path: Path, seed: int) -> None:
    tree = random_tree(seed)
    tree.nodes["7"]["index"] = 3
    formats.write(tree, tmp_path / "t.graphml", "graphml")
    found = nx.read_graphml(tmp_path / "t.graphml")
    assert nx.is_arborescence(found)
    order = top_down(tree)
    assert [found.nodes[f"n{i}"]["id"] for i in range(len(order))] == [tree.nodes[key]["id"] for key in order]
    assert {(int(a[1:]), int(b[1:])) for a, b in found.edges} == {
        (order.index(a), order.index(b)) for a, b in tree.edges
    }
    depths = nx.shortest_path_length(tree, "0")
    assert [found.nodes[f"n{i}"]["depth"] for i in range(len(order))] == [depths[key] for key in order]
    assert found.nodes[f"n{order.index('7')}"]["index"] == 3


def test_deep_trees_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    tree = new_tree()
    add(tree, "0", id="top")
    for i in range(1, 2000):
        add(tree, str(i), str(i - 1), id=f"g{i}")
        add(tree, f"leaf{i}", str(i - 1), id=f"c{i}")
    for format in ("newick", "json", "isa"):
        formats.write(tree, tmp_path / NAMES[format], format)
        assert shape_equal(formats.read(tmp_path / NAMES[format]), tree)
    formats.write(tree, tmp_path / "t.graphml", "graphml")
    assert len(nx.read_graphml(tmp_path / "t.graphml")) == len(tree)


def shape_equal(a: Tree, b: Tree) -> bool:
    """As `shape(a) == shape(b)`, which would recurse."""
    edges = [{(label(t, x), label(t, y)) for x, y in t.edges} for t in (a, b)]
    return edges[0] == edges[1] and len(a) == len(b)


def own(rows: str) -> str:
    return f'{{"format": "hiergen-tree", "version": 1, "nodes": [{rows}]}}'


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("t.json", "{", "t.json:1:2: is not valid JSON"),
        ("t.json", "3", "t.json: holds no class tree; expected groups in dictionaries"),
        ("t.json", '{"a": 1.5}', "t.json:1: holds float where a class is due"),
        ("t.json", '{"a":' * 100_000, "t.json: is not JSON that can be read"),
        ("t.json", '{"nodes": 3}', "t.json: has no list of objects 'nodes'"),
        ("t.json", '{"format": "hiergen-tree", "version": 2}', "t.json: is no tree of hiergen"),
        ("t.json", own('{"key": "0"},\n{"key": "1", "parent": "x"}'), "t.json:2: node '1' stands before its parent"),
        ("t.json", own('{"key": "0"},\n{"key": "1"}'), "t.json:2: node '1' is a second root"),
        ("t.json", own('{"key": "0"},\n{"key": "0", "parent": "0"}'), "t.json:1: node '0' stands twice"),
        ("t.json", own('{"key": "0"},\n{"key": "1", "parent": "0", "id": [2]}'), "t.json:2: 'id' of a node or edge"),
        ("t.json", own(""), "t.json: has no nodes"),
        ("t.txt", "", "t.txt: is empty"),
        ("t.txt", b"n1 n2\nn1 n\xe93\n", "t.txt:2: is not UTF-8 text"),
        ("t.nwk", b"\xff\xfe(\x00a\x00", "t.nwk:1: is not UTF-8 text"),
    ],
)
def test_bad_files_are_one_sentence(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str, text: str | bytes, problem: str
) -> None:
    monkeypatch.chdir(write(text, name).parent)
    with pytest.raises(HiergenError) as caught:
        formats.read(name)
    assert str(caught.value).startswith(problem)


def test_no_file_a_wrong_format_and_a_file_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(HiergenError, match="no such file"):
        formats.read(tmp_path / "t.nwk")
    with pytest.raises(HiergenError, match="no such file"):
        formats.read(tmp_path / "t.npy")
    with pytest.raises(HiergenError, match=r"no format 'newik'; expected one of .*; nearest: newick"):
        formats.read(tmp_path / "t.nwk", "newik")
    (tmp_path / "t.nwk").write_bytes(b"a" * 8_000_001)
    with pytest.raises(HiergenError, match="is too large; expected at most 8,000,000 bytes, got 8,000,001"):
        formats.read(tmp_path / "t.nwk")


def test_hostile_names_are_hostile() -> None:
    assert {c for name in HOSTILE for c in name} >= set("'\"(),;:[]{}#&<>\\_ ")
