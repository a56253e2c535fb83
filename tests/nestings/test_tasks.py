"""Task files: what may stand in them, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiergen.errors import HiergenError, SpecError
from hiergen.nestings.read import Task, read_tasks
from hiergen.taxonomy.nesting import Nesting

NEST = Nesting.from_levels(
    ["n1", "n2", "n3", "n4"],
    [[0, 0, 1, 1]],
    labels=["tabby", "Egyptian cat", "beagle", "cat"],
    names=[["cat", "dog"]],
    name="pets",
)


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_lines_are_one_task(tmp_path: Path) -> None:
    file = written(tmp_path, "mine.txt", "n3\n\n# nothing\negyptian_CAT  # by name\nEgyptian cat\n")
    assert read_tasks([file], NEST) == [Task("mine", (1, 2))]


def test_a_mapping_is_several_tasks_with_weights(tmp_path: Path) -> None:
    text = "some: [tabby, dog]\nother: {classes: [n4], weight: 2.5}\nalone: beagle\n"
    assert read_tasks([written(tmp_path, "t.yaml", text)], NEST) == [
        Task("some", (0, 2, 3)),
        Task("other", (3,), 2.5),
        Task("alone", (2,)),
    ]


def test_a_group_goes_before_a_class_of_its_name_and_wordnet_comes_last(tmp_path: Path) -> None:
    assert read_tasks([written(tmp_path, "a.txt", "CAT")], NEST)[0].classes == (0, 1)
    assert read_tasks([written(tmp_path, "b.txt", "hound dog")], NEST)[0].classes == (2,)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "n1\ntaby", r"a.txt:2: no class or group 'taby'; nearest: tabby"),
        ("a.txt", "# none", r"a.txt: task 'a' has no class"),
        ("a.yaml", "- n1", r"a.yaml: holds no tasks; expected TASK"),
        ("a.yaml", "", r"holds no tasks"),
        ("a.yaml", "x: [n1]\ny:\n- n1\n- nx", r"a.yaml:4: no class or group 'nx'"),
        ("a.yaml", "x: []", r"a.yaml:1: task 'x' has no class; expected at least one"),
        ("a.yaml", "x: {classes: [n1], wait: 2}", r"task 'x' has a key 'wait'; expected classes, weight"),
        ("a.yaml", "x: {weight: 2}", r"task 'x' has no list of classes"),
        ("a.yaml", "x: [[n1]]", r"task 'x' has no list of classes"),
        ("a.yaml", "x: {classes: [n1], weight: -1}", r"weight cannot be '-1'; expected a number above 0"),
        ("a.yaml", "x: {classes: [n1], weight: inf}", r"weight cannot be 'inf'"),
        ("a.yaml", "x: {classes: [n1], weight: [1]}", r"weight cannot be"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(HiergenError, match=message):
        read_tasks([written(tmp_path, name, text)], NEST)


def test_names_stand_once_and_files_are_there(tmp_path: Path) -> None:
    a, b = written(tmp_path, "a.txt", "n1"), written(tmp_path, "b.yaml", "a: [n2]")
    with pytest.raises(SpecError, match=r"b.yaml: a second task 'a'"):
        read_tasks([a, b], NEST)
    with pytest.raises(SpecError, match="no such file"):
        read_tasks([tmp_path / "none.txt"], NEST)
