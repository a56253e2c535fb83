"""A small network with groups, of any number of classes."""

from __future__ import annotations

import torch

from hiergen.nn import (
    Bottlenecks,
    ClassHeads,
    ConvNeXts,
    HierarchicalNetwork,
    InvertedResiduals,
    Nesting,
    Siblings,
    Trunk,
)


class Small(HierarchicalNetwork):
    """Groups of as many classes each, which take turns in the order of the logits; both blocks; 32 px."""

    input_size = (3, 32, 32)

    def __init__(self, groups: int = 2, each: int = 2, backbone: str = "resnet18", until: str = "layer1") -> None:
        super().__init__()
        count = groups * each
        self.classes = [f"c{i}" for i in range(count)]
        self.taxonomy = {f"g{i}": {f"c{j}": f"name {j}" for j in range(i, count, groups)} for i in range(groups)}
        nest = Nesting.from_tree(self.taxonomy, self.classes)
        self.trunk = Trunk(backbone, until=until, input_size=self.input_size)
        self.level1 = Siblings(groups, [Bottlenecks(self.trunk.out_channels, 8, 16, stride=2)])
        self.level2 = Siblings(count, [Bottlenecks(16, 4, 8), ConvNeXts(8, 8, 4, grn=True)], parents=nest.parents(2))
        self.head = ClassHeads(count, 4, parents=nest.heads)


class Mobile(Small):
    """The same with inverted residuals of both paddings and all activations."""

    def __init__(self) -> None:
        super().__init__()
        width = self.trunk.out_channels
        self.level1 = Siblings(2, [InvertedResiduals(width, 24, 16, stride=2, kernel=5, tf=True)])
        stages = [InvertedResiduals(16, 12, 16, act="silu"), InvertedResiduals(16, 12, 4, stride=2, act="relu")]
        self.level2 = Siblings(4, stages, parents=self.level2.parents)


def trained(network: HierarchicalNetwork) -> HierarchicalNetwork:
    """With norms that are not the identity, so that every layer matters; in eval mode."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim <= 2:
                p.copy_(0.5 + 0.3 * torch.randn(p.shape, generator=generator))
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return network.eval()
