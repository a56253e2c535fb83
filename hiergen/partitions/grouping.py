"""A nesting as plain data: a chain of partitions of the classes, each level refining the one above."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiergen.errors import TaxonomyError, listed
from hiergen.taxonomy.generated import Source, is_model, read_model
from hiergen.taxonomy.load import Taxonomy, load_taxonomy


@dataclass(frozen=True)
class Level:
    """One partition: names of its groups, and the group of each class. Groups are in the order of their first class."""

    names: tuple[str, ...]
    of: tuple[int, ...]

    def members(self) -> list[list[int]]:
        """Ascending class indices of each group."""
        found: list[list[int]] = [[] for _ in self.names]
        for c, group in enumerate(self.of):
            found[group].append(c)
        return found

    def sizes(self) -> list[int]:
        """Classes of each group."""
        return [len(group) for group in self.members()]

    def array(self) -> NDArray[np.int64]:
        """The group of each class `(n,)`."""
        return np.asarray(self.of, dtype=np.int64)


@dataclass(frozen=True)
class Grouping:
    """`levels` are the k - 1 partitions above the classes, coarse to fine; none for a PHL. The classes themselves, the
    last level of a network, are not listed. `classes` are ids in logit order, `labels` what to show of them.

    >>> read_grouping("taxonomies/imagenet100.yaml:N3HL").counts
    (12, 32)
    """

    name: str
    classes: tuple[str, ...]
    labels: tuple[str, ...]
    levels: tuple[Level, ...]

    @property
    def k(self) -> int:
        """Number of split-points: the partitions, and the classes."""
        return len(self.levels) + 1

    @property
    def counts(self) -> tuple[int, ...]:
        """Groups of each level."""
        return tuple(len(level.names) for level in self.levels)

    def parents(self, j: int) -> tuple[int, ...]:
        """For each group of `levels[j]` its group in `levels[j - 1]` (all 0 for j = 0); j = k - 1: for each class."""
        if j == 0:
            return (0,) * len(self.levels[0].names)
        above = self.levels[j - 1].of
        if j == len(self.levels):
            return above
        return tuple(above[members[0]] for members in self.levels[j].members())

    def reordered(self, classes: Sequence[str]) -> Grouping:
        """The same nesting with its classes in another order (the same ids)."""
        place = {c: i for i, c in enumerate(self.classes)}
        rows = [place[c] for c in classes]
        levels = [[level.of[i] for i in rows] for level in self.levels]
        labels = [self.labels[i] for i in rows]
        return make_grouping(self.name, classes, levels, labels=labels, names=[level.names for level in self.levels])


def make_grouping(
    name: str,
    classes: Sequence[str],
    levels: Sequence[Sequence[int] | NDArray[Any]],
    *,
    labels: Sequence[str] | None = None,
    names: Sequence[Sequence[str]] | None = None,
) -> Grouping:
    """A grouping from one group number per class and level, coarse to fine; numbers may be any, order does not matter.

    `names[j][number]` names a group, else it is "1", "2" …; `labels` default to the ids. Raises ValueError where a
    level has not one number per class, or does not refine the one above.
    """
    found: list[Level] = []
    for j, raw in enumerate(levels):
        numbers = [int(x) for x in raw]
        if len(numbers) != len(classes):
            raise ValueError(f"level {j + 1} has {len(numbers)} group numbers for {len(classes)} classes")
        first = {number: i for i, number in reversed(list(enumerate(numbers)))}
        order = {number: i for i, number in enumerate(sorted(first, key=first.__getitem__))}
        of = tuple(order[number] for number in numbers)
        titles = tuple(str(names[j][number]) if names else str(i + 1) for number, i in order.items())
        if found:
            above: dict[int, int] = {}
            for group, parent in zip(of, found[-1].of, strict=True):
                if above.setdefault(group, parent) != parent:
                    raise ValueError(f"group {titles[group]!r} of level {j + 1} lies in two groups of level {j}")
        found.append(Level(titles, of))
    shown = tuple(map(str, labels)) if labels is not None else tuple(map(str, classes))
    return Grouping(name, tuple(map(str, classes)), shown, tuple(found))


def grouping_of(taxonomy: Taxonomy, model: str | None = None, *, name: str | None = None) -> Grouping:
    """The nesting of one model of a taxonomy file, by default of its deepest.

    Raises SpecError for a model that the file has not, TaxonomyError where the tree has too few levels.
    """
    if model is None:
        model = max(taxonomy.levels, key=lambda known: taxonomy.levels[known])
    nesting = taxonomy.nesting(model)
    levels, names = [], []
    for groups in nesting.groups:
        of = [0] * nesting.classes
        for i, group in enumerate(groups):
            for c in group.classes:
                of[c] = i
        levels.append(of)
        names.append([group.name for group in groups])
    ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
    return make_grouping(name or f"{taxonomy.path}:{model}", ids, levels, labels=labels, names=names)


def read_grouping(text: str) -> Grouping:
    """ "FILE.yaml", "FILE.yaml:MODEL", or a generated model as `hiergen.taxonomy.generated.read_model` takes it.

    Raises HiergenError for a file that cannot be read, and for a model that it has not.
    """
    file, _, model = text.rpartition(":") if ":" in text and not Path(text).exists() else (text, "", "")
    if not file.endswith((".yaml", ".yml")) and is_model(text):
        return _of_source(text, read_model(text))
    return grouping_of(load_taxonomy(file), model or None, name=text)


def _of_source(text: str, source: Source) -> Grouping:
    order = {c: i for i, c in enumerate(source.classes)}
    labels = list(source.classes)
    paths: dict[int, tuple[str, ...]] = {}
    stack: list[tuple[tuple[str, ...], Any]] = [((), source.taxonomy)]
    while stack:
        path, below = stack.pop()
        if isinstance(below, Mapping):
            stack += [((*path, str(key)), value) for key, value in below.items()]
        else:
            c = order[path[-1]]
            paths[c], labels[c] = path[:-1], str(below)
    depth = max(map(len, paths.values()))
    numbers: list[dict[tuple[str, ...], int]] = [{} for _ in range(depth)]
    levels = [
        [numbers[j].setdefault(paths[c][: j + 1], len(numbers[j])) for c in range(len(order))] for j in range(depth)
    ]
    names = [[path[-1] for path in known] for known in numbers]
    return make_grouping(text, source.classes, levels, labels=labels, names=names)


def aligned(groupings: Iterable[Grouping]) -> list[Grouping]:
    """All of them in the class order of the first. Raises TaxonomyError, with the difference, for other classes."""
    first, *others = groupings
    found = [first]
    for other in others:
        lacks, more = (
            sorted(set(a) - set(b)) for a, b in ((first.classes, other.classes), (other.classes, first.classes))
        )
        if lacks or more:
            parts = [f"{len(lacks)} only in the first ({listed(lacks)})"] if lacks else []
            parts += [f"{len(more)} only in the second ({listed(more)})"] if more else []
            raise TaxonomyError(
                f"{first.name} and {other.name} are over different classes: {'; '.join(parts)}",
                expected="nestings of the same classes",
            )
        found.append(other.reordered(first.classes))
    return found
