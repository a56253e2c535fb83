"""N2HL for the 100 classes of tiny-imagenet-100-found.

Written by hiergen 0.2.0.dev0 from tiny-imagenet-100-found.yaml: to change it, edit that file and run `hiergen build` on
it.
plan sha256: 23037e75da14dd22f2a84a3058e8b5c4f3e4cbefe63b085ffca24f84458ba734
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
NESTING_2 = Nesting.from_tree({
    "like goldfish": [
        "n01443537", "n01641577", "n01698640", "n01768244", "n01917289", "n02321529", "n04251144", "n09256479",
    ],
    "mostly arthropod": [
        "n01774384", "n01784675", "n01945685", "n02165456", "n02206856", "n02231487", "n02236044", "n02279972",
        "n03804744", "n04275548",
    ],
    "mostly mammal": [
        "n01882714", "n02002724", "n02058221", "n02085620", "n02099601", "n02106662", "n02129165", "n02395406",
        "n02410509", "n02423022", "n02480495", "n02486410", "n02509815",
    ],
    "like American lobster": [
        "n01983481", "n02927161", "n02977058", "n02999410", "n03255030", "n03424325", "n03902125", "n03992509",
        "n04023962", "n04070727", "n06596364",
    ],
    "domestic cat": ["n02123045", "n02124075"],
    "like academic gown": [
        "n02669723", "n02788148", "n02843684", "n02892201", "n02950826", "n03388043", "n03447447", "n03649909",
        "n03733131", "n03837869", "n03854065", "n03976657", "n04149813", "n04465501", "n04487081",
    ],
    "mostly clothing": [
        "n02730930", "n02837789", "n03026506", "n03617480", "n03770439", "n03980874", "n04259630", "n04371430",
        "n04507155",
    ],
    "like barn": ["n02793495", "n03160309", "n04311004", "n04417672", "n04532670", "n09193705", "n09428293"],
    "like basketball": [
        "n02802426", "n02815834", "n02909870", "n03085013", "n03201208", "n03584254", "n03937543", "n04099969",
        "n04133789", "n04356056", "n04398044", "n04560804",
    ],
    "car": ["n02814533", "n03100240", "n03670208"],
    "pan": ["n03400231", "n04596742"],
    "food": ["n07583066", "n07711569", "n07871810", "n07875152"],
    "mostly produce": ["n07615774", "n07720875", "n07747607", "n07753592"],
}, CLASSES)
# fmt: on


@register("tiny_imagenet_100_found_n2hl")
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
