"""The command `hiergen export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.cli.app import app, console
from hiergen.errors import SpecError, quoted

if TYPE_CHECKING:
    from hiergen.models.export import Exported


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(help="FILE:MODEL, a timm name, or a cutout's folder; or a taxonomy file, for its tree."),
    ],
    weights: Annotated[
        Path | None, typer.Option(help="The weights, safetensors (default: a cutout's own; else random ones).")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="onnx, pt2 or safetensors; of a tree newick, graphml, json, nbdt, isa or paths (default: as -o ends)."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file or folder to write to; - prints a tree.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Fix the batch size (default: any).", min=1)] = None,
    opset: Annotated[int | None, typer.Option(help="ONNX's operator set (default: torch's).")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Of a taxonomy file: its merged tree (the default).")
    ] = False,
    nesting: Annotated[
        str | None, typer.Option("--model", help="Of a taxonomy file: the nesting of this model instead.")
    ] = None,
) -> None:
    """Write a network or cutout as ONNX, a PyTorch program or safetensors, and run it to see that it is right; or a
    taxonomy's tree as Newick, GraphML or JSON."""
    if _means_tree(model, format, out):
        _tree(model, format, out, merged, nesting, {"--weights": weights, "--batch": batch, "--opset": opset})
        return
    if merged or nesting is not None:
        raise SpecError("--merged and --model are of taxonomy files", expected="FILE.yaml", got=quoted(model))
    from hiergen.models.export import export as job

    done = job(model, out, weights=weights, format=format, batch=batch, opset=opset)
    printer = console()
    for line in _lines(done):
        printer.print(line, markup=False, soft_wrap=True)
    if weights is None and not _is_cutout(model):
        printer.print("the weights are random: none were given", style="yellow")


def _means_tree(model: str, format: str | None, out: Path | None) -> bool:
    """Of a taxonomy file its tree is meant, unless the format is one of networks."""
    from hiergen.formats.files import FORMATS
    from hiergen.lookup.reference import parse_reference

    if parse_reference(model).kind != "taxonomy":
        return False
    word = format or (out.suffix.removeprefix(".") if out is not None else "")
    if not word or word in FORMATS or any(f".{word}" in (*kind.endings, kind.new) for kind in FORMATS.values()):
        return True
    from hiergen.models.export.run import EXPORTERS

    return word not in EXPORTERS


def _tree(
    file: str, format: str | None, out: Path | None, merged: bool, model: str | None, others: dict[str, object]
) -> None:
    from hiergen.formats.exporting import export_tree
    from hiergen.lookup.reference import parse_reference

    reference = parse_reference(file)
    model = model if model is not None else reference.model or None
    if given := [name for name, value in others.items() if value is not None]:
        raise SpecError(f"{given[0]} is of networks", expected="--format, --merged or --model with a taxonomy file")
    if merged and model is not None:
        raise SpecError("--merged and --model are two trees", expected="one of them")
    path, tree = export_tree(reference.path, out, format=format, model=model)
    if path == Path("-"):
        return
    leaves = sum(not tree.succ[key] for key in tree)
    what = "merged tree" if model is None else f"nesting of {model}"
    groups = len(tree) - leaves - 1
    text = f"→ {path}: {what}, {leaves} classes, {groups} group{'s' * (groups != 1)}"
    console().print(text, markup=False, soft_wrap=True)


def _lines(done: Exported) -> list[str]:
    parts = [f"{done.size / 1e6:,.1f} MB"]
    parts += [f"{done.nodes} nodes"] if done.nodes is not None else []
    parts += [f"opset {done.opset}"] if done.opset is not None else []
    if done.difference is None:
        return [f"→ {done.path}: {parts[0]}"]
    parts.append("any batch size" if done.dynamic else f"batch size {done.batches[0]}")
    sizes = " and ".join(map(str, done.batches))
    same = "the same bits" if done.difference == 0 else f"{done.difference:.1e} of the largest logit"
    lines = [f"run in {done.runtime} at batch size {sizes}: largest difference from torch {same}"]
    lines += [f"→ {file}: its weights" for file in done.files[1:]]
    return [*lines, f"→ {done.path}: {', '.join(parts)}"]


def _is_cutout(model: str) -> bool:
    return Path(model).is_dir()
