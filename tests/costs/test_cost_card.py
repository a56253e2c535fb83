"""Costs counted on built networks against plans and against torch's counter, the card, its verdict, and the command."""

from __future__ import annotations

import importlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_networks import MODELS, built_toy, scrambled

from hiergen.costs import (
    CostCard,
    Memory,
    Ratio,
    Row,
    Timing,
    branch_costs,
    cost,
    flat_network,
    in_turns,
    network_of,
    network_parts,
)
from hiergen.costs.measured import median_interval
from hiergen.costs.memory import weight_bytes
from hiergen.costs.subjects import at_rest
from hiergen.errors import HiergenError
from hiergen.models.load import find_model, load_network
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.cutout import cut
from hiergen.planning.from_network import plan_of
from hiergen.planning.from_taxonomy import plan_models
from hiergen.taxonomy.load import load_taxonomy
from tests.helpers import counted_macs

pytestmark = pytest.mark.filterwarnings("ignore:Overwriting toycost:UserWarning")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_toy(tmp_path_factory.mktemp("cost"), "toycost")


def total(network: HierarchicalNetwork) -> tuple[int, int]:
    parts = network_parts(network)
    return sum(p.params for p in parts), sum(p.macs for p in parts)


# counts


@pytest.mark.parametrize("taxonomy", ["imagenette", "imagenet100"])
def test_shipped_networks_cost_what_their_plans_say(taxonomy: str) -> None:
    module = importlib.import_module(f"generated.{taxonomy.replace('-', '_')}")
    for plan in plan_models(load_taxonomy(f"taxonomies/{taxonomy}.yaml")):
        with torch.device("meta"):
            network = getattr(module, plan.model)().eval()
        trunk, *levels, head = network_parts(network)
        assert (trunk.params, trunk.macs) == (plan.trunk.params, plan.trunk.macs)
        assert [(p.branches, p.params, p.macs) for p in levels] == [(x.branches, x.params, x.macs) for x in plan.levels]
        assert (head.params, head.macs) == (plan.head_params, plan.head_macs)
        card = cost(network, time=False, memory=False, rivals=False)
        flat = card.row("flat")
        assert (flat.params, flat.macs) == (plan.trunk.flat_params, plan.trunk.flat_macs)


@pytest.mark.parametrize("model", ["PHLlateSP", "N2HL", "N3HL"])
@pytest.mark.parametrize("keep", [1, 5, 50])
def test_a_cutout_costs_what_the_full_plan_says(model: str, keep: int) -> None:
    plans = {p.model: p for p in plan_models(load_taxonomy("taxonomies/imagenet100.yaml"))}
    with torch.device("meta"):
        network = getattr(importlib.import_module("generated.imagenet100"), model)().eval()
    kept = random.Random(keep).sample(range(100), keep)
    card = cost(network, kept, time=False, memory=False)
    cutout = card.row("cutout")
    assert (cutout.params, cutout.macs) == plans[model].cutout_cost(frozenset(kept))
    assert card.classes == tuple(plans[model].classes[i] for i in sorted(kept))
    sliced = card.row("sliced")
    assert (sliced.params, sliced.macs) == (23_508_032 + 2049 * keep, card.row("flat").macs - 2048 * (100 - keep))


@pytest.mark.parametrize("lowering", ["auto", "loop", "matmul", "grouped"])
@pytest.mark.parametrize("name", MODELS)
def test_counts_are_torchs_on_the_whole_network_however_it_runs(toy: Path, name: str, lowering: str) -> None:
    full = find_model(f"{toy}:{name}").cls().eval().set_lowering(lowering)
    for network in (full, cut(full, [0, 4, 5])):
        assert total(network) == (
            sum(p.numel() for p in network.parameters()),
            counted_macs(network.to("meta"), 3, 32, 32),
        )


def test_branch_costs_are_each_branchs_own(toy: Path) -> None:
    network = find_model(f"{toy}:N3HL").cls()
    costs = branch_costs(network)
    assert list(costs) == list(network.nodes)
    for part, level in zip(network_parts(network)[1:-1], network.levels, strict=True):
        own = [cost for node, cost in costs.items() if f"level{node.level}" == part.name]
        assert len(own) == level.branches
        assert sum(c.params for c in own) == part.params == sum(p.numel() for p in level.parameters())
        assert sum(c.macs for c in own) == part.macs
    single = branch_costs(find_model(f"{toy}:OneBranch").cls())
    assert [node.name for node in single] == ["all classes"]


def test_meow_is_the_papers_kind_of_cutout() -> None:
    with torch.device("meta"):
        network = importlib.import_module("generated.imagenet1k").N3HL()
    card = cost(network, "domestic cat", time=False, memory=False, rivals=False)
    assert [row.classes for row in card.rows] == [5, 1000, 1000, 5]
    assert card.row("cutout").params < 0.2 * card.row("full").params
    assert card.verdict.startswith("The cutout beats the sliced flat convnextv2_tiny: 45.0 % fewer params")
    assert card.verdict.endswith("Against the full N3HL the cutout saves 87.2 % of params, 56.4 % of MACs.")


# subjects and measures


@pytest.mark.parametrize("name", MODELS)
def test_a_network_from_its_plan_has_its_tensors(toy: Path, name: str) -> None:
    network = find_model(f"{toy}:{name}").cls().eval()
    again = network_of(plan_of(network, taxonomy="t", model="m"))
    again.load_state_dict(scrambled(network).state_dict())
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(again(x), network(x))


def test_flat_networks_of_a_fixed_size_take_another() -> None:
    with torch.device("meta"):
        flat = flat_network("vit_tiny_patch16_224", 7, (3, 96, 96))
        assert flat(torch.empty(2, 3, 96, 96)).shape == (2, 7)


def test_turns_take_each_run_equally_often() -> None:
    calls: list[str] = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, CPU, repeats=4)
    assert {name: len(ms) for name, ms in times.items()} == {"a": 4, "b": 4}
    assert (calls.count("a"), calls.count("b")) == (7, 7)
    assert all(set(calls[i : i + 2]) == {"a", "b"} for i in range(0, 14, 2))
    assert Timing.of(3, [4.0, 1.0, 2.0, 3.0, 5.0]) == Timing(3, 3.0, 2.0, 4.0, 5, (4.0, 1.0, 2.0, 3.0, 5.0))


def test_the_card_measures_all_rows_and_leaves_the_network_as_it_was(toy: Path) -> None:
    network = find_model(f"{toy}:N2HL").cls().train()
    network.active = [0, 1]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    threads = torch.get_num_threads()
    told: list[str] = []
    with network.attend({"rest": 2.0}):
        card = cost(
            network, ["pug", "goldfish"], runtime="torch", batches=[3, 1], repeats=2, memory=False, progress=told.append
        )
        assert network._gains is not None
    assert network.training
    assert network.active == tuple(network.classes[:2])
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.get_num_threads() == threads
    assert card.threads == 1
    assert [row.kind for row in card.rows] == ["cutout", "full", "flat", "sliced", "shorter"]
    for row in card.rows:
        assert [(t.batch, t.runs) for t in row.times] == [(1, 2), (3, 2)]
        assert all(0 < t.low <= t.ms <= t.high for t in row.times)
        flat = [t.turns for t in card.row("flat").times]
        shares = [[a / b for a, b in zip(t.turns, f, strict=True)] for t, f in zip(row.times, flat, strict=True)]
        assert [(s.batch, s.ratio) for s in row.shares] == [(1, sum(shares[0]) / 2), (3, sum(shares[1]) / 2)]
    assert "timing, batch 3" in told


def test_at_rest_is_all_classes_without_gains_on_the_same_weights(toy: Path) -> None:
    network = scrambled(find_model(f"{toy}:N2HL").cls()).eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = network(x)
        network.train().active = [0, 1]
        with network.attend({"rest": 2.0}):
            rest = at_rest(network, CPU)
        assert rest.active is None
        assert torch.equal(rest(x), plain)
    assert not rest.training
    assert rest.head.weight.data_ptr() == network.head.weight.data_ptr()


def test_peak_memory_counts_weights_and_maps_but_no_library(toy: Path) -> None:
    network = find_model(f"{toy}:N3HL").cls()
    row = cost(network, batches=[1, 64], time=False, memory=True, rivals=False).row("full")
    small, large = row.memory
    assert (small.batch, large.batch) == (1, 64)
    assert small.weights == large.weights == weight_bytes(network.plain())
    assert 0.9 * small.weights < small.peak < small.weights + 40e6
    # the stem's map of 64 images, 64 channels of 16 x 16 px in float32, is held at least once
    assert large.peak > small.peak + 64 * 64 * 16 * 16 * 4


# the verdict, on hand-made figures


def card_of(**rows: tuple[int, int, float, float]) -> CostCard:
    """Rows by kind: params, MACs, ms (turns that are 1 % off), peak bytes."""
    made = [
        Row(
            kind,
            kind,
            5,
            params,
            macs,
            times=(Timing.of(1, [turn * ms for turn in (0.99, 1.0, 1.01) * 3]),),
            memory=(Memory(1, 4 * params, int(peak)),),
        )
        for kind, (params, macs, ms, peak) in rows.items()
    ]
    facts = ("Net", "resnet", (3, 32, 32), ("a",), "cpu", "cpu", 1, "float32", "2", "1", "torch", "2", False)
    return CostCard(*facts, tuple(made))  # type: ignore[arg-type]


FULL, FLAT = (200, 2000, 20.0, 900.0), (100, 1000, 10.0, 500.0)


@pytest.mark.parametrize(
    ("cutout", "sliced", "said"),
    [
        (
            (100, 1000, 10.0, 500.0),
            (50, 800, 5.0, 250.0),
            "The sliced flat resnet beats the cutout: 50.0 % fewer params, 20.0 % fewer MACs, 2.00 × as fast "
            "(2.00–2.00) at batch 1, 50.0 % less peak memory at batch 1. "
            "Slicing a trained flat classifier needs no re-training either.",
        ),
        (
            (50, 500, 4.0, 250.0),
            (100, 1000, 10.0, 500.0),
            "The cutout beats the sliced flat resnet: 50.0 % fewer params, 50.0 % fewer MACs, 2.50 × as fast "
            "(2.50–2.50) at batch 1, 50.0 % less peak memory at batch 1.",
        ),
        (
            (50, 1000, 8.0, 250.0),
            (100, 1000, 5.0, 251.0),
            "Neither wins everywhere: the sliced flat resnet is better by 1.60 × as fast (1.60–1.60) at batch 1; the "
            "cutout by 50.0 % fewer params. Slicing a trained flat classifier needs no re-training either. "
            "No difference that counts: MACs, peak memory at batch 1.",
        ),
        ((9, 9, 9.0, 9.0), (9, 9, 9.2, 9.0), "The cutout and the sliced flat resnet cost the same."),
    ],
    ids=["sliced wins", "cutout wins", "mixed", "equal"],
)
def test_verdict_names_the_winner(
    cutout: tuple[int, int, float, float], sliced: tuple[int, int, float, float], said: str
) -> None:
    text = card_of(cutout=cutout, full=FULL, flat=FLAT, sliced=sliced).verdict
    assert text.startswith(f"{said} Against the full Net the cutout ")


def test_verdict_says_what_the_cutout_saves_and_what_it_does_not() -> None:
    card = card_of(cutout=(50, 1000, 19.5, 990.0), full=FULL, flat=FLAT, sliced=FLAT)
    assert card.verdict.endswith(
        "Against the full Net the cutout saves 75.0 % of params, 50.0 % of MACs; it takes 10.0 % more peak memory at "
        "batch 1; it is level in speed at batch 1."
    )


def test_verdict_without_cutout_or_times() -> None:
    card = card_of(full=FULL, flat=FLAT)
    assert card.verdict.startswith("The flat resnet beats the full Net: 50.0 % fewer params")
    assert "re-training" not in card.verdict
    bare = replace(card, rows=tuple(replace(row, times=(), memory=()) for row in card.rows))
    said = "The flat resnet beats the full Net: 50.0 % fewer params, 50.0 % fewer MACs. Speed was not measured."
    assert bare.verdict == said


def turns_of(**ms: list[float]) -> CostCard:
    """A card of equal counts with these ms by turn."""
    card = card_of(**dict.fromkeys(ms, FLAT))
    times = (Timing.of(1, turns) for turns in ms.values())
    rows = [replace(row, times=(timing,), memory=()) for row, timing in zip(card.rows, times, strict=True)]
    return replace(card, rows=tuple(rows))


def test_a_slow_minute_neither_hides_a_difference_nor_makes_one() -> None:
    draw = random.Random(0)
    fast, slow = ([ms * draw.uniform(0.9, 1.1) for _ in range(25)] for ms in (1.4, 10.9))
    late = [11.5] * 7  # so many that the quartiles overlap
    said = turns_of(full=[*fast[7:], *late], flat=slow).verdict
    assert said.startswith("The full Net beats the flat resnet: 7.")
    assert "noisy" not in said
    same = turns_of(full=slow, flat=[3 * ms if i > 17 else ms for i, ms in enumerate(slow)]).verdict
    assert same == "The full Net and the flat resnet cost the same."
    both = [ms * (3 if i % 2 else 1) for i, ms in enumerate(slow)]  # a slow turn is slow for all
    assert turns_of(full=both, flat=[2 * ms for ms in both]).verdict.startswith(
        "The full Net beats the flat resnet: 2.00 × as fast (2.00–2.00) at batch 1."
    )


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_compliment(seed: int) -> None:
    """Equal subjects whose turns scatter by a factor of up to 4: at most a wide interval."""
    draw = random.Random(seed)
    noise = {kind: [4 ** draw.random() for _ in range(15)] for kind in ("full", "flat")}
    card = turns_of(**noise)
    ratio = Ratio.of(card.rows[0].times[0], card.rows[1].times[0])
    if ratio.low <= 1 <= ratio.high:  # in 95 % of all cases
        assert "Too noisy to tell: speed at batch 1 (" in card.verdict
    assert ("× as fast" in card.verdict) == (not ratio.low <= 1 <= ratio.high)


def test_few_turns_decide_nothing() -> None:
    said = turns_of(full=[1.0] * 5, flat=[9.0] * 5).verdict
    assert said.endswith("Too noisy to tell: speed at batch 1 (5 turns are too few).")
    assert "9.00 × as fast" in turns_of(full=[1.0] * 6, flat=[9.0] * 6).verdict


def test_the_median_of_ratios_by_hand() -> None:
    first, second = [2.0, 6.0, 3.0, 4.0, 5.0, 9.0, 1.0], [1.0, 2.0, 2.0, 4.0, 2.0, 3.0, 2.0]
    # 2, 3, 1.5, 1, 2.5, 3, 0.5
    assert Ratio.of(Timing.of(4, first), Timing.of(4, second)) == Ratio(4, 2.0, 0.5, 3.0, 7)


@pytest.mark.parametrize("n", [6, 7, 8, 9, 12, 20, 25, 50, 100])
def test_the_interval_of_the_median_covers_95_percent(n: int) -> None:
    """The ranks against the tables of the sign test: the sum of binomial chances between them."""
    low, high = median_interval([float(i) for i in range(1, n + 1)])
    covered = sum(math.comb(n, k) for k in range(int(low), int(high))) / 2**n  # of n values so many lie below
    narrower = sum(math.comb(n, k) for k in range(int(low) + 1, int(high) - 1)) / 2**n
    assert low + high == n + 1
    assert narrower < 0.95 <= covered


def test_rivals_that_are_costs_only_are_said_to_be() -> None:
    rows = turns_of(full=[9.0] * 9, flat=[9.0] * 9, lower=[4.5] * 9, smaller=[10.0] * 9).rows
    said = replace(card_of(full=FULL), rows=rows).verdict
    assert said == (
        "The full Net and the flat resnet cost the same. Costs only (accuracy must be measured), beside the full Net "
        "at batch 1, faster: lower by 2.00 ×; slower: smaller by 1.11 ×."
    )


# the command


def test_command_prints_rows_parts_and_verdict(toy: Path, hiergen: Callable[..., object]) -> None:
    options = ("--batch", "2", "--repeats", 2, "--runtime", "torch", "--no-memory")
    ran = hiergen("cost", f"{toy}:N3HL", "--classes", "pug,beagle", *options)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    rows = ["cutout ", "full N3HL ", "flat resnet18 ", "flat resnet18, classifier sliced "]
    assert [line.startswith(label) for line, label in zip(lines[1:5], rows, strict=True)] == [True] * 4
    full = find_model(f"{toy}:N3HL").cls()
    assert f"{total(full)[0]:,}" in lines[2]
    assert f"{total(full)[1] / 1e9:.3f}" in lines[2]
    assert "of 2 runs at batch 2, in turns; " in ran.out
    assert "float32, cpu, 1 thread," in ran.out
    assert "Against the full N3HL the cutout saves " in lines[-1]


def test_command_json_is_the_card(toy: Path, hiergen: Callable[..., object]) -> None:
    ran = hiergen("cost", f"{toy}:PHL", "--except", "pug", "--no-time", "--no-memory", "--json")
    assert (ran.code, ran.err) == (0, "")
    data = json.loads(ran.out)
    network = load_network(f"{toy}:PHL")
    kept = [c for c in network.classes if c != "pug"]
    assert data == json.loads(json.dumps(cost(network, kept, time=False, memory=False).as_data()))
    assert set(data) == {*CostCard.__dataclass_fields__, "ratios", "verdict"}
    assert [set(row) for row in data["rows"]] == [set(Row.__dataclass_fields__)] * 5
    assert [row["kind"] for row in data["rows"]] == ["cutout", "full", "flat", "sliced", "shorter"]
    assert data["classes"] == kept


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch", "0"], "batch cannot be '0'; expected whole numbers from 1, as 1,16"),
        (["--batch", "1,x"], "batch cannot be 'x'"),
        (["--batch", "٣"], "batch cannot be '٣'"),
        (["--repeats", "1"], "repeats cannot be '1'; expected a whole number from 2"),
        (["--threads", "0"], "threads cannot be '0'; expected a whole number from 1"),
        (["--device", "tpu"], "no device 'tpu'; expected cpu or cuda"),
        (["--device", "meta"], "no device 'meta'; expected cpu or cuda"),
        (["--classes", "beagel"], "no class or group 'beagel'; nearest: beagle"),
        (["--classes", ""], "--classes is empty; a shell's variable that is not set?"),
        (["--classes", " "], "an empty class name; expected a class id"),
        (["--classes", "pug", "--except", "pug"], "no class is left"),
        (["--classes", 'cat & dog,rest,odd "ones"'], "all 9 classes are kept: that is the full network"),
        (["--runtime", "tensorrt"], "no runtime 'tensorrt'; expected one of torch, compiled, onnxruntime, openvino"),
        (["--runtime", "torch", "--int8"], "the runtime torch has no int8; expected --runtime onnxruntime or openvino"),
        (["--weights", "none.safetensors"], "none.safetensors: "),
    ],
    ids=str,
)
def test_command_refuses(toy: Path, hiergen: Callable[..., object], arguments: list[str], said: str) -> None:
    ran = hiergen("cost", f"{toy}:N3HL", "--no-memory", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {said}")
    assert ran.err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_said(toy: Path, hiergen: Callable[..., object]) -> None:
    ran = hiergen("cost", f"{toy}:N3HL", "--device", "cuda")
    assert (ran.code, ran.err) == (2, "error: device 'cuda' is not there; expected one of cpu\n")


def test_what_cannot_be_measured_is_refused() -> None:
    with torch.device("meta"):
        network = importlib.import_module("generated.imagenette").N2HL()
    with pytest.raises(HiergenError, match="on the meta device cannot be measured"):
        cost(network)
    with pytest.raises(HiergenError, match="no batch size"):
        cost(network, batches=[])
    with pytest.raises(HiergenError, match="batch cannot be 'True'"):
        cost(network, batches=[True])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_card_on_a_gpu(toy: Path) -> None:
    card = cost(find_model(f"{toy}:N2HL").cls(), ["pug"], device="cuda", batches=[1, 64], repeats=3)
    for row in card.rows:
        assert all(t.ms > 0 for t in row.times)
        assert row.memory[0].weights < row.memory[0].peak < row.memory[1].peak
