"""Images of other channels, heights and widths than square RGB: in files, plans, trunks and built networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from hiergen import build, network
from hiergen.models.load import network_of
from hiergen.models.weights import load_trunk
from hiergen.nn import Trunk
from hiergen.planning.backbones import facts
from hiergen.planning.from_network import plan_of
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import load_taxonomy
from tests.helpers import check_lint, counted_macs, imported, message

SPEC = """\
name: shapes
classes: ["0", "1", "2", "3"]
sources: [groups: {a: ["0", "1"], b: ["2", "3"]}]
models:
  N2HL:
    trunk: {backbone: test_resnet, until: layer1}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def spec(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "shapes.yaml"
    file.write_text(SPEC + "".join(f"    {line}\n" for line in lines))
    return file


def plan(tmp_path: Path, *lines: str) -> Plan:
    return plan_models(load_taxonomy(spec(tmp_path, *lines)))[0]


@pytest.mark.parametrize(
    ("forms", "shape"),
    [
        (["input_size: 32", "input_size: [32, 32]", "input_size: 32x32", "input_size: [3, 32, 32]"], (3, 32, 32)),
        (["input_size: [32, 64]", "input_size: 32x64", "input_size: 3x32x64"], (3, 32, 64)),
        (["input_size: [1, 32, 32]", "input_size: 32\n    in_chans: 1", "input_size: 1x32x32"], (1, 32, 32)),
        (["in_chans: 13"], (13, 160, 160)),  # timm's own size for this backbone
    ],
)  # fmt: skip
def test_the_forms_of_one_shape_are_one_plan(forms: list[str], shape: tuple[int, ...], tmp_path: Path) -> None:
    first, *others = [plan(tmp_path, form) for form in forms]
    assert first.trunk.input_size == shape
    assert all(other == first for other in others)


def test_two_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    sentence = message(lambda: plan(tmp_path, "input_size: [1, 32, 32]", "in_chans: 3"))
    assert sentence.endswith("'models.N2HL' is wrong: 'in_chans: 3' but the channels in 'input_size' are 1")
    sentence = message(lambda: plan(tmp_path, "input_size: 32x4"))
    assert "expected 64, 32x64, [height, width] or [channels, height, width], in px from 8; got 32x4" in sentence


def test_a_built_network_costs_what_torch_counts(tmp_path: Path, cache: Path) -> None:
    (built,) = build(spec(tmp_path, "input_size: [1, 32, 64]"), tmp_path / "shapes.py").plans
    check_lint(tmp_path / "shapes.py")
    source = (tmp_path / "shapes.py").read_text()
    assert "input_size = NESTING_2, (1, 32, 64)" in source
    assert "GMACs at 1 × 32 × 64 px;" in source
    model = imported(tmp_path / "shapes.py", "built_shapes").N2HL().eval()
    assert built.params == sum(p.numel() for p in model.parameters())
    assert built.macs == counted_macs(model.to("meta"), 1, 32, 64)
    flat = timm.create_model("test_resnet", num_classes=4, in_chans=1).to("meta")
    assert built.trunk.flat_macs == counted_macs(flat.eval(), 1, 32, 64)
    assert plan_of(model, taxonomy="shapes", model="N2HL") == built
    assert [file.name for file in cache.rglob("*.json")] == ["test_resnet@1x32x64.json"]


def test_channels_and_sides_of_a_cached_shape_are_told_apart() -> None:
    """Eight channels of 32 × 32 px are not three of 8 × 32."""
    square, flat = facts("test_resnet", (32, 32), 8), facts("test_resnet", (8, 32))
    assert square is not None and flat is not None  # noqa: PT018
    assert facts("test_resnet", (32, 32), 8, measure=False) == square
    assert facts("test_resnet", (8, 32), measure=False) == flat
    assert (square.input_size, flat.input_size) == ((8, 32, 32), (3, 8, 32))


@pytest.mark.parametrize("backbone", ["test_resnet", "convnext_atto", "mobilenetv3_small_050"])
@pytest.mark.parametrize("channels", [1, 4, 13])
def test_a_trunk_computes_timms_features(backbone: str, channels: int) -> None:
    whole = timm.create_model(backbone, in_chans=channels).eval()
    info = whole.feature_info[1]
    trunk = Trunk(backbone, until=info["module"], input_size=(channels, 32, 64)).eval()
    trunk.model.load_state_dict({name: whole.state_dict()[name] for name in trunk.model.state_dict()})
    x = torch.randn(2, channels, 32, 64)
    with torch.no_grad():
        (want,) = whole.forward_intermediates(x, indices=[1], norm=False, intermediates_only=True)
        assert trunk.map_size == tuple(want.shape[-2:])
        torch.testing.assert_close(trunk(x), want)


def test_weights_for_rgb_fit_other_channels_as_timm_makes_them(tmp_path: Path) -> None:
    rgb = timm.create_model("test_resnet")
    save_file(rgb.state_dict(), tmp_path / "rgb.safetensors")
    for channels in (1, 4):
        overlay = {"file": str(tmp_path / "rgb.safetensors")}
        theirs = timm.create_model("test_resnet", pretrained=True, pretrained_cfg_overlay=overlay, in_chans=channels)
        ours = network(["cat", "dog"], levels=1, backbone="test_resnet", until="layer1", input_size=(channels, 32, 48))
        load_trunk(ours, tmp_path / "rgb.safetensors")
        for name, tensor in ours.trunk.model.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_a_convolutional_network_takes_other_sizes_when_it_runs(tmp_path: Path) -> None:
    source = build(spec(tmp_path, "input_size: 32x64"), tmp_path / "shapes.py").path
    model = network_of(source.read_text(), "N2HL", source).cls().eval()
    for size in ((32, 64), (64, 32), (96, 40)):
        with torch.no_grad():
            assert model(torch.rand(2, 3, *size)).shape == (2, 4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_mean_and_std_are_of_the_images_channels(channels: int) -> None:
    """Red, green and blue have the backbone's; channels beyond them, or instead of them, the three's average."""
    model = network(["cat", "dog"], levels=1, backbone="resnet18", until="layer1", input_size=(channels, 32, 32))
    rgb, grey = [0.485, 0.456, 0.406], (0.485 + 0.456 + 0.406) / 3
    expected = [grey] * channels if channels < 3 else rgb + [grey] * (channels - 3)
    config = timm.data.resolve_model_data_config(model)
    assert config["mean"] == pytest.approx(expected)
    assert len(config["std"]) == channels
    assert config["input_size"] == (channels, 32, 32)
