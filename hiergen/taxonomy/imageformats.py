"""Which image files are read at all."""

from __future__ import annotations

from functools import cache

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")  # of photographs, as PIL calls them


@cache
def formats() -> tuple[str, ...]:
    """Those that PIL has here. Others are not even tried: an EPS, whatever its name, makes PIL run Ghostscript."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
