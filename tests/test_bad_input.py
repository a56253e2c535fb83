"""Wrong input through the real command line: one sentence, exit code 2, nothing written; each beside a good twin."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import Ran, Write

Run = Callable[..., Ran]
LONGEST = 600
REPOSITORY = Path(__file__).parents[1]

CLASSES = "[tabby.n.01, tiger_cat.n.02, beagle.n.01, toucan.n.01]"


def spec(extra: str = "", *, name: str = "t", classes: str = CLASSES, models: str = "{PHL: {}}") -> str:
    return f"name: {name}\nclasses: {classes}\nmodels: {models}\n{extra}\n"


def groups(block: str) -> str:
    return spec(f"sources:\n  - groups: {block}\n  - wordnet")


def trunk(text: str) -> str:
    return spec(models=f"{{PHL: {{trunk: {{{text}}}}}}}")


def stage(text: str) -> str:
    return spec(models=f"{{PHL: {{branches: [[{{{text}}}]]}}}}")


def budget(text: str) -> str:
    return spec(models=f"{{PHL: {{budget: {{{text}}}}}}}")


@dataclass(frozen=True)
class Bad:
    """`line`: the line that the message must name (0: none). `good`: the near twin that is built."""

    name: str
    text: str | bytes
    line: int
    words: tuple[str, ...]
    good: str


LONG = "x" * 10_000
NINES = "9" * 5_000
DEEP = "a: " + "[" * 100_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

CASES = [
    # the file as YAML
    Bad("empty", "", 1, ("is not a taxonomy", "got nothing"), spec()),
    Bad("comments only", "# nothing\n", 1, ("is not a taxonomy", "got nothing"), "# a comment\n" + spec()),
    Bad("list on top", "- name\n- classes\n", 1, ("is not a taxonomy", "got a list"), spec()),
    Bad("text on top", "imagenet100\n", 1, ("is not a taxonomy", "got text"), spec()),
    Bad(
        "two documents",
        spec() + "---\n" + spec(),
        5,
        ("not valid YAML: expected a single document in the stream but found another",),
        "---\n" + spec(),
    ),
    Bad(
        "open bracket",
        "name: t\nclasses: [a, b\nmodels: {}\n",
        3,
        ("is not valid YAML",),
        spec(classes="[a, b]", extra="unplaced: root"),
    ),
    Bad("tab", "name: t\nclasses:\n\t- a\n", 3, ("is not valid YAML", ":3:1"), spec()),
    Bad("NUL", b"name: t\0\n", 0, ("not valid YAML",), spec()),
    Bad(
        "latin-1",
        spec("# Caf\xe9").encode("latin-1"),
        4,
        ("is not UTF-8", "byte 0xe9", "save it as UTF-8"),
        spec("# Caf\xe9"),
    ),
    Bad("UTF-16", spec().encode("utf-16"), 1, ("is not UTF-8",), "\ufeff" + spec()),
    Bad("duplicate key", spec("name: u"), 4, ("'name' stands twice", "line 1"), spec("unplaced: root")),
    Bad("alias bomb", BOMB, 0, ("too large once its aliases are expanded",), "# &a [x, *a]\n" + spec()),
    Bad(
        "alias in itself",
        "name: t\nclasses: &a [x, *a]\n",
        2,
        ("an alias contains itself",),
        spec("names: &a {}\nsynsets: *a"),
    ),
    Bad(
        "unknown alias", "name: t\nclasses: *a\n", 2, ("is not valid YAML", "alias"), spec("names: &a {}\nsynsets: *a")
    ),
    Bad("bottomless", DEEP, 1, ("is nested too deeply", "at most 40"), groups("{a: [cat.n.01]}")),
    Bad(
        "bottomless mapping",
        "{a: " * 5000,
        1,
        ("is nested too deeply",),
        groups("{a: {b: {c: [cat.n.01]}, d: [dog.n.01]}}"),
    ),
    Bad("python tag", "!!python/object/apply:os.system [echo x]\n", 1, ("tag", "is not allowed"), spec()),
    Bad("python tag inside", spec(name="!!python/object/apply:os.system [ls]"), 1, ("tag", "is not allowed"), spec()),
    Bad("own tag", spec(name="!x t"), 1, ("tag '!x' is not allowed",), spec()),
    Bad("list as key", spec("[a]: b"), 4, ("a key must be a single value",), spec("names: {}")),
    Bad(
        "merge key",
        spec("nesting: {<<: {min_children: 2}}"),
        4,
        ("'nesting.<<'", "is not a key here"),
        spec("nesting: {min_children: 2}"),
    ),
    # keys and values
    Bad(
        "unknown key",
        spec("source: [wordnet]"),
        4,
        ("'source' is not a key here", "nearest: sources"),
        spec("sources: [wordnet]"),
    ),
    Bad(
        "unknown nesting key",
        spec("nesting: {max_childs: 3}"),
        4,
        ("'nesting.max_childs'", "nearest: max_children"),
        spec("nesting: {max_children: 3}"),
    ),
    Bad(
        "unknown model key",
        spec(models="{PHL: {truck: {}}}"),
        3,
        ("'models.PHL.truck'", "nearest: trunk"),
        spec(models="{PHL: {trunk: {}}}"),
    ),
    Bad("unknown stage key", stage("width: 8, outs: 8"), 3, ("outs", "nearest: out"), stage("width: 8, out: 8")),
    Bad(
        "no name", "classes: imagenette\n", 0, ("'name' is missing",), "name: t\nclasses: imagenette\nmodels: {PHL: {}}"
    ),
    Bad("no classes", "name: t\n", 0, ("'classes' is missing",), spec()),
    Bad("no models", spec(models="{}"), 3, ("'models' is wrong: expected at least one model",), spec()),
    Bad("name with a dot", spec(name="a.b"), 1, ("'name' is wrong",), spec(name="a-b")),
    Bad("keyword name", spec(name="class"), 1, ("'class' is a Python keyword",), spec(name="class_")),
    Bad("non-Latin name", spec(name="猫"), 1, ("'name' is wrong", "letter"), spec(name="cat")),
    Bad("quote in name", spec(name="""'a"b'"""), 1, ("'name' is wrong",), spec(name="'ab'")),
    Bad("newline in name", spec(name='"a\\nb"'), 1, ("'name' is wrong",), spec(name='"ab"')),
    Bad("path as name", spec(name="../../x"), 1, ("'name' is wrong",), spec(name="x")),
    Bad("long name", spec(name=LONG), 1, ("a name of 10000 characters",), spec(name="x" * 60)),
    Bad(
        "keyword model",
        spec(models="{lambda: {levels: 1}}"),
        3,
        ("Python keyword",),
        spec(models="{lambda_: {levels: 1}}"),
    ),
    Bad(
        "model with newline",
        spec(models='{"P\\nHL": {levels: 1}}'),
        3,
        ("expected a letter",),
        spec(models='{"PHL": {levels: 1}}'),
    ),
    Bad(
        "model with quote",
        spec(models="""{"P'HL": {levels: 1}}"""),
        3,
        ("expected a letter",),
        spec(models='{"PHL": {levels: 1}}'),
    ),
    Bad(
        "long model",
        spec(models=f"{{? {LONG} : {{levels: 1}}}}"),
        3,
        ("a name of 10000 characters",),
        spec(models="{NNN: {levels: 1}}"),
    ),
    Bad(
        "two models of one name",
        spec(models="{A-B: {levels: 1}, A_B: {levels: 1}}"),
        3,
        ("become the same name", "rename one"),
        spec(models="{A-B: {levels: 1}, AB: {levels: 1}}"),
    ),
    Bad(
        "unknown rule",
        spec("hypernyms: {rule: best}"),
        4,
        ("hypernyms.rule", "deepest"),
        spec("hypernyms: {rule: first}"),
    ),
    Bad("unknown source", spec("sources: [word-net]"), 4, ("wordnet", "'word-net'"), spec("sources: [wordnet]")),
    Bad(
        "WordNet twice",
        spec("sources: [wordnet, wordnet]"),
        4,
        ("names WordNet more than once",),
        spec("sources: [wordnet]"),
    ),
    Bad(
        "WordNet missing",
        spec("sources: [wordnet: ./nowhere]"),
        4,
        ("nowhere", "cannot read this WordNet"),
        spec("sources: [wordnet]"),
    ),
    Bad(
        "superclass files missing",
        spec("sources: [superclass-files: ./nowhere]"),
        4,
        ("nowhere",),
        spec("sources: [imagenet-superclass]"),
    ),
    Bad("no such class file", spec(classes="./no.txt"), 2, ("no.txt", "no such file"), spec(classes="imagenette")),
    Bad(
        "no such class list",
        spec(classes="imagenette2"),
        2,
        ("no class list 'imagenette2'", "nearest: imagenette"),
        spec(classes="imagenette"),
    ),
    Bad("folder as class file", spec(classes="."), 2, ("is a directory",), spec(classes="imagenette")),
    Bad(
        "image folder missing",
        spec(classes="{imagefolder: ./no}"),
        2,
        ("no", "cannot be read", "sub-folder"),
        spec(classes="{imagefolder: images}"),
    ),
    Bad(
        "image folder empty",
        spec(classes="{imagefolder: hollow}"),
        2,
        ("has no sub-folders",),
        spec(classes="{imagefolder: images}"),
    ),
    Bad(
        "one class",
        spec(classes="[tabby.n.01]"),
        2,
        ("at least two classes", "got 1"),
        spec(classes="[tabby.n.01, toucan.n.01]"),
    ),
    Bad(
        "no class", spec(classes="[]"), 2, ("at least two classes", "got 0"), spec(classes="[tabby.n.01, toucan.n.01]")
    ),
    Bad(
        "class is null",
        spec(classes="[tabby.n.01, null]"),
        2,
        ("classes.1", "is not text"),
        spec("unplaced: root", classes="[tabby.n.01, 'null']"),
    ),
    Bad(
        "class is a mapping",
        spec(classes="[tabby.n.01, {a: b}]"),
        2,
        ("classes.1", "is not text"),
        spec("unplaced: root", classes="[tabby.n.01, ab]"),
    ),
    # classes
    Bad(
        "unknown wnid",
        spec(classes="[n02123045, n02123046]"),
        2,
        ("no wnid 'n02123046'", "nearest: "),
        spec(classes="[n02123045, n02123159]"),
    ),
    Bad(
        "unknown synset",
        spec(classes="[tabby.n.01, tigercat.n.01]"),
        2,
        ("no synset 'tigercat.n.01'",),
        spec(classes="[tabby.n.01, tiger_cat.n.02]"),
    ),
    Bad(
        "unknown sense",
        spec(classes="[tabby.n.01, tiger_cat.n.09]"),
        2,
        ("no synset 'tiger_cat.n.09'", "tiger_cat.n.02"),
        spec(classes="[tabby.n.01, tiger_cat.n.02]"),
    ),
    Bad(
        "class twice",
        spec(classes="[beagle, tabby.n.01, beagle]"),
        2,
        ("class 'beagle' stands twice",),
        spec(classes="[beagle, tabby.n.01, toucan]"),
    ),
    Bad(
        "class twice by synset",
        spec(classes="[n02123045, tabby.n.01, beagle]"),
        2,
        ("are the same synset n02123045", "'synsets:'"),
        spec(classes="[n02123045, tabby.n.02, beagle]"),
    ),
    Bad(
        "class twice by two names",
        spec(classes="[car, automobile, beagle]"),
        2,
        ("'car', 'automobile' are the same synset", "'synsets:'"),
        spec("synsets: {car: cable_car.n.01}", classes="[car, automobile, beagle]"),
    ),
    Bad(
        "classes of one identifier",
        spec(classes="[Tiger cat, tiger-cat, beagle]"),
        2,
        ("become the same identifier tiger_cat",),
        spec(classes="[Tiger cat, tiger-shark, beagle]"),
    ),
    Bad(
        "class in no group",
        spec(classes="[tabby.n.01, toucan.n.01, zorblax]"),
        2,
        ("'zorblax' is in no group and not in WordNet", "unplaced: root"),
        spec("unplaced: root", classes="[tabby.n.01, toucan.n.01, zorblax]"),
    ),
    Bad(
        "long class",
        spec("unplaced: root", classes=f"[tabby.n.01, {LONG}]"),
        2,
        ("a name of 10,000 characters",),
        spec("unplaced: root", classes=f"[tabby.n.01, {'x' * 200}]"),
    ),
    Bad(
        "control character in class",
        spec("unplaced: root", classes='[tabby.n.01, "a\\x07b"]'),
        2,
        ("'a\\x07b'", "control characters"),
        spec("unplaced: root", classes='[tabby.n.01, "a b"]'),
    ),
    Bad(
        "newline in class",
        spec("unplaced: root", classes='[tabby.n.01, "a\\nb"]'),
        2,
        ("'a\\nb'", "line breaks"),
        spec("unplaced: root", classes='[tabby.n.01, "a b"]'),
    ),
    Bad(
        "right-to-left override",
        spec("unplaced: root", classes='[tabby.n.01, "a\\u202eb"]'),
        2,
        ("\\u202e", "control"),
        spec("unplaced: root", classes='[tabby.n.01, "אב"]'),
    ),
    Bad(
        "class without a letter",
        spec("unplaced: root", classes='[tabby.n.01, "---"]'),
        2,
        ("without any letter or digit",),
        spec("unplaced: root", classes='[tabby.n.01, "-1-"]'),
    ),
    Bad(
        "empty class",
        spec("unplaced: root", classes='[tabby.n.01, ""]'),
        2,
        ("an empty name",),
        spec("unplaced: root", classes='[tabby.n.01, "a"]'),
    ),
    Bad(
        "synset of no class",
        spec("synsets: {tabbie: tabby.n.01}"),
        4,
        ("'tabbie', which is not a class",),
        spec("synsets: {tabby.n.01: tabby.n.01}"),
    ),
    Bad(
        "synsets names no synset",
        spec("synsets: {tabby.n.01: tabbi.n.01}"),
        4,
        ("no synset 'tabbi.n.01'", "nearest"),
        spec("synsets: {tabby.n.01: tabby.n.02}"),
    ),
    Bad(
        "names of no class",
        spec("names: {tabbie: x}"),
        4,
        ("'tabbie', which is not a class",),
        spec("names: {tabby.n.01: x}"),
    ),
    Bad(
        "newline in a name",
        spec('names: {tabby.n.01: "x\\ny"}'),
        0,
        ("line breaks",),
        spec('names: {tabby.n.01: "x y"}'),
    ),
    Bad(
        "choice of no hypernym",
        spec("hypernyms: {choose: {dog.n.01: cat.n.01}}"),
        4,
        ("'cat.n.01' is not a hypernym of 'dog.n.01'", "canine.n.02"),
        spec("hypernyms: {choose: {dog.n.01: canine.n.02}}"),
    ),
    # groups
    Bad(
        "unknown member",
        groups("{cat: [tabby.n.01, tiger_kat], bird: [toucan.n.01]}"),
        5,
        ("'tiger_kat' in group 'cat'", "nearest"),
        groups("{cat: [tabby.n.01, tiger_cat], bird: [toucan.n.01]}"),
    ),
    Bad(
        "unknown group",
        groups("{cat: [tabby.n.01], pet: [katt, beagle.n.01]}"),
        5,
        ("'katt' in group 'pet'",),
        groups("{cat: [tabby.n.01], pet: [cat, beagle.n.01]}"),
    ),
    Bad(
        "synset without classes",
        groups("{fish: [fish.n.01]}"),
        5,
        ("covers no class of this taxonomy",),
        groups("{cat: [cat.n.01]}"),
    ),
    Bad(
        "class in two groups",
        groups("{cat: [tabby.n.01, beagle.n.01], dog: [beagle.n.01]}"),
        5,
        ("is in groups 'cat' and 'dog'",),
        groups("{cat: [tabby.n.01], dog: [beagle.n.01]}"),
    ),
    Bad(
        "group in itself",
        groups("{cat: [tabby.n.01, cat]}"),
        5,
        ("contain each other", "'cat' → 'cat'"),
        groups("{cat: [tabby.n.01]}"),
    ),
    Bad(
        "groups in each other",
        groups("{a: [b, tabby.n.01], b: [a, beagle.n.01]}"),
        5,
        ("contain each other: 'b' → 'a' → 'b'",),
        groups("{a: [b, tabby.n.01], b: [beagle.n.01]}"),
    ),
    Bad(
        "group in two groups",
        groups("{a: [c, tabby.n.01], b: [c, beagle.n.01], c: [toucan.n.01]}"),
        5,
        ("group 'c' is in groups 'a' and 'b'",),
        groups("{a: [c, tabby.n.01], b: [beagle.n.01], c: [toucan.n.01]}"),
    ),
    Bad(
        "group twice",
        groups("{a: [tabby.n.01, {c: [toucan.n.01]}], c: [beagle.n.01]}"),
        5,
        ("group 'c' stands twice",),
        groups("{a: [tabby.n.01, {c: [toucan.n.01]}], d: [beagle.n.01]}"),
    ),
    Bad("empty group", groups("{cat: []}"), 5, ("group 'cat' is empty",), groups("{cat: [cat.n.01]}")),
    Bad("null group", groups("{cat: }"), 5, ("group 'cat' is empty",), groups("{cat: cat.n.01}")),
    Bad("no groups", groups("{}"), 5, ("'groups' is empty",), groups("{cat: cat.n.01}")),
    Bad("groups as a list", groups("[cat]"), 5, ("groups", "is not a mapping"), groups("{cat: cat.n.01}")),
    Bad(
        "list in a group",
        groups("{cat: [[tabby.n.01]]}"),
        5,
        ("a member of group 'cat' is a list",),
        groups("{cat: [tabby.n.01]}"),
    ),
    Bad(
        "group of a class's name",
        groups("{tabby.n.01: [tiger_cat.n.02]}"),
        5,
        ("is both a group and a class",),
        groups("{tabbies: [tiger_cat.n.02]}"),
    ),
    Bad(
        "groups of one identifier",
        groups("{big cat: [tabby.n.01], Big-Cat: [beagle.n.01]}"),
        5,
        ("become the same identifier",),
        groups("{big cat: [tabby.n.01], Big-Dog: [beagle.n.01]}"),
    ),
    Bad(
        "long group",
        groups(f"{{? {LONG} : [tabby.n.01]}}"),
        5,
        ("a name of 10,000 characters",),
        groups(f"{{{LONG[:200]}: [tabby.n.01]}}"),
    ),
    Bad(
        "newline in group",
        groups('{"a\\nb": [tabby.n.01]}'),
        5,
        ("'a\\nb'", "line breaks"),
        groups('{"a b": [tabby.n.01]}'),
    ),
    Bad("long member", groups(f"{{a: [{LONG}]}}"), 5, ("is no class, group or synset",), groups("{a: [tabby.n.01]}")),
    # levels, backbone, widths, budget
    Bad(
        "k of 0",
        spec(models="{A: {levels: 0}}"),
        3,
        ("models.A.levels", "more than 0"),
        spec(models="{A: {levels: 1}}"),
    ),
    Bad(
        "k of -1",
        spec(models="{A: {levels: -1}}"),
        3,
        ("models.A.levels", "more than 0"),
        spec(models="{A: {levels: 1}}"),
    ),
    Bad(
        "k of 65",
        spec(models="{A: {levels: 65}}"),
        3,
        ("models.A.levels", "at most 64"),
        spec(models="{A: {levels: 2}}"),
    ),
    Bad(
        "k of 1.5",
        spec(models="{A: {levels: 1.5}}"),
        3,
        ("models.A.levels", "whole number", "'1.5'"),
        spec(models="{A: {levels: 1}}"),
    ),
    Bad(
        "k of two",
        spec(models="{A: {levels: two}}"),
        3,
        ("models.A.levels", "whole number", "'two'"),
        spec(models="{A: {levels: 2}}"),
    ),
    Bad("N0HL", spec(models="{N0HL: {}}"), 3, ("how many levels model 'N0HL' has",), spec(models="{N2HL: {}}")),
    Bad(
        "no levels",
        spec(models="{Foo: {}}"),
        3,
        ("how many levels model 'Foo' has", "levels: k"),
        spec(models="{Foo: {levels: 1}}"),
    ),
    Bad(
        "deeper than the tree",
        spec(models="{N9HL: {}}"),
        3,
        ("N9HL", "9 levels cannot be", "3 deep", "at most 3"),
        spec(models="{N3HL: {}}"),
    ),
    Bad(
        "unknown stage",
        trunk("backbone: resnet50, until: layer9"),
        3,
        ("has no stage 'layer9'", "layer1, layer2, layer3, layer4"),
        trunk("backbone: resnet50, until: layer2"),
    ),
    Bad(
        "unknown backbone",
        trunk("backbone: resnet5o"),
        3,
        ("resnet5o", "nearest: ", "resnet50"),
        trunk("backbone: resnet50"),
    ),
    Bad("width 0", stage("width: 0, out: 8"), 3, ("width", "more than 0", "'0'"), stage("width: 1, out: 8")),
    Bad("width -1", stage("width: -1, out: 8"), 3, ("width", "more than 0"), stage("width: 1, out: 8")),
    Bad(
        "width wide",
        stage("width: wide, out: 8"),
        3,
        ("width", "is not a whole number", "'wide'"),
        stage("width: 8, out: 8"),
    ),
    Bad(
        "width 8.5",
        stage("width: 8.5, out: 8"),
        3,
        ("width", "is not a whole number", "'8.5'"),
        stage("width: 8, out: 8"),
    ),
    Bad("huge width", stage(f"width: {NINES}, out: 8"), 3, ("width",), stage("width: 9, out: 8")),
    Bad("no out", stage("width: 8"), 3, ("out' is missing",), stage("width: 8, out: 8")),
    Bad(
        "stride 3",
        stage("width: 8, out: 8, stride: 3"),
        3,
        ("stride", "1, 2 or 4"),
        stage("width: 8, out: 8, stride: 2"),
    ),
    Bad(
        "unknown block",
        stage("block: resnext, width: 8, out: 8"),
        3,
        ("block", "bottleneck"),
        stage("block: convnext, width: 8, out: 8"),
    ),
    Bad(
        "kernel 4",
        stage("block: mbconv, width: 8, out: 8, kernel: 4"),
        3,
        ("kernel", "3, 5 or 7"),
        stage("block: mbconv, width: 8, out: 8, kernel: 7"),
    ),
    Bad(
        "act of a bottleneck",
        stage("width: 8, out: 8, act: silu"),
        3,
        ("'act' goes with 'block: mbconv' only",),
        stage("block: mbconv, width: 8, out: 8, act: silu"),
    ),
    Bad(
        "no stages",
        spec(models="{PHL: {branches: []}}"),
        3,
        ("one list of stages per level",),
        stage("width: 8, out: 8"),
    ),
    Bad(
        "too many lists",
        spec(models="{A: {levels: 1, branches: [[{width: 8, out: 8}], [{width: 8, out: 8}]]}}"),
        3,
        ("'levels: 1'", "2 lists"),
        stage("width: 8, out: 8"),
    ),
    Bad("small budget", budget("params: 1M"), 3, ("too small", "at least", "params"), budget("params: 30M")),
    Bad("25Q", budget("params: 25Q"), 3, ("budget.params", "25M or 4.2G"), budget("params: 25M")),
    Bad("-3", budget("params: -3"), 3, ("budget.params", "25M or 4.2G"), budget("params: 25M")),
    Bad("NaN", budget("params: NaN"), 3, ("budget.params", "25M or 4.2G"), budget("params: 25M")),
    Bad("0", budget("params: 0"), 3, ("budget.params", "more than 0"), budget("params: 25M")),
    Bad("empty budget", budget(""), 3, ("params, macs or both",), budget("macs: 4.2G")),
    Bad(
        "min above max",
        spec("nesting: {min_children: 9, max_children: 4}"),
        4,
        ("min_children 9 is above max_children 4",),
        spec("nesting: {min_children: 2, max_children: 4}"),
    ),
    Bad(
        "nan weight", spec("nesting: {balance: nan}"), 4, ("nesting.balance", "finite"), spec("nesting: {balance: 0.5}")
    ),
    Bad(
        "branches and budget",
        spec(models="{PHL: {budget: {params: 25M}, branches: [[{width: 8, out: 8}]]}}"),
        3,
        ("goes with 'branches: auto' only",),
        budget("params: 25M"),
    ),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, beside image folders that the cases name."""
    for name in ("cat", "dog", "toucan"):
        (tmp_path / "images" / name).mkdir(parents=True)
    (tmp_path / "hollow").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def check_refused(ran: Ran, file: str, line: int, words: tuple[str, ...]) -> None:
    assert ran.code == 2, ran
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.endswith("\n")
    assert len(ran.err) <= LONGEST, len(ran.err)
    assert "Traceback" not in ran.err
    assert all(c.isprintable() or c == "\n" for c in ran.err)
    where = rf"{re.escape(file)}:{line}\b" if line else re.escape(file)
    assert re.search(where, ran.err), ran.err
    for word in words:
        assert word in ran.err, ran.err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_file_and_its_good_twin(case: Bad, place: Path, write: Write, hiergen: Run) -> None:
    write(case.text, "t.yaml")
    before = listing(place)
    check_refused(hiergen("build", "t.yaml"), "t.yaml", case.line, case.words)
    assert listing(place) == before
    write(case.good, "t.yaml")
    ran = hiergen("build", "t.yaml")
    assert ran.code == 0, ran.err
    assert ran.err == ""
    (source,) = (place / "generated").iterdir()
    compile(source.read_text(encoding="utf-8"), str(source), "exec")


def test_files_that_are_none(place: Path, hiergen: Run, write: Write) -> None:
    write(spec(), "good.yaml")
    with (place / "huge.yaml").open("wb") as file:
        file.truncate(50_000_000)
    write(spec(), "folder/inner.yaml")
    os.symlink("loop.yaml", place / "loop.yaml")
    before = listing(place)
    for name, words in {
        "goood.yaml": ("no such file", "nearest: good.yaml"),
        "folder": ("is a directory", "expected a file", "inner.yaml"),
        "huge.yaml": ("is too large", "at most 4,000,000 bytes", "got 50,000,000"),
        "good.yaml/x.yaml": ("cannot be read", "not a directory"),
        "loop.yaml": ("cannot be read",),
        "x" * 5000: ("cannot be read", "too long"),
    }.items():
        check_refused(hiergen("build", name), name[:50], 0, words)
        check_refused(hiergen("show", name), name[:50], 0, words)
    assert listing(place) == before
    assert hiergen("build", "good.yaml").code == 0


def test_a_pipe_is_no_taxonomy_file(place: Path, hiergen: Run) -> None:
    os.mkfifo(place / "pipe.yaml")
    check_refused(hiergen("build", "pipe.yaml"), "pipe.yaml", 0, ("is not a regular file",))


OUTS = [
    ("t.yaml", ("is the taxonomy file itself",)),
    ("notes.txt", ("is not a folder", "ends in .py")),
    ("link.py", ("is the taxonomy file itself",)),
    ("mine.py", ("a file that hiergen did not write", "--out")),
    ("folder.py", ("is a directory",)),
    ("t.yaml/x.py", ("cannot be written", "not a directory")),
    ("t.yaml/x/", ("cannot be written", "not a directory")),
    (f"{'x' * 300}.py", ("cannot be written", "too long")),
]


@pytest.mark.parametrize(("out", "words"), OUTS)
def test_output_paths(out: str, words: tuple[str, ...], place: Path, hiergen: Run, write: Write) -> None:
    write(spec())
    write("print('mine')\n", "mine.py")
    write("mine", "notes.txt")
    os.symlink("t.yaml", place / "link.py")
    (place / "folder.py").mkdir()
    before = listing(place)
    check_refused(hiergen("build", "t.yaml", "--out", out), out.rstrip("/")[:60], 0, words)
    assert listing(place) == before
    ran = hiergen("build", "t.yaml", "--out", "new/deep/x.py")
    assert (ran.code, ran.err) == (0, "")
    assert (place / "new" / "deep" / "x.py").is_file()
    assert not list(place.rglob("*.part"))


def test_two_files_into_one(place: Path, hiergen: Run, write: Write) -> None:
    write(spec())
    write(spec(name="u"), "u.yaml")
    check_refused(hiergen("build", "t.yaml", "u.yaml", "--out", "x.py"), "x.py", 0, ("cannot hold several",))
    assert hiergen("build", "t.yaml", "u.yaml", "--out", "x").code == 0
    assert sorted(p.name for p in (place / "x").iterdir()) == ["t.py", "u.py"]


def test_show_of_what_is_not_there(hiergen: Run, place: Path, write: Write) -> None:
    write(spec())
    words = ("no model 'PHLL'", "expected one of PHL", "nearest: PHL")
    check_refused(hiergen("show", "t.yaml", "--model", "PHLL"), "t.yaml", 0, words)
    check_refused(hiergen("show", "t.yaml", "--levels", "9"), "t.yaml", 0, ("9 levels cannot be",))
    assert hiergen("show", "t.yaml", "--model", "PHL").code == 0
    assert hiergen("show", "t.yaml", "--levels", "2").code == 0


# names that are legal, and data and nothing else
LEGAL = [
    "a'b",
    'a"b',
    "'''\"a",
    'a"""b',
    "a\\b",
    "a\\",
    "\\N{DIGIT ONE}",
    "{a}",
    "{{ view.summary }}",
    "{% raw %}x",
    "[red]a[/red]",
    "# a",
    "%s",
    "class",
    "import os",
    "__import__('os')",
    "None",
    "no",
    "1e3",
    "猫",
    "Straße",
    "été",
    "קרב",
    "a\u00a0b",
    "x" * 190,
]


@pytest.mark.parametrize("name", LEGAL)
def test_names_are_data(name: str, place: Path, write: Write, hiergen: Run) -> None:
    data = {
        "name": "t",
        "classes": [name, "tabby.n.01", "beagle.n.01", "basset"],
        "names": {"tabby.n.01": f"{name} 2"},
        "unplaced": "root",
        "sources": [{"groups": {f"{name} group": [name, "tabby.n.01"], "hound": ["dog.n.01"]}}],
        "models": {"N2HL": {}},
    }
    write(yaml.safe_dump(data, allow_unicode=True))
    ran = hiergen("build", "t.yaml")
    assert (ran.code, ran.err) == (0, "")
    source = (place / "generated" / "t.py").read_text(encoding="utf-8")
    found: dict[str, object] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value.args[0] if isinstance(node.value, ast.Call) else node.value
            found[node.targets[0].id] = ast.literal_eval(value)
    names = [name, f"{name} 2", "beagle", "basset"]
    assert found["CLASSES"] == dict(zip(data["classes"], names, strict=True))
    assert found["NESTING_2"] == {f"{name} group": [name, "tabby.n.01"], "hound": ["beagle.n.01", "basset"]}
    for command in (["show"], ["show", "--merged"], ["show", "--conflicts"], ["show", "--json"], ["validate"]):
        ran = hiergen(*command, "t.yaml")
        assert (ran.code, ran.err) == (0, "")
    assert name in hiergen("show", "t.yaml").out.replace("\n", "")


def test_the_same_bytes_on_every_hash_seed(place: Path, write: Write) -> None:
    write(groups("{cat: [cat.n.01], x: [beagle.n.01]}").replace("{PHL: {}}", "{PHL: {}, N2HL: {}, N3HL: {}}"))
    seen = set()
    for seed in ("0", "1"):
        shown = []
        for command in (["show", "--json", "--conflicts"], ["build", "--out", f"out{seed}"]):
            ran = subprocess.run(
                [sys.executable, "-m", "hiergen", *command, "t.yaml"],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)},
                capture_output=True,
                text=True,
                check=True,
            )
            shown.append(ran.stdout)
        assert len(shown[0]) > 1000
        seen.add((shown[0], (place / f"out{seed}" / "t.py").read_bytes()))
    assert len(seen) == 1
