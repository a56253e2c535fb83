"""N2HL, N3HL and N4HL for the 1000 classes of imagenet1k.

Written by hiergen 0.1.0 from imagenet1k.yaml: to change it, edit that file and run `hiergen build` on it.
plan sha256: 05137a805e215aa2f4ff44849ddf3335b335c599d17cd6a7cf08af1fac6a8b54
"""

from hiergen.nn import ClassHeads, ConvNeXts, HierarchicalNetwork, Nest, Siblings, Trunk, register

# fmt: off
# Class ids, in the order of the logits.
CLASSES = [
    "n01440764", "n01443537", "n01484850", "n01491361", "n01494475", "n01496331", "n01498041", "n01514668", "n01514859",
    "n01518878", "n01530575", "n01531178", "n01532829", "n01534433", "n01537544", "n01558993", "n01560419", "n01580077",
    "n01582220", "n01592084", "n01601694", "n01608432", "n01614925", "n01616318", "n01622779", "n01629819", "n01630670",
    "n01631663", "n01632458", "n01632777", "n01641577", "n01644373", "n01644900", "n01664065", "n01665541", "n01667114",
    "n01667778", "n01669191", "n01675722", "n01677366", "n01682714", "n01685808", "n01687978", "n01688243", "n01689811",
    "n01692333", "n01693334", "n01694178", "n01695060", "n01697457", "n01698640", "n01704323", "n01728572", "n01728920",
    "n01729322", "n01729977", "n01734418", "n01735189", "n01737021", "n01739381", "n01740131", "n01742172", "n01744401",
    "n01748264", "n01749939", "n01751748", "n01753488", "n01755581", "n01756291", "n01768244", "n01770081", "n01770393",
    "n01773157", "n01773549", "n01773797", "n01774384", "n01774750", "n01775062", "n01776313", "n01784675", "n01795545",
    "n01796340", "n01797886", "n01798484", "n01806143", "n01806567", "n01807496", "n01817953", "n01818515", "n01819313",
    "n01820546", "n01824575", "n01828970", "n01829413", "n01833805", "n01843065", "n01843383", "n01847000", "n01855032",
    "n01855672", "n01860187", "n01871265", "n01872401", "n01873310", "n01877812", "n01882714", "n01883070", "n01910747",
    "n01914609", "n01917289", "n01924916", "n01930112", "n01943899", "n01944390", "n01945685", "n01950731", "n01955084",
    "n01968897", "n01978287", "n01978455", "n01980166", "n01981276", "n01983481", "n01984695", "n01985128", "n01986214",
    "n01990800", "n02002556", "n02002724", "n02006656", "n02007558", "n02009229", "n02009912", "n02011460", "n02012849",
    "n02013706", "n02017213", "n02018207", "n02018795", "n02025239", "n02027492", "n02028035", "n02033041", "n02037110",
    "n02051845", "n02056570", "n02058221", "n02066245", "n02071294", "n02074367", "n02077923", "n02085620", "n02085782",
    "n02085936", "n02086079", "n02086240", "n02086646", "n02086910", "n02087046", "n02087394", "n02088094", "n02088238",
    "n02088364", "n02088466", "n02088632", "n02089078", "n02089867", "n02089973", "n02090379", "n02090622", "n02090721",
    "n02091032", "n02091134", "n02091244", "n02091467", "n02091635", "n02091831", "n02092002", "n02092339", "n02093256",
    "n02093428", "n02093647", "n02093754", "n02093859", "n02093991", "n02094114", "n02094258", "n02094433", "n02095314",
    "n02095570", "n02095889", "n02096051", "n02096177", "n02096294", "n02096437", "n02096585", "n02097047", "n02097130",
    "n02097209", "n02097298", "n02097474", "n02097658", "n02098105", "n02098286", "n02098413", "n02099267", "n02099429",
    "n02099601", "n02099712", "n02099849", "n02100236", "n02100583", "n02100735", "n02100877", "n02101006", "n02101388",
    "n02101556", "n02102040", "n02102177", "n02102318", "n02102480", "n02102973", "n02104029", "n02104365", "n02105056",
    "n02105162", "n02105251", "n02105412", "n02105505", "n02105641", "n02105855", "n02106030", "n02106166", "n02106382",
    "n02106550", "n02106662", "n02107142", "n02107312", "n02107574", "n02107683", "n02107908", "n02108000", "n02108089",
    "n02108422", "n02108551", "n02108915", "n02109047", "n02109525", "n02109961", "n02110063", "n02110185", "n02110341",
    "n02110627", "n02110806", "n02110958", "n02111129", "n02111277", "n02111500", "n02111889", "n02112018", "n02112137",
    "n02112350", "n02112706", "n02113023", "n02113186", "n02113624", "n02113712", "n02113799", "n02113978", "n02114367",
    "n02114548", "n02114712", "n02114855", "n02115641", "n02115913", "n02116738", "n02117135", "n02119022", "n02119789",
    "n02120079", "n02120505", "n02123045", "n02123159", "n02123394", "n02123597", "n02124075", "n02125311", "n02127052",
    "n02128385", "n02128757", "n02128925", "n02129165", "n02129604", "n02130308", "n02132136", "n02133161", "n02134084",
    "n02134418", "n02137549", "n02138441", "n02165105", "n02165456", "n02167151", "n02168699", "n02169497", "n02172182",
    "n02174001", "n02177972", "n02190166", "n02206856", "n02219486", "n02226429", "n02229544", "n02231487", "n02233338",
    "n02236044", "n02256656", "n02259212", "n02264363", "n02268443", "n02268853", "n02276258", "n02277742", "n02279972",
    "n02280649", "n02281406", "n02281787", "n02317335", "n02319095", "n02321529", "n02325366", "n02326432", "n02328150",
    "n02342885", "n02346627", "n02356798", "n02361337", "n02363005", "n02364673", "n02389026", "n02391049", "n02395406",
    "n02396427", "n02397096", "n02398521", "n02403003", "n02408429", "n02410509", "n02412080", "n02415577", "n02417914",
    "n02422106", "n02422699", "n02423022", "n02437312", "n02437616", "n02441942", "n02442845", "n02443114", "n02443484",
    "n02444819", "n02445715", "n02447366", "n02454379", "n02457408", "n02480495", "n02480855", "n02481823", "n02483362",
    "n02483708", "n02484975", "n02486261", "n02486410", "n02487347", "n02488291", "n02488702", "n02489166", "n02490219",
    "n02492035", "n02492660", "n02493509", "n02493793", "n02494079", "n02497673", "n02500267", "n02504013", "n02504458",
    "n02509815", "n02510455", "n02514041", "n02526121", "n02536864", "n02606052", "n02607072", "n02640242", "n02641379",
    "n02643566", "n02655020", "n02666196", "n02667093", "n02669723", "n02672831", "n02676566", "n02687172", "n02690373",
    "n02692877", "n02699494", "n02701002", "n02704792", "n02708093", "n02727426", "n02730930", "n02747177", "n02749479",
    "n02769748", "n02776631", "n02777292", "n02782093", "n02783161", "n02786058", "n02787622", "n02788148", "n02790996",
    "n02791124", "n02791270", "n02793495", "n02794156", "n02795169", "n02797295", "n02799071", "n02802426", "n02804414",
    "n02804610", "n02807133", "n02808304", "n02808440", "n02814533", "n02814860", "n02815834", "n02817516", "n02823428",
    "n02823750", "n02825657", "n02834397", "n02835271", "n02837789", "n02840245", "n02841315", "n02843684", "n02859443",
    "n02860847", "n02865351", "n02869837", "n02870880", "n02871525", "n02877765", "n02879718", "n02883205", "n02892201",
    "n02892767", "n02894605", "n02895154", "n02906734", "n02909870", "n02910353", "n02916936", "n02917067", "n02927161",
    "n02930766", "n02939185", "n02948072", "n02950826", "n02951358", "n02951585", "n02963159", "n02965783", "n02966193",
    "n02966687", "n02971356", "n02974003", "n02977058", "n02978881", "n02979186", "n02980441", "n02981792", "n02988304",
    "n02992211", "n02992529", "n02999410", "n03000134", "n03000247", "n03000684", "n03014705", "n03016953", "n03017168",
    "n03018349", "n03026506", "n03028079", "n03032252", "n03041632", "n03042490", "n03045698", "n03047690", "n03062245",
    "n03063599", "n03063689", "n03065424", "n03075370", "n03085013", "n03089624", "n03095699", "n03100240", "n03109150",
    "n03110669", "n03124043", "n03124170", "n03125729", "n03126707", "n03127747", "n03127925", "n03131574", "n03133878",
    "n03134739", "n03141823", "n03146219", "n03160309", "n03179701", "n03180011", "n03187595", "n03188531", "n03196217",
    "n03197337", "n03201208", "n03207743", "n03207941", "n03208938", "n03216828", "n03218198", "n03220513", "n03223299",
    "n03240683", "n03249569", "n03250847", "n03255030", "n03259280", "n03271574", "n03272010", "n03272562", "n03290653",
    "n03291819", "n03297495", "n03314780", "n03325584", "n03337140", "n03344393", "n03345487", "n03347037", "n03355925",
    "n03372029", "n03376595", "n03379051", "n03384352", "n03388043", "n03388183", "n03388549", "n03393912", "n03394916",
    "n03400231", "n03404251", "n03417042", "n03424325", "n03425413", "n03443371", "n03444034", "n03445777", "n03445924",
    "n03447447", "n03447721", "n03450230", "n03452741", "n03457902", "n03459775", "n03461385", "n03467068", "n03476684",
    "n03476991", "n03478589", "n03481172", "n03482405", "n03483316", "n03485407", "n03485794", "n03492542", "n03494278",
    "n03495258", "n03496892", "n03498962", "n03527444", "n03529860", "n03530642", "n03532672", "n03534580", "n03535780",
    "n03538406", "n03544143", "n03584254", "n03584829", "n03590841", "n03594734", "n03594945", "n03595614", "n03598930",
    "n03599486", "n03602883", "n03617480", "n03623198", "n03627232", "n03630383", "n03633091", "n03637318", "n03642806",
    "n03649909", "n03657121", "n03658185", "n03661043", "n03662601", "n03666591", "n03670208", "n03673027", "n03676483",
    "n03680355", "n03690938", "n03691459", "n03692522", "n03697007", "n03706229", "n03709823", "n03710193", "n03710637",
    "n03710721", "n03717622", "n03720891", "n03721384", "n03724870", "n03729826", "n03733131", "n03733281", "n03733805",
    "n03742115", "n03743016", "n03759954", "n03761084", "n03763968", "n03764736", "n03769881", "n03770439", "n03770679",
    "n03773504", "n03775071", "n03775546", "n03776460", "n03777568", "n03777754", "n03781244", "n03782006", "n03785016",
    "n03786901", "n03787032", "n03788195", "n03788365", "n03791053", "n03792782", "n03792972", "n03793489", "n03794056",
    "n03796401", "n03803284", "n03804744", "n03814639", "n03814906", "n03825788", "n03832673", "n03837869", "n03838899",
    "n03840681", "n03841143", "n03843555", "n03854065", "n03857828", "n03866082", "n03868242", "n03868863", "n03871628",
    "n03873416", "n03874293", "n03874599", "n03876231", "n03877472", "n03877845", "n03884397", "n03887697", "n03888257",
    "n03888605", "n03891251", "n03891332", "n03895866", "n03899768", "n03902125", "n03903868", "n03908618", "n03908714",
    "n03916031", "n03920288", "n03924679", "n03929660", "n03929855", "n03930313", "n03930630", "n03933933", "n03935335",
    "n03937543", "n03938244", "n03942813", "n03944341", "n03947888", "n03950228", "n03954731", "n03956157", "n03958227",
    "n03961711", "n03967562", "n03970156", "n03976467", "n03976657", "n03977966", "n03980874", "n03982430", "n03983396",
    "n03991062", "n03992509", "n03995372", "n03998194", "n04004767", "n04005630", "n04008634", "n04009552", "n04019541",
    "n04023962", "n04026417", "n04033901", "n04033995", "n04037443", "n04039381", "n04040759", "n04041544", "n04044716",
    "n04049303", "n04065272", "n04067472", "n04069434", "n04070727", "n04074963", "n04081281", "n04086273", "n04090263",
    "n04099969", "n04111531", "n04116512", "n04118538", "n04118776", "n04120489", "n04125021", "n04127249", "n04131690",
    "n04133789", "n04136333", "n04141076", "n04141327", "n04141975", "n04146614", "n04147183", "n04149813", "n04152593",
    "n04153751", "n04154565", "n04162706", "n04179913", "n04192698", "n04200800", "n04201297", "n04204238", "n04204347",
    "n04208210", "n04209133", "n04209239", "n04228054", "n04229816", "n04235860", "n04238763", "n04239074", "n04243546",
    "n04251144", "n04252077", "n04252225", "n04254120", "n04254680", "n04254777", "n04258138", "n04259630", "n04263257",
    "n04264628", "n04265275", "n04266014", "n04270147", "n04273569", "n04275548", "n04277352", "n04285008", "n04286575",
    "n04296562", "n04310018", "n04311004", "n04311174", "n04317175", "n04325704", "n04326547", "n04328186", "n04330267",
    "n04332243", "n04335435", "n04336792", "n04344873", "n04346328", "n04347754", "n04350905", "n04355338", "n04355933",
    "n04356056", "n04357314", "n04366367", "n04367480", "n04370456", "n04371430", "n04371774", "n04372370", "n04376876",
    "n04380533", "n04389033", "n04392985", "n04398044", "n04399382", "n04404412", "n04409515", "n04417672", "n04418357",
    "n04423845", "n04428191", "n04429376", "n04435653", "n04442312", "n04443257", "n04447861", "n04456115", "n04458633",
    "n04461696", "n04462240", "n04465501", "n04467665", "n04476259", "n04479046", "n04482393", "n04483307", "n04485082",
    "n04486054", "n04487081", "n04487394", "n04493381", "n04501370", "n04505470", "n04507155", "n04509417", "n04515003",
    "n04517823", "n04522168", "n04523525", "n04525038", "n04525305", "n04532106", "n04532670", "n04536866", "n04540053",
    "n04542943", "n04548280", "n04548362", "n04550184", "n04552348", "n04553703", "n04554684", "n04557648", "n04560804",
    "n04562935", "n04579145", "n04579432", "n04584207", "n04589890", "n04590129", "n04591157", "n04591713", "n04592741",
    "n04596742", "n04597913", "n04599235", "n04604644", "n04606251", "n04612504", "n04613696", "n06359193", "n06596364",
    "n06785654", "n06794110", "n06874185", "n07248320", "n07565083", "n07579787", "n07583066", "n07584110", "n07590611",
    "n07613480", "n07614500", "n07615774", "n07684084", "n07693725", "n07695742", "n07697313", "n07697537", "n07711569",
    "n07714571", "n07714990", "n07715103", "n07716358", "n07716906", "n07717410", "n07717556", "n07718472", "n07718747",
    "n07720875", "n07730033", "n07734744", "n07742313", "n07745940", "n07747607", "n07749582", "n07753113", "n07753275",
    "n07753592", "n07754684", "n07760859", "n07768694", "n07802026", "n07831146", "n07836838", "n07860988", "n07871810",
    "n07873807", "n07875152", "n07880968", "n07892512", "n07920052", "n07930864", "n07932039", "n09193705", "n09229709",
    "n09246464", "n09256479", "n09288635", "n09332890", "n09399592", "n09421951", "n09428293", "n09468604", "n09472597",
    "n09835506", "n10148035", "n10565667", "n11879895", "n11939491", "n12057211", "n12144580", "n12267677", "n12620546",
    "n12768682", "n12985857", "n12998815", "n13037406", "n13040303", "n13044778", "n13052670", "n13054560", "n13133613",
    "n15075141",
]
# fmt: on

# fmt: off
TAXONOMY_2 = {
    "other vertebrate": {
        "n01440764": "tench", "n01443537": "goldfish", "n01484850": "great white shark", "n01491361": "tiger shark",
        "n01494475": "hammerhead", "n01496331": "electric ray", "n01498041": "stingray",
        "n01629819": "European fire salamander", "n01630670": "common newt", "n01631663": "eft",
        "n01632458": "spotted salamander", "n01632777": "axolotl", "n01641577": "bullfrog", "n01644373": "tree frog",
        "n01644900": "tailed frog", "n02514041": "barracouta", "n02526121": "eel", "n02536864": "coho",
        "n02606052": "rock beauty", "n02607072": "anemone fish", "n02640242": "sturgeon", "n02641379": "gar",
        "n02643566": "lionfish", "n02655020": "puffer",
    },
    "other bird": {
        "n01514668": "cock", "n01514859": "hen", "n01518878": "ostrich", "n01530575": "brambling",
        "n01531178": "goldfinch", "n01532829": "house finch", "n01534433": "junco", "n01537544": "indigo bunting",
        "n01558993": "robin", "n01560419": "bulbul", "n01580077": "jay", "n01582220": "magpie",
        "n01592084": "chickadee", "n01601694": "water ouzel", "n01608432": "kite", "n01614925": "bald eagle",
        "n01616318": "vulture", "n01622779": "great grey owl", "n01795545": "black grouse", "n01796340": "ptarmigan",
        "n01797886": "ruffed grouse", "n01798484": "prairie chicken", "n01806143": "peacock", "n01806567": "quail",
        "n01807496": "partridge", "n01817953": "African grey", "n01818515": "macaw",
        "n01819313": "sulphur-crested cockatoo", "n01820546": "lorikeet", "n01824575": "coucal",
        "n01828970": "bee eater", "n01829413": "hornbill", "n01833805": "hummingbird", "n01843065": "jacamar",
        "n01843383": "toucan",
    },
    "reptile": {
        "n01664065": "loggerhead", "n01665541": "leatherback turtle", "n01667114": "mud turtle",
        "n01667778": "terrapin", "n01669191": "box turtle", "n01675722": "banded gecko", "n01677366": "common iguana",
        "n01682714": "American chameleon", "n01685808": "whiptail", "n01687978": "agama", "n01688243": "frilled lizard",
        "n01689811": "alligator lizard", "n01692333": "Gila monster", "n01693334": "green lizard",
        "n01694178": "African chameleon", "n01695060": "Komodo dragon", "n01697457": "African crocodile",
        "n01698640": "American alligator", "n01704323": "triceratops", "n01728572": "thunder snake",
        "n01728920": "ringneck snake", "n01729322": "hognose snake", "n01729977": "green snake",
        "n01734418": "king snake", "n01735189": "garter snake", "n01737021": "water snake", "n01739381": "vine snake",
        "n01740131": "night snake", "n01742172": "boa constrictor", "n01744401": "rock python",
        "n01748264": "Indian cobra", "n01749939": "green mamba", "n01751748": "sea snake", "n01753488": "horned viper",
        "n01755581": "diamondback", "n01756291": "sidewinder",
    },
    "invertebrate": {
        "n01768244": "trilobite", "n01770081": "harvestman", "n01770393": "scorpion",
        "n01773157": "black and gold garden spider", "n01773549": "barn spider", "n01773797": "garden spider",
        "n01774384": "black widow", "n01774750": "tarantula", "n01775062": "wolf spider", "n01776313": "tick",
        "n01784675": "centipede", "n01910747": "jellyfish", "n01914609": "sea anemone", "n01917289": "brain coral",
        "n01924916": "flatworm", "n01930112": "nematode", "n01943899": "conch", "n01944390": "snail",
        "n01945685": "slug", "n01950731": "sea slug", "n01955084": "chiton", "n01968897": "chambered nautilus",
        "n01978287": "Dungeness crab", "n01978455": "rock crab", "n01980166": "fiddler crab", "n01981276": "king crab",
        "n01983481": "American lobster", "n01984695": "spiny lobster", "n01985128": "crayfish",
        "n01986214": "hermit crab", "n01990800": "isopod", "n02165105": "tiger beetle", "n02165456": "ladybug",
        "n02167151": "ground beetle", "n02168699": "long-horned beetle", "n02169497": "leaf beetle",
        "n02172182": "dung beetle", "n02174001": "rhinoceros beetle", "n02177972": "weevil", "n02190166": "fly",
        "n02206856": "bee", "n02219486": "ant", "n02226429": "grasshopper", "n02229544": "cricket",
        "n02231487": "walking stick", "n02233338": "cockroach", "n02236044": "mantis", "n02256656": "cicada",
        "n02259212": "leafhopper", "n02264363": "lacewing", "n02268443": "dragonfly", "n02268853": "damselfly",
        "n02276258": "admiral", "n02277742": "ringlet", "n02279972": "monarch", "n02280649": "cabbage butterfly",
        "n02281406": "sulphur butterfly", "n02281787": "lycaenid", "n02317335": "starfish", "n02319095": "sea urchin",
        "n02321529": "sea cucumber",
    },
    "aquatic bird": {
        "n01847000": "drake", "n01855032": "red-breasted merganser", "n01855672": "goose", "n01860187": "black swan",
        "n02002556": "white stork", "n02002724": "black stork", "n02006656": "spoonbill", "n02007558": "flamingo",
        "n02009229": "little blue heron", "n02009912": "American egret", "n02011460": "bittern",
        "n02012849": "crane.n.05", "n02013706": "limpkin", "n02017213": "European gallinule",
        "n02018207": "American coot", "n02018795": "bustard", "n02025239": "ruddy turnstone",
        "n02027492": "red-backed sandpiper", "n02028035": "redshank", "n02033041": "dowitcher",
        "n02037110": "oystercatcher", "n02051845": "pelican", "n02056570": "king penguin", "n02058221": "albatross",
    },
    "other mammal": {
        "n01871265": "tusker", "n01872401": "echidna", "n01873310": "platypus", "n01877812": "wallaby",
        "n01882714": "koala", "n01883070": "wombat",
    },
    "other placental": {
        "n02066245": "grey whale", "n02071294": "killer whale", "n02074367": "dugong", "n02077923": "sea lion",
        "n02325366": "wood rabbit", "n02326432": "hare", "n02328150": "Angora", "n02342885": "hamster",
        "n02346627": "porcupine", "n02356798": "fox squirrel", "n02361337": "marmot", "n02363005": "beaver",
        "n02364673": "guinea pig", "n02389026": "sorrel", "n02391049": "zebra", "n02395406": "hog",
        "n02396427": "wild boar", "n02397096": "warthog", "n02398521": "hippopotamus", "n02403003": "ox",
        "n02408429": "water buffalo", "n02410509": "bison", "n02412080": "ram", "n02415577": "bighorn",
        "n02417914": "ibex", "n02422106": "hartebeest", "n02422699": "impala", "n02423022": "gazelle",
        "n02437312": "Arabian camel", "n02437616": "llama", "n02454379": "armadillo", "n02457408": "three-toed sloth",
        "n02480495": "orangutan", "n02480855": "gorilla", "n02481823": "chimpanzee", "n02483362": "gibbon",
        "n02483708": "siamang", "n02484975": "guenon", "n02486261": "patas", "n02486410": "baboon",
        "n02487347": "macaque", "n02488291": "langur", "n02488702": "colobus", "n02489166": "proboscis monkey",
        "n02490219": "marmoset", "n02492035": "capuchin", "n02492660": "howler monkey", "n02493509": "titi",
        "n02493793": "spider monkey", "n02494079": "squirrel monkey", "n02497673": "Madagascar cat",
        "n02500267": "indri", "n02504013": "Indian elephant", "n02504458": "African elephant",
    },
    "other dog": {
        "n02085620": "Chihuahua", "n02085782": "Japanese spaniel", "n02085936": "Maltese dog", "n02086079": "Pekinese",
        "n02086240": "Shih-Tzu", "n02086646": "Blenheim spaniel", "n02086910": "papillon", "n02087046": "toy terrier",
        "n02110341": "dalmatian", "n02110806": "basenji", "n02110958": "pug", "n02111129": "Leonberg",
        "n02111277": "Newfoundland", "n02111500": "Great Pyrenees", "n02111889": "Samoyed", "n02112018": "Pomeranian",
        "n02112137": "chow", "n02112350": "keeshond", "n02112706": "Brabancon griffon", "n02113023": "Pembroke",
        "n02113186": "Cardigan", "n02113624": "toy poodle", "n02113712": "miniature poodle",
        "n02113799": "standard poodle", "n02113978": "Mexican hairless",
    },
    "other hunting dog": {
        "n02087394": "Rhodesian ridgeback", "n02088094": "Afghan hound", "n02088238": "basset", "n02088364": "beagle",
        "n02088466": "bloodhound", "n02088632": "bluetick", "n02089078": "black-and-tan coonhound",
        "n02089867": "Walker hound", "n02089973": "English foxhound", "n02090379": "redbone", "n02090622": "borzoi",
        "n02090721": "Irish wolfhound", "n02091032": "Italian greyhound", "n02091134": "whippet",
        "n02091244": "Ibizan hound", "n02091467": "Norwegian elkhound", "n02091635": "otterhound",
        "n02091831": "Saluki", "n02092002": "Scottish deerhound", "n02092339": "Weimaraner",
        "n02099267": "flat-coated retriever", "n02099429": "curly-coated retriever", "n02099601": "golden retriever",
        "n02099712": "Labrador retriever", "n02099849": "Chesapeake Bay retriever",
        "n02100236": "German short-haired pointer", "n02100583": "vizsla", "n02100735": "English setter",
        "n02100877": "Irish setter", "n02101006": "Gordon setter", "n02101388": "Brittany spaniel",
        "n02101556": "clumber", "n02102040": "English springer", "n02102177": "Welsh springer spaniel",
        "n02102318": "cocker spaniel", "n02102480": "Sussex spaniel", "n02102973": "Irish water spaniel",
    },
    "terrier": {
        "n02093256": "Staffordshire bullterrier", "n02093428": "American Staffordshire terrier",
        "n02093647": "Bedlington terrier", "n02093754": "Border terrier", "n02093859": "Kerry blue terrier",
        "n02093991": "Irish terrier", "n02094114": "Norfolk terrier", "n02094258": "Norwich terrier",
        "n02094433": "Yorkshire terrier", "n02095314": "wire-haired fox terrier", "n02095570": "Lakeland terrier",
        "n02095889": "Sealyham terrier", "n02096051": "Airedale", "n02096177": "cairn",
        "n02096294": "Australian terrier", "n02096437": "Dandie Dinmont", "n02096585": "Boston bull",
        "n02097047": "miniature schnauzer", "n02097130": "giant schnauzer", "n02097209": "standard schnauzer",
        "n02097298": "Scotch terrier", "n02097474": "Tibetan terrier", "n02097658": "silky terrier",
        "n02098105": "soft-coated wheaten terrier", "n02098286": "West Highland white terrier", "n02098413": "Lhasa",
    },
    "working dog": {
        "n02104029": "kuvasz", "n02104365": "schipperke", "n02105056": "groenendael", "n02105162": "malinois",
        "n02105251": "briard", "n02105412": "kelpie", "n02105505": "komondor", "n02105641": "Old English sheepdog",
        "n02105855": "Shetland sheepdog", "n02106030": "collie", "n02106166": "Border collie",
        "n02106382": "Bouvier des Flandres", "n02106550": "Rottweiler", "n02106662": "German shepherd",
        "n02107142": "Doberman", "n02107312": "miniature pinscher", "n02107574": "Greater Swiss Mountain dog",
        "n02107683": "Bernese mountain dog", "n02107908": "Appenzeller", "n02108000": "EntleBucher",
        "n02108089": "boxer", "n02108422": "bull mastiff", "n02108551": "Tibetan mastiff",
        "n02108915": "French bulldog", "n02109047": "Great Dane", "n02109525": "Saint Bernard",
        "n02109961": "Eskimo dog", "n02110063": "malamute", "n02110185": "Siberian husky", "n02110627": "affenpinscher",
    },
    "other canine": {
        "n02114367": "timber wolf", "n02114548": "white wolf", "n02114712": "red wolf", "n02114855": "coyote",
        "n02115641": "dingo", "n02115913": "dhole", "n02116738": "African hunting dog", "n02117135": "hyena",
        "n02119022": "red fox", "n02119789": "kit fox", "n02120079": "Arctic fox", "n02120505": "grey fox",
    },
    "other carnivore": {
        "n02123045": "tabby", "n02123159": "tiger cat", "n02123394": "Persian cat", "n02123597": "Siamese cat",
        "n02124075": "Egyptian cat", "n02125311": "cougar", "n02127052": "lynx", "n02128385": "leopard",
        "n02128757": "snow leopard", "n02128925": "jaguar", "n02129165": "lion", "n02129604": "tiger",
        "n02130308": "cheetah", "n02132136": "brown bear", "n02133161": "American black bear", "n02134084": "ice bear",
        "n02134418": "sloth bear", "n02137549": "mongoose", "n02138441": "meerkat", "n02441942": "weasel",
        "n02442845": "mink", "n02443114": "polecat", "n02443484": "black-footed ferret", "n02444819": "otter",
        "n02445715": "skunk", "n02447366": "badger", "n02509815": "lesser panda", "n02510455": "giant panda",
    },
    "other device": {
        "n02666196": "abacus", "n02910353": "buckle", "n02948072": "candle", "n02965783": "car mirror",
        "n02966193": "carousel", "n02974003": "car wheel", "n02977058": "cash machine", "n03000684": "chain saw",
        "n03075370": "combination lock", "n03126707": "crane.n.04", "n03180011": "desktop computer",
        "n03208938": "disk brake", "n03271574": "electric fan", "n03425413": "gas pump", "n03476684": "hair slide",
        "n03485407": "hand-held computer", "n03492542": "hard disc", "n03496892": "harvester", "n03532672": "hook",
        "n03590841": "jack-o'-lantern", "n03627232": "knot", "n03642806": "laptop", "n03666591": "lighter",
        "n03691459": "loudspeaker", "n03733131": "maypole", "n03759954": "microphone", "n03793489": "mouse",
        "n03794056": "mousetrap", "n03803284": "muzzle", "n03804744": "nail", "n03814639": "neck brace",
        "n03832673": "notebook", "n03843555": "oil filter", "n03868863": "oxygen mask", "n03874293": "paddlewheel",
        "n03874599": "padlock", "n03929660": "pick", "n03933933": "pier", "n03944341": "pinwheel",
        "n03992509": "potter's wheel", "n03995372": "power drill", "n04019541": "puck", "n04040759": "radiator",
        "n04067472": "reel", "n04074963": "remote control", "n04127249": "safety pin", "n04152593": "screen",
        "n04153751": "screw", "n04228054": "ski", "n04238763": "slide rule", "n04243546": "slot",
        "n04251144": "snorkel", "n04258138": "solar dish", "n04265275": "space heater", "n04275548": "spider web",
        "n04286575": "spotlight", "n04330267": "stove", "n04332243": "strainer", "n04355933": "sunglass",
        "n04372370": "switch", "n04428191": "thresher", "n04456115": "torch", "n04485082": "tripod",
        "n04505470": "typewriter keyboard", "n04525305": "vending machine", "n04579432": "whistle", "n04592741": "wing",
        "n06359193": "web site",
    },
    "commodity": {
        "n02667093": "abaya", "n02669723": "academic gown", "n02730930": "apron", "n02807133": "bathing cap",
        "n02808304": "bath towel", "n02817516": "bearskin", "n02837789": "bikini", "n02865351": "bolo tie",
        "n02869837": "bonnet", "n02883205": "bow tie", "n02892767": "brassiere", "n02963159": "cardigan",
        "n03026506": "Christmas stocking", "n03124170": "cowboy hat", "n03127747": "crash helmet",
        "n03188531": "diaper", "n03207941": "dishwasher", "n03259280": "Dutch oven", "n03297495": "espresso maker",
        "n03325584": "feather boa", "n03379051": "football helmet", "n03404251": "fur coat", "n03450230": "gown",
        "n03483316": "hand blower", "n03534580": "hoopskirt", "n03584829": "iron", "n03594734": "jean",
        "n03595614": "jersey", "n03617480": "kimono", "n03623198": "knee pad", "n03630383": "lab coat",
        "n03710637": "maillot.n.02", "n03710721": "maillot.n.01", "n03724870": "mask", "n03761084": "microwave",
        "n03763968": "military uniform", "n03770439": "miniskirt", "n03775071": "mitten", "n03787032": "mortarboard",
        "n03866082": "overskirt", "n03877472": "pajama", "n03980874": "poncho", "n04070727": "refrigerator",
        "n04111531": "rotisserie", "n04136333": "sarong", "n04162706": "seat belt", "n04179913": "sewing machine",
        "n04209133": "shower cap", "n04254777": "sock", "n04259630": "sombrero", "n04325704": "stole",
        "n04350905": "suit", "n04370456": "sweatshirt", "n04371430": "swimming trunks", "n04442312": "toaster",
        "n04479046": "trench coat", "n04517823": "vacuum", "n04532106": "vestment", "n04542943": "waffle iron",
        "n04554684": "washer", "n04584207": "wig", "n04591157": "Windsor tie",
    },
    "musical instrument": {
        "n02672831": "accordion", "n02676566": "acoustic guitar", "n02787622": "banjo", "n02804610": "bassoon",
        "n02992211": "cello", "n03017168": "chime", "n03110669": "cornet", "n03249569": "drum",
        "n03272010": "electric guitar", "n03372029": "flute", "n03394916": "French horn", "n03447721": "gong",
        "n03452741": "grand piano", "n03494278": "harmonica", "n03495258": "harp", "n03720891": "maraca",
        "n03721384": "marimba", "n03838899": "oboe", "n03840681": "ocarina", "n03854065": "organ",
        "n03884397": "panpipe", "n04141076": "sax", "n04311174": "steel drum", "n04487394": "trombone",
        "n04515003": "upright", "n04536866": "violin",
    },
    "conveyance": {
        "n02687172": "aircraft carrier", "n02690373": "airliner", "n02692877": "airship", "n02701002": "ambulance",
        "n02704792": "amphibian", "n02782093": "balloon", "n02797295": "barrow", "n02814533": "beach wagon",
        "n02835271": "bicycle-built-for-two", "n02860847": "bobsled", "n02917067": "bullet train", "n02930766": "cab",
        "n02951358": "canoe", "n02981792": "catamaran", "n03095699": "container ship", "n03100240": "convertible",
        "n03218198": "dogsled", "n03272562": "electric locomotive", "n03344393": "fireboat", "n03345487": "fire engine",
        "n03384352": "forklift", "n03393912": "freight car", "n03417042": "garbage truck", "n03444034": "go-kart",
        "n03445924": "golfcart", "n03447447": "gondola", "n03478589": "half track", "n03538406": "horse cart",
        "n03594945": "jeep", "n03599486": "jinrikisha", "n03662601": "lifeboat", "n03670208": "limousine",
        "n03673027": "liner", "n03769881": "minibus", "n03770679": "minivan", "n03777568": "Model T",
        "n03785016": "moped", "n03791053": "motor scooter", "n03792782": "mountain bike", "n03796401": "moving van",
        "n03868242": "oxcart", "n03895866": "passenger car", "n03930630": "pickup", "n03947888": "pirate",
        "n03977966": "police van", "n04037443": "racer", "n04065272": "recreational vehicle", "n04146614": "school bus",
        "n04147183": "schooner", "n04204347": "shopping cart", "n04252077": "snowmobile", "n04252225": "snowplow",
        "n04266014": "space shuttle", "n04273569": "speedboat", "n04285008": "sports car",
        "n04310018": "steam locomotive", "n04335435": "streetcar", "n04336792": "stretcher", "n04347754": "submarine",
        "n04389033": "tank", "n04461696": "tow truck", "n04465501": "tractor", "n04467665": "trailer truck",
        "n04482393": "tricycle", "n04483307": "trimaran", "n04487081": "trolleybus", "n04509417": "unicycle",
        "n04552348": "warplane", "n04606251": "wreck", "n04612504": "yawl",
    },
    "structure": {
        "n02699494": "altar", "n02727426": "apiary", "n02788148": "bannister", "n02791270": "barbershop",
        "n02793495": "barn", "n02814860": "beacon", "n02859443": "boathouse", "n02871525": "bookshop",
        "n02892201": "brass", "n02894605": "breakwater", "n02927161": "butcher shop", "n02980441": "castle",
        "n03000134": "chainlink fence", "n03028079": "church", "n03032252": "cinema", "n03042490": "cliff dwelling",
        "n03065424": "coil", "n03089624": "confectionery", "n03160309": "dam", "n03216828": "dock",
        "n03388043": "fountain", "n03457902": "greenhouse", "n03459775": "grille", "n03461385": "grocery store",
        "n03529860": "home theater", "n03530642": "honeycomb", "n03661043": "library", "n03697007": "lumbermill",
        "n03743016": "megalith", "n03776460": "mobile home", "n03781244": "monastery", "n03788195": "mosque",
        "n03792972": "mountain tent", "n03837869": "obelisk", "n03877845": "palace", "n03899768": "patio",
        "n03903868": "pedestal", "n03930313": "picket fence", "n03956157": "planetarium", "n03961711": "plate rack",
        "n04005630": "prison", "n04081281": "restaurant", "n04200800": "shoe shop", "n04239074": "sliding door",
        "n04311004": "steel arch bridge", "n04326547": "stone wall", "n04346328": "stupa",
        "n04366367": "suspension bridge", "n04443257": "tobacco shop", "n04462240": "toyshop",
        "n04486054": "triumphal arch", "n04501370": "turnstile", "n04532670": "viaduct", "n04604644": "worm fence",
        "n04613696": "yurt",
    },
    "instrument": {
        "n02708093": "analog clock", "n02749479": "assault rifle", "n02794156": "barometer", "n02841315": "binoculars",
        "n02879718": "bow", "n02950826": "cannon", "n03196217": "digital clock", "n03197337": "digital watch",
        "n03467068": "guillotine", "n03544143": "hourglass", "n03692522": "loupe", "n03706229": "magnetic compass",
        "n03773504": "missile", "n03841143": "odometer", "n03891332": "parking meter", "n04008634": "projectile",
        "n04009552": "projector", "n04044716": "radio telescope", "n04086273": "revolver", "n04090263": "rifle",
        "n04118776": "rule", "n04141975": "scale", "n04317175": "stethoscope", "n04328186": "stopwatch",
        "n04355338": "sundial", "n04356056": "sunglasses", "n04376876": "syringe", "n04548280": "wall clock",
    },
    "container": {
        "n02747177": "ashcan", "n02769748": "backpack", "n02795169": "barrel", "n02808440": "bathtub",
        "n02815834": "beaker", "n02823428": "beer bottle", "n02823750": "beer glass", "n02909870": "bucket",
        "n02971356": "carton", "n02978881": "cassette", "n03014705": "chest", "n03062245": "cocktail shaker",
        "n03063599": "coffee mug", "n03127925": "crate", "n03291819": "envelope", "n03443371": "goblet",
        "n03482405": "hamper", "n03633091": "ladle", "n03709823": "mailbag", "n03710193": "mailbox",
        "n03733805": "measuring cup", "n03764736": "milk can", "n03786901": "mortar", "n03871628": "packet",
        "n03908618": "pencil box", "n03935335": "piggy bank", "n03937543": "pill bottle", "n03950228": "pitcher",
        "n03958227": "plastic bag", "n03983396": "pop bottle", "n03991062": "pot", "n04026417": "purse",
        "n04049303": "rain barrel", "n04125021": "safe", "n04131690": "saltshaker", "n04204238": "shopping basket",
        "n04235860": "sleeping bag", "n04254120": "soap dispenser", "n04423845": "thimble", "n04476259": "tray",
        "n04493381": "tub", "n04522168": "vase", "n04548362": "wallet", "n04553703": "washbasin",
        "n04557648": "water bottle", "n04560804": "water jug", "n04562935": "water tower", "n04579145": "whiskey jug",
        "n04591713": "wine bottle",
    },
    "other artifact": {
        "n02776631": "bakery", "n02834397": "bib", "n03207743": "dishrag", "n03485794": "handkerchief",
        "n03775546": "mixing bowl", "n03814906": "necklace", "n03887697": "paper towel", "n03920288": "Petri dish",
        "n03938244": "pillow", "n04149813": "scoreboard", "n04263257": "soup bowl", "n04296562": "stage",
        "n04371774": "swing", "n04399382": "teddy", "n04458633": "totem pole", "n04525038": "velvet",
        "n04597913": "wooden spoon", "n04599235": "wool",
    },
    "equipment": {
        "n02777292": "balance beam", "n02790996": "barbell", "n02966687": "carpenter's kit",
        "n02979186": "cassette player", "n02988304": "CD player", "n02992529": "cellular telephone",
        "n03085013": "computer keyboard", "n03134739": "croquet ball", "n03187595": "dial telephone",
        "n03240683": "drilling platform", "n03255030": "dumbbell", "n03535780": "horizontal bar", "n03584254": "iPod",
        "n03602883": "joystick", "n03777754": "modem", "n03782006": "monitor", "n03857828": "oscilloscope",
        "n03888257": "parachute", "n03888605": "parallel bars", "n03902125": "pay-phone", "n03924679": "photocopier",
        "n03976467": "Polaroid camera", "n04004767": "printer", "n04069434": "reflex camera",
        "n04392985": "tape player",
    },
    "implement": {
        "n02783161": "ballpoint", "n02906734": "broom", "n02939185": "caldron", "n02951585": "can opener",
        "n03041632": "cleaver", "n03063689": "coffeepot", "n03109150": "corkscrew", "n03133878": "Crock Pot",
        "n03141823": "crutch", "n03250847": "drumstick", "n03355925": "flagpole", "n03388183": "fountain pen",
        "n03400231": "frying pan", "n03481172": "hammer", "n03498962": "hatchet", "n03649909": "lawn mower",
        "n03658185": "letter opener", "n03729826": "matchstick", "n03873416": "paddle", "n03876231": "paintbrush",
        "n03908714": "pencil sharpener", "n03954731": "plane", "n03967562": "plow", "n03970156": "plunger",
        "n03976657": "pole", "n04033901": "quill", "n04039381": "racket", "n04116512": "rubber eraser",
        "n04154565": "screwdriver", "n04208210": "shovel", "n04264628": "space bar", "n04270147": "spatula",
        "n04277352": "spindle", "n04367480": "swab", "n04398044": "teapot", "n04596742": "wok",
    },
    "covering": {
        "n02786058": "Band Aid", "n02825657": "bell cote", "n02840245": "binder", "n02843684": "birdhouse",
        "n02877765": "bottlecap", "n02895154": "breastplate", "n02916936": "bulletproof vest",
        "n03000247": "chain mail", "n03045698": "cloak", "n03047690": "clog", "n03124043": "cowboy boot",
        "n03146219": "cuirass", "n03220513": "dome", "n03223299": "doormat", "n03347037": "fire screen",
        "n03424325": "gasmask", "n03527444": "holster", "n03637318": "lampshade", "n03657121": "lens cap",
        "n03680355": "Loafer", "n03717622": "manhole cover", "n03788365": "mosquito net", "n03825788": "nipple",
        "n03929855": "pickelhaube", "n04033995": "quilt", "n04120489": "running shoe", "n04133789": "sandal",
        "n04141327": "scabbard", "n04192698": "shield", "n04201297": "shoji", "n04209239": "shower curtain",
        "n04229816": "ski mask", "n04417672": "thatch", "n04418357": "theater curtain", "n04435653": "tile roof",
        "n04507155": "umbrella", "n04523525": "vault", "n04589890": "window screen", "n04590129": "window shade",
        "n07248320": "book jacket",
    },
    "other instrumentality": {
        "n02791124": "barber chair", "n02799071": "baseball", "n02802426": "basketball", "n02804414": "bassinet",
        "n02870880": "bookcase", "n02999410": "chain", "n03016953": "chiffonier", "n03018349": "china cabinet",
        "n03125729": "cradle", "n03131574": "crib", "n03179701": "desk", "n03201208": "dining table",
        "n03290653": "entertainment center", "n03314780": "face powder", "n03337140": "file",
        "n03376595": "folding chair", "n03388549": "four-poster", "n03445777": "golf ball", "n03476991": "hair spray",
        "n03598930": "jigsaw puzzle", "n03676483": "lipstick", "n03690938": "lotion", "n03733281": "maze",
        "n03742115": "medicine chest", "n03891251": "park bench", "n03916031": "perfume", "n03942813": "ping-pong ball",
        "n03982430": "pool table", "n03998194": "prayer rug", "n04023962": "punching bag", "n04041544": "radio",
        "n04099969": "rocking chair", "n04118538": "rugby ball", "n04254680": "soccer ball",
        "n04344873": "studio couch", "n04357314": "sunscreen", "n04380533": "table lamp", "n04404412": "television",
        "n04409515": "tennis ball", "n04429376": "throne", "n04447861": "toilet seat", "n04540053": "volleyball",
        "n04550184": "wardrobe", "n06596364": "comic book", "n06785654": "crossword puzzle",
    },
    "abstraction": {
        "n06794110": "street sign", "n06874185": "traffic light", "n07892512": "red wine", "n07920052": "espresso",
        "n07930864": "cup", "n07932039": "eggnog", "n09229709": "bubble", "n15075141": "toilet tissue",
    },
    "matter": {
        "n07565083": "menu", "n07579787": "plate", "n07583066": "guacamole", "n07584110": "consomme",
        "n07590611": "hot pot", "n07613480": "trifle", "n07614500": "ice cream", "n07615774": "ice lolly",
        "n07684084": "French loaf", "n07693725": "bagel", "n07695742": "pretzel", "n07697313": "cheeseburger",
        "n07697537": "hotdog", "n07711569": "mashed potato", "n07714571": "head cabbage", "n07714990": "broccoli",
        "n07715103": "cauliflower", "n07716358": "zucchini", "n07716906": "spaghetti squash",
        "n07717410": "acorn squash", "n07717556": "butternut squash", "n07718472": "cucumber", "n07718747": "artichoke",
        "n07720875": "bell pepper", "n07730033": "cardoon", "n07734744": "mushroom", "n07802026": "hay",
        "n07831146": "carbonara", "n07836838": "chocolate sauce", "n07860988": "dough", "n07871810": "meat loaf",
        "n07873807": "pizza", "n07875152": "potpie", "n07880968": "burrito",
    },
    "natural object": {
        "n07742313": "Granny Smith", "n07745940": "strawberry", "n07747607": "orange", "n07749582": "lemon",
        "n07753113": "fig", "n07753275": "pineapple", "n07753592": "banana", "n07754684": "jackfruit",
        "n07760859": "custard apple", "n07768694": "pomegranate", "n09421951": "sandbar", "n11879895": "rapeseed",
        "n12144580": "corn", "n12267677": "acorn", "n12620546": "hip", "n12768682": "buckeye", "n13133613": "ear",
    },
    "geological formation": {
        "n09193705": "alp", "n09246464": "cliff", "n09256479": "coral reef", "n09288635": "geyser",
        "n09332890": "lakeside", "n09399592": "promontory", "n09428293": "seashore", "n09468604": "valley",
        "n09472597": "volcano",
    },
    "other organism": {
        "n09835506": "ballplayer", "n10148035": "groom", "n10565667": "scuba diver", "n11939491": "daisy",
        "n12057211": "yellow lady's slipper", "n12985857": "coral fungus", "n12998815": "agaric",
        "n13037406": "gyromitra", "n13040303": "stinkhorn", "n13044778": "earthstar", "n13052670": "hen-of-the-woods",
        "n13054560": "bolete",
    },
}
# fmt: on


class N2HL(HierarchicalNetwork):
    """30 → 1000 branches on convnextv2_tiny up to stages.2.

    119,763,960 params and 8.826 GMACs at 224 px; flat convnextv2_tiny: 28,635,496 params, 4.456 GMACs.
    """

    taxonomy = TAXONOMY_2
    classes = CLASSES
    input_size = (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 224, 224) -> (B, 384, 14, 14)
        self.trunk = Trunk("convnextv2_tiny", until="stages.2", pretrained=pretrained)
        # -> (B, 30, 240, 7, 7)
        self.level1 = Siblings(30, [ConvNeXts(384, 984, 240, depth=3, stride=2, grn=True)])
        # -> (B, 1000, 40, 7, 7)
        self.level2 = Siblings(1000, [ConvNeXts(240, 144, 40, depth=3, grn=True)], parents=nest.parents(2))
        # -> (B, 1000)
        self.head = ClassHeads(1000, 40, parents=nest.heads)


register(N2HL, "imagenet1k_n2hl")

# fmt: off
TAXONOMY_3 = {
    "other vertebrate": {
        "fish": {
            "n01440764": "tench", "n01443537": "goldfish", "n01484850": "great white shark", "n01491361": "tiger shark",
            "n01494475": "hammerhead", "n01496331": "electric ray", "n01498041": "stingray", "n02514041": "barracouta",
            "n02526121": "eel", "n02536864": "coho", "n02606052": "rock beauty", "n02607072": "anemone fish",
            "n02640242": "sturgeon", "n02641379": "gar", "n02643566": "lionfish", "n02655020": "puffer",
        },
        "other bird": {
            "n01514668": "cock", "n01514859": "hen", "n01518878": "ostrich", "n01817953": "African grey",
            "n01818515": "macaw", "n01819313": "sulphur-crested cockatoo", "n01820546": "lorikeet",
            "n01824575": "coucal", "n01828970": "bee eater", "n01829413": "hornbill", "n01833805": "hummingbird",
            "n01843065": "jacamar", "n01843383": "toucan",
        },
        "oscine": {
            "n01530575": "brambling", "n01531178": "goldfinch", "n01532829": "house finch", "n01534433": "junco",
            "n01537544": "indigo bunting", "n01558993": "robin", "n01560419": "bulbul", "n01580077": "jay",
            "n01582220": "magpie", "n01592084": "chickadee", "n01601694": "water ouzel",
        },
        "bird of prey": {
            "n01608432": "kite", "n01614925": "bald eagle", "n01616318": "vulture", "n01622779": "great grey owl",
        },
        "amphibian": {
            "n01629819": "European fire salamander", "n01630670": "common newt", "n01631663": "eft",
            "n01632458": "spotted salamander", "n01632777": "axolotl", "n01641577": "bullfrog",
            "n01644373": "tree frog", "n01644900": "tailed frog",
        },
        "turtle": {
            "n01664065": "loggerhead", "n01665541": "leatherback turtle", "n01667114": "mud turtle",
            "n01667778": "terrapin", "n01669191": "box turtle",
        },
        "other diapsid": {
            "n01675722": "banded gecko", "n01677366": "common iguana", "n01682714": "American chameleon",
            "n01685808": "whiptail", "n01687978": "agama", "n01688243": "frilled lizard",
            "n01689811": "alligator lizard", "n01692333": "Gila monster", "n01693334": "green lizard",
            "n01694178": "African chameleon", "n01695060": "Komodo dragon", "n01697457": "African crocodile",
            "n01698640": "American alligator", "n01704323": "triceratops",
        },
        "colubrid snake": {
            "n01728572": "thunder snake", "n01728920": "ringneck snake", "n01729322": "hognose snake",
            "n01729977": "green snake", "n01734418": "king snake", "n01735189": "garter snake",
            "n01737021": "water snake", "n01739381": "vine snake", "n01740131": "night snake",
        },
        "other snake": {
            "n01742172": "boa constrictor", "n01744401": "rock python", "n01748264": "Indian cobra",
            "n01749939": "green mamba", "n01751748": "sea snake", "n01753488": "horned viper",
            "n01755581": "diamondback", "n01756291": "sidewinder",
        },
        "game bird": {
            "n01795545": "black grouse", "n01796340": "ptarmigan", "n01797886": "ruffed grouse",
            "n01798484": "prairie chicken", "n01806143": "peacock", "n01806567": "quail", "n01807496": "partridge",
        },
        "other aquatic bird": {
            "n01847000": "drake", "n01855032": "red-breasted merganser", "n01855672": "goose",
            "n01860187": "black swan", "n02017213": "European gallinule", "n02051845": "pelican",
            "n02056570": "king penguin", "n02058221": "albatross",
        },
        "other wading bird": {
            "n02002556": "white stork", "n02002724": "black stork", "n02006656": "spoonbill", "n02007558": "flamingo",
            "n02009229": "little blue heron", "n02009912": "American egret", "n02011460": "bittern",
            "n02012849": "crane.n.05", "n02013706": "limpkin", "n02018207": "American coot", "n02018795": "bustard",
        },
        "shorebird": {
            "n02025239": "ruddy turnstone", "n02027492": "red-backed sandpiper", "n02028035": "redshank",
            "n02033041": "dowitcher", "n02037110": "oystercatcher",
        },
    },
    "invertebrate": {
        "other arthropod": {"n01768244": "trilobite", "n01784675": "centipede"},
        "arachnid": {
            "n01770081": "harvestman", "n01770393": "scorpion", "n01773157": "black and gold garden spider",
            "n01773549": "barn spider", "n01773797": "garden spider", "n01774384": "black widow",
            "n01774750": "tarantula", "n01775062": "wolf spider", "n01776313": "tick",
        },
        "coelenterate": {"n01910747": "jellyfish", "n01914609": "sea anemone", "n01917289": "brain coral"},
        "worm": {"n01924916": "flatworm", "n01930112": "nematode"},
        "mollusk": {
            "n01943899": "conch", "n01944390": "snail", "n01945685": "slug", "n01950731": "sea slug",
            "n01955084": "chiton", "n01968897": "chambered nautilus",
        },
        "crustacean": {
            "n01978287": "Dungeness crab", "n01978455": "rock crab", "n01980166": "fiddler crab",
            "n01981276": "king crab", "n01983481": "American lobster", "n01984695": "spiny lobster",
            "n01985128": "crayfish", "n01986214": "hermit crab", "n01990800": "isopod",
        },
        "beetle": {
            "n02165105": "tiger beetle", "n02165456": "ladybug", "n02167151": "ground beetle",
            "n02168699": "long-horned beetle", "n02169497": "leaf beetle", "n02172182": "dung beetle",
            "n02174001": "rhinoceros beetle", "n02177972": "weevil",
        },
        "other insect": {
            "n02190166": "fly", "n02206856": "bee", "n02219486": "ant", "n02226429": "grasshopper",
            "n02229544": "cricket", "n02231487": "walking stick", "n02233338": "cockroach", "n02236044": "mantis",
            "n02264363": "lacewing",
        },
        "homopterous insect": {"n02256656": "cicada", "n02259212": "leafhopper"},
        "odonate": {"n02268443": "dragonfly", "n02268853": "damselfly"},
        "butterfly": {
            "n02276258": "admiral", "n02277742": "ringlet", "n02279972": "monarch", "n02280649": "cabbage butterfly",
            "n02281406": "sulphur butterfly", "n02281787": "lycaenid",
        },
        "echinoderm": {"n02317335": "starfish", "n02319095": "sea urchin", "n02321529": "sea cucumber"},
    },
    "mammal": {
        "other mammal": {
            "n01871265": "tusker", "n01872401": "echidna", "n01873310": "platypus", "n01877812": "wallaby",
            "n01882714": "koala", "n01883070": "wombat",
        },
        "other placental": {
            "n02066245": "grey whale", "n02071294": "killer whale", "n02074367": "dugong", "n02077923": "sea lion",
            "n02325366": "wood rabbit", "n02326432": "hare", "n02328150": "Angora", "n02342885": "hamster",
            "n02346627": "porcupine", "n02356798": "fox squirrel", "n02361337": "marmot", "n02363005": "beaver",
            "n02364673": "guinea pig", "n02454379": "armadillo", "n02457408": "three-toed sloth",
            "n02504013": "Indian elephant", "n02504458": "African elephant",
        },
        "toy dog": {
            "n02085620": "Chihuahua", "n02085782": "Japanese spaniel", "n02085936": "Maltese dog",
            "n02086079": "Pekinese", "n02086240": "Shih-Tzu", "n02086646": "Blenheim spaniel", "n02086910": "papillon",
            "n02087046": "toy terrier",
        },
        "other hunting dog": {
            "n02087394": "Rhodesian ridgeback", "n02099267": "flat-coated retriever",
            "n02099429": "curly-coated retriever", "n02099601": "golden retriever", "n02099712": "Labrador retriever",
            "n02099849": "Chesapeake Bay retriever", "n02100236": "German short-haired pointer", "n02100583": "vizsla",
            "n02100735": "English setter", "n02100877": "Irish setter", "n02101006": "Gordon setter",
            "n02101388": "Brittany spaniel", "n02101556": "clumber", "n02102040": "English springer",
            "n02102177": "Welsh springer spaniel", "n02102318": "cocker spaniel", "n02102480": "Sussex spaniel",
            "n02102973": "Irish water spaniel",
        },
        "hound": {
            "n02088094": "Afghan hound", "n02088238": "basset", "n02088364": "beagle", "n02088466": "bloodhound",
            "n02088632": "bluetick", "n02089078": "black-and-tan coonhound", "n02089867": "Walker hound",
            "n02089973": "English foxhound", "n02090379": "redbone", "n02090622": "borzoi",
            "n02090721": "Irish wolfhound", "n02091032": "Italian greyhound", "n02091134": "whippet",
            "n02091244": "Ibizan hound", "n02091467": "Norwegian elkhound", "n02091635": "otterhound",
            "n02091831": "Saluki", "n02092002": "Scottish deerhound", "n02092339": "Weimaraner",
        },
        "other terrier.n.01": {
            "n02093256": "Staffordshire bullterrier", "n02093428": "American Staffordshire terrier",
            "n02095570": "Lakeland terrier", "n02095889": "Sealyham terrier", "n02097047": "miniature schnauzer",
            "n02097130": "giant schnauzer", "n02097209": "standard schnauzer",
        },
        "other terrier": {
            "n02093647": "Bedlington terrier", "n02093754": "Border terrier", "n02093859": "Kerry blue terrier",
            "n02093991": "Irish terrier", "n02094114": "Norfolk terrier", "n02094258": "Norwich terrier",
            "n02094433": "Yorkshire terrier", "n02095314": "wire-haired fox terrier", "n02096051": "Airedale",
            "n02096177": "cairn", "n02096294": "Australian terrier", "n02096437": "Dandie Dinmont",
            "n02096585": "Boston bull", "n02097298": "Scotch terrier", "n02097474": "Tibetan terrier",
            "n02097658": "silky terrier", "n02098105": "soft-coated wheaten terrier",
            "n02098286": "West Highland white terrier", "n02098413": "Lhasa",
        },
        "other working dog": {
            "n02104029": "kuvasz", "n02104365": "schipperke", "n02107142": "Doberman",
            "n02107312": "miniature pinscher", "n02107574": "Greater Swiss Mountain dog",
            "n02107683": "Bernese mountain dog", "n02107908": "Appenzeller", "n02108000": "EntleBucher",
            "n02108089": "boxer", "n02108422": "bull mastiff", "n02108551": "Tibetan mastiff",
            "n02108915": "French bulldog", "n02109047": "Great Dane", "n02109525": "Saint Bernard",
            "n02109961": "Eskimo dog", "n02110063": "malamute", "n02110185": "Siberian husky",
            "n02110627": "affenpinscher",
        },
        "shepherd dog": {
            "n02105056": "groenendael", "n02105162": "malinois", "n02105251": "briard", "n02105412": "kelpie",
            "n02105505": "komondor", "n02105641": "Old English sheepdog", "n02105855": "Shetland sheepdog",
            "n02106030": "collie", "n02106166": "Border collie", "n02106382": "Bouvier des Flandres",
            "n02106550": "Rottweiler", "n02106662": "German shepherd",
        },
        "other dog": {
            "n02110341": "dalmatian", "n02110806": "basenji", "n02110958": "pug", "n02111129": "Leonberg",
            "n02111277": "Newfoundland", "n02111500": "Great Pyrenees", "n02111889": "Samoyed",
            "n02112018": "Pomeranian", "n02112137": "chow", "n02112350": "keeshond", "n02112706": "Brabancon griffon",
            "n02113023": "Pembroke", "n02113186": "Cardigan", "n02113624": "toy poodle",
            "n02113712": "miniature poodle", "n02113799": "standard poodle", "n02113978": "Mexican hairless",
        },
        "other canine": {
            "n02114367": "timber wolf", "n02114548": "white wolf", "n02114712": "red wolf", "n02114855": "coyote",
            "n02115641": "dingo", "n02115913": "dhole", "n02116738": "African hunting dog", "n02117135": "hyena",
            "n02119022": "red fox", "n02119789": "kit fox", "n02120079": "Arctic fox", "n02120505": "grey fox",
        },
        "feline": {
            "n02123045": "tabby", "n02123159": "tiger cat", "n02123394": "Persian cat", "n02123597": "Siamese cat",
            "n02124075": "Egyptian cat", "n02125311": "cougar", "n02127052": "lynx", "n02128385": "leopard",
            "n02128757": "snow leopard", "n02128925": "jaguar", "n02129165": "lion", "n02129604": "tiger",
            "n02130308": "cheetah",
        },
        "other carnivore": {
            "n02132136": "brown bear", "n02133161": "American black bear", "n02134084": "ice bear",
            "n02134418": "sloth bear", "n02137549": "mongoose", "n02138441": "meerkat", "n02441942": "weasel",
            "n02442845": "mink", "n02443114": "polecat", "n02443484": "black-footed ferret", "n02444819": "otter",
            "n02445715": "skunk", "n02447366": "badger", "n02509815": "lesser panda", "n02510455": "giant panda",
        },
        "ungulate": {
            "n02389026": "sorrel", "n02391049": "zebra", "n02395406": "hog", "n02396427": "wild boar",
            "n02397096": "warthog", "n02398521": "hippopotamus", "n02403003": "ox", "n02408429": "water buffalo",
            "n02410509": "bison", "n02412080": "ram", "n02415577": "bighorn", "n02417914": "ibex",
            "n02422106": "hartebeest", "n02422699": "impala", "n02423022": "gazelle", "n02437312": "Arabian camel",
            "n02437616": "llama",
        },
        "primate": {
            "n02480495": "orangutan", "n02480855": "gorilla", "n02481823": "chimpanzee", "n02483362": "gibbon",
            "n02483708": "siamang", "n02484975": "guenon", "n02486261": "patas", "n02486410": "baboon",
            "n02487347": "macaque", "n02488291": "langur", "n02488702": "colobus", "n02489166": "proboscis monkey",
            "n02490219": "marmoset", "n02492035": "capuchin", "n02492660": "howler monkey", "n02493509": "titi",
            "n02493793": "spider monkey", "n02494079": "squirrel monkey", "n02497673": "Madagascar cat",
            "n02500267": "indri",
        },
    },
    "device": {
        "machine": {
            "n02666196": "abacus", "n02977058": "cash machine", "n03000684": "chain saw",
            "n03180011": "desktop computer", "n03485407": "hand-held computer", "n03496892": "harvester",
            "n03642806": "laptop", "n03832673": "notebook", "n03995372": "power drill", "n04238763": "slide rule",
            "n04243546": "slot", "n04428191": "thresher", "n04525305": "vending machine", "n06359193": "web site",
        },
        "wind instrument": {
            "n02672831": "accordion", "n02804610": "bassoon", "n03110669": "cornet", "n03372029": "flute",
            "n03394916": "French horn", "n03494278": "harmonica", "n03838899": "oboe", "n03840681": "ocarina",
            "n03854065": "organ", "n03884397": "panpipe", "n04141076": "sax", "n04487394": "trombone",
        },
        "stringed instrument": {
            "n02676566": "acoustic guitar", "n02787622": "banjo", "n02992211": "cello", "n03272010": "electric guitar",
            "n03452741": "grand piano", "n03495258": "harp", "n04515003": "upright", "n04536866": "violin",
        },
        "measuring instrument": {
            "n02708093": "analog clock", "n02794156": "barometer", "n03196217": "digital clock",
            "n03197337": "digital watch", "n03544143": "hourglass", "n03841143": "odometer",
            "n03891332": "parking meter", "n04118776": "rule", "n04141975": "scale", "n04328186": "stopwatch",
            "n04355338": "sundial", "n04548280": "wall clock",
        },
        "weapon": {
            "n02749479": "assault rifle", "n02879718": "bow", "n02950826": "cannon", "n03773504": "missile",
            "n04008634": "projectile", "n04086273": "revolver", "n04090263": "rifle",
        },
        "other instrument": {
            "n02841315": "binoculars", "n03467068": "guillotine", "n03692522": "loupe", "n03706229": "magnetic compass",
            "n04009552": "projector", "n04044716": "radio telescope", "n04317175": "stethoscope",
            "n04356056": "sunglasses", "n04376876": "syringe",
        },
        "restraint": {
            "n02910353": "buckle", "n03075370": "combination lock", "n03208938": "disk brake",
            "n03476684": "hair slide", "n03627232": "knot", "n03803284": "muzzle", "n03804744": "nail",
            "n03874599": "padlock", "n04127249": "safety pin", "n04153751": "screw",
        },
        "source of illumination": {
            "n02948072": "candle", "n03590841": "jack-o'-lantern", "n04286575": "spotlight", "n04456115": "torch",
        },
        "other device.n.01": {
            "n02965783": "car mirror", "n03691459": "loudspeaker", "n03759954": "microphone", "n03793489": "mouse",
            "n03794056": "mousetrap", "n03843555": "oil filter", "n03868863": "oxygen mask", "n04152593": "screen",
            "n04251144": "snorkel", "n04258138": "solar dish", "n04265275": "space heater", "n04275548": "spider web",
            "n04330267": "stove", "n04332243": "strainer",
        },
        "mechanism": {
            "n02966193": "carousel", "n02974003": "car wheel", "n03425413": "gas pump", "n03532672": "hook",
            "n03874293": "paddlewheel", "n03944341": "pinwheel", "n03992509": "potter's wheel", "n04019541": "puck",
            "n04040759": "radiator", "n04067472": "reel", "n04372370": "switch",
        },
        "percussion instrument": {
            "n03017168": "chime", "n03249569": "drum", "n03447721": "gong", "n03720891": "maraca",
            "n03721384": "marimba", "n04311174": "steel drum",
        },
        "other device": {
            "n03126707": "crane.n.04", "n03271574": "electric fan", "n03492542": "hard disc", "n03666591": "lighter",
            "n03929660": "pick", "n04074963": "remote control", "n04228054": "ski", "n04355933": "sunglass",
            "n04505470": "typewriter keyboard", "n04579432": "whistle", "n04592741": "wing",
        },
        "support": {"n03733131": "maypole", "n03814639": "neck brace", "n03933933": "pier", "n04485082": "tripod"},
    },
    "other artifact": {
        "commodity": {
            "n02667093": "abaya", "n02669723": "academic gown", "n02730930": "apron", "n02807133": "bathing cap",
            "n02808304": "bath towel", "n02817516": "bearskin", "n02837789": "bikini", "n02865351": "bolo tie",
            "n02869837": "bonnet", "n02883205": "bow tie", "n02892767": "brassiere", "n02963159": "cardigan",
            "n03026506": "Christmas stocking", "n03124170": "cowboy hat", "n03127747": "crash helmet",
            "n03188531": "diaper", "n03207941": "dishwasher", "n03259280": "Dutch oven", "n03297495": "espresso maker",
            "n03325584": "feather boa", "n03379051": "football helmet", "n03404251": "fur coat", "n03450230": "gown",
            "n03483316": "hand blower", "n03534580": "hoopskirt", "n03584829": "iron", "n03594734": "jean",
            "n03595614": "jersey", "n03617480": "kimono", "n03623198": "knee pad", "n03630383": "lab coat",
            "n03710637": "maillot.n.02", "n03710721": "maillot.n.01", "n03724870": "mask", "n03761084": "microwave",
            "n03763968": "military uniform", "n03770439": "miniskirt", "n03775071": "mitten",
            "n03787032": "mortarboard", "n03866082": "overskirt", "n03877472": "pajama", "n03980874": "poncho",
            "n04070727": "refrigerator", "n04111531": "rotisserie", "n04136333": "sarong", "n04162706": "seat belt",
            "n04179913": "sewing machine", "n04209133": "shower cap", "n04254777": "sock", "n04259630": "sombrero",
            "n04325704": "stole", "n04350905": "suit", "n04370456": "sweatshirt", "n04371430": "swimming trunks",
            "n04442312": "toaster", "n04479046": "trench coat", "n04517823": "vacuum", "n04532106": "vestment",
            "n04542943": "waffle iron", "n04554684": "washer", "n04584207": "wig", "n04591157": "Windsor tie",
        },
        "other artifact": {
            "n02776631": "bakery", "n03938244": "pillow", "n04149813": "scoreboard", "n04296562": "stage",
        },
        "covering": {
            "n02786058": "Band Aid", "n02877765": "bottlecap", "n03045698": "cloak", "n03047690": "clog",
            "n03124043": "cowboy boot", "n03223299": "doormat", "n03680355": "Loafer", "n03717622": "manhole cover",
            "n03825788": "nipple", "n04033995": "quilt", "n04120489": "running shoe", "n04133789": "sandal",
            "n04201297": "shoji", "n07248320": "book jacket",
        },
        "shelter": {"n02825657": "bell cote", "n02843684": "birdhouse", "n04507155": "umbrella"},
        "fabric": {
            "n02834397": "bib", "n03207743": "dishrag", "n03485794": "handkerchief", "n03887697": "paper towel",
            "n04525038": "velvet", "n04599235": "wool",
        },
        "other protective covering": {
            "n02840245": "binder", "n02895154": "breastplate", "n03424325": "gasmask", "n03527444": "holster",
            "n03637318": "lampshade", "n03657121": "lens cap", "n03929855": "pickelhaube", "n04141327": "scabbard",
            "n04209239": "shower curtain", "n04229816": "ski mask", "n04418357": "theater curtain",
            "n04590129": "window shade",
        },
        "armor": {
            "n02916936": "bulletproof vest", "n03000247": "chain mail", "n03146219": "cuirass", "n04192698": "shield",
        },
        "roof": {"n03220513": "dome", "n04417672": "thatch", "n04435653": "tile roof", "n04523525": "vault"},
        "screen": {"n03347037": "fire screen", "n03788365": "mosquito net", "n04589890": "window screen"},
        "tableware": {
            "n03775546": "mixing bowl", "n03920288": "Petri dish", "n04263257": "soup bowl",
            "n04597913": "wooden spoon",
        },
        "decoration": {"n03814906": "necklace", "n04458633": "totem pole"},
        "plaything": {"n04371774": "swing", "n04399382": "teddy"},
    },
    "conveyance": {
        "ship": {
            "n02687172": "aircraft carrier", "n03095699": "container ship", "n03673027": "liner", "n03947888": "pirate",
            "n04347754": "submarine", "n04606251": "wreck",
        },
        "other craft": {
            "n02690373": "airliner", "n02692877": "airship", "n02782093": "balloon", "n04266014": "space shuttle",
            "n04552348": "warplane",
        },
        "car": {
            "n02701002": "ambulance", "n02814533": "beach wagon", "n02930766": "cab", "n03100240": "convertible",
            "n03594945": "jeep", "n03670208": "limousine", "n03770679": "minivan", "n03777568": "Model T",
            "n04037443": "racer", "n04285008": "sports car",
        },
        "other motor vehicle": {
            "n02704792": "amphibian", "n03345487": "fire engine", "n03417042": "garbage truck", "n03444034": "go-kart",
            "n03785016": "moped", "n03796401": "moving van", "n03930630": "pickup", "n03977966": "police van",
            "n04252225": "snowplow", "n04461696": "tow truck", "n04467665": "trailer truck",
        },
        "other wheeled_vehicle.n.01": {
            "n02797295": "barrow", "n02835271": "bicycle-built-for-two", "n03393912": "freight car",
            "n03792782": "mountain bike", "n03895866": "passenger car", "n04204347": "shopping cart",
            "n04482393": "tricycle", "n04509417": "unicycle",
        },
        "sled": {"n02860847": "bobsled", "n03218198": "dogsled"},
        "other conveyance": {
            "n02917067": "bullet train", "n03769881": "minibus", "n04146614": "school bus", "n04336792": "stretcher",
            "n04487081": "trolleybus",
        },
        "boat": {
            "n02951358": "canoe", "n03344393": "fireboat", "n03447447": "gondola", "n03662601": "lifeboat",
            "n04273569": "speedboat", "n04612504": "yawl",
        },
        "sailing vessel": {"n02981792": "catamaran", "n04147183": "schooner", "n04483307": "trimaran"},
        "other self-propelled vehicle": {
            "n03272562": "electric locomotive", "n03384352": "forklift", "n03478589": "half track",
            "n04065272": "recreational vehicle", "n04252077": "snowmobile", "n04310018": "steam locomotive",
            "n04335435": "streetcar", "n04389033": "tank", "n04465501": "tractor",
        },
        "other wheeled vehicle": {"n03445924": "golfcart", "n03791053": "motor scooter"},
        "cart": {"n03538406": "horse cart", "n03599486": "jinrikisha", "n03868242": "oxcart"},
    },
    "structure": {
        "other structure": {
            "n02699494": "altar", "n02814860": "beacon", "n02980441": "castle", "n03065424": "coil",
            "n03216828": "dock", "n03388043": "fountain", "n03697007": "lumbermill", "n03792972": "mountain tent",
            "n03837869": "obelisk", "n03899768": "patio",
        },
        "shed": {"n02727426": "apiary", "n02859443": "boathouse"},
        "other barrier": {
            "n02788148": "bannister", "n02894605": "breakwater", "n03160309": "dam", "n03459775": "grille",
            "n04239074": "sliding door", "n04501370": "turnstile",
        },
        "establishment": {
            "n02791270": "barbershop", "n02871525": "bookshop", "n02927161": "butcher shop",
            "n03089624": "confectionery", "n03461385": "grocery store", "n04005630": "prison", "n04200800": "shoe shop",
            "n04443257": "tobacco shop", "n04462240": "toyshop",
        },
        "other building": {
            "n02793495": "barn", "n03457902": "greenhouse", "n03661043": "library", "n03956157": "planetarium",
            "n04081281": "restaurant",
        },
        "memorial": {"n02892201": "brass", "n03743016": "megalith", "n04486054": "triumphal arch"},
        "fence": {
            "n03000134": "chainlink fence", "n03930313": "picket fence", "n04326547": "stone wall",
            "n04604644": "worm fence",
        },
        "place of worship": {"n03028079": "church", "n03788195": "mosque", "n04346328": "stupa"},
        "theater": {"n03032252": "cinema", "n03529860": "home theater"},
        "housing": {
            "n03042490": "cliff dwelling", "n03776460": "mobile home", "n03781244": "monastery", "n03877845": "palace",
            "n04613696": "yurt",
        },
        "supporting structure": {"n03530642": "honeycomb", "n03903868": "pedestal", "n03961711": "plate rack"},
        "bridge": {"n04311004": "steel arch bridge", "n04366367": "suspension bridge", "n04532670": "viaduct"},
    },
    "container": {
        "other container": {"n02747177": "ashcan", "n04423845": "thimble"},
        "bag": {
            "n02769748": "backpack", "n03709823": "mailbag", "n03958227": "plastic bag", "n04026417": "purse",
            "n04235860": "sleeping bag",
        },
        "other vessel": {
            "n02795169": "barrel", "n02808440": "bathtub", "n02909870": "bucket", "n03063599": "coffee mug",
            "n03633091": "ladle", "n03786901": "mortar", "n03950228": "pitcher", "n04493381": "tub",
            "n04553703": "washbasin",
        },
        "jar": {"n02815834": "beaker", "n04522168": "vase"},
        "other bottle": {
            "n02823428": "beer bottle", "n03937543": "pill bottle", "n03983396": "pop bottle",
            "n04557648": "water bottle", "n04591713": "wine bottle",
        },
        "glass": {"n02823750": "beer glass", "n03443371": "goblet"},
        "box": {
            "n02971356": "carton", "n03014705": "chest", "n03127925": "crate", "n03710193": "mailbox",
            "n03908618": "pencil box", "n04125021": "safe",
        },
        "other container (2)": {
            "n02978881": "cassette", "n03291819": "envelope", "n03733805": "measuring cup", "n03764736": "milk can",
            "n03871628": "packet", "n03935335": "piggy bank", "n03991062": "pot", "n04254120": "soap dispenser",
            "n04476259": "tray", "n04548362": "wallet",
        },
        "shaker": {"n03062245": "cocktail shaker", "n04131690": "saltshaker"},
        "basket": {"n03482405": "hamper", "n04204238": "shopping basket"},
        "reservoir": {"n04049303": "rain barrel", "n04562935": "water tower"},
        "jug": {"n04560804": "water jug", "n04579145": "whiskey jug"},
    },
    "other instrumentality": {
        "other equipment": {
            "n02777292": "balance beam", "n02790996": "barbell", "n02966687": "carpenter's kit",
            "n03134739": "croquet ball", "n03240683": "drilling platform", "n03255030": "dumbbell",
            "n03535780": "horizontal bar", "n03888257": "parachute", "n03888605": "parallel bars",
            "n03924679": "photocopier", "n03976467": "Polaroid camera", "n04069434": "reflex camera",
        },
        "other implement": {
            "n02783161": "ballpoint", "n02906734": "broom", "n03388183": "fountain pen", "n03873416": "paddle",
            "n03876231": "paintbrush", "n03908714": "pencil sharpener", "n03976657": "pole", "n04033901": "quill",
            "n04039381": "racket", "n04116512": "rubber eraser", "n04264628": "space bar", "n04367480": "swab",
        },
        "seat": {
            "n02791124": "barber chair", "n03376595": "folding chair", "n03891251": "park bench",
            "n04099969": "rocking chair", "n04344873": "studio couch", "n04429376": "throne",
            "n04447861": "toilet seat",
        },
        "game equipment": {
            "n02799071": "baseball", "n02802426": "basketball", "n03445777": "golf ball", "n03598930": "jigsaw puzzle",
            "n03942813": "ping-pong ball", "n03982430": "pool table", "n04023962": "punching bag",
            "n04118538": "rugby ball", "n04254680": "soccer ball", "n04409515": "tennis ball",
            "n04540053": "volleyball", "n06785654": "crossword puzzle",
        },
        "other furniture": {
            "n02804414": "bassinet", "n03016953": "chiffonier", "n03018349": "china cabinet", "n03125729": "cradle",
            "n03131574": "crib", "n03179701": "desk", "n03201208": "dining table", "n03290653": "entertainment center",
            "n03337140": "file", "n03388549": "four-poster", "n03742115": "medicine chest", "n04380533": "table lamp",
            "n04550184": "wardrobe",
        },
        "other furnishing": {"n02870880": "bookcase", "n03998194": "prayer rug"},
        "cooking utensil": {
            "n02939185": "caldron", "n03063689": "coffeepot", "n03133878": "Crock Pot", "n03400231": "frying pan",
            "n04270147": "spatula", "n04398044": "teapot", "n04596742": "wok",
        },
        "tool": {
            "n02951585": "can opener", "n03041632": "cleaver", "n03109150": "corkscrew", "n03481172": "hammer",
            "n03498962": "hatchet", "n03649909": "lawn mower", "n03658185": "letter opener", "n03954731": "plane",
            "n03967562": "plow", "n03970156": "plunger", "n04154565": "screwdriver", "n04208210": "shovel",
        },
        "electronic equipment": {
            "n02979186": "cassette player", "n02988304": "CD player", "n02992529": "cellular telephone",
            "n03085013": "computer keyboard", "n03187595": "dial telephone", "n03584254": "iPod",
            "n03602883": "joystick", "n03777754": "modem", "n03782006": "monitor", "n03857828": "oscilloscope",
            "n03902125": "pay-phone", "n04004767": "printer", "n04392985": "tape player",
        },
        "other instrumentality": {"n02999410": "chain", "n06596364": "comic book"},
        "stick": {
            "n03141823": "crutch", "n03250847": "drumstick", "n03355925": "flagpole", "n03729826": "matchstick",
            "n04277352": "spindle",
        },
        "toiletry": {
            "n03314780": "face powder", "n03476991": "hair spray", "n03676483": "lipstick", "n03690938": "lotion",
            "n03916031": "perfume", "n04357314": "sunscreen",
        },
        "system": {"n03733281": "maze", "n04041544": "radio", "n04404412": "television"},
    },
    "abstraction": {
        "other abstraction": {"n06794110": "street sign", "n06874185": "traffic light", "n09229709": "bubble"},
        "substance": {
            "n07892512": "red wine", "n07920052": "espresso", "n07930864": "cup", "n07932039": "eggnog",
            "n15075141": "toilet tissue",
        },
    },
    "matter": {
        "other food": {"n07565083": "menu", "n07802026": "hay"},
        "course": {"n07579787": "plate", "n07613480": "trifle", "n07614500": "ice cream", "n07615774": "ice lolly"},
        "other foodstuff": {
            "n07583066": "guacamole", "n07831146": "carbonara", "n07836838": "chocolate sauce", "n07860988": "dough",
        },
        "other dish": {"n07584110": "consomme", "n07871810": "meat loaf"},
        "other dish (2)": {"n07590611": "hot pot", "n07873807": "pizza", "n07875152": "potpie", "n07880968": "burrito"},
        "bread": {"n07684084": "French loaf", "n07693725": "bagel", "n07695742": "pretzel"},
        "sandwich": {"n07697313": "cheeseburger", "n07697537": "hotdog"},
        "solanaceous vegetable": {"n07711569": "mashed potato", "n07720875": "bell pepper"},
        "cruciferous vegetable": {"n07714571": "head cabbage", "n07714990": "broccoli", "n07715103": "cauliflower"},
        "summer squash": {"n07716358": "zucchini", "n07716906": "spaghetti squash"},
        "winter squash": {"n07717410": "acorn squash", "n07717556": "butternut squash"},
        "other vegetable": {
            "n07718472": "cucumber", "n07718747": "artichoke", "n07730033": "cardoon", "n07734744": "mushroom",
        },
    },
    "natural object": {
        "other edible fruit": {
            "n07742313": "Granny Smith", "n07745940": "strawberry", "n07753113": "fig", "n07753275": "pineapple",
            "n07753592": "banana", "n07754684": "jackfruit", "n07760859": "custard apple", "n07768694": "pomegranate",
        },
        "citrus": {"n07747607": "orange", "n07749582": "lemon"},
        "other natural object": {"n09421951": "sandbar", "n12267677": "acorn"},
        "seed": {"n11879895": "rapeseed", "n12144580": "corn", "n12768682": "buckeye"},
        "other fruit": {"n12620546": "hip", "n13133613": "ear"},
    },
    "geological formation": {
        "mountain": {"n09193705": "alp", "n09472597": "volcano"},
        "other geological formation": {"n09246464": "cliff", "n09288635": "geyser", "n09468604": "valley"},
        "other natural elevation": {"n09256479": "coral reef", "n09399592": "promontory"},
        "shore": {"n09332890": "lakeside", "n09428293": "seashore"},
    },
    "other organism": {
        "person": {"n09835506": "ballplayer", "n10148035": "groom", "n10565667": "scuba diver"},
        "flower": {"n11939491": "daisy", "n12057211": "yellow lady's slipper"},
        "fungus": {
            "n12985857": "coral fungus", "n12998815": "agaric", "n13037406": "gyromitra", "n13040303": "stinkhorn",
            "n13044778": "earthstar", "n13052670": "hen-of-the-woods", "n13054560": "bolete",
        },
    },
}
# fmt: on


class N3HL(HierarchicalNetwork):
    """14 → 140 → 1000 branches on convnextv2_tiny up to stages.2.

    119,624,648 params and 8.816 GMACs at 224 px; flat convnextv2_tiny: 28,635,496 params, 4.456 GMACs.
    """

    taxonomy = TAXONOMY_3
    classes = CLASSES
    input_size = (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 224, 224) -> (B, 384, 14, 14)
        self.trunk = Trunk("convnextv2_tiny", until="stages.2", pretrained=pretrained)
        # -> (B, 14, 288, 7, 7)
        self.level1 = Siblings(14, [ConvNeXts(384, 1168, 288, depth=3, stride=2, grn=True)])
        # -> (B, 140, 96, 7, 7)
        self.level2 = Siblings(140, [ConvNeXts(288, 368, 96, depth=3, grn=True)], parents=nest.parents(2))
        # -> (B, 1000, 32, 7, 7)
        self.level3 = Siblings(1000, [ConvNeXts(96, 136, 32, depth=3, grn=True)], parents=nest.parents(3))
        # -> (B, 1000)
        self.head = ClassHeads(1000, 32, parents=nest.heads)


register(N3HL, "imagenet1k_n3hl")

# fmt: off
TAXONOMY_4 = {
    "organism": {
        "fish": {
            "cyprinid": {"n01440764": "tench", "n01443537": "goldfish"},
            "other fish": {
                "n01484850": "great white shark", "n01491361": "tiger shark", "n01494475": "hammerhead",
                "n01496331": "electric ray", "n01498041": "stingray", "n02514041": "barracouta",
            },
            "other soft-finned fish": {"n02526121": "eel", "n02536864": "coho"},
            "percoid fish": {"n02606052": "rock beauty", "n02607072": "anemone fish"},
            "ganoid": {"n02640242": "sturgeon", "n02641379": "gar"},
            "other spiny-finned fish": {"n02643566": "lionfish", "n02655020": "puffer"},
        },
        "bird": {
            "other bird": {
                "n01514668": "cock", "n01514859": "hen", "n01518878": "ostrich", "n01824575": "coucal",
                "n01833805": "hummingbird",
            },
            "oscine": {
                "n01530575": "brambling", "n01531178": "goldfinch", "n01532829": "house finch", "n01534433": "junco",
                "n01537544": "indigo bunting", "n01558993": "robin", "n01560419": "bulbul", "n01580077": "jay",
                "n01582220": "magpie", "n01592084": "chickadee", "n01601694": "water ouzel",
            },
            "bird of prey": {
                "n01608432": "kite", "n01614925": "bald eagle", "n01616318": "vulture", "n01622779": "great grey owl",
            },
            "game bird": {
                "n01795545": "black grouse", "n01796340": "ptarmigan", "n01797886": "ruffed grouse",
                "n01798484": "prairie chicken", "n01806143": "peacock", "n01806567": "quail", "n01807496": "partridge",
            },
            "parrot": {
                "n01817953": "African grey", "n01818515": "macaw", "n01819313": "sulphur-crested cockatoo",
                "n01820546": "lorikeet",
            },
            "coraciiform bird": {"n01828970": "bee eater", "n01829413": "hornbill"},
            "piciform bird": {"n01843065": "jacamar", "n01843383": "toucan"},
            "anseriform bird": {"n01847000": "drake", "n01855032": "red-breasted merganser", "n01855672": "goose"},
            "other aquatic bird": {"n01860187": "black swan", "n02017213": "European gallinule"},
            "other wading bird": {
                "n02002556": "white stork", "n02002724": "black stork", "n02006656": "spoonbill",
                "n02007558": "flamingo", "n02009229": "little blue heron", "n02009912": "American egret",
                "n02011460": "bittern", "n02012849": "crane.n.05", "n02013706": "limpkin", "n02018207": "American coot",
                "n02018795": "bustard",
            },
            "shorebird": {
                "n02025239": "ruddy turnstone", "n02027492": "red-backed sandpiper", "n02028035": "redshank",
                "n02033041": "dowitcher", "n02037110": "oystercatcher",
            },
            "seabird": {"n02051845": "pelican", "n02056570": "king penguin", "n02058221": "albatross"},
        },
        "amphibian": {
            "other salamander": {
                "n01629819": "European fire salamander", "n01630670": "common newt", "n01631663": "eft",
            },
            "ambystomid": {"n01632458": "spotted salamander", "n01632777": "axolotl"},
            "frog": {"n01641577": "bullfrog", "n01644373": "tree frog", "n01644900": "tailed frog"},
        },
        "reptile": {
            "sea turtle": {"n01664065": "loggerhead", "n01665541": "leatherback turtle"},
            "other turtle": {"n01667114": "mud turtle", "n01667778": "terrapin", "n01669191": "box turtle"},
            "other lizard": {
                "n01675722": "banded gecko", "n01685808": "whiptail", "n01689811": "alligator lizard",
                "n01692333": "Gila monster", "n01693334": "green lizard", "n01694178": "African chameleon",
                "n01695060": "Komodo dragon",
            },
            "iguanid": {"n01677366": "common iguana", "n01682714": "American chameleon"},
            "agamid": {"n01687978": "agama", "n01688243": "frilled lizard"},
            "other diapsid": {
                "n01697457": "African crocodile", "n01698640": "American alligator", "n01704323": "triceratops",
            },
            "colubrid snake": {
                "n01728572": "thunder snake", "n01728920": "ringneck snake", "n01729322": "hognose snake",
                "n01729977": "green snake", "n01734418": "king snake", "n01735189": "garter snake",
                "n01737021": "water snake", "n01739381": "vine snake", "n01740131": "night snake",
            },
            "other snake": {"n01742172": "boa constrictor", "n01744401": "rock python", "n01751748": "sea snake"},
            "elapid": {"n01748264": "Indian cobra", "n01749939": "green mamba"},
            "viper": {"n01753488": "horned viper", "n01755581": "diamondback", "n01756291": "sidewinder"},
        },
        "invertebrate": {
            "other arthropod": {"n01768244": "trilobite", "n01784675": "centipede"},
            "arachnid": {
                "n01770081": "harvestman", "n01770393": "scorpion", "n01773157": "black and gold garden spider",
                "n01773549": "barn spider", "n01773797": "garden spider", "n01774384": "black widow",
                "n01774750": "tarantula", "n01775062": "wolf spider", "n01776313": "tick",
            },
            "coelenterate": {"n01910747": "jellyfish", "n01914609": "sea anemone", "n01917289": "brain coral"},
            "worm": {"n01924916": "flatworm", "n01930112": "nematode"},
            "mollusk": {
                "n01943899": "conch", "n01944390": "snail", "n01945685": "slug", "n01950731": "sea slug",
                "n01955084": "chiton", "n01968897": "chambered nautilus",
            },
            "crustacean": {
                "n01978287": "Dungeness crab", "n01978455": "rock crab", "n01980166": "fiddler crab",
                "n01981276": "king crab", "n01983481": "American lobster", "n01984695": "spiny lobster",
                "n01985128": "crayfish", "n01986214": "hermit crab", "n01990800": "isopod",
            },
            "beetle": {
                "n02165105": "tiger beetle", "n02165456": "ladybug", "n02167151": "ground beetle",
                "n02168699": "long-horned beetle", "n02169497": "leaf beetle", "n02172182": "dung beetle",
                "n02174001": "rhinoceros beetle", "n02177972": "weevil",
            },
            "other insect": {
                "n02190166": "fly", "n02206856": "bee", "n02219486": "ant", "n02226429": "grasshopper",
                "n02229544": "cricket", "n02231487": "walking stick", "n02233338": "cockroach", "n02236044": "mantis",
                "n02264363": "lacewing",
            },
            "homopterous insect": {"n02256656": "cicada", "n02259212": "leafhopper"},
            "odonate": {"n02268443": "dragonfly", "n02268853": "damselfly"},
            "butterfly": {
                "n02276258": "admiral", "n02277742": "ringlet", "n02279972": "monarch",
                "n02280649": "cabbage butterfly", "n02281406": "sulphur butterfly", "n02281787": "lycaenid",
            },
            "echinoderm": {"n02317335": "starfish", "n02319095": "sea urchin", "n02321529": "sea cucumber"},
        },
        "other mammal": {
            "other mammal": {"n01871265": "tusker", "n01872401": "echidna", "n01873310": "platypus"},
            "marsupial": {"n01877812": "wallaby", "n01882714": "koala", "n01883070": "wombat"},
        },
        "other placental": {
            "whale": {"n02066245": "grey whale", "n02071294": "killer whale"},
            "other aquatic mammal": {"n02074367": "dugong", "n02077923": "sea lion"},
            "leporid": {"n02325366": "wood rabbit", "n02326432": "hare", "n02328150": "Angora"},
            "rodent": {
                "n02342885": "hamster", "n02346627": "porcupine", "n02356798": "fox squirrel", "n02361337": "marmot",
                "n02363005": "beaver", "n02364673": "guinea pig",
            },
            "equine": {"n02389026": "sorrel", "n02391049": "zebra"},
            "swine": {"n02395406": "hog", "n02396427": "wild boar", "n02397096": "warthog"},
            "other even-toed ungulate": {
                "n02398521": "hippopotamus", "n02437312": "Arabian camel", "n02437616": "llama",
            },
            "other bovid": {
                "n02403003": "ox", "n02408429": "water buffalo", "n02410509": "bison", "n02412080": "ram",
                "n02415577": "bighorn", "n02417914": "ibex",
            },
            "antelope": {"n02422106": "hartebeest", "n02422699": "impala", "n02423022": "gazelle"},
            "edentate": {"n02454379": "armadillo", "n02457408": "three-toed sloth"},
            "elephant": {"n02504013": "Indian elephant", "n02504458": "African elephant"},
        },
        "other dog": {
            "other toy dog": {
                "n02085620": "Chihuahua", "n02085782": "Japanese spaniel", "n02085936": "Maltese dog",
                "n02086079": "Pekinese", "n02086240": "Shih-Tzu", "n02087046": "toy terrier",
            },
            "toy spaniel": {"n02086646": "Blenheim spaniel", "n02086910": "papillon"},
            "watchdog": {
                "n02104029": "kuvasz", "n02104365": "schipperke", "n02107142": "Doberman",
                "n02107312": "miniature pinscher", "n02110627": "affenpinscher",
            },
            "Belgian sheepdog": {"n02105056": "groenendael", "n02105162": "malinois"},
            "other shepherd dog": {
                "n02105251": "briard", "n02105412": "kelpie", "n02105505": "komondor",
                "n02105641": "Old English sheepdog", "n02105855": "Shetland sheepdog", "n02106030": "collie",
                "n02106166": "Border collie", "n02106382": "Bouvier des Flandres", "n02106550": "Rottweiler",
                "n02106662": "German shepherd",
            },
            "Sennenhunde": {
                "n02107574": "Greater Swiss Mountain dog", "n02107683": "Bernese mountain dog",
                "n02107908": "Appenzeller", "n02108000": "EntleBucher",
            },
            "other working dog": {
                "n02108089": "boxer", "n02108422": "bull mastiff", "n02108551": "Tibetan mastiff",
                "n02108915": "French bulldog", "n02109047": "Great Dane", "n02109525": "Saint Bernard",
                "n02109961": "Eskimo dog",
            },
            "sled dog": {"n02110063": "malamute", "n02110185": "Siberian husky"},
            "other dog": {
                "n02110341": "dalmatian", "n02110806": "basenji", "n02110958": "pug", "n02111129": "Leonberg",
                "n02111277": "Newfoundland", "n02111500": "Great Pyrenees", "n02112706": "Brabancon griffon",
                "n02113978": "Mexican hairless",
            },
            "spitz": {"n02111889": "Samoyed", "n02112018": "Pomeranian", "n02112137": "chow", "n02112350": "keeshond"},
            "corgi": {"n02113023": "Pembroke", "n02113186": "Cardigan"},
            "poodle": {"n02113624": "toy poodle", "n02113712": "miniature poodle", "n02113799": "standard poodle"},
        },
        "hunting dog": {
            "other hunting dog": {
                "n02087394": "Rhodesian ridgeback", "n02100236": "German short-haired pointer", "n02100583": "vizsla",
            },
            "other hound": {
                "n02088094": "Afghan hound", "n02088238": "basset", "n02088364": "beagle", "n02088466": "bloodhound",
                "n02088632": "bluetick", "n02089078": "black-and-tan coonhound", "n02090379": "redbone",
                "n02091244": "Ibizan hound", "n02091467": "Norwegian elkhound", "n02091635": "otterhound",
                "n02091831": "Saluki", "n02092002": "Scottish deerhound", "n02092339": "Weimaraner",
            },
            "foxhound": {"n02089867": "Walker hound", "n02089973": "English foxhound"},
            "wolfhound": {"n02090622": "borzoi", "n02090721": "Irish wolfhound"},
            "greyhound": {"n02091032": "Italian greyhound", "n02091134": "whippet"},
            "bullterrier": {"n02093256": "Staffordshire bullterrier", "n02093428": "American Staffordshire terrier"},
            "other terrier": {
                "n02093647": "Bedlington terrier", "n02093754": "Border terrier", "n02093859": "Kerry blue terrier",
                "n02093991": "Irish terrier", "n02094114": "Norfolk terrier", "n02094258": "Norwich terrier",
                "n02094433": "Yorkshire terrier", "n02095314": "wire-haired fox terrier", "n02096051": "Airedale",
                "n02096177": "cairn", "n02096294": "Australian terrier", "n02096437": "Dandie Dinmont",
                "n02096585": "Boston bull", "n02097298": "Scotch terrier", "n02097474": "Tibetan terrier",
                "n02097658": "silky terrier", "n02098105": "soft-coated wheaten terrier",
                "n02098286": "West Highland white terrier", "n02098413": "Lhasa",
            },
            "wirehair": {"n02095570": "Lakeland terrier", "n02095889": "Sealyham terrier"},
            "schnauzer": {
                "n02097047": "miniature schnauzer", "n02097130": "giant schnauzer", "n02097209": "standard schnauzer",
            },
            "retriever": {
                "n02099267": "flat-coated retriever", "n02099429": "curly-coated retriever",
                "n02099601": "golden retriever", "n02099712": "Labrador retriever",
                "n02099849": "Chesapeake Bay retriever",
            },
            "setter": {"n02100735": "English setter", "n02100877": "Irish setter", "n02101006": "Gordon setter"},
            "spaniel": {
                "n02101388": "Brittany spaniel", "n02101556": "clumber", "n02102040": "English springer",
                "n02102177": "Welsh springer spaniel", "n02102318": "cocker spaniel", "n02102480": "Sussex spaniel",
                "n02102973": "Irish water spaniel",
            },
        },
        "other canine": {
            "wolf": {
                "n02114367": "timber wolf", "n02114548": "white wolf", "n02114712": "red wolf", "n02114855": "coyote",
            },
            "other canine": {
                "n02115641": "dingo", "n02115913": "dhole", "n02116738": "African hunting dog", "n02117135": "hyena",
            },
            "fox": {"n02119022": "red fox", "n02119789": "kit fox", "n02120079": "Arctic fox", "n02120505": "grey fox"},
        },
        "other carnivore": {
            "domestic cat": {
                "n02123045": "tabby", "n02123159": "tiger cat", "n02123394": "Persian cat", "n02123597": "Siamese cat",
                "n02124075": "Egyptian cat",
            },
            "wildcat": {"n02125311": "cougar", "n02127052": "lynx"},
            "big cat": {
                "n02128385": "leopard", "n02128757": "snow leopard", "n02128925": "jaguar", "n02129165": "lion",
                "n02129604": "tiger", "n02130308": "cheetah",
            },
            "bear": {
                "n02132136": "brown bear", "n02133161": "American black bear", "n02134084": "ice bear",
                "n02134418": "sloth bear",
            },
            "viverrine": {"n02137549": "mongoose", "n02138441": "meerkat"},
            "musteline mammal": {
                "n02441942": "weasel", "n02442845": "mink", "n02443114": "polecat", "n02443484": "black-footed ferret",
                "n02444819": "otter", "n02445715": "skunk", "n02447366": "badger",
            },
            "procyonid": {"n02509815": "lesser panda", "n02510455": "giant panda"},
        },
        "primate": {
            "great ape": {"n02480495": "orangutan", "n02480855": "gorilla", "n02481823": "chimpanzee"},
            "lesser ape": {"n02483362": "gibbon", "n02483708": "siamang"},
            "Old World monkey": {
                "n02484975": "guenon", "n02486261": "patas", "n02486410": "baboon", "n02487347": "macaque",
                "n02488291": "langur", "n02488702": "colobus", "n02489166": "proboscis monkey",
            },
            "New World monkey": {
                "n02490219": "marmoset", "n02492035": "capuchin", "n02492660": "howler monkey", "n02493509": "titi",
                "n02493793": "spider monkey", "n02494079": "squirrel monkey",
            },
            "lemur": {"n02497673": "Madagascar cat", "n02500267": "indri"},
        },
        "other organism": {
            "person": {"n09835506": "ballplayer", "n10148035": "groom", "n10565667": "scuba diver"},
            "flower": {"n11939491": "daisy", "n12057211": "yellow lady's slipper"},
            "fungus": {
                "n12985857": "coral fungus", "n12998815": "agaric", "n13037406": "gyromitra", "n13040303": "stinkhorn",
                "n13044778": "earthstar", "n13052670": "hen-of-the-woods", "n13054560": "bolete",
            },
        },
    },
    "other whole": {
        "machine": {
            "other machine": {"n02666196": "abacus", "n02977058": "cash machine"},
            "power tool": {"n03000684": "chain saw", "n03995372": "power drill"},
            "personal computer": {
                "n03180011": "desktop computer", "n03485407": "hand-held computer", "n03642806": "laptop",
                "n03832673": "notebook",
            },
            "farm machine": {"n03496892": "harvester", "n04428191": "thresher"},
            "other computer": {"n04238763": "slide rule", "n06359193": "web site"},
            "slot machine": {"n04243546": "slot", "n04525305": "vending machine"},
        },
        "other artifact": {
            "commodity": {
                "n02667093": "abaya", "n02669723": "academic gown", "n02730930": "apron", "n02807133": "bathing cap",
                "n02808304": "bath towel", "n02817516": "bearskin", "n02837789": "bikini", "n02865351": "bolo tie",
                "n02869837": "bonnet", "n02883205": "bow tie", "n02892767": "brassiere", "n02963159": "cardigan",
                "n03026506": "Christmas stocking", "n03124170": "cowboy hat", "n03127747": "crash helmet",
                "n03188531": "diaper", "n03207941": "dishwasher", "n03259280": "Dutch oven",
                "n03297495": "espresso maker", "n03325584": "feather boa", "n03379051": "football helmet",
                "n03404251": "fur coat", "n03450230": "gown", "n03483316": "hand blower", "n03534580": "hoopskirt",
                "n03584829": "iron", "n03594734": "jean", "n03595614": "jersey", "n03617480": "kimono",
                "n03623198": "knee pad", "n03630383": "lab coat", "n03710637": "maillot.n.02",
                "n03710721": "maillot.n.01", "n03724870": "mask", "n03761084": "microwave",
                "n03763968": "military uniform", "n03770439": "miniskirt", "n03775071": "mitten",
                "n03787032": "mortarboard", "n03866082": "overskirt", "n03877472": "pajama", "n03980874": "poncho",
                "n04070727": "refrigerator", "n04111531": "rotisserie", "n04136333": "sarong", "n04162706": "seat belt",
                "n04179913": "sewing machine", "n04209133": "shower cap", "n04254777": "sock", "n04259630": "sombrero",
                "n04325704": "stole", "n04350905": "suit", "n04370456": "sweatshirt", "n04371430": "swimming trunks",
                "n04442312": "toaster", "n04479046": "trench coat", "n04517823": "vacuum", "n04532106": "vestment",
                "n04542943": "waffle iron", "n04554684": "washer", "n04584207": "wig", "n04591157": "Windsor tie",
            },
            "other artifact": {
                "n02776631": "bakery", "n03938244": "pillow", "n04149813": "scoreboard", "n04296562": "stage",
            },
            "piece of cloth": {
                "n02834397": "bib", "n03207743": "dishrag", "n03485794": "handkerchief", "n03887697": "paper towel",
            },
            "tableware": {
                "n03775546": "mixing bowl", "n03920288": "Petri dish", "n04263257": "soup bowl",
                "n04597913": "wooden spoon",
            },
            "decoration": {"n03814906": "necklace", "n04458633": "totem pole"},
            "plaything": {"n04371774": "swing", "n04399382": "teddy"},
            "other fabric": {"n04525038": "velvet", "n04599235": "wool"},
        },
        "musical instrument": {
            "other wind instrument": {"n02672831": "accordion", "n03494278": "harmonica", "n03884397": "panpipe"},
            "guitar": {"n02676566": "acoustic guitar", "n03272010": "electric guitar"},
            "other stringed instrument": {"n02787622": "banjo", "n03495258": "harp"},
            "woodwind": {"n02804610": "bassoon", "n03372029": "flute", "n03838899": "oboe", "n04141076": "sax"},
            "bowed stringed instrument": {"n02992211": "cello", "n04536866": "violin"},
            "percussion instrument": {
                "n03017168": "chime", "n03249569": "drum", "n03447721": "gong", "n03720891": "maraca",
                "n03721384": "marimba", "n04311174": "steel drum",
            },
            "brass": {"n03110669": "cornet", "n03394916": "French horn", "n04487394": "trombone"},
            "piano": {"n03452741": "grand piano", "n04515003": "upright"},
            "other wind instrument (2)": {"n03840681": "ocarina", "n03854065": "organ"},
        },
        "conveyance": {
            "ship": {
                "n02687172": "aircraft carrier", "n03095699": "container ship", "n03673027": "liner",
                "n03947888": "pirate", "n04347754": "submarine", "n04606251": "wreck",
            },
            "other craft": {
                "n02690373": "airliner", "n02692877": "airship", "n02782093": "balloon", "n04266014": "space shuttle",
                "n04552348": "warplane",
            },
            "car": {
                "n02701002": "ambulance", "n02814533": "beach wagon", "n02930766": "cab", "n03100240": "convertible",
                "n03594945": "jeep", "n03670208": "limousine", "n03770679": "minivan", "n03777568": "Model T",
                "n04037443": "racer", "n04285008": "sports car",
            },
            "other motor vehicle": {
                "n02704792": "amphibian", "n03444034": "go-kart", "n03785016": "moped", "n04252225": "snowplow",
            },
            "other wheeled_vehicle.n.01": {
                "n02797295": "barrow", "n02835271": "bicycle-built-for-two", "n03393912": "freight car",
                "n03792782": "mountain bike", "n03895866": "passenger car", "n04204347": "shopping cart",
                "n04482393": "tricycle", "n04509417": "unicycle",
            },
            "sled": {"n02860847": "bobsled", "n03218198": "dogsled"},
            "other conveyance": {
                "n02917067": "bullet train", "n03769881": "minibus", "n04146614": "school bus",
                "n04336792": "stretcher", "n04487081": "trolleybus",
            },
            "boat": {
                "n02951358": "canoe", "n03344393": "fireboat", "n03447447": "gondola", "n03662601": "lifeboat",
                "n04273569": "speedboat", "n04612504": "yawl",
            },
            "sailing vessel": {"n02981792": "catamaran", "n04147183": "schooner", "n04483307": "trimaran"},
            "other self-propelled vehicle": {
                "n03272562": "electric locomotive", "n03384352": "forklift", "n03478589": "half track",
                "n04065272": "recreational vehicle", "n04252077": "snowmobile", "n04310018": "steam locomotive",
                "n04335435": "streetcar", "n04389033": "tank", "n04465501": "tractor",
            },
            "truck": {
                "n03345487": "fire engine", "n03417042": "garbage truck", "n03796401": "moving van",
                "n03930630": "pickup", "n03977966": "police van", "n04461696": "tow truck",
                "n04467665": "trailer truck",
            },
            "other wheeled vehicle": {"n03445924": "golfcart", "n03791053": "motor scooter"},
            "cart": {"n03538406": "horse cart", "n03599486": "jinrikisha", "n03868242": "oxcart"},
        },
        "structure": {
            "other structure": {
                "n02699494": "altar", "n02814860": "beacon", "n02980441": "castle", "n03065424": "coil",
                "n03216828": "dock", "n03388043": "fountain", "n03697007": "lumbermill", "n03792972": "mountain tent",
                "n03837869": "obelisk", "n03899768": "patio",
            },
            "shed": {"n02727426": "apiary", "n02859443": "boathouse"},
            "other barrier": {
                "n02788148": "bannister", "n02894605": "breakwater", "n03160309": "dam", "n03459775": "grille",
                "n04239074": "sliding door", "n04501370": "turnstile",
            },
            "establishment": {
                "n02791270": "barbershop", "n02871525": "bookshop", "n02927161": "butcher shop",
                "n03089624": "confectionery", "n03461385": "grocery store", "n04005630": "prison",
                "n04200800": "shoe shop", "n04443257": "tobacco shop", "n04462240": "toyshop",
            },
            "other building": {
                "n02793495": "barn", "n03457902": "greenhouse", "n03661043": "library", "n03956157": "planetarium",
                "n04081281": "restaurant",
            },
            "memorial": {"n02892201": "brass", "n03743016": "megalith", "n04486054": "triumphal arch"},
            "fence": {
                "n03000134": "chainlink fence", "n03930313": "picket fence", "n04326547": "stone wall",
                "n04604644": "worm fence",
            },
            "place of worship": {"n03028079": "church", "n03788195": "mosque", "n04346328": "stupa"},
            "theater": {"n03032252": "cinema", "n03529860": "home theater"},
            "housing": {
                "n03042490": "cliff dwelling", "n03776460": "mobile home", "n03781244": "monastery",
                "n03877845": "palace", "n04613696": "yurt",
            },
            "supporting structure": {"n03530642": "honeycomb", "n03903868": "pedestal", "n03961711": "plate rack"},
            "bridge": {"n04311004": "steel arch bridge", "n04366367": "suspension bridge", "n04532670": "viaduct"},
        },
        "instrument": {
            "clock": {"n02708093": "analog clock", "n03196217": "digital clock", "n04548280": "wall clock"},
            "gun": {"n02749479": "assault rifle", "n02950826": "cannon", "n04086273": "revolver", "n04090263": "rifle"},
            "other measuring instrument": {
                "n02794156": "barometer", "n03841143": "odometer", "n04118776": "rule", "n04141975": "scale",
            },
            "optical instrument": {"n02841315": "binoculars", "n04009552": "projector", "n04356056": "sunglasses"},
            "other weapon": {"n02879718": "bow", "n03773504": "missile", "n04008634": "projectile"},
            "other timepiece": {"n03197337": "digital watch", "n03544143": "hourglass", "n04355338": "sundial"},
            "other instrument": {"n03467068": "guillotine", "n03706229": "magnetic compass"},
            "magnifier": {"n03692522": "loupe", "n04044716": "radio telescope"},
            "timer": {"n03891332": "parking meter", "n04328186": "stopwatch"},
            "medical instrument": {"n04317175": "stethoscope", "n04376876": "syringe"},
        },
        "container": {
            "other container": {"n02747177": "ashcan", "n04423845": "thimble"},
            "bag": {
                "n02769748": "backpack", "n03709823": "mailbag", "n03958227": "plastic bag", "n04026417": "purse",
                "n04235860": "sleeping bag",
            },
            "other vessel": {
                "n02795169": "barrel", "n02808440": "bathtub", "n02909870": "bucket", "n03063599": "coffee mug",
                "n03633091": "ladle", "n03786901": "mortar", "n03950228": "pitcher", "n04493381": "tub",
                "n04553703": "washbasin",
            },
            "jar": {"n02815834": "beaker", "n04522168": "vase"},
            "other bottle": {
                "n02823428": "beer bottle", "n03937543": "pill bottle", "n03983396": "pop bottle",
                "n04557648": "water bottle", "n04591713": "wine bottle",
            },
            "glass": {"n02823750": "beer glass", "n03443371": "goblet"},
            "box": {
                "n02971356": "carton", "n03014705": "chest", "n03127925": "crate", "n03710193": "mailbox",
                "n03908618": "pencil box", "n04125021": "safe",
            },
            "other container (2)": {
                "n02978881": "cassette", "n03291819": "envelope", "n03733805": "measuring cup", "n03764736": "milk can",
                "n03871628": "packet", "n03935335": "piggy bank", "n03991062": "pot", "n04254120": "soap dispenser",
                "n04476259": "tray", "n04548362": "wallet",
            },
            "shaker": {"n03062245": "cocktail shaker", "n04131690": "saltshaker"},
            "basket": {"n03482405": "hamper", "n04204238": "shopping basket"},
            "reservoir": {"n04049303": "rain barrel", "n04562935": "water tower"},
            "jug": {"n04560804": "water jug", "n04579145": "whiskey jug"},
        },
        "equipment": {
            "gymnastic apparatus": {
                "n02777292": "balance beam", "n03535780": "horizontal bar", "n03888605": "parallel bars",
            },
            "weight": {"n02790996": "barbell", "n03255030": "dumbbell"},
            "gear": {"n02966687": "carpenter's kit", "n03240683": "drilling platform"},
            "other electronic equipment": {
                "n02979186": "cassette player", "n02988304": "CD player", "n03584254": "iPod", "n03777754": "modem",
                "n03782006": "monitor", "n03857828": "oscilloscope", "n04392985": "tape player",
            },
            "telephone": {"n02992529": "cellular telephone", "n03187595": "dial telephone", "n03902125": "pay-phone"},
            "peripheral": {"n03085013": "computer keyboard", "n03602883": "joystick", "n04004767": "printer"},
            "other equipment": {"n03134739": "croquet ball", "n03888257": "parachute", "n03924679": "photocopier"},
            "camera": {"n03976467": "Polaroid camera", "n04069434": "reflex camera"},
        },
        "implement": {
            "pen": {"n02783161": "ballpoint", "n03388183": "fountain pen", "n04033901": "quill"},
            "cleaning implement": {"n02906734": "broom", "n04367480": "swab"},
            "pot": {"n02939185": "caldron", "n03063689": "coffeepot", "n04398044": "teapot"},
            "opener": {"n02951585": "can opener", "n03109150": "corkscrew"},
            "edge tool": {
                "n03041632": "cleaver", "n03498962": "hatchet", "n03658185": "letter opener", "n03954731": "plane",
            },
            "other cooking utensil": {"n03133878": "Crock Pot", "n04270147": "spatula"},
            "staff": {"n03141823": "crutch", "n03355925": "flagpole"},
            "other stick": {"n03250847": "drumstick", "n03729826": "matchstick", "n04277352": "spindle"},
            "pan": {"n03400231": "frying pan", "n04596742": "wok"},
            "other hand tool": {
                "n03481172": "hammer", "n03970156": "plunger", "n04154565": "screwdriver", "n04208210": "shovel",
            },
            "other tool": {"n03649909": "lawn mower", "n03967562": "plow"},
            "other implement": {
                "n03873416": "paddle", "n03876231": "paintbrush", "n03908714": "pencil sharpener", "n03976657": "pole",
                "n04039381": "racket", "n04116512": "rubber eraser", "n04264628": "space bar",
            },
        },
        "covering": {
            "other covering": {
                "n02786058": "Band Aid", "n03045698": "cloak", "n03223299": "doormat", "n04033995": "quilt",
                "n04201297": "shoji", "n07248320": "book jacket",
            },
            "shelter": {"n02825657": "bell cote", "n02843684": "birdhouse", "n04507155": "umbrella"},
            "other protective covering": {"n02840245": "binder", "n03637318": "lampshade", "n03657121": "lens cap"},
            "top": {"n02877765": "bottlecap", "n03717622": "manhole cover", "n03825788": "nipple"},
            "armor plate": {"n02895154": "breastplate", "n03929855": "pickelhaube"},
            "armor": {
                "n02916936": "bulletproof vest", "n03000247": "chain mail", "n03146219": "cuirass",
                "n04192698": "shield",
            },
            "footwear": {
                "n03047690": "clog", "n03124043": "cowboy boot", "n03680355": "Loafer", "n04120489": "running shoe",
                "n04133789": "sandal",
            },
            "roof": {"n03220513": "dome", "n04417672": "thatch", "n04435653": "tile roof", "n04523525": "vault"},
            "screen": {"n03347037": "fire screen", "n03788365": "mosquito net", "n04589890": "window screen"},
            "mask": {"n03424325": "gasmask", "n04229816": "ski mask"},
            "sheath": {"n03527444": "holster", "n04141327": "scabbard"},
            "blind": {"n04209239": "shower curtain", "n04418357": "theater curtain", "n04590129": "window shade"},
        },
        "other instrumentality": {
            "chair": {
                "n02791124": "barber chair", "n03376595": "folding chair", "n04099969": "rocking chair",
                "n04429376": "throne",
            },
            "game equipment": {
                "n02799071": "baseball", "n02802426": "basketball", "n03445777": "golf ball",
                "n03598930": "jigsaw puzzle", "n03942813": "ping-pong ball", "n03982430": "pool table",
                "n04023962": "punching bag", "n04118538": "rugby ball", "n04254680": "soccer ball",
                "n04409515": "tennis ball", "n04540053": "volleyball", "n06785654": "crossword puzzle",
            },
            "baby bed": {"n02804414": "bassinet", "n03125729": "cradle", "n03131574": "crib"},
            "other furnishing": {"n02870880": "bookcase", "n03998194": "prayer rug"},
            "other instrumentality": {"n02999410": "chain", "n06596364": "comic book"},
            "other furniture": {
                "n03016953": "chiffonier", "n03179701": "desk", "n03201208": "dining table",
                "n03290653": "entertainment center", "n03337140": "file", "n03388549": "four-poster",
                "n04380533": "table lamp", "n04550184": "wardrobe",
            },
            "cabinet": {"n03018349": "china cabinet", "n03742115": "medicine chest"},
            "makeup": {"n03314780": "face powder", "n03676483": "lipstick"},
            "other toiletry": {
                "n03476991": "hair spray", "n03690938": "lotion", "n03916031": "perfume", "n04357314": "sunscreen",
            },
            "system": {"n03733281": "maze", "n04041544": "radio", "n04404412": "television"},
            "other seat": {"n03891251": "park bench", "n04344873": "studio couch", "n04447861": "toilet seat"},
        },
        "other device": {
            "restraint": {
                "n02910353": "buckle", "n03075370": "combination lock", "n03208938": "disk brake",
                "n03476684": "hair slide", "n03627232": "knot", "n03803284": "muzzle", "n03804744": "nail",
                "n03874599": "padlock", "n04127249": "safety pin", "n04153751": "screw",
            },
            "source of illumination": {
                "n02948072": "candle", "n03590841": "jack-o'-lantern", "n04286575": "spotlight", "n04456115": "torch",
            },
            "reflector": {"n02965783": "car mirror", "n04258138": "solar dish"},
            "mechanism": {
                "n02966193": "carousel", "n02974003": "car wheel", "n03425413": "gas pump", "n03532672": "hook",
                "n03874293": "paddlewheel", "n03944341": "pinwheel", "n03992509": "potter's wheel", "n04019541": "puck",
                "n04040759": "radiator", "n04067472": "reel", "n04372370": "switch",
            },
            "other device": {
                "n03126707": "crane.n.04", "n03271574": "electric fan", "n03492542": "hard disc",
                "n03666591": "lighter", "n03929660": "pick", "n04074963": "remote control", "n04228054": "ski",
                "n04355933": "sunglass", "n04505470": "typewriter keyboard", "n04579432": "whistle",
                "n04592741": "wing",
            },
            "electro-acoustic transducer": {"n03691459": "loudspeaker", "n03759954": "microphone"},
            "support": {"n03733131": "maypole", "n03814639": "neck brace", "n03933933": "pier", "n04485082": "tripod"},
            "electronic device": {"n03793489": "mouse", "n04152593": "screen"},
            "trap": {"n03794056": "mousetrap", "n04275548": "spider web"},
            "filter": {"n03843555": "oil filter", "n04332243": "strainer"},
            "breathing device": {"n03868863": "oxygen mask", "n04251144": "snorkel"},
            "heater": {"n04265275": "space heater", "n04330267": "stove"},
        },
        "natural object": {
            "other edible fruit": {
                "n07742313": "Granny Smith", "n07745940": "strawberry", "n07753113": "fig", "n07753275": "pineapple",
                "n07753592": "banana", "n07754684": "jackfruit", "n07760859": "custard apple",
                "n07768694": "pomegranate",
            },
            "citrus": {"n07747607": "orange", "n07749582": "lemon"},
            "other natural object": {"n09421951": "sandbar", "n12267677": "acorn"},
            "seed": {"n11879895": "rapeseed", "n12144580": "corn", "n12768682": "buckeye"},
            "other fruit": {"n12620546": "hip", "n13133613": "ear"},
        },
    },
    "abstraction": {
        "other abstraction": {
            "communication": {"n06794110": "street sign", "n06874185": "traffic light"},
            "bubble": {"n09229709": "bubble"},
        },
        "substance": {
            "beverage": {"n07892512": "red wine", "n07920052": "espresso", "n07930864": "cup", "n07932039": "eggnog"},
            "toilet tissue": {"n15075141": "toilet tissue"},
        },
    },
    "food": {
        "other food": {
            "other food": {"n07565083": "menu", "n07802026": "hay"},
            "course": {"n07579787": "plate", "n07613480": "trifle", "n07614500": "ice cream", "n07615774": "ice lolly"},
        },
        "foodstuff": {
            "other foodstuff": {
                "n07583066": "guacamole", "n07831146": "carbonara", "n07836838": "chocolate sauce",
                "n07860988": "dough",
            },
            "bread": {"n07684084": "French loaf", "n07693725": "bagel", "n07695742": "pretzel"},
        },
        "dish": {
            "other dish": {"n07584110": "consomme", "n07871810": "meat loaf"},
            "other dish (2)": {
                "n07590611": "hot pot", "n07873807": "pizza", "n07875152": "potpie", "n07880968": "burrito",
            },
            "sandwich": {"n07697313": "cheeseburger", "n07697537": "hotdog"},
        },
    },
    "vegetable": {
        "other vegetable": {
            "solanaceous vegetable": {"n07711569": "mashed potato", "n07720875": "bell pepper"},
            "cruciferous vegetable": {"n07714571": "head cabbage", "n07714990": "broccoli", "n07715103": "cauliflower"},
            "other vegetable": {
                "n07718472": "cucumber", "n07718747": "artichoke", "n07730033": "cardoon", "n07734744": "mushroom",
            },
        },
        "squash": {
            "summer squash": {"n07716358": "zucchini", "n07716906": "spaghetti squash"},
            "winter squash": {"n07717410": "acorn squash", "n07717556": "butternut squash"},
        },
    },
    "geological formation": {
        "natural elevation": {
            "mountain": {"n09193705": "alp", "n09472597": "volcano"},
            "other natural elevation": {"n09256479": "coral reef", "n09399592": "promontory"},
        },
        "other geological formation": {
            "other geological formation": {"n09246464": "cliff", "n09288635": "geyser", "n09468604": "valley"},
            "shore": {"n09332890": "lakeside", "n09428293": "seashore"},
        },
    },
}
# fmt: on


class N4HL(HierarchicalNetwork):
    """6 → 35 → 247 → 1000 branches on convnextv2_tiny up to stages.2.

    119,788,728 params and 8.829 GMACs at 224 px; flat convnextv2_tiny: 28,635,496 params, 4.456 GMACs.
    """

    taxonomy = TAXONOMY_4
    classes = CLASSES
    input_size = (3, 224, 224)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        nest = Nest(self.taxonomy, self.classes)
        # (B, 3, 224, 224) -> (B, 384, 14, 14)
        self.trunk = Trunk("convnextv2_tiny", until="stages.2", pretrained=pretrained)
        # -> (B, 6, 416, 7, 7)
        self.level1 = Siblings(6, [ConvNeXts(384, 1648, 416, depth=3, stride=2, grn=True)])
        # -> (B, 35, 168, 7, 7)
        self.level2 = Siblings(35, [ConvNeXts(416, 680, 168, depth=3, grn=True)], parents=nest.parents(2))
        # -> (B, 247, 64, 7, 7)
        self.level3 = Siblings(247, [ConvNeXts(168, 248, 64, depth=3, grn=True)], parents=nest.parents(3))
        # -> (B, 1000, 24, 7, 7)
        self.level4 = Siblings(1000, [ConvNeXts(64, 104, 24, depth=3, grn=True)], parents=nest.parents(4))
        # -> (B, 1000)
        self.head = ClassHeads(1000, 24, parents=nest.heads)


register(N4HL, "imagenet1k_n4hl")
