"""nesting.py: levels, parents, names and refinement, on random trees and on ImageNet-1k."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import toy

from hiergen.errors import TaxonomyError
from hiergen.taxonomy.levels import nest_tree
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.spec import NestingOptions as Options
from hiergen.taxonomy.tree import ROOT, class_key, contract, depths, info, leaves
from hiergen.taxonomy.wordnet.nouns import default
from tests.helpers import printed_twice

REPOSITORY = Path(__file__).parents[2]


def check_nesting(nesting: Nesting, levels: int, classes: int) -> None:
    """Exactly `levels` levels; on each, every class exactly once, below the parent that holds it; unique names."""
    assert nesting.depth == levels
    assert nesting.parents(1) == (0,) * (len(nesting.levels[0].groups) if nesting.levels else classes)
    for level, groups in enumerate([v.groups for v in nesting.levels], 1):
        assert sorted(c for group in groups for c in group.classes) == list(range(classes))
        assert [(g.parent, g.classes) for g in groups] == sorted((g.parent, g.classes) for g in groups)  # tree order
        assert len({g.name for g in groups}) == len(groups)
        assert sorted(i for b in range(len(groups)) for i in nesting.children(level, b)) == list(
            range(len(nesting.parents(level + 1)))
        )
        if level > 1:
            above = nesting.levels[level - 2].groups
            assert all(set(g.classes) <= set(above[g.parent].classes) for g in groups)
    assert sorted(nesting.leaves) == list(range(classes))
    if nesting.levels:
        homes = nesting.above(levels)
        assert all(c in nesting.levels[-1].groups[home].classes for c, home in enumerate(homes))
        assert list(nesting.leaves) == sorted(range(classes), key=lambda c: (homes[c], c))
    else:
        assert list(nesting.leaves) == list(range(classes))


def check_names(nesting: Nesting, tree: toy.Tree) -> None:
    """A group is called after a node above all its classes, and after the root only where no other node is."""
    order = tree.graph["order"]
    below = {info(tree, node).name: {order[key] for key in leaves(tree, node)} for node in tree if node != ROOT}
    for group in (group for groups in [v.groups for v in nesting.levels] for group in groups):
        classes = set(group.classes)
        after = re.sub(r" \(\d+\)$", "", group.name).removeprefix("other").strip()
        if after:
            assert classes <= below[after], group
        else:
            assert not any(classes <= own for own in below.values()), group


def random_tree(rng: random.Random, most: int) -> toy.Tree:
    names = [f"c{i}" for i in range(rng.randint(2, most))]
    rng.shuffle(names)
    return contract(toy.tree_of(toy.random_text(rng, names), " ".join(sorted(names))))


@pytest.mark.parametrize("seed", range(40))
def test_random_trees(seed: int) -> None:
    rng = random.Random(seed)
    tree = random_tree(rng, 30)
    count, options = len(leaves(tree)), Options(max_children=rng.choice([2, 3, 6]))
    base = None
    for levels in range(1, min(max(depths(tree).values()), 5) + 1):
        nesting = nest_tree(tree, levels, options, default())
        check_nesting(nesting, levels, count)
        again = nest_tree(contract(toy.shuffled(rng, tree)), levels, options, default())
        assert again == nesting
        refined = nest_tree(tree, levels, options, default(), base=base)
        check_nesting(refined, levels, count)
        assert base is None or refined.levels[:-1] == base.levels
        check_names(refined, tree)
        check_names(nesting, tree)
        base = refined
    with pytest.raises(TaxonomyError, match=r"levels cannot be: the merged taxonomy is \d+ deep") as error:
        nest_tree(tree, max(depths(tree).values()) + 1, options, default())
    assert error.value.code == "E401"


def shown(nesting: Nesting) -> list[list[str]]:
    return [[f"{g.name}/{g.kind}/{g.parent}" for g in groups] for groups in [v.groups for v in nesting.levels]]


# tree, levels, groups as name/kind/parent
NAMED = [
    ("A(a b) B(c d)", 2, [["A/node/0", "B/node/0"]]),
    ("a b A(c d)", 2, [["other/rest/0", "A/node/0"]]),
    ("a A(b c) B(d e f)", 2, [["other/rest/0", "B/node/0"]]),
    ("a A(b B(c d))", 2, [["a/pass/0", "A/node/0"]]),
    ("a A(b B(c d))", 3, [["a/pass/0", "A/node/0"], ["a/pass/0", "b/pass/1", "B/node/1"]]),
    (
        "A(a b B(c d)) C(D(e f) E(g h))",
        3,
        [["A/node/0", "C/node/0"], ["other A/rest/0", "B/node/0", "D/node/1", "E/node/1"]],
    ),
]


@pytest.mark.parametrize(("text", "levels", "expected"), NAMED)
def test_names_kinds_and_parents(text: str, levels: int, expected: list[list[str]]) -> None:
    assert shown(nest_tree(toy.tree_of(text), levels, Options(), default())) == expected


def test_where_each_group_comes_from() -> None:
    nesting = nest_tree(toy.tree_of("A(a b B(c d)) C(D(e f) E(g h))"), 3, Options(), default())
    origins = {g.name: g.origin for groups in [v.groups for v in nesting.levels] for g in groups}
    assert origins["B"] == "toy (B.yaml:1)"
    assert origins["other A"] == "what is left of toy (A.yaml:1)"
    assert all("root" in origin or "toy" in origin or origin == "path too short" for origin in origins.values())


def test_what_was_gathered_twice_comes_from_the_node_it_was_gathered_in() -> None:
    nesting = nest_tree(toy.tree_of("X(a A(b c C(d e)) B(f g h i j k)) Y(l m)"), 3, Options(max_children=2), default())
    (group,) = (g for g in nesting.levels[1].groups if g.classes == (0, 1))
    assert (group.name, group.origin) == ("other X", "what is left of toy (X.yaml:1)")


@pytest.mark.parametrize("name", ["A/other", "other A", "other", "A'", "root"])
def test_a_users_group_may_be_called_like_a_part_of_ours(name: str) -> None:
    key = name.replace(" ", "_")
    tree = toy.tree_of(f"z A(a b {key}(c d) B(x y)) C(D(e f) E(g h) i)")
    tree.nodes[f"group:{key}"]["info"] = toy.Node("group", name, name)
    for levels in (1, 2, 3):
        check_nesting(nest_tree(tree, levels, Options(), default()), levels, 12)


def test_twins_get_unique_names() -> None:
    tree = toy.tree_of("A(a b) B(c d) C(e f)")
    for key, name in (("A", "x"), ("B", "x"), ("C", "x (2)")):
        tree.nodes[f"group:{key}"]["info"] = toy.Node("group", name, name)
    assert shown(nest_tree(tree, 2, Options(), default())) == [["x/node/0", "x (3)/node/0", "x (2)/node/0"]]


def test_wordnet_twins_get_their_synset_names() -> None:
    tree = toy.tree_of("A(a b) B(c d) C(e f)")
    for key, synset in (("A", "n02012849"), ("B", "n03126707")):
        tree.nodes[f"group:{key}"]["info"] = toy.Node("group", synset, "crane", synset)
    assert shown(nest_tree(tree, 2, Options(), default()))[0][:2] == ["crane.n.05/node/0", "crane.n.04/node/0"]


def test_twins_of_one_synset_are_numbered() -> None:
    tree = toy.tree_of("A(a b) B(c d) C(e f)")
    for key, synset in (("A", "n02012849"), ("B", "n03126707"), ("C", "n02012849")):
        tree.nodes[f"group:{key}"]["info"] = toy.Node("group", synset, "crane", synset)
    assert shown(nest_tree(tree, 2, Options(), default())) == [["crane/node/0", "crane (2)/node/0", "crane (3)/node/0"]]


@pytest.fixture(scope="module")
def imagenet1k() -> Taxonomy:
    return load_taxonomy(REPOSITORY / "taxonomies" / "imagenet1k.yaml")


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_imagenet1k_has_every_class_once_and_no_needless_single(imagenet1k: Taxonomy, levels: int) -> None:
    nesting = imagenet1k.nesting_of(levels)
    check_nesting(nesting, levels, 1000)
    depth = depths(imagenet1k.tree)
    for level, groups in enumerate([v.groups for v in nesting.levels], 1):
        for group, count in zip(groups, (len(nesting.children(level, b)) for b in range(len(groups))), strict=True):
            if count > 1:
                continue
            # a class may stand alone only where its path in the merged tree has fewer nodes than there are levels
            assert levels > 3, f"single: {group.name}"
            assert group.kind == "pass"
            assert len(group.classes) == 1
            assert depth[class_key(imagenet1k.classes[group.classes[0]].id)] < levels


@pytest.mark.parametrize("refine", ["false", "true"])
def test_refine_keeps_the_groups_of_shallower_models(load: Callable[[str], Taxonomy], refine: str) -> None:
    taxonomy = load(
        f"name: t\nclasses: imagenet100\nnesting: {{refine: {refine}}}\nmodels: {{N2HL: {{}}, N4HL: {{}}, N3HL: {{}}}}"
    )
    two, three, four = (taxonomy.nesting(f"N{k}HL") for k in (2, 3, 4))
    for nesting in (two, three, four):
        check_nesting(nesting, nesting.depth, 100)
    kept = (three.levels[:1], four.levels[:2]) == (two.levels, three.levels)
    assert kept == (refine == "true")


def test_refined_groups_are_weighed_on_the_scale_of_all_classes() -> None:
    drawing = "G8(c0 G7(G2(c1 G1(c2 c3 c4)) G6(G3(c5 c6) G4(c7 c8) G5(c9 c10)))) G10(G9(c11 c12) c13)"
    tree, options = toy.tree_of(drawing), Options(max_children=4)
    base = nest_tree(tree, 2, options, default())
    refined = nest_tree(tree, 3, options, default(), base=base)
    assert [[g.name for g in groups] for groups in [v.groups for v in refined.levels]] == [
        ["G8", "G10"],
        ["c0", "G2", "other G6", "G5", "G9", "c13"],  # on the scale of G8's 11 classes G3 and G4 would stay apart
    ]


def test_the_same_on_every_hash_seed() -> None:
    code = (
        "from hiergen.taxonomy.load import load_taxonomy\n"
        "t = load_taxonomy('taxonomies/imagenet100.yaml')\n"
        "print([t.nesting_of(k).levels for k in (2, 3, 4)], t.conflicts, list(t.tree.edges(data=True)))"
    )
    assert len(printed_twice(code)) > 10_000


def test_many_hand_made_groups_stay_apart(tmp_path: Path) -> None:
    groups = "".join(f"      group {g}: [{', '.join(f'c{g}x{i}' for i in range(5))}]\n" for g in range(100))
    classes = ", ".join(f"c{g}x{i}" for g in range(100) for i in range(5))
    file = tmp_path / "t.yaml"
    for extra in ("", "nesting: {closeness: 0, single_child: 0}\n"):
        text = f"name: t\nclasses: [{classes}]\nsources:\n  - groups:\n{groups}{extra}models: {{N2HL: {{}}}}\n"
        file.write_text(text)
        nesting = load_taxonomy(file).nesting("N2HL")
        assert sorted(c for g in nesting.levels[0].groups for c in g.classes) == list(range(500))
        if not extra:
            assert len(nesting.levels[0].groups) > 20
