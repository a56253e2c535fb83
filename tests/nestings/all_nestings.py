"""Every nesting of a few classes, one by one, and whether it satisfies constraints: the slow way, to compare with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from typing import Any

from hiergen.nestings.count.constraints import ClassTree, Constraints

Partition = tuple[tuple[int, ...], ...]


def partitions(classes: tuple[int, ...]) -> Iterator[Partition]:
    if not classes:
        yield ()
        return
    first, *rest = classes
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            left = tuple(c for c in rest if c not in others)
            for tail in partitions(left):
                yield ((first, *others), *tail)


def finer(partition: Partition) -> Iterator[Partition]:
    if not partition:
        yield ()
        return
    for head in partitions(partition[0]):
        for tail in finer(partition[1:]):
            yield (*head, *tail)


def nestings(n: int, k: int) -> Iterator[tuple[Partition, ...]]:
    """Chains of k - 1 partitions, coarse to fine."""
    chains: list[tuple[Partition, ...]] = [()]
    for _ in range(k - 1):
        chains = [(*c, p) for c in chains for p in finer(c[-1] if c else (tuple(range(n)),))]
    yield from chains


@cache
def unions(tree: ClassTree) -> set[frozenset[int]]:
    """Every set of classes that is one or more children of one node."""
    below: dict[int, frozenset[int]] = {}
    for v in reversed(range(len(tree.children))):
        current = frozenset([tree.leaf[v]] if tree.leaf[v] >= 0 else [])
        below[v] = current.union(*(below[c] for c in tree.children[v]))
    result = set()
    for kids in tree.children:
        for size in range(1, len(kids) + 1):
            for some in combinations(kids, size):
                result.add(frozenset().union(*(below[c] for c in some)))
    return result


def satisfies(nesting: tuple[Partition, ...], constraints: Constraints) -> bool:
    levels = len(nesting)
    allowed = unions(constraints.tree) if constraints.tree else None

    def of(values: tuple[Any, ...], j: int) -> Any:
        return values[0] if len(values) == 1 else values[j]

    for j in range(levels):
        groups = [set(g) for g in nesting[j]]
        if constraints.groups:
            low, high = of(constraints.groups, j)
            if len(groups) < low or (high is not None and len(groups) > high):
                return False
        for group in groups:
            if constraints.min_size and len(group) < of(constraints.min_size, j):
                return False
            most = of(constraints.max_size, j) if constraints.max_size else None
            if most is not None and len(group) > most:
                return False
            if allowed is not None and frozenset(group) not in allowed:
                return False
            if any((a in group) != (b in group) for a, b in constraints.must_link):
                return False
            if any(a in group and b in group for a, b in constraints.cannot_link):
                return False
    return True


def random_tree(rng: random.Random, n: int) -> ClassTree:
    """With single children, leaves at any depth, and nodes alike."""
    children: list[list[int]] = [[]]
    leaf = [-1]

    def added(above: int, c: int) -> int:
        children.append([])
        leaf.append(c)
        children[above].append(len(leaf) - 1)
        return len(leaf) - 1

    def grow(v: int, classes: list[int], depth: int) -> None:
        if len(classes) == 1:
            added(added(v, -1) if rng.random() < 0.2 else v, classes[0])
            return
        parts: list[list[int]] = [[] for _ in range(rng.randint(1, min(4, len(classes))))]
        for c in classes:
            rng.choice(parts).append(c)
        for part in parts if depth < 4 else [[c] for c in classes]:
            if len(part) == 1:
                added(v, part[0])
            elif part:
                grow(added(v, -1), part, depth + 1)

    grow(0, list(range(n)), 0)
    return ClassTree("t.yaml", tuple(map(tuple, children)), tuple(leaf))


def random_constraints(rng: random.Random, n: int, k: int) -> Constraints:
    """Some of each kind, for all levels or per level, satisfiable or not."""

    def per_level(value: Callable[[], Any]) -> tuple[Any, ...]:
        return tuple(value() for _ in range(rng.choice([1, k - 1])))

    def span() -> tuple[int, int | None]:
        low = rng.randint(1, max(1, n - 1))
        return rng.choice([(low, low), (low, rng.randint(low, n)), (low, None), (1, low)])

    def pairs(most: int) -> tuple[tuple[int, int], ...]:
        return tuple((rng.randrange(n), rng.randrange(n)) for _ in range(rng.randint(1, most)))

    return Constraints(
        groups=per_level(span) if rng.random() < 0.5 else (),
        min_size=per_level(lambda: rng.randint(1, 3)) if rng.random() < 0.4 else (),
        max_size=per_level(lambda: rng.choice([None, *range(1, n + 1)])) if rng.random() < 0.4 else (),
        must_link=pairs(2) if rng.random() < 0.4 else (),
        cannot_link=tuple((a, b) for a, b in pairs(4) if a != b) if rng.random() < 0.4 else (),
        tree=random_tree(rng, n) if rng.random() < 0.4 else None,
    )
