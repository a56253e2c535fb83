"""An SVG as text: every string from outside is escaped, numbers are short, and the same input is the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from xml.sax.saxutils import escape, quoteattr

from hiergen.draw.colours import Theme, style
from hiergen.draw.lettering import fit, plain

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
        turned = f' transform="rotate({_n(turn)} {_n(x)} {_n(y)})"' if turn else ""
        self._parts.append(
            f'<text{_class(classes)} x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"{turned}>{escape(shown)}</text>'
        )

    def box(self, x: float, y: float, w: float, h: float, kind: str, *, round_: float = 0, stroke: float = 1) -> None:
        corners = f' rx="{_n(round_)}"' if round_ else ""
        border = "" if stroke == 1 else f' stroke-width="{_n(stroke)}"'
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"'
        self._parts.append(f"<rect{_class(kind)} {place}{corners}{border}/>")

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        self._parts.append(f'<circle{_class(kind)} cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"/>')

    def path(self, d: str, kind: str, *, stroke: float = 1, dashed: bool = False) -> None:
        border = "" if stroke == 1 else f' stroke-width="{_n(stroke)}"'
        dashes = ' stroke-dasharray="3 3"' if dashed else ""
        self._parts.append(f'<path{_class(kind)} d="{d}"{border}{dashes}/>')

    @contextmanager
    def node(self, name: str, tip: str, **facts: object) -> Iterator[None]:
        """What is drawn in the block belongs to one group or class: its tooltip, its name and facts as data-…."""
        said = "".join(f" data-{key}={_attribute(value)}" for key, value in facts.items())
        self._parts.append(f"<g data-name={_attribute(name)}{said}><title>{escape(plain(tip))}</title>")
        yield
        self._parts.append("</g>")

    def document(
        self,
        width: float,
        height: float,
        *,
        title: str,
        said: Iterable[str],
        theme: Theme,
        fills: Mapping[str, tuple[str, str]],
        family: str | None = None,
    ) -> str:
        """The whole SVG; `title` and `said` (sentences) are for those who do not see it."""
        css = style(theme, fills) if family is None else style(theme, fills, family=family)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
                f'height="{_n(height)}" role="img" aria-labelledby="t d">',
                f'<title id="t">{escape(plain(title))}</title>',
                f'<desc id="d">{escape(plain(" ".join(said)))}</desc>',
                f"<style>{css}</style>",
                f'<rect class="bg" width="{_n(width)}" height="{_n(height)}"/>',
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
        return f"M{_n(x0)} {_n(y0)}H{_n(x1)}"
    middle = _n((x0 + x1) / 2)
    return f"M{_n(x0)} {_n(y0)}C{middle} {_n(y0)} {middle} {_n(y1)} {_n(x1)} {_n(y1)}"


def number(value: float) -> str:
    """At most one decimal."""
    return _n(value)


def _n(value: float) -> str:
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _attribute(value: object) -> str:
    return quoteattr(plain(str(value)))
