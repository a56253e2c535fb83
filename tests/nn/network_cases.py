"""Small levels and generated-looking networks for the tests of this folder."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

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
from hiergen.nn.lowering import Lowering

M = TypeVar("M", bound=nn.Module)
RAGGED = [2, 0, 2, 2, 3]  # unsorted; parent 1 has no child
TREES = {"shared": None, "sorted": [0, 0, 1, 1, 1, 3], "unsorted": RAGGED, "single": [1]}
STAGES = {
    "bottlenecks": [Bottlenecks(6, 4, 10, depth=2, stride=2), Bottlenecks(10, 3, 8)],
    "bottleneck-identity": [Bottlenecks(6, 4, 6, depth=2)],
    "convnexts": [ConvNeXts(6, 12, 8, depth=2, stride=2), ConvNeXts(8, 9, 8)],
    "convnext-identity": [ConvNeXts(6, 12, 6, depth=1)],
    "convnextv2": [ConvNeXts(6, 12, 8, grn=True), ConvNeXts(8, 9, 8, stride=2, grn=True)],
    "mbconvs": [
        InvertedResiduals(6, 12, 8, depth=2, stride=2),
        InvertedResiduals(8, 9, 7, kernel=5, act="silu"),
    ],
    "mbconv-identity": [InvertedResiduals(6, 12, 6, act="silu")],
    "mbconv-tf": [InvertedResiduals(6, 9, 8, stride=2, kernel=5, tf=True), InvertedResiduals(8, 6, 8, tf=True)],
    "mixed": [Bottlenecks(6, 4, 8, stride=2), ConvNeXts(8, 12, 8)],
}
LOWERINGS: dict[str, Lowering | str] = {
    "loop": Lowering("loop"),
    "matmul/1": Lowering("matmul", 1),
    "matmul/2": Lowering("matmul", 2),
    "matmul/3": Lowering("matmul", 3),
    "matmul/all": Lowering("matmul"),
    "grouped/2": Lowering("grouped", 2),
    "grouped/all": Lowering("grouped"),
    "auto": "auto",
}


def randomized(module: M) -> M:
    """Every parameter and statistic at a value that matters: zero gammas would hide half the network."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point():
                tensor.normal_(0.3 if tensor.ndim == 2 else 0.0, 0.5)
    return module


def branch(siblings: Siblings, index: int) -> Siblings:
    """Branch `index` alone, reading a map of its own."""
    alone = Siblings(1, siblings.recipes).to(next(siblings.parameters()).dtype)
    alone.load_state_dict({name: tensor[index : index + 1] for name, tensor in siblings.state_dict().items()})
    return alone.train(siblings.training)


class Tiny(HierarchicalNetwork):
    """Two superclasses of superclasses, three superclasses, five classes; ragged, as generated code is written."""

    taxonomy = {  # noqa: RUF012
        "animal": {"cat": {"c0": "tabby", "c2": "siamese"}, "dog": {"c1": "pug"}},
        "thing": {"car": {"c3": "cab", "c4": "van"}},
    }
    classes = ("c0", "c1", "c2", "c3", "c4")
    input_size = (3, 64, 64)
    paths = ((0, 0, 0), (0, 1, 2), (0, 0, 1), (1, 2, 3), (1, 2, 4))  # branch of each level, by class

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nesting.from_tree(self.taxonomy, self.classes)
        self.trunk = Trunk("resnet18", until="layer1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(2, [Bottlenecks(64, 8, 16, stride=2)])
        self.level2 = Siblings(3, [Bottlenecks(16, 8, 12, stride=2), ConvNeXts(12, 24, 12)], parents=nest.parents(2))
        self.level3 = Siblings(5, [ConvNeXts(12, 24, 10, stride=2, grn=True)], parents=nest.parents(3))
        self.head = ClassHeads(5, 10, parents=nest.heads)


class Unsorted(Tiny):
    """The same tree, its branches in the classes' order: siblings lie apart."""

    paths = ((0, 0, 0), (0, 1, 1), (0, 0, 2), (1, 2, 3), (1, 2, 4))

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__(pretrained)
        self.level3 = Siblings(5, self.level3.recipes, parents=[0, 1, 0, 2, 2])
        self.head = ClassHeads(5, 10)


class OneBranch(Tiny):
    """The paper's control: one branch for all classes."""

    taxonomy = {"c0": "tabby", "c1": "pug", "c2": "siamese", "c3": "cab", "c4": "van"}  # noqa: RUF012
    paths = ((0,),) * 5

    def __init__(self, pretrained: bool = False) -> None:
        HierarchicalNetwork.__init__(self)
        self.trunk = Trunk("resnet18", until="layer1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(1, [Bottlenecks(64, 8, 16, stride=2, depth=2)])
        self.head = ClassHeads(5, 16, parents=[0] * 5)


class PHL(OneBranch):
    """One split-point: a branch for each class right after the trunk."""

    paths = ((0,), (1,), (2,), (3,), (4,))

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__(pretrained)
        self.level1 = Siblings(5, [Bottlenecks(64, 8, 16, stride=2), ConvNeXts(16, 8, 16, grn=True)])
        self.head = ClassHeads(5, 16)


def lively(network: M) -> M:
    """In eval mode, and no zero gammas: every path must matter."""
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim <= 2:
                p.normal_(0.5, 0.3)
    return network.eval()


class TinyViT(HierarchicalNetwork):
    """One split-point (PHL) after a transformer."""

    taxonomy = {"c0": "tabby", "c1": "pug"}  # noqa: RUF012
    classes = ("c0", "c1")
    input_size = (3, 64, 64)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("vit_tiny_patch16_224", until="blocks.1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(2, [Bottlenecks(192, 8, 16)])
        self.head = ClassHeads(2, 16)
