"""Curves and confusions as pictures; needs matplotlib (the extra `viz`). The same figures are the same bytes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.errors import HiergenError, OutputError, printable, unquoted
from hiergen.files import replacing

if TYPE_CHECKING:
    from hiergen.costs.attention import Scan

_KINDS = (".png", ".svg", ".pdf")
_NAME = 30  # characters of a name in a picture
_NUMBERED = 25  # groups up to which every cell has its number; beyond, the diagonal and the worst mistakes
_OTHER_SCRIPTS = (  # fonts for what DejaVu Sans lacks, where they are installed
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "Hiragino Sans",
    "Arial Unicode MS",
    "Noto Emoji",
)


def check(path: Path) -> None:
    """Raise HiergenError where matplotlib is missing, OutputError for a name that says no kind of picture."""
    if path.suffix.lower() not in _KINDS:
        raise OutputError("is no name for a picture", place=unquoted(path), expected=f"one of {', '.join(_KINDS)}")
    figure_class()


def draw_scan(scan: Scan, path: Path, *, what: str) -> None:
    """Accuracy by gain, and by the rate of wrong cues. Raises as `check` does, and where it cannot be written."""
    check(path)
    figure = figure_class()(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    held, best = scan.held, scan.best
    for values, label, dashes in ((held.right, "right cue", "-"), (held.wrong, "wrong cue", "--")):
        left.plot(held.gains, [100 * value for value in values], dashes, label=label)
    left.axvline(best, color="0.6", linewidth=0.8)
    left.set(xlabel=f"gain on the true {what}", ylabel="top-1, %")
    rates = [i / 50 for i in range(51)]
    rows = scan.by_rate(rates)
    right.plot([100 * rate for rate in rates], [100 * row[1] for row in rows], label=f"gain {best:g}")
    right.plot([100 * rate for rate in rates], [100 * row[3] for row in rows], ":", label="best gain for the rate")
    right.set(xlabel="wrong cues, %")
    for axes in (left, right):
        axes.axhline(100 * held.baseline, color="black", linewidth=0.8, label="without attention")
        axes.legend(frameon=False)
    save(figure, path)


def draw_curves(
    epochs: Sequence[float],
    losses: Mapping[str, Sequence[float | None]],
    shares: Mapping[str, Sequence[float | None]],
    rates: Sequence[float | None],
    *paths: Path,
    best: float | None = None,
) -> None:
    """Losses, shares (of 1, drawn as %) and learning rates by epoch; a line at the `best` epoch. None leaves a gap.

    Raises as `check` does, and where it cannot be written.
    """
    for path in paths:
        check(path)
    with style():
        figure = figure_class()(figsize=(12, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        marker = "." if len(epochs) <= 40 else None
        for name, values in losses.items():
            left.plot(epochs, _gaps(values), marker=marker, label=plain(name))
        for name, values in shares.items():
            middle.plot(epochs, _gaps(values, 100), marker=marker, label=plain(name))
        right.plot(epochs, _gaps(rates), marker=marker, color="0.3")
        left.set(ylabel="loss")
        middle.set(ylabel="accuracy (validation), %")
        right.set(ylabel="learning rate")
        right.ticklabel_format(axis="y", scilimits=(-2, 4))
        for axes in (left, middle, right):
            axes.set_xlabel("epoch")
            axes.grid(color="0.9", linewidth=0.6)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if len(epochs) == 1:
                axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
            if best is not None:
                axes.axvline(best, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        if best is not None:
            right.text(best, 1.01, f"best: {best:g}", transform=right.get_xaxis_transform(), ha="center", fontsize=8)
        for axes, lines in ((left, losses), (middle, shares)):
            if lines:
                axes.legend(frameon=False, fontsize=8)
        for path in paths:
            save(figure, path)


def draw_confusion(counts: Sequence[Sequence[int]], names: Sequence[str], *paths: Path, title: str) -> None:
    """Heatmap of counts (row: true, column: predicted), each row as % of its images, with the names of both.

    Raises as `check` does, and where it cannot be written.
    """
    for path in paths:
        check(path)
    count = len(names)
    shown = [plain(name) for name in names]
    totals = [sum(row) for row in counts]
    rows = [[100 * n / total if total else math.nan for n in row] for row, total in zip(counts, totals, strict=True)]
    cell = 0.55 if count <= 12 else 0.4 if count <= _NUMBERED else 0.3
    size = 7 if count <= _NUMBERED else 6
    label = 9 if count <= 12 else 8
    side = cell * max(count, 4) + 0.075 * label / 8 * max(map(len, shown))
    with style():
        figure = figure_class()(figsize=(side + 1.9, side + 0.9), layout="constrained")
        axes = figure.subplots()
        colours = import_module("matplotlib").colormaps["Blues"].with_extremes(bad="0.85")
        image = axes.imshow(_masked(rows), cmap=colours, vmin=0, vmax=100)
        axes.set_xticks(range(count), shown, rotation=90 if count > 3 else 0, fontsize=label, parse_math=False)
        labels = [f"{name}  ({n:,})" for name, n in zip(shown, totals, strict=True)]
        axes.set_yticks(range(count), labels, fontsize=label, parse_math=False)
        axes.set(xlabel="predicted", ylabel="true (images)")
        axes.set_title(plain(title, 200), fontsize=10, loc="left", parse_math=False)
        axes.set_xticks([i - 0.5 for i in range(1, count)], minor=True)
        axes.set_yticks([i - 0.5 for i in range(1, count)], minor=True)
        axes.grid(which="minor", color="0.9", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        for i, row in enumerate(rows):
            for j, share in enumerate(row):
                if (text := _percent(share)) and (count <= _NUMBERED or i == j or share >= 1):
                    colour = "white" if share > 55 else "black"
                    axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour)
        bar = figure.colorbar(image, ax=axes, shrink=min(1, 3 / side), aspect=15)
        bar.set_label("% of the row's images" + (", grey: none" if 0 in totals else ""))
        for path in paths:
            save(figure, path)


def draw_pairs(pairs: Sequence[tuple[str, str, int, int]], *paths: Path, title: str) -> None:
    """Bars of the pairs (true, predicted, wrong images, images of the true one), in the order given.

    Raises as `check` does, and where it cannot be written.
    """
    for path in paths:
        check(path)
    with style():
        figure = figure_class()(figsize=(9, 1.2 + 0.28 * max(len(pairs), 1)), layout="constrained")
        axes = figure.subplots()
        names = [f"{plain(true)} → {plain(predicted)}" for true, predicted, _, _ in pairs]
        shares = [100 * wrong / images if images else 0.0 for _, _, wrong, images in pairs]
        bars = axes.barh(range(len(pairs)), shares, color="#4c78a8")
        axes.bar_label(bars, [f" {wrong:,} of {images:,}" for _, _, wrong, images in pairs], fontsize=7)
        axes.set_yticks(range(len(pairs)), names, fontsize=8, parse_math=False)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_xlim(left=0)
        axes.set_xlabel("% of the true one's images")
        axes.set_title(plain(title, 200), fontsize=10, loc="left", parse_math=False)
        if not pairs:
            axes.text(0.5, 0.5, "no mistakes", transform=axes.transAxes, ha="center", va="center")
        for path in paths:
            save(figure, path)


def _percent(share: float) -> str:
    """Whole %, "<1" for a little, ">99" for not quite all; nothing for none and for a row without images."""
    if math.isnan(share) or share == 0:
        return ""
    if 99 < share < 100:
        return ">99"
    return f"{share:.0f}" if share >= 1 else "<1"


def _gaps(values: Sequence[float | None], factor: float = 1.0) -> list[float]:
    return [math.nan if value is None else factor * value for value in values]


def _masked(rows: list[list[float]]) -> Any:
    numpy = import_module("numpy")
    return numpy.ma.masked_invalid(numpy.array(rows))


def plain(name: str, length: int = _NAME) -> str:
    """One printable line (an SVG holds no control characters), shortened in the middle: ends of names tell apart."""
    text = printable(name)
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's own defaults, whatever the user's matplotlibrc says, and fonts for other scripts."""
    matplotlib, fonts = import_module("matplotlib"), import_module("matplotlib.font_manager").fontManager
    installed = {font.name for font in fonts.ttflist}
    defaults = {key: matplotlib.rcParamsDefault[key] for key in matplotlib.rcParamsDefault if "backend" not in key}
    with matplotlib.rc_context(defaults), warnings.catch_warnings():
        families = ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in installed)]
        matplotlib.rcParams["font.family"] = families
        # a letter no font has is a box in the picture; the SVG has the letter itself
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def save(figure: Any, path: Path) -> None:
    """Beside, then renamed; an SVG has no date and no random ids, and its text as text."""
    kind = path.suffix[1:].lower()
    # no date: the same curves are the same bytes
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    fixed = {"svg.hashsalt": "hiergen", "svg.fonttype": "none"}
    with import_module("matplotlib").rc_context(fixed), replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)


def figure_class() -> Any:
    try:
        return import_module("matplotlib.figure").Figure
    except ModuleNotFoundError as error:
        if error.name not in ("matplotlib", "matplotlib.figure"):  # what is there is broken, and says so itself
            raise
        raise HiergenError("pictures need matplotlib", hint="pip install 'hiergen[viz]'") from None
