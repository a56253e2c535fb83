"""The class tree as tensors equals the definitions, on random trees and by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from hiergen.errors import HiergenError
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.tree import ancestors, class_key
from hiergen.training.hierarchy import Hierarchy, TreeFold
from tests.training.slow_trees import SlowTree, distances, hand, lca_heights, pair, random_tree, tree_of

ROOT = Path(__file__).parents[2]
NEST = {"animal": {"cat": {"n1": "tabby", "n4": "siamese"}, "dog": {"n2": "pug"}}, "thing": {"car": {"n3": "van"}}}
NEST_CLASSES = ["n1", "n2", "n3", "n4"]


def test_heights_and_distances_by_hand() -> None:
    tree, _ = hand()
    # pug, van, tabby, cup, siamese, jeep; root 3, animal 2, cat 1, car 1
    assert lca_heights(tree).tolist() == [
        [0, 3, 2, 3, 2, 3],
        [3, 0, 3, 3, 3, 1],
        [2, 3, 0, 3, 1, 3],
        [3, 3, 3, 0, 3, 3],
        [2, 3, 1, 3, 0, 3],
        [3, 1, 3, 3, 3, 0],
    ]
    assert distances(tree)[0].tolist() == [0, 4, 3, 3, 3, 4]
    assert distances(tree)[3].tolist() == [3, 3, 4, 0, 4, 3]
    assert tree.height == 3
    assert tree.levels == ()
    assert tree.groups.shape == (0, 6)
    assert tree.labels == ("pug", "van", "tabby cat", "cup", "siamese cat", "jeep")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("equal", [False, True])
def test_heights_equal_double_loops(seed: int, equal: bool) -> None:
    tree, slow = pair(seed, equal=equal)
    indices = range(len(slow.classes))
    assert lca_heights(tree).tolist() == [[slow.lca_height(i, j) for j in indices] for i in indices]
    assert distances(tree).tolist() == [[slow.distance(i, j) for j in indices] for i in indices]
    assert tree.height == slow.tree_height


@pytest.mark.parametrize("seed", range(4))
def test_sums_below_each_node(seed: int) -> None:
    tree, slow = pair(seed)
    x = torch.randn(3, 17, dtype=torch.float64)
    total, soft = TreeFold(tree).sum(x), TreeFold(tree).logsumexp(x)
    on_path = [set(path) - {-1} | {tree.root} for path in tree.paths.tolist()]
    assert total.shape == (3, len(slow.nodes) + 1)
    for node in range(len(tree.names)):
        members = [c for c in range(17) if node in on_path[c]]
        for b in range(3):
            assert float(total[b, node]) == pytest.approx(sum(float(x[b, i]) for i in members))
            assert float(soft[b, node].exp()) == pytest.approx(sum(float(x[b, i].exp()) for i in members))


def test_logsumexp_of_far_apart_groups_stays_finite() -> None:
    far = {"near": {"a": "", "b": "", "c": "", "d": ""}, "far": {"e": "", "f": "", "g": ""}}  # of unequal width
    tree = tree_of(far, list("abcdefg"))
    logs = torch.tensor([[0.0, -1.0, -3000.0, -1.0, -3000.0, -2000.0, -2000.0]], requires_grad=True)
    sums = TreeFold(tree).logsumexp(logs)
    assert float(sums[0, tree.names.index("far")].detach()) == pytest.approx(-2000 + math.log(2))
    sums.sum().backward()
    assert logs.grad is not None
    assert logs.grad.isfinite().all()


def test_a_networks_levels_are_its_nests() -> None:
    nest = Nesting.from_tree(NEST, NEST_CLASSES)
    tree = Hierarchy.of(nest)
    assert [level.names for level in tree.levels] == [
        ("animal", "thing"),
        ("cat", "dog", "car"),
        ("n1", "n2", "n3", "n4"),
    ]
    assert tree.levels[1].paths == (("animal", "cat"), ("animal", "dog"), ("thing", "car"))
    assert tree.groups.tolist() == [[0, 0, 1, 0], [0, 1, 2, 0], [0, 1, 2, 3]]
    for j in range(1, 3):
        for branch, name in enumerate(nest.names(j)):
            members = (tree.groups[j - 1] == branch).nonzero()[:, 0].tolist()
            assert tuple(members) == nest.members(j, branch)
            assert tree.levels[j - 1].names[branch] == name
    same = tree_of(NEST, NEST_CLASSES)
    assert torch.equal(lca_heights(same), lca_heights(tree))
    assert torch.equal(same.groups, tree.groups)
    assert tree.labels == ("tabby", "pug", "van", "siamese")


def test_one_level_and_one_class() -> None:
    flat = Hierarchy.of(Nesting.from_tree({"a": "x", "b": "y", "c": "z"}, ["c", "a", "b"]))
    assert lca_heights(flat).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert len(flat.levels) == 1
    alone = tree_of({"g": {"a": "x"}}, ["a"])
    assert (lca_heights(alone).tolist(), alone.height, len(alone.levels)) == ([[0]], 0, 2)


@pytest.mark.parametrize("seed", range(4))
def test_restricted_keeps_heights_and_takes_the_given_order(seed: int) -> None:
    tree, slow = pair(seed)
    chosen = [11, 2, 5, 3, 16]
    part = tree.restricted(chosen)
    assert part.classes == tuple(slow.classes[i] for i in chosen)
    assert lca_heights(part).tolist() == [[slow.lca_height(i, j) for j in chosen] for i in chosen]
    assert distances(part).tolist() == [[slow.distance(i, j) for j in chosen] for i in chosen]
    assert len(part.names) == 1 + len({node for i in chosen for node in slow.sets(i)})
    again = part.restricted([2, 0])
    assert again.classes == (slow.classes[5], slow.classes[11])
    assert lca_heights(again).tolist() == [[slow.lca_height(i, j) for j in (5, 11)] for i in (5, 11)]


def test_restricted_keeps_the_order_of_groups() -> None:
    part = tree_of(NEST, NEST_CLASSES).restricted([2, 1])
    assert [level.names for level in part.levels] == [("animal", "thing"), ("dog", "car"), ("n3", "n2")]
    assert part.groups.tolist() == [[1, 0], [1, 0], [0, 1]]


def test_a_mapping_may_hold_more_classes_than_asked_for() -> None:
    tree, ids = random_tree(3, 12)
    part = tree_of(tree, ids[4:9])
    slow = SlowTree(tree, ids)
    assert lca_heights(part).tolist() == [[slow.lca_height(i, j) for j in range(4, 9)] for i in range(4, 9)]


@pytest.mark.parametrize("name", ["imagenette", "imagenet100"])
def test_a_taxonomy_files_merged_tree(name: str) -> None:
    file = ROOT / "taxonomies" / f"{name}.yaml"
    taxonomy = load_taxonomy(file)
    tree = Hierarchy.of_taxonomy(file)
    assert tree.classes == tuple(c.id for c in taxonomy.classes)
    above = [list(ancestors(taxonomy.tree, class_key(c))) for c in tree.classes]
    for i in range(0, len(above), 7):
        for j in range(len(above)):
            meet = next(node for node in above[i] if node in above[j])
            assert distances(tree)[i, j] == above[i].index(meet) + above[j].index(meet)
            assert lca_heights(tree)[i, j] == max(a.index(meet) for a in above if meet in a)


def test_a_taxonomy_file_for_some_classes() -> None:
    file = ROOT / "taxonomies" / "imagenet100.yaml"
    full = Hierarchy.of_taxonomy(file)
    chosen = [90, 5, 6, 40]
    part = Hierarchy.of_taxonomy(file, [full.classes[c] for c in chosen])
    assert torch.equal(lca_heights(part), lca_heights(full)[chosen][:, chosen])


def test_classes_that_are_not_there() -> None:
    file = ROOT / "taxonomies" / "imagenette.yaml"
    with pytest.raises(HiergenError, match=r"imagenette\.yaml lacks 2 of the 3 classes: 'n99', 'n0'"):
        Hierarchy.of_taxonomy(file, ["n01440764", "n99", "n0"])
    tree, _ = hand()
    for wrong, message in (([], "no class is chosen"), ([6], "index 6; expected 0..5"), ([1, 1], "class 1 .* twice")):
        with pytest.raises(HiergenError, match=message):
            tree.restricted(wrong)


def test_twenty_thousand_classes_without_a_matrix() -> None:
    ids = [f"c{i}" for i in range(20_000)]
    tree = tree_of({f"g{i}": {c: c for c in ids[i::200]} for i in range(200)}, ids)
    a, b = torch.tensor([0, 0, 0, 19_999]), torch.tensor([0, 200, 1, 199])
    assert tree.lca_height(a, b).tolist() == [0, 1, 2, 1]
