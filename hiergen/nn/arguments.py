"""Checks of the numbers a constructor is given."""

from __future__ import annotations

from collections.abc import Sequence


def positive(place: str, **numbers: int) -> None:
    """Raise ValueError unless every number is an int above 0 (a bool is none)."""
    for name, number in numbers.items():
        if type(number) is not int or number < 1:
            raise ValueError(f"{place}: {name} expected a positive int, got {number!r}")


def parent_indices(place: str, parents: Sequence[int], count: int) -> tuple[int, ...]:
    """The parents as a tuple; ValueError unless there are `count` of them, all ints from 0 up."""
    indices = tuple(parents)
    if len(indices) != count:
        raise ValueError(f"{place}: expected one parent for each of the {count}, got {len(indices)} parents")
    for child, parent in enumerate(indices):
        if type(parent) is not int or parent < 0:
            raise ValueError(f"{place}: parent of {child} expected an int from 0 up, got {parent!r}")
    return indices
