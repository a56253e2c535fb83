"""Curves as pictures; needs matplotlib (the extra `viz`)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.errors import HiergenError, OutputError, quoted
from hiergen.files import replacing

if TYPE_CHECKING:
    from hiergen.attention import Scan

_KINDS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Raise HiergenError where matplotlib is missing, OutputError for a name that says no kind of picture."""
    if path.suffix.lower() not in _KINDS:
        raise OutputError("is no name for a picture", place=quoted(path)[1:-1], expected=f"one of {', '.join(_KINDS)}")
    _figure()


def draw_scan(scan: Scan, path: Path, *, what: str) -> None:
    """Accuracy by gain, and by the rate of wrong cues. Raises as `check` does, and where it cannot be written."""
    check(path)
    figure = _figure()(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    held, best = scan.held, scan.best
    for values, label, style in ((held.right, "right cue", "-"), (held.wrong, "wrong cue", "--")):
        left.plot(held.gains, [100 * value for value in values], style, label=label)
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
    with replacing(path) as temporary:
        # no date: the same curves are the same bytes
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150, metadata=metadata)


def _figure() -> Any:
    try:
        return import_module("matplotlib.figure").Figure
    except ImportError:
        raise HiergenError("pictures need matplotlib", hint="pip install 'hiergen[viz]'") from None
