"""The model card: what was trained, on what, how good it is, what it costs, and what its figures are not.

There is no date in it: the same training gives the same text, but for the measured ms.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import timm
import torch

from hiergen import __version__
from hiergen.train.cardfacts import TEST_IMAGES, CardFacts, best_epoch, cost_command, eval_command, recipe_changes
from hiergen.train.loop import BEST
from hiergen.train.markdown import escaped, fenced, from_rich, table, writable
from hiergen.train.metrics_table import class_table, group_table, summary_table
from hiergen.train.recipefile import dump_recipe
from hiergen.units import giga
from hiergen.weights import taxonomy_hash

_LISTED = 40  # names in a row


def card_text(facts: CardFacts) -> str:
    """The whole card."""
    parts = (_model, _loading, _figures, _costs, _data, _training, _recipe, _limits, _licence)
    return writable("\n".join(line for part in parts for line in (*part(facts), "")))


# its parts


def _model(facts: CardFacts) -> Iterator[str]:
    network, recipe = facts.network, facts.recipe
    nest = network.nest
    branches = " → ".join(f"{level.branches:,}" for level in network.levels)
    yield f"# {escaped(type(network).__name__)}"
    yield ""
    yield (
        f"An image classifier for {network.num_classes:,} classes: a shared trunk (`{network.trunk.backbone}` up to "
        f"`{network.trunk.until}`), then {branches} branches in {len(network.levels)} level"
        f"{'s' if len(network.levels) > 1 else ''}, so that every class and group has features of its own."
    )
    for name in facts.drawn:
        yield ""
        yield f"![{escaped(name)}]({name})"
    yield ""
    shape, config = network.trunk.input_size, network.pretrained_cfg
    mean, std = (" ".join(f"{v:g}" for v in config.get(key) or ()) or "–" for key in ("mean", "std"))
    rows = [("model", escaped(facts.request.model))]
    for level in range(1, nest.depth):
        names = nest.names(level)
        rows.append((f"groups of level {level}", f"{len(names):,}: {_names(names)}"))
    rows += [
        ("classes", f"{network.num_classes:,}: {_names(nest.labels)}"),
        ("input", f"{shape[0]} × {shape[1]} × {shape[2]} (channels, height, width); mean {mean}, std {std}"),
        ("trunk in training", escaped(recipe.trunk.mode)),
        ("taxonomy sha256", f"`{taxonomy_hash(network)}`"),
        (
            "made with",
            f"hiergen {__version__}, torch {torch.__version__}, timm {timm.__version__}, "
            f"Python {platform.python_version()}",
        ),
    ]
    yield from table(("", ""), rows)


def _loading(facts: CardFacts) -> Iterator[str]:
    yield "## Load it"
    yield ""
    yield "In the folder of this card (the model's source where it was in training, or its path as it is now):"
    yield ""
    model = ascii(facts.request.model)
    yield from fenced(
        "from hiergen.models import load_network\n"
        "from hiergen.train.augment import eval_transform\n\n"
        f"network = load_network({model}, {BEST!r})\n"
        "transform = eval_transform(network)  # PIL image -> (3, H, W)\n"
        "logits = network(transform(image)[None])  # (1, classes), in the order of network.classes",
        "python",
    )


def _figures(facts: CardFacts) -> Iterator[str]:
    metrics = facts.metrics
    yield "## Figures"
    yield ""
    yield f"On {metrics.images:,} validation images; read the limits below. All figures: `metrics.json`, `classes.csv`."
    yield ""
    yield from from_rich(summary_table(metrics))
    if any(level.groups for level in metrics.levels):
        yield ""
        yield from from_rich(group_table(metrics, _LISTED))
    if metrics.mistakes:
        yield ""
        yield from from_rich(class_table(metrics))
    for name in facts.pictures:
        yield ""
        yield f"![{escaped(name)}]({name})"


def _costs(facts: CardFacts) -> Iterator[str]:
    yield "## Cost"
    yield ""
    card = facts.cost
    if card is not None:
        times, memory = card.rows[0].times, card.rows[0].memory
        head = ["", "classes", "params", "GMACs per image", *(f"ms, batch {t.batch}" for t in times)]
        head += [f"peak MB, batch {m.batch}" for m in memory]
        rows = [
            [
                escaped(row.label),
                f"{row.classes:,}",
                f"{row.params:,}",
                giga(row.macs),
                *(f"{t.ms:.1f} ({t.low:.1f}–{t.high:.1f})" for t in row.times),
                *(f"{m.peak / 1e6:,.0f}" for m in row.memory),
            ]
            for row in card.rows
        ]
        yield from table(head, rows, right=range(1, len(head)))
        yield ""
        if times:
            yield (
                f"ms: median (quartiles) of {times[0].runs} runs in turns, {card.dtype}, {card.threads} CPU threads, "
                f"{escaped(card.machine)}; right after training, so rather a first look than a benchmark."
            )
            yield ""
        yield escaped(card.verdict)
        yield ""
    missing = card is None or not card.rows[0].times or not card.rows[0].memory
    if missing:
        yield "What is not here (ms, peak memory, other batch sizes, cutouts) is measured by"
        yield ""
        yield from fenced(cost_command(facts))


def _data(facts: CardFacts) -> Iterator[str]:
    data = facts.data
    broken = [str(place) for place in data.get("broken", ())]
    rows = [
        ("training", f"{escaped(data['training'])}: {data['training_images']:,} images"),
        ("validation", f"{escaped(data['validation'])}: {data['validation_images']:,} images"),
        ("broken images left out", f"{len(broken):,}{': ' + _names(broken, 10) if broken else ''}"),
        ("fingerprint of the training images", f"`{escaped(data['fingerprint'])}`"),
    ]
    yield "## Data"
    yield ""
    yield from table(("", ""), rows)


def _training(facts: CardFacts) -> Iterator[str]:
    history, request, recipe = facts.history, facts.request, facts.recipe
    best = best_epoch(history)
    rows = [("epochs", f"{len(history):,}"), ("seed", f"{recipe.seed}"), ("loss", escaped(recipe.loss.name))]
    if history:
        last = history[-1]
        rows.append(("updates", f"{int(last.get('step') or 0):,}, of up to {recipe.batch_size:,} images each"))
    if best is not None:
        row = next(row for row in history if row["epoch"] == best)
        rows.append(("best epoch (its weights are kept)", f"{best}: top-1 {_percent(row['val_top1'])}"))
        rows.append(("last epoch", f"{len(history)}: top-1 {_percent(history[-1]['val_top1'])}"))
    started = [f"weights {escaped(request.weights)}"] if request.weights else []
    if request.trunk_weights:
        started.append(f"trunk of {escaped(request.trunk_weights)}")
    elif recipe.trunk.pretrained and not request.weights:
        started.append("trunk with timm's pretrained weights")
    rows.append(("started from", ", ".join(started) or "random weights"))
    yield "## Training"
    yield ""
    yield from table(("", ""), rows)


def _recipe(facts: CardFacts) -> Iterator[str]:
    name = facts.request.recipe
    changes = recipe_changes(facts.recipe, name)
    yield "## Recipe"
    yield ""
    if changes is None:
        yield f"{escaped(name)}, a recipe of the user's."
    elif not changes:
        yield f"{escaped(name)}, as it ships with hiergen {__version__}."
    else:
        yield f"{escaped(name)}, which differs from the one that ships with hiergen {__version__}:"
        yield ""
        rows = [(escaped(key), escaped(_value(shipped)), escaped(_value(here))) for key, shipped, here in changes]
        yield from table(("key", "shipped", "here"), rows)
    yield ""
    yield from fenced(dump_recipe(facts.recipe), "yaml")


def _limits(facts: CardFacts) -> Iterator[str]:
    metrics, history, recipe, request = facts.metrics, facts.history, facts.recipe, facts.request
    best = best_epoch(history)
    yield "## Limits"
    yield ""
    if best is not None and len(history) > 1:
        yield (
            f"- The figures are figures of the images that the best epoch was chosen on ({best} of {len(history)}, by "
            "top-1): they tend to be too good. On images that nothing was chosen on:"
        )
    else:
        yield (
            "- No epoch was chosen on the validation images, but whoever compares trainings by them chooses. On images "
            "that nothing was chosen on:"
        )
    yield ""
    yield from (f"  {line}" for line in fenced(eval_command(facts, BEST, data=TEST_IMAGES)))
    yield ""
    row = next((row for row in history if row["epoch"] == best), None)
    scored = None if row is None else row["val_top1"]
    if scored is not None and abs(scored - metrics.top1) > 1e-9:
        yield (
            f"- Top-1 was measured anew at the end: {_percent(metrics.top1)}; epoch {best} had {_percent(scored)} in "
            "training."
        )
    error = math.sqrt(metrics.top1 * (1 - metrics.top1) / metrics.images)
    yield (
        f"- {metrics.images:,} images: by the binomial formula, the standard error of top-1 is {100 * error:.2f} "
        f"percentage points. It is one training, with seed {recipe.seed}; another seed gives other figures."
    )
    lacking = sum(score.images == 0 for score in metrics.classes)
    if lacking:
        yield f"- {lacking:,} of {len(metrics.classes):,} classes have no validation image: nothing is known of them."
    yield (
        "- Where the validation images are of the same source as those of training, they say nothing of images of "
        "another camera, place or time."
    )
    yield "- Every image gets one of the classes, also one that shows none of them."
    if recipe.trunk.pretrained or request.trunk_weights or request.weights:
        yield "- Whether the weights that it started from had seen the validation images is not checked."
    broken = len(facts.data.get("broken", ()))
    if broken:
        yield f"- Broken images were left out ({broken:,}): they are not among the figures."


def _licence(facts: CardFacts) -> Iterator[str]:
    yield "## Licence"
    yield ""
    yield (
        "Of these weights: to be filled in by whoever publishes them (the images, and weights that training started "
        "from, may have terms of their own)."
    )


def _names(names: Sequence[str], most: int = _LISTED) -> str:
    shown = ", ".join(escaped(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def _value(value: Any) -> str:
    """As YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
