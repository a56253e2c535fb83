"""Plans → Python source, through one small template. Same plans, same bytes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2

from hiergen.codegen.view import CutoutOrigin, ModuleView, cutout_view, module_view
from hiergen.plan.ir import Plan


def render(plans: list[Plan], source: str) -> str:
    """The module with one class per plan. `source` names the taxonomy file in the header."""
    return _filled(module_view(plans, source))


def render_cutout(plan: Plan, origin: CutoutOrigin) -> str:
    """The module with the class of a cutout."""
    return _filled(cutout_view(plan, origin))


def _filled(view: ModuleView) -> str:
    return _template().render(view=view).rstrip() + "\n"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    text = files("hiergen.codegen").joinpath("templates", "module.py.j2").read_text("utf-8")
    return environment.from_string(text)
