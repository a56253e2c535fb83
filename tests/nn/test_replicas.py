"""Branches that are copies of any block, against loops over modules of their own and against timm's flat networks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from network_cases import randomized
from timm.utils import freeze, unfreeze
from torch import Tensor, nn
from torchvision.models import efficientnet_b0
from toy_networks import scrambled

from hiergen.errors import HiergenError, PlanError
from hiergen.models.export import to_onnx, to_plain
from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Lowering, Replicas, Siblings, Trunk
from hiergen.nn.cutout import cut
from hiergen.nn.macs import network_macs
from hiergen.nn.sync import sync_norms
from hiergen.nn.template import _Recorder
from hiergen.nn.trunk import make_model
from hiergen.planning.from_network import plan_of
from hiergen.training.initial import init_branches

VIT = "vit_tiny_patch16_224"
PARENTS = [0, 0, 2]


class Preactivated(nn.Module):
    """A block of a user's own, which writes into the map that it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.conv(self.norm(self.act(x))))


class Attention(nn.Module):
    """Tokens to tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


class Last(nn.Module):
    """Maps (B, H, W, C), half as large."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * channels, out)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        return self.linear(x.reshape(b, h // 2, w // 2, 4 * c))


def no_drop(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if hasattr(part, "p"):
            part.p = 0.0
    return module


@cache
def squeezed() -> tuple[nn.Module, ...]:
    """torchvision's inverted residuals with squeeze-and-excitation."""
    return tuple(no_drop(block) for block in list(efficientnet_b0().features[4])[:2])


BLOCKS: dict[str, Callable[[], Replicas]] = {
    "basic": lambda: Replicas("test_resnet", ["layer3"], 48, 192),
    "regnet": lambda: Replicas("regnetx_002", ["s3.b1", "s3.b2"], 56, 152),
    "squeezed": lambda: Replicas.of(squeezed(), 40, 80),
    "own": lambda: Replicas.of([no_drop(Preactivated(8)), no_drop(Preactivated(8))], 8, 8),
    "tokens": lambda: Replicas.of([Attention(8)], 8, 8),
    "channels last": lambda: Replicas.of([Last(4, 6)], 4, 6, size=(8, 8)),
}


def alone(level: Siblings, branch: int) -> list[nn.Module]:
    """The modules of one branch, built from the recipe's template and loaded by name: no code of the stage's."""
    (stage,) = level.stages
    modules = []
    for number, template in enumerate(level.recipes[0].template.modules):
        module = copy.deepcopy(template).to_empty(device="cpu").double()
        state = stage[number].state_dict()
        module.load_state_dict({name: tensor[branch] for name, tensor in state.items()})
        modules.append(module.train(level.training))
    return modules


def one_branch(modules: Sequence[nn.Module], x: Tensor, layout: str) -> Tensor:
    """(B, C, H, W), as the modules have it."""
    height, width = x.shape[2:]
    if layout == "nlc":
        x = x.flatten(2).transpose(1, 2)
    elif layout == "nhwc":
        x = x.permute(0, 2, 3, 1)
    x = x.clone(memory_format=torch.contiguous_format)
    for module in modules:
        x = module(x)
    if layout == "nlc":
        return x.transpose(1, 2).unflatten(2, (height, width))
    return x.permute(0, 3, 1, 2) if layout == "nhwc" else x


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_level_is_a_loop_over_modules_of_its_branches(name: str, training: bool, batch: int) -> None:
    recipe = BLOCKS[name]()
    level = randomized(Siblings(3, [recipe], parents=PARENTS).double()).train(training)
    size = (4, 6)
    maps = torch.randn(batch, 3, recipe.in_channels, *size, dtype=torch.double)
    layout = recipe.template.layout
    for lowering in (Lowering("loop"), Lowering("matmul", 2), Lowering("grouped")):
        ours = copy.deepcopy(level)
        ours.lowering = lowering
        branches = [alone(level, i) for i in range(3)]
        x, y = (maps.clone().requires_grad_() for _ in range(2))
        got = ours(x)
        want = torch.stack([one_branch(branches[i], y[:, p], layout) for i, p in enumerate(PARENTS)], 1)
        assert want.std() > 1e-3
        assert got.shape[-2:] == level.map_size(*size)
        torch.testing.assert_close(got, want)
        weights = torch.randn_like(want)
        (got * weights).sum().backward()
        (want * weights).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
        for number, module in enumerate(ours.stages[0]):
            for key, p in module.named_parameters():
                each = torch.stack([dict(b[number].named_parameters())[key].grad for b in branches])
                torch.testing.assert_close(p.grad, each, msg=key)
            for key, buffer in module.state_dict().items():  # statistics, as torch's norms update them
                each = torch.stack([b[number].state_dict()[key] for b in branches])
                torch.testing.assert_close(buffer, each, msg=key)


def test_names_are_the_modules() -> None:
    level = Siblings(5, [Replicas("resnet18", ["layer4.0"], 256, 512)])
    state = level.state_dict()
    assert state["stages.0.0.conv1.weight"].shape == (5, 512, 256, 3, 3)
    assert state["stages.0.0.bn1.num_batches_tracked"].shape == (5,)
    assert "stages.0.0.downsample.0.weight" in state
    assert all(tensor.shape[0] == 5 for tensor in state.values())
    shown = "Replicas('resnet18', ['layer4.0'], 256, 512)"
    assert repr(level.recipes[0]) == shown
    assert eval(shown) == level.recipes[0]


# transformers


def flat_and_ours(
    backbone: str, until: str, modules: list[str], size: int, pool: str | None = None
) -> tuple[nn.Module, Trunk, Siblings]:
    """timm's flat network; its trunk, and two branches that are its other blocks and its end."""
    options = {} if pool is None else {"global_pool": pool}
    flat = make_model(backbone, (3, size, size), pretrained=False, num_classes=7, **options)
    randomize(flat)
    tokens = hasattr(flat, "num_prefix_tokens")
    with torch.device("meta" if tokens else "cpu"):  # no time for random weights; windows have constants
        trunk = Trunk(backbone, until, input_size=(3, size, size), tokens=tokens)
    state = flat.state_dict()
    trunk.model.load_state_dict({name: state[name] for name in trunk.model.state_dict()}, assign=True)
    reads, gives = trunk.out_channels, flat.num_features
    with torch.device("meta"):
        level = Siblings(2, [Replicas(backbone, modules, reads, gives, end=True, input_size=(3, size, size))])
    level.to_empty(device="cpu")
    (stage,) = level.stages
    with torch.no_grad():
        for number, name in enumerate([*modules, ""]):
            for key, stacked in stage[number].state_dict().items():
                stacked.copy_(state[f"{name}.{key}" if name else key.removeprefix("model.")])
    return flat.eval(), trunk.eval(), level.eval()


def randomize(flat: nn.Module) -> None:
    with torch.no_grad():
        for p in flat.parameters():
            p.add_(0.05 * torch.randn_like(p))


@pytest.mark.parametrize(
    ("backbone", "until", "modules", "size"),
    [
        (VIT, "blocks.9", ["blocks.10", "blocks.11"], 64),
        ("deit_tiny_distilled_patch16_224", "blocks.10", ["blocks.11"], 32),
        ("vit_small_patch14_reg4_dinov2", "blocks.10", ["blocks.11"], 56),
        ("swin_tiny_patch4_window7_224", "layers.2", ["layers.3"], 64),
        ("test_vit2", "blocks.5", ["blocks.6", "blocks.7"], 64),
    ],
)
def test_trunk_all_later_blocks_and_end_are_the_flat_network(
    backbone: str, until: str, modules: list[str], size: int
) -> None:
    flat, trunk, level = flat_and_ours(backbone, until, modules, size)
    if hasattr(flat, "head_dist"):  # averages two classifiers' logits: the same for one on the tokens' average
        flat.head_dist.load_state_dict(flat.head.state_dict())
    images = torch.randn(3, 3, size, size)
    with torch.no_grad():
        want, maps = flat(images), level(trunk(images))
        assert maps.shape[3:] == (1, 1)
        assert level.map_size(*trunk.map_size) == (1, 1)
        classifier = flat.get_classifier()[0] if hasattr(flat, "head_dist") else flat.get_classifier()
        for branch in range(2):
            got = classifier(maps.mean((3, 4))[:, branch])
            torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_tokens_are_all_tokens_in_the_order_of_the_model() -> None:
    trunk = Trunk(VIT, "blocks.1", input_size=(3, 32, 64), tokens=True).eval()
    assert (trunk.out_channels, trunk.map_size) == (192, (1, 1 + 2 * 4))
    seen: list[Tensor] = []
    hook = trunk.model.blocks[1].register_forward_hook(lambda module, args, answer: seen.append(answer))
    with torch.no_grad():
        maps = trunk(torch.randn(2, 3, 32, 64))
    hook.remove()
    assert torch.equal(maps[:, :, 0].transpose(1, 2), seen[0])
    assert "tokens" in repr(trunk)
    with pytest.raises(PlanError, match="backbone 'resnet18' has no tokens"):
        Trunk("resnet18", "layer1", tokens=True)


# networks


class Resnet(HierarchicalNetwork):
    """Branches of BasicBlocks."""

    taxonomy = {"a": {"c0": "x", "c2": "y"}, "b": {"c1": "z"}}  # noqa: RUF012
    classes = ("c0", "c1", "c2")
    input_size = (3, 64, 64)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk("test_resnet", "layer2", input_size=self.input_size)
        self.level1 = Siblings(2, [Replicas("test_resnet", ["layer3"], 48, 192)])
        deeper = [Bottlenecks(192, 8, 192), Replicas("test_resnet", ["layer4.0"], 192, 96)]
        self.level2 = Siblings(3, deeper, parents=self.nesting.parents(2))
        self.head = ClassHeads(3, 96, parents=self.nesting.heads)


class Transformer(Resnet):
    """Branches of attention on tokens."""

    def __init__(self, pretrained: bool = False) -> None:
        HierarchicalNetwork.__init__(self)
        self.trunk = Trunk("test_vit", "blocks.3", input_size=self.input_size, tokens=True)
        self.level1 = Siblings(2, [Replicas("test_vit", ["blocks.4"], 64, 64)])
        last = Replicas("test_vit", ["blocks.5"], 64, 64, end=True)
        self.level2 = Siblings(3, [last], parents=self.nesting.parents(2))
        self.head = ClassHeads(3, 64, parents=self.nesting.heads)


@cache
def built(kind: type[HierarchicalNetwork]) -> HierarchicalNetwork:
    torch.manual_seed(0)
    return scrambled(kind().eval())


@pytest.fixture(params=[Resnet, Transformer])
def net(request: pytest.FixtureRequest) -> HierarchicalNetwork:
    return copy.deepcopy(built(request.param))


X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def apart(got: Tensor, want: Tensor) -> float:
    assert want.std() > 1e-4
    return float((got - want).abs().max() / want.abs().max())


@torch.no_grad()
def test_a_cutout_is_a_slice(net: HierarchicalNetwork) -> None:
    part, want = cut(net, [0, 1]), net(X)
    for batch in (1, 2):
        assert apart(part(X[:batch]), want[:batch, :2]) < 1e-5
    for name, tensor in part.level2.state_dict().items():
        assert torch.equal(tensor, net.level2.state_dict()[name][[0, 2]])  # branches are in the tree's order
    assert apart(cut(part, [1])(X), want[:, 1:2]) < 1e-5
    net.active = ["c2"]
    assert apart(net(X), want[:, 2:]) < 1e-5
    net.active = None
    sets = net(X, classes=[["c0"], ["c1", "c2"]])
    torch.testing.assert_close(sets[1, 1:], want[1, 1:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(sets[0, 0], want[0, 0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_plain_is_the_network_with_gains_too(net: HierarchicalNetwork) -> None:
    plain = net.plain()
    norms = [m for level in plain.levels for m in level.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not norms  # they are in the kernels
    for batch in (1, 2):
        assert apart(plain(X[:batch]), net(X[:batch])) < 1e-5
    with net.attend({"c0": 1.7, "a": 0.4}):
        want = net(X)
        assert apart(net.plain()(X), want) < 1e-5
    assert apart(want, net(X)) > 1e-4


def test_onnx_is_the_network(tmp_path: Path) -> None:
    net = built(Transformer)  # of convolutions: test_other_trunks.py
    assert to_onnx(net, tmp_path / "net.onnx").difference < 1e-4
    with pytest.raises(HiergenError, match="no source"):
        to_plain(net, tmp_path / "net.py")


@pytest.mark.filterwarnings("ignore:.*torch.jit:", "ignore::torch.jit.TracerWarning")
def test_traced_compiled_and_exported(net: HierarchicalNetwork) -> None:
    with torch.no_grad():
        want = net(X.flip(0))
        traced = torch.jit.trace(net, (X,), check_trace=False)
        assert apart(traced(X.flip(0)), want) < 1e-5
        if isinstance(net, Transformer):
            again = torch.export.export(net, (X,)).module()
        else:
            torch._dynamo.reset()
            again = torch.compile(net, backend="eager")
        assert apart(again(X.flip(0)), want) < 1e-5
        assert apart(net(X.flip(0)), want) < 1e-5  # the network has its own tensors again


@torch.no_grad()
def test_copied_pickled_and_moved(net: HierarchicalNetwork) -> None:
    want = net(X)
    assert torch.equal(copy.deepcopy(net)(X), want)
    assert torch.equal(pickle.loads(pickle.dumps(net))(X), want)  # noqa: S301
    assert apart(copy.deepcopy(net).double()(X.double()).float(), want) < 1e-4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert apart(net(X).float(), want) < 0.1
    with torch.device("meta"):
        bare = type(net)()
    assert all(p.is_meta for p in bare.parameters())
    bare.to_empty(device="cpu").load_state_dict(net.state_dict())
    assert apart(bare.eval()(X), want) < 1e-5


@torch.no_grad()
def test_constants_are_there_after_to_empty() -> None:
    recipe = Replicas("swin_tiny_patch4_window7_224", ["layers.2.blocks.0", "layers.2.blocks.1"], 384, 384)
    with torch.device("meta"):
        level = Siblings(2, [recipe])
    level.to_empty(device="cpu")
    other = Siblings(2, [recipe])
    constants = dict(level.named_buffers())
    assert constants  # of windows
    assert not constants.keys() & level.state_dict().keys()
    for name, buffer in other.named_buffers():
        assert torch.equal(constants[name], buffer)


def test_checkpointing_computes_the_same_and_counts_a_batch_once() -> None:
    level = Siblings(3, [Replicas.of([Preactivated(8)], 8, 8)])  # with dropout
    saving = copy.deepcopy(level)
    saving.grad_checkpointing = True
    x = torch.randn(4, 8, 5, 5)
    for one in (level, saving):
        torch.manual_seed(1)
        one(x).square().sum().backward()
    for (name, p), (_, q) in zip(level.named_parameters(), saving.named_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)
    for (name, p), (_, q) in zip(level.named_buffers(), saving.named_buffers(), strict=True):
        torch.testing.assert_close(p, q, msg=name)
    assert level.stages[0][0].norm.num_batches_tracked.tolist() == [1, 1, 1]


@torch.no_grad()
def test_norms_that_tools_froze_or_synced() -> None:
    network = copy.deepcopy(built(Resnet))
    want = network(X)
    freeze(network, ["level1", "level2"])
    network.level1.train()
    assert apart(network(X), want) < 1e-5
    assert apart(network.cutout(["c0", "c1"]).eval()(X), want[:, :2]) < 1e-5
    assert apart(network.plain()(X), want) < 1e-5
    unfreeze(network, ["level1", "level2"])
    assert apart(network.eval().plain()(X), want) < 1e-5
    network.train()(X)
    counts = network.level1.stages[0][0][0].bn1.num_batches_tracked
    assert counts.tolist() == [1, 1]
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(built(Resnet)))
    assert apart(synced(X), want) < 1e-5


def test_tuning_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    level = Siblings(2, [Replicas.of([Preactivated(8)], 8, 8)])
    before = copy.deepcopy(level.state_dict())
    assert level.tune(torch.randn(2, 8, 5, 5))
    for name, tensor in level.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_macs_are_those_of_the_modules() -> None:
    layer3, counted = make_model("test_resnet", (3, 64, 64), pretrained=False).layer3, []
    for part in layer3.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(lambda conv, _, y: counted.append(conv.weight.numel() * y[0, 0].numel()))
    layer3.eval()(torch.randn(1, 48, 8, 8))
    assert len(counted) == 4
    assert network_macs(built(Resnet)).branches[0] == sum(counted)


# how branches start


def test_random_starts_are_timms_and_depend_on_the_seed() -> None:
    network = Transformer()
    init_branches(network, seed=3)
    first = {name: p.detach().clone() for name, p in network.level2.named_parameters()}
    init_branches(network, seed=3)
    assert all(torch.equal(p, first[name]) for name, p in network.level2.named_parameters())
    init_branches(network, seed=4)
    theirs = timm.create_model("test_vit").state_dict()
    for name, p in network.level2.state_dict().items():
        number, _, rest = name.removeprefix("stages.0.").partition(".")
        value = theirs[f"blocks.5.{rest}" if number == "0" else rest.removeprefix("model.")]
        if value.std() == 0:
            assert (p == value).all(), name
            continue
        assert not torch.equal(p, first[name]), name
        assert not torch.equal(p[0].flatten().sort().values, p[1].flatten().sort().values), name  # drawn anew
        assert float(p.std()) == pytest.approx(float(value.std()), rel=0.1), name
        assert float(p[2].abs().max()) <= 1.5 * float(value.abs().max()), name


def test_starts_are_what_the_init_did() -> None:
    with _Recorder() as recorder:
        rejected = nn.init.trunc_normal_(nn.Parameter(torch.empty(40)))  # torch's draws some numbers again
        layer = nn.Linear(3, 4)
        nn.init.zeros_(layer.weight)
        scale = nn.Parameter(0.1 * torch.ones(4))
    rows = torch.zeros(3, 40)
    with torch.no_grad():
        recorder.start(rejected).fill_(rows)
    assert not torch.equal(rows[0], rows[1])
    for row in rows:
        assert torch.equal(row.sort().values, rejected.detach().sort().values)
    for tensor in (layer.weight, scale):
        rows = torch.rand(2, *tensor.shape)
        recorder.start(tensor.detach()).fill_(rows)
        assert torch.equal(rows, torch.stack([tensor.detach()] * 2))
    rows = torch.zeros(1000, 4)
    with torch.no_grad():
        recorder.start(layer.bias).fill_(rows)
    assert len(rows.unique()) > 3900
    assert float(rows.abs().max()) == pytest.approx(3**-0.5, rel=0.01)


def test_given_modules_start_as_they_are() -> None:
    kept = Siblings(2, [Replicas.of([nn.Conv2d(3, 4, 1)], 3, 4)])
    before = copy.deepcopy(kept.state_dict())
    with torch.no_grad():
        kept.stages[0][0].weight.zero_()
    kept.stages[0].reset_parameters()
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.state_dict().items())
    assert torch.equal(before["stages.0.0.weight"][0], before["stages.0.0.weight"][1])


def test_given_modules_stay_as_they_are() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)
    level = Siblings(2, [Replicas.of([conv], 3, 4)])
    with torch.no_grad():
        level.stages[0][0].weight.zero_()
    assert conv.weight.abs().sum() > 0
    level.stages[0].start_as([conv])
    assert torch.equal(level.stages[0][0].weight[1], conv.weight)
    with pytest.raises(HiergenError, match="expected 1, got 2"):
        level.stages[0].start_as([conv, conv])


# what cannot be


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Replicas("resnet18", ["layer9"], 64, 64), "has no module 'layer9'; nearest: layer"),
        (lambda: Replicas("resnet19", ["layer1"], 64, 64), "timm has no model 'resnet19'"),
        (lambda: Replicas("resnet18", ["layer4", "layer3"], 128, 512), "in this order; got 'layer3', 'layer4'"),
        (lambda: Replicas("resnet18", ["layer3"], 64, 256), "expected 128, 256, got 64, 256"),
        (lambda: Replicas("resnet18", [], 64, 256), "no modules of 'resnet18' to copy"),
        (lambda: Replicas("eva02_tiny_patch14_224", ["blocks.1"], 192, 192), "takes or gives more than a map"),
        (lambda: Replicas.of([nn.Conv2d(3, 4, 1)], 5, 4), "Conv2d do not lead from 5 to 4 channels"),
        (lambda: Replicas.of([nn.Conv2d(3, 4, 1)], 3, 5), "they give 4 channels"),
        (lambda: Replicas.of([], 3, 5), "no modules to copy"),
    ],
)
def test_what_cannot_be_says_so(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(PlanError) as caught:
        Siblings(2, [make()])
    assert says in str(caught.value)


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="Replicas: out expected a positive int, got 0"):
        Replicas("resnet18", ["layer3"], 64, 0)


def test_it_cannot_be_planned_or_synced_by_half() -> None:
    network = copy.deepcopy(built(Resnet))
    network.level1 = Siblings(2, [Replicas.of([nn.Conv2d(48, 192, 1, stride=2)], 48, 192)])
    with pytest.raises(PlanError, match="'Replicas' cannot be planned"):
        plan_of(network, taxonomy="x", model="y")
    with pytest.raises(HiergenError, match="no processes"):
        sync_norms(built(Resnet))
