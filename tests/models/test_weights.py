"""Weights on disk: whole or refused, of this network or refused, and never a network half-loaded."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from toy_networks import built_toy, scrambled

import hiergen
from hiergen.errors import HiergenError
from hiergen.models.convert import convert
from hiergen.models.load import find_model
from hiergen.models.weights import load_weights, save_weights, taxonomy_hash
from hiergen.models.weightsfile import CutoutProvenance, read_weights, write_tensors
from hiergen.nn.network import HierarchicalNetwork
from hiergen.taxonomy.nesting import Nesting
from tests.helpers import printed_twice

HOSTILE = ('it\'s "x"', "</script><b>", "\x1b[31mred", "a\nb", "{{ 7*7 }}", "\u202egnp", "x" * 5000)
OURS = {
    "format": "hiergen",
    "hiergen_version": hiergen.__version__,
    "model": "M",
    "taxonomy_sha256": "00ff" * 16,
    "classes": '["a", "b"]',
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_toy(tmp_path_factory.mktemp("weights"), "toyweights")


@pytest.fixture(scope="module")
def saved(source: Path) -> HierarchicalNetwork:
    return scrambled(find_model(f"{source}:N3HL").cls().eval())


@pytest.fixture
def net(saved: HierarchicalNetwork) -> HierarchicalNetwork:
    """Another network of the same class. Where loading fails, the test ends with its weights untouched."""
    return scrambled(copy.deepcopy(saved), seed=1)


def refused(network: HierarchicalNetwork, path: Path) -> str:
    """The message; the network is as it was, and nobody's terminal is written to."""
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(HiergenError) as raised:
        load_weights(network, path)
    torch.testing.assert_close(dict(network.state_dict()), dict(before), atol=0, rtol=0)
    assert str(raised.value).isprintable()
    return str(raised.value)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A file of hiergen's of some hundred bytes."""
    path = tmp_path / "tiny.safetensors"
    write_tensors({"a": torch.arange(5.0), "b": torch.tensor([3, 4]), "c": torch.tensor(2.0).bfloat16()}, path, OURS)
    return path


def test_round_trip_and_what_the_file_says(
    saved: HierarchicalNetwork, net: HierarchicalNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "w.safetensors"
    kept = CutoutProvenance("N3HL", "aa", None, ("tabby", "pug"))
    save_weights(saved, path, provenance=kept)
    file = load_weights(net, path)
    torch.testing.assert_close(dict(net.state_dict()), dict(saved.state_dict()), atol=0, rtol=0)
    assert (file.classes, file.provenance) == (tuple(saved.classes), kept)
    assert {key: file.metadata[key] for key in ("format", "model", "taxonomy_sha256")} == {
        "format": "hiergen",
        "model": "N3HL",
        "taxonomy_sha256": taxonomy_hash(saved),
    }
    with safetensors.safe_open(path, "pt") as other:  # any tool reads it
        assert dict(other.metadata()) == file.metadata
        assert set(other.keys()) == set(saved.state_dict())
    assert list(path.parent.iterdir()) == [path]


def test_the_same_weights_are_the_same_bytes(saved: HierarchicalNetwork, tmp_path: Path) -> None:
    code = "import sys; from hiergen.models.weightsfile import read_weights, write_tensors; from pathlib import Path;"
    code += "f = read_weights(sys.argv[1]); write_tensors(f.tensors, Path(sys.argv[2]), f.metadata)"
    save_weights(saved, tmp_path / "a.safetensors")
    printed_twice(code, tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_the_hash_sees_order_names_and_nesting(saved: HierarchicalNetwork) -> None:
    class Other(HierarchicalNetwork):
        taxonomy = {"g": {"a": "A", "b": "B"}}  # noqa: RUF012
        classes = ("a", "b")

    first = taxonomy_hash(Other())
    assert first == taxonomy_hash(Other())
    canonical = '{"classes":["a","b"],"taxonomy":{"g":{"a":"A","b":"B"}}}'
    assert first == hashlib.sha256(canonical.encode()).hexdigest()
    seen = {first, taxonomy_hash(saved)}
    for taxonomy, classes in (
        ({"g": {"b": "B", "a": "A"}}, ("a", "b")),
        ({"g": {"a": "A", "b": "B"}}, ("b", "a")),
        ({"h": {"a": "A", "b": "B"}}, ("a", "b")),
        ({"a": "A", "b": "B"}, ("a", "b")),
    ):
        other = Other()
        other.__dict__.update(nesting=(tree := Nesting.from_tree(taxonomy, classes)), classes=tree.classes)
        seen.add(taxonomy_hash(other))
    assert len(seen) == 6


def test_plain_safetensors_and_other_precisions_load(
    saved: HierarchicalNetwork, net: HierarchicalNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    half = {k: t.half() if t.is_floating_point() else t.int() for k, t in saved.state_dict().items()}
    safetensors.torch.save_file(half, path, {"format": "pt"})
    assert load_weights(net, path).metadata == {}
    for key, tensor in net.state_dict().items():
        assert tensor.dtype == saved.state_dict()[key].dtype
        assert torch.equal(tensor, half[key].to(tensor.dtype))


def test_floats_are_not_taken_for_integers(net: HierarchicalNetwork, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state = {**net.state_dict(), "head.bias": torch.ones(9, dtype=torch.long)}
    safetensors.torch.save_file(state, path)
    assert refused(net, path) == (
        f"{path}: are weights of another model than N3HL; "
        "first difference: 'head.bias' expected torch.float32, got torch.int64 (1 in all, all keys there)"
    )


def test_another_model_or_taxonomy(
    source: Path, saved: HierarchicalNetwork, net: HierarchicalNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    phl = find_model(f"{source}:PHL").cls()
    save_weights(phl, path)
    own, other = net.state_dict(), phl.state_dict()
    missing = len(own.keys() - other.keys())
    differing = missing + sum(own[key].shape != other[key].shape for key in own.keys() & other.keys())
    assert refused(net, path) == (
        f"{path}: are weights of another taxonomy; expected {taxonomy_hash(net)[:12]} (N3HL, 9 classes), "
        f"got {taxonomy_hash(phl)[:12]} (PHL, 9 classes); first difference: 'level1.stages.0.0.conv1.weight' "
        f"expected {tuple(net.level1.stages[0][0].conv1.weight.shape)}, "
        f"got {tuple(phl.level1.stages[0][0].conv1.weight.shape)} "
        f"({differing} in all, {missing} keys missing, 0 unexpected)"
    )
    # the same taxonomy, another model; without metadata; one key too many
    state = saved.state_dict()
    one_branch = find_model(f"{source}:OneBranch").cls()
    save_weights(one_branch, path)
    assert refused(phl, path).startswith(
        f"{path}: are weights of another model (OneBranch) than PHL; first difference: "
    )
    safetensors.torch.save_file({**state, "head.scale": torch.ones(1)}, path)
    assert refused(net, path) == (
        f"{path}: are weights of another model than N3HL; "
        "first difference: 'head.scale' is unexpected (1 in all, 0 keys missing, 1 unexpected)"
    )
    safetensors.torch.save_file({k: t for k, t in state.items() if k != "head.bias"}, path)
    assert "first difference: 'head.bias' is missing (1 in all, 1 keys missing, 0 unexpected)" in refused(net, path)


def test_renamed_or_reordered_classes_are_another_taxonomy(
    saved: HierarchicalNetwork, net: HierarchicalNetwork, tmp_path: Path
) -> None:
    path, plain = tmp_path / "w.safetensors", tmp_path / "PLAIN.safetensors"
    save_weights(saved, path)
    renamed = list(net.classes)
    renamed[2] = "\x1b[31mclass"
    net.__dict__["classes"] = renamed
    message = refused(net, path)
    assert " (class 2 is 'класс' there, '\\x1b[31mclass' here); expected " in message
    assert message.endswith(
        f"all shapes fit: if only names changed, 'hiergen convert {path} -o PLAIN.safetensors' drops the taxonomy"
    )
    convert(path, plain)
    load_weights(net, plain)
    assert torch.equal(net.head.bias, saved.head.bias)


def test_cut_off_anywhere(tiny: Path, saved: HierarchicalNetwork, net: HierarchicalNetwork, tmp_path: Path) -> None:
    raw = tiny.read_bytes()
    for size in range(len(raw)):
        tiny.write_bytes(raw[:size])
        with pytest.raises(
            HiergenError, match=r"is (truncated|empty|no safetensors file, or corrupt); expected a whole"
        ):
            read_weights(tiny)
    path = tmp_path / "w.safetensors"
    save_weights(saved, path)
    raw = path.read_bytes()
    for size in (0, 1, 7, 8, 9, 500, 20_000, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        message = refused(net, path)
        word = "empty" if size == 0 else "truncated"
        assert message.startswith(f"{path}: is {word}; expected a whole safetensors file, got {size:,} bytes")
    path.write_bytes(raw + b"\0")
    assert "is corrupt; expected a whole safetensors file" in refused(net, path)


def test_any_bit_flipped(tiny: Path) -> None:
    raw = tiny.read_bytes()
    assert read_weights(tiny).metadata["model"] == "M"
    rng = random.Random(0)
    for place in range(len(raw)):
        bit = 1 << rng.randrange(8)
        tiny.write_bytes(raw[:place] + bytes([raw[place] ^ bit]) + raw[place + 1 :])
        with pytest.raises(HiergenError) as raised:
            read_weights(tiny)
        assert str(raised.value).isprintable(), place


def test_metadata_of_somebody_who_means_harm(tiny: Path, net: HierarchicalNetwork) -> None:
    tensors = {"a": torch.ones(2)}
    write_tensors(tensors, tiny, {**OURS, "classes": json.dumps(HOSTILE)})
    assert read_weights(tiny).classes == HOSTILE
    deep = "[" * 100_000
    for changed in (
        {"model": HOSTILE[2], "classes": json.dumps(list(HOSTILE))},
        {"model": HOSTILE[3]},
        {"classes": "no JSON"},
        {"classes": "{}"},
        {"classes": "[1]"},
        {"classes": deep},
        {"cutout": deep},
        {"cutout": "[]"},
        {"cutout": '{"kept": 3}'},
        {"cutout": '{"kept": [], "__class__": 1}'},
        {"taxonomy_sha256": HOSTILE[2]},
    ):
        write_tensors(tensors, tiny, {**OURS, **changed})
        assert len(refused(net, tiny)) < 900
    del (short := dict(OURS))["model"]
    write_tensors(tensors, tiny, short)
    assert refused(net, tiny) == f"{tiny}: is corrupt: its metadata has no model; take another copy of the file"


def test_places_that_are_no_files(net: HierarchicalNetwork, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert refused(net, tmp_path) == f"{tmp_path}: is a directory; expected a file of weights"
    assert refused(net, tmp_path / "pipe.safetensors").endswith("is not a regular file")
    assert refused(net, tmp_path / "pipa.safetensors").endswith(f"no such file; nearest: {tmp_path}/pipe.safetensors")
    assert "file name too long" in refused(net, tmp_path / ("x" * 400))
    (tmp_path / "t").write_text("hello, I am text and no weights")
    assert "is no safetensors file, or corrupt; expected a whole safetensors file, got 31 bytes" in refused(
        net, tmp_path / "t"
    )


def test_a_meta_network_has_no_room(saved: HierarchicalNetwork, tmp_path: Path) -> None:
    save_weights(saved, tmp_path / "w.safetensors")
    with pytest.raises(HiergenError, match="meta device has no memory for weights; build it on a real device"):
        load_weights(copy.deepcopy(saved).to("meta"), tmp_path / "w.safetensors")


@pytest.mark.parametrize("moment", ["os.replace", "hiergen.models.weightsfile._sort_metadata", "os.fsync"])
def test_killed_before_the_rename_the_old_file_stays(tiny: Path, moment: str) -> None:
    before = tiny.read_bytes()
    module, _, name = moment.rpartition(".")
    code = (
        f"import os, sys, torch, {module} as m\nfrom pathlib import Path\n"
        f"from hiergen.models.weightsfile import write_tensors\nm.{name} = lambda *a: os._exit(9)\n"
        "write_tensors({'a': torch.ones(9)}, Path(sys.argv[1]), {})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tiny)], check=False).returncode == 9
    assert tiny.read_bytes() == before
    assert read_weights(tiny).metadata["model"] == "M"


def test_an_error_while_writing_leaves_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tiny.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hiergen.models.weightsfile._sort_metadata", full)
    with pytest.raises(HiergenError, match=r"cannot be written \(no space left on device\)"):
        write_tensors({"a": torch.ones(9)}, tiny, {})
    assert tiny.read_bytes() == before
    assert list(tiny.parent.iterdir()) == [tiny]
    with pytest.raises(HiergenError, match="cannot be written"):
        write_tensors({"a": torch.ones(9)}, tiny / "below" / "a.safetensors", {})


def test_weights_of_more_or_fewer_classes_name_the_command_that_changes_them(tmp_path: Path) -> None:
    groups = {"x": ["a", "b"], "y": ["c", "d"]}
    many = hiergen.network(["a", "b", "c", "d"], groups=groups, backbone="test_resnet", input_size=32)
    few = many.shrink("d")
    save_weights(few, tmp_path / "few.safetensors")
    save_weights(many, tmp_path / "many.safetensors")
    with pytest.raises(HiergenError, match="'hiergen grow' adds classes"):
        load_weights(many, tmp_path / "few.safetensors")
    with pytest.raises(HiergenError, match="'hiergen shrink' takes classes out"):
        load_weights(few, tmp_path / "many.safetensors")
