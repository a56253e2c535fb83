"""Random taxonomy files: classes of every kind, groupings, overlapping sources, models; written in several hands.

Most are valid. The rest have what people get wrong: a class in two groups, groups in circles, too many levels, a trunk
that is not there.
"""

from __future__ import annotations

import keyword
from functools import cache
from typing import Any

import yaml
from hypothesis import strategies as st

from hiergen.taxonomy import yamlfile as yamltext
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.senses import Label, read_names
from hiergen.taxonomy.wordnet.nouns import default
from tests.fuzz.trees import Shape, shape_of

Data = dict[str, Any]
TOPS = ("dog.n.01", "cat.n.01", "bird_of_prey.n.01", "wheeled_vehicle.n.01", "furniture.n.01", "citrus.n.01")
ODD = [
    *("null", "~", "no", "1e3", "007", "0x1F", "2024-01-01", "- x", "a: b", "#hash", "{a}", "[b]", "&c", "*d", "!e"),
    *("it's", 'say "x"', "back\\slash", '""" + exit() #', "{{ 7*7 }}", "${HOME}", "%s", "a\u0301", "Straße", "класс"),
    *("root", "other", "all", "other root", "all classes", "class", "None", "nest", "self", "group:a", "class:b"),
    *("x (2)", "other x", "TAXONOMY_1", "CLASSES", "東京 🐈", "n0", "n02123045x", "a.n", "<b>&amp;</b>", "it's 'x'"),
    *keyword.kwlist[3:8],
    "long " + "x" * 195,
]
TRUNKS = [
    ("resnet18", 32, ["layer1", "layer2"]),
    ("mobilenetv3_small_100", 64, ["blocks.0", "blocks.1"]),
    ("tf_efficientnet_lite0", 64, ["blocks.1"]),
    ("convnextv2_atto", None, ["stages.1"]),
    ("vit_tiny_patch16_224", None, ["blocks.3"]),
]


@cache
def nouns() -> tuple[str, ...]:
    """Wnids below TOPS, sorted."""
    wordnet = default()
    return tuple(sorted({w for top in TOPS for w in wordnet.descendants(wordnet.resolve(top))}))


@cache
def every_noun() -> tuple[str, ...]:
    wordnet = default()
    return tuple(sorted(wordnet.descendants(wordnet.resolve("entity.n.01"))))


@cache  # of strategies: making one anew for each example is most of an example's time
def own_names() -> st.SearchStrategy[str]:
    """Text that may be a class or group, mostly none that WordNet knows."""
    anything = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp"]), min_size=1, max_size=10)
    plain = st.from_regex(r"[a-z]{3,8}(_[a-z0-9]{1,4})?", fullmatch=True)
    return st.one_of(plain, st.sampled_from(ODD), anything).filter(lambda text: bad_label(text) is None)


@cache
def class_ids() -> st.SearchStrategy[str]:
    wordnet = default()
    close = st.integers(0, len(nouns()) - 1).map(nouns().__getitem__)
    return st.one_of(
        close,
        close.map(wordnet.synset_name),
        close.map(lambda wnid: wordnet.lemmas(wnid)[0]),
        own_names(),
        st.builds("{} {}".format, st.sampled_from(["Boeing", "wild", "zz"]), close.map(lambda w: wordnet.lemmas(w)[0])),
        st.integers(0, len(every_noun()) - 1).map(every_noun().__getitem__),
    )


@cache
def class_lists(most: int = 14) -> st.SearchStrategy[list[str]]:
    """Distinct classes: neither two of one identifier nor two of one synset."""
    return st.lists(class_ids(), min_size=2, max_size=most, unique_by=(slug, _meaning))


@cache
def _meaning(text: str) -> str:
    """The synset that the class is."""
    sense = read_names([Label(text)], default())[0]
    return sense.synset if sense.synset and sense.exact else text


@st.composite
def groupings(draw: st.DrawFn, ids: list[str], wrong: bool) -> Data:
    """One `groups:` block over some of the classes: nested, flat, or both; sometimes by synsets, seldom `wrong`."""
    some = draw(st.lists(st.integers(0, len(ids) - 1), min_size=2, max_size=len(ids), unique=True))
    depths = draw(st.lists(st.integers(0, 4), min_size=len(some) - 1, max_size=len(some) - 1))
    shape = shape_of(some, depths)
    taken = {slug(name) for name in ids} | {""}
    flat = draw(st.booleans())
    block: Data = {}

    def name() -> str:
        found = draw(own_names())
        while slug(found) in taken:
            found = f"{found[:180]} {len(taken)}"
        taken.add(slug(found))
        return found

    def members(part: Shape) -> list[Any]:
        inner: list[Any] = []
        for below in part:
            if isinstance(below, int):
                inner.append(ids[below])
            elif flat:
                own = name()
                block[own] = members(below)
                inner.append(own)
            else:
                inner.append({name(): members(below)})
        return inner

    for below in shape:
        top = [below] if isinstance(below, int) else below
        block[name()] = members(top)
    which = draw(st.integers(0, 11))
    home = block[draw(st.sampled_from(sorted(block)))]
    if which < 3 and (covering := [top for top in TOPS if _covers(top, ids)]):
        home.append(draw(st.sampled_from(covering)))
    if wrong and which == 4:
        home.append(draw(st.sampled_from(ids)))
    elif wrong and which == 5:
        home.append(draw(st.sampled_from(sorted(block))))
    elif wrong and which == 6:
        home.append(draw(st.sampled_from(TOPS)))
    elif wrong and which == 7:
        block[name()] = []
    return block


def _covers(top: str, ids: list[str]) -> bool:
    wordnet = default()
    above = wordnet.resolve(top)
    return any((wnid := wordnet.resolve(text)) and wordnet.is_ancestor(above, wnid) for text in ids)


@st.composite
def class_files(draw: st.DrawFn, most: int = 14, *, wrong: bool = False) -> Data:
    """Everything but the models."""
    ids = draw(class_lists(most))
    unplaced = draw(st.sampled_from(["root", "root", "root", "error"])) if wrong else "root"
    data: Data = {"name": "fuzz", "classes": ids, "unplaced": unplaced}
    if draw(st.integers(0, 4)) == 0:
        data["names"] = draw(st.dictionaries(st.sampled_from(ids), own_names(), max_size=3))
    if draw(st.integers(0, 4)) == 0:
        data["synsets"] = draw(st.dictionaries(st.sampled_from(ids), st.sampled_from(nouns()[:200]), max_size=2))
    others = draw(st.lists(st.sampled_from(["wordnet", "imagenet-superclass"]), max_size=2, unique=True))
    blocks = draw(st.lists(groupings(ids, wrong), max_size=2))
    data["sources"] = draw(st.permutations([*others, *({"groups": block} for block in blocks)]))
    if draw(st.booleans()):
        rules = ["deepest", "shallowest", "first", "most-classes"]
        data["hypernyms"] = {"rule": draw(st.sampled_from(rules))}
    if draw(st.booleans()):
        low = draw(st.integers(2, 4))
        data["nesting"] = {
            "min_children": low,
            "max_children": low + draw(st.integers(0, 8)),
            "balance": draw(st.sampled_from([1, 0, 0.3])),
            "refine": draw(st.booleans()),
        }
    return data


@cache
def stages(small: bool) -> st.SearchStrategy[Data]:
    """One stage of a branch."""
    widest = 6 if small else 40

    def stage(block: str, depth: int, width: int, out: int, stride: int, kernel: int, act: str | None) -> Data:
        found: Data = {"block": block, "depth": depth, "width": width, "out": out, "stride": stride}
        return found | ({"kernel": kernel} | ({"act": act} if act else {}) if block == "mbconv" else {})

    return st.builds(
        stage,
        st.sampled_from(["bottleneck", "convnext", "convnextv2", "mbconv"]),
        st.integers(1, 2),
        st.integers(1, widest),
        st.integers(1, widest),
        st.sampled_from([1, 1, 1, 2]) if small else st.sampled_from([1, 2, 4]),
        st.sampled_from([3, 5, 7]),
        st.sampled_from([None, "relu", "relu6", "silu"]),
    )


@st.composite
def models(draw: st.DrawFn, levels: st.SearchStrategy[int], *, small: bool = False, most: int = 3) -> Data:
    """One to `most` models; `small` ones can be run."""
    found: Data = {}
    for _ in range(draw(st.integers(1, most))):
        k = draw(levels)
        backbone, size, cuts = draw(st.sampled_from(TRUNKS[:2] if small else TRUNKS))
        model: Data = {"trunk": {"backbone": backbone, "until": cuts[0] if small else draw(st.sampled_from(cuts))}}
        if size:
            model["input_size"] = size
        if not small and draw(st.integers(0, 4)) == 0:
            model["block"] = draw(st.sampled_from(["bottleneck", "convnext", "mbconv"]))
            model["budget"] = {"params": draw(st.sampled_from(["900k", "5M", "20M"]))}
        else:
            model["branches"] = [draw(st.lists(stages(small), min_size=1, max_size=2)) for _ in range(k)]
        if k == 1 and draw(st.booleans()):
            model["single_branch"] = True
        if "branches" not in model:
            model["levels"] = k
        found[f"M{len(found)}_{k}"] = model
    return found


def texts(data: Data) -> st.SearchStrategy[str]:
    """The same data as different people (and programs) write it."""

    def by_pyyaml(style: bool | None, unicode: bool, width: int) -> str:
        return str(yaml.safe_dump(data, default_flow_style=style, allow_unicode=unicode, sort_keys=False, width=width))

    pyyaml = st.builds(by_pyyaml, st.sampled_from([None, False, True]), st.booleans(), st.sampled_from([20, 80, 10**6]))
    return st.one_of(pyyaml, st.just(data).map(lambda d: "\n".join(f"{k}: {yamltext.flow(v)}" for k, v in d.items())))
