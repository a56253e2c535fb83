"""Metrics as text for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hiergen.console.terminal import plain_table
from hiergen.training.labelmetrics import LabelMetrics
from hiergen.training.metrics import Metrics
from hiergen.training.rejecting import RejectionScore

_WORST = 10
_GROUPS = 40


def metrics_table(metrics: Metrics) -> RenderableType:
    """Summary, groups and worst classes, one below the other."""
    parts: list[RenderableType] = [summary_table(metrics)]
    if any(level.groups for level in metrics.levels):
        parts += ["", group_table(metrics)]
    if metrics.mistakes:
        parts += ["", class_table(metrics)]
    return Group(*parts)


def summary_table(metrics: Metrics) -> Table:
    """One line for each figure, and what it means."""
    table = _table("metric", "value", "")
    rows = [(f"top-{k}", _percent(share), "the true class is among the best k") for k, share in metrics.top.items()]
    rows[0] = (rows[0][0], rows[0][1], f"of {metrics.images:,} images, decision by {metrics.decision}")
    rows.append(("mean class accuracy", _percent(metrics.class_accuracy), "each class with images counts the same"))
    rows += [
        (f"level {level.level}", _percent(level.accuracy), f"the right one of {len(level.groups)} groups")
        for level in metrics.levels[:-1]
    ]
    if metrics.group_images:
        more = f"of {metrics.group_images:,} images more, of which no more than a group is known"
        rows.append(("in their group", _percent(metrics.group_accuracy), more))
    rows += [
        ("LCA height", _plain(metrics.lca_height), "levels up to the common group, mean over all images"),
        (
            "mistake severity",
            _plain(metrics.severity),
            f"the same over the {metrics.mistakes:,} mistakes; the most is {metrics.tree_height}",
        ),
    ]
    rows += [
        (f"distance@{k}", _plain(mean), "levels up to the common group, mean over the best k classes")
        for k, mean in metrics.distance.items()
        if k > 1
    ]
    rows += [
        ("hP, hR, hF", ", ".join(map(_percent, (metrics.hp, metrics.hr, metrics.hf))), "over classes and groups"),
        ("NLL", _plain(metrics.nll), "nats, of the true class's probability"),
        ("ECE", _percent(metrics.ece), f"confidence against accuracy, {metrics.bins} bins"),
    ]
    for name, value, meaning in rows:
        table.add_row(name, value, Text(meaning, style="dim"))
    return table


def label_table(metrics: LabelMetrics) -> RenderableType:
    """Of images with several labels: one line for each figure, and the classes with the least average precision."""
    table = _table("metric", "value", "")
    for name, value, meaning in (
        ("mAP", metrics.map, f"mean average precision of the classes, {metrics.images:,} images"),
        ("F1", metrics.f1, "mean of the classes, a probability of 0.5 says yes"),
        ("F1, micro", metrics.f1_micro, "of all answers together"),
        ("exact", metrics.exact, "images all of whose answers are right"),
    ):
        table.add_row(name, _percent(value), Text(meaning, style="dim"))
    classes = _table("worst classes", "images", "average precision", "precision", "recall", "F1")
    seen = [score for score in metrics.classes if score.images]
    for score in sorted(seen, key=lambda score: score.average_precision or 0.0)[:_WORST]:
        shares = (score.average_precision, score.precision, score.recall, score.f1)
        classes.add_row(Text(score.name), f"{score.images:,}", *map(_percent, shares))
    return Group(table, "", classes)


def rejection_table(score: RejectionScore) -> Table:
    """One line for each figure, and what it means."""
    table = _table("none of these", "value", "")
    for name, value, meaning in score.rows():
        table.add_row(name, value, Text(meaning, style="dim"))
    return table


def group_table(metrics: Metrics, count: int = _GROUPS) -> Table:
    """The groups of each level but the last, at most `count` of a level, those with the least recall first."""
    table = _table("group", "level", "classes", "images", "recall", "precision")
    for level in metrics.levels[:-1]:
        shown = sorted(level.groups, key=lambda g: (g.recall is None, g.recall or 0.0))
        for group in shown[:count]:
            table.add_row(
                Text("/".join(group.path)),
                str(level.level),
                str(group.classes),
                f"{group.images:,}",
                _percent(group.recall),
                _percent(group.precision),
            )
        if len(shown) > count:
            table.add_row(Text(f"… {len(shown) - count} more", style="dim"), str(level.level))
    return table


def class_table(metrics: Metrics) -> Table:
    """The `_WORST` classes with the least accuracy, worst first, and what they are mistaken for."""
    names = {score.id: score.name for score in metrics.classes}
    table = _table("worst classes", "images", "accuracy", "precision", "most often taken for")
    table.columns[-1].justify = "left"
    mistaken = [score for score in metrics.classes if score.accuracy is not None and score.confused]
    for score in sorted(mistaken, key=lambda score: score.accuracy or 0.0)[:_WORST]:
        rival = Text(f"{names[score.confused_with or '']} ({score.confused})")
        accuracy, precision = _percent(score.accuracy), _percent(score.precision)
        table.add_row(Text(score.name), f"{score.images:,}", accuracy, precision, rival)
    return table


def _table(*columns: str) -> Table:
    return plain_table(columns, left=(columns[0], ""))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
