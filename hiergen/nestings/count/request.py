"""What is typed about a count, and its result: a number, and nestings drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, pairwise
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.errors import HiergenError, quoted
from hiergen.nestings.count.constraints import Constraints, parse_sizes, parse_spans, unsatisfiable
from hiergen.nestings.count.count import count_nestings, count_shape
from hiergen.nestings.count.route import plan_count
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from hiergen.taxonomy.load import Taxonomy

Links = Sequence[str]


@dataclass(frozen=True)
class CountRequest:
    """n classes, k split-points, constraints; `nesting` where a file or a model was named."""

    n: int
    k: int
    constraints: Constraints
    nesting: Nesting | None = None


@dataclass(frozen=True)
class CountResult:
    """`same`: nestings with the shape of the file's own. `draws`: nestings as groups of class names per level."""

    request: CountRequest
    count: int
    same: int | None = None
    draws: list[list[list[list[str]]]] = field(default_factory=list)

    @property
    def digits(self) -> int:
        return len(text(self.count))

    @property
    def log10(self) -> float:
        return log10(self.count)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready; long numbers are strings, as few readers of JSON take them as numbers."""
        request, nesting = self.request, self.request.nesting
        data: dict[str, Any] = {
            "classes": request.n,
            "levels": request.k,
            "constraints": request.constraints.names(),
            "count": text(self.count),
            "digits": self.digits,
            "log10": self.log10,
        }
        if nesting is not None:
            data["nesting"] = {"name": nesting.name, "groups": list(nesting.counts)}
            if self.same is not None:
                share = log10(self.same) - self.log10
                data["nesting"] |= {"same_shape": text(self.same), "log10_share": share}
        if self.draws:
            data["samples"] = self.draws
        return data


def read_request(
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
) -> CountRequest:
    """The request of a command line. `name`: a taxonomy file, FILE:MODEL or a generated model, in place of `classes`.

    Raises HiergenError for anything that is not understood.
    """
    from hiergen.lookup.reference import parse_reference, read_taxonomy
    from hiergen.nestings.count.constraints import class_tree
    from hiergen.nestings.read import nesting_of, read_nesting

    loaded: dict[Path, Taxonomy] = {}
    nesting, taxonomy = read_nesting(name, loaded) if name is not None else None, None
    if nesting is not None and classes is not None:
        raise HiergenError("classes are given twice", expected="--classes, or a file")
    if consistent is not None:
        taxonomy = read_taxonomy(parse_reference(consistent).path, loaded)
    ids = nesting.classes if nesting else [c.id for c in taxonomy.classes] if taxonomy else None
    n = len(nesting.classes) if nesting else classes if classes is not None else len(ids) if ids is not None else None
    if n is None:
        raise HiergenError("no classes", expected="--classes N, or a taxonomy file")
    named = nesting or (nesting_of(taxonomy) if taxonomy is not None and ids is not None and len(ids) == n else None)
    spans = parse_spans(groups, "--groups") if groups is not None else ()
    low = parse_sizes(min_size, "--min-size") if min_size is not None else ()
    high = parse_sizes(max_size, "--max-size") if max_size is not None else ()
    given = max(map(len, (spans, low, high)))
    k = levels if levels is not None else given + 1 if given > 1 else nesting.depth if nesting else 2
    constraints = Constraints(
        groups=spans,
        min_size=tuple(size or 1 for size in low),
        max_size=high,
        must_link=tuple(pair for link in must_link for pair in pairwise(_linked(link, named, n))),
        cannot_link=tuple(pair for link in cannot_link for pair in combinations(_linked(link, named, n), 2)),
        tree=class_tree(taxonomy, nesting.classes if nesting else None) if taxonomy else None,
        labels=_labels(named) if named else (),
    )
    return CountRequest(n, k, constraints, nesting)


def count_partitions(
    nesting: str | Path | None = None,
    *,
    classes: int | None = None,
    levels: int | None = None,
    draws: int = 0,
    seed: int = 0,
    **limits: Any,
) -> CountResult:
    """Count the nestings of a file's or of so many `classes`, and draw some, as `hiergen count-partitions` does.

    `limits` are those of `read_request` (groups="5,10-20", min_size="2", must_link=["A,B"], …). Raises HiergenError as
    it does, and for a count that is too large to be made.

    >>> count_partitions(classes=10).count
    115975
    """
    name = None if nesting is None else str(nesting)
    return count_and_draw(read_request(name, classes=classes, levels=levels, **limits), draws=draws, seed=seed)


def count_and_draw(request: CountRequest, *, draws: int = 0, seed: int = 0) -> CountResult:
    """Counts, and draws so many nestings.

    Raises TooLargeError for what would take too long; UnsatisfiableError for a count of 0.
    """
    number = count_nestings(request.n, request.k, request.constraints)
    if not number:
        raise unsatisfiable(request.n, request.constraints)
    if not draws:
        return CountResult(request, number, _same_shape(request))
    from hiergen.nestings.count.sample import samples

    drawn = islice(samples(request.n, request.k, request.constraints, seed), draws)
    return CountResult(request, number, _same_shape(request), [_named(request, levels) for levels in drawn])


def estimate_seconds(request: CountRequest) -> float:
    """Roughly how long the count will take."""
    try:
        return plan_count(request.n, request.k, request.constraints).route.seconds
    except HiergenError:
        return 0.0


def _same_shape(request: CountRequest) -> int | None:
    """Without constraints: how many nestings have the shape of the file's."""
    nesting = request.nesting
    if nesting is None or nesting.depth != request.k or request.constraints or not nesting.levels:
        return None
    return count_shape([nesting.above(j) for j in range(1, nesting.depth + 1)], request.n)


def _named(request: CountRequest, levels: Sequence[Sequence[int]]) -> list[list[list[str]]]:
    titles = request.constraints.labels or tuple(map(str, range(request.n)))
    named = []
    for level in levels:
        groups: list[list[str]] = [[] for _ in range(max(level) + 1)]
        for c, group in enumerate(level):
            groups[group].append(titles[c])
        named.append(groups)
    return named


def _labels(nesting: Nesting) -> tuple[str, ...]:
    """What each class is called: its display name, or its id where two have one name."""
    folded = [label.casefold() for label in nesting.labels]
    pairs = zip(nesting.classes, nesting.labels, strict=True)
    return tuple(c if folded.count(label.casefold()) > 1 else label for c, label in pairs)


def _linked(typed: str, nesting: Nesting | None, n: int) -> list[int]:
    """ "A,B" or "A,B,C" → class indices, two or more; what `lookup.select` takes for one class, or an index."""
    if nesting is not None:
        from hiergen.lookup.choose import find_terms
        from hiergen.lookup.select import Selector

        terms = find_terms(Selector(nesting), [typed])
        for term, indices in terms.items():
            if len(indices) > 1:
                raise HiergenError(f"{quoted(term)} is {len(indices)} classes", expected="single classes in a link")
        classes = [indices[0] for indices in terms.values()]
    else:
        classes = [_index(piece.strip(), n) for piece in typed.split(",")]
    if len(classes) < 2:
        raise HiergenError(f"a link of one class: {quoted(typed)}", expected="two or more with commas, as A,B")
    return classes


def _index(typed: str, n: int) -> int:
    if not (typed.isascii() and typed.isdigit() and len(typed) < 15 and int(typed) < n):
        raise HiergenError(f"no class {quoted(typed)}", expected=f"an index from 0 to {n - 1}")
    return int(typed)


def text(number: int) -> str:
    """All decimal digits (Python's own str refuses more than 4300)."""
    from flint import fmpz

    return str(fmpz(number).str())
