"""Drawing to a file: the tree, the architecture, as .svg or .png."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from hiergen.errors import HiergenError, OutputError, unquoted
from hiergen.files import replacing, write_text
from hiergen.views.draw.architecture import architecture_picture
from hiergen.views.draw.colours import Theme
from hiergen.views.draw.labels import cut_text
from hiergen.views.draw.network import subtree_costs
from hiergen.views.draw.outline import NOTHING, Chosen
from hiergen.views.draw.radial import radial_picture
from hiergen.views.draw.rows import rows_picture
from hiergen.views.draw.subject import Subject, find_subject, flat_costs, is_file

Layout = Literal["auto", "rows", "radial"]
KINDS = (".svg", ".png")
ROWS = 150  # classes up to which a tree is drawn in rows
PNG_FAMILY = "'DejaVu Sans',sans-serif"  # the one that comes along


def draw(
    subject: str | Path,
    path: str | Path | None = None,
    *,
    what: Literal["tree", "architecture"] | None = None,
    model: str | None = None,
    merged: bool = False,
    shown: Sequence[str] = (),
    classes: Sequence[str] = (),
    except_: Sequence[str] = (),
    layout: Layout = "auto",
    theme: Theme = "auto",
    scale: float | None = None,
) -> Path:
    """Draw a taxonomy's tree or a network's architecture to an .svg or .png, as `hiergen draw` does.

    `subject` is what `find_subject` takes; a taxonomy file is drawn as a tree, a model as an architecture, unless
    `what` says otherwise. `shown` are classes whose paths are marked, `classes` and `except_` choose a cutout. Raises
    HiergenError as `find_subject` does, OutputError for a path that is no picture's.
    """
    text = str(subject)
    as_tree = what == "tree" or merged or (is_file(text) and what is None)
    if not as_tree and layout != "auto":
        raise HiergenError("--layout is of a tree", expected="--tree")
    if merged and what == "architecture":
        raise HiergenError("the merged tree has no architecture", expected="--merged or --architecture")
    if path is not None:
        check_output(Path(path), scale)
    drawn = find_subject(text, model=model, merged=merged, planned=not as_tree)
    kind: Literal["tree", "architecture"] = "tree" if as_tree else "architecture"
    name = re.sub(r"[^\w.-]+", "-", drawn.name).strip("-.")[:80] or "picture"
    target = Path(path) if path is not None else Path(f"{name}-{kind}.{'svg' if scale is None else 'png'}")
    chosen = drawn.chosen(shown, classes, except_)
    write_picture(target, drawn, chosen, what=kind, layout=layout, theme=theme, scale=scale)
    return target


def tree_picture(
    subject: Subject,
    chosen: Chosen = NOTHING,
    *,
    layout: Layout = "auto",
    theme: Theme = "auto",
    family: str | None = None,
) -> str:
    """The SVG of a taxonomy's tree: in rows up to 150 classes, in rings beyond. Paths of the chosen classes are
    orange, classes that a cutout leaves out are grey."""
    if layout == "auto":
        layout = "rows" if len(subject.nesting.classes) <= ROWS else "radial"
    picture = rows_picture if layout == "rows" else radial_picture
    summary = cut_text(subject.plan, chosen.kept) if subject.plan is not None and chosen.kept is not None else ""
    return picture(subject.outline, _costs(subject), chosen, summary=summary, theme=theme, family=family)


def network_picture(
    subject: Subject, chosen: Chosen = NOTHING, *, theme: Theme = "auto", family: str | None = None
) -> str:
    """The SVG of a network's architecture. Raises HiergenError where its plan is not known."""
    plan = subject.needed_plan()
    return architecture_picture(plan, chosen, flat_of=flat_costs(plan, chosen), theme=theme, family=family)


def check_output(path: Path, scale: float | None = None) -> None:
    """Raises OutputError for a suffix that is no picture's, HiergenError where a PNG cannot be made here, for a scale
    that is not positive, and for a scale of an SVG, which has none."""
    if path.suffix.lower() not in KINDS:
        raise OutputError("is no name for a picture", place=unquoted(path), expected=f"one of {', '.join(KINDS)}")
    if scale is not None and path.suffix.lower() == ".svg":
        raise HiergenError("an SVG has no scale", expected="--scale with a .png")
    if scale is not None and not 0 < scale <= 100:
        raise HiergenError("the scale cannot be", expected="a number above 0, up to 100", got=f"{scale:g}")
    if path.suffix.lower() == ".png":
        check_png()


def write_picture(
    path: Path,
    subject: Subject,
    chosen: Chosen = NOTHING,
    *,
    what: Literal["tree", "architecture"],
    layout: Layout = "auto",
    theme: Theme = "auto",
    scale: float | None = None,
) -> None:
    """Write a picture; a PNG is light unless `theme` is "dark", and has `scale` px for each of the SVG's (default: 2,
    of large ones 1).

    Raises as `check_output`, and where the file cannot be written.
    """
    check_output(path, scale)
    raster = path.suffix.lower() == ".png"
    family = PNG_FAMILY if raster else None
    theme = "light" if raster and theme == "auto" else theme
    if what == "tree":
        svg = tree_picture(subject, chosen, layout=layout, theme=theme, family=family)
    else:
        svg = network_picture(subject, chosen, theme=theme, family=family)
    if not raster:
        write_text(path, svg)
        return
    image = render_png(svg, scale)
    with replacing(path) as temporary:
        temporary.write_bytes(image)


def _costs(subject: Subject) -> Mapping[int, tuple[int, int]]:
    """(params, MACs) at and below each item of the outline that is a branch of the plan."""
    plan, outline = subject.plan, subject.outline
    if plan is None or plan.single_branch or not outline.nested:
        return {}
    costs = subtree_costs(plan)
    seen = [0] * (outline.deep + 1)
    by_item = {}
    for position, item in enumerate(outline.items):  # both orders are the tree's
        by_item[position] = costs[item.depth, seen[item.depth]]
        seen[item.depth] += 1
    return by_item


PIXELS = 150_000_000
_LARGE = 3_000_000
_INSTALL = "pip install 'hiergen[viz]'"


def check_png() -> None:
    """Raises HiergenError where resvg is not installed."""
    _resvg()


def render_png(svg: str, scale: float | None = None) -> bytes:
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
