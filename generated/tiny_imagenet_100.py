"""PHL, N2HL, N3HL, N4HL and PHL1branch for the 100 classes of tiny-imagenet-100.

Written by hiergen 0.2.0.dev0 from tiny-imagenet-100.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 04f56b1c3f7ef496f4537b449659c859b3709151ab066a8a956bae8a5be60e02
"""

from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nesting, Siblings, Trunk, register

# fmt: off
CLASSES = {  # id → name, in the order of the logits
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
NESTING_1 = Nesting.from_tree(CLASSES, CLASSES)
NESTING_2 = Nesting.from_tree({
    "other vertebrate": ["n01443537", "n01641577", "n01698640", "n02002724", "n02058221"],
    "invertebrate": [
        "n01768244", "n01774384", "n01784675", "n01917289", "n01945685", "n01983481", "n02165456", "n02206856",
        "n02231487", "n02236044", "n02279972", "n02321529",
    ],
    "mammal": [
        "n01882714", "n02085620", "n02099601", "n02106662", "n02123045", "n02124075", "n02129165", "n02395406",
        "n02410509", "n02423022", "n02480495", "n02486410", "n02509815",
    ],
    "consumer goods": [
        "n02669723", "n02730930", "n02837789", "n03026506", "n03617480", "n03770439", "n03980874", "n04070727",
        "n04259630", "n04371430",
    ],
    "structure": [
        "n02788148", "n02793495", "n02892201", "n02927161", "n03160309", "n03388043", "n03837869", "n04311004",
        "n04532670",
    ],
    "equipment": ["n02802426", "n03085013", "n03255030", "n03584254", "n03902125", "n04023962"],
    "conveyance": ["n02814533", "n03100240", "n03447447", "n03670208", "n04465501", "n04487081"],
    "other instrumentality": [
        "n02815834", "n02909870", "n02999410", "n03201208", "n03400231", "n03649909", "n03937543", "n03976657",
        "n04099969", "n04398044", "n04560804", "n04596742", "n06596364",
    ],
    "other artifact": ["n02843684", "n03424325", "n04133789", "n04149813", "n04417672", "n04507155"],
    "device": [
        "n02950826", "n02977058", "n03733131", "n03804744", "n03854065", "n03992509", "n04251144", "n04275548",
        "n04356056",
    ],
    "matter": ["n07583066", "n07615774", "n07711569", "n07720875", "n07871810", "n07875152"],
    "edible fruit": ["n07747607", "n07753592"],
    "geological formation": ["n09193705", "n09256479", "n09428293"],
}, CLASSES)
NESTING_3 = Nesting.from_tree({
    "vertebrate": {
        "other vertebrate": ["n01443537", "n01641577", "n01698640"],
        "other mammal": ["n01882714", "n02480495", "n02486410"],
        "aquatic bird": ["n02002724", "n02058221"],
        "other carnivore": ["n02085620", "n02099601", "n02106662", "n02509815"],
        "feline": ["n02123045", "n02124075", "n02129165"],
        "even-toed ungulate": ["n02395406", "n02410509", "n02423022"],
    },
    "invertebrate": {
        "other arthropod": ["n01768244", "n01774384", "n01784675", "n01983481"],
        "other invertebrate": ["n01917289", "n01945685", "n02321529"],
        "insect": ["n02165456", "n02206856", "n02231487", "n02236044", "n02279972"],
    },
    "consumer goods": {
        "other consumer goods": ["n02669723", "n04070727"],
        "other clothing": ["n02730930", "n03026506", "n04259630"],
        "swimsuit": ["n02837789", "n04371430"],
        "other garment": ["n03617480", "n03770439", "n03980874"],
    },
    "structure": {
        "barrier": ["n02788148", "n03160309"],
        "other structure": ["n02793495", "n02892201", "n02927161", "n03388043", "n03837869"],
        "bridge": ["n04311004", "n04532670"],
    },
    "equipment": {
        "other equipment": ["n02802426", "n03255030", "n04023962"],
        "electronic equipment": ["n03085013", "n03584254", "n03902125"],
    },
    "other instrumentality": {
        "conveyance": ["n02814533", "n03100240", "n03447447", "n03670208", "n04465501", "n04487081"],
        "other vessel": ["n02815834", "n02909870"],
        "other instrumentality": ["n02999410", "n06596364"],
        "furniture": ["n03201208", "n04099969"],
        "bottle": ["n03937543", "n04560804"],
    },
    "other artifact": {
        "protective covering": ["n02843684", "n04417672", "n04507155"],
        "other covering": ["n03424325", "n04133789"],
        "scoreboard": ["n04149813"],
    },
    "device": {
        "instrument": ["n02950826", "n04356056"],
        "other device": ["n02977058", "n03733131", "n03804744", "n03854065", "n03992509", "n04251144", "n04275548"],
    },
    "implement": {
        "cooking utensil": ["n03400231", "n04398044", "n04596742"],
        "other implement": ["n03649909", "n03976657"],
    },
    "matter": {
        "other food": ["n07583066", "n07615774"],
        "solanaceous vegetable": ["n07711569", "n07720875"],
        "dish": ["n07871810", "n07875152"],
    },
    "edible fruit": {
        "orange": ["n07747607"],
        "banana": ["n07753592"],
    },
    "geological formation": {
        "natural elevation": ["n09193705", "n09256479"],
        "seashore": ["n09428293"],
    },
}, CLASSES)
NESTING_4 = Nesting.from_tree({
    "vertebrate": {
        "other vertebrate": {
            "other vertebrate": ["n01443537", "n01641577", "n01698640"],
            "aquatic bird": ["n02002724", "n02058221"],
        },
        "mammal": {
            "other mammal": ["n01882714", "n02480495", "n02486410"],
            "other carnivore": ["n02085620", "n02099601", "n02106662", "n02509815"],
            "feline": ["n02123045", "n02124075", "n02129165"],
            "even-toed ungulate": ["n02395406", "n02410509", "n02423022"],
        },
    },
    "invertebrate": {
        "arthropod": {
            "other arthropod": ["n01768244", "n01774384", "n01784675", "n01983481"],
            "insect": ["n02165456", "n02206856", "n02231487", "n02236044", "n02279972"],
        },
        "other invertebrate": {
            "other invertebrate": ["n01917289", "n01945685"],
            "sea cucumber": ["n02321529"],
        },
    },
    "other artifact": {
        "consumer goods": {
            "other consumer goods": ["n02669723", "n04070727"],
            "other clothing": ["n02730930", "n03026506", "n04259630"],
            "swimsuit": ["n02837789", "n04371430"],
            "other garment": ["n03617480", "n03770439", "n03980874"],
        },
        "covering": {
            "protective covering": ["n02843684", "n04417672", "n04507155"],
            "other covering": ["n03424325", "n04133789"],
        },
        "scoreboard": {"scoreboard": ["n04149813"]},
    },
    "structure": {
        "other structure.n.01": {
            "barrier": ["n02788148", "n03160309"],
            "bridge": ["n04311004", "n04532670"],
        },
        "other structure": {
            "other structure": ["n02793495", "n02892201", "n02927161", "n03837869"],
            "fountain": ["n03388043"],
        },
    },
    "instrumentality": {
        "equipment": {
            "other equipment": ["n02802426", "n03255030", "n04023962"],
            "electronic equipment": ["n03085013", "n03584254", "n03902125"],
        },
        "other instrumentality": {
            "conveyance": ["n02814533", "n03100240", "n03447447", "n03670208", "n04465501", "n04487081"],
            "other instrumentality": ["n02999410", "n06596364"],
            "furniture": ["n03201208", "n04099969"],
        },
        "vessel": {
            "other vessel": ["n02815834", "n02909870"],
            "bottle": ["n03937543", "n04560804"],
        },
        "device": {
            "instrument": ["n02950826", "n04356056"],
            "other device": ["n02977058", "n03733131", "n03804744", "n03854065", "n03992509", "n04251144", "n04275548"],
        },
        "implement": {
            "cooking utensil": ["n03400231", "n04398044", "n04596742"],
            "other implement": ["n03649909", "n03976657"],
        },
    },
    "matter": {
        "food": {
            "other food": ["n07583066", "n07615774"],
            "dish": ["n07871810", "n07875152"],
        },
        "solanaceous vegetable": {
            "mashed potato": ["n07711569"],
            "bell pepper": ["n07720875"],
        },
    },
    "edible fruit": {
        "orange": {"orange": ["n07747607"]},
        "banana": {"banana": ["n07753592"]},
    },
    "geological formation": {
        "natural elevation": {
            "alp": ["n09193705"],
            "coral reef": ["n09256479"],
        },
        "seashore": {"seashore": ["n09428293"]},
    },
}, CLASSES)
# fmt: on


@register("tiny_imagenet_100_phl")
class PHL(HierarchicalNetwork):
    """100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,778,768 params and 0.1000 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=self.input_size)
        # -> (B, 100, 29, 4, 4)
        self.level1 = Siblings(100, [Bottlenecks(112, 8, 29, depth=3, stride=2), Bottlenecks(29, 8, 29, depth=3)])
        self.head = ClassHeads(100, 29)  # -> (B, 100)


@register("tiny_imagenet_100_n2hl")
class N2HL(HierarchicalNetwork):
    """13 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,776,612 params and 0.0977 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    nesting, input_size = NESTING_2, (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(13, [Bottlenecks(112, 24, 104, depth=3, stride=2)])  # -> (B, 13, 104, 4, 4)
        # -> (B, 100, 16, 4, 4)
        self.level2 = Siblings(100, [Bottlenecks(104, 8, 16, depth=3)], parents=self.nesting.parents(2))
        self.head = ClassHeads(100, 16, parents=self.nesting.heads)  # -> (B, 100)


@register("tiny_imagenet_100_n3hl")
class N3HL(HierarchicalNetwork):
    """12 → 37 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,794,308 params and 0.0978 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    nesting, input_size = NESTING_3, (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(12, [Bottlenecks(112, 24, 96, depth=3, stride=2)])  # -> (B, 12, 96, 4, 4)
        # -> (B, 37, 40, 4, 4)
        self.level2 = Siblings(37, [Bottlenecks(96, 8, 40, depth=3)], parents=self.nesting.parents(2))
        # -> (B, 100, 8, 4, 4)
        self.level3 = Siblings(100, [Bottlenecks(40, 8, 8, depth=3)], parents=self.nesting.parents(3))
        self.head = ClassHeads(100, 8, parents=self.nesting.heads)  # -> (B, 100)


@register("tiny_imagenet_100_n4hl")
class N4HL(HierarchicalNetwork):
    """8 → 20 → 41 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,787,908 params and 0.0971 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    nesting, input_size = NESTING_4, (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(8, [Bottlenecks(112, 24, 96, depth=3, stride=2)])  # -> (B, 8, 96, 4, 4)
        # -> (B, 20, 40, 4, 4)
        self.level2 = Siblings(20, [Bottlenecks(96, 16, 40, depth=3)], parents=self.nesting.parents(2))
        # -> (B, 41, 24, 4, 4)
        self.level3 = Siblings(41, [Bottlenecks(40, 8, 24, depth=3)], parents=self.nesting.parents(3))
        # -> (B, 100, 8, 4, 4)
        self.level4 = Siblings(100, [Bottlenecks(24, 8, 8, depth=3)], parents=self.nesting.parents(4))
        self.head = ClassHeads(100, 8, parents=self.nesting.heads)  # -> (B, 100)


@register("tiny_imagenet_100_phl1branch")
class PHL1branch(HierarchicalNetwork):
    """1 branch on tf_efficientnet_lite0 up to blocks.4.

    1,796,180 params and 0.0967 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    nesting, input_size = NESTING_1, (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=self.input_size)
        # -> (B, 1, 456, 4, 4)
        self.level1 = Siblings(1, [Bottlenecks(112, 96, 456, depth=3, stride=2), Bottlenecks(456, 96, 456, depth=3)])
        self.head = ClassHeads(100, 456, parents=[0] * 100)  # -> (B, 100)
