"""PHL, N2HL, N3HL and PHL1branch for the 10 classes of digits.

Written by hiergen 0.2.0.dev0 from digits.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: d5218b5f66f0e4a099003cba1d5be712ed45b7b363760d92898ebb59eef0402b
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nesting, Siblings, Trunk, register

# fmt: off
CLASSES = {  # id → name, in the order of the logits
    "0": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight",
    "9": "nine",
}
SYNSETS = {  # of classes whose id does not say it
    "0": "zero.n.02", "1": "one.n.01", "2": "two.n.01", "3": "three.n.01", "4": "four.n.01", "5": "five.n.01",
    "6": "six.n.01", "7": "seven.n.01", "8": "eight.n.01", "9": "nine.n.01",
}
GROUPS = {  # by hand, where a nesting lacks them
    "even": ["0", "2", "4", "6", "8"],
    "looped": ["0", "6", "8"],
    "odd": ["1", "3", "5", "7", "9"],
    "angular": ["1", "7"],
    "loopless": ["2", "4"],
    "round": ["3", "5", "9"],
}
NESTING_1 = Nesting.from_tree(CLASSES, CLASSES, SYNSETS, GROUPS)
NESTING_2 = Nesting.from_tree({
    "even": ["0", "2", "4", "6", "8"],
    "odd": ["1", "3", "5", "7", "9"],
}, CLASSES, SYNSETS, GROUPS)
NESTING_3 = Nesting.from_tree({
    "even": {
        "looped": ["0", "6", "8"],
        "loopless": ["2", "4"],
    },
    "odd": {
        "angular": ["1", "7"],
        "round": ["3", "5", "9"],
    },
}, CLASSES, SYNSETS)
# fmt: on


@register("digits_phl")
class PHL(HierarchicalNetwork):
    """10 branches on test_resnet up to layer1.

    148,122 params and 0.00515 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(10, [Bottlenecks(32, 16, 80, stride=2), Bottlenecks(80, 16, 80)])  # -> (B, 10, 80, 4, 4)
        self.head = ClassHeads(10, 80)  # -> (B, 10)


@register("digits_n2hl")
class N2HL(HierarchicalNetwork):
    """2 → 10 branches on test_resnet up to layer1.

    148,938 params and 0.00513 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    nesting, input_size = NESTING_2, (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(2, [Bottlenecks(32, 48, 216, stride=2)])  # -> (B, 2, 216, 4, 4)
        self.level2 = Siblings(10, [Bottlenecks(216, 8, 8)], parents=self.nesting.parents(2))  # -> (B, 10, 8, 4, 4)
        self.head = ClassHeads(10, 8, parents=self.nesting.heads)  # -> (B, 10)


@register("digits_n3hl")
class N3HL(HierarchicalNetwork):
    """2 → 4 → 10 branches on test_resnet up to layer1.

    148,442 params and 0.00503 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    nesting, input_size = NESTING_3, (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(2, [Bottlenecks(32, 40, 184, stride=2)])  # -> (B, 2, 184, 4, 4)
        self.level2 = Siblings(4, [Bottlenecks(184, 8, 8)], parents=self.nesting.parents(2))  # -> (B, 4, 8, 4, 4)
        self.level3 = Siblings(10, [Bottlenecks(8, 16, 80)], parents=self.nesting.parents(3))  # -> (B, 10, 80, 4, 4)
        self.head = ClassHeads(10, 80, parents=self.nesting.heads)  # -> (B, 10)


@register("digits_phl1branch")
class PHL1branch(HierarchicalNetwork):
    """1 branch on test_resnet up to layer1.

    149,786 params and 0.00506 GMACs at 32 px; flat test_resnet: 373,658 params, 0.00410 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 32, 32)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 32, 8, 8)
        self.trunk = Trunk("test_resnet", until="layer1", pretrained=pretrained, input_size=self.input_size)
        # -> (B, 1, 248, 4, 4)
        self.level1 = Siblings(1, [Bottlenecks(32, 60, 248, stride=2), Bottlenecks(248, 60, 248)])
        self.head = ClassHeads(10, 248, parents=[0] * 10)  # -> (B, 10)
