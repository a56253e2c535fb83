"""Checkpoints of other tools: never unpickled by surprise, converted on demand, refused when not whole."""

from __future__ import annotations

import argparse
import copy
import os
import pickle
from pathlib import Path

import pytest
import torch
from toy_networks import built_toy, scrambled

from hiergen.errors import HiergenError
from hiergen.models.convert import convert
from hiergen.models.load import find_model
from hiergen.models.weights import load_weights
from hiergen.models.weightsfile import read_weights, write_tensors
from hiergen.nn.network import HierarchicalNetwork


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> HierarchicalNetwork:
    source = built_toy(tmp_path_factory.mktemp("checkpoint"), "toycheckpoint")
    return scrambled(find_model(f"{source}:N3HL").cls().eval())


@pytest.fixture
def net(saved: HierarchicalNetwork) -> HierarchicalNetwork:
    """Another network of the same class."""
    return scrambled(copy.deepcopy(saved), seed=1)


class Harm:
    def __reduce__(self) -> tuple:
        return os.system, ("touch harm",)


def test_a_pickle_is_refused_with_the_command_to_type(
    net: HierarchicalNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(net.state_dict(), "my weights.pth")
    torch.save(net.state_dict(), "old.bin", _use_new_zipfile_serialization=False)
    Path("named.safetensors").write_bytes(Path("my weights.pth").read_bytes())
    Path("raw.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(HiergenError) as raised:
        load_weights(net, "my weights.pth")
    assert str(raised.value) == (
        "my weights.pth: is a pickle (a PyTorch checkpoint), which can run any code when it is read; expected "
        "safetensors; to read its weights and nothing else: "
        "hiergen convert 'my weights.pth' -o 'my weights.safetensors'"
    )
    for name in ("old.bin", "named.safetensors", "raw.pkl"):
        with pytest.raises(HiergenError, match="is a pickle"):
            load_weights(net, name)
    torch.save({"state_dict": Harm()}, "harm.pth")
    Path("plain.pkl").write_bytes(pickle.dumps(Harm()))
    for name in ("harm.pth", "plain.pkl"):
        with pytest.raises(
            HiergenError, match=r"holds more than weights or is not whole, and hiergen runs no code from a pickle"
        ):
            convert(name, "out.safetensors")
    assert not Path("harm").exists()
    assert not Path("out.safetensors").exists()


def test_convert_takes_what_training_scripts_write(
    saved: HierarchicalNetwork, net: HierarchicalNetwork, tmp_path: Path
) -> None:
    state = saved.state_dict()
    zeros = {key: torch.zeros_like(tensor) for key, tensor in state.items()}
    out, checkpoint = tmp_path / "out.safetensors", tmp_path / "c.pth.tar"
    wrapped = {f"_orig_mod.module.{key}": tensor for key, tensor in state.items()}
    for content, key in (
        (state, None),
        ({"model": state, "epoch": 3}, "model"),
        ({"state_dict": wrapped, "args": argparse.Namespace(lr=0.1), "optimizer": {"state": {}}}, "state_dict"),
        ({"state_dict": zeros, "state_dict_ema": {f"module.{k}": t for k, t in state.items()}}, "state_dict_ema"),
        ({"state_dict": state, "state_dict_ema": None}, "state_dict"),
    ):
        torch.save(content, checkpoint)
        done = convert(checkpoint, out)
        assert (done.key, done.tensors) == (key, len(state))
        load_weights(scrambled(net, seed=9), out)
        torch.testing.assert_close(dict(net.state_dict()), dict(state), atol=0, rtol=0)
    torch.save({"state_dict": zeros, "model_ema": state}, checkpoint)
    assert convert(checkpoint, out, use_ema=False).key == "state_dict"
    load_weights(net, out)
    assert not any(tensor.any() for tensor in net.state_dict().values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "holds no state dict; got list"),
        ({}, "holds no weights"),
        ({"a": 3}, "holds 'a', which is no weight; expected names and dense tensors, got int"),
        ({"state_dict": {"\x1b": 3}}, r"c.pth (state_dict): holds '\x1b', which is no weight"),
        ({3: torch.ones(1)}, "holds '3', which is no weight"),
        ({"a": torch.eye(2).to_sparse()}, "got a sparse tensor"),
    ],
)
def test_checkpoints_without_weights(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(HiergenError) as raised:
        convert(tmp_path / "c.pth", tmp_path / "o.safetensors")
    assert message in str(raised.value)
    torch.save({"a": torch.ones(1)}, tmp_path / "c.pth")
    assert convert(tmp_path / "c.pth", tmp_path / "o.safetensors").params == 1


def test_convert_refuses_files_that_are_not_whole_and_bad_targets(tmp_path: Path) -> None:
    source, out = tmp_path / "c.pth", tmp_path / "o.safetensors"
    for new in (True, False):
        torch.save({"a": torch.ones(100)}, source, _use_new_zipfile_serialization=new)
        raw = source.read_bytes()
        for size in range(4, len(raw) - 1, 41):
            source.write_bytes(raw[:size])
            with pytest.raises(
                HiergenError, match=r"truncated or corrupt|is not whole|no safetensors file|is truncated"
            ):
                convert(source, out)
    with pytest.raises(HiergenError, match=r"o\.pth: is no name for weights; expected a name ending in \.safetensors"):
        convert(source, tmp_path / "o.pth")
    with pytest.raises(HiergenError, match=r"no such file; nearest: .*c\.pth"):
        convert(tmp_path / "d.pth", out)
    write_tensors({"a": torch.ones(1)}, out, {})
    with pytest.raises(HiergenError, match="is the file to convert; expected another path"):
        convert(out, out)
    assert torch.equal(read_weights(out).tensors["a"], torch.ones(1))
