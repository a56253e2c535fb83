"""What timm's training, validation and benchmark scripts do with a model, done to generated-looking networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm
import torch
from network_cases import Tiny
from timm.layers import convert_sync_batchnorm
from timm.models import load_checkpoint, model_parameters, resume_checkpoint
from timm.optim import create_optimizer_v2
from timm.utils import CheckpointSaver, ModelEmaV3, freeze, reparameterize_model, unfreeze
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.nn import register
from hiergen.nn.primitives import BranchBatchNorm2d

NAME = "timm_scripts_tiny"


class Scripted(Tiny):
    pass


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    register(Scripted, NAME)
    yield
    timm.models._registry._clear_model_entries(NAME)
    timm.models._registry._model_entrypoints.pop(NAME)


@pytest.fixture
def net() -> Scripted:
    torch.manual_seed(0)
    network = timm.create_model(NAME)
    with torch.no_grad():  # no zero gammas: every path must matter
        for p in network.parameters():
            if p.ndim <= 2:
                p.normal_(0.5, 0.3)
    return network.eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def step(net: torch.nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    net.train()
    torch.nn.functional.cross_entropy(net(x), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    optimizer.zero_grad()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_checkpoints_are_saved_loaded_and_resumed(net: Scripted, x: Tensor, tmp_path: Path) -> None:
    optimizer = create_optimizer_v2(net, "adamw", lr=1e-2)
    ema = ModelEmaV3(net, decay=0.5)
    saver = CheckpointSaver(net, optimizer, model_ema=ema, checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path))
    step(net, optimizer, x)
    ema.update(net)
    saver.save_checkpoint(epoch=0, metric=1.0)
    net.eval(), ema.module.eval()
    for use_ema, want in ((False, net), (True, ema.module)):
        loaded = timm.create_model(NAME).eval()
        load_checkpoint(loaded, str(tmp_path / "model_best.pth.tar"), use_ema=use_ema)
        assert same(loaded.state_dict(), want.state_dict())
        assert torch.equal(loaded(x), want(x))
    assert not torch.equal(net(x), ema.module(x))
    by_name = timm.create_model(NAME, checkpoint_path=str(tmp_path / "last.pth.tar")).eval()
    assert torch.equal(by_name(x), ema.module(x))  # timm prefers the average
    resumed = timm.create_model(NAME)
    again = create_optimizer_v2(resumed, "adamw", lr=1e-2)
    assert resume_checkpoint(resumed, str(tmp_path / "last.pth.tar"), again, log_info=False) == 1
    step(resumed, again, x)
    step(net, optimizer, x)
    assert same(resumed.state_dict(), net.state_dict())


def test_ema_averages_parameters_and_statistics(net: Scripted, x: Tensor) -> None:
    ema = ModelEmaV3(net, decay=0.75)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    step(net, create_optimizer_v2(net, "sgd", lr=0.1), x)
    ema.update(net)
    for name, now in net.state_dict().items():
        want = 0.75 * before[name] + 0.25 * now if now.is_floating_point() else now
        torch.testing.assert_close(ema.module.state_dict()[name], want, msg=name)
        changes = not name.startswith("trunk") and "running_mean" in name
        assert not changes or not torch.equal(before[name], now), name


@pytest.mark.parametrize("options", [{"features_only": True}, {"features_only": True, "out_indices": (1, 2)}])
def test_features_only_is_refused_with_what_works(options: dict) -> None:
    message = rf"{NAME}: features_only is not possible: .*forward_features.*model\.trunk"
    with pytest.raises(HiergenError, match=message):
        timm.create_model(NAME, **options)
    assert timm.create_model(NAME, features_only=False).num_classes == 5


def test_only_weights_decay_and_deep_layers_less(net: Scripted) -> None:
    optimizer = create_optimizer_v2(net, "adamw", lr=0.1, weight_decay=0.5, layer_decay=0.5)
    for group in optimizer.param_groups:  # what timm's schedulers do
        group["lr"] *= group["lr_scale"]
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    factor = {name: (p / before[name])[before[name] != 0].mean().item() for name, p in net.named_parameters()}
    for name, p in net.named_parameters():
        if p.ndim <= 1 or (p.ndim == 2 and name.startswith("level")):
            assert torch.equal(p, before[name]), name
        else:
            assert factor[name] < 1, name
            torch.testing.assert_close(p.detach(), before[name] * factor[name])
    order = ["head.weight", "level3.stages.0.blocks.0.mlp.fc1.weight", "level1.stages.0.0.conv1.weight"]
    assert factor["head.weight"] == pytest.approx(0.95)
    assert [factor[name] for name in order] == sorted(factor[name] for name in order)
    assert factor[order[-1]] < factor["trunk.model.conv1.weight"] < 1


def test_clipping_leaves_the_head_alone_where_timm_asks_for_that(net: Scripted) -> None:
    head = {id(p) for p in net.get_classifier().parameters()}
    clipped = {id(p) for p in model_parameters(net, exclude_head=True)}
    assert clipped == {id(p) for p in net.parameters()} - head


def test_reparameterizing_changes_nothing(net: Scripted, x: Tensor) -> None:
    want = net(x)
    fused = reparameterize_model(net)
    assert torch.equal(fused(x), want)
    assert same(fused.state_dict(), net.state_dict())


def test_a_frozen_trunk_keeps_its_statistics(net: Scripted, x: Tensor) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    freeze(net, ["trunk"])
    trained = [p for p in net.parameters() if p.requires_grad]
    step(net, create_optimizer_v2(trained, "sgd", lr=0.1), x)
    for name, now in net.state_dict().items():
        assert torch.equal(now, before[name]) == name.startswith("trunk"), name
    unfreeze(net, ["trunk"])
    assert all(p.requires_grad for p in net.parameters())
    step(net, create_optimizer_v2(net, "sgd", lr=0.1), x)
    assert not torch.equal(net.trunk.model.conv1.weight, before["trunk.model.conv1.weight"])
    assert not torch.equal(net.trunk.model.bn1.running_mean, before["trunk.model.bn1.running_mean"])


def test_a_frozen_level_keeps_its_statistics_and_thaws(net: Scripted, x: Tensor) -> None:
    want, before = net(x), {name: value.clone() for name, value in net.state_dict().items()}
    freeze(net, ["trunk", "level1"])
    torch.testing.assert_close(net(x), want)
    optimizer = create_optimizer_v2([p for p in net.parameters() if p.requires_grad], "sgd", lr=0.1)
    step(net, optimizer, x)
    for name, now in net.state_dict().items():
        assert torch.equal(now, before[name]) == name.startswith(("trunk", "level1")), name
    unfreeze(net, ["trunk", "level1"])
    step(net, create_optimizer_v2(net, "sgd", lr=0.1), x)
    for name in (
        "level1.stages.0.0.conv1.weight",
        "level1.stages.0.0.bn1.weight",
        "level1.stages.0.0.bn1.running_mean",
    ):
        assert not torch.equal(net.state_dict()[name], before[name]), name
    assert all(isinstance(m, BranchBatchNorm2d) for n, m in net.level1.named_modules() if n.endswith(("bn1", "bn3")))
    timm.create_model(NAME).load_state_dict(net.state_dict())
    assert net.level1.stages[0][0].bn1.num_batches_tracked.tolist() == [1, 1]


@pytest.mark.parametrize("change", [freeze, lambda net: (freeze(net), unfreeze(net)), convert_sync_batchnorm])
def test_a_cutout_keeps_what_became_of_the_norms(net: Scripted, x: Tensor, change: Callable) -> None:
    change(net)
    net.eval()
    part = net.cutout(["c1", "c3"])
    torch.testing.assert_close(part(x), net(x)[:, [1, 3]])
    pairs = zip(part.modules(), net.modules(), strict=True)
    assert [type(module) for module, _ in pairs] == [type(module) for module in net.modules()]


def test_a_norm_frozen_by_itself_and_one_that_thaws_in_eval_mode(net: Scripted, x: Tensor) -> None:
    want = net(x)
    freeze(net, ["level1.stages.0.0.bn1", "level2"])
    torch.testing.assert_close(net(x), want)
    unfreeze(net, ["level1.stages.0.0.bn1", "level2"])
    torch.testing.assert_close(net.eval()(x), want)  # timm's norms are new, in training mode


@pytest.mark.parametrize("convert", [convert_sync_batchnorm, torch.nn.SyncBatchNorm.convert_sync_batchnorm])
def test_synchronized_batch_norm_is_the_branches_too(net: Scripted, x: Tensor, convert: Callable) -> None:
    plain, names = copy.deepcopy(net), list(net.state_dict())
    want = net(x)
    converted = convert(net)
    assert torch.equal(converted(x), want)
    assert not [m for m in converted.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert type(converted.level1.stages[0][0].bn1) is torch.nn.SyncBatchNorm
    assert list(converted.state_dict()) == names
    for network in (plain, converted):  # without processes it trains as before
        step(network, create_optimizer_v2(network, "sgd", lr=0.1), x)
    torch.testing.assert_close(dict(converted.state_dict()), dict(plain.state_dict()))


def test_channels_last_and_bfloat16_as_the_benchmark_runs_them(net: Scripted, x: Tensor) -> None:
    with torch.inference_mode():
        want = net(x)
        net = net.to(device="cpu", memory_format=torch.channels_last)
        torch.testing.assert_close(net(x.to(memory_format=torch.channels_last)), want, atol=1e-5, rtol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            low = net(x.contiguous(memory_format=torch.channels_last))
        relative = (low.float() - want).abs().max() / want.abs().max()
        assert 1e-6 < relative < 0.03
        half = net.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert half.dtype is torch.bfloat16
    assert (half.float() - want).abs().max() / want.abs().max() < 0.05


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
def test_compiled_it_is_one_graph_with_the_same_logits(net: Scripted, x: Tensor) -> None:
    torch._dynamo.reset()
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net, backend=backend, fullgraph=True)(x), net(x), atol=1e-5, rtol=1e-4)
    assert len(graphs) == 1
