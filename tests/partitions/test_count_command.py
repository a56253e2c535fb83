"""`hiergen count-partitions` through the real command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from conftest import Ran, Write
from test_count import BELL_100

Run = Callable[..., Ran]
NINE = "taxonomies/imagenette.yaml"
PETS = """name: pets
classes: [tabby.n.01, tiger_cat.n.02, beagle.n.01, toucan.n.01]
sources:
  - groups: {cat: [tabby.n.01, tiger_cat.n.02], mammal: [cat, beagle.n.01], bird: [toucan.n.01]}
models: {N2HL: {}}
"""


def test_numbers(hiergen: Run) -> None:
    assert hiergen("count-partitions", "--classes", 10, "--levels", 2) == Ran(0, "115975\n", "")
    assert hiergen("count-partitions", "-n", 100).out == BELL_100 + "\n"
    assert hiergen("count-partitions", "-n", 6, "-k", 4).out == "12915\n"
    assert hiergen("count-partitions", "-n", 1000, "--digits").out == "1928\n"
    assert hiergen("count-partitions", "-n", 100, "--log10", "--digits").out == "116\n115.6774736\n"
    long = hiergen("count-partitions", "-n", 3000).out
    assert len(long) > 4301  # more than Python's own str of an int allows


def test_constraints(hiergen: Run) -> None:
    assert hiergen("count-partitions", "-n", 10, "--groups", 3).out == "9330\n"
    assert (
        hiergen("count-partitions", "-n", 10, "--groups", "2,5").out == str(42525 * 15) + "\n"
    )  # S(10,5) S(5,2): k = 3
    assert hiergen("count-partitions", "-n", 8, "--min-size", 2, "--max-size", 2).out == "105\n"
    assert hiergen("count-partitions", "-n", 5, "--must-link", "0,1,2").out == "5\n"
    assert hiergen("count-partitions", "-n", 3, "--cannot-link", "0,1,2").out == "1\n"
    assert hiergen("count-partitions", "-n", 10, "--consistent", NINE).out == "63\n"
    assert hiergen("count-partitions", "--consistent", NINE, "-k", 2).out == "63\n"
    assert hiergen("count-partitions", NINE, "-k", 2, "--must-link", "tench,n02102040").code == 0


def test_of_a_file(hiergen: Run, write: Write) -> None:
    file = write(PETS)
    lines = hiergen("count-partitions", file).out.splitlines()
    assert lines[0] == "15"
    data = json.loads(hiergen("count-partitions", file, "--json").out)
    assert data["classes"] == 4
    assert data["levels"] == 2
    assert data["count"] == "15"
    assert data["digits"] == 2
    assert data["log10"] == pytest.approx(math.log10(15))
    same = {(2, 2): 3, (3, 1): 4}
    assert int(data["nesting"]["same_shape"]) in same.values()
    consistent = hiergen("count-partitions", file, "--consistent", file).out
    # mammal | bird, all, and mammal cut: cats and beagle, or all alone
    assert consistent.splitlines()[0] == "4"


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


def test_too_large_to_count(hiergen: Run) -> None:
    assert hiergen("count-partitions", "-n", 100_000).out.startswith("about 10^364471.0184, 364,472 digits")
    assert hiergen("count-partitions", "-n", 100_000, "--digits", "--log10").out == "364472\n364471.0184\n"
    data = json.loads(hiergen("count-partitions", "-n", 100_000, "-k", 4, "--json").out)
    assert data["count"] is None
    assert data["log10"][0] <= data["log10"][1] < data["log10"][0] + 1e-6
    refused = hiergen("count-partitions", "-n", 100_000, "--groups", "5,*")
    assert refused.code == 2
    assert (
        "too large to count exactly: 100,000 classes, 3 levels, --groups 5,*; the number is at least 10^" in refused.err
    )
    assert len(hiergen("count-partitions", "-n", 100_000, "--groups", "5,15", "--digits").out) == 7
    refused = hiergen("count-partitions", "-n", 10**10, "--cannot-link", "0,1")
    assert refused.code == 2
    assert "--cannot-link 0,1; the number is at most 10^" in refused.err
    pairs = [word for i in range(40) for word in ("--cannot-link", f"{2 * i},{2 * i + 1}")]
    refused = hiergen("count-partitions", "-n", 100, *pairs)
    assert refused.code == 2
    assert "the number is at least 10^" in refused.err
    assert "at most 10^115.68" in refused.err
    assert "--cannot-link 10,11 and 34 more constraints; the number is" in refused.err


def test_must_linked_classes_count_as_one(hiergen: Run) -> None:
    """Also where only the number of classes is looked at, and where nothing is counted exactly."""
    fewer = hiergen("count-partitions", "-n", 99_997).out
    assert hiergen("count-partitions", "-n", 100_000, "--must-link", "0,1,7", "--must-link", "9,7").out == fewer
    exact = hiergen("count-partitions", "-n", 400, "-k", 3)
    assert hiergen("count-partitions", "-n", 402, "-k", 3, "--must-link", "5,6,400", "--must-link", "6,5") == exact
    assert exact.code == 0


def test_links_of_many_classes_that_nobody_satisfies(hiergen: Run) -> None:
    """The classes that are needed for the contradiction, in one sentence, however many pairs they are."""
    forty = ",".join(map(str, range(40)))
    refused = hiergen("count-partitions", "-n", 60, "--groups", 10, "--cannot-link", forty)
    assert refused.code == 2
    eleven = ",".join(map(str, range(11)))
    assert refused.err == f"error: no nesting of 60 classes satisfies --groups 10 and --cannot-link {eleven}\n"
    refused = hiergen("count-partitions", "-n", 60, "--groups", 39, "--cannot-link", forty)
    assert refused.err.endswith("satisfies --groups 39 and --cannot-link 0,1,2,3,4,5,6,7,8,9,10,11,… and 28 more\n")
    refused = hiergen("count-partitions", "-n", 60, "--max-size", 3, "--must-link", forty)
    assert refused.err == "error: no nesting of 60 classes satisfies --max-size 3 and --must-link 0,1,2,3\n"
    pentagon = [word for i in range(5) for word in ("--cannot-link", f"{i},{(i + 1) % 5}")]
    refused = hiergen("count-partitions", "-n", 9, "--groups", 2, "--cannot-link", "0,7", *pentagon)
    edges = " and ".join(f"--cannot-link {i},{(i + 1) % 5}" for i in range(5))
    assert refused.err == f"error: no nesting of 9 classes satisfies --groups 2 and {edges}\n"
    assert hiergen("count-partitions", "-n", 60, "--groups", 40, "--cannot-link", forty).code == 0


def test_constraints_are_named_as_they_were_typed(hiergen: Run) -> None:
    typed = ("--must-link", "3,1,2", "--cannot-link", "5,0,4", "--cannot-link", "3,0")
    data = json.loads(hiergen("count-partitions", "-n", 6, *typed, "--json").out)
    assert data["constraints"] == ["--must-link 3,1,2", "--cannot-link 5,0,4", "--cannot-link 3,0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("no classes", "--classes N, or a taxonomy file")),
        (("-n", 0), ("at least 1 class, got 0",)),
        (("-n", -5), ("at least 1 class, got -5",)),
        (("-n", 10**20), ("too many classes", "at most 10,000,000,000")),
        (("-n", 5, "-k", 0), ("at least 1 level",)),
        (("-n", 5, "-k", 10**30), ("too many levels",)),
        (("-n", 10, "--min-size", 6, "--groups", 2), ("--groups 2 and --min-size 6", "12 classes, and there are 10")),
        (("-n", 4, "--groups", 9), ("--groups 9", "9 groups of 4 classes")),
        (
            ("-n", 9, "--groups", "5,3"),
            ("--groups 5,3", "level 2 has at most 3 groups, and level 1 above it at least 5"),
        ),
        (("-n", 9, "--max-size", 2, "--groups", 4), ("4 groups of at most 2 are 8 classes, and there are 9",)),
        (("-n", 7, "--min-size", 3, "--max-size", 3), ("7 classes do not split into groups of 3 to 3",)),
        (("-n", 9, "--must-link", "1,2", "--cannot-link", "2,1"), ("--must-link 1,2 and --cannot-link 2,1",)),
        (("-n", 9, "--must-link", "1,2,3", "--max-size", 2), ("--max-size 2 and --must-link 1,2,3",)),
        (("-n", 3, "--groups", "2", "--cannot-link", "0,1,2"), ("--groups 2", "--cannot-link 0,1")),
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
        ((NINE, "--must-link", "tench,chainsaw"), ("no class 'chainsaw'", "nearest: chain saw")),
        ((NINE, "--consistent", "taxonomies/digits.yaml"), ("over other classes: 10 not in it", "10 only in it")),
        ((NINE, NINE, "--log10"), ("compared, not counted",)),
        (("-n", 4, "--svg", "x.svg"), ("nothing to compare",)),
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
