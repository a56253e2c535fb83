"""The main job: taxonomy file → plans → source file, and the check that a committed source is up to date."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hiergen.codegen.render import render
from hiergen.codegen.standalone import STANDS_ALONE
from hiergen.codegen.standalone import standalone as inlined
from hiergen.errors import HiergenError, OutputError, quoted
from hiergen.files import check_replaceable, reason, write_text
from hiergen.plan.compile import compile_plan
from hiergen.plan.ir import Plan
from hiergen.plan.trunks import BackboneFacts, facts
from hiergen.taxonomy.checks import Finding, check_file, finding_of
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.naming import identifier
from hiergen.taxonomy.tree import depths

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """What `build` made of one file: where the source belongs, its text, and what the file there differs by."""

    taxonomy: Taxonomy
    plans: list[Plan]
    path: Path
    source: str
    drift: str | None


def plan_models(taxonomy: Taxonomy, progress: Progress = lambda _: None) -> list[Plan]:
    """The plan of each model of a file, in its order.

    Raises `PlanError` or `TaxonomyError`, placed at the model's line. Imports torch only for backbones and input
    sizes that were never measured.
    """
    return [_plan(taxonomy, name, _facts(taxonomy, name, measure=True), progress) for name in taxonomy.spec.models]


def plan_if_known(taxonomy: Taxonomy, model: str) -> Plan | None:
    """The plan of one model, or None where its backbone was never measured. Never imports torch."""
    known = _facts(taxonomy, model, measure=False)
    return _plan(taxonomy, model, known, lambda _: None) if known else None


def validate(path: str | Path) -> list[Finding]:
    """All findings about one taxonomy file: what it says, its tree, its nestings, and its models' plans.

    Never imports torch; models on backbones that were never measured are named (W501), not checked.
    """
    return check_file(path, (_plan_findings,))


def _plan_findings(taxonomy: Taxonomy) -> Iterator[Finding]:
    deepest = max(depths(taxonomy.tree).values())
    for model, levels in taxonomy.levels.items():
        if levels > deepest:
            continue  # E401 says so
        place = taxonomy.document.place(("models", model, "trunk", "backbone"))
        try:
            if plan_if_known(taxonomy, model) is None:
                backbone = quoted(taxonomy.spec.models[model].trunk.backbone)
                text = f"model {model}: backbone {backbone} was never measured here; 'hiergen build' checks it"
                yield Finding("W501", place, text)
        except HiergenError as error:
            yield finding_of(error, str(taxonomy.path))


def _facts(taxonomy: Taxonomy, model: str, *, measure: bool) -> BackboneFacts | None:
    spec = taxonomy.spec.models[model]
    try:
        return facts(spec.trunk.backbone, spec.input_size, measure=measure)
    except HiergenError as error:
        raise error.at(taxonomy.document.place(("models", model, "trunk", "backbone"))) from None


def _plan(taxonomy: Taxonomy, model: str, known: BackboneFacts | None, progress: Progress) -> Plan:
    assert known is not None
    progress(model)
    spec = taxonomy.spec.models[model]
    nesting = taxonomy.nesting(model)
    try:
        return compile_plan(taxonomy.spec.name, model, spec, taxonomy.classes, nesting, known)
    except HiergenError as error:
        key = {"E502": ("trunk", "until"), "E503": ("budget",), "E504": ("branches",)}.get(error.code, ())
        raise error.at(taxonomy.document.place(("models", model, *key))) from None


def build(
    path: str | Path,
    out: str | Path | None = None,
    *,
    check: bool = False,
    standalone: bool = False,
    progress: Progress = lambda _: None,
) -> Built:
    """Read a taxonomy file, plan its models and write their source.

    `out` is a .py file or a folder (default: the folder `generated`); with `check` nothing is written and `drift` of
    the result is the difference; with `standalone` the source needs torch and timm only, and the default folder is
    `standalone`. Raises `HiergenError` for anything wrong with the input; then nothing is written.
    """
    taxonomy = load_taxonomy(path)
    target = output_path(taxonomy, out, standalone=standalone)
    plans = plan_models(taxonomy, progress)
    source = render(plans, Path(path).name)
    if standalone:
        source = inlined(source)
    if check:
        return Built(taxonomy, plans, target, source, _drift(target, source))
    if not (target.is_file() and target.read_bytes() == source.encode()):
        write_text(target, source)
    return Built(taxonomy, plans, target, source, None)


def output_path(taxonomy: Taxonomy, out: str | Path | None, *, standalone: bool = False) -> Path:
    """Where the source goes. Raises `OutputError` for a path that is an input, no Python file, or impossible."""
    target = Path(out) if out is not None else Path("standalone" if standalone else "generated")
    try:
        return _checked_output(target, taxonomy, standalone)
    except (OSError, ValueError) as error:  # too long, below a file, a NUL, …
        raise OutputError(f"cannot be written ({reason(error)})", place=quoted(target)[1:-1]) from None


def _checked_output(target: Path, taxonomy: Taxonomy, standalone: bool) -> Path:
    if target.exists() and target.samefile(taxonomy.path):
        raise OutputError("is the taxonomy file itself", place=str(target), expected="another path")
    if target.suffix != ".py":
        if target.is_file():
            raise OutputError("is not a folder", place=str(target), expected="a folder, or a file that ends in .py")
        target = target / f"{identifier(taxonomy.spec.name)}.py"
    check_replaceable(target)
    if not target.is_file() or not (head := _head(target).strip()):
        return target
    if "Written by hiergen " not in head:
        problem = "is a file that hiergen did not write"
    elif (STANDS_ALONE in head) != standalone:
        problem = f"is the file of 'hiergen build{'' if standalone else ' --standalone'}'"
    else:
        return target
    raise OutputError(problem, place=str(target), expected="a new path", hint="move it, or use --out")


def _head(target: Path) -> str:
    with target.open(encoding="utf-8", errors="replace") as file:
        return file.read(8000)


def _drift(target: Path, source: str) -> str | None:
    """A unified diff from the file to what it should be; None if they are the same."""
    if not target.exists():
        return f"{target} does not exist\n"
    old = target.read_text(encoding="utf-8", errors="replace")
    if old == source:
        return None
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), source.splitlines(keepends=True), str(target), f"{target} (rebuilt)", n=1
    )
    return "".join(lines)
