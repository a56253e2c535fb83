"""hypernyms.py: which of several hypernyms counts, by each rule; expected parents read off WordNet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hiergen.errors import HiergenError
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.tree import info
from hiergen.taxonomy.wordnet.nouns import default

Load = Callable[[str], Taxonomy]


def test_what_wordnet_says() -> None:
    wordnet = default()
    dog = wordnet.resolve("dog.n.01")
    assert dog is not None
    names = [wordnet.synset_name(h) for h in wordnet.hypernyms(dog)]
    assert names == ["canine.n.02", "domestic_animal.n.01"]
    canine, domestic = wordnet.hypernyms(dog)
    assert (wordnet.depth(canine), wordnet.depth(domestic)) == (12, 7)


def text(options: str, classes: str) -> str:
    return f"name: t\nclasses: {classes}\nsources: [wordnet]\nhypernyms: {options}\nmodels: {{PHL: {{}}}}\n"


CANINES = "[beagle.n.01, wolf.n.01, red_fox.n.01, tench.n.01]"
DOMESTIC = "[beagle.n.01, stocker.n.01, stray.n.01, tench.n.01]"
RULES = [
    ("{rule: deepest}", DOMESTIC, "canine.n.02"),
    ("{rule: shallowest}", CANINES, "domestic_animal.n.01"),
    ("{rule: first}", DOMESTIC, "canine.n.02"),
    ("{rule: most-classes}", CANINES, "canine.n.02"),
    ("{rule: most-classes}", DOMESTIC, "domestic_animal.n.01"),
    ("{choose: {dog.n.01: domestic_animal.n.01}}", CANINES, "domestic_animal.n.01"),
    ("{rule: shallowest, choose: {n02084071: canine.n.02}}", DOMESTIC, "canine.n.02"),
    ("{}", DOMESTIC, "canine.n.02"),
]


@pytest.mark.parametrize(("options", "classes", "kept"), RULES)
def test_rules(options: str, classes: str, kept: str, load: Load) -> None:
    taxonomy = load(text(options, classes))
    (conflict,) = [c for c in taxonomy.conflicts if c.subject == "dog.n.01"]
    lost = ({"canine.n.02", "domestic_animal.n.01"} - {kept}).pop()
    assert (conflict.kind, conflict.kept, conflict.lost) == ("hypernym", kept, lost)
    if "choose" in options:
        assert conflict.rule == f"hypernyms.choose ({taxonomy.path}:4)"
    else:
        rule = options[7:-1] if ":" in options else "deepest"
        assert conflict.rule == f"hypernyms.rule: {rule}"
    # and the tree is built so: the beagle's nearest relatives are the other canines, or the other domestic animals
    tree = taxonomy.tree
    (above,) = tree.pred["class:beagle.n.01"]
    together = {info(tree, key).id for key in tree.succ[above] if key.startswith("class:")}
    relatives = {"wolf.n.01"} if kept == "canine.n.02" else {"stocker.n.01", "stray.n.01"}
    assert together & relatives == {name for name in relatives if name in classes}


BAD = [
    ("{choose: {dog.n.01: cat.n.01}}", "'cat.n.01' is not a hypernym of 'dog.n.01'; expected canine.n.02 or domestic"),
    ("{choose: {entity.n.01: cat.n.01}}", "not a hypernym of 'entity.n.01'; expected nothing: it has none"),
    ("{choose: {dogg.n.01: cat.n.01}}", "no synset 'dogg.n.01' in WordNet 3.0"),
    ("{choose: {dog.n.01: katt.n.01}}", "no synset 'katt.n.01' in WordNet 3.0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_refused(options: str, message: str, load: Load) -> None:
    with pytest.raises(HiergenError, match=message) as error:
        load(text(options, CANINES))
    assert str(error.value).split(": ")[0].endswith("t.yaml:4")
