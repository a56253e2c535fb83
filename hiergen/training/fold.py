"""Sums over all classes below each node of a tree, for a batch at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hiergen.training.hierarchy import Hierarchy


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
