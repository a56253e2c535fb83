"""Similarities against nltk's own, pair by pair, and where WordNet has not the class."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from hiergen.errors import HiergenError, TaxonomyError
from hiergen.nestings.compare.similarity import Measure, nesting_similarity, wordnet_similarity
from hiergen.nestings.read import nesting_of
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.wordnet.nouns import default

ROOT = Path(__file__).parents[2]
# in WordNet some are above others, and some have two ways up (person, chef, dog, building)
ODD = [
    "dog.n.01",
    "canine.n.02",
    "terrier.n.01",
    "chef.n.01",
    "fireman.n.04",
    "person.n.01",
    "entity.n.01",
    "love.n.01",
]


def taxonomy(tmp_path: Path, text: str) -> Taxonomy:
    file = tmp_path / "toy.yaml"
    file.write_text(f"name: toy\nmodels: {{N2HL: {{}}}}\n{text}")
    return load_taxonomy(file)


@pytest.mark.parametrize("how", ["wu-palmer", "path"])
@pytest.mark.parametrize("name", ["imagenet100", "imagenet1k"])
def test_similarities_are_nltks(name: str, how: Measure) -> None:
    result = load_taxonomy(ROOT / f"taxonomies/{name}.yaml")
    similarity = wordnet_similarity(result, how)
    assert np.array_equal(similarity, similarity.T)
    assert (np.diag(similarity) == 1).all()
    draw = random.Random(0)
    for _ in range(1500):
        i, j = draw.sample(range(len(result.classes)), 2)
        a, b = (result.wordnet.synset(result.classes[c].synset or "") for c in (i, j))
        expected = a.wup_similarity(b) if how == "wu-palmer" else a.path_similarity(b)
        assert similarity[i, j] == pytest.approx(expected, abs=1e-12), (a, b)


@pytest.mark.parametrize("how", ["wu-palmer", "path"])
def test_classes_above_classes_and_two_ways_up(tmp_path: Path, how: Measure) -> None:
    result = taxonomy(
        tmp_path, f"classes: [{', '.join(ODD)}]\nsources: [groups: {{all: [dog.n.01]}}]\nunplaced: root\n"
    )
    similarity = wordnet_similarity(result, how)
    synsets = [default().synset(c.synset or "") for c in result.classes]
    for i, a in enumerate(synsets):
        for j, b in enumerate(synsets):
            if i == j:
                continue
            values = [x.wup_similarity(y) if how == "wu-palmer" else x.path_similarity(y) for x, y in ((a, b), (b, a))]
            assert similarity[i, j] == pytest.approx(max(values, key=lambda v: -abs(v - similarity[i, j])), abs=1e-12)


def test_a_class_of_a_synset_is_its_hyponym(tmp_path: Path) -> None:
    # 'blorp fish' is placed below fish.n.01 by its head word
    result = taxonomy(tmp_path, "classes: [blorp_fish, fish.n.01, dog.n.01]\nsources: [wordnet]\n")
    assert [c.exact for c in result.classes] == [False, True, True]
    similarity = wordnet_similarity(result, "path")
    fish, dog = default().synset("n02512053"), default().synset("n02084071")
    assert similarity[0, 1] == 1 / 2
    assert similarity[0, 2] == 1 / (2 + fish.shortest_path_distance(dog))


def test_a_class_wordnet_has_not_hangs_in_the_merged_tree(tmp_path: Path) -> None:
    text = "classes: [tabby.n.01, siamese_cat.n.01, xqz, wvb, dog.n.01]\nsources: [groups: "
    text += "{cats: [tabby.n.01, siamese_cat.n.01, {odd: [xqz, wvb]}], dogs: [dog.n.01]}]\nunplaced: root\n"
    result = taxonomy(tmp_path, text)
    assert [c.synset is None for c in result.classes] == [False, False, True, True, False]
    path = wordnet_similarity(result, "path")
    cat, tabby = default().synset("n02121808"), default().synset("n02123045")  # domestic_cat.n.01 joins the two
    assert default().synset("n02123045").lowest_common_hypernyms(default().synset("n02123597")) == [cat]
    assert path[2, 3] == 1 / 3  # below their own group
    assert path[0, 2] == 1 / (1 + tabby.shortest_path_distance(cat) + 2)  # up to the cat, down over 'odd'
    (lcs,) = tabby.lowest_common_hypernyms(cat, use_min_depth=True)
    depth = lcs.max_depth() + 1
    ways = tabby.shortest_path_distance(lcs) + cat.shortest_path_distance(lcs) + 2
    assert wordnet_similarity(result)[0, 2] == pytest.approx(2 * depth / (2 * depth + ways))


def test_no_class_in_wordnet(tmp_path: Path) -> None:
    text = "classes: [xqz, wvb, jkj, qpq]\nsources: [groups: {a: [xqz, wvb], b: [jkj, qpq]}]\n"
    path = wordnet_similarity(taxonomy(tmp_path, text), "path")
    assert path[0].tolist() == [1, 1 / 3, 1 / 5, 1 / 5]


def test_a_sense_that_the_file_gives_counts_without_the_file(tmp_path: Path) -> None:
    """A crane that is a bird is near the heron, whoever is asked."""
    text = "classes: [crane, heron, dumper]\nsources: [groups: {a: [crane, heron], b: [dumper]}]\n"
    bird = taxonomy(tmp_path, text)  # as it is read beside a heron
    values = nesting_similarity(bird.nesting("N2HL"))
    assert np.array_equal(values, wordnet_similarity(bird))
    assert values[0, 1] > values[0, 2]
    machine = taxonomy(tmp_path, text + "synsets: {crane: crane.n.04}\n").nesting("N2HL")
    assert nesting_similarity(machine)[0, 1] < nesting_similarity(machine)[0, 2]


def test_a_nesting_without_its_file_has_the_same_similarities() -> None:
    result = load_taxonomy(ROOT / "taxonomies/imagenet100.yaml")
    assert np.array_equal(nesting_similarity(nesting_of(result)), wordnet_similarity(result))
    odd = Nesting.from_levels(["xqz", "wvb", "jkj"], [[0, 0, 1]], name="odd")
    assert nesting_similarity(odd, "path")[0].tolist() == [1, 1 / 3, 1 / 5]


def test_bad_measures_and_broken_wordnets_are_named(tmp_path: Path) -> None:
    result = load_taxonomy(ROOT / "taxonomies/digits.yaml")
    with pytest.raises(HiergenError, match="no similarity 'wup'; expected wu-palmer or path"):
        wordnet_similarity(result, "wup")  # type: ignore[arg-type]

    class Cyclic:
        path = "broken"

        def closure(self, wnids: list[str]) -> dict[str, tuple[str, ...]]:
            return {"n00000001": ("n00000002",), "n00000002": ("n00000001",)}

    from hiergen.nestings.compare.similarity import _Ancestry

    with pytest.raises(TaxonomyError, match="broken: hypernyms in a cycle"):
        _Ancestry.of(Cyclic().closure([]), Cyclic())  # type: ignore[arg-type]
