"""Evidence, and the nesting that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hiergen.nestings.suggest.evidence import Evidence, Floats
from hiergen.nestings.suggest.kinds import Progress
from hiergen.nestings.suggest.naming import name_groups, number_groups
from hiergen.nestings.suggest.request import SuggestRequest
from hiergen.nestings.suggest.shape import Shape
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting

MARGIN = 0.1  # of the spread: a class is ambiguous unless its own group is so much more like it than any other
MARGIN_NOTE = (
    f"'# ?' marks a class whose mean similarity to its group is not above that to another by {MARGIN:g} of the "
    "similarities' standard deviation."
)


class Detail(Protocol):
    """What else there is to say about a nesting."""

    def as_data(self) -> dict[str, Any]:
        """One key, for --json."""


@dataclass(frozen=True)
class Proposal:
    """A nesting, named; class index → what to look at; sentences for the head of the file; `detail` of a search or of a
    model's answers."""

    nesting: Nesting
    marks: dict[int, str]
    notes: tuple[str, ...]
    detail: Detail | None = None


def propose(
    taxonomy: Taxonomy, shape: Shape, request: SuggestRequest, current: Nesting, progress: Progress | None = None
) -> Proposal:
    """The nesting of this shape by `request.by`; `current`, the file's, is what `dissimilar` deals out where it has the
    shape."""
    ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
    if request.by == "random":
        drawn = number_groups(taxonomy, random_nesting(shape, ids, labels, request.seed))
        note = f"Drawn uniformly at random among the nestings with so many groups, with seed {request.seed}."
        return Proposal(drawn, {}, (note,))
    if request.by == "dissimilar":
        fits = current.counts == shape.counts and shape.misfit(current) is None
        base = current if fits else agglomerate(request.gather(taxonomy, "wordnet"), shape, ids, labels)
        mixed = number_groups(taxonomy, dissimilar_nesting(base.in_class_order(ids)))
        of = current.name.rpartition(":")[2] if fits else "the nesting by WordNet"
        return Proposal(mixed, {}, (f"A control: the classes of {of}, dealt out so that every group is mixed.",))
    return from_evidence(taxonomy, shape, request.gather(taxonomy, progress=progress))


def from_evidence(taxonomy: Taxonomy, shape: Shape, evidence: Evidence) -> Proposal:
    """The nesting by one evidence, with names and marks."""
    ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
    nesting = name_groups(taxonomy, agglomerate(evidence, shape, ids, labels), evidence)
    marks = mark_doubts(evidence, nesting)
    return Proposal(nesting, marks, (*evidence.notes, *([MARGIN_NOTE] if marks else [])))


def mark_doubts(evidence: Evidence, nesting: Nesting) -> dict[int, str]:
    """Class → the group where it could as well be, with both mean similarities."""
    names = nesting.levels[-1].names if nesting.levels else ()
    digits = 3 if evidence.spread > 0.02 else 5
    return {
        d.index: f"or {names[d.other]} ({d.other_similarity:.{digits}f}, here {d.home_similarity:.{digits}f})"
        for d in ambiguous(evidence, nesting)
    }


def random_nesting(shape: Shape, classes: Sequence[str], labels: Sequence[str], seed: int) -> Nesting:
    """Uniformly at random among all nestings of the shape and its bounds; exact, by counting.

    Groups of classes are drawn first, then groups of groups: each of them can be grouped on in as many ways, so the
    whole is uniform. Raises SpecError where the shape does not fit.
    """
    from hiergen.nestings.count.constraints import Constraints
    from hiergen.nestings.count.sample import sample_nesting

    n = len(classes)
    shape.checked(n)
    levels: list[list[int]] = []
    for j, (members, count, low, high) in reversed(list(enumerate(shape.bounds(n)))):
        limits = Constraints(groups=((count, count),), min_size=(low,), max_size=(high,))
        (drawn,) = sample_nesting(members, 2, limits, Random(f"{seed} {j}").getrandbits(63))
        levels.append([drawn[group] for group in levels[-1]] if levels else list(drawn))
    return Nesting.from_levels(classes, levels[::-1], labels=labels, name="random")


def dissimilar_nesting(coherent: Nesting) -> Nesting:
    """The control of Study 3: a coherent nesting's classes, in tree order, dealt out over groups of the same sizes.

    A group of s classes takes every (n/s)-th; neighbours go to different groups, and as far as can be to different
    groups of all levels.
    """
    if not coherent.levels:
        return coherent
    finest = coherent.levels[-1]
    chains = [tuple(level.of[group[0]] for level in coherent.levels) for group in finest.members]
    sizes = finest.sizes
    order = _spread(chains)
    slots = sorted(
        ((2 * t + 1) / (2 * sizes[group]), rank, group) for rank, group in enumerate(order) for t in range(sizes[group])
    )
    in_tree = sorted(range(len(finest.of)), key=lambda i: (*(level.of[i] for level in coherent.levels), i))
    of = [0] * len(in_tree)
    for (_, _, group), i in zip(slots, in_tree, strict=True):
        of[i] = group
    levels = [[chains[group][j] for group in of] for j in range(len(coherent.levels))]
    return Nesting.from_levels(coherent.classes, levels, labels=coherent.labels, name="dissimilar")


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


def agglomerate(evidence: Evidence, shape: Shape, classes: Sequence[str], labels: Sequence[str]) -> Nesting:
    """The nesting of this shape by the evidence's similarity. Raises SpecError where the shape does not fit the number
    of classes."""
    from hiergen.nestings.search.objectives import SeparabilityObjective
    from hiergen.nestings.search.optimise import climb, polish
    from hiergen.nestings.search.space import Space

    n = len(classes)
    shape.checked(n)
    objective = SeparabilityObjective(evidence.similarity, evidence.name)
    varies = bool(objective.distances.any())
    levels: list[list[int]] = []
    items = np.arange(n)  # class → item of the level below
    for j, (_, count, low, high) in reversed(list(enumerate(shape.bounds(n)))):
        items = cut_dendrogram(*_between(objective.distances, items), count, low, high)[items]
        levels.insert(0, items.tolist())
        if varies:
            space = Space(n, Shape(shape.counts[j:], shape.min_size, shape.largest(n)))
            levels = climb(space, objective, levels).labels
            items = np.array(levels[0])
    if varies and levels:
        levels = polish(Space(n, shape), objective, levels)
    return Nesting.from_levels(classes, levels, labels=labels, name=evidence.name)


def cut_dendrogram(distance: Floats, weight: Floats, count: int, low: int, high: int) -> NDArray[np.int64]:
    """The group of each of N items: `count` groups of `low` to `high` items, each a run of the leaves of Ward's
    dendrogram, with the least scatter within.

    `distance` `(N, N)`: mean squared distance of the classes of two items (on the diagonal within one), `weight`
    `(N,)`: their classes.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    total = len(distance)
    order = np.arange(total)
    if total > 1:
        apart = np.sqrt(np.maximum(distance, 0.0))
        np.fill_diagonal(apart, 0.0)
        order = leaves_list(linkage(squareform(apart, checks=False), "ward", optimal_ordering=True))
    sums = np.zeros((total + 1, total + 1))
    sums[1:, 1:] = (distance * np.outer(weight, weight))[np.ix_(order, order)].cumsum(0).cumsum(1)
    ends = np.concatenate([[0.0], weight[order].cumsum()])
    best = np.full(total + 1, np.inf)  # scatter of the first leaves, in so many groups as are placed
    best[0] = 0.0
    sizes: list[NDArray[np.int64]] = []
    for _ in range(count):
        values = np.full((high - low + 1, total + 1), np.inf)
        for row, size in enumerate(range(low, high + 1)):
            a, b = np.arange(total + 1 - size), np.arange(size, total + 1)
            values[row, size:] = best[a] + (sums[b, b] - 2 * sums[a, b] + sums[a, a]) / (ends[b] - ends[a])
        sizes.append(values.argmin(0) + low)
        best = values.min(0)
    of, end = np.zeros(total, dtype=np.int64), total
    for group in range(count - 1, -1, -1):
        size = int(sizes[group][end])
        of[order[end - size : end]] = group
        end -= size
    return of


def _between(distances: Floats, items: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean squared distance of the classes of each two items, and the items' classes."""
    member = np.eye(int(items.max()) + 1)[items]
    weight = member.sum(0)
    return (member.T @ distances @ member) / np.outer(weight, weight), weight


@dataclass(frozen=True)
class Doubt:
    """A class whose own group is hardly more like it than another one of the same level: mean similarities."""

    index: int
    other: int
    home_similarity: float
    other_similarity: float


def ambiguous(evidence: Evidence, nesting: Nesting) -> list[Doubt]:
    """The classes whose mean similarity to the rest of their finest group is not above that to some other group by
    `MARGIN` of the spread of all similarities; each with its best other group. In the order of the classes."""
    if not nesting.levels:
        return []
    level = nesting.levels[-1]
    of, sizes = np.array(level.of), np.asarray(level.sizes, dtype=np.float64)
    member = np.eye(len(sizes))[of]
    similarity = evidence.similarity.copy()
    np.fill_diagonal(similarity, 0)
    sums = similarity @ member
    counts = sizes[None, :] - member
    means = np.divide(sums, counts, out=np.full_like(sums, -np.inf), where=counts > 0)
    doubts = []
    for i, home in enumerate(of):
        others = means[i].copy()
        others[home] = -np.inf
        best = int(np.argmax(others))
        if len(sizes) > 1 and not means[i, home] > others[best] + MARGIN * evidence.spread:
            doubts.append(Doubt(i, best, float(means[i, home]), float(others[best])))
    return doubts
