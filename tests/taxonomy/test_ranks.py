"""ranks.py: groups by hand that are a nesting already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hiergen.codegen.build import render
from hiergen.lookup.reference import read_nestings
from hiergen.lookup.select import Selector
from hiergen.lookup.vocabulary import vocabulary
from hiergen.planning.from_taxonomy import plan_models, validate
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

Load = Callable[[str, str], Taxonomy]


def load(write: Callable[..., Path], classes: str, groups: str, models: str = "{N2HL: {}, N3HL: {}}") -> Taxonomy:
    text = f"name: t\nclasses: [{classes}]\nsources: [groups: {groups}]\nunplaced: root\nmodels: {models}\n"
    return load_taxonomy(write(text))


def groups_of(taxonomy: Taxonomy, model: str) -> list[dict[str, tuple[int, ...]]]:
    return [{group.name: group.classes for group in level.groups} for level in taxonomy.nesting(model).levels]


def test_one_rank_is_the_level_and_nobody_joins_a_stranger(write: Callable[..., Path]) -> None:
    taxonomy = load(write, "a1, p1, b1, b2, c1, c2", "{a: [a1], b: [b1, b2], c: [c1, c2]}", "{N2HL: {}}")
    assert groups_of(taxonomy, "N2HL") == [{"a": (0,), "p1": (1,), "b": (2, 3), "c": (4, 5)}]


def test_ranks_with_single_groups_keep_their_names(write: Callable[..., Path]) -> None:
    groups = (
        "{bird: [{duck: [teal, mallard]}, {crow: [raven]}], worm: [{earthworm: [lumbricus]}], tree: [{oak: [o1, o2]}]}"
    )
    taxonomy = load(write, "teal, mallard, raven, lumbricus, o1, o2", groups)
    top, families = groups_of(taxonomy, "N3HL")
    assert top == {"bird": (0, 1, 2), "worm": (3,), "tree": (4, 5)}
    assert families == {"duck": (0, 1), "crow": (2,), "earthworm": (3,), "oak": (4, 5)}
    # fewer levels than ranks: the outermost that leaves no group with too many children
    assert groups_of(taxonomy, "N2HL") == [top]


def test_a_missing_rank_is_a_class_that_stands_alone(write: Callable[..., Path]) -> None:
    taxonomy = load(write, "x1, x2, y1, y2, z", "{x: [{p: [x1, x2]}], y: [{q: [y1, y2]}, z]}")
    assert groups_of(taxonomy, "N3HL")[1] == {"p": (0, 1), "q": (2, 3), "z": (4,)}


def test_groups_that_are_no_ranks_are_cut_but_never_joined_at_the_top(write: Callable[..., Path]) -> None:
    groups = "{pet: [{cat: [c1, c2]}, {dog: [d1, d2]}], farm: [hen, cow, pig], wild: [fox]}"
    taxonomy = load(write, "c1, c2, d1, d2, hen, cow, pig, fox", groups)
    top = groups_of(taxonomy, "N3HL")[0]
    assert top["pet"] == (0, 1, 2, 3)
    assert top["farm"] == (4, 5, 6)
    assert all(set(inside) <= set(range(4)) or not set(inside) & set(range(4)) for inside in top.values())


def test_classes_that_nobody_knows_do_not_make_a_group_of_all_others(write: Callable[..., Path]) -> None:
    names = "tabby, tiger cat, beagle, pug, corgi, hen, robin.n.02, zzq1, zzq2"
    taxonomy = load_taxonomy(write(f"name: t\nclasses: [{names}]\nunplaced: root\nmodels: {{N2HL: {{}}}}\n"))
    assert max(len(group) for group in taxonomy.nesting("N2HL").levels[0].members) < 6


def test_a_group_by_hand_means_its_members_whatever_the_levels_did(write: Callable[..., Path]) -> None:
    groups = "{food: [{fruit: [apple, orange]}, {dish: [pizza, hotdog]}, corn], toy: [doll, top]}"
    taxonomy = load(write, "apple, orange, pizza, hotdog, corn, doll, top", groups, "{PHL: {}, N2HL: {}, N3HL: {}}")
    source = write(render(plan_models(taxonomy), "t.yaml"), "t.py")
    for model in taxonomy.levels:
        nestings = (taxonomy.nesting(model), read_nestings(source)[model])
        assert nestings[0].groups == nestings[1].groups
        for nesting in nestings:
            select = Selector(nesting)
            assert select.classes("food") == (0, 1, 2, 3, 4)
            assert select.classes("dish") == (2, 3)
            part = nesting.keep((2, 3, 5))
            assert Selector(part).classes("food") == (0, 1)
            assert vocabulary(nesting).groups["food"] == ("food", (0, 1, 2, 3, 4))


def test_no_group_of_wordnet_takes_the_name_of_one_by_hand(write: Callable[..., Path]) -> None:
    """WordNet's own food stood beside the food by hand, and took its name."""
    text = (
        "name: t\nclasses: [apple, banana, broccoli, pizza, sandwich, cake, bread, knife, fork]\n"
        "sources: [groups: {food: [apple, banana, broccoli, pizza, cake]}, wordnet]\n"
        "models: {N2HL: {}, N3HL: {}}\n"
    )
    taxonomy = load_taxonomy(write(text))
    members = (0, 1, 2, 3, 5)
    assert vocabulary(taxonomy).groups["food"] == ("food", members)
    for model in taxonomy.levels:
        assert Selector(taxonomy.nesting(model)).classes("food") == members


def test_ranks_that_the_merged_tree_contracts_are_levels_for_checks_too(write: Callable[..., Path]) -> None:
    """Each group has one child, so that the merged tree is one level deep; the nesting has all ranks."""
    groups = "{cat: [{wildcat: [tabby]}], dog: [{hound: [pug]}], plant: [{tree: [oak]}]}"
    path = write(
        f"name: t\nclasses: [tabby, pug, oak]\nsources: [groups: {groups}]\nmodels: {{N2HL: {{}}, N4HL: {{}}}}\n"
    )
    assert load_taxonomy(path).nesting("N2HL").names(1) == ("cat", "dog", "plant")
    errors = [found for found in validate(path) if found.code.startswith("E")]
    assert [(found.code, found.message) for found in errors] == [
        ("E401", "model N4HL asks for 4 levels, the merged tree has 1")
    ]
