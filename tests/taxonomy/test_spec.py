"""spec.py: defaults, amounts, level counts, and one sentence per mistake."""

from __future__ import annotations

import pytest
from conftest import Write
from pydantic import TypeAdapter, ValidationError

from hiergen.errors import SpecError
from hiergen.taxonomy.spec import Amount, Groups, ModelSpec, Spec, SuperclassFiles, WordNetCopy, model_levels
from hiergen.taxonomy.specfile import read_spec

MINIMAL = "name: t\nclasses: imagenette\n"


def test_defaults(write: Write) -> None:
    spec, document = read_spec(write(MINIMAL))
    assert spec == Spec(name="t", classes="imagenette")
    assert spec.sources == ["imagenet-superclass", "wordnet"]
    assert list(spec.models) == ["PHL", "N2HL", "N3HL"]
    assert (spec.nesting.min_children, spec.nesting.max_children, spec.hypernyms.rule) == (2, 12, "deepest")
    assert document.place(("classes",)).endswith("t.yaml:2")


def test_nothing_changes_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Spec(name="t", classes="x").name = "u"  # type: ignore[misc]


def test_sources_of_every_form(write: Write) -> None:
    path = write(
        f"{MINIMAL}sources:\n- groups: {{a: [b]}}\n- superclass-files: x\n- imagenet-superclass\n- wordnet: y\n"
    )
    kinds = [s if isinstance(s, str) else type(s) for s in read_spec(path)[0].sources]
    assert kinds == [Groups, SuperclassFiles, "imagenet-superclass", WordNetCopy]


AMOUNTS = [
    ("25M", 25_000_000),
    ("4.2G", 4_200_000_000),
    ("1k", 1_000),
    ("1 t", 10**12),
    ("7", 7),
    (7, 7),
    ("0.5k", 500),
]
NO_AMOUNTS = ["25Q", "-3", "NaN", "inf", "1e9", "", "M", "25MM", "1,5M", "٣", "0", "0.1", "1" * 400]


@pytest.mark.parametrize(("text", "value"), AMOUNTS)
def test_amounts(text: str | int, value: int) -> None:
    assert TypeAdapter(Amount).validate_python(text) == value


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_no_amounts(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Amount).validate_python(text)


LEVELS = [
    ("PHL", {}, 1),
    ("PHLlateSP", {}, 1),
    ("phl", {}, 1),
    ("N2HL", {}, 2),
    ("N12HLx", {}, 12),
    ("n3hl", {}, 3),
    ("N0HL", {}, None),
    ("NHL", {}, None),
    ("Foo", {}, None),
    ("Foo", {"levels": "3"}, 3),
    ("N2HL", {"levels": 3}, 3),
    ("Foo", {"branches": [[{"width": 8, "out": 8}]] * 2}, 2),
    ("Foo", {"single_branch": "true"}, 1),
]


@pytest.mark.parametrize(("name", "fields", "levels"), LEVELS)
def test_levels(name: str, fields: dict[str, object], levels: int | None) -> None:
    assert model_levels(name, ModelSpec.model_validate(fields)) == levels


STAGES = "[[{width: 8, out: 8}], [{width: 8, out: 8}]]"
# what follows the two lines of MINIMAL, and the message
BAD = [
    ("sources: wordnet", "t.yaml:3: 'sources' is not a list; got 'wordnet'"),
    (
        "sources: [wordnett]",
        "'sources.0' is not known here; expected .*superclass' or 'wordnet', got 'wordnett'; nearest: wordnet",
    ),
    ("sources: [{group: {}}]", "'sources.0' is not known here"),
    ("sources: [{groups: {a: b}, wordnet: x}]", "'sources.0.wordnet' is not a key here"),
    ("sources: [null]", "'sources.0' is not known here; .* got nothing"),
    ("sources: [wordnet, {wordnet: x}]", "names WordNet more than once"),
    ("models: {N2HL: {branches: auto2}}", "'models.N2HL.branches' is not known here; expected 'auto', got 'auto2'"),
    ("models: {N2HL: {branches: [{width: 8}]}}", "'models.N2HL.branches.0' is not a list; got a mapping"),
    ("models: {N2HL: {branches: [[8]]}}", "'models.N2HL.branches.0.0' is not a mapping"),
    ("models: {N2HL: {trunk: resnet50}}", "; got 'resnet50'; write trunk: {backbone: resnet50}"),
    ("models: {N2HL: null}", "'models.N2HL' is not a mapping; got nothing; write N2HL: {}"),
    ("models: [N2HL]", "is not a mapping; got a list; write models: {N2HL: {}}"),
    ("models: [N2HL, 3]", "'models' is not a mapping; got a list"),
    ("models: PHL", "'models' is not a mapping; got 'PHL'; write models: {PHL: {}}"),
    ("models: {N2HL: {single_branch: maybe}}", "'models.N2HL.single_branch' is not true or false; got 'maybe'"),
    ("models: {N2HL: {single_branch: true, levels: 2}}", "'single_branch' has no groups"),
    (f"models: {{N2HL: {{single_branch: true, branches: {STAGES}}}}}", "'single_branch' has no groups"),
    ("models: {N2HL: {input_size: 4}}", "'models.N2HL.input_size' is too small; expected at least 8, got '4'"),
    ("names: [a]", "'names' is not a mapping; got a list"),
    ("names: {n01440764: [a]}", "'names.n01440764' is not text; got a list"),
    ("unplaced: ignore", "'unplaced' is not known here; expected 'error' or 'root', got 'ignore'"),
    ("hypernyms: {rule: deep}", "expected 'deepest', 'shallowest', 'first' or 'most-classes', got 'deep'"),
    ("nesting: {balance: -1}", "'nesting.balance' is too small; expected at least 0, got '-1'"),
    ("nesting: {closeness: a}", "'nesting.closeness' is not a number; got 'a'"),
    ("nesting: {max_children: 1}", "'nesting.max_children' is too small; expected at least 2, got '1'"),
    ("hypernim: {}", "'hypernim' is not a key here; expected one of name, .*; nearest: hypernyms"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_one_sentence_per_mistake(text: str, message: str, write: Write) -> None:
    with pytest.raises(SpecError, match=message) as error:
        read_spec(write(MINIMAL + text + "\n"))
    assert "t.yaml:3: " in str(error.value)


def test_a_mistake_in_classes_is_about_the_form_that_was_meant(write: Write) -> None:
    for text, message in {
        "classes: [a, [b]]": "'classes.1' is not text; got a list",
        "classes: {imagefolders: x}": "'classes' is not text; got a mapping",
        "classes: {imagefolder: [x]}": "'classes.imagefolder' is not text; got a list",
        "classes: {imagefolder: x, split: y}": "'classes.split' is not a key here; expected one of imagefolder",
        "classes: null": "'classes' is not text; got nothing",
    }.items():
        with pytest.raises(SpecError, match=message):
            read_spec(write(f"name: t\n{text}\n"))


def test_all_mistakes_are_reported_in_the_order_of_the_file(write: Write) -> None:
    found: list[SpecError] = []
    with pytest.raises(SpecError, match="max_children") as last:
        read_spec(write("models: {PHL: {levels: 0}}\nname: 7\nclasses: x\nnesting: {max_children: x}\n"), found.append)
    assert [str(e).split("'")[1] for e in [*found, last.value]] == ["models.PHL.levels", "name", "nesting.max_children"]
