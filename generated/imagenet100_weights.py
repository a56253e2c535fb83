"""N3HL for the 100 classes of imagenet100-weights.

Written by hiergen 0.2.0.dev0 from imagenet100-weights.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 4ef989ddea35974395f835a1fd5256ed1048a4723cfcb63047c1154a363a1340
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
NESTING_3 = Nesting.from_tree({
    "like Komodo dragon": {
        "mostly cyprinid": ["n01440764", "n01443537", "n01632777"],
        "like common iguana": ["n01677366", "n01695060", "n01698640"],
        "like sea snake": ["n01751748", "n02077923"],
        "marsupial": ["n01877812", "n01883070"],
    },
    "elasmobranch": {
        "shark": ["n01484850", "n01491361", "n01494475"],
        "ray": ["n01496331", "n01498041"],
    },
    "like hen": {
        "like cock": ["n01514668", "n01514859"],
        "grouse": ["n01795545", "n01796340", "n01798484"],
        "like peacock": ["n01806143", "n02018795"],
    },
    "mostly oscine": {
        "mostly finch": ["n01531178", "n01537544", "n01828970"],
        "mostly oscine like chickadee": ["n01560419", "n01592084", "n01601694", "n01833805"],
    },
    "like toucan": {
        "like hornbill": ["n01582220", "n01824575", "n01829413", "n01843383"],
        "bird of prey": ["n01608432", "n01614925", "n01622779"],
        "parrot": ["n01818515", "n01819313", "n01820546"],
    },
    "like whiptail": {
        "amphibian": ["n01630670", "n01632458", "n01644900"],
        "lizard": ["n01675722", "n01685808", "n01687978", "n01693334"],
    },
    "turtle": {
        "sea turtle": ["n01664065", "n01665541"],
        "turtle like mud turtle": ["n01667114", "n01667778"],
    },
    "snake": {
        "mostly colubrid snake": ["n01728572", "n01734418", "n01735189", "n01740131", "n01742172"],
        "mostly viper": ["n01729322", "n01753488", "n01755581", "n01756291"],
        "like green snake": ["n01729977", "n01739381", "n01749939"],
    },
    "arachnid": {
        "arachnid like harvestman": ["n01770081", "n01774384", "n01776313"],
        "arachnid like wolf spider": ["n01770393", "n01774750", "n01775062"],
        "spider": ["n01773157", "n01773549", "n01773797"],
    },
    "aquatic bird": {
        "like goose": ["n01847000", "n01855672", "n01860187", "n02018207", "n02058221"],
        "mostly wading bird": ["n02002556", "n02006656", "n02007558", "n02012849", "n02051845"],
        "like bittern": ["n02011460", "n02013706"],
        "shorebird": ["n02027492", "n02028035", "n02037110"],
    },
    "invertebrate": {
        "like flatworm": ["n01910747", "n01914609", "n01924916", "n01930112", "n01950731", "n01955084"],
        "mostly mollusk": ["n01943899", "n01944390", "n01968897", "n01986214"],
    },
    "decapod crustacean": {
        "crab": ["n01978287", "n01978455"],
        "decapod crustacean like spiny lobster": ["n01984695", "n01985128"],
    },
}, CLASSES)
# fmt: on


@register("imagenet100_weights_n3hl")
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
