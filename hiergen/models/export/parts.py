"""A network as ONNX files of its parts: the trunk once, and a file for each group's branches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hiergen.data.features import fingerprint
from hiergen.errors import HiergenError, OutputError, quoted, unquoted
from hiergen.files import put, staging, writing
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
TRUNK = "trunk.onnx"


@dataclass(frozen=True)
class Part:
    """One file: the trunk's (`group` ""), or that of a group's branches; the classes of its logits, its bytes."""

    file: Path
    group: str
    classes: tuple[str, ...]
    size: int


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
    files = _files(folder, wanted)
    images, difference = examples(network, form, form.batch or 2)[0], 0.0
    branches: list[Part] = []
    with staging(folder / TRUNK) as made, quiet():
        write = _Writer(network, form, opset, fingerprint(network.trunk))
        for group, (asked, members) in wanted.items():
            part, file = _part(network, asked, members), made / files[group]
            first, second = _split(deployed(part, form), form)
            if not branches:
                write(made / TRUNK, first, images, "images", MAPS, _of_all(describe(network)))
                run = _runner(made / TRUNK, "images", MAPS)
                with torch.no_grad():
                    maps = first(images)
            write(file, second, maps, MAPS, form.output, {**describe(part), "form": asked, "group": group})
            chain = _chain(run, _runner(file, MAPS, form.output))
            difference = max(difference, compare(part, form, chain, f"the chain of {TRUNK} and {file.name}"))
            branches.append(Part(folder / file.name, group, part.nesting.classes, file.stat().st_size))
        trunk = Part(folder / TRUNK, "", (), (made / TRUNK).stat().st_size)
        with writing(folder):
            for done in (*branches, trunk):
                put(made / done.file.name, done.file)
    return Parts(trunk, tuple(branches), f"onnxruntime {runtime.__version__}", difference)


def _of_all(metadata: dict[str, str]) -> dict[str, str]:
    """What is said of the trunk: nothing that depends on the classes, or it would change with them."""
    of_classes = ("classes", "names", "taxonomy", "taxonomy_sha256", "form", "rejection", "model")
    return {key: value for key, value in metadata.items() if key not in of_classes}


def _wanted(network: HierarchicalNetwork) -> dict[str, tuple[NetworkForm, list[int]]]:
    """Of each file but the trunk's the name of its group, the form it is of, and its classes."""
    homes, names = finest_homes(network), network.nesting.names(max(network.nesting.depth - 1, 1))
    groups = {name: [c for c, home in enumerate(homes) if home == i] for i, name in enumerate(names)}
    wanted: dict[str, tuple[NetworkForm, list[int]]] = {}
    if network.form != "specialists":
        whole: NetworkForm = "generalist" if network.form == "both" else network.form
        wanted["all classes"] = (whole, list(range(network.num_classes)))
        if network.form != "both":
            groups = {name: some for name, some in groups.items() if network.choice.get(name) == "specialists"}
    return wanted | {name: ("specialists", some) for name, some in groups.items()}


def _files(folder: Path, groups: Iterable[str]) -> dict[str, str]:
    """Of each group its file's name. Raises OutputError for a folder that cannot be, or has other ONNX files."""
    taken, files = {Path(TRUNK).stem}, {}
    for group in groups:
        stem = slug(group)[:80] or "group"
        number = next(n for n in count(1) if (stem if n == 1 else f"{stem}_{n}") not in taken)
        taken.add(stem := stem if number == 1 else f"{stem}_{number}")
        files[group] = f"{stem}.onnx"
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError("is a file", place=unquoted(folder), expected="a folder")
        others = sorted(p.name for p in folder.glob("*.onnx")) if folder.exists() else []
    if left := [name for name in others if name not in (TRUNK, *files.values())]:
        raise OutputError(
            f"has {quoted(left[0])}, which is no part of this network",
            place=unquoted(folder),
            hint="name another folder",
        )
    return files


def _part(network: HierarchicalNetwork, form: NetworkForm, members: list[int]) -> HierarchicalNetwork:
    """The cutout of these classes that the network has in this form."""
    before = network.form
    network.form = form
    try:
        if form in ONE_BRANCH:
            return single(network, members)
        return network if len(members) == network.num_classes else cut(network, members)
    finally:
        network.form = before


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
        metadata = {**metadata, "trunk_sha256": self.trunk_sha256}
        save_program(traced, file, metadata, [takes], gives, names, self.opset)


def _runner(file: Path, takes: str, gives: str) -> Callable[[Tensor], Tensor]:
    session = onnx_session(file, torch.get_num_threads())
    return lambda x: torch.from_numpy(session.run([gives], {takes: x.numpy()})[0])


def _chain(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: second(first(x))
