"""N3HL for the 100 classes of tiny-imagenet-100-weights.

Written by hiergen 0.2.0.dev0 from tiny-imagenet-100-weights.yaml: to change it, edit that file and run `hiergen build`
on it.
plan sha256: 358df4a8c0de770475cfcabb31453454140a441f836bb28b54b79f44975b12dd
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
NESTING_3 = Nesting.from_tree({
    "mostly invertebrate": {
        "like bullfrog": ["n01443537", "n01641577", "n01698640"],
        "invertebrate": ["n01768244", "n01784675", "n01945685", "n02321529"],
        "like black widow": ["n01774384", "n04275548"],
        "like brain coral": ["n01917289", "n09256479"],
        "insect like bee": ["n02165456", "n02206856", "n02279972"],
        "insect like walking stick": ["n02231487", "n02236044"],
    },
    "vertebrate": {
        "like lesser panda": ["n01882714", "n02480495", "n02509815"],
        "mostly aquatic bird": ["n02002724", "n02058221", "n02423022"],
        "like lion": ["n02129165", "n02410509", "n02486410"],
    },
    "mostly produce": {
        "like ice lolly": ["n01983481", "n07615774", "n07720875"],
        "edible fruit": ["n07747607", "n07753592"],
    },
    "domestic animal": {
        "dog": ["n02085620", "n02099601", "n02106662"],
        "domestic cat": ["n02123045", "n02124075"],
    },
    "like punching bag": {
        "like butcher shop": ["n02395406", "n02927161", "n03992509"],
        "mostly ball": ["n02802426", "n03255030", "n04023962"],
        "like pay-phone": ["n02977058", "n03902125", "n04070727"],
        "like chain": ["n02999410", "n03804744"],
    },
    "like brass": {
        "like cannon": ["n02669723", "n02892201", "n02950826", "n04149813"],
        "like bannister": ["n02788148", "n03854065"],
        "mostly protective covering": ["n02793495", "n02843684", "n04417672"],
        "like fountain": ["n03388043", "n03837869"],
        "like lawn mower": ["n03649909", "n04465501"],
    },
    "mostly covering": {
        "clothing": ["n02730930", "n03026506", "n03617480", "n03980874"],
        "furniture": ["n03201208", "n04099969"],
        "like umbrella": ["n03447447", "n04259630", "n04507155"],
    },
    "mostly conveyance": {
        "car": ["n02814533", "n03100240", "n03670208"],
        "like maypole": ["n03733131", "n03976657", "n04487081"],
    },
    "mostly vessel": {
        "vessel like pill bottle": ["n02815834", "n02909870", "n03937543"],
        "electronic equipment": ["n03085013", "n03584254"],
        "vessel like teapot": ["n04398044", "n04560804"],
    },
    "like bikini": {
        "mostly swimsuit": ["n02837789", "n03770439", "n04371430"],
        "like gasmask": ["n03424325", "n04251144", "n06596364"],
        "like sandal": ["n04133789", "n04356056"],
    },
    "like steel arch bridge": {
        "mostly bridge": ["n03160309", "n04311004", "n04532670"],
        "geological formation": ["n09193705", "n09428293"],
    },
    "mostly food": {
        "pan": ["n03400231", "n04596742"],
        "food": ["n07583066", "n07711569", "n07871810", "n07875152"],
    },
}, CLASSES)
# fmt: on


@register("tiny_imagenet_100_weights_n3hl")
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
