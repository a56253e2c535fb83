"""The job of `hiergen export`: a model that a user names → a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.models.export.deploy import Exported, Form
from hiergen.models.export.onnx import to_onnx
from hiergen.models.export.programs import (
    to_openvino,
    to_pt2,
    to_safetensors,
    to_torchscript,
)
from hiergen.models.export.source import to_plain
from hiergen.models.load import ModelRef, check_weights, find_model, load_network
from hiergen.models.weightsfile import read_weights
from hiergen.nn.generalist import Form as NetworkForm
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.runtimes import openvino_package, packages

if TYPE_CHECKING:
    from hiergen.models.export.int8 import Calibration


def export(
    model: str | Path,
    path: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    format: str | None = None,
    opset: int | None = None,
    int8: bool = False,
    data: str | None = None,
    root: str | Path | None = None,
    network_form: NetworkForm | None = None,
    untrained: bool = False,
    **form: Any,
) -> Exported:
    """Export a network or a cutout by its name, with these weights or a cutout's own; `untrained` with random ones.

    `format` may be left out where the path's ending says it; without a path the file is called as the model, in this
    folder. `network_form` is the form of a network with a generalist (default: that of its weights); `form` holds the
    fields of `Form`. `int8` calibrates on the training part of `data` and measures on its
    validation part. Raises HiergenError as `find_model`, `load_weights` and the exporters do.
    """
    target = None if path is None else Path(path)
    kind = _format(format, target)
    exporter = EXPORTERS[kind]
    exporter.prepare()  # before any work
    usual = asdict(Form())
    Form(**form)  # says what cannot be
    chosen = {name: value for name, value in form.items() if value != usual[name]}
    others = {"opset": opset, "int8": int8 or None}
    given = [*chosen, *(name for name, value in others.items() if value is not None)]
    for option in given:
        if option not in exporter.options:
            having = " or ".join(name for name, other in EXPORTERS.items() if option in other.options)
            flag = option.replace("_", "-")
            raise HiergenError(f"{kind} has no {option.replace('_', ' ')}", expected=f"--{flag} with {having}")
    if int8 and data is None:
        raise HiergenError("int8 is calibrated on images", expected="--data with --int8")
    if data is not None and not int8:
        raise HiergenError("--data calibrates int8", expected="--int8 with --data")
    reference = find_model(model)
    check_weights(reference, weights, untrained, hint="--untrained exports random ones")
    source = Path(weights) if weights is not None else reference.weights
    target = _target(reference, f"{exporter.suffix}.{exporter.ending or kind}", target)
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise HiergenError("are the weights themselves", place=str(target), hint="name another file with -o")
    options: dict[str, Any] = {**chosen, "provenance": None if source is None else read_weights(source).provenance}
    options |= {"opset": opset} if opset is not None else {}
    network = load_network(reference, weights)
    if network_form is not None:
        network.form = network_form
    if int8 and data is not None:
        options["int8"] = _calibration(network, data, root)
    return exporter.write(network, target, **options)


def _calibration(network: HierarchicalNetwork, data: str, root: str | Path | None) -> Calibration:
    from hiergen.data.sources import has_validation, labelled_images
    from hiergen.models.export.int8 import Calibration

    test = labelled_images(network, data, "present", root=root)
    if not has_validation(data, root=root):
        return Calibration(test, test)
    return Calibration(labelled_images(network, data, "present", split="train", root=root), test)


def _format(format: str | None, path: Path | None) -> str:
    endings = {exporter.ending or kind: kind for kind, exporter in EXPORTERS.items()}
    ending = path.suffix.removeprefix(".") if path is not None and not path.is_dir() else ""
    if format is None and not ending:
        raise HiergenError("no format given", expected=f"--format {'|'.join(EXPORTERS)}, or a file that ends in one")
    kind = format or endings.get(ending, ending)
    if kind not in EXPORTERS:
        raise HiergenError(
            f"no format {quoted(kind)}", expected=f"one of {', '.join(EXPORTERS)}", nearest=nearest(kind, EXPORTERS)
        )
    expected = EXPORTERS[kind].ending or kind
    if ending and ending != expected:
        raise HiergenError(f"is no name for {kind}", place=str(path), expected=f"a file that ends in .{expected}")
    return kind


def _target(reference: ModelRef, ending: str, path: Path | None) -> Path:
    """The file to write: that path; or the model's name, in that folder, the cutout's, or this one."""
    if path is not None and path.suffix and not path.is_dir():
        return path
    if reference.weights is not None:
        folder, name = reference.weights.parent, reference.weights.stem
    else:
        folder, name = Path(), reference.registered or reference.name.lower()
    return (path or folder) / f"{name}{ending}"


@dataclass(frozen=True)
class Exporter:
    """One format of networks: `write` takes a network, a path, its provenance and `options`; `prepare` fails early.

    `ending` is that of its files, if it is not the format's name; `suffix` ends the name of one that has no name yet.
    """

    write: Callable[..., Exported]
    options: tuple[str, ...] = ()
    prepare: Callable[[], object] = lambda: None
    ending: str = ""
    suffix: str = ""


_FORM = ("batch", "open_size", "preprocess", "softmax", "dtype", "steerable")
EXPORTERS = {
    "onnx": Exporter(to_onnx, (*_FORM, "opset", "int8"), packages),
    "openvino": Exporter(to_openvino, _FORM, openvino_package, "xml"),
    "pt2": Exporter(to_pt2, _FORM),
    "torchscript": Exporter(to_torchscript, _FORM),
    "plain": Exporter(to_plain, ("open_size", "steerable"), ending="py", suffix="_plain"),
    "safetensors": Exporter(to_safetensors),
}
