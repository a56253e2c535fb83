"""What tools that look for torch's types find in a network: the cells of docs/tools.md. Packages that are not here are
skipped, as hiergen does not depend on them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from network_cases import Tiny, Unsorted, lively
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import prune
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.errors import HiergenError
from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Nesting, Siblings, Trunk, register
from hiergen.nn.macs import network_macs
from hiergen.nn.primitives import BranchBatchNorm2d, BranchConv2d, BranchLinear

NAME = "tools_tiny"
traces = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", r"ignore:.torch\.jit.*deprecated")


class Tooled(Tiny):
    pass


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    register(NAME)(Tooled)
    yield
    timm.models._registry._clear_model_entries(NAME)
    timm.models._registry._model_entrypoints.pop(NAME)


@pytest.fixture
def net() -> Tooled:
    torch.manual_seed(0)
    return lively(Tooled())


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def branch_norms(net: nn.Module) -> dict[str, BranchBatchNorm2d]:
    return {name: module for name, module in net.named_modules() if isinstance(module, BranchBatchNorm2d)}


# batch norms


def test_a_loop_over_batch_norms_finds_those_of_the_branches(net: Tooled, x: Tensor) -> None:
    found = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    assert len(branch_norms(net)) == 8
    assert set(found) > set(branch_norms(net).values())
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net.train()
    for module in found:
        module.eval()
    net(x)
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    for module in found:
        module.train()
        module.momentum = 1.0
    net(x)
    assert all(not torch.equal(norm.running_mean, before[f"{n}.running_mean"]) for n, norm in branch_norms(net).items())


def test_update_bn_averages_all_batches(net: Tooled) -> None:
    loader = [torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    stepwise = copy.deepcopy(net).train()
    for count, batch in enumerate(loader, start=1):  # the k-th of equal parts moves an average by 1/k
        for module in stepwise.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = 1 / count
        with torch.no_grad():
            stepwise(batch)
    with torch.no_grad():
        update_bn(loader, net)
    for name, norm in branch_norms(net).items():
        assert norm.momentum == 0.1
        assert norm.num_batches_tracked.unique().tolist() == [3]
        other = stepwise.get_submodule(name)
        torch.testing.assert_close(norm.running_mean, other.running_mean)
        torch.testing.assert_close(norm.running_var, other.running_var)
    assert not net.training


def test_averaged_models_average_statistics(net: Tooled, x: Tensor) -> None:
    averaged = AveragedModel(net, use_buffers=True)
    states = []
    for _ in range(2):
        with torch.no_grad():
            net.train()(x + len(states))
            for p in net.parameters():
                p.add_(1)
        averaged.update_parameters(net)
        states.append({name: value.clone() for name, value in net.state_dict().items()})
    for name, value in averaged.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2, msg=name)
    assert not torch.equal(
        states[0]["level1.stages.0.0.bn1.running_mean"], states[1]["level1.stages.0.0.bn1.running_mean"]
    )
    assert averaged.eval()(x).isfinite().all()


def test_fusing_a_branchs_norm_into_its_convolution_by_hand_is_refused(net: Tooled) -> None:
    block = net.level1.stages[0][0]
    with pytest.raises(RuntimeError, match="size of tensor"):
        fuse_conv_bn_eval(block.conv1, block.bn1)


# convolutions and linear layers


def test_branch_convolutions_are_not_torchs_own(net: Tooled) -> None:
    """Else init loops, LoRA, counters and spectral norms would take N kernels for one."""
    own = [module for module in net.levels for module in module.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert own == []
    assert sum(isinstance(module, BranchConv2d | BranchLinear) for module in net.modules()) == 15


def test_an_init_loop_leaves_branches_as_timm_inits_them(net: Tooled) -> None:
    before = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    for name, p in net.named_parameters():
        changed = name.startswith("trunk") and p.ndim == 4
        assert torch.equal(p, before.get_parameter(name)) != changed, name


@pytest.mark.parametrize("names", [("trunk",), ("level1", "level2", "level3")])
def test_pruning_by_name(net: Tooled, x: Tensor, names: tuple[str, ...]) -> None:
    kinds = (nn.Conv2d, BranchConv2d, BranchLinear)
    chosen = [m for name in names for m in net.get_submodule(name).modules() if isinstance(m, kinds)]
    by_hand = copy.deepcopy(net)
    layers = {id(module): name for name, module in net.named_modules()}
    prune.global_unstructured([(module, "weight") for module in chosen], prune.L1Unstructured, amount=0.5)
    sizes, zeros = 0, 0
    for module in chosen:
        sizes, zeros = sizes + module.weight_mask.numel(), zeros + int((module.weight_mask == 0).sum())
        with torch.no_grad():
            by_hand.get_submodule(layers[id(module)]).weight.mul_(module.weight_mask)
    assert zeros == round(sizes / 2)
    torch.testing.assert_close(net(x), by_hand(x))
    net.train()(x).sum().backward()
    assert all(module.weight_orig.grad is not None for module in chosen)
    for module in chosen:
        prune.remove(module, "weight")
    assert net.state_dict().keys() == by_hand.state_dict().keys()


@pytest.mark.filterwarnings("ignore:Maximum recursive depth")
def test_torch_pruning_names_the_branches(net: Tooled, x: Tensor) -> None:
    pruning = pytest.importorskip("torch_pruning")
    with pytest.warns(UserWarning, match=r"Unwrapped parameters detected.*level1\.stages\.0\.0\.conv1\.weight"):
        pruning.DependencyGraph().build_dependency(net, x)


def test_lora_on_the_trunk_and_not_on_branches(net: Tooled, x: Tensor) -> None:
    peft = pytest.importorskip("peft")
    want = net(x)
    with pytest.raises(ValueError, match=r"Target module BranchConv2d.* is not supported"):
        peft.get_peft_model(copy.deepcopy(net), peft.LoraConfig(target_modules=r"level1.*conv1"))
    adapted = peft.get_peft_model(net, peft.LoraConfig(target_modules=r"trunk\.model\.layer1.*conv\d"))
    torch.testing.assert_close(adapted.eval()(x), want)  # adapters start at nothing
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert len(trained) == 8
    assert all("trunk.model.layer1" in name for name in trained)


@pytest.mark.parametrize("tool", ["torchao", "quanto", "dynamic"])
def test_quantizers_take_the_trunk_alone(net: Tooled, tool: str) -> None:
    before = {name: p for name, p in net.named_parameters() if not name.startswith("trunk")}
    found = quantized(net, tool)
    assert not any(name.startswith(("level", "head")) for name in found)
    assert bool(found) == (tool == "quanto")  # the other two want linear layers
    assert all(net.get_parameter(name) is p for name, p in before.items())


def quantized(net: nn.Module, tool: str) -> list[str]:
    """Names of the layers whose weights a quantizer has made smaller."""
    if tool == "torchao":
        ao = pytest.importorskip("torchao.quantization")
        ao.quantize_(net, ao.Int8WeightOnlyConfig())
        return [name.removesuffix(".weight") for name, p in net.named_parameters() if type(p) is not nn.Parameter]
    if tool == "quanto":
        quanto = pytest.importorskip("optimum.quanto")
        quanto.quantize(net, weights=quanto.qint8)
        return [name for name, m in net.named_modules() if isinstance(m, quanto.QModuleMixin)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao says that it moves to torchao
        net = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, inplace=True)
    return [name for name, m in net.named_modules() if "quantized" in type(m).__module__]


# counters


def counted(net: nn.Module, tool: str) -> int:
    if tool == "thop":
        thop = pytest.importorskip("thop")
        return int(thop.profile(net, inputs=(torch.zeros(1, 3, 64, 64),), verbose=False)[0])
    ptflops = pytest.importorskip("ptflops")
    options = {"as_strings": False, "print_per_layer_stat": False, "verbose": False, "backend": tool}
    return int(ptflops.get_model_complexity_info(net, (3, 64, 64), **options)[0])


@pytest.mark.parametrize("tool", ["thop", "pytorch"])
def test_counters_of_types_miss_the_branches(net: Tooled, tool: str) -> None:
    found = counted(copy.deepcopy(net), tool) - counted(copy.deepcopy(net.trunk), tool)
    macs = network_macs(net)
    assert 0 <= found < 0.8 * (macs.total(net) - macs.trunk)
    assert (found == 0) == (tool == "thop")


def test_counters_of_operations_count_the_branches(net: Tooled) -> None:
    assert counted(net, "aten") == pytest.approx(network_macs(net).total(net), rel=0.02)


def test_torchs_counter_is_right(net: Tooled, x: Tensor) -> None:
    counts = []
    for batch in (1, 2):  # what does not grow with the batch folds norms into weights
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(x[:batch])
        counts.append(counter.get_total_flops() // 2)
    assert counts[1] - counts[0] == network_macs(net).total(net)


def test_fvcore_says_what_it_leaves_out(net: Tooled) -> None:
    fvcore = pytest.importorskip("fvcore.nn")
    count = fvcore.FlopCountAnalysis(net, torch.zeros(1, 3, 64, 64)).unsupported_ops_warnings(False)
    assert count.total() > network_macs(net).trunk
    assert count.unsupported_ops()["aten::baddbmm"] > 0


# tracing


@traces
@pytest.mark.parametrize("network", [Tooled, Unsorted])
@pytest.mark.parametrize("lowering", ["auto", "loop", "matmul", "grouped"])
def test_jit_trace_holds_at_other_batch_sizes(
    network: type[HierarchicalNetwork], lowering: str, x: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = lively(network()).set_lowering(lowering)
    with torch.no_grad():
        for batch, other in ((1, 4), (3, 1)):
            traced = torch.jit.trace(net, x[:batch])
            torch.testing.assert_close(traced(x[:other]), net(x[:other]), atol=1e-5, rtol=1e-4)
        torch.jit.save(traced, tmp_path / "traced.pt")
        again = torch.jit.load(tmp_path / "traced.pt")
        torch.testing.assert_close(again(x), net(x), atol=1e-5, rtol=1e-4)


@traces
@pytest.mark.parametrize("form", ["network", "plain"])
def test_tensorboard_draws_the_graph(net: Any, x: Tensor, tmp_path: Path, form: str) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_graph(net.plain() if form == "plain" else net, x)
    (events,) = tmp_path.iterdir()
    assert form == "plain" or b"level1" in events.read_bytes()


# Grad-CAM


class Unpooled(nn.Module):
    """The network with the last level's maps in sight."""

    def __init__(self, net: HierarchicalNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.forward_head(self.net.forward_features(x))


@pytest.mark.parametrize("place", ["trunk", "level1", "level2", "level3"])
def test_grad_cam(net: Tooled, x: Tensor, place: str) -> None:
    """The package's map, with the branch of the class, is the formula's."""
    cams = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    label, level = 3, net.get_submodule(place)
    branch = Tiny.paths[label][int(place[-1]) - 1] if place != "trunk" else None
    reshape = None if branch is None else lambda maps: maps[:, branch]
    with cams.GradCAM(model=Unpooled(net), target_layers=[level], reshape_transform=reshape) as cam:
        found = cam(input_tensor=x, targets=[targets.ClassifierOutputTarget(label)] * len(x))
    kept: list[Tensor] = []
    with level.register_forward_hook(lambda *call: kept.append(call[-1])):
        logits = Unpooled(net)(x)
    (gradients,) = torch.autograd.grad(logits[:, label].sum(), kept[0])
    maps = kept[0] if branch is None else kept[0][:, branch]
    gradients = gradients if branch is None else gradients[:, branch]
    want = (gradients.mean((2, 3), keepdim=True) * maps).sum(1).relu().detach()
    for image, heat in zip(want, found, strict=True):
        small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(heat)[None], image.shape)[0]
        assert torch.corrcoef(torch.stack([image.flatten(), small.flatten()]))[0, 1] > 0.9 or image.std() < 1e-6


def test_grad_cam_without_a_branch_raises(net: Tooled, x: Tensor) -> None:
    cams = pytest.importorskip("pytorch_grad_cam")
    for place in ("level1", "level3"):
        with cams.GradCAM(model=net, target_layers=[net.get_submodule(place)]) as cam:  # noqa: SIM117
            with pytest.raises((RuntimeError, ValueError)):
                cam(input_tensor=x, targets=None)


# timm's folders


@pytest.mark.parametrize("safe", [False, True])
def test_a_folder_as_timm_saves_it_is_the_network(net: Tooled, x: Tensor, tmp_path: Path, safe: bool) -> None:
    save_for_hf(net, str(tmp_path / "one"), safe_serialization=safe)
    found = timm.create_model(f"local-dir:{tmp_path / 'one'}", pretrained=True).eval()
    assert type(found) is Tooled
    assert torch.equal(found(x), net(x))
    save_for_hf(found, str(tmp_path / "two"))
    again = timm.create_model(f"local-dir:{tmp_path / 'two'}", pretrained=True).eval()
    assert torch.equal(again(x), net(x))
    untrained = timm.create_model(f"local-dir:{tmp_path / 'one'}").eval()
    assert not torch.equal(untrained(x), net(x))


def test_a_cutouts_folder_is_not_taken_for_its_networks(net: Tooled, tmp_path: Path) -> None:
    save_for_hf(net.cutout(["c0", "c1"]), str(tmp_path))
    with pytest.raises(HiergenError, match="num_classes cannot be changed; expected 5, got 2"):
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True)


# the plain form


def test_the_plain_form_has_torchs_layers_and_no_norms(net: Any) -> None:
    kinds = {type(module) for module in net.plain().modules()}
    assert nn.Conv2d in kinds
    assert not [kind for kind in kinds if issubclass(kind, _BatchNorm | BranchConv2d | BranchLinear)]


@pytest.mark.parametrize("tool", ["thop", "pytorch", "aten"])
def test_counters_count_the_plain_form(net: Any, tool: str) -> None:
    assert counted(net.plain(), tool) == pytest.approx(network_macs(net).total(net), rel=0.05)


def test_quantizers_take_all_of_the_plain_form(net: Any) -> None:
    plain = net.plain()
    layers = {name for name, m in plain.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert set(quantized(plain, "quanto")) == layers


def test_fvcore_counts_the_plain_form(net: Any, x: Tensor) -> None:
    analysis = pytest.importorskip("fvcore.nn").FlopCountAnalysis(net.plain(), x[:1])
    assert analysis.unsupported_ops_warnings(False).total() == pytest.approx(network_macs(net).total(net), rel=0.05)


def test_torchao_quantizes_every_convolution_of_the_plain_form(net: Any, x: Tensor) -> None:
    tools = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
    x86 = pytest.importorskip("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer")
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = tools.prepare_pt2e(torch.export.export(net.plain(), (x,)).module(), quantizer)
    prepared(x)
    graph = tools.convert_pt2e(prepared).graph
    convs = [node for node in graph.nodes if "conv2d" in str(node.target)]
    assert convs
    assert all("dequantize" in str(node.args[1].target) for node in convs)


def test_pruning_takes_channels_from_the_plain_form() -> None:
    tools = pytest.importorskip("torch_pruning")
    torch.manual_seed(0)
    network = HierarchicalNetwork()
    network.trunk = Trunk("test_resnet", until="layer1", input_size=(3, 32, 32))
    network.level1 = Siblings(3, [Bottlenecks(network.trunk.out_channels, 16, 32, depth=2)])
    network.head = ClassHeads(3, 32)
    network.nesting = Nesting.from_tree({name: name for name in "abc"}, tuple("abc"))
    network.classes = network.nesting.classes
    plain, image = network.eval().plain(), torch.rand(1, 3, 32, 32)
    before = sum(p.numel() for p in plain.parameters())
    importance = tools.importance.MagnitudeImportance(p=2)
    tools.pruner.MagnitudePruner(
        plain, image, importance=importance, pruning_ratio=0.5, ignored_layers=[plain.head.score]
    ).step()
    assert sum(p.numel() for p in plain.parameters()) < 0.5 * before
    assert plain(image).shape == (1, 3)


@traces
def test_jit_trace_takes_the_plain_form(net: Any, x: Tensor) -> None:
    plain = net.plain()
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.trace(plain, x[:1])(x), plain(x), atol=1e-5, rtol=1e-4)
