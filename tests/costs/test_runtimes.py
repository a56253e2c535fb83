"""Runtimes answer what the module answers; flat networks in plain form are timm's; rivals are what their names say."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import timm
import torch
from toy_networks import built_toy, scrambled

from hiergen.costs import RUNTIMES, Flat, cost, plain_form, prepare
from hiergen.costs import runtimes as runtimes_module
from hiergen.costs.rivals import is_smaller, lower_resolutions, shorter_tails, smaller_backbones
from hiergen.costs.runtimes import default_runtime
from hiergen.errors import HiergenError
from hiergen.models.load import find_model
from hiergen.nn import HierarchicalNetwork
from tests.helpers import counted_macs

PACKAGES = {"onnxruntime": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("openvino",)}
CPU = torch.device("cpu")


def needs(runtime: str) -> None:
    for package in PACKAGES.get(runtime, ()):
        pytest.importorskip(package)


def filled(module: torch.nn.Module) -> torch.nn.Module:
    """In place: norms whose statistics and weights are not those of a new module."""
    generator = torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return module


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> HierarchicalNetwork:
    toy = built_toy(tmp_path_factory.mktemp("runtimes"), "toyruntime")
    return scrambled(find_model(f"{toy}:N2HL").cls()).eval()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_each_runtime_answers_the_networks_logits(network: HierarchicalNetwork, runtime: str) -> None:
    needs(runtime)
    x = torch.randn(2, *network.trunk.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want = network(x)
    threads = torch.get_num_threads()
    run = prepare(network, x, runtime=runtime, threads=1)
    for _ in range(2):
        assert torch.allclose(torch.as_tensor(run()), want, atol=1e-4 * float(want.abs().max()))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("runtime", [name for name, row in RUNTIMES.items() if row.int8])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_int8_answers_nearly_the_same(runtime: str) -> None:
    needs(runtime)
    needs("onnxruntime")
    flat = filled(Flat("resnet18", 7, (3, 32, 32)).build())
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want = flat(x)
    got = torch.as_tensor(prepare(flat, x, runtime=runtime, int8=True)())
    difference = float((got - want).abs().max() / want.abs().max())
    assert 0 < difference < 0.2


@pytest.mark.parametrize(
    "backbone", ["resnet18", "efficientnet_lite0", "mobilenetv3_small_050", "convnext_atto", "regnetx_002"]
)
def test_flat_networks_in_plain_form_are_timms(backbone: str) -> None:
    torch.manual_seed(0)
    flat = filled(Flat(backbone, 5, (3, 64, 64)).build())
    x = torch.randn(2, 3, 64, 64)
    plain = plain_form(flat, (3, 64, 64))
    with torch.no_grad():
        want, got = flat(x), plain(x)
    assert torch.allclose(got, want, atol=1e-4 * float(want.abs().max()))
    if backbone != "regnetx_002":
        assert "BatchNorm" not in str(plain)
    needs("onnxruntime")
    assert torch.allclose(
        torch.as_tensor(prepare(flat, x, runtime="onnxruntime")()), want, atol=1e-4 * float(want.abs().max())
    )


def test_runtimes_that_are_not_there_say_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = torch.nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    if not find_spec("openvino"):
        with pytest.raises(HiergenError, match=r"not installed.*pip install 'hiergen"):
            prepare(module, x, runtime="openvino")
    with pytest.raises(HiergenError, match=r"is for float32 on CPUs.*--runtime torch or compiled"):
        prepare(module, x.double(), runtime="onnxruntime")
    monkeypatch.setattr(runtimes_module, "find_spec", lambda name: None)
    assert default_runtime(CPU) == "torch"
    monkeypatch.setattr(runtimes_module, "find_spec", lambda name: name)
    assert default_runtime(CPU) == "onnxruntime"
    assert default_runtime(CPU, torch.float64) == default_runtime(torch.device("cuda")) == "torch"


def test_lower_resolutions_are_counted_at_their_size() -> None:
    flat = Flat("resnet18", 10, (3, 224, 320))
    near = counted_macs(flat.build().to("meta"), 3, 96, 128)
    sizes = {lower.input_size: lower for lower in lower_resolutions(flat, [near, 10**12])}
    assert list(sizes) == [(3, 160, 256), (3, 128, 160), (3, 96, 128)]
    for size, lower in sizes.items():
        assert lower.macs() == counted_macs(lower.build().to("meta"), *size)
        assert lower.macs() < flat.macs()
    assert not list(lower_resolutions(Flat("vit_tiny_patch16_224", 10, (3, 224, 224)), []))
    assert not list(lower_resolutions(Flat("resnet18", 10, (3, 32, 32)), []))


def test_shorter_tails_are_timms_stages_and_a_classifier() -> None:
    flat = Flat("efficientnet_b0", 10, (3, 64, 64))
    head, stage = shorter_tails(flat)
    assert (head.until, stage.until) == ("blocks.6", "blocks.4")
    x = torch.rand(1, 3, 64, 64)
    built: Any = filled(head.build())
    model = built[0].model
    with torch.no_grad():
        maps = model.blocks(model.bn1(model.conv_stem(x)))
        want = built[3](maps.mean((2, 3)))
        assert torch.allclose(plain_form(built, (3, 64, 64))(x), want, atol=1e-4 * float(want.abs().max()))
    assert [short.until for short in shorter_tails(Flat("resnet18", 10, (3, 64, 64)))] == ["layer3"]
    assert not list(shorter_tails(Flat("vit_tiny_patch16_224", 10, (3, 224, 224))))


@pytest.mark.parametrize(
    ("backbone", "smaller"),
    [
        ("resnet50", ["resnet34", "resnet26", "resnet18"]),
        ("efficientnet_b2", ["efficientnet_b1", "efficientnet_b0"]),
        ("tf_efficientnet_lite2", ["tf_efficientnet_lite1", "tf_efficientnet_lite0"]),
        ("convnext_nano", ["convnext_pico", "convnext_femto", "convnext_atto"]),
        ("mobilenetv3_large_100", ["mobilenetv3_large_075", "mobilenetv3_small_100", "mobilenetv3_small_075"]),
        ("deit_small_patch16_224", ["deit_tiny_patch16_224"]),
        ("resnet18.a1_in1k", []),
    ],
)
def test_smaller_backbones_are_of_the_family(backbone: str, smaller: list[str]) -> None:
    found = smaller_backbones(Flat(backbone, 10, (3, 224, 224)))
    assert [flat.backbone for flat in found] == smaller
    if "deit" in backbone:
        return  # torch's counter counts attention's products, too
    macs = [counted_macs(timm.create_model(name, num_classes=10).eval().to("meta"), 3, 224, 224) for name in smaller]
    assert [flat.macs() for flat in found] == macs == sorted(macs, reverse=True)


@pytest.mark.parametrize(
    ("name", "than", "answer"),
    [
        ("vit_small_patch16_224", "vit_base_patch16_224", True),
        ("vit_small_patch32_224", "vit_base_patch16_224", False),
        ("vit_base_patch16_128", "vit_base_patch16_224", False),
        ("mobilenetv2_100", "mobilenetv3_100", False),
        ("mobilenetv3_small_100", "mobilenetv3_large_075", False),
        ("resnet50", "resnet50", False),
        ("resnet101", "resnet50", False),
        ("resnet26d", "resnet50", False),
    ],
)
def test_names_that_differ_in_sizes_only(name: str, than: str, answer: bool) -> None:
    assert is_smaller(name, than) is answer


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_card_in_onnxruntime_leaves_memory_out(network: HierarchicalNetwork) -> None:
    needs("onnxruntime")
    card = cost(network, [0, 1], repeats=6, rivals=False)
    assert (card.runtime, card.threads, card.int8) == ("onnxruntime", 1, False)
    assert all(len(row.times) == 1 and not row.memory for row in card.rows)
    ratios = card.as_data()["ratios"]
    assert [(r["first"], r["turns"]) for r in ratios] == [("cutout", 6)] * 3
