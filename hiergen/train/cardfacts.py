"""What a model card is made of, and what is found out for it: the best epoch, changed values, costs, commands."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hiergen.nn.network import HierarchicalNetwork
from hiergen.train.metrics import Metrics
from hiergen.train.recipe import Recipe
from hiergen.train.recipefile import load_recipe, recipe_names
from hiergen.train.runfolder import Request

if TYPE_CHECKING:
    from hiergen.cost import CostCard

History = Sequence[Mapping[str, float | None]]
TEST_IMAGES = "TEST_IMAGES"  # for the user to replace
_SECONDS = 8.0  # that measuring may take on a CPU
_MACS = 2e9  # of both networks, above which a CPU is not even tried
_TURNS = 7


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of. `network` may be on the meta device; `data` is what `hiergen train` knows of the images;
    `cost` None: it could not be had; `pictures` (of figures) and `drawn` (the network) are names of files beside it."""

    network: HierarchicalNetwork
    metrics: Metrics
    history: History
    recipe: Recipe
    request: Request
    data: Mapping[str, Any]
    cost: CostCard | None = None
    pictures: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()


def best_epoch(history: History) -> int | None:
    """The first epoch of the highest top-1, which is the one whose weights are kept."""
    scored = [(row["val_top1"], row["epoch"]) for row in history]
    known = [(score, epoch) for score, epoch in scored if score is not None and epoch is not None]
    return int(max(known, key=lambda pair: (pair[0], -pair[1]))[1]) if known else None


def recipe_changes(recipe: Recipe, name: str) -> list[tuple[str, Any, Any]] | None:
    """(key, shipped, here) of all values that differ from the shipped recipe; None where no such recipe ships."""
    if name not in recipe_names():
        return None
    shipped = _flat(load_recipe(name).model_dump(mode="json"))
    here = _flat(recipe.model_dump(mode="json"))
    return [(key, shipped.get(key), value) for key, value in here.items() if value != shipped.get(key)]


def measured_cost(network: HierarchicalNetwork, device: torch.device) -> CostCard:
    """Counts, and what can be measured in some seconds: on a GPU ms and memory, on a CPU ms of networks that are not
    too slow. Random weights; the trained network is not touched. Raises HiergenError as `cost_card` does."""
    from hiergen.cost import cost_card

    if device.type == "cuda":
        return cost_card(type(network)(), device=device, batches=(1, 16), repeats=20)
    counted = cost_card(network, time=False, memory=False)
    if sum(row.macs for row in counted.rows) > _MACS:
        return counted
    alike = type(network)().eval()
    x = torch.rand(1, *alike.trunk.input_size)
    with torch.inference_mode():
        alike(x)
        began = time.perf_counter()
        alike(x)
    one = time.perf_counter() - began
    ratio = 1 + counted.row("flat").macs / max(counted.row("full").macs, 1)
    if one * ratio * (_TURNS + 3) > _SECONDS:
        return counted
    return cost_card(alike, batches=(1,), repeats=_TURNS, memory=False)


def eval_command(facts: CardFacts, weights: str, data: str | None = None) -> str:
    """Measures weights on `data`, a shell word, or on the validation images; where those were held out of the training
    images, on images that the user must name."""
    request = facts.request
    root = ""
    if data is None:
        held_out = str(facts.data.get("validation", "")).endswith("held out of training")
        data = TEST_IMAGES if held_out else shlex.quote(request.val or request.data)
        root = f" --root {shlex.quote(request.root)}" if request.root and not held_out else ""
    return f"hiergen eval {shlex.quote(request.model)} --weights {shlex.quote(weights)} --data {data}{root}"


def cost_command(facts: CardFacts) -> str:
    """Measures everything."""
    return f"hiergen cost {shlex.quote(facts.request.model)}"


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        found.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return found
