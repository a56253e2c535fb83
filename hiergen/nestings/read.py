"""Nestings to count and compare, each level's groups in the order of their first class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hiergen.errors import TaxonomyError, listed
from hiergen.lookup import reference
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
