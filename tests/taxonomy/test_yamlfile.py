"""yamlfile.py: scalars stay text, every value has its line, and what is refused beside what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hiergen.errors import SpecError
from hiergen.taxonomy.yamlfile import MAX_DEPTH, parse

HERE = Path("t.yaml")

SCALARS = ["no", "on", "yes", "true", "1e3", "0x1f", "007", "1.50", "2024-01-01", "12:30", "=", "n01440764", "nan"]


@pytest.mark.parametrize("scalar", SCALARS)
def test_scalars_stay_the_text_that_was_typed(scalar: str) -> None:
    assert parse(f"a: {scalar}\nb: [{scalar}]\n{scalar}: c", HERE).data == {"a": scalar, "b": [scalar], scalar: "c"}


@pytest.mark.parametrize("null", ["", "~", "null", "Null", "NULL"])
def test_null_is_nothing_and_quoted_it_is_text(null: str) -> None:
    assert parse(f"a: {null}\nb: '{null}'\nc: \"{null}\"", HERE).data == {"a": None, "b": null, "c": null}


def test_lines() -> None:
    document = parse("# c\na: 1\n\nb:\n  - x\n  - {c: 2,\n     d: 3}\ne: &e [f]\ng: *e\n", HERE)
    lines = {("a",): 2, ("b",): 4, ("b", 0): 5, ("b", 1): 6, ("b", 1, "d"): 7, ("e", 0): 8, ("g",): 9}
    assert {key: document.line(key) for key in lines} == lines
    assert document.line(("b", 1, "nope", 3)) == 6  # the nearest parent
    assert document.place(("nope",)) == "t.yaml:2"


MERGED = """\
a: &a {x: p, y: q}
b: {y: own, <<: *a}
c: {<<: *a, z: r}
d: {<<: [{x: first}, *a]}
e: {"<<": text}
"""


def test_merge_keys_bring_what_yaml_says() -> None:
    document = parse(MERGED, HERE)
    assert document.data == yaml.safe_load(MERGED)
    assert (document.line(("b",)), document.line(("b", "x")), document.line(("b", "y"))) == (2, 1, 2)


GOOD = {
    "alias": ("a: &x [1]\nb: *x", {"a": ["1"], "b": ["1"]}),
    "multiline": ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
    "depth": ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
    "empty": ("", None),
    "start mark": ("---\na: b\n", {"a": "b"}),
    "explicit plain tag": ("a: !!str 1", {"a": "1"}),
}


@pytest.mark.parametrize("name", GOOD)
def test_plain_yaml_is_read(name: str) -> None:
    text, expected = GOOD[name]
    data = parse(text, HERE).data
    assert data == expected or name == "depth"
    if name == "depth":
        assert str(data) == text


BAD = {
    "self alias": ("a: &x [*x]", "t.yaml:1: an alias contains itself"),
    "merged list": ("a: {<<: [b]}", "t.yaml:1: '<<' takes the keys of a mapping; expected an alias such as"),
    "merged twice": ("a: {<<: {b: c}, <<: {d: e}}", "t.yaml:1: '<<' stands twice"),
    "chain": ("a0: &a0 {b: c}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, 500)), "too deeply"),
    "merges itself": ("a: &x {<<: *x}", "an alias contains itself"),
    "self alias, deeper": ("a: &x {b: {c: *x}}", "an alias contains itself"),
    "multiline key": ("a: b\n  c: d", r"t.yaml:2:4: is not valid YAML: mapping values are not allowed"),
    "depth": ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "t.yaml:1: is nested too deeply; expected at most 40"),
    "two documents": ("a: b\n---\nc: d\n", "expected a single document in the stream but found another document"),
    "integer tag": ("a: !!int 1", "t.yaml:1: tag 'tag:yaml.org,2002:int' is not allowed"),
    "binary tag": ("a: !!binary aGk=", "is not allowed"),
    "set": ("a: !!set {b, c}", "is not allowed"),
    "twice": ("a: 1\nb: 2\na: 3", "t.yaml:3: 'a' stands twice; first on line 1"),
    "twice, quoted": ("a: 1\n'a': 3", "t.yaml:2: 'a' stands twice"),
    "twice, inside": ("a: [{b: 1,\n b: 2}]", "t.yaml:2: 'b' stands twice"),
    "list as key": ("? [a]\n: b", "t.yaml:1: a key must be a single value"),
    "bomb": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
        "is too large once its aliases are expanded",
    ),
    "control character": ("a: \x07", "is not valid YAML: .*not allowed"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(SpecError, match=message) as error:
        parse(text, HERE)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
