"""`hiergen export`, from a model's name to its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from hiergen.codegen.build import build
from hiergen.models.export import export
from hiergen.models.load import load_network
from hiergen.models.weights import save_weights

TOY = (Path(__file__).parent.parent / "golden" / "toy.yaml").resolve()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("toy") / "toy_to_export.py"
    build(TOY, path)
    return f"{path}:N2HL"


@pytest.fixture(scope="module")
def weights(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(load_network(model), path)
    return path


def test_onnx_by_the_command(
    hiergen: Callable, model: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = hiergen("export", model, "--weights", weights, "--format", "onnx")
    assert ran.code == 0, ran.err
    assert "run in onnxruntime" in ran.out
    assert "at batch size 1, 2, 5: largest difference from torch" in ran.out
    assert "→ toy_n2hl.onnx: " in ran.out
    assert "any batch size" in ran.out
    assert "random" not in ran.out
    assert [p.name for p in tmp_path.iterdir()] == ["toy_n2hl.onnx"]
    said = {p.key: p.value for p in onnx.load(tmp_path / "toy_n2hl.onnx").metadata_props}
    assert json.loads(said["classes"])[2] == "класс"


def test_safetensors_and_its_ending(hiergen: Callable, model: str, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.safetensors"
    ran = hiergen("export", model, "--weights", weights, "-o", out)
    assert ran.code == 0, ran.err
    assert out.read_bytes() == weights.read_bytes()
    words = ("export", model, "--format", "safetensors", "-o", tmp_path / "sub")
    ran = hiergen(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "no weights for N2HL; expected --weights FILE.safetensors; --untrained exports random ones" in ran.err
    assert not (tmp_path / "sub").exists()
    assert "the weights are random: nothing was trained" in hiergen(*words, "--untrained").out
    assert (tmp_path / "sub" / "toy_n2hl.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no format given; expected --format onnx|openvino|pt2|torchscript|plain|safetensors"),
        (
            {"format": "onx"},
            "no format 'onx'; expected one of onnx, openvino, pt2, torchscript, plain, safetensors; nearest: onnx",
        ),
        ({"path": "net.pt"}, "no format 'pt'"),
        ({"path": "net.onnx", "format": "pt2"}, "net.onnx: is no name for pt2; expected a file that ends in .pt2"),
        ({"format": "pt2", "opset": 18}, "pt2 has no opset; expected --opset with onnx"),
        (
            {"format": "safetensors", "batch": 1},
            "safetensors has no batch; expected --batch with onnx or openvino or pt2 or torchscript",
        ),
        ({"format": "pt2", "batch": 0}, "a batch size is a positive int; got 0"),
    ],
)
def test_options_that_do_not_fit(hiergen: Callable, model: str, options: dict, message: str) -> None:
    from hiergen.errors import HiergenError

    with pytest.raises(HiergenError) as caught:
        export(model, **options)
    assert message in str(caught.value)


def test_weights_are_never_written_over(model: str, weights: Path) -> None:
    before = weights.read_bytes()
    with pytest.raises(Exception, match="are the weights themselves; name another file with -o"):
        export(model, weights, weights=weights)
    assert weights.read_bytes() == before


def test_an_unknown_model(hiergen: Callable, model: str) -> None:
    ran = hiergen("export", model.replace("N2HL", "N2HK"), "--format", "onnx")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "N2HL" in ran.err
