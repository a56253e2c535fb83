"""What to type for a group on a command line, so that it means that group and nothing else.

`hiergen.nn.select.Selector` decides what a term means; this says the same without importing torch, for groups only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from hiergen.explore.read import Nest


def key(text: str) -> str:
    """How `Selector` compares names."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r" ?/ ?", "/", " ".join(re.sub(r"[_-]", " ", folded).split()))


def group_terms(nest: Nest, ids: Sequence[str]) -> list[list[tuple[str | None, int]]]:
    """By level and group: a term, and the level whose branch a gain on that term acts in (from 1).

    The name where it is one group's alone (or that of a chain with the same classes, whose highest branch it then
    means), else the path from level 1; None where neither is clear.
    """
    taken = {key(one) for one in ids}
    members: dict[str, set[tuple[int, ...]]] = {}
    highest: dict[str, int] = {}
    for j, level in enumerate(nest.levels, 1):
        for group in level:
            members.setdefault(group.name, set()).add(group.classes)
            highest.setdefault(group.name, j)
    paths: list[list[str]] = []
    for j, level in enumerate(nest.levels):
        paths.append([f"{paths[j - 1][g.parent]}/{g.name}" if j else f"/{g.name}" for g in level])
    times = Counter(key(path).strip("/") for level in paths for path in level)
    names = {key(name) for name in members}

    def term(j: int, i: int, name: str) -> tuple[str | None, int]:
        if key(name) not in taken and len(members[name]) == 1:
            return name, highest[name]
        path = paths[j - 1][i] if j == 1 else paths[j - 1][i].removeprefix("/")
        clear = times[key(path).strip("/")] == 1 and not {key(path), key(path).strip("/")} & (taken if j > 1 else set())
        return (path, j) if clear and key(path) not in names else (None, j)

    return [[term(j, i, g.name) for i, g in enumerate(level)] for j, level in enumerate(nest.levels, 1)]


def comma_pieces(names: Sequence[str]) -> frozenset[str]:
    """Keys of the pieces of names that hold commas: next to another term, such a piece may be read as part of one."""
    return frozenset(
        piece
        for name in names
        if "," in name
        for text in (name, name.rpartition("/")[2], name.partition("/")[0])
        for piece in map(key, text.split(","))
    )
