"""N3HL for the 100 classes of imagenet100-weights.

Written by hiergen 0.1.0 from imagenet100-weights.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 6b82e1419d27be74181705feaa9117fd1bd84920ade0364301df7d193d6f3074
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nest, Siblings, Trunk, register

# fmt: off
# Class ids, in the order of the logits.
CLASSES = [
    "n01440764", "n01443537", "n01484850", "n01491361", "n01494475", "n01496331", "n01498041", "n01514668", "n01514859",
    "n01531178", "n01537544", "n01560419", "n01582220", "n01592084", "n01601694", "n01608432", "n01614925", "n01622779",
    "n01630670", "n01632458", "n01632777", "n01644900", "n01664065", "n01665541", "n01667114", "n01667778", "n01675722",
    "n01677366", "n01685808", "n01687978", "n01693334", "n01695060", "n01698640", "n01728572", "n01729322", "n01729977",
    "n01734418", "n01735189", "n01739381", "n01740131", "n01742172", "n01749939", "n01751748", "n01753488", "n01755581",
    "n01756291", "n01770081", "n01770393", "n01773157", "n01773549", "n01773797", "n01774384", "n01774750", "n01775062",
    "n01776313", "n01795545", "n01796340", "n01798484", "n01806143", "n01818515", "n01819313", "n01820546", "n01824575",
    "n01828970", "n01829413", "n01833805", "n01843383", "n01847000", "n01855672", "n01860187", "n01877812", "n01883070",
    "n01910747", "n01914609", "n01924916", "n01930112", "n01943899", "n01944390", "n01950731", "n01955084", "n01968897",
    "n01978287", "n01978455", "n01984695", "n01985128", "n01986214", "n02002556", "n02006656", "n02007558", "n02011460",
    "n02012849", "n02013706", "n02018207", "n02018795", "n02027492", "n02028035", "n02037110", "n02051845", "n02058221",
    "n02077923",
]
# fmt: on

# fmt: off
TAXONOMY_3 = {
    "like Komodo dragon": {
        "mostly cyprinid": {"n01440764": "tench", "n01443537": "goldfish", "n01632777": "axolotl"},
        "like common iguana": {
            "n01677366": "common iguana", "n01695060": "Komodo dragon", "n01698640": "American alligator",
        },
        "like sea snake": {"n01751748": "sea snake", "n02077923": "sea lion"},
        "marsupial": {"n01877812": "wallaby", "n01883070": "wombat"},
    },
    "elasmobranch": {
        "shark": {"n01484850": "great white shark", "n01491361": "tiger shark", "n01494475": "hammerhead"},
        "ray": {"n01496331": "electric ray", "n01498041": "stingray"},
    },
    "like hen": {
        "like cock": {"n01514668": "cock", "n01514859": "hen"},
        "grouse": {"n01795545": "black grouse", "n01796340": "ptarmigan", "n01798484": "prairie chicken"},
        "like peacock": {"n01806143": "peacock", "n02018795": "bustard"},
    },
    "mostly oscine": {
        "mostly finch": {"n01531178": "goldfinch", "n01537544": "indigo bunting", "n01828970": "bee eater"},
        "mostly oscine like chickadee": {
            "n01560419": "bulbul", "n01592084": "chickadee", "n01601694": "water ouzel", "n01833805": "hummingbird",
        },
    },
    "like toucan": {
        "like hornbill": {"n01582220": "magpie", "n01824575": "coucal", "n01829413": "hornbill", "n01843383": "toucan"},
        "bird of prey": {"n01608432": "kite", "n01614925": "bald eagle", "n01622779": "great grey owl"},
        "parrot": {"n01818515": "macaw", "n01819313": "sulphur-crested cockatoo", "n01820546": "lorikeet"},
    },
    "like whiptail": {
        "amphibian": {"n01630670": "common newt", "n01632458": "spotted salamander", "n01644900": "tailed frog"},
        "lizard": {
            "n01675722": "banded gecko", "n01685808": "whiptail", "n01687978": "agama", "n01693334": "green lizard",
        },
    },
    "turtle": {
        "sea turtle": {"n01664065": "loggerhead", "n01665541": "leatherback turtle"},
        "turtle like mud turtle": {"n01667114": "mud turtle", "n01667778": "terrapin"},
    },
    "snake": {
        "mostly colubrid snake": {
            "n01728572": "thunder snake", "n01734418": "king snake", "n01735189": "garter snake",
            "n01740131": "night snake", "n01742172": "boa constrictor",
        },
        "mostly viper": {
            "n01729322": "hognose snake", "n01753488": "horned viper", "n01755581": "diamondback",
            "n01756291": "sidewinder",
        },
        "like green snake": {"n01729977": "green snake", "n01739381": "vine snake", "n01749939": "green mamba"},
    },
    "arachnid": {
        "arachnid like harvestman": {"n01770081": "harvestman", "n01774384": "black widow", "n01776313": "tick"},
        "arachnid like wolf spider": {"n01770393": "scorpion", "n01774750": "tarantula", "n01775062": "wolf spider"},
        "spider": {
            "n01773157": "black and gold garden spider", "n01773549": "barn spider", "n01773797": "garden spider",
        },
    },
    "aquatic bird": {
        "like goose": {
            "n01847000": "drake", "n01855672": "goose", "n01860187": "black swan", "n02018207": "American coot",
            "n02058221": "albatross",
        },
        "mostly wading bird": {
            "n02002556": "white stork", "n02006656": "spoonbill", "n02007558": "flamingo", "n02012849": "crane",
            "n02051845": "pelican",
        },
        "like bittern": {"n02011460": "bittern", "n02013706": "limpkin"},
        "shorebird": {"n02027492": "red-backed sandpiper", "n02028035": "redshank", "n02037110": "oystercatcher"},
    },
    "invertebrate": {
        "like flatworm": {
            "n01910747": "jellyfish", "n01914609": "sea anemone", "n01924916": "flatworm", "n01930112": "nematode",
            "n01950731": "sea slug", "n01955084": "chiton",
        },
        "mostly mollusk": {
            "n01943899": "conch", "n01944390": "snail", "n01968897": "chambered nautilus", "n01986214": "hermit crab",
        },
    },
    "decapod crustacean": {
        "crab": {"n01978287": "Dungeness crab", "n01978455": "rock crab"},
        "decapod crustacean like spiny lobster": {"n01984695": "spiny lobster", "n01985128": "crayfish"},
    },
}
# fmt: on


class N3HL(HierarchicalNetwork):
    """12 → 32 → 100 branches on resnet50 up to layer2.

    24,949,988 params and 3.888 GMACs at 224 px; flat resnet50: 23,712,932 params, 4.087 GMACs.
    """

    taxonomy = TAXONOMY_3
    classes = CLASSES
    input_size = (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 224, 224) -> (B, 512, 28, 28)
        self.trunk = Trunk("resnet50", until="layer2", pretrained=pretrained)
        # -> (B, 12, 256, 14, 14)
        self.level1 = Siblings(12, [Bottlenecks(512, 64, 256, depth=3, stride=2)])
        # -> (B, 32, 272, 7, 7)
        self.level2 = Siblings(32, [Bottlenecks(256, 64, 272, depth=3, stride=2)], parents=nest.parents(2))
        # -> (B, 100, 144, 7, 7)
        self.level3 = Siblings(100, [Bottlenecks(272, 32, 144, depth=3)], parents=nest.parents(3))
        # -> (B, 100)
        self.head = ClassHeads(100, 144, parents=nest.heads)


register(N3HL, "imagenet100_weights_n3hl")
