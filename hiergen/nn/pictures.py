"""Pictures as a network reads them: in its mode, in 8 bits, by a list of formats."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hiergen.errors import HiergenError, nearest, unquoted
from hiergen.taxonomy.imageformats import formats

if TYPE_CHECKING:
    from hiergen.nn.network import HierarchicalNetwork

# PIL raises these for a file that is no image, is cut off, or is a bomb
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
Picture: TypeAlias = "Image.Image | str | os.PathLike[str] | IO[bytes] | np.ndarray | Tensor"
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def image_mode(network: HierarchicalNetwork) -> str:
    """PIL's mode of images with the network's channels. Raises HiergenError where there is none."""
    channels, height, width = network.input_size
    if channels not in _MODES:
        raise HiergenError(
            f"pictures of {channels} channels cannot be read from image files",
            expected="a network of 1 (greyscale), 3 (RGB) or 4 channels (RGBA)",
            hint=f"this one takes tensors (B, {channels}, {height}, {width}): train and test it in a loop of your own",
        )
    return _MODES[channels]


def read_picture(picture: Picture, mode: str) -> Image.Image:
    """A picture in this mode: of a path or an open file, a PIL image, or of pixels, uint8: an array `(H, W)` or
    `(H, W, C)`, a tensor `(H, W)` or `(C, H, W)`. Raises HiergenError for what is no picture, and where it cannot be
    read."""
    place = unquoted(Path(name)) if (name := name_of(picture)) else None
    try:
        if isinstance(picture, Tensor | np.ndarray):
            return converted(_of_pixels(picture), mode)
        if isinstance(picture, str | os.PathLike):
            return converted(_bytes(Path(picture)), mode)
        if isinstance(picture, Image.Image):
            return converted(picture, mode)
        raw = picture.read() if hasattr(picture, "read") else None
        if not isinstance(raw, bytes):
            expected = "a path, a PIL image, an array or a tensor"
            raise HiergenError("is no picture", place=place, expected=expected, got=type(picture).__name__)
        return converted(raw, mode)
    except BROKEN as error:
        raise broken(error, place) from None


def name_of(picture: object) -> str:
    """A picture's file, "" where there is none."""
    return os.fsdecode(picture) if isinstance(picture, str | os.PathLike) else ""


def _bytes(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    if path.exists():  # a pipe or a device may never end
        raise OSError("a folder" if path.is_dir() else "no regular file")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = tuple(unquoted(path.parent / name) for name in nearest(path.name, sorted(beside)))
    raise HiergenError("no such image file", place=unquoted(path), nearest=close)


def _of_pixels(picture: Tensor | np.ndarray) -> Image.Image:
    """Of uint8 pixels."""
    pixels = picture.detach().cpu() if isinstance(picture, Tensor) else picture
    if isinstance(pixels, Tensor):
        pixels = (pixels.movedim(0, -1) if pixels.ndim == 3 else pixels).numpy()
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _MODES)
    if pixels.dtype != np.uint8 or not fits or not pixels.size:
        raise HiergenError(
            "an array is no picture",
            expected="uint8, (H, W), or (H, W, C) of 1, 3 or 4 channels",
            got=f"{pixels.dtype}, {pixels.shape}",
        )
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))


def converted(image: Image.Image | bytes, mode: str) -> Image.Image:
    """A copy in this mode, as timm makes it. Raises what PIL does for bytes that are no image, and ValueError for
    pixels of which nobody knows what is white."""
    if isinstance(image, bytes):
        with Image.open(io.BytesIO(image), formats=formats()) as opened:
            return converted(opened, mode)
    most = Image.MAX_IMAGE_PIXELS  # PIL warns there, and refuses twice as many
    if most is not None and image.width * image.height > most:
        raise ValueError(f"{image.width:,} × {image.height:,} pixels, more than PIL.Image.MAX_IMAGE_PIXELS, {most:,}")
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # the same colours; PIL would warn
    return (_scaled(image) if is_deep(image) else image).convert(mode)


def is_deep(image: Image.Image) -> bool:
    """Whether its pixels are numbers of more than 8 bits, of which PIL would make all above 255 white."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def _scaled(image: Image.Image) -> Image.Image:
    """In 8 bits: of 16 bits the upper ones, of floating-point numbers those from 0 to 1."""
    pixels = np.asarray(image)
    low, high = (pixels.min(), pixels.max()) if pixels.size else (0, 0)
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise ValueError(f"floating-point pixels from {low:.3g} to {high:.3g}, not from 0 (black) to 1 (white)")
        return Image.fromarray(np.rint(pixels * np.float32(255)).astype(np.uint8))
    if image.mode == "I" and (image.format not in ("PNG", "PPM") or low < 0 or high > 65535):  # 16 bits there
        raise ValueError(f"whole numbers of 32 bits as pixels, from {low} to {high}: none of them is known as white")
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # a TIFF's BitsPerSample: 12, at times
    return Image.fromarray((pixels >> (bits - 8)).astype(np.uint8))


def broken(error: BaseException, place: str | None) -> HiergenError:
    """The sentence for an image that PIL cannot read."""
    if isinstance(error, UnidentifiedImageError):  # its own text names a buffer in memory
        why = "no format that PIL knows"
    else:
        text = str(error) or type(error).__name__
        why = unquoted(text.splitlines()[0])
    return HiergenError(f"cannot be read as an image ({why})", place=place)
