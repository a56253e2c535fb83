"""Generated networks by timm's name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch
from network_cases import Tiny
from timm.models import resolve_model_input_args

from hiergen.errors import HiergenError
from hiergen.nn import register
from tests.helpers import imported

SOURCE = """
from network_cases import Tiny
from hiergen.nn import register

class N3HL(Tiny):
    pass

register(N3HL, "nn_test_n3hl")
"""


@pytest.fixture
def generated(tmp_path: Path) -> Iterator[ModuleType]:
    (tmp_path / "nn_generated.py").write_text(SOURCE)
    yield imported(tmp_path / "nn_generated.py", "hiergen_tests.nn_generated")
    sys.modules.pop("hiergen_tests.nn_generated")
    timm.models._registry._clear_model_entries("nn_test_n3hl")
    timm.models._registry._model_entrypoints.pop("nn_test_n3hl")


def test_timm_builds_it_by_name(generated: ModuleType) -> None:
    torch.manual_seed(0)
    net = timm.create_model("nn_test_n3hl", pretrained=False, num_classes=5)
    torch.manual_seed(0)
    own = generated.N3HL()
    assert type(net) is generated.N3HL
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(net.eval()(x), own.eval()(x), atol=0, rtol=0)
    assert timm.list_models("nn_test*") == ["nn_test_n3hl"]
    assert timm.list_models(module="nn_generated") == ["nn_test_n3hl"]
    assert "nn_generated" in timm.list_modules()
    entry = timm.model_entrypoint("nn_test_n3hl")
    assert (entry.__name__, entry.__module__) == ("nn_test_n3hl", "hiergen_tests.nn_generated")
    assert generated.nn_test_n3hl is entry
    assert not hasattr(generated, "__all__")


def test_options_that_change_nothing_are_taken(generated: ModuleType, tmp_path: Path) -> None:
    options = {
        "num_classes": 5,
        "in_chans": 3,
        "img_size": 64,
        "global_pool": "avg",
        "drop_rate": 0.0,
        "drop_path_rate": 0,
        "drop_block_rate": None,
        "bn_momentum": None,
        "bn_eps": None,
        "scriptable": False,
        "exportable": True,
        "cache_dir": "unused",
    }
    state = generated.N3HL().state_dict()
    torch.save(state, tmp_path / "weights.pth")
    net = timm.create_model("nn_test_n3hl", checkpoint_path=str(tmp_path / "weights.pth"), **options)
    torch.testing.assert_close(dict(net.state_dict()), dict(state), atol=0, rtol=0)


def test_timms_scripts_resolve_their_input_first(generated: ModuleType) -> None:
    options = resolve_model_input_args("nn_test_n3hl", {"img_size": None}, num_classes=None, in_chans=3)
    assert timm.create_model(**options).num_classes == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 10}, "nn_test_n3hl: num_classes cannot be changed; expected 5, got 10; the taxonomy decides"),
        ({"in_chans": 1}, "in_chans cannot be changed; expected 3, got 1"),
        ({"img_size": 128}, r"img_size cannot be changed; expected \(64, 64\), got \(128, 128\)"),
        ({"img_size": (64, 32)}, r"got \(64, 32\)"),
        ({"global_pool": "max"}, "global_pool cannot be changed; expected 'avg', got 'max'"),
        ({"drop_rate": 0.1}, "drop_rate cannot be changed; expected 0, got 0.1"),
        ({"drop_path_rate": 0.1}, "drop_path_rate"),
        ({"drop_block_rate": 0.1}, "drop_block_rate"),
        ({"bn_momentum": 0.2}, "bn_momentum cannot be changed; expected nothing, got 0.2"),
        ({"bn_eps": 1e-3}, "bn_eps"),
        ({"pretrained": True, "cache_dir": "x"}, "cache_dir.*set HF_HOME"),
        ({"pretrained_cfg": "a1_in1k"}, "no pretrained tag 'a1_in1k'"),
        ({"pretrained_cfg": {"file": "x.pth"}}, r"cannot name its weights \(file\); use checkpoint_path"),
        ({"pretrained_cfg_overlay": {"hf_hub_id": "x/y"}}, "hf_hub_id"),
        ({"pretrained_cfg_overlay": {"mean": (0.5, 0.5, 0.5)}}, "overlay.'mean'. cannot be changed"),
    ],
)
def test_options_that_would_change_it_are_refused(generated: ModuleType, options: dict, message: str) -> None:
    with pytest.raises(HiergenError, match=message):
        timm.create_model("nn_test_n3hl", **options)


def test_an_unknown_option_is_a_type_error(generated: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"nn_test_n3hl.*num_clases"):
        timm.create_model("nn_test_n3hl", num_clases=5)


def test_pretrained_is_the_trunks(generated: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(HiergenError, match="weights of 'resnet18' could not be fetched"):
        timm.create_model("nn_test_n3hl", pretrained=True)


def test_registering_again_replaces_silently(generated: ModuleType, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = imported(tmp_path / "nn_generated.py", "hiergen_tests.nn_generated")
        assert type(timm.create_model("nn_test_n3hl")) is again.N3HL
        other_name = imported(tmp_path / "nn_generated.py", "nn_generated_under_another_name")
        assert type(timm.create_model("nn_test_n3hl")) is other_name.N3HL
    del sys.modules["nn_generated_under_another_name"]


def test_a_name_of_another_file_warns_and_one_of_timm_is_refused(generated: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(SOURCE)
    with pytest.warns(UserWarning, match="Overwriting nn_test_n3hl"):
        imported(tmp_path / "elsewhere.py", "nn_elsewhere")
    del sys.modules["nn_elsewhere"]
    before = timm.model_entrypoint("resnet50")
    with pytest.raises(HiergenError, match="timm has a model 'resnet50' already"):
        register(Tiny, "resnet50")
    assert timm.model_entrypoint("resnet50") is before


def test_names_and_modules_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HiergenError, match="Python identifier; got 'a-b'"):
        register(Tiny, "a-b")
    monkeypatch.setattr(Tiny, "__module__", "never_imported")
    with pytest.raises(HiergenError, match=r"'never_imported' is not in sys\.modules"):
        register(Tiny, "nn_test_never")
    assert not timm.is_model("nn_test_never")
