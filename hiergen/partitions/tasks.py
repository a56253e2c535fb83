"""Tasks: which classes somebody needs at once, and how often. One per text file, or several in a YAML file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError, nearest, quoted
from hiergen.files import read_text
from hiergen.partitions.grouping import Grouping
from hiergen.taxonomy import yamlfile


@dataclass(frozen=True)
class Task:
    """`classes`: ascending indices. `weight`: how often, in comparison with the others."""

    name: str
    classes: tuple[int, ...]
    weight: float = 1.0


def read_tasks(paths: Iterable[str | Path], grouping: Grouping) -> list[Task]:
    """All tasks of these files, in their order.

    A `.yaml` file maps a task's name to its classes, or to `{classes: […], weight: 2}`; any other file is one task,
    called as the file, with one class a line (`#` starts a comment). A class is an id, a display name or the name of
    a group of `grouping`, which stands for all its classes; case and underscores do not matter where that is clear.
    Raises SpecError, with the line, for a file that says something else, and for unknown classes.
    """
    names = _Names(grouping)
    found: list[Task] = []
    for path in map(Path, paths):
        tasks = _of_yaml(path, names) if path.suffix in {".yaml", ".yml"} else [_of_lines(path, names)]
        for task in tasks:
            if any(task.name == other.name for other in found):
                raise SpecError(f"a second task {quoted(task.name)}", place=str(path), expected="one name per task")
            found.append(task)
    return found


class _Names:
    """What may be typed for a class → indices."""

    def __init__(self, grouping: Grouping) -> None:
        self._exact: dict[str, tuple[int, ...]] = {}
        self._loose: dict[str, set[tuple[int, ...]]] = {}
        for level in reversed(grouping.levels):
            for name, members in zip(level.names, level.members(), strict=True):
                self._add(name, tuple(members))
        for names in (grouping.labels, grouping.classes):  # ids last: they decide
            for c, name in enumerate(names):
                self._add(name, (c,))

    def _add(self, name: str, classes: tuple[int, ...]) -> None:
        self._exact[name] = classes
        self._loose.setdefault(_loosely(name), set()).add(classes)

    def find(self, text: str, place: str) -> tuple[int, ...]:
        if text in self._exact:
            return self._exact[text]
        loose = self._loose.get(_loosely(text), set())
        if len(loose) == 1:
            return next(iter(loose))
        problem = "is more than one class or group" if loose else "is no class or group of this nesting"
        raise SpecError(f"{quoted(text)} {problem}", place=place, nearest=nearest(text, self._exact))


def _loosely(text: str) -> str:
    return " ".join(text.replace("_", " ").casefold().split())


def _of_lines(path: Path, names: _Names) -> Task:
    classes: set[int] = set()
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if text := line.split("#")[0].strip():
            classes.update(names.find(text, f"{path}:{number}"))
    return Task(path.stem, _some(classes, path.stem, str(path)))


def _of_yaml(path: Path, names: _Names) -> list[Task]:
    document = yamlfile.load(path)
    if not isinstance(document.data, Mapping) or not document.data:
        raise SpecError("holds no tasks", place=str(path), expected="TASK: [class, class, …]")
    return [_entry(str(name), value, document, names) for name, value in document.data.items()]


def _entry(name: str, value: Any, document: yamlfile.Document, names: _Names) -> Task:
    place, weight = document.place((name,)), 1.0
    key: tuple[str, ...] = (name,)
    if isinstance(value, Mapping):
        if unknown := sorted(set(value) - {"classes", "weight"}):
            raise SpecError(
                f"task {quoted(name)} has a key {quoted(unknown[0])}", place=place, expected="classes, weight"
            )
        weight = _weight(value.get("weight", "1"), document.place((name, "weight")))
        value, key = value.get("classes"), (name, "classes")
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise SpecError(f"task {quoted(name)} has no list of classes", place=place, expected="[class, class, …]")
    classes = {c for i, item in enumerate(value) for c in names.find(item, document.place((*key, i)))}
    return Task(name, _some(classes, name, place), weight)


def _weight(text: Any, place: str) -> float:
    try:
        weight = float(text)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 < weight < math.inf:
        raise SpecError("weight cannot be " + quoted(text), place=place, expected="a number above 0")
    return weight


def _some(classes: set[int], name: str, place: str) -> tuple[int, ...]:
    if not classes:
        raise SpecError(f"task {quoted(name)} has no class", place=place, expected="at least one")
    return tuple(sorted(classes))
