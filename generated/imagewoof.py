"""PHLlateSP and N2HL for the 10 classes of imagewoof.

Written by hiergen 0.2.0.dev0 from imagewoof.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 5e35e3aaafff88ed0dfbc50e454c0c78f0f76f7b157eccecc77ed6d62e1c90bd
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nesting, Siblings, Trunk, register

# fmt: off
CLASSES = {  # id → name, in the order of the logits
    "n02086240": "Shih-Tzu", "n02087394": "Rhodesian ridgeback", "n02088364": "beagle", "n02089973": "English foxhound",
    "n02093754": "Border terrier", "n02096294": "Australian terrier", "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog", "n02111889": "Samoyed", "n02115641": "dingo",
}
GROUPS = {  # by hand, where a nesting lacks them
    "long-haired dog": ["n02086240", "n02099601", "n02105641"],
    "hound": ["n02087394", "n02088364", "n02089973"],
    "terrier": ["n02093754", "n02096294"],
    "spitz-like": ["n02111889", "n02115641"],
}
NESTING_1 = Nesting.from_tree(CLASSES, CLASSES, {}, GROUPS)
NESTING_2 = Nesting.from_tree({
    "long-haired dog": ["n02086240", "n02099601", "n02105641"],
    "hound": ["n02087394", "n02088364", "n02089973"],
    "terrier": ["n02093754", "n02096294"],
    "spitz-like": ["n02111889", "n02115641"],
}, CLASSES)
# fmt: on


@register("imagewoof_phllatesp")
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


@register("imagewoof_n2hl")
class N2HL(HierarchicalNetwork):
    """4 → 10 branches on resnet50 up to layer3.

    11,911,370 params and 3.475 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_2, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)  # -> (B, 1024, 14, 14)
        self.level1 = Siblings(4, [Bottlenecks(1024, 56, 224, depth=3, stride=2)])  # -> (B, 4, 224, 7, 7)
        # -> (B, 10, 224, 7, 7)
        self.level2 = Siblings(10, [Bottlenecks(224, 56, 224, depth=3)], parents=self.nesting.parents(2))
        self.head = ClassHeads(10, 224, parents=self.nesting.heads)  # -> (B, 10)
