"""`hiergen init`: what people have becomes a taxonomy file that loads, and says what was decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import hiergen as package
from hiergen.formats.importing import Imported, init
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

Write = Callable[..., Path]


def tree_of(file: Path, **options: object) -> tuple[dict[str, object], Imported]:
    """The merged groups, nested, classes as a list; and what init says."""
    done = init(file, file.parent / "new.yaml", force=True, **options)  # type: ignore[arg-type]
    return nested(load_taxonomy(done.path)), done


def nested(taxonomy: Taxonomy) -> dict[str, object]:
    source = next((s for s in taxonomy.document.data["sources"] if isinstance(s, dict)), {})
    return source.get("groups", {})


PETS = {"animal": ["cat", "dog"], "vehicle": ["car", "truck"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("header.csv", "superclass,class\nanimal,cat\nanimal,dog\nvehicle,car\nvehicle,truck\n"),
        ("plain.csv", "animal,cat\nanimal,dog\nvehicle,car\nvehicle,truck\n"),
        ("index.csv", ",superclass,class\n0,animal,cat\n1,animal,dog\n2,vehicle,car\n3,vehicle,truck\n"),
        ("leaf_first.csv", "class,superclass\ncat,animal\ndog,animal\ncar,vehicle\ntruck,vehicle\n"),
        ("counts.csv", "cat,animal\ndog,animal\ncar,vehicle\ntruck,vehicle\n"),
        ("nan.csv", "animal,cat,\nanimal,dog,NaN\nvehicle,car,None\nvehicle,truck,\n"),
        ("onehot.csv", "name,animal,vehicle\ncat,1,0\ndog,1,0\ncar,0,1\ntruck,0,1\n"),
        ("outline.txt", "animal\n  cat\n  dog\nvehicle\n  car\n  truck\n"),
        ("dashes.txt", "animal\n-- cat\n-- dog\nvehicle\n-- car\n-- truck\n"),
        ("paths.txt", "1 - animal > cat\n2 - animal > dog\n3 - vehicle > car\n4 - vehicle > truck\n"),
        ("slashes.txt", "animal/cat\nanimal/dog\nvehicle/car\nvehicle/truck\n"),
        ("pairs.txt", "root\tanimal\nroot\tvehicle\nanimal\tcat\nanimal\tdog\nvehicle\tcar\nvehicle\ttruck\n"),
        ("rows.txt", "root\tanimal\tvehicle\nanimal\tcat\tdog\nvehicle\tcar\ttruck\n"),
        ("turned.txt", "cat\tanimal\ndog\tanimal\ncar\tvehicle\ntruck\tvehicle\n"),
        ("dict.json", json.dumps({"animal": ["cat", "dog"], "vehicle": ["car", "truck"]})),
        ("dict.yaml", "animal: [cat, dog]\nvehicle: [car, truck]\n"),
        (
            "d3.json",
            json.dumps(
                {
                    "name": "all",
                    "children": [
                        {"name": group, "children": [{"name": c} for c in members]} for group, members in PETS.items()
                    ],
                }
            ),
        ),
        (
            "coco.json",
            json.dumps(
                {
                    "images": [],
                    "categories": [
                        {"supercategory": group, "id": 2 * i + j, "name": c}
                        for i, (group, members) in enumerate(PETS.items())
                        for j, c in enumerate(members)
                    ],
                }
            ),
        ),
        (
            "audioset.json",
            json.dumps(
                [
                    {"id": f"/m/{c}", "name": c, "child_ids": [f"/m/{m}" for m in PETS.get(c, [])]}
                    for c in (*PETS, "cat", "dog", "car", "truck")
                ]
            ),
        ),
        (
            "datumaro.json",
            json.dumps(
                {
                    "categories": {
                        "label": {
                            "labels": [{"name": group, "parent": ""} for group in PETS]
                            + [{"name": c, "parent": group} for group, members in PETS.items() for c in members]
                        }
                    }
                }
            ),
        ),
    ],
)
def test_one_tree_in_many_files(write: Write, name: str, text: str) -> None:
    tree, done = tree_of(write(text, name))
    assert tree == PETS
    assert done.classes == 4
    assert package.load_taxonomy(done.path).nesting("N2HL").counts == (2,)


def test_decisions_are_said(write: Write) -> None:
    def notes(text: str) -> str:
        return "; ".join(tree_of(write(text, "t.csv"))[1].notes)

    assert "first row is taken for names of columns" in notes("superclass,class\nanimal,cat\nanimal,dog\n")
    assert "they say nothing of groups: columns 'column 1'" in notes("0,animal,cat\n1,animal,dog\n2,tool,saw\n")
    assert "superclass > class" in notes("class,superclass\ncat,animal\nsaw,tool\n")
    assert "empty cells before a label are skipped, in 1 row" in notes("a,b,cat\na,,dog\nc,d,saw\n")
    assert "of 0 and 1 are groups" in notes("name,pet,tool\ncat,1,0\nsaw,0,1\n")


def test_columns_names_and_missing_classes(write: Write) -> None:
    table = write(
        "id,name,order,family\n7,puma,carnivora,felidae\n9,wolf,carnivora,canidae\n3,teal,birds,ducks\n", "t.csv"
    )
    tree, _ = tree_of(table, columns="order,family,name")
    assert tree == {"carnivora": [{"felidae": ["puma"]}, {"canidae": ["wolf"]}], "birds": [{"ducks": ["teal"]}]}
    with pytest.raises(package.HiergenError, match=r"no column 'famly'; expected --columns of id, name, order, family"):
        init(table, table.parent / "x.yaml", columns="order,famly,name")
    pairs = write("1 0\n2 0\n11 1\n12 1\n21 2\n22 2\n", "pairs.txt")
    names = write("0 all\n1 cats\n2 dogs\n11 tabby\n12 Persian cat\n21 pug\n22 beagle\n", "names.txt")
    assert tree_of(pairs, names=names)[0] == {"cats": ["tabby", "Persian cat"], "dogs": ["pug", "beagle"]}
    text = write("animal/cat\nanimal/dog\ntool/saw\ntool/file\n", "s.txt")
    with pytest.raises(package.HiergenError, match="--drop-missing leaves them out"):
        init(text, text.parent / "x.yaml", classes="cat,dog,saw,file,spoon")
    tree, done = tree_of(text, classes="cat,dog,saw,file,spoon", drop_missing=True)
    assert tree == {"animal": ["cat", "dog"], "tool": ["saw", "file"]}
    assert "left out, as the tree lacks them: 'spoon'" in done.notes


def test_names_that_come_again(write: Write) -> None:
    tree, done = tree_of(write("toy/disc\ntoy/doll\nsport/disc\nsport/ball\n", "t.txt"))
    assert tree == {"toy": ["disc (toy)", "doll"], "sport": ["disc (sport)", "ball"]}
    assert "leaves of one name get their groups': 'disc (toy)', 'disc (sport)'" in done.notes
    # a family called like one of its members
    tree, _ = tree_of(write("Airbus,A320,A319\nAirbus,A320,A320\nBoeing,737,737-200\nBoeing,747,747-100\n", "a.csv"))
    assert tree["Airbus"] == [{"Airbus A320": ["A319", "A320"]}]
    assert tree["Boeing"] == [{"737": ["737-200"]}, {"747": ["747-100"]}]


def test_what_a_file_says_needs_no_wordnet(write: Write) -> None:
    """Two guessed senses that fall together stop nothing."""
    text = "Home,Furniture,Cupboard\nHome,Furniture,Closet\nHome,Appliance,Oven\nHome,Appliance,Toaster\n"
    tree, done = tree_of(write(text, "t.csv"))
    assert tree == {"Furniture": ["Cupboard", "Closet"], "Appliance": ["Oven", "Toaster"]}
    assert done.doubtful == ()


def images(folder: Path, *names: str, side: int = 40) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (side, side)).save(folder / name / "0.png")


def test_a_folder_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "flat" / "train", "goldenRetriever", "Lady Bugs", "guacamolle", "monarch")
    images(tmp_path / "flat" / "val", "monarch")
    done = init("flat")
    assert done.path == Path("flat.yaml")
    assert done.by_wordnet
    text = done.path.read_text("utf-8")
    assert text.startswith("# Imported by `hiergen init flat` (folder): 4 classes, groups by WordNet.\n")
    images(tmp_path / "my photos" / "train", "pug", "beagle", "tabby")
    written = init("my photos/train").path.read_text("utf-8")
    assert written.startswith(
        "# Imported by `hiergen init 'my photos/train'` (folder): 3 classes, groups by WordNet.\n"
    )
    assert "  - goldenRetriever  # golden_retriever.n.01: an English breed" in text
    assert "  monarch: monarch.n.02\n  # monarch: sovereign.n.01  # a nation's ruler" in text
    assert "  guacamolle: guacamole.n.01" in text
    assert "guacamolle" in done.doubtful
    assert "input_size: 128" in text  # what pretrained mobile networks see well
    images(
        tmp_path / "deep", "animals/cats/tabby", "animals/dogs/pug", "animals/dogs/beagle", "cars/minivan", "cars/limo"
    )
    tree = nested(load_taxonomy(init("deep").path))
    assert tree == {"animals": ["tabby", {"dogs": ["beagle", "pug"]}], "cars": ["limo", "minivan"]}
    images(tmp_path / "places", "a/airfield", "a/alley", "b/bakery", "c/castle")
    done = init("places")
    assert done.by_wordnet
    assert "folders of one letter, which sort the classes by the alphabet, are no groups" in done.notes
    findings = {f.code: f.message for f in package.validate(_imagefolder(tmp_path, "deep"))}
    assert "2 class folders have folders inside: 'animals', 'cars'; 'hiergen init deep -o NEW.yaml'" in findings["W103"]


def test_what_cannot_be_built_yet_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes for which WordNet has no groups: the file is for sorting them, and says so."""
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "numerals", "one", "two", "three", "four")
    done = init("numerals")
    assert done.models == ("N2HL",)
    (note,) = done.notes
    assert note.startswith("N2HL cannot be built yet: 2 levels cannot be: the merged taxonomy is 1 deep; add groups")
    assert note in done.path.read_text("utf-8").replace("\n# ", " ")
    text = done.path.read_text("utf-8").replace("sources:\n", "sources:\n  - groups: {odd: [one, three]}\n")
    done.path.write_text(text, "utf-8")
    assert load_taxonomy(done.path).nesting("N2HL").depth == 2


def _imagefolder(folder: Path, name: str) -> Path:
    file = folder / "t.yaml"
    file.write_text(f"name: t\nclasses: {{imagefolder: {name}}}\nunplaced: root\nmodels: {{PHL: {{}}}}\n")
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.json", '{"0": "daisy", "1": "rose", "2": "tulip"}'),
        ("class_to_idx.json", '{"tulip": 2, "daisy": 0, "rose": 1}'),
        ("config.json", '{"model_type": "vit", "id2label": {"0": "daisy", "1": "rose", "2": "tulip"}}'),
        ("list.json", '["daisy", "rose", "tulip"]'),
        (
            "coco.json",
            '{"categories": [{"id": 9, "name": "tulip"}, {"id": 1, "name": "daisy"}, {"id": 2, "name": "rose"}]}',
        ),
        ("data.yaml", "train: images\nnc: 3\nnames:\n  0: daisy\n  1: rose\n  2: tulip\n"),
        ("other.yaml", "names: [daisy, rose, tulip]\n"),
        ("names.txt", "daisy\nrose\n# a comment\ntulip\n"),
    ],
)
def test_class_lists(write: Write, name: str, text: str) -> None:
    write(text, name)
    file = write(f"name: x\nclasses: {name}\nmodels: {{PHL: {{}}}}\n", "x.yaml")
    assert [c.id for c in load_taxonomy(file).classes] == ["daisy", "rose", "tulip"]
    assert init(file.parent / name, file.parent / "i.yaml", force=True).classes == 3


def test_what_is_no_class_list_says_what_is(write: Write) -> None:
    write('{"images": []}', "list.json")
    with pytest.raises(package.HiergenError, match=r'list\.json: holds no list of classes; expected \["cat", …\]'):
        load_taxonomy(write("name: x\nclasses: list.json\n", "x.yaml"))


def test_senses_are_listed_and_ranked(hiergen: Callable[..., object], write: Write) -> None:
    assert package.senses("crane").senses[0].synset in ("crane.n.04", "crane.n.05")
    yard = write("name: y\nclasses: [heron, gull, duck]\n", "yard.yaml")
    assert package.senses("crane", yard).senses[0].synset == "crane.n.05"
    ran = hiergen("senses", "crane", "zzqq", yard)
    assert ran.code == 2  # type: ignore[attr-defined]
    assert ran.out.startswith("crane\n  crane.n.05  n02012849  large long-necked")  # type: ignore[attr-defined]
    assert "zzqq: not in WordNet" in ran.out  # type: ignore[attr-defined]


def test_tables_of_other_people(write: Write) -> None:
    """Headers in other words, columns that say nothing of groups, rows for images, edges as tables."""

    def groups(text: str) -> dict[str, object]:
        return tree_of(write(text, "t.csv"))[0]

    def ids(text: str) -> list[str]:
        return [c.id for c in load_taxonomy(tree_of(write(text, "t.csv"))[1].path).classes]

    planes = (
        "Boeing,Boeing 707,707-320\nBoeing,Boeing 727,727-200\nAirbus,A320,A318\nAirbus,A320,A319\nAntonov,An,An-2\n"
    )
    assert list(groups("manufacturer,family,variant\n" + planes)) == ["Boeing", "Airbus", "Antonov"]
    assert ids("ClassId,SignName\n0,Stop\n1,Yield\n2,Priority road\n") == ["Stop", "Yield", "Priority road"]
    assert ids("image,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n4.jpg,cow\n") == ["cat", "dog", "cow"]
    german = "Klasse;Oberklasse;Anzahl\nHund;Tier;12\nKatze;Tier;9\nAuto;Ding;7\n"
    assert groups(german) == {"Tier": ["Hund", "Katze"], "Ding": ["Auto"]}
    numbered = "class_id,class_name,superclass_id,superclass_name\n0,apple,4,fruit\n1,pear,4,fruit\n2,bus,5,car\n"
    assert groups(numbered) == {"fruit": ["apple", "pear"], "car": ["bus"]}
    assert groups("id,name,parent_id\n1,animal,\n2,vehicle,\n4,cat,1\n5,dog,1\n6,car,2\n7,truck,2\n") == PETS
    assert groups("child,parent\ncat,animal\ndog,animal\ncar,vehicle\ntruck,vehicle\n") == PETS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("grouped.txt", "animal: cat, dog\nvehicle: car, truck\n"),
        ("arrows.txt", "animal -> cat\nanimal -> dog\nvehicle -> car\nvehicle -> truck\n"),
        ("turned.json", '{"cat": "animal", "dog": "animal", "car": "vehicle", "truck": "vehicle"}'),
        ("list.json", json.dumps([{"superclass": group, "classes": members} for group, members in PETS.items()])),
    ],
)
def test_one_tree_in_more_files(write: Write, name: str, text: str) -> None:
    assert tree_of(write(text, name))[0] == PETS


def test_lists_with_indices_pairs_of_words_and_twins(write: Write) -> None:
    def ids(text: str, name: str = "t.txt") -> list[str]:
        return [c.id for c in load_taxonomy(tree_of(write(text, name))[1].path).classes]

    assert ids("0 cat\n1 dog\n2 sports car\n") == ["cat", "dog", "sports car"]
    assert ids("1 001.Mallard\n2 002.Teal\n") == ["001.Mallard", "002.Teal"]
    assert ids("big cat\nguard dog\nsports car\nbig dog\n") == ["big cat", "guard dog", "sports car", "big dog"]
    assert ids("N/A\nAC/DC\ncat\ndog\n") == ["N/A", "AC/DC", "cat", "dog"]
    twins = json.dumps({"id2label": {"0": "crane", "1": "heron", "2": "crane"}})
    assert ids(twins, "t.json") == ["crane (0)", "heron", "crane (2)"]
    assert ids("/a/airfield 0\n/a/alley 1\n/b/bakery/shop 2\n/b/barn 3\n") == ["airfield", "alley", "shop", "barn"]
    below = [{"LabelName": "/m/1", "Part": [{"LabelName": "/m/9"}]}, {"LabelName": "/m/2"}]
    assert ids(json.dumps({"LabelName": "top", "Subcategory": below}), "oi.json") == ["/m/1", "/m/2"]


def test_an_archives_folder_around_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "xray" / "chest" / "train", "normal", "pneumonia")
    images(tmp_path / "xray" / "chest" / "test", "normal", "pneumonia")
    assert [c.id for c in load_taxonomy(init("xray").path).classes] == ["normal", "pneumonia"]
