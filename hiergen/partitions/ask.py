"""What is typed about a count turned into a question, and the question answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, pairwise
from typing import TYPE_CHECKING, Any

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.partitions.constraints import Constraints, parse_sizes, parse_spans
from hiergen.partitions.count import count_nestings, count_shape, log10_of
from hiergen.partitions.route import TooLargeError, question
from hiergen.partitions.why import unsatisfiable

if TYPE_CHECKING:
    from hiergen.partitions.grouping import Grouping

NARROW = 1e-3  # bounds this close in log10 are an answer
Links = Sequence[str]


@dataclass(frozen=True)
class Asked:
    """n classes, k split-points, constraints; `grouping` where a file or a model was named."""

    n: int
    k: int
    constraints: Constraints
    grouping: Grouping | None = None


@dataclass(frozen=True)
class Answer:
    """`count`, or None and the bounds of its log10. `same`: nestings with the shape of the file's own. `draws`:
    nestings as groups of class names per level."""

    asked: Asked
    count: int | None
    low: float
    high: float
    same: int | None = None
    draws: list[list[list[list[str]]]] = field(default_factory=list)

    @property
    def digits(self) -> int | None:
        """Of the count; None if the bounds leave it open."""
        if self.count is not None:
            return digits(self.count)
        low, high = math.floor(self.low), math.floor(self.high)
        return low + 1 if low == high else None

    def as_data(self) -> dict[str, Any]:
        """JSON-ready; long numbers are strings, as few readers of JSON take them as numbers."""
        asked = self.asked
        data: dict[str, Any] = {
            "classes": asked.n,
            "levels": asked.k,
            "constraints": asked.constraints.names(),
            "count": None if self.count is None else text(self.count),
            "digits": self.digits,
            "log10": [self.low, self.high] if self.count is None else self.low,
        }
        if asked.grouping is not None:
            data["nesting"] = {"name": asked.grouping.name, "groups": list(asked.grouping.counts)}
        if self.same is not None:
            data["nesting"]["same_shape"] = text(self.same)
            data["nesting"]["log10_share"] = log10_of(self.same) - self.low
        if self.draws:
            data["samples"] = self.draws
        return data


def ask(
    name: str | None = None,
    *,
    classes: int | None = None,
    levels: int | None = None,
    groups: str | None = None,
    min_size: str | None = None,
    max_size: str | None = None,
    must_link: Links = (),
    cannot_link: Links = (),
    consistent: str | None = None,
) -> Asked:
    """The question of a command line. `name`: a taxonomy file, FILE:MODEL or a generated model, in place of `classes`.

    Raises HiergenError for anything that is not understood.
    """
    from hiergen.partitions.consistent import class_tree

    grouping, taxonomy = None, None
    if name is not None:
        from hiergen.partitions.grouping import read_grouping

        grouping = read_grouping(name)
        if classes is not None:
            raise HiergenError("classes are given twice", expected="--classes, or a file")
    if consistent is not None:
        from hiergen.taxonomy.load import load_taxonomy

        taxonomy = load_taxonomy(consistent)
    n = len(grouping.classes) if grouping else classes
    if n is None and taxonomy is not None:
        n = len(taxonomy.classes)
    if n is None:
        raise HiergenError("no classes", expected="--classes N, or a taxonomy file")
    names = _Names(grouping.classes, grouping.labels, n) if grouping else _names(taxonomy, n)
    spans = parse_spans(groups, "--groups") if groups is not None else ()
    low = parse_sizes(min_size, "--min-size") if min_size is not None else ()
    high = parse_sizes(max_size, "--max-size") if max_size is not None else ()
    given = max(map(len, (spans, low, high)))
    k = levels if levels is not None else given + 1 if given > 1 else grouping.k if grouping else 2
    constraints = Constraints(
        groups=spans,
        min_size=tuple(size or 1 for size in low),
        max_size=high,
        must_link=tuple(pair for found in map(names.links, must_link) for pair in pairwise(found)),
        cannot_link=tuple(pair for found in map(names.links, cannot_link) for pair in combinations(found, 2)),
        tree=class_tree(taxonomy, grouping.classes if grouping else None) if taxonomy else None,
        labels=names.labels,
    )
    return Asked(n, k, constraints, grouping)


def answer(asked: Asked, *, draws: int = 0, seed: int = 0) -> Answer:
    """Counts, and draws so many nestings.

    Raises TooLargeError where not even close bounds are known, or nothing can be drawn; UnsatisfiableError for a count
    of 0.
    """
    try:
        number = count_nestings(asked.n, asked.k, asked.constraints)
    except TooLargeError as error:
        if error.low is None or error.high is None or error.high - error.low > NARROW:
            raise
        found = Answer(asked, None, error.low, error.high)
    else:
        if not number:
            raise unsatisfiable(asked.n, asked.k, asked.constraints)
        log = log10_of(number)
        found = Answer(asked, number, log, log, _same(asked))
    if not draws:
        return found
    from hiergen.partitions.sample import samples

    drawn = islice(samples(asked.n, asked.k, asked.constraints, seed), draws)
    return Answer(asked, found.count, found.low, found.high, found.same, [_named(asked, levels) for levels in drawn])


def seconds(asked: Asked) -> float:
    """Roughly how long the count will take."""
    try:
        return question(asked.n, asked.k, asked.constraints).route.seconds
    except HiergenError:
        return 0.0


def _same(asked: Asked) -> int | None:
    """Without constraints: how many nestings have the shape of the file's."""
    grouping = asked.grouping
    if grouping is None or grouping.k != asked.k or asked.constraints or not grouping.levels:
        return None
    return count_shape([grouping.parents(j) for j in range(grouping.k)], asked.n)


def _named(asked: Asked, levels: Sequence[Sequence[int]]) -> list[list[list[str]]]:
    titles = asked.constraints.labels or tuple(map(str, range(asked.n)))
    found = []
    for level in levels:
        groups: list[list[str]] = [[] for _ in range(max(level) + 1)]
        for c, group in enumerate(level):
            groups[group].append(titles[c])
        found.append(groups)
    return found


class _Names:
    """What may be typed for a class: its id, its name, its index."""

    def __init__(self, ids: Sequence[str], labels: Sequence[str], n: int) -> None:
        self.n = n
        self.ids = {c: i for i, c in enumerate(ids)}
        self.places: dict[str, list[int]] = {}
        for i, label in enumerate(labels):
            self.places.setdefault(label.casefold(), []).append(i)
        twins = {label for label, places in self.places.items() if len(places) > 1}
        pairs = zip(ids, labels, strict=True)
        self.labels = tuple(c if label.casefold() in twins else label for c, label in pairs)

    def links(self, typed: str) -> list[int]:
        """ "A,B" or "A,B,C" → class indices, two or more."""
        found = [self.find(piece.strip()) for piece in typed.split(",")]
        if len(found) < 2:
            raise HiergenError(f"a link of one class: {quoted(typed)}", expected="two or more with commas, as A,B")
        return found

    def find(self, typed: str) -> int:
        if typed in self.ids:
            return self.ids[typed]
        places = self.places.get(typed.casefold(), [])
        if len(places) > 1:
            raise HiergenError(f"{len(places)} classes are called {quoted(typed)}", expected="an id or an index")
        if places:
            return places[0]
        if typed.isascii() and typed.isdigit() and len(typed) < 15 and int(typed) < self.n:
            return int(typed)
        known = "a class id, its name, or " if self.ids else ""
        raise HiergenError(
            f"no class {quoted(typed)}",
            expected=f"{known}an index from 0 to {self.n - 1}",
            nearest=nearest(typed, [*self.ids, *self.labels]),
        )


def _names(taxonomy: Any, n: int) -> _Names:
    if taxonomy is None or len(taxonomy.classes) != n:
        return _Names((), (), n)
    return _Names([c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes], n)


def text(number: int) -> str:
    """All decimal digits (Python's own str refuses more than 4300)."""
    from flint import fmpz

    return str(fmpz(number).str())


def digits(number: int) -> int:
    """Number of decimal digits."""
    return len(text(number))
