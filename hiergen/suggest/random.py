"""Nestings that mean nothing, to compare with: drawn at random, or made to hold a bit of everything."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hiergen.partitions.grouping import Grouping, make_grouping
from hiergen.suggest.shape import Shape


def random_grouping(shape: Shape, classes: Sequence[str], labels: Sequence[str], seed: int) -> Grouping:
    """Uniformly at random among all nestings of the shape and its bounds; exact, by counting.

    Groups of classes are drawn first, then groups of groups: each of them can be grouped on in as many ways, so the
    whole is uniform. Raises SpecError where the shape does not fit.
    """
    from hiergen.partitions.constraints import Constraints
    from hiergen.partitions.sample import sample_nesting

    n = len(classes)
    shape.checked(n)
    levels: list[list[int]] = []
    for j, (members, count, low, high) in reversed(list(enumerate(shape.bounds(n)))):
        limits = Constraints(groups=((count, count),), min_size=(low,), max_size=(high,))
        (drawn,) = sample_nesting(members, 2, limits, Random(f"{seed} {j}").getrandbits(63))
        levels.append([drawn[group] for group in levels[-1]] if levels else list(drawn))
    return make_grouping("random", classes, levels[::-1], labels=labels)


def dissimilar_grouping(coherent: Grouping) -> Grouping:
    """The control of Study 3: a coherent nesting's classes, in tree order, dealt out over groups of the same sizes.

    A group of s classes takes every (n/s)-th; neighbours go to different groups, and as far as can be to different
    groups of all levels.
    """
    if not coherent.levels:
        return coherent
    finest = coherent.levels[-1]
    chains = [tuple(level.of[group[0]] for level in coherent.levels) for group in finest.members()]
    sizes = finest.sizes()
    order = _spread(chains)
    slots = sorted(
        ((2 * t + 1) / (2 * sizes[group]), rank, group) for rank, group in enumerate(order) for t in range(sizes[group])
    )
    in_tree = sorted(range(len(finest.of)), key=lambda i: (*(level.of[i] for level in coherent.levels), i))
    of = [0] * len(in_tree)
    for (_, _, group), i in zip(slots, in_tree, strict=True):
        of[i] = group
    levels = [[chains[group][j] for group in of] for j in range(len(coherent.levels))]
    return make_grouping("dissimilar", coherent.classes, levels, labels=coherent.labels)


def _spread(chains: Sequence[tuple[int, ...]]) -> list[int]:
    """All finest groups, in an order in which those of one coarse group stand far from each other."""

    def dealt(groups: list[int], j: int) -> list[int]:
        if j == len(chains[0]):
            return groups
        below: dict[int, list[int]] = {}
        for group in groups:
            below.setdefault(chains[group][j], []).append(group)
        stacks = [dealt(stack, j + 1) for stack in below.values()]
        ranked = [
            ((t + 0.5) / len(stack), number, group)
            for number, stack in enumerate(stacks)
            for t, group in enumerate(stack)
        ]
        return [group for _, _, group in sorted(ranked)]

    return dealt(list(range(len(chains))), 0)
