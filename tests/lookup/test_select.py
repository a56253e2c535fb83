"""Names → branches, against brute force over WordNet and small trees worked out by hand."""

from __future__ import annotations

import builtins
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from hiergen.assets import class_list
from hiergen.lookup.select import Node, Selector
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.wordnet.nouns import default
from tests.helpers import message

TREE = {
    "animal": {
        "cat": {"n02123045": "tabby", "n02123394": "Persian cat"},
        "frog": {"n01641577": "bullfrog"},
        "wading bird": {"n02012849": "crane"},
    },
    "frog-like": {"frog like": {"toy_1": "zorb"}},
    "thing": {"machine": {"n03126707": "crane"}, "cat": {"n03100240": "convertible"}},
}
CLASSES = ["n03126707", "n02123045", "n01641577", "n02012849", "n03100240", "toy_1", "n02123394"]


@pytest.fixture
def select() -> Selector:
    return Selector(Nesting.from_tree(TREE, CLASSES))


def brute(word: str, ids: list[str]) -> set[int]:
    """The classes at or below the first sense that has any, by nltk's own hyponyms."""
    wordnet = default()
    for wnid in wordnet.senses(word):
        synset = wordnet.synset(wnid)
        below = {synset, *synset.closure(lambda s: s.hyponyms() + s.instance_hyponyms())}
        offsets = {f"n{s.offset():08d}" for s in below}
        if found := {i for i, class_id in enumerate(ids) if class_id in offsets}:
            return found
    return set()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (1, (1,)),
        (np.int64(6), (6,)),
        (torch.tensor(3), (3,)),
        ("n02123045", (1,)),
        ("N02123045", (1,)),
        ("TOY-1", (5,)),
        ("tabby", (1,)),
        ("  persian_CAT ", (6,)),
        ("animal", (1, 2, 3, 6)),
        ("animal/cat", (1, 6)),
        ("thing / Cat", (4,)),
        ("/thing/cat", (4,)),
        ("/thing", (0, 4)),
        ("frog", (2,)),
        ("frog-like", (5,)),
        ("frog like", (5,)),
        ("animal/tabby", (1,)),
        ("animal/cat/n02123394", (6,)),
        ("machine/crane", (0,)),
        ("animal/crane", (3,)),
        ("domestic cat", (1, 6)),
        ("cat.n.01", (1, 6)),
        ("CAT.N.01", (1, 6)),
        ("n02121808", (1, 6)),
        ("true-cats", (1, 6)),
        ("motor vehicle", (4,)),
        (["tabby", 0, "frog"], (0, 1, 2)),
        ({"tabby"}, (1,)),
        pytest.param((c for c in ("tabby", "tabby", 1)), (1,), id="generator"),
        (range(2), (0, 1)),
        (np.array([5, 1, 5]), (1, 5)),
        (torch.tensor([5, 1]), (1, 5)),
        ([True, False, False, False, False, False, True], (0, 6)),
        (np.arange(7) == 2, (2,)),
        (torch.arange(7) > 4, (5, 6)),
        ([np.bool_(True)] * 7, tuple(range(7))),
    ],
    ids=str,
)
def test_classes(select: Selector, wanted: Any, expected: tuple[int, ...]) -> None:
    assert select.classes(wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (7, "no class has the index 7; expected 0..6; or name the class"),
        (-1, "no class has the index -1; expected 0..6; or name the class"),
        ([0, np.int64(9)], "no class has the index 9; expected 0..6"),
        ([], "no class is chosen; expected at least one"),
        ([False] * 7, "no class is chosen"),
        (np.zeros(0), "no class is chosen"),
        ([True] * 3, "a mask of booleans needs one per class; expected 7, got 3"),
        (True, "a class is named by an int or a str; expected a class id, a class or group name"),
        (np.bool_(True), "got 'True' (bool)"),
        ([True, 1], "got 'True' (bool)"),
        (1.0, "got '1.0' (float)"),
        (np.array([0.0, 1.0]), "got '0.0' (float)"),
        (np.eye(7, dtype=bool), "got '[True, False, False, False, False, False, False]' (list)"),
        ([["tabby"]], "(list)"),
        (None, "got 'None' (NoneType)"),
        (b"tabby", "(bytes)"),
        ({"tabby": 2.0}, "(dict)"),
        ("tabyb", "no class or group 'tabyb'; nearest: tabby"),
        ("anmal", "no class or group 'anmal'; nearest: animal"),
        ("zzzzqqqq", "no class or group 'zzzzqqqq'; expected a class id, a class or group name"),
        ("", "no class or group ''"),
        ("animal/dog", "no class or group 'animal/dog'; nearest: animal"),
        ("/cat", "no class or group '/cat'"),
        ("5", "no class or group '5'; write an index as a number, not as text"),
        ("-1", "write an index as a number"),
        ("cat", "'cat' names 2 groups with different classes; type the path of one: 'animal/cat', 'thing/cat'"),
        ("crane", "'crane' names 2 classes; type the id of one: 'n03126707', 'n02012849'"),
        ("piano", "'piano' is in WordNet, but no class of this network is a kind of it (first of 2 senses: piano ("),
        ("dog.n.01", "but no class of this network is a kind of it (dog (domestic dog, Canis familiaris))"),
    ],
    ids=str,
)
def test_wrong(select: Selector, wanted: Any, sentence: str) -> None:
    assert sentence in message(lambda: select.classes(wanted))


def test_what_an_error_offers_can_be_typed(select: Selector) -> None:
    assert select.classes("animal/cat") == (1, 6)
    assert select.classes("thing/cat") == (4,)
    assert select.classes("n02012849") == (3,)
    assert "cat" in message(lambda: select.classes("kat"))


def test_nodes(select: Selector) -> None:
    nest = select.nesting
    assert select.nodes("animal") == (Node(1, 0, "animal"),)
    assert select.nodes("thing/cat") == (Node(2, nest.names(2).index("machine") + 1, "cat"),)
    for index, class_id in enumerate(CLASSES):
        (leaf,) = select.nodes(class_id)
        assert leaf == select.nodes(index)[0] == select.nodes(np.int64(index))[0]
        assert (leaf.level, nest.names(3)[leaf.branch], nest.members(3, leaf.branch)) == (3, class_id, (index,))
    # exactly the classes of a group: the group; otherwise the classes themselves; a class's own synset: the class
    assert select.nodes("domestic cat") == select.nodes("animal/cat")
    assert select.nodes("carnivore") == select.nodes("animal/cat")
    assert select.nodes("vertebrate") == select.nodes("animal")
    assert select.nodes("instrumentality") == select.nodes("thing")
    assert [node.name for node in select.nodes("whole.n.02")] == [c for c in CLASSES if c != "toy_1"]
    assert select.nodes("bullfrog.n.01") == select.nodes(2)
    assert select.nodes("amphibian.n.03") == select.nodes("frog")


def test_explain(select: Selector) -> None:
    assert select.explain(1) == select.explain("tabby") == "class 1: tabby (n02123045)"
    assert select.explain("animal/cat") == "group of level 2: animal/cat → 2 classes"
    full = "domestic cat (house cat, Felis domesticus, Felis catus)"
    assert select.explain("domestic cat") == f"WordNet: {full} → 2 classes"
    assert select.explain("cars") == ("WordNet, sense 1 of 5: car (auto, automobile, machine, motorcar) → 1 class")


def test_the_first_sense_with_a_class_is_taken() -> None:
    # mouse.n.01 is the rodent, mouse.n.04 the electronic device
    select = Selector(Nesting.from_tree({"n03793489": "clicker", "n02110341": "dalmatian"}, ["n03793489", "n02110341"]))
    assert select.classes("mouse") == (0,)
    assert select.explain("mouse").startswith("WordNet, sense 4 of 4: mouse (computer mouse) → 1 class")


def test_two_senses_that_are_both_classes_are_asked_back() -> None:
    ids = ["n02012849", "n03126707"]
    select = Selector(Nesting.from_tree({"n02012849": "crane.n.05", "n03126707": "crane.n.04"}, ids))
    assert "'crane' names 2 classes; type the id of one: " in message(lambda: select.classes("crane"))
    assert select.classes("crane.n.04") == (1,)


def test_precedence_id_group_label_wordnet() -> None:
    tree = {
        "dog": {"cat": "wolf", "g1": "tabby"},  # a class id that is a group's name elsewhere, labels that are words
        "cat": {"fish": "dog", "n02123045": "fish"},
    }
    select = Selector(Nesting.from_tree(tree, ["cat", "g1", "fish", "n02123045"]))
    assert select.classes("cat") == (0,)  # id before group
    assert select.classes("dog") == (0, 1)  # group before label
    assert select.classes("fish") == (2,)  # id before label
    assert select.classes("tabby") == (1,)  # label before WordNet
    assert select.classes("/cat") == (2, 3)


def test_pass_through_chain_is_its_highest_branch() -> None:
    tree = {
        "a": {"a": {"a": {"c1": "one"}}},
        "b": {"frog": {"frog": {"c2": "two", "c3": "three"}}, "d": {"e": {"c4": "four"}}},
    }
    select = Selector(Nesting.from_tree(tree, ["c1", "c2", "c3", "c4"]))
    assert select.nodes("a") == (Node(1, 0, "a"),)
    assert select.nodes("frog") == (Node(2, 1, "frog"),)
    assert select.nodes("b/frog") == (Node(2, 1, "frog"),)
    assert select.nodes("frog/frog") == (Node(3, 1, "frog"),)


def test_one_name_on_two_levels_with_different_classes() -> None:
    tree = {"cat": {"cat": {"c1": "x"}, "dog": {"c2": "y"}}}
    select = Selector(Nesting.from_tree(tree, ["c1", "c2"]))
    sentence = "'cat' names 2 groups with different classes; type the path of one: '/cat', 'cat/cat'"
    assert sentence == message(lambda: select.nodes("cat"))
    assert select.nodes("/cat") == (Node(1, 0, "cat"),)
    assert select.nodes("cat/cat") == (Node(2, 0, "cat"),)
    assert select.nodes("/cat/cat") == (Node(2, 0, "cat"),)


@pytest.mark.parametrize("name", ["AC/DC", "/", "it's", 'say "hi"', "Straße", "日本 語", "a\tb", "x" * 300, "%s {0}"])
def test_awkward_names(name: str) -> None:
    tree = {f"{name}!": {name: {"c1": f"{name}?", "c2": "other"}}, "rest": {"more": {"c3": "z"}}}
    select = Selector(Nesting.from_tree(tree, ["c1", "c2", "c3"]))
    assert select.classes(name) == (0, 1)
    assert select.classes(f"{name}?") == (0,)
    assert select.classes(f"{name}!/{name}") == (0, 1)
    assert select.classes(f"{name}!/{name}/{name}?") == (0,)
    assert "no class or group" in message(lambda: select.classes(f"{name}~/{name}~"))


def test_composed_and_decomposed_letters_are_one() -> None:
    select = Selector(Nesting.from_tree({"c1": "caf\u00e9", "c2": "tea"}, ["c1", "c2"]))
    assert select.classes("CAFE\u0301") == (0,)


def test_names_that_differ_in_case_only() -> None:
    select = Selector(Nesting.from_tree({"Polish": {"c1": "x"}, "polish": {"c2": "y"}}, ["c1", "c2"]))
    assert select.classes("polish") == (1,)
    assert select.classes("Polish") == (0,)
    assert "'/Polish', '/polish'" in message(lambda: select.classes("POLISH"))
    assert (select.classes("/Polish"), select.classes("/polish")) == ((0,), (1,))  # as the message says
    tree = {"x": {"Cat": {"c1": "a"}, "cat": {"c2": "b"}}, "y": {"z": {"c3": "c"}}}
    deeper = Selector(Nesting.from_tree(tree, ["c1", "c2", "c3"]))
    assert "'x/Cat', 'x/cat'" in message(lambda: deeper.classes("X/CAT"))
    assert (deeper.classes("x/Cat"), deeper.classes("x/cat")) == ((0,), (1,))


def test_labels_that_differ_in_case_only() -> None:
    selector = Selector(
        Nesting.from_tree({"x": {"q1": "Crane", "q2": "crane"}, "y": {"q3": "zorb"}}, ["q1", "q2", "q3"])
    )
    assert (selector.classes("crane"), selector.classes("Crane")) == ((1,), (0,))
    assert "'CRANE' names 2 classes" in message(lambda: selector.classes("CRANE"))


def test_wide_letters_and_ligatures_are_plain_ones() -> None:
    select = Selector(Nesting.from_tree({"c1": "caf\u00e9 fish", "c2": "tea"}, ["c1", "c2"]))
    assert select.classes("\uff34\uff25\uff21") == (1,)
    assert select.classes("cafe\u0301 \ufb01sh") == (0,)


def test_a_path_is_first_what_was_typed() -> None:
    select = Selector(Nesting.from_tree({"/a": {"b": {"c1": "x"}}, "a": {"b": {"c2": "y"}}}, ["c1", "c2"]))
    assert (select.classes("/a/b"), select.classes("a/b")) == ((0,), (1,))


def test_a_wordnet_term_with_a_groups_classes_is_the_highest_such_group() -> None:
    cats = {"n02123045": "tabby", "n02123159": "tiger cat"}
    nest = Nesting.from_tree({"x": {"y": cats}, "z": {"w": {"n02085620": "chihuahua"}}}, [*cats, "n02085620"])
    assert Selector(nest).nodes("cat.n.01") == (Node(1, 0, "x"),)


def test_names_are_compared_without_case_and_with_any_space_around_slashes() -> None:
    select = Selector(Nesting.from_tree({"Straße": {"Tram": {"s1": "Tram"}}, "x": {"y": {"s2": "Bus"}}}, ["s1", "s2"]))
    assert select.classes("STRASSE") == (0,)
    for text in ("strasse/tram", "strasse/ tram", "strasse /tram", " Strasse / TRAM "):
        assert select.classes(text) == (0,)


def test_the_nearest_names_are_spelled_as_labels_are() -> None:
    nest = Nesting.from_tree(
        {"siamese cat": {"s1": "Siamese Cat", "s2": "tiger"}, "y": {"s3": "Bus"}}, ["s1", "s2", "s3"]
    )
    assert message(lambda: Selector(nest).classes("siamese catt")).endswith("nearest: Siamese Cat")


def test_a_kind_is_not_confused_with_classes_that_only_share_its_name() -> None:
    """ "dog" is first the animal, then a frankfurter and a pawl."""
    tree = {"x": {"n02110958": "pug", "n07676602": "frank"}, "y": {"n03901548": "pawl"}}
    select = Selector(Nesting.from_tree(tree, ["n02110958", "n07676602", "n03901548"]))
    assert select.classes("dog") == (0,)


def test_paths_alike_by_slashes() -> None:
    tree = {"a/b": {"c": {"c1": "x"}}, "a": {"b/c": {"c2": "y"}}}
    select = Selector(Nesting.from_tree(tree, ["c1", "c2"]))
    assert message(lambda: select.classes("a/b/c")) == (
        "'a/b/c' names 2 groups with different classes; their paths are alike too, so name their classes by id"
    )


def test_one_class_only() -> None:
    select = Selector(Nesting.from_tree({"n02123045": "tabby"}, ["n02123045"]))
    assert select.classes("cat") == select.classes(0) == select.classes([True]) == (0,)
    assert select.nodes("feline") == (Node(1, 0, "n02123045"),)
    assert "expected 0..0" in message(lambda: select.classes(1))


def test_classes_without_wnids_are_found_by_their_names() -> None:
    # aquarium fish goes below its head word, k__7 says nothing so that its display name is asked
    ids = ["golden_retriever", "aquarium_fish", "k__7", "tabby.n.01", "grblwx"]
    labels = ["golden retriever", "aquarium fish", "beagle", "x", "y"]
    select = Selector(Nesting.from_tree(dict(zip(ids, labels, strict=True)), ids))
    assert select.classes("dog") == (0, 2)
    assert select.classes("fish") == (1,)
    assert select.classes("cat") == (3,)
    assert select.classes("animal") == (0, 1, 2, 3)


def test_wordnet_terms_by_brute_force() -> None:
    ids = list(class_list("imagenet1k"))
    select = Selector(Nesting.from_tree({class_id: class_id for class_id in ids}, ids))
    words = "dog|cat|bird|vehicle|musical instrument|fruit|snake|dwelling|wading bird|mouse|canines|food|person"
    for word in words.split("|"):
        expected = brute(word, ids)
        assert expected
        assert set(select.classes(word)) == expected, word


def test_every_name_finds_its_branch() -> None:
    """Random trees in a shuffled order of classes: full paths and ids find exactly what stands below them."""
    rng = random.Random(0)
    for _ in range(20):
        tree: dict[str, dict[str, dict[str, str]]] = {}
        for i in range(12):
            tree.setdefault(rng.choice("ab"), {}).setdefault(rng.choice("xy"), {})[f"id{i}"] = "same"
        ids = [f"id{i}" for i in range(12)]
        rng.shuffle(ids)
        select = Selector(Nesting.from_tree(tree, ids))
        for top, middle in ((t, m) for t in tree for m in tree[t]):
            expected = tuple(i for i, c in enumerate(ids) if c in tree[top][middle])
            assert select.classes(f"{top}/{middle}") == expected
            (node,) = select.nodes(f"/{top}/{middle}")
            assert select.nesting.path(node.level, node.branch) == (top, middle)
            assert select.nesting.members(node.level, node.branch) == expected


def test_without_wordnet_its_terms_are_unknown(monkeypatch: pytest.MonkeyPatch, select: Selector) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith(("hiergen.lookup.vocabulary", "nltk")):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert select.classes("tabby") == (1,)
    assert "no class or group 'domestic cat'" in message(lambda: select.classes("domestic cat"))


def test_importing_reads_no_wordnet_and_no_pydantic() -> None:
    code = """
import sys
from hiergen.taxonomy.nesting import Nesting
from hiergen.lookup.select import Selector
found = Selector(Nesting.from_tree({"n1": "a", "n2": "b"}, ["n1", "n2"])).classes(["a", 1])
assert found == (0, 1), found
print(sorted({"nltk", "pydantic", "hiergen.taxonomy.wordnet.nouns", "networkx"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
