"""Networks put together of others' branches, and classes taken out: each logit against the one that it was."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ran
from helpers import message
from torch.nn.utils import prune
from toy_networks import built_toy, scrambled, toy_home

from hiergen.codegen.build import build
from hiergen.errors import HiergenError
from hiergen.models.folder import write_network
from hiergen.models.graft import _difference
from hiergen.models.graft import graft as job
from hiergen.models.load import find_model, load_network
from hiergen.models.weights import save_weights
from hiergen.models.weightsfile import read_weights
from hiergen.nn.cutout import difference
from hiergen.nn.generalist import FORMS
from hiergen.nn.graft import graft, shrink
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.rejection import Rejection
from hiergen.planning.from_network import plan_of

Run = Callable[..., Ran]
X = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
GENERAL = """\
name: grafted
classes: [tabby, pug, carp, siamese, beagle, tuna, hound]
sources: [groups: {cat: [tabby, siamese], dog: [pug, beagle, hound], fish: [carp, tuna]}]
models:
  N2HL:
    trunk: {backbone: mobilenetv2_035, until: blocks.5}
    input_size: 32
    generalist: both
    budget: {params: 400k}
"""
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting:UserWarning")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HierarchicalNetwork]:
    source = built_toy(tmp_path_factory.mktemp("toys"), "toygraft")
    return {n: scrambled(find_model(f"{source}:{n}").cls().eval()) for n in ("PHL", "N2HL", "N3HL", "OneBranch")}


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> HierarchicalNetwork:
    spec = tmp_path_factory.mktemp("general") / "grafted.yaml"
    spec.write_text(GENERAL, "utf-8")
    network = scrambled(find_model(str(build(spec, spec.with_suffix(".py")).path)).cls().eval())
    assert isinstance(network, HierarchicalNetwork)
    return network


@pytest.mark.parametrize("name", ["PHL", "N2HL", "N3HL", "OneBranch"])
def test_two_cutouts_are_the_cutout_of_both(name: str, toys: dict[str, HierarchicalNetwork]) -> None:
    """Also where they share branches, and where their classes overlap."""
    full = toys[name]
    for one, other in (([0, 6], [1, 3]), ([0, 1, 7], [6, 4]), ([0, 6], [6, 7])):
        union = graft([full.cutout(one), full.cutout(other)])
        want = full.cutout(sorted({*one, *other}))
        assert set(union.classes) == set(want.classes)
        assert [level.branches for level in union.levels] == [level.branches for level in want.levels]
        assert difference(full, union, X) == 0
        assert union.nesting.in_class_order(want.classes) == want.nesting.in_class_order(want.classes)
        plan_of(union, taxonomy="t", model="Union")  # it can be written


@pytest.mark.parametrize("name", ["PHL", "N2HL", "N3HL", "OneBranch"])
def test_a_cutout_that_nothing_changed_goes_back_to_where_it_was(
    name: str, toys: dict[str, HierarchicalNetwork]
) -> None:
    full = toys[name]
    again = graft([full, full.cutout([0, 2, 6])], put_back=True)
    assert again.nesting == full.nesting
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in full.state_dict().items())


def test_a_cutout_that_was_trained_on_goes_back_alone(toys: dict[str, HierarchicalNetwork]) -> None:
    """Its classes answer as it does, all others as before; a branch that both need is there twice."""
    full = toys["N3HL"]
    part = full.cutout(["tabby", "pug"])
    with torch.no_grad():
        for parameter in part.level1.parameters():
            parameter.mul_(1.25)
        part.head.bias.add_(1)
    with pytest.raises(HiergenError, match="is in two of the networks, with other weights"):
        graft([full, part])
    back = graft([full, part], put_back=True)
    rest = [c for c in full.classes if c not in part.classes]
    assert difference(full, back, X, classes=rest) == 0
    assert difference(part, back, X, classes=part.classes) == 0
    assert difference(full, back, X, classes=part.classes) > 1e-3
    assert back.classes == full.classes
    assert "cat & dog 2" in back.nesting.names(1)  # beagle keeps the first
    assert "cat & dog 2" not in graft([full, full.cutout(["tabby", "pug"])], put_back=True).nesting.names(1)


def test_branches_fit_their_own_trunk_and_shapes(toys: dict[str, HierarchicalNetwork]) -> None:
    part = toys["N2HL"].cutout([0, 6])
    other = copy.deepcopy(toys["N2HL"].cutout([1, 3]))
    with torch.no_grad():
        next(other.trunk.parameters()).mul_(1.001)
    assert message(lambda: graft([part, other])).startswith(
        "the networks do not stand on the same trunk; got a difference in 'model.conv1"
    )
    other = copy.deepcopy(toys["PHL"])
    other.trunk.load_state_dict(toys["N3HL"].trunk.state_dict())
    with pytest.raises(HiergenError, match="the networks do not fit together: one has more levels"):
        graft([other, toys["N3HL"]])
    with pytest.raises(HiergenError, match="no networks"):
        graft([])


@pytest.mark.parametrize("form", FORMS)
def test_what_was_added_is_carried_in_every_form(form: str, general: HierarchicalNetwork) -> None:
    network = copy.deepcopy(general)
    network.form = form
    for module in (network.level1, network.generalist.tail, network.flat.tail):  # type: ignore[union-attr]
        module.register_forward_hook(lambda _, __, maps: 2 * maps)
    assert difference(network, network.shrink("fish"), X) == 0


def test_what_was_added_to_one_network_only(toys: dict[str, HierarchicalNetwork]) -> None:
    """Its logits are the union's, or there is none."""
    full = toys["N2HL"]

    class Tripled(type(full)):  # type: ignore[misc]
        def forward(self, *args: torch.Tensor) -> torch.Tensor:
            return 3 * super().forward(*args)  # type: ignore[no-any-return]

    other = Tripled().eval()
    other.load_state_dict(full.state_dict())
    one, two = ([0, 1], [6, 7])
    assert difference(other, other.cutout(one).graft(other.cutout(two)), X) == 0
    for first, second in ((full, other), (other, full)):
        with pytest.raises(HiergenError, match="cannot take what was added"):
            first.cutout(one).graft(second.cutout(two))
    pruned = copy.deepcopy(full)
    prune.l1_unstructured(pruned.level1.stages[0][0].conv1, "weight", 0.5)
    assert difference(pruned, full.cutout(one).graft(pruned.cutout(two)), X, classes=full.cutout(two).classes) == 0
    with pytest.raises(HiergenError, match=r"conv1\.weight_orig' in its branches, another has none"):
        pruned.cutout(one).graft(full.cutout(two))
    with torch.device("meta"):
        empty = type(full)()
    with pytest.raises(HiergenError, match="meta device has no weights to compare"):
        empty.cutout(one).graft(empty.cutout(two))
    with pytest.raises(HiergenError, match="what is put together are networks; got str"):
        full.graft("a folder")  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_a_class_that_is_taken_out_is_gone_in_every_form(form: str, general: HierarchicalNetwork) -> None:
    network = copy.deepcopy(general)
    with torch.no_grad():
        assert network.generalist is not None
        network.generalist.gains.copy_(torch.tensor([0.5, 0.0, 1.0]))
    network.form = form
    small = shrink(network, "fish")
    assert (small.form, small.classes) == (form, ("tabby", "pug", "siamese", "beagle", "hound"))
    for each in ("specialists", "generalist", "flat"):
        network.form = small.form = each
        assert difference(network, small, X) == 0
    assert small.generalist is not None
    assert small.generalist.gains.tolist() == [0.5, 0.0]
    kept = {tuple(row.tolist()) for row in (*small.head.weight, *small.generalist.head.weight)}
    gone = {tuple(p.head.weight[c].tolist()) for p in (network, network.generalist) for c in (2, 5)}  # type: ignore[union-attr]
    assert not kept & gone
    assert next(small.level1.parameters()).shape[0] == small.level1.branches == 2
    rest = network.shrink(["pug", "tuna"])
    assert rest.nesting.names(1) == ("cat", "dog", "fish")
    for wrong in (list(range(7)), []):
        with pytest.raises(HiergenError):
            network.shrink(wrong)


def test_generalists_of_one_tail_are_one(general: HierarchicalNetwork) -> None:
    """Of one network's shrunk parts the union has the tail once, with each class's row; of other tails it has none."""
    cats, dogs = general.shrink("dog").shrink("fish"), general.shrink("cat").shrink("fish")
    union = graft([cats, dogs])
    assert union.generalist is not None
    assert union.flat is not None
    for form in ("specialists", "generalist", "flat"):
        general.form = union.form = form
        assert difference(general, union, X) == 0
    general.form = "generalist"
    one, two = general.cutout("cat"), general.cutout("dog")
    assert difference(general, graft([one, two]), X) == 0
    with torch.no_grad():
        two.level1.stages[0][0].conv_pw.weight.mul_(1.1)
    with pytest.raises(HiergenError, match="by one branch each, and these differ"):
        graft([one, two])
    general.form = "specialists"
    with torch.no_grad():
        dogs.generalist.tail.stages[0][0].conv_pw.weight.mul_(1.1)  # type: ignore[union-attr]
    dogs.form = cats.form = "specialists"
    other = graft([cats, dogs])
    assert other.generalist is None
    assert other.form == "specialists"


def test_a_branch_for_all_classes_stays_whole(general: HierarchicalNetwork) -> None:
    """Where a cutout without one goes back; and of cutouts in the form "both" each class's row is found."""
    network = copy.deepcopy(general)
    network.form = "specialists"
    back = graft([network, network.cutout("cat")], put_back=True)
    for form in ("specialists", "generalist", "flat"):
        network.form = back.form = form
        assert difference(network, back, X) == 0
    network.form = "both"
    union = graft([network.cutout("cat"), network.cutout("dog")])
    assert union.generalist is not None
    assert (union.generalist.columns, union.generalist.homes) == (None, None)
    network.form = union.form = "generalist"
    assert difference(network, union, X) == 0


def test_commands_write_folders_that_load(tmp_path: Path, hiergen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    home = toy_home(tmp_path, "toygraftcommand", "N2HL", "PHL")
    monkeypatch.chdir(home)
    full = load_network("generated/toygraftcommand.py:N2HL", "N2HL.safetensors")
    for classes, out in (("0,6", "a"), ("1,3", "b")):
        cut = ("cutout", "toygraftcommand_n2hl", "--weights", "N2HL.safetensors", "--classes", classes, "-o", out)
        assert hiergen(*cut).code == 0
    ran = hiergen("graft", "a", "b", "-o", "union")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(
        "2 and 2 classes → 4, 3 → 4 branches\nlargest difference from the logits before: 0 (4 random"
    )
    assert difference(full, load_network("union"), X) == 0
    text = Path("union/model.py").read_text("utf-8")
    assert "put together of N2HLCutout with 2 classes and N2HLCutout with 2 classes" in text
    ran = hiergen("shrink", "union", "--classes", "6", "-o", "small")
    assert ran.code == 2
    ran = hiergen("shrink", "union", "--classes", "pug", "-o", "small")
    assert (ran.code, ran.err) == (0, "")
    small = load_network("small")
    assert "pug" not in small.classes
    assert b"pug" not in Path("small/model.safetensors").read_bytes()
    assert difference(full, small, X) == 0
    assert list(read_weights("small/model.safetensors").classes) == list(small.classes)
    ran = hiergen("graft", "toygraftcommand_n2hl", "a", "--weights", "N2HL.safetensors", "--put-back", "-o", "back")
    assert ran.code == 0
    assert difference(full, load_network("back"), X) == 0
    ran = hiergen("graft", "toygraftcommand_n2hl", "b", "--weights", "N2HL.safetensors", "-o", "same")
    assert ran.code == 0, ran.err  # in a file its rows need not say which branches they read
    assert difference(full, load_network("same"), X) == 0
    for wrong, problem in (
        (("graft", "a", "-o", "x"), "one network is nothing to put together"),
        (("graft", "a", "toygraftcommand_n2hl", "-o", "x"), "no weights for N2HL"),
        (("graft", "a", "b", "--weights", "PHL.safetensors", "-o", "x"), "more weights than models"),
        (("graft", "a", "b", "-o", "union"), "holds a network already"),
        (("shrink", "union", "--classes", "nobody", "-o", "x"), "nobody"),
    ):
        ran = hiergen(*wrong)
        assert ran.code == 2
        assert problem in ran.err
        assert not Path("x").exists()


def test_what_no_network_answered_is_not_compared(
    tmp_path: Path, general: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No difference of 0 where nothing was compared; a threshold goes; two put together have two names in timm."""
    monkeypatch.chdir(tmp_path)
    Path("grafted.yaml").write_text(GENERAL.replace("name: grafted", "name: compared"), "utf-8")
    build("grafted.yaml", "grafted.py")
    networks = []
    for form in ("generalist", "specialists"):
        network = copy.deepcopy(general)
        network.form = form
        network.rejection = Rejection(0.5, 1.0, 0.95, "largest logit")
        if form == "specialists":  # its tail is another: the union has none, and is of no form that the first has
            with torch.no_grad():
                network.generalist.tail.stages[0][0].conv_pw.weight.mul_(1.1)  # type: ignore[union-attr]
        networks.append(network)
    cats, dogs = networks[0].shrink("dog").shrink("fish"), networks[1].shrink("cat").shrink("fish")
    assert cats.rejection is None
    whole = graft([cats, dogs])
    assert (whole.form, whole.rejection) == ("specialists", None)
    assert _difference(whole, [cats], put_back=False) is None
    assert _difference(whole, [cats, dogs], put_back=False) == 0
    names = set()
    for bias in (0.0, 1.0):
        with torch.no_grad():
            whole.head.bias.add_(bias)
        made = write_network(
            whole, tmp_path / f"out{bias}", find_model("grafted.py:N2HL"), name=None, how="", force=False
        )
        names.add(made.network.timm_name)
    assert len(names) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [load_network(f"out{bias}").num_classes for bias in (0.0, 1.0)] == [5, 5]


def test_a_failure_leaves_the_folder_as_it_was(
    tmp_path: Path, toys: dict[str, HierarchicalNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = toy_home(tmp_path, "toygraftfail", "N2HL")
    monkeypatch.chdir(home)
    weights = home / "N2HL.safetensors"
    other = scrambled(find_model("generated/toygraftfail.py:N2HL").cls().eval(), seed=3)
    save_weights(other, home / "other.safetensors")
    model = "generated/toygraftfail.py:N2HL"
    with pytest.raises(HiergenError):
        job([model, model], home / "out", weights=[weights, home / "other.safetensors"])
    assert not (home / "out").exists()
