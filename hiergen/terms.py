"""Classes as they are typed on a command line → what `Selector` takes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hiergen.errors import HiergenError
from hiergen.nn.select import Selector


def chosen(selector: Selector, typed: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Term → indices of the logits that it chooses, in the order typed.

    Each text is one term or several with commas between; as names may hold commas ("tench, Tinca tinca"), the longest
    piece that is a term is one. A number is an index, unless a class is called so.
    Raises HiergenError as `Selector.classes` does.
    """
    found: dict[str, tuple[int, ...]] = {}
    for text in typed:
        pieces = text.split(",")
        while pieces:
            end = next((n for n in range(len(pieces), 1, -1) if _known(selector, ",".join(pieces[:n]))), 1)
            term = ",".join(pieces[:end]).strip()
            pieces = pieces[end:]
            if term:
                found[term] = selector.classes(meant(selector, term))
    return found


def meant(selector: Selector, term: str) -> int | str:
    """The term, or the index that it is."""
    if re.fullmatch(r"[0-9]{1,9}", term.strip()) and not _known(selector, term):
        return int(term)
    return term


def _known(selector: Selector, text: str) -> bool:
    try:
        selector.classes(text.strip())
    except HiergenError:
        return False
    return True
