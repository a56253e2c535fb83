"""The class tree as tensors: what hierarchical losses, decisions and metrics measure by.

Nodes are numbered: the classes first, 0 … C-1, in the order of the logits; then the groups, lower ones first; the root
last. Nothing here loops over pairs of classes or holds a C × C matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, listed, nearest
from hiergen.nn.network import HierarchicalNetwork
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.tree import bottom_up, info, parent

_BLOCK = 1 << 24  # elements of a block of rows


@dataclass(frozen=True)
class TreeLevel:
    """The groups of one level. `of_class` `(C,)`: group of every class; `paths`: names from level 1 down."""

    names: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    of_class: Tensor


class Hierarchy:
    """A rooted tree over C classes; each class is a leaf, at any depth. Build it by one of the `of…` methods.

    `parents`, `heights`, `depths` `(nodes,)`: parent (the root's is itself), longest path down to a leaf, and edges
    from the root. `paths` `(C, deepest)`: the nodes on a class's path, without the root and ending in the class itself,
    then -1. `classes` are ids, `labels` display names.

    >>> tree = Hierarchy.of(Nesting.from_levels(["tabby", "pug", "siamese"], [[0, 1, 0]]))
    >>> tree.lca_height(torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2])).tolist()
    [0, 2, 1]
    """

    def __init__(
        self,
        parents: Sequence[int],
        names: Sequence[str],
        leaves: Sequence[int],
        classes: Sequence[str],
        labels: Sequence[str],
        *,
        heights: Sequence[int] | None = None,
    ) -> None:
        """Nodes with every parent before its children; the root is the first. `leaves`: the node of each class."""
        count = len(parents)
        assert all(0 <= parents[i] < i for i in range(1, count))
        children = [0] * count
        up = [0] * count
        for i in range(count - 1, 0, -1):
            children[parents[i]] += 1
            up[parents[i]] = max(up[parents[i]], up[i] + 1)
        by_node = up if heights is None else list(heights)
        assert sorted(leaves) == [i for i in range(count) if not children[i]], "a class that is no leaf, or the reverse"
        groups = [i for i in range(count) if children[i]]
        groups.sort(key=lambda i: (by_node[i], (children[i] - 1).bit_length(), i))
        order = [*leaves, *groups]
        place = {node: i for i, node in enumerate(order)}
        self.classes, self.labels = tuple(classes), tuple(labels)
        self.names = tuple(names[i] for i in order)
        self.parents = torch.tensor([place[max(parents[i], 0)] for i in order])
        self.heights = torch.tensor([by_node[i] for i in order])
        self._given = order  # the order in which the nodes came: that of a level's groups
        self.depths, self.paths = self._walk()

    @classmethod
    def of(cls, network: HierarchicalNetwork | Nesting) -> Hierarchy:
        """A network's own nesting, or a cutout's; every class is at depth k."""
        nesting = network if isinstance(network, Nesting) else network.nesting
        parents, names, above = [-1], ["root"], 0
        for j in range(1, nesting.depth + 1):
            start = len(parents)
            parents += [above + branch for branch in nesting.parents(j)]
            names += nesting.names(j)
            above = start
        leaves = [above + head for head in nesting.heads]
        return cls(parents, names, leaves, [names[leaf] for leaf in leaves], nesting.labels)

    @classmethod
    def of_taxonomy(cls, path: str | Path, classes: Sequence[str] | None = None) -> Hierarchy:
        """The merged tree of a taxonomy file, before any nesting: one tree by which all its models can be measured.

        `classes` (ids, in the order of the logits; default: the file's): it may leave classes out, the heights stay
        those of the whole tree. Raises HiergenError as `load_taxonomy` does, and for classes that the file lacks.
        """
        taxonomy = load_taxonomy(path)
        tree = taxonomy.tree
        keys = bottom_up(tree)[::-1]
        place = {key: i for i, key in enumerate(keys)}
        parents = [-1 if (above := parent(tree, key)) is None else place[above] for key in keys]
        order: dict[str, int] = tree.graph["order"]
        leaves = [place[key] for key in sorted(order, key=order.__getitem__)]
        ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
        names = [info(tree, key).id if key in order else info(tree, key).name for key in keys]
        chosen = _positions(ids if classes is None else classes, ids, str(path))
        return cls(parents, names, leaves, ids, labels).restricted(chosen)

    def restricted(self, classes: Sequence[int]) -> Hierarchy:
        """The same tree with these classes only (indices; their order is the new one) and the groups above them.

        Heights stay those of this tree, so that figures on some classes compare with figures on all.
        Raises HiergenError for no class, one that is not there, or one twice.
        """
        chosen = checked(classes, len(self.classes))
        if chosen == list(range(len(self.classes))):
            return self
        kept = {int(node) for node in self.paths[chosen].flatten() if node >= 0} | {self.root}
        nodes = sorted(kept, key=self._given.__getitem__)
        place = {node: i for i, node in enumerate(nodes)}
        above = self.parents.tolist()
        heights = self.heights.tolist()
        return Hierarchy(
            [-1, *(place[above[node]] for node in nodes[1:])],
            [self.names[node] for node in nodes],
            [place[c] for c in chosen],
            [self.classes[c] for c in chosen],
            [self.labels[c] for c in chosen],
            heights=[heights[node] for node in nodes],
        )

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def root(self) -> int:
        return len(self.names) - 1

    @cached_property
    def height(self) -> int:
        """Height of the lowest node over all classes: the largest LCA height of two of them."""
        shared = int(((self.paths == self.paths[0]) & (self.paths >= 0)).all(0).sum())
        return int(self._path_heights[0, shared])

    @cached_property
    def levels(self) -> tuple[TreeLevel, ...]:
        """Levels 1 … k, the last one the classes in the order of the logits; () where depths are unequal."""
        depth = self.paths.shape[1]
        if (self.paths < 0).any():
            return ()
        levels = []
        for j in range(depth - 1):
            nodes = sorted(set(self.paths[:, j].tolist()), key=self._given.__getitem__)
            place = torch.zeros(len(self.names), dtype=torch.long)
            place[nodes] = torch.arange(len(nodes))
            levels.append(self._level(nodes, place[self.paths[:, j]]))
        count = len(self.classes)
        return (*levels, self._level(list(range(count)), torch.arange(count)))

    @property
    def groups(self) -> Tensor:
        """`(k, C)`: group of every class on each level, an index into the level's names; `(0, C)` if there is none."""
        rows = [level.of_class for level in self.levels]
        return torch.stack(rows) if rows else torch.empty(0, len(self), dtype=torch.long)

    def lca_height(self, a: Tensor, b: Tensor) -> Tensor:
        """Height of the lowest common ancestor of classes a and b (indices; the shapes broadcast). 0 where equal.

        Source: Bertinetto et al., "Making Better Mistakes", arXiv 1912.09393, section 2.
        """
        shared = self.shared(a, b)
        return self._path_heights[a.broadcast_to(shared.shape), shared]

    def shared(self, a: Tensor, b: Tensor) -> Tensor:
        """Depth of the lowest common ancestor of classes a and b: the nodes, without the root, that both lie in."""
        shared = torch.zeros_like(a + b, dtype=torch.int16)
        for step in self._steps:
            shared += step[a] == step[b]
        return torch.minimum(shared, self._class_depths[a]).long()

    # inner

    def _walk(self) -> tuple[Tensor, Tensor]:
        """Depth of every node; path of every class."""
        depths = torch.zeros(len(self.names), dtype=torch.long)
        current = torch.arange(len(self.names))
        while (current != self.root).any():
            depths += current != self.root
            current = self.parents[current]
        count = len(self.classes)
        paths = torch.full((count, int(depths.max())), -1)
        current = torch.arange(count)
        while (rows := (current != self.root).nonzero()[:, 0]).numel():
            paths[rows, depths[current[rows]] - 1] = current[rows]
            current = self.parents[current]
        return depths, paths

    @cached_property
    def _steps(self) -> Tensor:
        """`paths` step by step, `(deepest, C)`; where a path is over stands a number that no other class has."""
        classes = -1 - torch.arange(len(self))
        return torch.where(self.paths < 0, classes[:, None], self.paths).T.int().contiguous()

    @cached_property
    def _class_depths(self) -> Tensor:
        return self.depths[: len(self)].to(torch.int16)

    @cached_property
    def _path_heights(self) -> Tensor:
        """`(C, 1 + deepest)`: heights of the nodes on each class's path, the root's first."""
        below = torch.where(self.paths < 0, 0, self.heights[self.paths])
        return torch.cat([self.heights[self.root].expand(len(self), 1), below], 1)

    def _level(self, nodes: Sequence[int], of_class: Tensor) -> TreeLevel:
        return TreeLevel(tuple(self.names[n] for n in nodes), tuple(self._names_to(n) for n in nodes), of_class)

    def _names_to(self, node: int) -> tuple[str, ...]:
        names: list[str] = []
        while node != self.root:
            names.append(self.names[node])
            node = int(self.parents[node])
        return tuple(reversed(names))


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows that bound the memory of a computation on each."""
    step = max(1, _BLOCK // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def checked(classes: Sequence[int], count: int) -> list[int]:
    """Indices of some of `count` classes as a list. Raises HiergenError for none, one not there, or one twice."""
    chosen = [int(c) for c in classes]
    if not chosen:
        raise HiergenError("no class is chosen", expected="at least one")
    if wrong := [c for c in chosen if not 0 <= c < count]:
        raise HiergenError(f"no class has the index {wrong[0]}", expected=f"0..{count - 1}")
    if len(set(chosen)) < len(chosen):
        twice = next(c for c in chosen if chosen.count(c) > 1)
        raise HiergenError(f"class {twice} is chosen twice")
    return chosen


def _positions(classes: Sequence[str], class_ids: Sequence[str], where: str) -> list[int]:
    """Index in `class_ids` of every class. Raises HiergenError for those that are not there."""
    place = {class_id: i for i, class_id in enumerate(class_ids)}
    if missing := [class_id for class_id in classes if class_id not in place]:
        raise HiergenError(
            f"{where} lacks {len(missing)} of the {len(classes)} classes: {listed(missing)}",
            nearest=nearest(missing[0], class_ids),
            hint="measure by a taxonomy that has all of them",
        )
    return [place[class_id] for class_id in classes]


class TreeFold(nn.Module):
    """From values of the classes `(B, C)` to values of all nodes `(B, nodes)`, numbered as in `Hierarchy`.

    Groups are done from the lowest to the highest, all of one height and of a similar number of children at once. Each
    reads its children's values padded to the widest, so there is no scattering: results do not depend on the order in
    which a GPU's threads run, and padding at most doubles the work.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        count, nodes = len(hierarchy), len(hierarchy.names)
        parents = hierarchy.parents[:-1]
        children = torch.argsort(parents, stable=True)  # by parent
        counts = torch.bincount(parents, minlength=nodes)
        first = counts.cumsum(0) - counts
        rounds: dict[tuple[int, int], list[int]] = {}
        for node in range(count, nodes):
            key = (int(hierarchy.heights[node]), (int(counts[node]) - 1).bit_length())
            rounds.setdefault(key, []).append(node)
        assert [node for groups in rounds.values() for node in groups] == list(range(count, nodes))
        heights = [height for height, _ in rounds]
        # members of the rounds of one height, the lowest first
        self._rounds = [[i for i, h in enumerate(heights) if h == height] for height in dict.fromkeys(heights)]
        for i, groups in enumerate(rounds.values()):
            width = int(counts[groups].max())
            slot = torch.arange(width)
            inside = slot < counts[groups, None]
            at = torch.where(inside, first[groups, None] + slot, 0)
            # column 0 is the padding
            self.register_buffer(f"members{i}", torch.where(inside, children[at] + 1, 0), persistent=False)

    def sum(self, values: Tensor) -> Tensor:
        """Σ of the classes below each node."""
        return self._fold(values, 0.0, torch.sum)

    def logsumexp(self, values: Tensor) -> Tensor:
        """ln Σ exp of the classes below each node; of log-probabilities, each node's log-probability."""
        return self._fold(values, -torch.inf, torch.logsumexp)

    def _fold(self, values: Tensor, padding: float, reduce: Callable[..., Tensor]) -> Tensor:
        batch = values.shape[0]
        nodes = torch.cat([values.new_full((1, batch), padding), values.T])  # a node's values side by side
        for rounds in self._rounds:
            folded = [nodes]
            for i in rounds:
                members = self.get_buffer(f"members{i}")
                below = nodes.index_select(0, members.flatten()).view(*members.shape, batch)
                folded.append(reduce(below, dim=1))
            nodes = torch.cat(folded)
        return nodes[1:].T
