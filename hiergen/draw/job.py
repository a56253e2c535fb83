"""Drawing to a file: the tree, the architecture, as .svg or .png."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from hiergen.draw import png
from hiergen.draw.architecture import architecture_picture
from hiergen.draw.colours import Theme
from hiergen.draw.network import subtree_costs
from hiergen.draw.outline import NOTHING, Chosen
from hiergen.draw.radial import radial_picture
from hiergen.draw.rows import rows_picture
from hiergen.draw.subject import Subject, flat_costs
from hiergen.draw.wording import cut_text
from hiergen.errors import HiergenError, OutputError, quoted
from hiergen.files import replacing, write_text

Layout = Literal["auto", "rows", "radial"]
KINDS = (".svg", ".png")
ROWS = 150  # classes up to which a tree is drawn in rows
_PNG_FAMILY = "'DejaVu Sans',sans-serif"  # the one that comes along


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
        layout = "rows" if len(subject.classes) <= ROWS else "radial"
    draw = rows_picture if layout == "rows" else radial_picture
    summary = cut_text(subject.plan, chosen.kept) if subject.plan is not None and chosen.kept is not None else ""
    return draw(subject.outline, _costs(subject), chosen, summary=summary, theme=theme, family=family)


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
        raise OutputError("is no name for a picture", place=quoted(path)[1:-1], expected=f"one of {', '.join(KINDS)}")
    if scale is not None and path.suffix.lower() == ".svg":
        raise HiergenError("an SVG has no scale", expected="--scale with a .png")
    if scale is not None and not 0 < scale <= 100:
        raise HiergenError("the scale cannot be", expected="a number above 0, up to 100", got=f"{scale:g}")
    if path.suffix.lower() == ".png":
        png.check()


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
    family = _PNG_FAMILY if raster else None
    theme = "light" if raster and theme == "auto" else theme
    if what == "tree":
        svg = tree_picture(subject, chosen, layout=layout, theme=theme, family=family)
    else:
        svg = network_picture(subject, chosen, theme=theme, family=family)
    if not raster:
        write_text(path, svg)
        return
    image = png.png(svg, scale)
    with replacing(path) as temporary:
        temporary.write_bytes(image)


def _costs(subject: Subject) -> Mapping[int, tuple[int, int]]:
    """(params, MACs) at and below each item of the outline that is a branch of the plan."""
    plan, outline = subject.plan, subject.outline
    if plan is None or plan.single_branch or not outline.nested:
        return {}
    costs = subtree_costs(plan)
    seen = [0] * (outline.deep + 1)
    found = {}
    for position, item in enumerate(outline.items):  # both orders are the tree's
        found[position] = costs[item.depth, seen[item.depth]]
        seen[item.depth] += 1
    return found
