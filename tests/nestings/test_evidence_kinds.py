"""Each kind of evidence against plain computations and planted answers."""

from __future__ import annotations

import csv
import json
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nestings.random_nests import file_text
from nltk.corpus.reader.wordnet import Synset
from sklearn.metrics import adjusted_rand_score

from hiergen.errors import HiergenError
from hiergen.nestings.suggest.confusions import confusions_evidence, read_confusions
from hiergen.nestings.suggest.names import descriptions, names_evidence, tfidf_similarity
from hiergen.nestings.suggest.naming import name_groups
from hiergen.nestings.suggest.propose import agglomerate, dissimilar_nesting, random_nesting
from hiergen.nestings.suggest.shape import Shape
from hiergen.nestings.suggest.wordnet import depth_evidence, information_content, superclass_evidence, wordnet_evidence
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.sources import superclass_of
from hiergen.taxonomy.wordnet.nouns import default
from tests.training.slow_trees import tree_of

Load = Callable[[str], Taxonomy]
MIXED = "[tabby.n.01, beagle.n.01, pug.n.01, church.n.02, organ.n.05, banana.n.02, orange.n.01, tench.n.01]"


def below(synset: Synset) -> set[Synset]:
    result: set[Synset] = set()
    todo = [synset]
    while todo:
        for child in [*todo[-1].hyponyms(), *todo.pop().instance_hyponyms()]:
            if child not in result:
                result.add(child)
                todo.append(child)
    return result


def test_information_content_is_secos() -> None:
    wordnet = default()
    names = ["entity.n.01", "domestic_cat.n.01", "tabby.n.01", "dog.n.01", "fish.n.01"]
    wnids = [wordnet.resolve(name) or "" for name in names]
    result = information_content(wnids, wordnet)
    total = 82115  # nouns of WordNet 3.0, by its own statistics
    for wnid in wnids[1:]:
        plain = 1 - math.log(len(below(wordnet.synset(wnid))) + 1) / math.log(total)
        assert result[wnid] == pytest.approx(plain)
    assert result[wnids[0]] == 0
    assert result[wnids[2]] == 1


def test_wordnets_similarity_is_lins(load: Load) -> None:
    taxonomy = load(f"name: t\nclasses: {MIXED}\nmodels: {{PHL: {{}}}}\n")
    wordnet = taxonomy.wordnet
    synsets = [str(c.synset) for c in taxonomy.classes]
    above = [set(wordnet.closure([s])) for s in synsets]
    content = information_content(sorted(set().union(*above)), wordnet)
    plain = [
        [2 * max(content[s] for s in above[i] & above[j]) / (content[a] + content[b]) for j, b in enumerate(synsets)]
        for i, a in enumerate(synsets)
    ]
    np.testing.assert_allclose(wordnet_evidence(taxonomy).similarity, plain, atol=1e-9)
    deep = depth_evidence(taxonomy).similarity
    assert deep[1, 2] > deep[0, 1] > deep[0, 3]


def test_classes_that_wordnet_has_not_stand_with_their_neighbours(load: Load) -> None:
    text = (
        "name: t\nclasses: [tabby, zorblax, pug, beagle, church, blurb-xyzzy]\n"
        "sources: [groups: {cats: [tabby, zorblax], dogs: [pug, beagle], rest: [church, blurb-xyzzy]}]\n"
        "models: {N2HL: {}}\n"
    )
    taxonomy = load(text)
    assert [c.synset is None for c in taxonomy.classes] == [False, True, False, False, False, True]
    for evidence in (wordnet_evidence, depth_evidence):
        result = evidence(taxonomy).similarity
        assert result[1].argsort()[::-1].tolist()[0] in (0, 1)
        assert result[1, 0] > result[1, 2] > result[1, 4]
        assert result[5, 4] == max(result[5, :5])


def test_wordnet_says_so_where_it_has_half_the_classes_or_fewer(load: Load) -> None:
    with pytest.raises(HiergenError, match="says nothing of 4 of 4 classes"):
        wordnet_evidence(load(file_text(["qqa", "qqb", "qqc", "qqd"])))
    taxonomy = load(file_text(["qqa", "tabby", "pug", "qqd", "zebra"]))
    assert (wordnet_evidence(taxonomy).similarity[0, 1:] == 0).all()
    taxonomy = load(file_text(["qqa", "qqb", "qqc", "qqd"]))
    assert names_evidence(taxonomy).similarity.shape == (4, 4)


def test_superclasses_decide_and_wordnet_breaks_ties(load: Load) -> None:
    taxonomy = load("name: t\nclasses: imagenet100\nmodels: {N2HL: {}}\n")
    plain = wordnet_evidence(taxonomy)
    result = superclass_evidence(taxonomy, plain).similarity
    above = [superclass_of(taxonomy.wordnet, str(c.synset)) for c in taxonomy.classes]
    assert None not in above
    alike = np.equal.outer(above, above)
    shared = np.floor(result)
    assert (shared[alike & ~np.eye(100, dtype=bool)] >= 1).all()
    nested = [[a in taxonomy.wordnet.closure([b]) or b in taxonomy.wordnet.closure([a]) for b in above] for a in above]
    assert (shared[~np.array(nested)] < shared[alike].max()).all()
    for count in np.unique(shared):  # among pairs that share as much, WordNet's order
        rows, columns = np.nonzero(np.triu(shared == count, 1))
        ours, theirs = result[rows, columns], plain.similarity[rows, columns]
        assert (np.diff(ours[np.argsort(theirs)]) >= -1e-9).all()


def test_descriptions_and_their_words(load: Load) -> None:
    taxonomy = load("name: t\nclasses: [tabby, beagle, foo_bar]\nunplaced: root\nmodels: {PHL: {}}\n")
    first, _, last = descriptions(taxonomy)
    assert first.startswith("tabby; queen; a cat with") or "domestic cat" in first
    assert last == "foo bar" or last.startswith("foo bar;")
    texts = ["red apple", "green apple", "steel bridge"]
    result = tfidf_similarity(texts)
    assert result[0, 1] > 0.2 > result[0, 2]
    np.testing.assert_allclose(np.diag(result), 1)
    assert (tfidf_similarity(["1", "2"]) <= 1).all()


def test_text_models_by_the_extra(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    taxonomy = load("name: t\nclasses: [tabby, beagle, pug]\nmodels: {PHL: {}}\n")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(HiergenError, match=r"pip install 'hiergen\[names\]'"):
        names_evidence(taxonomy, "some/model")

    class Encoder:
        def __init__(self, name: str, device: str) -> None:
            if name == "gone":
                raise OSError("gone is not a local folder\nand more")

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.array([[1.0, 0], [0, 1], [0, 1.1]])[: len(texts)]

    fake = types.ModuleType("sentence_transformers")
    fake.SentenceTransformer = Encoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    result = names_evidence(taxonomy, "some/model").similarity
    assert result[1, 2] > 0.9
    assert result[0, 1] < 0
    with pytest.raises(HiergenError, match=r"'gone' cannot be used.*gone is not a local folder"):
        names_evidence(taxonomy, "gone")


def test_random_nestings_are_uniform() -> None:
    """All nestings of 6 classes in (2, 4) groups: 4 groups of 1 to 3, two and two."""
    ids = list("abcdef")
    counts: dict[tuple[tuple[int, ...], ...], int] = {}
    for seed in range(2000):
        drawn = random_nesting(Shape((2, 4), 1, 2), ids, ids, seed)
        key = tuple(level.of for level in drawn.levels)
        counts[key] = counts.get(key, 0) + 1
    # 6 into 4 groups of sizes 1, 1, 2, 2: 45 ways; the groups two and two: 3 ways
    assert len(counts) == 135
    chi2 = sum((c - 2000 / 135) ** 2 / (2000 / 135) for c in counts.values())
    assert chi2 < 134 + 4 * math.sqrt(2 * 134)
    again = random_nesting(Shape((2, 4), 1, 2), ids, ids, 7)
    assert again == random_nesting(Shape((2, 4), 1, 2), ids, ids, 7)


def test_the_control_has_the_sizes_and_mixes_everything(load: Load) -> None:
    taxonomy = load("name: t\nclasses: imagenet100\nmodels: {N3HL: {}}\n")
    ids = [c.id for c in taxonomy.classes]
    coherent = agglomerate(wordnet_evidence(taxonomy), Shape((5, 20)), ids, ids)
    mixed = dissimilar_nesting(coherent)
    for mine, theirs in zip(mixed.levels, coherent.levels, strict=True):
        assert sorted(mine.sizes) == sorted(theirs.sizes)
        assert abs(adjusted_rand_score(mine.of, theirs.of)) < 0.1
    # hardly two classes of one coherent group share a group (the largest has as many classes as there are groups)
    fine = np.array(coherent.levels[-1].of)
    together = [len(set(fine[list(group)])) / len(group) for group in mixed.levels[-1].members]
    assert min(together) > 0.7
    assert np.mean(together) > 0.95


def test_names_say_what_the_groups_are(load: Load) -> None:
    text = (
        "name: t\nclasses: [tabby.n.01, persian_cat.n.01, siamese_cat.n.01, beagle.n.01, pug.n.01, basset.n.01,"
        " church.n.02, tench.n.01, banana.n.02]\nsources: [groups: {odd ones: [church.n.02, tench.n.01, banana.n.02]},"
        " wordnet]\nmodels: {N2HL: {}}\n"
    )
    taxonomy = load(text)
    ids = [c.id for c in taxonomy.classes]
    pure = name_groups(taxonomy, Nesting.from_levels(ids, [[0, 0, 0, 1, 1, 1, 2, 2, 2]], name="x"))
    assert pure.levels[0].names == ("domestic cat", "dog", "odd ones")
    mostly = name_groups(taxonomy, Nesting.from_levels(ids, [[0, 0, 0, 1, 1, 1, 1, 2, 2]], name="x"))
    assert mostly.levels[0].names == ("domestic cat", "mostly dog", "like tench")
    twice = name_groups(
        taxonomy, Nesting.from_levels(ids, [[0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 1, 2, 2, 3, 4, 4, 5]], name="x")
    )
    assert len({name for level in twice.levels for name in level.names}) == 9


def test_confusions_of_every_form(load: Load, tmp_path: Path) -> None:
    ids = ["a", "b", "c"]
    counts = [[8, 2, 0], [3, 7, 0], [0, 1, 9]]
    shuffled, order = ["c", "a", "b"], [2, 0, 1]
    table = tmp_path / "t.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *ids])
        writer.writerows([name, *counts[row]] for name, row in zip(shuffled, order, strict=True))
    np.testing.assert_array_equal(read_confusions(table, ids)[0], counts)
    whole = tmp_path / "t.json"
    moved = [[counts[i][j] for j in order] for i in order]
    whole.write_text(json.dumps({"classes": shuffled, "counts": moved}))
    np.testing.assert_array_equal(read_confusions(whole, ids)[0], counts)
    taxonomy = load(file_text(ids))
    shares = np.array(counts) / 10
    both = (shares + shares.T) / 2
    plain = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in both] for a in both]
    np.testing.assert_allclose(confusions_evidence(taxonomy, whole).similarity, plain, atol=1e-9)


def test_confusions_of_a_report(tmp_path: Path) -> None:
    import torch

    from hiergen.training.metrics import evaluate
    from hiergen.training.report import classes_csv, metrics_json

    tree = tree_of({"x": {"a": "A", "b": "B"}, "y": {"c": "C"}}, ["a", "b", "c"])
    targets = torch.tensor([0, 0, 0, 1, 2])
    sentence = torch.tensor([0, 1, 1, 1, 0])
    metrics = evaluate(torch.eye(3)[sentence], targets, tree)
    for name, text in (("classes.csv", classes_csv(metrics)), ("metrics.json", metrics_json(metrics))):
        (tmp_path / name).write_text(text)
        counts, extent = read_confusions(tmp_path / name, ["a", "b", "c"])
        np.testing.assert_allclose(counts, [[1, 2, 0], [0, 1, 0], [1, 0, 0]])
        assert "most frequent" in extent


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("x.csv", "", "holds no confusions"),
        ("x.csv", ",a,b\na,1,2\n", "lacks 1 classes: 'b'"),
        ("x.csv", ",a,b\na,1,2\nb,1\n", "is no full table"),
        ("x.csv", ",a,b\na,1,2\nb,1,x\n", "'x' is no count"),
        ("x.csv", ",a,b\na,1,2\nb,1,-1\n", "'-1' is no count"),
        ("x.csv", ",a,b,a\na,1,2,1\nb,1,1,1\n", "names a class twice"),
        ("x.json", "[1, 2]", "holds no confusions"),
        ("x.json", "{", "is no JSON"),
        ("x.json", '{"classes": ["a", "b"], "counts": [[1, 2], "x"]}', "is no full table"),
        ("x.json", '{"classes": ["a", "b"], "counts": [[1, 2], [1, null]]}', "is no count"),
        ("x.json", '{"classes": [{"id": "a", "confused_with": null}]}', "lacks 1 classes: 'b'"),
        ("x.json", '{"classes": [{"confused_with": "a"}]}', "which class is which"),
    ],
)
def test_confusions_that_are_none(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(HiergenError, match=problem):
        read_confusions(tmp_path / name, ["a", "b"])
