"""What lies beside the weights when a training is over: metrics, a model card and pictures."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hiergen.console.terminal import say
from hiergen.errors import HiergenError, printable
from hiergen.files import writable, write_text
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.loop import BEST
from hiergen.training.metrics import Metrics, confusion
from hiergen.training.metrics_table import summary_table
from hiergen.training.model_card import CardFacts, best_epoch, card_text, eval_command, measured_cost, trained_words
from hiergen.training.recipe import Recipe
from hiergen.training.runfolder import CARD, METRICS, Request
from hiergen.views.draw.draw import network_picture, tree_picture
from hiergen.views.draw.subject import of_network
from hiergen.views.plots import draw_confusion, draw_curves, draw_pairs

if TYPE_CHECKING:
    from rich.console import Console

    from hiergen.costs import CostCard

CLASSES, CURVES, CONFUSION = "classes.csv", "curves", "confusion"
ARCHITECTURE, TREE = "architecture.svg", "tree.svg"
_MOST = 40  # groups of a heatmap
_MOST_CLASSES = 60
_PAIRS = 20  # most confused ones
_TRIED = 5  # names for the example of a cutout


def write_report(
    folder: Path,
    network: HierarchicalNetwork,
    metrics: Metrics,
    *,
    history: list[dict[str, float]],
    recipe: Recipe,
    request: Request,
    data: dict[str, Any],
    console: Console | None,
) -> None:
    """Write metrics.json, classes.csv, architecture.svg, tree.svg, card.md, and with matplotlib curves and confusion
    (.png and .svg), into `folder`.

    `network` is the trained one, `metrics` those of its kept weights, `history` has a row for each epoch, and `data` is
    what is known of the images. Each file is written beside and renamed, the card last. A summary and the next commands
    go to the console. Raises OutputError where a file cannot be written.
    """
    with torch.device("meta"):  # names and shapes; the trained one may be in parts on several devices
        plain = type(network)()
    write_text(folder / METRICS, metrics_json(metrics))
    write_text(folder / CLASSES, classes_csv(metrics))
    drawn = tuple(draw_network(folder, plain))
    pictures: tuple[str, ...] = ()
    missing = None
    try:
        pictures = tuple(draw_pictures(folder, metrics, history))
    except HiergenError as error:
        if error.hint is None or "hiergen[viz]" not in error.hint:
            raise
        missing = f"no curves and confusions: {error}"
    cost = _cost(plain, next(network.parameters()).device, console)
    facts = CardFacts(plain, metrics, history, recipe, request, data, cost, pictures, drawn)
    write_text(folder / CARD, card_text(facts))
    if missing:
        say(console, missing, style="yellow")
    if console is not None:
        _print(console, folder, facts)


def draw_network(folder: Path, network: HierarchicalNetwork) -> Iterator[str]:
    """Draw the architecture and the tree as SVG; the names of the files. None for a network that cannot be planned."""
    subject = of_network(network, taxonomy="", model=type(network).__name__)
    if subject.plan is not None:
        write_text(folder / ARCHITECTURE, network_picture(subject))
        yield ARCHITECTURE
    write_text(folder / TREE, tree_picture(subject))
    yield TREE


def metrics_json(metrics: Metrics) -> str:
    """All metrics as JSON."""
    return writable(json.dumps(metrics.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def classes_csv(metrics: Metrics) -> str:
    """One line for each class, in the order of the logits; what is not defined is empty."""
    text = io.StringIO()
    rows = [score.to_dict() for score in metrics.classes]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return writable(text.getvalue())


def draw_pictures(folder: Path, metrics: Metrics, history: Sequence[dict[str, float]]) -> Iterator[str]:
    """Draw; the names of the PNGs that are there then. Raises HiergenError without matplotlib."""
    if history:
        draw_history(history, *_both(folder, CURVES))
        yield f"{CURVES}.png"
    heatmaps = [level for level in metrics.levels[:-1] if 2 <= len(level.groups) <= _MOST]
    for number, level in enumerate(heatmaps):
        name = f"{CONFUSION}-level{level.level}" if number else CONFUSION
        labels = _told_apart([group.name for group in level.groups], ["/".join(group.path) for group in level.groups])
        title = f"Level {level.level}: {len(labels)} groups, {metrics.images:,} images"
        draw_confusion(metrics.confusion(level.level).tolist(), labels, *_both(folder, name), title=title)
        yield f"{name}.png"
    scores = metrics.classes
    names = _told_apart([score.name for score in scores], [f"{score.name} {score.id}" for score in scores])
    title = f"{len(names):,} classes, {metrics.images:,} images"
    name = f"{CONFUSION}-classes" if heatmaps else CONFUSION
    if len(names) <= _MOST_CLASSES:
        order = _by_group(metrics)
        counts = confusion(metrics.targets, metrics.predictions, len(names))[order][:, order].tolist()
        draw_confusion(counts, [names[c] for c in order], *_both(folder, name), title=title)
    elif heatmaps:
        return
    else:
        worst = worst_pairs(metrics.targets, metrics.predictions, _PAIRS)
        pairs = [(names[i], names[j], wrong, metrics.classes[i].images) for i, j, wrong in worst]
        draw_pairs(pairs, *_both(folder, name), title=f"Most frequent mistakes: {title}")
    yield f"{name}.png"


def _by_group(metrics: Metrics) -> list[int]:
    """Classes, those of one group side by side."""
    levels = [level.of_class.tolist() for level in metrics.hierarchy.levels[:-1]]
    return sorted(range(len(metrics.classes)), key=lambda c: [of[c] for of in levels])


def draw_history(history: Sequence[dict[str, float]], *paths: Path) -> None:
    """Loss, accuracy by level and learning rate by epoch. Raises HiergenError without matplotlib."""
    names = list(history[0])
    losses = {"training": "train_loss", "validation, NLL": "val_nll"}
    shares = {"top-1": "val_top1", "top-5": "val_top5"}
    shares |= {f"level {name[9:]}": name for name in names if name.startswith("val_level")}
    draw_curves(
        [row["epoch"] for row in history],
        {label: [row.get(key) for row in history] for label, key in losses.items() if key in names},
        {label: [row.get(key) for row in history] for label, key in shares.items() if key in names},
        [row.get("lr") for row in history],
        *paths,
        best=best_epoch(history),
    )


def worst_pairs(targets: torch.Tensor, predictions: torch.Tensor, most: int) -> list[tuple[int, int, int]]:
    """(true, predicted, images) of the most frequent mistakes, in the order of the classes where equal; no matrix."""
    wrong = targets != predictions
    pairs, times = torch.unique(torch.stack([targets[wrong], predictions[wrong]]), dim=1, return_counts=True)
    order = times.argsort(descending=True, stable=True)[:most]
    return [(int(pairs[0, k]), int(pairs[1, k]), int(times[k])) for k in order]


def cutout_example(network: HierarchicalNetwork) -> str | None:
    """A group, else a class, that `hiergen cutout --classes` takes; None where the first ones do not do."""
    from hiergen.lookup.choose import choose

    groups = [name for level in range(1, network.nesting.depth) for name in network.nesting.names(level)]
    for name in (*islice(groups, _TRIED), *islice(network.classes, _TRIED)):
        try:
            classes = choose(network.selector, [name]) or ()
        except HiergenError:  # a comma in its name, or two things of one name
            continue
        if printable(name) == name and 0 < len(classes) < network.num_classes:
            return name
    return None


def _cost(network: HierarchicalNetwork, device: torch.device, console: Console | None) -> CostCard | None:
    try:
        return measured_cost(network, device)
    except HiergenError as error:  # memory, mostly: no reason to lose the card
        say(console, f"no costs in the card: {error}", style="yellow")
        return None


def _both(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.png", folder / f"{name}.svg"


def _told_apart(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """The names, in their longer form where two are alike."""
    times = Counter(names)
    return [long if times[name] > 1 else name for name, long in zip(names, longer, strict=True)]


def _print(console: Console, folder: Path, facts: CardFacts) -> None:
    console.print(summary_table(facts.metrics))
    best = best_epoch(facts.history)
    if best is not None and len(facts.history) > 1:
        note = f"of the images that the best epoch ({best} of {len(facts.history)}) was chosen on"
        say(console, note, style="dim")
    files = ", ".join((BEST, METRICS, CLASSES, CARD, *facts.drawn, *facts.pictures))
    lines = [f"in {folder}: {files}", "next:", f"  hiergen predict {shlex.quote(str(folder))} IMAGES"]
    lines.append(f"  {eval_command(facts, folder)}")
    name = cutout_example(facts.network)
    if name is not None:
        model, out = trained_words(facts.request, folder), shlex.quote(str(folder / "cutout"))
        lines.append(f"  hiergen cutout {model} --classes={shlex.quote(name)} --out {out}")
    for line in lines:
        say(console, writable(line))
