"""Nestings to count and compare, each level's groups in the order of their first class; and tasks: which classes
somebody needs at once, and how often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError, SpecError, TaxonomyError, listed, quoted
from hiergen.files import read_text
from hiergen.lookup import reference
from hiergen.lookup.choose import find_terms
from hiergen.lookup.select import Selector
from hiergen.taxonomy import yamlfile
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting


def nesting_of(taxonomy: Taxonomy, model: str | None = None, *, name: str | None = None) -> Nesting:
    """The nesting of one model of a taxonomy file, by default of its deepest.

    Raises SpecError for a model that the file does not have, TaxonomyError where the tree has too few levels.
    """
    model = model or taxonomy.deepest
    return replace(taxonomy.nesting(model).in_class_order(), name=name or f"{taxonomy.path}:{model}")


def read_nesting(text: str, taxonomies: dict[Path, Taxonomy] | None = None) -> Nesting:
    """What `lookup.reference.read_nesting` reads.

    >>> read_nesting("taxonomies/imagenet100.yaml:N3HL").counts
    (12, 32)
    """
    return reference.read_nesting(text, taxonomies).in_class_order()


def align(nestings: Iterable[Nesting]) -> list[Nesting]:
    """All of them in the class order of the first. Raises TaxonomyError, with the difference, for other classes."""
    first, *others = nestings
    aligned = [first]
    for other in others:
        check_same_classes(first, other)
        aligned.append(other.in_class_order(first.classes))
    return aligned


def check_same_classes(first: Nesting, other: Nesting) -> None:
    """Raises TaxonomyError, with the difference, where two nestings are not over the same classes."""
    lacks, more = sorted(set(first.classes) - set(other.classes)), sorted(set(other.classes) - set(first.classes))
    if lacks or more:
        parts = [f"{len(lacks)} only in the first ({listed(lacks)})"] if lacks else []
        parts += [f"{len(more)} only in the second ({listed(more)})"] if more else []
        raise TaxonomyError(
            f"{first.name} and {other.name} are over different classes: {'; '.join(parts)}",
            expected="nestings of the same classes",
        )


@dataclass(frozen=True)
class Task:
    """`classes`: ascending indices. `weight`: how often, in comparison with the others."""

    name: str
    classes: tuple[int, ...]
    weight: float = 1.0


def read_tasks(paths: Iterable[str | Path], nesting: Nesting) -> list[Task]:
    """All tasks of these files, in their order.

    A `.yaml` file maps a task's name to its classes, or to `{classes: […], weight: 2}`; any other file is one task,
    called as the file, with one class a line (`#` starts a comment). A class is what `lookup.select` takes for it: an
    id, a display name, the name of a group of `nesting` or a WordNet term, which stand for all their classes.
    Raises SpecError, with the line, for a file that says something else, and HiergenError for unknown classes.
    """
    selector = Selector(nesting)
    tasks: list[Task] = []
    for path in map(Path, paths):
        for task in _of_yaml(path, selector) if path.suffix in {".yaml", ".yml"} else [_of_lines(path, selector)]:
            if any(task.name == other.name for other in tasks):
                raise SpecError(f"a second task {quoted(task.name)}", place=str(path), expected="one name per task")
            tasks.append(task)
    return tasks


def _find(selector: Selector, text: str, place: str) -> set[int]:
    try:
        return {c for classes in find_terms(selector, [text]).values() for c in classes}
    except HiergenError as error:
        raise error.at(place) from None


def _of_lines(path: Path, selector: Selector) -> Task:
    classes: set[int] = set()
    for number, line in enumerate(read_text(path).splitlines(), 1):
        classes |= _find(selector, line.split("#")[0].strip(), f"{path}:{number}")
    return Task(path.stem, _some(classes, path.stem, str(path)))


def _of_yaml(path: Path, selector: Selector) -> list[Task]:
    document = yamlfile.load(path)
    if not isinstance(document.data, Mapping) or not document.data:
        raise SpecError("holds no tasks", place=str(path), expected="TASK: [class, class, …]")
    return [_entry(str(name), value, document, selector) for name, value in document.data.items()]


def _entry(name: str, value: Any, document: yamlfile.Document, selector: Selector) -> Task:
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
    classes = {c for i, item in enumerate(value) for c in _find(selector, item, document.place((*key, i)))}
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
