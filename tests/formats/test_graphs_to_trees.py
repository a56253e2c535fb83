"""Edge lists and NBDT graphs: circles, several roots, several parents, nodes that are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest
from random_trees import shape

from hiergen import formats
from hiergen.errors import HiergenError

Write = Callable[..., Path]


def test_edges_may_stand_in_any_order_with_any_mark(write: Write) -> None:
    expected = ("a", (("b", (("d", ()),)), ("c", ())))
    for source in ("b d\na b\n\n# a note\na c\na b\n", "b\td\na\tb\na\tc", "b,d\r\na,b\r\na , c\r\n"):
        assert shape(formats.read(write(source, "t.txt"))) == expected


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("a b\na\n", "t.txt:2: is no pair; expected 'parent child', got 1 words in 'a'"),
        ("a b c", "t.txt:1: is no pair; expected 'parent child', got 3 words in 'a b c'"),
        ("a,", "t.txt:1: is no pair"),
        ("# nothing\n", "t.txt: is empty"),
        ("r a\na b\nb c\nc a\n", "t.txt:1: goes round in a circle: 'a' → 'b' → 'c' → 'a'"),
        ("a a", "t.txt:1: goes round in a circle: 'a' → 'a'"),
        (
            "a b\nc d\n",
            "t.txt: 2 nodes are below nothing: 'a (t.txt:1)', 'c (t.txt:2)'; expected one root; --join-roots",
        ),
    ],
)
def test_what_is_no_tree(write: Write, monkeypatch: pytest.MonkeyPatch, source: str, problem: str) -> None:
    monkeypatch.chdir(write(source, "t.txt").parent)
    with pytest.raises(HiergenError) as caught:
        formats.read("t.txt", "isa")
    assert str(caught.value).startswith(problem)


def test_roots_side_by_side(write: Write) -> None:
    tree = formats.read(write("a b\na e\nc d\n", "t.txt"), join_roots=True)
    assert shape(tree) == ("", (("a", (("b", ()), ("e", ()))), ("c", (("d", ()),))))
    assert tree.graph["notes"] == ["roots put side by side: 'a', 'c'"]


def test_of_several_parents_the_deepest_is_taken(write: Write) -> None:
    # x is below r and below b, which is deeper; y below two of one depth: the first in the file
    tree = formats.read(write("r a\nr x\na b\nb x\nr c\na y\nc y\n", "t.txt"))
    assert shape(tree) == ("r", (("a", (("b", (("x", ()),)), ("y", ()))), ("c", ())))
    assert tree.graph["notes"] == [
        "'x': below 'b', the deepest of its parents, not 'r'",
        "'y': below 'a', the deepest of its parents, not 'c'",
    ]


@pytest.mark.parametrize("seed", range(10))
def test_parents_are_those_of_the_longest_paths(write: Write, seed: int) -> None:
    graph = nx.gn_graph(40, seed=seed)
    import random

    draw = random.Random(seed)
    edges = [(b, a) for a, b in graph.edges]
    edges += [(a, b) for a, b in ((draw.randrange(40), draw.randrange(40)) for _ in range(30)) if a < b]
    draw.shuffle(edges)
    tree = formats.read(write("".join(f"{a} {b}\n" for a, b in edges), "t.txt"))
    dag = nx.DiGraph(edges)
    assert nx.is_arborescence(tree)
    longest = {0: 0}
    for node in nx.topological_sort(dag):  # plain dynamic programming
        for child in dag.succ[node]:
            longest[child] = max(longest.get(child, 0), longest[node] + 1)
    for node in dag:
        for chosen in tree.pred[str(node)]:
            assert longest[int(chosen)] == max(longest[p] for p in dag.pred[node])


def node_link(nodes: list[dict[str, object]], edges: list[tuple[object, object]], key: str = "links") -> str:
    links = [{"source": a, "target": b} for a, b in edges]
    return json.dumps({"directed": True, "multigraph": False, "graph": {}, "nodes": nodes, key: links}, indent=1)


def test_links_or_edges_labels_and_ids_that_were_made_up(write: Write) -> None:
    nodes: list[dict[str, object]] = [
        {"label": "fire_engine", "id": "n03345487"},
        {"id": "n02084071", "contraction": {"n02083346": {"label": "canine"}}},
        {"id": "f00000002"},
    ]
    for key in ("links", "edges"):
        tree = formats.read(
            write(node_link(nodes, [("f00000002", "n03345487"), ("f00000002", "n02084071")], key), "t.json")
        )
        assert [tree.nodes[k]["id"] for k in tree] == ["n03345487", "n02084071", "f00000002"]
        assert tree.nodes["n03345487"]["name"] == "fire engine"
        assert [k for k in tree if tree.nodes[k]["made_up"]] == ["f00000002"]
    tree = formats.read(write(node_link(nodes, [(2, 0), (2, 1)]), "t.json"))  # networkx 1 counted
    assert sorted(tree.edges) == [("f00000002", "n02084071"), ("f00000002", "n03345487")]


def test_networkx_own_graphs_are_read(write: Write) -> None:
    graph = nx.DiGraph([("top", "a"), ("top", "b"), ("a", "c"), ("a", "d")])
    tree = formats.read(write(json.dumps(nx.node_link_data(graph, edges="links")), "t.json"))
    assert set(tree.edges) == set(graph.edges)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (node_link([{"id": "a"}, {"id": "b"}], [("a", "c")]), "t.json:16: target 'c' of an edge is no node"),
        (node_link([{"id": "a"}, {"id": "a"}], []), "t.json:7: node 'a' stands twice"),
        (node_link([{"label": "a"}], []), "t.json:5: 'id' of a node or edge is no text; expected a text, got nothing"),
        (node_link([{"id": "a", "label": [1]}], []), "t.json:7: 'label' of a node or edge is no text"),
        (node_link([], []), "t.json: has no nodes"),
        ('{"nodes": [{"id": "a"}]}', "t.json: has no list of objects 'edges'"),
        ('{"nodes": [{"id": "a"}], "links": [], "directed": false}', "t.json: is an undirected graph"),
        (
            node_link([{"id": "a"}, {"id": "b"}], [("a", "b"), ("b", "a")]),
            "t.json:7: goes round in a circle: 'a' → 'b'",
        ),
    ],
)
def test_bad_graphs(write: Write, monkeypatch: pytest.MonkeyPatch, text: str, problem: str) -> None:
    monkeypatch.chdir(write(text, "t.json").parent)
    with pytest.raises(HiergenError) as caught:
        formats.read("t.json")
    assert str(caught.value).startswith(problem)
