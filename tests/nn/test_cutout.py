"""Cutouts against the full network's logits, and against each kept path computed alone."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from timm.utils import ModelEmaV3
from toy_networks import MODELS, built_toy, scrambled

from hiergen.codegen.build import build
from hiergen.errors import HiergenError
from hiergen.models.load import find_model
from hiergen.nn import Lowering
from hiergen.nn.cutout import cut, difference
from hiergen.nn.heads import ClassHeads
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings
from hiergen.planning.from_network import plan_of

KEEPS = ([0], [7], [0, 1], [2, 5], [0, 3, 4, 6], [1, 2, 3, 4, 5, 6, 7, 8])
X = 9 * torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_toy(tmp_path_factory.mktemp("cut"), "toycut")


@pytest.fixture(scope="module")
def networks(toy: Path) -> dict[str, HierarchicalNetwork]:
    torch.manual_seed(0)
    return {name: scrambled(find_model(f"{toy}:{name}").cls().eval()) for name in MODELS}


@pytest.fixture
def net(networks: dict[str, HierarchicalNetwork]) -> HierarchicalNetwork:
    return copy.deepcopy(networks["N3HL"])


@pytest.mark.parametrize("keep", KEEPS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_full_networks(networks: dict[str, HierarchicalNetwork], name: str, keep: list[int]) -> None:
    full = networks[name]
    part = cut(full, keep)
    with torch.no_grad():
        want, got = full(X)[:, keep], part(X)
    assert want.std(0).min() > 0.001
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    # the heads' matrix product of a single class may round in another way
    assert difference(full, part, X) <= (1e-4 if len(keep) == 1 else 0)
    for lowering in ("matmul", "grouped"):
        assert difference(full, part, X, lowering=Lowering(lowering)) < 1e-4


def test_order_and_repetition_of_the_indices_do_not_matter(net: HierarchicalNetwork) -> None:
    assert cut(net, (6, 1, 6)).classes == cut(net, torch.tensor([1, 6]).tolist()).classes
    assert cut(net, [6, 1]).classes == (net.classes[1], net.classes[6])
    assert cut(net, [4] * 9).classes == (net.classes[4],)
    with pytest.raises(HiergenError, match="all 9 classes are kept"):
        cut(net, [*range(9), 0])


def test_levels_and_heads_of_the_users_own_stay_what_they_are(net: HierarchicalNetwork) -> None:
    net.level2.__class__ = type("Own", (Siblings,), {})
    net.head.__class__ = type("OwnHeads", (ClassHeads,), {})
    part = cut(net, [0, 5])
    assert (type(part.level1), type(part.level2)) == (Siblings, type(net.level2))
    assert type(part.head) is type(net.head)


@pytest.mark.parametrize("name", MODELS)
def test_rows_names_and_tree(networks: dict[str, HierarchicalNetwork], name: str) -> None:
    """Each row is the row of the branch of that name; the trunk is whole; nothing is shared."""
    full, keep = networks[name], [0, 4, 6]
    part = cut(full, keep)
    state, own = full.state_dict(), part.state_dict()
    assert list(own) == list(state)
    assert [n for n, _ in part.named_children()] == [n for n, _ in full.named_children()]
    assert part.classes == tuple(full.classes[i] for i in keep)
    assert set(part.nesting.names(part.nesting.depth)) == set(part.classes)
    for key, tensor in own.items():
        where = key.partition(".")[0]
        if where == "trunk" or (name == "OneBranch" and where != "head"):
            rows = list(range(len(state[key]))) if state[key].ndim else ...
        elif where == "head":
            rows = keep
        else:
            j = int(where.removeprefix("level"))
            paths = [full.nesting.path(j, i) for i in range(full.levels[j - 1].branches)]
            rows = [paths.index(part.nesting.path(j, i)) for i in range(part.levels[j - 1].branches)]
        assert torch.equal(tensor, state[key][rows]), key
        assert tensor.untyped_storage().data_ptr() != state[key].untyped_storage().data_ptr(), key
    for j, level in enumerate(part.levels[1:], 2):
        assert level.parents == part.nesting.parents(j)


def test_nested_cutouts_are_direct_ones(networks: dict[str, HierarchicalNetwork]) -> None:
    for full in networks.values():
        nested, direct = cut(cut(full, [0, 2, 3, 5, 7]), [1, 3]), cut(full, [2, 5])
        assert (nested.classes, nested.taxonomy) == (direct.classes, direct.taxonomy)
        assert [level.parents for level in nested.levels] == [level.parents for level in direct.levels]
        assert nested.head.parents == direct.head.parents
        torch.testing.assert_close(dict(nested.state_dict()), dict(direct.state_dict()), atol=0, rtol=0)


def test_one_branch_for_all_classes_stays(networks: dict[str, HierarchicalNetwork]) -> None:
    part = cut(networks["OneBranch"], [2, 3])
    assert ([level.branches for level in part.levels], part.head.parents) == ([1], (0, 0))


def test_the_papers_cutout_to_the_parameter(tmp_path: Path) -> None:
    """Kelm et al., Table 2: PHLlateSP on Imagenette's 10 classes, and the cutout of 5."""
    text = Path("taxonomies/imagenette.yaml").read_text("utf-8").replace("name: imagenette", "name: toypaper")
    (tmp_path / "toypaper.yaml").write_text(text, "utf-8")
    source = build(tmp_path / "toypaper.yaml", tmp_path).path
    with torch.device("meta"):
        full = find_model(f"{source}:PHLlateSP").cls()
        part = cut(full, [0, 2, 4, 6, 8])
    assert sum(p.numel() for p in full.parameters()) == 19_986_506
    assert sum(p.numel() for p in part.parameters()) == 14_264_901
    assert all(tensor.is_meta for tensor in (*part.parameters(), *part.buffers()))
    plan = plan_of(full, taxonomy="t", model="m")
    assert (plan.params, plan_of(part, taxonomy="t", model="m").params) == (19_986_506, 14_264_901)


def test_settings_of_each_part_stay(net: HierarchicalNetwork) -> None:
    net.train()
    net.trunk.eval()
    for p in net.trunk.parameters():
        p.requires_grad_(False)
    net.level2.stages[0][0].bn1.eval()
    net.level2.stages[0][0].bn1.eps = 1e-2
    net.level3.stages[0][0].bn2.momentum = 0.5
    net.head.bias.requires_grad_(False)
    net.set_lowering("matmul")
    part = cut(net.double(), [0, 5, 6])
    flags = {name: module.training for name, module in net.named_modules()}
    assert {name: module.training for name, module in part.named_modules()} == flags
    wanted = {name: p.requires_grad for name, p in net.named_parameters()}
    assert {name: p.requires_grad for name, p in part.named_parameters()} == wanted
    assert {b.dtype for b in part.buffers()} == {torch.float64, torch.int64}
    assert (part.level2.stages[0][0].bn1.eps, part.level3.stages[0][0].bn2.momentum) == (1e-2, 0.5)
    assert part.levels[0].lowering == Lowering("matmul")
    assert difference(net, part, X.double()) == 0
    assert {name: module.training for name, module in net.named_modules()} == flags
    assert {level.lowering for level in (*net.levels, *part.levels)} == {Lowering("matmul")}


@pytest.mark.parametrize("training", [True, False])
def test_a_cutout_trains_where_the_network_does(net: HierarchicalNetwork, training: bool) -> None:
    part = cut(net.train(training), [0, 3, 4])
    assert {module.training for module in part.modules()} == {training}
    before = copy.deepcopy(net.state_dict())
    assert difference(net, part, X) == 0
    torch.testing.assert_close(dict(net.state_dict()), dict(before), atol=0, rtol=0)


def test_no_random_numbers_are_taken_and_the_network_stays(net: HierarchicalNetwork) -> None:
    state, before = torch.get_rng_state(), copy.deepcopy(net.state_dict())
    part = cut(net, [3, 4])
    assert torch.equal(torch.get_rng_state(), state)
    part.train()(X).sum().backward()
    with torch.no_grad():
        for p in part.parameters():
            p.zero_()
    torch.testing.assert_close(dict(net.state_dict()), dict(before), atol=0, rtol=0)
    assert all(p.grad is None for p in net.parameters())


def test_copies_and_averages(net: HierarchicalNetwork) -> None:
    part = cut(net, [0, 2, 7])
    want = part(X)
    again = cut(scrambled(copy.deepcopy(net), seed=5), [0, 2, 7])
    again.load_state_dict(part.state_dict())
    ema = ModelEmaV3(part, decay=0.5)
    for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part)), again, ema.module):  # noqa: S301
        assert type(other) is type(net)
        assert (other.classes, other.num_classes) == (part.classes, 3)
        assert torch.equal(other(X), want)
    assert part.pretrained_cfg["num_classes"] == 3
    assert {**part.pretrained_cfg, "num_classes": 9} == net.pretrained_cfg
    assert type(net).classes == net.classes  # the class keeps its own
    assert len(net.classes) == 9


def test_by_name_and_whatever_is_active(net: HierarchicalNetwork) -> None:
    want = net(X)
    net.active = ["pug"]
    with net.attend({"dog": 2.0}):
        part = net.cutout("dog")
        assert difference(net, part, X) == 0
    assert net.active == ("pug",)
    assert part.active is None
    torch.testing.assert_close(part(X), want[:, [6, 7]], atol=1e-5, rtol=1e-5)
    assert part.taxonomy == {"cat & dog": {"dog": {"pug": "pug", "beagle": "beagle"}}}


@pytest.mark.parametrize("off", [0.25, -0.25])
def test_a_difference_is_seen(net: HierarchicalNetwork, off: float) -> None:
    part = cut(net, [0, 5])
    with torch.no_grad():
        part.head.bias[1] += off
    assert difference(net, part, X) == pytest.approx(0.25, abs=1e-5)
    assert difference(part, cut(part, [0]), X) == 0
    with pytest.raises(HiergenError, match="class 'tabby' of the cutout is none of the network's"):
        difference(cut(net, [5, 6]), part, X)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([], "a cutout needs a class to keep; expected 1 to 8 of the 9 classes"),
        (range(9), "all 9 classes are kept: that is the full network; expected fewer classes; use it as it is"),
        ([0, 9], "no class has the index 9; expected 0..8"),
        ([-1], "no class has the index -1; expected 0..8"),
        ([True], "no class has the index True; expected 0..8"),
    ],
)
def test_wrong_choices_are_refused(net: HierarchicalNetwork, keep: list[int], message: str) -> None:
    with pytest.raises(HiergenError) as raised:
        cut(net, keep)
    assert str(raised.value) == message
    assert cut(net, [0]).num_classes == 1
