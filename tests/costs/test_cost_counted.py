"""`hiergen cost` without times and memory counts a network that is never made: 20,000 branches take no memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ran

from hiergen.models import load as models
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.macs import count_params

DIGITS = Path(__file__).parents[2] / "generated" / "digits.py"


@pytest.mark.parametrize("more", [[], ["--classes", "0,2"]])
def test_counting_makes_no_weight(
    hiergen: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    network = models.load_network(f"{DIGITS}:N2HL")
    want = {"full": count_params(network)}
    if more:
        want["cutout"] = count_params(network.cutout([0, 2]))
    made: set[str] = set()
    init = HierarchicalNetwork.__setattr__

    def watched(self: HierarchicalNetwork, name: str, value: object) -> None:
        if isinstance(value, torch.nn.Module):
            made.update(p.device.type for p in value.parameters())
        init(self, name, value)

    monkeypatch.setattr(HierarchicalNetwork, "__setattr__", watched)
    ran = hiergen("cost", f"{DIGITS}:N2HL", *more, "--no-time", "--no-memory", "--json")
    assert ran.code == 0, ran.err
    found = {row["kind"]: row["params"] for row in json.loads(ran.out)["rows"]}
    assert {kind: found[kind] for kind in want} == want
    assert made == {"meta"}
