"""A branch for all classes beside the specialists: each form against plain loops, its cutouts, files and source."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import imported, message
from torch import Tensor
from torch.nn import functional as F
from toy_networks import scrambled

from hiergen.codegen.build import build, render
from hiergen.models.load import find_model
from hiergen.models.weights import load_weights, save_weights
from hiergen.models.weightsfile import read_weights, write_tensors
from hiergen.nn.cutout import difference
from hiergen.nn.generalist import Form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_network import plan_of
from hiergen.planning.from_taxonomy import plan_models
from hiergen.taxonomy.load import load_taxonomy

SPEC = """\
name: general
classes: [tabby, pug, carp, siamese, beagle, tuna, hound]
sources: [groups: {cat: [tabby, siamese], dog: [pug, beagle, hound], fish: [carp, tuna]}]
models:
  N2HL: &model
    trunk: {backbone: mobilenetv2_035, until: blocks.5}
    input_size: 32
    generalist: shallow
    budget: {params: 400k}
  PHL: *model
"""
HOMES = {"N2HL": (0, 1, 2, 0, 1, 2, 1), "PHL": tuple(range(7))}
X = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
KEEPS = ([2], [0, 3], [1, 4], [0, 1, 2], [3, 4, 5, 6])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("general")
    (folder / "general.yaml").write_text(SPEC)
    return build(folder / "general.yaml", folder / "general.py").path


@pytest.fixture(scope="module")
def built(source: Path) -> dict[str, HierarchicalNetwork]:
    """Every class is the likeliest of some images, and so is every group."""
    networks = {}
    for name in HOMES:
        torch.manual_seed(0)
        network = networks[name] = find_model(f"{source}:{name}").cls()
        with torch.no_grad():
            for _ in range(50):
                network.trunk(X)  # so that its norms let images differ
            for part in (*network.levels, network.generalist):
                scrambled(part)
            network.eval()
            pooled = network.generalist.tail(network.trunk(X), pool=True)[:, 0]
            weight = network.generalist.head.weight.copy_(9 * F.normalize(pooled - pooled.mean(0))[:7])
            network.generalist.head.bias.copy_(-weight @ pooled.mean(0))
            network.generalist.gains.copy_(torch.linspace(0.5, 2, len(network.generalist.gains)))
    return networks


@pytest.fixture(params=HOMES)
def net(built: dict[str, HierarchicalNetwork], request: pytest.FixtureRequest) -> HierarchicalNetwork:
    return copy.deepcopy(built[request.param])


def run(network: HierarchicalNetwork, x: Tensor = X, **options: object) -> Tensor:
    with torch.no_grad():
        return network(x, **options)


def run_as(network: HierarchicalNetwork, form: Form) -> Tensor:
    network.form = form
    return run(network)


def by_hand(network: HierarchicalNetwork) -> Tensor:
    """The form "both", an image at a time: the generalist's logits and what the likeliest group adds to its own."""
    homes, rows = HOMES[type(network).__name__], []
    for x in X:
        network.form = "generalist"
        (logits,) = run(network, x[None])
        network.form = "specialists"
        (special,) = run(network, x[None])
        shares = logits.softmax(0)
        share = [sum(shares[c] for c, home in enumerate(homes) if home == g) for g in range(max(homes) + 1)]
        best = max(range(len(share)), key=share.__getitem__)
        for c, home in enumerate(homes):
            if home == best:
                logits[c] += network.generalist.gains[best].detach() * special[c]
        rows.append(logits)
    return torch.stack(rows)


def layer(x: Tensor, conv: Any, norm: Any, *, act: bool = True) -> Tensor:
    """A convolution of the only branch, batch norm and ReLU6, in torch's own functions."""
    kernel = conv.weight[0].permute(0, 3, 1, 2)
    groups = x.shape[1] // kernel.shape[1]
    x = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2, groups=groups)
    x = F.batch_norm(x, norm.running_mean[0], norm.running_var[0], norm.weight[0], norm.bias[0], eps=1e-5)
    return F.relu6(x) if act else x


def test_a_generalist_is_its_tail_and_a_classifier(net: HierarchicalNetwork) -> None:
    net.form = "generalist"
    residual, expansion = net.generalist.tail.blocks
    with torch.no_grad():
        x = layer(net.trunk(X), residual.conv_pw, residual.bn1)
        x = layer(x, residual.conv_dw, residual.bn2)
        x = layer(x, residual.conv_pwl, residual.bn3, act=False)
        maps = layer(x, expansion.conv, expansion.bn)
        logits = F.linear(maps.mean((2, 3)), net.generalist.head.weight, net.generalist.head.bias)
        torch.testing.assert_close(net.forward_features(X)[:, 0], maps)
        torch.testing.assert_close(net.forward_head(maps[:, None]), logits)
    assert logits.std(0).min() > 0.01
    torch.testing.assert_close(run(net), logits)
    torch.testing.assert_close(run(net, classes=[5, 1]), logits[:, [1, 5]])
    masks = torch.rand(X.shape[0], 7, generator=torch.Generator().manual_seed(2)) < 0.5
    torch.testing.assert_close(run(net, classes=masks), logits.masked_fill(~masks, -torch.inf))


def test_both_is_the_generalist_and_what_the_likeliest_group_adds(net: HierarchicalNetwork) -> None:
    want = by_hand(net)
    generalist = run_as(net, "generalist")
    net.form = "both"
    torch.testing.assert_close(run(net), want, atol=1e-4, rtol=1e-4)
    assert (
        len({tuple((row.abs() > 1e-3).tolist()) for row in want - generalist}) > 1
    )  # several groups were the likeliest
    torch.testing.assert_close(run(net, classes=[5, 1]), want[:, [1, 5]], atol=1e-4, rtol=1e-4)
    masks = torch.rand(X.shape[0], 7, generator=torch.Generator().manual_seed(2)) < 0.5
    torch.testing.assert_close(run(net, classes=masks), want.masked_fill(~masks, -torch.inf), atol=1e-4, rtol=1e-4)
    net.generalist.gains.data.zero_()
    torch.testing.assert_close(run(net), generalist)


@pytest.mark.parametrize("keep", KEEPS, ids=str)
@pytest.mark.parametrize("form", ["generalist", "both"])
def test_cutouts_are_slices(net: HierarchicalNetwork, form: Form, keep: list[int]) -> None:
    net.form = form
    part = net.cutout(keep)
    want = run(net)[:, keep]
    torch.testing.assert_close(run(part, X[:1]), want[:1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(run(part), want, atol=1e-4, rtol=1e-4)
    assert difference(net, part, X) < 1e-4
    assert part.classes == tuple(net.classes[c] for c in keep)
    if form == "generalist":  # nothing of it is left but one branch
        assert (len(part.levels), part.level1.branches, part.form) == (1, 1, "specialists")
        assert not any("generalist" in name for name, _ in part.named_modules())
    if len(keep) > 1:
        torch.testing.assert_close(run(part.cutout([1])), want[:, 1:2], atol=1e-4, rtol=1e-4)


def test_cutouts_of_specialists_have_no_generalist(net: HierarchicalNetwork) -> None:
    part = net.cutout([0, 2])
    assert part.generalist is None
    assert "has no generalist; " in message(lambda: setattr(part, "form", "both"))
    torch.testing.assert_close(run(part), run(net)[:, [0, 2]], atol=1e-4, rtol=1e-4)


def test_plain_forms_of_a_generalist(net: HierarchicalNetwork) -> None:
    net = copy.deepcopy(net).double()  # in float32 the trunk's kernels round the norms that are folded into them
    x = X.double()
    net.form = "generalist"
    with torch.no_grad():
        want = net(x)
        torch.testing.assert_close(net.plain()(x), want, atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(net.cutout([1, 4]).plain()(x), want[:, [1, 4]], atol=1e-9, rtol=1e-7)
        net.active = [6, 2]
        torch.testing.assert_close(net.plain()(x), want[:, [2, 6]], atol=1e-9, rtol=1e-7)


def test_what_a_form_has_not_is_one_sentence(net: HierarchicalNetwork) -> None:
    assert message(lambda: setattr(net, "form", "all")) == (
        "no such form; expected specialists, generalist, both, flat, got 'all'"
    )
    net.form = "both"
    assert message(net.plain).startswith("a plain form has one fixed form, and 'both' chooses a specialist")
    assert message(lambda: net.forward_head(torch.zeros(1, 7, 640, 1, 1))).startswith("the form 'both' has no head")
    net.form = "generalist"
    steered = "the form 'generalist' has no features of groups and classes to "
    assert message(lambda: net.attend({0: 2.0}).__enter__()) == f"{steered}attend to"
    assert message(lambda: net.plain(steerable=True)) == f"{steered}steer"
    net.generalist = None
    net.form = "specialists"
    assert message(lambda: setattr(net, "form", "generalist")) == (
        f"{type(net).__name__} has no generalist; 'generalist: shallow' in the taxonomy file gives its models one"
    )
    assert message(lambda: setattr(net, "form", "flat")) == (
        f"{type(net).__name__} has no tail of the flat network; 'generalist: both' in the taxonomy file gives its "
        "models one"
    )
    assert net.form == "specialists"


@pytest.mark.parametrize("form", ["specialists", "generalist", "both"])
def test_weights_keep_form_and_choice(net: HierarchicalNetwork, source: Path, tmp_path: Path, form: Form) -> None:
    net.form, net.choice = form, {"cat": "specialists", "dog": "generalist"}
    want = run(net)
    save_weights(net, tmp_path / "w.safetensors")
    again = find_model(f"{source}:{type(net).__name__}").cls().eval()
    load_weights(again, tmp_path / "w.safetensors")
    assert (again.form, again.choice) == (net.form, net.choice)
    assert torch.equal(run(again), want)


@pytest.mark.parametrize(
    ("key", "value"),
    [("form", "all"), ("choice", "[]"), ("choice", '{"cat": "all"}'), ("choice", '{"cat": []}'), ("choice", "{")],
)
def test_forms_that_are_none_are_refused(net: HierarchicalNetwork, tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(net, path)
    file = read_weights(path)
    write_tensors(file.tensors, path, {**file.metadata, key: value})
    assert "w.safetensors: is corrupt: its metadata" in message(lambda: load_weights(net, path))


def test_source_of_a_cutout_builds_it_again(net: HierarchicalNetwork, tmp_path: Path) -> None:
    net.form = "both"
    part = net.cutout([0, 1, 2, 4])
    name = f"{type(net).__name__}Part"
    plan = plan_of(part, taxonomy="cutout", model=name)
    assert plan.params == sum(p.numel() for p in part.parameters())
    (tmp_path / "part.py").write_text(render([plan], "x.yaml"))
    again = getattr(imported(tmp_path / "part.py", f"generalist_{name}"), name)().eval()
    again.load_state_dict(part.state_dict())
    again.form = "both"
    assert torch.equal(run(again), run(part))
    assert again.generalist.columns == (0, 1, 2, 4)


def test_plans_of_networks_are_those_they_were_built_from(net: HierarchicalNetwork, source: Path) -> None:
    plan = plan_of(net, taxonomy="general", model=type(net).__name__)
    (built_from,) = (p for p in plan_models(load_taxonomy(source.with_suffix(".yaml"))) if p.model == plan.model)
    assert plan.generalist == built_from.generalist
    assert plan.params == built_from.params == sum(p.numel() for p in net.parameters()) <= 400_000
