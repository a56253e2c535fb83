"""What a network that was built anew takes over: each logit against the one that it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from conftest import Ran
from torch import nn
from torch.nn.utils import prune
from toy_networks import built_toy, scrambled

import hiergen
from hiergen.codegen.build import build
from hiergen.errors import HiergenError
from hiergen.models.load import find_model
from hiergen.models.weights import save_weights
from hiergen.nn.cutout import difference
from hiergen.nn.generalist import FORMS
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.rejection import Rejection
from hiergen.nn.takeover import OTHER_SHAPES, take_over
from hiergen.planning.from_network import spelled_out

X = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
GROUPS = "{cat: [tabby, siamese], dog: [pug, beagle], fish: [carp, tuna]}"
CLASSES = "tabby, pug, carp, siamese, beagle, tuna"
MORE = "{cat: [tabby, siamese, persian], hound: [beagle, basset], dog: [pug], fish: [carp, tuna]}"
MORE_CLASSES = "basset, tabby, pug, carp, siamese, beagle, tuna, persian"
YAML = """\
name: {name}
classes: [{classes}]
sources: [groups: {groups}]
nesting: {{closeness: 0, single_child: 3}}
models:
  N2HL:
    trunk: {{backbone: {backbone}, until: {until}}}
    input_size: 32
    {how}
"""
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting:UserWarning")
Network = Callable[..., HierarchicalNetwork]


@pytest.fixture
def built(tmp_path: Path) -> Network:
    def network(how: str, groups: str = GROUPS, classes: str = CLASSES, **trunk: str) -> HierarchicalNetwork:
        spec = tmp_path / f"net{len(list(tmp_path.iterdir()))}.yaml"
        trunk = {"backbone": "mobilenetv2_035", "until": "blocks.5", **trunk}
        spec.write_text(YAML.format(name=spec.stem, groups=groups, classes=classes, how=how, **trunk), "utf-8")
        cls = find_model(str(build(spec, spec.with_suffix(".py")).path)).cls
        return cls().eval()  # type: ignore[no-any-return]

    return network


SPELLED = "generalist: both\n    budget: {params: 400k}"


@pytest.mark.parametrize("form", FORMS)
def test_a_rebuilt_network_answers_as_before_where_nothing_changed_its_name(form: str, built: Network) -> None:
    """Classes moved, added and in another order: whose groups and shapes stayed have the logits that they had."""
    old = scrambled(built(SPELLED))
    assert isinstance(old, HierarchicalNetwork)
    old.form, old.choice = form, {"cat": "specialists", "dog": "generalist", "fish": "generalist"}
    branches, tail = spelled_out(old)
    new = built(f"generalist: both\n    {branches}\n    {tail}", MORE, MORE_CLASSES)
    assert [level.recipes for level in new.levels] == [level.recipes for level in old.levels]
    found = take_over(new, old)
    assert found.groups == (("cat", "dog", "fish"),)
    assert found.classes == ("tabby", "pug", "carp", "siamese", "tuna")  # "beagle" has another group
    assert (found.tails, found.others) == (("generalist", "flat"), {})
    assert (new.form, new.choice) == (form, old.choice)
    gains = [dict(zip(n.nesting.names(1), n.generalist.gains.tolist(), strict=True)) for n in (old, new)]
    assert gains[1] == {**gains[0], "hound": 0.0}
    if form != "both":  # there other groups may be the likeliest
        same = found.classes if form == "specialists" else old.classes
        assert difference(old, new, X, classes=same) == 0
    new.form = "specialists"
    old.form = "specialists"
    assert difference(old, new, X, classes=("beagle",)) > 1e-3


def test_levels_of_other_shapes_start_anew(built: Network) -> None:
    old = scrambled(built(SPELLED))
    assert isinstance(old, HierarchicalNetwork)
    new = built("generalist: shallow\n    budget: {params: 600k}", MORE, MORE_CLASSES)
    found = take_over(new, old)
    assert (found.groups, found.classes) == ((), ())
    assert found.others == dict.fromkeys(("level 1", "level 2", "generalist"), OTHER_SHAPES) | {"flat": "none here"}
    assert torch.equal(new.trunk(X), old.trunk(X))


def test_every_shape_that_a_file_can_spell_out_is_spelled_out(tmp_path: Path, built: Network) -> None:
    source = built_toy(tmp_path, "toyspelled")
    for name, levels in (("PHL", 1), ("N2HL", 2), ("N3HL", 3), ("OneBranch", 1)):
        old = scrambled(find_model(f"{source}:{name}").cls().eval())
        assert isinstance(old, HierarchicalNetwork)
        text = (tmp_path / "toyspelled.yaml").read_text("utf-8")
        head = text[: text.index("models:")].replace("name: toyspelled", f"name: again{name.lower()}")
        single = "\n    single_branch: true" if name == "OneBranch" else ""
        trunk = f"trunk: {{backbone: {old.trunk.backbone}, until: {old.trunk.until}}}"
        size = f"input_size: {old.input_size[1]}"
        spec = tmp_path / f"again{name}.yaml"
        (branches,) = spelled_out(old)
        spec.write_text(
            f"{head}models:\n  Again:\n    levels: {levels}{single}\n    {trunk}\n    {size}\n    {branches}\n",
            "utf-8",
        )
        new = find_model(str(build(spec, spec.with_suffix(".py")).path)).cls().eval()
        assert {k: v.shape for k, v in new.state_dict().items()} == {k: v.shape for k, v in old.state_dict().items()}
        assert take_over(new, old).classes == old.classes
        assert difference(old, new, X) == 0


def test_a_level_more_keeps_those_above(built: Network) -> None:
    """N3HL from N2HL: the groups of its first level that are called as they were, and no class."""
    trunk, first = {"backbone": "test_resnet", "until": "layer1"}, "[{width: 8, out: 16, stride: 2}]"
    old = scrambled(built(f"branches: [{first}, [{{width: 4, out: 8}}]]", **trunk))
    assert isinstance(old, HierarchicalNetwork)
    deeper = "{cat: {a: [tabby], b: [siamese]}, dog: {c: [pug], d: [beagle]}, bird: {e: [carp], f: [tuna]}}"
    new = built(f"levels: 3\n    branches: [{first}, [{{width: 4, out: 8}}], [{{width: 4, out: 8}}]]", deeper, **trunk)
    found = take_over(new, old)
    assert (found.groups, found.classes) == ((("cat", "dog"),), ())
    assert found.others == dict.fromkeys(("level 2", "level 3"), "another number of levels there")
    maps = new.trunk(X)
    assert torch.equal(maps, old.trunk(X))
    assert torch.equal(new.level1(maps)[:, :2], old.level1(maps)[:, :2])


def test_what_cannot_be_taken_over(built: Network) -> None:
    old = built(SPELLED)
    other = built(SPELLED, until="blocks.4")
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(HiergenError, match=r"have other trunks.*blocks\.4', got mobilenetv2_035 until 'blocks\.5'"):
        take_over(other, old)
    strangers = built(SPELLED, "{a: [rose, tulip], b: [oak, elm]}", "rose, tulip, oak, elm")
    with pytest.raises(HiergenError, match="no class in common; expected ids such as 'rose', got 'tabby'"):
        take_over(strangers, old)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    grey = built(f"in_chans: 1\n    {SPELLED}")
    with pytest.raises(
        HiergenError, match=r"'model\.conv_stem.*' of shape \(16, 1, 3, 3\), got .* shape \(16, 3, 3, 3\)"
    ):
        take_over(grey, old)
    with pytest.raises(HiergenError, match=r"what is taken over is a network's; got str; hiergen\.load_network"):
        old.take_over("old")  # type: ignore[arg-type]
    with pytest.raises(HiergenError, match="a network on the meta device has no weights"):
        take_over(copy.deepcopy(old).to("meta"), old)
    hooked = copy.deepcopy(old)
    hooked.level1.register_forward_hook(lambda _, __, maps: 2 * maps)
    with pytest.raises(
        HiergenError, match=r"networks with a hook of level1 are not what their tensors say; take over without"
    ):
        take_over(old, hooked)


def test_trunks_of_one_shape_and_other_layers_are_others(built: Network) -> None:
    """TensorFlow's padding and pixels; another activation in a module of one's own."""
    how = "branches: [[{width: 8, out: 8}], [{width: 8, out: 8}]]"
    mine = built(how, backbone="efficientnet_lite0", until="blocks.2")
    with pytest.raises(HiergenError, match=r"other trunks.*lite0 until 'blocks\.2', pixels less \(0\.485"):
        take_over(mine, built(how, backbone="tf_efficientnet_lite0", until="blocks.2"))
    other = built(how, backbone="efficientnet_lite0", until="blocks.2")
    other.trunk.model.pretrained_cfg = {**other.trunk.pretrained_cfg, "mean": (0.5, 0.5, 0.5)}
    with pytest.raises(HiergenError, match=r"pixels less \(0\.485.*, got .*pixels less \(0\.5, 0\.5, 0\.5\)"):
        take_over(mine, other)


def test_one_branch_for_all_classes_is_no_branch_of_one(built: Network) -> None:
    how = "levels: 1\n    branches: [[{width: 8, out: 8}]]"
    each, one = built(how), built(f"single_branch: true\n    {how}")
    for new, old, where in ((each, one, "there"), (one, each, "here")):
        found = take_over(new, old)
        assert (found.classes, found.others) == ((), {"level 1": f"one branch for all classes {where}"})


def test_networks_of_ones_own_modules_take_over(built: Network) -> None:
    """Of equal modules; not of those with another activation."""
    classes, groups = ["a", "b", "c", "d"], {"x": ["a", "b"], "y": ["c", "d"]}

    def network(classes: list[str], **options: Any) -> HierarchicalNetwork:
        module = timm.create_model("resnet10t", num_classes=len(classes), **options)
        return hiergen.network(module, until="layer2", taxonomy=classes, groups=groups, input_size=64).eval()

    old = scrambled(network(classes))
    assert isinstance(old, HierarchicalNetwork)
    new = network(classes)
    assert take_over(new, old).classes == tuple(classes)
    assert difference(old, new, torch.randn(2, 3, 64, 64)) == 0
    with pytest.raises(HiergenError, match=r"expected .*SiLU.*, got .*ReLU"):
        take_over(network(classes, act_layer=nn.SiLU), old)


def test_a_pruned_network_is_refused_by_name(built: Network) -> None:
    """What it computes with is not what its tensors say."""
    old, new = built(SPELLED), built(SPELLED)
    prune.l1_unstructured(new.head, "weight", 0.5)
    for pair in ((new, old), (old, new)):
        with pytest.raises(HiergenError, match="networks with a hook of head are not what their tensors say"):
            take_over(*pair)


def test_a_network_takes_over_as_a_method(built: Network) -> None:
    old, new = scrambled(built(SPELLED)), built(SPELLED)
    assert isinstance(old, HierarchicalNetwork)
    old.rejection = Rejection(threshold=1.0, temperature=1.0, kept=0.95)
    assert new.take_over(old).classes == new.classes
    assert difference(old, new, X) == 0
    assert new.rejection is None


def test_training_starts_from_a_folder(tmp_path: Path, hiergen: Callable[..., Ran]) -> None:
    nine = "name: nine{}\nclasses: [{}]\nsources: [groups: {{even: [{}], odd: [{}]}}]\nmodels:\n  N2HL: {}\n"
    trunk = "trunk: {backbone: test_resnet, until: layer1}, input_size: 32"
    spec = f"{{{trunk}, block: bottleneck, depth: 1, budget: {{params: 150k}}}}"
    evens, odds = '"0", "2", "4", "6", "8"', '"1", "3", "5", "7"'
    (tmp_path / "nine.yaml").write_text(nine.format("", f"{evens}, {odds}", evens, odds, spec), "utf-8")
    network = scrambled(find_model(f"{build(tmp_path / 'nine.yaml', tmp_path / 'nine.py').path}:N2HL").cls().eval())
    assert isinstance(network, HierarchicalNetwork)
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "model.py").write_text((tmp_path / "nine.py").read_text("utf-8"), "utf-8")
    save_weights(network, folder / "model.safetensors")
    (branches,) = spelled_out(network)
    pinned = f"{{{trunk}, {branches}}}"
    for name, model in (("other", spec), ("same", pinned)):
        text = nine.format("more", f'"9", {evens}, {odds}', evens, f'{odds}, "9"', model)
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
        build(tmp_path / f"{name}.yaml", tmp_path / f"{name}.py")
    options = ["--data", "digits", "--recipe", "digits", "--epochs", "1", "--set", "optimizer.lr=1e-9"]
    ran = hiergen("train", f"{tmp_path}/same.py:N2HL", "--weights", str(folder), *options, "-o", str(tmp_path / "same"))
    said = " ".join((ran.out + ran.err).split())
    assert ran.code == 0, said
    assert "the trunk, 2 of 2 groups of level 1, 9 of 10 classes; the rest starts at random" in said
    ran = hiergen(
        "train", f"{tmp_path}/other.py:N2HL", "--weights", str(folder), *options, "-o", str(tmp_path / "other")
    )
    said = " ".join((ran.out + ran.err).split())
    assert "the trunk, 0 of 10 classes" in said
    assert "in place of budget, aim, block, depth and kernel: branches: [[{" in said
    ran = hiergen(
        *(
            "train",
            f"{tmp_path}/same.py:N2HL",
            "--weights",
            str(folder),
            "--pretrained",
            str(folder / "model.safetensors"),
        ),
        *(*options, "-o", str(tmp_path / "x")),
    )
    assert ran.code == 2
    assert "--weights FOLDER and --pretrained both say what the trunk is" in " ".join(ran.err.split())
    ran = hiergen(
        *("train", f"{tmp_path}/nine.py:N2HL", "--weights", str(folder), "--only-known", *options),
        *("-o", str(tmp_path / "again")),
    )
    said = " ".join((ran.out + ran.err).split())
    assert "9 of 9 classes N2HL:" in said  # nothing is left to start at random
    file = folder / "model.safetensors"
    ran = hiergen("train", f"{tmp_path}/same.py:N2HL", "--weights", str(file), *options, "-o", str(tmp_path / "x"))
    assert ran.code == 2
    assert "takes over what has the same names" in " ".join(ran.err.split())
    ran = hiergen(
        "train", f"{tmp_path}/same.py:N2HL", "--flat", "--weights", str(folder), *options, "-o", str(tmp_path / "x")
    )
    assert ran.code == 2
    assert "a flat network starts from a file of weights" in " ".join(ran.err.split())
