"""PHLlateSP, N2HL, PHLsmall, PHLbig and PHL1branch for the 10 classes of imagenette.

Written by hiergen 0.2.0.dev0 from imagenette.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: a33f15a69d0b7a05a6d2ff3200dbb773b1eb1fc1fac01d1d0d877bbeed46202f
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nesting, Siblings, Trunk, register

# fmt: off
CLASSES = {  # id → name, in the order of the logits
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}
GROUPS = {  # by hand, where a nesting lacks them
    "animal": ["n01440764", "n02102040"],
    "sounding thing": ["n02979186", "n03394916"],
    "engine-driven thing": ["n03000684", "n03417042"],
    "outdoor structure": ["n03028079", "n03425413"],
    "airborne thing": ["n03445777", "n03888257"],
}
NESTING_1 = Nesting.from_tree(CLASSES, CLASSES, {}, GROUPS)
NESTING_2 = Nesting.from_tree({
    "animal": ["n01440764", "n02102040"],
    "sounding thing": ["n02979186", "n03394916"],
    "engine-driven thing": ["n03000684", "n03417042"],
    "outdoor structure": ["n03028079", "n03425413"],
    "airborne thing": ["n03445777", "n03888257"],
}, CLASSES)
# fmt: on


@register("imagenette_phllatesp")
class PHLlateSP(HierarchicalNetwork):
    """10 branches on resnet50 up to layer3.

    19,986,506 params and 3.931 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)  # -> (B, 1024, 14, 14)
        # -> (B, 10, 512, 7, 7)
        self.level1 = Siblings(10, [Bottlenecks(1024, 64, 96, depth=3, stride=2), Bottlenecks(96, 128, 512, depth=3)])
        self.head = ClassHeads(10, 512)  # -> (B, 10)


@register("imagenette_n2hl")
class N2HL(HierarchicalNetwork):
    """5 → 10 branches on resnet50 up to layer3.

    23,494,346 params and 4.103 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_2, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)  # -> (B, 1024, 14, 14)
        self.level1 = Siblings(5, [Bottlenecks(1024, 128, 512, depth=3, stride=2)])  # -> (B, 5, 512, 7, 7)
        # -> (B, 10, 416, 7, 7)
        self.level2 = Siblings(10, [Bottlenecks(512, 104, 416, depth=3)], parents=self.nesting.parents(2))
        self.head = ClassHeads(10, 416, parents=self.nesting.heads)  # -> (B, 10)


@register("imagenette_phlsmall")
class PHLsmall(HierarchicalNetwork):
    """10 branches on resnet50 up to layer2.

    17,551,258 params and 4.180 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer2", pretrained=pretrained)  # -> (B, 512, 28, 28)
        self.level1 = Siblings(
            10,
            [Bottlenecks(512, 104, 456, depth=3, stride=2), Bottlenecks(456, 104, 456, depth=3, stride=2)],
        )  # -> (B, 10, 456, 7, 7)
        self.head = ClassHeads(10, 456)  # -> (B, 10)


@register("imagenette_phlbig")
class PHLbig(HierarchicalNetwork):
    """10 branches on resnet50 up to layer2.

    46,875,498 params and 7.930 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer2", pretrained=pretrained)  # -> (B, 512, 28, 28)
        self.level1 = Siblings(
            10,
            [Bottlenecks(512, 184, 784, depth=3, stride=2), Bottlenecks(784, 184, 784, depth=3, stride=2)],
        )  # -> (B, 10, 784, 7, 7)
        self.head = ClassHeads(10, 784)  # -> (B, 10)


@register("imagenette_phl1branch")
class PHL1branch(HierarchicalNetwork):
    """1 branch on resnet50 up to layer3.

    23,491,082 params and 4.062 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)  # -> (B, 1024, 14, 14)
        self.level1 = Siblings(
            1,
            [Bottlenecks(1024, 360, 1512, depth=3, stride=2), Bottlenecks(1512, 360, 1512, depth=3)],
        )  # -> (B, 1, 1512, 7, 7)
        self.head = ClassHeads(10, 1512, parents=[0] * 10)  # -> (B, 10)
