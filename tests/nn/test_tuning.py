"""The choice of a lowering: recorded defaults, and measured ones that are saved, found again and survive damage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from network_cases import Tiny

from hiergen.errors import HiergenError
from hiergen.nn import Bottlenecks, Lowering
from hiergen.nn.tuning import Case, cache_file, candidates, choose, default, fastest, remember

STAGES = (Bottlenecks(1024, 64, 96, depth=3, stride=2), Bottlenecks(96, 128, 512, depth=3))
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    choose.cache_clear()
    yield
    choose.cache_clear()


def case(batch: int, branches: int = 10, *, device: str = "cpu", training: bool = False) -> Case:
    return Case(STAGES, branches, (batch, 14, 14), torch.device(device), torch.float32, training, 2)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (case(1), Lowering("matmul", 148)),  # 32 MiB over 49 px x 9 x 128 patches
        (case(16), Lowering("grouped", 5)),  # 8 MiB over 16 x 49 px x 512 channels
        (case(16, training=True), Lowering("grouped", 5)),
        (case(64, training=True), Lowering("loop")),
        (case(4, training=True), Lowering("grouped", 20)),
        (case(16, branches=1), Lowering("loop")),
        (case(0), Lowering("matmul", 32 << 20)),
        (case(16, device="cuda"), Lowering("matmul", (1 << 30) // (4 * 16 * 49 * 9 * 128))),
    ],
)
def test_recorded_defaults(asked: Case, expected: Lowering) -> None:
    assert default(asked) == expected
    if asked.device == CPU:
        assert choose(asked) == expected


def test_a_measured_choice_is_kept_for_its_case_alone() -> None:
    remember(case(1), Lowering("loop"))
    remember(case(2), Lowering("grouped"))
    assert (choose(case(1)), choose(case(2))) == (Lowering("loop"), Lowering("grouped"))
    for other in (case(3), case(1, branches=9), case(1, training=True)):
        assert choose(other) == default(other)
    assert sorted(map(tuple, json.loads(cache_file().read_text()).values())) == [("grouped", None), ("loop", None)]
    assert [path.name for path in cache_file().parent.iterdir()] == ["lowerings.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": ["bogus", 1]}', '{"a": 3}', '{"a": ["loop", -1]}'])
def test_a_damaged_file_is_reported_ignored_and_replaced(text: str) -> None:
    cache_file().parent.mkdir(parents=True)
    cache_file().write_text(text)
    with pytest.warns(UserWarning, match="is damaged and ignored"):
        assert choose(case(1)) == default(case(1))
    with pytest.warns(UserWarning, match="tune again"):
        remember(case(1), Lowering("loop"))
    assert choose(case(1)) == Lowering("loop")


def test_the_fastest_is_the_one_with_the_smallest_median(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = {Lowering("loop"): 5.0, Lowering("matmul", 2): 2.0, Lowering("grouped"): 40.0}
    clock, calls = [0.0], dict.fromkeys(cost, 0)
    monkeypatch.setattr("hiergen.nn.tuning.time.perf_counter", lambda: clock[0])

    def spend(lowering: Lowering) -> None:
        calls[lowering] += 1
        clock[0] += cost[lowering] * (100 if calls[lowering] == 1 else 1)  # the first run warms up

    best, times = fastest({lowering: lambda lowering=lowering: spend(lowering) for lowering in cost}, CPU)
    assert best == Lowering("matmul", 2)
    assert {k: round(v / 1e3, 6) for k, v in times.items()} == cost
    assert calls[Lowering("grouped")] == 2 < calls[Lowering("loop")]  # hopeless ones are not run on


def test_tuning_a_network_changes_its_choice_and_nothing_else() -> None:
    torch.manual_seed(0)
    network = Tiny().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = network.tune(2)
    assert [set(times) >= {Lowering("loop")} for times in found] == [True] * 3
    assert len(json.loads(cache_file().read_text())) == 3
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(level.lowering == "auto" for level in network.levels)
    assert all(p.grad is None for p in network.parameters())
    level, times = network.level1, found[0]
    asked = level._case((2, *network.trunk.map_size), 2, network.head.weight)
    assert choose(asked) == min(times, key=lambda lowering: times[lowering])
    assert asked.training
    assert json.loads(cache_file().read_text()).keys().isdisjoint([str(replace(asked, training=False))])


@pytest.mark.parametrize("training", [False, True])
def test_a_graph_is_made_in_training_only(training: bool) -> None:
    """What is timed is what will run, whatever the caller's own mode is."""
    level = Tiny().level1.train(training)
    graphs: list[bool] = []
    level.register_forward_hook(lambda _, __, y: graphs.append(y.requires_grad))
    with torch.set_grad_enabled(not training):
        level.tune(torch.randn(2, 64, 4, 4))
    assert set(graphs) == {training}


def test_candidates_hold_the_usual_choice_and_every_kind() -> None:
    tried = candidates(Lowering("grouped", 5), 8)
    assert Lowering("grouped", 5) in tried
    assert {lowering.kind for lowering in tried} == {"loop", "matmul", "grouped"}
    assert max(lowering.chunk or 0 for lowering in tried) == 8
    assert len(set(tried)) == len(tried)


def test_lowerings_are_checked() -> None:
    for bad in ("bogus", "", "Loop"):
        with pytest.raises(HiergenError, match="no such lowering; expected auto, matmul, loop, grouped or a Lowering"):
            Tiny().set_lowering(bad)
    for chunk in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="chunk expected a positive int or None"):
            Lowering("matmul", chunk)
    with pytest.raises(ValueError, match="lowering expected one of"):
        Lowering("bogus")
    assert [str(x) for x in (Lowering("loop"), Lowering("matmul", 3), Lowering("grouped"))] == [
        "loop",
        "matmul/3",
        "grouped/all",
    ]
