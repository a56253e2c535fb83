"""An SVG as text: every string from outside is escaped, numbers are short, and the same input is the same bytes."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from xml.sax.saxutils import escape, quoteattr

from hiergen.views.draw.colours import FAMILY, Theme, style

Point = tuple[float, float]


class Canvas:
    """Shapes in the order drawn. `x`, `y`, sizes in px; a text's `y` is its baseline."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        kind: str = "",
        *,
        room: float | None = None,
        anchor: str = "start",
        bold: bool = False,
        turn: float = 0,
    ) -> None:
        """Shortened to `room` px; `turn`: degrees clockwise about (x, y)."""
        shown = fit(text, room, size, bold=bold) if room is not None else plain(text)
        classes = " ".join([*([kind] if kind else []), *(["b"] if bold else []), *_ANCHORS[anchor]])
        turned = f' transform="rotate({number(turn)} {number(x)} {number(y)})"' if turn else ""
        place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
        self._parts.append(f"<text{_class(classes)} {place}{turned}>{escape(shown)}</text>")

    def box(self, x: float, y: float, w: float, h: float, kind: str, *, round_: float = 0, stroke: float = 1) -> None:
        corners = f' rx="{number(round_)}"' if round_ else ""
        border = "" if stroke == 1 else f' stroke-width="{number(stroke)}"'
        place = f'x="{number(x)}" y="{number(y)}" width="{number(w)}" height="{number(h)}"'
        self._parts.append(f"<rect{_class(kind)} {place}{corners}{border}/>")

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        self._parts.append(f'<circle{_class(kind)} cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>')

    def path(self, d: str, kind: str, *, stroke: float = 1) -> None:
        border = "" if stroke == 1 else f' stroke-width="{number(stroke)}"'
        self._parts.append(f'<path{_class(kind)} d="{d}"{border}/>')

    def image(self, x: float, y: float, w: float, h: float, jpeg: bytes) -> None:
        place = f'x="{number(x)}" y="{number(y)}" width="{number(w)}" height="{number(h)}"'
        self._parts.append(f'<image {place} href="data:image/jpeg;base64,{b64encode(jpeg).decode()}"/>')

    @contextmanager
    def node(self, name: str, tip: str, **facts: object) -> Iterator[None]:
        """What is drawn in the block belongs to one group or class: its tooltip, its name and facts as data-…."""
        attributes = "".join(f" data-{key}={_attribute(value)}" for key, value in facts.items())
        self._parts.append(f"<g data-name={_attribute(name)}{attributes}><title>{escape(plain(tip))}</title>")
        yield
        self._parts.append("</g>")

    def document(
        self,
        width: float,
        height: float,
        *,
        title: str,
        labels: Iterable[str],
        theme: Theme,
        fills: Mapping[str, tuple[str, str]],
        family: str | None = None,
    ) -> str:
        """The whole SVG; `title` and `labels` (sentences) are for those who do not see it."""
        css = style(theme, fills, family=family or FAMILY)
        w, h = number(width), number(height)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
                'aria-labelledby="t d">',
                f'<title id="t">{escape(plain(title))}</title>',
                f'<desc id="d">{escape(plain(" ".join(labels)))}</desc>',
                f"<style>{css}</style>",
                f'<rect class="bg" width="{w}" height="{h}"/>',
                *self._parts,
                "</svg>",
                "",
            ]
        )


_ANCHORS: dict[str, list[str]] = {"start": [], "middle": ["m"], "end": ["e"]}


def bend(start: Point, end: Point) -> str:
    """A curve that leaves and arrives level."""
    (x0, y0), (x1, y1) = start, end
    if abs(y1 - y0) < 0.05:
        return f"M{number(x0)} {number(y0)}H{number(x1)}"
    middle = number((x0 + x1) / 2)
    return f"M{number(x0)} {number(y0)}C{middle} {number(y0)} {middle} {number(y1)} {number(x1)} {number(y1)}"


def number(value: float) -> str:
    """At most one decimal."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _attribute(value: object) -> str:
    return quoteattr(plain(str(value)))


# advance widths of " " … "~" in hundredths of an em, of DejaVu Sans: wider than the other faces of the style sheet, so
# that a text takes its width or less
_REGULAR = (
    *(32, 40, 46, 84, 64, 95, 78, 28, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34),
    *(84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 30, 30, 66, 56, 86, 75, 79, 60, 79, 69, 63, 61, 73, 68, 99),
    *(69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52),
    *(39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84),
)
_BOLD = (
    *(35, 46, 52, 84, 70, 100, 87, 31, 46, 46, 52, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 40, 40),
    *(84, 84, 84, 58, 100, 77, 76, 73, 83, 68, 68, 82, 84, 37, 37, 77, 64, 100, 84, 85, 73, 85, 77, 72, 68, 81, 77),
    *(110, 77, 72, 73, 46, 37, 46, 84, 50, 50, 67, 72, 59, 72, 68, 44, 72, 71, 34, 34, 67, 34, 104, 71, 69, 72, 72, 49),
    *(60, 48, 71, 65, 92, 65, 65, 58, 71, 37, 71, 84),
)
_JOINERS = "\u200c\u200d"  # scripts and emoji need them, and they show nothing
_EMOJI = 0x1F000
_ELLIPSIS = "…"


def plain(text: str) -> str:
    """One printable line: what XML cannot hold, or what would turn a line round, is written as its escape."""
    return "".join(c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in text)


def width(text: str, size: float, *, bold: bool = False) -> float:
    """px that a printable text takes at most, at a font size in px."""
    return size * sum(_advance(c, bold) for c in text)


def fit(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """The text as one printable line, shortened in its middle to `room` px: ends of names tell apart."""
    text = plain(text)
    if len(text) * size * 1.6 <= room or width(text, size, bold=bold) <= room:
        return text
    left = room - width(_ELLIPSIS, size, bold=bold)
    head = _taken(text, left * 2 / 3, size, bold)
    tail = _taken(text[::-1], left - width(text[:head], size, bold=bold), size, bold)
    tail = min(tail, len(text) - head)
    start = len(text) - tail
    while start < len(text) and unicodedata.combining(text[start]):  # an accent does not leave its letter
        start += 1
    return f"{text[:head].rstrip()}{_ELLIPSIS}{text[start:].lstrip()}"


def _taken(text: str, room: float, size: float, bold: bool) -> int:
    """How many characters from the left fit."""
    used = 0.0
    for count, c in enumerate(text):
        used += size * _advance(c, bold)
        if used > room:
            return count
    return len(text)


@lru_cache(maxsize=4096)
def _advance(c: str, bold: bool) -> float:
    """Width of a character in em."""
    code = ord(c)
    if 32 <= code < 127:
        return (_BOLD if bold else _REGULAR)[code - 32] / 100
    category = unicodedata.category(c)
    if category in ("Mn", "Me", "Cf"):
        return 0.0
    if code >= _EMOJI:
        return 1.4
    if unicodedata.east_asian_width(c) in "WF":
        return 1.05
    base = unicodedata.normalize("NFD", c)[0]
    if base != c and 32 <= ord(base) < 127:
        return _advance(base, bold)
    special = {"…": 1.0, "→": 0.84, "×": 0.84, "·": 0.38, "−": 0.84, "–": 0.5, "≤": 0.84}.get(c)
    if special is not None:
        return special
    return (1.0 if category in ("Lu", "Lo", "So", "Sm") else 0.78) * (1.1 if bold else 1.0)
