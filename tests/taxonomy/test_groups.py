"""groups.py and group_file.py: what a member may be, who wins a class, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import toy

from hiergen import validate
from hiergen.errors import TaxonomyError
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.tree import ROOT, info, parent, provenance

Load = Callable[[str], Taxonomy]
HEAD = "name: t\nclasses: [n02123045, n02123159, beagle.n.01, toucan, macaw, goldfish, zorblax]\nunplaced: root\n"


def text(block: str) -> str:
    return f"{HEAD}sources:\n  - groups: {block}\nmodels: {{PHL: {{}}}}\n"


def group_of(taxonomy: Taxonomy, name: str) -> str:
    """The names of the groups above a class, lowest first."""
    key = next(k for k in taxonomy.tree if info(taxonomy.tree, k).name == name)
    found = []
    while (key := parent(taxonomy.tree, key) or ROOT) != ROOT:
        found.append(info(taxonomy.tree, key).name)
    return " < ".join(found)


MEMBERS = [
    ("{a: [n02123045, tiger cat]}", "", "wnid of a class, class name"),
    ("{a: [tabby, tiger cat]}", "", "display name of a class"),
    ("{a: [tabby.n.01, n02123159]}", "", "another id of the same synset"),
    ("{a: [cat.n.01]}", "", "descendants of a synset"),
    ("{a: [n02121620]}", "", "descendants of a wnid"),
    ("{a: [cat]}", "", "a word, one of whose senses has classes below"),
    ("{a: cat.n.01}", "", "a single member without a list"),
    ("{a: [Felis catus], b: [goldfish, toucan]}", "", "a lemma with a blank"),
]


@pytest.mark.parametrize("block", [m[0] for m in MEMBERS], ids=[m[2] for m in MEMBERS])
def test_forms_of_a_member(block: str, load: Load) -> None:
    taxonomy = load(text(block))
    assert group_of(taxonomy, "tabby") == group_of(taxonomy, "tiger cat") == "a"
    assert group_of(taxonomy, "zorblax") == ""


NESTED = [
    "{pet: [a, beagle.n.01], a: [cat.n.01]}",
    "{a: [cat.n.01], pet: [a, beagle.n.01]}",
    "{pet: [{a: [cat.n.01]}, beagle.n.01]}",
    "{pet: {a: [cat.n.01], d: [beagle.n.01]}}",
]


@pytest.mark.parametrize("block", NESTED)
def test_groups_in_groups(block: str, load: Load) -> None:
    taxonomy = load(text(block))
    assert group_of(taxonomy, "tabby") == "a < pet"
    assert group_of(taxonomy, "beagle") == "pet"
    assert frozenset({"tabby", "tiger cat", "beagle"}) in toy.class_sets(taxonomy.tree)


def test_every_edge_says_its_line(load: Load) -> None:
    taxonomy = load(
        f"{HEAD}sources:\n  - groups:\n      a:\n        - tabby\n        - tiger cat\nmodels: {{PHL: {{}}}}\n"
    )
    tree = taxonomy.tree
    said = {info(tree, k).name: str(provenance(tree, k)).replace(str(taxonomy.path), "t") for k in tree if k != ROOT}
    assert said["a"] == "groups (t:6)"
    assert (said["tabby"], said["tiger cat"]) == ("groups (t:7)", "groups (t:8)")
    assert said["zorblax"] == "classes (t:2)"


# the member that names the class most closely wins; (block, group of tabby, the loser)
CLOSER = [
    ("{a: [cat.n.01, goldfish], b: [tabby, beagle.n.01]}", "b", "a (cat.n.01)"),
    ("{b: [tabby, beagle.n.01], a: [cat.n.01, goldfish]}", "b", "a (cat.n.01)"),
    ("{a: [animal.n.01], b: [cat.n.01]}", "b", "a (animal.n.01)"),
    ("{a: [domestic_cat.n.01, toucan], b: [cat.n.01, beagle.n.01]}", "a", "b (cat.n.01)"),
]


@pytest.mark.parametrize(("block", "kept", "lost"), CLOSER)
def test_the_closer_member_wins_and_the_other_is_recorded(block: str, kept: str, lost: str, load: Load) -> None:
    if "a: [domestic_cat.n.01, toucan], b: [cat.n.01" in block:
        block = block.replace("b: [cat.n.01", "b: [feline.n.01")
        lost = "b (feline.n.01)"
    taxonomy = load(text(block))
    assert group_of(taxonomy, "tabby").split(" < ")[0] == kept
    (conflict,) = [c for c in taxonomy.conflicts if c.classes == ("n02123045",)]
    assert (conflict.kind, conflict.lost, conflict.rule) == ("member", lost, "the closer member wins")
    assert conflict.kept.startswith(f"{kept} (")
    assert conflict.kept_by == conflict.lost_by == f"groups ({taxonomy.path}:5)"


def test_two_mentions_in_one_group_are_no_conflict(load: Load) -> None:
    assert load(text("{a: [tabby, cat.n.01, tabby]}")).conflicts == ()


BAD = [
    ("{a: [tabby, beagle], b: [beagle]}", "E202", r"class 'beagle.n.01' is in groups 'a' and 'b'; the other claim"),
    ("{a: [cat.n.01], b: [cat.n.01, beagle]}", "E202", "is in groups 'a' and 'b'"),
    ("{a: [a, tabby]}", "E204", "contain each other: 'a' → 'a'"),
    ("{a: [b], b: [c], c: [a, tabby]}", "E204", "contain each other: .* → .* → .* → "),
    ("{a: []}", "E203", "group 'a' is empty; expected at least one member"),
    ("{a: [cat.n.01], b: [tabby, tiger cat]}", "E203", "group 'a' ends up empty: closer groups took all"),
    ("{goldfish: [tabby]}", "E206", "'goldfish' is both a group and a class; rename the group"),
    ("{a: [tabbi]}", "E201", "'tabbi' in group 'a' is no class, group or synset with classes; nearest: tabby"),
    ("{a: [tabby, aa], ab: [beagle]}", "E201", "'aa' in group 'a' .* nearest: "),
    ("{a: [tiger_cat.n.07]}", "E201", "'tiger_cat.n.07' in group 'a' .* nearest: tiger cat"),
    ("{a: [n02123046]}", "E201", "nearest: n0"),
    ("{a: [fungus.n.01]}", "E201", "'fungus.n.01' in group 'a' covers no class of this taxonomy"),
    ("{a: [fungus]}", "E201", "'fungus' in group 'a' is no class, group or synset with classes"),
    ("{a: [null]}", "E201", "a member of group 'a' is nothing"),
    ("{a: [{}]}", "E201", "a member of group 'a' is nothing"),
    ("{a: [c], b: [c], c: [tabby]}", "E205", "group 'c' is in groups 'a' and 'b'"),
    ("{a: [{c: [tabby]}], b: [{c: [beagle]}]}", "E205", "group 'c' stands twice; expected once"),
    ("{'A b': [tabby], a-B: [beagle]}", "E104", "become the same identifier"),
]


@pytest.mark.parametrize(("block", "code", "message"), BAD)
def test_refused(block: str, code: str, message: str, load: Load) -> None:
    with pytest.raises(TaxonomyError, match=message) as error:
        load(text(block))
    assert error.value.code == code
    assert str(error.value).split(": ")[0].endswith("t.yaml:5")


def test_a_word_or_name_that_means_two_things(load: Load) -> None:
    cranes = "name: t\nclasses: [n02012849, n03126707, toucan.n.01]\nsources: [{groups: {a: [%s, toucan.n.01]}}]\n"
    tail = "unplaced: root\nmodels: {PHL: {}}\n"
    with pytest.raises(TaxonomyError, match=r"'crane' in group 'a' has several senses here; expected one of crane\.n"):
        load(cranes.replace("%s", "crane") + tail)
    assert group_of(load(cranes.replace("%s", "crane.n.05") + tail), "crane.n.05") == "a"
    twins = "name: t\nclasses: [qqa, qqb]\nnames: {qqa: same, qqb: same}\nsources: [{groups: {a: [MEMBER, qqb]}}]\n"
    with pytest.raises(TaxonomyError, match="'same' in group 'a' names 2 classes; expected one of 'qqa', 'qqb'"):
        load(twins.replace("MEMBER", "same") + tail)
    assert load(twins.replace("MEMBER", "qqa") + tail).merged.unplaced == ()


# a block, and all errors of it: what follows from one of them is not said again
ALONE = [
    ("{a: [tabby], b: [tabby]}", ["E202"]),  # b is empty for that
    ("{a: [tabbi]}", ["E201"]),
    ("{out: {in: [tabbi]}}", ["E201"]),  # nor that `out` is empty too
    ("{out: {in: [tabby, tiger cat]}, a: [n02123045, n02123159]}", ["E202", "E202"]),
    ("{out: {in: [cat.n.01]}, a: [tabby, tiger cat]}", ["E203", "E203"]),  # two empty groups
]


@pytest.mark.parametrize(("block", "codes"), ALONE)
def test_each_mistake_is_reported_once(block: str, codes: list[str], write: Callable[[str], Path]) -> None:
    found = [finding for finding in validate(write(text(block))) if finding.is_error]
    assert [finding.code for finding in found] == codes, found


def test_a_chain_of_groups_says_what_it_says_once(load: Load) -> None:
    weaker = "{p: {q: [tiger cat, beagle.n.01]}, r: [tabby, toucan]}"
    block = text("{a: [tabby, tiger cat]}").replace("models:", f"  - groups: {weaker}\nmodels:")
    assert [(c.kept, c.lost) for c in load(block).conflicts] == [("a", "q"), ("a", "r")]


def test_a_class_below_its_head_word_is_a_step_from_it(load: Load) -> None:
    head = "name: t\nclasses: [aquarium_fish, goldfish, toucan]\nunplaced: root\nmodels: {PHL: {}}\n"
    taxonomy = load(head + "sources: [{groups: {a: [fish.n.01], b: [aquarium_fish, toucan]}}]\n")
    assert group_of(taxonomy, "aquarium_fish") == "b"
    (conflict,) = taxonomy.conflicts
    assert conflict.lost == "a (fish.n.01)"


def test_an_id_outweighs_a_name(load: Load) -> None:
    head = "name: t\nclasses: [qqa, qqb, qqc]\nnames: {qqa: qqb}\nunplaced: root\nmodels: {PHL: {}}\n"
    taxonomy = load(head + "sources: [{groups: {a: [qqb, qqc]}}]\n")
    assert [info(taxonomy.tree, key).id for key in taxonomy.tree.succ["group:a"]] == ["qqb", "qqc"]
