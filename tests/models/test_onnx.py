"""ONNX files: what onnxruntime computes, what the metadata says, and how large the graph is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export_cases import Mobile, Small, trained
from onnx import numpy_helper

from hiergen.errors import HiergenError, OutputError
from hiergen.models.export import Exported, Form, to_onnx
from hiergen.models.export import onnx as module


def metadata(path: Path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx.load(path, load_external_data=False).metadata_props}


def ran(path: Path, x: torch.Tensor) -> np.ndarray:
    return onnxruntime.InferenceSession(str(path)).run(None, {"images": x.numpy()})[0]


@pytest.fixture(scope="module")
def network() -> Small:
    return trained(Small(2, 2))


@pytest.fixture(scope="module")
def done(network: Small, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network.train()
    exported = to_onnx(network, tmp_path_factory.mktemp("onnx") / "net.onnx")
    assert network.training
    assert network.trunk.training
    network.eval()
    return exported


def test_onnxruntime_gives_torchs_logits_at_any_batch_size(network: Small, done: Exported) -> None:
    assert 0 < done.difference < 1e-5
    assert (done.batches, done.dynamic, done.files) == ((1, 2, 5), True, (done.path,))
    for batch in (1, 2, 5):
        x = torch.randn(batch, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(ran(done.path, x)), network(x), atol=1e-5, rtol=1e-4)
    assert [p.name for p in done.path.parent.iterdir()] == ["net.onnx"]


def test_inverted_residuals(tmp_path: Path) -> None:
    network = trained(Mobile())
    done = to_onnx(network, tmp_path / "net.onnx")
    x = 3 * torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        want = network(x)
    assert want.std() > 1e-3
    torch.testing.assert_close(torch.from_numpy(ran(done.path, x)), want, atol=1e-5, rtol=1e-4)


def test_the_file_is_valid_and_says_what_its_logits_are(network: Small, done: Exported) -> None:
    path = done.path
    onnx.checker.check_model(str(path), full_check=True)
    said = metadata(path)
    assert json.loads(said["classes"]) == ["c0", "c1", "c2", "c3"]
    assert json.loads(said["names"]) == ["name 0", "name 1", "name 2", "name 3"]
    assert json.loads(said["taxonomy"]) == network.taxonomy
    assert json.loads(said["input_size"]) == [3, 32, 32]
    assert json.loads(said["mean"]) == pytest.approx([0.485, 0.456, 0.406])
    assert json.loads(said["std"]) == pytest.approx([0.229, 0.224, 0.225])
    assert said["model"] == "Small"
    assert said["hiergen_version"].startswith("0.")
    (inputs,), (outputs,) = (onnx.load(path).graph.input, onnx.load(path).graph.output)
    assert (inputs.name, outputs.name) == ("images", "logits")
    shape = [d.dim_param or d.dim_value for d in inputs.type.tensor_type.shape.dim]
    assert shape == ["batch", 3, 32, 32]


def test_same_network_same_bytes_and_no_paths_of_this_machine(network: Small, done: Exported, tmp_path: Path) -> None:
    first, again = done.path.read_bytes(), to_onnx(network, tmp_path / "other.onnx").path.read_bytes()
    assert first == again
    assert b"hiergen/nn" not in first
    assert b"/site-packages" not in first


def test_the_graph_does_not_grow_with_the_number_of_classes(done: Exported, tmp_path: Path) -> None:
    large = to_onnx(Small(25, 4), tmp_path / "large.onnx")
    assert done.nodes == large.nodes
    assert done.nodes < 70


def test_a_fixed_batch_size_and_an_opset(tmp_path: Path) -> None:
    done = to_onnx(Small(2, 2), tmp_path / "net.onnx", batch=4, opset=19)
    assert (done.batches, done.dynamic, done.opset) == ((4,), False, 19)
    assert [o.version for o in onnx.load(done.path).opset_import if not o.domain] == [19]
    with pytest.raises(Exception, match="Got: 1 Expected: 4"):
        ran(done.path, torch.randn(1, 3, 32, 32))


def test_large_weights_lie_beside_it(network: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROTOBUF_LIMIT", 1000)
    done = to_onnx(network, tmp_path / "new" / "net.onnx")
    assert done.files == (tmp_path / "new" / "net.onnx", tmp_path / "new" / "net.onnx.data")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["net.onnx", "net.onnx.data"]
    assert done.size == sum(file.stat().st_size for file in done.files)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(ran(done.path, x)), network(x), atol=1e-5, rtol=1e-4)


def test_a_wrong_graph_is_refused_and_nothing_is_written(
    network: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._translate

    def wrong(net: Small, form: Form, opset: int | None, path: Path, *others: object) -> None:
        real(net, form, opset, path, *others)
        model = onnx.load(path)
        for value in model.graph.initializer:
            if value.data_type == onnx.TensorProto.FLOAT:
                value.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(value) * 1.001, value.name))
        onnx.save(model, path)

    monkeypatch.setattr(module, "_translate", wrong)
    (tmp_path / "net.onnx").write_text("old")
    with pytest.raises(HiergenError, match="ONNX file gives other logits than torch, so nothing was written"):
        to_onnx(network, tmp_path / "net.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_text() == "old"


def test_missing_packages_are_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        HiergenError, match=r"needs onnxruntime, which is not installed; .*pip install 'hiergen\[export\]'"
    ):
        to_onnx(Small(2, 2), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(HiergenError, match="onnx and onnxruntime, which are"):
        to_onnx(Small(2, 2), tmp_path / "net.onnx")


def active(network: Small) -> Small:
    network.active = [0]
    return network


def nan(network: Small) -> Small:
    torch.nn.init.constant_(network.head.bias, torch.nan)
    return network


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda n: n, {"batch": 0}, "batch size is a positive int; got 0"),
        (lambda n: n, {"batch": True}, "batch size is a positive int; got True"),
        (lambda n: n, {"opset": 9}, "no such opset; expected 11 … 25, got 9"),
        (lambda n: n.half(), {}, r"Small cannot be exported; expected .*float32, got torch.float16; network.float\(\)"),
        (lambda n: n.to("meta"), {}, "Small is on the meta device and has no weights"),
        (active, {}, "Small runs some of its classes only; set network.active = None"),
        (nan, {}, "Small's logits are not finite; check its weights"),
    ],
)
def test_networks_that_cannot_be_exported(
    tmp_path: Path, change: Callable[[Small], Small], options: dict[str, int], message: str
) -> None:
    with pytest.raises(HiergenError, match=message):
        to_onnx(change(Small(2, 2)), tmp_path / "net.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(OutputError, match=r"folder\.onnx: is a directory"):
        to_onnx(Small(2, 2), tmp_path / "folder.onnx")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        to_onnx(Small(2, 2), tmp_path / "file" / "net.onnx")
