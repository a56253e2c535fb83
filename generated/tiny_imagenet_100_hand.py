"""N2HL and N3HL for the 100 classes of tiny-imagenet-100-hand.

Written by hiergen 0.2.0.dev0 from tiny-imagenet-100-hand.yaml: to change it, edit that file and run `hiergen build` on
it.
plan sha256: e6019eb7a021b62deb673980c4536c3a86d4b1ed69c9f310bd61cc919879c9fb
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
GROUPS = {  # by hand, where a nesting lacks them
    "animal": [
        "n01443537", "n01641577", "n01698640", "n01768244", "n01774384", "n01784675", "n01882714", "n01917289",
        "n01945685", "n01983481", "n02002724", "n02058221", "n02085620", "n02099601", "n02106662", "n02123045",
        "n02124075", "n02129165", "n02165456", "n02206856", "n02231487", "n02236044", "n02279972", "n02321529",
        "n02395406", "n02410509", "n02423022", "n02480495", "n02486410", "n02509815", "n04275548", "n09256479",
    ],
    "worn": [
        "n02669723", "n02730930", "n02837789", "n03026506", "n03424325", "n03617480", "n03770439", "n03980874",
        "n04133789", "n04251144", "n04259630", "n04356056", "n04371430", "n04507155",
    ],
    "outdoors": [
        "n02788148", "n02793495", "n02814533", "n02843684", "n02927161", "n02950826", "n03100240", "n03160309",
        "n03388043", "n03447447", "n03649909", "n03670208", "n03733131", "n03837869", "n03976657", "n04149813",
        "n04311004", "n04417672", "n04465501", "n04487081", "n04532670", "n09193705", "n09428293",
    ],
    "indoors": [
        "n02802426", "n02815834", "n02892201", "n02909870", "n02977058", "n02999410", "n03085013", "n03201208",
        "n03255030", "n03400231", "n03584254", "n03804744", "n03854065", "n03902125", "n03937543", "n03992509",
        "n04023962", "n04070727", "n04099969", "n04398044", "n04560804", "n04596742", "n06596364",
    ],
    "food": ["n07583066", "n07615774", "n07711569", "n07720875", "n07747607", "n07753592", "n07871810", "n07875152"],
}
NESTING_2 = Nesting.from_tree({
    "scaled or feathered": ["n01443537", "n01641577", "n01698640", "n02002724", "n02058221"],
    "sea floor": ["n01768244", "n01917289", "n01945685", "n01983481", "n02321529", "n09256479"],
    "many-legged": [
        "n01774384", "n01784675", "n02165456", "n02206856", "n02231487", "n02236044", "n02279972", "n04275548",
    ],
    "furred": ["n01882714", "n02085620", "n02099601", "n02106662", "n02123045", "n02124075", "n02129165", "n02509815"],
    "hoofed or ape": ["n02395406", "n02410509", "n02423022", "n02480495", "n02486410"],
    "clothing": ["n02669723", "n02730930", "n02837789", "n03617480", "n03770439", "n03980874", "n04371430"],
    "building": ["n02788148", "n02793495", "n02843684", "n02927161", "n04149813", "n04417672"],
    "small thing": ["n02802426", "n02892201", "n02999410", "n03255030", "n03804744", "n04023962"],
    "vehicle": ["n02814533", "n02950826", "n03100240", "n03447447", "n03649909", "n03670208", "n04465501", "n04487081"],
    "vessel": ["n02815834", "n02909870", "n03400231", "n03937543", "n03992509", "n04398044", "n04560804", "n04596742"],
    "furniture or machine": [
        "n02977058", "n03085013", "n03201208", "n03584254", "n03854065", "n03902125", "n04070727", "n04099969",
        "n06596364",
    ],
    "accessory": ["n03026506", "n03424325", "n04133789", "n04251144", "n04259630", "n04356056", "n04507155"],
    "standing in the open": [
        "n03160309", "n03388043", "n03733131", "n03837869", "n03976657", "n04311004", "n04532670", "n09193705",
        "n09428293",
    ],
    "dish": ["n07583066", "n07615774", "n07711569", "n07871810", "n07875152"],
    "fruit": ["n07720875", "n07747607", "n07753592"],
}, CLASSES, {}, GROUPS)
NESTING_3 = Nesting.from_tree({
    "animal": {
        "scaled or feathered": ["n01443537", "n01641577", "n01698640", "n02002724", "n02058221"],
        "sea floor": ["n01768244", "n01917289", "n01945685", "n01983481", "n02321529", "n09256479"],
        "many-legged": [
            "n01774384", "n01784675", "n02165456", "n02206856", "n02231487", "n02236044", "n02279972", "n04275548",
        ],
        "furred": [
            "n01882714", "n02085620", "n02099601", "n02106662", "n02123045", "n02124075", "n02129165", "n02509815",
        ],
        "hoofed or ape": ["n02395406", "n02410509", "n02423022", "n02480495", "n02486410"],
    },
    "worn": {
        "clothing": ["n02669723", "n02730930", "n02837789", "n03617480", "n03770439", "n03980874", "n04371430"],
        "accessory": ["n03026506", "n03424325", "n04133789", "n04251144", "n04259630", "n04356056", "n04507155"],
    },
    "outdoors": {
        "building": ["n02788148", "n02793495", "n02843684", "n02927161", "n04149813", "n04417672"],
        "vehicle": [
            "n02814533", "n02950826", "n03100240", "n03447447", "n03649909", "n03670208", "n04465501", "n04487081",
        ],
        "standing in the open": [
            "n03160309", "n03388043", "n03733131", "n03837869", "n03976657", "n04311004", "n04532670", "n09193705",
            "n09428293",
        ],
    },
    "indoors": {
        "small thing": ["n02802426", "n02892201", "n02999410", "n03255030", "n03804744", "n04023962"],
        "vessel": [
            "n02815834", "n02909870", "n03400231", "n03937543", "n03992509", "n04398044", "n04560804", "n04596742",
        ],
        "furniture or machine": [
            "n02977058", "n03085013", "n03201208", "n03584254", "n03854065", "n03902125", "n04070727", "n04099969",
            "n06596364",
        ],
    },
    "food": {
        "dish": ["n07583066", "n07615774", "n07711569", "n07871810", "n07875152"],
        "fruit": ["n07720875", "n07747607", "n07753592"],
    },
}, CLASSES)
# fmt: on


@register("tiny_imagenet_100_hand_n2hl")
class N2HL(HierarchicalNetwork):
    """15 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,782,788 params and 0.0981 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    nesting, input_size = NESTING_2, (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(15, [Bottlenecks(112, 24, 112, depth=3, stride=2)])  # -> (B, 15, 112, 4, 4)
        # -> (B, 100, 8, 4, 4)
        self.level2 = Siblings(100, [Bottlenecks(112, 8, 8, depth=3)], parents=self.nesting.parents(2))
        self.head = ClassHeads(100, 8, parents=self.nesting.heads)  # -> (B, 100)


@register("tiny_imagenet_100_hand_n3hl")
class N3HL(HierarchicalNetwork):
    """5 → 15 → 100 branches on tf_efficientnet_lite0 up to blocks.4.

    1,797,188 params and 0.0972 GMACs at 128 px; flat tf_efficientnet_lite0: 3,499,108 params, 0.125 GMACs.
    """

    nesting, input_size = NESTING_3, (3, 128, 128)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        # -> (B, 112, 8, 8)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.4", pretrained=pretrained, input_size=self.input_size)
        self.level1 = Siblings(5, [Bottlenecks(112, 32, 128, depth=3, stride=2)])  # -> (B, 5, 128, 4, 4)
        # -> (B, 15, 64, 4, 4)
        self.level2 = Siblings(15, [Bottlenecks(128, 16, 64, depth=3)], parents=self.nesting.parents(2))
        # -> (B, 100, 16, 4, 4)
        self.level3 = Siblings(100, [Bottlenecks(64, 8, 16, depth=3)], parents=self.nesting.parents(3))
        self.head = ClassHeads(100, 16, parents=self.nesting.heads)  # -> (B, 100)
