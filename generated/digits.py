"""PHL, N2HL, N3HL and PHL1branch for the 10 classes of digits.

Written by hiergen 0.1.0 from digits.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 127bfa32c69e47d43eb92dc5aab73928d757873626a25f7229e16073b167ac4b
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nest, Siblings, Trunk, register

# fmt: off
# Class ids, in the order of the logits.
CLASSES = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
]
# fmt: on

# fmt: off
TAXONOMY_1 = {
    "0": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight",
    "9": "nine",
}
# fmt: on


class PHL(HierarchicalNetwork):
    """10 branches on test_resnet up to layer1.

    148,122 params and 0.00515 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    taxonomy = TAXONOMY_1
    classes = CLASSES
    input_size = (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # (B, 3, 32, 32) -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=(3, 32, 32))
        # -> (B, 10, 80, 4, 4)
        self.level1 = Siblings(10, [Bottlenecks(32, 16, 80, stride=2), Bottlenecks(80, 16, 80)])
        # -> (B, 10)
        self.head = ClassHeads(10, 80)


register(PHL, "digits_phl")

# fmt: off
TAXONOMY_2 = {
    "even": {"0": "zero", "2": "two", "4": "four", "6": "six", "8": "eight"},
    "odd": {"1": "one", "3": "three", "5": "five", "7": "seven", "9": "nine"},
}
# fmt: on


class N2HL(HierarchicalNetwork):
    """2 → 10 branches on test_resnet up to layer1.

    148,938 params and 0.00513 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    taxonomy = TAXONOMY_2
    classes = CLASSES
    input_size = (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 32, 32) -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=(3, 32, 32))
        # -> (B, 2, 216, 4, 4)
        self.level1 = Siblings(2, [Bottlenecks(32, 48, 216, stride=2)])
        # -> (B, 10, 8, 4, 4)
        self.level2 = Siblings(10, [Bottlenecks(216, 8, 8)], parents=nest.parents(2))
        # -> (B, 10)
        self.head = ClassHeads(10, 8, parents=nest.heads)


register(N2HL, "digits_n2hl")

# fmt: off
TAXONOMY_3 = {
    "even": {
        "looped": {"0": "zero", "6": "six", "8": "eight"},
        "loopless": {"2": "two", "4": "four"},
    },
    "odd": {
        "angular": {"1": "one", "7": "seven"},
        "round": {"3": "three", "5": "five", "9": "nine"},
    },
}
# fmt: on


class N3HL(HierarchicalNetwork):
    """2 → 4 → 10 branches on test_resnet up to layer1.

    148,442 params and 0.00503 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    taxonomy = TAXONOMY_3
    classes = CLASSES
    input_size = (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 32, 32) -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=(3, 32, 32))
        # -> (B, 2, 184, 4, 4)
        self.level1 = Siblings(2, [Bottlenecks(32, 40, 184, stride=2)])
        # -> (B, 4, 8, 4, 4)
        self.level2 = Siblings(4, [Bottlenecks(184, 8, 8)], parents=nest.parents(2))
        # -> (B, 10, 80, 4, 4)
        self.level3 = Siblings(10, [Bottlenecks(8, 16, 80)], parents=nest.parents(3))
        # -> (B, 10)
        self.head = ClassHeads(10, 80, parents=nest.heads)


register(N3HL, "digits_n3hl")


class PHL1branch(HierarchicalNetwork):
    """1 branch on test_resnet up to layer1.

    149,786 params and 0.00506 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    taxonomy = TAXONOMY_1
    classes = CLASSES
    input_size = (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # (B, 3, 32, 32) -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=(3, 32, 32))
        # -> (B, 1, 248, 4, 4)
        self.level1 = Siblings(1, [Bottlenecks(32, 60, 248, stride=2), Bottlenecks(248, 60, 248)])
        # -> (B, 10)
        self.head = ClassHeads(10, 248, parents=[0] * 10)


register(PHL1branch, "digits_phl1branch")
