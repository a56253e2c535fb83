"""A network in a folder, model.py and model.safetensors: how cutouts and networks put together are written."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiergen.codegen.build import render_assembled
from hiergen.errors import HiergenError, OutputError, quoted, unquoted
from hiergen.files import check_writable, reason, set_mode, staging, sweep, umask, write_text, writing
from hiergen.lookup.reference import CUTOUT_SOURCE
from hiergen.models.load import CUTOUT_WEIGHTS, ModelRef, network_in, run_source
from hiergen.models.weights import load_weights, save_weights, taxonomy_hash
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.blocks import RECIPES
from hiergen.planning.from_network import plan_of
from hiergen.planning.plan import Plan
from hiergen.taxonomy.naming import check_identifier, is_reserved

CUTOUT_STANDALONE = "standalone.py"


@dataclass(frozen=True)
class Written:
    """A network in its folder: its plan, and the file's weights loaded again."""

    folder: Path
    network: HierarchicalNetwork
    plan: Plan


def write_network(
    network: HierarchicalNetwork, folder: Path, reference: ModelRef, *, name: str | None, how: str, force: bool
) -> Written:
    """Write a network that was made from the one `reference` names, as readable source and weights; `how` ends the
    sentence "Written by hiergen, …". The folder must be new or empty, or with `force` one of ours.

    Raises HiergenError for a name that cannot be, and a folder that cannot be written; then it is as it was.
    """
    target = free_folder(folder, force)
    name = class_name(reference, name or reference.name)
    digest = taxonomy_hash(network)
    plan = plan_of(network, taxonomy="network", model=name)
    with staged(target) as made:
        save_weights(network, made / CUTOUT_WEIGHTS, model=name)
        # of the weights, not the classes: networks put together in several ways are loaded side by side
        own = hashlib.sha256((made / CUTOUT_WEIGHTS).read_bytes()).hexdigest()
        source = render_assembled(plan, how, f"{_base(reference)}_{own[:8]}", digest)
        write_text(made / CUTOUT_SOURCE, source)
        again = network_in(run_source(source, target / CUTOUT_SOURCE), name, None).cls().eval()
        load_weights(again, made / CUTOUT_WEIGHTS)
    return Written(target, again, plan)


def class_name(reference: ModelRef, name: str | None) -> str:
    name = name if name is not None else f"{re.sub('Cutout$', '', reference.name)}Cutout"
    try:
        valid = check_identifier(name).isidentifier() and not is_reserved(name) and name not in RECIPES
    except ValueError as error:
        raise HiergenError(f"a network cannot be called {quoted(name)}", hint=str(error)) from None
    if not valid:
        raise HiergenError(f"a network cannot be called {quoted(name)}", expected="a Python name that is not yet taken")
    return name


def timm_name(reference: ModelRef, name: str, digest: str) -> str:
    """A timm name of its own: the full network's, then the given name or the hash of the classes."""
    base = _base(reference)
    return f"{base}_cutout_{digest[:8]}" if name.endswith("Cutout") else f"{base}_{name.lower()}"


def _base(reference: ModelRef) -> str:
    """The timm name without what was added for each folder that it was written to."""
    return re.sub(r"((_cutout)?_[0-9a-f]{8})+$", "", reference.registered or reference.name.lower())


def free_folder(folder: Path, force: bool) -> Path:
    """The folder, if a cutout may be written there: asked before the work, and after it."""
    place = unquoted(folder)
    try:
        if not folder.exists():
            check_writable(folder)
            return folder
        if not folder.is_dir():
            raise OutputError("is a file", place=place, expected="a folder")
        check_writable(folder / CUTOUT_SOURCE)
        sweep(folder / CUTOUT_SOURCE)
        files = {entry.name for entry in folder.iterdir()} - {"__pycache__"}
        if not files:
            return folder
        if not _is_ours(folder):
            raise OutputError("is a folder with other files", place=place, expected="a new or empty folder")
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot be written ({reason(error)})", place=place) from None
    if not force:
        raise OutputError("holds a network already", place=place, hint="--force replaces it")
    return folder


def _is_ours(folder: Path) -> bool:
    source = folder / CUTOUT_SOURCE
    if not source.is_file() or not (folder / CUTOUT_WEIGHTS).is_file():
        return False
    with source.open(encoding="utf-8", errors="replace") as file:
        return (
            re.search(r"^Written by hiergen \S+, (cut out|put together) of ", file.read(2000), flags=re.M) is not None
        )


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder that becomes the target at the end of the block; after an error it is gone. It is made beside it, or in
    one that is there: that may be another disk, or all that may be written."""
    with staging(target / CUTOUT_SOURCE if target.is_dir() else target) as made:
        try:
            yield made
        except OutputError as error:  # which names a file of the folder that the user did not name
            if error.place is not None and Path(error.place).is_relative_to(made):
                error.place = str(target / Path(error.place).relative_to(made))
            raise
        with writing(target):
            _moved(made, target)


def _moved(made: Path, target: Path) -> None:
    for left in made.glob(".*.part"):  # what a disk did not let go at once would stay for ever
        shutil.rmtree(left, ignore_errors=True)
    set_mode(made, 0o777 & ~umask())
    if not target.exists():
        os.rename(made, target)
        return
    # Killed between the two, the source and the weights differ in their taxonomy: loading them says so.
    for name in (CUTOUT_WEIGHTS, CUTOUT_SOURCE):
        os.replace(made / name, target / name)
    if (made / CUTOUT_STANDALONE).exists():
        os.replace(made / CUTOUT_STANDALONE, target / CUTOUT_STANDALONE)
    else:  # an earlier one would be of other classes
        (target / CUTOUT_STANDALONE).unlink(missing_ok=True)
