"""checks.py: for every code one file with the finding and a near twin without; all findings of a file at once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import Ran, Write

from hiergen.errors import HiergenError
from hiergen.planning.from_taxonomy import plan_models, validate
from hiergen.taxonomy.checks import CHECKS
from hiergen.taxonomy.load import load_taxonomy

CLASSES = "[tabby.n.01, tiger_cat.n.02, beagle.n.01, toucan.n.01]"


def spec(extra: str = "", *, name: str = "t", classes: str = CLASSES, models: str = "{PHL: {}}") -> str:
    return f"name: {name}\nclasses: {classes}\nmodels: {models}\n{extra}\n"


def groups(block: str, extra: str = "") -> str:
    return spec(f"sources:\n  - groups: {block}\n  - wordnet\n{extra}")


FLAT = "[cat, beagle, toucan, banjo, lemon]"
# code: (a file with the finding, part of the message, a file without it)
CASES = {
    "E001": (spec("nest: {}"), "'nest' is not a key here", spec("nesting: {}")),
    "E101": (spec(classes="[n02123046, n02123159]"), "no wnid", spec(classes="[n02123045, n02123159]")),
    "E102": (spec(classes="[n02123045, tabby.n.01]"), "same synset", spec(classes="[n02123045, tabby.n.02]")),
    "E103": (spec(classes='["a\\tb", beagle]'), "control characters", spec("unplaced: root", classes="[a b, beagle]")),
    "E104": (
        spec("unplaced: root", classes="[x y, X-Y, a]"),
        "same identifier x_y",
        spec("unplaced: root", classes="[x y, X-Z, a]"),
    ),
    "E201": (groups("{a: [catt.n.01]}"), "'catt.n.01' in group 'a'", groups("{a: [cat.n.01]}")),
    "E202": (groups("{a: [tabby], b: [tabby]}"), "is in groups 'a' and 'b'", groups("{a: [tabby], b: [tiger cat]}")),
    "E203": (groups("{a: [cat.n.01], b: []}"), "group 'b' is empty", groups("{a: [cat.n.01], b: [dog.n.01]}")),
    "E204": (groups("{a: [b, tabby], b: [a]}"), "contain each other", groups("{a: [b, tabby], b: [beagle]}")),
    "E205": (
        groups("{a: [c, tabby], b: [c, beagle], c: [toucan]}"),
        "group 'c' is in groups",
        groups("{a: [c, tabby], b: [beagle], c: [toucan]}"),
    ),
    "E206": (groups("{tabby.n.01: [beagle]}"), "both a group and a class", groups("{tabbies: [beagle]}")),
    "E301": (spec(classes="[beagle, zorblax]"), "in no group", spec("unplaced: root", classes="[beagle, zorblax]")),
    "E401": (spec(models="{N9HL: {}}"), "9 levels", spec(models="{N3HL: {}}")),
    "E501": (
        spec(models="{PHL: {trunk: {backbone: resnet5o}}}"),
        "timm has no model",
        spec(models="{PHL: {trunk: {backbone: resnet50}}}"),
    ),
    "E502": (
        spec(models="{PHL: {trunk: {until: layer9}}}"),
        "no stage 'layer9'",
        spec(models="{PHL: {trunk: {until: layer2}}}"),
    ),
    "E503": (
        spec(models="{PHL: {budget: {params: 1M}}}"),
        "too small",
        spec(models="{PHL: {budget: {params: 30M}}}"),
    ),
    "E504": (
        spec(models=f"{{A: {{branches: [[{', '.join(['{block: convnext, width: 8, out: 8, stride: 4}'] * 3)}]]}}}}"),
        "down to nothing",
        spec(models="{A: {branches: [[{block: convnext, width: 8, out: 8, stride: 4}]]}}"),
    ),
    "E505": (
        spec(models="{a-b: {levels: 1}, A_B: {levels: 1}}"),
        "same name",
        spec(models="{a-b: {levels: 1}, AB: {levels: 1}}"),
    ),
    "W101": (spec(classes="[crane, beagle]"), "'crane' is taken as", spec(classes="[crane.n.05, beagle.n.01]")),
    "W102": (
        spec("names: {n02123045: zebra}", classes="[n02123045, beagle.n.01]"),
        "is called 'zebra', which is n02391049 (zebra.n.01), but is tabby.n.01",
        spec("names: {n02123045: cat}", classes="[n02123045, beagle.n.01]"),
    ),
    "W103": (
        spec(classes="[apple___scab, apple___rot, grape___rot, grape___mildew]"),
        "4 class names are read as paths, 'apple___scab' and others: groups 'apple', 'grape'",
        spec(classes="[beagle, tench, banjo, zebra]"),
    ),
    "W301": (groups("{a: [tabby, beagle]}"), "lost to a stronger claim", groups("{a: [tabby, tiger cat]}")),
    "W302": (spec(), "set aside by the rule 'deepest'", spec("sources: [imagenet-superclass]", classes="[cock, hen]")),
    "W403": (
        spec(
            "sources: [groups: {a: [{b: [tabby, tiger cat]}, beagle], c: [toucan, {d: [zebra, hen]}]}]",
            classes="[tabby, tiger cat, beagle, toucan, zebra, hen]",
            models="{N2HL: {}}",
        ),
        "N2HL: 2 groups of the file joined or skipped: ",
        spec("sources: [groups: {a: [tabby, beagle], c: [toucan, zebra]}]", classes="[tabby, beagle, toucan, zebra]"),
    ),
    "W404": (
        spec(
            "sources: [groups: {a: [cat, beagle, zebra, hen, tench, lemon, banjo], b: [pug, toucan]}]",
            classes="[cat, beagle, zebra, hen, tench, lemon, banjo, pug, toucan]",
            models="{N2HL: {}}",
        ),
        "N2HL, level 1: 7 of 9 classes are in 'a'",
        spec(
            "sources: [groups: {a: [cat, beagle, zebra, hen, tench], b: [pug, toucan, lemon, banjo]}]",
            classes="[cat, beagle, zebra, hen, tench, lemon, banjo, pug, toucan]",
            models="{N2HL: {}}",
        ),
    ),
    "W501": (
        spec(models="{PHL: {trunk: {backbone: resnet10t}}}"),
        "never measured here",
        spec(models="{PHL: {trunk: {backbone: resnet18}}}"),
    ),
    "W401": (
        spec("sources: [groups: {a: [cat, {d: [beagle, toucan]}]}]", classes="[cat, beagle, toucan, zebra]")
        + "unplaced: root\n",
        "with one child",
        spec("unplaced: root"),
    ),
    "W402": (
        spec("sources: [groups: {a: [tabby, tiger cat, beagle]}]\nunplaced: root\nnesting: {max_children: 2}"),
        "above 2",
        spec("sources: [groups: {a: [tabby, tiger cat, beagle]}]\nunplaced: root\nnesting: {max_children: 3}"),
    ),
}
CASES["W401"] = (CASES["W401"][0].replace("{PHL: {}}", "{N3HL: {}}"), *CASES["W401"][1:])
CASES["W402"] = tuple(text.replace("{PHL: {}}", "{N2HL: {}}") for text in CASES["W402"])  # type: ignore[assignment]


def test_every_code_has_a_case() -> None:
    assert set(CASES) == set(CHECKS)


def codes(text: str, write: Write) -> dict[str, str]:
    return {f.code: f.message for f in validate(write(text))}


@pytest.mark.parametrize("code", sorted(CASES))
def test_a_failing_and_a_passing_file(code: str, write: Write) -> None:
    bad, words, good = CASES[code]
    found = codes(bad, write)
    assert words in found[code]
    assert all(other == code or other.startswith("W") for other in found)
    assert code not in codes(good, write)
    assert not any(other.startswith("E") for other in codes(good, write))


def test_build_says_of_a_backbone_what_validate_says(write: Write) -> None:
    """One asks timm, the other reads its files."""
    bad, words, good = CASES["E501"]
    with pytest.raises(HiergenError, match=words) as error:
        plan_models(load_taxonomy(write(bad)))
    assert error.value.code == "E501"
    assert "t.yaml:3" in str(error.value)
    assert plan_models(load_taxonomy(write(good)))


SEVERAL = """\
name: t
classes: [tabby.n.01, beagle, n99999999, tabby.n.01, zorblax, toucan]
names: {tabbi: x}
sources:
  - groups:
      a: [beagle]
      b: [beagle]
      c: []
      d: [dragn]
models: {PHL: {}}
"""
FOUND = [
    ("E101", 3, "'tabbi', which is not a class"),
    ("E101", 2, "no wnid 'n99999999'"),
    ("E102", 2, "class 'tabby.n.01' stands twice"),
    ("E203", 8, "group 'c' is empty"),
    ("E201", 9, "'dragn' in group 'd'"),
    ("E202", 7, "class 'beagle' is in groups 'a' and 'b'"),
    ("E301", 2, "'zorblax', 'toucan' are in no group"),
]


def test_all_findings_at_once(write: Write, hiergen: Callable[..., Ran]) -> None:
    path = write(SEVERAL)
    ran = hiergen("validate", path)
    assert ran.code == 2
    assert ran.err == ""
    lines = ran.out.splitlines()
    for code, line, words in FOUND:
        assert any(f"t.yaml:{line}: {code} " in said and words in said for said in lines), (code, line, ran.out)
    errors = [said for said in lines if ": E" in said]
    assert lines[-1].startswith(f"{path}: {len(errors)} errors, ")
    ran = hiergen("validate", path, "--json")
    assert (ran.code, ran.err) == (2, "")
    data = json.loads(ran.out)
    assert [d for d in data if d["severity"] == "error"] == data[: len(errors)]
    for said, found in zip(lines, data, strict=False):
        assert said == f"{found['place']}: {found['code']} {found['message']}"
        assert found["code"] in CHECKS


def test_several_mistakes_in_the_keys(write: Write, hiergen: Callable[..., Ran]) -> None:
    path = write("name: 7up\nclass: x\nclasses: 3\nnesting: {max_children: x}\nmodels: {PHL: {depth: -1}}\n")
    ran = hiergen("validate", path, "--json")
    assert ran.code == 2
    assert [(d["code"], d["place"].rsplit(":", 1)[1]) for d in json.loads(ran.out)] == [
        ("E001", str(line)) for line in (1, 2, 4, 5)
    ]


def test_a_good_file_has_no_finding(write: Write, hiergen: Callable[..., Ran]) -> None:
    path = write(spec("sources: [imagenet-superclass]", classes="[n01514668, n01514859]", models="{PHL: {}}"))
    assert hiergen("validate", path, "--json").out == "[]\n"
    ran = hiergen("validate", path)
    assert (ran.code, ran.out, ran.err) == (0, f"{path}: 0 errors, 0 warnings\n", "")


def test_a_file_that_cannot_be_read_is_one_finding(hiergen: Callable[..., Ran]) -> None:
    ran = hiergen("validate", "nowhere.yaml")
    assert ran.code == 2
    assert ran.out == "nowhere.yaml: E001 no such file\nnowhere.yaml: 1 error, 0 warnings\n"
