"""Colours of even lightness (OKLCH), and the style sheets of the light and the dark scheme."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

Theme = Literal["auto", "light", "dark"]
FAMILY = "system-ui,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif"

# class → declarations in the light and in the dark scheme
_COMMON: dict[str, tuple[str, str]] = {
    "text": ("fill:#1f2328", "fill:#e6edf3"),
    ".dim": ("fill:#59636e", "fill:#9198a1"),
    ".bg": ("fill:#ffffff", "fill:#0d1117"),
    ".line": ("fill:none;stroke:#8c959f", "fill:none;stroke:#6e7681"),
    ".rule": ("stroke:#d0d7de", "stroke:#30363d"),
    ".dot": ("fill:#59636e", "fill:#9198a1"),
    ".hotline": ("fill:none;stroke:#bc4c00", "fill:none;stroke:#ffa657"),
    ".hotbox": ("stroke:#bc4c00", "stroke:#ffa657"),
    ".hotdot": ("fill:#bc4c00", "fill:#ffa657"),
    ".hottext": ("fill:#953800", "fill:#ffb77c"),
    ".cutbox": ("fill:#f6f8fa;stroke:#afb8c1", "fill:#161b22;stroke:#484f58"),
    ".cutline": ("fill:none;stroke:#d0d7de", "fill:none;stroke:#30363d"),
    ".cuttext": ("fill:#818b98", "fill:#6e7681"),
    ".cutdot": ("fill:#d0d7de", "fill:#30363d"),
    ".flat": ("fill:#d0d7de;stroke:#8c959f", "fill:#30363d;stroke:#6e7681"),
}
_FIXED = (
    ".b{font-weight:600}.i{font-style:italic}.cutbox{stroke-dasharray:3 2}.m{text-anchor:middle}.e{text-anchor:end}"
)


def style(theme: Theme, fills: Mapping[str, tuple[str, str]] = {}, *, family: str = FAMILY) -> str:
    """CSS of a picture. `fills`: class → declarations in the light and the dark scheme, besides the common ones.

    "auto" follows the reader's scheme, "light" and "dark" are fixed (what a PNG can be).
    """
    both = dict(fills) | _COMMON  # a choice shows over any colour
    light, dark = ("".join(f"{name}{{{pair[i]}}}" for name, pair in both.items()) for i in (0, 1))
    base = f"text{{font-family:{family}}}{_FIXED}"
    if theme == "auto":
        return f"{base}{light}@media (prefers-color-scheme:dark){{{dark}}}"
    return base + (light if theme == "light" else dark)


def part(hue: float, chroma: float = 0.09) -> tuple[str, str]:
    """Fill and stroke of boxes with text in them, light and dark; `hue` in degrees."""
    light = f"fill:{oklch(0.9, chroma * 0.55, hue)};stroke:{oklch(0.6, chroma, hue)}"
    dark = f"fill:{oklch(0.34, chroma * 0.55, hue)};stroke:{oklch(0.62, chroma, hue)}"
    return light, dark


def line(hue: float, chroma: float = 0.11) -> tuple[str, str]:
    """Stroke of links, light and dark."""
    return f"fill:none;stroke:{oklch(0.66, chroma, hue)}", f"fill:none;stroke:{oklch(0.6, chroma, hue)}"


def solid(hue: float, chroma: float = 0.11) -> tuple[str, str]:
    """Fill without text in it, light and dark."""
    return f"fill:{oklch(0.66, chroma, hue)}", f"fill:{oklch(0.6, chroma, hue)}"


def tinted(count: int) -> dict[str, tuple[str, str]]:
    """Classes .g1 … (boxes), .l1 … (links) and .s1 … (dots) of so many groups, and .g0, .l0, .s0 without a hue."""
    fills = {".g0": part(255, 0.02), ".l0": line(255, 0.02), ".s0": solid(255, 0.02)}
    for i, hue in enumerate(hues(count), 1):
        fills |= {f".g{i}": part(hue), f".l{i}": line(hue), f".s{i}": solid(hue)}
    return fills


def hues(count: int) -> list[float]:
    """So many hues in degrees; neighbours are far apart."""
    if count < 1:
        return []
    stride = next(s for s in range(max(count * 3 // 8, 1), count + 2) if math.gcd(s, count) == 1)
    return [(255 + 360 * (i * stride % count) / count) % 360 for i in range(count)]


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """sRGB of an OKLCH colour (Ottosson 2020, "A perceptual color space for image processing"); chroma is reduced
    until it can be shown."""
    while True:
        channels = _linear(lightness, chroma, math.radians(hue))
        if chroma < 1e-3 or all(-1e-4 <= c <= 1 + 1e-4 for c in channels):
            return "#" + "".join(f"{round(255 * _gamma(min(max(c, 0.0), 1.0))):02x}" for c in channels)
        chroma *= 0.95


def _linear(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _gamma(c: float) -> float:
    return 12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055
