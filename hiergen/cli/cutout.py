"""Commands on weights: cutout, convert, export."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hiergen.cli.app import app, console
from hiergen.console.terminal import giga, plain_table, say
from hiergen.errors import SpecError, printable, quoted

RANDOM = "the weights are random: nothing was trained"

if TYPE_CHECKING:
    from hiergen.models.cutout import Cutout
    from hiergen.models.export import Exported
    from hiergen.nn.generalist import Form
    from hiergen.planning.plan import Plan


@app.command()
def cutout(
    model: Annotated[str, typer.Argument(help="FILE.py:NAME, a timm name, or the folder of a training or a cutout.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for model.py and model.safetensors.")],
    weights: Annotated[Path | None, typer.Option(help="The full network's weights, safetensors.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="Classes to keep: ids, names, groups, WordNet terms, indices; commas between, repeatable."),
    ] = None,
    except_: Annotated[list[str] | None, typer.Option("--except", help="Classes to leave out, likewise.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The new class's name (default: the full network's + Cutout).")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            help="Of a network with a generalist: specialists, generalist, both or flat (default: what training chose)."
        ),
    ] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Cut a network of random weights.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier cutout.")] = False,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Add standalone.py, which needs torch and timm only.")
    ] = False,
) -> None:
    """Cut classes out of a network: a smaller one with the same logits, as source and weights."""
    from hiergen.models.cutout import cutout as job

    done = job(
        model,
        out,
        classes=classes or (),
        except_=except_ or (),
        weights=weights,
        untrained=untrained,
        name=name,
        form=cast("Form | None", form),
        force=force,
        alone=standalone,
    )
    _print(done, untrained=untrained)


@app.command()
def convert(
    weights: Annotated[Path, typer.Argument(help="A PyTorch checkpoint (.pth, .pt, .pth.tar, .bin).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    ema: Annotated[bool, typer.Option("--ema/--no-ema", help="Prefer averaged weights where there are any.")] = True,
    like: Annotated[
        str | None,
        typer.Option(help="A timm model: another implementation's weights get its names, by order and shape."),
    ] = None,
) -> None:
    """Turn a PyTorch checkpoint into safetensors; no code in it is run."""
    from hiergen.models.convert import convert as job

    done = job(weights, out, use_ema=ema, like=like)
    which = "the whole file" if done.key is None else f"its {done.key!r}"
    text = f"{weights} → {done.path}: {which}, {done.tensors:,} tensors, {done.params:,} values"
    say(console(), text)
    if done.likeness is not None:
        say(console(), str(done.likeness))


def _print(done: Cutout, *, untrained: bool) -> None:
    from hiergen.models.cutout import IMAGES
    from hiergen.nn.generalist import ONE_BRANCH

    printer, full, part = console(), done.full, done.part
    for term, why in done.why.items():
        say(printer, f"{quoted(term)}: {printable(why)}")
    table = plain_table(("", "classes", "branches", "params", "GMACs", "params vs full", "MACs vs full"))
    flat = part.trunk
    whole, own = full.answering(done.answers), part.answering("both" if part.for_all else "specialists")
    rows = [
        ("full network" + (f", {done.answers}" if full.for_all else ""), *whole, _branches(full, done.answers), full),
        ("cutout" + (f", {done.form}" if full.for_all else ""), *own, _branches(part), part),
        (f"flat {flat.backbone}, classifier sliced", flat.flat_params, flat.flat_macs, "", part),
    ]
    for number, (label, params, macs, branches, plan) in enumerate(rows):
        changes = (_change(whole[0], params), _change(whole[1], macs)) if number else ("", "")
        table.add_row(label, str(len(plan.classes)), branches, f"{params:,}", giga(macs), *changes)
    printer.print(table)
    if full.generalist is not None:
        say(printer, f"form: {done.form}{', as the training chose' if done.chosen else ''}")
    if done.form != "flat" and flat.flat_params <= part.params and flat.flat_macs <= part.macs:
        printer.print("the sliced flat network is smaller on both counts", style="yellow")
    if done.form in ONE_BRANCH and own[1] > _SAVED * whole[1]:
        say(printer, "a slice of one branch for all classes: as large and as fast as the whole network")
    other = full.generalist is not None and done.form != done.answers
    whose = f" in the form {done.form}" if other else ""
    printer.print(
        f"largest difference from the full network's kept logits{whose}: {done.difference:g} "
        f"({IMAGES} random images, float32, both one branch at a time; each as it runs by itself: {done.as_run:.2g})"
    )
    if other:
        say(printer, f"the network itself answers as {done.answers}, with other logits", style="yellow")
    if untrained:
        printer.print("the weights are random: nothing was trained", style="yellow")
    files = ", ".join(sorted(path.name for path in done.folder.iterdir() if path.is_file()))
    say(printer, f"→ {done.folder}: {files}", style="bold")
    folder = str(done.folder)
    say(printer, f"next: hiergen predict {shlex.quote(folder)} IMAGES; in Python hiergen.load_network({folder!r})")


_SAVED = 0.95  # of the MACs: with more of them nothing is saved


def _branches(plan: Plan, form: Form = "specialists") -> str:
    return "1" if form in ("generalist", "flat") else " → ".join(str(level.branches) for level in plan.levels)


def _change(before: int, after: int) -> str:
    return f"{100 * (after / before - 1):+.2f} %"


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            help="FILE:MODEL, a timm name, a cutout's or a training's folder; or a taxonomy file, for its tree."
        ),
    ],
    weights: Annotated[Path | None, typer.Option(help="The weights, safetensors (default: the folder's own).")] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Export random weights.")] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="onnx, openvino, pt2, torchscript, plain (source) or safetensors; of a tree newick, graphml, json, "
            "nbdt, isa or paths (default: as -o ends)."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file or folder to write to; - prints a tree.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Fix the batch size (default: any).", min=1)] = None,
    opset: Annotated[int | None, typer.Option(help="ONNX's operator set, from 11 (default: torch's).")] = None,
    open_size: Annotated[bool, typer.Option("--open-size", help="Take images of any height and width.")] = False,
    preprocess: Annotated[
        bool, typer.Option("--preprocess", help="Take pixels of 0 … 255, uint8, and normalize them in the file.")
    ] = False,
    softmax: Annotated[bool, typer.Option("--softmax", help="Give probabilities in place of logits.")] = False,
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "float32",
    steerable: Annotated[
        bool, typer.Option("--steerable", help="Take gains of classes and groups as an input.")
    ] = False,
    network_form: Annotated[
        str | None,
        typer.Option(
            "--form", help="Of a network with a generalist: specialists, generalist or flat (default: as trained)."
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Quantize the ONNX file, calibrated on --data; prints accuracy before, after."),
    ] = False,
    data: Annotated[str | None, typer.Option(help="Images for --int8: a folder, tar, or as `train` takes it.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where torch/NAME data sets lie.")] = None,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="A folder of ONNX files: the trunk, and each group's branches, to run behind it."),
    ] = False,
    merged: Annotated[
        bool, typer.Option("--merged", help="Of a taxonomy file: its merged tree (the default).")
    ] = False,
    nesting: Annotated[
        str | None, typer.Option("--model", help="Of a taxonomy file: the nesting of this model instead.")
    ] = None,
) -> None:
    """Write a network or cutout in plain form for other programs, and run it to see that it is right; or a taxonomy's
    tree as Newick, GraphML or JSON."""
    form = {
        "batch": batch,
        "open_size": open_size,
        "preprocess": preprocess,
        "softmax": softmax,
        "dtype": dtype,
        "steerable": steerable,
    }
    if _means_tree(model, format, out):
        given: dict[str, object] = {
            **form,
            "weights": weights,
            "untrained": untrained,
            "opset": opset,
            "data": data,
            "root": root,
            "int8": int8 or None,
            "parts": parts,
            "form": network_form,
        }
        bools = ("open_size", "preprocess", "softmax", "steerable", "untrained")
        usual = {"dtype": "float32", **dict.fromkeys(bools, False)}
        others: dict[str, object] = {
            f"--{name.replace('_', '-')}": v for name, v in given.items() if v != usual.get(name)
        }
        _tree(model, format, out, merged, nesting, others)
        return
    if merged or nesting is not None:
        raise SpecError("--merged and --model are of taxonomy files", expected="FILE.yaml", got=quoted(model))
    from hiergen.models.export import export as job

    asked = cast("Form | None", network_form)
    options = {"weights": weights, "format": format, "opset": opset, "int8": int8, "data": data, "root": root}
    options["untrained"] = untrained
    if parts:
        _parts(model, out, options, network_form=asked, **form)
        return
    done = job(model, out, network_form=asked, **options, **form)  # type: ignore[arg-type]
    printer = console()
    for line in _lines(done):
        say(printer, line)
    if untrained:
        printer.print(RANDOM, style="yellow")


def _parts(model: str, out: Path | None, options: dict[str, Any], **form: Any) -> None:
    from hiergen.models.export import export_parts

    if options.pop("format") not in (None, "onnx"):
        raise SpecError("--parts writes ONNX", expected="--format onnx, or none")
    for name in ("data", "root", "int8"):
        if options.pop(name):
            raise SpecError(f"--parts has no --{name}", hint="export the whole network, or cutouts")
    if out is not None and out.suffix == ".onnx":
        raise SpecError("--parts writes a folder", place=f"-o {out}", expected=f"-o {out.with_suffix('')}")
    done = export_parts(model, out, **options, **form)
    printer, files = console(), (done.trunk, *done.branches)
    table = plain_table(("file", "group", "classes", "MB"))
    for part in files:
        size = f"{part.size / 1e6:,.2f}"
        table.add_row(part.file.name, part.group or "trunk", str(len(part.classes) or ""), size)
    printer.print(table)
    same = "the same bits" if done.difference == 0 else f"{done.difference:.1e} of the largest logit"
    say(printer, f"run in {done.runtime}, group by group: largest difference from torch {same}")
    total = sum(part.size for part in files) / 1e6
    say(printer, f"→ {done.trunk.file.parent}: {total:,.1f} MB; run trunk.onnx, then the groups you want on its maps")
    if options["untrained"]:
        printer.print(RANDOM, style="yellow")


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
    if given := [name for name, value in others.items() if value not in (None, False)]:
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
    say(console(), text)


def _lines(done: Exported) -> list[str]:
    parts = [f"{done.size / 1e6:,.1f} MB"]
    parts += [f"{done.nodes} nodes"] if done.nodes is not None else []
    parts += [f"opset {done.opset}"] if done.opset is not None else []
    if done.difference is None:
        return [f"→ {done.path}: {parts[0]}"]
    parts.append("any batch size" if done.dynamic else f"batch size {done.batches[0]}")
    sizes = ", ".join(map(str, done.batches))
    same = "the same bits" if done.difference == 0 else f"{done.difference:.1e} of the largest logit"
    lines = [f"run in {done.runtime} at batch size {sizes}: largest difference from torch {same}"]
    lines += [f"→ {file}: its weights" for file in done.files[1:]]
    lines += [done.note] if done.note else []
    return [*lines, f"→ {done.path}: {', '.join(parts)}"]
