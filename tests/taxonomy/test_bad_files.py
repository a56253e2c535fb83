"""Taxonomy files that are none: what is wrong, in which line, and a near twin that is built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Write

from tests.bad_input import LONG, Run, check_refused, check_twins, listing, spec

DEEP = "a: " + "[" * 100_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
ALIASES = spec("names: &a {}\nsynsets: *a")
# name: the file, its near twin, the line that the message names (0: none), words of it
AS_YAML = {
    "empty": ("", spec(), 1, "is not a taxonomy|got nothing"),
    "comments only": ("# nothing\n", "# a comment\n" + spec(), 1, "is not a taxonomy|got nothing"),
    "list on top": ("- name\n- classes\n", spec(), 1, "is not a taxonomy|got a list"),
    "text on top": ("imagenet100\n", spec(), 1, "is not a taxonomy|got text"),
    "two documents": (spec() + "---\n" + spec(), "---\n" + spec(), 5, "not valid YAML: expected a single document in"),
    "open bracket": ("name: t\nclasses: [a, b\nmodels: {}\n", spec(), 3, "is not valid YAML"),
    "tab": ("name: t\nclasses:\n\t- a\n", spec(), 3, "is not valid YAML|:3:1"),
    "NUL": (b"name: t\0\n", spec(), 0, "not valid YAML"),
    "latin-1": (spec("# Caf\xe9").encode("latin-1"), spec("# Caf\xe9"), 4, "is not UTF-8|byte 0xe9|save it as UTF-8"),
    "UTF-16": (spec().encode("utf-16"), "\ufeff" + spec(), 1, "is not UTF-8"),
    "duplicate key": (spec("name: u"), spec("unplaced: root"), 4, "'name' stands twice|line 1"),
    "alias bomb": (BOMB, "# &a [x, *a]\n" + spec(), 0, "too large once its aliases are expanded"),
    "alias in itself": ("name: t\nclasses: &a [x, *a]\n", ALIASES, 2, "an alias contains itself"),
    "unknown alias": ("name: t\nclasses: *a\n", ALIASES, 2, "is not valid YAML|alias"),
    "bottomless": (DEEP, spec(), 1, "is nested too deeply|at most 40"),
    "python tag": ("!!python/object/apply:os.system [echo x]\n", spec(), 1, "tag|is not allowed"),
    "own tag": (spec(name="!x t"), spec(), 1, "tag '!x' is not allowed"),
    "list as key": (spec("[a]: b"), spec("names: {}"), 4, "a key must be a single value"),
    "no name": ("classes: imagenette\n", "name: t\nclasses: imagenette\nmodels: {PHL: {}}", 0, "'name' is missing"),
}
# what stands in one place of the file, and its near twin
NAMES = {
    "with a dot": ("a.b", "a-b", "'name' is wrong"),
    "keyword": ("class", "class_", "'class' is a Python keyword"),
    "non-Latin": ("猫", "cat", "'name' is wrong|letter"),
    "quote": ("""'a"b'""", "'ab'", "'name' is wrong"),
    "long": (LONG, "x" * 60, "a name of 10000 characters"),
}
EXTRA = {
    "merge key": ("nesting: {<<: [2]}", "nesting: {<<: {min_children: 2}}", "'<<' takes the keys of a mapping"),
    "unknown key": ("source: [wordnet]", "sources: [wordnet]", "'source' is not a key here|nearest: sources"),
    "unknown nesting key": (
        "nesting: {max_childs: 3}",
        "nesting: {max_children: 3}",
        "'nesting.max_childs'|nearest: max_children",
    ),
    "min above max": (
        *("nesting: {min_children: 9, max_children: 4}", "nesting: {min_children: 2, max_children: 4}"),
        "min_children 9 is above max_children 4",
    ),
    "nan weight": ("nesting: {balance: nan}", "nesting: {balance: 0.5}", "nesting.balance|finite"),
    "no WordNet": ("sources: [wordnet: ./nowhere]", "sources: [wordnet]", "nowhere|cannot read this WordNet"),
    "no superclasses": ("sources: [superclass-files: ./nowhere]", "sources: [imagenet-superclass]", "nowhere"),
    "synset of no class": (
        *("synsets: {tabbie: tabby.n.01}", "synsets: {tabby.n.01: tabby.n.01}"),
        "'tabbie', which is not a class",
    ),
    "no such synset": (
        *("synsets: {tabby.n.01: tabbi.n.01}", "synsets: {tabby.n.01: tabby.n.02}"),
        "no synset 'tabbi.n.01'|nearest",
    ),
}
GROUPS = {
    "null": ("{cat: }", "{cat: cat.n.01}", "group 'cat' is empty"),
    "none": ("{}", "{cat: cat.n.01}", "'groups' is empty"),
    "a list": ("[cat]", "{cat: cat.n.01}", "groups|is not a mapping"),
    "list in a group": ("{cat: [[tabby.n.01]]}", "{cat: [tabby.n.01]}", "a member of group 'cat' is a list"),
    "class in two": (
        *("{cat: [tabby.n.01, beagle.n.01], dog: [beagle.n.01]}", "{cat: [tabby.n.01], dog: [beagle.n.01]}"),
        "is in groups 'cat' and 'dog'",
    ),
    "long": (f"{{? {LONG} : [tabby.n.01]}}", f"{{{LONG[:200]}: [tabby.n.01]}}", "a name of 10,000 characters"),
    "long member": (f"{{a: [{LONG}]}}", "{a: [tabby.n.01]}", "is no class, group or synset"),
}
LISTS = {
    "no such file": ("./no.txt", "imagenette", "no.txt|no such file"),
    "no such list": ("imagenette2", "imagenette", "no class list 'imagenette2'|nearest: imagenette"),
    "a folder": (".", "imagenette", "is a directory"),
    "image folder missing": ("{imagefolder: ./no}", "{imagefolder: images}", "no|cannot be read|sub-folder"),
    "image folder empty": ("{imagefolder: hollow}", "{imagefolder: images}", "has no sub-folders"),
    "one class": ("[tabby.n.01]", "[tabby.n.01, toucan.n.01]", "at least two classes|got 1"),
    "null": ("[tabby.n.01, null]", "[tabby.n.01, 'null']", "classes.1|is not text"),
    "long": (f"[tabby.n.01, {LONG}]", f"[tabby.n.01, {'x' * 200}]", "a name of 10,000 characters"),
    "without a letter": ('[tabby.n.01, "---"]', '[tabby.n.01, "-1-"]', "without any letter or digit"),
    "empty": ('[tabby.n.01, ""]', '[tabby.n.01, "a"]', "an empty name"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("case", AS_YAML)
def test_text(case: str, here: Path, hiergen: Run) -> None:
    bad, good, line, words = AS_YAML[case]
    check_twins(bad, good, line, words, here, hiergen)


@pytest.mark.parametrize("case", NAMES)
def test_names(case: str, here: Path, hiergen: Run) -> None:
    bad, good, words = NAMES[case]
    check_twins(spec(name=bad), spec(name=good), 1, words, here, hiergen)


@pytest.mark.parametrize("case", EXTRA)
def test_keys_and_values(case: str, here: Path, hiergen: Run) -> None:
    bad, good, words = EXTRA[case]
    check_twins(spec(bad), spec(good), 4, words, here, hiergen)


@pytest.mark.parametrize("case", GROUPS)
def test_groups(case: str, here: Path, hiergen: Run) -> None:
    bad, good, words = GROUPS[case]
    one, other = (spec(f"sources:\n  - groups: {text}\n  - wordnet") for text in (bad, good))
    check_twins(one, other, 5, words, here, hiergen)


@pytest.mark.parametrize("case", LISTS)
def test_classes(case: str, here: Path, hiergen: Run) -> None:
    bad, good, words = LISTS[case]
    one, other = (spec("unplaced: root", classes=text) for text in (bad, good))
    check_twins(one, other, 2, words, here, hiergen)


def test_files_that_are_none(here: Path, hiergen: Run, write: Write) -> None:
    write(spec(), "good.yaml")
    with (here / "huge.yaml").open("wb") as file:
        file.truncate(50_000_000)
    write(spec(), "folder/inner.yaml")
    os.symlink("loop.yaml", here / "loop.yaml")
    os.mkfifo(here / "pipe.yaml")
    before = listing(here)
    for name, words in {
        "goood.yaml": ("no such file", "nearest: good.yaml"),
        "folder": ("is a directory", "expected a file", "inner.yaml"),
        "huge.yaml": ("is too large", "at most 4,000,000 bytes", "got 50,000,000"),
        "good.yaml/x.yaml": ("cannot be read", "not a directory"),
        "loop.yaml": ("cannot be read",),
        "pipe.yaml": ("is not a regular file",),
        "x" * 5000: ("cannot be read", "too long"),
    }.items():
        check_refused(hiergen("build", name), name[:50], 0, *words)
        check_refused(hiergen("show", name), name[:50], 0, *words)
    assert listing(here) == before
    assert hiergen("build", "good.yaml").code == 0


def test_show_of_what_is_not_there(hiergen: Run, write: Write) -> None:
    write(spec())
    words = ("no model 'PHLL'", "expected one of PHL", "nearest: PHL")
    check_refused(hiergen("show", "t.yaml", "--model", "PHLL"), "t.yaml", 0, *words)
    check_refused(hiergen("show", "t.yaml", "--levels", "9"), "t.yaml", 0, "9 levels cannot be")
    assert hiergen("show", "t.yaml", "--model", "PHL").code == 0
    assert hiergen("show", "t.yaml", "--levels", "2").code == 0
