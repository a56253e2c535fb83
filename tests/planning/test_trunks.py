"""Backbones outside the shipped table: measured once, cached, and never in the way of `show`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm

from hiergen.errors import PlanError
from hiergen.planning import backbones as trunks
from hiergen.planning.backbones import _timms_names, default_stage, facts, find_stage, shipped
from hiergen.planning.from_taxonomy import plan_if_known, plan_models
from hiergen.taxonomy.load import load_taxonomy


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_measured_once_then_read_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts("resnet10t", measure=False) is None
    measured = facts("resnet10t")
    assert measured is not None
    assert [s.name for s in measured.stages] == ["act1", "layer1", "layer2", "layer3", "layer4"]
    (file,) = cache.rglob("*.json")
    monkeypatch.setitem(sys.modules, "hiergen.planning.measure", None)  # importing it again would fail
    assert facts("resnet10t") == measured
    assert facts("resnet10t", measure=False) == measured
    file.write_text(file.read_text()[:-20])
    assert facts("resnet10t", measure=False) is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert facts("resnet10t").backbone == "resnet10t"


def test_what_was_never_measured_is_no_plan_until_it_is(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("name: t\nclasses: imagenette\nmodels: {N2HL: {trunk: {backbone: resnet10t}}}\n")
    assert plan_if_known(load_taxonomy(file), "N2HL") is None
    assert plan_models(load_taxonomy(file))[0] == plan_if_known(load_taxonomy(file), "N2HL")


def test_tags_change_weights_not_shapes() -> None:
    assert facts("resnet50.a1_in1k") == facts("resnet50")


@pytest.mark.parametrize(("backbone", "near"), [("resnet5O", "resnet50"), ("vit_smal_patch16_224", "vit_small")])
def test_unknown_backbone_names_timms_nearest(backbone: str, near: str, cache: Path) -> None:
    with pytest.raises(PlanError, match=f"no model '{backbone}'; nearest: .*{near}"):
        facts(backbone)
    assert not list(cache.rglob("*.json"))


def test_stages() -> None:
    known = facts("resnet50")
    assert known is not None
    assert find_stage(known, "layer3").channels == 1024
    with pytest.raises(PlanError, match="no stage 'layer5'; expected one of act1, layer1, layer2, layer3, layer4"):
        find_stage(known, "layer5")
    assert [default_stage(known, k).name for k in (1, 2, 3, 4)] == ["layer3", "layer3", "layer2", "layer2"]
    vit = facts("vit_small_patch16_224")
    assert vit is not None
    assert [default_stage(vit, k).name for k in (1, 3)] == ["blocks.8", "blocks.5"]


def test_other_sizes_than_the_recorded_ones_are_measured(cache: Path) -> None:
    assert facts("resnet18", (96, 96), measure=False) is None
    small, usual = facts("resnet18", (96, 96)), facts("resnet18")
    assert small is not None
    assert usual is not None
    assert small.stages[-1].height == 3
    assert small.params_fixed == usual.params_fixed
    assert small.macs_fixed < usual.macs_fixed
    assert trunks.shipped()["timm"]


@pytest.mark.parametrize(
    ("backbone", "side"),
    [
        ("resnet50", 224),
        ("resnet50.tv2_in1k", 176),
        ("convnext_tiny.fb_in22k_ft_in1k_384", 384),
        ("convnext_tiny.fb_in1k", 224),
        ("test_resnet.r160_in1k", 160),
    ],
)
def test_a_tags_images_are_of_its_own_size(backbone: str, side: int, cache: Path) -> None:
    import timm

    found = facts(backbone)
    assert found is not None
    assert found.input_size == (3, side, side) == tuple(timm.get_pretrained_cfg(backbone).input_size)
    assert facts(backbone, (side, side)) == found


def test_the_table_has_every_tag() -> None:
    import timm

    table = shipped()["default"]
    for backbone in [name for name in table if "." not in name]:
        for name in timm.list_models(backbone, include_tags=True):
            assert table[name] == f"{backbone}@{timm.get_pretrained_cfg(name).input_size[-1]}"


def test_timms_names_are_read_from_its_files() -> None:
    """Those that are too old too."""
    from timm.models._registry import _deprecated_models

    names = _timms_names()
    assert {n for n in timm.list_models() if timm.model_entrypoint(n).__module__.startswith("timm.")} <= names
    old = set(_deprecated_models)
    assert old <= names
    assert "resnet5o" not in names
