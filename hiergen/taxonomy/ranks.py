"""Groups by hand that are a nesting already: ranks over all classes, taken as they are.

A table of class, order and family has a group of each rank above every class; COCO's supercategories are one rank. With
as many ranks as the network has levels of groups they are its nesting; of more, the outermost are kept that leave no
group with too many children. Nothing is joined, and a group of one class keeps its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from math import log2

from hiergen.taxonomy.nesting import Group, Level
from hiergen.taxonomy.tree import ROOT, Tree, ancestors, info, parent, provenance

_Path = tuple[str, ...]


def ranked_levels(tree: Tree, levels: int, max_children: int) -> tuple[Level, ...] | None:
    """The levels of groups of a nesting with so many levels; None where the groups of `tree`, root → groups → classes
    with nothing contracted, are no ranks over all classes, or too few."""
    paths = _paths(tree)
    if paths is None or len(paths[0]) < levels - 1 or levels < 2:
        return None
    ranks = _kept_ranks(paths, levels, max_children)
    done: list[Level] = []
    place: dict[_Path, int] = {(): 0}
    for j in range(1, levels):
        members: dict[_Path, list[int]] = {}
        for index, path in enumerate(paths):
            members.setdefault(tuple(path[r] for r in ranks[:j]), []).append(index)
        order = sorted(members, key=lambda key: (place[key[:-1]], members[key]))
        groups = tuple(_group(tree, key, place[key[:-1]], tuple(members[key])) for key in order)
        if len({group.name for group in groups}) < len(groups):  # a class beside the groups is called like one
            return None
        done.append(Level(groups))
        place = {key: i for i, key in enumerate(order)}
    return tuple(done)


def _paths(tree: Tree) -> list[_Path] | None:
    """Of each class the groups above it, outermost first, all equally many. A class beside the groups, or alone in one
    that others of its rank divide, is a group itself."""
    order = tree.graph["order"]
    keys = sorted(order, key=order.__getitem__)
    if any(key not in tree for key in keys):
        return None
    paths = [tuple(ancestors(tree, parent(tree, key) or ROOT))[-2::-1] for key in keys]
    depth = max(map(len, paths))
    crowds = Counter(path for path in paths if len(path) < depth)
    loose = crowds.pop((), 0)
    if not depth or loose > len(set(paths)) or any(_is_crowd(tree, path[-1]) for path in crowds):
        return None
    return [path + (key,) * (depth - len(path)) for path, key in zip(paths, keys, strict=True)]


def _is_crowd(tree: Tree, group: str) -> bool:
    """Whether several classes stand directly in a group, and no group beside them: one rank is missing there."""
    children = list(tree.succ[group])
    return len(children) > 1 and all(info(tree, child).kind == "class" for child in children)


def _kept_ranks(paths: Sequence[_Path], levels: int, max_children: int) -> tuple[int, ...]:
    def excess(chosen: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        branches = [{tuple(path[r] for r in chosen[: j + 1]) for path in paths} for j in range(len(chosen))]
        children = [Counter(key[:-1] for key in level) for level in branches]
        children.append(Counter(tuple(path[r] for r in chosen) for path in paths))
        counts = (count for level in children for count in level.values())
        return sum(log2(max(count / max_children, 1)) * count for count in counts), chosen

    return min(combinations(range(len(paths[0])), levels - 1), key=excess)


def _group(tree: Tree, key: _Path, above: int, members: tuple[int, ...]) -> Group:
    node = info(tree, key[-1])
    if node.kind == "class":
        return Group(node.name, above, members, "pass", "path too short")
    return Group(node.name, above, members, "node", str(provenance(tree, key[-1]) or "root"))
