"""No nesting that can be drawn is better than the one that is found: the objective of docs/nesting.md, term by term."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from hiergen.taxonomy.relevel import OTHER, Cut, solve
from hiergen.taxonomy.spec import NestingOptions as Options
from tests.fuzz.profiles import examples
from tests.fuzz.trees import Shape, classes_of, depth_of, options, shapes, tree_of

N = 8  # so that no group has more children than are considered


@dataclass
class Place:
    """A node of the completed tree. `wide`: the classes below the node that its looseness is that of."""

    parts: list[Place | int]
    wide: int = 0

    def __post_init__(self) -> None:
        self.wide = self.wide or self.size

    @property
    def size(self) -> int:
        return sum(1 if isinstance(part, int) else part.size for part in self.parts)

    @property
    def first(self) -> int:
        return min(part if isinstance(part, int) else part.first for part in self.parts)


@dataclass
class Group:
    """A group of a nesting, as drawn here or as found."""

    wide: int
    below: list[Group] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.classes) + sum(group.size for group in self.below)

    def walk(self, level: int = 0) -> Iterator[tuple[int, Group]]:
        yield level, self
        for group in self.below:
            yield from group.walk(level + 1)


def place(shape: Shape) -> Place:
    return Place([part if isinstance(part, int) else place(part) for part in shape])


def complete(node: Place, wide: int = 0) -> Place:
    """Classes beside groups go into one *other* node, which is as loose as the node that it was made in."""
    loose = [part for part in node.parts if isinstance(part, int)]
    groups = sorted((part for part in node.parts if not isinstance(part, int)), key=lambda g: (g.size, g.first))
    parts: list[Place | int] = list(node.parts)
    other: list[Place | int] = list(loose)
    if loose and groups:
        if len(loose) == 1 and len(groups) > 1:
            other.append(groups.pop(0))
        elif len(loose) == 1:
            inner = sorted(groups[0].parts, key=lambda p: (1, p) if isinstance(p, int) else (p.size, p.first))
            if len(inner) > 2 and not isinstance(inner[-1], int):
                other.append(inner[0])
                groups[0] = Place(inner[1:])
        if len(other) > 1:
            parts = list(groups)
    wide = wide or sum(1 if isinstance(part, int) else part.size for part in node.parts)
    done: list[Place | int] = [part if isinstance(part, int) else complete(part) for part in parts]
    if loose and groups and len(other) > 1:
        gathered = complete(Place(other), wide)
        done.append(Place(gathered.parts, wide))
    return Place(done, wide)


def drawn(draw: st.DrawFn, node: Place | int, below: int) -> list[Group]:
    """Some way of cutting a node into groups with `below` levels under them."""
    if isinstance(node, int):
        alone = Group(1, classes=[node])
        for _ in range(below - 1):
            alone = Group(1, [alone])
        return [alone]
    if draw(st.booleans()):
        return [whole(draw, node, below)]
    return split(draw, node, below)


def whole(draw: st.DrawFn, node: Place, below: int) -> Group:
    if below == 1:
        return Group(node.wide, classes=flat(node))
    return Group(node.wide, drawn(draw, node, below - 1))


def split(draw: st.DrawFn, node: Place, below: int) -> list[Group]:
    resting = draw(st.lists(st.booleans(), min_size=len(node.parts), max_size=len(node.parts)))
    if all(resting):
        resting[0] = False
    found = [
        group
        for part, rests in zip(node.parts, resting, strict=True)
        if not rests
        for group in drawn(draw, part, below)
    ]
    gathered = [part for part, rests in zip(node.parts, resting, strict=True) if rests]
    if gathered and below == 1:
        found.append(Group(node.wide, classes=[c for part in gathered for c in flat(part)]))
    elif gathered:
        found.append(Group(node.wide, [group for part in gathered for group in drawn(draw, part, below - 1)]))
    return found


def flat(part: Place | int) -> list[int]:
    return [part] if isinstance(part, int) else [c for inner in part.parts for c in flat(inner)]


def objective(root: Group, k: int, chosen: Options) -> tuple[float, float]:
    """(classes in groups with a single child, the rest of the sum): the first counts more than anything, unless it has
    a price."""
    n = root.size
    single = total = 0.0
    for level, group in root.walk():
        s, c = group.size, len(group.below or group.classes)
        if c == 1:
            single += s
        else:
            miss = max(c / chosen.max_children, chosen.min_children / c, 1)
            total += chosen.balance * c / n ** ((level + 1) / k) * math.log2(miss) ** 2
        if level:
            total += chosen.closeness * s / n * math.log(group.wide) / math.log(n)
    if chosen.single_child is None:
        return single, total
    return 0.0, total + chosen.single_child * single / n


def found(cut: Cut, sizes: dict[str, int]) -> Group:
    key = cut.node
    while key.endswith(OTHER):
        key = key.removesuffix(OTHER)
    wide = sizes.get(key, 1)
    order = [int(c.removeprefix("class:c")) for c in cut.classes]
    return Group(wide, [found(child, sizes) for child in cut.children], order)


def sizes_of(shape: Shape) -> dict[str, int]:
    """Key of a group in `tree_of` → its classes in the completed tree, found through the classes that it holds."""
    from hiergen.taxonomy.relevel import complete as completed
    from hiergen.taxonomy.tree import leaves

    tree = completed(tree_of(shape))
    return {key: len(leaves(tree, key)) for key in tree}


@examples(100, 0.12)
@given(st.data())
def test_no_drawn_nesting_is_better_than_the_found_one(data: st.DataObject) -> None:
    shape = data.draw(shapes(most=N))
    k = data.draw(st.integers(1, min(depth_of(shape), 4)))
    chosen = data.draw(options())
    best = objective(found(solve(tree_of(shape), k, chosen), sizes_of(shape)), k, chosen)
    root = complete(place(shape))
    assert classes_of(shape) == set(flat(root))
    for _ in range(4):
        groups = split(data.draw, root, k - 1) if k > 1 else []
        other = objective(Group(root.size, groups, [] if groups else flat(root)), k, chosen)
        assert best[0] < other[0] + 1e-9
        assert best[0] < other[0] - 1e-9 or best[1] <= other[1] + 1e-9
