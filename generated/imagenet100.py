"""PHLlateSP, N2HL, N3HL, N4HL, N3HL152, PHLsmall, PHLbig and PHL1branch for the 100 classes of imagenet100.

Written by hiergen 0.2.0.dev0 from imagenet100.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 6ea637f6f77541fd2e143872cd51e16c9eefd9188e3e44e06b66932b2899682d
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nesting, Siblings, Trunk, register

# fmt: off
CLASSES = {  # id → name, in the order of the logits
    "n01440764": "tench", "n01443537": "goldfish", "n01484850": "great white shark", "n01491361": "tiger shark",
    "n01494475": "hammerhead", "n01496331": "electric ray", "n01498041": "stingray", "n01514668": "cock",
    "n01514859": "hen", "n01531178": "goldfinch", "n01537544": "indigo bunting", "n01560419": "bulbul",
    "n01582220": "magpie", "n01592084": "chickadee", "n01601694": "water ouzel", "n01608432": "kite",
    "n01614925": "bald eagle", "n01622779": "great grey owl", "n01630670": "common newt",
    "n01632458": "spotted salamander", "n01632777": "axolotl", "n01644900": "tailed frog", "n01664065": "loggerhead",
    "n01665541": "leatherback turtle", "n01667114": "mud turtle", "n01667778": "terrapin", "n01675722": "banded gecko",
    "n01677366": "common iguana", "n01685808": "whiptail", "n01687978": "agama", "n01693334": "green lizard",
    "n01695060": "Komodo dragon", "n01698640": "American alligator", "n01728572": "thunder snake",
    "n01729322": "hognose snake", "n01729977": "green snake", "n01734418": "king snake", "n01735189": "garter snake",
    "n01739381": "vine snake", "n01740131": "night snake", "n01742172": "boa constrictor", "n01749939": "green mamba",
    "n01751748": "sea snake", "n01753488": "horned viper", "n01755581": "diamondback", "n01756291": "sidewinder",
    "n01770081": "harvestman", "n01770393": "scorpion", "n01773157": "black and gold garden spider",
    "n01773549": "barn spider", "n01773797": "garden spider", "n01774384": "black widow", "n01774750": "tarantula",
    "n01775062": "wolf spider", "n01776313": "tick", "n01795545": "black grouse", "n01796340": "ptarmigan",
    "n01798484": "prairie chicken", "n01806143": "peacock", "n01818515": "macaw",
    "n01819313": "sulphur-crested cockatoo", "n01820546": "lorikeet", "n01824575": "coucal", "n01828970": "bee eater",
    "n01829413": "hornbill", "n01833805": "hummingbird", "n01843383": "toucan", "n01847000": "drake",
    "n01855672": "goose", "n01860187": "black swan", "n01877812": "wallaby", "n01883070": "wombat",
    "n01910747": "jellyfish", "n01914609": "sea anemone", "n01924916": "flatworm", "n01930112": "nematode",
    "n01943899": "conch", "n01944390": "snail", "n01950731": "sea slug", "n01955084": "chiton",
    "n01968897": "chambered nautilus", "n01978287": "Dungeness crab", "n01978455": "rock crab",
    "n01984695": "spiny lobster", "n01985128": "crayfish", "n01986214": "hermit crab", "n02002556": "white stork",
    "n02006656": "spoonbill", "n02007558": "flamingo", "n02011460": "bittern", "n02012849": "crane",
    "n02013706": "limpkin", "n02018207": "American coot", "n02018795": "bustard", "n02027492": "red-backed sandpiper",
    "n02028035": "redshank", "n02037110": "oystercatcher", "n02051845": "pelican", "n02058221": "albatross",
    "n02077923": "sea lion",
}
GROUPS = {  # by hand, where a nesting lacks them
    "fowl": ["n01514668", "n01514859", "n01795545", "n01796340", "n01798484", "n01806143"],
    "songbird": ["n01531178", "n01537544", "n01560419", "n01582220", "n01592084", "n01601694"],
    "lizard-like": ["n01675722", "n01677366", "n01685808", "n01687978", "n01693334", "n01695060", "n01698640"],
    "exotic bird": [
        "n01818515", "n01819313", "n01820546", "n01824575", "n01828970", "n01829413", "n01833805", "n01843383",
    ],
    "swimming bird": ["n01847000", "n01855672", "n01860187", "n02018207", "n02051845", "n02058221"],
}
NESTING_1 = Nesting.from_tree(CLASSES, CLASSES, {}, GROUPS)
NESTING_2 = Nesting.from_tree({
    "fish": ["n01440764", "n01443537", "n01484850", "n01491361", "n01494475", "n01496331", "n01498041"],
    "other bird": [
        "n01514668", "n01514859", "n01608432", "n01614925", "n01622779", "n01795545", "n01796340", "n01798484",
        "n01806143",
    ],
    "songbird": ["n01531178", "n01537544", "n01560419", "n01582220", "n01592084", "n01601694"],
    "amphibian": ["n01630670", "n01632458", "n01632777", "n01644900"],
    "turtle": ["n01664065", "n01665541", "n01667114", "n01667778"],
    "lizard-like": ["n01675722", "n01677366", "n01685808", "n01687978", "n01693334", "n01695060", "n01698640"],
    "snake": [
        "n01728572", "n01729322", "n01729977", "n01734418", "n01735189", "n01739381", "n01740131", "n01742172",
        "n01749939", "n01751748", "n01753488", "n01755581", "n01756291",
    ],
    "arthropod": [
        "n01770081", "n01770393", "n01773157", "n01773549", "n01773797", "n01774384", "n01774750", "n01775062",
        "n01776313", "n01978287", "n01978455", "n01984695", "n01985128", "n01986214",
    ],
    "exotic bird": [
        "n01818515", "n01819313", "n01820546", "n01824575", "n01828970", "n01829413", "n01833805", "n01843383",
    ],
    "swimming bird": ["n01847000", "n01855672", "n01860187", "n02018207", "n02051845", "n02058221"],
    "mammal": ["n01877812", "n01883070", "n02077923"],
    "other invertebrate": [
        "n01910747", "n01914609", "n01924916", "n01930112", "n01943899", "n01944390", "n01950731", "n01955084",
        "n01968897",
    ],
    "wading bird": [
        "n02002556", "n02006656", "n02007558", "n02011460", "n02012849", "n02013706", "n02018795", "n02027492",
        "n02028035", "n02037110",
    ],
}, CLASSES, {}, GROUPS)
NESTING_3 = Nesting.from_tree({
    "fish": {
        "cyprinid": ["n01440764", "n01443537"],
        "shark": ["n01484850", "n01491361", "n01494475"],
        "ray": ["n01496331", "n01498041"],
    },
    "fowl": {
        "other fowl": ["n01514668", "n01514859"],
        "game bird": ["n01795545", "n01796340", "n01798484", "n01806143"],
    },
    "other bird": {
        "finch": ["n01531178", "n01537544"],
        "other songbird": ["n01560419", "n01582220", "n01592084", "n01601694"],
        "bird of prey": ["n01608432", "n01614925", "n01622779"],
    },
    "other vertebrate": {
        "amphibian": ["n01630670", "n01632458", "n01632777", "n01644900"],
        "mammal": ["n01877812", "n01883070", "n02077923"],
    },
    "turtle": {
        "sea turtle": ["n01664065", "n01665541"],
        "other turtle": ["n01667114", "n01667778"],
    },
    "diapsid": {
        "lizard-like": ["n01675722", "n01677366", "n01685808", "n01687978", "n01693334", "n01695060", "n01698640"],
        "colubrid snake": ["n01728572", "n01729322", "n01729977", "n01734418", "n01735189", "n01739381", "n01740131"],
        "other snake": ["n01742172", "n01749939", "n01751748"],
        "viper": ["n01753488", "n01755581", "n01756291"],
    },
    "arachnid": {
        "other arachnid": ["n01770081", "n01770393", "n01776313"],
        "spider": ["n01773157", "n01773549", "n01773797", "n01774384", "n01774750", "n01775062"],
    },
    "exotic bird": {
        "parrot": ["n01818515", "n01819313", "n01820546"],
        "other exotic bird": ["n01824575", "n01833805", "n01843383"],
        "coraciiform bird": ["n01828970", "n01829413"],
    },
    "swimming bird": {
        "anseriform bird": ["n01847000", "n01855672"],
        "other swimming bird": ["n01860187", "n02018207"],
        "seabird": ["n02051845", "n02058221"],
    },
    "other invertebrate": {
        "coelenterate": ["n01910747", "n01914609"],
        "worm": ["n01924916", "n01930112"],
        "gastropod": ["n01943899", "n01944390", "n01950731"],
        "other mollusk": ["n01955084", "n01968897"],
    },
    "decapod crustacean": {
        "crab": ["n01978287", "n01978455"],
        "other decapod crustacean": ["n01984695", "n01985128", "n01986214"],
    },
    "wading bird": {
        "other wading bird": [
            "n02002556", "n02006656", "n02007558", "n02011460", "n02012849", "n02013706", "n02018795",
        ],
        "shorebird": ["n02027492", "n02028035", "n02037110"],
    },
}, CLASSES, {}, GROUPS)
NESTING_4 = Nesting.from_tree({
    "vertebrate": {
        "fish": {
            "cyprinid": ["n01440764", "n01443537"],
            "shark": ["n01484850", "n01491361", "n01494475"],
            "ray": ["n01496331", "n01498041"],
        },
        "fowl": {
            "other fowl": ["n01514668", "n01514859"],
            "game bird": ["n01795545", "n01796340", "n01798484", "n01806143"],
        },
        "other bird": {
            "finch": ["n01531178", "n01537544"],
            "other songbird": ["n01560419", "n01582220", "n01592084", "n01601694"],
            "bird of prey": ["n01608432", "n01614925", "n01622779"],
        },
        "other vertebrate": {
            "amphibian": ["n01630670", "n01632458", "n01632777", "n01644900"],
            "mammal": ["n01877812", "n01883070", "n02077923"],
        },
        "turtle": {
            "sea turtle": ["n01664065", "n01665541"],
            "other turtle": ["n01667114", "n01667778"],
        },
        "diapsid": {
            "lizard-like": ["n01675722", "n01677366", "n01685808", "n01687978", "n01693334", "n01695060", "n01698640"],
            "colubrid snake": [
                "n01728572", "n01729322", "n01729977", "n01734418", "n01735189", "n01739381", "n01740131",
            ],
            "other snake": ["n01742172", "n01749939", "n01751748"],
            "viper": ["n01753488", "n01755581", "n01756291"],
        },
        "exotic bird": {
            "parrot": ["n01818515", "n01819313", "n01820546"],
            "other exotic bird": ["n01824575", "n01833805", "n01843383"],
            "coraciiform bird": ["n01828970", "n01829413"],
        },
        "swimming bird": {
            "anseriform bird": ["n01847000", "n01855672"],
            "other swimming bird": ["n01860187", "n02018207"],
            "seabird": ["n02051845", "n02058221"],
        },
        "wading bird": {
            "other wading bird": [
                "n02002556", "n02006656", "n02007558", "n02011460", "n02012849", "n02013706", "n02018795",
            ],
            "shorebird": ["n02027492", "n02028035", "n02037110"],
        },
    },
    "invertebrate": {
        "arachnid": {
            "other arachnid": ["n01770081", "n01770393", "n01776313"],
            "spider": ["n01773157", "n01773549", "n01773797", "n01774384", "n01774750", "n01775062"],
        },
        "other invertebrate": {
            "coelenterate": ["n01910747", "n01914609"],
            "worm": ["n01924916", "n01930112"],
        },
        "mollusk": {
            "gastropod": ["n01943899", "n01944390", "n01950731"],
            "other mollusk": ["n01955084", "n01968897"],
        },
        "decapod crustacean": {
            "crab": ["n01978287", "n01978455"],
            "other decapod crustacean": ["n01984695", "n01985128", "n01986214"],
        },
    },
}, CLASSES, {}, GROUPS)
# fmt: on


@register("imagenet100_phllatesp")
class PHLlateSP(HierarchicalNetwork):
    """100 branches on resnet50 up to layer3.

    122,975,396 params and 9.811 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)  # -> (B, 1024, 14, 14)
        # -> (B, 100, 512, 7, 7)
        self.level1 = Siblings(100, [Bottlenecks(1024, 64, 96, depth=3, stride=2), Bottlenecks(96, 128, 512, depth=3)])
        self.head = ClassHeads(100, 512)  # -> (B, 100)


@register("imagenet100_n2hl")
class N2HL(HierarchicalNetwork):
    """13 → 100 branches on resnet50 up to layer3.

    24,603,428 params and 4.197 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_2, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)  # -> (B, 1024, 14, 14)
        self.level1 = Siblings(13, [Bottlenecks(1024, 72, 312, depth=3, stride=2)])  # -> (B, 13, 312, 7, 7)
        # -> (B, 100, 120, 7, 7)
        self.level2 = Siblings(100, [Bottlenecks(312, 24, 120, depth=3)], parents=self.nesting.parents(2))
        self.head = ClassHeads(100, 120, parents=self.nesting.heads)  # -> (B, 100)


@register("imagenet100_n3hl")
class N3HL(HierarchicalNetwork):
    """12 → 32 → 100 branches on resnet50 up to layer2.

    24,949,988 params and 3.888 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_3, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer2", pretrained=pretrained)  # -> (B, 512, 28, 28)
        self.level1 = Siblings(12, [Bottlenecks(512, 64, 256, depth=3, stride=2)])  # -> (B, 12, 256, 14, 14)
        # -> (B, 32, 272, 7, 7)
        self.level2 = Siblings(32, [Bottlenecks(256, 64, 272, depth=3, stride=2)], parents=self.nesting.parents(2))
        # -> (B, 100, 144, 7, 7)
        self.level3 = Siblings(100, [Bottlenecks(272, 32, 144, depth=3)], parents=self.nesting.parents(3))
        self.head = ClassHeads(100, 144, parents=self.nesting.heads)  # -> (B, 100)


@register("imagenet100_n4hl")
class N4HL(HierarchicalNetwork):
    """2 → 13 → 32 → 100 branches on resnet50 up to layer2.

    24,957,508 params and 3.663 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_4, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer2", pretrained=pretrained)  # -> (B, 512, 28, 28)
        self.level1 = Siblings(2, [Bottlenecks(512, 168, 672, depth=3, stride=2)])  # -> (B, 2, 672, 14, 14)
        # -> (B, 13, 296, 7, 7)
        self.level2 = Siblings(13, [Bottlenecks(672, 72, 296, depth=3, stride=2)], parents=self.nesting.parents(2))
        # -> (B, 32, 224, 7, 7)
        self.level3 = Siblings(32, [Bottlenecks(296, 56, 224, depth=3)], parents=self.nesting.parents(3))
        # -> (B, 100, 112, 7, 7)
        self.level4 = Siblings(100, [Bottlenecks(224, 24, 112, depth=3)], parents=self.nesting.parents(4))
        self.head = ClassHeads(100, 112, parents=self.nesting.heads)  # -> (B, 100)


@register("imagenet100_n3hl152")
class N3HL152(HierarchicalNetwork):
    """12 → 32 → 100 branches on resnet152 up to layer2.

    59,966,756 params and 8.107 GMACs at 224 px; flat resnet152: 58,348,708 params, 11.512 GMACs.
    """

    nesting, input_size = NESTING_3, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet152", until="layer2", pretrained=pretrained)  # -> (B, 512, 28, 28)
        self.level1 = Siblings(12, [Bottlenecks(512, 128, 512, depth=3, stride=2)])  # -> (B, 12, 512, 14, 14)
        # -> (B, 32, 384, 7, 7)
        self.level2 = Siblings(32, [Bottlenecks(512, 96, 384, depth=3, stride=2)], parents=self.nesting.parents(2))
        # -> (B, 100, 224, 7, 7)
        self.level3 = Siblings(100, [Bottlenecks(384, 48, 224, depth=3)], parents=self.nesting.parents(3))
        self.head = ClassHeads(100, 224, parents=self.nesting.heads)  # -> (B, 100)


@register("imagenet100_phlsmall")
class PHLsmall(HierarchicalNetwork):
    """100 branches on resnet50 up to layer2.

    12,789,028 params and 4.162 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer2", pretrained=pretrained)  # -> (B, 512, 28, 28)
        self.level1 = Siblings(
            100,
            [Bottlenecks(512, 20, 96, depth=3, stride=2), Bottlenecks(96, 20, 96, depth=3, stride=2)],
        )  # -> (B, 100, 96, 7, 7)
        self.head = ClassHeads(100, 96)  # -> (B, 100)


@register("imagenet100_phlbig")
class PHLbig(HierarchicalNetwork):
    """100 branches on resnet50 up to layer2.

    39,084,628 params and 8.387 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer2", pretrained=pretrained)  # -> (B, 512, 28, 28)
        self.level1 = Siblings(
            100,
            [Bottlenecks(512, 44, 204, depth=3, stride=2), Bottlenecks(204, 44, 204, depth=3, stride=2)],
        )  # -> (B, 100, 204, 7, 7)
        self.head = ClassHeads(100, 204)  # -> (B, 100)


@register("imagenet100_phl1branch")
class PHL1branch(HierarchicalNetwork):
    """1 branch on resnet50 up to layer3.

    24,967,956 params and 4.130 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3", pretrained=pretrained)  # -> (B, 1024, 14, 14)
        self.level1 = Siblings(
            1,
            [Bottlenecks(1024, 376, 1592, depth=3, stride=2), Bottlenecks(1592, 376, 1592, depth=3)],
        )  # -> (B, 1, 1592, 7, 7)
        self.head = ClassHeads(100, 1592, parents=[0] * 100)  # -> (B, 100)
