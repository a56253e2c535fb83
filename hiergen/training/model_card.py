"""The model card: what was trained, on what, how good it is, what it costs, and what its figures are not.

`model_card.md.j2` is its text; here is what it is filled with. There is no date in it: the same training gives the same
text, but for the measured ms.
"""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import timm
import torch

from hiergen._version import __version__
from hiergen.console.markdown import Markdown, escaped, fenced, table
from hiergen.files import writable
from hiergen.models.hub import front_matter
from hiergen.models.weights import taxonomy_hash
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.pictures import image_mode
from hiergen.training.loop import BEST
from hiergen.training.metrics import Metrics
from hiergen.training.metrics_table import class_table, group_table, summary_table
from hiergen.training.recipe import Recipe, dump_recipe, load_recipe, recipe_names
from hiergen.training.runfolder import Request

if TYPE_CHECKING:
    from rich.table import Table

    from hiergen.costs import CostCard

History = Sequence[Mapping[str, float | None]]
TEST_IMAGES = "TEST_IMAGES"  # for the user to replace
_LISTED = 40  # names in a row
_SECONDS = 8.0  # that measuring may take on a CPU
_MACS = 2e9  # of both networks, above which a CPU is not even tried
_TURNS = 7
_LOADING = """\
import hiergen

network = hiergen.load_network({model})
print(network.predict(image))  # a file, or a PIL image in mode {mode}
logits = network(network.preprocess(image)[None])  # {size} -> (1, classes), in the order of network.classes"""


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


def card_text(facts: CardFacts) -> str:
    """The whole card."""
    network, metrics, request, history = facts.network, facts.metrics, facts.request, facts.history
    best = best_epoch(history)
    means = [" ".join(f"{v:g}" for v in network.pretrained_cfg.get(key) or ()) or "–" for key in ("mean", "std")]
    started = [f"weights {request.weights}"] if request.weights else []
    if request.trunk_weights:
        started.append(f"trunk of {request.trunk_weights}")
    elif facts.recipe.trunk.pretrained and not request.weights:
        started.append("trunk with timm's pretrained weights")
    tables = [summary_table(metrics)]
    tables += [group_table(metrics, _LISTED)] if any(level.groups for level in metrics.levels) else []
    tables += [class_table(metrics)] if metrics.mistakes else []
    head = front_matter(type(network).__name__, **_result(facts))
    text = head + _template().render(
        vars(facts),
        name=type(network).__name__,
        branches=" → ".join(f"{level.branches:,}" for level in network.levels),
        groups=[network.nesting.names(level) for level in range(1, network.nesting.depth)],
        mean=means[0],
        std=means[1],
        taxonomy=taxonomy_hash(network),
        version=__version__,
        versions=f"hiergen {__version__}, torch {torch.__version__}, timm {timm.__version__}, "
        f"Python {platform.python_version()}",
        loading=_LOADING.format(
            model="'.'" if request.copied is not None else f"{request.model!a}, {BEST!r}",
            mode=image_mode(network),
            size=network.input_size,
        ),
        tables=["\n".join(from_rich(shown)) for shown in tables],
        times=() if facts.cost is None else facts.cost.rows[0].times,
        cost_rows="" if facts.cost is None else _cost_rows(facts.cost),
        cost_command=f"hiergen cost {'.' if request.copied is not None else shlex.quote(request.model)}",
        broken=[str(place) for place in facts.data.get("broken", ())],
        best=best,
        best_top1=next((row["val_top1"] for row in history if row["epoch"] == best), None),
        started=", ".join(started) or "random weights",
        changes=recipe_changes(facts.recipe, request.recipe),
        recipe_text=dump_recipe(facts.recipe),
        eval_command=eval_command(facts, Path(), data=TEST_IMAGES),
        lacking=sum(score.images == 0 for score in metrics.classes),
    )
    return writable(text)


def trained_words(request: Request, folder: Path) -> str:
    """What commands take for the trained network, as shell words."""
    if request.copied is not None:
        return shlex.quote(str(folder))
    return f"{shlex.quote(request.model)} --weights {shlex.quote(str(folder / BEST))}"


def _result(facts: CardFacts) -> dict[str, Any]:
    """The figure of merit as Hugging Face lists it."""
    from huggingface_hub import EvalResult

    name = Path(facts.request.val or facts.request.data).name or "images"
    top1 = EvalResult(
        task_type="image-classification",
        dataset_type="imagefolder",
        dataset_name=f"{name} (validation, {facts.metrics.images:,} images)",
        metric_type="accuracy",
        metric_value=round(facts.metrics.top1, 4),
    )
    return {"eval_results": [top1]}


def best_epoch(history: History) -> int | None:
    """The first epoch of the highest top-1, which is the one whose weights are kept."""
    scores = [(row["val_top1"], -row["epoch"]) for row in history if row["val_top1"] is not None and row["epoch"]]
    return -int(max(scores)[1]) if scores else None


def recipe_changes(recipe: Recipe, name: str) -> list[tuple[str, Any, Any]] | None:
    """(key, shipped, here) of all values that differ from the shipped recipe; None where no such recipe ships."""
    if name not in recipe_names():
        return None
    shipped, here = (_flat(one.model_dump(mode="json")) for one in (load_recipe(name), recipe))
    return [(key, shipped.get(key), value) for key, value in here.items() if value != shipped.get(key)]


def measured_cost(network: HierarchicalNetwork, device: torch.device) -> CostCard:
    """Counts, and what can be measured in some seconds: on a GPU ms and memory, on a CPU ms of networks that are not
    too slow. Random weights; the trained network is not touched. Raises HiergenError as `hiergen.cost` does."""
    from hiergen.costs import cost

    if device.type == "cuda":
        return cost(type(network)(), device=device, batches=(1, 16), repeats=20, rivals=False)
    counts = cost(network, time=False, memory=False, rivals=False)
    if sum(row.macs for row in counts.rows) > _MACS:
        return counts
    alike = type(network)().eval()
    x = torch.rand(1, *alike.trunk.input_size)
    with torch.inference_mode():
        alike(x)
        began = time.perf_counter()
        alike(x)
    one = time.perf_counter() - began
    ratio = 1 + counts.row("flat").macs / max(counts.row("full").macs, 1)
    if one * ratio * (_TURNS + 3) > _SECONDS:
        return counts
    threads = torch.get_num_threads()
    return cost(alike, runtime="torch", threads=threads, repeats=_TURNS, memory=False, rivals=False)


def eval_command(facts: CardFacts, folder: Path, data: str | None = None) -> str:
    """Measures what was trained in `folder` on `data`, a shell word, or on the validation images; where those were held
    out of the training images, on images that the user must name."""
    request = facts.request
    root = ""
    if data is None:
        held_out = str(facts.data.get("validation", "")).endswith("held out of training")
        data = TEST_IMAGES if held_out else shlex.quote(request.val or request.data)
        root = f" --root {shlex.quote(request.root)}" if request.root and not held_out else ""
    return f"hiergen eval {trained_words(request, folder)} --data {data}{root}"


@cache
def _template() -> jinja2.Template:
    """All that it inserts is text that is shown as it is, but for what a filter says is Markdown."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=lambda value: value if isinstance(value, Markdown) else escaped(value),
    )
    environment.filters |= {
        "raw": Markdown,
        "code": lambda text: Markdown(f"`{text}`"),
        "fenced": lambda text, language="", indent=0: Markdown(f"\n{' ' * indent}".join(fenced(text, language))),
        "count": lambda number: f"{number:,}",
        "percent": lambda share: "–" if share is None else f"{100 * share:.2f} %",
        "some": _some,
        "yaml": lambda value: json.dumps(value) if value is None or isinstance(value, bool) else value,
    }
    source = resources.files("hiergen.training").joinpath("model_card.md.j2").read_text("utf-8")
    return environment.from_string(source)


def _cost_rows(card: CostCard) -> str:
    head = ["", *(name.replace("GMACs", "GMACs per image") for name in card.heads())]
    rows = [[escaped(row.label), f"{row.classes:,}", *row.cells()[1:]] for row in card.rows]
    return "\n".join(table(head, rows, right=range(1, len(head))))


def _some(names: Sequence[str], most: int = _LISTED) -> str:
    first = ", ".join(names[:most])
    return f"{first} and {len(names) - most:,} more" if len(names) > most else first


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def from_rich(shown: Table) -> list[str]:
    """A table of the terminal as Markdown."""
    columns = [[escaped(cell) for cell in column.cells] for column in shown.columns]
    right = [i for i, column in enumerate(shown.columns) if column.justify == "right"]
    return table([escaped(column.header) for column in shown.columns], zip(*columns, strict=True), right=right)
