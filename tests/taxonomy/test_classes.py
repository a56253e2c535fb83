"""classes.py: every form of a class list, the order of the logits, and senses of plain names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Write

from hiergen.assets import class_list
from hiergen.codegen.build import render
from hiergen.errors import HiergenError
from hiergen.lookup.reference import read_nestings
from hiergen.planning.from_taxonomy import plan_models, validate
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.synsets import nesting_synsets
from hiergen.taxonomy.tree import ancestors, class_key, info
from hiergen.taxonomy.wordnet.nouns import default

Load = Callable[[str], Taxonomy]


def text(classes: str, extra: str = "") -> str:
    return f"name: t\nclasses: {classes}\nunplaced: root\nmodels: {{PHL: {{}}}}\n{extra}\n"


def shown(taxonomy: Taxonomy) -> list[tuple[str, str, str | None]]:
    return [(c.id, c.name, c.synset) for c in taxonomy.classes]


TENCH, TABBY = ("n01440764", "tench", "n01440764"), ("n02123045", "tabby", "n02123045")
TIGER = ("n02123159", "tiger cat", "n02123159")

# the content of a text file of classes, and what is read
FILES = [
    (b"n01440764\nn02123045\n", [TENCH, TABBY], "wnids"),
    (b"n02123045\nn01440764", [TABBY, TENCH], "their order, no line end"),
    (b"n01440764\r\nn02123045\r\n", [TENCH, TABBY], "CRLF"),
    (b"\xef\xbb\xbfn01440764\nn02123045\n", [TENCH, TABBY], "BOM"),
    (b"# two\n\n  n01440764  \n# n02123159\nn02123045\n\n", [TENCH, TABBY], "comments and blanks"),
    (
        b"n01440764 tench, Tinca tinca\nn02123045 tabby, tabby cat\n",
        [TENCH, TABBY],
        "as in LOC_synset_mapping.txt",
    ),
    (
        b"n01440764\tTinca tinca\nn02123045\tmy cat\n",
        [("n01440764", "Tinca tinca", "n01440764"), ("n02123045", "my cat", "n02123045")],
        "names after a tab",
    ),
    (b"tench.n.01\ntiger_cat.n.02\n", [("tench.n.01", *TENCH[1:]), ("tiger_cat.n.02", *TIGER[1:])], "synset names"),
    (
        b"tench\ngolden retriever\n",
        [("tench", "tench", "n01440764"), ("golden retriever",) * 2 + ("n02099601",)],
        "plain",
    ),
    ("zorblax\nStraße 7\n".encode(), [("zorblax", "zorblax", None), ("Straße 7", "Straße 7", None)], "not in WordNet"),
]


@pytest.mark.parametrize(("content", "expected"), [f[:2] for f in FILES], ids=[f[2] for f in FILES])
def test_text_files(content: bytes, expected: list[tuple[str, str, str | None]], write: Write, load: Load) -> None:
    path = write(content, "lists/classes.txt")
    taxonomy = load(text("lists/classes.txt"))
    assert shown(taxonomy) == expected
    if b"#" not in content and expected[0][2]:
        assert taxonomy.classes[1].place == f"{path}:2"


def test_a_list_in_the_file_and_a_built_in_one(load: Load) -> None:
    assert shown(load(text("[n02123045, n01440764]"))) == [TABBY, TENCH]
    assert [c.id for c in load(text("imagenette")).classes] == list(class_list("imagenette"))


def test_a_file_whose_name_has_neither_dot_nor_slash(write: Write, load: Load) -> None:
    write("n02123045\nn01440764\n", "mylist")
    assert shown(load(text("mylist"))) == [TABBY, TENCH]


def test_scalars_stay_text(load: Load) -> None:
    names = ["no", "on", "1e3", "null", "~", "0x10", "2024-01-01", "1_000", "true", "007"]
    listed = ", ".join(f'"{n}"' if n in {"null", "~x"} else n for n in names if n != "~")
    assert [c.id for c in load(text(f"[{listed}]")).classes] == [n for n in names if n != "~"]


def folder(tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / "images" / name).mkdir(parents=True)


def test_image_folders_of_wnids(tmp_path: Path, load: Load) -> None:
    folder(tmp_path, "n02123159", "n01440764", "n02123045", ".cache")
    (tmp_path / "images" / "README.md").write_text("no class")
    assert shown(load(text("{imagefolder: images}"))) == [TENCH, TABBY, TIGER]


def test_image_folders_are_ordered_as_torchvision_does(tmp_path: Path, load: Load) -> None:
    names = ["b1", "B2", "a10", "a9", "é", "Z", "_x"]
    folder(tmp_path, *names)
    assert [c.id for c in load(text("{imagefolder: images}")).classes] == sorted(names)


def test_plain_names_get_a_sense_and_a_warning(tmp_path: Path, write: Write) -> None:
    folder(tmp_path, "cat", "dog", "crane", "aquarium_fish", "zebra")
    path = write(text("{imagefolder: images}"))
    taxonomy = load_taxonomy(path)
    wordnet = default()
    senses = {c.id: c.synset and wordnet.synset_name(c.synset) for c in taxonomy.classes}
    assert senses == {
        "aquarium_fish": "fish.n.01",
        "cat": "cat.n.01",
        "crane": "crane.n.05",  # among animals
        "dog": "dog.n.01",
        "zebra": "zebra.n.01",
    }
    warned = {f.message.split("'")[1]: f.message for f in validate(path) if f.code == "W101"}
    assert set(warned) == {"aquarium_fish", "cat", "crane", "dog"}  # zebra has one sense
    assert "is taken as a kind of fish.n.01 (any of various mostly cold-blooded" in warned["aquarium_fish"]
    assert "is taken as crane.n.05 (large long-necked wading bird" in warned["crane"]
    assert "\n  crane: crane.n.04  # lifts and moves heavy objects" in warned["crane"]
    assert all("if another is meant, under 'synsets:'" in message for message in warned.values())
    write(text("{imagefolder: images}", "synsets: {crane: crane.n.04, cat: n02121620}"))
    taxonomy = load_taxonomy(path)
    assert {c.id: c.synset for c in taxonomy.classes}["crane"] == wordnet.resolve("crane.n.04")
    assert {f.message.split("'")[1] for f in validate(path) if f.code == "W101"} == {"aquarium_fish", "dog"}


def test_a_compound_lies_below_its_head_word(load: Load) -> None:
    taxonomy = load(text("[aquarium_fish, tench, goldfish, banjo]"))
    above = [info(taxonomy.tree, k).name for k in ancestors(taxonomy.tree, class_key("aquarium_fish"))]
    assert "fish" in above
    # two of them may have one head word, which is no clash
    taxonomy = load(text("[aquarium fish, pond fish, banjo]"))
    assert [c.exact for c in taxonomy.classes] == [False, False, True]


def test_names_overrule_what_is_shown(load: Load) -> None:
    taxonomy = load(text("[n02123045, beagle]", "names: {n02123045: Mieze}"))
    assert [c.name for c in taxonomy.classes] == ["Mieze", "beagle"]


def test_a_name_says_what_an_id_does_not(load: Load) -> None:
    names = "names: {sku_1: tabby, sku_2: tabby, sku_3: aquarium fish, sku_4: qqq, beagle: tabby}"
    taxonomy = load(text("[sku_1, sku_2, sku_3, sku_4, beagle, sku_5]", names))
    wnid = default().resolve
    known = [(c.synset, c.exact) for c in taxonomy.classes]
    assert known == [
        (wnid("tabby.n.01"), False),
        (wnid("tabby.n.01"), False),
        (wnid("fish.n.01"), False),
        (None, True),
        (wnid("beagle.n.01"), True),  # the id goes first
        (None, True),
    ]
    above = [info(taxonomy.tree, k).name for k in ancestors(taxonomy.tree, class_key("sku_2"))]
    assert "tabby" in " ".join(above)


def test_a_guess_by_name_is_said(write: Write) -> None:
    path = write(text("[sku_1, tench]", "names: {sku_1: crane}"))
    (warning,) = [f.message for f in validate(path) if f.code == "W101"]
    assert warning.startswith("class 'sku_1' ('crane') is taken as a kind of crane.n.05 ")


def test_a_slip_is_said_with_the_nearest_words(write: Write) -> None:
    path = write(text("[beagel, tench, crane.n.05]"))
    (warning,) = [f.message for f in validate(path) if f.code == "W101"]
    assert warning.startswith("class 'beagel' is taken as bagel.n.01 ")
    assert "if another is meant, under 'synsets:'\n  beagel: beagle.n.01  # " in warning


@pytest.mark.parametrize("name", ["digits", "imagenet100", "yard"])
def test_a_network_knows_of_its_classes_what_the_file_knows(name: str, write: Write) -> None:
    """The file that `build` writes holds what is needed for that, and no more."""
    yard = text(
        "[crane, lifting crane, sku_1, sku_2, qqq, toucan.n.01, n02123045, '0', heron]",
        "names: {sku_1: crane, sku_2: qqq}\nsynsets: {crane: crane.n.05, heron: hero.n.01}",
    )
    taxonomy = load_taxonomy(write(yard) if name == "yard" else name)
    source = render(plan_models(taxonomy), "t.yaml")
    path = write(source, "t.py")
    known = [(c.synset, c.exact) for c in taxonomy.classes]
    for nesting in read_nestings(path).values():
        assert nesting_synsets(nesting, default()) == known


def test_two_classes_of_one_name_are_told_apart(load: Load) -> None:
    taxonomy = load(text("[n02012849, n03126707, n01440764]"))
    assert [c.name for c in taxonomy.classes] == ["crane.n.05", "crane.n.04", "tench"]


BAD = [
    ("[n02123045, n02123046]", "E101", r"t.yaml:2: no wnid 'n02123046' in WordNet 3.0; nearest: n0"),
    ("[n02123045, tabbi.n.01]", "E101", r"no synset 'tabbi.n.01' .*expected a wnid like .*nearest: .*tabby.n.01"),
    ("[n02123045, n02123045]", "E102", "class 'n02123045' stands twice; the first stands at .*t.yaml:2"),
    ("[tabby.n.01, n02123045]", "E102", "'tabby.n.01', 'n02123045' are the same synset n02123045"),
    ("[beagle, Beagle]", "E1", "'beagle', 'Beagle'"),
    ("[a b, a_b]", "E104", "become the same identifier a_b; rename one"),
]


@pytest.mark.parametrize(("classes", "code", "message"), BAD)
def test_refused(classes: str, code: str, message: str, load: Load) -> None:
    with pytest.raises(HiergenError, match=message) as error:
        load(text(classes))
    assert error.value.code.startswith(code)


def test_a_wrong_line_of_a_text_file_is_named(write: Write, load: Load) -> None:
    path = write("n02123045\n\nn99999999 what\n", "c.txt")
    with pytest.raises(HiergenError) as error:
        load(text("c.txt"))
    assert str(error.value).startswith(f"{path}:3: no wnid 'n99999999'")
