"""A small generated-looking network for the tests of this folder."""

from __future__ import annotations

from hiergen.nn import Bottlenecks, ClassHeads, ConvNeXts, HierarchicalNetwork, Siblings, Trunk


class Tiny(HierarchicalNetwork):
    """Two superclasses of superclasses, three superclasses, five classes; ragged and unsorted."""

    taxonomy = {  # noqa: RUF012
        "animal": {"cat": {"c0": "tabby", "c2": "siamese"}, "dog": {"c1": "pug"}},
        "thing": {"car": {"c3": "cab", "c4": "van"}},
    }
    classes = ("c0", "c1", "c2", "c3", "c4")
    input_size = (3, 64, 64)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet18", until="layer1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(2, [Bottlenecks(64, 8, 16, stride=2)])
        self.level2 = Siblings(3, [Bottlenecks(16, 8, 12, stride=2), ConvNeXts(12, 24, 12)], parents=[0, 0, 1])
        self.level3 = Siblings(5, [ConvNeXts(12, 24, 10, stride=2, grn=True)], parents=[0, 1, 0, 2, 2])
        self.head = ClassHeads(5, 10)


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
