"""What an export may be asked for: sizes, pixels, probabilities, gains, precision, int8, old opsets, and source."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export_cases import Mobile, Small, trained
from PIL import Image

from hiergen.codegen.standalone import standalone
from hiergen.data.images import ImageSet, eval_transform
from hiergen.errors import HiergenError
from hiergen.models.export import to_onnx, to_openvino, to_plain, to_pt2, to_torchscript
from hiergen.models.export.int8 import Calibration
from hiergen.nn import HierarchicalNetwork

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")


def ran(path: Path, *inputs: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    feed = dict(zip(names, [x.numpy() for x in inputs], strict=True))
    return torch.from_numpy(session.run(None, feed)[0])


def apart(got: torch.Tensor, want: torch.Tensor) -> float:
    assert want.std() > 1e-4
    return float((got - want).abs().max() / want.abs().max())


@pytest.fixture(scope="module", params=[Small, Mobile])
def network(request: pytest.FixtureRequest) -> HierarchicalNetwork:
    return trained(request.param())


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_one_image_as_everybody_exports_it(network: Small, batch: int, tmp_path: Path) -> None:
    """`torch.onnx.export(network, one_image)`, the network as it is: silently wrong once."""
    x = torch.randn(batch, 3, 32, 32)
    torch.onnx.export(network, (x,), tmp_path / "net.onnx", dynamo=True, verbose=False)
    with torch.no_grad():
        assert apart(ran(tmp_path / "net.onnx", x), network(x)) < 1e-5


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21, 25])
def test_opsets_from_11_on(network: Small, opset: int, tmp_path: Path) -> None:
    done = to_onnx(network, tmp_path / "net.onnx", opset=opset, batch=1)
    assert done.opset == opset
    assert done.difference < 1e-5
    model = onnx.load(done.path)
    assert json.loads({p.key: p.value for p in model.metadata_props}["classes"]) == ["c0", "c1", "c2", "c3"]
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert apart(ran(done.path, x), network(x)) < 1e-5


@pytest.mark.parametrize("opset", [13, None])
def test_any_batch_height_and_width(network: Small, opset: int | None, tmp_path: Path) -> None:
    done = to_onnx(network, tmp_path / "net.onnx", open_size=True, opset=opset)
    shape = onnx.load(done.path).graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["batch", 3, "height", "width"]
    for size in ((1, 3, 32, 32), (2, 3, 45, 70), (5, 3, 64, 32)):
        x = torch.randn(size)
        with torch.no_grad():
            assert apart(ran(done.path, x), network(x)) < 1e-5


@pytest.mark.parametrize("write", [to_onnx, to_pt2, to_torchscript])
def test_pixels_in_probabilities_out(network: Small, write: object, tmp_path: Path) -> None:
    done = write(network, tmp_path / f"net.{write.__name__[3:]}", preprocess=True, softmax=True, batch=2)
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        want = network((pixels / 255 - mean[:, None, None]) / std[:, None, None]).softmax(1)
        got = loaded(done.path)(pixels)
    assert apart(got, want) < 1e-5


def loaded(path: Path) -> object:
    if path.suffix == ".onnx":
        return lambda *inputs: ran(path, *inputs)
    return torch.jit.load(path) if path.suffix == ".torchscript" else torch.export.load(path).module()


@pytest.mark.parametrize("write", [to_onnx, to_pt2, to_torchscript])
def test_gains_are_an_input(network: Small, write: object, tmp_path: Path) -> None:
    done = write(network, tmp_path / f"net.{write.__name__[3:]}", steerable=True)
    x, gains = torch.randn(3, 3, 32, 32), 2 * torch.rand(3, len(network.nodes))
    with torch.no_grad(), network.attend(gains):
        want = network(x)
    assert apart(network(x).detach(), want) > 1e-3
    assert apart(loaded(done.path)(x, gains).detach(), want) < 1e-5


@pytest.mark.parametrize(
    ("write", "dtype", "limit"),
    [(to_onnx, "float16", 0.02), (to_pt2, "bfloat16", 0.1), (to_torchscript, "float16", 0.02)],
)
def test_half_precision(network: Small, write: object, dtype: str, limit: float, tmp_path: Path) -> None:
    full = write(network, tmp_path / f"full.{write.__name__[3:]}", batch=1)
    half = write(network, tmp_path / f"half.{write.__name__[3:]}", batch=1, dtype=dtype)
    assert 0 < half.difference < limit
    assert half.size < 0.75 * full.size
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        got = loaded(half.path)(x)
        assert got.dtype == torch.float32
        assert apart(got, network(x)) < limit


@dataclass(frozen=True)
class Squares(ImageSet):
    """Grey squares whose brightness is their class."""

    targets: tuple[int, ...]
    transform: object
    left_out: tuple[str, ...] = ()
    note: str = ""

    def picture(self, index: int) -> Image.Image:
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 60, (32, 32, 3)) + 60 * self.targets[index]
        return Image.fromarray(pixels.astype(np.uint8))

    def place(self, index: int) -> str:
        return str(index)

    def fingerprint(self) -> str:
        return ""

    def subset(self, indices: object) -> Squares:
        return replace(self, targets=tuple(self.targets[i] for i in indices))


@pytest.mark.parametrize("form", [{}, {"batch": 1}, {"preprocess": True, "batch": 4}])
def test_int8_says_what_it_costs(network: Small, form: dict, tmp_path: Path) -> None:
    images = Squares(tuple(i % 4 for i in range(66)), eval_transform(network))
    calibration = Calibration(images, images)
    done = to_onnx(network, tmp_path / "int8.onnx", int8=calibration, **form)
    full = to_onnx(network, tmp_path / "full.onnx", **form)
    kinds = {node.op_type for node in onnx.load(done.path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert done.size < 0.7 * full.size
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full.onnx", "int8.onnx"]
    assert json.loads({p.key: p.value for p in onnx.load(done.path).metadata_props}["names"])[0] == "name 0"
    x = torch.stack([images[i][0] for i in range(64)])
    with torch.no_grad():
        want = network(x)
    if form.get("preprocess"):
        x = torch.stack([torch.from_numpy(np.array(images.picture(i))).permute(2, 0, 1) for i in range(64)])
    got = torch.cat([ran(done.path, part) for part in x.split(form.get("batch", 64))])
    assert apart(got, want) < 0.1
    agree = (got.argmax(1) == want.argmax(1)).float().mean()
    assert f"top-1 {100 * accuracy(images, network):.2f} → " in done.note
    assert agree > 0.9


def accuracy(images: Squares, network: HierarchicalNetwork) -> float:
    with torch.no_grad():
        found = network(torch.stack([images[i][0] for i in range(len(images))])).argmax(1)
    return float((found == torch.tensor(images.targets)).float().mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "bfloat16"}, "onnxruntime has no bfloat16 convolutions on CPUs"),
        ({"dtype": "float64"}, "no dtype 'float64'; expected one of float32, float16, bfloat16"),
        ({"batch": 0}, "a batch size is a positive int"),
        ({"steerable": True, "int8": ()}, "int8 starts from float32, without gains as an input"),
        ({"opset": 12, "int8": ()}, "int8 needs opset 13 or more; got 12"),
    ],
)
def test_forms_that_cannot_be(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(HiergenError, match=message):
        to_onnx(Small(), tmp_path / "net.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_source_needs_torch_only(network: Small, tmp_path: Path) -> None:
    """It runs in a process that has neither hiergen nor timm, nor safetensors."""
    done = to_plain(network, tmp_path / "net.py")
    text = done.path.read_text("utf-8")
    assert "torch only" in done.note
    assert [p.name for p in done.files] == ["net.py", "net.safetensors"]
    x = torch.randn(2, 3, 32, 32)
    torch.save(x, tmp_path / "x.pt")
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('hiergen', 'timm', 'safetensors', 'torchvision')))\n"
        "import net, torch; torch.save(net.load('net.safetensors')(torch.load('x.pt')), 'y.pt')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env={"PATH": "", "OMP_NUM_THREADS": "1"})
    with torch.no_grad():
        assert apart(torch.load(tmp_path / "y.pt").detach(), network(x)) < 1e-5
    assert max(map(len, text.splitlines())) <= 120
    assert "# -> (B, 4)\n" in text
    again = to_plain(network, tmp_path / "net.py")  # its own file may be replaced
    assert again.path.read_text("utf-8") == text


def test_source_of_other_trunks_imports_timm(tmp_path: Path) -> None:
    network = trained(Small(backbone="test_byobnet", until="stages.1"))
    done = to_plain(network, tmp_path / "net.py", steerable=True)
    assert "torch and timm" in done.note
    assert "import timm" in done.path.read_text("utf-8")


def test_source_is_never_written_over_another_file(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("mine = 1\n")
    (tmp_path / "own.safetensors").write_bytes(b"mine")
    (tmp_path / "alone.py").write_text(standalone("from hiergen.nn import Nesting\n"), "utf-8")
    with pytest.raises(HiergenError, match=r"alone\.py: is another Python file"):
        to_plain(Small(), tmp_path / "alone.py")
    with pytest.raises(HiergenError, match=r"own\.safetensors: is weights of another kind; name another file"):
        to_plain(Small(), tmp_path / "own.py")
    with pytest.raises(HiergenError, match=r"net\.py: is another Python file; name another file with -o"):
        to_plain(Small(), tmp_path / "net.py")
    assert (tmp_path / "net.py").read_text() == "mine = 1\n"


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
@pytest.mark.parametrize("options", [{}, {"batch": 1, "dtype": "float16"}, {"open_size": True, "softmax": True}])
def test_openvino(network: Small, options: dict, tmp_path: Path) -> None:
    done = to_openvino(network, tmp_path / "net.xml", **options)
    assert [p.name for p in done.files] == ["net.xml", "net.bin"]
    assert done.difference < (1e-5 if "dtype" not in options else 0.02)


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_text("mine")
    with pytest.raises(HiergenError, match=r"net\.bin: is another file; name another file with -o"):
        to_openvino(Small(), tmp_path / "net.xml")
    with pytest.raises(HiergenError, match="OpenVINO's files hold no bfloat16"):
        to_openvino(Small(), tmp_path / "other.xml", dtype="bfloat16")
    assert [p.name for p in tmp_path.iterdir()] == ["net.bin"]


def test_openvino_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(HiergenError, match=r"OpenVINO is not installed; run: pip install 'hiergen\[openvino\]'"):
        to_openvino(Small(), tmp_path / "net.xml")
