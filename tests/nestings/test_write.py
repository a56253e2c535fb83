"""The writer: what is written is read back as what was suggested, whatever the classes are called."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from nestings.random_nests import file_text, random_nesting, same

from hiergen.errors import HiergenError
from hiergen.nestings.read import nesting_of
from hiergen.nestings.suggest.naming import clean_names
from hiergen.nestings.suggest.write import taxonomy_text, write_suggestion
from hiergen.taxonomy import yamlfile
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.yamlfile import scalar

HOSTILE = [
    "- dash",
    "# hash", "a: b", "{x}", "[y]", "&a", "*b", "!tag", "%dir", "@at", "`tick", "'q' it's", '"dq"', "back\\slash",
    "yes", "null",
    "~0", "1e3", "007", "2024-01-01", "0x1f", "c #d", "trailing colon:", "  spaced out  ", "ünï cödé", "猫",
    "🐈 cat", "nb\u00a0sp", "wide\u3000sp", "<e>", "on", "No", "f,g", "? h", "| pipe", "> fold", "1_000", "1:30", ".5",
]  # fmt: skip


def test_random_nestings_come_back_as_they_were(write, tmp_path) -> None:
    rng = random.Random(1)
    done = 0
    for trial in range(40):
        n = rng.randint(4, 40)
        ids = [f"class {i}" for i in range(n)]
        nesting = random_nesting(rng, ids, rng.randint(2, 4))
        if nesting is None:
            continue
        taxonomy = load_taxonomy(write(file_text(ids)))
        written = write_suggestion(taxonomy, nesting, tmp_path / "new.yaml", by="random", force=True)
        new = load_taxonomy(tmp_path / "new.yaml")
        assert written.difference is None, trial
        assert new.levels[written.model] == nesting.depth
        assert same(nesting_of(new, written.model), nesting), trial
        done += 1
    assert done > 25


def test_hostile_names_come_back_as_they_were(write, tmp_path) -> None:
    rng = random.Random(2)
    for _ in range(5):
        nesting = next(filter(None, (random_nesting(rng, HOSTILE, 3) for _ in range(99))))
        names = [[rng.choice(HOSTILE) for _ in level.names] for level in nesting.levels]
        nesting = Nesting.from_levels(HOSTILE, [level.of for level in nesting.levels], names=names, name="x")
        taxonomy = load_taxonomy(write(file_text(HOSTILE)))
        marks = dict.fromkeys(range(0, len(HOSTILE), 3), "or\nx: [1] # \u2028 " + HOSTILE[0])
        notes = ["a\nname: other", "# x", "\x00\ufeff"]
        path = tmp_path / "new.yaml"
        written = write_suggestion(taxonomy, nesting, path, by="random", marks=marks, notes=notes, force=True)
        new = load_taxonomy(path)
        assert written.difference is None
        assert [c.id for c in new.classes] == HOSTILE
        assert same(nesting_of(new, "N3HL"), nesting)
        # an ordinary YAML reader takes every class for text, too
        assert yaml.safe_load(path.read_text("utf-8"))["classes"] == HOSTILE


@pytest.mark.parametrize("text", [*HOSTILE, "=", "y", "N", "", " ", "a\x85b", "\ufffe", "\x07", "plain", "a b (c)"])
def test_scalars_are_what_they_were_to_both_readers(text: str) -> None:
    line = f"k: [{scalar(text)}]\n{scalar(text)}: 1\n"
    assert yaml.safe_load(line)["k"] == [text]
    data = yamlfile.parse(line, Path("x.yaml")).data
    assert data["k"] == [text]
    assert text in data


def test_names_of_groups_are_distinct_and_no_class_has_them(write) -> None:
    ids = ["cat", "dog", "hen", "cow"]
    taxonomy = load_taxonomy(write(file_text(ids)))
    nesting = Nesting.from_levels(ids, [[0, 0, 1, 1]], names=[["Cat!", "cat"]], name="x")
    assert [level.names for level in clean_names(taxonomy, nesting).levels] == [("Cat! 2", "cat 3")]
    other = Nesting.from_levels(ids, [[0, 0, 1, 1]], names=[["\u202e", "x" * 500]], name="x")
    first, second = clean_names(taxonomy, other).levels[0].names
    assert first == "group"
    assert len(second) == 80


def test_singles_are_kept_where_the_file_can_say_them(write, tmp_path) -> None:
    ids = [f"c{i}" for i in range(12)]
    taxonomy = load_taxonomy(write(file_text(ids)))
    nesting = Nesting.from_levels(ids, [[0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3]], name="x")
    written = write_suggestion(taxonomy, nesting, tmp_path / "new.yaml", by="random")
    assert written.difference is None
    assert same(nesting_of(load_taxonomy(tmp_path / "new.yaml"), "N2HL"), nesting)


def test_a_group_that_is_all_of_its_group_is_kept(write, tmp_path) -> None:
    ids = [f"c{i}" for i in range(8)]
    taxonomy = load_taxonomy(write(file_text(ids)))
    nesting = Nesting.from_levels(ids, [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 2, 2]], name="x")
    written = write_suggestion(taxonomy, nesting, tmp_path / "new.yaml", by="random")
    assert written.difference is None
    assert load_taxonomy(written.path).nesting("N3HL").counts == (2, 3)


def test_head_marks_and_models(write, tmp_path) -> None:
    text = (
        "name: pets\nclasses: [n02123045, n02123394, n02088364, n02099601, hen, cock]\n"
        "synsets: {cock: cock.n.04}\nnames: {hen: 'the hen'}\nmodels:\n"
        "  N2HL: {trunk: {backbone: resnet18, until: layer2}, budget: {params: 12.5M}, block: bottleneck, depth: 2}\n"
        "  N4HL: {trunk: {backbone: resnet18}, levels: 4}\n"
    )
    taxonomy = load_taxonomy(write(text, "sub/pets.yaml"))
    nesting = Nesting.from_levels(
        [c.id for c in taxonomy.classes], [[0, 0, 1, 1, 2, 2]], names=[["cats", "dogs", "b"]], name="x"
    )
    path = tmp_path / "sub/pets-names.yaml"
    written = write_suggestion(taxonomy, nesting, path, by="names", notes=["By hand."], marks={2: "or cats"})
    assert path.read_text("utf-8") == (
        "# Suggested by `hiergen suggest pets.yaml --by names`.\n"
        "# By hand.\n"
        "# 1 of 6 classes could as well be elsewhere: look for '# ?'.\n"
        "# Left out, as the groups below have 2 levels: N4HL.\n"
        "name: pets-names\n"
        "classes: [n02123045, n02123394, n02088364, n02099601, hen, cock]\n"
        "synsets:\n"
        "  cock: cock.n.04\n"
        "  hen: hen.n.01\n"
        "names:\n"
        "  hen: the hen\n"
        "sources:\n"
        "  - groups:\n"
        "      cats:\n"
        "        - n02123045  # tabby\n"
        "        - n02123394  # Persian cat\n"
        "      dogs:\n"
        "        - n02088364  # ? beagle: or cats\n"
        "        - n02099601  # golden retriever\n"
        "      b:\n"
        "        - hen  # the hen\n"
        "        - cock\n"
        "nesting: {balance: 0}  # exactly these groups\n"
        "models:\n"
        "  N2HL:\n"
        "    trunk: {backbone: resnet18, until: layer2}\n"
        "    budget: {params: 12.5M}\n"
        "    block: bottleneck\n"
        "    depth: 2\n"
    )
    assert written.left_out == ("N4HL",)
    assert load_taxonomy(path).spec.models["N2HL"] == taxonomy.spec.models["N2HL"]


def test_a_model_is_added_where_none_has_so_many_levels(write, tmp_path) -> None:
    ids = [f"c{i}" for i in range(8)]
    models = "models: {N2HL: {trunk: {backbone: resnet18, until: layer1}, block: convnext}}"
    taxonomy = load_taxonomy(write(file_text(ids, models=models)))
    nesting = Nesting.from_levels(ids, [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3]], name="x")
    written = write_suggestion(taxonomy, nesting, tmp_path / "new.yaml", by="random")
    new = load_taxonomy(tmp_path / "new.yaml")
    assert (written.model, written.difference) == ("N3HL", None)
    assert new.spec.models["N3HL"] == taxonomy.spec.models["N2HL"]


def test_paths_are_seen_from_the_new_file(write, tmp_path) -> None:
    write("cat\ndog\nhen\ncow\n", "a/lists/four.txt")
    taxonomy = load_taxonomy(write("name: toy\nclasses: lists/four.txt\nmodels: {N2HL: {}}\n", "a/toy.yaml"))
    nesting = Nesting.from_levels(["cat", "dog", "hen", "cow"], [[0, 1, 1, 0]], name="x")
    path = tmp_path / "b/c/new.yaml"
    write_suggestion(taxonomy, nesting, path, by="random")
    assert "classes: ../../a/lists/four.txt\n" in path.read_text()
    assert same(nesting_of(load_taxonomy(path)), nesting)
    for name in ("cat", "dog"):
        (tmp_path / "a/images" / name).mkdir(parents=True)
    folder = load_taxonomy(write("name: f\nclasses: {imagefolder: images}\nmodels: {PHL: {}}\n", "a/f.yaml"))
    plain = Nesting.from_levels(["cat", "dog"], [], name="x")
    written = write_suggestion(folder, plain, tmp_path / "b/f2.yaml", by="random")
    assert (written.model, written.difference) == ("PHL", None)
    assert "{imagefolder: ../a/images}" in (tmp_path / "b/f2.yaml").read_text()


def test_classes_in_another_order_are_put_in_order(write, tmp_path) -> None:
    ids = ["a1", "b1", "a2", "b2"]
    taxonomy = load_taxonomy(write(file_text(ids)))
    shuffled = Nesting.from_levels(["b2", "a1", "b1", "a2"], [[1, 0, 1, 0]], name="x")
    write_suggestion(taxonomy, shuffled, tmp_path / "new.yaml", by="random")
    result = nesting_of(load_taxonomy(tmp_path / "new.yaml"), "N2HL")
    assert result.classes == tuple(ids)
    assert result.levels[0].of == (0, 1, 0, 1)


def test_no_file_is_lost(write, tmp_path) -> None:
    ids = ["cat", "dog", "hen", "cow"]
    file = write(file_text(ids))
    taxonomy = load_taxonomy(file)
    nesting = Nesting.from_levels(ids, [[0, 1, 1, 0]], name="x")
    before = file.read_bytes()
    with pytest.raises(HiergenError, match="made from"):
        write_suggestion(taxonomy, nesting, file, by="random", force=True)
    other = tmp_path / "other.yaml"
    other.write_text("mine")
    with pytest.raises(HiergenError, match="is there already"):
        write_suggestion(taxonomy, nesting, other, by="random")
    assert other.read_text() == "mine"
    write_suggestion(taxonomy, nesting, other, by="random", force=True)
    assert same(nesting_of(load_taxonomy(other), "N2HL"), nesting)
    assert file.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.yaml", "t.yaml"]


def test_an_own_wordnet_stays_where_the_classes_need_it(write, tmp_path) -> None:
    from hiergen.taxonomy.wordnet import files as wordnet_files

    files = wordnet_files.shipped()
    folder = tmp_path / "a/mine"
    folder.mkdir(parents=True)
    # the same nouns, but one word: the class called so is in this WordNet only
    for name in ("data", "index"):
        (folder / f"{name}.noun").write_bytes(getattr(files, name).replace(b"tabby", b"zabby"))
    models = "models: {N2HL: {}, N3HL: {}}"
    text = f"name: toy\nclasses: [zabby.n.01, beagle, pug, organ]\nsources: [{{wordnet: mine}}]\n{models}\n"
    taxonomy = load_taxonomy(write(text, "a/t.yaml"))
    nesting = Nesting.from_levels([c.id for c in taxonomy.classes], [[0, 0, 1, 1]], name="x")
    written = write_suggestion(taxonomy, nesting, tmp_path / "new.yaml", by="random")
    assert "  - {wordnet: a/mine}\n" in (tmp_path / "new.yaml").read_text()
    assert written.difference is None
    assert same(nesting_of(load_taxonomy(tmp_path / "new.yaml"), "N2HL"), nesting)
    assert taxonomy_text(taxonomy, nesting, by="x") == taxonomy_text(taxonomy, nesting, by="x")
