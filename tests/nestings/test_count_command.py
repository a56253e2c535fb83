"""`hiergen count-partitions` through the real command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Ran, Write

from tests.nestings.test_count import BELL_100

Run = Callable[..., Ran]
NINE = "taxonomies/imagenette.yaml"
PETS = """name: pets
classes: [tabby.n.01, tiger_cat.n.02, beagle.n.01, toucan.n.01]
sources:
  - groups: {cat: [tabby.n.01, tiger_cat.n.02], mammal: [cat, beagle.n.01], bird: [toucan.n.01]}
models: {N2HL: {}}
"""


def number(hiergen: Run, *arguments: object) -> int:
    """The count that the first line ends in."""
    ran = hiergen("count-partitions", *arguments)
    assert (ran.code, ran.err) == (0, "")
    return int(ran.out.splitlines()[0].split(": ")[1])


def test_a_number_says_what_it_is(hiergen: Run) -> None:
    ran = hiergen("count-partitions", "--classes", 10, "--levels", 2)
    assert ran == Ran(0, "nestings of 10 classes on 2 levels: 115975\n", "")
    assert hiergen("count-partitions", "-n", 100).out.endswith(f": {BELL_100}\n")
    assert hiergen("count-partitions", "-n", 1000, "--digits").out == "digits: 1928\n"
    assert hiergen("count-partitions", "-n", 100, "--log10", "--digits").out == "digits: 116\nlog10: 115.6774736\n"
    long = hiergen("count-partitions", "-n", 3000).out
    assert len(long) > 4301  # more than Python's own str of an int allows


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("-n", 6, "-k", 4), 12915),
        (("-n", 10, "--groups", 3), 9330),
        (("-n", 10, "--groups", "2,5"), 42525 * 15),  # S(10,5) S(5,2): k = 3
        (("-n", 8, "--min-size", 2, "--max-size", 2), 105),
        (("-n", 5, "--must-link", "0,1,2"), 5),
        (("-n", 3, "--cannot-link", "0,1,2"), 1),
        (("-n", 10, "--consistent", NINE), 63),
        (("--consistent", NINE, "-k", 2), 63),
        ((NINE, "-k", 2, "--must-link", "tench,n02102040"), 21147),  # Bell(9)
        (("-n", 60, "--groups", 40, "--cannot-link", ",".join(map(str, range(40)))), 40**20),
    ],
)
def test_constraints(hiergen: Run, arguments: tuple[object, ...], count: int) -> None:
    assert number(hiergen, *arguments) == count


def test_of_a_file(hiergen: Run, write: Write) -> None:
    file = write(PETS)
    lines = hiergen("count-partitions", file).out.splitlines()
    assert lines[0] == "nestings of 4 classes on 2 levels: 15"
    data = json.loads(hiergen("count-partitions", file, "--json").out)
    assert data["classes"] == 4
    assert data["levels"] == 2
    assert data["count"] == "15"
    assert data["digits"] == 2
    assert data["log10"] == pytest.approx(math.log10(15))
    same = {(2, 2): 3, (3, 1): 4}
    assert int(data["nesting"]["same_shape"]) in same.values()
    # mammal | bird, all, and mammal cut: cats and beagle, or all alone
    assert number(hiergen, file, "--consistent", file) == 4


def test_draws(hiergen: Run, write: Write) -> None:
    file = write(PETS)
    one = hiergen("count-partitions", file, "--sample", "--seed", 3, "-k", 3)
    assert one.out == hiergen("count-partitions", file, "--sample", "--seed", 3, "-k", 3).out
    lines = one.out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["level 1", "level 2"]
    assert all(name in line for line in lines for name in ("toucan", "beagle"))
    drawn = json.loads(hiergen("count-partitions", "-n", 6, "--draws", 4, "--groups", "2,3", "--json").out)["samples"]
    assert len(drawn) == 4
    for coarse, fine in drawn:
        assert (len(coarse), len(fine)) == (2, 3)
        assert sorted(int(c) for group in fine for c in group) == list(range(6))
        assert all(any(set(group) <= set(above) for above in coarse) for group in fine)


def test_one_level_has_nothing_to_draw(hiergen: Run) -> None:
    assert hiergen("count-partitions", "-n", 5, "-k", 1, "--sample").out == "1 level: nothing is grouped\n"


def test_must_linked_classes_count_as_one(hiergen: Run) -> None:
    exact = number(hiergen, "-n", 400, "-k", 3)
    assert number(hiergen, "-n", 402, "-k", 3, "--must-link", "5,6,400", "--must-link", "6,5") == exact


def test_constraints_are_named_as_they_were_typed(hiergen: Run) -> None:
    typed = ("--must-link", "3,1,2", "--cannot-link", "5,0", "--cannot-link", "3,0")
    data = json.loads(hiergen("count-partitions", "-n", 6, *typed, "--json").out)
    assert data["constraints"] == ["--must-link 3,1", "--must-link 1,2", "--cannot-link 5,0", "--cannot-link 3,0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("no classes", "--classes N, or a taxonomy file")),
        (("-n", 0), ("at least 1 class, got 0",)),
        (("-n", -5), ("at least 1 class, got -5",)),
        (("-n", 10**20), ("too many classes", "at most 10,000,000,000")),
        (("-n", 5, "-k", 0), ("at least 1 level",)),
        (("-n", 5, "-k", 10**30), ("too many levels",)),
        (
            ("-n", 10, "--min-size", 6, "--groups", 2),
            ("no nesting of 10 classes satisfies --groups 2 and --min-size 6;",),
        ),
        (("-n", 4, "--groups", 9), ("satisfies --groups 9; loosen",)),
        (("-n", 9, "--must-link", "1,2", "--cannot-link", "2,1"), ("--must-link 1,2 and --cannot-link 2,1",)),
        (("-n", 9, "--must-link", "1,2,3", "--max-size", 2), ("--max-size 2 and --must-link 1,2 and --must-link 2,3",)),
        (("-n", 60, "--groups", 10, "--cannot-link", "0,1,2,3,4,5,6,7,8,9,10"), ("0,5 and 50 more;",)),
        (("-n", 100_000, "--groups", "5,*"), ("too large to count exactly: 100,000 classes, 3 levels, --groups 5,*;",)),
        (("-n", 10**10, "--cannot-link", "0,1"), ("--cannot-link 0,1; fewer classes",)),
        (("-n", 9, "--must-link", "1"), ("a link of one class",)),
        (("-n", 9, "--must-link", "1,9"), ("no class '9'", "an index from 0 to 8")),
        (("-n", 9, "--groups", "x"), ("--groups cannot be 'x'",)),
        (("-n", 9, "--groups", "0"), ("--groups cannot be '0'",)),
        (("-n", 9, "--groups", "4-2"), ("4 is more than 2",)),
        (("-n", 9, "--groups", "1,2,3", "-k", 3), ("--groups has 3 values", "2: one for each level")),
        (("-n", 9, "-k", 1, "--groups", "3"), ("a network of 1 level",)),
        (("-n", 9, "--min-size", "9" * 5000), ("--min-size cannot be",)),
        (("-n", 11, "--consistent", NINE), ("is over other classes", "11 classes, got 10")),
        ((NINE, "-n", 10), ("classes are given twice",)),
        ((NINE, "--must-link", "tench,chain sax"), ("no class or group 'chain sax'", "nearest: chain saw")),
        ((NINE, "--consistent", "taxonomies/digits.yaml"), ("over other classes: 10 not in it", "10 only in it")),
        ((NINE, NINE, "--log10"), ("compared, not counted",)),
        (("-n", 4, "--svg", "x.svg"), ("nothing to compare",)),
        ((NINE, NINE, "--svg", "x.png"), ("x.png: the picture is an SVG; expected a path that ends in .svg",)),
        ((f"{NINE}:nonsense",), ("no model 'nonsense'",)),
        (("missing.yaml",), ("no such file",)),
    ],
)
def test_bad_input(hiergen: Run, arguments: tuple[object, ...], words: tuple[str, ...]) -> None:
    ran = hiergen("count-partitions", *arguments)
    assert ran.code == 2, ran.out
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    for word in words:
        assert word in ran.err


def test_two_are_compared(hiergen: Run) -> None:
    file = "taxonomies/imagenet100.yaml"
    ran = hiergen("count-partitions", f"{file}:N2HL", f"{file}:N3HL", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["classes"] == 100


def test_two_are_drawn(hiergen: Run, tmp_path: Path) -> None:
    ran = hiergen("count-partitions", NINE, NINE, "--svg", tmp_path / "p.svg")
    assert ran.code == 0, ran.err
    assert ElementTree.parse(tmp_path / "p.svg").getroot().get("role") == "img"
