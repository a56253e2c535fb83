"""Where each evidence would put each class and each group of a nesting, and what follows from choices between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hiergen.nestings.read import align
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.shape import Shape
from hiergen.taxonomy.nesting import Nesting

START = "start"  # the starting nesting, as a voter
_TIE = 1e-9  # of the largest similarity: sums in another order must not change a vote


@dataclass(frozen=True)
class Spot:
    """A class, or a group, whose place in the level above is disputed.

    `level`: of the places, an index of `nesting.levels`; `index`: the class (finest level), else the group of
    `levels[level + 1]`. `votes`: (who, group of `levels[level]`), the starting nesting first.
    """

    level: int
    index: int
    votes: tuple[tuple[str, int], ...]

    @property
    def home(self) -> int:
        """Its group in the starting nesting."""
        return self.votes[0][1]

    @property
    def candidates(self) -> tuple[int, ...]:
        """The groups that somebody proposes, ascending."""
        return tuple(sorted({group for _, group in self.votes}))

    @property
    def evident(self) -> int:
        """The evidence's own answer: most votes; of equals the one voted for first, so the starting nesting's."""
        counts = Counter(group for _, group in self.votes)
        return max(counts, key=counts.__getitem__)  # a Counter keeps the order in which it met them

    def voters(self, group: int) -> tuple[str, ...]:
        """Who proposes this group."""
        return tuple(who for who, voted in self.votes if voted == group)


def find_spots(nesting: Nesting, evidence: Sequence[Evidence], proposals: Sequence[Nesting] = ()) -> list[Spot]:
    """All disputed places, classes first, then group levels fine to coarse; each in ascending order.

    An evidence votes for the group with the highest mean similarity between its classes and the subject's, the subject
    itself left out (average linkage of one node), ties for the group where it is. `proposals`, nestings of the same
    classes, vote about classes: their finest groups count as those groups of `nesting` that they overlap most, one to
    one. A subject alone in its group is not disputed: without it the group would be gone. Raises ValueError for a
    similarity of another shape, TaxonomyError for a proposal over other classes.
    """
    spots: list[Spot] = []
    last = len(nesting.levels) - 1
    for j in range(last, -1, -1):
        above = np.array(nesting.levels[j].of)
        nodes = np.arange(len(nesting.classes)) if j == last else np.array(nesting.levels[j + 1].of)
        parents = nesting.above(j + 2)
        votes: list[list[tuple[str, int]]] = [[(START, home)] for home in parents]
        for part in evidence:
            for i, group in enumerate(_nearest(_checked(part, len(above)), nodes, above)):
                votes[i].append((part.name, group))
        if j == last:
            for proposal in proposals:
                matched = _matched(align([nesting, proposal])[1], above)
                for i, proposed in enumerate(matched):
                    if proposed is not None:
                        votes[i].append((short(proposal), proposed))
        children = Counter(parents)
        for i, home in enumerate(parents):
            spot = Spot(j, i, tuple(votes[i]))
            if len(spot.candidates) > 1 and children[home] > 1:
                spots.append(spot)
    return spots


def short(proposal: Nesting) -> str:
    """A nesting's name as a voter: of "some/where/pets.yaml:N3HL" the part that is the same on every machine."""
    return proposal.name.replace("\\", "/").rsplit("/", 1)[-1]


def _checked(evidence: Evidence, n: int) -> NDArray[np.float64]:
    if evidence.similarity.shape != (n, n):
        raise ValueError(f"similarity of {evidence.name}: expected ({n}, {n}), got {evidence.similarity.shape}")
    return evidence.similarity


def _nearest(similarity: NDArray[np.float64], nodes: NDArray[np.int64], above: NDArray[np.int64]) -> list[int]:
    """For each node (`nodes[c]` is that of class c) the group with the highest mean similarity."""
    inside, over = _one_hot(nodes), _one_hot(above)  # (n, m), (n, g)
    sums = inside.T @ similarity @ over  # (m, g)
    pairs = inside.sum(0)[:, None] * over.sum(0)[None, :]
    home = np.zeros(len(pairs), dtype=np.int64)
    home[nodes] = above
    rows = np.arange(len(pairs))
    sums[rows, home] -= np.einsum("cm,cd,dm->m", inside, similarity, inside, optimize=True)
    pairs[rows, home] -= inside.sum(0) ** 2
    means = np.divide(sums, pairs, out=np.full_like(sums, -np.inf), where=pairs > 0.5)
    good = means >= means.max(1, keepdims=True) - _TIE * float(np.abs(similarity).max(initial=0))
    return [int(home[i]) if good[i, home[i]] else int(np.argmax(good[i])) for i in rows]


def _one_hot(of: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.eye(int(of.max()) + 1)[of]


def _matched(proposal: Nesting, above: NDArray[np.int64]) -> list[int | None]:
    """The group of `above` that each class's group of the proposal stands for; None where it has no counterpart."""
    if not proposal.levels:
        return []
    of = proposal.levels[-1].of
    overlaps = Counter(zip(of, above.tolist(), strict=True))
    pairs: dict[int, int] = {}
    for theirs, ours in sorted(overlaps, key=lambda pair: (-overlaps[pair], pair)):
        if theirs not in pairs and ours not in pairs.values():
            pairs[theirs] = ours
    return [pairs.get(group) for group in of]


@dataclass(frozen=True)
class Rearranged:
    """`nesting` has the groups of the start under the same names; `of[j][c]` is that of class c at level j, in the
    start's numbers. `reverted`: indices of the spots whose choice would have made a group too small or too large, and
    which stay where they were."""

    nesting: Nesting
    of: tuple[tuple[int, ...], ...]
    reverted: tuple[int, ...]


def move_spots(
    start: Nesting, spots: Sequence[Spot], choices: Sequence[int], firm: Sequence[bool], shape: Shape
) -> Rearranged:
    """Move each spot to its chosen group, as far as `shape` allows.

    While a group has too few or too many members, the weakest move out of it, or into it, is taken back: not `firm`
    (answered) before firm, fewest votes first, of equals the last. A group of the start that is outside the bounds
    already may stay as large as it is. The start itself is allowed, so this ends.
    """
    if shape.counts != start.counts:
        raise ValueError(f"a shape of {shape.counts} groups for a nesting of {start.counts}")
    last = len(start.levels) - 1
    parents = [list(start.above(j + 2)) for j in range(last + 1)]
    allowed = []
    for j, (_, _, low, high) in enumerate(shape.bounds(len(start.classes))):
        sizes = Counter(parents[j])
        allowed.append({group: (min(low, size), max(high, size)) for group, size in sizes.items()})
    moved = {}
    for i, (spot, choice) in enumerate(zip(spots, choices, strict=True)):
        if choice != spot.home:
            parents[spot.level][spot.index] = choice
            moved[i] = choice
    reverted = []
    while (wrong := _first_wrong(parents, allowed)) is not None:
        j, group, few = wrong
        undone = min(
            (i for i in moved if spots[i].level == j and group == (spots[i].home if few else moved[i])),
            key=lambda i: (firm[i], len(spots[i].voters(moved[i])), -i),
        )
        spot = spots[undone]
        parents[j][spot.index] = spot.home
        del moved[undone]
        reverted.append(undone)
    of = [parents[last]]
    for j in range(last - 1, -1, -1):
        of.insert(0, [parents[j][group] for group in of[0]])
    names = [level.names for level in start.levels]
    nesting = Nesting.from_levels(start.classes, of, labels=start.labels, names=names, name=start.name)
    return Rearranged(nesting, tuple(map(tuple, of)), tuple(sorted(reverted)))


def _first_wrong(
    parents: Sequence[Sequence[int]], allowed: Sequence[dict[int, tuple[int, int]]]
) -> tuple[int, int, bool] | None:
    """(level, group, whether it has too few members rather than too many)."""
    for j, of in enumerate(parents):
        sizes = Counter(of)
        for group, (low, high) in allowed[j].items():
            if not low <= sizes[group] <= high:
                return j, group, sizes[group] < low
    return None
