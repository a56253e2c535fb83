"""SVG → PNG with resvg (the extra `viz`): a wheel without system libraries."""

from __future__ import annotations

import math
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError

PIXELS = 150_000_000
_LARGE = 3_000_000
_INSTALL = "pip install 'hiergen[viz]'"


def check() -> None:
    """Raises HiergenError where resvg is not installed."""
    _resvg()


def png(svg: str, scale: float | None = None) -> bytes:
    """The picture at `scale` px for each of its own (default: 2, of large ones 1).

    Letters are DejaVu Sans, other scripts in what the system has.

    Raises HiergenError without resvg, and for a scale that would make it too large.
    """
    render = _resvg()
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    assert size is not None
    if scale is None:
        scale = 2.0 if math.prod(map(float, size.groups())) < _LARGE else 1.0
    wide, high = (float(number) * scale for number in size.groups())
    if wide * high > PIXELS or min(wide, high) < 1:
        most = scale * (PIXELS / (wide * high)) ** 0.5
        raise HiergenError(
            f"a PNG of {wide:,.0f} × {high:,.0f} px cannot be drawn", expected=f"a scale up to {most:.2g}, or .svg"
        )
    files = _fonts()
    made = render(
        svg_string=svg,
        zoom=scale,
        font_files=files,
        font_family="DejaVu Sans",
        sans_serif_family="DejaVu Sans",
    )
    return bytes(made)


def _fonts() -> list[str]:
    """matplotlib's, so that a PNG looks alike everywhere."""
    try:
        folder = Path(import_module("matplotlib").get_data_path()) / "fonts" / "ttf"
    except ImportError:
        return []
    return [str(file) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf") if (file := folder / name).is_file()]


def _resvg() -> Any:
    try:
        return import_module("resvg_py").svg_to_bytes
    except ImportError:
        raise HiergenError("a PNG needs resvg-py", hint=f"{_INSTALL}, or write an .svg") from None
