"""Networks on modules that are not timm's: torchvision's, and a user's own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models as vision
from torch import Tensor, nn
from toy_networks import scrambled

import hiergen
from hiergen.errors import HiergenError, PlanError
from hiergen.models.export import to_onnx, to_plain
from hiergen.nn import Nesting
from hiergen.nn.macs import network_macs
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_network import plan_of

NESTING = Nesting.from_tree({"a": ["c0", "c2"], "b": ["c1"]}, ["c0", "c1", "c2"])
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Own(nn.Sequential):
    """Convolutions, with a pooling and a flattening that are no modules of their own."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4)
        self.deep = nn.Sequential(self.block(8, 12), self.block(12, 12), self.block(12, 16))
        self.score = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, classes))

    @staticmethod
    def block(reads: int, gives: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(reads, gives, 3, 2, 1), nn.BatchNorm2d(gives), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.deep(self.stem(x)).mean((2, 3)))


class Perceptron(Own):
    """A map, flattened as it is, through two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(16 * 4, 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.deep(self.stem(x)).flatten(1))


class Skipping(Own):
    """Its children in order are not what it does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.score(self.deep[0](self.stem(x)).mean((2, 3)).repeat(1, 2)[:, :16])


class Backwards(Own):
    """Its children are named in another order than they run."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.stem = (nn.Sequential(self.block(8, 12), self.block(12, 16)), self.stem)
        self._modules = {name: self._modules[name] for name in ("deep", "stem", "score")}


MODULES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "resnet18": (lambda: vision.resnet18(num_classes=3), "layer3"),
    "mobilenet_v2": (lambda: vision.mobilenet_v2(num_classes=3), "features.13"),
    "efficientnet_b0": (lambda: vision.efficientnet_b0(num_classes=3), "features.6"),
    "own": (Own, "deep.0"),
    "perceptron": (Perceptron, "deep.0"),
}


@cache
def modules(name: str) -> nn.Module:
    torch.manual_seed(0)
    return scrambled(MODULES[name][0]().eval())


@cache
def networks(name: str) -> HierarchicalNetwork:
    network = hiergen.network(modules(name), until=MODULES[name][1], taxonomy=NESTING, input_size=64, depth="all")
    assert network.training
    return network.eval()


def apart(got: Tensor, want: Tensor) -> float:
    assert want.std() > 1e-4
    return float((got - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("name", MODULES)
@torch.no_grad()
def test_all_blocks_as_copies_are_the_module(name: str) -> None:
    module, network = modules(name), networks(name)
    assert [level.branches for level in network.levels] == [2, 3]
    want = module(X)
    for batch in (1, 2):
        assert apart(network(X[:batch]), want[:batch]) < 1e-5
    branches = copy.deepcopy(network)
    for number, level in enumerate(branches.levels):  # branches are their own
        for p in level.parameters():
            p.mul_(1 + 0.1 * torch.arange(len(p)).view(-1, *(1,) * (p.ndim - 1)) + 0.05 * number)
    logits = branches(X)
    assert apart(branches.cutout(["c0", "c1"])(X), logits[:, :2]) < 1e-5
    branches.active = ["c1"]
    torch.testing.assert_close(branches(X), logits[:, 1:2], atol=1e-4, rtol=1e-4)
    branches.active = None
    for batch in (1, 2):
        assert apart(branches.plain()(X[:batch]), logits[:batch]) < 1e-5
    with branches.attend({"c0": 1.5, "b": 0.5}):
        steered = branches(X)
        assert apart(branches.plain()(X), steered) < 1e-5
    assert apart(steered, logits) > 1e-3
    assert torch.equal(module(X), want)


def test_the_first_block_of_each_later_child() -> None:
    module = modules("resnet18")
    network = hiergen.network(module, until="layer2", taxonomy=NESTING, input_size=64).eval()
    assert [[type(block).__name__ for block in level.stages[0]] for level in network.levels] == [["BasicBlock"]] * 2
    with torch.no_grad():
        x = module.maxpool(module.relu(module.bn1(module.conv1(X))))
        x = module.layer4[0](module.layer3[0](module.layer2(module.layer1(x))))
        assert apart(network(X), module.fc(x.mean((2, 3)))) < 1e-5
    deeper = hiergen.network(module, until="layer3", taxonomy=NESTING, input_size=64)  # two levels need both
    assert [[level.stages[0][0].conv1.weight.shape[2]] for level in deeper.levels] == [[256], [512]]
    named = hiergen.network(module, until="layer2", taxonomy=NESTING, input_size=64, tail=[["layer3.0"], ["layer4"]])
    assert [len(list(level.stages[0].modules())) > 8 for level in named.levels] == [True, True]


def test_trunk_and_rows_are_the_modules(tmp_path: Path) -> None:
    module, network = modules("resnet18"), networks("resnet18")
    state, theirs = network.state_dict(), module.state_dict()
    for name, tensor in network.trunk.model.state_dict().items():
        assert torch.equal(tensor, theirs[name])
        assert f"trunk.model.{name}" in state
    assert not {"fc.weight", "layer4.0.conv1.weight"} & set(network.trunk.model.state_dict())
    assert torch.equal(network.head.weight, module.fc.weight)
    assert network.trunk.model.conv1.weight is not module.conv1.weight
    other = hiergen.network(vision.resnet18(num_classes=9), until="layer3", taxonomy=NESTING, input_size=64)
    assert other.head.weight.shape == (3, 512)
    hiergen.save_weights(network, tmp_path / "w.safetensors")
    hiergen.load_weights(other, tmp_path / "w.safetensors")
    with torch.no_grad():
        assert torch.equal(other.eval()(X), network(X))
        assert torch.equal(pickle.loads(pickle.dumps(network))(X), network(X))  # noqa: S301


def test_taxonomies_of_every_kind() -> None:
    module = modules("own")
    listed = hiergen.network(
        module, until="deep.0", taxonomy=["cat", "dog", "hen"], groups={"pet": ["cat", "dog"]}, input_size=64
    )
    assert listed.classes == ("cat", "dog", "hen")
    taxonomy = hiergen.load_taxonomy({"name": "x", "classes": ["cat", "dog", "hen"], "models": {"PHL": {}}})
    for options in ({"model": "PHL"}, {"levels": 1}):
        network = hiergen.network(module, until="deep.0", taxonomy=taxonomy, input_size=64, **options)
        assert len(network.levels) == 1
        assert network.input_size == (3, 64, 64)


@pytest.mark.parametrize("name", ["resnet18", "own"])
def test_onnx_is_the_network(name: str, tmp_path: Path) -> None:
    assert to_onnx(networks(name), tmp_path / "net.onnx").difference < 1e-4


def test_training_steps_and_checkpoints() -> None:
    network = copy.deepcopy(networks("efficientnet_b0")).train()
    network.set_grad_checkpointing()
    for part in network.trunk.modules():
        if hasattr(part, "p"):
            part.p = 0.0
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    torch.nn.functional.cross_entropy(network(X), torch.tensor([0, 2])).backward()
    optimizer.step()
    levels = [(name, p) for name, p in network.named_parameters() if name.startswith("level")]
    assert all(not torch.equal(p, before[name]) for name, p in levels if p.grad.abs().max() > 1e-6)
    norms = [b for name, b in network.level2.named_buffers() if name.endswith("num_batches_tracked")]
    assert all(b.tolist() == [1, 1, 1] for b in norms)


def test_macs_of_the_trunk() -> None:
    costs = network_macs(networks("own"))
    assert costs.trunk == 8 * 27 * 16 * 16 + 12 * 8 * 9 * 8 * 8


@pytest.mark.parametrize(
    ("module", "options", "says"),
    [
        (Own, {"until": "deep.7"}, "Own has no child 'deep.7' inside the Sequential 'deep'; expected one of deep.0"),
        (Own, {"until": "steem"}, "Own has no child 'steem'; expected one of stem, deep, score; nearest: stem"),
        (Own, {"until": "deep"}, "too few blocks between 'deep' and the pooling for 2 levels of branches"),
        (Own, {}, "needs until"),
        (Own, {"until": "deep.0", "taxonomy": None}, "needs taxonomy"),
        (Own, {"until": "deep.0", "block": "mbconv"}, "a network on a module has no block"),
        (Own, {"until": "deep.0", "depth": "some"}, "no depth 'some'; expected 'first' or 'all'"),
        (Own, {"until": "deep.0", "tail": [["deep.1"]]}, "tail has the modules of each level; expected 2 lists"),
        (Own, {"until": "deep.0", "tail": ["deep.1", "deep.9"]}, "Own has no module 'deep.9'"),
        (Own, {"until": "deep.0", "tail": ["deep.1", "stem"]}, "'stem' of Own does not take what comes before it"),
        (Own, {"until": "deep.0", "in_chans": 1}, "Own does not take images (1, 64, 64); got "),
        (Skipping, {"until": "deep.0"}, "do not compute what it does: they answer other numbers; got "),
        (Backwards, {"until": "deep"}, "do not compute what it does: 'deep' fails on what comes before it"),
        (
            lambda: vision.VisionTransformer(32, 16, 1, 2, 8, 8, num_classes=3),
            {"until": "conv_proj", "input_size": 32},
            "VisionTransformer cannot be cut, as its children, one after the other, do not compute what it does",
        ),
    ],
)
def test_what_cannot_be_says_so(module: Callable[[], nn.Module], options: dict[str, Any], says: str) -> None:
    with pytest.raises(HiergenError) as caught:
        hiergen.network(module(), **{"taxonomy": NESTING, "input_size": 64, **options})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_of_modules_need_one() -> None:
    with pytest.raises(HiergenError, match="tail goes with a module"):
        hiergen.network(["cat", "dog"], tail=[["x"]])
    with pytest.raises(HiergenError, match="needs one taxonomy"):
        hiergen.network()
    with pytest.raises(HiergenError, match="is no timm model"):
        hiergen.network(["cat", "dog"], backbone=vision.resnet18())


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ({"backbone": "resnet81"}, "backbone: timm has no model 'resnet81'"),
        ({"until": "layer9"}, "until: backbone resnet18 has no stage 'layer9'"),
        ({"budget": {"params": "1"}}, "budget: the budget of 1 params is too small"),
        ({"levels": 9}, "network: model N9HL: 9 levels cannot be"),
        ({"groups": {"x": []}}, "groups.x: group 'x' is empty"),
        ({"groups": {"x": ["cat"], "y": ["cat"]}}, "groups.y.0: class 'cat' is in groups 'x' and 'y'; the other claim"),
    ],
)
def test_errors_are_at_the_argument(options: dict[str, Any], starts: str, tmp_path: Path) -> None:
    """Nobody wrote a taxonomy, or not these lines of it."""
    (tmp_path / "t.yaml").write_text("name: t\nclasses: [cat, dog, hen, goose]\nmodels:\n  N2HL: {}\n", "utf-8")
    for what in (["cat", "dog", "hen", "goose"], *(() if "groups" in options else (tmp_path / "t.yaml",))):
        with pytest.raises(HiergenError) as caught:
            hiergen.network(what, **{"backbone": "resnet18", **options})
        assert str(caught.value).startswith(starts)
        assert "taxonomy." not in str(caught.value)


def test_it_cannot_be_written_as_source(tmp_path: Path) -> None:
    with pytest.raises(PlanError):
        plan_of(networks("own"), taxonomy="x", model="y")
    with pytest.raises(HiergenError, match="a trunk of a module that is not timm's has no source"):
        to_plain(networks("own"), tmp_path / "own.py")
