"""PHLlateSP and N2HL for the 10 classes of imagewoof.

Written by hiergen 0.1.0 from imagewoof.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 9f4b2791c2dc60f3039f9b7ddc0ef36d45f34176de1cd441d6c3d95e5c056ac0
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nest, Siblings, Trunk, register

# fmt: off
# Class ids, in the order of the logits.
CLASSES = [
    "n02086240", "n02087394", "n02088364", "n02089973", "n02093754", "n02096294", "n02099601", "n02105641", "n02111889",
    "n02115641",
]
# fmt: on

# fmt: off
TAXONOMY_1 = {
    "n02086240": "Shih-Tzu", "n02087394": "Rhodesian ridgeback", "n02088364": "beagle", "n02089973": "English foxhound",
    "n02093754": "Border terrier", "n02096294": "Australian terrier", "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog", "n02111889": "Samoyed", "n02115641": "dingo",
}
# fmt: on


class PHLlateSP(HierarchicalNetwork):
    """10 branches on resnet50 up to layer3.

    19,986,506 params and 3.931 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    taxonomy = TAXONOMY_1
    classes = CLASSES
    input_size = (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # (B, 3, 224, 224) -> (B, 1024, 14, 14)
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)
        # -> (B, 10, 512, 7, 7)
        self.level1 = Siblings(10, [Bottlenecks(1024, 64, 96, depth=3, stride=2), Bottlenecks(96, 128, 512, depth=3)])
        # -> (B, 10)
        self.head = ClassHeads(10, 512)


register(PHLlateSP, "imagewoof_phllatesp")

# fmt: off
TAXONOMY_2 = {
    "long-haired dog": {"n02086240": "Shih-Tzu", "n02099601": "golden retriever", "n02105641": "Old English sheepdog"},
    "hound": {"n02087394": "Rhodesian ridgeback", "n02088364": "beagle", "n02089973": "English foxhound"},
    "terrier": {"n02093754": "Border terrier", "n02096294": "Australian terrier"},
    "spitz-like": {"n02111889": "Samoyed", "n02115641": "dingo"},
}
# fmt: on


class N2HL(HierarchicalNetwork):
    """4 → 10 branches on resnet50 up to layer3.

    11,911,370 params and 3.475 GMACs at 224 px; flat resnet50: 23,528,522 params, 4.087 GMACs.
    """

    taxonomy = TAXONOMY_2
    classes = CLASSES
    input_size = (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 224, 224) -> (B, 1024, 14, 14)
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)
        # -> (B, 4, 224, 7, 7)
        self.level1 = Siblings(4, [Bottlenecks(1024, 56, 224, depth=3, stride=2)])
        # -> (B, 10, 224, 7, 7)
        self.level2 = Siblings(10, [Bottlenecks(224, 56, 224, depth=3)], parents=nest.parents(2))
        # -> (B, 10)
        self.head = ClassHeads(10, 224, parents=nest.heads)


register(N2HL, "imagewoof_n2hl")
