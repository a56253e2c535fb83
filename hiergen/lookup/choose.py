"""Classes as they are typed on a command line (`--classes`, `--except`) → indices of logits."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hiergen.errors import HiergenError
from hiergen.lookup.select import Selector


def choose(selector: Selector, classes: Iterable[str] = (), except_: Iterable[str] = ()) -> tuple[int, ...] | None:
    """Ascending indices of the `classes` (default: all) without those of `except_`; None where nothing is typed.

    Raises HiergenError for unknown classes, an empty name, and where no class is left.
    """
    classes, except_ = list(classes), list(except_)
    if not classes and not except_:
        return None
    wanted, unwanted = find_terms(selector, classes), find_terms(selector, except_)
    if (classes and not wanted) or (except_ and not unwanted):
        raise HiergenError("an empty class name", expected="a class id, name, group, WordNet term, index or FROM:TO")
    every = {i for indices in wanted.values() for i in indices} if classes else range(len(selector.nesting.classes))
    left = set(every) - {i for indices in unwanted.values() for i in indices}
    if not left:
        raise HiergenError("no class is left", expected="at least one that --except does not name")
    return tuple(sorted(left))


def find_terms(selector: Selector, typed: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Term → indices of the logits that it chooses, in the order typed.

    Each text is one term or several with commas between; as names may hold commas ("tench, Tinca tinca"), the longest
    piece that is a term is one. A number is an index, unless a class is called so.
    Raises HiergenError as `Selector.classes` does.
    """
    terms: dict[str, tuple[int, ...]] = {}
    for text in typed:
        pieces = text.split(",")
        while pieces:
            end = next((n for n in range(len(pieces), 1, -1) if _is_term(selector, ",".join(pieces[:n]))), 1)
            term = ",".join(pieces[:end]).strip()
            pieces = pieces[end:]
            if term:
                terms[term] = selector.classes(read_term(selector, term))
    return terms


def read_term(selector: Selector, term: str) -> int | str:
    """The term, or the index that it is."""
    if re.fullmatch(r"[0-9]{1,9}", term.strip()) and not _is_term(selector, term):
        return int(term)
    return term


def _is_term(selector: Selector, text: str) -> bool:
    try:
        selector.classes(text.strip())
    except HiergenError:
        return False
    return True
