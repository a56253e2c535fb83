"""Exported programs: the same bits where they can be, dynamic batch, metadata."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from export_cases import Small, trained

from hiergen.errors import HiergenError
from hiergen.models.export import Form, to_pt2
from hiergen.models.export import programs as module


def test_the_loaded_program_gives_the_networks_logits(tmp_path: Path) -> None:
    network = trained(Small(3, 2))
    done = to_pt2(network, tmp_path / "net.pt2")
    assert done.difference < 1e-5
    extra = {"hiergen.json": ""}
    program = torch.export.load(done.path, extra_files=extra).module()
    for batch in (1, 4):
        x = torch.randn(batch, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(program(x), network(x), atol=1e-5, rtol=1e-4)
    said = json.loads(extra["hiergen.json"])
    assert json.loads(said["classes"]) == network.classes
    assert json.loads(said["names"])[5] == "name 5"
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt2"]


def test_the_graph_does_not_grow_with_the_number_of_classes(tmp_path: Path) -> None:
    small = to_pt2(Small(5, 2), tmp_path / "small.pt2", batch=2)
    large = to_pt2(Small(25, 4), tmp_path / "large.pt2", batch=2)
    assert small.nodes == large.nodes
    assert (large.batches, large.dynamic) == ((2,), False)
    with pytest.raises(AssertionError, match="Guard failed"):
        torch.export.load(large.path).module()(torch.randn(1, 3, 32, 32))


def test_a_wrong_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = trained(Small(2, 2))
    real = module.program

    def wrong(net: Small, form: Form) -> torch.export.ExportedProgram:
        other = trained(Small(2, 2))
        torch.nn.init.zeros_(other.head.bias)
        return real(other, form)

    monkeypatch.setattr(module, "program", wrong)
    with pytest.raises(HiergenError, match=r"exported program gives other logits .* at most 0.0001 .*, got 0"):
        to_pt2(network, tmp_path / "net.pt2", batch=1)
    assert not list(tmp_path.iterdir())


def test_a_trunk_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    network = Small(2, 2)

    class Odd(torch.nn.Module):
        backbone = "oddnet"

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.input_size, self.pretrained_cfg = inner, inner.input_size, {}
            self.map_size = inner.map_size

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) if float(x.sum()) > 0 else self.inner(-x)

    network.trunk = Odd(network.trunk)
    with pytest.raises(HiergenError, match=r"torch.export cannot trace Small on oddnet; got .*--batch 1"):
        to_pt2(network, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_an_open_gain_is_part_of_the_program(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = trained(Small(2, 2))
    x = torch.randn(2, 3, 32, 32)
    with network.attend({"g0": 4}), torch.no_grad():
        path = to_pt2(network, tmp_path / "net.pt2").path
        want = network(x)
    assert (want - network(x)).abs().max() > 1e-3
    torch.testing.assert_close(torch.export.load(path).module()(x), want, atol=1e-5, rtol=1e-4)
