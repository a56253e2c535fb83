"""A network as ONNX files of its parts: the trunk once, and a file for each group's branches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hiergen.data.features import fingerprint
from hiergen.errors import HiergenError, OutputError, quoted, unquoted
from hiergen.files import check_replaceable, put, staging, writing
from hiergen.models.export.deploy import Deployed, Form, compare, deployed, describe, examples, trace
from hiergen.models.export.onnx import DYNAMO, check_opset, save_program
from hiergen.models.load import check_weights, find_model, load_network
from hiergen.nn.cutout import cut, single
from hiergen.nn.generalist import ONE_BRANCH
from hiergen.nn.generalist import Form as NetworkForm
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain import PlainNetwork
from hiergen.nn.routing import finest_homes
from hiergen.nn.runtimes import onnx_session, packages, quiet
from hiergen.taxonomy.naming import slug

MAPS = "maps"
TRUNK, TRUNK_HASH = "trunk.onnx", "trunk_sha256"
ALL = "all classes"  # a branch's that has no group


@dataclass(frozen=True)
class Part:
    """One file: the trunk's (`group` ""), or that of a group's branches; the classes of its logits, its bytes."""

    file: Path
    group: str
    classes: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class _Group:
    """What a file is of: its classes, and the form that has the branch."""

    name: str
    form: NetworkForm
    classes: list[int]


@dataclass(frozen=True)
class Parts:
    """The trunk's file, those of the groups, and the largest |difference| of the chain of two files from the network's
    logits in float32, as part of the largest."""

    trunk: Part
    branches: tuple[Part, ...]
    runtime: str
    difference: float


def export_parts(
    model: str | Path,
    folder: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    untrained: bool = False,
    opset: int | None = None,
    network_form: NetworkForm | None = None,
    **form: Any,
) -> Parts:
    """Export a network or cutout by its name as `to_parts` does (default: "parts" in its folder, or here, the model's
    name with "_parts"). Raises HiergenError as `find_model`, `load_weights` and `to_parts` do."""
    packages()  # before any work
    reference = find_model(model)
    check_weights(reference, weights, untrained, hint="--untrained exports random ones")
    network = load_network(reference, weights)
    if network_form is not None:
        network.form = network_form
    if folder is None and reference.weights is not None:
        folder = reference.weights.parent / "parts"
    name = reference.registered or reference.name.lower()
    return to_parts(network, folder or f"{name}_parts", opset=opset, **form)


def to_parts(network: HierarchicalNetwork, folder: str | Path, *, opset: int | None = None, **options: Any) -> Parts:
    """Write the network in plain form as `trunk.onnx`, `images` → `maps`, and a file for each finest group, `maps` →
    `logits` of its classes: a device keeps one trunk, and takes or leaves groups.

    In the form "generalist" or "flat" there is one file for all classes, and one for each group whose cutouts are its
    own branches; "both" has the generalist and all groups. `options` are `batch`, `preprocess`, `softmax` and `dtype`
    of `Form`. Every file has `describe`'s metadata of a cutout of its classes, its `group`, and `trunk_sha256`: parts
    of equal hash belong together. A group's file is the same to the byte as long as its branches and the trunk are.
    The chain is run in onnxruntime, at each batch size, before a file takes its place. Raises HiergenError for missing
    packages, logits that differ, and a folder with ONNX files that are no parts of the network.
    """
    folder, form = Path(folder), Form(**options)
    for name in ("open_size", "steerable"):
        if getattr(form, name):
            raise HiergenError(f"parts have no {name.replace('_', ' ')}", hint="export the whole network")
    if network.active is not None or network._gains is not None:
        what = "some of its classes only" if network.active is not None else "with gains"
        raise HiergenError(f"{type(network).__name__} runs {what}", hint="parts are of the network as it was trained")
    check_opset(opset, form, least=DYNAMO)
    runtime, wanted = packages(), _wanted(network)
    files, is_new = _files(folder, [group.name for group in wanted]), not folder.exists()
    images, difference = examples(network, form, form.batch or 2)[0], 0.0
    branches: list[Part] = []
    try:
        with staging(folder / TRUNK) as made, quiet():
            write = _Writer(network, form, opset, fingerprint(network.trunk))
            for group, name in zip(wanted, files, strict=True):
                part, file = _part(network, group), made / name
                first, second = _split(deployed(part, form), form)
                if not branches:
                    write(made / TRUNK, first, images, "images", MAPS, _of_trunk(describe(network)))
                    run = _runner(made / TRUNK, "images", MAPS)
                    with torch.no_grad():
                        maps = first(images)
                write(file, second, maps, MAPS, form.output, _of_group(describe(part), group))
                chain = _chain(run, _runner(file, MAPS, form.output))
                difference = max(difference, compare(part, form, chain, f"the chain of {TRUNK} and {name}"))
                branches.append(Part(folder / name, group.name, part.nesting.classes, file.stat().st_size))
            trunk = Part(folder / TRUNK, "", (), (made / TRUNK).stat().st_size)
            with writing(folder):
                for done in (*branches, trunk):
                    put(made / done.file.name, done.file)
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise
    return Parts(trunk, tuple(branches), f"onnxruntime {runtime.__version__}", difference)


def _of_trunk(metadata: dict[str, str]) -> dict[str, str]:
    """What is said of the trunk: nothing that depends on the classes, or it would change with them."""
    of_classes = ("classes", "names", "taxonomy", "taxonomy_sha256", "form", "rejection", "model")
    return {key: value for key, value in metadata.items() if key not in of_classes}


def _of_group(metadata: dict[str, str], group: _Group) -> dict[str, str]:
    """What is said of a group: not the network's name, which cutouts and networks put together have others of."""
    return {key: value for key, value in metadata.items() if key != "model"} | {"form": group.form, "group": group.name}


def _wanted(network: HierarchicalNetwork) -> list[_Group]:
    """What there is a file of beside the trunk's."""
    level = max(network.nesting.depth - 1, 1)
    homes, names, everything = finest_homes(network), network.nesting.names(level), list(range(network.num_classes))
    groups = [
        _Group(name, "specialists", [c for c, home in enumerate(homes) if home == i]) for i, name in enumerate(names)
    ]
    if network.levels[level - 1].branches < len(names):  # one for all classes
        groups = [_Group(ALL, "specialists", everything)]
    if network.form == "specialists":
        return groups
    if network.form == "both":
        return [_Group(ALL, "generalist", everything), *groups]
    chosen = [group for group in groups if network.choice.get(group.name) == "specialists"]
    return [_Group(ALL, network.form, everything), *chosen]


def _files(folder: Path, groups: Iterable[str]) -> list[str]:
    """Each group's file name. Raises OutputError for a folder that cannot be, or has other ONNX files."""
    files = [TRUNK]
    for group in groups:
        stem = slug(group)[:80] or "group"
        names = (f"{stem}.onnx" if n == 1 else f"{stem}_{n}.onnx" for n in count(1))
        files.append(next(name for name in names if name not in files))
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError("is a file", place=unquoted(folder), expected="a folder")
        others = sorted(folder.glob("*.onnx")) if folder.exists() else []
    for file in others:
        if file.name not in files or not _is_ours(file):
            raise OutputError(
                f"has {quoted(file.name)}, which is no part of this network",
                place=unquoted(folder),
                hint="name another folder",
            )
    for name in files:
        check_replaceable(folder / name)
    return files[1:]


def _is_ours(file: Path) -> bool:
    """Whether the file is a part of some network, which another export may replace."""
    try:
        model = import_module("onnx").load(str(file), load_external_data=False)
    except (OSError, import_module("google.protobuf.message").DecodeError):
        return False
    return any(prop.key == TRUNK_HASH for prop in model.metadata_props)


def _part(network: HierarchicalNetwork, group: _Group) -> HierarchicalNetwork:
    """The cutout of these classes that the network has in this form."""
    asked = copy.copy(network)  # of one's own form; all else is shared
    asked.__dict__["choice"] = {}
    asked.form = group.form
    if group.form in ONE_BRANCH:
        return single(asked, group.classes)
    return asked if len(group.classes) == network.num_classes else cut(asked, group.classes)


def _split(whole: Deployed, form: Form) -> tuple[Deployed, Deployed]:
    """What gives maps, and what takes them."""
    plain = whole.network
    trunk = PlainNetwork(plain.trunk, [], nn.Identity(), steerable=False)
    trunk.input_size, trunk.has_one_size = plain.input_size, plain.has_one_size
    branch = PlainNetwork(nn.Identity(), plain.levels, plain.head, steerable=False)
    mean, std = (0.0,), (1.0,)
    first, second = replace(form, softmax=False), replace(form, preprocess=False)
    head, tail = Deployed(trunk, first, mean, std), Deployed(branch, second, mean, std)
    head.mean, head.scale = whole.mean, whole.scale
    return head.eval(), tail.eval()


@dataclass(frozen=True)
class _Writer:
    """Writes one part, traced with an example."""

    network: HierarchicalNetwork
    form: Form
    opset: int | None
    trunk_sha256: str

    def __call__(
        self, file: Path, module: Deployed, example: Tensor, takes: str, gives: str, metadata: dict[str, str]
    ) -> None:
        batch = self.form.batch is None
        traced = trace(module, self.network, self.form, [example], [{0: torch.export.Dim.DYNAMIC} if batch else {}])
        names: list[dict[int, str]] = [{0: "batch"} if batch else {}]
        metadata = {**metadata, TRUNK_HASH: self.trunk_sha256}
        save_program(traced, file, metadata, [takes], gives, names, self.opset)


def _runner(file: Path, takes: str, gives: str) -> Callable[[Tensor], Tensor]:
    session = onnx_session(file, torch.get_num_threads())
    return lambda x: torch.from_numpy(session.run([gives], {takes: x.numpy()})[0])


def _chain(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: second(first(x))
