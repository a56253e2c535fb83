"""PHL, N2HL, N3HL, N4HL and PHL1branch for the 100 classes of tiny-imagenet-100.

Written by hiergen 0.1.0 from tiny-imagenet-100.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 3ae0148e025289452b631896784d2f74ee0732962f1930a3b8367acc3fee7952
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
TAXONOMY_1 = {
    "n01443537": "goldfish", "n01641577": "bullfrog", "n01698640": "American alligator", "n01768244": "trilobite",
    "n01774384": "black widow", "n01784675": "centipede", "n01882714": "koala", "n01917289": "brain coral",
    "n01945685": "slug", "n01983481": "American lobster", "n02002724": "black stork", "n02058221": "albatross",
    "n02085620": "Chihuahua", "n02099601": "golden retriever", "n02106662": "German shepherd", "n02123045": "tabby",
    "n02124075": "Egyptian cat", "n02129165": "lion", "n02165456": "ladybug", "n02206856": "bee",
    "n02231487": "walking stick", "n02236044": "mantis", "n02279972": "monarch", "n02321529": "sea cucumber",
    "n02395406": "hog", "n02410509": "bison", "n02423022": "gazelle", "n02480495": "orangutan", "n02486410": "baboon",
    "n02509815": "lesser panda", "n02669723": "academic gown", "n02730930": "apron", "n02788148": "bannister",
    "n02793495": "barn", "n02802426": "basketball", "n02814533": "beach wagon", "n02815834": "beaker",
    "n02837789": "bikini", "n02843684": "birdhouse", "n02892201": "brass", "n02909870": "bucket",
    "n02927161": "butcher shop", "n02950826": "cannon", "n02977058": "cash machine", "n02999410": "chain",
    "n03026506": "Christmas stocking", "n03085013": "computer keyboard", "n03100240": "convertible", "n03160309": "dam",
    "n03201208": "dining table", "n03255030": "dumbbell", "n03388043": "fountain", "n03400231": "frying pan",
    "n03424325": "gasmask", "n03447447": "gondola", "n03584254": "iPod", "n03617480": "kimono",
    "n03649909": "lawn mower", "n03670208": "limousine", "n03733131": "maypole", "n03770439": "miniskirt",
    "n03804744": "nail", "n03837869": "obelisk", "n03854065": "organ", "n03902125": "pay-phone",
    "n03937543": "pill bottle", "n03976657": "pole", "n03980874": "poncho", "n03992509": "potter's wheel",
    "n04023962": "punching bag", "n04070727": "refrigerator", "n04099969": "rocking chair", "n04133789": "sandal",
    "n04149813": "scoreboard", "n04251144": "snorkel", "n04259630": "sombrero", "n04275548": "spider web",
    "n04311004": "steel arch bridge", "n04356056": "sunglasses", "n04371430": "swimming trunks", "n04398044": "teapot",
    "n04417672": "thatch", "n04465501": "tractor", "n04487081": "trolleybus", "n04507155": "umbrella",
    "n04532670": "viaduct", "n04560804": "water jug", "n04596742": "wok", "n06596364": "comic book",
    "n07583066": "guacamole", "n07615774": "ice lolly", "n07711569": "mashed potato", "n07720875": "bell pepper",
    "n07747607": "orange", "n07753592": "banana", "n07871810": "meat loaf", "n07875152": "potpie", "n09193705": "alp",
    "n09256479": "coral reef", "n09428293": "seashore",
}
# fmt: on


class PHL(HierarchicalNetwork):
    """100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,778,768 params and 0.1000 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    taxonomy = TAXONOMY_1
    classes = CLASSES
    input_size = (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # (B, 3, 128, 128) -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=(3, 128, 128))
        # -> (B, 100, 29, 4, 4)
        self.level1 = Siblings(100, [Bottlenecks(112, 8, 29, depth=3, stride=2), Bottlenecks(29, 8, 29, depth=3)])
        # -> (B, 100)
        self.head = ClassHeads(100, 29)


register(PHL, "tiny_imagenet_100_phl")

# fmt: off
TAXONOMY_2 = {
    "other vertebrate": {
        "n01443537": "goldfish", "n01641577": "bullfrog", "n01698640": "American alligator", "n02002724": "black stork",
        "n02058221": "albatross",
    },
    "invertebrate": {
        "n01768244": "trilobite", "n01774384": "black widow", "n01784675": "centipede", "n01917289": "brain coral",
        "n01945685": "slug", "n01983481": "American lobster", "n02165456": "ladybug", "n02206856": "bee",
        "n02231487": "walking stick", "n02236044": "mantis", "n02279972": "monarch", "n02321529": "sea cucumber",
    },
    "mammal": {
        "n01882714": "koala", "n02085620": "Chihuahua", "n02099601": "golden retriever", "n02106662": "German shepherd",
        "n02123045": "tabby", "n02124075": "Egyptian cat", "n02129165": "lion", "n02395406": "hog",
        "n02410509": "bison", "n02423022": "gazelle", "n02480495": "orangutan", "n02486410": "baboon",
        "n02509815": "lesser panda",
    },
    "consumer goods": {
        "n02669723": "academic gown", "n02730930": "apron", "n02837789": "bikini", "n03026506": "Christmas stocking",
        "n03617480": "kimono", "n03770439": "miniskirt", "n03980874": "poncho", "n04070727": "refrigerator",
        "n04259630": "sombrero", "n04371430": "swimming trunks",
    },
    "structure": {
        "n02788148": "bannister", "n02793495": "barn", "n02892201": "brass", "n02927161": "butcher shop",
        "n03160309": "dam", "n03388043": "fountain", "n03837869": "obelisk", "n04311004": "steel arch bridge",
        "n04532670": "viaduct",
    },
    "equipment": {
        "n02802426": "basketball", "n03085013": "computer keyboard", "n03255030": "dumbbell", "n03584254": "iPod",
        "n03902125": "pay-phone", "n04023962": "punching bag",
    },
    "conveyance": {
        "n02814533": "beach wagon", "n03100240": "convertible", "n03447447": "gondola", "n03670208": "limousine",
        "n04465501": "tractor", "n04487081": "trolleybus",
    },
    "other instrumentality": {
        "n02815834": "beaker", "n02909870": "bucket", "n02999410": "chain", "n03201208": "dining table",
        "n03400231": "frying pan", "n03649909": "lawn mower", "n03937543": "pill bottle", "n03976657": "pole",
        "n04099969": "rocking chair", "n04398044": "teapot", "n04560804": "water jug", "n04596742": "wok",
        "n06596364": "comic book",
    },
    "other artifact": {
        "n02843684": "birdhouse", "n03424325": "gasmask", "n04133789": "sandal", "n04149813": "scoreboard",
        "n04417672": "thatch", "n04507155": "umbrella",
    },
    "device": {
        "n02950826": "cannon", "n02977058": "cash machine", "n03733131": "maypole", "n03804744": "nail",
        "n03854065": "organ", "n03992509": "potter's wheel", "n04251144": "snorkel", "n04275548": "spider web",
        "n04356056": "sunglasses",
    },
    "matter": {
        "n07583066": "guacamole", "n07615774": "ice lolly", "n07711569": "mashed potato", "n07720875": "bell pepper",
        "n07871810": "meat loaf", "n07875152": "potpie",
    },
    "edible fruit": {"n07747607": "orange", "n07753592": "banana"},
    "geological formation": {"n09193705": "alp", "n09256479": "coral reef", "n09428293": "seashore"},
}
# fmt: on


class N2HL(HierarchicalNetwork):
    """13 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,776,612 params and 0.0977 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    taxonomy = TAXONOMY_2
    classes = CLASSES
    input_size = (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 128, 128) -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=(3, 128, 128))
        # -> (B, 13, 104, 4, 4)
        self.level1 = Siblings(13, [Bottlenecks(112, 24, 104, depth=3, stride=2)])
        # -> (B, 100, 16, 4, 4)
        self.level2 = Siblings(100, [Bottlenecks(104, 8, 16, depth=3)], parents=nest.parents(2))
        # -> (B, 100)
        self.head = ClassHeads(100, 16, parents=nest.heads)


register(N2HL, "tiny_imagenet_100_n2hl")

# fmt: off
TAXONOMY_3 = {
    "vertebrate": {
        "other vertebrate": {"n01443537": "goldfish", "n01641577": "bullfrog", "n01698640": "American alligator"},
        "other mammal": {"n01882714": "koala", "n02480495": "orangutan", "n02486410": "baboon"},
        "aquatic bird": {"n02002724": "black stork", "n02058221": "albatross"},
        "other carnivore": {
            "n02085620": "Chihuahua", "n02099601": "golden retriever", "n02106662": "German shepherd",
            "n02509815": "lesser panda",
        },
        "feline": {"n02123045": "tabby", "n02124075": "Egyptian cat", "n02129165": "lion"},
        "even-toed ungulate": {"n02395406": "hog", "n02410509": "bison", "n02423022": "gazelle"},
    },
    "invertebrate": {
        "other arthropod": {
            "n01768244": "trilobite", "n01774384": "black widow", "n01784675": "centipede",
            "n01983481": "American lobster",
        },
        "other invertebrate": {"n01917289": "brain coral", "n01945685": "slug", "n02321529": "sea cucumber"},
        "insect": {
            "n02165456": "ladybug", "n02206856": "bee", "n02231487": "walking stick", "n02236044": "mantis",
            "n02279972": "monarch",
        },
    },
    "consumer goods": {
        "other consumer goods": {"n02669723": "academic gown", "n04070727": "refrigerator"},
        "other clothing": {"n02730930": "apron", "n03026506": "Christmas stocking", "n04259630": "sombrero"},
        "swimsuit": {"n02837789": "bikini", "n04371430": "swimming trunks"},
        "other garment": {"n03617480": "kimono", "n03770439": "miniskirt", "n03980874": "poncho"},
    },
    "structure": {
        "barrier": {"n02788148": "bannister", "n03160309": "dam"},
        "other structure": {
            "n02793495": "barn", "n02892201": "brass", "n02927161": "butcher shop", "n03388043": "fountain",
            "n03837869": "obelisk",
        },
        "bridge": {"n04311004": "steel arch bridge", "n04532670": "viaduct"},
    },
    "equipment": {
        "other equipment": {"n02802426": "basketball", "n03255030": "dumbbell", "n04023962": "punching bag"},
        "electronic equipment": {"n03085013": "computer keyboard", "n03584254": "iPod", "n03902125": "pay-phone"},
    },
    "other instrumentality": {
        "conveyance": {
            "n02814533": "beach wagon", "n03100240": "convertible", "n03447447": "gondola", "n03670208": "limousine",
            "n04465501": "tractor", "n04487081": "trolleybus",
        },
        "other vessel": {"n02815834": "beaker", "n02909870": "bucket"},
        "other instrumentality": {"n02999410": "chain", "n06596364": "comic book"},
        "furniture": {"n03201208": "dining table", "n04099969": "rocking chair"},
        "bottle": {"n03937543": "pill bottle", "n04560804": "water jug"},
    },
    "other artifact": {
        "protective covering": {"n02843684": "birdhouse", "n04417672": "thatch", "n04507155": "umbrella"},
        "other covering": {"n03424325": "gasmask", "n04133789": "sandal"},
        "scoreboard": {"n04149813": "scoreboard"},
    },
    "device": {
        "instrument": {"n02950826": "cannon", "n04356056": "sunglasses"},
        "other device": {
            "n02977058": "cash machine", "n03733131": "maypole", "n03804744": "nail", "n03854065": "organ",
            "n03992509": "potter's wheel", "n04251144": "snorkel", "n04275548": "spider web",
        },
    },
    "implement": {
        "cooking utensil": {"n03400231": "frying pan", "n04398044": "teapot", "n04596742": "wok"},
        "other implement": {"n03649909": "lawn mower", "n03976657": "pole"},
    },
    "matter": {
        "other food": {"n07583066": "guacamole", "n07615774": "ice lolly"},
        "solanaceous vegetable": {"n07711569": "mashed potato", "n07720875": "bell pepper"},
        "dish": {"n07871810": "meat loaf", "n07875152": "potpie"},
    },
    "edible fruit": {
        "orange": {"n07747607": "orange"},
        "banana": {"n07753592": "banana"},
    },
    "geological formation": {
        "natural elevation": {"n09193705": "alp", "n09256479": "coral reef"},
        "seashore": {"n09428293": "seashore"},
    },
}
# fmt: on


class N3HL(HierarchicalNetwork):
    """12 → 37 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,794,308 params and 0.0978 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    taxonomy = TAXONOMY_3
    classes = CLASSES
    input_size = (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 128, 128) -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=(3, 128, 128))
        # -> (B, 12, 96, 4, 4)
        self.level1 = Siblings(12, [Bottlenecks(112, 24, 96, depth=3, stride=2)])
        # -> (B, 37, 40, 4, 4)
        self.level2 = Siblings(37, [Bottlenecks(96, 8, 40, depth=3)], parents=nest.parents(2))
        # -> (B, 100, 8, 4, 4)
        self.level3 = Siblings(100, [Bottlenecks(40, 8, 8, depth=3)], parents=nest.parents(3))
        # -> (B, 100)
        self.head = ClassHeads(100, 8, parents=nest.heads)


register(N3HL, "tiny_imagenet_100_n3hl")

# fmt: off
TAXONOMY_4 = {
    "vertebrate": {
        "other vertebrate": {
            "other vertebrate": {"n01443537": "goldfish", "n01641577": "bullfrog", "n01698640": "American alligator"},
            "aquatic bird": {"n02002724": "black stork", "n02058221": "albatross"},
        },
        "mammal": {
            "other mammal": {"n01882714": "koala", "n02480495": "orangutan", "n02486410": "baboon"},
            "other carnivore": {
                "n02085620": "Chihuahua", "n02099601": "golden retriever", "n02106662": "German shepherd",
                "n02509815": "lesser panda",
            },
            "feline": {"n02123045": "tabby", "n02124075": "Egyptian cat", "n02129165": "lion"},
            "even-toed ungulate": {"n02395406": "hog", "n02410509": "bison", "n02423022": "gazelle"},
        },
    },
    "invertebrate": {
        "arthropod": {
            "other arthropod": {
                "n01768244": "trilobite", "n01774384": "black widow", "n01784675": "centipede",
                "n01983481": "American lobster",
            },
            "insect": {
                "n02165456": "ladybug", "n02206856": "bee", "n02231487": "walking stick", "n02236044": "mantis",
                "n02279972": "monarch",
            },
        },
        "other invertebrate": {
            "other invertebrate": {"n01917289": "brain coral", "n01945685": "slug"},
            "sea cucumber": {"n02321529": "sea cucumber"},
        },
    },
    "other artifact": {
        "consumer goods": {
            "other consumer goods": {"n02669723": "academic gown", "n04070727": "refrigerator"},
            "other clothing": {"n02730930": "apron", "n03026506": "Christmas stocking", "n04259630": "sombrero"},
            "swimsuit": {"n02837789": "bikini", "n04371430": "swimming trunks"},
            "other garment": {"n03617480": "kimono", "n03770439": "miniskirt", "n03980874": "poncho"},
        },
        "covering": {
            "protective covering": {"n02843684": "birdhouse", "n04417672": "thatch", "n04507155": "umbrella"},
            "other covering": {"n03424325": "gasmask", "n04133789": "sandal"},
        },
        "scoreboard": {"scoreboard": {"n04149813": "scoreboard"}},
    },
    "structure": {
        "other structure.n.01": {
            "barrier": {"n02788148": "bannister", "n03160309": "dam"},
            "bridge": {"n04311004": "steel arch bridge", "n04532670": "viaduct"},
        },
        "other structure": {
            "other structure": {
                "n02793495": "barn", "n02892201": "brass", "n02927161": "butcher shop", "n03837869": "obelisk",
            },
            "fountain": {"n03388043": "fountain"},
        },
    },
    "instrumentality": {
        "equipment": {
            "other equipment": {"n02802426": "basketball", "n03255030": "dumbbell", "n04023962": "punching bag"},
            "electronic equipment": {"n03085013": "computer keyboard", "n03584254": "iPod", "n03902125": "pay-phone"},
        },
        "other instrumentality": {
            "conveyance": {
                "n02814533": "beach wagon", "n03100240": "convertible", "n03447447": "gondola",
                "n03670208": "limousine", "n04465501": "tractor", "n04487081": "trolleybus",
            },
            "other instrumentality": {"n02999410": "chain", "n06596364": "comic book"},
            "furniture": {"n03201208": "dining table", "n04099969": "rocking chair"},
        },
        "vessel": {
            "other vessel": {"n02815834": "beaker", "n02909870": "bucket"},
            "bottle": {"n03937543": "pill bottle", "n04560804": "water jug"},
        },
        "device": {
            "instrument": {"n02950826": "cannon", "n04356056": "sunglasses"},
            "other device": {
                "n02977058": "cash machine", "n03733131": "maypole", "n03804744": "nail", "n03854065": "organ",
                "n03992509": "potter's wheel", "n04251144": "snorkel", "n04275548": "spider web",
            },
        },
        "implement": {
            "cooking utensil": {"n03400231": "frying pan", "n04398044": "teapot", "n04596742": "wok"},
            "other implement": {"n03649909": "lawn mower", "n03976657": "pole"},
        },
    },
    "matter": {
        "food": {
            "other food": {"n07583066": "guacamole", "n07615774": "ice lolly"},
            "dish": {"n07871810": "meat loaf", "n07875152": "potpie"},
        },
        "solanaceous vegetable": {
            "mashed potato": {"n07711569": "mashed potato"},
            "bell pepper": {"n07720875": "bell pepper"},
        },
    },
    "edible fruit": {
        "orange": {"orange": {"n07747607": "orange"}},
        "banana": {"banana": {"n07753592": "banana"}},
    },
    "geological formation": {
        "natural elevation": {
            "alp": {"n09193705": "alp"},
            "coral reef": {"n09256479": "coral reef"},
        },
        "seashore": {"seashore": {"n09428293": "seashore"}},
    },
}
# fmt: on


class N4HL(HierarchicalNetwork):
    """8 → 20 → 41 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,787,908 params and 0.0971 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    taxonomy = TAXONOMY_4
    classes = CLASSES
    input_size = (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 128, 128) -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=(3, 128, 128))
        # -> (B, 8, 96, 4, 4)
        self.level1 = Siblings(8, [Bottlenecks(112, 24, 96, depth=3, stride=2)])
        # -> (B, 20, 40, 4, 4)
        self.level2 = Siblings(20, [Bottlenecks(96, 16, 40, depth=3)], parents=nest.parents(2))
        # -> (B, 41, 24, 4, 4)
        self.level3 = Siblings(41, [Bottlenecks(40, 8, 24, depth=3)], parents=nest.parents(3))
        # -> (B, 100, 8, 4, 4)
        self.level4 = Siblings(100, [Bottlenecks(24, 8, 8, depth=3)], parents=nest.parents(4))
        # -> (B, 100)
        self.head = ClassHeads(100, 8, parents=nest.heads)


register(N4HL, "tiny_imagenet_100_n4hl")


class PHL1branch(HierarchicalNetwork):
    """1 branch on tf_efficientnet_lite0 up to blocks.4.

    1,796,180 params and 0.0967 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    taxonomy = TAXONOMY_1
    classes = CLASSES
    input_size = (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # (B, 3, 128, 128) -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=(3, 128, 128))
        # -> (B, 1, 456, 4, 4)
        self.level1 = Siblings(1, [Bottlenecks(112, 96, 456, depth=3, stride=2), Bottlenecks(456, 96, 456, depth=3)])
        # -> (B, 100)
        self.head = ClassHeads(100, 456, parents=[0] * 100)


register(PHL1branch, "tiny_imagenet_100_phl1branch")
