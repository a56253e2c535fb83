"""N2HL and N3HL for the 100 classes of tiny-imagenet-100-dissimilar.

Written by hiergen 0.1.0 from tiny-imagenet-100-dissimilar.yaml: to change it, edit that file and run `hiergen build` on
it.
plan sha256: 7d52ef55fbce0339e88ce2596d1b2d392df9ca4477f562461368b9685af6e0da
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nest, Siblings, Trunk, register

# fmt: off
# Class ids, in the order of the logits.
CLASSES = [
    "n01443537", "n01641577", "n01698640", "n01768244", "n01774384", "n01784675", "n01882714", "n01917289", "n01945685",
    "n01983481", "n02002724", "n02058221", "n02085620", "n02099601", "n02106662", "n02123045", "n02124075", "n02129165",
    "n02165456", "n02206856", "n02231487", "n02236044", "n02279972", "n02321529", "n02395406", "n02410509", "n02423022",
    "n02480495", "n02486410", "n02509815", "n02669723", "n02730930", "n02788148", "n02793495", "n02802426", "n02814533",
    "n02815834", "n02837789", "n02843684", "n02892201", "n02909870", "n02927161", "n02950826", "n02977058", "n02999410",
    "n03026506", "n03085013", "n03100240", "n03160309", "n03201208", "n03255030", "n03388043", "n03400231", "n03424325",
    "n03447447", "n03584254", "n03617480", "n03649909", "n03670208", "n03733131", "n03770439", "n03804744", "n03837869",
    "n03854065", "n03902125", "n03937543", "n03976657", "n03980874", "n03992509", "n04023962", "n04070727", "n04099969",
    "n04133789", "n04149813", "n04251144", "n04259630", "n04275548", "n04311004", "n04356056", "n04371430", "n04398044",
    "n04417672", "n04465501", "n04487081", "n04507155", "n04532670", "n04560804", "n04596742", "n06596364", "n07583066",
    "n07615774", "n07711569", "n07720875", "n07747607", "n07753592", "n07871810", "n07875152", "n09193705", "n09256479",
    "n09428293",
]
# fmt: on

# fmt: off
TAXONOMY_2 = {
    "mixture e2": {
        "n01443537": "goldfish", "n01945685": "slug", "n02927161": "butcher shop", "n03255030": "dumbbell",
        "n03617480": "kimono", "n03902125": "pay-phone",
    },
    "mixture e3": {
        "n01641577": "bullfrog", "n01983481": "American lobster", "n02788148": "bannister", "n03770439": "miniskirt",
        "n03804744": "nail", "n03854065": "organ",
    },
    "mixture a1": {
        "n01698640": "American alligator", "n02085620": "Chihuahua", "n02321529": "sea cucumber",
        "n03085013": "computer keyboard", "n03980874": "poncho", "n04023962": "punching bag", "n04149813": "scoreboard",
    },
    "mixture d3": {
        "n01768244": "trilobite", "n02480495": "orangutan", "n02730930": "apron", "n02802426": "basketball",
        "n02843684": "birdhouse", "n04070727": "refrigerator",
    },
    "mixture b1": {
        "n01774384": "black widow", "n02123045": "tabby", "n02815834": "beaker", "n03100240": "convertible",
        "n03733131": "maypole", "n04133789": "sandal", "n07615774": "ice lolly",
    },
    "mixture b2": {
        "n01784675": "centipede", "n02124075": "Egyptian cat", "n02909870": "bucket", "n03670208": "limousine",
        "n03837869": "obelisk", "n04259630": "sombrero", "n07711569": "mashed potato",
    },
    "mixture c2": {
        "n01882714": "koala", "n02231487": "walking stick", "n03649909": "lawn mower", "n04251144": "snorkel",
        "n04532670": "viaduct", "n04560804": "water jug", "n07720875": "bell pepper",
    },
    "mixture e1": {
        "n01917289": "brain coral", "n02486410": "baboon", "n02837789": "bikini", "n02977058": "cash machine",
        "n02999410": "chain", "n04417672": "thatch",
    },
    "mixture a2": {
        "n02002724": "black stork", "n02099601": "golden retriever", "n02892201": "brass", "n03160309": "dam",
        "n03584254": "iPod", "n04371430": "swimming trunks", "n09256479": "coral reef",
    },
    "mixture a3": {
        "n02058221": "albatross", "n02106662": "German shepherd", "n02814533": "beach wagon",
        "n03026506": "Christmas stocking", "n03388043": "fountain", "n06596364": "comic book", "n07583066": "guacamole",
    },
    "mixture b3": {
        "n02129165": "lion", "n02165456": "ladybug", "n03400231": "frying pan", "n03424325": "gasmask",
        "n03976657": "pole", "n04487081": "trolleybus", "n07871810": "meat loaf",
    },
    "mixture c1": {
        "n02206856": "bee", "n02509815": "lesser panda", "n04311004": "steel arch bridge", "n04356056": "sunglasses",
        "n04398044": "teapot", "n04465501": "tractor", "n07875152": "potpie",
    },
    "mixture c3": {
        "n02236044": "mantis", "n02395406": "hog", "n03447447": "gondola", "n04507155": "umbrella", "n04596742": "wok",
        "n07747607": "orange", "n09193705": "alp",
    },
    "mixture d1": {
        "n02279972": "monarch", "n02410509": "bison", "n02950826": "cannon", "n03201208": "dining table",
        "n03937543": "pill bottle", "n07753592": "banana", "n09428293": "seashore",
    },
    "mixture d2": {
        "n02423022": "gazelle", "n02669723": "academic gown", "n02793495": "barn", "n03992509": "potter's wheel",
        "n04099969": "rocking chair", "n04275548": "spider web",
    },
}
# fmt: on


class N2HL(HierarchicalNetwork):
    """15 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,782,788 params and 0.0981 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    taxonomy = TAXONOMY_2
    classes = CLASSES
    input_size = (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 128, 128) -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=(3, 128, 128))
        # -> (B, 15, 112, 4, 4)
        self.level1 = Siblings(15, [Bottlenecks(112, 24, 112, depth=3, stride=2)])
        # -> (B, 100, 8, 4, 4)
        self.level2 = Siblings(100, [Bottlenecks(112, 8, 8, depth=3)], parents=nest.parents(2))
        # -> (B, 100)
        self.head = ClassHeads(100, 8, parents=nest.heads)


register(N2HL, "tiny_imagenet_100_dissimilar_n2hl")

# fmt: off
TAXONOMY_3 = {
    "mixture e": {
        "mixture e2": {
            "n01443537": "goldfish", "n01945685": "slug", "n02927161": "butcher shop", "n03255030": "dumbbell",
            "n03617480": "kimono", "n03902125": "pay-phone",
        },
        "mixture e3": {
            "n01641577": "bullfrog", "n01983481": "American lobster", "n02788148": "bannister",
            "n03770439": "miniskirt", "n03804744": "nail", "n03854065": "organ",
        },
        "mixture e1": {
            "n01917289": "brain coral", "n02486410": "baboon", "n02837789": "bikini", "n02977058": "cash machine",
            "n02999410": "chain", "n04417672": "thatch",
        },
    },
    "mixture a": {
        "mixture a1": {
            "n01698640": "American alligator", "n02085620": "Chihuahua", "n02321529": "sea cucumber",
            "n03085013": "computer keyboard", "n03980874": "poncho", "n04023962": "punching bag",
            "n04149813": "scoreboard",
        },
        "mixture a2": {
            "n02002724": "black stork", "n02099601": "golden retriever", "n02892201": "brass", "n03160309": "dam",
            "n03584254": "iPod", "n04371430": "swimming trunks", "n09256479": "coral reef",
        },
        "mixture a3": {
            "n02058221": "albatross", "n02106662": "German shepherd", "n02814533": "beach wagon",
            "n03026506": "Christmas stocking", "n03388043": "fountain", "n06596364": "comic book",
            "n07583066": "guacamole",
        },
    },
    "mixture d": {
        "mixture d3": {
            "n01768244": "trilobite", "n02480495": "orangutan", "n02730930": "apron", "n02802426": "basketball",
            "n02843684": "birdhouse", "n04070727": "refrigerator",
        },
        "mixture d1": {
            "n02279972": "monarch", "n02410509": "bison", "n02950826": "cannon", "n03201208": "dining table",
            "n03937543": "pill bottle", "n07753592": "banana", "n09428293": "seashore",
        },
        "mixture d2": {
            "n02423022": "gazelle", "n02669723": "academic gown", "n02793495": "barn", "n03992509": "potter's wheel",
            "n04099969": "rocking chair", "n04275548": "spider web",
        },
    },
    "mixture b": {
        "mixture b1": {
            "n01774384": "black widow", "n02123045": "tabby", "n02815834": "beaker", "n03100240": "convertible",
            "n03733131": "maypole", "n04133789": "sandal", "n07615774": "ice lolly",
        },
        "mixture b2": {
            "n01784675": "centipede", "n02124075": "Egyptian cat", "n02909870": "bucket", "n03670208": "limousine",
            "n03837869": "obelisk", "n04259630": "sombrero", "n07711569": "mashed potato",
        },
        "mixture b3": {
            "n02129165": "lion", "n02165456": "ladybug", "n03400231": "frying pan", "n03424325": "gasmask",
            "n03976657": "pole", "n04487081": "trolleybus", "n07871810": "meat loaf",
        },
    },
    "mixture c": {
        "mixture c2": {
            "n01882714": "koala", "n02231487": "walking stick", "n03649909": "lawn mower", "n04251144": "snorkel",
            "n04532670": "viaduct", "n04560804": "water jug", "n07720875": "bell pepper",
        },
        "mixture c1": {
            "n02206856": "bee", "n02509815": "lesser panda", "n04311004": "steel arch bridge",
            "n04356056": "sunglasses", "n04398044": "teapot", "n04465501": "tractor", "n07875152": "potpie",
        },
        "mixture c3": {
            "n02236044": "mantis", "n02395406": "hog", "n03447447": "gondola", "n04507155": "umbrella",
            "n04596742": "wok", "n07747607": "orange", "n09193705": "alp",
        },
    },
}
# fmt: on


class N3HL(HierarchicalNetwork):
    """5 → 15 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,797,188 params and 0.0972 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    taxonomy = TAXONOMY_3
    classes = CLASSES
    input_size = (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 128, 128) -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=(3, 128, 128))
        # -> (B, 5, 128, 4, 4)
        self.level1 = Siblings(5, [Bottlenecks(112, 32, 128, depth=3, stride=2)])
        # -> (B, 15, 64, 4, 4)
        self.level2 = Siblings(15, [Bottlenecks(128, 16, 64, depth=3)], parents=nest.parents(2))
        # -> (B, 100, 16, 4, 4)
        self.level3 = Siblings(100, [Bottlenecks(64, 8, 16, depth=3)], parents=nest.parents(3))
        # -> (B, 100)
        self.head = ClassHeads(100, 16, parents=nest.heads)


register(N3HL, "tiny_imagenet_100_dissimilar_n3hl")
