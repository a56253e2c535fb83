"""A small network as generated code builds it: branches in the taxonomy's order, which is not that of the classes."""

from __future__ import annotations

import torch
from torch import nn

from hiergen.nn import Bottlenecks, ClassHeads, ConvNeXts, HierarchicalNetwork, Nesting, Siblings, Trunk


class Nested(HierarchicalNetwork):
    """2 → 3 → 5 branches with 3, 3 and 2 blocks."""

    taxonomy = {  # noqa: RUF012
        "animal": {"cat": {"c0": "tabby", "c2": "siamese"}, "dog": {"c1": "pug"}},
        "thing": {"car": {"c3": "cab", "c4": "van"}},
    }
    classes = ("c0", "c1", "c2", "c3", "c4")
    input_size = (3, 64, 64)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nesting.from_tree(self.taxonomy, self.classes)
        self.trunk = Trunk("resnet18", until="layer1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(2, [Bottlenecks(64, 8, 16, depth=3, stride=4)])
        self.level2 = Siblings(
            3, [Bottlenecks(16, 8, 12, depth=2, stride=2), ConvNeXts(12, 24, 12)], parents=nest.parents(2)
        )
        self.level3 = Siblings(5, [ConvNeXts(12, 24, 10, depth=2, grn=True)], parents=nest.parents(3))
        self.head = ClassHeads(5, 10, parents=nest.heads)


def lively(seed: int = 0) -> Nested:
    """In eval mode, with weights that let every block change the logits, and statistics that are not the initial."""
    torch.manual_seed(seed)
    network = Nested()
    for level in network.levels:
        for p in level.parameters():
            nn.init.normal_(p, 0, 0.3 if p.ndim > 2 else 0.5)
    nn.init.normal_(network.head.weight)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 64, 64))
        logits = network.eval()(torch.randn(8, 3, 64, 64))
        network.head.bias.copy_(-logits.mean(0))  # no class wins always
    return network
